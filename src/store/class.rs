//! Slab classes: which chunk sizes there are, and which one a size belongs to.
//!
//! Sizes grow by a factor and are then stretched so that a page is cut without a remainder. The
//! largest chunk is a twelfth of a page, where the step between neighbours is still 8 %; whatever
//! is larger becomes a chain of such chunks, so that no class is too coarse and none is huge.
#![forbid(unsafe_code)]

use super::Store;

/// A slab class, `1..=count`; 0 names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClassId(pub u8);

/// Chunks of the largest class in a page: below this the sizes that divide a page lie more than
/// 8 % apart.
const PER_PAGE_MIN: usize = 12;

/// Classes at the most, so that an id fits a byte.
const CLASSES_MAX: usize = 250;

/// The chunk sizes of a store.
#[derive(Debug)]
pub(super) struct Sizes {
    /// Ascending; class 1 is the first.
    chunk_bytes: Vec<u32>,
    /// Class of each size, in granules.
    by_granules: Vec<u8>,
    granule: usize,
}

impl Sizes {
    /// Chunks from `smallest` bytes on, each about `factor` times the one before, for pages of
    /// `page_bytes`; all are multiples of `granule`.
    pub(super) fn new(smallest: usize, factor: f64, page_bytes: usize, granule: usize) -> Sizes {
        let largest = page_bytes / PER_PAGE_MIN / granule * granule;
        let mut chunk_bytes: Vec<u32> = Vec::new();
        let mut size = smallest.next_multiple_of(granule).min(largest);
        while size < largest && chunk_bytes.len() < CLASSES_MAX - 1 {
            let stretched = page_bytes / (page_bytes / size) / granule * granule;
            if stretched >= largest {
                break;
            }
            chunk_bytes.push(stretched as u32);
            let next = (stretched as f64 * factor) as usize;
            size = next.next_multiple_of(granule).max(stretched + granule);
        }
        chunk_bytes.push(largest as u32);
        let by_granules = (0..=largest / granule)
            .map(|granules| {
                let class = chunk_bytes.partition_point(|&c| (c as usize) < granules * granule);
                class as u8 + 1
            })
            .collect();
        Sizes { chunk_bytes, by_granules, granule }
    }

    /// The class whose chunks hold `bytes` most tightly; None above the largest.
    pub(super) fn class_for(&self, bytes: usize) -> Option<ClassId> {
        self.by_granules.get(bytes.div_ceil(self.granule)).map(|&id| ClassId(id))
    }

    /// Chunk size of a class in bytes.
    pub(super) fn chunk_bytes(&self, class: ClassId) -> usize {
        self.chunk_bytes[usize::from(class.0) - 1] as usize
    }

    /// The class of the largest chunks.
    pub(super) fn largest(&self) -> ClassId {
        ClassId(self.chunk_bytes.len() as u8)
    }

    /// All classes, smallest first.
    pub(super) fn all(&self) -> impl Iterator<Item = ClassId> + use<> {
        (1..=self.largest().0).map(ClassId)
    }
}

impl Store {
    /// Bytes of the largest chunks; a larger value is a chain of such.
    pub fn chunk_bytes_max(&self) -> usize {
        self.sizes.chunk_bytes(self.sizes.largest())
    }

    /// Whether the store has a slab class of this number.
    pub fn has_class(&self, class: u8) -> bool {
        (1..=self.sizes.largest().0).contains(&class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_the_tightest_class() {
        for (factor, page) in
            [(1.08, 65536), (1.08, 16384), (1.25, 65536), (1.01, 65536), (9.0, 16384)]
        {
            let sizes = Sizes::new(32, factor, page, 4);
            let largest = sizes.chunk_bytes(sizes.largest());
            for bytes in 1..=largest {
                let class = sizes.class_for(bytes).unwrap();
                assert!(sizes.chunk_bytes(class) >= bytes);
                assert!(class.0 == 1 || sizes.chunk_bytes(ClassId(class.0 - 1)) < bytes);
            }
            assert_eq!(sizes.class_for(largest + 4), None);
        }
    }

    #[test]
    fn steps_stay_near_the_factor_and_pages_have_no_remainder() {
        let sizes = Sizes::new(32, 1.08, 65536, 4);
        for class in sizes.all().skip(1) {
            let (small, large) =
                (sizes.chunk_bytes(ClassId(class.0 - 1)), sizes.chunk_bytes(class));
            assert!(large > small);
            assert!(large - small <= 8 || (large as f64) < small as f64 * 1.18, "{small} {large}");
            let left = 65536 - 65536 / large * large;
            assert!(left < 4 * (65536 / large), "{large} leaves {left}");
        }
    }
}
