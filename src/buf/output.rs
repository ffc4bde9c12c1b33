//! The answers that one connection is owed, in order.
//!
//! Copied bytes lie in one growing buffer; a pinned region stands *between* two of its bytes:
//!
//! ```text
//! bytes   VALUE a 0 5\r\nhello\r\nVALUE big 0 99999\r\n|\r\nEND\r\n
//! pinned                                               ^ region of 99,999 B belongs here
//! ```
//!
//! so the usual answer, with no region in it, is written by one plain `write` of one slice.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io::IoSlice;

use arrayvec::ArrayVec;

use crate::limits::{IO_SLICES_MAX, OUTPUT_HIGH_WATER_BYTES, PINNED_VALUE_WEIGHT};

/// Bytes that live elsewhere and stay as they are until this value is dropped.
pub trait Region {
    /// Bytes that are left.
    fn len(&self) -> usize;

    /// Appends the slices that hold the bytes that are left, as many as fit.
    fn slices<'a>(&'a self, into: &mut ArrayVec<IoSlice<'a>, IO_SLICES_MAX>);

    /// Drops the first `count` bytes of what is left.
    fn advance(&mut self, count: usize);

    /// Whether nothing is left.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A queue of answer bytes; `P` is the kind of region that it can pin.
#[derive(Debug)]
pub struct Output<P> {
    bytes: Vec<u8>,
    /// Bytes at the front of `bytes` that are written already.
    written: usize,
    /// Regions with the position in `bytes` before which they stand, in ascending order.
    pinned: VecDeque<(usize, P)>,
    /// Of [`Output::weight`]; beyond it no further request should be executed.
    high_water_bytes: usize,
}

impl<P: Region> Output<P> {
    /// An output that holds nothing and owns no memory.
    pub const fn new() -> Output<P> {
        Output {
            bytes: Vec::new(),
            written: 0,
            pinned: VecDeque::new(),
            high_water_bytes: OUTPUT_HIGH_WATER_BYTES,
        }
    }

    /// The buffer to append answers to. Only ever append.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a region that is sent from where it lies.
    pub fn pin(&mut self, region: P) {
        if !region.is_empty() {
            self.pinned.push_back((self.bytes.len(), region));
        }
    }

    /// Takes note that `count` bytes, in the order of [`Output::slices`], have been written.
    pub fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let plain = self.plain_len().min(count);
            self.written += plain;
            count -= plain;
            let Some((at, region)) = self.pinned.front_mut() else {
                debug_assert_eq!(count, 0, "more written than there was");
                break;
            };
            if *at == self.written {
                let part = region.len().min(count);
                region.advance(part);
                count -= part;
                if region.is_empty() {
                    self.pinned.pop_front();
                }
            }
        }
        if self.is_empty() {
            self.bytes.clear();
            self.written = 0;
        }
    }

    /// Whether everything has been written.
    pub fn is_empty(&self) -> bool {
        self.written == self.bytes.len() && self.pinned.is_empty()
    }

    /// Whether so much waits that no further request should be executed.
    pub fn is_high(&self) -> bool {
        self.weight() >= self.high_water_bytes
    }

    /// Sets what [`Output::is_high`] goes by, [`OUTPUT_HIGH_WATER_BYTES`] at first.
    pub fn set_high_water(&mut self, bytes: usize) {
        self.high_water_bytes = bytes;
    }

    /// Bytes of memory that it owns.
    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.pinned.capacity() * size_of::<(usize, P)>()
    }

    /// Bytes that may be appended before it is [high](Output::is_high).
    pub fn room(&self) -> usize {
        self.high_water_bytes.saturating_sub(self.weight())
    }

    /// Bytes that are still to be written.
    pub fn unwritten_len(&self) -> usize {
        let pinned: usize = self.pinned.iter().map(|(_, region)| region.len()).sum();
        self.bytes.len() - self.written + pinned
    }

    /// Whether there is a region.
    pub fn has_pinned(&self) -> bool {
        !self.pinned.is_empty()
    }

    /// Bytes of regions that wait to be written.
    pub fn pinned_len(&self) -> usize {
        self.pinned.iter().map(|(_, region)| region.len()).sum()
    }

    /// Bytes of memory that wait to be written; a pinned region counts with a fixed share.
    pub fn weight(&self) -> usize {
        self.bytes.len() - self.written + self.pinned.len() * PINNED_VALUE_WEIGHT
    }

    /// The unwritten bytes when no region is among them.
    pub fn plain(&self) -> Option<&[u8]> {
        self.pinned.is_empty().then(|| &self.bytes[self.written..])
    }

    /// The front of what is to be written, at most about `bytes_max` bytes of it, as slices for a
    /// vectored write: whole slices, until there are as many bytes.
    pub fn slices(&self, bytes_max: usize) -> ArrayVec<IoSlice<'_>, IO_SLICES_MAX> {
        let mut slices = self.all_slices();
        let mut bytes = 0;
        let enough = slices.iter().position(|slice| {
            bytes += slice.len();
            bytes >= bytes_max
        });
        slices.truncate(enough.map_or(slices.len(), |last| last + 1));
        slices
    }

    fn all_slices(&self) -> ArrayVec<IoSlice<'_>, IO_SLICES_MAX> {
        let mut slices = ArrayVec::new();
        let mut at = self.written;
        for (place, region) in &self.pinned {
            push_slice(&mut slices, &self.bytes[at..*place]);
            let before = slices.len();
            region.slices(&mut slices);
            let held: usize = slices[before..].iter().map(|s| s.len()).sum();
            if held < region.len() {
                return slices;
            }
            at = *place;
        }
        push_slice(&mut slices, &self.bytes[at..]);
        slices
    }

    /// Frees memory that is not needed to hold what waits.
    pub fn shrink(&mut self) {
        if self.written > 0 {
            self.bytes.drain(..self.written);
            for (place, _) in &mut self.pinned {
                *place -= self.written;
            }
            self.written = 0;
        }
        self.bytes.shrink_to_fit();
        self.pinned.shrink_to_fit();
    }

    /// Unwritten bytes before the first region.
    fn plain_len(&self) -> usize {
        self.pinned.front().map_or(self.bytes.len(), |(at, _)| *at) - self.written
    }
}

impl<P: Region> Default for Output<P> {
    fn default() -> Self {
        Output::new()
    }
}

fn push_slice<'a>(slices: &mut ArrayVec<IoSlice<'a>, IO_SLICES_MAX>, bytes: &'a [u8]) {
    if !bytes.is_empty() && !slices.is_full() {
        slices.push(IoSlice::new(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Chunks(Vec<Vec<u8>>);

    impl Region for Chunks {
        fn len(&self) -> usize {
            self.0.iter().map(Vec::len).sum()
        }

        fn slices<'a>(&'a self, into: &mut ArrayVec<IoSlice<'a>, IO_SLICES_MAX>) {
            for chunk in &self.0 {
                push_slice(into, chunk);
            }
        }

        fn advance(&mut self, mut count: usize) {
            for chunk in &mut self.0 {
                let part = count.min(chunk.len());
                chunk.drain(..part);
                count -= part;
            }
        }
    }

    fn sample() -> (Output<Chunks>, Vec<u8>) {
        let mut out = Output::new();
        out.push(b"head ");
        out.pin(Chunks(vec![b"one".to_vec(), b"two".to_vec()]));
        out.pin(Chunks(vec![b"three".to_vec()]));
        out.push(b" tail");
        out.pin(Chunks(vec![vec![b'x'; 40]]));
        let want = [b"head onetwothree tail".as_slice(), &[b'x'; 40]].concat();
        (out, want)
    }

    /// Writes at most `step` bytes at a time until nothing is left.
    fn drain(mut out: Output<Chunks>, step: usize) -> Vec<u8> {
        let mut got = Vec::new();
        while !out.is_empty() {
            let all: Vec<u8> = out.slices(usize::MAX).iter().flat_map(|s| s.to_vec()).collect();
            let part = &all[..step.min(all.len())];
            got.extend_from_slice(part);
            let count = part.len();
            out.advance(count);
        }
        assert_eq!(out.weight(), 0);
        got
    }

    #[test]
    fn short_writes_of_every_length_keep_order() {
        for step in 1..70 {
            let (out, want) = sample();
            assert_eq!(drain(out, step), want, "step {step}");
        }
    }

    #[test]
    fn shrink_keeps_what_waits() {
        for done in 0..30 {
            let (mut out, want) = sample();
            out.advance(done);
            out.shrink();
            assert_eq!(drain(out, 7), want[done..], "after {done}");
        }
    }

    #[test]
    fn slices_end_once_there_are_enough_bytes() {
        let (out, _) = sample();
        let lens = |bytes_max| out.slices(bytes_max).iter().map(|s| s.len()).sum::<usize>();
        assert_eq!([1, 5, 6, 8, 9, 1000].map(lens), [5, 5, 8, 8, 11, 61]);
    }

    #[test]
    fn more_slices_than_one_write_takes() {
        let mut out = Output::new();
        let mut want = Vec::new();
        for i in 0..(IO_SLICES_MAX as u8) {
            out.push(&[i]);
            out.pin(Chunks(vec![vec![i], vec![i, i]]));
            want.extend_from_slice(&[i; 4]);
        }
        assert_eq!(out.slices(usize::MAX).len(), IO_SLICES_MAX);
        assert_eq!(drain(out, usize::MAX), want);
    }

    #[test]
    fn what_waits_is_weighed() {
        let (out, want) = sample();
        assert_eq!((out.unwritten_len(), out.plain()), (want.len(), None));
        assert_eq!(out.weight(), 10 + 3 * PINNED_VALUE_WEIGHT);
        assert!(out.held_bytes() >= 10 + 3 * size_of::<(usize, Chunks)>());

        let mut out: Output<Chunks> = Output::default();
        assert_eq!(out.room(), OUTPUT_HIGH_WATER_BYTES);
        out.push(b"abcd");
        out.advance(1);
        assert_eq!((out.plain(), out.unwritten_len()), (Some(b"bcd".as_slice()), 3));
        for (high_water, room, is_high) in [(5, 2, false), (3, 0, true), (2, 0, true)] {
            out.set_high_water(high_water);
            assert_eq!((out.room(), out.is_high()), (room, is_high));
        }
    }
}
