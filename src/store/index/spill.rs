//! The spill buckets of an index, in pages of their own.
//!
//! A bucket is taken from the lowest page that has a free one, so that the pages behind it empty. A
//! page that nothing is in goes back whatever its place: its numbers stay unused until another page
//! takes the place.
#![forbid(unsafe_code)]

use super::{Bucket, Index, Place};
use crate::store::arena::PageId;

/// What is kept of a page's buckets, one part in so many, while the index may have to shrink: a merge
/// may need one, and gets none from the arena when the memory is full.
const RESERVE: u32 = 4;

/// The pages of spill buckets, by number. All counts are of buckets.
#[derive(Debug, Default)]
pub(super) struct Spills {
    pages: Vec<SpillPage>,
    used: u32,
    free: u32,
    /// No page below this one has a free bucket.
    lowest: usize,
}

#[derive(Debug)]
struct SpillPage {
    /// None: an empty place, with no buckets, free or used.
    page: Option<PageId>,
    used: u32,
    /// Head of the page's free buckets, plus one.
    free: u32,
}

impl Spills {
    pub(super) fn used(&self) -> usize {
        self.used as usize
    }

    pub(super) fn free(&self) -> usize {
        self.free as usize
    }

    /// Pages that are there.
    pub(super) fn pages(&self) -> usize {
        self.pages.iter().filter(|spill| spill.page.is_some()).count()
    }

    /// The page at a place that has one.
    pub(super) fn page(&self, number: usize) -> PageId {
        let Some(page) = self.pages[number].page else {
            unreachable!("a bucket lies in a page that is there")
        };
        page
    }
}

impl Index {
    /// Adds a page of free spill buckets, at the lowest empty place.
    pub(in crate::store) fn add_spill_page(&mut self, page: PageId) {
        let pages = &mut self.spill.pages;
        let empty = pages.iter().position(|spill| spill.page.is_none());
        let number = empty.unwrap_or(pages.len());
        let added = SpillPage { page: Some(page), used: 0, free: 0 };
        if number < pages.len() {
            pages[number] = added;
        } else {
            pages.push(added);
        }
        let count = 1 << self.page_shift;
        let first = (number as u32) << self.page_shift;
        for spill in (first..first + count).rev() {
            self.list_free(spill);
        }
        self.spill.free += count;
    }

    pub(super) fn take_spill(&mut self) -> Option<u32> {
        if self.spill.free == 0 {
            return None;
        }
        let from = self.spill.lowest;
        let number = from + self.spill.pages[from..].iter().position(|spill| spill.free != 0)?;
        self.spill.lowest = number;
        let spill = self.spill.pages[number].free - 1;
        let next = self.bucket(Place::Spill(spill)).next;
        *self.bucket_mut(Place::Spill(spill)) = Bucket::EMPTY;
        let page = &mut self.spill.pages[number];
        page.free = next;
        page.used += 1;
        self.spill.used += 1;
        self.spill.free -= 1;
        Some(spill)
    }

    pub(super) fn give_spill(&mut self, spill: u32) {
        self.list_free(spill);
        self.spill.pages[(spill >> self.page_shift) as usize].used -= 1;
        self.spill.used -= 1;
        self.spill.free += 1;
    }

    /// Takes out a page of spill buckets of which none is in use, as long as that leaves the reserve.
    pub(super) fn take_unused_spill_page(&mut self) -> Option<PageId> {
        let count = 1 << self.page_shift;
        let reserve = if self.is_least() { 0 } else { count / RESERVE };
        if self.spill.free < count + reserve {
            return None;
        }
        let is_unused = |spill: &SpillPage| spill.page.is_some() && spill.used == 0;
        let number = self.spill.pages.iter().rposition(is_unused)?;
        let page = self.spill.pages[number].page.take();
        self.spill.pages[number].free = 0;
        self.spill.free -= count;
        while self.spill.pages.last().is_some_and(|spill| spill.page.is_none()) {
            self.spill.pages.pop();
        }
        self.spill.lowest = self.spill.lowest.min(self.spill.pages.len());
        page
    }

    /// Puts a bucket at the head of its page's free ones.
    fn list_free(&mut self, spill: u32) {
        let number = (spill >> self.page_shift) as usize;
        let next = self.spill.pages[number].free;
        *self.bucket_mut(Place::Spill(spill)) = Bucket { next, ..Bucket::EMPTY };
        self.spill.pages[number].free = spill + 1;
        self.spill.lowest = self.spill.lowest.min(number);
    }
}

impl Index {
    /// Checks every chain, list and count: no spill bucket is in use that need not be, and each is in
    /// one chain or free.
    pub(in crate::store) fn validate(&self) {
        let mut used = vec![0; self.spill.pages.len()];
        for main in 0..self.buckets() as u32 {
            let mut at = Place::Main(main);
            loop {
                let bucket = self.bucket(at);
                let items = bucket.refs.iter().filter(|item| item.is_some()).count();
                if let Place::Spill(spill) = at {
                    assert!(items > 0, "the last bucket of a chain holds something");
                    used[(spill >> self.page_shift) as usize] += 1;
                }
                if bucket.next == 0 {
                    break;
                }
                assert_eq!(items, super::SLOTS, "the buckets before the last are full");
                at = Place::Spill(bucket.next - 1);
            }
        }
        let mut lowest = None;
        for (number, spill) in self.spill.pages.iter().enumerate() {
            assert_eq!(spill.used, used[number]);
            let (mut free, mut next) = (0, spill.free);
            while next != 0 {
                assert_eq!(((next - 1) >> self.page_shift) as usize, number);
                free += 1;
                next = self.bucket(Place::Spill(next - 1)).next;
            }
            let there = if spill.page.is_some() { 1 << self.page_shift } else { 0 };
            assert_eq!(free + spill.used, there);
            lowest = lowest.or((free > 0).then_some(number));
        }
        let total = (self.spill.pages() as u32) << self.page_shift;
        assert_eq!(self.spill.used, used.iter().sum::<u32>());
        assert_eq!(self.spill.used + self.spill.free, total);
        assert!(lowest.is_none_or(|lowest| self.spill.lowest <= lowest));
    }
}
