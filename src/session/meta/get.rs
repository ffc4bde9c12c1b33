//! `mg` and `me` (meta, sections 4, 6 and 10).
#![forbid(unsafe_code)]

use std::io::Write;

use itoa::Buffer;

use super::{push_key_flag, push_number, push_opaque, push_status, push_ttl};
use crate::clock::{Expiry, Now};
use crate::metrics::Counter;
use crate::protocol::Reply;
use crate::protocol::meta::{Flags, Key, Request, push_key};
use crate::session::execute::count_miss;
use crate::session::retrieve::copy_or_pin;
use crate::session::{Output, Turn};
use crate::store::{Hit, HitKind, Meta};

/// Executes `mg`. An error is to be told in place of an answer.
pub(super) fn execute(
    request: &Request<'_>,
    out: &mut Output,
    turn: &Turn<'_>,
) -> Result<(), Reply> {
    let Request { key, flags, .. } = request;
    let store = &turn.shared.store;
    let is_touch = flags.ttl.is_some();
    let hashed = store.key(key.bytes());
    let made = Meta { is_binary_key: key.is_binary() && !hashed.is_one_word(), ..Meta::default() };
    let create = flags.create.map(|_| (made, flags.cas));
    turn.watch_lookup(&hashed);
    let shown = store.inspect(&hashed, create, turn.now.secs, |hit| {
        let told = show(hit, request, out, &turn.now);
        // Where nothing of the item's state is asked for, the access comes before the answer, and stays
        // when there is none.
        let is_first = !b"NTRlh".iter().any(|letter| flags.has(*letter));
        if !flags.is_peek && (told.is_ok() || is_first) {
            hit.note(turn.now.secs);
        }
        told?;
        hit.count(if is_touch { HitKind::Touch } else { HitKind::Get });
        Ok(())
    });
    match shown {
        Ok(Ok(())) => {
            let (command, hits) = match is_touch {
                true => (Counter::CmdTouch, Counter::TouchHits),
                false => (Counter::CmdGet, Counter::GetHits),
            };
            turn.counters.bump(command);
            turn.counters.bump(hits);
            Ok(())
        }
        Ok(Err(error)) => Err(error),
        Err(miss) => {
            turn.counters.bump(Counter::CmdGet);
            count_miss(turn.counters, Counter::GetMisses, miss);
            if flags.is_quiet && !flags.is_opaque_too_long() {
                return Ok(());
            }
            push_status(out, b"EN", key, flags)
        }
    }
}

/// Appends an item as the flags want it, and lets them act on it, both in the order in which they
/// stand: `t` before `T` shows the old time (section 4, step 5).
fn show(
    hit: &mut Hit<'_>,
    request: &Request<'_>,
    out: &mut Output,
    now: &Now,
) -> Result<(), Reply> {
    let Request { key, flags, .. } = request;
    let shows_value = flags.shows_value && flags.compare != Some(hit.cas());
    let start = out.bytes().len();
    let bytes = out.bytes();
    if shows_value {
        bytes.extend_from_slice(b"VA ");
        bytes.extend_from_slice(Buffer::new().format(hit.value_len()).as_bytes());
    } else {
        bytes.extend_from_slice(b"HD");
    }
    let mut wins = false;
    for token in flags.order {
        match token[0] {
            b'T' => hit.set_expiry(expiry(flags.ttl, now)),
            b'N' if hit.is_new() => {
                hit.set_expiry(expiry(flags.create, now));
                wins = true;
            }
            b'R' => wins |= is_due(hit, flags, now),
            b's' => push_number(bytes, b's', hit.value_len()),
            b't' => push_ttl(bytes, hit.expiry(), now.secs),
            b'c' => push_number(bytes, b'c', hit.cas()),
            b'f' => push_number(bytes, b'f', hit.flags()),
            b'l' => push_number(bytes, b'l', hit.idle_secs(now.secs)),
            b'h' => push_number(bytes, b'h', u8::from(hit.is_fetched())),
            b'O' if flags.is_opaque_too_long() => {
                bytes.truncate(start);
                return Err(Reply::MetaOpaqueTooLong);
            }
            b'O' => push_opaque(bytes, token),
            b'k' => push_key_flag(bytes, key.bytes(), hit.is_binary_key()),
            _ => {}
        }
    }
    push_state(hit, wins, bytes);
    bytes.extend_from_slice(b"\r\n");
    if shows_value {
        copy_or_pin(hit, out);
        out.push(b"\r\n");
    }
    Ok(())
}

/// The flags that come unasked, in their fixed order; whoever is sent `W` is to refill the item
/// (section 6).
fn push_state(hit: &mut Hit<'_>, wins: bool, bytes: &mut Vec<u8>) {
    let was_sent = hit.is_token_sent();
    if was_sent {
        bytes.extend_from_slice(b" Z");
    }
    if hit.is_stale() {
        bytes.extend_from_slice(b" X");
    }
    if wins || (hit.is_stale() && !was_sent) {
        bytes.extend_from_slice(b" W");
        hit.send_token();
    }
}

/// Whether `R` wins: the item has less time left than it says, and nobody was told to refill it
/// (section 4, step 6).
fn is_due(hit: &Hit<'_>, flags: &Flags<'_>, now: &Now) -> bool {
    let held = hit.expiry();
    !hit.is_token_sent()
        && !hit.is_new()
        && held != Expiry::NEVER
        && held.0 < expiry(flags.recache, now).0
}

fn expiry(exptime: Option<i32>, now: &Now) -> Expiry {
    now.expiry(exptime.unwrap_or(0))
}

/// Executes `me`: what is known of an item, for a person.
pub(super) fn describe(key: &Key<'_>, out: &mut Output, turn: &Turn<'_>) {
    let (store, now) = (&turn.shared.store, turn.now.secs);
    turn.counters.bump(Counter::CmdMeta);
    let hashed = store.key(key.bytes());
    turn.watch_lookup(&hashed);
    let described = store.inspect(&hashed, None, now, |hit| {
        let bytes = out.bytes();
        bytes.extend_from_slice(b"ME ");
        push_key(bytes, key.bytes(), hit.is_binary_key());
        let exp = match hit.expiry() {
            Expiry::NEVER => -1,
            expiry => i64::from(expiry.0) - i64::from(now.0),
        };
        let fetch = if hit.is_fetched() { "yes" } else { "no" };
        let (la, cas, cls, size) = (hit.idle_secs(now), hit.cas(), hit.class_id(), hit.size());
        // Writing to memory does not fail.
        let _ok =
            write!(bytes, " exp={exp} la={la} cas={cas} fetch={fetch} cls={cls} size={size}\r\n");
    });
    if described.is_err() {
        out.push(b"EN\r\n");
    }
}
