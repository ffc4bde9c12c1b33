//! One reserved stretch of memory, handed out in pages.
//!
//! The arena reserves address space once and never moves, so that a [`Ref`], a 32-bit index of
//! granules, stays valid for the life of a chunk. Memory is touched page by page, lowest first,
//! so that the resident size follows what is in use; a page given back above the limit returns
//! its memory to the system.
//!
//! A page has one owner at a time: the shard that took it. Every access to the bytes of a page
//! happens under its owner's lock, save two, which touch bytes that nobody else touches: reading
//! the value of a pinned item and filling the value of an upload.
//!
//! ```text
//! base                                                              base + reserved
//! | page 0 | page 1 | page 2 | ...  | fresh | untouched, costs nothing         |
//!   never    taken    in the pool     next
//! ```

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32};

use super::item::HEADER_BYTES;
use crate::sync::Mutex;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};

/// Where a chunk begins: a count of granules from the arena's base. 0 stands for no chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ref(pub u32);

impl Ref {
    pub(super) const NONE: Ref = Ref(0);

    pub(super) fn is_some(self) -> bool {
        self != Ref::NONE
    }
}

/// Number of a page; page 0 is never handed out, so that [`Ref::NONE`] names no chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageId(pub u32);

/// Bytes of a page that share a floor: few enough to look through when one item in them is due, and
/// enough that floors are a 512th of the memory.
const REGION_BYTES: usize = 2048;

/// What its owner notes of a page.
#[derive(Debug, Default)]
pub(super) struct PageNote {
    /// Slab class that the page is cut for.
    pub class: AtomicU8,
    /// No item of the page expires before this second; 0: none expires at all, and no region of it
    /// has a floor.
    pub expiry_floor: AtomicU32,
    /// Its number among the pages of its class.
    pub number: AtomicU32,
}

/// Where pages and chunks lie: what each part of a shard keeps a copy of, since every lookup asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    base: NonNull<u8>,
    /// Highest offset at which the header of a chunk fits into the reservation.
    last: usize,
    page_shift: u32,
    granule_shift: u32,
}

// SAFETY: a position in the arena's mapping, which is all that is shared with it; who may touch
// which bytes there is ruled by page ownership (module documentation).
unsafe impl Send for Geometry {}
// SAFETY: as for Send.
unsafe impl Sync for Geometry {}

impl Geometry {
    pub(super) fn page_bytes(&self) -> usize {
        1 << self.page_shift
    }

    /// Chunk sizes are multiples of this many bytes.
    pub(super) fn granule(&self) -> usize {
        1 << self.granule_shift
    }

    /// Offset of a page's first byte.
    pub(super) fn page_start(&self, page: PageId) -> usize {
        (page.0 as usize) << self.page_shift
    }

    /// The page that holds the byte at `offset`.
    pub(super) fn page_of(&self, offset: usize) -> PageId {
        PageId((offset >> self.page_shift) as u32)
    }

    /// Offset of a chunk's first byte.
    pub(super) fn offset(&self, chunk: Ref) -> usize {
        (chunk.0 as usize) << self.granule_shift
    }

    /// The reference of the chunk that begins at `offset`.
    pub(super) fn reference(&self, offset: usize) -> Ref {
        debug_assert_eq!(offset & (self.granule() - 1), 0);
        Ref((offset >> self.granule_shift) as u32)
    }

    /// Where the byte at `offset` would be, whether it is there or not: nothing may be read from it.
    pub(super) fn guess(&self, offset: usize) -> *const u8 {
        self.base.as_ptr().wrapping_add(offset)
    }

    /// Address of the byte at `offset`, where a chunk begins, or what ends within the page.
    ///
    /// Panics if a header there would not lie within the reservation.
    pub(super) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.last, "outside the arena");
        // SAFETY: just checked to lie inside the one mapping.
        unsafe { self.base.add(offset) }
    }
}

#[derive(Debug)]
pub(super) struct Arena {
    geometry: Geometry,
    reserved: usize,
    notes: Box<[PageNote]>,
    /// The same second for the items that begin in each region.
    region_floors: Box<[AtomicU32]>,
    pool: Mutex<Pool>,
}

/// Pages that nobody owns.
#[derive(Debug)]
struct Pool {
    free: Vec<PageId>,
    /// The lowest page that was never handed out.
    fresh: u32,
    taken: u32,
    limit: u32,
}

impl Arena {
    /// Reserves room for `limit_bytes`, and as much more as references can name, so that the limit
    /// can be raised later; where the system refuses that much, for the limit alone.
    pub(super) fn new(limit_bytes: usize, page_bytes: usize) -> Result<Arena, nix::Error> {
        Arena::reserving(limit_bytes, page_bytes, usize::MAX)
    }

    /// The same, with room for no more than `most_bytes` and the limit.
    pub(super) fn reserving(
        limit_bytes: usize,
        page_bytes: usize,
        most_bytes: usize,
    ) -> Result<Arena, nix::Error> {
        let page_shift = page_bytes.trailing_zeros();
        let mut granule_shift = 2;
        while (limit_bytes as u64 * 2) > (1u64 << 32) << granule_shift {
            granule_shift += 1;
        }
        let least = (limit_bytes + page_bytes).next_multiple_of(page_bytes);
        let most = usize::try_from((1u64 << 32) << granule_shift).unwrap_or(least);
        let most = most.min(most_bytes).max(least);
        let (base, reserved) = match map(most) {
            Ok(base) => (base, most),
            Err(_) => (map(least)?, least),
        };
        let pool = Pool { free: Vec::new(), fresh: 1, taken: 0, limit: 0 };
        let notes = zeroed(reserved >> page_shift);
        let region_floors = zeroed(reserved / REGION_BYTES);
        let pool = Mutex::new(pool);
        let last = reserved - HEADER_BYTES;
        let geometry = Geometry { base, last, page_shift, granule_shift };
        let arena = Arena { geometry, reserved, notes, region_floors, pool };
        arena.set_limit(limit_bytes);
        Ok(arena)
    }

    /// Takes a page that nobody owns, unless the limit is reached. Its bytes are arbitrary.
    pub(super) fn take(&self) -> Option<PageId> {
        let mut pool = self.pool.lock();
        if pool.taken >= pool.limit {
            return None;
        }
        let page = match pool.free.pop() {
            Some(page) => page,
            None if (pool.fresh as usize) < self.notes.len() => {
                pool.fresh += 1;
                PageId(pool.fresh - 1)
            }
            None => return None,
        };
        pool.taken += 1;
        Some(page)
    }

    /// Gives a page back; its memory returns to the system.
    pub(super) fn give(&self, page: PageId) {
        // SAFETY: the range is one page of the mapping, and its owner has just given it up.
        let gone = unsafe {
            madvise(
                self.geometry.base.add(self.geometry.page_start(page)).cast(),
                self.page_bytes(),
                MmapAdvise::MADV_DONTNEED,
            )
        };
        debug_assert!(gone.is_ok(), "a page of our own mapping");
        let mut pool = self.pool.lock();
        debug_assert!(page.0 != 0 && page.0 < pool.fresh && !pool.free.contains(&page));
        pool.taken -= 1;
        pool.free.push(page);
    }

    /// Sets the limit, of pages and the floors of their regions; false, and nothing changed, where the
    /// reservation cannot hold it.
    pub(super) fn set_limit(&self, bytes: usize) -> bool {
        let pages = bytes / self.cost_of(1);
        if pages >= self.notes.len() {
            return false;
        }
        self.pool.lock().limit = pages as u32;
        true
    }

    /// Bytes of a limit that so many pages take, with the floors of their regions.
    pub(super) fn cost_of(&self, pages: usize) -> usize {
        pages * (self.page_bytes() + self.regions_per_page() * size_of::<AtomicU32>())
    }

    /// Asks for huge pages and touches everything up to the limit (`-L`).
    pub(super) fn preallocate(&self) -> Result<(), nix::Error> {
        let len = (self.limit_pages() + 1) << self.geometry.page_shift;
        // SAFETY: the range lies in the mapping; the advice changes no content.
        unsafe { madvise(self.geometry.base.cast(), len, MmapAdvise::MADV_HUGEPAGE)? };
        for at in (0..len).step_by(4096) {
            // SAFETY: inside the mapping, and before any page has an owner.
            unsafe { self.geometry.base.add(at).write_volatile(0) };
        }
        Ok(())
    }

    pub(super) fn limit_pages(&self) -> usize {
        self.pool.lock().limit as usize
    }

    /// The share of one of so many shards in the pages: all of them together have every page.
    pub(super) fn share_of(&self, shard: usize, shards: usize) -> usize {
        let pages = self.limit_pages();
        pages / shards + usize::from(shard < pages % shards)
    }

    pub(super) fn is_above_limit(&self) -> bool {
        let pool = self.pool.lock();
        pool.taken > pool.limit
    }

    pub(super) fn taken_pages(&self) -> usize {
        self.pool.lock().taken as usize
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.geometry
    }

    pub(super) fn page_bytes(&self) -> usize {
        self.geometry.page_bytes()
    }

    /// Chunk sizes are multiples of this many bytes.
    pub(super) fn granule(&self) -> usize {
        self.geometry.granule()
    }

    pub(super) fn note(&self, page: PageId) -> &PageNote {
        &self.notes[page.0 as usize]
    }

    /// Floors of the regions of a page.
    pub(super) fn region_floors(&self, page: PageId) -> &[AtomicU32] {
        &self.region_floors[page.0 as usize * self.regions_per_page()..][..self.regions_per_page()]
    }

    /// Floor of the region that the byte at `offset` lies in.
    pub(super) fn region_floor(&self, offset: usize) -> &AtomicU32 {
        &self.region_floors[offset / REGION_BYTES]
    }

    pub(super) fn regions_per_page(&self) -> usize {
        self.page_bytes() / REGION_BYTES
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; nothing that borrows from it can outlive it,
        // since pinned values and uploads hold the store that owns the arena.
        let unmapped = unsafe { munmap(self.geometry.base.cast(), self.reserved) };
        debug_assert!(unmapped.is_ok());
    }
}

fn map(len: usize) -> Result<NonNull<u8>, nix::Error> {
    let len = NonZeroUsize::new(len).ok_or(nix::Error::EINVAL)?;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
    // SAFETY: a fresh anonymous mapping at an address of the kernel's choice aliases nothing.
    unsafe { mmap_anonymous(None, len, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags) }
        .map(NonNull::cast)
}

/// What all-zero bytes are a value of.
///
/// # Safety
///
/// They are.
unsafe trait Zeroed {}

// SAFETY: two atomic integers.
unsafe impl Zeroed for PageNote {}
// SAFETY: an atomic integer.
unsafe impl Zeroed for AtomicU32 {}

/// `count` values, from zeroed memory so that unused ones are never touched.
fn zeroed<T: Zeroed>(count: usize) -> Box<[T]> {
    let Ok(layout) = Layout::array::<T>(count.max(1)) else {
        unreachable!("notes on a reservation fit the address space")
    };
    // SAFETY: the layout has a non-zero size; all-zero bytes are valid by the trait's promise; the
    // box frees with the same layout.
    unsafe {
        let values = alloc_zeroed(layout).cast::<T>();
        if values.is_null() {
            handle_alloc_error(layout);
        }
        Box::from_raw(std::ptr::slice_from_raw_parts_mut(values, count.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_out_up_to_the_limit_and_takes_back() {
        let page_cost = 16384 + 16384 / REGION_BYTES * 4;
        let arena = Arena::new(4 * page_cost, 16384).unwrap();
        let pages: Vec<PageId> = std::iter::from_fn(|| arena.take()).collect();
        assert_eq!(pages, [PageId(1), PageId(2), PageId(3), PageId(4)]);
        arena.give(pages[1]);
        assert_eq!(arena.take(), Some(pages[1]));
        assert_eq!(arena.take(), None);
        assert!(arena.set_limit(5 * page_cost));
        assert_eq!(arena.take(), Some(PageId(5)));
        assert!(!arena.set_limit(usize::MAX));
    }

    #[test]
    fn references_name_granules() {
        let arena = Arena::new(1 << 20, 16384).unwrap();
        assert_eq!(arena.granule(), 4);
        let places = arena.geometry();
        let offset = places.page_start(PageId(3)) + 44;
        let chunk = places.reference(offset);
        assert_eq!(places.offset(chunk), offset);
        assert_eq!(places.page_of(offset), PageId(3));
    }

    /// So many that twice the limit can be named, and no larger.
    #[test]
    fn granules_follow_from_the_limit() {
        const GIB: usize = 1 << 30;
        for (limit, granule) in [(8 * GIB, 4), (8 * GIB + 1, 8), (16 * GIB, 8), (16 * GIB + 1, 16)]
        {
            let arena = Arena::reserving(limit, 65_536, 0).unwrap();
            assert_eq!(arena.granule(), granule, "{limit}");
            assert!(!arena.set_limit(2 * limit));
        }
        let arena = Arena::new(1 << 20, 16_384).unwrap();
        assert!(arena.set_limit(4 * GIB) && !arena.set_limit(17 * GIB));
        let page_cost = 16_384 + 16_384 / REGION_BYTES * 4;
        assert_eq!((arena.cost_of(1), arena.cost_of(3)), (page_cost, 3 * page_cost));
    }
}
