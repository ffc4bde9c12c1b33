//! Where words and lines end, found eight bytes at a time.
#![forbid(unsafe_code)]

use crate::limits::KEY_LEN_MAX;

/// Bytes before the first one that is a space or a control character. None: there is no such byte
/// among the first so many that a key may have, and a few more.
pub fn word_len(input: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut at = 0;
    while at <= KEY_LEN_MAX
        && let Some(bytes) = input[at..].first_chunk()
    {
        let word = u64::from_le_bytes(*bytes);
        // The high bit of each byte that is 0x20 or less; above the lowest of them there may be more.
        let found = word.wrapping_sub(ONES * 0x21) & !word & (ONES << 7);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += size_of::<u64>();
    }
    let rest = &input[at..input.len().min(at + size_of::<u64>())];
    rest.iter().position(|byte| *byte <= b' ').map(|len| at + len)
}

/// Bytes of the line end that begins `rest`, if one does.
pub fn line_end_len(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'\r', b'\n', ..] => Some(2),
        [b'\n', ..] => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_ends_at_every_place() {
        for len in 0..KEY_LEN_MAX {
            for end in 0..=u8::MAX {
                let mut input = vec![0xff; len];
                input.push(end);
                let want = (end <= b' ').then_some(len);
                assert_eq!(word_len(&input), want, "{len} {end}");
                input.extend_from_slice(b"more bytes");
                assert_eq!(word_len(&input), want.or(Some(len + 5)), "{len} {end}");
            }
        }
    }
}
