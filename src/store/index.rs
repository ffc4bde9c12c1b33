//! The index of one shard: from hash to item reference, one cache line a lookup.
//!
//! Linear hashing (Litwin, VLDB 1980): buckets are split one at a time, in order, so that growth
//! never pauses and never doubles. Buckets lie in arena pages and are counted in the memory
//! budget like items.
//!
//! ```text
//! bucket, 64 B    | 12 tags, 1 B each | next u32 | 12 references, 4 B each |
//! ```
//!
//! A bucket that is full goes on in a spill bucket (`next`). When an item leaves such a chain the last
//! one takes its slot, so that all buckets but the last are full and none is in the chain for nothing.
//! The index grows when it holds more than 8.5 items a bucket, spill buckets counted, so that it costs
//! at most 64/8.5 = 7.5 B an item once it has outgrown its first page.
//!
//! Bits of a hash: the lowest 8 choose the shard, the upper 8 are the tag, what lies between
//! chooses the bucket. A slot keeps the tag only; to split a bucket its items are hashed anew.

mod outline;
mod spill;
mod walk;

#[cfg(test)]
mod tests;

use std::ptr::NonNull;
use std::sync::Arc;

use super::arena::{Arena, Geometry, PageId, Ref};
pub(super) use outline::Outline;
use spill::Spills;
pub(super) use walk::position;

/// Items a bucket, times two, above which the index grows: 8.5 of 12.
const LOAD_TIMES_2: usize = 17;

/// It shrinks when it holds fewer than one part in so many of that.
const SLACK: usize = 3;

const SLOTS: usize = 12;

#[derive(Debug)]
#[repr(C, align(64))]
struct Bucket {
    tags: [u8; SLOTS],
    /// Spill bucket that goes on, plus one; 0 for none. In a free spill bucket: the next free one of
    /// its page.
    next: u32,
    refs: [Ref; SLOTS],
}

const BUCKET_BYTES: usize = size_of::<Bucket>();
const _: () = assert!(BUCKET_BYTES == 64);

/// A place in the index: where an item is until another is added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    at: Place,
    slot: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Main(u32),
    Spill(u32),
}

/// See the module documentation. All positions are those of one shard; the shard's lock is held
/// by whoever has a reference to this.
#[derive(Debug)]
pub(super) struct Index {
    /// Kept, since the buckets lie in it.
    _arena: Arc<Arena>,
    places: Geometry,
    main: Vec<PageId>,
    spill: Spills,
    /// Buckets in use: `1 << level` plus `split`.
    level: u32,
    split: u32,
    items: usize,
    /// Logarithm of the buckets in a page.
    page_shift: u32,
    outline: Arc<Outline>,
}

impl Index {
    /// An empty index in `page`, which it owns from now on.
    pub(super) fn new(arena: Arc<Arena>, page: PageId) -> Index {
        let page_shift = (arena.page_bytes() / BUCKET_BYTES).ilog2();
        let mut index = Index {
            outline: Arc::new(Outline::new(arena.geometry(), page_shift)),
            places: arena.geometry(),
            _arena: arena,
            main: Vec::new(),
            spill: Spills::default(),
            level: page_shift,
            split: 0,
            items: 0,
            page_shift,
        };
        index.add_main_page(page);
        index
    }

    /// The first reference under `hash` for which `is_it` holds.
    pub(super) fn find(
        &self,
        hash: u64,
        mut is_it: impl FnMut(Ref) -> bool,
    ) -> Option<(Slot, Ref)> {
        let mut at = Place::Main(self.bucket_of(hash));
        loop {
            let bucket = self.bucket(at);
            for slot in bucket.matches(tag(hash)) {
                let item = bucket.refs[slot];
                if item.is_some() && is_it(item) {
                    return Some((Slot { at, slot }, item));
                }
            }
            if bucket.next == 0 {
                return None;
            }
            at = Place::Spill(bucket.next - 1);
        }
    }

    /// What may be known of it without the lock.
    pub(super) fn outline(&self) -> &Arc<Outline> {
        &self.outline
    }

    /// Tells `visit` of what may be found first under `hash`.
    pub(super) fn candidates(&self, hash: u64, mut visit: impl FnMut(Ref)) {
        let bucket = self.bucket(Place::Main(self.bucket_of(hash)));
        for slot in bucket.matches(tag(hash)) {
            let item = bucket.refs[slot];
            if item.is_some() {
                visit(item);
            }
        }
    }

    /// Puts another reference in the place of one that was found.
    pub(super) fn replace(&mut self, slot: Slot, item: Ref) {
        self.bucket_mut(slot.at).refs[slot.slot] = item;
    }

    /// Adds a reference under `hash`. False, and nothing changed, when its bucket is full and
    /// there is no spill bucket: give a page by [`Index::add_spill_page`] and try again.
    #[must_use]
    pub(super) fn insert(&mut self, hash: u64, item: Ref) -> bool {
        let done = self.insert_at(Place::Main(self.bucket_of(hash)), tag(hash), item);
        self.items += usize::from(done);
        done
    }

    /// Takes the reference in `slot` away.
    pub(super) fn remove(&mut self, slot: Slot, hash: u64) {
        self.items -= 1;
        let Slot { at, slot } = slot;
        let next = self.bucket(at).next;
        if next == 0 && matches!(at, Place::Main(_)) {
            self.bucket_mut(at).clear(slot);
        } else {
            self.fill_from_last(at, slot, self.bucket_of(hash));
        }
    }

    /// Whether there are more items than buckets for them.
    pub(super) fn wants_growth(&self) -> bool {
        self.items * 2 > (self.buckets() + self.spill.used()) * LOAD_TIMES_2
    }

    /// Whether the next bucket needs a page first ([`Index::add_main_page`]).
    pub(super) fn needs_main_page(&self) -> bool {
        self.buckets() == self.main.len() << self.page_shift
    }

    pub(super) fn add_main_page(&mut self, page: PageId) {
        let first = (self.main.len() as u32) << self.page_shift;
        self.outline.note_page(self.main.len(), page);
        self.main.push(page);
        for bucket in first..first + (1 << self.page_shift) {
            *self.bucket_mut(Place::Main(bucket)) = Bucket::EMPTY;
        }
    }

    /// Splits one bucket; `hash_of` gives the hash of an item that the index holds. Needs a free
    /// main bucket. False when the halves did not fit for want of a spill bucket: nothing is lost,
    /// the index just has not grown.
    pub(super) fn grow(&mut self, mut hash_of: impl FnMut(Ref) -> u64) -> bool {
        debug_assert!(!self.needs_main_page());
        let (old, new) = (self.split, (1 << self.level) + self.split);
        *self.bucket_mut(Place::Main(new)) = Bucket::EMPTY;
        let mut at = Place::Main(old);
        loop {
            let (tags, refs, next) = {
                let bucket = self.bucket(at);
                (bucket.tags, bucket.refs, bucket.next)
            };
            for slot in 0..SLOTS {
                if !refs[slot].is_some() || self.split_of(hash_of(refs[slot])) == old {
                    continue;
                }
                if !self.insert_at(Place::Main(new), tags[slot], refs[slot]) {
                    self.merge_back(old, new);
                    return false;
                }
                self.bucket_mut(at).clear(slot);
            }
            if next == 0 {
                break;
            }
            at = Place::Spill(next - 1);
        }
        self.compact(old);
        self.split += 1;
        if self.split == 1 << self.level {
            self.level += 1;
            self.split = 0;
        }
        self.note_shape();
        true
    }

    /// Whether there are far fewer items than buckets for them.
    pub(super) fn wants_shrinking(&self) -> bool {
        !self.is_least()
            && self.items * 2 * SLACK < (self.buckets() + self.spill.used()) * LOAD_TIMES_2
    }

    /// Undoes the last split. False, and nothing changed, when the two buckets hold more than one
    /// takes and there may be no spill buckets for the rest.
    pub(super) fn shrink(&mut self) -> bool {
        let (level, split) = if self.split == 0 {
            (self.level - 1, 1 << (self.level - 1))
        } else {
            (self.level, self.split)
        };
        let (low, high) = (split - 1, (1 << level) + split - 1);
        let count = self.count(low) + self.count(high);
        if count.div_ceil(SLOTS) > 1 + self.spill.free() {
            return false;
        }
        (self.level, self.split) = (level, split - 1);
        self.note_shape();
        self.merge_back(low, high);
        true
    }

    /// Takes out a page that no bucket in use lies in.
    pub(super) fn take_unused_page(&mut self) -> Option<PageId> {
        let needed = self.buckets().div_ceil(1 << self.page_shift);
        if self.main.len() > needed { self.main.pop() } else { self.take_unused_spill_page() }
    }

    pub(super) fn items(&self) -> usize {
        self.items
    }

    /// Buckets that hash values lead to.
    pub(super) fn buckets(&self) -> usize {
        (1 << self.level) + self.split as usize
    }

    fn is_least(&self) -> bool {
        self.buckets() == 1 << self.page_shift
    }

    /// Pages that the index holds.
    pub(super) fn pages(&self) -> usize {
        self.main.len() + self.spill.pages()
    }

    /// Every reference with the bucket that it is found in (for validation).
    pub(super) fn for_each(&self, mut visit: impl FnMut(u32, u8, Ref)) {
        for main in 0..self.buckets() as u32 {
            self.for_each_in(main, |tag, item| visit(main, tag, item));
        }
    }

    /// The bucket that `hash` leads to now.
    pub(super) fn bucket_of(&self, hash: u64) -> u32 {
        bucket_of(self.level, self.split, hash)
    }

    /// The bucket that `hash` will lead to once the bucket at `split` has been split.
    fn split_of(&self, hash: u64) -> u32 {
        (hash >> 8) as u32 & ((2 << self.level) - 1)
    }

    fn insert_at(&mut self, mut at: Place, tag: u8, item: Ref) -> bool {
        loop {
            let bucket = self.bucket_mut(at);
            if let Some(slot) = bucket.refs.iter().position(|r| !r.is_some()) {
                bucket.refs[slot] = item;
                bucket.tags[slot] = tag;
                return true;
            }
            if bucket.next == 0 {
                let Some(spill) = self.take_spill() else { return false };
                self.bucket_mut(at).next = spill + 1;
                at = Place::Spill(spill);
            } else {
                at = Place::Spill(bucket.next - 1);
            }
        }
    }

    /// Moves the items of bucket `new`, which is given up, to `old`, where there is room for them.
    fn merge_back(&mut self, old: u32, new: u32) {
        let mut at = Place::Main(new);
        loop {
            let (tags, refs, next) = {
                let bucket = self.bucket(at);
                (bucket.tags, bucket.refs, bucket.next)
            };
            for slot in (0..SLOTS).filter(|&slot| refs[slot].is_some()) {
                let placed = self.insert_at(Place::Main(old), tags[slot], refs[slot]);
                debug_assert!(placed, "there is room for all of them");
            }
            if let Place::Spill(spill) = at {
                self.give_spill(spill);
            }
            if next == 0 {
                return;
            }
            at = Place::Spill(next - 1);
        }
    }

    /// Pulls the items of a bucket's spill buckets forward and frees those left empty.
    fn compact(&mut self, main: u32) {
        let first = self.bucket(Place::Main(main)).next;
        if first == 0 {
            return;
        }
        self.bucket_mut(Place::Main(main)).next = 0;
        let mut next = first;
        while next != 0 {
            let spill = next - 1;
            let (tags, refs) = {
                let bucket = self.bucket(Place::Spill(spill));
                next = bucket.next;
                (bucket.tags, bucket.refs)
            };
            self.give_spill(spill);
            for slot in (0..SLOTS).filter(|&slot| refs[slot].is_some()) {
                let placed = self.insert_at(Place::Main(main), tags[slot], refs[slot]);
                debug_assert!(placed, "as many spill buckets were just freed");
            }
        }
    }

    /// Fills the slot of an item that leaves the chain of `main`, which has spill buckets, with the last
    /// item behind it, and frees the bucket that this empties.
    fn fill_from_last(&mut self, at: Place, slot: usize, main: u32) {
        let (mut before, mut last) = (None, at);
        while let Some(next) = self.after(last) {
            (before, last) = (Some(last), next);
        }
        let bucket = self.bucket_mut(last);
        let moved = bucket.refs.iter().rposition(|item| item.is_some());
        debug_assert!(moved.is_some(), "the last bucket of a chain holds something");
        let moved = moved.unwrap_or(0);
        let (tag, item) = (bucket.tags[moved], bucket.refs[moved]);
        bucket.clear(moved);
        let is_empty = bucket.is_empty();
        if (last, moved) != (at, slot) {
            let bucket = self.bucket_mut(at);
            (bucket.tags[slot], bucket.refs[slot]) = (tag, item);
        }
        if let Place::Spill(spill) = last
            && is_empty
        {
            // Where the item was in the last bucket itself, the one before has yet to be found.
            let before = before.unwrap_or_else(|| self.before(main, last));
            self.bucket_mut(before).next = 0;
            self.give_spill(spill);
        }
    }

    /// The bucket that goes on in `next`, in the chain of `main`.
    fn before(&self, main: u32, next: Place) -> Place {
        let mut at = Place::Main(main);
        while let Some(after) = self.after(at).filter(|&after| after != next) {
            at = after;
        }
        debug_assert_eq!(self.after(at), Some(next));
        at
    }

    /// The spill bucket that `at` goes on in.
    fn after(&self, at: Place) -> Option<Place> {
        self.bucket(at).next.checked_sub(1).map(Place::Spill)
    }

    /// Items in a bucket and its spill buckets.
    fn count(&self, main: u32) -> usize {
        let mut at = Place::Main(main);
        let mut count = 0;
        loop {
            let bucket = self.bucket(at);
            count += bucket.refs.iter().filter(|item| item.is_some()).count();
            if bucket.next == 0 {
                return count;
            }
            at = Place::Spill(bucket.next - 1);
        }
    }

    fn bucket(&self, at: Place) -> &Bucket {
        // SAFETY: the address is that of a bucket in a page that this index owns, written when
        // the page was added; `&self` means that nobody holds a `&mut` to it.
        unsafe { self.address(at).as_ref() }
    }

    fn bucket_mut(&mut self, at: Place) -> &mut Bucket {
        // SAFETY: as for `bucket`, with `&mut self`. A page being added holds arbitrary but
        // initialised bytes, and every bit pattern is a valid bucket.
        unsafe { self.address(at).as_mut() }
    }

    fn address(&self, at: Place) -> NonNull<Bucket> {
        let page_of = |number| (number >> self.page_shift) as usize;
        let (page, number) = match at {
            Place::Main(number) => (self.main[page_of(number)], number),
            Place::Spill(number) => (self.spill.page(page_of(number)), number),
        };
        let within = (number & ((1 << self.page_shift) - 1)) as usize * BUCKET_BYTES;
        self.places.at(self.places.page_start(page) + within).cast()
    }
}

impl Bucket {
    const EMPTY: Bucket = Bucket { tags: [0; SLOTS], next: 0, refs: [Ref::NONE; SLOTS] };

    /// Slots whose tag is `tag`; a slot may be named that is empty or, rarely, has another tag.
    fn matches(&self, tag: u8) -> Matches {
        const ONES: u64 = 0x0101_0101_0101_0101;
        let [a, b, c, d, e, f, g, h, i, j, k, l] = self.tags;
        let low = u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ (ONES * u64::from(tag));
        let high = u64::from(u32::from_le_bytes([i, j, k, l])) ^ ((ONES >> 32) * u64::from(tag));
        let zero_bytes = |word: u64, ones: u64| word.wrapping_sub(ones) & !word & (ones << 7);
        Matches { low: zero_bytes(low, ONES), high: zero_bytes(high, ONES >> 32) }
    }

    fn clear(&mut self, slot: usize) {
        self.refs[slot] = Ref::NONE;
        self.tags[slot] = 0;
    }

    fn is_empty(&self) -> bool {
        self.refs.iter().all(|r| !r.is_some())
    }
}

/// The slots that a tag may be in, lowest first.
struct Matches {
    low: u64,
    high: u64,
}

impl Iterator for Matches {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.low != 0 {
            let slot = self.low.trailing_zeros() / 8;
            self.low &= self.low - 1;
            return Some(slot as usize);
        }
        if self.high != 0 {
            let slot = 8 + self.high.trailing_zeros() / 8;
            self.high &= self.high - 1;
            return Some(slot as usize);
        }
        None
    }
}

/// The bucket that `hash` leads to when `1 << level` of them are there and `split` have been split.
fn bucket_of(level: u32, split: u32, hash: u64) -> u32 {
    let bits = (hash >> 8) as u32;
    let low = bits & ((1 << level) - 1);
    if low < split { bits & ((2 << level) - 1) } else { low }
}

fn tag(hash: u64) -> u8 {
    (hash >> 56) as u8
}
