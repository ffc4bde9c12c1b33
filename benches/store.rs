//! The store alone, one thread: what a request costs beside parsing and sockets.
//!
//! `cargo bench --bench store`; `-- --test` runs each once. Keys are asked for in a fixed scattered
//! order, so that the large sizes miss the CPU cache as real traffic does.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nuthatch::clock::{Expiry, Secs};
use nuthatch::store::{Meta, Options, Store, Terms};

const NOW: Secs = Secs(100);
const META: Meta = Meta { flags: 0, expiry: Expiry::NEVER, is_binary_key: false };
const VALUE: [u8; 100] = [b'v'; 100];

/// A prime, so that a walk in steps of it visits every key of the sizes used here.
const STEP: usize = 1_000_003;

fn store(memory_mb: usize) -> Arc<Store> {
    let options = Options {
        memory_bytes: memory_mb << 20,
        item_size_max: 1 << 20,
        growth_factor: 1.04,
        chunk_space_min: 12,
        evictions: true,
        cas: true,
        large_pages: false,
        crawler: true,
        automove: true,
        temporary_ttl: None,
        track_sizes: false,
        threads: 1,
    };
    Store::new(&options).expect("memory can be reserved")
}

fn keys(count: usize) -> Vec<[u8; 16]> {
    (0..count)
        .map(|number| {
            let text = format!("key-{number:012}");
            text.into_bytes().try_into().expect("16 bytes")
        })
        .collect()
}

fn fill(store: &Store, keys: &[[u8; 16]]) {
    for key in keys {
        let stored = store.store(&Terms::default(), &store.key(key), META, &VALUE, NOW);
        assert!(stored.is_ok());
    }
}

fn get(c: &mut Criterion) {
    let mut group = c.benchmark_group("get 16+100");
    group.throughput(Throughput::Elements(1));
    for (count, memory_mb) in [(100_000, 64), (4_000_000, 1024)] {
        let (store, keys) = (store(memory_mb), keys(count));
        fill(&store, &keys);
        let mut out = Vec::with_capacity(4096);
        let mut at = 0;
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                at = (at + STEP) % count;
                out.clear();
                let hit = store.get(&store.key(&keys[at]), NOW, |hit| hit.copy_to(&mut out));
                assert!(black_box(hit).is_ok());
            });
        });
    }
    group.finish();
}

fn set(c: &mut Criterion) {
    let mut group = c.benchmark_group("set 16+100");
    group.throughput(Throughput::Elements(1));
    for (name, count, memory_mb) in [("in place", 100_000, 64), ("evicting", 4_000_000, 64)] {
        let (store, keys) = (store(memory_mb), keys(count));
        fill(&store, &keys);
        let mut at = 0;
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                at = (at + STEP) % count;
                store.store(&Terms::default(), &store.key(&keys[at]), META, black_box(&VALUE), NOW)
            });
        });
    }
    group.finish();
}

fn miss(c: &mut Criterion) {
    let (store, keys) = (store(64), keys(200_000));
    fill(&store, &keys[..100_000]);
    let mut at = 0;
    c.bench_function("miss 16", |b| {
        b.iter(|| {
            at = (at + STEP) % 100_000;
            store.get(&store.key(&keys[100_000 + at]), NOW, |_| ())
        });
    });
}

criterion_group!(benches, get, set, miss);
criterion_main!(benches);
