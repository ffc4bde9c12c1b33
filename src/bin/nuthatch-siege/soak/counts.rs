//! What well-behaved clients have met, counted by kind.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::ledger::Wrong;
use super::weather::Time;
use crate::clock;
use crate::latency::Histogram;

/// Counts of a whole soak. Shared by all threads.
#[derive(Debug)]
pub struct Counts {
    began: Instant,
    /// Operations that were answered.
    pub operations: AtomicU64,
    /// Values that were compared to the last byte.
    pub hits: AtomicU64,
    /// Keys that were not there.
    pub misses: AtomicU64,
    /// Connections that were made.
    pub connections: AtomicU64,
    /// What must not be, by kind.
    wrong: Mutex<BTreeMap<&'static str, u64>>,
    /// What may be, by kind.
    errors: Mutex<BTreeMap<&'static str, u64>>,
    told: AtomicU64,
    latencies: Mutex<[Histogram; 3]>,
}

impl Counts {
    /// Nothing yet.
    pub fn new(began: Instant) -> Counts {
        Counts {
            began,
            operations: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            wrong: Mutex::default(),
            errors: Mutex::default(),
            told: AtomicU64::new(0),
            latencies: Mutex::new([Histogram::new(), Histogram::new(), Histogram::new()]),
        }
    }

    /// Something wrong, which fails the soak; the first hundred are told at once.
    pub fn wrong(&self, kind: &'static str, what: &str) {
        add(&self.wrong, kind);
        if self.told.fetch_add(1, Relaxed) < TOLD_MAX {
            self.say(&format!("WRONG {kind}: {what}"));
        }
    }

    /// Something that the server may do when it is under fire.
    pub fn error(&self, kind: &'static str, what: &str) {
        if add(&self.errors, kind) <= TOLD_OF_A_KIND {
            self.say(&format!("{kind}: {what}"));
        }
    }

    /// What is wrong so far, by kind.
    pub fn all_wrong(&self) -> BTreeMap<&'static str, u64> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The errors so far, by kind.
    pub fn all_errors(&self) -> BTreeMap<&'static str, u64> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds the latencies of a client, by the time they fall in.
    pub fn add_latencies(&self, of: &[Histogram; 3]) {
        let mut sums = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        for (sum, part) in sums.iter_mut().zip(of) {
            sum.merge(part);
        }
    }

    /// All latencies, by the time they fall in.
    pub fn latencies(&self) -> [Histogram; 3] {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One line with the time since the beginning.
    pub fn say(&self, line: &str) {
        let seconds = clock::now().saturating_duration_since(self.began).as_secs_f64();
        // Who closes standard output does not want to know.
        let _ = writeln!(std::io::stdout().lock(), "{seconds:8.2}  {line}");
    }
}

/// What a wrong answer is called.
pub fn name(wrong: Wrong) -> &'static str {
    match wrong {
        Wrong::Foreign => "another key's value",
        Wrong::Torn => "torn value",
        Wrong::Old => "old version",
        Wrong::Expired => "expired item",
        Wrong::Future => "version never sent",
    }
}

/// The place of a time in arrays of histograms.
pub fn index(time: Time) -> usize {
    match time {
        Time::Quiet => 0,
        Time::Siege => 1,
        Time::Fault => 2,
    }
}

fn add(to: &Mutex<BTreeMap<&'static str, u64>>, kind: &'static str) -> u64 {
    let mut counts = to.lock().unwrap_or_else(PoisonError::into_inner);
    let count = counts.entry(kind).or_default();
    *count += 1;
    *count
}

const TOLD_MAX: u64 = 100;

const TOLD_OF_A_KIND: u64 = 3;
