//! How much memory the items may take: `-m`, less what is lent to clients.
//!
//! Either changes at once for what is taken; what lies above is given back in slices, by
//! [`Store::maintain`] or by whoever needs it ([`Store::make_way`]).
#![forbid(unsafe_code)]

use super::ghost::SET_BYTES;
use super::shape::{Shape, ghost_sets, with_allowance};
use super::{Options, PAGES_PER_SHARD_LEAST, Store};
use crate::clock::Secs;
use crate::limits::{CLIENTS_FULL_PART, CLIENTS_KEPT_PART};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What bounds a store.
#[derive(Debug)]
pub(super) struct Limit {
    /// `-m`, or what `cache_memlimit` has made of it.
    bytes: AtomicUsize,
    /// Of it, what clients have.
    lent: AtomicUsize,
    /// All ghost tables.
    ghosts: AtomicUsize,
    can_give_way: bool,
    /// Held by the thread that changes one of them, which locks the shards in turn.
    changing: Mutex<()>,
    /// The shard that the next slice of [`Store::make_way`] looks at.
    turn: AtomicUsize,
}

/// Bytes of the limit that clients have for good, since no item can be evicted for them.
pub(super) fn kept_bytes(options: &Options) -> usize {
    let is_kept = !options.evictions || options.large_pages;
    if is_kept { options.memory_bytes / CLIENTS_KEPT_PART } else { 0 }
}

impl Limit {
    pub(super) fn new(options: &Options, shape: &Shape) -> Limit {
        Limit {
            bytes: AtomicUsize::new(options.memory_bytes),
            lent: AtomicUsize::new(kept_bytes(options)),
            ghosts: AtomicUsize::new(shape.shards * shape.ghost_sets * SET_BYTES),
            can_give_way: options.evictions && !options.large_pages,
            changing: Mutex::new(()),
            turn: AtomicUsize::new(0),
        }
    }
}

impl Store {
    /// The memory limit in bytes.
    pub fn limit_bytes(&self) -> usize {
        self.limit.bytes.load(Relaxed)
    }

    /// Bytes of it that clients have ([`Store::lend_to_clients`]).
    pub fn lent_bytes(&self) -> usize {
        self.limit.lent.load(Relaxed)
    }

    /// What is left of it for items.
    pub fn items_limit_bytes(&self) -> usize {
        self.limit_bytes() - self.lent_bytes().min(self.limit_bytes())
    }

    /// Bytes of the tables that remember evicted items.
    pub fn ghost_bytes(&self) -> usize {
        self.limit.ghosts.load(Relaxed)
    }

    /// Changes the memory limit (`cache_memlimit`), bytes. What lies above it is given back by
    /// [`Store::maintain`], but for the least that the shards need. False: memory was preallocated, or
    /// the reservation is too small.
    pub fn set_memory_limit(&self, bytes: usize) -> bool {
        let _alone = self.limit.changing.lock();
        let ghost_sets = ghost_sets(bytes, self.shards.len());
        let ghosts = self.shards.len() * ghost_sets * SET_BYTES;
        // What was lent of much is more than clients may have of little, and would leave nothing to the items.
        let lent = match self.can_give_way() {
            true => self.lent_bytes().min(bytes / CLIENTS_FULL_PART),
            false => bytes / CLIENTS_KEPT_PART,
        };
        if !self.apply(bytes, lent, ghosts) {
            return false;
        }
        self.limit.bytes.store(bytes, Relaxed);
        self.limit.lent.store(lent, Relaxed);
        self.limit.ghosts.store(ghosts, Relaxed);
        for shard in &self.shards {
            shard.lock().ghosts.resize(ghost_sets);
        }
        true
    }

    /// Has the items do without `bytes` of the limit, in place of what was lent before. False: memory was
    /// preallocated, and nothing of it can be lent.
    pub fn lend_to_clients(&self, bytes: usize) -> bool {
        let _alone = self.limit.changing.lock();
        let done = self.apply(self.limit_bytes(), bytes, self.ghost_bytes());
        if done {
            self.limit.lent.store(bytes, Relaxed);
        }
        done
    }

    /// Bytes of the limit that clients may be lent at the most.
    pub fn lent_bytes_max(&self) -> usize {
        match self.can_give_way() {
            true => self.limit_bytes() / CLIENTS_FULL_PART,
            false => self.lent_bytes(),
        }
    }

    /// Whether the items can give way to clients: some may be evicted, and memory be given back.
    pub fn can_give_way(&self) -> bool {
        self.limit.can_give_way
    }

    /// Whether more pages are in use than may be.
    pub fn is_above_limit(&self) -> bool {
        self.arena.is_above_limit()
    }

    /// One slice, some 40 µs, of giving back what lies above the limit. False: nothing is to be given back,
    /// or nothing can go.
    pub fn make_way(&self, now: Secs) -> bool {
        let count = self.shards.len();
        let first = self.limit.turn.load(Relaxed);
        for step in 0..count {
            let number = (first + step) % count;
            let mut shard = self.shard(number);
            if shard.pages_held > shard.pages_max && shard.give_back(now) {
                self.limit.turn.store(number, Relaxed);
                return true;
            }
        }
        false
    }

    /// Gives every shard its share of what such a limit leaves for pages.
    fn apply(&self, bytes: usize, lent: usize, ghosts: usize) -> bool {
        let shards = self.shards.len();
        let least = self.arena.cost_of(shards * PAGES_PER_SHARD_LEAST);
        let left = with_allowance(bytes).saturating_sub(ghosts + lent);
        if self.is_preallocated || !self.arena.set_limit(left.max(least)) {
            return false;
        }
        for (number, shard) in self.shards.iter().enumerate() {
            shard.lock().pages_max = self.arena.share_of(number, shards);
        }
        self.pages_round.ask_urgently();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::model::options;
    use crate::store::{Meta, Terms};

    fn filled() -> std::sync::Arc<Store> {
        let store = Store::new(&options(16 << 20, 1 << 20, true)).expect("memory");
        for number in 0..40_000 {
            let key = format!("key{number}");
            let key = store.key(key.as_bytes());
            store
                .store(&Terms::default(), &key, Meta::default(), &[b'x'; 500], Secs(100))
                .expect("room");
        }
        store
    }

    #[test]
    fn what_is_lent_is_given_back_in_slices() {
        let store = filled();
        let full = store.totals();
        assert!(!store.is_above_limit() && !store.make_way(Secs(100)));
        assert!(store.lend_to_clients(8 << 20));
        assert!(store.is_above_limit());
        assert_eq!((store.limit_bytes(), store.items_limit_bytes()), (16 << 20, 8 << 20));
        let mut slices = 0;
        while store.make_way(Secs(100)) {
            slices += 1;
        }
        assert!(slices > 100, "{slices} slices");
        assert!(!store.is_above_limit());
        for shard in &store.shards {
            let shard = shard.lock();
            assert_eq!(shard.pages_held, shard.pages_max, "and no page more");
        }
        let less = store.totals();
        assert_eq!(less.limit_maxbytes, full.limit_maxbytes, "what is shown stays");
        let held = less.total_malloced + less.hash_bytes;
        // With the allowance of a small store.
        assert!(held <= 10 << 20, "{held} B in pages");
        assert!(less.curr_items > full.curr_items * 2 / 5, "{} items", less.curr_items);
    }

    #[test]
    fn what_comes_back_is_used_again() {
        let store = filled();
        assert!(store.lend_to_clients(8 << 20));
        while store.make_way(Secs(100)) {}
        assert!(store.lend_to_clients(0));
        for number in 0..40_000 {
            let key = format!("new{number}");
            let key = store.key(key.as_bytes());
            store
                .store(&Terms::default(), &key, Meta::default(), &[b'x'; 500], Secs(101))
                .expect("room");
        }
        let totals = store.totals();
        assert!(totals.total_malloced + totals.hash_bytes > 15 << 20);
    }

    /// A limit that changes while something is lent, and the other way.
    #[test]
    fn both_bounds_hold_together() {
        let store = filled();
        assert!(store.lend_to_clients(4 << 20) && store.set_memory_limit(12 << 20));
        while store.make_way(Secs(100)) {}
        assert_eq!(store.items_limit_bytes(), 8 << 20);
        let held = |store: &Store| store.totals().total_malloced + store.totals().hash_bytes;
        assert!(held(&store) <= 10 << 20);
        assert!(store.set_memory_limit(6 << 20));
        assert_eq!(store.items_limit_bytes(), 3 << 20, "a half is left");
        assert!(store.set_memory_limit(12 << 20));
        assert!(store.lend_to_clients(100 << 20), "more than there is");
        while store.make_way(Secs(100)) {}
        assert_eq!(store.items_limit_bytes(), 0);
        assert!(held(&store) <= 2 << 20, "the least that the shards need");
    }

    #[test]
    fn ghosts_are_counted_as_they_are() {
        let store = filled();
        for limit in [16 << 20, 12 << 20, 8 << 20] {
            assert!(store.set_memory_limit(limit));
            let bytes: usize = store.shards.iter().map(|shard| shard.lock().ghosts.bytes()).sum();
            assert_eq!(store.ghost_bytes(), bytes);
            assert!((limit / 200..=limit / 100).contains(&bytes), "{bytes} of {limit}");
        }
    }
}
