//! A walk over everything that a store holds, for tests: every page, list, chain and bucket, and
//! every sum, against each other.
#![forbid(unsafe_code)]

use std::collections::HashSet;

use super::Store;
use super::arena::{PageId, Ref};
use super::class::ClassId;
use super::item::{Kind, Mark};
use super::queue::{Place, Queue};
use super::shard::Shard;
use crate::clock::Expiry;

/// Walks everything that a store holds and checks that it is in order.
pub(crate) fn validate(store: &Store) {
    let mut pages = 0;
    for shard in &store.shards {
        let shard = shard.lock();
        shard.validate();
        pages += shard.pages_held;
    }
    assert_eq!(pages, store.arena.taken_pages());
}

/// Items that somebody reads without a lock.
#[cfg(test)]
#[allow(dead_code, reason = "for tests/shuttle, where this file is taken in")]
pub(crate) fn pinned_items(store: &Store) -> usize {
    store.shards.iter().map(|shard| shard.lock().pins.len()).sum()
}

/// Whether the limit that is shown, the arena's and those of the shards are of one command.
#[cfg(test)]
#[allow(dead_code, reason = "for tests/shuttle, where this file is taken in")]
pub(crate) fn limits_agree(store: &Store) -> bool {
    use super::ghost::SET_BYTES;
    use super::shape::{ghost_sets, with_allowance};

    let (bytes, shards) = (store.limit_bytes(), store.shards.len());
    let sets = ghost_sets(bytes, shards);
    let left = with_allowance(bytes) - store.lent_bytes() - shards * sets * SET_BYTES;
    let mut shards_agree = store.shards.iter().enumerate().map(|(number, shard)| {
        let shard = shard.lock();
        shard.pages_max == store.arena.share_of(number, shards)
            && shard.ghosts.bytes() == sets * SET_BYTES
    });
    store.arena.limit_pages() == left / store.arena.cost_of(1) && shards_agree.all(|agrees| agrees)
}

/// Items in the index, those included that a flush has made invisible and that no sum counts.
pub(super) fn held_items(store: &Store) -> usize {
    store.shards.iter().map(|shard| shard.lock().index.items()).sum()
}

impl Shard {
    fn validate(&self) {
        let mut linked = HashSet::new();
        let mut pages = self.index.pages();
        let (mut links, mut links_of_items) = (0, 0);
        let mut items = vec![(0, 0); self.classes.len()];
        for class in self.slab.sizes().all() {
            self.validate_queues(class);
            let mut free = 0;
            pages += self.slab.pages(class).len();
            for &page in self.slab.pages(class) {
                for index in 0..self.slab.per_page(class) {
                    let chunk = self.slab.chunk_at(class, page, index);
                    let seen = self.slab.chunk(chunk);
                    match seen.kind() {
                        Kind::Free => free += 1,
                        Kind::Link if seen.is_withheld() => {
                            assert!(self.slab.is_draining_page(page))
                        }
                        Kind::Link => {
                            self.validate_link(chunk);
                            links += 1;
                        }
                        Kind::Item => {
                            links_of_items += self.validate_item(chunk);
                            if seen.has(Mark::LINKED) {
                                linked.insert(chunk);
                            }
                            if seen.has(Mark::LINKED) && seen.access() >= self.live_from {
                                let of = &mut items[usize::from(self.slab.class_of(chunk).0)];
                                *of = (of.0 + 1, of.1 + seen.requested_bytes() as u64);
                            }
                        }
                    }
                }
                self.validate_floors(class, page);
            }
            assert_eq!(free, self.slab.free_chunks(class));
        }
        assert_eq!(links, links_of_items, "every link is in its owner's chain");
        assert_eq!(pages, self.pages_held);
        assert_eq!(items.iter().map(|(_, bytes)| bytes).sum::<u64>(), self.counters.bytes);
        for (class, counters) in self.classes.iter().enumerate() {
            assert_eq!(items[class], (counters.items, counters.requested));
        }
        self.validate_index(&linked);
    }

    /// A region's floor is no later than any item's that begins there, a page's no later than a region's.
    fn validate_floors(&self, class: ClassId, page: PageId) {
        let page_floor = self.slab.expiry_floor(page);
        let mut next = 0;
        for region in 0..self.slab.regions_per_page() {
            let floor = self.slab.region_floor(page, region);
            assert!(floor == 0 || (page_floor != 0 && page_floor <= floor));
            let chunks = self.slab.chunks_of(class, region);
            assert_eq!(chunks.start, next, "each chunk begins in one region");
            next = chunks.end;
            for index in chunks {
                let seen = self.slab.chunk(self.slab.chunk_at(class, page, index));
                let expires = seen.kind() == Kind::Item
                    && seen.has(Mark::LINKED)
                    && seen.expiry() != Expiry::NEVER;
                assert!(!expires || (floor != 0 && floor <= seen.expiry().0));
            }
        }
        assert_eq!(next, self.slab.per_page(class));
    }

    /// Only items stand in queues, and the sums are right.
    fn validate_queues(&self, class: ClassId) {
        let queues = self.slab.queues(class);
        let (mut small_chunks, mut main_items, mut temporary_items) = (0, 0, 0);
        for (number, &page) in self.slab.pages(class).iter().enumerate() {
            for index in 0..self.slab.per_page(class) {
                let at = Place { page: number, chunk: index };
                let chunk = self.slab.chunk_at(class, page, index);
                assert_eq!(self.slab.place_of(chunk), at);
                let seen = self.slab.chunk(chunk);
                let is_linked = seen.kind() == Kind::Item && seen.has(Mark::LINKED);
                assert_eq!(is_linked, queues.is_taken(at));
                match queues.at(at) {
                    Queue::Main => main_items += usize::from(is_linked),
                    Queue::Small => small_chunks += self.chunk_count(chunk),
                    Queue::Temporary => temporary_items += 1,
                }
            }
        }
        assert_eq!(
            (small_chunks, main_items, temporary_items),
            (queues.small_chunks(), queues.main_items(), queues.temporary_items())
        );
        for queue in [Queue::Small, Queue::Main, Queue::Temporary] {
            if let Some(at) = queues.next(queue, self.main_hand(class)) {
                assert_eq!(queues.at(at), queue);
            }
        }
    }

    fn validate_index(&self, linked: &HashSet<Ref>) {
        self.index.validate();
        let mut seen = HashSet::new();
        self.index.for_each(|bucket, tag, item| {
            let hash = self.hasher.hash(self.slab.key(item));
            assert_eq!(self.index.bucket_of(hash), bucket);
            assert_eq!(tag, (hash >> 56) as u8);
            assert!(seen.insert(item), "indexed twice");
        });
        assert_eq!(seen, *linked);
        assert_eq!(self.index.items(), linked.len());
    }

    /// Answers how many links the item has.
    fn validate_item(&self, item: Ref) -> usize {
        let chunk = self.slab.chunk(item);
        let bytes: usize = self.value_pieces(item).map(<[u8]>::len).sum();
        let is_upload = !chunk.has(Mark::LINKED) && !chunk.has(Mark::PINNED);
        assert!(bytes == chunk.value_len() || (is_upload && bytes < chunk.value_len()));
        if !chunk.has(Mark::CHAINED) {
            assert!(chunk.requested_bytes() <= self.slab.chunk_bytes(self.slab.class_of(item)));
            return 0;
        }
        let (mut before, mut at, mut links) = (Ref::NONE, chunk.chain(), 0);
        while at.is_some() {
            let link = self.slab.chunk(at);
            assert_eq!((link.kind(), link.owner(), link.prev()), (Kind::Link, item, before));
            (before, at) = (at, link.next());
            links += 1;
        }
        assert!(is_upload || self.chunk_count(item) == 1 + links);
        links
    }

    /// The chain that a link is in is checked with its item; that each is in one, by their number.
    fn validate_link(&self, link: Ref) {
        let owner = self.slab.chunk(self.slab.chunk(link).owner());
        assert!(owner.kind() == Kind::Item && owner.has(Mark::CHAINED));
    }
}
