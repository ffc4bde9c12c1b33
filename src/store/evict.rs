//! Finding room: free chunks, fresh pages, evicted items, pages of other classes.
//!
//! Within a class the policy is CLOCK with a count of up to 3: a hand goes round the class's
//! chunks in the order in which they lie; an item that was hit since it last passed loses one of
//! its hits and stays, one that was not is evicted. A new item takes the chunk that the hand has
//! just left, so that the order of chunks is the order of arrival and no list is needed: a hit
//! writes to the item's own header and nowhere else.
//!
//! Between classes pages move by marginal benefit: a class that has evicted a page's worth of
//! items asks for another page, and gets it from the class whose evicted keys are missed least
//! (`ghost`), if its own are missed more than [`MOVE_FACTOR`] times as often. A class that has
//! nothing to evict takes a page in any case. And before anything is evicted, a class with a whole
//! page's worth of free chunks gives a page: the few items in it move together.
//!
//! An item of several chunks has its turn with the first of them.
#![forbid(unsafe_code)]

use super::arena::{PageId, Ref};
use super::class::ClassId;
use super::item::{Kind, Mark};
use super::shard::Shard;
use crate::clock::{Expiry, Secs};

/// A page moves to a class whose ghosts are hit this many times as often (simulated: 1.25
/// loses up to a point of hit ratio; see docs/store.md).
const MOVE_FACTOR: f32 = 4.0;

/// Items that the hand gives another chance before it evicts the least used of them: a bound on
/// the time that one allocation can take.
const CHANCES_MAX: usize = 32;

/// Chunks that the hand looks at, those that cannot go included (links, uploads, pinned items).
const PASSED_MAX: usize = 2048;

/// Slices of a sweep that one allocation does after a flush, each of some 20 to 50 µs.
const SWEEPS_MAX: usize = 8;

/// Where a class's hand points.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hand {
    page: usize,
    chunk: usize,
}

/// What the hand may free.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Free {
    /// What is expired or flushed, and what must go for want of room.
    Any,
    /// What is expired or flushed (`-M`).
    Gone,
}

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

    /// Takes a page for the index: one that is free, or a class's. None: no memory.
    pub(super) fn obtain_page(&mut self, now: Secs) -> Option<PageId> {
        if let Some(page) = self.take_page() {
            return Some(page);
        }
        self.vacate_page(now)
    }

    /// Gives a page back to the arena. False: there is none that can be emptied, or nothing may be
    /// evicted.
    pub(super) fn surrender_page(&mut self, now: Secs) -> bool {
        let page = self.vacate_page(now);
        if let Some(page) = page {
            self.give_page(page);
        }
        page.is_some()
    }

    /// Hands a page that nothing uses back to the arena.
    pub(super) fn give_page(&mut self, page: PageId) {
        self.pages_held -= 1;
        self.arena.give(page);
    }

    /// Takes a page from a class: one that is free but for a few items to be moved, else one whose
    /// items are evicted.
    fn vacate_page(&mut self, now: Secs) -> Option<PageId> {
        let compacted = self.compact(ClassId(0), now);
        if compacted.is_some() || !self.settings.evictions {
            return compacted;
        }
        self.donors(None).into_iter().find_map(|donor| self.empty_page(donor, ClassId(0), now))
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

    /// Idle seconds of the item that the hand of `class` looks at next.
    pub(super) fn age(&mut self, class: ClassId, now: Secs) -> u64 {
        let hand = self.hands[usize::from(class.0)];
        let Some(&page) = self.slab.pages(class).get(hand.page) else { return 0 };
        let chunk = self.slab.chunk(self.slab.chunk_at(class, page, hand.chunk));
        match chunk.kind() {
            Kind::Item => u64::from(self.tick(now).saturating_sub(chunk.access())),
            _ => 0,
        }
    }

    fn make_room(&mut self, class: ClassId, now: Secs) {
        if self.sweep_for(class, now) {
            return;
        }
        if let Some(page) = self.compact(class, now) {
            self.slab.add_page(class, page);
            self.counters.pages_moved += 1;
            return;
        }
        if !self.settings.evictions {
            self.advance_hand(class, now, Free::Gone);
            return;
        }
        if self.settings.automove
            && self.wants_page(class)
            && let Some(donor) = self.poorer_class(class)
            && self.move_page(donor, class, now)
        {
            return;
        }
        if self.advance_hand(class, now, Free::Any) {
            return;
        }
        for donor in self.donors(Some(class)) {
            if self.move_page(donor, class, now) {
                return;
            }
        }
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

    /// Whether `class` has evicted a page's worth since it last asked.
    fn wants_page(&mut self, class: ClassId) -> bool {
        let per_page = self.slab.per_page(class) as u32;
        let counters = self.class_mut(class);
        let wants = counters.evictions_since_page >= per_page;
        if wants {
            counters.evictions_since_page = 0;
        }
        wants
    }

    /// The class whose evicted keys are missed least, if `class`'s are missed so much more that a
    /// page should move.
    fn poorer_class(&self, class: ClassId) -> Option<ClassId> {
        let score = |class: ClassId| self.ghosts.score(class);
        let donor = self
            .slab
            .sizes()
            .all()
            .filter(|&donor| donor != class && self.slab.pages(donor).len() > 1)
            .min_by(|&a, &b| score(a).total_cmp(&score(b)))?;
        (score(class) > MOVE_FACTOR * score(donor)).then_some(donor)
    }

    /// Classes that can give a page, the one that misses it least first; those that would be left
    /// with none come last.
    pub(super) fn donors(&self, except: Option<ClassId>) -> Vec<ClassId> {
        let mut donors: Vec<ClassId> = self
            .slab
            .sizes()
            .all()
            .filter(|&class| Some(class) != except && !self.slab.pages(class).is_empty())
            .collect();
        donors.sort_by(|&a, &b| {
            let pages = |class: ClassId| self.slab.pages(class).len();
            (pages(a) == 1)
                .cmp(&(pages(b) == 1))
                .then(self.ghosts.score(a).total_cmp(&self.ghosts.score(b)))
                .then(pages(b).cmp(&pages(a)))
        });
        donors
    }

    fn move_page(&mut self, from: ClassId, to: ClassId, now: Secs) -> bool {
        let Some(page) = self.empty_page(from, to, now) else { return false };
        self.slab.add_page(to, page);
        self.class_mut(to).evictions_since_page = 0;
        self.counters.pages_moved += 1;
        true
    }

    /// Moves the hand until a chunk of `class` is free. False: nothing could be freed.
    fn advance_hand(&mut self, class: ClassId, now: Secs, free: Free) -> bool {
        let may_evict = free == Free::Any;
        let mut chances = CHANCES_MAX;
        let mut least_used: Option<(u8, Ref)> = None;
        for _ in 0..PASSED_MAX {
            let Some(chunk) = self.next_chunk(class) else { return false };
            let Some(item) = self.item_of(chunk).filter(|&item| self.is_free_to_go(item)) else {
                continue;
            };
            let seen = self.slab.chunk(item);
            if item != chunk {
                // A link. Its item has its turn with its first chunk, unless that is out of sight.
                least_used = least_used.or(Some((u8::MAX, item)));
                continue;
            }
            if self.gone(seen, now).is_some() {
                self.reclaim(item);
                self.class_mut(class).reclaimed += 1;
                return true;
            }
            let freq = seen.freq();
            if may_evict && freq == 0 {
                self.evict(item, now);
                return true;
            }
            if may_evict {
                seen.set_freq(freq - 1);
            }
            if least_used.is_none_or(|(least, _)| freq < least) {
                least_used = Some((freq, item));
            }
            chances -= 1;
            if chances == 0 {
                break;
            }
        }
        match least_used {
            Some((_, item)) if may_evict => {
                self.evict(item, now);
                true
            }
            _ => false,
        }
    }

    /// The chunk that the hand of `class` points at; the hand goes on. None: no pages.
    fn next_chunk(&mut self, class: ClassId) -> Option<Ref> {
        let hand = self.hands[usize::from(class.0)];
        let pages = self.slab.pages(class);
        let page = *pages.get(hand.page).or(pages.first())?;
        let at = if hand.page < pages.len() { hand } else { Hand::default() };
        let chunk = self.slab.chunk_at(class, page, at.chunk);
        self.hands[usize::from(class.0)] = if at.chunk + 1 < self.slab.per_page(class) {
            Hand { chunk: at.chunk + 1, ..at }
        } else if at.page + 1 < pages.len() {
            Hand { page: at.page + 1, chunk: 0 }
        } else {
            Hand::default()
        };
        Some(chunk)
    }

    pub(super) fn is_free_to_go(&self, item: Ref) -> bool {
        let chunk = self.slab.chunk(item);
        chunk.has(Mark::LINKED) && !chunk.has(Mark::PINNED)
    }

    pub(super) fn evict(&mut self, item: Ref, now: Secs) {
        let chunk = self.slab.chunk(item);
        let class = self.slab.class_of(item);
        let idle = self.tick(now).saturating_sub(chunk.access());
        let counters = self.class_mut(class);
        counters.evicted += 1;
        counters.evicted_time = u64::from(idle);
        counters.evicted_nonzero += u64::from(chunk.expiry() != Expiry::NEVER);
        counters.evicted_unfetched += u64::from(!chunk.has(Mark::FETCHED));
        counters.evicted_active += u64::from(chunk.freq() > 0);
        counters.evictions_since_page += 1;
        self.tell_eviction(item, idle, now);
        let hash = self.hasher.hash(self.slab.key(item));
        self.ghosts.evicted(hash, class);
        let slot = self.slot_of(hash, item);
        self.unlink(slot, hash, item);
    }

    /// Frees a page for class `to` (0: none) from a class that has as many free chunks as a page
    /// holds, evicting nothing: what lies in it moves to other pages of its class. None: no class
    /// has so many.
    fn compact(&mut self, to: ClassId, now: Secs) -> Option<PageId> {
        if !self.slab.has_slack() {
            return None;
        }
        let classes = self.slab.sizes().all();
        for class in classes {
            if self.slab.is_slack(class)
                && let Some(number) = self.removable_page(class)
            {
                return Some(self.remove_page(class, number, to, now));
            }
        }
        None
    }

    /// Empties a page of `class`, from where its hand points, and takes it out of the class for
    /// class `to` (0: none): what was not hit lately is evicted, the rest moves. None: every page
    /// holds something that must stay where it is.
    pub(super) fn empty_page(&mut self, class: ClassId, to: ClassId, now: Secs) -> Option<PageId> {
        let number = self.removable_page(class)?;
        let page = self.slab.pages(class)[number];
        self.evict_unused(class, page, now);
        Some(self.remove_page(class, number, to, now))
    }

    /// The next page of `class`, from where its hand points, that can be emptied. Those that cannot
    /// are left behind the hand.
    pub(super) fn removable_page(&mut self, class: ClassId) -> Option<usize> {
        let count = self.slab.pages(class).len();
        let from = self.hands[usize::from(class.0)].page;
        let number = (0..count)
            .map(|step| (from + step) % count)
            .find(|&number| self.can_be_emptied(class, self.slab.pages(class)[number]))?;
        if number != from {
            self.hands[usize::from(class.0)] = Hand { page: number, chunk: 0 };
        }
        Some(number)
    }

    /// Moves what is left in a page to others, evicts what finds no room, and takes the page out.
    pub(super) fn remove_page(
        &mut self,
        class: ClassId,
        number: usize,
        to: ClassId,
        now: Secs,
    ) -> PageId {
        let page = self.slab.pages(class)[number];
        self.slab.withhold(class, page);
        self.move_rest(class, page, now);
        self.slab.remove_page(class, number);
        self.sweep.page_removed(class, number);
        let hand = &mut self.hands[usize::from(class.0)];
        if number < hand.page {
            hand.page -= 1;
        } else if number == hand.page {
            hand.chunk = 0;
        }
        self.tell_page_moved(class, to);
        page
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

    /// Evicts what lies in `page` and was not hit lately.
    fn evict_unused(&mut self, class: ClassId, page: PageId, now: Secs) {
        for index in 0..self.slab.per_page(class) {
            let Some(item) = self.item_of(self.slab.chunk_at(class, page, index)) else { continue };
            let chunk = self.slab.chunk(item);
            if self.gone(chunk, now).is_some() {
                self.reclaim(item);
                self.class_mut(class).reclaimed += 1;
            } else if chunk.freq() == 0 {
                self.evict(item, now);
            }
        }
    }

    /// Moves what is left in `page`, whose free chunks are withheld, to other chunks of the class;
    /// once there are none, evicts it.
    fn move_rest(&mut self, class: ClassId, page: PageId, now: Secs) {
        let mut has_room = true;
        for index in 0..self.slab.per_page(class) {
            let chunk = self.slab.chunk_at(class, page, index);
            let Some(item) = self.item_of(chunk) else { continue };
            // A chunk freed by an eviction lies in this page: from the first one on, nothing moves.
            match if has_room { self.slab.take(class) } else { None } {
                Some(to) => self.move_chunk(chunk, to),
                None => {
                    has_room = false;
                    self.evict(item, now);
                }
            }
        }
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

    /// Makes the chunk `to` what `from` is, and leaves `from` withheld.
    pub(super) fn move_chunk(&mut self, from: Ref, to: Ref) {
        self.slab.copy(from, to);
        let chunk = self.slab.chunk(to);
        if chunk.kind() == Kind::Link {
            self.counters.chunk_rescues += 1;
            self.replace_link(from, to);
        } else {
            self.counters.rescues += 1;
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
