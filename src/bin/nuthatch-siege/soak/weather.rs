//! What a server's clients have to bear at the moment, so that latencies are told apart by it.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Faults and hostile clients of one server.
#[derive(Debug)]
pub struct Weather {
    began: Instant,
    faults: Spell,
    sieges: Spell,
    /// Odd while the server is stopped.
    stops: AtomicU64,
}

/// When an operation took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Nobody hostile was there, and no fault.
    Quiet,
    /// Hostile clients were there.
    Siege,
    /// A fault, or less than [`AFTERMATH`] after one.
    Fault,
}

#[derive(Debug, Default)]
struct Spell {
    active: AtomicU64,
    /// Milliseconds since the beginning.
    until: AtomicU64,
}

impl Spell {
    fn met(&self, since_ms: u64) -> bool {
        self.active.load(SeqCst) > 0 || self.until.load(SeqCst) >= since_ms
    }
}

impl Weather {
    /// Nothing yet.
    pub fn new(began: Instant) -> Weather {
        Weather {
            began,
            faults: Spell::default(),
            sieges: Spell::default(),
            stops: AtomicU64::new(0),
        }
    }

    /// A fault, or with `is_siege` hostile clients, from now until the value is dropped.
    pub fn bad(&self, is_siege: bool) -> Bad<'_> {
        let spell = if is_siege { &self.sieges } else { &self.faults };
        spell.active.fetch_add(1, SeqCst);
        Bad { weather: self, is_siege }
    }

    /// The server is stopped (to be called before), or goes on (after).
    pub fn stop_or_go(&self) {
        self.stops.fetch_add(1, SeqCst);
    }

    /// What to compare a later call's with.
    pub fn stops(&self) -> u64 {
        self.stops.load(SeqCst)
    }

    /// Whether the server was not stopped at any time since `stops` was asked for.
    pub fn is_calm(&self, stops: u64) -> bool {
        stops.is_multiple_of(2) && self.stops() == stops
    }

    /// What an operation that began at `since` and ends now has met.
    pub fn since(&self, since: Instant) -> Time {
        let since_ms = since.saturating_duration_since(self.began).as_millis() as u64;
        if self.faults.met(since_ms.saturating_sub(AFTERMATH.as_millis() as u64)) {
            Time::Fault
        } else if self.sieges.met(since_ms) {
            Time::Siege
        } else {
            Time::Quiet
        }
    }
}

/// Bad weather until it is dropped.
#[derive(Debug)]
pub struct Bad<'a> {
    weather: &'a Weather,
    is_siege: bool,
}

impl Drop for Bad<'_> {
    fn drop(&mut self) {
        let weather = self.weather;
        let spell = if self.is_siege { &weather.sieges } else { &weather.faults };
        let now_ms = crate::clock::now().saturating_duration_since(weather.began).as_millis();
        spell.until.fetch_max(now_ms as u64, SeqCst);
        spell.active.fetch_sub(1, SeqCst);
    }
}

/// What piled up in a fault is worked off by then.
pub const AFTERMATH: Duration = Duration::from_millis(1_000);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn times_are_told_apart() {
        let began = clock::now();
        let weather = Weather::new(began);
        let later = began + Duration::from_secs(10);
        assert_eq!(weather.since(later), Time::Quiet);
        let siege = weather.bad(true);
        assert_eq!(weather.since(later), Time::Siege);
        let fault = weather.bad(false);
        assert_eq!(weather.since(later), Time::Fault);
        drop((siege, fault));
        assert_eq!(weather.since(began), Time::Fault);
        assert_eq!(weather.since(later), Time::Quiet);
        let stops = weather.stops();
        assert!(weather.is_calm(stops));
        weather.stop_or_go();
        assert!(!weather.is_calm(stops) && !weather.is_calm(weather.stops()));
    }
}
