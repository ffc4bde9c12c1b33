//! One line of the meta protocol.
#![forbid(unsafe_code)]

use crate::fuzz::is_key;
use crate::fuzz::text::{BLOCK_MAX, check_guess};
use crate::limits::KEY_LEN_MAX;
use crate::protocol::meta::{self, Command, Request, Verb};
use crate::protocol::text::{self, Line, plain};
use crate::protocol::token::Tokens;

/// What a line says is within bounds, and flags are what stands there; a key that was given in base64 is
/// shown as one that is read as the same key.
pub fn meta(data: &[u8]) {
    let Line::Whole { text: line, len } = text::line(data) else { return };
    let Some(Command::Keyed(verb)) = Command::of(line) else { return };
    let tokens = Tokens::split(line);
    let read = meta::parse(verb, &tokens);
    if let Some((key, found_len, value_len)) = plain::about_key(data) {
        check_guess(key, &tokens);
        assert_eq!(found_len, len);
        // What is read behind the block depends on it.
        let block_len = match &read {
            Ok(request) => request.value_len as u64 + 2,
            Err(refused) => refused.block_len,
        };
        assert!(value_len.is_none_or(|len| len as u64 + 2 == block_len));
    }
    match read {
        Ok(request) => check(verb, &request, &tokens),
        Err(refused) => {
            assert!(refused.block_len <= BLOCK_MAX);
            assert!(verb == Verb::Set || refused.block_len == 0);
        }
    }
}

fn check(verb: Verb, request: &Request<'_>, tokens: &Tokens<'_>) {
    let key = request.key.bytes();
    assert!(is_key(key) && (request.value_len as u64) < BLOCK_MAX);
    assert!(request.key.is_binary() || tokens.at(1) == Some(key));
    if request.key.is_binary() {
        check_shown(key);
    }
    if verb == Verb::Debug {
        return;
    }
    let flags = &request.flags;
    let first = if verb == Verb::Set { 3 } else { 2 };
    assert_eq!(flags.order, tokens.from(first));
    for (at, token) in flags.order.iter().enumerate() {
        assert!(flags.has(token[0]));
        assert!(flags.order[..at].iter().all(|before| before[0] != token[0]), "given twice");
    }
    for (letter, is_set) in [
        (b'b', request.key.is_binary()),
        (b'q', flags.is_quiet),
        (b'v', flags.shows_value),
        (b'T', flags.ttl.is_some()),
        (b'N', flags.create.is_some()),
        (b'R', flags.recache.is_some()),
        (b'C', flags.compare.is_some()),
        (b'E', flags.cas.is_some()),
        (b'O', flags.opaque_len > 0),
    ] {
        assert_eq!(flags.has(letter), is_set, "{}", char::from(letter));
    }
}

fn check_shown(key: &[u8]) {
    let mut line = b"mg ".to_vec();
    meta::push_key(&mut line, key, true);
    assert!(line.len() <= 3 + KEY_LEN_MAX);
    line.extend_from_slice(b" b");
    let tokens = Tokens::split(&line);
    let again = meta::parse(Verb::Get, &tokens).expect("it is well formed");
    assert_eq!(again.key.bytes(), key);
}
