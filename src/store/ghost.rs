//! Ghosts: which keys were evicted lately, and how often they were asked for again.
//!
//! A miss on a key that its class evicted within its last two pages' worth of evictions would
//! have been a hit with two more pages. The mover compares these hits between classes (see
//! `evict`). One table a shard, each entry overwritten by the next key that falls on its place:
//!
//! ```text
//! entry, 8 B   | class 8 bits | eviction number 24 bits | fingerprint 32 bits |
//! ```
#![forbid(unsafe_code)]

use super::class::ClassId;

/// Every so many lookups all scores are multiplied by [`DECAY`].
const DECAY_PERIOD: u32 = 65_536;
const DECAY: f32 = 0.7;

/// A class remembers as many evictions as this many of its pages hold chunks.
const PAGES_REMEMBERED: u32 = 2;

const NUMBER_MASK: u32 = (1 << 24) - 1;

#[derive(Debug)]
pub(super) struct Ghosts {
    table: Box<[u64]>,
    classes: Box<[Score]>,
    lookups: u32,
    period: u32,
}

#[derive(Clone, Debug, Default)]
struct Score {
    evictions: u32,
    window: u32,
    hits: f32,
}

impl Ghosts {
    /// A table of `entries` (a power of two) for classes whose pages hold `per_page` chunks each
    /// (by class id; entry 0 is not used), in one of `shards` shards.
    pub(super) fn new(entries: usize, per_page: &[usize], shards: usize) -> Ghosts {
        debug_assert!(entries.is_power_of_two());
        let score = |&chunks: &usize| Score {
            window: (chunks as u32 * PAGES_REMEMBERED).min(NUMBER_MASK / 2),
            ..Score::default()
        };
        Ghosts {
            table: vec![0; entries].into(),
            classes: per_page.iter().map(score).collect(),
            lookups: 0,
            period: (DECAY_PERIOD / shards as u32).max(1),
        }
    }

    /// Notes that `class` evicted the key of `hash`.
    pub(super) fn evicted(&mut self, hash: u64, class: ClassId) {
        let score = &mut self.classes[usize::from(class.0)];
        score.evictions = score.evictions.wrapping_add(1);
        let number = u64::from(score.evictions & NUMBER_MASK);
        let place = self.place(hash);
        self.table[place] = u64::from(class.0) << 56 | number << 32 | (hash >> 32);
    }

    /// Notes that the key of `hash` was asked for and is not there.
    pub(super) fn missed(&mut self, hash: u64) {
        let place = self.place(hash);
        let entry = self.table[place];
        if entry as u32 != (hash >> 32) as u32 || entry == 0 {
            return;
        }
        let score = &mut self.classes[(entry >> 56) as usize];
        let age = score.evictions.wrapping_sub((entry >> 32) as u32) & NUMBER_MASK;
        if age <= score.window {
            score.hits += 1.0;
        }
        self.table[place] = 0;
    }

    /// Counts one lookup; ages the scores when it is time.
    pub(super) fn looked_up(&mut self) {
        self.lookups += 1;
        if self.lookups >= self.period {
            self.lookups = 0;
            for class in &mut self.classes {
                class.hits *= DECAY;
            }
        }
    }

    /// Hits that `class` would lately have had with more pages, decayed.
    pub(super) fn score(&self, class: ClassId) -> f32 {
        self.classes[usize::from(class.0)].hits
    }

    /// Bytes of the table.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.table)
    }

    fn place(&self, hash: u64) -> usize {
        (hash >> 8) as usize & (self.table.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClassId = ClassId(1);
    const B: ClassId = ClassId(2);

    fn ghosts() -> Ghosts {
        Ghosts::new(1024, &[0, 10, 100], 1)
    }

    fn hash(n: u64) -> u64 {
        n << 32 | n << 8
    }

    #[test]
    fn a_miss_scores_once_for_the_class_that_evicted() {
        let mut ghosts = ghosts();
        ghosts.evicted(hash(5), A);
        ghosts.missed(hash(6));
        assert_eq!(ghosts.score(A), 0.0);
        ghosts.missed(hash(5));
        ghosts.missed(hash(5));
        assert_eq!((ghosts.score(A), ghosts.score(B)), (1.0, 0.0));
    }

    #[test]
    fn forgets_after_two_pages_of_evictions() {
        for (others, want) in [(20, 1.0), (21, 0.0)] {
            let mut ghosts = ghosts();
            ghosts.evicted(hash(1), A);
            for n in 0..others {
                ghosts.evicted(hash(100 + n), A);
            }
            ghosts.missed(hash(1));
            assert_eq!(ghosts.score(A), want, "{others}");
        }
    }

    #[test]
    fn scores_decay() {
        let mut ghosts = ghosts();
        ghosts.evicted(hash(1), B);
        ghosts.missed(hash(1));
        for _ in 0..DECAY_PERIOD {
            ghosts.looked_up();
        }
        assert_eq!(ghosts.score(B), DECAY);
    }
}
