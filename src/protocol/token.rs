//! A line's tokens: what stands between runs of spaces (text, section 1). Only the space
//! separates; a tab or a NUL is part of a token.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;

use crate::limits::TOKENS_MAX;
use crate::protocol::scan::{line_end_len, word_len};

/// The first [`TOKENS_MAX`] tokens of a line; later ones are not looked at.
#[derive(Debug, Default)]
pub struct Tokens<'a>(ArrayVec<&'a [u8], TOKENS_MAX>);

impl<'a> Tokens<'a> {
    /// Splits `line`, which is without its terminator.
    pub fn split(line: &'a [u8]) -> Tokens<'a> {
        let mut tokens = ArrayVec::new();
        let mut start = 0;
        for space in memchr::memchr_iter(b' ', line) {
            if space > start && tokens.try_push(&line[start..space]).is_err() {
                return Tokens(tokens);
            }
            start = space + 1;
        }
        if start < line.len() {
            let _beyond_the_last = tokens.try_push(&line[start..]);
        }
        Tokens(tokens)
    }

    /// Becomes the tokens of the line that begins `input`, and tells its length with its terminator.
    /// None: it is not all there, or not in the usual form (single spaces, no control characters, not
    /// many tokens, no word longer than a key), which says nothing about it. In place, since they are
    /// large to move.
    pub fn take_plain_line(&mut self, input: &'a [u8]) -> Option<usize> {
        self.0.clear();
        let mut rest = input;
        loop {
            let len = word_len(rest).filter(|len| *len > 0)?;
            let (token, behind) = rest.split_at(len);
            self.0.try_push(token).ok()?;
            if let [b' ', after @ ..] = behind {
                rest = after;
            } else {
                return Some(input.len() - behind.len() + line_end_len(behind)?);
            }
        }
    }

    /// Number of tokens, the command word included.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The token at `index`; the command word is at 0.
    pub fn at(&self, index: usize) -> Option<&'a [u8]> {
        self.0.get(index).copied()
    }

    /// The tokens from `index` on.
    pub fn from(&self, index: usize) -> &[&'a [u8]] {
        self.0.get(index..).unwrap_or_default()
    }

    /// The last of the tokens.
    pub fn last(&self) -> Option<&'a [u8]> {
        self.0.last().copied()
    }

    /// Whether the request asks for silence: exactly `noreply` as its last token (section 3).
    pub fn end_in_noreply(&self) -> bool {
        self.last() == Some(b"noreply")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<String> {
        let tokens = Tokens::split(line.as_bytes());
        tokens.0.iter().map(|token| String::from_utf8_lossy(token).into_owned()).collect()
    }

    #[test]
    fn runs_of_spaces_separate() {
        assert_eq!(split("set a 0 0 1"), ["set", "a", "0", "0", "1"]);
        assert_eq!(split("  set   a  "), ["set", "a"]);
        assert_eq!(split("a\tb \0 c\r"), ["a\tb", "\0", "c\r"]);
        assert_eq!(split("one"), ["one"]);
        assert!(split("").is_empty());
        assert!(split("    ").is_empty());
    }

    #[test]
    fn only_the_first_23_are_seen() {
        for (count, seen) in [(22, 22), (23, 23), (24, 23), (200, 23)] {
            let line = vec!["x"; count].join(" ");
            assert_eq!(split(&line).len(), seen);
            assert_eq!(split(&format!("{line} ")).len(), seen);
        }
        let line = |others: usize| format!("{} noreply", vec!["x"; others].join(" "));
        assert!(Tokens::split(line(22).as_bytes()).end_in_noreply());
        assert!(!Tokens::split(line(23).as_bytes()).end_in_noreply());
    }

    #[test]
    fn plain_lines_are_split_as_others_are() {
        for line in ["incr a 1\r\n", "mg key v t\n", "x\r\n", "set a 0 0 1 noreply\r\nvalue"] {
            let mut tokens = Tokens::default();
            let len = tokens.take_plain_line(line.as_bytes()).expect(line);
            let text = line[..len].trim_end();
            assert_eq!(len, line.find('\n').unwrap() + 1);
            assert_eq!(tokens.0, Tokens::split(text.as_bytes()).0);
        }
        for line in ["", "a", "a\r", "a \r\n", " a\r\n", "a  b\r\n", "a\tb\r\n", "a\r\r\n", "\r\n"]
        {
            assert!(Tokens::default().take_plain_line(line.as_bytes()).is_none(), "{line:?}");
        }
        let line = |count: usize| vec!["x"; count].join(" ") + "\r\n";
        for (count, is_plain) in [(TOKENS_MAX, true), (TOKENS_MAX + 1, false)] {
            let line = line(count);
            let mut tokens = Tokens::default();
            assert_eq!(tokens.take_plain_line(line.as_bytes()).is_some(), is_plain);
        }
    }

    #[test]
    fn noreply_is_exact() {
        assert!(Tokens::split(b"noreply").end_in_noreply());
        assert!(Tokens::split(b"delete a noreply ").end_in_noreply());
        assert!(!Tokens::split(b"delete a Noreply").end_in_noreply());
        assert!(!Tokens::split(b"delete noreply a").end_in_noreply());
    }
}
