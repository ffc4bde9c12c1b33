//! The chunks of one shard: pages cut for a class, and the free list of each class.
//!
//! A class keeps the list of its pages and a doubly linked list of its free chunks (the links lie
//! in the chunks), so that a page's free chunks can be taken out when the page is given up. The
//! slab knows what a chunk's header says about being free, and nothing else about items.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::arena::{Arena, Geometry, PageId, Ref};
use super::class::{ClassId, Sizes};
use super::item::{Chunk, HEADER_BYTES, Kind, Mark};
use super::prefetch::prefetch;
use super::queue::{Place, Queues};

/// Bytes of a chunk that are fetched ahead; what comes behind them the processor fetches by itself, as
/// it sees them being copied in order.
const FORESEEN_BYTES: usize = 256;

#[derive(Debug)]
pub(super) struct Slab {
    arena: Arc<Arena>,
    places: Geometry,
    sizes: Arc<Sizes>,
    /// By class id; entry 0 is not used.
    classes: Vec<Pages>,
    /// Classes that have as many free chunks as a page holds.
    slack_count: usize,
    /// The page that is being drained, whose free chunks are withheld.
    draining: Option<PageId>,
}

/// The pages of one class.
#[derive(Debug)]
struct Pages {
    pages: Vec<PageId>,
    chunk_bytes: usize,
    per_page: usize,
    free: Ref,
    free_count: usize,
    queues: Queues,
}

impl Slab {
    pub(super) fn new(arena: Arc<Arena>, sizes: Arc<Sizes>) -> Slab {
        let page_bytes = arena.page_bytes();
        let unused = Pages {
            pages: Vec::new(),
            chunk_bytes: page_bytes,
            per_page: 0,
            free: Ref::NONE,
            free_count: 0,
            queues: Queues::default(),
        };
        let classes = std::iter::once(unused)
            .chain(sizes.all().map(|class| {
                let chunk_bytes = sizes.chunk_bytes(class);
                Pages {
                    pages: Vec::new(),
                    chunk_bytes,
                    per_page: page_bytes / chunk_bytes,
                    free: Ref::NONE,
                    free_count: 0,
                    queues: Queues::new(page_bytes / chunk_bytes),
                }
            }))
            .collect();
        let places = arena.geometry();
        Slab { arena, places, sizes, classes, slack_count: 0, draining: None }
    }

    pub(super) fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// The chunk that begins at `chunk`, which is one of this slab's.
    pub(super) fn chunk(&self, chunk: Ref) -> Chunk {
        debug_assert!(chunk.is_some());
        let offset = self.places.offset(chunk);
        debug_assert!(
            (offset - self.places.page_start(self.places.page_of(offset)))
                .is_multiple_of(self.classes[usize::from(self.class_of(chunk).0)].chunk_bytes),
            "{chunk:?} is no chunk's beginning"
        );
        // SAFETY: references come only from `take` of this slab (and the index, the lists and the
        // links that keep them), so this is the beginning of a chunk in a page of this shard,
        // whose lock is held by whoever has the slab; chunks begin at granules of 4 bytes or more.
        unsafe { Chunk::new(self.address(chunk)) }
    }

    /// The key of the item in `chunk`.
    pub(super) fn key(&self, chunk: Ref) -> &[u8] {
        // SAFETY: making the chunk anything else takes `&mut` of the shard, which has the slab.
        unsafe { self.chunk(chunk).key() }
    }

    /// Has a chunk fetched, the first [`FORESEEN_BYTES`] of it.
    pub(super) fn foresee(&self, chunk: Ref) {
        let bytes = self.chunk_bytes(self.class_of(chunk)).min(FORESEEN_BYTES);
        prefetch(self.address(chunk).as_ptr(), bytes);
    }

    /// Has the header of a chunk fetched, and most of the key.
    pub(super) fn foresee_head(&self, chunk: Ref) {
        prefetch(self.address(chunk).as_ptr(), 2 * HEADER_BYTES);
    }

    /// Address of a chunk.
    fn address(&self, chunk: Ref) -> NonNull<u8> {
        self.places.at(self.places.offset(chunk))
    }

    /// The class that `chunk`'s page is cut for.
    pub(super) fn class_of(&self, chunk: Ref) -> ClassId {
        ClassId(self.arena.note(self.page_of(chunk)).class.load(Relaxed))
    }

    /// The page that `chunk` lies in.
    pub(super) fn page_of(&self, chunk: Ref) -> PageId {
        self.places.page_of(self.places.offset(chunk))
    }

    /// Takes a free chunk of `class`; its bytes are arbitrary and it counts as used.
    pub(super) fn take(&mut self, class: ClassId) -> Option<Ref> {
        let free = self.class(class).free;
        if !free.is_some() {
            return None;
        }
        self.unlink_free(class, free);
        Some(free)
    }

    /// Puts a used chunk among the free ones, or withholds it if its page is being drained.
    pub(super) fn give(&mut self, chunk: Ref) {
        if self.is_draining(chunk) {
            return self.withhold_chunk(chunk);
        }
        let class = self.class_of(chunk);
        self.link_free(class, chunk);
    }

    /// Cuts `page`, which the shard has just become the owner of, for `class`.
    pub(super) fn add_page(&mut self, class: ClassId, page: PageId) {
        let note = self.arena.note(page);
        note.class.store(class.0, Relaxed);
        if note.expiry_floor.swap(0, Relaxed) != 0 {
            self.arena.region_floors(page).iter().for_each(|floor| floor.store(0, Relaxed));
        }
        note.number.store(self.class(class).pages.len() as u32, Relaxed);
        for index in (0..self.class(class).per_page).rev() {
            let chunk = self.chunk_at(class, page, index);
            self.link_free(class, chunk);
        }
        let pages = self.class_mut(class);
        pages.pages.push(page);
        pages.queues.add_page();
    }

    /// Withholds the free chunks of a page, and those that become free, until the drain is ended or
    /// stopped. One page at a time.
    pub(super) fn begin_drain(&mut self, class: ClassId, page: PageId) {
        debug_assert!(self.draining.is_none());
        for index in 0..self.class(class).per_page {
            let chunk = self.chunk_at(class, page, index);
            if self.chunk(chunk).kind() == Kind::Free {
                self.unlink_free(class, chunk);
                self.withhold_chunk(chunk);
            }
        }
        self.draining = Some(page);
    }

    /// Puts the withheld chunks of the page that is being drained among the free ones again.
    pub(super) fn stop_drain(&mut self, class: ClassId, page: PageId) {
        debug_assert_eq!(self.draining, Some(page));
        self.draining = None;
        for index in (0..self.class(class).per_page).rev() {
            let chunk = self.chunk_at(class, page, index);
            if self.chunk(chunk).is_withheld() {
                self.link_free(class, chunk);
            }
        }
    }

    /// Takes the page that is being drained, all of whose chunks are withheld by now, out of its class.
    /// Answers its number there, which the last page of the class takes.
    pub(super) fn end_drain(&mut self, class: ClassId, page: PageId) -> usize {
        debug_assert_eq!(self.draining, Some(page));
        self.draining = None;
        let number = self.arena.note(page).number.load(Relaxed) as usize;
        let pages = self.class_mut(class);
        pages.pages.swap_remove(number);
        pages.queues.remove_page(number);
        if let Some(&moved) = self.class(class).pages.get(number) {
            self.arena.note(moved).number.store(number as u32, Relaxed);
        }
        number
    }

    /// Whether `chunk` lies in the page that is being drained.
    pub(super) fn is_draining(&self, chunk: Ref) -> bool {
        self.draining.is_some() && self.is_draining_page(self.page_of(chunk))
    }

    pub(super) fn is_draining_page(&self, page: PageId) -> bool {
        self.draining == Some(page)
    }

    /// Marks a chunk as neither free nor anybody's.
    pub(super) fn withhold_chunk(&self, chunk: Ref) {
        self.chunk(chunk).withhold();
    }

    /// Copies the whole of a chunk, of which nothing is pinned, to another of the same class.
    pub(super) fn copy(&mut self, from: Ref, to: Ref) {
        let bytes = self.chunk_bytes(self.class_of(from));
        debug_assert!(from != to && self.class_of(to) == self.class_of(from));
        let seen = self.chunk(from);
        debug_assert!(seen.kind() == Kind::Link || !seen.has(Mark::PINNED), "{from:?} is read");
        let (from, to) = (self.address(from), self.address(to));
        // SAFETY: two different chunks of one class, each `bytes` long, in pages of this shard,
        // whose lock is held.
        unsafe { to.copy_from_nonoverlapping(from, bytes) }
    }

    /// The queues that the items of a class stand in.
    pub(super) fn queues(&self, class: ClassId) -> &Queues {
        &self.class(class).queues
    }

    pub(super) fn queues_mut(&mut self, class: ClassId) -> &mut Queues {
        &mut self.class_mut(class).queues
    }

    /// Where `chunk` lies in the ring of its class.
    pub(super) fn place_of(&self, chunk: Ref) -> Place {
        let offset = self.places.offset(chunk);
        let page = self.places.page_of(offset);
        let note = self.arena.note(page);
        let chunk_bytes = self.class(ClassId(note.class.load(Relaxed))).chunk_bytes;
        let within = offset - self.places.page_start(page);
        Place {
            page: note.number.load(Relaxed) as usize,
            chunk: (within as u32 / chunk_bytes as u32) as usize,
        }
    }

    /// The pages of a class, in the order of their numbers.
    pub(super) fn pages(&self, class: ClassId) -> &[PageId] {
        &self.class(class).pages
    }

    /// Chunks in a page of `class`.
    pub(super) fn per_page(&self, class: ClassId) -> usize {
        self.class(class).per_page
    }

    pub(super) fn chunk_bytes(&self, class: ClassId) -> usize {
        self.class(class).chunk_bytes
    }

    /// Whether some class has as many free chunks as a page holds.
    pub(super) fn has_slack(&self) -> bool {
        self.slack_count > 0
    }

    /// Whether `class` has as many free chunks as a page holds.
    pub(super) fn is_slack(&self, class: ClassId) -> bool {
        self.free_chunks(class) >= self.per_page(class)
    }

    pub(super) fn free_chunks(&self, class: ClassId) -> usize {
        self.class(class).free_count
    }

    /// The chunk at place `index` of a page of `class`.
    pub(super) fn chunk_at(&self, class: ClassId, page: PageId, index: usize) -> Ref {
        debug_assert!(index < self.class(class).per_page);
        self.places.reference(self.places.page_start(page) + index * self.class(class).chunk_bytes)
    }

    /// Lowers the expiry floors of the chunk's page and region to `second` (not 0).
    pub(super) fn note_expiry(&self, chunk: Ref, second: u32) {
        let offset = self.places.offset(chunk);
        let page = self.places.page_of(offset);
        for floor in [self.arena.region_floor(offset), &self.arena.note(page).expiry_floor] {
            let old = floor.load(Relaxed);
            if old == 0 || second < old {
                floor.store(second, Relaxed);
            }
        }
    }

    pub(super) fn expiry_floor(&self, page: PageId) -> u32 {
        self.arena.note(page).expiry_floor.load(Relaxed)
    }

    /// Floor of a region of a page.
    pub(super) fn region_floor(&self, page: PageId, region: usize) -> u32 {
        self.arena.region_floors(page)[region].load(Relaxed)
    }

    pub(super) fn set_region_floor(&self, page: PageId, region: usize, second: u32) {
        self.arena.region_floors(page)[region].store(second, Relaxed);
    }

    /// Raises the page's floor to the lowest of its regions'.
    pub(super) fn raise_expiry_floor(&self, page: PageId) {
        let floors = self.arena.region_floors(page).iter().map(|floor| floor.load(Relaxed));
        let lowest = floors.filter(|&floor| floor != 0).min().unwrap_or(0);
        self.arena.note(page).expiry_floor.store(lowest, Relaxed);
    }

    pub(super) fn regions_per_page(&self) -> usize {
        self.arena.regions_per_page()
    }

    /// Places of the chunks of `class` that begin in a region of a page.
    pub(super) fn chunks_of(&self, class: ClassId, region: usize) -> Range<usize> {
        let Pages { chunk_bytes, per_page, .. } = *self.class(class);
        let region_bytes = self.arena.page_bytes() / self.regions_per_page();
        let at = |bytes: usize| bytes.div_ceil(chunk_bytes).min(per_page);
        at(region * region_bytes)..at((region + 1) * region_bytes)
    }

    fn link_free(&mut self, class: ClassId, chunk: Ref) {
        let next = self.class(class).free;
        self.free_chunk(chunk).make_free(Ref::NONE, next);
        if next.is_some() {
            self.free_chunk(next).set_free_prev(chunk);
        }
        let class = self.class_mut(class);
        class.free = chunk;
        class.free_count += 1;
        let is_slack = class.free_count == class.per_page;
        self.slack_count += usize::from(is_slack);
    }

    fn unlink_free(&mut self, class: ClassId, chunk: Ref) {
        let (prev, next) = {
            let chunk = self.free_chunk(chunk);
            (chunk.free_prev(), chunk.free_next())
        };
        if next.is_some() {
            self.free_chunk(next).set_free_prev(prev);
        }
        if prev.is_some() {
            self.free_chunk(prev).set_free_next(next);
        } else {
            self.class_mut(class).free = next;
        }
        let class = self.class_mut(class);
        let was_slack = class.free_count == class.per_page;
        class.free_count -= 1;
        self.slack_count -= usize::from(was_slack);
    }

    fn free_chunk(&self, chunk: Ref) -> Chunk {
        // SAFETY: as for `chunk`.
        unsafe { Chunk::new(self.address(chunk)) }
    }

    fn class(&self, class: ClassId) -> &Pages {
        &self.classes[usize::from(class.0)]
    }

    fn class_mut(&mut self, class: ClassId) -> &mut Pages {
        &mut self.classes[usize::from(class.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slab() -> (Slab, Arc<Arena>) {
        let arena = Arc::new(Arena::new(1 << 20, 16384).unwrap());
        let sizes = Arc::new(Sizes::new(32, 1.08, 16384, arena.granule()));
        (Slab::new(arena.clone(), sizes), arena)
    }

    #[test]
    fn takes_every_chunk_of_a_page_once() {
        let (mut slab, arena) = slab();
        let class = slab.sizes().class_for(100).unwrap();
        slab.add_page(class, arena.take().unwrap());
        let mut taken: Vec<Ref> = std::iter::from_fn(|| slab.take(class)).collect();
        assert_eq!(taken.len(), slab.per_page(class));
        taken.sort_by_key(|r| r.0);
        taken.dedup();
        assert_eq!(taken.len(), slab.per_page(class));
        assert_eq!(slab.free_chunks(class), 0);
        for chunk in &taken {
            assert_eq!(slab.class_of(*chunk), class);
            slab.give(*chunk);
            assert_eq!(slab.chunk(*chunk).kind(), Kind::Free);
        }
        slab.begin_drain(class, PageId(1));
        assert_eq!(slab.free_chunks(class), 0);
        slab.stop_drain(class, PageId(1));
        assert_eq!(slab.free_chunks(class), slab.per_page(class));
        slab.begin_drain(class, PageId(1));
        assert_eq!(slab.end_drain(class, PageId(1)), 0);
        assert_eq!(slab.free_chunks(class), 0);
        assert_eq!(slab.take(class), None);
    }

    #[test]
    fn a_page_leaves_the_others_free_chunks_alone() {
        let (mut slab, arena) = slab();
        let class = slab.sizes().class_for(1000).unwrap();
        for _ in 0..3 {
            slab.add_page(class, arena.take().unwrap());
        }
        slab.begin_drain(class, PageId(2));
        assert_eq!(slab.end_drain(class, PageId(2)), 1);
        let left: Vec<Ref> = std::iter::from_fn(|| slab.take(class)).collect();
        assert_eq!(left.len(), 2 * slab.per_page(class));
        assert!(left.iter().all(|&chunk| slab.page_of(chunk) != PageId(2)));
    }

    /// Of its regions, 0 standing for never.
    #[test]
    fn a_page_has_the_lowest_floor() {
        let (mut slab, arena) = slab();
        let class = slab.sizes().class_for(1000).unwrap();
        let page = arena.take().unwrap();
        slab.add_page(class, page);
        let regions = slab.regions_per_page();
        let chunks: Vec<Ref> = (0..regions)
            .map(|region| slab.chunk_at(class, page, slab.chunks_of(class, region).start))
            .collect();
        slab.note_expiry(chunks[1], 300);
        slab.note_expiry(chunks[2], 200);
        slab.note_expiry(chunks[2], 250);
        let floors = |slab: &Slab| [0, 1, 2].map(|region| slab.region_floor(page, region));
        assert_eq!((floors(&slab), slab.expiry_floor(page)), ([0, 300, 200], 200));
        slab.set_region_floor(page, 2, 400);
        slab.raise_expiry_floor(page);
        assert_eq!((floors(&slab), slab.expiry_floor(page)), ([0, 300, 400], 300));
        (1..3).for_each(|region| slab.set_region_floor(page, region, 0));
        slab.raise_expiry_floor(page);
        assert_eq!(slab.expiry_floor(page), 0);
    }
}
