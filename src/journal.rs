//! The log: lines on standard error, by `-v` or RUST_LOG, and a bound on what clients can make it write.
//!
//! The `verbosity` command lets any client have every command and answer logged, as in memcached, and a
//! disk that the log goes to would be full within the hour. So of the lines that only this command has
//! let through no more are written than [`LOG_LINES_PER_SEC_MAX`], and how many were left out is told.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use log::{LevelFilter, Log, Metadata, Record};

use crate::clock::Clock;
use crate::limits::LOG_LINES_PER_SEC_MAX;

/// What the lines go through.
struct Journal<L> {
    lines: L,
    /// What is let through whatever clients say.
    at_start: LevelFilter,
    clock: Clock,
    /// The second of the last line that has a bound, how many there were in it, and how many of all were
    /// left out and have not been told of.
    second: AtomicU32,
    count: AtomicU32,
    left_out: AtomicU64,
}

/// Starts it. Without RUST_LOG the logger itself lets all of ours through, so that the `verbosity` command
/// can raise `level` as well as lower it; with RUST_LOG that has the last word.
pub fn start(level: LevelFilter) {
    if std::env::var_os(env_logger::DEFAULT_FILTER_ENV).is_some() {
        return env_logger::Builder::from_default_env().format_timestamp_millis().init();
    }
    let mut lines = env_logger::Builder::new();
    lines.filter_level(LevelFilter::Info).filter_module("nuthatch", LevelFilter::Trace);
    let journal = Journal::new(lines.format_timestamp_millis().build(), level);
    log::set_boxed_logger(Box::new(journal)).expect("there is no other logger");
    log::set_max_level(level);
}

impl<L: Log> Journal<L> {
    fn new(lines: L, at_start: LevelFilter) -> Journal<L> {
        Journal {
            lines,
            at_start,
            clock: Clock::start(),
            second: 0.into(),
            count: 0.into(),
            left_out: 0.into(),
        }
    }

    /// Whether one more line may be written in this second.
    fn has_room(&self) -> bool {
        let now = self.clock.now().secs.0;
        if self.second.swap(now, Relaxed) != now {
            self.count.store(0, Relaxed);
            let left_out = self.left_out.swap(0, Relaxed);
            if left_out > 0 {
                log::warn!("{left_out} lines more were not logged");
            }
        }
        let has_room = self.count.fetch_add(1, Relaxed) < LOG_LINES_PER_SEC_MAX;
        if !has_room {
            self.left_out.fetch_add(1, Relaxed);
        }
        has_room
    }
}

impl<L: Log> Log for Journal<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.lines.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() <= self.at_start || self.has_room() {
            self.lines.log(record);
        }
    }

    fn flush(&self) {
        self.lines.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use log::Level;

    use super::*;

    #[derive(Clone, Default)]
    struct Count(Arc<AtomicU32>);

    impl Log for Count {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, _: &Record<'_>) {
            self.0.fetch_add(1, Relaxed);
        }

        fn flush(&self) {}
    }

    /// `per_level` lines of a level, all within two seconds: how many were written.
    fn written(level: Level, count: u32) -> u32 {
        let lines = Count::default();
        let journal = Journal::new(lines.clone(), LevelFilter::Info);
        for _ in 0..count {
            journal.log(&Record::builder().level(level).build());
        }
        lines.0.load(Relaxed)
    }

    #[test]
    fn what_only_clients_let_through_is_bounded() {
        let many = 20 * LOG_LINES_PER_SEC_MAX;
        assert_eq!(written(Level::Warn, many), many, "the operator's own lines all come");
        let some = written(Level::Trace, many);
        // A second or two may begin meanwhile, or a few on a slow machine.
        assert!((LOG_LINES_PER_SEC_MAX..many / 2).contains(&some), "{some} of {many}");
        assert_eq!(written(Level::Debug, LOG_LINES_PER_SEC_MAX), LOG_LINES_PER_SEC_MAX);
    }
}
