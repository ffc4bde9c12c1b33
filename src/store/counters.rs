//! What a shard counts, under its own lock, and the sums that `stats` shows.
#![forbid(unsafe_code)]

use std::ops::AddAssign;
use std::sync::atomic::Ordering::Relaxed;

use super::Store;
use super::class::ClassId;
use crate::clock::Secs;

/// What one shard counts beside its classes.
#[derive(Clone, Debug, Default)]
pub(super) struct ShardCounters {
    /// Bytes that the items asked for, those that a flush has made invisible left out.
    pub bytes: u64,
    pub total_items: u64,
    pub pages_moved: u64,
    /// Items, and links of large ones, moved off a page that changed its class.
    pub rescues: u64,
    pub chunk_rescues: u64,
    /// Drains that ended early, since something in the page had to stay.
    pub drains_stopped: u64,
}

/// What one shard counts of one class.
#[derive(Clone, Debug, Default)]
pub(super) struct ClassCounters {
    /// Items, and bytes that they asked for; those that a flush has made invisible are left out.
    pub items: u64,
    pub requested: u64,
    /// Chunks whose items were evicted since the class last got or wanted a page, for the mover.
    pub chunks_since_page: u32,
    pub get_hits: u64,
    pub cmd_set: u64,
    pub delete_hits: u64,
    pub incr_hits: u64,
    pub decr_hits: u64,
    pub cas_hits: u64,
    pub cas_badval: u64,
    pub touch_hits: u64,
    pub evicted: u64,
    pub evicted_nonzero: u64,
    pub evicted_time: u64,
    pub evicted_unfetched: u64,
    pub evicted_active: u64,
    pub expired_unfetched: u64,
    pub outofmemory: u64,
    pub reclaimed: u64,
    pub crawler_reclaimed: u64,
    pub crawler_items_checked: u64,
    /// Times that a request had to look for room beyond the free chunks.
    pub direct_reclaims: u64,
    /// Items that have moved from the small queue to the main one.
    pub promotions: u64,
    /// Times that the hand of the main queue has let an item stay for its hits.
    pub second_chances: u64,
}

impl ClassCounters {
    /// `stats reset`: events become 0, what is held stays.
    pub(super) fn reset(&mut self) {
        *self = ClassCounters {
            items: self.items,
            requested: self.requested,
            chunks_since_page: self.chunks_since_page,
            ..ClassCounters::default()
        };
    }
}

/// Sums over the store; the names are those of the `stats` keys (stats, section 1).
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Memory limit in bytes.
    pub limit_maxbytes: u64,
    /// Logarithm of the index's buckets, rounded down.
    pub hash_power_level: u32,
    /// Bytes of the index's pages.
    pub hash_bytes: u64,
    /// Bytes that the items asked for: headers, keys and values.
    pub bytes: u64,
    /// Items that are linked, expired ones included until they are reclaimed, flushed ones not.
    pub curr_items: u64,
    /// Items linked since the start or the last reset.
    pub total_items: u64,
    /// Pages within the limit that no shard has taken.
    pub slab_global_page_pool: u64,
    /// Expired items reclaimed that were never fetched.
    pub expired_unfetched: u64,
    /// Evicted items that were never fetched.
    pub evicted_unfetched: u64,
    /// Evicted items that had been hit since the hand last passed.
    pub evicted_active: u64,
    /// Items evicted to make room.
    pub evictions: u64,
    /// Expired or flushed items freed before anybody asked for them.
    pub reclaimed: u64,
    /// Those of them that were freed in the background.
    pub crawler_reclaimed: u64,
    /// Items looked at in the background.
    pub crawler_items_checked: u64,
    /// Pages that have left a class, for another, for the index or for the free ones.
    pub slabs_moved: u64,
    /// Items moved off such a page.
    pub rescues: u64,
    /// Links of large items moved off such a page.
    pub chunk_rescues: u64,
    /// Times that something on such a page was in use, so that it did not move.
    pub drains_stopped: u64,
    /// Shards that are emptying a page now.
    pub draining: u64,
    /// Rounds of the background sweep.
    pub crawler_rounds: u64,
    /// Times that a request had to look for room beyond the free chunks.
    pub direct_reclaims: u64,
    /// Items that have moved from the small queue to the main one.
    pub promotions: u64,
    /// Times that the hand of a main queue has let an item stay for its hits.
    pub second_chances: u64,
    /// Slices of background work done.
    pub background_slices: u64,
    /// Bytes of all pages that the classes hold.
    pub total_malloced: u64,
}

/// Statistics of one slab class, summed over the shards (stats, sections 3 and 4).
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names are those of the stats keys, documented there")]
pub struct Class {
    pub id: u8,
    pub chunk_size: u64,
    pub chunks_per_page: u64,
    pub total_pages: u64,
    pub used_chunks: u64,
    pub free_chunks: u64,
    pub get_hits: u64,
    pub cmd_set: u64,
    pub delete_hits: u64,
    pub incr_hits: u64,
    pub decr_hits: u64,
    pub cas_hits: u64,
    pub cas_badval: u64,
    pub touch_hits: u64,
    pub number: u64,
    pub mem_requested: u64,
    pub evicted: u64,
    pub evicted_nonzero: u64,
    pub evicted_time: u64,
    pub outofmemory: u64,
    pub reclaimed: u64,
    pub expired_unfetched: u64,
    pub evicted_unfetched: u64,
    pub evicted_active: u64,
    pub crawler_reclaimed: u64,
    pub crawler_items_checked: u64,
    pub direct_reclaims: u64,
    pub promotions: u64,
    pub second_chances: u64,
    /// Items whose TTL is short (`temporary_ttl`).
    pub number_temp: u64,
    /// Idle seconds of the item that the eviction hand looks at next; the largest of the shards.
    pub age: u64,
}

impl AddAssign<&ClassCounters> for Class {
    fn add_assign(&mut self, more: &ClassCounters) {
        self.number += more.items;
        self.mem_requested += more.requested;
        self.get_hits += more.get_hits;
        self.cmd_set += more.cmd_set;
        self.delete_hits += more.delete_hits;
        self.incr_hits += more.incr_hits;
        self.decr_hits += more.decr_hits;
        self.cas_hits += more.cas_hits;
        self.cas_badval += more.cas_badval;
        self.touch_hits += more.touch_hits;
        self.evicted += more.evicted;
        self.evicted_nonzero += more.evicted_nonzero;
        self.evicted_time = self.evicted_time.max(more.evicted_time);
        self.outofmemory += more.outofmemory;
        self.reclaimed += more.reclaimed;
        self.expired_unfetched += more.expired_unfetched;
        self.evicted_unfetched += more.evicted_unfetched;
        self.evicted_active += more.evicted_active;
        self.direct_reclaims += more.direct_reclaims;
        self.promotions += more.promotions;
        self.second_chances += more.second_chances;
        self.crawler_reclaimed += more.crawler_reclaimed;
        self.crawler_items_checked += more.crawler_items_checked;
    }
}

impl Store {
    /// Sums over all shards.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            limit_maxbytes: self.limit_bytes() as u64,
            slab_global_page_pool: self.arena.limit_pages().saturating_sub(self.arena.taken_pages())
                as u64,
            ..Totals::default()
        };
        let page_bytes = self.arena.page_bytes();
        let mut buckets = 0;
        for shard in &self.shards {
            let shard = shard.lock();
            buckets += shard.index.buckets();
            totals.hash_bytes += (shard.index.pages() * page_bytes) as u64;
            totals.total_malloced += ((shard.pages_held - shard.index.pages()) * page_bytes) as u64;
            totals.bytes += shard.counters.bytes;
            totals.total_items += shard.counters.total_items;
            totals.slabs_moved += shard.counters.pages_moved;
            totals.rescues += shard.counters.rescues;
            totals.chunk_rescues += shard.counters.chunk_rescues;
            totals.drains_stopped += shard.counters.drains_stopped;
            totals.draining += u64::from(shard.drain.is_some());
            for class in &shard.classes {
                totals.curr_items += class.items;
                totals.evictions += class.evicted;
                totals.evicted_unfetched += class.evicted_unfetched;
                totals.evicted_active += class.evicted_active;
                totals.direct_reclaims += class.direct_reclaims;
                totals.promotions += class.promotions;
                totals.second_chances += class.second_chances;
                totals.expired_unfetched += class.expired_unfetched;
                totals.reclaimed += class.reclaimed;
                totals.crawler_reclaimed += class.crawler_reclaimed;
                totals.crawler_items_checked += class.crawler_items_checked;
            }
        }
        totals.crawler_rounds = self.crawler.rounds();
        totals.background_slices = self.slices.load(Relaxed);
        totals.hash_power_level = buckets.ilog2();
        totals
    }

    /// Statistics of each slab class that has pages or items, in class order.
    pub fn classes(&self, now: Secs) -> Vec<Class> {
        let page_bytes = self.arena.page_bytes() as u64;
        let mut classes: Vec<Class> = self
            .sizes
            .all()
            .map(|class| {
                let chunk_size = self.sizes.chunk_bytes(class) as u64;
                Class {
                    id: class.0,
                    chunk_size,
                    chunks_per_page: page_bytes / chunk_size,
                    ..Class::default()
                }
            })
            .collect();
        for shard in &self.shards {
            let mut shard = shard.lock();
            for class in &mut classes {
                let id = ClassId(class.id);
                *class += &shard.classes[usize::from(class.id)];
                class.total_pages += shard.slab.pages(id).len() as u64;
                class.free_chunks += shard.slab.free_chunks(id) as u64;
                class.number_temp += shard.slab.queues(id).temporary_items() as u64;
                class.age = class.age.max(shard.age(id, now));
            }
        }
        for class in &mut classes {
            class.used_chunks = class.total_pages * class.chunks_per_page - class.free_chunks;
        }
        classes.retain(|class| class.total_pages > 0 || class.number > 0);
        classes
    }

    /// `stats reset`: events become 0, what is held stays.
    pub fn reset_stats(&self) {
        self.crawler.reset();
        self.slices.store(0, Relaxed);
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.counters.total_items = 0;
            shard.counters.pages_moved = 0;
            shard.counters.rescues = 0;
            shard.counters.chunk_rescues = 0;
            shard.counters.drains_stopped = 0;
            for class in &mut shard.classes {
                class.reset();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Meta, Options, Terms, model::options};

    const NOW: Secs = Secs(100);

    /// All different, above `from`.
    fn counted(from: u64) -> ClassCounters {
        let mut last = from;
        let mut next = || {
            last += 1;
            last
        };
        ClassCounters {
            items: next(),
            requested: next(),
            chunks_since_page: next() as u32,
            get_hits: next(),
            cmd_set: next(),
            delete_hits: next(),
            incr_hits: next(),
            decr_hits: next(),
            cas_hits: next(),
            cas_badval: next(),
            touch_hits: next(),
            evicted: next(),
            evicted_nonzero: next(),
            evicted_time: next(),
            evicted_unfetched: next(),
            evicted_active: next(),
            expired_unfetched: next(),
            outofmemory: next(),
            reclaimed: next(),
            crawler_reclaimed: next(),
            crawler_items_checked: next(),
            direct_reclaims: next(),
            promotions: next(),
            second_chances: next(),
        }
    }

    /// What is held, then what happens, but the time, of which the largest is told.
    #[rustfmt::skip]
    fn listed(of: &ClassCounters) -> [u64; 22] {
        [
            of.items, of.requested, of.get_hits, of.cmd_set, of.delete_hits, of.incr_hits, of.decr_hits,
            of.cas_hits, of.cas_badval, of.touch_hits, of.evicted, of.evicted_nonzero, of.evicted_unfetched,
            of.evicted_active, of.expired_unfetched, of.outofmemory, of.reclaimed, of.crawler_reclaimed,
            of.crawler_items_checked, of.direct_reclaims, of.promotions, of.second_chances,
        ]
    }

    #[rustfmt::skip]
    fn shown(of: &Class) -> [u64; 22] {
        [
            of.number, of.mem_requested, of.get_hits, of.cmd_set, of.delete_hits, of.incr_hits, of.decr_hits,
            of.cas_hits, of.cas_badval, of.touch_hits, of.evicted, of.evicted_nonzero, of.evicted_unfetched,
            of.evicted_active, of.expired_unfetched, of.outofmemory, of.reclaimed, of.crawler_reclaimed,
            of.crawler_items_checked, of.direct_reclaims, of.promotions, of.second_chances,
        ]
    }

    #[test]
    fn a_class_is_the_sum_of_the_shards() {
        let (first, second) = (counted(1000), counted(200));
        let mut class = Class::default();
        class += &first;
        assert_eq!(shown(&class), listed(&first));
        class += &second;
        let sums: Vec<u64> =
            listed(&first).iter().zip(listed(&second)).map(|(a, b)| a + b).collect();
        assert_eq!(shown(&class)[..], sums);
        assert_eq!(class.evicted_time, first.evicted_time);
    }

    #[test]
    fn a_reset_leaves_what_is_held() {
        let (before, mut counters) = (counted(1000), counted(1000));
        counters.reset();
        let mut left = [0; 22];
        left[..2].copy_from_slice(&[before.items, before.requested]);
        assert_eq!(listed(&counters), left);
        assert_eq!(
            (counters.chunks_since_page, counters.evicted_time),
            (before.chunks_since_page, 0)
        );
    }

    #[test]
    fn totals_are_the_sums_of_classes_and_shards() {
        let store = Store::new(&Options { threads: 4, ..options(64 << 20, 1 << 20, true) })
            .expect("memory");
        let shards = store.shards.len() as u64;
        assert!(shards > 1);
        let set = |number: u32| {
            let key = number.to_string();
            let key = store.key(key.as_bytes());
            store.store(&Terms::default(), &key, Meta::default(), b"value", NOW).expect("room");
        };
        (0..10_000).for_each(set);
        let classes = store.classes(NOW);
        let [class] = &classes[..] else { panic!("{classes:?}") };
        assert_eq!((class.number, class.used_chunks), (10_000, 10_000));
        let totals = store.totals();
        assert_eq!((totals.curr_items, totals.bytes), (10_000, class.mem_requested));
        let page_bytes = store.arena.page_bytes() as u64;
        assert_eq!(totals.total_malloced, class.total_pages * page_bytes);
        let taken = totals.total_malloced + totals.hash_bytes;
        assert_eq!(taken, store.arena.taken_pages() as u64 * page_bytes);

        let counters = ShardCounters {
            bytes: 101,
            total_items: 102,
            pages_moved: 103,
            rescues: 104,
            chunk_rescues: 105,
            drains_stopped: 106,
        };
        for shard in &store.shards {
            let mut shard = shard.lock();
            shard.counters = counters.clone();
            shard.classes[1] = counted(1000);
            shard.classes[2] = counted(2000);
        }
        let totals = store.totals();
        assert_eq!(
            [totals.bytes, totals.total_items, totals.slabs_moved, totals.rescues],
            [101, 102, 103, 104].map(|count| count * shards)
        );
        assert_eq!(
            [totals.chunk_rescues, totals.drains_stopped, totals.draining],
            [105 * shards, 106 * shards, 0]
        );
        let sum = |of: fn(&Class) -> u64| store.classes(NOW).iter().map(of).sum::<u64>();
        #[rustfmt::skip]
        let pairs = [
            (totals.curr_items, sum(|class| class.number)),
            (totals.evictions, sum(|class| class.evicted)),
            (totals.evicted_unfetched, sum(|class| class.evicted_unfetched)),
            (totals.evicted_active, sum(|class| class.evicted_active)),
            (totals.direct_reclaims, sum(|class| class.direct_reclaims)),
            (totals.promotions, sum(|class| class.promotions)),
            (totals.second_chances, sum(|class| class.second_chances)),
            (totals.expired_unfetched, sum(|class| class.expired_unfetched)),
            (totals.reclaimed, sum(|class| class.reclaimed)),
            (totals.crawler_reclaimed, sum(|class| class.crawler_reclaimed)),
            (totals.crawler_items_checked, sum(|class| class.crawler_items_checked)),
        ];
        pairs.iter().for_each(|(total, sum)| assert_eq!(total, sum, "{totals:?}"));
        assert_eq!(totals.curr_items, 3002 * shards);
    }
}
