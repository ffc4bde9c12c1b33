//! The store beside a naive map: random operations, a false clock, a tiny arena, and a walk over
//! everything after each step.
//!
//! `NUTHATCH_SEED` repeats a run, `NUTHATCH_MODEL_STEPS` sets how many steps each shape takes.
#![forbid(unsafe_code)]

mod meta;
mod storing;

use std::collections::HashMap;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::item::CAS_NARROW_MAX;
use super::shape::{LARGE_PAGE_BYTES, SMALL_PAGE_BYTES};
use super::validate::{held_items, validate};
use super::*;
use crate::buf::Region;

/// xorshift64*: small, seeded, the same everywhere.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    value: Vec<u8>,
    flags: u32,
    expiry: Expiry,
    cas: u64,
    is_binary_key: bool,
    is_stale: bool,
    is_token_sent: bool,
}

impl Entry {
    fn new(value: Vec<u8>, meta: Meta, cas: u64) -> Entry {
        let Meta { flags, expiry, is_binary_key } = meta;
        Entry { value, flags, expiry, cas, is_binary_key, is_stale: false, is_token_sent: false }
    }

    fn of(hit: &Hit<'_>) -> Entry {
        let mut value = Vec::new();
        hit.copy_to(&mut value);
        assert_eq!(value.len(), hit.value_len());
        Entry {
            value,
            flags: hit.flags(),
            expiry: hit.expiry(),
            cas: hit.cas(),
            is_binary_key: hit.is_binary_key(),
            is_stale: hit.is_stale(),
            is_token_sent: hit.is_token_sent(),
        }
    }

    /// What an append or prepend makes of it.
    fn joined(self, value: Vec<u8>, cas: u64) -> Entry {
        let is_binary_key = false;
        Entry { value, cas, is_stale: false, is_token_sent: false, is_binary_key, ..self }
    }
}

#[derive(Clone, Copy)]
struct Case {
    memory_bytes: usize,
    page_bytes: usize,
    shards: usize,
    item_size_max: usize,
    evictions: bool,
    keys: usize,
    value_len_max: usize,
}

struct Upcoming {
    upload: Upload,
    terms: Terms,
    key: Vec<u8>,
    meta: Meta,
    value: Vec<u8>,
}

struct Model {
    store: Arc<Store>,
    entries: HashMap<Vec<u8>, Entry>,
    pinned: Vec<(Value, Vec<u8>)>,
    uploads: Vec<Upcoming>,
    flush_due: u32,
    now: Secs,
    latest: Secs,
    rng: Rng,
    case: Case,
}

impl Model {
    fn new(case: Case, seed: u64) -> Model {
        let options = options(case.memory_bytes, case.item_size_max, case.evictions);
        let shape = Shape {
            page_bytes: case.page_bytes,
            shards: case.shards,
            ghost_sets: 8,
            arena_bytes: case.memory_bytes,
        };
        Model {
            store: Store::of_shape(&options, &shape, Hasher::seeded(seed)).unwrap(),
            entries: HashMap::new(),
            pinned: Vec::new(),
            uploads: Vec::new(),
            flush_due: 0,
            now: Secs(100),
            latest: Secs(100),
            rng: Rng(seed),
            case,
        }
    }

    fn step(&mut self) {
        match self.rng.below(22) {
            0..6 => self.get(),
            6..12 => self.put(),
            12 => self.delete(),
            13 => self.touch(),
            14 => self.arith(),
            15 => self.begin_upload(),
            16 => self.go_on_uploading(),
            17 => self.pin_or_unpin(),
            18 => self.pass_time(),
            19 => self.inspect(),
            20 => self.bury(),
            _ => self.flush(),
        }
        self.check_pins();
        validate(&self.store);
    }

    fn key(&mut self) -> Vec<u8> {
        let number = self.rng.below(self.case.keys);
        let mut key = format!("key-{number}-").into_bytes();
        key.resize(1 + number * 7 % KEY_LEN_MAX, b'k');
        key.extend_from_slice(number.to_string().as_bytes());
        key.truncate(KEY_LEN_MAX);
        key
    }

    fn value(&mut self) -> Vec<u8> {
        let len = match self.rng.below(10) {
            0 => 0,
            1..7 => self.rng.below(300),
            7..9 => self.rng.below(3000),
            _ => self.rng.below(self.case.value_len_max),
        };
        if self.rng.one_in(4) {
            return (self.rng.next() >> self.rng.below(64)).to_string().into_bytes();
        }
        let first = self.rng.next();
        (0..len).map(|at| (first as usize + at * 31) as u8).collect()
    }

    fn meta(&mut self) -> Meta {
        let flags = if self.rng.one_in(3) { self.rng.next() as u32 } else { 0 };
        let expiry = match self.rng.below(6) {
            0 => Expiry::PAST,
            1..3 => Expiry(self.now.0 + 1 + self.rng.below(20) as u32),
            _ => Expiry::NEVER,
        };
        Meta { flags, expiry, is_binary_key: self.rng.one_in(4) }
    }

    /// The entry that a client would see; forgets one that has expired.
    fn living(&mut self, key: &[u8]) -> Option<Entry> {
        if self.entries.get(key)?.expiry.passed(self.now) {
            self.entries.remove(key);
        }
        self.entries.get(key).cloned()
    }

    /// Takes note that the store has no such item: right if it may have been evicted.
    fn must_be_absent(&mut self, key: &[u8]) {
        if let Some(entry) = self.living(key) {
            // Reclaimed as expired before the clock was set back, or evicted.
            let may_be_gone = entry.expiry.passed(self.latest) || self.store.totals().evictions > 0;
            assert!(may_be_gone, "lost {:?} {entry:?}", String::from_utf8_lossy(key));
            self.entries.remove(key);
        }
    }

    fn get(&mut self) {
        let key = self.key();
        let seen = self.store.get(&self.store.key(&key), self.now, |hit| Entry::of(hit));
        match seen {
            Ok(entry) => assert_eq!(Some(entry), self.living(&key)),
            Err(_) => self.must_be_absent(&key),
        }
    }

    fn check_refusal(&self) {
        let is_held = !self.pinned.is_empty() || !self.uploads.is_empty();
        assert!(!self.case.evictions || is_held, "refused though everything could go");
    }

    fn delete(&mut self) {
        let key = self.key();
        match self.store.delete(&self.store.key(&key), None, self.now) {
            Ok(()) => assert!(self.living(&key).is_some()),
            Err(_) => self.must_be_absent(&key),
        }
        self.entries.remove(&key);
    }

    fn touch(&mut self) {
        let (key, expiry) = (self.key(), self.meta().expiry);
        match self.store.touch(&self.store.key(&key), expiry, self.now) {
            Ok(()) => {
                assert!(self.living(&key).is_some());
                self.entries.entry(key).and_modify(|entry| entry.expiry = expiry);
            }
            Err(_) => self.must_be_absent(&key),
        }
    }

    fn begin_upload(&mut self) {
        if self.uploads.len() == 3 {
            return;
        }
        let (key, value, meta) = (self.key(), self.value(), self.meta());
        let terms = self.terms(&key);
        match self.store.reserve(&terms, &self.store.key(&key), meta, value.len(), self.now) {
            Ok(upload) => self.uploads.push(Upcoming { upload, terms, key, meta, value }),
            Err(Refusal::NoMemory) => self.check_refusal(),
            Err(Refusal::TooLarge) => {}
        }
    }

    fn go_on_uploading(&mut self) {
        if self.uploads.is_empty() {
            return;
        }
        let number = self.rng.below(self.uploads.len());
        if self.rng.one_in(8) {
            self.uploads.swap_remove(number);
            return;
        }
        let Upcoming { upload, value, .. } = &mut self.uploads[number];
        let done = value.len() - upload.remaining();
        let part = self.rng.below(upload.remaining() + 1);
        let part = if self.rng.one_in(2) { upload.remaining() } else { part };
        if self.rng.one_in(2) {
            match upload.fill(&value[done..done + part], self.now) {
                Ok(taken) => assert_eq!(taken, part),
                Err(_) => {
                    self.uploads.swap_remove(number);
                    return self.check_refusal();
                }
            }
        } else {
            let mut given = &value[done..done + part];
            for slice in &mut upload.spare() {
                let len = slice.len().min(given.len());
                slice[..len].copy_from_slice(&given[..len]);
                given = &given[len..];
            }
            upload.advance(part - given.len());
        }
        if upload.remaining() == 0 {
            let Upcoming { upload, terms, key, meta, value } = self.uploads.swap_remove(number);
            match self.store.commit(upload, &terms, self.now) {
                Ok(outcome) => self.applied(&terms, &key, meta, value, outcome),
                Err(_) => self.check_refusal(),
            }
        }
    }

    fn pin_or_unpin(&mut self) {
        if self.pinned.len() == 4 || (self.rng.one_in(2) && !self.pinned.is_empty()) {
            let number = self.rng.below(self.pinned.len());
            self.pinned.swap_remove(number);
            return;
        }
        let key = self.key();
        if let Ok(value) = self.store.get(&self.store.key(&key), self.now, |hit| hit.pin()) {
            let entry = self.living(&key).unwrap();
            self.pinned.push((value, entry.value));
        }
    }

    fn check_pins(&mut self) {
        for (value, want) in &mut self.pinned {
            let got: Vec<u8> = {
                let mut slices = ArrayVec::new();
                value.slices(&mut slices);
                slices.iter().flat_map(|slice| slice.to_vec()).collect()
            };
            assert_eq!(got, *want, "a pinned value has changed");
            if self.rng.one_in(4) {
                let sent = self.rng.below(want.len() + 1);
                value.advance(sent);
                want.drain(..sent);
            }
        }
    }

    fn pass_time(&mut self) {
        self.now.0 += self.rng.below(4) as u32;
        if self.rng.one_in(50) {
            // The clock set back: expiries lie further ahead again, nothing else changes.
            self.now.0 -= self.rng.below(3) as u32;
        }
        self.latest = self.latest.max(self.now);
        self.store.flush_if_due(self.now);
        if self.flush_due != 0 && self.flush_due <= self.now.0 {
            self.flush_due = 0;
            self.entries.clear();
        }
        if self.rng.one_in(2) {
            while self.store.maintain(self.now) {
                validate(&self.store);
            }
        }
        if self.rng.one_in(20) {
            let part = 12 + self.rng.below(5);
            self.store.set_memory_limit(self.case.memory_bytes * part / 16);
        }
        if self.rng.one_in(4) {
            self.move_a_page();
        }
        if self.rng.one_in(20) {
            self.walk();
        }
    }

    /// `slabs reassign` and its like at any moment.
    fn move_a_page(&mut self) {
        let [src, dst] = [0; 2].map(|_| self.rng.below(40) as i32 - 1);
        let (before, evictions) = (self.store.totals(), self.case.evictions);
        let moved = self.store.reassign(src, dst, self.now);
        let after = self.store.totals();
        assert_eq!(moved.is_ok(), after.slabs_moved > before.slabs_moved);
        assert!(evictions || after.evictions == 0);
        self.store.set_automove(self.rng.one_in(2));
        if self.rng.one_in(4) {
            self.store.crawl(|class| class % 2 == 0);
        }
    }

    /// Every item that can be had is shown once by either walk, and no other.
    fn walk(&mut self) {
        let mut seen = Vec::new();
        let mut walk = Walk::default();
        let mut see = |item: &walk::Entry<'_>| seen.push((item.key().to_vec(), item.cas()));
        while self.store.walk(&mut walk, self.now, &mut see) {}
        let mut by_class = Vec::new();
        for class in 0..=u8::MAX {
            let mut walk = ClassWalk::new(class);
            let mut see = |item: &walk::Entry<'_>| {
                assert_eq!(item.class(), class);
                by_class.push((item.key().to_vec(), item.cas()));
                true
            };
            while self.store.walk_class(&mut walk, self.now, &mut see) {}
        }
        seen.sort();
        by_class.sort();
        assert_eq!(seen, by_class);
        for (key, cas) in &seen {
            assert_eq!(self.living(key).map(|entry| entry.cas), Some(*cas));
        }
        // What has expired is not seen, but is still there should the clock be set back.
        let entries = self.entries.iter().filter(|(_, entry)| !entry.expiry.passed(self.now));
        let keys: Vec<Vec<u8>> = entries.map(|(key, _)| key.clone()).collect();
        for key in keys {
            if seen.binary_search_by(|(seen, _)| seen.cmp(&key)).is_err() {
                self.must_be_absent(&key);
            }
        }
    }

    fn flush(&mut self) {
        if !self.rng.one_in(40) {
            return;
        }
        if self.rng.one_in(2) {
            self.flush_due = self.now.0 + 1 + self.rng.below(5) as u32;
            self.store.flush_at(Secs(self.flush_due));
        } else {
            self.store.flush(self.now);
            self.flush_due = 0;
            self.entries.clear();
        }
    }
}

pub(super) fn options(memory_bytes: usize, item_size_max: usize, evictions: bool) -> Options {
    Options {
        memory_bytes,
        item_size_max,
        growth_factor: 1.04,
        chunk_space_min: 12,
        evictions,
        cas: true,
        large_pages: false,
        crawler: true,
        automove: true,
        temporary_ttl: Some(10),
        track_sizes: true,
        threads: 2,
    }
}

fn steps() -> usize {
    std::env::var("NUTHATCH_MODEL_STEPS")
        .ok()
        .and_then(|steps| steps.parse().ok())
        .unwrap_or(20_000)
}

fn run(case: Case, salt: u64) {
    let seed = std::env::var("NUTHATCH_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| std::hash::BuildHasher::hash_one(&ahash::RandomState::new(), salt) | 1);
    eprintln!("NUTHATCH_SEED={seed}");
    let mut model = Model::new(case, seed);
    for _ in 0..steps() {
        model.step();
    }
    let Model { store, pinned, uploads, now, .. } = model;
    drop((pinned, uploads));
    store.flush(now);
    while store.maintain(now) {}
    validate(&store);
    assert_eq!(held_items(&store), 0, "a flush and a sweep leave nothing");
    assert_eq!(store.totals().curr_items, 0);
    assert_eq!(store.totals().bytes, 0);
}

const TINY: Case = Case {
    memory_bytes: 12 * SMALL_PAGE_BYTES,
    page_bytes: SMALL_PAGE_BYTES,
    shards: 1,
    item_size_max: 40_000,
    evictions: true,
    keys: 400,
    value_len_max: 45_000,
};

#[test]
fn model_with_evictions_at_every_turn() {
    run(TINY, 1);
}

#[test]
fn model_of_shards_that_lend_each_other_pages() {
    run(
        Case {
            memory_bytes: 48 * SMALL_PAGE_BYTES,
            shards: 4,
            value_len_max: 100_000,
            item_size_max: 110_000,
            ..TINY
        },
        5,
    );
}

#[test]
fn model_without_evictions() {
    run(Case { evictions: false, ..TINY }, 2);
}

/// With classes for pieces alone.
#[test]
fn model_of_large_pages_and_large_values() {
    run(
        Case {
            memory_bytes: 24 * LARGE_PAGE_BYTES,
            page_bytes: LARGE_PAGE_BYTES,
            value_len_max: 400_000,
            item_size_max: 380_000,
            keys: 100,
            ..TINY
        },
        6,
    );
}

#[test]
fn model_with_room_to_spare() {
    run(Case { memory_bytes: 128 * SMALL_PAGE_BYTES, keys: 100, value_len_max: 8_000, ..TINY }, 3);
}

#[test]
fn model_of_many_small_items_and_a_growing_index() {
    run(Case { memory_bytes: 24 * SMALL_PAGE_BYTES, keys: 20_000, value_len_max: 30, ..TINY }, 4);
}

/// Whatever memcached takes, though the shards were made for more; ghosts go with the limit.
#[test]
fn a_limit_can_be_lowered_as_far_as_memcached_lets_it() {
    for memory_bytes in [64 << 20, 1 << 30, 64 << 30] {
        let options = Options { threads: 4, ..options(memory_bytes, 1 << 20, true) };
        let store = Store::of_shape(&options, &Shape::of(&options), Hasher::seeded(1)).unwrap();
        for limit in [8 << 20, memory_bytes, 8 << 20] {
            assert!(store.set_memory_limit(limit));
            let ghosts = store.shards.iter().map(|shard| shard.lock().ghosts.bytes()).sum();
            assert!((limit / 200..=limit / 64).contains(&ghosts), "{ghosts} bytes");
            for number in 0..50_000u32 {
                let key = number.to_string();
                let (key, meta) = (store.key(key.as_bytes()), Meta::default());
                store.store(&Terms::default(), &key, meta, &[b'x'; 1000], Secs(100)).unwrap();
            }
            while store.maintain(Secs(100)) {}
            let pages: usize = store.shards.iter().map(|shard| shard.lock().pages_held).sum();
            let least = store.shards.len() * PAGES_PER_SHARD_LEAST;
            assert!(pages <= least.max((limit * 5 / 4) / store.arena.page_bytes()));
        }
        validate(&store);
    }
}

/// An index that has outgrown a lowered limit gives pages back, of spill buckets too, until it holds a
/// third of what makes it grow: 64 bytes for 8.5 / 3 items. So items find room again.
#[test]
fn a_lowered_limit_shrinks_the_index() {
    let options = options(64 << 20, 1 << 20, true);
    let store = Store::of_shape(&options, &Shape::of(&options), Hasher::seeded(1)).unwrap();
    let meta = Meta::default();
    for number in 0..1_000_000u32 {
        let key = number.to_string();
        store.store(&Terms::default(), &store.key(key.as_bytes()), meta, b"", Secs(100)).unwrap();
    }
    assert!(store.set_memory_limit(8 << 20));
    for second in 101..105 {
        while store.maintain(Secs(second)) {}
    }
    let totals = store.totals();
    assert!(totals.curr_items > 160_000, "{totals:?}");
    // Beside the buckets: in each shard a main page that is not full, and what spill buckets lie in.
    let bucket_bytes = totals.curr_items * 64 * 6 / 17;
    let pages_bytes = (2 * store.shards.len() * store.arena.page_bytes()) as u64;
    assert!(totals.hash_bytes <= bucket_bytes + pages_bytes, "{totals:?}");
    validate(&store);
}
