//! One line of the text protocol.
#![forbid(unsafe_code)]

use crate::fuzz::{cuts, is_key};
use crate::limits::LINE_LEN_MAX;
use crate::protocol::Request;
use crate::protocol::control::{Crawler, Slabs};
use crate::protocol::request::{Command, StoreVerb};
use crate::protocol::text::{self, LINE_LEN_MIN, LINE_WINDOW, Line, Login, plain};
use crate::protocol::token::Tokens;

/// The largest value that a line can announce, with its CR LF.
pub(super) const BLOCK_MAX: u64 = i32::MAX as u64;

/// Where a line ends does not depend on how much of it is there; what it says is within bounds; and it is
/// read in one pass as it is read with care.
pub fn text(data: &[u8]) {
    let whole = text::line(data);
    for len in cuts(data.len()) {
        match text::line(&data[..len]) {
            Line::Partial => assert!(len <= LINE_LEN_MAX),
            sooner => assert_eq!(sooner, whole),
        }
    }
    let Line::Whole { text: line, len } = whole else {
        let mut tokens = Tokens::default();
        assert_eq!(plain::line(data, &mut tokens), None);
        return;
    };
    assert!(line.len() < len && len <= data.len().min(LINE_WINDOW));
    let tokens = Tokens::split(line);
    let word = match line.first() {
        Some(b' ') => b"",
        _ => tokens.at(0).unwrap_or_default(),
    };
    let command = text::parse(word, &tokens);
    check(&command, &tokens);
    check_plain(data, len, &tokens, &command);
    if let Login::Token { len } = text::login(line) {
        assert!(word == b"set" && tokens.count() > 4 && len <= u32::MAX as usize);
    }
}

fn check(command: &Command<'_>, tokens: &Tokens<'_>) {
    assert!(!command.noreply || tokens.last() == Some(b"noreply"));
    match command.request {
        Request::Store(line) => {
            assert!(is_key(line.key) && tokens.at(1) == Some(line.key));
            assert!(line.block_len() as u64 <= BLOCK_MAX);
            assert!(!matches!(line.verb, StoreVerb::Cas(_)) || tokens.count() > 5);
        }
        Request::Delete { key }
        | Request::Incr { key, .. }
        | Request::Decr { key, .. }
        | Request::Touch { key, .. } => assert!(is_key(key) && tokens.at(1) == Some(key)),
        Request::Refused { block_len, .. } => assert!(block_len <= BLOCK_MAX),
        Request::Crawler(Crawler::Sleep(micros)) => assert!(micros <= 1_000_000),
        Request::Slabs(Slabs::Automove(mode)) => assert!(mode <= 2),
        Request::Slabs(Slabs::AutomoveWindow(window)) => assert!((3..=1800).contains(&window)),
        _ => {}
    }
}

/// What the readers of lines in their usual form make of it, if anything.
fn check_plain(data: &[u8], len: usize, tokens: &Tokens<'_>, command: &Command<'_>) {
    let mut found = Tokens::default();
    if let Some(found_len) = plain::line(data, &mut found) {
        assert!(found_len == len && len >= LINE_LEN_MIN);
        assert_eq!(found.from(0), tokens.from(0));
    }
    if let Some((line, noreply, found_len)) = plain::set(data) {
        assert_eq!(*command, Command { request: Request::Store(line), noreply });
        assert_eq!(found_len, len);
    }
    if let Some(count) = plain::count(data) {
        let (key, delta) = (count.key, count.delta.into());
        let request = match count.is_incr {
            true => Request::Incr { key, delta },
            false => Request::Decr { key, delta },
        };
        assert_eq!(*command, Command { request, noreply: count.noreply });
        assert_eq!(count.len, len);
    }
    if let Some((key, found_len, value_len)) = plain::about_key(data) {
        check_guess(key, tokens);
        assert_eq!(found_len, len);
        assert!(value_len.is_none_or(|len| (len as u64) < BLOCK_MAX));
    }
}

/// The key by which an item is fetched ahead need not be the right one: a control character ends it.
pub(super) fn check_guess(key: &[u8], tokens: &Tokens<'_>) {
    assert!(is_key(key) && tokens.at(1).is_some_and(|token| token.starts_with(key)));
}
