//! Moving a page from one class to another because somebody asked for it (`slabs reassign`), and
//! whether pages move by themselves.
//!
//! Class 0 is what no class has: the pages of the arena that are free.
#![forbid(unsafe_code)]

use super::Store;
use super::class::ClassId;
use super::drain::Recipient;
use super::shard::Shard;
use crate::clock::Secs;

/// Why no page was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReassignRefusal {
    /// Source and destination are the same.
    Same,
    /// One of them does not exist, or no class has a page to spare.
    BadClass,
    /// The source has no page to spare, or none that may be emptied.
    NoSpare,
}

/// A source that stands for any class.
const ANY: i32 = -1;

/// A class with fewer pages keeps them.
const PAGES_MIN: usize = 2;

impl Store {
    /// Moves a page from class `src` to class `dst`, in one of the shards: in the one where `src` has
    /// most. What lies in it moves to other pages of its class as far as there is room, what does not
    /// is evicted. With `-M` nothing is evicted: the class has to have a page's worth of free chunks.
    pub fn reassign(&self, src: i32, dst: i32, now: Secs) -> Result<(), ReassignRefusal> {
        if src == dst {
            return Err(ReassignRefusal::Same);
        }
        let src = if src == ANY { self.any_class_but(dst) } else { self.page_class(src) };
        let (Some(src), Some(dst)) = (src, self.page_class(dst)) else {
            return Err(ReassignRefusal::BadClass);
        };
        if self.pages_of(src) < PAGES_MIN {
            return Err(ReassignRefusal::NoSpare);
        }
        let mut shards: Vec<(usize, usize)> = self
            .shards
            .iter()
            .enumerate()
            .map(|(number, shard)| (shard.lock().spare_pages(src), number))
            .filter(|(pages, _)| *pages > 0)
            .collect();
        shards.sort_unstable_by(|a, b| b.cmp(a));
        let mut candidates = shards.into_iter();
        candidates
            .any(|(_, number)| self.shard(number).reassign(src, dst, now))
            .then_some(())
            .ok_or(ReassignRefusal::NoSpare)
    }

    /// Whether pages move to the class that misses them most (`slabs automove`). Where a set would
    /// else be refused they move in any case.
    pub fn set_automove(&self, is_on: bool) {
        for shard in &self.shards {
            shard.lock().settings.automove = is_on;
        }
    }

    /// Items that are stored from now on with a TTL of so many seconds or less are evicted only when
    /// nothing else can be (`lru temp_ttl`).
    pub fn set_temporary_ttl(&self, secs: Option<u32>) {
        for shard in &self.shards {
            shard.lock().settings.temporary_ttl = secs;
        }
    }

    fn page_class(&self, class: i32) -> Option<ClassId> {
        let class = u8::try_from(class).ok()?;
        (class == 0 || self.has_class(class)).then_some(ClassId(class))
    }

    /// The class with most pages, but for one.
    fn any_class_but(&self, dst: i32) -> Option<ClassId> {
        let others = self.sizes.all().filter(|class| i32::from(class.0) != dst);
        others
            .map(|class| (self.pages_of(class), class))
            .filter(|(pages, _)| *pages >= PAGES_MIN)
            .max_by_key(|(pages, _)| *pages)
            .map(|(_, class)| class)
    }

    fn pages_of(&self, class: ClassId) -> usize {
        if class.0 == 0 {
            return self.arena.limit_pages().saturating_sub(self.arena.taken_pages());
        }
        self.shards.iter().map(|shard| shard.lock().slab.pages(class).len()).sum()
    }
}

impl Shard {
    /// Pages that could be taken from a class here.
    fn spare_pages(&self, class: ClassId) -> usize {
        match class.0 {
            0 => self.pages_max.saturating_sub(self.pages_held),
            _ => self.slab.pages(class).len(),
        }
    }

    /// Moves a page from one class to another. False: none could be taken.
    fn reassign(&mut self, src: ClassId, dst: ClassId, now: Secs) -> bool {
        if src.0 == 0 {
            let Some(page) = self.take_page() else { return false };
            self.slab.add_page(dst, page);
            self.counters.pages_moved += 1;
            return true;
        }
        let to = if dst.0 == 0 { Recipient::Arena } else { Recipient::Class(dst) };
        (self.slab.is_slack(src) || self.settings.evictions) && self.drain_now(src, to, now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::ReassignRefusal::{BadClass, NoSpare, Same};
    use super::*;
    use crate::clock::Expiry;
    use crate::store::queue::Queue;
    use crate::store::validate::validate;
    use crate::store::{Meta, Options, Terms};

    const NOW: Secs = Secs(100);

    fn store(evictions: bool) -> Arc<Store> {
        let options = Options {
            memory_bytes: 8 << 20,
            item_size_max: 1 << 20,
            growth_factor: 1.25,
            chunk_space_min: 48,
            evictions,
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

    fn set(store: &Store, number: usize, value: &[u8]) {
        let key = format!("key{number}");
        let meta = Meta::default();
        store.store(&Terms::default(), &store.key(key.as_bytes()), meta, value, NOW).expect("room");
    }

    fn pages(store: &Store, class: u8) -> u64 {
        let classes = store.classes(NOW);
        classes.iter().find(|held| held.id == class).map_or(0, |held| held.total_pages)
    }

    #[test]
    fn refusals_section_7() {
        let store = store(true);
        let last = i32::from(store.sizes.largest().0);
        assert_eq!(store.reassign(1, 1, NOW), Err(Same));
        assert_eq!(store.reassign(-1, -1, NOW), Err(Same));
        for (src, dst) in [(-5, 70), (1, last + 1), (last + 1, 1), (-2, 1), (1, -1), (-1, 1)] {
            assert_eq!(store.reassign(src, dst, NOW), Err(BadClass), "{src} {dst}");
        }
        assert_eq!(store.reassign(2, 1, NOW), Err(NoSpare));
        set(&store, 1, b"x");
        assert_eq!(store.reassign(1, 2, NOW), Err(NoSpare), "its only page");
    }

    #[test]
    fn pages_go_where_they_are_sent_and_items_stay() {
        for evictions in [true, false] {
            let store = store(evictions);
            (0..2000).for_each(|number| set(&store, number, b"x"));
            (0..2000).filter(|number| number % 2 == 0).for_each(|number| {
                let key = format!("key{number}");
                store.delete(&store.key(key.as_bytes()), None, NOW).expect("it is there");
            });
            let before = pages(&store, 1);
            assert_eq!(store.reassign(1, 5, NOW), Ok(()));
            assert_eq!(store.reassign(-1, 0, NOW), Ok(()));
            assert_eq!((pages(&store, 1), pages(&store, 5)), (before - 2, 1));
            assert_eq!(store.reassign(0, 5, NOW), Ok(()));
            assert_eq!(pages(&store, 5), 2);
            let most = pages(&store, 1);
            assert_eq!(store.reassign(-1, 0, NOW), Ok(()), "the class with most");
            assert_eq!((pages(&store, 1), pages(&store, 5)), (most - 1, 2));
            validate(&store);
            let totals = store.totals();
            assert_eq!((totals.curr_items, totals.evictions), (1000, 0));
            assert_eq!(totals.slabs_moved, 4);
            assert!(totals.rescues > 100, "{totals:?}");
        }
    }

    #[test]
    fn pages_that_are_not_needed_come_back() {
        for automove in [true, false] {
            let store = store(true);
            store.set_automove(automove);
            (0..40_000).for_each(|number| set(&store, number, b"x"));
            (0..40_000).filter(|number| number % 4 > 0).for_each(|number| {
                let key = format!("key{number}");
                store.delete(&store.key(key.as_bytes()), None, NOW).expect("it is there");
            });
            let before = store.totals();
            for second in 0..300 {
                while store.maintain(Secs(NOW.0 + second)) {}
            }
            validate(&store);
            let after = store.totals();
            assert_eq!((after.curr_items, after.evictions), (10_000, 0));
            let returned = after.slab_global_page_pool - before.slab_global_page_pool;
            assert_eq!(returned > 50, automove, "{returned} pages");
        }
    }

    #[test]
    fn items_go_only_where_they_may_be_evicted() {
        for (evictions, moved) in [(true, Ok(())), (false, Err(NoSpare))] {
            let store = store(evictions);
            (0..2000).for_each(|number| set(&store, number, b"x"));
            let (before, free) = (pages(&store, 1), store.shard(0).slab.free_chunks(ClassId(1)));
            assert!(free < store.shard(0).slab.per_page(ClassId(1)));
            assert_eq!(store.reassign(1, 5, NOW), moved);
            assert_eq!(store.totals().evictions > 0, evictions);
            assert_eq!(pages(&store, 1), before - u64::from(evictions));
            validate(&store);
        }
    }

    #[test]
    fn what_a_short_ttl_is_can_be_changed() {
        let store = store(true);
        let queue = |name: &str, ttl: u32| {
            let (key, meta) = (store.key(name.as_bytes()), Meta::default());
            let meta = Meta { expiry: Expiry(NOW.0 + ttl), ..meta };
            store.store(&Terms::default(), &key, meta, b"x", NOW).expect("room");
            store.get(&key, NOW, |hit| hit.shard.queue_of(hit.item)).expect("it is there")
        };
        assert_eq!(queue("a", 5), Queue::Small);
        store.set_temporary_ttl(Some(5));
        assert_eq!((queue("b", 5), queue("c", 6)), (Queue::Temporary, Queue::Small));
        store.set_temporary_ttl(None);
        assert_eq!(queue("d", 5), Queue::Small);
    }
}
