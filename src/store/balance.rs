//! Pages between shards.
//!
//! Each shard may own an equal share of the pages, since hashing spreads keys evenly. What is not
//! even are large values on their way: twenty uploads of one key all fall on one shard. One that
//! can free nothing more of its own is lent a page's worth of another's share, and what was lent
//! goes back bit by bit. No two shards are locked at a time: the shares in between belong to nobody,
//! and their sum never exceeds the limit.
#![forbid(unsafe_code)]

use super::Store;
use super::drain::Recipient;
use crate::clock::Secs;

/// A shard keeps at least so many pages: for its index and for one of each of a few classes.
const PAGES_KEPT: usize = 8;

/// Of what a shard has beyond its share, one part in so many goes back each second.
const RETURN_PART: usize = 8;

impl Store {
    /// Raises the share of shard `to` by a page, at the cost of another. False: no other shard can
    /// free one.
    pub(super) fn lend(&self, to: usize, now: Secs) -> bool {
        let count = self.shards.len();
        for step in 1..count {
            let mut from = self.shard((to + step) % count);
            let is_unused = from.pages_held < from.pages_max;
            if from.pages_max <= PAGES_KEPT
                || !(is_unused || from.give_up_page(Recipient::Arena, now))
            {
                continue;
            }
            from.pages_max -= 1;
            drop(from);
            self.shard(to).pages_max += 1;
            return true;
        }
        false
    }

    /// Moves the shares toward each other. Pages above a share are given up by `maintain`.
    pub(super) fn even_out(&self) {
        let share_of = |number| self.arena.share_of(number, self.shards.len());
        let mut returned = 0;
        for (number, shard) in self.shards.iter().enumerate() {
            let (mut shard, share) = (shard.lock(), share_of(number));
            let part = shard.pages_max.saturating_sub(share).div_ceil(RETURN_PART);
            shard.pages_max -= part;
            returned += part;
        }
        for (number, shard) in self.shards.iter().enumerate() {
            let (mut shard, share) = (shard.lock(), share_of(number));
            let part = share.saturating_sub(shard.pages_max).min(returned);
            shard.pages_max += part;
            returned -= part;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::hash::Hasher;
    use crate::store::model::options;
    use crate::store::shape::{SMALL_PAGE_BYTES, Shape};
    use crate::store::validate::validate;
    use crate::store::{Meta, Terms};

    const NOW: Secs = Secs(100);

    /// Four shards of 16 pages each, and a page for their ghosts.
    fn store() -> Arc<Store> {
        let arena_bytes = 65 * SMALL_PAGE_BYTES;
        let shape = Shape {
            page_bytes: SMALL_PAGE_BYTES,
            shards: 4,
            ghost_sets: 8,
            arena_bytes,
            reserved_max_bytes: usize::MAX,
        };
        let options = options(arena_bytes, 40_000, true);
        Store::of_shape(&options, &shape, Hasher::seeded(1)).expect("memory")
    }

    fn shares(store: &Store) -> Vec<usize> {
        store.shards.iter().map(|shard| shard.lock().pages_max).collect()
    }

    #[test]
    fn a_page_is_lent_by_the_next_that_can_spare_one_and_comes_back_bit_by_bit() {
        let store = store();
        assert_eq!(shares(&store), [16, 16, 16, 16]);
        assert!(store.lend(2, NOW));
        assert_eq!(shares(&store), [16, 16, 17, 15]);
        store.shard(3).pages_max = PAGES_KEPT;
        assert!(store.lend(2, NOW));
        assert_eq!(shares(&store), [15, 16, 18, PAGES_KEPT]);
        store.shard(3).pages_max = 15;
        while store.lend(2, NOW) {}
        assert_eq!(shares(&store), [PAGES_KEPT, PAGES_KEPT, 40, PAGES_KEPT]);
        store.even_out();
        assert_eq!(shares(&store), [PAGES_KEPT + 3, PAGES_KEPT, 37, PAGES_KEPT]);
        for _ in 0..20 {
            store.even_out();
            assert_eq!(shares(&store).iter().sum::<usize>(), 64);
        }
        assert_eq!(shares(&store), [16, 16, 16, 16]);
    }

    /// Where no page is unused one is emptied for it, and no more are taken than there may be.
    #[test]
    fn a_full_shard_empties_a_page_to_lend_it() {
        let store = store();
        for number in 0..4000 {
            let (key, meta) = (format!("{number}"), Meta::default());
            let key = store.key(key.as_bytes());
            store.store(&Terms::default(), &key, meta, &[b'x'; 300], NOW).expect("room");
        }
        let held = |store: &Store| store.shards.iter().map(|s| s.lock().pages_held).collect();
        let full: Vec<usize> = held(&store);
        assert_eq!(full, [16, 16, 16, 16]);
        let evicted = store.totals().evictions;
        assert!(store.lend(0, NOW));
        assert_eq!((shares(&store), held(&store)), (vec![17, 15, 16, 16], vec![16, 15, 16, 16]));
        assert!(store.totals().evictions > evicted);
        validate(&store);
    }
}
