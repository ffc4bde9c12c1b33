//! Ghosts: which keys were evicted lately, of which class and queue.
//!
//! A lookup that misses and finds a ghost would have been a hit with more memory: that is what pages are
//! moved by (`scores`). A key that is stored again while its ghost is young goes to the main queue at
//! once (S3-FIFO). One table a shard; its entries lie in sets of one cache line, where the
//! oldest of a set makes room for the next:
//!
//! ```text
//! set, 64 B    | place of the next entry | 15 entries, 4 B each |
//! entry        | class 8 bits | counted 1 | from small 1 | age stamp 10 | fingerprint 12 |
//! ```
//!
//! The stamp counts half pages of chunks that the queue of the class has lost, modulo 1,024. Two keys in 300
//! that were never evicted are taken for one that was; they count for next to nothing.
#![forbid(unsafe_code)]

use super::class::ClassId;
use super::queue::Queue;

const WAYS: usize = 15;

/// Words of a set: the place of its next entry, and the entries.
const SET_WORDS: usize = 1 + WAYS;

/// Bytes of a set.
pub(super) const SET_BYTES: usize = SET_WORDS * size_of::<u32>();

/// A page is so many steps of an age stamp.
const STEPS_PER_PAGE: u32 = 2;

/// A hit counts in full for ghosts of the last two pages' worth of a queue. Classes with large chunks
/// or many pages remember more, for less each, so that there is something to count.
const PAGES_COUNTED: f32 = 2.0;
const CHUNKS_COUNTED_MIN: f32 = 100.0;
const SHARE_COUNTED: f32 = 0.15;

const STAMP_MASK: u32 = 0x3ff;
const FINGERPRINT_MASK: u32 = 0xfff;

/// What was evicted. All zero: nothing, since classes begin at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry(u32);

/// A set as it lies in the table: all zero is an empty one.
type Set = [u32; SET_WORDS];

/// The sets: plain words, since those come as zeroed memory that is not touched before it is used.
#[derive(Debug)]
struct Table {
    words: Box<[u32]>,
    /// The first word of the first set, which begins a cache line.
    first: usize,
    sets: usize,
}

#[derive(Debug)]
pub(super) struct Ghosts {
    table: Table,
    /// By class id.
    classes: Box<[Lost]>,
}

/// What a class has lost so far, in chunks, from each of its queues.
#[derive(Clone, Debug)]
struct Lost {
    chunks_per_page: u32,
    small: u32,
    main: u32,
}

/// A lookup met a ghost: what that says of its class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct GhostHit {
    pub class: ClassId,
    pub queue: Queue,
    /// See [`super::scores::Scores::note_hit`].
    pub weight: f32,
}

impl Ghosts {
    /// A table of so many sets for classes whose pages hold `per_page` chunks each (by class id;
    /// entry 0 is not used).
    pub(super) fn new(sets: usize, per_page: &[usize]) -> Ghosts {
        let lost = |&chunks: &usize| Lost { chunks_per_page: chunks as u32, small: 0, main: 0 };
        Ghosts { table: Table::new(sets.max(1)), classes: per_page.iter().map(lost).collect() }
    }

    /// Notes that `class` evicted an item of so many chunks from `queue`, with the key of `hash`.
    pub(super) fn evicted(&mut self, hash: u64, class: ClassId, queue: Queue, chunks: usize) {
        let lost = &mut self.classes[usize::from(class.0)];
        let count = lost.of_mut(queue);
        *count = count.wrapping_add(chunks as u32);
        let entry = Entry::new(class, queue, lost.stamp(queue), fingerprint(hash));
        let set = self.table.set_mut(hash);
        let at = set[0] as usize % WAYS;
        set[0] = (at as u32 + 1) % WAYS as u32;
        set[1 + at] = entry.0;
    }

    /// Notes that the key of `hash`, of whose class there are `pages`, was asked for and is not there.
    /// A ghost counts once, and while it is young.
    pub(super) fn missed(
        &mut self,
        hash: u64,
        pages_of: impl FnOnce(ClassId) -> usize,
    ) -> Option<GhostHit> {
        let held = self.find(hash)?;
        let entry = Entry(*held);
        if entry.is_counted() {
            return None;
        }
        *held = entry.counted().0;
        let (class, queue) = (entry.class(), entry.queue());
        let lost = &self.classes[usize::from(class.0)];
        let pages = (pages_of(class) as f32 * SHARE_COUNTED)
            .max(CHUNKS_COUNTED_MIN / lost.chunks_per_page as f32)
            .max(PAGES_COUNTED);
        let is_young = lost.age_pages(entry) <= pages;
        is_young.then_some(GhostHit { class, queue, weight: PAGES_COUNTED / pages })
    }

    /// Whether the key of `hash`, which is stored in `class`, was lost by that class's small queue while
    /// it lost no more than `pages`. Forgets the ghost.
    pub(super) fn returns(&mut self, hash: u64, class: ClassId, pages: usize) -> bool {
        let Some(held) = self.find(hash) else { return false };
        let entry = Entry(std::mem::take(held));
        entry.class() == class
            && entry.queue() == Queue::Small
            && self.classes[usize::from(class.0)].age_pages(entry) <= pages as f32
    }

    /// Gives the table so many sets; if it has others it begins anew, empty.
    pub(super) fn resize(&mut self, sets: usize) {
        if self.table.sets != sets.max(1) {
            self.table = Table::new(sets.max(1));
        }
    }

    /// Bytes of the table.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.table.sets * SET_BYTES
    }

    /// The entry of a key.
    fn find(&mut self, hash: u64) -> Option<&mut u32> {
        let wanted = fingerprint(hash);
        let is_it = |entry: &&mut u32| **entry & FINGERPRINT_MASK == wanted && **entry != 0;
        self.table.set_mut(hash)[1..].iter_mut().find(is_it)
    }
}

impl Table {
    fn new(sets: usize) -> Table {
        let words: Box<[u32]> = vec![0; (sets + 1) * SET_WORDS].into();
        let first = words.as_ptr().align_offset(SET_BYTES).min(SET_WORDS);
        Table { words, first, sets }
    }

    /// The set that a key belongs to.
    fn set_mut(&mut self, hash: u64) -> &mut Set {
        let bits = u64::from((hash >> 8) as u32);
        let number = ((bits * self.sets as u64) >> 32) as usize;
        let (sets, _) = self.words[self.first..].as_chunks_mut::<SET_WORDS>();
        &mut sets[number]
    }
}

impl Entry {
    fn new(class: ClassId, queue: Queue, stamp: u32, fingerprint: u32) -> Entry {
        let from_small = u32::from(queue == Queue::Small);
        Entry(u32::from(class.0) << 24 | from_small << 22 | stamp << 12 | fingerprint)
    }

    fn class(self) -> ClassId {
        ClassId((self.0 >> 24) as u8)
    }

    fn queue(self) -> Queue {
        if self.0 >> 22 & 1 == 1 { Queue::Small } else { Queue::Main }
    }

    fn stamp(self) -> u32 {
        self.0 >> 12 & STAMP_MASK
    }

    fn is_counted(self) -> bool {
        self.0 >> 23 & 1 == 1
    }

    fn counted(self) -> Entry {
        Entry(self.0 | 1 << 23)
    }
}

impl Lost {
    fn of_mut(&mut self, queue: Queue) -> &mut u32 {
        if queue == Queue::Small { &mut self.small } else { &mut self.main }
    }

    fn stamp(&self, queue: Queue) -> u32 {
        let chunks = if queue == Queue::Small { self.small } else { self.main };
        let step = (self.chunks_per_page / STEPS_PER_PAGE).max(1);
        (chunks / step) & STAMP_MASK
    }

    /// Pages of chunks that the queue has lost since then.
    fn age_pages(&self, entry: Entry) -> f32 {
        let steps = self.stamp(entry.queue()).wrapping_sub(entry.stamp()) & STAMP_MASK;
        steps as f32 / STEPS_PER_PAGE as f32
    }
}

fn fingerprint(hash: u64) -> u32 {
    (hash >> 44) as u32 & FINGERPRINT_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClassId = ClassId(1);
    const B: ClassId = ClassId(2);

    fn ghosts() -> Ghosts {
        Ghosts::new(1000, &[0, 100, 1000])
    }

    /// Fingerprints and sets that differ.
    fn hash(n: u64) -> u64 {
        n << 44 | n << 32
    }

    #[test]
    fn a_ghost_counts_once_for_its_class_and_queue() {
        let mut ghosts = ghosts();
        ghosts.evicted(hash(5), A, Queue::Main, 1);
        assert_eq!(ghosts.missed(hash(6), |_| 1), None);
        let hit = GhostHit { class: A, queue: Queue::Main, weight: 1.0 };
        assert_eq!(ghosts.missed(hash(5), |_| 1), Some(hit));
        assert_eq!(ghosts.missed(hash(5), |_| 1), None);
    }

    #[test]
    fn ghosts_count_while_they_are_young() {
        for (pages, chunks, want) in
            [(1, 200, Some(1.0)), (1, 300, None), (20, 300, Some(2.0 / 3.0))]
        {
            let mut ghosts = ghosts();
            ghosts.evicted(hash(1), A, Queue::Small, 1);
            ghosts.evicted(hash(2), A, Queue::Main, 10_000);
            ghosts.evicted(hash(3), A, Queue::Small, chunks);
            let weight = ghosts.missed(hash(1), |_| pages).map(|hit| hit.weight);
            assert_eq!(weight, want, "{pages} {chunks}");
        }
    }

    #[test]
    fn a_key_that_returns_is_known_once_within_the_classs_own_size() {
        for (class, queue, chunks, want) in [
            (A, Queue::Small, 400, true),
            (A, Queue::Small, 600, false),
            (A, Queue::Main, 100, false),
            (B, Queue::Small, 100, false),
        ] {
            let mut ghosts = ghosts();
            ghosts.evicted(hash(1), A, queue, 1);
            ghosts.evicted(hash(2), A, queue, chunks);
            assert_eq!(ghosts.returns(hash(1), class, 5), want);
            assert!(!ghosts.returns(hash(1), class, 5));
        }
    }

    #[test]
    fn the_oldest_of_a_set_makes_room() {
        let mut ghosts = Ghosts::new(1, &[0, 100]);
        (0..=WAYS as u64).for_each(|n| ghosts.evicted(hash(n), A, Queue::Small, 1));
        let found: Vec<bool> = (0..=WAYS as u64).map(|n| ghosts.find(hash(n)).is_some()).collect();
        assert!(!found[0] && found[1..].iter().all(|&is| is));
    }

    #[test]
    fn keys_are_spread_over_all_sets() {
        const COUNT: u64 = 300;
        let spread = |n: u64| n << 44 | (u64::from(u32::MAX) / COUNT * n) << 8;
        let mut ghosts = ghosts();
        (0..COUNT).for_each(|n| ghosts.evicted(spread(n), A, Queue::Small, 1));
        assert!((0..COUNT).all(|n| ghosts.find(spread(n)).is_some()));
        let used = |set: &&[u32; SET_WORDS]| set.iter().any(|word| *word != 0);
        let (sets, _) = ghosts.table.words[ghosts.table.first..].as_chunks::<SET_WORDS>();
        assert_eq!(sets.iter().filter(used).count(), COUNT as usize);
    }
}
