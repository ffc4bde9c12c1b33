//! Slab classes: which chunk sizes there are, and which one a size belongs to.
//!
//! Sizes grow by a factor and are then stretched so that a page is cut without a remainder. The
//! largest chunk for a whole item is a twelfth of a page, where the step between neighbours is still
//! 8 %; whatever is larger becomes a chain of chunks of one class. For these large pages have classes
//! of their own beyond: an eleventh of a page, a tenth and so on. A value is cut for the largest of them
//! that leaves little of its pieces empty, so that there are few pieces to be found, sent and freed.
#![forbid(unsafe_code)]

use super::Store;

/// A slab class, `1..=count`; 0 names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClassId(pub u8);

/// Chunks of the largest class in a page: below this the sizes that divide a page lie more than
/// 8 % apart.
const PER_PAGE_MIN: usize = 12;

/// Largest pieces in a page: what a client holds that announces a megabyte and sends nothing is half a
/// page, and a megabyte goes in one vectored call.
const PIECES_PER_PAGE_MIN: usize = 2;

/// Pages from this size on have classes for pieces: there is enough memory beside them that classes
/// which only large values use cost nothing worth naming.
const PIECES_FROM_PAGE_BYTES: usize = 64 * 1024;

/// What the pieces of a value may leave empty, one part in so many of its bytes.
const PIECES_WASTE_PART: usize = 16;

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
    /// The class of the largest chunks for whole items; those for pieces alone follow.
    largest_whole: ClassId,
}

impl Sizes {
    /// Chunks from `smallest` bytes on, each about `factor` times the one before, for pages of
    /// `page_bytes`; all are multiples of `granule`.
    pub(super) fn new(smallest: usize, factor: f64, page_bytes: usize, granule: usize) -> Sizes {
        let largest = page_bytes / PER_PAGE_MIN / granule * granule;
        let mut chunk_bytes: Vec<u32> = Vec::new();
        let mut size = smallest.next_multiple_of(granule).min(largest);
        while size < largest && chunk_bytes.len() < CLASSES_MAX - PER_PAGE_MIN {
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
        let largest_whole = ClassId(chunk_bytes.len() as u8);
        if page_bytes >= PIECES_FROM_PAGE_BYTES {
            let pieces = (PIECES_PER_PAGE_MIN..PER_PAGE_MIN).rev();
            chunk_bytes.extend(pieces.map(|n| (page_bytes / n / granule * granule) as u32));
        }
        Sizes { chunk_bytes, by_granules, granule, largest_whole }
    }

    /// The class whose chunks hold `bytes` most tightly; None above the largest.
    pub(super) fn class_for(&self, bytes: usize) -> Option<ClassId> {
        self.by_granules.get(bytes.div_ceil(self.granule)).map(|&id| ClassId(id))
    }

    /// Chunk size of a class in bytes.
    pub(super) fn chunk_bytes(&self, class: ClassId) -> usize {
        self.chunk_bytes[usize::from(class.0) - 1] as usize
    }

    /// The class whose chunks are to hold the pieces of an item that is too large for one: the item's
    /// first chunk has `first` bytes beside its piece, each other one `other`.
    pub(super) fn class_for_pieces(&self, len: usize, first: usize, other: usize) -> ClassId {
        let beyond = (self.largest_whole.0 + 1..=self.largest().0).rev().map(ClassId);
        let fits = |class: &ClassId| {
            let chunk = self.chunk_bytes(*class);
            let held = (first + len).saturating_sub(chunk);
            let links = held.div_ceil(chunk - other);
            let empty = (1 + links) * chunk - (first + len + links * other);
            links > 0 && empty <= len / PIECES_WASTE_PART
        };
        if let Some(class) = beyond.into_iter().find(fits) {
            return class;
        }
        let largest = self.chunk_bytes(self.largest_whole);
        let bytes = first + len;
        let links = (bytes - largest.min(bytes)).div_ceil(largest - other).max(1);
        let chunk_bytes = (bytes + links * other).div_ceil(links + 1);
        self.class_for(chunk_bytes).unwrap_or(self.largest_whole)
    }

    /// The class of the largest chunks for whole items.
    pub(super) fn largest_whole(&self) -> ClassId {
        self.largest_whole
    }

    /// The last class.
    pub(super) fn largest(&self) -> ClassId {
        ClassId(self.chunk_bytes.len() as u8)
    }

    /// All classes, smallest first.
    pub(super) fn all(&self) -> impl Iterator<Item = ClassId> + use<> {
        (1..=self.largest().0).map(ClassId)
    }
}

impl Store {
    /// Bytes of the largest chunks that hold a whole item; a larger value is a chain of chunks.
    pub fn chunk_bytes_max(&self) -> usize {
        self.sizes.chunk_bytes(self.sizes.largest_whole())
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
            let largest = sizes.chunk_bytes(sizes.largest_whole());
            for bytes in 1..=largest {
                let class = sizes.class_for(bytes).unwrap();
                assert!(sizes.chunk_bytes(class) >= bytes);
                assert!(class.0 == 1 || sizes.chunk_bytes(ClassId(class.0 - 1)) < bytes);
            }
            assert_eq!(sizes.class_for(largest + 4), None);
        }
    }

    #[test]
    fn pieces_are_few_and_leave_little_empty() {
        let (first, other) = (70, 20);
        for (page, most_pieces) in [(65536, [19, 8, 32]), (16384, [19, 75, 745])] {
            let sizes = Sizes::new(32, 1.04, page, 4);
            let count = |class: ClassId, len: usize| {
                let chunk = sizes.chunk_bytes(class);
                1 + (first + len - chunk).div_ceil(chunk - other)
            };
            let from = sizes.chunk_bytes(sizes.largest_whole()) + 1 - first;
            for len in (from..2 << 20).step_by(97) {
                let class = sizes.class_for_pieces(len, first, other);
                let (chunk, pieces) = (sizes.chunk_bytes(class), count(class, len));
                assert!(pieces > 1, "{len} B need no chain");
                let empty = pieces * chunk - (first + len + (pieces - 1) * other);
                let is_usual = class.0 <= sizes.largest_whole().0;
                // A usual class is a step too large at the most, and the last piece is not full.
                let most = if is_usual { chunk + len / 8 } else { len / PIECES_WASTE_PART };
                assert!(empty <= most, "{len} B leave {empty}");
            }
            let lens = if page == 65536 {
                [64_000, 100_000, 1_000_000]
            } else {
                [24_000, 100_000, 1_000_000]
            };
            let counted = lens.map(|len| count(sizes.class_for_pieces(len, first, other), len));
            assert!(counted.iter().zip(most_pieces).all(|(n, most)| *n <= most), "{counted:?}");
        }
    }

    #[test]
    fn ids_fit_a_byte() {
        let sizes = Sizes::new(32, 1.001, 65536, 4);
        assert!(usize::from(sizes.largest().0) <= CLASSES_MAX);
        assert_eq!(sizes.all().count(), usize::from(sizes.largest().0));
        assert_eq!(sizes.chunk_bytes(sizes.largest()), 65536 / PIECES_PER_PAGE_MIN);
    }

    #[test]
    fn steps_stay_near_the_factor_and_pages_have_no_remainder() {
        let sizes = Sizes::new(32, 1.08, 65536, 4);
        for class in sizes.all().take(usize::from(sizes.largest_whole().0)).skip(1) {
            let (small, large) =
                (sizes.chunk_bytes(ClassId(class.0 - 1)), sizes.chunk_bytes(class));
            assert!(large > small);
            assert!(large - small <= 8 || (large as f64) < small as f64 * 1.18, "{small} {large}");
            let left = 65536 - 65536 / large * large;
            assert!(left < 4 * (65536 / large), "{large} leaves {left}");
        }
    }
}
