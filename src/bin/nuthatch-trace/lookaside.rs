//! What an application does that has a cache beside its database, as counts: it reads, and what is
//! missing it sets, with the trace's size. Shared by the replays on a server and on a store.
#![forbid(unsafe_code)]

use std::time::Duration;

use ahash::AHashMap;

use crate::random::mix;
use crate::report::{Figure, Report, ratio};
use crate::trace::Request;

/// What becomes of a trace's TTLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttls {
    /// Nothing expires.
    Ignored,
    /// Values get them.
    Sent,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads.
    pub gets: u64,
    /// Reads that found something.
    pub hits: u64,
    /// Writes, those after misses included.
    pub sets: u64,
    /// Writes that were refused.
    pub refused: u64,
    /// Deletions.
    pub deletes: u64,
    /// Hits with another value than was set last.
    pub wrong: u64,
    /// Bytes of values asked for.
    pub get_bytes: u64,
    /// Bytes of values found.
    pub hit_bytes: u64,
}

impl Counts {
    /// A read of a value of `bytes` bytes.
    pub fn count_get(&mut self, bytes: u32, hit: bool) {
        self.gets += 1;
        self.get_bytes += u64::from(bytes);
        self.hits += u64::from(hit);
        self.hit_bytes += if hit { u64::from(bytes) } else { 0 };
    }
}

/// Hit ratios of equal parts of a trace.
#[derive(Debug)]
pub struct Windows {
    /// Requests in a part.
    length: u64,
    count: u64,
    before: Counts,
    ratios: Vec<f64>,
}

impl Windows {
    /// `count` parts, at least 1, of a trace of so many requests.
    pub fn new(requests: usize, count: u64) -> Windows {
        let length = (requests as u64 / count).max(1);
        Windows { length, count, before: Counts::default(), ratios: Vec::new() }
    }

    /// Whether a part ends before the request at `index`. The last one has what does not divide.
    pub fn ends_before(&self, index: u64) -> bool {
        let left = (self.ratios.len() as u64) + 1 < self.count;
        index > 0 && index.is_multiple_of(self.length) && left
    }

    /// Ends a part at which this was counted.
    pub fn end(&mut self, counts: &Counts) {
        let (hits, gets) = (counts.hits - self.before.hits, counts.gets - self.before.gets);
        self.ratios.push(ratio(hits, gets));
        self.before = *counts;
    }
}

/// What a replay found.
pub struct Outcome {
    /// Over the whole trace.
    pub counts: Counts,
    /// Ended.
    pub windows: Windows,
    /// How long it took.
    pub time: Duration,
    /// What the server or the store counts itself.
    pub counters: Vec<(&'static str, u64)>,
}

impl Outcome {
    /// The figures.
    pub fn report(&self) -> Report {
        let counts = &self.counts;
        let mut report = vec![
            ("gets", Figure::Count(counts.gets)),
            ("hits", Figure::Count(counts.hits)),
            ("misses", Figure::Count(counts.gets - counts.hits)),
            ("hit_ratio", Figure::Number(ratio(counts.hits, counts.gets))),
            ("byte_hit_ratio", Figure::Number(ratio(counts.hit_bytes, counts.get_bytes))),
            ("window_hit_ratios", Figure::Numbers(self.windows.ratios.clone())),
            ("sets", Figure::Count(counts.sets)),
            ("sets_refused", Figure::Count(counts.refused)),
            ("deletes", Figure::Count(counts.deletes)),
            ("wrong_values", Figure::Count(counts.wrong)),
            ("seconds", Figure::Number(self.time.as_secs_f64())),
        ];
        report.extend(self.counters.iter().map(|(name, count)| (*name, Figure::Count(*count))));
        report
    }
}

/// What was last set, by key.
#[derive(Debug, Default)]
pub struct Truth {
    lens: AHashMap<u64, u32>,
}

impl Truth {
    /// The request's value is being set.
    pub fn note_set(&mut self, request: &Request) {
        self.lens.insert(request.key, request.value_size);
    }

    /// Whether `value` is what was last set for `key`.
    pub fn is(&self, key: u64, value: &[u8]) -> bool {
        let head = head(key);
        self.lens.get(&key).map(|len| *len as usize) == Some(value.len())
            && value.chunks(head.len()).all(|part| part == &head[..part.len()])
    }
}

/// The eight bytes that a key's values repeat; none is a control character.
pub fn head(key: u64) -> [u8; 8] {
    (mix(key) | 0x2020_2020_2020_2020).to_le_bytes()
}

/// Longest TTL that is sent: an exptime above thirty days is a date.
pub const TTL_MAX_SECS: u32 = 60 * 60 * 24 * 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Op;

    #[test]
    fn parts_are_equal_but_for_the_last() {
        let mut windows = Windows::new(11, 3);
        let mut counts = Counts::default();
        for index in 0..11 {
            if windows.ends_before(index) {
                windows.end(&counts);
            }
            counts.count_get(1, index >= 6);
        }
        windows.end(&counts);
        assert_eq!(windows.ratios, [0.0, 0.0, 1.0]);
        assert_eq!((windows.length, counts.hit_bytes), (3, 5));
    }

    #[test]
    fn every_byte_of_a_value_is_looked_at() {
        let request =
            Request { time_ms: 0, key: 5, key_size: 9, op: Op::Set, value_size: 0, ttl: 0 };
        let is = |value: &[u8], key| {
            let mut truth = Truth::default();
            truth.note_set(&Request { key, value_size: value.len() as u32, ..request });
            truth.is(key, value)
        };
        let value = head(5).repeat(2);
        assert!(is(&value, 5) && is(&value[..11], 5) && is(b"", 5));
        assert!(!is(&value, 6), "another key's");
        assert!(!is(&[&value[..15], b"\0"].concat(), 5), "its last byte");
        let mut truth = Truth::default();
        assert!(!truth.is(5, &value), "never set");
        truth.note_set(&Request { value_size: 15, ..request });
        assert!(!truth.is(5, &value), "one byte too many");
    }
}
