//! One shard: items found by key, stored, changed and removed. No locks, no protocol.
//!
//! Everything here runs under the shard's lock, as `&mut self`. The parts: `index` finds items,
//! `slab` holds their chunks, `chain` builds large values, `evict` finds room, `expire` gives back
//! what has expired.
//!
//! # Time and flushing
//!
//! A shard's clock never runs back: workers read the time once a turn, so that one can come with a
//! second that another has left. A flush visits no item: it moves that clock one on, for good, and
//! notes the moment as `live_from`. What was stored or accessed before lies below it and what comes
//! after does not, even in the same second, or with the server's clock set back. Since the clock
//! keeps that lead, and every living item was stored after the last flush, the lead is the same for
//! all of them: ages are differences, and the second of an access is what is left without the lead.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam::utils::CachePadded;

use super::arena::{Arena, PageId, Ref};
use super::class::{ClassId, Sizes};
use super::counters::{ClassCounters, ShardCounters};
use super::drain::{Drain, ITEMS_PER_SLICE, Recipient};
use super::ghost::Ghosts;
use super::hands::Hands;
use super::hash::Hasher;
use super::histogram::Histogram;
use super::index::{Index, Slot};
use super::item::{CAS_NARROW_MAX, Chunk, Header, Kind, Mark};
use super::scores::{Ageing, Scores};
use super::slab::Slab;
use super::{Key, Meta, Miss, Refusal};
use crate::clock::{Expiry, Secs};
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::watch::Hub;

/// The first unique that is handed out (text, section 4).
const CAS_FIRST: u64 = 2;

/// Flushes after which a shard frees all it has at once, and its clock begins anew: long before the
/// clock comes to the end of its 32 bits.
pub(super) const LEAD_MAX: u32 = 1 << 30;

/// What one shard is told when it is made.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub number: usize,
    pub shards: usize,
    /// Uniques that have been handed out, by all shards.
    pub uniques: Arc<CachePadded<AtomicU64>>,
    pub evictions: bool,
    pub cas: bool,
    /// Pages move to the class that misses them most, not only where they must.
    pub automove: bool,
    pub track_sizes: bool,
    pub item_size_max: usize,
    pub ghost_sets: usize,
    pub scores: Arc<Scores>,
    /// Items with a TTL of so many seconds or less go last.
    pub temporary_ttl: Option<u32>,
    pub hub: Arc<Hub>,
}

#[derive(Debug)]
pub(super) struct Shard {
    pub(super) settings: Settings,
    pub(super) arena: Arc<Arena>,
    pub(super) slab: Slab,
    pub(super) index: Index,
    pub(super) hasher: Arc<Hasher>,
    pub(super) ghosts: Ghosts,
    pub(super) scores: Arc<Scores>,
    /// Of `scores`: by the first shard, for all.
    pub(super) ageing: Ageing,
    /// By class id.
    pub(super) hands: Vec<Hands>,
    /// The page that is being emptied.
    pub(super) drain: Option<Drain>,
    /// By class id.
    pub(super) classes: Vec<ClassCounters>,
    pub(super) counters: ShardCounters,
    pub(super) histogram: Histogram,
    /// Pages that this shard may own, and owns, items and index together.
    pub(super) pages_max: usize,
    pub(super) pages_held: usize,
    /// Readers of each item that is being read without the lock.
    pub(super) pins: HashMap<Ref, u32, ahash::RandomState>,
    /// The latest time that was noted; see the module's documentation.
    clock: u32,
    /// How far flushes have moved the clock ahead of the server's, at most [`LEAD_MAX`].
    pub(super) lead: u32,
    /// Items last accessed before this are gone.
    pub(super) live_from: u32,
    /// Where the search for expired items goes on.
    pub(super) sweep: super::expire::Cursor,
    /// The second in which pages that no class needs were last looked for, and how many more may go back
    /// in it.
    pub(super) slack_second: u32,
    pub(super) slack_left: usize,
}

impl Shard {
    /// A shard that may own `pages_max` pages, of which it takes the first for its index. None
    /// when there is no page.
    pub(super) fn new(
        settings: Settings,
        arena: Arc<Arena>,
        sizes: &Arc<Sizes>,
        hasher: Arc<Hasher>,
        pages_max: usize,
    ) -> Option<Shard> {
        let index = Index::new(arena.clone(), arena.take()?);
        let slab = Slab::new(arena.clone(), sizes.clone());
        let classes = usize::from(sizes.largest().0) + 1;
        let per_page: Vec<usize> =
            std::iter::once(0).chain(sizes.all().map(|class| slab.per_page(class))).collect();
        Some(Shard {
            ghosts: Ghosts::new(settings.ghost_sets, &per_page),
            arena,
            slab,
            index,
            hasher,
            scores: settings.scores.clone(),
            ageing: Ageing::new(settings.shards),
            hands: vec![Hands::default(); classes],
            drain: None,
            classes: vec![ClassCounters::default(); classes],
            counters: ShardCounters::default(),
            histogram: Histogram::new(settings.track_sizes),
            pages_max,
            pages_held: 1,
            pins: HashMap::default(),
            clock: 0,
            lead: 0,
            live_from: 0,
            sweep: super::expire::Cursor::default(),
            slack_second: 0,
            slack_left: 0,
            settings,
        })
    }

    /// Finds the living item of `key` and notes the hit.
    pub(super) fn get(&mut self, key: &Key<'_>, now: Secs) -> Result<Ref, Miss> {
        let item = self.retrieve(key, now)?;
        let access = self.tick(now);
        self.slab.chunk(item).note_hit(access);
        let class = self.slab.class_of(item);
        self.class_mut(class).get_hits += 1;
        Ok(item)
    }

    /// The same, with a new expiry.
    pub(super) fn get_and_touch(
        &mut self,
        key: &Key<'_>,
        expiry: Expiry,
        now: Secs,
    ) -> Result<Ref, Miss> {
        let item = self.retrieve(key, now)?;
        let access = self.tick(now);
        self.slab.chunk(item).note_hit(access);
        self.set_expiry(item, expiry);
        let class = self.slab.class_of(item);
        self.class_mut(class).touch_hits += 1;
        Ok(item)
    }

    pub(super) fn touch(&mut self, key: &Key<'_>, expiry: Expiry, now: Secs) -> Result<(), Miss> {
        let (_, item) = self.lookup(key, now)?;
        let access = self.tick(now);
        self.slab.chunk(item).note_hit(access);
        self.set_expiry(item, expiry);
        let class = self.slab.class_of(item);
        self.class_mut(class).touch_hits += 1;
        Ok(())
    }

    /// Makes everything stored so far invisible, and counts it off.
    pub(super) fn flush(&mut self, now: Secs) {
        self.counters.bytes = 0;
        self.histogram.clear();
        for class in &mut self.classes {
            (class.items, class.requested) = (0, 0);
        }
        let latest = self.clock;
        self.lead += 1;
        // Were the server's clock set back, the new lead alone would not lead past `latest`.
        self.live_from = self.tick(now).max(latest.saturating_add(1));
        self.clock = self.live_from;
        if self.lead >= LEAD_MAX {
            self.free_all_flushed(now);
            (self.clock, self.lead, self.live_from) = (now.0, 0, 0);
        }
    }

    /// Notes that `item` is being read without the lock. Bytes of its value if nobody else reads it.
    pub(super) fn pin(&mut self, item: Ref) -> usize {
        let readers = self.pins.entry(item).or_insert(0);
        *readers += 1;
        if *readers > 1 {
            return 0;
        }
        let chunk = self.slab.chunk(item);
        chunk.set(Mark::PINNED);
        chunk.value_len()
    }

    /// Ends one reading; the last one frees an item that has gone meanwhile, and is told the bytes of the
    /// value, which has been the same since it was pinned.
    pub(super) fn unpin(&mut self, item: Ref) -> usize {
        let Some(readers) = self.pins.get_mut(&item) else {
            unreachable!("every unpin follows a pin")
        };
        *readers -= 1;
        if *readers > 0 {
            return 0;
        }
        self.pins.remove(&item);
        let chunk = self.slab.chunk(item);
        debug_assert!(chunk.kind() == Kind::Item && chunk.has(Mark::PINNED), "{item:?}");
        let bytes = chunk.value_len();
        chunk.clear(Mark::PINNED);
        if !chunk.has(Mark::LINKED) {
            self.free(item);
        }
        bytes
    }

    /// Bytes of the value of `key`; 0 if there is none, or if it is pinned.
    pub(super) fn unpinned_len(&self, key: &Key<'_>, now: Secs) -> usize {
        let slab = &self.slab;
        let found = self.index.find(key.hash, |item| slab.key(item) == key.bytes);
        let Some((_, item)) = found else { return 0 };
        let chunk = self.slab.chunk(item);
        let is_there = self.gone(chunk, now).is_none();
        if is_there && !chunk.has(Mark::PINNED) { chunk.value_len() } else { 0 }
    }

    pub(super) fn class_mut(&mut self, class: ClassId) -> &mut ClassCounters {
        &mut self.classes[usize::from(class.0)]
    }

    /// Whether, and why, an item can no longer be seen.
    pub(super) fn gone(&self, chunk: Chunk, now: Secs) -> Option<Miss> {
        if chunk.access() < self.live_from {
            Some(Miss::Flushed)
        } else if chunk.expiry().passed(now) {
            Some(Miss::Expired)
        } else {
            None
        }
    }

    /// The time to note for a store or an access at `now`.
    pub(super) fn tick(&mut self, now: Secs) -> u32 {
        self.clock = self.clock.max(now.0.saturating_add(self.lead));
        self.clock
    }

    /// The second of the server's clock at which a living item was last stored or accessed.
    pub(super) fn accessed_at(&self, chunk: Chunk) -> Secs {
        Secs(chunk.access().saturating_sub(self.lead))
    }

    /// Takes an item out of the index and frees it, or leaves that to its last reader.
    pub(super) fn unlink(&mut self, slot: Slot, hash: u64, item: Ref) {
        self.index.remove(slot, hash);
        self.retire(item);
    }

    /// Finds the slot of an item that the index holds.
    pub(super) fn slot_of(&self, hash: u64, item: Ref) -> Slot {
        let Some((slot, _)) = self.index.find(hash, |other| other == item) else {
            unreachable!("a linked item is in the index")
        };
        slot
    }

    /// The header of a new item, with room for the unique that it gets if that is chosen.
    pub(super) fn header<'k>(
        &mut self,
        key: &Key<'k>,
        meta: Meta,
        value_len: usize,
        cas: Option<u64>,
        now: Secs,
    ) -> Header<'k> {
        Header {
            key: key.bytes,
            flags: meta.flags,
            expiry: meta.expiry,
            is_binary_key: meta.is_binary_key,
            is_wide: cas.is_some_and(|cas| cas > CAS_NARROW_MAX) && self.settings.cas,
            access: self.tick(now),
            value_len,
            here_len: None,
        }
    }

    /// Frees the chunks of an item that is not linked.
    pub(super) fn free(&mut self, item: Ref) {
        let chunk = self.slab.chunk(item);
        debug_assert!(
            chunk.kind() == Kind::Item && !chunk.has(Mark::LINKED) && !chunk.has(Mark::PINNED)
        );
        if chunk.has(Mark::CHAINED) {
            self.free_links(chunk.chain());
        }
        self.slab.give(item);
    }

    /// Takes a page that nobody owns, within this shard's share.
    pub(super) fn take_page(&mut self) -> Option<PageId> {
        if self.pages_held >= self.pages_max {
            return None;
        }
        let page = self.arena.take()?;
        self.pages_held += 1;
        Some(page)
    }

    /// A lookup by a client that wants the value: the ghosts take note.
    pub(super) fn retrieve(&mut self, key: &Key<'_>, now: Secs) -> Result<Ref, Miss> {
        if self.settings.number == 0 {
            self.ageing.note_lookup(&self.scores);
        }
        match self.lookup(key, now) {
            Ok((_, item)) => Ok(item),
            Err(miss) => {
                if miss == Miss::NotFound {
                    self.note_ghost(key.hash);
                }
                Err(miss)
            }
        }
    }

    /// The living item of `key`; one that is gone is freed on the way.
    pub(super) fn lookup(&mut self, key: &Key<'_>, now: Secs) -> Result<(Slot, Ref), Miss> {
        let slab = &self.slab;
        let (slot, item) =
            self.index.find(key.hash, |item| slab.key(item) == key.bytes).ok_or(Miss::NotFound)?;
        match self.gone(self.slab.chunk(item), now) {
            None => Ok((slot, item)),
            Some(miss) => {
                self.unlink(slot, key.hash, item);
                Err(miss)
            }
        }
    }

    /// The unique of an item; 0 without CAS.
    pub(super) fn cas_of(&self, item: Ref) -> u64 {
        if self.settings.cas { self.slab.chunk(item).cas() } else { 0 }
    }

    /// The unique that a change gives its item. Every attempt takes a number (text, section 4), unless
    /// the client chose one.
    pub(super) fn new_cas(&mut self, chosen: Option<u64>) -> u64 {
        match chosen {
            _ if !self.settings.cas => 0,
            Some(cas) => cas,
            None => self.take_cas(),
        }
    }

    /// Makes `item` the item of its key. On an error the item is freed.
    pub(super) fn link(&mut self, key: &Key<'_>, item: Ref, now: Secs) -> Result<(), Refusal> {
        let slab = &self.slab;
        let held = self.index.find(key.hash, |other| slab.key(other) == key.bytes);
        let queue = self.choose_queue(key.hash, item, held.map(|(_, old)| old), now);
        if let Some((slot, old)) = held {
            self.slab.chunk(item).set_freq(self.slab.chunk(old).freq());
            self.index.replace(slot, item);
            self.retire(old);
        } else {
            while !self.index.insert(key.hash, item) {
                if !self.obtain_spill_page(now) {
                    self.free(item);
                    return Err(Refusal::NoMemory);
                }
            }
            self.grow_index(now);
        }
        self.join_queue(item, queue);
        self.note_linked(item);
        Ok(())
    }

    pub(super) fn note_linked(&mut self, item: Ref) {
        let chunk = self.slab.chunk(item);
        chunk.set(Mark::LINKED);
        if chunk.expiry() != Expiry::NEVER {
            self.slab.note_expiry(item, chunk.expiry().0);
        }
        let requested = chunk.requested_bytes() as u64;
        self.counters.bytes += requested;
        self.histogram.add(requested);
        self.counters.total_items += 1;
        let class = self.slab.class_of(item);
        let counters = self.class_mut(class);
        counters.requested += requested;
        counters.items += 1;
    }

    /// An item leaves the index. One that a flush has made invisible was counted off by it.
    pub(super) fn note_unlinked(&mut self, item: Ref) {
        let chunk = self.slab.chunk(item);
        chunk.clear(Mark::LINKED);
        if chunk.access() < self.live_from {
            return;
        }
        let requested = chunk.requested_bytes() as u64;
        self.counters.bytes -= requested;
        self.histogram.remove(requested);
        let class = self.slab.class_of(item);
        let counters = self.class_mut(class);
        counters.requested -= requested;
        counters.items -= 1;
    }

    /// A key was asked for that is not there: what that says of the class that has lost it.
    fn note_ghost(&mut self, hash: u64) {
        let slab = &self.slab;
        if let Some(hit) = self.ghosts.missed(hash, |class| slab.pages(class).len()) {
            self.scores.note_hit(hit.class, hit.queue, hit.weight);
        }
    }

    /// Ends an item's time in the index.
    fn retire(&mut self, item: Ref) {
        self.note_unlinked(item);
        self.leave_queue(item);
        let chunk = self.slab.chunk(item);
        if !chunk.has(Mark::PINNED) {
            self.free(item);
        }
    }

    /// Has a page drained for the index, which grows when it is there.
    fn drain_for_index(&mut self, now: Secs) {
        if self.drain.is_some() {
            self.drain_slice(ITEMS_PER_SLICE, now);
        } else if let Some(giver) = self.slack_class() {
            self.begin_drain(giver, Recipient::Index);
        } else if self.settings.evictions
            && let Some(&giver) = self.givers(None).first()
        {
            self.begin_drain(giver, Recipient::Index);
        }
    }

    /// Splits a bucket when there are too many items for the buckets.
    pub(super) fn grow_index(&mut self, now: Secs) {
        if !self.index.wants_growth() {
            return;
        }
        if self.index.needs_main_page() {
            let Some(page) = self.take_page() else { return self.drain_for_index(now) };
            self.index.add_main_page(page);
        }
        let (slab, hasher) = (&self.slab, &self.hasher);
        self.index.grow(|item| hasher.hash(slab.key(item)));
    }

    pub(super) fn set_expiry(&mut self, item: Ref, expiry: Expiry) {
        self.slab.chunk(item).set_expiry(expiry);
        if expiry != Expiry::NEVER {
            self.slab.note_expiry(item, expiry.0);
        }
    }

    /// The next unique: every attempted store takes one (text, section 4). One sequence for all shards,
    /// as clients see it in memcached; taken under this shard's lock, so that those of a key only grow.
    fn take_cas(&mut self) -> u64 {
        (self.settings.uniques.fetch_add(1, Relaxed) + CAS_FIRST) & CAS_NARROW_MAX
    }
}

/// Where the bytes of a new value come from.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    Bytes(&'a [u8]),
    /// The value of another item of the shard.
    Item(Ref),
}
