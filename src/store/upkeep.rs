//! Background work: two rounds through the shards a second, of which slices are done in turns.
//!
//! One gives back what there is too much of: pages above the limit, pages that no class needs, buckets of an
//! index. The other frees what has expired. Neither waits for the other: to give back a GiB takes seconds.
#![forbid(unsafe_code)]

use super::Store;
use super::drain::ITEMS_PER_BACKGROUND_SLICE;
use super::shard::Shard;
use crate::clock::Secs;
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

/// A round through all shards, once a second.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The shard that has its turn.
    shard: AtomicUsize,
    /// The second in which the round under way began; 0: none has.
    began: AtomicU32,
    /// The second whose round is done.
    done: AtomicU32,
}

impl Round {
    /// Has another round begin in this second.
    pub(super) fn ask(&self, now: Secs) {
        self.done.store(now.0.saturating_sub(1), Relaxed);
    }

    /// The same, and it is late already, so that it gets more time.
    pub(super) fn ask_urgently(&self) {
        self.done.store(0, Relaxed);
    }

    /// Whether it is under way, or has not been done in this second.
    fn is_due(&self, now: Secs) -> bool {
        self.shard.load(Relaxed) != 0 || self.done.load(Relaxed) != now.0
    }

    fn is_behind(&self, now: Secs) -> bool {
        self.done.load(Relaxed).saturating_add(1) < now.0
    }

    /// The shard that the next slice is for.
    fn turn(&self, now: Secs) -> usize {
        if self.began.load(Relaxed) == 0 {
            self.began.store(now.0, Relaxed);
        }
        self.shard.load(Relaxed)
    }

    /// Goes on to the next of so many shards. True: the round is done.
    fn go_on(&self, shards: usize) -> bool {
        let next = (self.shard.load(Relaxed) + 1) % shards;
        self.shard.store(next, Relaxed);
        if next == 0 {
            self.done.store(self.began.swap(0, Relaxed), Relaxed);
        }
        next == 0
    }
}

impl Store {
    /// One bounded slice of background work: gives back pages above the limit and pages that no class
    /// needs, or frees what has expired. True while more of it is waiting. For one thread.
    pub fn maintain(&self, now: Secs) -> bool {
        let (pages, sweep) = (self.pages_round.is_due(now), self.is_sweep_due(now));
        if !pages && !sweep {
            return false;
        }
        let slice = self.slices.fetch_add(1, Relaxed);
        if pages && !(sweep && slice % 2 == 1) {
            self.give_back(now);
        } else {
            self.sweep(now);
        }
        self.pages_round.is_due(now) || self.is_sweep_due(now)
    }

    /// Whether background work has been due for a second and more, so that it should get more time.
    pub fn is_behind(&self, now: Secs) -> bool {
        self.pages_round.is_behind(now) || self.sweep_round.is_behind(now)
    }

    fn is_sweep_due(&self, now: Secs) -> bool {
        self.sweep_round.is_due(now) || self.crawler.is_asked()
    }

    fn give_back(&self, now: Secs) {
        let number = self.pages_round.turn(now);
        let has_more = self.shard(number).give_back(now);
        if !has_more && self.pages_round.go_on(self.shards.len()) {
            self.even_out();
        }
    }

    fn sweep(&self, now: Secs) {
        let number = self.sweep_round.turn(now);
        let has_more = self.crawler.is_on() && self.shard(number).sweep(now);
        if !has_more && self.sweep_round.go_on(self.shards.len()) {
            self.crawler.note_round();
        }
    }
}

impl Shard {
    /// One slice of giving back what there is too much of. False when there is nothing.
    pub(super) fn give_back(&mut self, now: Secs) -> bool {
        self.shrink_index()
            || self.drain_slice(ITEMS_PER_BACKGROUND_SLICE, now)
            || self.begin_background_drain(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Expiry;
    use crate::store::{Meta, Options, Terms};

    /// A GiB that is given back takes long: what expires meanwhile does not wait for that.
    #[test]
    fn a_lowered_limit_does_not_hold_up_the_sweep() {
        let options = Options {
            memory_bytes: 64 << 20,
            item_size_max: 1 << 20,
            growth_factor: 1.04,
            chunk_space_min: 12,
            evictions: true,
            cas: true,
            large_pages: false,
            crawler: true,
            automove: true,
            temporary_ttl: None,
            track_sizes: false,
            threads: 1,
        };
        let store = Store::new(&options).expect("memory");
        for number in 0..100_000 {
            let (key, expiry) =
                (format!("key{number}"), Expiry(if number < 1000 { 110 } else { 0 }));
            let meta = Meta { expiry, ..Meta::default() };
            let key = store.key(key.as_bytes());
            store.store(&Terms::default(), &key, meta, &[b'x'; 500], Secs(100)).expect("room");
        }
        assert!(store.set_memory_limit(16 << 20));
        let is_above = || {
            let mut shards = store.shards.iter().map(|shard| shard.lock());
            shards.any(|shard| shard.pages_held > shard.pages_max)
        };
        let rounds = store.totals().crawler_rounds;
        while store.maintain(Secs(111)) && store.totals().crawler_rounds == rounds {}
        assert!(is_above(), "it took no longer than the sweep");
        assert_eq!(store.totals().crawler_reclaimed, 1000);
        while store.maintain(Secs(111)) {}
        assert!(!is_above());
    }

    #[test]
    fn a_round_is_behind_when_a_second_has_gone_by_without_it() {
        let (round, at) = (Round::default(), Secs);
        round.ask(at(100));
        assert!(round.is_due(at(100)) && !round.is_behind(at(100)) && round.is_behind(at(101)));
        assert_eq!((round.turn(at(101)), round.go_on(2)), (0, false));
        assert!(round.is_due(at(101)) && round.is_behind(at(101)));
        assert_eq!((round.turn(at(102)), round.go_on(2)), (1, true));
        assert!(!round.is_due(at(101)), "it is the one that began in that second");
        assert!(round.is_due(at(102)) && !round.is_behind(at(102)) && round.is_behind(at(103)));
        round.ask_urgently();
        assert!(round.is_behind(at(102)));
    }
}
