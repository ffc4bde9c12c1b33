//! Giving back what has expired, and an index grown too large, in the background and in slices.
//!
//! Each page knows a second before which none of its items expires, its expiry floor. A sweep
//! goes through the floors and opens only the pages whose floor has passed; there it frees what is
//! gone and notes the new floor. So a page of items without a TTL, or whose TTLs lie ahead, costs
//! a comparison, and no item pays for a place in a wheel or a list.
#![forbid(unsafe_code)]

use super::class::ClassId;
use super::item::{Kind, Mark};
use super::shard::Shard;
use crate::clock::{Expiry, Secs};

/// Chunks looked at in one slice: some 20 µs, one page of the smallest chunks.
const CHUNKS_PER_SLICE: usize = 2048;

/// Buckets that the index gives up in one slice: some 20 µs.
const BUCKETS_PER_SLICE: usize = 256;

/// Floors compared in one slice: some 10 µs.
const FLOORS_PER_SLICE: usize = 4096;

/// Where a sweep goes on: a page of a class. The class 0 begins a new sweep.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    class: u8,
    page: usize,
    /// A flush has left items in pages whose floor has not passed: all pages are opened.
    flushed: bool,
}

impl Shard {
    /// Lets the index shrink by one slice if it is far larger than its items need, and gives back
    /// the pages. False when there is nothing to do.
    pub(super) fn shrink_index(&mut self) -> bool {
        let merged = (0..BUCKETS_PER_SLICE)
            .take_while(|_| self.index.wants_shrinking() && self.index.shrink())
            .count();
        while let Some(page) = self.index.take_unused_page() {
            self.give_page(page);
        }
        merged > 0
    }

    /// Does one slice of a sweep. False when the sweep has come to its end.
    pub(super) fn sweep(&mut self, now: Secs) -> bool {
        let (mut chunks, mut floors) = (CHUNKS_PER_SLICE, FLOORS_PER_SLICE);
        let last = self.slab.sizes().largest().0;
        self.sweep.class = self.sweep.class.max(1);
        while self.sweep.class <= last {
            let class = ClassId(self.sweep.class);
            let Some(&page) = self.slab.pages(class).get(self.sweep.page) else {
                self.sweep.class += 1;
                self.sweep.page = 0;
                continue;
            };
            let floor = self.slab.expiry_floor(page);
            if self.sweep.flushed || (floor != 0 && floor <= now.0) {
                self.sweep_page(class, self.sweep.page, now);
                chunks = chunks.saturating_sub(self.slab.per_page(class));
            }
            self.sweep.page += 1;
            floors -= 1;
            if chunks == 0 || floors == 0 {
                return true;
            }
        }
        self.sweep = Cursor::default();
        false
    }

    /// Has the next sweep open every page, since a flush leaves its items anywhere.
    pub(super) fn sweep_flushed(&mut self) {
        self.sweep = Cursor { flushed: true, ..Cursor::default() };
    }

    fn sweep_page(&mut self, class: ClassId, number: usize, now: Secs) {
        let page = self.slab.pages(class)[number];
        let mut floor = u32::MAX;
        for index in 0..self.slab.per_page(class) {
            let item = self.slab.chunk_at(class, page, index);
            let chunk = self.slab.chunk(item);
            if chunk.kind() != Kind::Item || !chunk.has(Mark::LINKED) {
                continue;
            }
            self.class_mut(class).crawler_items_checked += 1;
            if self.gone(chunk, now).is_some() {
                self.reclaim(item);
                self.class_mut(class).crawler_reclaimed += 1;
            } else if chunk.expiry() != Expiry::NEVER {
                floor = floor.min(chunk.expiry().0);
            }
        }
        self.slab.set_expiry_floor(page, if floor == u32::MAX { 0 } else { floor });
    }
}
