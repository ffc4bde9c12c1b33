//! A worker's part in TLS: its room for records, and whose handshake may be in flight.
//!
//! A handshake costs some kB and a millisecond, and a client can stop amid one. So a connection takes a
//! place with its first byte; beyond the bound it waits, its bytes in the kernel, until a place is given
//! back. Who takes long loses its place, the sooner when others wait.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::Arc;

use crate::clock::{Now, Secs};
use crate::limits::{TLS_HANDSHAKE_CROWDED_SECS, TLS_HANDSHAKES_MAX};
use crate::session;
use crate::tls::{Certificates, Layer, Scratch};

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
    /// Places that are taken.
    in_flight: usize,
    /// Who waits for a place, by their own places in the worker's slab.
    waiting: VecDeque<usize>,
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

    /// Takes a place for the connection at `index`, or else puts it in the queue: whether it has one.
    pub(super) fn enter(&mut self, index: usize) -> bool {
        let is_free = self.in_flight < TLS_HANDSHAKES_MAX;
        if is_free {
            self.in_flight += 1;
        } else {
            self.waiting.push_back(index);
        }
        is_free
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self) {
        debug_assert!(self.in_flight > 0, "a place is given back once");
        self.in_flight -= 1;
    }

    /// Takes the connection at `index` out of the queue.
    pub(super) fn forget(&mut self, index: usize) {
        self.waiting.retain(|other| *other != index);
    }

    /// Bytes of its room for records.
    pub(super) fn held_bytes(&self) -> usize {
        self.scratch.held_bytes() + self.gathered.capacity()
    }

    /// Whether anybody waits for a place.
    pub(super) fn has_queue(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next that gets a place, if there is one.
    pub(super) fn next(&mut self) -> Option<usize> {
        if self.in_flight == TLS_HANDSHAKES_MAX {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.in_flight += 1;
        Some(next)
    }

    /// Whether a handshake that began at `started` has taken too long.
    pub(super) fn is_overdue(&self, started: Secs, now: Secs) -> bool {
        let Some(certificates) = &self.certificates else { return false };
        let patience = match certificates.options().handshake_secs {
            secs if self.waiting.is_empty() => secs,
            secs => secs.min(TLS_HANDSHAKE_CROWDED_SECS),
        };
        now.0.saturating_sub(started.0) > patience
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

    #[test]
    fn places_are_given_in_order() {
        let mut handshakes = Handshakes::default();
        for index in 0..TLS_HANDSHAKES_MAX {
            assert!(handshakes.enter(index));
        }
        for index in 1000..1004 {
            assert!(!handshakes.enter(index));
        }
        assert_eq!(handshakes.next(), None);
        handshakes.forget(1001);
        handshakes.leave();
        assert_eq!((handshakes.next(), handshakes.next()), (Some(1000), None));
        handshakes.leave();
        handshakes.leave();
        assert_eq!((handshakes.next(), handshakes.next()), (Some(1002), Some(1003)));
        handshakes.leave();
        assert_eq!(handshakes.next(), None);
        assert!(handshakes.is_busy() && handshakes.enter(7));
    }
}
