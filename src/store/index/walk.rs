//! Walking an index that grows and shrinks meanwhile.
//!
//! A *position* is the bits of a hash that choose the bucket, read backward. A bucket of `n` bits
//! covers all hashes that end in them, which is one interval of positions; splitting it makes two
//! intervals that lie side by side, merging makes one of two neighbours:
//!
//! ```text
//! positions  0 ........................................ 2^32
//! 4 buckets  |    00    |    10    |    01    |    11    |
//! 00 split   | 000 | 100|    10    |    01    |    11    |
//! ```
//!
//! So a walk goes through the positions upward and needs to keep nothing but where it is, whatever
//! the buckets are when it comes to them: an item never moves to another position.
#![forbid(unsafe_code)]

use super::{Index, Place, SLOTS};
use crate::store::arena::Ref;

/// Bits of a position.
const BITS: u32 = u32::BITS;

/// What one bucket covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Interval {
    pub bucket: u32,
    /// First position.
    pub start: u32,
    /// First position of the next bucket; None behind the last.
    pub next: Option<u32>,
}

/// The position of an item of this hash.
pub(in crate::store) fn position(hash: u64) -> u32 {
    ((hash >> 8) as u32).reverse_bits()
}

impl Index {
    /// The bucket that covers `position` now.
    pub(in crate::store) fn interval(&self, position: u32) -> Interval {
        let bits = position.reverse_bits();
        let is_split = bits & ((1 << self.level) - 1) < self.split;
        let width = BITS - self.level - u32::from(is_split);
        let start = position >> width << width;
        Interval {
            bucket: self.bucket_of(u64::from(bits) << 8),
            start,
            next: start.checked_add(1 << width),
        }
    }

    /// Every reference in a bucket and its spill buckets, with its tag.
    pub(in crate::store) fn for_each_in(&self, bucket: u32, mut visit: impl FnMut(u8, Ref)) {
        let mut at = Place::Main(bucket);
        loop {
            let bucket = self.bucket(at);
            for slot in (0..SLOTS).filter(|&slot| bucket.refs[slot].is_some()) {
                visit(bucket.tags[slot], bucket.refs[slot]);
            }
            if bucket.next == 0 {
                return;
            }
            at = Place::Spill(bucket.next - 1);
        }
    }
}
