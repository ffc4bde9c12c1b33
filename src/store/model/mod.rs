//! The store beside a naive map: operations of somebody's choice, a false clock, a tiny arena, and a walk
//! over everything.
//!
//! For tests, which choose at random and walk after each step, and for `crate::fuzz`, where the input of an
//! execution chooses. Nothing else uses it.
#![forbid(unsafe_code)]

mod choices;
mod meta;
mod storing;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::item::CAS_NARROW_MAX;
use super::shape::SMALL_PAGE_BYTES;
use super::validate::{held_items, validate};
use super::*;
use crate::buf::Region;
use choices::Choices;

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
    choices: Choices,
    case: Case,
}

impl Model {
    fn new(case: Case, seed: u64, choices: Choices) -> Model {
        let options = options(case.memory_bytes, case.item_size_max, case.evictions);
        let shape = Shape {
            page_bytes: case.page_bytes,
            shards: case.shards,
            ghost_sets: 8,
            arena_bytes: case.memory_bytes,
            reserved_max_bytes: case.memory_bytes,
        };
        Model {
            store: Store::of_shape(&options, &shape, Hasher::seeded(seed)).expect("memory"),
            entries: HashMap::new(),
            pinned: Vec::new(),
            uploads: Vec::new(),
            flush_due: 0,
            now: Secs(100),
            latest: Secs(100),
            choices,
            case,
        }
    }

    fn step(&mut self) {
        match self.choices.below(22) {
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
    }

    /// Lets go of everything and empties the store: nothing is left in it.
    fn end(self) {
        let Model { store, pinned, uploads, now, .. } = self;
        drop((pinned, uploads));
        check_nothing_is_left(&store, now);
    }

    fn key(&mut self) -> Vec<u8> {
        let number = self.choices.below(self.case.keys);
        let mut key = format!("key-{number}-").into_bytes();
        key.resize(1 + number * 7 % KEY_LEN_MAX, b'k');
        key.extend_from_slice(number.to_string().as_bytes());
        key.truncate(KEY_LEN_MAX);
        key
    }

    fn value(&mut self) -> Vec<u8> {
        let len = match self.choices.below(10) {
            0 => 0,
            1..7 => self.choices.below(300),
            7..9 => self.choices.below(3000),
            _ => self.choices.below(self.case.value_len_max),
        };
        if self.choices.one_in(4) {
            return (self.choices.next() >> self.choices.below(64)).to_string().into_bytes();
        }
        let first = self.choices.next();
        (0..len).map(|at| (first as usize + at * 31) as u8).collect()
    }

    fn meta(&mut self) -> Meta {
        let flags = if self.choices.one_in(3) { self.choices.next() as u32 } else { 0 };
        let expiry = match self.choices.below(6) {
            0 => Expiry::PAST,
            1..3 => Expiry(self.now.0 + 1 + self.choices.below(20) as u32),
            _ => Expiry::NEVER,
        };
        Meta { flags, expiry, is_binary_key: self.choices.one_in(4) }
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
        let number = self.choices.below(self.uploads.len());
        if self.choices.one_in(8) {
            self.uploads.swap_remove(number);
            return;
        }
        let Upcoming { upload, value, .. } = &mut self.uploads[number];
        let done = value.len() - upload.remaining();
        let part = self.choices.below(upload.remaining() + 1);
        let part = if self.choices.one_in(2) { upload.remaining() } else { part };
        if self.choices.one_in(2) {
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
        if self.pinned.len() == 4 || (self.choices.one_in(2) && !self.pinned.is_empty()) {
            let number = self.choices.below(self.pinned.len());
            self.pinned.swap_remove(number);
            return;
        }
        let key = self.key();
        if let Ok(value) = self.store.get(&self.store.key(&key), self.now, |hit| hit.pin()) {
            let entry = self.living(&key).expect("what is pinned was had");
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
            if self.choices.one_in(4) {
                let sent = self.choices.below(want.len() + 1);
                value.advance(sent);
                want.drain(..sent);
            }
        }
    }

    fn pass_time(&mut self) {
        self.now.0 += self.choices.below(4) as u32;
        if self.choices.one_in(50) {
            // The clock set back: expiries lie further ahead again, nothing else changes.
            self.now.0 -= self.choices.below(3) as u32;
        }
        self.latest = self.latest.max(self.now);
        self.store.flush_if_due(self.now);
        if self.flush_due != 0 && self.flush_due <= self.now.0 {
            self.flush_due = 0;
            self.entries.clear();
        }
        if self.choices.one_in(2) {
            while self.store.maintain(self.now) {
                validate(&self.store);
            }
        }
        if self.choices.one_in(20) {
            let part = 12 + self.choices.below(5);
            self.store.set_memory_limit(self.case.memory_bytes * part / 16);
        }
        if self.choices.one_in(4) {
            self.move_a_page();
        }
        if self.choices.one_in(20) {
            self.walk();
        }
    }

    /// `slabs reassign` and its like at any moment.
    fn move_a_page(&mut self) {
        let [src, dst] = [0; 2].map(|_| self.choices.below(40) as i32 - 1);
        let (before, evictions) = (self.store.totals(), self.case.evictions);
        let moved = self.store.reassign(src, dst, self.now);
        let after = self.store.totals();
        assert_eq!(moved.is_ok(), after.slabs_moved > before.slabs_moved);
        assert!(evictions || after.evictions == 0);
        self.store.set_automove(self.choices.one_in(2));
        if self.choices.one_in(4) {
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
        if !self.choices.one_in(40) {
            return;
        }
        if self.choices.one_in(2) {
            self.flush_due = self.now.0 + 1 + self.choices.below(5) as u32;
            self.store.flush_at(Secs(self.flush_due));
        } else {
            self.store.flush(self.now);
            self.flush_due = 0;
            self.entries.clear();
        }
    }
}

/// Lets what `data` says happen to a tiny store: its first byte says what kind of store, all others what
/// happens. Panics where the store and the map differ, or where the store is not in order.
pub(crate) fn operate(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let case = SMALL[usize::from(*kind) % SMALL.len()];
    let mut model = Model::new(case, 1, Choices::given(data));
    for number in 1.. {
        if model.choices.is_over() {
            break;
        }
        model.step();
        if number % STEPS_A_WALK == 0 {
            validate(&model.store);
        }
    }
    model.end();
}

/// A store for sessions of `crate::fuzz`: keys are hashed by a known seed, so that everything is the same
/// each time. What the bytes of a conversation of some kilobytes hold fits with room to spare, unless it is
/// `cramped`: then there is room for hardly anything.
pub(crate) fn store_for_sessions(cas: bool, cramped: bool) -> Arc<Store> {
    let (memory_bytes, item_size_max) =
        if cramped { (192 << 10, 40_000) } else { (4 << 20, 1 << 20) };
    let options = Options { cas, ..options(memory_bytes, item_size_max, true) };
    let shards = if cramped { 1 } else { 2 };
    let shape = Shape {
        page_bytes: SMALL_PAGE_BYTES,
        shards,
        ghost_sets: 8,
        arena_bytes: memory_bytes,
        // A `cache_memlimit` can raise it somewhat.
        reserved_max_bytes: 16 << 20,
    };
    Store::of_shape(&options, &shape, Hasher::seeded(1)).expect("memory")
}

/// Empties a store that nobody uses any more, and checks that nothing is left in it.
pub(crate) fn check_nothing_is_left(store: &Arc<Store>, now: Secs) {
    validate(store);
    store.set_crawler(true);
    store.flush(now);
    // A round that was under way goes on; the one that was asked for may be that of the next second.
    for now in [now, Secs(now.0 + 1)] {
        while store.maintain(now) {}
    }
    validate(store);
    assert_eq!(held_items(store), 0, "a flush and a sweep leave nothing");
    assert_eq!((store.totals().curr_items, store.totals().bytes), (0, 0));
    assert_eq!(store.uploading_bytes(), 0);
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

const TINY: Case = Case {
    memory_bytes: 12 * SMALL_PAGE_BYTES,
    page_bytes: SMALL_PAGE_BYTES,
    shards: 1,
    item_size_max: 40_000,
    evictions: true,
    keys: 400,
    value_len_max: 45_000,
};

/// Without evictions, several shards, many small items.
const SMALL: [Case; 4] = [
    TINY,
    Case { evictions: false, ..TINY },
    Case { memory_bytes: 48 * SMALL_PAGE_BYTES, shards: 4, ..TINY },
    Case { keys: 20_000, value_len_max: 30, ..TINY },
];

/// A walk takes as long as many steps.
const STEPS_A_WALK: usize = 32;
