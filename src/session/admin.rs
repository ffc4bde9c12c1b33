//! Commands on the server as a whole (text, section 7).
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering::Relaxed;

use log::LevelFilter;

use crate::clock::{Expiry, Secs};
use crate::limits::{MEMORY_LIMIT_MAX_MEGABYTES, MEMORY_LIMIT_MIN_MEGABYTES};
use crate::metrics::Counter;
use crate::protocol::Reply;
use crate::protocol::request::ShutdownMode;
use crate::session::{Shared, Turn};

/// More than this has no further effect.
const VERBOSITY_MAX: u32 = 2;

/// `flush_all`, also one that is refused, counts.
pub(super) fn flush_all(delay: Option<i32>, turn: &Turn<'_>) -> Reply {
    turn.counters.bump(Counter::CmdFlush);
    if !turn.shared.options.flush {
        return Reply::FlushNotAllowed;
    }
    let Some(delay) = delay else { return Reply::BadExptime };
    flush((delay > 0).then(|| turn.now.expiry(delay)), turn);
    Reply::Ok
}

/// Makes everything invisible, now or at a moment. A Unix time that has passed flushes nothing.
pub(super) fn flush(at: Option<Expiry>, turn: &Turn<'_>) {
    let store = &turn.shared.store;
    match at {
        None => store.flush(turn.now.secs),
        Some(at) if at.passed(turn.now.secs) => {}
        Some(at) => store.flush_at(Secs(at.0)),
    }
}

/// `verbosity`: errors sent to clients are logged from 1 on, commands and answers from 2 on. A filter
/// set by RUST_LOG is not widened.
pub(super) fn verbosity(level: u32, shared: &Shared) -> Reply {
    let level = level.min(VERBOSITY_MAX);
    shared.verbosity.store(level, Relaxed);
    log::set_max_level(match level {
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    });
    Reply::Ok
}

/// `cache_memlimit`
pub(super) fn memory_limit(megabytes: u32, shared: &Shared) -> Reply {
    match megabytes {
        0..MEMORY_LIMIT_MIN_MEGABYTES => Reply::LimitTooSmall,
        MEMORY_LIMIT_MIN_MEGABYTES..=MEMORY_LIMIT_MAX_MEGABYTES => {
            let is_set = shared.store.set_memory_limit((megabytes as usize) << 20);
            if is_set { Reply::Ok } else { Reply::LimitRefused }
        }
        _ => Reply::LimitTooLarge,
    }
}

/// `shutdown`: whether it is to be graceful.
pub(super) fn shutdown(mode: ShutdownMode, shared: &Shared) -> Result<bool, Reply> {
    match mode {
        _ if !shared.options.shutdown => Err(Reply::ShutdownNotEnabled),
        ShutdownMode::Plain => Ok(false),
        ShutdownMode::Graceful => Ok(true),
        ShutdownMode::Unknown => Err(Reply::BadShutdownMode),
    }
}

/// `debugtime`, a command only with `-o debug_clock`. What follows in this turn sees the new time.
pub(super) fn debug_time(secs: Option<i64>, turn: &mut Turn<'_>) -> Reply {
    match secs {
        Some(secs) if turn.shared.options.debug_clock => {
            turn.shared.clock.shift(secs);
            turn.now = turn.shared.clock.now();
            turn.shared.store.flush_if_due(turn.now.secs);
            Reply::Ok
        }
        _ => Reply::Error,
    }
}
