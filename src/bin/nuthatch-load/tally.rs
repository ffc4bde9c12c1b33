//! What came back, counted.
#![forbid(unsafe_code)]

use std::time::Instant;

use crate::latency::Histogram;

/// Counters of one thread, or of all together.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Requests answered, and those sent that ask for no answer.
    pub requests: u64,
    /// Keys asked for and found by the get family.
    pub hits: u64,
    /// Keys asked for and not found by the get family.
    pub misses: u64,
    /// Other requests that were refused: NOT_STORED, NOT_FOUND, EXISTS.
    pub refused: u64,
    /// Error replies.
    pub errors: u64,
    /// Values that are not what was stored, and values of keys that were not asked for.
    pub wrong: u64,
    /// Requests of the open loop that were due before the end but could not be sent.
    pub unsent: u64,
    /// Latencies of answered requests; an unsent one counts with the time it has waited.
    pub latency: Histogram,
    /// The line of the first error reply.
    pub first_error: Option<String>,
    /// When the last answer came.
    pub ended: Option<Instant>,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new() -> Tally {
        Tally {
            requests: 0,
            hits: 0,
            misses: 0,
            refused: 0,
            errors: 0,
            wrong: 0,
            unsent: 0,
            latency: Histogram::new(),
            first_error: None,
            ended: None,
        }
    }

    /// Counts an answered request, due at `since` and answered at `now`.
    pub fn answered(&mut self, since: Instant, now: Instant) {
        self.requests += 1;
        self.latency.record(now.saturating_duration_since(since).as_nanos() as u64);
        self.ended = Some(now);
    }

    /// Counts a value that came back.
    pub fn value(&mut self, right: bool) {
        *if right { &mut self.hits } else { &mut self.wrong } += 1;
    }

    /// Counts an error reply.
    pub fn error(&mut self, line: &[u8]) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| String::from_utf8_lossy(line).into_owned());
    }

    /// Adds all that `other` has counted.
    pub fn merge(&mut self, other: Tally) {
        self.requests += other.requests;
        self.hits += other.hits;
        self.misses += other.misses;
        self.refused += other.refused;
        self.errors += other.errors;
        self.wrong += other.wrong;
        self.unsent += other.unsent;
        self.latency.merge(&other.latency);
        self.first_error = self.first_error.take().or(other.first_error);
        self.ended = self.ended.max(other.ended);
    }
}
