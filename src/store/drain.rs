//! Emptying a page in slices, to give it back to the arena: one above the shard's share, or one that its
//! class does not need.
//!
//! The chunks of the page are gone through in order. One that is free is withheld, what lies in the
//! others moves to other pages of the class, or goes where that may be. What is behind stays withheld;
//! what is ahead lives on between the slices, and whatever is freed or stored there meanwhile is met in
//! its turn. So no slice is longer than a few moves, however many chunks a page has. Where something has
//! come to stay, being read or written without the lock, or there is no room left, the chunks go back.
#![forbid(unsafe_code)]

use super::arena::{PageId, Ref};
use super::class::ClassId;
use super::item::{Kind, Mark};
use super::shard::Shard;
use crate::clock::Secs;

/// What one slice may cost, in chunks that are free: some 30 µs.
const SLICE_COST: usize = 256;
/// Moving or freeing an item: what belongs to it is in no cache.
const ITEM_COST: usize = 4;
/// So many links of a chain are walked along at that cost.
const LINKS_PER_COST: usize = 4;

/// A class keeps as many free chunks as two and a half of its pages hold (memcached's own bound), so
/// that stores and deletes in turn do not send pages to and fro.
const SLACK_KEPT_TIMES_2: usize = 5;

/// A page that is being emptied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    class: ClassId,
    page: PageId,
    /// The chunk that comes next.
    next: usize,
    /// What was not hit lately goes, and what finds no room.
    evicts: bool,
}

impl Shard {
    /// Does one slice: of the page that is being emptied, or of the next one. False: there is none.
    pub(super) fn drain(&mut self, now: Secs) -> bool {
        let Some(drain) = self.drain.take().or_else(|| self.page_to_drain(now)) else {
            return false;
        };
        self.drain = self.drain_slice(drain, now);
        true
    }

    /// Whether `page` is being emptied, so that some of its chunks are nobody's.
    #[cfg(test)]
    pub(super) fn is_draining(&self, page: PageId) -> bool {
        self.drain.is_some_and(|drain| drain.page == page)
    }

    /// A page above the share; once a second one that its class does not need.
    fn page_to_drain(&mut self, now: Secs) -> Option<Drain> {
        if self.pages_held > self.pages_max {
            let slack = self.slab.sizes().all().find(|&class| self.slab.is_slack(class));
            let drain = slack.and_then(|class| self.drain_of(class, false));
            if drain.is_some() || !self.settings.evictions {
                return drain;
            }
            return self.donors(None).into_iter().find_map(|class| self.drain_of(class, true));
        }
        if self.slack_looked == now.0 || !self.settings.automove || !self.slab.has_slack() {
            return None;
        }
        self.slack_looked = now.0;
        let slack = self.slab.sizes().all().find(|&class| {
            2 * self.slab.free_chunks(class) > SLACK_KEPT_TIMES_2 * self.slab.per_page(class)
        });
        slack.and_then(|class| self.drain_of(class, false))
    }

    fn drain_of(&mut self, class: ClassId, evicts: bool) -> Option<Drain> {
        let number = self.removable_page(class)?;
        Some(Drain { class, page: self.slab.pages(class)[number], next: 0, evicts })
    }

    /// What is left to do.
    fn drain_slice(&mut self, mut drain: Drain, now: Secs) -> Option<Drain> {
        let Drain { class, page, .. } = drain;
        let mut budget = SLICE_COST;
        while drain.next < self.slab.per_page(class) {
            if budget == 0 {
                return Some(drain);
            }
            let chunk = self.slab.chunk_at(class, page, drain.next);
            let Some(cost) = self.drain_chunk(drain, chunk, now) else {
                self.give_back(drain);
                return None;
            };
            budget = budget.saturating_sub(cost);
            drain.next += 1;
        }
        if let Some(number) = self.slab.pages(class).iter().position(|&held| held == page) {
            let page = self.remove_page(class, number, ClassId(0), now);
            self.give_page(page);
            self.counters.pages_moved += u64::from(!drain.evicts);
        }
        None
    }

    /// Puts what was withheld among the free chunks again, wherever in the page it is.
    fn give_back(&mut self, drain: Drain) {
        for index in 0..self.slab.per_page(drain.class) {
            let chunk = self.slab.chunk_at(drain.class, drain.page, index);
            let seen = self.slab.chunk(chunk);
            if seen.kind() == Kind::Link && !seen.owner().is_some() {
                self.slab.give(chunk);
            }
        }
    }

    /// Sees to it that nothing is in a chunk, and that nothing will be; what that has cost. None: it has
    /// to stay.
    fn drain_chunk(&mut self, drain: Drain, chunk: Ref, now: Secs) -> Option<usize> {
        let Some(item) = self.item_of(chunk) else {
            // One that is nobody's was handed out and withheld when room was looked for.
            if self.slab.is_free(chunk) {
                self.slab.withhold_free(chunk);
            }
            return Some(1);
        };
        let seen = self.slab.chunk(item);
        if !self.is_free_to_go(item) {
            return None;
        }
        let links = match seen.has(Mark::CHAINED) {
            true => seen.value_len() / self.slab.chunk_bytes(drain.class),
            false => 0,
        };
        let is_gone = self.gone(seen, now).is_some();
        let to = match is_gone || (drain.evicts && seen.freq() == 0) {
            true => None,
            false => self.take_elsewhere(drain),
        };
        match to {
            Some(to) => self.move_chunk(chunk, to),
            None if is_gone => {
                self.reclaim(item);
                self.class_mut(drain.class).reclaimed += 1;
                self.slab.withhold_free(chunk);
            }
            None if drain.evicts => {
                self.evict(item, now);
                self.slab.withhold_free(chunk);
            }
            None => return None,
        }
        Some(ITEM_COST * (1 + links / LINKS_PER_COST))
    }

    /// A free chunk of another page; those of this one that are met are withheld.
    fn take_elsewhere(&mut self, drain: Drain) -> Option<Ref> {
        loop {
            let chunk = self.slab.take(drain.class)?;
            if self.slab.page_of(chunk) != drain.page {
                return Some(chunk);
            }
            self.slab.withhold_chunk(chunk);
        }
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
        let options = Options {
            memory_bytes: 8 << 20,
            item_size_max: 1 << 20,
            growth_factor: 1.25,
            chunk_space_min: 48,
            evictions: true,
            cas: true,
            large_pages: false,
            crawler: true,
            automove: true,
            track_sizes: false,
            threads: 1,
        };
        let store = Store::new(&options).expect("memory");
        let terms = Terms::default();
        for number in 0..ITEMS {
            let (key, meta) = (format!("key{number}"), Meta::default());
            store.store(&terms, &store.key(key.as_bytes()), meta, b"x", NOW).expect("room");
        }
        for number in (0..ITEMS).filter(|number| number % 4 > 0) {
            let key = format!("key{number}");
            store.delete(&store.key(key.as_bytes()), None, NOW).expect("it is there");
        }
        store
    }

    fn is_draining(store: &Store) -> bool {
        store.shards.iter().any(|shard| shard.lock().drain.is_some())
    }

    /// The number of an item that lies ahead in a page that is being emptied.
    fn item_ahead(store: &Arc<Store>) -> Option<usize> {
        (0..ITEMS).step_by(4).find(|number| {
            let key = format!("key{number}");
            let is_ahead = store.get(&store.key(key.as_bytes()), NOW, |hit| {
                hit.shard.is_draining(hit.shard.slab.page_of(hit.item))
            });
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
        let before = store.totals().slab_global_page_pool;
        assert!(store.maintain(NOW) && !is_draining(&store));
        assert_eq!(store.totals().slab_global_page_pool, before);
        validate(&store);
        drop(value);
        while store.maintain(Secs(NOW.0 + 1)) {}
        validate(&store);
        assert_eq!(store.totals().curr_items, ITEMS as u64 / 4);
    }
}
