//! The classic text protocol.
//!
//! A line ends at its LF; one CR directly before that is dropped. All lines but those of the
//! [`get`] family are short enough to be had whole before they are looked at. Answers are in
//! [`crate::protocol::response`].
//!
//! Sections named in comments are those of the text protocol's description.
#![forbid(unsafe_code)]

pub mod get;

mod login;

pub mod plain;

mod config;
mod control;
mod watch;

pub use login::{Login, login};

use memchr::memchr;

use crate::limits::{KEY_LEN_MAX, LINE_LEN_MAX};
use crate::protocol::Reply;
use crate::protocol::number;
use crate::protocol::request::{
    Cachedump, Command, Detail, Request, ShutdownMode, StatsList, StatsTopic, StoreLine, StoreVerb,
};
use crate::protocol::token::Tokens;

/// The bytes from which a line is judged: a line that is longer, terminator included, is overlong.
pub const LINE_WINDOW: usize = LINE_LEN_MAX + 1;

/// A line with its terminator that is shorter than this is refused unread (section 1).
pub const LINE_LEN_MIN: usize = 4;

/// Largest number of value bytes that a storage line can announce (section 4, rule 2).
const VALUE_LEN_MAX: i32 = i32::MAX - 2;

/// What the front of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line has ended.
    Whole {
        /// Its bytes without the terminator.
        text: &'a [u8],
        /// Its length with the terminator.
        len: usize,
    },
    /// Its end has not arrived.
    Partial,
    /// It does not end within [`LINE_WINDOW`].
    Overlong,
}

/// Looks for the end of the line with which `input` begins.
pub fn line(input: &[u8]) -> Line<'_> {
    let window = &input[..input.len().min(LINE_WINDOW)];
    match memchr(b'\n', window) {
        Some(end) => Line::Whole { text: without_cr(&window[..end]), len: end + 1 },
        None if window.len() == LINE_WINDOW => Line::Overlong,
        None => Line::Partial,
    }
}

/// The command that the tokens of a line say, of which `word` is what stands before its first space.
pub fn parse<'a>(word: &[u8], tokens: &Tokens<'a>) -> Command<'a> {
    let noreply = tokens.end_in_noreply();
    let quiet = |request| Command { request, noreply };
    let loud = |request| Command { request, noreply: false };
    match word {
        b"set" => store(StoreVerb::Set, tokens),
        b"add" => store(StoreVerb::Add, tokens),
        b"replace" => store(StoreVerb::Replace, tokens),
        b"append" => store(StoreVerb::Append, tokens),
        b"prepend" => store(StoreVerb::Prepend, tokens),
        b"cas" => store(StoreVerb::Cas(0), tokens),
        b"delete" if tokens.count() >= 2 => quiet(delete(tokens)),
        b"incr" | b"decr" if tokens.count() >= 3 => quiet(arith(tokens)),
        b"touch" if tokens.count() >= 3 => quiet(touch(tokens)),
        // A line of the get family with a key never comes here.
        b"get" | b"gets" | b"gat" | b"gats" | b"delete" | b"incr" | b"decr" | b"touch" => {
            loud(refused(Reply::BadLine))
        }
        b"version" => loud(Request::Version),
        b"quit" => loud(Request::Quit),
        b"stats" => loud(stats(tokens)),
        b"watch" => loud(Request::Watch(watch::words(tokens))),
        _ => admin(tokens, noreply),
    }
}

/// Section 4, checks 1 to 5 in their order. From the third on the block is known and swallowed.
fn store<'a>(verb: StoreVerb, tokens: &Tokens<'a>) -> Command<'a> {
    let [Some(key), Some(flags), Some(exptime), Some(value_len)] =
        [1, 2, 3, 4].map(|i| tokens.at(i))
    else {
        return Command { request: refused(Reply::BadLine), noreply: false };
    };
    let value_len = match number::i32(value_len) {
        Some(len @ 0..=VALUE_LEN_MAX) => len as usize,
        _ => return Command { request: refused(Reply::BadLine), noreply: false },
    };
    let well_formed = || {
        let verb = match verb {
            StoreVerb::Cas(_) => StoreVerb::Cas(number::u64(tokens.at(5)?)?),
            other => other,
        };
        let (flags, exptime) = (number::libc_u32(flags)?, number::libc_i32(exptime)?);
        let fits = key.len() <= KEY_LEN_MAX;
        fits.then_some(StoreLine { verb, key, flags, exptime, value_len })
    };
    let request = match well_formed() {
        Some(line) => Request::Store(line),
        None => Request::Refused { error: Reply::BadLine, block_len: value_len as u64 + 2 },
    };
    Command { request, noreply: tokens.end_in_noreply() }
}

/// The key of a command on one item.
fn key<'a>(tokens: &Tokens<'a>) -> Option<&'a [u8]> {
    tokens.at(1).filter(|key| key.len() <= KEY_LEN_MAX)
}

fn delete<'a>(tokens: &Tokens<'a>) -> Request<'a> {
    key(tokens).map_or(refused(Reply::BadLine), |key| Request::Delete { key })
}

fn arith<'a>(tokens: &Tokens<'a>) -> Request<'a> {
    let Some(key) = key(tokens) else { return refused(Reply::BadLine) };
    match tokens.at(2).and_then(number::u64) {
        Some(delta) if tokens.at(0) == Some(b"incr") => Request::Incr { key, delta },
        Some(delta) => Request::Decr { key, delta },
        None => refused(Reply::BadDelta),
    }
}

fn touch<'a>(tokens: &Tokens<'a>) -> Request<'a> {
    let Some(key) = key(tokens) else { return refused(Reply::BadLine) };
    match tokens.at(2).and_then(number::i32) {
        Some(exptime) => Request::Touch { key, exptime },
        None => refused(Reply::BadExptime),
    }
}

/// Section 8. The longer words are matched by any prefix, in this order.
fn stats<'a>(tokens: &Tokens<'a>) -> Request<'a> {
    let Some(word) = tokens.at(1) else {
        return Request::Stats(StatsTopic::List(StatsList::General));
    };
    let begins = |whole: &[u8]| whole.starts_with(word);
    let topic = match word {
        _ if begins(b"reset") => StatsTopic::Reset,
        _ if begins(b"detail") => StatsTopic::Detail(detail(tokens)),
        _ if begins(b"settings") => StatsTopic::List(StatsList::Settings),
        _ if begins(b"cachedump") => StatsTopic::Cachedump(cachedump(tokens)),
        _ if begins(b"conns") => return Request::Conns,
        b"items" => StatsTopic::List(StatsList::Items),
        b"slabs" => StatsTopic::List(StatsList::Slabs),
        b"sizes" => StatsTopic::List(StatsList::Sizes),
        _ => return refused(Reply::Error),
    };
    Request::Stats(topic)
}

fn detail(tokens: &Tokens<'_>) -> Result<Detail, Reply> {
    let Some(word) = tokens.at(2) else { return Err(Reply::DetailUsage) };
    match word {
        _ if b"on".starts_with(word) => Ok(Detail::Switch(true)),
        _ if b"off".starts_with(word) => Ok(Detail::Switch(false)),
        _ if b"dump".starts_with(word) => Ok(Detail::Dump),
        _ => Err(Reply::DetailUsage),
    }
}

fn cachedump(tokens: &Tokens<'_>) -> Result<Cachedump, Reply> {
    let (Some(class), Some(limit)) = (tokens.at(2), tokens.at(3)) else {
        return Err(Reply::BadStatsLine);
    };
    match (number::u32(class), number::u32(limit)) {
        (Some(class), Some(limit)) => Ok(Cachedump { class, limit }),
        _ => Err(Reply::BadLine),
    }
}

/// Section 7: looked up by the first token, so that leading spaces do no harm.
fn admin<'a>(tokens: &Tokens<'a>, noreply: bool) -> Command<'a> {
    // Without a number that it could be, `noreply` itself is taken for the argument.
    let argument = tokens.at(1);
    let request = match tokens.at(0).unwrap_or_default() {
        b"flush_all" => Request::FlushAll {
            delay: match argument {
                None => Some(0),
                Some(_) if noreply && tokens.count() == 2 => Some(0),
                Some(delay) => number::i32(delay),
            },
        },
        b"verbosity" => {
            argument.and_then(number::u32).map_or(refused(Reply::BadLine), Request::Verbosity)
        }
        b"cache_memlimit" => argument
            .and_then(number::u32)
            .map_or(refused(Reply::Error), |megabytes| Request::MemoryLimit { megabytes }),
        b"shutdown" => Request::Shutdown(match argument {
            None => ShutdownMode::Plain,
            Some(mode) if b"graceful".starts_with(mode) => ShutdownMode::Graceful,
            Some(_) => ShutdownMode::Unknown,
        }),
        // Answered whatever it ends in (section 3).
        b"refresh_certs" => {
            return Command { request: Request::RefreshCertificates, noreply: false };
        }
        b"lru_crawler" => control::crawler(tokens),
        b"slabs" => control::slabs(tokens),
        b"lru" => control::lru(tokens),
        b"config" if !is_http(tokens) => Request::Config(config::words(tokens)),
        b"debugtime" => Request::DebugTime(argument.and_then(number::i64)),
        _ if is_http(tokens) => Request::Hangup,
        _ => refused(Reply::Error),
    };
    Command { request, noreply }
}

/// An unknown command whose last of two or more tokens begins with `HTTP/` (section 1).
fn is_http(tokens: &Tokens<'_>) -> bool {
    tokens.count() >= 2 && tokens.last().is_some_and(|last| last.starts_with(b"HTTP/"))
}

/// A request that is answered with an error and has no block.
fn refused<'a>(error: Reply) -> Request<'a> {
    Request::Refused { error, block_len: 0 }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &str) -> Command<'_> {
        match line(input.as_bytes()) {
            Line::Whole { text, .. } => {
                let word = &text[..memchr(b' ', text).unwrap_or(text.len())];
                parse(word, &Tokens::split(text))
            }
            other => panic!("{input:?} is {other:?}"),
        }
    }

    #[track_caller]
    fn check(input: &str, request: Request<'_>, noreply: bool) {
        assert_eq!(read(input), Command { request, noreply }, "{input:?}");
    }

    #[track_caller]
    fn check_refused(input: &str, error: Reply, block_len: u64, noreply: bool) {
        check(input, Request::Refused { error, block_len }, noreply);
    }

    #[test]
    fn framing_section_1() {
        assert_eq!(line(b"ab\r\n"), Line::Whole { text: b"ab", len: 4 });
        assert_eq!(line(b"ab\r\r\nx"), Line::Whole { text: b"ab\r", len: 5 });
        assert_eq!(line(b"\n"), Line::Whole { text: b"", len: 1 });
        assert_eq!(line(b""), Line::Partial);
        let long = [b'x'; LINE_LEN_MAX + 10];
        assert_eq!(line(&long[..LINE_LEN_MAX]), Line::Partial);
        assert_eq!(line(&long[..LINE_LEN_MAX + 1]), Line::Overlong);
        let mut ended = long;
        ended[LINE_LEN_MAX] = b'\n';
        assert!(matches!(line(&ended), Line::Whole { len: LINE_WINDOW, .. }));
        ended[LINE_LEN_MAX..].copy_from_slice(b"x\nxxxxxxxx");
        assert_eq!(line(&ended), Line::Overlong, "whether or not the LF is there already");
    }

    #[test]
    fn unknown_words_section_1() {
        for input in ["ab\r\n", "abc\n", "\r\r\r\n", "    \r\n", "GET a\r\n", "get\ta\r\n"] {
            check_refused(input, Reply::Error, 0, false);
        }
    }

    #[test]
    fn leading_space_section_1() {
        check_refused(" delete a\r\n", Reply::Error, 0, false);
        check_refused(" version\r\n", Reply::Error, 0, false);
        check("  flush_all\r\n", Request::FlushAll { delay: Some(0) }, false);
    }

    #[test]
    fn http_section_1() {
        check("POST /x HTTP/1.1\r\n", Request::Hangup, false);
        check("foo HTTP/\r\n", Request::Hangup, false);
        check(" x HTTP/1.1\r\n", Request::Hangup, false);
        check("delete HTTP/1.1\r\n", Request::Delete { key: b"HTTP/1.1" }, false);
        check_refused("HTTP/1.1\r\n", Reply::Error, 0, false);
        check_refused("foo HTTP\r\n", Reply::Error, 0, false);
        check_refused("foo HTTP/1.1 noreply\r\n", Reply::Error, 0, true);
    }

    #[test]
    fn noreply_section_3() {
        check_refused("foo bar noreply\r\n", Reply::Error, 0, true);
        check_refused("verbosity noreply\r\n", Reply::BadLine, 0, true);
        check("refresh_certs noreply\r\n", Request::RefreshCertificates, false);
        check_refused("incr noreply\r\n", Reply::BadLine, 0, false);
        check_refused("incr a noreply\r\n", Reply::BadDelta, 0, true);
        check_refused("touch noreply\r\n", Reply::BadLine, 0, false);
        check_refused("touch a noreply\r\n", Reply::BadExptime, 0, true);
        check("delete noreply\r\n", Request::Delete { key: b"noreply" }, true);
        check("version noreply\r\n", Request::Version, false);
        check("flush_all noreply\r\n", Request::FlushAll { delay: Some(0) }, true);
        check("flush_all x noreply\r\n", Request::FlushAll { delay: None }, true);
    }

    #[test]
    fn storage_lines_section_4() {
        let line =
            StoreLine { verb: StoreVerb::Set, key: b"a", flags: 5, exptime: 6, value_len: 7 };
        check("set a 5 6 7\r\n", Request::Store(line), false);
        check("set  a  5  6  7 junk\r\n", Request::Store(line), false);
        check("set a 5 6 7 junk noreply\n", Request::Store(line), true);
        let cas = StoreLine { verb: StoreVerb::Cas(8), ..line };
        check("cas a 5 6 7 8\r\n", Request::Store(cas), false);
        let longest = StoreLine { value_len: 2_147_483_645, ..line };
        check("set a 5 6 2147483645\r\n", Request::Store(longest), false);
    }

    #[test]
    fn storage_refusals_section_4() {
        let long = "k".repeat(251);
        check_refused("set a 0 0\r\n", Reply::BadLine, 0, false);
        check_refused("set a noreply\r\n", Reply::BadLine, 0, false);
        for bytes in ["abc", "-1", "+1", "2147483646", "4294967296", "noreply", "1e3"] {
            check_refused(&format!("set a 0 0 {bytes} noreply\r\n"), Reply::BadLine, 0, false);
            check_refused(&format!("set {long} 0 0 {bytes}\r\n"), Reply::BadLine, 0, false);
        }
        check_refused(&format!("set {long} 0 0 1\r\n"), Reply::BadLine, 3, false);
        check_refused("set a x 0 1\r\n", Reply::BadLine, 3, false);
        check_refused("append a 0 x 1\r\n", Reply::BadLine, 3, false);
        check_refused("cas a 0 0 1\r\n", Reply::BadLine, 3, false);
        check_refused("cas a 0 0 1 noreply\r\n", Reply::BadLine, 3, true);
        check_refused("cas a 0 0 1 -1\r\n", Reply::BadLine, 3, false);
        check_refused("set a x 0 2147483645\r\n", Reply::BadLine, 2_147_483_647, false);
    }

    #[test]
    fn one_item_section_6() {
        let long = "k".repeat(251);
        check("delete a 0 junk\r\n", Request::Delete { key: b"a" }, false);
        check("incr a 5\r\n", Request::Incr { key: b"a", delta: 5 }, false);
        check("decr a 5 x\r\n", Request::Decr { key: b"a", delta: 5 }, false);
        check("touch a -1\r\n", Request::Touch { key: b"a", exptime: -1 }, false);
        for input in ["delete\r\n", "delete  \r\n", "incr a\r\n", "decr\r\n", "touch a \r\n"] {
            check_refused(input, Reply::BadLine, 0, false);
        }
        for input in ["incr a +1\r\n", "incr a -1\r\n", "decr a 18446744073709551616\r\n"] {
            check_refused(input, Reply::BadDelta, 0, false);
        }
        check_refused("touch a 2147483648\r\n", Reply::BadExptime, 0, false);
        check_refused("touch a 1\r\r\n", Reply::BadExptime, 0, false);
        for line in [format!("delete {long}"), format!("incr {long} x"), format!("touch {long} x")]
        {
            check_refused(&format!("{line}\r\n"), Reply::BadLine, 0, false);
        }
    }

    #[test]
    fn administration_section_7() {
        check("flush_all 10 junk\r\n", Request::FlushAll { delay: Some(10) }, false);
        check("flush_all +1\r\n", Request::FlushAll { delay: None }, false);
        check("verbosity 4294967295 x\r\n", Request::Verbosity(u32::MAX), false);
        check_refused("verbosity\r\n", Reply::BadLine, 0, false);
        check("cache_memlimit 64\r\n", Request::MemoryLimit { megabytes: 64 }, false);
        check_refused("cache_memlimit\r\n", Reply::Error, 0, false);
        check("shutdown\r\n", Request::Shutdown(ShutdownMode::Plain), false);
        check("shutdown gra\r\n", Request::Shutdown(ShutdownMode::Graceful), false);
        check("shutdown noreply\r\n", Request::Shutdown(ShutdownMode::Unknown), true);
        check("debugtime -5\r\n", Request::DebugTime(Some(-5)), false);
        check("debugtime p\r\n", Request::DebugTime(None), false);
        check("quit now\r\n", Request::Quit, false);
    }

    #[test]
    fn stats_section_8() {
        check("stats\r\n", Request::Stats(StatsTopic::List(StatsList::General)), false);
        check("stats r\r\n", Request::Stats(StatsTopic::Reset), false);
        check("stats reset x\r\n", Request::Stats(StatsTopic::Reset), false);
        check("stats s\r\n", Request::Stats(StatsTopic::List(StatsList::Settings)), false);
        check("stats items\r\n", Request::Stats(StatsTopic::List(StatsList::Items)), false);
        check("stats slabs\r\n", Request::Stats(StatsTopic::List(StatsList::Slabs)), false);
        check("stats sizes\r\n", Request::Stats(StatsTopic::List(StatsList::Sizes)), false);
        let cachedump = |arguments| Request::Stats(StatsTopic::Cachedump(arguments));
        let both = Ok(Cachedump { class: 1, limit: 0 });
        for (words, want) in [
            ("detail on", Ok(Detail::Switch(true))),
            ("detail of", Ok(Detail::Switch(false))),
            ("d d junk", Ok(Detail::Dump)),
            ("detail", Err(Reply::DetailUsage)),
            ("detail x", Err(Reply::DetailUsage)),
        ] {
            check(&format!("stats {words}\r\n"), Request::Stats(StatsTopic::Detail(want)), false);
        }
        check("stats cachedump 1 0 x\r\n", cachedump(both), false);
        check("stats c 1 0\r\n", cachedump(both), false);
        check("stats cachedump 1\r\n", cachedump(Err(Reply::BadStatsLine)), false);
        check("stats cachedump 1 -1\r\n", cachedump(Err(Reply::BadLine)), false);
        check("stats cachedump x 1\r\n", cachedump(Err(Reply::BadLine)), false);
        check("stats co\r\n", Request::Conns, false);
        check("stats conns x\r\n", Request::Conns, false);
        for word in ["item", "resets", "noreply", "connss", "details", "cachedumps 1 1", "foo"] {
            check_refused(&format!("stats {word}\r\n"), Reply::Error, 0, false);
        }
    }
}
