//! What a lookup shows of an item, and values that stay while they are being sent.

use std::io::IoSlice;
use std::ptr::NonNull;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::Store;
use super::arena::Ref;
use super::item::{Chunk, Mark};
use super::shard::Shard;
use crate::buf::Region;
use crate::clock::Expiry;
use crate::limits::IO_SLICES_MAX;

/// An item as the visitor of a lookup sees it, under the shard's lock.
pub struct Hit<'a> {
    pub(super) store: &'a Arc<Store>,
    pub(super) shard: &'a mut Shard,
    pub(super) item: Ref,
}

impl Hit<'_> {
    /// Client flags.
    pub fn flags(&self) -> u32 {
        self.chunk().flags()
    }

    /// The CAS unique; 0 when the store runs without CAS.
    pub fn cas(&self) -> u64 {
        if self.shard.settings.cas { self.chunk().cas() } else { 0 }
    }

    /// Length of the value in bytes.
    pub fn value_len(&self) -> usize {
        self.chunk().value_len()
    }

    /// When the item expires.
    pub fn expiry(&self) -> Expiry {
        self.chunk().expiry()
    }

    /// Appends the value.
    pub fn copy_to(&self, into: &mut Vec<u8>) {
        for piece in self.shard.value_pieces(self.item) {
            into.extend_from_slice(piece);
        }
    }

    /// Pins the value: its bytes stay as they are until the [`Value`] is dropped, whatever becomes
    /// of the item.
    pub fn pin(&mut self) -> Value {
        self.shard.pin(self.item);
        let chunk = self.chunk();
        Value {
            store: self.store.clone(),
            shard: self.shard.settings.number,
            item: self.item,
            len: chunk.value_len(),
            piece: NonNull::from(self.shard.first_piece(self.item)),
            next: if chunk.has(Mark::CHAINED) { chunk.chain() } else { Ref::NONE },
        }
    }

    fn chunk(&self) -> Chunk {
        self.shard.slab.chunk(self.item)
    }
}

/// A pinned value.
#[derive(Debug)]
pub struct Value {
    store: Arc<Store>,
    shard: usize,
    item: Ref,
    /// What is left of the piece that is being sent: noted, and not looked up again, since the
    /// item's header may change meanwhile.
    piece: NonNull<[u8]>,
    /// The link after that piece.
    next: Ref,
    /// Bytes that are left, in all.
    len: usize,
}

// SAFETY: the pointer leads into the arena, which the `Arc<Store>` beside it keeps; the bytes are
// not written while the value is pinned, so that any thread may read them.
unsafe impl Send for Value {}
// SAFETY: as for Send; there is no interior mutability.
unsafe impl Sync for Value {}

impl Region for Value {
    fn len(&self) -> usize {
        self.len
    }

    fn slices<'a>(&'a self, into: &mut ArrayVec<IoSlice<'a>, IO_SLICES_MAX>) {
        // SAFETY: noted by `pin`; the bytes stay and do not change until `drop`.
        let mut piece: &'a [u8] = unsafe { self.piece.as_ref() };
        let mut next = self.next;
        while !into.is_full() {
            if !piece.is_empty() {
                into.push(IoSlice::new(piece));
            }
            if !next.is_some() {
                return;
            }
            let link = self.store.pinned_link(next);
            // SAFETY: the item is pinned, so that its links are neither freed, moved nor written
            // to.
            piece = unsafe { link.piece() };
            next = link.next();
        }
    }

    fn advance(&mut self, mut count: usize) {
        debug_assert!(count <= self.len);
        self.len -= count;
        loop {
            // SAFETY: as for `slices`.
            let piece = unsafe { self.piece.as_ref() };
            let part = count.min(piece.len());
            self.piece = NonNull::from(&piece[part..]);
            count -= part;
            if count == 0 {
                return;
            }
            let link = self.store.pinned_link(self.next);
            self.next = link.next();
            // SAFETY: as for `slices`.
            self.piece = NonNull::from(unsafe { link.piece() });
        }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.store.shard(self.shard).unpin(self.item);
    }
}
