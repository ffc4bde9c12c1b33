//! What a lookup shows of an item, and values that stay while they are being sent.

use std::io::IoSlice;
use std::ptr::NonNull;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::Store;
use super::arena::Ref;
use super::item::{Chunk, Mark};
use super::prefetch::prefetch;
use super::shard::Shard;
use crate::buf::Region;
use crate::clock::{Expiry, Secs};
use crate::limits::IO_SLICES_MAX;

/// An item as the visitor of a lookup sees it, under the shard's lock.
pub struct Hit<'a> {
    pub(super) store: &'a Arc<Store>,
    pub(super) shard: &'a mut Shard,
    pub(super) item: Ref,
    pub(super) is_new: bool,
}

impl Hit<'_> {
    /// Client flags.
    pub fn flags(&self) -> u32 {
        self.chunk().flags()
    }

    /// The CAS unique; 0 when the store runs without CAS.
    pub fn cas(&self) -> u64 {
        self.shard.cas_of(self.item)
    }

    /// Whether this lookup has made the item.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Seconds since the item was stored or hit.
    pub fn idle_secs(&mut self, now: Secs) -> u32 {
        self.shard.tick(now).saturating_sub(self.chunk().access())
    }

    /// Whether the item has been hit since it was stored.
    pub fn is_fetched(&self) -> bool {
        self.chunk().has(Mark::FETCHED)
    }

    /// Whether the value was marked stale (meta, section 6).
    pub fn is_stale(&self) -> bool {
        self.chunk().is_stale()
    }

    /// Whether a client has been told to refill the item.
    pub fn is_token_sent(&self) -> bool {
        self.chunk().is_token_sent()
    }

    /// Takes note that a client is told to refill the item.
    pub fn send_token(&mut self) {
        self.chunk().set_token_sent();
    }

    /// Whether the key was given in base64 when the item was stored.
    pub fn is_binary_key(&self) -> bool {
        self.chunk().has(Mark::BINARY_KEY)
    }

    /// Slab class of the item's chunks.
    pub fn class_id(&self) -> u8 {
        self.shard.slab.class_of(self.item).0
    }

    /// Bytes that the item asked for: header, key and value.
    pub fn size(&self) -> usize {
        self.chunk().requested_bytes()
    }

    /// Gives the item a new expiry.
    pub fn set_expiry(&mut self, expiry: Expiry) {
        self.shard.set_expiry(self.item, expiry);
    }

    /// Takes note of a hit: for the eviction, and as the item's last access.
    pub fn note(&mut self, now: Secs) {
        let access = self.shard.tick(now);
        self.chunk().note_hit(access);
    }

    /// Counts the hit for the item's class: of a get, or of a touch.
    pub fn count(&mut self, kind: HitKind) {
        let class = self.shard.slab.class_of(self.item);
        let counters = self.shard.class_mut(class);
        match kind {
            HitKind::Get => counters.get_hits += 1,
            HitKind::Touch => counters.touch_hits += 1,
        }
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
        if !self.chunk().has(Mark::CHAINED) {
            return into.extend_from_slice(self.shard.first_piece(self.item));
        }
        for piece in self.shard.value_pieces(self.item) {
            into.extend_from_slice(piece);
        }
    }

    /// Pins the value: its bytes stay as they are until the [`Value`] is dropped, whatever becomes
    /// of the item.
    pub fn pin(&mut self) -> Value {
        let bytes = self.shard.pin(self.item);
        if bytes > 0 {
            self.store.note_pinned(bytes);
        }
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

/// What a hit counts as (stats, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HitKind {
    /// The value or something of the item was asked for.
    Get,
    /// The item got a new expiry.
    Touch,
}

/// Bytes of a value that the processor is made to fetch before the kernel copies them, which it does
/// faster then: measured with values of 100 kB. Much more would not stay in the cache.
const SEND_AHEAD_BYTES: usize = 128 * 1024;

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
        let (mut next, mut last) = (self.next, self.next);
        let mut ahead_bytes = SEND_AHEAD_BYTES;
        while !into.is_full() {
            if !piece.is_empty() {
                let ahead = piece.len().min(ahead_bytes);
                ahead_bytes -= ahead;
                prefetch(piece.as_ptr(), ahead);
                into.push(IoSlice::new(piece));
            }
            if !next.is_some() {
                return;
            }
            // Links that were taken one after the other mostly lie at one distance from each other.
            self.store.foresee_link(Ref(next.0.wrapping_add(next.0.wrapping_sub(last.0))));
            last = next;
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
        let bytes = self.store.shard(self.shard).unpin(self.item);
        if bytes > 0 {
            self.store.note_unpinned(bytes);
        }
    }
}
