//! The store alone, one thread: what a request costs beside parsing and sockets.
//!
//! `cargo bench --bench store`; `-- --test` runs each once. Keys are asked for in a fixed scattered
//! order, so that many items (`NUTHATCH_BENCH_LARGE=1`) miss the CPU cache as real traffic does.
#![forbid(unsafe_code)]

#[allow(dead_code, reason = "each bench uses a part of it")]
mod kit;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nuthatch::store::Terms;

use kit::{META, NOW, STEP, VALUE, fill, keys, store};

fn get(c: &mut Criterion) {
    let mut group = c.benchmark_group("get 16+100");
    group.throughput(Throughput::Elements(1));
    for (count, memory_mb) in kit::sizes() {
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
    for (name, count, memory_mb) in [("in place", 100_000, 64), ("evicting", 1_000_000, 64)] {
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

criterion_group! { name = benches; config = kit::criterion(); targets = get, set, miss }
criterion_main!(benches);
