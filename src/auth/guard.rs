//! Who guesses passwords is slowed down, by address.
//!
//! An address may fail [`FREE`] times at once, and once in a `delay` from then on. The answer to any
//! further failure waits until its turn has come, whichever of the address's connections it is for, so
//! that many connections guess no faster than one; who knows its password never waits. An address that
//! does not wait for the answers but goes on guessing collects a debt, and above [`DEBT_MAX`] nothing that
//! comes from there is looked at any more until it is less. IPv6 addresses are taken by their /64, which
//! is what one client has.
#![forbid(unsafe_code)]

use core::net::{IpAddr, Ipv6Addr};
use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::limits::GUARDED_ADDRESSES_MAX;

/// Failures that are answered at once.
const FREE: u32 = 10;

/// Failures whose answers are still to come, in units of the delay, above which nothing is looked at.
const DEBT_MAX: u32 = 60;

/// The longest that an answer waits, in units of the delay.
const WAIT_MAX: u32 = 10;

/// Where a client is; None: on this machine, over a unix socket.
pub type Origin = Option<IpAddr>;

/// The addresses that have failed lately.
#[derive(Debug)]
pub(super) struct Guard {
    delay: Duration,
    /// When the last of an address's failures is paid for.
    paid_at: HashMap<Origin, Instant>,
}

impl Guard {
    /// `delay` is what a failure costs; zero: nothing.
    pub(super) fn new(delay: Duration) -> Guard {
        Guard { delay, paid_at: HashMap::new() }
    }

    /// Whether attempts from there are looked at.
    pub(super) fn admits(&self, from: Origin, now: Instant) -> bool {
        self.debt(from, now) <= self.delay * (FREE + DEBT_MAX)
    }

    /// Notes a failure; tells when to answer it.
    pub(super) fn failed(&mut self, from: Origin, now: Instant) -> Instant {
        if self.delay.is_zero() {
            return now;
        }
        let debt = self.debt(from, now) + self.delay;
        if self.paid_at.len() >= GUARDED_ADDRESSES_MAX {
            self.paid_at.retain(|_, paid_at| *paid_at > now);
        }
        // Where so many fail at a time, those that have failed most are remembered.
        if self.paid_at.len() < GUARDED_ADDRESSES_MAX || self.paid_at.contains_key(&network(from)) {
            self.paid_at.insert(network(from), now + debt);
        }
        now + debt.saturating_sub(self.delay * FREE).min(self.delay * WAIT_MAX)
    }

    /// When to answer an attempt that is not looked at.
    pub(super) fn turned_away(&self, now: Instant) -> Instant {
        now + self.delay * WAIT_MAX
    }

    fn debt(&self, from: Origin, now: Instant) -> Duration {
        let paid_at = self.paid_at.get(&network(from));
        paid_at.map_or(Duration::ZERO, |paid_at| paid_at.saturating_duration_since(now))
    }
}

fn network(from: Origin) -> Origin {
    match from.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(address)) => {
            let mask = !(u128::MAX >> 64);
            Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask)))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const SEC: Duration = Duration::from_secs(1);

    fn address(text: &str) -> Origin {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn failures_are_answered_once_a_delay() {
        let (mut guard, now) = (Guard::new(SEC), Clock::start().now().instant);
        let here = address("192.0.2.1");
        for _ in 0..FREE {
            assert_eq!(guard.failed(here, now), now);
        }
        for turn in 1..=WAIT_MAX {
            assert_eq!(guard.failed(here, now), now + SEC * turn);
        }
        assert_eq!(guard.failed(here, now), now + SEC * WAIT_MAX);
        assert_eq!(guard.failed(address("192.0.2.2"), now), now, "another one");
        let later = now + SEC * (FREE + WAIT_MAX + 1);
        assert_eq!(guard.failed(here, later), later, "forgiven");
    }

    #[test]
    fn who_does_not_wait_is_not_looked_at() {
        let (mut guard, now) = (Guard::new(SEC), Clock::start().now().instant);
        let here = address("2001:db8::1");
        for _ in 0..FREE + DEBT_MAX {
            assert!(guard.admits(here, now));
            guard.failed(here, now);
        }
        assert!(guard.admits(here, now));
        guard.failed(here, now);
        assert!(!guard.admits(address("2001:db8::2"), now), "the same network");
        assert!(guard.admits(address("2001:db8:0:1::2"), now));
        assert!(guard.admits(None, now));
        assert!(guard.admits(here, now + SEC));
    }

    #[test]
    fn addresses_have_a_bound() {
        let (mut guard, now) = (Guard::new(SEC), Clock::start().now().instant);
        for bits in 0..2 * GUARDED_ADDRESSES_MAX as u32 {
            guard.failed(Some(IpAddr::V4(bits.into())), now);
        }
        assert_eq!(guard.paid_at.len(), GUARDED_ADDRESSES_MAX);
        guard.failed(address("192.0.2.1"), now + SEC * 2);
        assert_eq!(guard.paid_at.len(), 1);
    }

    #[test]
    fn no_delay() {
        let (mut guard, now) = (Guard::new(Duration::ZERO), Clock::start().now().instant);
        for _ in 0..1000 {
            assert_eq!(guard.failed(None, now), now);
        }
        assert!(guard.admits(None, now));
    }
}
