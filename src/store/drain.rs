//! Emptying a page so that something else can have it, in slices.
//!
//! Where the class has free chunks in other pages, all move there. Else what it would evict soon goes, and
//! what is used moves, as the class's own coldest items make room for it. So a move costs a class its least useful items,
//! wherever they lie, and no request pays for more than a few of them: each one that has to make room
//! does a slice. One page of a shard is drained at a time; its free chunks are withheld meanwhile.
#![forbid(unsafe_code)]

use super::arena::{PageId, Ref};
use super::class::ClassId;
use super::item::{Kind, Mark};
use super::queue::Queue;
use super::shard::Shard;
use crate::clock::{Expiry, Secs};

/// Items looked at in the slice of a request that makes room: some 5 µs.
pub(super) const ITEMS_PER_SLICE: usize = 8;

/// Items looked at in a slice in the background: some 40 µs.
pub(super) const ITEMS_PER_BACKGROUND_SLICE: usize = 64;

/// A class keeps as many free chunks as two and a half of its pages hold (memcached's own bound), so
/// that stores and deletes in turn do not send pages to and fro.
const SLACK_KEPT_TIMES_2: usize = 5;

/// Of what a shard has, one part in so many goes back each second at the most if no class needs it.
const SLACK_RETURN_PART: usize = 64;

/// Who gets a page that is being drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recipient {
    Class(ClassId),
    /// The index, for its next buckets.
    Index,
    /// The index, for spill buckets.
    Spill,
    /// Nobody: it goes back to the arena.
    Arena,
}

/// A page that is being drained.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    class: ClassId,
    page: PageId,
    /// The chunk to go on with.
    next: usize,
    to: Recipient,
}

/// How a page is emptied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Used items move, and the class evicts others for them.
    Made,
    /// Used items move as long as there are free chunks; then they are evicted.
    Found,
}

/// What became of a slice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The page has been given to its recipient.
    Done,
    Continues,
    /// Something in the page must stay where it is: nothing is drained now.
    Stopped,
}

impl Shard {
    /// Begins to drain a page of `class`. False: one is being drained already, or every page holds
    /// something that must stay where it is.
    pub(super) fn begin_drain(&mut self, class: ClassId, to: Recipient) -> bool {
        if self.drain.is_some() {
            return false;
        }
        let Some(number) = self.removable_page(class) else { return false };
        let page = self.slab.pages(class)[number];
        self.slab.begin_drain(class, page);
        self.drain = Some(Drain { class, page, next: 0, to });
        true
    }

    /// Does a slice of the drain that is under way. False: none is.
    pub(super) fn drain_slice(&mut self, items: usize, now: Secs) -> bool {
        self.drain_items(items, Room::Made, now) == Progress::Continues
    }

    /// Drains a page of `class` at once. False: every page holds something that must stay.
    pub(super) fn drain_now(&mut self, class: ClassId, to: Recipient, now: Secs) -> bool {
        self.stop_drain();
        self.begin_drain(class, to)
            && self.drain_items(usize::MAX, Room::Found, now) == Progress::Done
    }

    /// Gives the drain that is under way another recipient and ends it at once. False: there is none.
    pub(super) fn claim_drain(&mut self, to: Recipient, now: Secs) -> bool {
        let Some(drain) = &mut self.drain else { return false };
        drain.to = to;
        self.drain_items(usize::MAX, Room::Found, now) == Progress::Done
    }

    /// Begins to drain a page that this shard has above its share, or one that its class does not need, of
    /// which there are a few a second. False: there is none, or nothing can go.
    pub(super) fn begin_background_drain(&mut self, now: Secs) -> bool {
        if self.pages_held > self.pages_max {
            if let Some(class) = self.slack_class()
                && self.begin_drain(class, Recipient::Arena)
            {
                return true;
            }
            let givers = if self.settings.evictions { self.givers(None) } else { Vec::new() };
            return givers.into_iter().any(|giver| self.begin_drain(giver, Recipient::Arena));
        }
        if self.slack_second != now.0 {
            self.slack_second = now.0;
            self.slack_left = self.pages_held.div_ceil(SLACK_RETURN_PART);
        }
        if self.slack_left == 0 || !self.settings.automove || !self.slab.has_slack() {
            return false;
        }
        let kept = |class| SLACK_KEPT_TIMES_2 * self.slab.per_page(class);
        let mut classes = self.slab.sizes().all();
        let slack = classes.find(|&class| 2 * self.slab.free_chunks(class) > kept(class));
        let begun = slack.is_some_and(|class| self.begin_drain(class, Recipient::Arena));
        self.slack_left = if begun { self.slack_left - 1 } else { 0 };
        begun
    }

    /// Leaves what is in the page that is being drained where it is.
    pub(super) fn stop_drain(&mut self) {
        if let Some(drain) = self.drain.take() {
            self.slab.stop_drain(drain.class, drain.page);
            self.counters.drains_stopped += 1;
        }
    }

    fn drain_items(&mut self, items: usize, room: Room, now: Secs) -> Progress {
        let mut left = items;
        loop {
            let Some(drain) = &mut self.drain else { return Progress::Stopped };
            let (class, page, index) = (drain.class, drain.page, drain.next);
            if index == self.slab.per_page(class) {
                self.end_drain(now);
                return Progress::Done;
            }
            if left == 0 {
                return Progress::Continues;
            }
            drain.next += 1;
            let chunk = self.slab.chunk_at(class, page, index);
            let Some(item) = self.item_of(chunk) else { continue };
            left -= 1;
            if !self.is_free_to_go(item) || !self.clear_chunk(chunk, item, room, now) {
                self.stop_drain();
                return Progress::Stopped;
            }
        }
    }

    /// Frees one chunk of the page. False: its item can go nowhere and may not be evicted.
    fn clear_chunk(&mut self, chunk: Ref, item: Ref, room: Room, now: Secs) -> bool {
        let seen = self.slab.chunk(item);
        let class = self.slab.class_of(item);
        let may_evict = self.settings.evictions;
        if self.gone(seen, now).is_some() {
            self.reclaim(item);
            self.class_mut(class).reclaimed += 1;
            return true;
        }
        let mut free = self.slab.take(class);
        if free.is_none() && may_evict && seen.freq() == 0 && self.queue_of(item) == Queue::Main {
            self.evict(item, now);
            return true;
        }
        if free.is_none() && may_evict && room == Room::Made && self.evict_one(class, now) {
            free = self.slab.take(class);
        }
        // What was evicted for it may have been this very item, with a chunk elsewhere.
        let is_there = self.item_of(chunk) == Some(item);
        match free {
            Some(free) if is_there => self.move_chunk(chunk, free),
            Some(free) => self.slab.give(free),
            None if is_there && may_evict => self.evict(item, now),
            None => return !is_there,
        }
        true
    }

    fn end_drain(&mut self, now: Secs) {
        let Some(Drain { class, page, to, .. }) = self.drain.take() else { return };
        let number = self.slab.end_drain(class, page);
        self.forget_page(class, number);
        self.sweep.page_removed(class, number);
        let to_class = if let Recipient::Class(to) = to { to } else { ClassId(0) };
        self.tell_page_moved(class, to_class);
        self.counters.pages_moved += 1;
        match to {
            Recipient::Class(to) => {
                self.slab.add_page(to, page);
                self.class_mut(to).chunks_since_page = 0;
            }
            Recipient::Index => {
                self.index.add_main_page(page);
                // At once: one without a bucket in use would go back.
                self.grow_index(now);
            }
            Recipient::Spill => self.index.add_spill_page(page),
            Recipient::Arena => self.give_page(page),
        }
    }

    /// The next page of `class`, from where its hand points, that can be emptied.
    fn removable_page(&mut self, class: ClassId) -> Option<usize> {
        let count = self.slab.pages(class).len();
        let from = self.main_hand(class).page;
        (0..count)
            .map(|step| (from + step) % count)
            .find(|&number| self.can_be_emptied(class, self.slab.pages(class)[number]))
    }

    /// Whether nothing in the page is being read or written without the lock.
    fn can_be_emptied(&self, class: ClassId, page: PageId) -> bool {
        (0..self.slab.per_page(class)).all(|index| {
            let chunk = self.slab.chunk_at(class, page, index);
            let seen = self.slab.chunk(chunk);
            match seen.kind() {
                Kind::Free => true,
                Kind::Item => self.is_free_to_go(chunk),
                Kind::Link => seen.owner().is_some() && self.is_free_to_go(seen.owner()),
            }
        })
    }

    /// Makes the chunk `to` what `from` is, and leaves `from` withheld.
    fn move_chunk(&mut self, from: Ref, to: Ref) {
        debug_assert!(self.item_of(from).is_some_and(|item| self.is_free_to_go(item)));
        self.slab.copy(from, to);
        let chunk = self.slab.chunk(to);
        if chunk.kind() == Kind::Link {
            self.counters.chunk_rescues += 1;
            self.replace_link(to);
        } else {
            self.counters.rescues += 1;
            self.move_in_queue(from, to);
            let hash = self.hasher.hash(self.slab.key(to));
            let slot = self.slot_of(hash, from);
            self.index.replace(slot, to);
            if chunk.has(Mark::CHAINED) {
                self.own_links(to);
            }
            if chunk.expiry() != Expiry::NEVER {
                self.slab.note_expiry(to, chunk.expiry().0);
            }
        }
        self.slab.withhold_chunk(from);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::validate::validate;
    use crate::store::{Meta, Options, Store, Terms};

    const NOW: Secs = Secs(100);
    const ITEMS: usize = 40_000;

    /// A store of many small items, of which three in four have been deleted.
    fn sparse_store() -> Arc<Store> {
        let store = full_store();
        for number in (0..ITEMS).filter(|number| number % 4 > 0) {
            let key = format!("key{number}");
            store.delete(&store.key(key.as_bytes()), None, NOW).expect("it is there");
        }
        store
    }

    fn full_store() -> Arc<Store> {
        let store = store_of(8 << 20, 1 << 20);
        (0..ITEMS).for_each(|number| set(&store, number, b"x"));
        store
    }

    fn set(store: &Store, number: usize, value: &[u8]) {
        let (key, terms) = (format!("key{number}"), Terms::default());
        store.store(&terms, &store.key(key.as_bytes()), Meta::default(), value, NOW).expect("room");
    }

    fn store_of(memory_bytes: usize, item_size_max: usize) -> Arc<Store> {
        let options = Options {
            memory_bytes,
            item_size_max,
            growth_factor: 1.25,
            chunk_space_min: 48,
            evictions: true,
            cas: true,
            large_pages: false,
            crawler: true,
            automove: true,
            temporary_ttl: None,
            track_sizes: false,
            threads: 1,
        };
        Store::new(&options).expect("memory")
    }

    fn is_draining(store: &Store) -> bool {
        store.shards.iter().any(|shard| shard.lock().drain.is_some())
    }

    /// The number of an item that lies ahead in a page that is being emptied.
    fn item_ahead(store: &Arc<Store>) -> Option<usize> {
        (0..ITEMS).step_by(4).find(|number| {
            let key = format!("key{number}");
            let is_ahead = store
                .get(&store.key(key.as_bytes()), NOW, |hit| hit.shard.slab.is_draining(hit.item));
            is_ahead == Ok(true)
        })
    }

    #[test]
    fn a_page_is_emptied_in_slices_and_no_item_is_lost() {
        let store = sparse_store();
        let before = store.totals().slab_global_page_pool;
        let mut slices = 0;
        for second in 0..20 {
            while store.maintain(Secs(NOW.0 + second)) {
                slices += usize::from(is_draining(&store));
                validate(&store);
            }
        }
        let totals = store.totals();
        assert!(totals.slab_global_page_pool >= before + 20);
        assert_eq!((totals.curr_items, totals.evictions), (ITEMS as u64 / 4, 0));
        assert!(slices >= 10, "{slices} slices that left a page half empty");
    }

    /// What would go next if there were no room.
    fn make_cold(store: &Arc<Store>) {
        for number in (0..ITEMS).step_by(4) {
            let key = format!("key{number}");
            let cold = store.get(&store.key(key.as_bytes()), NOW, |hit| {
                hit.shard.change_queue(hit.item, Queue::Main);
                hit.shard.slab.chunk(hit.item).set_freq(0);
            });
            cold.expect("it is there");
        }
    }

    #[test]
    fn what_is_cold_moves_as_well_while_there_are_free_chunks() {
        let store = sparse_store();
        make_cold(&store);
        for second in 0..20 {
            while store.maintain(Secs(NOW.0 + second)) {}
        }
        validate(&store);
        let totals = store.totals();
        assert!(totals.slabs_moved >= 20, "{totals:?}");
        assert_eq!((totals.curr_items, totals.evictions), (ITEMS as u64 / 4, 0));
    }

    /// Where the background ends a drain, no insert need come before the index is next looked at.
    #[test]
    fn a_page_for_the_index_is_used_at_once() {
        let store = store_of(2 << 20, 1 << 19);
        let is_for_index = || {
            let shard = store.shard(0);
            shard.drain.is_some_and(|drain| drain.to == Recipient::Index)
        };
        (0..5000).for_each(|number| set(&store, number, &[b'x'; 1000]));
        for number in 0.. {
            if is_for_index() {
                break;
            }
            assert!(number < 100_000, "the index has all it wants");
            set(&store, number, b"x");
        }
        let pages = store.shard(0).index.pages();
        while store.maintain(NOW) {}
        assert!(!is_for_index());
        assert_eq!(store.shard(0).index.pages(), pages + 1);
        validate(&store);
    }

    /// The chunk that an item lies in.
    fn hit_at(store: &Arc<Store>, key: &str) -> Ref {
        store.get(&store.key(key.as_bytes()), NOW, |hit| hit.item).expect("it is there")
    }

    #[test]
    fn a_page_that_something_stays_in_is_kept() {
        let store = sparse_store();
        while !is_draining(&store) {
            assert!(store.maintain(NOW), "a page is not needed");
        }
        let number = item_ahead(&store).expect("something ahead");
        let key = format!("key{number}");
        let value =
            store.get(&store.key(key.as_bytes()), NOW, |hit| hit.pin()).expect("it is there");
        let at = hit_at(&store, &key);
        let slices =
            (0..100).take_while(|_| store.totals().drains_stopped == 0 && store.maintain(NOW));
        assert!(slices.count() < 100);
        while store.maintain(NOW) {}
        assert_eq!(store.totals().drains_stopped, 1);
        assert_eq!(hit_at(&store, &key), at);
        validate(&store);
        drop(value);
        while store.maintain(Secs(NOW.0 + 1)) {}
        validate(&store);
        assert_eq!(store.totals().curr_items, ITEMS as u64 / 4);
    }
}
