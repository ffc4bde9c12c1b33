//! Finding room: free chunks, fresh pages, evicted items, pages of other classes.
//!
//! Which item of a class goes is for its hands to say (`hands`), which class gives a page to which for
//! the mover (`mover`), and a page is emptied bit by bit (`drain`). A class that has nothing to evict
//! takes a page in any case, so that nothing is refused while anything can go.
#![forbid(unsafe_code)]

use super::arena::{PageId, Ref};
use super::class::ClassId;
use super::drain::{ITEMS_PER_SLICE, Recipient};
use super::item::{Kind, Mark};
use super::queue::Queue;
use super::shard::Shard;
use crate::clock::{Expiry, Secs};

/// Slices of a sweep that one allocation does after a flush, each of some 20 to 50 µs.
const SWEEPS_MAX: usize = 8;

impl Shard {
    /// Takes a chunk of `class`, making room if need be. The caller makes it an item or a link
    /// before it asks for the next. None: no memory.
    pub(super) fn alloc(&mut self, class: ClassId, now: Secs) -> Option<Ref> {
        if let Some(chunk) = self.slab.take(class) {
            return Some(chunk);
        }
        if let Some(page) = self.take_page() {
            self.slab.add_page(class, page);
            return self.slab.take(class);
        }
        self.class_mut(class).direct_reclaims += 1;
        self.make_room(class, now);
        let chunk = self.slab.take(class);
        if chunk.is_none() {
            self.class_mut(class).outofmemory += 1;
        }
        chunk
    }

    /// Gets the index a page of spill buckets at once: one that is free, or a class's. False: no memory.
    pub(super) fn obtain_spill_page(&mut self, now: Secs) -> bool {
        if let Some(page) = self.take_page() {
            self.index.add_spill_page(page);
            return true;
        }
        // Not by way of the arena: a shard above its share would get nothing back from there.
        self.give_up_page(Recipient::Spill, now)
    }

    /// Takes a page from a class at once. False: there is none that can be emptied, or nothing may be
    /// evicted.
    pub(super) fn give_up_page(&mut self, to: Recipient, now: Secs) -> bool {
        if self.claim_drain(to, now) {
            return true;
        }
        if let Some(class) = self.slack_class()
            && self.drain_now(class, to, now)
        {
            return true;
        }
        let givers = if self.settings.evictions { self.givers(None) } else { Vec::new() };
        givers.into_iter().any(|giver| self.drain_now(giver, to, now))
    }

    /// Hands a page that nothing uses back to the arena.
    pub(super) fn give_page(&mut self, page: PageId) {
        self.pages_held -= 1;
        self.arena.give(page);
    }

    /// Frees an item that is expired or flushed; `item` is linked.
    pub(super) fn reclaim(&mut self, item: Ref) {
        let chunk = self.slab.chunk(item);
        let class = self.slab.class_of(item);
        if !chunk.has(Mark::FETCHED) {
            self.class_mut(class).expired_unfetched += 1;
        }
        let hash = self.hasher.hash(self.slab.key(item));
        let slot = self.slot_of(hash, item);
        self.unlink(slot, hash, item);
    }

    fn make_room(&mut self, class: ClassId, now: Secs) {
        if self.sweep_for(class, now) {
            return;
        }
        if !self.settings.evictions {
            let slack = self.slack_class();
            let to = Recipient::Class(class);
            if !slack.is_some_and(|giver| self.drain_now(giver, to, now)) {
                self.reclaim_one(class, now);
            }
            return;
        }
        if self.drain.is_some() {
            self.drain_slice(ITEMS_PER_SLICE, now);
        } else if let Some(giver) = self.page_giver(class) {
            self.begin_drain(giver, Recipient::Class(class));
        }
        if self.slab.free_chunks(class) == 0 && !self.evict_one(class, now) {
            self.take_page_over(class, now);
        }
    }

    /// Gets a class that has nothing to evict a page at once.
    fn take_page_over(&mut self, class: ClassId, now: Secs) {
        let to = Recipient::Class(class);
        if self.claim_drain(to, now) {
            return;
        }
        let mut givers = self.givers(Some(class)).into_iter();
        let _found = givers.any(|giver| self.drain_now(giver, to, now));
    }

    /// After a flush: looks for what it has left before anything that lives has to go. Whether that has
    /// made room.
    fn sweep_for(&mut self, class: ClassId, now: Secs) -> bool {
        for _ in 0..SWEEPS_MAX {
            if !self.sweep.opens_any() {
                return false;
            }
            self.sweep(now);
            if self.slab.free_chunks(class) > 0 {
                return true;
            }
        }
        false
    }

    pub(super) fn is_free_to_go(&self, item: Ref) -> bool {
        let chunk = self.slab.chunk(item);
        chunk.has(Mark::LINKED) && !chunk.has(Mark::PINNED)
    }

    pub(super) fn evict(&mut self, item: Ref, now: Secs) {
        let chunk = self.slab.chunk(item);
        let class = self.slab.class_of(item);
        let idle = self.tick(now).saturating_sub(chunk.access());
        let (queue, chunks) = (self.queue_of(item), self.chunk_count(item));
        let counters = self.class_mut(class);
        counters.evicted += 1;
        counters.evicted_time = u64::from(idle);
        counters.evicted_nonzero += u64::from(chunk.expiry() != Expiry::NEVER);
        counters.evicted_unfetched += u64::from(!chunk.has(Mark::FETCHED));
        counters.evicted_active += u64::from(chunk.freq() > 0);
        counters.chunks_since_page += chunks as u32;
        self.tell_eviction(item, idle, now);
        let hash = self.hasher.hash(self.slab.key(item));
        self.ghosts.evicted(hash, class, queue, chunks);
        if queue != Queue::Small {
            self.ageing.note_main_eviction(chunks as f32 / self.slab.per_page(class) as f32);
        }
        let slot = self.slot_of(hash, item);
        self.unlink(slot, hash, item);
    }

    /// The item that a chunk belongs to.
    pub(super) fn item_of(&self, chunk: Ref) -> Option<Ref> {
        let seen = self.slab.chunk(chunk);
        match seen.kind() {
            Kind::Item => Some(chunk),
            Kind::Link => Some(seen.owner()).filter(|owner| owner.is_some()),
            Kind::Free => None,
        }
    }
}
