//! The only reader of the operating system's time.
//!
//! Time enters everything else as a [`Now`], read once a turn. Two kinds never mix: [`Secs`], the
//! server's own one-second clock by which items expire, and [`Instant`], for latencies and timers.
//! The one-second clock starts at [`FIRST_SEC`] as memcached's does, so that no living item ever
//! carries the time 0 (behaviour, section 6).
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// First value of the one-second clock.
pub const FIRST_SEC: u32 = 62;

/// `uptime` is the clock less this (memcached's own offset; uptime starts at 2).
const UPTIME_OFFSET: u32 = 60;

/// Longest exptime in seconds that is relative; a larger one is a Unix time (30 days).
const RELATIVE_MAX_SECS: i64 = 60 * 60 * 24 * 30;

/// A moment of the server's one-second clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secs(pub u32);

/// The second from which an item is gone, as an item stores it; 0 stands for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expiry(pub u32);

impl Expiry {
    /// The item never expires.
    pub const NEVER: Expiry = Expiry(0);

    /// An expiry that has always passed.
    pub const PAST: Expiry = Expiry(1);

    /// Whether an item with this expiry is gone at `now` (text, section 2: `exptime <= now`).
    pub fn passed(self, now: Secs) -> bool {
        self.0 != 0 && self.0 <= now.0
    }
}

/// One reading of the clock.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The one-second clock.
    pub secs: Secs,
    /// For latencies and timers.
    pub instant: Instant,
    /// Unix time of second 0 of the one-second clock.
    pub unix_start: i64,
}

impl Now {
    /// Seconds since the epoch.
    pub fn unix(&self) -> i64 {
        self.unix_start + i64::from(self.secs.0)
    }

    /// Seconds that `stats` shows as `uptime`.
    pub fn uptime(&self) -> u32 {
        self.secs.0.saturating_sub(UPTIME_OFFSET)
    }

    /// Turns an exptime of the text protocols into what an item stores: 0 never, negative already past,
    /// up to 30 days relative, above that a Unix time (text, section 2 "Exptime").
    pub fn expiry(&self, exptime: i32) -> Expiry {
        self.expiry_of(exptime.into())
    }

    /// The same for the binary protocol, whose exptimes are never negative: the largest is in the
    /// year 2106 (binary, section 3 "Extras").
    pub fn expiry_unsigned(&self, exptime: u32) -> Expiry {
        self.expiry_of(exptime.into())
    }

    fn expiry_of(&self, exptime: i64) -> Expiry {
        match exptime {
            0 => Expiry::NEVER,
            i64::MIN..0 => Expiry::PAST,
            1..=RELATIVE_MAX_SECS => Expiry(self.secs.0.saturating_add(exptime as u32)),
            _ => Expiry((exptime - self.unix_start).clamp(1, u32::MAX.into()) as u32),
        }
    }
}

/// The clock of one server.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    unix_start: i64,
    shift_secs: AtomicI64,
}

impl Clock {
    /// Starts the clock at [`FIRST_SEC`].
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads time")]
    pub fn start() -> Clock {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        Clock {
            started: Instant::now(),
            unix_start: unix - i64::from(FIRST_SEC),
            shift_secs: AtomicI64::new(0),
        }
    }

    /// Reads the time.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads time")]
    pub fn now(&self) -> Now {
        let instant = Instant::now();
        let ticked = instant.duration_since(self.started).as_secs() as i64;
        let secs = i64::from(FIRST_SEC) + ticked + self.shift_secs.load(Relaxed);
        Now {
            secs: Secs(secs.clamp(1, i64::from(u32::MAX)) as u32),
            instant,
            unix_start: self.unix_start,
        }
    }

    /// Time since the epoch by the system's own clock, to the microsecond: for stamps that people
    /// and other programs read, never for what depends on it.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads time")]
    pub fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// Moves the one-second clock by `secs`, which may be negative (`-o debug_clock`).
    pub fn shift(&self, secs: i64) {
        self.shift_secs.fetch_add(secs, Relaxed);
    }

    /// Time until the one-second clock next ticks.
    pub fn until_tick(&self, now: &Now) -> Duration {
        let part = now.instant.duration_since(self.started).subsec_nanos();
        Duration::from_nanos(u64::from(1_000_000_000 - part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u32) -> Now {
        Now { unix_start: 1_700_000_000, secs: Secs(secs), ..Clock::start().now() }
    }

    #[test]
    fn exptime_section_2() {
        let now = at(100);
        assert_eq!(now.expiry(0), Expiry::NEVER);
        assert_eq!(now.expiry(-1), Expiry::PAST);
        assert_eq!(now.expiry(1), Expiry(101));
        assert_eq!(now.expiry(2_592_000), Expiry(2_592_100));
        assert_eq!(now.expiry(2_592_001), Expiry::PAST, "a Unix time long gone");
        assert_eq!(now.expiry(1_700_000_500), Expiry(500));
    }

    #[test]
    fn unsigned_exptime_section_3() {
        let now = at(100);
        assert_eq!(now.expiry_unsigned(0), Expiry::NEVER);
        assert_eq!(now.expiry_unsigned(2_592_000), Expiry(2_592_100));
        assert_eq!(now.expiry_unsigned(2_592_001), Expiry::PAST, "a Unix time long gone");
        assert_eq!(now.expiry_unsigned(1_700_000_500), Expiry(500));
        assert_eq!(now.expiry_unsigned(u32::MAX), Expiry(u32::MAX - 1_700_000_000));
        let now = Now { unix_start: -5, ..at(u32::MAX) };
        assert_eq!(
            now.expiry_unsigned(u32::MAX),
            Expiry(u32::MAX),
            "no later than the last second"
        );
        assert_eq!(now.expiry_unsigned(10), Expiry(u32::MAX));
    }

    #[test]
    fn passes_at_the_second_itself() {
        assert!(!Expiry(101).passed(Secs(100)));
        assert!(Expiry(101).passed(Secs(101)));
        assert!(!Expiry::NEVER.passed(Secs(u32::MAX)));
    }

    #[test]
    fn shifts_both_ways() {
        let clock = Clock::start();
        let before = clock.now().secs.0;
        clock.shift(10);
        assert!(clock.now().secs.0 >= before + 10);
        clock.shift(-1_000_000);
        assert_eq!(clock.now().secs.0, 1, "never 0 and never below");
    }
}
