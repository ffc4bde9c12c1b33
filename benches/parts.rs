//! Index and slab of one shard, without items.
#![forbid(unsafe_code)]

#[allow(dead_code, reason = "each bench uses a part of it")]
mod kit;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nuthatch::store::bench::{BareIndex, BareSlab};

use kit::STEP;

/// Splitmix64's last step: bits as good as a hash's.
fn hash(number: u32) -> u64 {
    let mut mixed = u64::from(number).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Numbers from 1 to `count`, in a scattered order.
fn scattered(count: usize) -> impl FnMut() -> u32 {
    let mut at = 0;
    move || {
        at = (at + STEP) % count;
        at as u32 + 1
    }
}

fn index(c: &mut Criterion) {
    let mut group = c.benchmark_group("index");
    group.throughput(Throughput::Elements(1));
    for (count, memory_mb) in kit::sizes() {
        let mut index = BareIndex::new(memory_mb << 20);
        (1..=count as u32).for_each(|number| index.insert(number, hash));
        let mut next = scattered(count);
        group.bench_function(BenchmarkId::new("hit", count), |b| {
            b.iter(|| {
                let number = next();
                index.find(number, hash(black_box(number)))
            });
        });
        let mut next = scattered(count);
        group.bench_function(BenchmarkId::new("miss", count), |b| {
            b.iter(|| {
                let number = next() + count as u32;
                index.find(number, hash(black_box(number)))
            });
        });
        let mut next = scattered(count);
        group.bench_function(BenchmarkId::new("remove and insert", count), |b| {
            b.iter(|| {
                let number = next();
                index.remove(number, hash(black_box(number)));
                index.insert(number, hash);
            });
        });
    }
    group.finish();
}

fn slab(c: &mut Criterion) {
    let mut group = c.benchmark_group("slab");
    group.throughput(Throughput::Elements(1));
    let mut slab = BareSlab::new(16 << 20, 128);
    group.bench_function("take and give the same", |b| {
        b.iter(|| {
            let chunk = slab.take().expect("a free one");
            slab.give(black_box(chunk));
        });
    });
    // Chunks change places, as they do once items come and go.
    let mut taken = Vec::new();
    while let Some(chunk) = slab.take() {
        taken.push(chunk);
    }
    let mut at = 0;
    let other = taken.pop().expect("a chunk");
    slab.give(other);
    group.bench_function("take one and give another", |b| {
        b.iter(|| {
            at = (at + STEP) % taken.len();
            let chunk = slab.take().expect("a free one");
            slab.give(std::mem::replace(&mut taken[at], chunk));
        });
    });
    group.finish();
}

criterion_group! { name = benches; config = kit::criterion(); targets = index, slab }
criterion_main!(benches);
