//! The bytes of an item.
//!
//! ```text
//!  0        4        8        12       16   17   18     20
//!  | cas lo | expiry | access | length | kind|bits|cas hi | flags? | wide? | next? here? | key | value |
//!    u32      u32      u32      u32      u8   u8   u16      u32      u32     u32   u32
//! ```
//!
//! * `cas`: 47 bits; 10 million stores a second would repeat one after 162 days. A unique chosen by a
//!   client that needs more (meta, section 3, `E`) sets the top bit of `cas hi` and has its upper 17
//!   bits in `wide`.
//! * `expiry`: see [`Expiry`]. `access`: moment of the last store or hit by the clock of the
//!   shard, which flushes move on (see `shard`).
//! * `length`: of the value, 30 bits; the upper two say that the item is stale and that somebody was
//!   told to refill it (meta, section 6).
//! * `kind`: 0 a free chunk, 1 to 250 an item with a key of that length, 255 a link of a chain.
//! * `flags`: the client flags, only when they are not zero.
//! * `next`, `here`: only for a value too large for one chunk: the first link of the chain that it
//!   goes on in, and how many of its bytes lie in this chunk.
//!
//! A link, in the same places:
//!
//! ```text
//!  0        4        8        12       16   17    20
//!  | next   | owner  | prev   | length | 255 | 0 | data |
//! ```
//!
//! `prev` is the link before it, none for the first. A free chunk keeps its neighbours in the free list at 0 and 4.
//!
//! Fields are read and written one by one, never through a reference to a whole chunk: while a
//! value is pinned its bytes are being read without the lock, and only they.

use std::ptr::NonNull;

use super::arena::Ref;
use crate::clock::Expiry;

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 20;

/// Bytes of the client flags, where there are any.
const FLAGS_BYTES: usize = 4;

/// Bytes of `wide`, where there is one.
const WIDE_BYTES: usize = 4;

/// Bytes of `next` and `here`, where the value goes on in a chain.
const CHAIN_BYTES: usize = 8;

/// Longest value that the length field can name.
pub(super) const VALUE_LEN_MAX: usize = (1 << 30) - 1;

/// Bits of a unique that every item has room for.
const CAS_BITS: u32 = 47;

/// Largest unique that needs no `wide`.
pub(super) const CAS_NARROW_MAX: u64 = (1 << CAS_BITS) - 1;

/// In `cas hi`: there is a `wide`.
const CAS_WIDE: u16 = 1 << 15;

/// In `length`: the value is stale.
const STALE: u32 = 1 << 30;

/// In `length`: a client has been told to refill the item.
const TOKEN_SENT: u32 = 1 << 31;

const CAS_LOW: usize = 0;
const EXPIRY: usize = 4;
const ACCESS: usize = 8;
const LENGTH: usize = 12;
const KIND: usize = 16;
const BITS: usize = 17;
const CAS_HIGH: usize = 18;

const LINK_NEXT: usize = 0;
const LINK_OWNER: usize = 4;
const LINK_PREV: usize = 8;
const FREE_NEXT: usize = 0;
const FREE_PREV: usize = 4;

const KIND_FREE: u8 = 0;
const KIND_LINK: u8 = 255;

/// Where the longest header ends.
const OPTIONS_END: usize = HEADER_BYTES + FLAGS_BYTES + WIDE_BYTES + CHAIN_BYTES;

const _: () = assert!(CAS_HIGH + 2 == HEADER_BYTES && KIND == LENGTH + 4 && BITS == KIND + 1);
const _: () = assert!(crate::limits::KEY_LEN_MAX < KIND_LINK as usize);

/// The chosen marks of an item, of which each is one bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u8);

impl Mark {
    /// Two bits: hits since the eviction hand last passed, up to 3.
    const FREQ: u8 = 0b11;
    /// In the index. Without it: an upload, or an item that is gone but still pinned.
    pub(super) const LINKED: Mark = Mark(1 << 2);
    /// Hit at least once since it was stored.
    pub(super) const FETCHED: Mark = Mark(1 << 3);
    /// Client flags are present.
    pub(super) const FLAGS: Mark = Mark(1 << 4);
    /// The value is in a chain.
    pub(super) const CHAINED: Mark = Mark(1 << 5);
    /// Somebody reads the value without the lock.
    pub(super) const PINNED: Mark = Mark(1 << 6);
    /// The key was given in base64, and is to be shown so.
    pub(super) const BINARY_KEY: Mark = Mark(1 << 7);
}

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Free,
    Item,
    Link,
}

/// A chunk, seen through its header. Made by the slab for chunks that it owns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk(NonNull<u8>);

/// What the header of a new item says.
#[derive(Clone, Copy)]
pub(super) struct Header<'a> {
    pub key: &'a [u8],
    pub flags: u32,
    pub expiry: Expiry,
    pub is_binary_key: bool,
    /// There is to be room for any unique, not only for those that the store hands out.
    pub is_wide: bool,
    pub access: u32,
    pub value_len: usize,
    /// How many bytes of the value lie in the first chunk, when it goes on in a chain.
    pub here_len: Option<usize>,
}

impl Header<'_> {
    /// Bytes of the first chunk beside the value.
    pub(super) fn fixed_bytes(&self, is_chained: bool) -> usize {
        let option = |is_there, bytes| if is_there { bytes } else { 0 };
        HEADER_BYTES
            + option(self.flags != 0, FLAGS_BYTES)
            + option(self.is_wide, WIDE_BYTES)
            + option(is_chained, CHAIN_BYTES)
            + self.key.len()
    }
}

impl Chunk {
    /// # Safety
    ///
    /// `start` is the first byte of a chunk of at least [`HEADER_BYTES`] that the caller's shard
    /// owns, at an address divisible by four, and stays so while the result is used. The caller
    /// holds the shard's lock, or is its only user (a pin, an upload) and touches the value alone.
    pub(super) unsafe fn new(start: NonNull<u8>) -> Chunk {
        debug_assert_eq!(start.addr().get() % 4, 0);
        Chunk(start)
    }

    fn u32_at(self, at: usize) -> u32 {
        debug_assert!(at.is_multiple_of(4) && at < OPTIONS_END);
        // SAFETY: inside the chunk and aligned, by the promise given to `new`.
        unsafe { self.0.add(at).cast::<u32>().read() }
    }

    fn set_u32(self, at: usize, value: u32) {
        debug_assert!(at.is_multiple_of(4) && at < OPTIONS_END);
        // SAFETY: as in `u32_at`; the header is only touched under the lock.
        unsafe { self.0.add(at).cast::<u32>().write(value) }
    }

    fn u8_at(self, at: usize) -> u8 {
        // SAFETY: `at` is KIND or BITS, inside the header.
        unsafe { self.0.add(at).read() }
    }

    fn set_u8(self, at: usize, value: u8) {
        // SAFETY: as in `u8_at`; the header is only touched under the lock.
        unsafe { self.0.add(at).write(value) }
    }

    /// `len` bytes from `at` on.
    ///
    /// # Safety
    ///
    /// They lie inside the chunk, are initialised, and nobody writes to them while `'a` lasts.
    unsafe fn bytes<'a>(self, at: usize, len: usize) -> &'a [u8] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.0.add(at).as_ptr(), len) }
    }

    pub(super) fn kind(self) -> Kind {
        match self.u8_at(KIND) {
            KIND_FREE => Kind::Free,
            KIND_LINK => Kind::Link,
            _ => Kind::Item,
        }
    }

    pub(super) fn has(self, mark: Mark) -> bool {
        self.u8_at(BITS) & mark.0 != 0
    }

    pub(super) fn set(self, mark: Mark) {
        self.set_u8(BITS, self.u8_at(BITS) | mark.0);
    }

    pub(super) fn clear(self, mark: Mark) {
        self.set_u8(BITS, self.u8_at(BITS) & !mark.0);
    }

    // Free chunks.

    pub(super) fn make_free(self, prev: Ref, next: Ref) {
        self.set_u8(KIND, KIND_FREE);
        self.set_u32(FREE_PREV, prev.0);
        self.set_u32(FREE_NEXT, next.0);
    }

    pub(super) fn free_next(self) -> Ref {
        Ref(self.u32_at(FREE_NEXT))
    }

    pub(super) fn free_prev(self) -> Ref {
        Ref(self.u32_at(FREE_PREV))
    }

    pub(super) fn set_free_next(self, next: Ref) {
        self.set_u32(FREE_NEXT, next.0);
    }

    pub(super) fn set_free_prev(self, prev: Ref) {
        self.set_u32(FREE_PREV, prev.0);
    }

    // Links.

    /// Makes the chunk the last link of a chain, behind the link `prev`, or the first one.
    pub(super) fn make_link(self, owner: Ref, prev: Ref, len: usize) {
        self.set_u32(LINK_NEXT, 0);
        self.set_u32(LINK_OWNER, owner.0);
        self.set_u32(LINK_PREV, prev.0);
        self.set_u32(LENGTH, len as u32);
        self.set_u8(KIND, KIND_LINK);
        self.set_u8(BITS, 0);
    }

    /// Makes the chunk neither free nor anybody's: a link without an owner.
    pub(super) fn withhold(self) {
        self.make_link(Ref::NONE, Ref::NONE, 0);
    }

    pub(super) fn is_withheld(self) -> bool {
        self.kind() == Kind::Link && !self.owner().is_some()
    }

    pub(super) fn next(self) -> Ref {
        Ref(self.u32_at(LINK_NEXT))
    }

    pub(super) fn set_next(self, next: Ref) {
        self.set_u32(LINK_NEXT, next.0);
    }

    pub(super) fn prev(self) -> Ref {
        Ref(self.u32_at(LINK_PREV))
    }

    pub(super) fn set_prev(self, prev: Ref) {
        self.set_u32(LINK_PREV, prev.0);
    }

    pub(super) fn owner(self) -> Ref {
        Ref(self.u32_at(LINK_OWNER))
    }

    pub(super) fn set_owner(self, owner: Ref) {
        self.set_u32(LINK_OWNER, owner.0);
    }

    // Items.

    /// Writes header and key. The item is not linked, not fetched, has neither a unique nor links
    /// yet, and its value is arbitrary.
    pub(super) fn make_item(self, header: &Header<'_>) {
        let mut bits = 0;
        let mut at = HEADER_BYTES;
        if header.flags != 0 {
            bits |= Mark::FLAGS.0;
            self.set_u32(at, header.flags);
            at += FLAGS_BYTES;
        }
        if header.is_wide {
            self.set_u32(at, 0);
            at += WIDE_BYTES;
        }
        if let Some(here_len) = header.here_len {
            bits |= Mark::CHAINED.0;
            self.set_u32(at, 0);
            self.set_u32(at + 4, here_len as u32);
            at += CHAIN_BYTES;
        }
        if header.is_binary_key {
            bits |= Mark::BINARY_KEY.0;
        }
        self.set_u32(CAS_LOW, 0);
        self.set_cas_high(if header.is_wide { CAS_WIDE } else { 0 });
        self.set_u32(EXPIRY, header.expiry.0);
        self.set_u32(ACCESS, header.access);
        self.set_u32(LENGTH, header.value_len as u32);
        self.set_u8(KIND, header.key.len() as u8);
        self.set_u8(BITS, bits);
        let key = header.key;
        // SAFETY: the chunk was chosen to hold header, options and key; nobody else sees it yet,
        // and a key never lies in the chunk that it is written to.
        unsafe { self.0.add(at).copy_from_nonoverlapping(NonNull::from(key).cast(), key.len()) }
    }

    pub(super) fn key_len(self) -> usize {
        usize::from(self.u8_at(KIND))
    }

    pub(super) fn value_len(self) -> usize {
        self.u32_at(LENGTH) as usize & VALUE_LEN_MAX
    }

    /// The bits of the inline unique, with [`CAS_WIDE`] above them.
    fn cas_high(self) -> u16 {
        // SAFETY: CAS_HIGH is even and inside the header.
        unsafe { self.0.add(CAS_HIGH).cast::<u16>().read() }
    }

    fn set_cas_high(self, high: u16) {
        // SAFETY: CAS_HIGH is even and inside the header, which is only touched under the lock.
        unsafe { self.0.add(CAS_HIGH).cast::<u16>().write(high) }
    }

    fn is_wide(self) -> bool {
        self.cas_high() & CAS_WIDE != 0
    }

    pub(super) fn cas(self) -> u64 {
        let high = self.cas_high();
        let narrow = u64::from(high & !CAS_WIDE) << 32 | u64::from(self.u32_at(CAS_LOW));
        if high & CAS_WIDE == 0 {
            return narrow;
        }
        u64::from(self.u32_at(self.wide_at())) << CAS_BITS | narrow
    }

    /// Whether the item has room for this unique.
    pub(super) fn can_hold_cas(self, cas: u64) -> bool {
        cas <= CAS_NARROW_MAX || self.is_wide()
    }

    pub(super) fn set_cas(self, cas: u64) {
        debug_assert!(self.can_hold_cas(cas));
        let wide = self.cas_high() & CAS_WIDE;
        self.set_u32(CAS_LOW, cas as u32);
        self.set_cas_high(((cas & CAS_NARROW_MAX) >> 32) as u16 | wide);
        if wide != 0 {
            self.set_u32(self.wide_at(), (cas >> CAS_BITS) as u32);
        }
    }

    pub(super) fn is_stale(self) -> bool {
        self.u32_at(LENGTH) & STALE != 0
    }

    /// Whether a client has been told to refill the item.
    pub(super) fn is_token_sent(self) -> bool {
        self.u32_at(LENGTH) & TOKEN_SENT != 0
    }

    pub(super) fn set_token_sent(self) {
        self.set_u32(LENGTH, self.u32_at(LENGTH) | TOKEN_SENT);
    }

    /// Takes over what is known of an item beside its header's fields: fetched, stale, token sent.
    pub(super) fn take_marks(self, other: Chunk) {
        if other.has(Mark::FETCHED) {
            self.set(Mark::FETCHED);
        }
        let marks = other.u32_at(LENGTH) & (STALE | TOKEN_SENT);
        self.set_u32(LENGTH, self.u32_at(LENGTH) | marks);
    }

    /// Marks the value stale; the next client to ask is told to refill it.
    pub(super) fn make_stale(self) {
        self.set_u32(LENGTH, self.u32_at(LENGTH) & !TOKEN_SENT | STALE);
    }

    pub(super) fn expiry(self) -> Expiry {
        Expiry(self.u32_at(EXPIRY))
    }

    pub(super) fn set_expiry(self, expiry: Expiry) {
        self.set_u32(EXPIRY, expiry.0);
    }

    pub(super) fn access(self) -> u32 {
        self.u32_at(ACCESS)
    }

    /// Notes a hit at `access`: at most one write to each of two fields of one cache line.
    pub(super) fn note_hit(self, access: u32) {
        if self.access() != access {
            self.set_u32(ACCESS, access);
        }
        let bits = self.u8_at(BITS);
        let hit = (bits | Mark::FETCHED.0) + u8::from(bits & Mark::FREQ != Mark::FREQ);
        if hit != bits {
            self.set_u8(BITS, hit);
        }
    }

    pub(super) fn set_access(self, access: u32) {
        self.set_u32(ACCESS, access);
    }

    /// Hits since the hand last passed, up to 3.
    pub(super) fn freq(self) -> u8 {
        self.u8_at(BITS) & Mark::FREQ
    }

    pub(super) fn set_freq(self, freq: u8) {
        debug_assert!(freq <= Mark::FREQ);
        self.set_u8(BITS, self.u8_at(BITS) & !Mark::FREQ | freq);
    }

    pub(super) fn flags(self) -> u32 {
        if self.has(Mark::FLAGS) { self.u32_at(HEADER_BYTES) } else { 0 }
    }

    /// First link of the chain that the value goes on in.
    pub(super) fn chain(self) -> Ref {
        debug_assert!(self.has(Mark::CHAINED));
        Ref(self.u32_at(self.chain_at()))
    }

    pub(super) fn set_chain(self, first: Ref) {
        debug_assert!(self.has(Mark::CHAINED));
        self.set_u32(self.chain_at(), first.0);
    }

    /// The key.
    ///
    /// # Safety
    ///
    /// The chunk stays this item while `'a` lasts.
    pub(super) unsafe fn key<'a>(self) -> &'a [u8] {
        // SAFETY: written by `make_item`, never changed while the chunk is an item.
        unsafe { self.bytes(self.key_at(), self.key_len()) }
    }

    /// The bytes of the value that lie in this chunk: of an item or of a link.
    ///
    /// # Safety
    ///
    /// Nobody writes to them while `'a` lasts: the lock is held, or the item is pinned.
    pub(super) unsafe fn piece<'a>(self) -> &'a [u8] {
        // SAFETY: inside the chunk by construction; the rest is the caller's promise.
        unsafe { self.bytes(self.piece_at(), self.piece_len()) }
    }

    /// The same, to write to.
    ///
    /// # Safety
    ///
    /// Nobody else reads or writes them while `'a` lasts: the lock is held and the item is not
    /// pinned, or it is the caller's own upload.
    pub(super) unsafe fn piece_mut<'a>(self) -> &'a mut [u8] {
        let start = self.0.as_ptr().wrapping_add(self.piece_at());
        // SAFETY: inside the chunk by construction; arbitrary bytes are valid u8 since the arena's
        // memory is initialised by the kernel; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(start, self.piece_len()) }
    }

    /// Bytes that the item asked for: header, options, key and value.
    pub(super) fn requested_bytes(self) -> usize {
        self.key_at() + self.key_len() + self.value_len()
    }

    /// Bytes of the value that lie in the first chunk of an item with a chain.
    pub(super) fn here_len(self) -> usize {
        debug_assert!(self.has(Mark::CHAINED));
        self.u32_at(self.chain_at() + 4) as usize
    }

    fn piece_len(self) -> usize {
        if self.kind() == Kind::Item && self.has(Mark::CHAINED) {
            self.here_len()
        } else {
            self.value_len()
        }
    }

    fn wide_at(self) -> usize {
        HEADER_BYTES + if self.has(Mark::FLAGS) { FLAGS_BYTES } else { 0 }
    }

    fn chain_at(self) -> usize {
        self.wide_at() + if self.is_wide() { WIDE_BYTES } else { 0 }
    }

    fn key_at(self) -> usize {
        self.chain_at() + if self.has(Mark::CHAINED) { CHAIN_BYTES } else { 0 }
    }

    fn piece_at(self) -> usize {
        if self.kind() == Kind::Link { HEADER_BYTES } else { self.key_at() + self.key_len() }
    }
}
