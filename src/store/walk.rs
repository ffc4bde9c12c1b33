//! Going through all items, or those of one class, bit by bit and beside all other work.
//!
//! A walk is a cursor and nothing else: who holds one may go on at once, later or never. Each call
//! locks one shard at a time, for some 20 to 50 µs, and changes nothing.
//!
//! [`Walk`] goes through the index ([`index::walk`](super::index)): it shows every item that is
//! there from its beginning to its end exactly once, whatever the index does meanwhile.
//! [`ClassWalk`] goes through the pages of one class, so that a small class costs little. Pages that
//! move between classes meanwhile can hide items from it or show them twice.
#![forbid(unsafe_code)]

use super::Store;
use super::arena::Ref;
use super::class::ClassId;
use super::index;
use super::item::{Chunk, Kind, Mark};
use super::shard::Shard;
use crate::clock::{Expiry, Secs};
use crate::sync::unlock_fair;

/// What one call may spend: some 20 to 50 µs of a shard's lock.
const BUDGET: u32 = 1024;

/// Cost of a bucket, of which each is one line of memory.
const BUCKET_COST: u32 = 4;

/// Cost of a chunk that is only looked at; chunks lie side by side.
const CHUNK_COST: u32 = 1;

/// Cost of an item, which lies anywhere and whose visitor formats a line.
const ITEM_COST: u32 = 12;

/// Cost of a shard, of which one lock after the other is taken.
const SHARD_COST: u32 = 4;

/// Where a walk over all items goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    shard: u32,
    position: u32,
}

/// Where a walk over the items of a class goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassWalk {
    class: ClassId,
    shard: u32,
    page: u32,
    chunk: u32,
}

impl ClassWalk {
    /// A walk over `class` that has seen nothing. There may be no such class.
    pub fn new(class: u8) -> ClassWalk {
        ClassWalk { class: ClassId(class), shard: 0, page: 0, chunk: 0 }
    }
}

/// An item as the visitor of a walk sees it, under the shard's lock: format and copy, nothing slow.
pub struct Entry<'a> {
    shard: &'a Shard,
    item: Ref,
}

impl Entry<'_> {
    /// The key.
    pub fn key(&self) -> &[u8] {
        self.shard.slab.key(self.item)
    }

    /// Whether the key was given in base64 and can hold any byte.
    pub fn is_binary_key(&self) -> bool {
        self.chunk().has(Mark::BINARY_KEY)
    }

    /// When the item expires.
    pub fn expiry(&self) -> Expiry {
        self.chunk().expiry()
    }

    /// Second of the last access or store.
    pub fn access(&self) -> Secs {
        self.shard.accessed_at(self.chunk())
    }

    /// The CAS unique; 0 when the store runs without CAS.
    pub fn cas(&self) -> u64 {
        if self.shard.settings.cas { self.chunk().cas() } else { 0 }
    }

    /// Whether it was fetched since it was stored.
    pub fn is_fetched(&self) -> bool {
        self.chunk().has(Mark::FETCHED)
    }

    /// Its slab class.
    pub fn class(&self) -> u8 {
        self.shard.slab.class_of(self.item).0
    }

    /// Bytes that it asked for: header, key, flags and value.
    pub fn size_bytes(&self) -> usize {
        self.chunk().requested_bytes()
    }

    /// Length of the value in bytes.
    pub fn value_len(&self) -> usize {
        self.chunk().value_len()
    }

    /// Client flags.
    pub fn flags(&self) -> u32 {
        self.chunk().flags()
    }

    fn chunk(&self) -> Chunk {
        self.shard.slab.chunk(self.item)
    }
}

impl Store {
    /// Shows `visit` some of the items that `walk` has not come to, and moves it on. False when
    /// there are none left. Items that have expired or were flushed are not shown.
    pub fn walk(&self, walk: &mut Walk, now: Secs, mut visit: impl FnMut(&Entry<'_>)) -> bool {
        let Some(shard) = self.shards.get(walk.shard as usize) else { return false };
        let shard = shard.lock();
        match shard.walk(walk.position, now, &mut visit) {
            Some(position) => walk.position = position,
            None => *walk = Walk { shard: walk.shard + 1, position: 0 },
        }
        // Who waits for this shard comes before the next call for it.
        unlock_fair(shard);
        (walk.shard as usize) < self.shards.len()
    }

    /// The same for the items of one class; `visit` says whether it wants more.
    pub fn walk_class(
        &self,
        walk: &mut ClassWalk,
        now: Secs,
        mut visit: impl FnMut(&Entry<'_>) -> bool,
    ) -> bool {
        let mut budget = BUDGET;
        if !self.has_class(walk.class.0) {
            return false;
        }
        while let Some(shard) = self.shards.get(walk.shard as usize) {
            let shard = shard.lock();
            let wants_more = shard.walk_class(walk, now, &mut budget, &mut visit);
            unlock_fair(shard);
            if !wants_more {
                return false;
            }
            budget = budget.saturating_sub(SHARD_COST);
            if budget == 0 {
                return true;
            }
        }
        false
    }
}

impl Shard {
    /// Visits items from `position` on; where to go on, None at the end.
    fn walk(
        &self,
        mut position: u32,
        now: Secs,
        visit: &mut impl FnMut(&Entry<'_>),
    ) -> Option<u32> {
        let mut budget = BUDGET;
        loop {
            let interval = self.index.interval(position);
            // Of a bucket that was merged behind the cursor, half has been seen.
            let is_whole = interval.start == position;
            budget = budget.saturating_sub(BUCKET_COST);
            self.index.for_each_in(interval.bucket, |_, item| {
                budget = budget.saturating_sub(ITEM_COST);
                let is_ahead =
                    || index::position(self.hasher.hash(self.slab.key(item))) >= position;
                if (is_whole || is_ahead()) && self.gone(self.slab.chunk(item), now).is_none() {
                    visit(&Entry { shard: self, item });
                }
            });
            position = interval.next?;
            if budget == 0 {
                return Some(position);
            }
        }
    }

    /// Visits items of a class until `budget` is used up or `walk` is at the next shard. False:
    /// the visitor has had enough.
    fn walk_class(
        &self,
        walk: &mut ClassWalk,
        now: Secs,
        budget: &mut u32,
        visit: &mut impl FnMut(&Entry<'_>) -> bool,
    ) -> bool {
        while let Some(&page) = self.slab.pages(walk.class).get(walk.page as usize) {
            while (walk.chunk as usize) < self.slab.per_page(walk.class) {
                if *budget == 0 {
                    return true;
                }
                let item = self.slab.chunk_at(walk.class, page, walk.chunk as usize);
                walk.chunk += 1;
                *budget = budget.saturating_sub(CHUNK_COST);
                let chunk = self.slab.chunk(item);
                let is_seen = chunk.kind() == Kind::Item
                    && chunk.has(Mark::LINKED)
                    && self.gone(chunk, now).is_none();
                if is_seen {
                    *budget = budget.saturating_sub(ITEM_COST);
                    if !visit(&Entry { shard: self, item }) {
                        return false;
                    }
                }
            }
            (walk.page, walk.chunk) = (walk.page + 1, 0);
        }
        *walk = ClassWalk { shard: walk.shard + 1, page: 0, chunk: 0, ..*walk };
        true
    }
}
