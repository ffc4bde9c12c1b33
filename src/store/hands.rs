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
//! one bit, and nothing is copied or linked. An item of several chunks has its turn with the first; a
//! hand goes from bit to bit, so that the links and what stands in other queues cost it nothing.
#![forbid(unsafe_code)]

use super::arena::Ref;
use super::class::ClassId;
use super::queue::{Place, Queue};
use super::shard::Shard;
use crate::clock::{Expiry, Secs};

/// Items that the hands give another chance before the least used of them is evicted: a bound on the
/// time that one eviction can take.
const CHANCES_MAX: usize = 32;

/// Items that the hands look at, those that cannot go included: what somebody is reading.
const PASSED_MAX: usize = 2048;

/// Items that a flush has left, and nobody counts, among those that they look at at the least.
const FLUSHED_PASSED_MAX: usize = 256;

#[cfg(test)]
thread_local! {
    /// Items that hands have met on the way to one that could go.
    static ITEMS_MET: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Where a class's hands point.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hands {
    small: Place,
    main: Place,
    temporary: Place,
}

/// What the hands have passed on the way to the item that goes.
struct Passed {
    chances_left: usize,
    /// The least used of them, and its hits.
    least_used: Option<(u8, Ref)>,
}

impl Passed {
    fn note(&mut self, freq: u8, item: Ref) {
        self.chances_left -= 1;
        if self.least_used.is_none_or(|(least, _)| freq < least) {
            self.least_used = Some((freq, item));
        }
    }
}

impl Shard {
    /// Evicts an item of `class`, or frees one that is gone. False: nothing in it can go.
    pub(super) fn evict_one(&mut self, class: ClassId, now: Secs) -> bool {
        // One of them at least with each eviction: no hand meets those that have expired while there
        // is anything else.
        let temporary = self.next_temporary(class);
        if let Some(item) = temporary
            && self.gone(self.slab.chunk(item), now).is_some()
        {
            self.reclaim_by_hand(class, item);
            return true;
        }
        let mut passed = Passed { chances_left: CHANCES_MAX, least_used: None };
        // Where all that there is is being read: once to promote it and once to see it again.
        let items = usize::try_from(self.class_mut(class).items).unwrap_or(PASSED_MAX);
        for _ in 0..PASSED_MAX.min(2 * items + FLUSHED_PASSED_MAX) {
            let Some((item, turn)) = self.advance(class) else { break };
            #[cfg(test)]
            ITEMS_MET.set(ITEMS_MET.get() + 1);
            if !self.is_free_to_go(item) {
                // What is being read is in use: in the small queue it would be met again and again.
                if turn == Queue::Small {
                    self.promote(item);
                }
            } else if self.gone(self.slab.chunk(item), now).is_some() {
                self.reclaim_by_hand(class, item);
                return true;
            } else if self.has_its_turn(class, turn, item, &mut passed) {
                self.evict(item, now);
                return true;
            }
            if passed.chances_left == 0 {
                break;
            }
        }
        // One that was noted before it was moved to the main queue may still be the least used.
        let goes = passed.least_used.map(|(_, item)| item).or(temporary);
        if let Some(item) = goes {
            self.evict(item, now);
        }
        goes.is_some()
    }

    /// Frees an item of `class` that is gone, if its hand meets one soon (`-M`).
    pub(super) fn reclaim_one(&mut self, class: ClassId, now: Secs) -> bool {
        for _ in 0..PASSED_MAX {
            let Some(chunk) = self.advance_by_chunk(class) else { return false };
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
            self.change_queue(item, queue);
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

    /// An item leaves its queue for another.
    pub(super) fn change_queue(&mut self, item: Ref, queue: Queue) {
        let (class, at, chunks) = self.standing(item);
        let queues = self.slab.queues_mut(class);
        queues.leave(at, chunks);
        queues.join(at, queue, chunks);
    }

    /// An item leaves its queue for good.
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

    /// Idle seconds of the item that the hand of `class`'s main queue looks at next; where that is empty, of
    /// one of another.
    pub(super) fn age(&mut self, class: ClassId, now: Secs) -> u64 {
        let (hand, queues) = (self.main_hand(class), self.slab.queues(class));
        let mut next = [Queue::Main, Queue::Small, Queue::Temporary].into_iter();
        let Some(at) = next.find_map(|queue| queues.next(queue, hand)) else { return 0 };
        let item = self.chunk_at(class, at);
        u64::from(self.tick(now).saturating_sub(self.slab.chunk(item).access()))
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
        for hand in [&mut hands.small, &mut hands.main, &mut hands.temporary] {
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

    /// Whether the item that the hand of `turn` has come to has to go; else it is given another chance.
    fn has_its_turn(
        &mut self,
        class: ClassId,
        turn: Queue,
        item: Ref,
        passed: &mut Passed,
    ) -> bool {
        let seen = self.slab.chunk(item);
        let freq = seen.freq();
        if freq == 0 {
            return true;
        }
        if turn == Queue::Small {
            self.promote(item);
        } else {
            seen.set_freq(freq - 1);
            self.class_mut(class).second_chances += 1;
        }
        passed.note(freq, item);
        false
    }

    /// Moves an item of the small queue to the main one.
    fn promote(&mut self, item: Ref) {
        self.change_queue(item, Queue::Main);
        self.slab.chunk(item).set_freq(0);
        let class = self.slab.class_of(item);
        self.class_mut(class).promotions += 1;
    }

    /// Moves the hand whose turn it is; the item that it pointed at. None: both queues are empty, or
    /// all that is in them lies in the page that is being drained.
    fn advance(&mut self, class: ClassId) -> Option<(Ref, Queue)> {
        let chunks = self.slab.pages(class).len() * self.slab.per_page(class);
        let share = chunks as f32 * self.scores.small_share();
        let is_small = self.slab.queues(class).small_chunks() as f32 > share;
        let turns =
            if is_small { [Queue::Small, Queue::Main] } else { [Queue::Main, Queue::Small] };
        turns.into_iter().find_map(|turn| Some((self.advance_in(class, turn)?, turn)))
    }

    /// The same for the hand of one queue.
    fn advance_in(&mut self, class: ClassId, queue: Queue) -> Option<Ref> {
        let hand = *self.hand_mut(class, queue);
        let mut at = self.slab.queues(class).next(queue, hand)?;
        if self.is_draining_at(class, at) {
            // Nothing in it makes room.
            let behind = Place { chunk: self.slab.per_page(class) - 1, ..at };
            at = self.slab.queues(class).next(queue, self.after(class, behind))?;
            if self.is_draining_at(class, at) {
                return None;
            }
        }
        let after = self.after(class, at);
        *self.hand_mut(class, queue) = after;
        // What the hand will look at next, by the time of the next eviction.
        self.slab.foresee_head(self.chunk_at(class, after));
        Some(self.chunk_at(class, at))
    }

    /// The next temporary item of `class` that can go, if one is met soon.
    fn next_temporary(&mut self, class: ClassId) -> Option<Ref> {
        for _ in 0..CHANCES_MAX {
            let item = self.advance_in(class, Queue::Temporary)?;
            if self.is_free_to_go(item) {
                return Some(item);
            }
        }
        None
    }

    /// Moves the hand of the main queue on by one chunk, whatever that holds; the chunk it pointed at.
    fn advance_by_chunk(&mut self, class: ClassId) -> Option<Ref> {
        let at = self.main_hand(class);
        if at.page >= self.slab.pages(class).len() {
            return None;
        }
        *self.hand_mut(class, Queue::Main) = self.after(class, at);
        Some(self.chunk_at(class, at))
    }

    fn hand_mut(&mut self, class: ClassId, queue: Queue) -> &mut Place {
        let hands = &mut self.hands[usize::from(class.0)];
        match queue {
            Queue::Small => &mut hands.small,
            Queue::Main => &mut hands.main,
            Queue::Temporary => &mut hands.temporary,
        }
    }

    fn is_draining_at(&self, class: ClassId, at: Place) -> bool {
        self.slab.is_draining_page(self.slab.pages(class)[at.page])
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::model::options;
    use crate::store::validate::validate;
    use crate::store::{Meta, Miss, Options, Refusal, Store, Terms, Value};

    const NOW: Secs = Secs(100);
    const MIB: usize = 1 << 20;

    fn store_of(memory_bytes: usize, item_size_max: usize) -> Arc<Store> {
        let options = Options {
            memory_bytes,
            item_size_max,
            growth_factor: 1.04,
            chunk_space_min: 12,
            evictions: true,
            cas: true,
            large_pages: false,
            crawler: true,
            automove: true,
            temporary_ttl: Some(60),
            track_sizes: false,
            threads: 1,
        };
        Store::new(&options).expect("memory")
    }

    fn set(store: &Store, key: &str, len: usize, ttl: Option<u32>) -> Result<(), Refusal> {
        let expiry = ttl.map_or(Expiry::NEVER, |ttl| Expiry(NOW.0 + ttl));
        let meta = Meta { expiry, ..Meta::default() };
        let value = vec![b'x'; len];
        store.store(&Terms::default(), &store.key(key.as_bytes()), meta, &value, NOW).map(|_| ())
    }

    fn hit(store: &Arc<Store>, key: &str) -> Result<(), Miss> {
        store.get(&store.key(key.as_bytes()), NOW, |_| ())
    }

    fn pin(store: &Arc<Store>, key: &str) -> Value {
        store.get(&store.key(key.as_bytes()), NOW, |hit| hit.pin()).expect("it is there")
    }

    /// Large values that are all in use, of which the newest is being sent to somebody slow.
    #[test]
    fn a_new_item_that_is_being_read_does_not_hold_up_the_others() {
        let store = store_of(8 * MIB, MIB);
        let len = MIB - 1000;
        let mut newest = 0;
        while store.totals().evictions == 0 {
            newest += 1;
            set(&store, &format!("old{newest}"), len, None).expect("room");
            for number in 1..=newest {
                let _found = hit(&store, &format!("old{number}"));
            }
        }
        let value = pin(&store, &format!("old{newest}"));
        let evicted = store.totals().evictions;
        for number in 0..6 {
            set(&store, &format!("new{number}"), len, None).expect("others can go");
            assert!(hit(&store, &format!("new{number}")).is_ok());
        }
        let totals = store.totals();
        assert!((6..9).contains(&(totals.evictions - evicted)), "{totals:?}");
        validate(&store);
        drop(value);
    }

    /// Temporary items go last; where there is hardly anything else that costs no search, and they go in
    /// the order in which they came.
    #[test]
    fn temporary_items_go_in_turn_when_there_is_nothing_else() {
        let store = store_of(2 * MIB, MIB / 2);
        let fill = |from: usize, ttl| {
            (from..from + 32_000)
                .for_each(|number| set(&store, &format!("{number:06}"), 50, ttl).expect("room"));
        };
        fill(0, None);
        fill(100_000, Some(50));
        let totals = store.totals();
        let left =
            (0..32_000).filter(|number| hit(&store, &format!("{number:06}")).is_ok()).count();
        assert_eq!(left, 0, "{totals:?}");
        let met = ITEMS_MET.get();
        fill(200_000, Some(50));
        let evicted = store.totals().evictions - totals.evictions;
        assert!(evicted > 31_000 && ITEMS_MET.get() == met, "{evicted}");
        let kept = store.totals().curr_items as usize;
        let last = (232_000 - kept + kept / 10..232_000)
            .filter(|number| hit(&store, &format!("{number:06}")).is_ok());
        assert!(last.count() > kept * 85 / 100, "not in turn");
    }

    /// What has expired goes before what has not, whichever hand would meet it.
    #[test]
    fn temporary_items_that_have_expired_are_met() {
        let store = store_of(2 * MIB, MIB / 2);
        (0..5_000)
            .for_each(|number| set(&store, &format!("a{number:04}"), 50, Some(10)).expect("room"));
        while store.totals().evictions == 0 {
            let number = store.totals().curr_items;
            set(&store, &format!("b{number:04}"), 50, None).expect("room");
        }
        let later = Secs(NOW.0 + 20);
        for number in 0..5_000 {
            let key = format!("c{number:04}");
            let key = store.key(key.as_bytes());
            store
                .store(&Terms::default(), &key, Meta::default(), &[b'x'; 50], later)
                .expect("room");
        }
        let totals = store.totals();
        assert!(totals.evictions < 50 && totals.reclaimed > 4_900, "{totals:?}");
    }

    /// Values of more chunks than a hand looks at in one eviction.
    #[test]
    fn hits_count_for_values_of_any_size() {
        let store = store_of(64 * MIB, 16 * MIB);
        let (len, mut lost) = (8 * MIB, 0);
        for number in 0..40 {
            for _ in 0..3 {
                if hit(&store, "hot").is_err() {
                    lost += 1;
                    set(&store, "hot", len, None).expect("room");
                }
            }
            set(&store, &format!("cold{number}"), len, None).expect("room");
            hit(&store, &format!("cold{number}")).expect("it is there");
        }
        // At first, and when all are promoted at once, before any has had a hit in the main queue.
        assert!(lost <= 2, "{lost} times");
        validate(&store);
    }

    /// A value that is stored again in its place goes to the queue that its TTL wants, and is not taken for
    /// proven by that, nor for unproven.
    #[test]
    fn an_overwritten_item_changes_its_queue() {
        let store = store_of(2 * MIB, MIB / 2);
        let key = store.key(b"a");
        let queue = || store.get(&key, NOW, |hit| hit.shard.queue_of(hit.item)).expect("there");
        let queue_after = |ttl| {
            set(&store, "a", 50, ttl).expect("room");
            queue()
        };
        assert_eq!(queue_after(None), Queue::Small);
        assert_eq!(queue_after(Some(60)), Queue::Temporary);
        assert_eq!(queue_after(Some(60)), Queue::Temporary);
        assert_eq!(queue_after(Some(61)), Queue::Small);
        let to_main = |hit: &mut crate::store::Hit<'_>| {
            hit.shard.change_queue(hit.item, Queue::Main);
            assert_eq!(hit.shard.queue_of(hit.item), Queue::Main);
        };
        store.get(&key, NOW, to_main).expect("it is there");
        assert_eq!(queue_after(None), Queue::Main);
        assert_eq!(queue_after(Some(60)), Queue::Temporary);
        assert_eq!(queue_after(None), Queue::Small);
        validate(&store);
    }

    /// Without evictions the hand looks for what is gone, chunk by chunk.
    #[test]
    fn without_evictions_what_has_expired_makes_room() {
        let options = Options { evictions: false, ..options(2 * MIB, MIB / 2, false) };
        let store = Store::new(&Options { crawler: false, ..options }).expect("memory");
        let mut count = 0;
        while set(&store, &format!("{count:06}"), 50, (count % 1000 == 999).then_some(10)).is_ok() {
            count += 1;
        }
        assert!(count > 10_000);
        let later = Secs(NOW.0 + 20);
        let put = |number: usize| {
            let key = format!("new{number:03}");
            let key = store.key(key.as_bytes());
            store.store(&Terms::default(), &key, Meta::default(), &[b'x'; 50], later).is_ok()
        };
        let (mut tries, mut stored) = (0, 0);
        while stored < count / 1000 {
            tries += 1;
            assert!(tries < count, "{stored} of {} stored", count / 1000);
            stored += usize::from(put(stored));
        }
        // It passes some at a time, and has found all of them in one round.
        assert!(tries > 10 && tries <= 2 * count / PASSED_MAX + stored, "{tries} tries");
        let totals = store.totals();
        assert_eq!((totals.evictions, totals.reclaimed), (0, stored as u64));
        for number in (0..count).filter(|number| number % 1000 < 999) {
            assert!(hit(&store, &format!("{number:06}")).is_ok());
        }
    }
}
