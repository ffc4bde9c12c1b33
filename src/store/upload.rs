//! Items whose value is still arriving.
//!
//! The first chunk is taken when the request is read, links as the value comes, never much more than
//! has come: a client that announces a megabyte and sends nothing holds one chunk. A large value
//! is read from the socket straight to its place. Until it is committed the item is in no index,
//! nothing evicts or moves it, and nobody but the upload touches its value.

use std::io::IoSliceMut;
use std::ptr::NonNull;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::arena::Ref;
use super::chain::Growing;
use super::{Meta, Room, Shortage, Store};
use crate::clock::Secs;
use crate::limits::{IO_SLICES_MAX, KEY_LEN_MAX, UPLOAD_AHEAD_MAX_BYTES, UPLOAD_AHEAD_MIN_BYTES};

/// Links that are added under one lock, each of which may have to make room: some 20 µs.
const LINKS_PER_LOCK: usize = 8;

/// An item whose value is arriving: invisible until committed, freed when dropped.
#[derive(Debug)]
pub struct Upload {
    store: Arc<Store>,
    shard: usize,
    hash: u64,
    growing: Growing,
    /// What is to be filled next: the bytes in the item's own chunk, or in a link.
    piece: NonNull<[u8]>,
    /// Bytes of `piece` that are filled.
    filled: usize,
    /// The link after `piece`.
    next: Ref,
    /// Bytes of the value still to come, and those of them that have no memory yet are
    /// `growing`'s missing ones.
    remaining: usize,
    value_len: usize,
    /// Bytes of the value that have a place, charged to all uploads together.
    charged: usize,
    /// Room is made for so many bytes at a time, if not for more.
    ahead: usize,
    is_committed: bool,
}

// SAFETY: `piece` leads into the arena, which the `Arc<Store>` beside it keeps, to bytes that
// only this upload touches.
unsafe impl Send for Upload {}

impl Upload {
    pub(super) fn new(
        store: Arc<Store>,
        shard: usize,
        hash: u64,
        growing: Growing,
        piece: NonNull<[u8]>,
        value_len: usize,
    ) -> Upload {
        let charged = value_len - growing.missing_bytes();
        store.charge_upload(charged);
        Upload {
            store,
            shard,
            hash,
            growing,
            piece,
            filled: 0,
            next: Ref::NONE,
            remaining: value_len,
            value_len,
            charged,
            ahead: UPLOAD_AHEAD_MIN_BYTES,
            is_committed: false,
        }
    }

    /// Takes note that the client has sent a value of `bytes` before: as many may be expected at once.
    pub fn expect(&mut self, bytes: usize) {
        self.ahead = bytes.clamp(UPLOAD_AHEAD_MIN_BYTES, UPLOAD_AHEAD_MAX_BYTES);
    }

    /// Bytes of the value still to come.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// The key of the item and what it is to be, as it was reserved.
    pub fn describe(&self) -> (ArrayVec<u8, KEY_LEN_MAX>, Meta) {
        let shard = self.store.shard(self.shard);
        let key = shard.slab.key(self.growing.item).iter().copied().collect();
        let chunk = shard.slab.chunk(self.growing.item);
        (key, Meta { flags: chunk.flags(), expiry: chunk.expiry(), is_binary_key: false })
    }

    /// Counts the store for the class of its item (`cmd_set` of `stats slabs`).
    pub fn count(&self) {
        self.store.shard(self.shard).count_set(self.growing.item);
    }

    /// Bytes of the whole value.
    pub fn value_len(&self) -> usize {
        self.value_len
    }

    /// Bytes of the value that have a place already.
    pub fn held_bytes(&self) -> usize {
        self.charged
    }

    /// Takes as many of `bytes` as still belong to the value; answers how many. On an error some may have
    /// been taken ([`Upload::remaining`]); then it is to be called again with the others when there
    /// is room, or the upload to be dropped and the rest of the value to be thrown away.
    pub fn fill(&mut self, bytes: &[u8], now: Secs) -> Result<usize, Shortage> {
        let mut rest = &bytes[..bytes.len().min(self.remaining)];
        let taken = rest.len();
        while !rest.is_empty() {
            self.make_room(now)?;
            let filled = self.filled;
            // SAFETY: the upload's own bytes (see the type), borrowed through `&mut self`.
            let room = unsafe { &mut self.piece.as_mut()[filled..] };
            let part = room.len().min(rest.len());
            room[..part].copy_from_slice(&rest[..part]);
            rest = &rest[part..];
            self.advance(part);
        }
        if self.remaining > 0 {
            self.make_room(now)?;
            self.make_expected_room(now);
        }
        Ok(taken)
    }

    /// The memory for the bytes still to come, or the first part of it, for a vectored read.
    pub fn spare(&mut self) -> ArrayVec<IoSliceMut<'_>, IO_SLICES_MAX> {
        let mut slices = ArrayVec::new();
        let mut next = self.next;
        let store = &self.store;
        // SAFETY: the upload's own bytes, borrowed through `&mut self` for as long as the slices.
        let piece = unsafe { self.piece.as_mut() };
        if self.filled < piece.len() {
            slices.push(IoSliceMut::new(&mut piece[self.filled..]));
        }
        while next.is_some() && !slices.is_full() {
            let link = store.pinned_link(next);
            // SAFETY: a later link of the same chain: other bytes, as much this upload's own.
            slices.push(IoSliceMut::new(unsafe { link.piece_mut() }));
            next = link.next();
        }
        slices
    }

    /// Takes note that `count` bytes, in the order of [`Upload::spare`], have been filled.
    pub fn advance(&mut self, mut count: usize) {
        debug_assert!(count <= self.remaining);
        self.remaining -= count;
        loop {
            let part = count.min(self.piece.len() - self.filled);
            self.filled += part;
            count -= part;
            if self.filled < self.piece.len() || !self.next.is_some() {
                debug_assert_eq!(count, 0, "more filled than there was room");
                return;
            }
            let link = self.store.pinned_link(self.next);
            self.next = link.next();
            // SAFETY: the next link of the upload's own chain.
            self.piece = NonNull::from(unsafe { link.piece_mut() });
            self.filled = 0;
        }
    }

    /// Ends a complete upload: its shard, the hash of its key, and the item.
    pub(super) fn into_item(mut self) -> (usize, u64, Ref) {
        self.is_committed = true;
        (self.shard, self.hash, self.growing.item)
    }

    /// Sees to it that the next byte has a place.
    fn make_room(&mut self, now: Secs) -> Result<(), Shortage> {
        if self.filled < self.piece.len() || self.growing.is_complete() {
            return Ok(());
        }
        self.make_more_room(now)
    }

    /// Sees to it that what may be expected has a place, or most of it, if there is memory.
    fn make_expected_room(&mut self, now: Secs) {
        let placed = self.remaining - self.growing.missing_bytes();
        let is_enough = self.ahead == UPLOAD_AHEAD_MIN_BYTES || placed >= self.ahead / 2;
        if !is_enough && !self.growing.is_complete() {
            // What has a place already is refused later, if it comes to that.
            let _made = self.make_more_room(now);
        }
    }

    fn make_more_room(&mut self, now: Secs) -> Result<(), Shortage> {
        let come = self.value_len - self.remaining;
        let ahead = come.min(UPLOAD_AHEAD_MAX_BYTES).max(self.ahead);
        let before = self.growing.missing_bytes();
        let wanted = before - before.min(ahead);
        let mut made = Ok(());
        while self.growing.missing_bytes() > wanted && made.is_ok() {
            let missing = self.growing.missing_bytes();
            let room = Room::Upload { held: self.charged, missing };
            made = if !self.store.has_room(room) {
                Err(Shortage::Room(room))
            } else if self.extend(wanted, now) || self.store.lend(self.shard, now) {
                Ok(())
            } else {
                Err(Shortage::Memory)
            };
            let taken = missing - self.growing.missing_bytes();
            self.charged += taken;
            self.store.charge_upload(taken);
        }
        self.advance(0);
        // Some is as good as all of it: the next byte has a place.
        if self.filled < self.piece.len() { Ok(()) } else { made }
    }

    /// Adds links until no more than `wanted` bytes have no place, few of them under one lock. False: no
    /// memory.
    fn extend(&mut self, wanted: usize, now: Secs) -> bool {
        let mut shard = self.store.shard(self.shard);
        for _ in 0..LINKS_PER_LOCK {
            if !shard.extend(&mut self.growing, now) {
                return false;
            }
            if !self.next.is_some() {
                self.next = self.growing.last_link();
            }
            if self.growing.missing_bytes() <= wanted {
                break;
            }
        }
        true
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.store.discharge_upload(self.charged);
        if !self.is_committed {
            self.store.shard(self.shard).free(self.growing.item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::model::options;
    use crate::store::{Options, Terms};

    const NOW: Secs = Secs(100);
    const VALUE_BYTES: usize = 1_000_000;
    /// What the last link that is taken may have more than was wanted.
    const LINK_BYTES: usize = 32 * 1024;

    fn begin() -> Upload {
        let store = Store::new(&Options { threads: 1, ..options(64 << 20, 2 << 20, true) })
            .expect("memory");
        let key = store.key(b"key");
        store.reserve(&Terms::default(), &key, Meta::default(), VALUE_BYTES, NOW).expect("room")
    }

    /// Room is made for as much as has come, so that there is never twice as much, and seldom.
    #[test]
    fn room_grows_with_what_has_come() {
        let (mut upload, mut steps, mut before) = (begin(), 0, 0);
        for part in vec![b'x'; VALUE_BYTES].chunks(1000) {
            assert_eq!(upload.fill(part, NOW), Ok(part.len()));
            let (come, held) = (VALUE_BYTES - upload.remaining(), upload.held_bytes());
            assert!(held <= 2 * come.max(UPLOAD_AHEAD_MIN_BYTES) + LINK_BYTES, "{held} for {come}");
            steps += usize::from(held > before);
            before = held;
        }
        assert_eq!((upload.remaining(), upload.held_bytes()), (0, VALUE_BYTES));
        assert!(steps < 20, "{steps} steps");
        assert_eq!(upload.store.uploading_bytes(), VALUE_BYTES);
    }

    /// From who has sent a large value a large one is expected: half of that at least has a place.
    #[test]
    fn room_is_made_for_what_is_expected() {
        const EXPECTED: usize = 400_000;
        let mut upload = begin();
        upload.expect(EXPECTED);
        let mut fill = |count| {
            upload.fill(&vec![b'x'; count], NOW).expect("room");
            upload.held_bytes()
        };
        let held = fill(1);
        assert!((EXPECTED..EXPECTED + 2 * LINK_BYTES).contains(&held), "{held}");
        assert_eq!(fill(EXPECTED / 4), held, "enough is left");
        let more = fill(EXPECTED / 2);
        assert!(more > held + EXPECTED / 2 && more < held + EXPECTED + LINK_BYTES, "{more}");
    }

    #[test]
    fn what_is_expected_has_bounds() {
        let mut upload = begin();
        for (expected, ahead) in
            [(0, UPLOAD_AHEAD_MIN_BYTES), (100_000, 100_000), (usize::MAX, UPLOAD_AHEAD_MAX_BYTES)]
        {
            upload.expect(expected);
            assert_eq!(upload.ahead, ahead);
        }
        assert_eq!(upload.value_len(), VALUE_BYTES);
    }
}
