//! Lines in their usual form, read in one pass.
//!
//! That is: single spaces, short numbers, nothing odd, and all of it there. Of anything else these
//! functions say nothing, and the line is read with more care ([`super::line`], [`super::get`]). What they
//! do read they read as those would.
#![forbid(unsafe_code)]

use memchr::memchr;

use crate::limits::KEY_LEN_MAX;
use crate::protocol::request::{StoreLine, StoreVerb};
use crate::protocol::scan::{line_end_len, word_len};
use crate::protocol::text::get::Verb;
use crate::protocol::text::{LINE_LEN_MIN, LINE_WINDOW};
use crate::protocol::token::Tokens;

/// Digits of a number that fits 32 bits whatever they are.
const DIGITS_MAX: usize = 9;

/// What an `incr` or a `decr` says.
#[derive(Clone, Copy, Debug)]
pub struct Count<'a> {
    /// Not `decr`.
    pub is_incr: bool,
    /// The item.
    pub key: &'a [u8],
    /// By how much.
    pub delta: u32,
    /// Whether no answer is wanted.
    pub noreply: bool,
    /// Bytes of the line.
    pub len: usize,
}

/// The key and the length of the line that begins `input`, if that is no more than `verb`, one
/// space, one key that is not too long and the end, all of it there.
pub fn get(verb: Verb, input: &[u8]) -> Option<(&[u8], usize)> {
    let prefix_len = verb.prefix_len();
    let (key, rest) = key(&input[prefix_len..])?;
    Some((key, prefix_len + key.len() + line_end_len(rest)?))
}

/// The `set` that begins `input` as its line says it, whether it is told `noreply`, and the length
/// of the line.
pub fn set(input: &[u8]) -> Option<(StoreLine<'_>, bool, usize)> {
    let (key, rest) = key(input.strip_prefix(b"set ")?)?;
    let (flags, rest) = number(rest.strip_prefix(b" ")?)?;
    let (exptime, rest) = number(rest.strip_prefix(b" ")?)?;
    let (value_len, rest) = number(rest.strip_prefix(b" ")?)?;
    let (noreply, rest) = end(rest)?;
    let line = StoreLine {
        verb: StoreVerb::Set,
        key,
        flags,
        exptime: exptime as i32,
        value_len: value_len as usize,
    };
    Some((line, noreply, input.len() - rest.len()))
}

/// Splits the line that begins `input` and tells its length: of a line that is there completely, and
/// neither too short nor too long to be looked at. None: what is in `tokens` means nothing.
pub fn line<'a>(input: &'a [u8], tokens: &mut Tokens<'a>) -> Option<usize> {
    let len = tokens.take_plain_line(input)?;
    (LINE_LEN_MIN..=LINE_WINDOW).contains(&len).then_some(len)
}

/// The `incr` or `decr` that begins `input`.
pub fn count(input: &[u8]) -> Option<Count<'_>> {
    let (is_incr, rest) = match input {
        [b'i', b'n', b'c', b'r', b' ', rest @ ..] => (true, rest),
        [b'd', b'e', b'c', b'r', b' ', rest @ ..] => (false, rest),
        _ => return None,
    };
    let (key, rest) = key(rest)?;
    let (delta, rest) = number(rest.strip_prefix(b" ")?)?;
    let (noreply, rest) = end(rest)?;
    Some(Count { is_incr, key, delta, noreply, len: input.len() - rest.len() })
}

/// Of the line that begins `input`, if it is another one about a single key: that key, the length of the
/// line, and the length of the value behind it, if there is one.
pub fn about_key(input: &[u8]) -> Option<(&[u8], usize, Option<usize>)> {
    let word_len = match input {
        [b'm', b'g' | b's' | b'd' | b'a', b' ', ..] => 3,
        [b'd', b'e', b'l', b'e', b't', b'e', b' ', ..] => 7,
        [b't', b'o', b'u', b'c', b'h', b' ', ..] => 6,
        _ => return None,
    };
    let (key, rest) = key(&input[word_len..])?;
    let value_len = match input[1] {
        b's' => {
            let (len, rest) = number(rest.strip_prefix(b" ")?)?;
            // What has something glued to it is no number, and no block follows.
            let is_ended = rest.first() == Some(&b' ') || line_end_len(rest).is_some();
            Some(is_ended.then_some(len as usize)?)
        }
        _ => None,
    };
    let len = memchr(b'\n', &input[..input.len().min(LINE_WINDOW)])? + 1;
    Some((key, len, value_len))
}

/// The key that begins `input` and what follows it.
pub(super) fn key(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = word_len(input)?;
    let is_key = (1..=KEY_LEN_MAX).contains(&len);
    is_key.then(|| input.split_at(len))
}

/// Whether the line that ends here asks for silence, and what follows it.
fn end(rest: &[u8]) -> Option<(bool, &[u8])> {
    let silent = rest.strip_prefix(b" noreply");
    let rest = silent.unwrap_or(rest);
    Some((silent.is_some(), &rest[line_end_len(rest)?..]))
}

/// The number that begins `input`, of few digits, and what follows it.
fn number(input: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0;
    for (len, byte) in input.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return (len > 0).then(|| (value, &input[len..]));
        }
        if len == DIGITS_MAX {
            return None;
        }
        value = value * 10 + u32::from(digit);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Request;
    use crate::protocol::text::{self, Line, parse};

    #[test]
    fn lone_keys() {
        let lone = |line: &'static str| get(Verb::Get, line.as_bytes());
        assert_eq!(lone("get a\r\nget b\r\n"), Some((&b"a"[..], 7)));
        assert_eq!(lone("get a\n"), Some((&b"a"[..], 6)));
        for line in ["get  a\r\n", "get a \r\n", "get a b\r\n", "get \r\n", "get a", "get a\r"] {
            assert_eq!(lone(line), None, "{line:?}");
        }
        for len in 1..300 {
            let line = [b"gets ".as_slice(), &vec![b'k'; len], b"\r\nx"].concat();
            let read = get(Verb::Gets, &line).map(|(key, len)| (key.len(), len));
            assert_eq!(read, (len <= KEY_LEN_MAX).then_some((len, len + 7)));
        }
    }

    #[test]
    fn counts_are_those_of_the_parser() {
        let deltas = ["1", "0", "007", "123456789", "1234567890", "", "-1", "x", "1x", " 1"];
        let mut read = 0;
        for word in ["incr", "decr", "inc", "decrx"] {
            for delta in deltas {
                for end in ["\r\n", "\n", " noreply\r\n", " noreply", " \r\n", "\r", " 1\r\n"] {
                    let text = format!("{word} key {delta}{end}");
                    let Some(count) = count(text.as_bytes()) else { continue };
                    assert_eq!((count.key, count.len), (&b"key"[..], text.len()), "{text:?}");
                    let (key, delta) = (count.key, u64::from(count.delta));
                    let want = match count.is_incr {
                        true => Request::Incr { key, delta },
                        false => Request::Decr { key, delta },
                    };
                    check_parsed(&text, want, count.noreply);
                    read += 1;
                }
            }
        }
        assert_eq!(read, 2 * 4 * 3);
    }

    #[test]
    fn keys_of_other_lines() {
        assert_eq!(about_key(b"mg key v\r\nmg"), Some((&b"key"[..], 10, None)));
        assert_eq!(about_key(b"ms k 5 T0\nvalue\r\n"), Some((&b"k"[..], 10, Some(5))));
        assert_eq!(about_key(b"delete a noreply\n"), Some((&b"a"[..], 17, None)));
        for line in [
            "mg",
            "mg key",
            "mg  key\r\n",
            "ms k\r\n",
            "ms k x\r\n",
            "ms k 1-\r\n",
            "ms k 1\rx\n",
            "me k\r\n",
            "mn\r\n",
            "get a\r\n",
        ] {
            assert_eq!(about_key(line.as_bytes()), None, "{line:?}");
        }
    }

    /// What is read here is what the parser of all lines reads.
    #[test]
    fn sets_are_those_of_the_parser() {
        let numbers =
            ["0", "7", "00", "123456789", "1234567890", "", "-1", "x", "1x", "4294967295"];
        let ends =
            ["\r\n", "\n", " noreply\r\n", " noreply", " \r\n", "\r", "", " norepl\r\n", " 1\r\n"];
        let mut read = 0;
        for key in ["a", "key\x7f\u{fc}", "", "a\tb", "a\0", " a"] {
            for (flags, exptime) in numbers.iter().flat_map(|flags| numbers.map(|n| (flags, n))) {
                for value_len in numbers {
                    for end in ends {
                        let text = format!("set {key} {flags} {exptime} {value_len}{end}");
                        let Some((line, noreply, len)) = set(text.as_bytes()) else { continue };
                        assert_eq!(len, text.len(), "{text:?}");
                        check_parsed(&text, Request::Store(line), noreply);
                        read += 1;
                    }
                }
            }
        }
        assert!(read > 100, "{read}");
    }

    fn check_parsed(input: &str, want: Request<'_>, noreply: bool) {
        let Line::Whole { text, .. } = text::line(input.as_bytes()) else { panic!("{input:?}") };
        let command = parse(&text[..memchr(b' ', text).unwrap_or(0)], &Tokens::split(text));
        assert_eq!((command.request, command.noreply), (want, noreply), "{input:?}");
    }
}
