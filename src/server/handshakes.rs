//! A worker's part in TLS: its room for records, and whose handshake may be in flight.
//!
//! A handshake costs some kB and a tenth of a millisecond, and a client can stop amid one. So a connection
//! takes a place with its first byte; beyond the bound it waits, its bytes in the kernel, until a place is
//! given back. Addresses take turns. While somebody waits, who takes longer than a client does that goes on as
//! it is answered loses its place, longest first.
#![forbid(unsafe_code)]

mod waiting;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::{Origin, network};
use crate::clock::{Now, Secs};
use crate::limits::{
    TLS_HANDSHAKE_BYTES, TLS_HANDSHAKE_CROWDED, TLS_HANDSHAKE_STUCK, TLS_HANDSHAKES_FLOW,
    TLS_HANDSHAKES_GIVEN_UP, TLS_HANDSHAKES_MAX, TLS_HANDSHAKES_MIN, TLS_HANDSHAKES_PART,
};
use crate::session;
use crate::tls::{Certificates, Layer, Scratch};
use waiting::Waiting;

/// What the connections of a worker share of TLS; empty in a server without.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    /// None: a server without TLS.
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) scratch: Scratch,
    /// Answers that do not lie together, on their way into a record.
    pub(super) gathered: Vec<u8>,
    /// Plain bytes that are encrypted and written at once.
    pub(super) write_bytes: usize,
    /// Places that there are.
    places: usize,
    /// Those that are taken.
    in_flight: usize,
    /// Who has one and has begun, by their own places in the worker's slab, and since when, in that order.
    begun: BTreeMap<u64, (usize, Instant)>,
    numbers: HashMap<usize, u64>,
    next: u64,
    /// When the last [`TLS_HANDSHAKES_FLOW`] were completed.
    completed: VecDeque<Instant>,
    waiting: Waiting,
}

impl Handshakes {
    /// Of a server with these certificates.
    pub(super) fn new(certificates: Option<&Arc<Certificates>>) -> Handshakes {
        let Some(certificates) = certificates else { return Handshakes::default() };
        let write_bytes = certificates.options().write_bytes;
        Handshakes {
            certificates: Some(Arc::clone(certificates)),
            scratch: Scratch::new(write_bytes),
            gathered: Vec::with_capacity(write_bytes),
            write_bytes,
            ..Handshakes::default()
        }
    }

    /// Whether there is anything to be looked at every second.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight > 0
    }

    /// Takes note of the memory limit, in bytes, and of how many workers there are: handshakes in flight of all
    /// of them have a part of it.
    pub(super) fn set_limit(&mut self, limit: usize, workers: usize) {
        let places = limit / TLS_HANDSHAKES_PART / workers / TLS_HANDSHAKE_BYTES;
        self.places = places.clamp(TLS_HANDSHAKES_MIN, TLS_HANDSHAKES_MAX);
    }

    /// Takes a place for the connection at `index`, or else lets it wait among those of its address, which
    /// `from` tells: whether it has one.
    pub(super) fn enter(&mut self, index: usize, from: impl FnOnce() -> Origin) -> bool {
        let is_free = self.in_flight < self.places;
        if is_free {
            self.in_flight += 1;
        } else {
            self.waiting.push(index, network(from()));
        }
        is_free
    }

    /// The handshake of the connection at `index`, which has a place, begins.
    pub(super) fn begin(&mut self, index: usize, now: Instant) {
        self.begun.insert(self.next, (index, now));
        self.numbers.insert(index, self.next);
        self.next += 1;
    }

    /// A handshake has been completed.
    pub(super) fn complete(&mut self, now: Instant) {
        if self.completed.len() == TLS_HANDSHAKES_FLOW {
            self.completed.pop_front();
        }
        self.completed.push_back(now);
    }

    /// How long one may take while others wait.
    fn patience(&self, now: Instant) -> Duration {
        let has_flow = self.completed.len() == TLS_HANDSHAKES_FLOW
            && now.saturating_duration_since(self.completed[0]) < TLS_HANDSHAKE_STUCK;
        if has_flow { TLS_HANDSHAKE_CROWDED } else { TLS_HANDSHAKE_STUCK }
    }

    /// Gives the place of the connection at `index` back.
    pub(super) fn leave(&mut self, index: usize) {
        debug_assert!(self.in_flight > 0, "a place is given back once");
        self.in_flight -= 1;
        if let Some(number) = self.numbers.remove(&index) {
            self.begun.remove(&number);
        }
    }

    /// The connection at `index` does not wait any more.
    pub(super) fn forget(&mut self, index: usize) {
        self.waiting.remove(index);
    }

    /// Bytes of its room for records, and of who waits.
    pub(super) fn held_bytes(&self) -> usize {
        self.scratch.held_bytes() + self.gathered.capacity() + self.waiting.held_bytes()
    }

    /// Whether anybody waits for a place.
    pub(super) fn has_queue(&self) -> bool {
        self.waiting.len() > 0
    }

    /// The next that gets a place, if there is one.
    pub(super) fn next(&mut self) -> Option<usize> {
        if self.in_flight >= self.places {
            return None;
        }
        let next = self.waiting.pop()?;
        self.in_flight += 1;
        Some(next)
    }

    /// Who has had a place for so long that it is to be given to one of those that wait: some of them at a time.
    pub(super) fn stopped(&self, now: Instant) -> Vec<usize> {
        let wanted = self.waiting.len().min(TLS_HANDSHAKES_GIVEN_UP);
        let patience = self.patience(now);
        let is_late = |since: Instant| now.saturating_duration_since(since) >= patience;
        let late = self.begun.values().take_while(|(_, since)| is_late(*since));
        late.take(wanted).map(|(index, _)| *index).collect()
    }

    /// How long the poll may wait that may otherwise wait for `tick`: until the first has to give up its place.
    pub(super) fn until_due(&self, now: Instant, tick: Option<Duration>) -> Option<Duration> {
        if !self.has_queue() {
            return tick;
        }
        let Some((_, since)) = self.begun.values().next() else { return tick };
        let due = (*since + self.patience(now)).saturating_duration_since(now);
        Some(tick.map_or(due, |tick| tick.min(due)))
    }

    /// Whether a handshake that began at `started` has taken too long, whoever waits.
    pub(super) fn is_overdue(&self, started: Secs, now: Secs) -> bool {
        let Some(certificates) = &self.certificates else { return false };
        now.0.saturating_sub(started.0) > certificates.options().handshake_secs
    }
}

/// Connections in and after their handshake.
pub(super) type Records = Box<Layer>;

impl session::Certificates for Certificates {
    fn refresh(&self, now: Now) -> Result<(), String> {
        let result = Certificates::refresh(self, now.secs);
        log_refresh(&result);
        result.map_err(|error| error.0)
    }

    fn refreshed_at(&self) -> Secs {
        Certificates::refreshed_at(self)
    }

    fn has_session_cache(&self) -> bool {
        self.options().session_cache
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        Certificates::settings(self)
    }
}

/// Reads certificates anew whose files have changed.
pub(super) fn refresh_if_changed(certificates: &Certificates, now: Secs) {
    if let Some(result) = certificates.refresh_if_changed(now) {
        log_refresh(&result);
    }
}

fn log_refresh(result: &Result<(), crate::tls::LoadError>) {
    match result {
        Ok(()) => log::info!("certificates were read anew"),
        Err(error) => log::error!("{error} (the certificates in use stay)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    /// With as few places as there may be, all of them taken by connections from 0 on.
    fn full() -> Handshakes {
        let mut handshakes = Handshakes::default();
        handshakes.set_limit(0, 1);
        for index in 0..TLS_HANDSHAKES_MIN {
            assert!(handshakes.enter(index, || unreachable!("nobody waits")));
        }
        handshakes
    }

    #[test]
    fn places_are_given_in_order() {
        let mut handshakes = full();
        for index in 1000..1004 {
            assert!(!handshakes.enter(index, || None));
        }
        assert_eq!(handshakes.next(), None);
        handshakes.forget(1001);
        handshakes.leave(0);
        assert_eq!((handshakes.next(), handshakes.next()), (Some(1000), None));
        handshakes.leave(1);
        handshakes.leave(2);
        assert_eq!((handshakes.next(), handshakes.next()), (Some(1002), Some(1003)));
        handshakes.leave(1000);
        assert_eq!(handshakes.next(), None);
        assert!(handshakes.is_busy() && handshakes.enter(7, || None));
    }

    #[test]
    fn who_stops_gives_way_to_who_waits() {
        let mut handshakes = full();
        let start = Clock::start().now().instant;
        let at = |millis| start + Duration::from_millis(millis);
        let patience = TLS_HANDSHAKE_STUCK;
        handshakes.begin(3, at(0));
        handshakes.begin(1, at(10));
        handshakes.begin(2, at(20));
        assert!(handshakes.stopped(at(20) + patience).is_empty(), "nobody waits");
        assert_eq!(handshakes.until_due(at(5), None), None);
        for index in 1000..1002 {
            assert!(!handshakes.enter(index, || None));
        }
        assert!(handshakes.stopped(at(0)).is_empty());
        assert_eq!(handshakes.until_due(at(0), None), Some(patience));
        assert_eq!(handshakes.until_due(at(5), Some(Duration::ZERO)), Some(Duration::ZERO));
        assert_eq!(handshakes.stopped(at(10) + patience), [3, 1]);
        assert_eq!(handshakes.stopped(at(30) + patience), [3, 1], "as many as wait");
        handshakes.leave(3);
        assert_eq!(handshakes.next(), Some(1000));
        assert_eq!(handshakes.stopped(at(30) + patience), [1]);
        assert_eq!(handshakes.until_due(at(5), None), Some(patience + at(5).duration_since(start)));
    }

    #[test]
    fn a_crowd_that_is_served_has_more_time() {
        let mut handshakes = full();
        let start = Clock::start().now().instant;
        handshakes.begin(1, start);
        assert!(!handshakes.enter(1000, || None));
        (0..TLS_HANDSHAKES_FLOW - 1).for_each(|_| handshakes.complete(start));
        let stuck = start + TLS_HANDSHAKE_STUCK;
        assert_eq!(handshakes.stopped(stuck), [1], "a few are no crowd");
        (0..TLS_HANDSHAKES_FLOW).for_each(|_| handshakes.complete(stuck));
        assert!(handshakes.stopped(stuck).is_empty());
        assert_eq!(
            handshakes.until_due(stuck, None),
            Some(TLS_HANDSHAKE_CROWDED - TLS_HANDSHAKE_STUCK)
        );
        assert_eq!(handshakes.stopped(stuck + TLS_HANDSHAKE_STUCK), [1], "none for a second");
    }

    #[test]
    fn places_are_a_part_of_the_memory() {
        let places = |limit: usize, workers| {
            let mut handshakes = Handshakes::default();
            handshakes.set_limit(limit, workers);
            handshakes.places
        };
        assert_eq!(places(1 << 40, 1), TLS_HANDSHAKES_MAX);
        assert_eq!(places(64 << 20, 4), 204);
        assert_eq!(places(64 << 20, 64), TLS_HANDSHAKES_MIN);
    }
}
