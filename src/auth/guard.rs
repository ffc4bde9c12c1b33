//! Who guesses passwords is slowed down, by address.
//!
//! An address may fail [`LOGIN_FAILURES_FREE`] times at once, and once in a `delay` from then on. The answer to any
//! further failure waits until its turn has come, whichever of the address's connections it is for, so
//! that many connections guess no faster than one; who knows its password does not wait. An address that
//! does not wait for the answers but goes on guessing collects a debt, and above [`LOGIN_DEBT_MAX`] nothing that
//! comes from there is looked at any more until it is less, but for credentials that have let somebody in
//! from there within [`LOGIN_KNOWN_FOR`]: clients of one machine do not suffer from one of them that has a wrong
//! password. IPv6 addresses are taken by their /64, which is what one client has.
#![forbid(unsafe_code)]

use core::net::{IpAddr, Ipv6Addr};
use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::secret::Print;
use crate::limits::{
    GUARDED_ADDRESSES_MAX, LOGIN_DEBT_MAX, LOGIN_FAILURES_FREE, LOGIN_KNOWN_FOR, LOGIN_WAIT_MAX,
};

/// Where a client is; None: on this machine, over a unix socket.
pub type Origin = Option<IpAddr>;

/// Who wants to be let in.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Who {
    pub(super) from: Origin,
    /// Name and password, or the name alone where the password is not shown.
    pub(super) credential: Print,
}

/// The addresses that have failed lately, and what has let in.
#[derive(Debug)]
pub(super) struct Guard {
    delay: Duration,
    /// When the last of an address's failures is paid for.
    paid_at: HashMap<Origin, Instant>,
    /// The same for all that find no place there, together; they are looked at all the same.
    others_paid_at: Option<Instant>,
    known: HashMap<Who, Known>,
}

#[derive(Debug)]
struct Known {
    until: Instant,
    /// When the last failure with the same credential is paid for: with SCRAM it shows the name alone.
    paid_at: Instant,
}

impl Guard {
    /// `delay` is what a failure costs; zero: nothing.
    pub(super) fn new(delay: Duration) -> Guard {
        Guard { delay, paid_at: HashMap::new(), others_paid_at: None, known: HashMap::new() }
    }

    /// Bytes of memory that it has.
    pub(super) fn held_bytes(&self) -> usize {
        self.paid_at.capacity() * size_of::<(Origin, Instant)>()
            + self.known.capacity() * size_of::<(Who, Known)>()
    }

    /// Whether an attempt is looked at.
    pub(super) fn admits(&self, who: &Who, now: Instant) -> bool {
        let debt_max = self.delay * (LOGIN_FAILURES_FREE + LOGIN_DEBT_MAX);
        let is_known = self.known.get(&who.at_network()).is_some_and(|known| {
            now < known.until && known.paid_at.saturating_duration_since(now) <= debt_max
        });
        let paid_at = self.paid_at.get(&network(who.from));
        let own = paid_at.map(|paid_at| paid_at.saturating_duration_since(now));
        is_known || own.unwrap_or_default() <= debt_max
    }

    /// Notes that somebody was let in.
    pub(super) fn passed(&mut self, who: Who, now: Instant) {
        let who = who.at_network();
        if self.delay.is_zero() {
            return;
        }
        if self.known.len() >= GUARDED_ADDRESSES_MAX && !self.known.contains_key(&who) {
            self.known.retain(|_, known| now < known.until);
            if self.known.len() >= GUARDED_ADDRESSES_MAX {
                return;
            }
        }
        let until = now + LOGIN_KNOWN_FOR;
        self.known.entry(who).or_insert(Known { until, paid_at: now }).until = until;
    }

    /// Notes a failure; tells when to answer it.
    pub(super) fn failed(&mut self, who: &Who, now: Instant) -> Instant {
        if self.delay.is_zero() {
            return now;
        }
        let (who, delay) = (who.at_network(), self.delay);
        if let Some(known) = self.known.get_mut(&who) {
            known.paid_at = known.paid_at.max(now) + delay;
        }
        let debt = self.debt(who.from, now) + delay;
        if self.paid_at.len() >= GUARDED_ADDRESSES_MAX {
            self.paid_at.retain(|_, paid_at| *paid_at > now);
        }
        if self.paid_at.len() < GUARDED_ADDRESSES_MAX || self.paid_at.contains_key(&who.from) {
            self.paid_at.insert(who.from, now + debt);
        } else {
            self.others_paid_at = Some(now + debt);
        }
        now + debt.saturating_sub(delay * LOGIN_FAILURES_FREE).min(delay * LOGIN_WAIT_MAX)
    }

    /// When to answer an attempt that is not looked at.
    pub(super) fn turned_away(&self, now: Instant) -> Instant {
        now + self.delay * LOGIN_WAIT_MAX
    }

    fn debt(&self, from: Origin, now: Instant) -> Duration {
        let own = self.paid_at.get(&network(from)).copied();
        let is_full = self.paid_at.len() >= GUARDED_ADDRESSES_MAX;
        let paid_at = own.or(self.others_paid_at.filter(|_| is_full));
        paid_at.map_or(Duration::ZERO, |paid_at| paid_at.saturating_duration_since(now))
    }
}

impl Who {
    fn at_network(self) -> Who {
        Who { from: network(self.from), ..self }
    }
}

/// Where it is from, nothing of who it is.
impl std::fmt::Debug for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.from.fmt(f)
    }
}

/// What counts as one client: an IPv4 address, or the /64 of an IPv6 one.
pub fn network(from: Origin) -> Origin {
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
    use crate::auth::secret::Ring;
    use crate::clock::Clock;

    const SEC: Duration = Duration::from_secs(1);

    struct Place(Ring);

    impl Place {
        fn who(&self, address: &str, credential: &str) -> Who {
            let from = Some(address.parse().expect("an address"));
            Who { from, credential: self.0.print(credential.as_bytes()) }
        }
    }

    fn start() -> (Guard, Place, Instant) {
        (Guard::new(SEC), Place(Ring::new()), Clock::start().now().instant)
    }

    #[test]
    fn failures_are_answered_once_a_delay() {
        let (mut guard, place, now) = start();
        let here = place.who("192.0.2.1", "a");
        for _ in 0..LOGIN_FAILURES_FREE {
            assert_eq!(guard.failed(&here, now), now);
        }
        for turn in 1..=LOGIN_WAIT_MAX {
            assert_eq!(guard.failed(&here, now), now + SEC * turn);
        }
        assert_eq!(guard.failed(&here, now), now + SEC * LOGIN_WAIT_MAX);
        assert_eq!(guard.failed(&place.who("192.0.2.2", "a"), now), now, "another one");
        let later = now + SEC * (LOGIN_FAILURES_FREE + LOGIN_WAIT_MAX + 1);
        assert_eq!(guard.failed(&here, later), later, "forgiven");
    }

    #[test]
    fn who_does_not_wait_is_not_looked_at() {
        let (mut guard, place, now) = start();
        let here = place.who("2001:db8::1", "a");
        for _ in 0..=LOGIN_FAILURES_FREE + LOGIN_DEBT_MAX {
            assert!(guard.admits(&here, now));
            guard.failed(&here, now);
        }
        assert!(!guard.admits(&place.who("2001:db8::2", "b"), now), "the same network");
        assert!(guard.admits(&place.who("2001:db8:0:1::2", "a"), now));
        assert!(guard.admits(&Who { from: None, ..here }, now));
        assert!(guard.admits(&here, now + SEC));
    }

    #[test]
    fn what_has_let_in_is_looked_at() {
        let (mut guard, place, now) = start();
        let [good, bad] = ["good", "bad"].map(|name| place.who("192.0.2.1", name));
        guard.passed(good, now);
        for _ in 0..200 {
            guard.failed(&bad, now);
        }
        assert!(guard.admits(&good, now) && !guard.admits(&bad, now));
        let until = now + LOGIN_KNOWN_FOR;
        guard.paid_at.insert(good.from, until + SEC * 200);
        assert!(guard.admits(&good, until - SEC) && !guard.admits(&good, until));
        for _ in 0..=LOGIN_FAILURES_FREE + LOGIN_DEBT_MAX {
            guard.failed(&good, now);
        }
        assert!(!guard.admits(&good, now), "guessed at by its name");
    }

    #[test]
    fn tables_have_a_bound() {
        let (mut guard, place, now) = start();
        for bits in 0..2 * GUARDED_ADDRESSES_MAX as u32 {
            let address = IpAddr::V4(bits.into()).to_string();
            guard.failed(&place.who(&address, "a"), now);
            guard.passed(place.who(&address, "a"), now);
        }
        assert_eq!(guard.paid_at.len(), GUARDED_ADDRESSES_MAX);
        assert_eq!(guard.known.len(), GUARDED_ADDRESSES_MAX);
        assert!(guard.failed(&place.who("192.0.2.1", "a"), now) > now, "the others share a debt");
        guard.failed(&place.who("192.0.2.1", "a"), now + SEC * 2);
        assert_eq!(guard.paid_at.len(), 1);

        let (known, late) = (place.who("0.0.0.1", "a"), now + LOGIN_KNOWN_FOR - SEC);
        guard.passed(known, late);
        guard.passed(place.who("192.0.2.1", "a"), late);
        assert_eq!(guard.known.len(), GUARDED_ADDRESSES_MAX, "there is no place for a new one");
        guard.passed(place.who("192.0.2.1", "a"), late + SEC);
        assert_eq!(guard.known.len(), 2, "what has let in an hour ago has lost its own");
        assert!(guard.known.contains_key(&known), "it has let in since");
    }

    #[test]
    fn no_delay() {
        let (_, place, now) = start();
        let mut guard = Guard::new(Duration::ZERO);
        let here = place.who("192.0.2.1", "a");
        for _ in 0..1000 {
            assert_eq!(guard.failed(&here, now), now);
        }
        assert!(guard.admits(&here, now));
    }

    /// Room for what it knows, and not for many times as much.
    #[test]
    fn what_it_holds_is_told() {
        let (mut guard, place, now) = start();
        assert_eq!(guard.held_bytes(), 0);
        let at_least = |failed: usize, passed: usize| {
            failed * size_of::<(Origin, Instant)>() + passed * size_of::<(Who, Known)>()
        };
        for bits in 0..300 {
            guard.failed(&place.who(&IpAddr::V4(bits.into()).to_string(), "a"), now);
        }
        let failed = guard.held_bytes();
        assert!((at_least(300, 0)..at_least(600, 0)).contains(&failed), "{failed}");
        for number in 0..500 {
            guard.passed(place.who("192.0.2.1", &number.to_string()), now);
        }
        let both = guard.held_bytes() - failed;
        assert!((at_least(0, 500)..at_least(0, 1000)).contains(&both), "{both}");
    }
}
