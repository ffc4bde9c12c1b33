//! Making items, and the bytes of their values.
//!
//! A value too large for one chunk is cut into pieces of one size, as few as the chunk sizes allow
//! without waste. The first lies with the item's header and key, each other in a link, and all of them in
//! chunks of one class: there are no leftovers that would hold pages of classes that nothing else
//! needs. An item is made link by link, so that the lock can be let go in between; until it is
//! linked nothing takes its chunks away.

use super::arena::Ref;
use super::class::ClassId;
use super::item::{Chunk, HEADER_BYTES, Header, Mark};
use super::shard::{Payload, Shard};
use crate::clock::Secs;

#[cfg(test)]
thread_local! {
    /// Links that walks along chains have passed.
    static LINKS_WALKED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// An item that is being made.
#[derive(Debug)]
pub(super) struct Growing {
    pub(super) item: Ref,
    class: ClassId,
    /// The last link so far.
    last: Ref,
    missing_bytes: usize,
}

impl Growing {
    pub(super) fn is_complete(&self) -> bool {
        self.missing_bytes == 0
    }

    /// Bytes of the value that have no place yet.
    pub(super) fn missing_bytes(&self) -> usize {
        self.missing_bytes
    }

    /// The last link so far, or none.
    pub(super) fn last_link(&self) -> Ref {
        self.last
    }
}

impl Shard {
    /// Makes an item with room for its value, which is arbitrary. It is not linked: free it or
    /// link it. None: no memory.
    pub(super) fn build(&mut self, header: &Header<'_>, now: Secs) -> Option<Ref> {
        let mut growing = self.begin(header, now)?;
        while !growing.is_complete() {
            if !self.extend(&mut growing, now) {
                self.free(growing.item);
                return None;
            }
        }
        Some(growing.item)
    }

    /// Makes the first chunk of an item. None: no memory.
    pub(super) fn begin(&mut self, header: &Header<'_>, now: Secs) -> Option<Growing> {
        let (class, here_len) = self.cut(header);
        let item = self.alloc(class, now)?;
        self.slab.chunk(item).make_item(&Header { here_len, ..*header });
        let missing_bytes = here_len.map_or(0, |here| header.value_len - here);
        Some(Growing { item, class, last: Ref::NONE, missing_bytes })
    }

    /// Adds one link. False: no memory; the item so far is to be freed.
    pub(super) fn extend(&mut self, growing: &mut Growing, now: Secs) -> bool {
        let Some(link) = self.alloc(growing.class, now) else { return false };
        let len = growing.missing_bytes.min(self.slab.chunk_bytes(growing.class) - HEADER_BYTES);
        self.slab.chunk(link).make_link(growing.item, growing.last, len);
        if growing.last.is_some() {
            self.slab.chunk(growing.last).set_next(link);
        } else {
            self.slab.chunk(growing.item).set_chain(link);
        }
        growing.last = link;
        growing.missing_bytes -= len;
        true
    }

    /// The class of an item's chunks, and how much of the value the first one takes when there
    /// have to be several.
    pub(super) fn cut(&self, header: &Header<'_>) -> (ClassId, Option<usize>) {
        let sizes = self.slab.sizes();
        let fixed = |is_chained| header.fixed_bytes(is_chained);
        if let Some(class) = sizes.class_for(fixed(false) + header.value_len) {
            return (class, None);
        }
        let class = sizes.class_for_pieces(header.value_len, fixed(true), HEADER_BYTES);
        let here = (sizes.chunk_bytes(class) - fixed(true)).min(header.value_len);
        (class, Some(here))
    }

    /// Chunks of a complete item.
    pub(super) fn chunk_count(&self, item: Ref) -> usize {
        let chunk = self.slab.chunk(item);
        if !chunk.has(Mark::CHAINED) {
            return 1;
        }
        let link_bytes = self.slab.chunk_bytes(self.slab.class_of(item)) - HEADER_BYTES;
        1 + (chunk.value_len() - chunk.here_len()).div_ceil(link_bytes)
    }

    pub(super) fn free_links(&mut self, first: Ref) {
        let mut link = first;
        while link.is_some() {
            let next = self.slab.chunk(link).next();
            self.slab.give(link);
            link = next;
        }
    }

    /// Makes `item` the owner of the links of its chain: all of them, which takes as long as freeing
    /// them would.
    pub(super) fn own_links(&self, item: Ref) {
        for link in self.links(self.slab.chunk(item).chain()) {
            link.set_owner(item);
        }
    }

    /// Makes `to`, which holds the same bytes, take the place of a link. Its chain is not walked.
    pub(super) fn replace_link(&self, to: Ref) {
        let link = self.slab.chunk(to);
        let (prev, next) = (link.prev(), link.next());
        if prev.is_some() {
            self.slab.chunk(prev).set_next(to);
        } else {
            self.slab.chunk(link.owner()).set_chain(to);
        }
        if next.is_some() {
            self.slab.chunk(next).set_prev(to);
        }
    }

    /// Writes the bytes of `payload` into the value of `item`, from offset `at` on. Nobody reads
    /// the item: it is not linked, or not pinned.
    pub(super) fn fill(&mut self, item: Ref, at: usize, payload: Payload<'_>) {
        debug_assert!(!self.slab.chunk(item).has(Mark::PINNED), "{item:?} is read");
        if let Payload::Bytes(bytes) = payload
            && !self.slab.chunk(item).has(Mark::CHAINED)
        {
            // SAFETY: the lock is held, and nobody reads the item.
            let value = unsafe { self.slab.chunk(item).piece_mut() };
            return value[at..at + bytes.len()].copy_from_slice(bytes);
        }
        let mut writer = Writer { pieces: self.pieces(item), room: &mut [], skip: at };
        match payload {
            Payload::Bytes(bytes) => writer.put(bytes),
            // The source is another item, so that its bytes stay as they are.
            Payload::Item(source) => self.value_pieces(source).for_each(|bytes| writer.put(bytes)),
        }
    }

    /// Overwrites the value of `item` with spaces from offset `at` on. It has no chain.
    pub(super) fn pad(&mut self, item: Ref, at: usize) {
        debug_assert!(!self.slab.chunk(item).has(Mark::PINNED), "{item:?} is read");
        // SAFETY: the lock is held, and the caller has seen that the item is not pinned.
        let value = unsafe { self.slab.chunk(item).piece_mut() };
        value[at..].fill(b' ');
    }

    /// The part of a value that lies in the item's own chunk.
    pub(super) fn first_piece(&self, item: Ref) -> &[u8] {
        // SAFETY: the lock is held while `self` is borrowed, and writing needs `&mut self`.
        unsafe { self.slab.chunk(item).piece() }
    }

    /// The pieces of a value in order.
    pub(super) fn value_pieces(&self, item: Ref) -> impl Iterator<Item = &[u8]> {
        // SAFETY: as for `first_piece`.
        self.pieces(item).map(|piece| unsafe { piece.piece() })
    }

    pub(super) fn payload_len(&self, payload: Payload<'_>) -> usize {
        match payload {
            Payload::Bytes(bytes) => bytes.len(),
            Payload::Item(item) => self.slab.chunk(item).value_len(),
        }
    }

    /// The chunks that hold the value of `item`.
    fn pieces(&self, item: Ref) -> impl Iterator<Item = Chunk> + use<'_> {
        let chunk = self.slab.chunk(item);
        let links = self.links(if chunk.has(Mark::CHAINED) { chunk.chain() } else { Ref::NONE });
        std::iter::once(chunk).chain(links)
    }

    /// The links of a chain in order.
    fn links(&self, first: Ref) -> impl Iterator<Item = Chunk> + use<'_> {
        let mut at = first;
        std::iter::from_fn(move || {
            let link = at.is_some().then(|| self.slab.chunk(at))?;
            #[cfg(test)]
            LINKS_WALKED.set(LINKS_WALKED.get() + 1);
            at = link.next();
            Some(link)
        })
    }
}

/// Writes into the pieces of a value one after the other. Made by [`Shard::fill`] alone.
struct Writer<'a, P> {
    pieces: P,
    /// What is left of the piece that is being written.
    room: &'a mut [u8],
    /// Bytes of the value that are passed over first.
    skip: usize,
}

impl<P: Iterator<Item = Chunk>> Writer<'_, P> {
    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            while self.room.is_empty() {
                let Some(piece) = self.pieces.next() else {
                    unreachable!("an item was made with room for its value")
                };
                // SAFETY: `fill` has the shard to itself, and its caller says that nobody reads
                // the item; each piece is taken once.
                let room = unsafe { piece.piece_mut() };
                let passed = self.skip.min(room.len());
                self.skip -= passed;
                self.room = &mut room[passed..];
            }
            let part = bytes.len().min(self.room.len());
            let (now, later) = std::mem::take(&mut self.room).split_at_mut(part);
            now.copy_from_slice(&bytes[..part]);
            self.room = later;
            bytes = &bytes[part..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LINKS_WALKED;
    use crate::clock::Secs;
    use crate::store::drain::{ITEMS_PER_SLICE, Recipient};
    use crate::store::item::Mark;
    use crate::store::validate::validate;
    use crate::store::{Meta, Options, Store, Terms};

    const NOW: Secs = Secs(100);
    const VALUE_BYTES: usize = 1 << 20;

    /// The links of a large value move without a walk along their chain, and the value stays as it is.
    #[test]
    fn a_page_of_links_is_emptied_without_a_walk() {
        let options = Options {
            memory_bytes: 8 << 20,
            item_size_max: VALUE_BYTES + 1000,
            growth_factor: 1.25,
            chunk_space_min: 48,
            evictions: true,
            cas: true,
            large_pages: false,
            crawler: true,
            automove: true,
            temporary_ttl: None,
            track_sizes: false,
            threads: 1,
        };
        let store = Store::new(&options).expect("memory");
        let value: Vec<u8> = (0..VALUE_BYTES).map(|at| (at ^ at >> 10) as u8).collect();
        let (key, room) = (store.key(b"large"), store.key(b"room"));
        for key in [&room, &key] {
            store.store(&Terms::default(), key, Meta::default(), &value, NOW).expect("room");
        }
        store.delete(&room, None, NOW).expect("it is there");
        let number = store.get(&key, NOW, |hit| hit.shard.settings.number).expect("it is there");
        let (mut most_links, mut moved) = (0, 0);
        for _page in 0..20 {
            let mut shard = store.shard(number);
            let (_, item) = shard.lookup(&key, NOW).expect("it is there");
            let class = shard.slab.class_of(item);
            assert!(shard.slab.chunk(item).has(Mark::CHAINED));
            assert!(shard.begin_drain(class, Recipient::Arena));
            let mut goes_on = true;
            while goes_on {
                let (_, first) = shard.lookup(&key, NOW).expect("it is there");
                let rescues = shard.counters.chunk_rescues;
                LINKS_WALKED.set(0);
                goes_on = shard.drain_slice(ITEMS_PER_SLICE, NOW);
                let (_, item) = shard.lookup(&key, NOW).expect("it is there");
                // All links are told when the first chunk moves.
                let told = if item == first { 0 } else { shard.chunk_count(item) - 1 };
                assert_eq!(LINKS_WALKED.get(), told);
                most_links = most_links.max(told);
                moved += shard.counters.chunk_rescues - rescues;
            }
            drop(shard);
            validate(&store);
        }
        assert!(moved > 200, "{moved} links moved, and at most {most_links} were told at a time");
        let seen = store.get(&key, NOW, |hit| {
            let mut out = Vec::new();
            hit.copy_to(&mut out);
            out
        });
        assert_eq!(seen.expect("it is there"), value);
    }
}
