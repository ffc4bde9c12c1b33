//! Many random steps, a walk over everything after each.
//!
//! `NUTHATCH_SEED` repeats a run, `NUTHATCH_MODEL_STEPS` sets how many steps each shape takes.

use super::super::shape::LARGE_PAGE_BYTES;
use super::*;

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
    let mut model = Model::new(case, seed, Choices::seeded(seed));
    for _ in 0..steps() {
        model.step();
        validate(&model.store);
    }
    model.end();
}

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
