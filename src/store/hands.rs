//! Which item of a class has to go: S3-FIFO (Yang et al., SOSP 2023), on a ring and without lists.
//!
//! A new item stands in the small queue. When that holds more than its share of the class, its hand
//! goes on: an item that was hit since it came moves to the main queue, one that was not is evicted.
//! Else the hand of the main queue goes on: an item that was hit since it last passed loses one of its
//! hits, up to 3, and stays (CLOCK); one that was not is evicted. A key that comes back soon after the
//! small queue has lost it goes to the main queue at once (`ghost`). How large the small queue should
//! be is learned (`scores`), which the paper leaves fixed.
//!
//! A hit writes to the item's own header and nowhere else. A new item takes the chunk that its
//! predecessor has left, so that the order of the chunks is nearly that of arrival; changing the queue is
//! one bit, and nothing is copied or linked. An item of several chunks has its turn with the first.
#![forbid(unsafe_code)]

use super::arena::Ref;
use super::class::ClassId;
use super::queue::{Place, Queue};
use super::shard::Shard;
use crate::clock::{Expiry, Secs};

/// Items that the hands give another chance before the least used of them is evicted: a bound on the
/// time that one eviction can take.
const CHANCES_MAX: usize = 32;

/// Chunks that the hands look at, those that cannot go included (links, uploads, pinned items).
const PASSED_MAX: usize = 2048;

/// Where a class's hands point.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hands {
    small: Place,
    main: Place,
}

/// What the hands have passed on the way to the item that goes.
struct Passed {
    chances_left: usize,
    /// The least used of them, and its hits; more than any hits for one that is not in its turn.
    least_used: Option<(u8, Ref)>,
}

impl Passed {
    const OUT_OF_TURN: u8 = u8::MAX - 1;
    const LAST_RESORT: u8 = u8::MAX;

    fn note(&mut self, freq: u8, item: Ref) {
        if self.least_used.is_none_or(|(least, _)| freq < least) {
            self.least_used = Some((freq, item));
        }
    }
}

impl Shard {
    /// Evicts an item of `class`, or frees one that is gone. False: nothing in it can go.
    pub(super) fn evict_one(&mut self, class: ClassId, now: Secs) -> bool {
        let mut passed = Passed { chances_left: CHANCES_MAX, least_used: None };
        for _ in 0..PASSED_MAX {
            let Some((at, turn)) = self.advance(class) else { return false };
            let chunk = self.chunk_at(class, at);
            let Some(item) = self.item_of(chunk).filter(|&item| self.may_go(item)) else {
                continue;
            };
            let seen = self.slab.chunk(item);
            if item != chunk {
                // A link, whose item has its turn with its first chunk, unless that is out of sight.
                passed.note(Passed::OUT_OF_TURN, item);
            } else if self.gone(seen, now).is_some() {
                self.reclaim_by_hand(class, item);
                return true;
            } else if self.has_its_turn(class, at, turn, item, &mut passed) {
                self.evict(item, now);
                return true;
            }
            if passed.chances_left == 0 {
                break;
            }
        }
        // One that was noted before it was moved to the main queue may still be the least used.
        let least_used = passed.least_used.map(|(_, item)| item);
        if let Some(item) = least_used {
            self.evict(item, now);
        }
        least_used.is_some()
    }

    /// Frees an item of `class` that is gone, if its hand meets one soon (`-M`).
    pub(super) fn reclaim_one(&mut self, class: ClassId, now: Secs) -> bool {
        for _ in 0..PASSED_MAX {
            let Some(at) = self.advance_main(class) else { return false };
            let chunk = self.chunk_at(class, at);
            if self.item_of(chunk) == Some(chunk)
                && self.may_go(chunk)
                && self.gone(self.slab.chunk(chunk), now).is_some()
            {
                self.reclaim_by_hand(class, chunk);
                return true;
            }
        }
        false
    }

    /// The queue of a new item: the one `old` stands in, whose key it takes; the main queue for a key
    /// that the small queue has lost lately; the small queue for any other.
    pub(super) fn choose_queue(
        &mut self,
        hash: u64,
        item: Ref,
        old: Option<Ref>,
        now: Secs,
    ) -> Queue {
        let class = self.slab.class_of(item);
        let is_proven = match old {
            Some(old) => self.queue_of(old) == Queue::Main,
            None => self.ghosts.returns(hash, class, self.slab.pages(class).len()),
        };
        self.queue_for(item, is_proven, now)
    }

    /// An item has been stored anew in its place: its TTL may want another queue.
    pub(super) fn choose_queue_again(&mut self, item: Ref, now: Secs) {
        let before = self.queue_of(item);
        let queue = self.queue_for(item, before == Queue::Main, now);
        if queue != before {
            self.leave_queue(item);
            self.join_queue(item, queue);
        }
    }

    fn queue_for(&self, item: Ref, is_proven: bool, now: Secs) -> Queue {
        let expiry = self.slab.chunk(item).expiry();
        let ttl = expiry.0.saturating_sub(now.0);
        let is_short = |limit| ttl <= limit && expiry != Expiry::NEVER;
        match self.settings.temporary_ttl {
            Some(limit) if is_short(limit) => Queue::Temporary,
            _ if is_proven => Queue::Main,
            _ => Queue::Small,
        }
    }

    pub(super) fn queue_of(&self, item: Ref) -> Queue {
        self.slab.queues(self.slab.class_of(item)).at(self.slab.place_of(item))
    }

    /// An item that stands in no queue joins one.
    pub(super) fn join_queue(&mut self, item: Ref, queue: Queue) {
        let (class, at, chunks) = self.standing(item);
        self.slab.queues_mut(class).join(at, queue, chunks);
    }

    /// An item leaves its queue, for good or for the main one.
    pub(super) fn leave_queue(&mut self, item: Ref) {
        let (class, at, chunks) = self.standing(item);
        self.slab.queues_mut(class).leave(at, chunks);
    }

    /// The item in `from` has been copied to `to`, and stands in the same queue there.
    pub(super) fn move_in_queue(&mut self, from: Ref, to: Ref) {
        let (class, at, chunks) = self.standing(to);
        let from = self.slab.place_of(from);
        let queues = self.slab.queues_mut(class);
        let queue = queues.at(from);
        queues.leave(from, chunks);
        queues.join(at, queue, chunks);
    }

    fn standing(&self, item: Ref) -> (ClassId, Place, usize) {
        (self.slab.class_of(item), self.slab.place_of(item), self.chunk_count(item))
    }

    /// Idle seconds of the item that the hand of `class`'s main queue looks at next.
    pub(super) fn age(&mut self, class: ClassId, now: Secs) -> u64 {
        let at = self.main_hand(class);
        if at.page >= self.slab.pages(class).len() {
            return 0;
        }
        let chunk = self.chunk_at(class, at);
        if self.item_of(chunk) != Some(chunk) {
            return 0;
        }
        u64::from(self.tick(now).saturating_sub(self.slab.chunk(chunk).access()))
    }

    /// Where the hand of `class`'s main queue points.
    pub(super) fn main_hand(&self, class: ClassId) -> Place {
        self.hands[usize::from(class.0)].main
    }

    /// Keeps the hands of `class` in its ring when page `number` has left it and the last page has taken
    /// that number.
    pub(super) fn forget_page(&mut self, class: ClassId, number: usize) {
        let count = self.slab.pages(class).len();
        let hands = &mut self.hands[usize::from(class.0)];
        for hand in [&mut hands.small, &mut hands.main] {
            if hand.page == number {
                hand.chunk = 0;
            } else if hand.page == count {
                hand.page = number;
            }
            if hand.page >= count {
                *hand = Place::default();
            }
        }
    }

    /// Whether the item at `at`, which a hand has come to, has to go; else it is given another chance.
    fn has_its_turn(
        &mut self,
        class: ClassId,
        at: Place,
        turn: Queue,
        item: Ref,
        passed: &mut Passed,
    ) -> bool {
        let seen = self.slab.chunk(item);
        let freq = seen.freq();
        match self.slab.queues(class).at(at) {
            Queue::Temporary => passed.note(Passed::LAST_RESORT, item),
            queue if queue != turn => passed.note(Passed::OUT_OF_TURN, item),
            _ if freq == 0 => return true,
            Queue::Small => {
                self.leave_queue(item);
                seen.set_freq(0);
                self.class_mut(class).promotions += 1;
                passed.chances_left -= 1;
                passed.note(freq, item);
            }
            _ => {
                seen.set_freq(freq - 1);
                self.class_mut(class).second_chances += 1;
                passed.chances_left -= 1;
                passed.note(freq, item);
            }
        }
        false
    }

    /// Moves the hand whose turn it is; where it pointed.
    fn advance(&mut self, class: ClassId) -> Option<(Place, Queue)> {
        let chunks = self.slab.pages(class).len() * self.slab.per_page(class);
        let share = chunks as f32 * self.scores.small_share();
        if self.slab.queues(class).small_chunks() as f32 > share {
            let hand = self.hands[usize::from(class.0)].small;
            let at = self.slab.queues(class).next_small(hand)?;
            self.hands[usize::from(class.0)].small = self.after(class, at);
            return Some((at, Queue::Small));
        }
        self.advance_main(class).map(|at| (at, Queue::Main))
    }

    fn advance_main(&mut self, class: ClassId) -> Option<Place> {
        let pages = self.slab.pages(class);
        let hand = self.main_hand(class);
        let page = *pages.get(hand.page)?;
        let at = if self.slab.is_draining_page(page) {
            // Nothing in it makes room.
            Place { chunk: self.slab.per_page(class) - 1, ..hand }
        } else {
            hand
        };
        self.hands[usize::from(class.0)].main = self.after(class, at);
        Some(at)
    }

    fn after(&self, class: ClassId, at: Place) -> Place {
        if at.chunk + 1 < self.slab.per_page(class) {
            Place { chunk: at.chunk + 1, ..at }
        } else if at.page + 1 < self.slab.pages(class).len() {
            Place { page: at.page + 1, chunk: 0 }
        } else {
            Place::default()
        }
    }

    fn chunk_at(&self, class: ClassId, at: Place) -> Ref {
        self.slab.chunk_at(class, self.slab.pages(class)[at.page], at.chunk)
    }

    /// Whether an item's going makes room for another.
    fn may_go(&self, item: Ref) -> bool {
        self.is_free_to_go(item) && !self.slab.is_draining(item)
    }

    fn reclaim_by_hand(&mut self, class: ClassId, item: Ref) {
        self.reclaim(item);
        self.class_mut(class).reclaimed += 1;
    }
}
