//! The lines of a client that has yet to log in (text, section 9; behaviour, section 8).
#![forbid(unsafe_code)]

use crate::protocol::number;
use crate::protocol::token::Tokens;

/// What such a line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// `set KEY FLAGS EXPTIME BYTES`: a block of so many bytes follows, `user password`. The other words
    /// say nothing.
    Token {
        /// Bytes of the block, without the CR LF that ends it.
        len: usize,
    },
    /// `quit`
    Quit,
    /// Anything else.
    Other,
}

/// Reads a line, without its terminator.
pub fn login(line: &[u8]) -> Login {
    let tokens = Tokens::split(line);
    let is_first = |word: &[u8]| line.split(|byte| *byte == b' ').next() == Some(word);
    let len = tokens.at(4).and_then(number::u32);
    match len {
        Some(len) if is_first(b"set") => Login::Token { len: len as usize },
        _ if is_first(b"quit") => Login::Quit,
        _ => Login::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_section_8() {
        assert_eq!(login(b"set foo 0 0 7"), Login::Token { len: 7 });
        assert_eq!(login(b"set a b c 4294967295 noreply"), Login::Token { len: u32::MAX as usize });
        assert_eq!(login(b"quit"), Login::Quit);
        for other in [
            &b""[..],
            b" ",
            b" set a b c 7",
            b"setx a b c 7",
            b"set a b 7",
            b"set a b c -1",
            b"set a b c 4294967296",
            b"set a b c x",
            b"get a",
            b"mg a",
            b"version",
        ] {
            assert_eq!(login(other), Login::Other, "{}", other.escape_ascii());
        }
    }
}
