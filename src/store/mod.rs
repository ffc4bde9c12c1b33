//! The items: bounded memory, found by key, shared by all workers.
//!
//! ```text
//! Store ─ shard 0 ─ mutex ─ index, slab, hands, ghosts, counters
//!       ├ shard 1 ─ mutex ─ ...                  │
//!       └ arena ── pages, taken by the shards ───┘
//! ```
//!
//! A key's hash chooses its shard; this module locks it, and the shard's code is plain `&mut self`
//! (`shard`). Shards share the arena and the sequence of uniques. A thread holds one shard's lock at a time, and inside
//! it at most one of two leaves, the arena's pool lock or the watchers' ([`Hub`]): there is no
//! other order. See docs/store.md.
//!
//! Bytes and queues are drawn in `item` and docs/store.md. The store knows no protocol: what a
//! client sees of a [`Miss`], a [`Refusal`] or an [`Outcome`] is `session`'s business.

mod arena;
mod arith;
mod balance;
#[doc(hidden)]
pub mod bench;
mod chain;
mod class;
mod counters;
mod drain;
mod evict;
mod expire;
mod ghost;
mod glance;
mod hands;
mod hash;
mod histogram;
mod hit;
mod index;
mod item;
mod limit;
mod mover;
mod prefetch;
mod queue;
mod reassign;
mod remove;
mod request;
mod scores;
mod shape;
mod shard;
mod slab;
mod storing;
mod transit;
mod upkeep;
mod upload;
mod walk;

// For tests, and for `crate::fuzz`, which calls them from outside of a build for tests.
pub(crate) mod model;
pub(crate) mod validate;

#[cfg(test)]
mod tests;

use std::ptr::NonNull;
use std::sync::Arc;

use crossbeam::utils::CachePadded;

pub use counters::{Class, Totals};
pub use glance::Seen;
pub use hit::{Hit, HitKind, Value};
pub use reassign::ReassignRefusal;
pub use request::{
    Burial, Created, Direction, Kept, Key, Meta, Miss, Mode, NoSum, Number, Outcome, Refusal, Sum,
    Terms,
};
pub use transit::{Room, Shortage};
pub use upload::Upload;
pub use walk::{ClassWalk, Entry, Walk};

use crate::clock::{Clock, Expiry, Secs};
use crate::limits::KEY_LEN_MAX;
use crate::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::{Mutex, MutexGuard};
use crate::watch::{self, Hub};
use arena::{Arena, Ref};
use class::Sizes;
use hash::Hasher;
use index::Outline;
use item::{Chunk, HEADER_BYTES, Kind};
use limit::Limit;
use scores::Scores;
use shape::Shape;
use shard::{Settings, Shard};
use transit::Transit;
use upkeep::Round;

/// memcached's bytes beside key, flags and value, by which `-I` is applied: header 48, CAS 8, the
/// key's NUL and the value's CR LF. Kept so that the largest value is the same to the byte
/// (behaviour, section 1), although an item costs less here.
const CHARGED_HEADER_BYTES: usize = 48;
const CHARGED_CAS_BYTES: usize = 8;
const CHARGED_TERMINATORS: usize = 3;

/// Pages of a shard, whatever the limit: one for its index, one for items.
const PAGES_PER_SHARD_LEAST: usize = 2;

/// How a store is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// `-m` in bytes: items, index and ghosts together; at least 2 MiB.
    pub memory_bytes: usize,
    /// `-I` in bytes, applied as memcached does; at most half of `memory_bytes`.
    pub item_size_max: usize,
    /// `-f`, above 1.
    pub growth_factor: f64,
    /// `-n`: bytes for key, value and flags in the smallest chunk.
    pub chunk_space_min: usize,
    /// False with `-M`: a full store refuses.
    pub evictions: bool,
    /// False with `-C`: uniques are 0 and `cas` never matches.
    pub cas: bool,
    /// `-L`: huge pages, all memory touched at the start.
    pub large_pages: bool,
    /// False with `-o no_lru_crawler`: expired items stay until something needs their room.
    pub crawler: bool,
    /// False with `-o slab_automove=0`: pages move between classes only when they must.
    pub automove: bool,
    /// `-o temporary_ttl`: items with a TTL of so many seconds or less are evicted last.
    pub temporary_ttl: Option<u32>,
    /// `-o track_sizes`: items are counted by size.
    pub track_sizes: bool,
    /// Threads that will use the store.
    pub threads: usize,
}

/// Why a store could not be made.
#[derive(Debug)]
pub struct StartError(pub String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// See the module documentation.
#[derive(Debug)]
pub struct Store {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    /// Of the shards' indexes.
    outlines: Box<[Arc<Outline>]>,
    arena: Arc<Arena>,
    sizes: Arc<Sizes>,
    hasher: Arc<Hasher>,
    item_size_max: usize,
    cas: bool,
    is_preallocated: bool,
    limit: Limit,
    /// Values that are arriving or being sent.
    transit: Transit,
    /// Second at which a flush is due; 0: none.
    flush_due: AtomicU32,
    /// Held by the thread that does it, which locks the shards in turn.
    flushing: Mutex<()>,
    /// Second of the last flush, or of the one that is due.
    flush_shown: AtomicU32,
    /// The rounds through the shards that give back pages, and that free what has expired.
    pages_round: Round,
    sweep_round: Round,
    /// Slices of background work since the start or the last reset.
    slices: AtomicU64,
    crawler: expire::Crawler,
    /// Who is told of evictions, moved pages and sweeps.
    hub: Arc<Hub>,
}

impl Store {
    /// Reserves the memory and makes the shards.
    pub fn new(options: &Options) -> Result<Arc<Store>, StartError> {
        Store::of_shape(options, &Shape::of(options), Hasher::random())
    }

    /// The same, with watchers of the caller's choice.
    pub fn with_hub(options: &Options, hub: Arc<Hub>) -> Result<Arc<Store>, StartError> {
        Store::make(options, &Shape::of(options), Hasher::random(), hub)
    }

    /// The same, with keys hashed by a seed that anybody can know: for `benches/`, where a count of
    /// instructions is to be the same in every run. `tests/it/tidy.rs` keeps it out of the daemon.
    #[doc(hidden)]
    pub fn with_seed(options: &Options, seed: u64) -> Result<Arc<Store>, StartError> {
        Store::of_shape(options, &Shape::of(options), Hasher::seeded(seed))
    }

    /// Who watches this store.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    fn of_shape(
        options: &Options,
        shape: &Shape,
        hasher: Hasher,
    ) -> Result<Arc<Store>, StartError> {
        let hub = Hub::new(&watch::Options::default(), Arc::new(Clock::start()));
        Store::make(options, shape, hasher, hub)
    }

    fn make(
        options: &Options,
        shape: &Shape,
        hasher: Hasher,
        hub: Arc<Hub>,
    ) -> Result<Arc<Store>, StartError> {
        let no_memory = |error| {
            StartError(format!("cannot reserve {} bytes of memory: {error}", options.memory_bytes))
        };
        let arena = Arena::reserving(shape.arena_bytes, shape.page_bytes, shape.reserved_max_bytes);
        let arena = Arc::new(arena.map_err(no_memory)?);
        if options.large_pages {
            arena.preallocate().map_err(|error| {
                StartError(format!("Cannot enable large pages on this system: {error}"))
            })?;
        }
        let smallest = HEADER_BYTES + options.chunk_space_min;
        let sizes = Arc::new(Sizes::new(
            smallest,
            options.growth_factor,
            shape.page_bytes,
            arena.granule(),
        ));
        let hasher = Arc::new(hasher);
        let uniques = Arc::new(CachePadded::new(AtomicU64::new(0)));
        let scores = Arc::new(Scores::new(sizes.all().count()));
        let shards = (0..shape.shards)
            .map(|number| {
                let settings = Settings {
                    number,
                    shards: shape.shards,
                    uniques: uniques.clone(),
                    evictions: options.evictions,
                    cas: options.cas,
                    automove: options.automove,
                    track_sizes: options.track_sizes,
                    item_size_max: options.item_size_max,
                    ghost_sets: shape.ghost_sets,
                    scores: scores.clone(),
                    temporary_ttl: options.temporary_ttl,
                    hub: hub.clone(),
                };
                let share = arena.share_of(number, shape.shards);
                let shard = Shard::new(settings, arena.clone(), &sizes, hasher.clone(), share)?;
                Some(CachePadded::new(Mutex::new(shard)))
            })
            .collect::<Option<Box<[CachePadded<Mutex<Shard>>]>>>()
            .ok_or_else(|| StartError("too little memory for the shards".to_owned()))?;
        let outlines = shards.iter().map(|shard| shard.lock().index.outline().clone()).collect();
        Ok(Arc::new(Store {
            shards,
            outlines,
            arena,
            sizes,
            hasher,
            item_size_max: options.item_size_max,
            cas: options.cas,
            is_preallocated: options.large_pages,
            limit: Limit::new(options, shape),
            transit: Transit::default(),
            flush_due: AtomicU32::new(0),
            flushing: Mutex::new(()),
            flush_shown: AtomicU32::new(0),
            pages_round: Round::default(),
            sweep_round: Round::default(),
            slices: AtomicU64::new(0),
            crawler: expire::Crawler::new(options.crawler),
            hub,
        }))
    }

    /// Hashes a key of 1 to [`KEY_LEN_MAX`] bytes.
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        debug_assert!((1..=KEY_LEN_MAX).contains(&bytes.len()));
        Key { bytes, hash: self.hasher.hash(bytes) }
    }

    /// Has the processor fetch what lookups of these keys will read: their buckets, then their items.
    pub fn foresee<'k>(&self, keys: impl Iterator<Item = &'k Key<'k>> + Clone) {
        for key in keys.clone() {
            self.outlines[self.shard_number(key.hash)].foresee(key.hash);
        }
        for key in keys {
            let shard = self.shard_of(key);
            shard.index.candidates(key.hash, |item| shard.slab.foresee(item));
        }
    }

    /// Looks `key` up; on a hit `visit` runs under the shard's lock: format and copy, nothing slow.
    pub fn get<R>(
        self: &Arc<Self>,
        key: &Key<'_>,
        now: Secs,
        visit: impl FnOnce(&mut Hit<'_>) -> R,
    ) -> Result<R, Miss> {
        let mut shard = self.shard_of(key);
        let item = shard.get(key, now)?;
        Ok(visit(&mut Hit { store: self, shard: &mut shard, item, is_new: false }))
    }

    /// Looks `key` up for a visitor that decides itself whether that is a hit
    /// ([`Hit::note`]). With `create`, a key that is not there becomes an empty item with that unique,
    /// or the next one, where there is memory for it; see [`Hit::is_new`].
    pub fn inspect<R>(
        self: &Arc<Self>,
        key: &Key<'_>,
        create: Option<(Meta, Option<u64>)>,
        now: Secs,
        visit: impl FnOnce(&mut Hit<'_>) -> R,
    ) -> Result<R, Miss> {
        let number = self.shard_number(key.hash);
        loop {
            let mut shard = self.shard(number);
            let (item, is_new) = match (shard.retrieve(key, now), create) {
                (Ok(item), _) => (item, false),
                (Err(miss), None) => return Err(miss),
                (Err(miss), Some((meta, cas))) => {
                    let cas = shard.new_cas(cas);
                    match shard.put_new(key, meta, b"", cas, now) {
                        Ok(item) => (item, true),
                        Err(_) => {
                            drop(shard);
                            if self.lend(number, now) {
                                continue;
                            }
                            return Err(miss);
                        }
                    }
                }
            };
            return Ok(visit(&mut Hit { store: self, shard: &mut shard, item, is_new }));
        }
    }

    /// The same, giving the item a new expiry first.
    pub fn get_and_touch<R>(
        self: &Arc<Self>,
        key: &Key<'_>,
        expiry: Expiry,
        now: Secs,
        visit: impl FnOnce(&mut Hit<'_>) -> R,
    ) -> Result<R, Miss> {
        let mut shard = self.shard_of(key);
        let item = shard.get_and_touch(key, expiry, now)?;
        Ok(visit(&mut Hit { store: self, shard: &mut shard, item, is_new: false }))
    }

    /// Gives an item a new expiry.
    pub fn touch(&self, key: &Key<'_>, expiry: Expiry, now: Secs) -> Result<(), Miss> {
        self.shard_of(key).touch(key, expiry, now)
    }

    /// Stores a value that is complete.
    pub fn store(
        &self,
        terms: &Terms,
        key: &Key<'_>,
        meta: Meta,
        value: &[u8],
        now: Secs,
    ) -> Result<Outcome, Refusal> {
        self.check_size(key, meta, value.len())?;
        let number = self.shard_number(key.hash);
        loop {
            let stored = self.shard(number).store(terms, key, meta, value, now);
            if stored != Err(Refusal::NoMemory) || !self.lend(number, now) {
                return stored;
            }
        }
    }

    /// Begins an item whose value of `value_len` bytes is still to come. Its memory is taken as the
    /// value arrives ([`Upload::fill`]), so that what was only announced costs nobody anything.
    pub fn reserve(
        self: &Arc<Self>,
        terms: &Terms,
        key: &Key<'_>,
        meta: Meta,
        value_len: usize,
        now: Secs,
    ) -> Result<Upload, Refusal> {
        self.check_size(key, meta, value_len)?;
        if !self.may_begin_upload() {
            return Err(Refusal::NoMemory);
        }
        let number = self.shard_number(key.hash);
        loop {
            let mut shard = self.shard(number);
            let header = shard.header(key, meta, value_len, terms.cas, now);
            if let Some(growing) = shard.begin(&header, now) {
                // SAFETY: the item was just made and nobody else knows of it.
                let piece = NonNull::from(unsafe { shard.slab.chunk(growing.item).piece_mut() });
                drop(shard);
                return Ok(Upload::new(self.clone(), number, key.hash, growing, piece, value_len));
            }
            drop(shard);
            if !self.lend(number, now) {
                return Err(Refusal::NoMemory);
            }
        }
    }

    /// Publishes an upload, on the terms on which it was begun.
    ///
    /// Panics if bytes of its value are missing: they would be another item's.
    pub fn commit(&self, upload: Upload, terms: &Terms, now: Secs) -> Result<Outcome, Refusal> {
        assert_eq!(upload.remaining(), 0, "an upload is complete before it is seen");
        let (number, hash, item) = upload.into_item();
        let mut shard = self.shard(number);
        let mut held = [0; KEY_LEN_MAX];
        let len = {
            let bytes = shard.slab.key(item);
            held[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        };
        let key = Key { bytes: &held[..len], hash };
        shard.commit(terms, &key, item, now)
    }

    /// Removes an item, if its unique is `compare` where that is given.
    pub fn delete(&self, key: &Key<'_>, compare: Option<u64>, now: Secs) -> Result<(), Kept> {
        self.shard_of(key).delete(key, compare, now)
    }

    /// Leaves of an item what `burial` says (`empty`, `stale` or both), under the same condition.
    pub fn bury(
        &self,
        key: &Key<'_>,
        compare: Option<u64>,
        burial: &Burial,
        now: Secs,
    ) -> Result<(), Kept> {
        self.shard_of(key).bury(key, compare, burial, now)
    }

    /// Removes what a refused `set` was to replace (text, section 4, rule 8). Counts no delete.
    pub fn forget(&self, key: &Key<'_>, now: Secs) {
        self.shard_of(key).forget(key, now);
    }

    /// Adds to, or subtracts from, a decimal number; `visit` sees the item that holds it then.
    pub fn arith<R>(
        self: &Arc<Self>,
        key: &Key<'_>,
        sum: &Sum,
        now: Secs,
        visit: impl FnOnce(&mut Hit<'_>, Number) -> R,
    ) -> Result<R, NoSum> {
        let mut shard = self.shard_of(key);
        let (item, number) = shard.arith(key, sum, now)?;
        let is_new = number.is_new;
        Ok(visit(&mut Hit { store: self, shard: &mut shard, item, is_new }, number))
    }

    /// Makes everything that is stored now invisible; its memory comes back bit by bit.
    pub fn flush(&self, now: Secs) {
        self.flush_due.store(0, Relaxed);
        self.flush_shown.store(now.0, Relaxed);
        self.flush_shards(now);
    }

    fn flush_shards(&self, now: Secs) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.flush(now);
            shard.sweep_flushed();
        }
        self.sweep_round.ask(now);
    }

    /// The same at the second `at`; a later call of either replaces it.
    pub fn flush_at(&self, at: Secs) {
        self.flush_shown.store(at.0, Relaxed);
        self.flush_due.store(at.0, Relaxed);
    }

    /// Does a flush whose second has come. Called with each new `now`, before requests are
    /// executed with it. Where another thread does it, this waits for its end: what is stored next would
    /// else be lost to it.
    pub fn flush_if_due(&self, now: Secs) {
        let is_due = || (1..=now.0).contains(&self.flush_due.load(Acquire));
        if !is_due() {
            return;
        }
        let _turn = self.flushing.lock();
        if is_due() {
            let due = self.flush_due.load(Acquire);
            self.flush_shards(now);
            // Loses to a flush that is asked for at this moment: that one is due.
            let _lost = self.flush_due.compare_exchange(due, 0, Release, Relaxed);
        }
    }

    /// Second of the last flush or of the one that is due; 0: none.
    pub fn flush_oldest(&self) -> u32 {
        self.flush_shown.load(Relaxed)
    }

    /// Locks a shard by number.
    fn shard(&self, number: usize) -> MutexGuard<'_, Shard> {
        self.shards[number].lock()
    }

    fn shard_of(&self, key: &Key<'_>) -> MutexGuard<'_, Shard> {
        self.shard(self.shard_number(key.hash))
    }

    fn shard_number(&self, hash: u64) -> usize {
        hash as usize & (self.shards.len() - 1)
    }

    /// Has the header of a link fetched that may lie at `guess`.
    fn foresee_link(&self, guess: Ref) {
        let places = self.arena.geometry();
        prefetch::prefetch(places.guess(places.offset(guess)), HEADER_BYTES);
    }

    /// A link of a chain that is pinned or being uploaded, read without the lock.
    fn pinned_link(&self, link: Ref) -> Chunk {
        let places = self.arena.geometry();
        let at = places.at(places.offset(link));
        // SAFETY: the caller has the chain pinned or is its upload, so that the link stays a link
        // of it and its header is not written to.
        let link = unsafe { Chunk::new(at) };
        debug_assert!(link.kind() == Kind::Link && !link.is_withheld(), "{link:?} has gone");
        link
    }

    /// Whether an item of this size may be at all (`-I`).
    pub fn check_size(&self, key: &Key<'_>, meta: Meta, value_len: usize) -> Result<(), Refusal> {
        let bytes = charged_bytes(key.bytes.len(), meta.flags, value_len, self.cas);
        if bytes > self.item_size_max { Err(Refusal::TooLarge) } else { Ok(()) }
    }
}

/// What an item of these lengths counts against `-I`.
fn charged_bytes(key_len: usize, flags: u32, value_len: usize, cas: bool) -> usize {
    let options = if flags != 0 { 4 } else { 0 } + if cas { CHARGED_CAS_BYTES } else { 0 };
    CHARGED_HEADER_BYTES + CHARGED_TERMINATORS + options + key_len + value_len
}
