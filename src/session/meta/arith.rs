//! `ma` (meta, section 7).
#![forbid(unsafe_code)]

use itoa::Buffer;

use super::{push_key_flag, push_number, push_opaque, push_status, push_ttl};
use crate::clock::{Expiry, Now};
use crate::protocol::Reply;
use crate::protocol::meta::Request;
use crate::session::execute::count_sum;
use crate::session::{Output, Turn};
use crate::store::{Created, Direction, Hit, NoSum, Number, Sum};

/// Executes `ma`. An error is to be told in place of an answer.
pub(super) fn execute(
    request: &Request<'_>,
    out: &mut Output,
    turn: &Turn<'_>,
) -> Result<(), Reply> {
    let Request { key, flags, .. } = request;
    let store = &turn.shared.store;
    let hashed = store.key(key.bytes());
    let sum = sum(request, key.is_binary() && !hashed.is_one_word())?;
    turn.watch_lookup(&hashed);
    let shown = store.arith(&hashed, &sum, turn.now.secs, |hit, number| {
        (number.is_new, show(hit, number, request, out, &turn.now))
    });
    if matches!(shown, Ok((true, _))) {
        turn.watch_created(&hashed, Expiry::NEVER);
    } else {
        count_sum(sum.direction, shown.as_ref().err().copied(), turn.counters);
    }
    match shown {
        Ok((_, told)) => told,
        Err(NoSum::Miss(_)) => push_status(out, b"NF", key, flags),
        Err(NoSum::Mismatch) => push_status(out, b"EX", key, flags),
        Err(NoSum::NonNumeric) => Err(Reply::NonNumeric),
        Err(NoSum::NoMemory) => Err(Reply::NoMemory),
        Err(NoSum::NoMemoryForNew) => Err(Reply::MetaNoMemory),
    }
}

fn sum(request: &Request<'_>, is_binary_key: bool) -> Result<Sum, Reply> {
    let Request { flags, .. } = request;
    let direction = match flags.mode {
        None | Some(b'I' | b'+') => Direction::Incr,
        Some(b'D' | b'-') => Direction::Decr,
        Some(_) => return Err(Reply::MetaBadArithMode),
    };
    // It never expires until the flags give it its time, in their order.
    let created = Created { initial: flags.initial, expiry: Expiry::NEVER, is_binary_key };
    Ok(Sum {
        direction,
        delta: flags.delta,
        compare: flags.compare.unwrap_or(0),
        cas: flags.cas,
        create: flags.create.map(|_| created),
    })
}

/// Lets the flags act on the item and appends the answer, unless that is hidden (section 8).
fn show(
    hit: &mut Hit<'_>,
    number: Number,
    request: &Request<'_>,
    out: &mut Output,
    now: &Now,
) -> Result<(), Reply> {
    let Request { key, flags, .. } = request;
    let bytes = out.bytes();
    let start = bytes.len();
    let mut digits = Buffer::new();
    let value = digits.format(number.value).as_bytes();
    if flags.shows_value {
        bytes.extend_from_slice(b"VA ");
        bytes.extend_from_slice(Buffer::new().format(value.len()).as_bytes());
    } else {
        bytes.extend_from_slice(b"HD");
    }
    for token in flags.order {
        match token[0] {
            b'T' => hit.set_expiry(now.expiry(flags.ttl.unwrap_or(0))),
            b'N' if number.is_new => hit.set_expiry(now.expiry(flags.create.unwrap_or(0))),
            b'O' if flags.is_opaque_too_long() => {
                bytes.truncate(start);
                return Err(Reply::MetaOpaqueTooLong);
            }
            b'O' => push_opaque(bytes, token),
            b'c' => push_number(bytes, b'c', hit.cas()),
            b't' => push_ttl(bytes, hit.expiry(), now.secs),
            b'k' => push_key_flag(bytes, key.bytes(), key.is_binary()),
            _ => {}
        }
    }
    bytes.extend_from_slice(b"\r\n");
    if flags.shows_value {
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    if flags.is_quiet {
        bytes.truncate(start);
    }
    Ok(())
}
