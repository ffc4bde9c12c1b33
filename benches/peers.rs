//! The store beside caches that others have made, in one process and on one thread: get, set and
//! a set that evicts, at as many items of as many bytes.
//!
//! What differs beside the figures: segcache and ours copy a value in, and a hit copies it out to a
//! buffer; quick_cache and moka hold a value that was allocated by its owner and hand out a share of
//! it, so that their set allocates and their get copies nothing. Only ours and segcache hold memory to
//! a limit with all that an item costs; the other two are given the weight of as many items as ours
//! has room for, and no memory of theirs beside keys and values is counted. moka evicts in batches.
#![forbid(unsafe_code)]

#[allow(dead_code, reason = "each bench uses a part of it")]
mod kit;

use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nuthatch::store::{Store, Terms};
use quick_cache::Weighter;
use segcache::{Policy, Segcache, Value};

use kit::script::KEY_LEN;
use kit::{META, NOW, STEP, VALUE, keys, store};

type Key = [u8; KEY_LEN];

/// What is asked of each.
trait Cache {
    const NAME: &'static str;

    /// One with room for `items`, which take `memory_mb` in ours.
    fn with_room(items: usize, memory_mb: usize) -> Self;

    fn set(&self, key: &Key);

    /// Whether it is there; then its value is in `out`, or looked at.
    fn get(&self, key: &Key, out: &mut Vec<u8>) -> bool;
}

struct Ours(Arc<Store>);

impl Cache for Ours {
    const NAME: &'static str = "nuthatch";

    fn with_room(_: usize, memory_mb: usize) -> Ours {
        Ours(store(memory_mb))
    }

    fn set(&self, key: &Key) {
        let stored = self.0.store(&Terms::default(), &self.0.key(key), META, &VALUE, NOW);
        assert!(stored.is_ok());
    }

    fn get(&self, key: &Key, out: &mut Vec<u8>) -> bool {
        self.0.get(&self.0.key(key), NOW, |hit| hit.copy_to(out)).is_ok()
    }
}

impl Cache for Segcache {
    const NAME: &'static str = "segcache";

    /// Twice as many slots as items, since buckets that overflow refuse; the default policy but for its
    /// merging, which is what its authors recommend.
    fn with_room(items: usize, memory_mb: usize) -> Segcache {
        let hash_power = (2 * items).next_power_of_two().ilog2() as u8;
        Segcache::builder()
            .hash_power(hash_power)
            .heap_size(memory_mb << 20)
            .segment_size(1 << 20)
            .eviction(Policy::Merge { max: 8, merge: 4, compact: 2 })
            .build()
            .expect("memory can be reserved")
    }

    fn set(&self, key: &Key) {
        // It may refuse one whose bucket is full.
        let _ = black_box(self.insert(key, &VALUE, None, Duration::ZERO));
    }

    fn get(&self, key: &Key, out: &mut Vec<u8>) -> bool {
        match Segcache::get(self, key) {
            Some(item) => {
                if let Value::Bytes(bytes) = item.value() {
                    out.extend_from_slice(bytes);
                }
                true
            }
            None => false,
        }
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<[u8]>> for Weight {
    fn weight(&self, key: &Key, value: &Arc<[u8]>) -> u64 {
        (key.len() + value.len()) as u64
    }
}

const ITEM_BYTES: usize = KEY_LEN + VALUE.len();

type QuickCache = quick_cache::sync::Cache<Key, Arc<[u8]>, Weight>;

impl Cache for QuickCache {
    const NAME: &'static str = "quick_cache";

    fn with_room(items: usize, _: usize) -> Self {
        Self::with_weighter(items, (items * ITEM_BYTES) as u64, Weight)
    }

    fn set(&self, key: &Key) {
        self.insert(*key, Arc::from(&VALUE[..]));
    }

    fn get(&self, key: &Key, out: &mut Vec<u8>) -> bool {
        self.get(key).is_some_and(|value| black_box(&value).len() > out.len())
    }
}

type MokaCache = moka::sync::Cache<Key, Arc<[u8]>>;

impl Cache for MokaCache {
    const NAME: &'static str = "moka";

    fn with_room(items: usize, _: usize) -> Self {
        Self::builder()
            .weigher(|key: &Key, value: &Arc<[u8]>| (key.len() + value.len()) as u32)
            .max_capacity((items * ITEM_BYTES) as u64)
            .build()
    }

    fn set(&self, key: &Key) {
        self.insert(*key, Arc::from(&VALUE[..]));
    }

    fn get(&self, key: &Key, out: &mut Vec<u8>) -> bool {
        self.get(key).is_some_and(|value| black_box(&value).len() > out.len())
    }
}

/// Gets and sets of items that all have room.
fn with_room_for_all<C: Cache>(c: &mut Criterion, memory_mb: usize, all: &[Key]) {
    let cache = C::with_room(room(memory_mb), memory_mb);
    all.iter().for_each(|key| cache.set(key));
    let mut out = Vec::with_capacity(4096);
    let mut is_hit = |key| {
        out.clear();
        cache.get(key, &mut out)
    };
    let hits = all.iter().filter(|key| is_hit(key)).count();
    assert!(hits * 100 >= all.len() * 95, "{}: {hits} of {} are there", C::NAME, all.len());
    let mut group = c.benchmark_group(format!("peers, {} items of 16+100", all.len()));
    group.throughput(Throughput::Elements(1));
    let mut at = 0;
    group.bench_function(BenchmarkId::new("get", C::NAME), |b| {
        b.iter(|| {
            at = (at + STEP) % all.len();
            is_hit(black_box(&all[at]))
        });
    });
    group.bench_function(BenchmarkId::new("set", C::NAME), |b| {
        b.iter(|| {
            at = (at + STEP) % all.len();
            cache.set(black_box(&all[at]));
        });
    });
    group.finish();
}

/// Sets of so many keys that each has been evicted when its turn comes again.
fn without_room<C: Cache>(c: &mut Criterion, memory_mb: usize, all: &[Key]) {
    let cache = C::with_room(room(memory_mb), memory_mb);
    all.iter().for_each(|key| cache.set(key));
    let mut group = c.benchmark_group(format!("peers, {memory_mb} MB full of 16+100"));
    group.throughput(Throughput::Elements(1));
    let mut at = 0;
    group.bench_function(BenchmarkId::new("set", C::NAME), |b| {
        b.iter(|| {
            at = (at + 1) % all.len();
            cache.set(black_box(&all[at]));
        });
    });
    group.finish();
}

const FULL_MB: usize = 64;
const FULL_KEYS: usize = 2_000_000;

/// How many items ours has room for.
fn room(memory_mb: usize) -> usize {
    static ITEMS: OnceLock<usize> = OnceLock::new();
    let items = ITEMS.get_or_init(|| {
        let store = store(FULL_MB);
        kit::fill(&store, &keys(1_000_000));
        store.totals().curr_items as usize
    });
    items * memory_mb / FULL_MB
}

fn peers(c: &mut Criterion) {
    for (count, memory_mb) in kit::sizes() {
        let all = keys(count);
        with_room_for_all::<Ours>(c, memory_mb, &all);
        with_room_for_all::<Segcache>(c, memory_mb, &all);
        with_room_for_all::<QuickCache>(c, memory_mb, &all);
        with_room_for_all::<MokaCache>(c, memory_mb, &all);
    }
    let all = keys(FULL_KEYS);
    without_room::<Ours>(c, FULL_MB, &all);
    without_room::<Segcache>(c, FULL_MB, &all);
    without_room::<QuickCache>(c, FULL_MB, &all);
    without_room::<MokaCache>(c, FULL_MB, &all);
}

criterion_group! { name = benches; config = kit::criterion(); targets = peers }
criterion_main!(benches);
