//! Where the buckets of an index lie, for those who do not hold its shard's lock.
//!
//! Good for guesses only: it was right when it was read, and may name a bucket that is none any more.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::{BUCKET_BYTES, Index, bucket_of};
use crate::store::arena::{Geometry, PageId};
use crate::store::prefetch::prefetch;

/// Pages of buckets that are known outside, as many as a shard usually has of all kinds; more are not
/// guessed at.
const PAGES_MAX: usize = 1024;

/// See the module documentation.
#[derive(Debug)]
pub(in crate::store) struct Outline {
    places: Geometry,
    page_shift: u32,
    /// Level and split of the index, in the upper and the lower half.
    shape: AtomicU64,
    /// Pages of main buckets; 0 for none.
    pages: Box<[AtomicU32]>,
}

impl Outline {
    pub(super) fn new(places: Geometry, page_shift: u32) -> Outline {
        let pages = (0..PAGES_MAX).map(|_| AtomicU32::new(0)).collect();
        let shape = AtomicU64::new(u64::from(page_shift) << 32);
        Outline { places, page_shift, shape, pages }
    }

    /// Has the bucket fetched that `hash` probably leads to.
    pub(in crate::store) fn foresee(&self, hash: u64) {
        if let Some(bucket) = self.guess(hash) {
            prefetch(bucket, BUCKET_BYTES);
        }
    }

    /// Where that bucket would be.
    pub(super) fn guess(&self, hash: u64) -> Option<*const u8> {
        let shape = self.shape.load(Relaxed);
        let bucket = bucket_of((shape >> 32) as u32, shape as u32, hash);
        let page = PageId(self.pages.get((bucket >> self.page_shift) as usize)?.load(Relaxed));
        let within = (bucket & ((1 << self.page_shift) - 1)) as usize * BUCKET_BYTES;
        Some(self.places.guess(self.places.page_start(page) + within))
    }

    pub(super) fn note_page(&self, number: usize, page: PageId) {
        if let Some(cell) = self.pages.get(number) {
            cell.store(page.0, Relaxed);
        }
    }
}

impl Index {
    /// Tells the outline how many buckets there are.
    pub(super) fn note_shape(&self) {
        let shape = u64::from(self.level) << 32 | u64::from(self.split);
        self.outline.shape.store(shape, Relaxed);
    }
}
