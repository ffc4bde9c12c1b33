//! Answers as bytes.
#![forbid(unsafe_code)]

use itoa::Buffer;

/// Bytes of a `VALUE` line beside its key: the word, four spaces, three numbers, CR LF.
const VALUE_LINE_EXTRA: usize = 5 + 4 + 10 + 10 + 20 + 2;

/// Appends `VALUE <key> <flags> <bytes>[ <unique>]` and its CR LF, and makes room for `room` more
/// bytes (text, section 5).
#[inline(always)]
pub fn value_line(
    into: &mut Vec<u8>,
    key: &[u8],
    flags: u32,
    value_len: usize,
    cas: Option<u64>,
    room: usize,
) {
    into.reserve(VALUE_LINE_EXTRA + key.len() + room);
    into.extend_from_slice(b"VALUE ");
    into.extend_from_slice(key);
    if flags == 0 {
        into.extend_from_slice(b" 0 ");
    } else {
        into.push(b' ');
        into.extend_from_slice(Buffer::new().format(flags).as_bytes());
        into.push(b' ');
    }
    into.extend_from_slice(Buffer::new().format(value_len).as_bytes());
    if let Some(cas) = cas {
        into.push(b' ');
        into.extend_from_slice(Buffer::new().format(cas).as_bytes());
    }
    into.extend_from_slice(b"\r\n");
}

/// Appends `CONFIG <key> 0 <bytes>`, CR LF, and the text with its CR LF (docs/protocol.md, "Discovery").
pub fn config_line(into: &mut Vec<u8>, key: &[u8], text: &[u8]) {
    into.extend_from_slice(b"CONFIG ");
    into.extend_from_slice(key);
    into.extend_from_slice(b" 0 ");
    into.extend_from_slice(Buffer::new().format(text.len()).as_bytes());
    into.extend_from_slice(b"\r\n");
    into.extend_from_slice(text);
    into.extend_from_slice(b"\r\n");
}

/// Appends a number on a line of its own.
pub fn number_line(into: &mut Vec<u8>, number: u64) {
    into.extend_from_slice(Buffer::new().format(number).as_bytes());
    into.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: &[u8], flags: u32, value_len: usize, cas: Option<u64>) -> String {
        let mut bytes = Vec::new();
        value_line(&mut bytes, key, flags, value_len, cas, 0);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn value_lines_section_5() {
        assert_eq!(value(b"a", 0, 5, None), "VALUE a 0 5\r\n");
        assert_eq!(value(b"a", 7, 0, Some(0)), "VALUE a 7 0 0\r\n");
        let longest = value(&[b'k'; 250], u32::MAX, 1 << 30, Some(u64::MAX));
        assert_eq!(longest.len(), VALUE_LINE_EXTRA + 250);
    }
}
