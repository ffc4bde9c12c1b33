//! The meta protocol: two-letter commands, and flags of one letter with an argument glued to it.
//!
//! Lines, their tokens and their numbers are those of the classic protocol beside it
//! ([`crate::protocol::text`]). Flags may stand in any order; what an answer shows, it shows in the
//! order of the request, so that a request keeps its tokens ([`Flags::order`]).
//!
//! Sections named in comments are those of the meta protocol's description.
#![forbid(unsafe_code)]

mod flags;

mod key;

pub use flags::{Flags, OPAQUE_LEN_MAX};
pub use key::{Key, push_key};

use crate::limits::KEY_LEN_MAX;
use crate::protocol::Reply;
use crate::protocol::number;
use crate::protocol::token::Tokens;

/// Largest number of value bytes that `ms` can announce (section 1).
const VALUE_LEN_MAX: i32 = i32::MAX - 2;

/// Most tokens of a line, command, key and length included (section 2, row 5).
const TOKENS_MAX: usize = 20;

/// The commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `mn`
    Noop,
    /// Those about an item.
    Keyed(Verb),
}

/// The commands about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `mg`
    Get,
    /// `ms`
    Set,
    /// `md`
    Delete,
    /// `ma`
    Arith,
    /// `me`
    Debug,
}

impl Command {
    /// The command that a line without its terminator begins with, if it is one of these.
    pub fn of(text: &[u8]) -> Option<Command> {
        let (b'm', letter, None | Some(b' ')) = (*text.first()?, *text.get(1)?, text.get(2)) else {
            return None;
        };
        Some(Command::Keyed(match letter {
            b'g' => Verb::Get,
            b's' => Verb::Set,
            b'd' => Verb::Delete,
            b'a' => Verb::Arith,
            b'e' => Verb::Debug,
            b'n' => return Some(Command::Noop),
            _ => return None,
        }))
    }
}

/// A request whose line was well-formed. Borrows from the line.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The item meant.
    pub key: Key<'a>,
    /// What else was said.
    pub flags: Flags<'a>,
    /// Of `ms`: bytes of the value, without the CR LF that ends its block.
    pub value_len: usize,
}

/// A request that is not to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What the client is told.
    pub error: Reply,
    /// Bytes behind the line that belong to it and are to be thrown away before the answer.
    pub block_len: u64,
}

/// Reads a line of `verb` from its tokens.
pub fn parse<'a>(verb: Verb, tokens: &'a Tokens<'a>) -> Result<Request<'a>, Refused> {
    let (at_flags, value_len) = match verb {
        Verb::Set => (3, value_len(tokens)?),
        _ => (2, 0),
    };
    let Some(key) = tokens.at(1) else { return Err(refused(Reply::BadLine, 0)) };
    let block_len = if verb == Verb::Set { value_len as u64 + 2 } else { 0 };
    let flags = Flags::of(tokens.from(at_flags));
    let mut request = Request { key: Key::plain(key), flags, value_len };
    match well_formed(verb, key, &mut request, tokens.count()) {
        Ok(()) => Ok(request),
        Err(error) => Err(refused(error, block_len)),
    }
}

/// The rows of section 2 from the second on; once a block's length is known, whatever else is
/// wrong with the line, the block is not taken for commands. Fills in what the flags say.
fn well_formed<'a>(
    verb: Verb,
    key: &'a [u8],
    request: &mut Request<'a>,
    count: usize,
) -> Result<(), Reply> {
    let tokens = request.flags.order;
    let is_flag = |token: &&[u8]| matches!(token.first(), Some(b'A'..=b'z' | b'0'..=b'9'));
    if !tokens.iter().all(is_flag) || (key.len() > KEY_LEN_MAX && verb != Verb::Arith) {
        return Err(Reply::BadLine);
    }
    if verb == Verb::Debug {
        request.flags = Flags::default();
        request.key = Key::read(key, tokens.contains(&b"b".as_slice())).ok_or(Reply::BadLine)?;
        return Ok(());
    }
    let read = if key.len() > KEY_LEN_MAX {
        Err(Reply::BadLine)
    } else if count > TOKENS_MAX {
        Err(Reply::MetaLineTooLong)
    } else {
        flags::read(key, request)
    };
    match (verb, read) {
        (Verb::Arith, Err(_)) => Err(Reply::MetaBadArithFlag),
        (_, read) => read,
    }
}

/// Rows 1 and 3 for `ms`.
fn value_len(tokens: &Tokens<'_>) -> Result<usize, Refused> {
    match tokens.at(2).and_then(number::i32) {
        Some(len @ 0..=VALUE_LEN_MAX) => Ok(len as usize),
        _ => Err(refused(Reply::BadLine, 0)),
    }
}

fn refused(error: Reply, block_len: u64) -> Refused {
    Refused { error, block_len }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(line: &str, error: Reply, block_len: u64) {
        let Some(Command::Keyed(verb)) = Command::of(line.as_bytes()) else { panic!("{line}") };
        let tokens = Tokens::split(line.as_bytes());
        let refused = parse(verb, &tokens).expect_err(line);
        assert_eq!(refused, Refused { error, block_len }, "{line}");
    }

    #[test]
    fn verbs_section_1() {
        assert_eq!(Command::of(b"mg a"), Some(Command::Keyed(Verb::Get)));
        assert_eq!(Command::of(b"mn"), Some(Command::Noop));
        for line in ["", "m", "mx a", "mga", "MG a", " mg a", "mg\ta", "me\0"] {
            assert_eq!(Command::of(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn rows_of_section_2() {
        let long = "k".repeat(251);
        for line in ["mg", "mg ", "md", "ma", "me", "ms", "ms a", "ms a x", "ms a S2", "ms a -1"] {
            check_refused(line, Reply::BadLine, 0);
        }
        for flag in ["+", "-", "!", "@", "{", "~", "?", "\u{e9}"] {
            check_refused(&format!("mg a {flag}"), Reply::BadLine, 0);
            check_refused(&format!("ma a {flag}"), Reply::BadLine, 0);
            check_refused(&format!("ms a 5 {flag}"), Reply::BadLine, 7);
        }
        check_refused(&format!("mg {long}"), Reply::BadLine, 0);
        check_refused(&format!("ms {long} 5"), Reply::BadLine, 7);
        check_refused(&format!("ma {long}"), Reply::MetaBadArithFlag, 0);
        check_refused(&format!("mg a {}", "q ".repeat(19)), Reply::MetaLineTooLong, 0);
        check_refused("mg a v v", Reply::MetaDuplicateFlag, 0);
        for flag in ["S", "z", "1", "[", "\\", "]", "^", "_", "`", "r", "e"] {
            check_refused(&format!("mg a {flag}"), Reply::MetaInvalidFlag, 0);
        }
        check_refused("mg Zm9 b", Reply::MetaBadKey, 0);
        for flag in ["T", "Tx", "N", "R+1", "C", "C-1", "E18446744073709551616"] {
            check_refused(&format!("ms a 0 {flag}"), Reply::MetaBadToken, 2);
        }
        check_refused("ma a Jx", Reply::MetaBadArithFlag, 0);
        check_refused("mg a Jx", Reply::MetaBadInitial, 0);
        check_refused("mg a D", Reply::MetaBadDelta, 0);
        check_refused("mg a F-1", Reply::BadLine, 0);
    }

    #[test]
    fn the_last_of_several_errors_is_told() {
        check_refused("mg a Tx Fx", Reply::MetaBadToken, 0);
        check_refused("mg a Fx Tx Jx", Reply::MetaBadInitial, 0);
        check_refused("mg a Tx z", Reply::MetaInvalidFlag, 0);
        check_refused("mg a Tx Jx T1", Reply::MetaDuplicateFlag, 0);
    }

    #[test]
    fn flags_section_3() {
        let line = b"ms Zm9v 5 b T30 F7 C1 E2 MA I q c k Oxyz";
        let tokens = Tokens::split(line);
        let Request { key, flags, value_len } = parse(Verb::Set, &tokens).unwrap();
        assert_eq!((key.bytes(), value_len), (b"foo".as_slice(), 5));
        assert_eq!((flags.ttl, flags.client_flags, flags.mode), (Some(30), 7, Some(b'A')));
        assert_eq!((flags.compare, flags.cas), (Some(1), Some(2)));
        assert!(flags.is_quiet && flags.invalidates && !flags.shows_value);
        assert_eq!(flags.order.last(), Some(&b"Oxyz".as_slice()));
        assert_eq!(flags.opaque_len, 4);
        let line = b"mg a N-1 R30 v u x J5 D6 L P h l s t f M";
        let tokens = Tokens::split(line);
        let Request { flags, .. } = parse(Verb::Get, &tokens).unwrap();
        assert_eq!((flags.create, flags.recache), (Some(-1), Some(30)));
        assert_eq!((flags.initial, flags.delta, flags.mode), (5, 6, Some(b' ')));
        assert!(flags.shows_value && flags.empties && flags.is_peek);
    }
}
