//! Lines of the get family: `get`, `gets`, `gat` and `gats`.
//!
//! Such a line has no bound, so it is never had whole: [`begin`] judges it from its first
//! [`LINE_WINDOW`] bytes and [`next`] takes key after key as they arrive. A key that is too long
//! within the window refuses the line before anything is looked up; a later one ends the answer.
//! Because the window is always the same bytes, the outcome does not depend on how the line was
//! cut into reads.
#![forbid(unsafe_code)]

use memchr::{memchr, memchr_iter, memchr2};

use crate::limits::KEY_LEN_MAX;
use crate::protocol::Reply;
use crate::protocol::number;
use crate::protocol::text::{LINE_WINDOW, plain, without_cr};

/// Bytes among which a key and the space or CR LF behind it are found, if it is not too long.
const KEY_WINDOW: usize = KEY_LEN_MAX + 2;

/// The command word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Values.
    Get,
    /// Values with their uniques.
    Gets,
    /// Values, with a new exptime.
    Gat,
    /// Values with their uniques, with a new exptime.
    Gats,
}

impl Verb {
    /// The verb with which `input` begins, if a space follows it.
    pub fn of(input: &[u8]) -> Option<Verb> {
        match input {
            [b'g', b'e', b't', b' ', ..] => Some(Verb::Get),
            [b'g', b'e', b't', b's', b' ', ..] => Some(Verb::Gets),
            [b'g', b'a', b't', b' ', ..] => Some(Verb::Gat),
            [b'g', b'a', b't', b's', b' ', ..] => Some(Verb::Gats),
            _ => None,
        }
    }

    /// Whether the answer shows uniques.
    pub fn shows_cas(self) -> bool {
        matches!(self, Verb::Gets | Verb::Gats)
    }

    /// Whether an exptime stands before the keys.
    pub fn touches(self) -> bool {
        matches!(self, Verb::Gat | Verb::Gats)
    }

    /// Bytes of the word and the space behind it.
    pub(super) fn prefix_len(self) -> usize {
        match self {
            Verb::Get | Verb::Gat => 4,
            Verb::Gets | Verb::Gats => 5,
        }
    }
}

/// How a line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// To be executed: keys begin after this many bytes.
    Keys {
        /// Offset in bytes from the start of the line.
        at: usize,
        /// The exptime of gat and gats.
        exptime: Option<i32>,
    },
    /// To be answered with an error and skipped to its LF.
    Refused(Reply),
    /// Its end or the end of the window has not arrived.
    Partial,
    /// The exptime does not end within the window.
    Overlong,
}

/// What comes next in a line whose beginning has been dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A key of 1 to `KEY_LEN_MAX` bytes.
    Key {
        /// The key.
        key: &'a [u8],
        /// Bytes up to and with the byte that ends it.
        end: usize,
        /// Whether the line ends here too.
        last: bool,
    },
    /// The line ends, `end` bytes from here.
    End {
        /// Bytes up to and with the LF.
        end: usize,
    },
    /// A key that is too long; the line is to be skipped to its LF.
    TooLong,
    /// More input is needed; the first `spaces` bytes are done with.
    More {
        /// Bytes that separate, no more.
        spaces: usize,
    },
}

/// Judges the line that begins `input` and has `verb` as its word (section 5).
pub fn begin(verb: Verb, input: &[u8]) -> Begin {
    let window = &input[..input.len().min(LINE_WINDOW)];
    let lf = memchr(b'\n', window);
    let prefix_len = verb.prefix_len();
    let body = match lf {
        Some(end) => without_cr(&window[prefix_len..end]),
        None if window.len() == LINE_WINDOW => &window[prefix_len..],
        None => return Begin::Partial,
    };
    let (at, exptime) = if verb.touches() {
        let start = count_spaces(body);
        let token_len = memchr(b' ', &body[start..]);
        let end = match (token_len, lf) {
            (Some(len), _) => start + len,
            (None, Some(_)) => return Begin::Refused(Reply::BadLine),
            (None, None) => return Begin::Overlong,
        };
        (end, Some(number::i32(&body[start..end])))
    } else {
        (0, None)
    };
    let keys = &body[at..];
    let is_whole = lf.is_some();
    match exptime {
        _ if is_whole && count_spaces(keys) == keys.len() => Begin::Refused(Reply::BadLine),
        Some(None) => Begin::Refused(Reply::BadExptime),
        _ if has_long_key(keys, is_whole) => Begin::Refused(Reply::BadLine),
        _ => Begin::Keys { at: prefix_len + at, exptime: exptime.flatten() },
    }
}

/// Takes the next key off the rest of a line.
pub fn next(rest: &[u8]) -> Next<'_> {
    if let Some((key, after)) = plain::key(rest) {
        let len = key.len();
        match after {
            [b' ', ..] => return Next::Key { key, end: len + 1, last: false },
            [b'\r', b'\n', ..] => return Next::Key { key, end: len + 2, last: true },
            _ => {}
        }
    }
    let spaces = count_spaces(rest);
    let window = &rest[spaces..rest.len().min(spaces + KEY_WINDOW)];
    let Some(len) = memchr2(b' ', b'\n', window) else {
        return if window.len() == KEY_WINDOW { Next::TooLong } else { Next::More { spaces } };
    };
    let end = spaces + len + 1;
    let last = window[len] == b'\n';
    let key = if last { without_cr(&window[..len]) } else { &window[..len] };
    match key.len() {
        0 => Next::End { end },
        1..=KEY_LEN_MAX => Next::Key { key, end, last },
        _ => Next::TooLong,
    }
}

/// Whether one of `keys` is too long. The last one goes on behind them if they are not `whole`;
/// the byte that it may have beyond the longest key may turn out to be the CR of the line's end.
fn has_long_key(keys: &[u8], whole: bool) -> bool {
    if keys.len() <= KEY_LEN_MAX {
        return false;
    }
    let mut start = 0;
    for space in memchr_iter(b' ', keys) {
        if space - start > KEY_LEN_MAX {
            return true;
        }
        start = space + 1;
    }
    keys.len() - start > KEY_LEN_MAX + usize::from(!whole)
}

fn count_spaces(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|&&byte| byte == b' ').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(line: &str) -> Begin {
        let verb = Verb::of(line.as_bytes()).expect("a line of the get family");
        begin(verb, line.as_bytes())
    }

    #[test]
    fn beginnings_section_5() {
        let keys = |at, exptime| Begin::Keys { at, exptime };
        let bad_line = Begin::Refused(Reply::BadLine);
        let bad_exptime = Begin::Refused(Reply::BadExptime);
        let long = "k".repeat(251);
        assert_eq!(begun("get a\r\n"), keys(4, None));
        assert_eq!(begun("gats  -5  a\r\n"), keys(8, Some(-5)));
        assert_eq!(begun("gat - a\n"), keys(5, Some(0)));
        for line in ["get \r\n", "gets   \n", "gat \r\n", "gat x\r\n", "gat 10\r\n", "gat 1 \r\n"] {
            assert_eq!(begun(line), bad_line, "{line:?}");
        }
        assert_eq!(begun("gat x a\r\n"), bad_exptime);
        assert_eq!(begun("gat 000000000001 a\r\n"), bad_exptime);
        assert_eq!(begun(&format!("gat x {long}\r\n")), bad_exptime);
        assert_eq!(begun(&format!("gat 1 {long}\r\n")), bad_line);
        assert_eq!(begun(&format!("get a {long}\r\n")), bad_line);
        assert_eq!(begun(&format!("get {long} a\r\n")), bad_line);
        assert_eq!(begun("get a"), Begin::Partial);
        assert_eq!(begun("get a\r"), Begin::Partial);
    }

    #[test]
    fn windows_section_1() {
        let spaces = " ".repeat(LINE_WINDOW);
        let long = "k".repeat(LINE_WINDOW);
        assert_eq!(begun(&format!("get{spaces}")), Begin::Keys { at: 4, exptime: None });
        assert_eq!(begun(&format!("gat{spaces}")), Begin::Overlong);
        assert_eq!(begun(&format!("gat {long}")), Begin::Overlong);
        assert_eq!(begun(&format!("get {long}")), Begin::Refused(Reply::BadLine));
        assert_eq!(begun(&format!("gat 1{spaces}")), Begin::Keys { at: 5, exptime: Some(1) });
        assert_eq!(begun(&format!("gat x{spaces}")), Begin::Refused(Reply::BadExptime));
        // The last key of the window, cut off at 251 and at 252 bytes.
        let cut =
            |len: usize| format!("get{}{}", " ".repeat(LINE_WINDOW - 3 - len), "k".repeat(len));
        assert_eq!(begun(&cut(251)), Begin::Keys { at: 4, exptime: None });
        assert_eq!(begun(&cut(252)), Begin::Refused(Reply::BadLine));
    }

    #[test]
    fn keys_one_by_one() {
        let key = |key: &'static str, end, last| Next::Key { key: key.as_bytes(), end, last };
        assert_eq!(next(b" a b"), key("a", 3, false));
        assert_eq!(next(b"a\r\n"), key("a", 3, true));
        assert_eq!(next(b"a\r \n"), key("a\r", 3, false));
        assert_eq!(next(b"a\r\r\n"), key("a\r", 4, true));
        assert_eq!(next(b" \r\nget"), Next::End { end: 3 });
        assert_eq!(next(b"\n"), Next::End { end: 1 });
        assert_eq!(next(b"  a"), Next::More { spaces: 2 });
        assert_eq!(next(b"   "), Next::More { spaces: 3 });
        assert_eq!(next(b""), Next::More { spaces: 0 });
    }

    #[test]
    fn longest_key() {
        let longest = [b'k'; KEY_LEN_MAX];
        let fits = |end: &[u8]| next(&[&longest[..], end].concat()) != Next::TooLong;
        assert!(fits(b"") && fits(b"\r") && fits(b"\n") && fits(b"\r\n") && fits(b" "));
        assert!(!fits(b"k ") && !fits(b"\r ") && !fits(b"k\n") && !fits(b"\r\r") && !fits(b"kk"));
        assert!(fits(b"k"), "one more byte is awaited before it is called too long");
    }
}
