//! Keys in lines that no byte of theirs may break (text, section 7).
#![forbid(unsafe_code)]

use std::io::{self, Write};

/// Writes `bytes` with all that is not unreserved in a URI (RFC 3986, section 2.3) as `%XX`.
pub fn uri_encode(bytes: &[u8], into: &mut impl Write) -> io::Result<()> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    for run in bytes.chunk_by(|a, b| is_plain(a) && is_plain(b)) {
        match run {
            [byte] if !is_plain(byte) => {
                let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
                into.write_all(&[b'%', high, low])?;
            }
            plain => into.write_all(plain)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut encoded = Vec::new();
        uri_encode(&bytes, &mut encoded).expect("memory");
        let want: String = bytes
            .iter()
            .map(|&byte| match char::from(byte) {
                plain @ ('a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~') => {
                    plain.to_string()
                }
                _ => format!("%{byte:02X}"),
            })
            .collect();
        assert_eq!(String::from_utf8(encoded).expect("ASCII"), want);
    }
}
