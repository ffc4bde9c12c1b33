//! Giving back what has expired, and an index grown too large, in the background and in slices.
//!
//! Each page knows a second before which none of its items expires, its expiry floor, and so does
//! each region of 2 KiB in it. A sweep goes through the floors of the pages, of those that have
//! passed through the regions', and looks at the items of the regions that are due; there it frees
//! what is gone and notes the new floor. So a page of items without a TTL, or whose TTLs lie ahead,
//! costs a comparison, an item that expires costs the few headers of its region, however many
//! others there are, and no item pays for a place in a wheel or a list.
#![forbid(unsafe_code)]

use super::Store;
use super::arena::PageId;
use super::class::ClassId;
use super::item::{Kind, Mark};
use super::shard::Shard;
use crate::clock::{Expiry, Secs};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// What one slice of a sweep may cost, in units of some 3 ns: 10 to 40 µs.
const SLICE_COST: usize = 12_000;
/// Comparing a floor.
const FLOOR_COST: usize = 1;
/// Opening a page or a region: what is read first is in no cache.
const OPEN_COST: usize = 40;
/// Looking at one more item.
const LOOK_COST: usize = 5;
/// Freeing one, or a link of its chain: 100 ns where all around it goes as well, 700 where its bucket
/// of the index has to come from memory.
const FREE_COST: usize = 150;

/// Buckets that the index gives up in one slice: some 20 µs.
const BUCKETS_PER_SLICE: usize = 256;

/// Where a sweep goes on: a region in a page of a class. The class 0 begins a new sweep.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    class: u8,
    page: usize,
    region: usize,
    /// Classes of which this sweep opens all pages, one bit each: a flush has left items in pages
    /// whose floor has not passed, or somebody has asked for it.
    opened: [u64; 4],
    /// Classes of which the next sweep is to do so as well. One that is under way goes on to its end:
    /// flushes and crawls, however many, do not keep it from what lies ahead.
    pending: [u64; 4],
    /// Items looked at and freed since the sweep began.
    examined: u64,
    reclaimed: u64,
}

impl Cursor {
    /// Whether pages are opened of which it is not known that anything in them is due: after a flush.
    pub(super) fn opens_any(&self) -> bool {
        self.opened != [0; 4] || self.pending != [0; 4]
    }

    /// A page has left its class, where the last one has taken its number: that one is looked at again.
    pub(super) fn page_removed(&mut self, class: ClassId, number: usize) {
        if class.0 == self.class && number <= self.page {
            (self.page, self.region) = (number, 0);
        }
    }

    /// Adds classes to those of this sweep, and of the next one if this has left pages behind it.
    fn open(&mut self, classes: [u64; 4]) {
        let join = |into: &mut [u64; 4]| *into = std::array::from_fn(|at| into[at] | classes[at]);
        join(&mut self.opened);
        if self.class != 0 {
            join(&mut self.pending);
        }
    }

    fn opens(&self, class: ClassId) -> bool {
        self.opened[usize::from(class.0 / 64)] >> (class.0 % 64) & 1 == 1
    }
}

/// Whether the sweep is on, and what was asked of it.
#[derive(Debug)]
pub(super) struct Crawler {
    is_on: AtomicBool,
    /// Rounds through all shards that have to end before what was asked for is done.
    rounds_asked: AtomicU32,
    /// Rounds since the start or the last reset.
    rounds: AtomicU64,
}

impl Crawler {
    pub(super) fn new(is_on: bool) -> Crawler {
        Crawler {
            is_on: AtomicBool::new(is_on),
            rounds_asked: AtomicU32::new(0),
            rounds: AtomicU64::new(0),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Whether somebody waits for a sweep.
    pub(super) fn is_asked(&self) -> bool {
        self.rounds_asked.load(Relaxed) > 0
    }

    /// A round through all shards has ended.
    pub(super) fn note_round(&self) {
        if self.is_on() {
            self.rounds.fetch_add(1, Relaxed);
        }
        let asked = self.rounds_asked.load(Relaxed);
        if asked > 0 {
            // Loses to a crawl that is asked for at this moment: then there are rounds enough.
            let _lost = self.rounds_asked.compare_exchange(asked, asked - 1, Relaxed, Relaxed);
        }
    }

    pub(super) fn rounds(&self) -> u64 {
        self.rounds.load(Relaxed)
    }

    pub(super) fn reset(&self) {
        self.rounds.store(0, Relaxed);
    }
}

impl Store {
    /// Has the background sweep open all pages of the classes that are meant, whether or not
    /// anything in them is due.
    pub fn crawl(&self, is_meant: impl Fn(u8) -> bool) {
        let mut opened = [0; 4];
        for class in self.sizes.all().filter(|class| is_meant(class.0)) {
            opened[usize::from(class.0 / 64)] |= 1 << (class.0 % 64);
        }
        for shard in &self.shards {
            shard.lock().sweep.open(opened);
        }
        // One round may be under way and past some shards.
        self.crawler.rounds_asked.store(2, Relaxed);
    }

    /// Switches the background sweep of expired and flushed items on or off; how it was before.
    pub fn set_crawler(&self, is_on: bool) -> bool {
        if !is_on {
            self.crawler.rounds_asked.store(0, Relaxed);
        }
        self.crawler.is_on.swap(is_on, Relaxed)
    }

    /// Whether the background sweep is on.
    pub fn crawler_is_on(&self) -> bool {
        self.crawler.is_on()
    }

    /// Whether a sweep that was asked for is not done yet.
    pub fn is_crawling(&self) -> bool {
        self.crawler.is_asked()
    }
}

impl Shard {
    /// Lets the index shrink by one slice if it is far larger than its items need, and gives back
    /// the pages. False when there is nothing to do.
    pub(super) fn shrink_index(&mut self) -> bool {
        let merged = (0..BUCKETS_PER_SLICE)
            .take_while(|_| self.index.wants_shrinking() && self.merge_buckets())
            .count();
        while let Some(page) = self.index.take_unused_page() {
            self.give_page(page);
        }
        merged > 0
    }

    /// Makes one bucket of two. False: that takes a spill bucket, and there is neither one nor a page.
    fn merge_buckets(&mut self) -> bool {
        if self.index.shrink() {
            return true;
        }
        let Some(page) = self.take_page() else { return false };
        self.index.add_spill_page(page);
        self.index.shrink()
    }

    /// Does one slice of a sweep. False when the sweep has come to its end.
    pub(super) fn sweep(&mut self, now: Secs) -> bool {
        let mut budget = SLICE_COST;
        let last = self.slab.sizes().largest().0;
        self.sweep.class = self.sweep.class.max(1);
        while self.sweep.class <= last {
            let class = ClassId(self.sweep.class);
            let Some(&page) = self.slab.pages(class).get(self.sweep.page) else {
                self.sweep.class += 1;
                (self.sweep.page, self.sweep.region) = (0, 0);
                continue;
            };
            budget = budget.saturating_sub(FLOOR_COST);
            let is_due = self.sweep.opens(class) || is_due(self.slab.expiry_floor(page), now);
            if is_due && !self.sweep_page(class, page, now, &mut budget) {
                return true;
            }
            self.sweep.page += 1;
            self.sweep.region = 0;
            if budget == 0 {
                return true;
            }
        }
        self.tell_sweep(self.sweep.examined, self.sweep.reclaimed);
        self.sweep = Cursor { opened: self.sweep.pending, ..Cursor::default() };
        false
    }

    /// Frees at once all that is gone after a flush: everything.
    pub(super) fn free_all_flushed(&mut self, now: Secs) {
        self.sweep_flushed();
        while self.sweep.opens_any() {
            self.sweep(now);
        }
        debug_assert_eq!(self.index.items(), 0);
    }

    /// Has the next sweep open every page, since a flush leaves its items anywhere.
    pub(super) fn sweep_flushed(&mut self) {
        self.sweep.open([u64::MAX; 4]);
    }

    /// Goes on in a page. False: the budget was used up before its end.
    fn sweep_page(&mut self, class: ClassId, page: PageId, now: Secs, budget: &mut usize) -> bool {
        *budget = budget.saturating_sub(OPEN_COST);
        while self.sweep.region < self.slab.regions_per_page() {
            if *budget == 0 {
                return false;
            }
            let region = self.sweep.region;
            self.sweep.region += 1;
            let floor = self.slab.region_floor(page, region);
            let cost = if self.sweep.opens(class) || is_due(floor, now) {
                self.sweep_region(class, page, region, now)
            } else {
                FLOOR_COST
            };
            *budget = budget.saturating_sub(cost);
        }
        self.slab.raise_expiry_floor(page);
        true
    }

    /// Looks at all items that begin in a region; what that has cost.
    fn sweep_region(&mut self, class: ClassId, page: PageId, region: usize, now: Secs) -> usize {
        let (mut floor, mut cost) = (u32::MAX, OPEN_COST);
        let chunk_bytes = self.slab.chunk_bytes(class);
        for index in self.slab.chunks_of(class, region) {
            let item = self.slab.chunk_at(class, page, index);
            let chunk = self.slab.chunk(item);
            cost += LOOK_COST;
            if chunk.kind() != Kind::Item || !chunk.has(Mark::LINKED) {
                continue;
            }
            self.class_mut(class).crawler_items_checked += 1;
            self.sweep.examined += 1;
            if self.gone(chunk, now).is_some() {
                cost += FREE_COST * (1 + chunk.value_len() / chunk_bytes);
                self.reclaim(item);
                let counters = self.class_mut(class);
                counters.crawler_reclaimed += 1;
                counters.reclaimed += 1;
                self.sweep.reclaimed += 1;
            } else if chunk.expiry() != Expiry::NEVER {
                floor = floor.min(chunk.expiry().0);
            }
        }
        self.slab.set_region_floor(page, region, if floor == u32::MAX { 0 } else { floor });
        cost
    }
}

/// Whether something above this floor may have expired.
fn is_due(floor: u32, now: Secs) -> bool {
    floor != 0 && floor <= now.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::shard::LEAD_MAX;
    use crate::store::validate::held_items;
    use crate::store::{Meta, Options, Terms};

    fn store(crawler: bool) -> Arc<Store> {
        let options = Options {
            memory_bytes: 8 << 20,
            item_size_max: 1 << 20,
            growth_factor: 1.25,
            chunk_space_min: 48,
            evictions: true,
            cas: true,
            large_pages: false,
            crawler,
            automove: true,
            temporary_ttl: None,
            track_sizes: false,
            threads: 1,
        };
        let store = Store::new(&options).expect("memory");
        for number in 0..90u32 {
            let key = format!("key{number}");
            let expiry = if number < 30 { Expiry(101) } else { Expiry::NEVER };
            let meta = Meta { expiry, ..Meta::default() };
            store
                .store(&Terms::default(), &store.key(key.as_bytes()), meta, b"", Secs(100))
                .unwrap();
        }
        store
    }

    /// The same with so many items that a sweep of a shard takes several slices.
    fn full_store() -> Arc<Store> {
        let store = store(true);
        for number in 0..40_000u32 {
            let key = format!("more{number}");
            let key = store.key(key.as_bytes());
            store.store(&Terms::default(), &key, Meta::default(), b"", Secs(100)).unwrap();
        }
        store
    }

    fn items(store: &Store, second: u32) -> u64 {
        while store.maintain(Secs(second)) {}
        store.totals().curr_items
    }

    #[test]
    fn the_sweep_can_be_switched() {
        let store = store(false);
        assert_eq!(items(&store, 200), 90);
        assert!(!store.set_crawler(true) && store.set_crawler(true));
        assert_eq!(items(&store, 201), 60);
        let totals = store.totals();
        assert_eq!((totals.reclaimed, totals.crawler_reclaimed), (30, 30));
        assert!(totals.crawler_rounds > 0);
        store.reset_stats();
        assert_eq!(store.totals().crawler_rounds, 0);
    }

    #[test]
    fn a_crawl_opens_all_pages_of_its_classes() {
        let store = store(true);
        assert_eq!(items(&store, 100), 90);
        assert_eq!(store.totals().crawler_items_checked, 0);
        store.crawl(|class| class == 2);
        assert!(store.is_crawling());
        assert_eq!(items(&store, 100), 90);
        assert_eq!(store.totals().crawler_items_checked, 0, "all are of another class");
        store.crawl(|class| class == 1);
        assert!(store.maintain(Secs(100)) && store.is_crawling());
        assert_eq!(items(&store, 100), 90);
        assert!(!store.is_crawling());
        assert_eq!(store.totals().crawler_items_checked, 90);
        store.crawl(|_| true);
        store.set_crawler(false);
        assert!(!store.is_crawling());
    }

    /// A shard whose clock flushes have moved too far begins anew, with a sweep amid its pages or not.
    #[test]
    fn flushes_do_not_run_out() {
        let store = store(true);
        for amid in [false, true] {
            let key = store.key(b"key");
            store.store(&Terms::default(), &key, Meta::default(), b"x", Secs(100)).unwrap();
            if amid {
                store.crawl(|_| true);
                store.maintain(Secs(100));
            }
            store.shards.iter().for_each(|shard| shard.lock().lead = LEAD_MAX - 1);
            store.flush(Secs(100));
            assert_eq!(held_items(&store), 0);
            assert!(store.shards.iter().all(|shard| shard.lock().lead == 0));
            store.store(&Terms::default(), &key, Meta::default(), b"y", Secs(100)).unwrap();
            assert!(store.get(&key, Secs(100), |_| ()).is_ok());
            store.flush(Secs(100));
            assert!(store.get(&key, Secs(100), |_| ()).is_err());
        }
    }

    /// Each of these comes amid a sweep.
    #[test]
    fn crawls_and_flushes_do_not_hold_up_a_sweep() {
        let store = full_store();
        for ask in [|store: &Store| store.crawl(|_| true), |store: &Store| store.flush(Secs(100))] {
            let before = store.totals().crawler_rounds;
            let slices = (0..1000).take_while(|_| {
                ask(&store);
                store.maintain(Secs(100)) && store.totals().crawler_rounds == before
            });
            assert!((10..999).contains(&slices.count()));
        }
    }

    /// Who comes while another thread does a flush that is due waits for its end.
    #[test]
    fn nobody_goes_on_amid_a_flush_that_is_due() {
        let store = store(true);
        store.flush_at(Secs(101));
        let last = store.shards.last().expect("a shard").lock();
        let (done, is_done) = std::sync::mpsc::channel();
        let begin = |store: Arc<Store>, done: std::sync::mpsc::Sender<()>| {
            std::thread::spawn(move || {
                store.flush_if_due(Secs(101));
                done.send(()).expect("somebody waits");
            })
        };
        let threads = [begin(store.clone(), done.clone()), begin(store.clone(), done)];
        assert!(is_done.recv_timeout(std::time::Duration::from_millis(100)).is_err());
        drop(last);
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(is_done.iter().count(), 2);
        assert_eq!(store.flush_due.load(Relaxed), 0);
    }

    #[test]
    fn a_flush_amid_a_sweep_reaches_what_lies_behind_it() {
        let store = full_store();
        store.crawl(|_| true);
        (0..3).for_each(|_| assert!(store.maintain(Secs(100))));
        assert!(store.shards.iter().any(|shard| shard.lock().sweep.page > 0), "amid a shard");
        store.flush(Secs(100));
        assert_eq!(items(&store, 101), 0);
        assert_eq!(held_items(&store), 0);
    }

    #[test]
    fn a_page_that_takes_a_place_behind_the_sweep_is_looked_at() {
        let sweep = Cursor { class: 3, page: 5, region: 2, ..Cursor::default() };
        for (class, number, page, region) in
            [(3, 6, 5, 2), (3, 5, 5, 0), (3, 1, 1, 0), (2, 1, 5, 2), (4, 1, 5, 2)]
        {
            let mut sweep = sweep;
            sweep.page_removed(ClassId(class), number);
            assert_eq!((sweep.class, sweep.page, sweep.region), (3, page, region));
        }
    }
}
