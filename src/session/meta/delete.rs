//! `md` (meta, section 9).
#![forbid(unsafe_code)]

use super::push_status;
use crate::metrics::Counter;
use crate::protocol::Reply;
use crate::protocol::meta::Request;
use crate::session::execute::count_delete;
use crate::session::{Output, Turn};
use crate::store::{Burial, Kept, Meta};

/// Executes `md`. An error is to be told in place of an answer.
pub(super) fn execute(
    request: &Request<'_>,
    out: &mut Output,
    turn: &Turn<'_>,
) -> Result<(), Reply> {
    let Request { key, flags, .. } = request;
    if flags.is_opaque_too_long() {
        return Err(Reply::MetaOpaqueTooLong);
    }
    let (store, now) = (&turn.shared.store, turn.now.secs);
    let hashed = store.key(key.bytes());
    let mut seen = turn.watch_lookup(&hashed);
    let ttl = flags.ttl.map(|ttl| turn.now.expiry(ttl));
    let result = if flags.invalidates || flags.empties {
        let emptied = Meta {
            flags: flags.client_flags,
            expiry: ttl.unwrap_or_default(),
            is_binary_key: false,
        };
        let burial = Burial {
            empty: flags.empties.then_some(emptied),
            stale: flags.invalidates,
            expiry: ttl,
            cas: flags.cas,
        };
        store.bury(&hashed, flags.compare, &burial, now)
    } else {
        store.delete(&hashed, flags.compare, now)
    };
    // Marking an item stale is no delete.
    if result.is_err() || !flags.invalidates {
        count_delete(result.err(), turn.counters);
    }
    if result.is_ok() && flags.empties {
        seen = turn.watch_emptied(&hashed, seen);
    }
    if result.is_ok() && !flags.invalidates {
        turn.watch_deleted(&hashed, "md", seen);
    }
    match result {
        Ok(()) if flags.is_quiet => Ok(()),
        Ok(()) => push_status(out, b"HD", key, flags),
        Err(Kept::Miss(_)) => push_status(out, b"NF", key, flags),
        Err(Kept::Mismatch) => push_status(out, b"EX", key, flags),
        Err(Kept::NoMemory) => {
            turn.counters.bump(Counter::StoreNoMemory);
            Err(Reply::NoMemory)
        }
    }
}
