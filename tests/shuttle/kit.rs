//! Runs models, and what they have in common: small stores, and values that say which they are.

use std::env;
use std::sync::Arc;
use std::time::Instant;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner};

use crate::clock::Secs;
use crate::store::{Meta, Options, Outcome, Refusal, Store, Terms};

pub(crate) const NOW: Secs = Secs(100);

/// Orders that each model is tried in by each of two schedulers, where nothing else is said.
const ORDERS: usize = 400;

/// Places in an order at which a thread is made to wait although it could go on, at the most.
const PCT_DEPTH: usize = 4;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}: {value}")))
}

/// Tries many orders of what `body` and the threads that it starts do. Half of them are drawn step by
/// step; in the others each thread runs as far as it can but at a few places.
pub(crate) fn model(body: impl Fn() + Send + Sync + 'static) {
    let body = Arc::new(body);
    let orders = number("NUTHATCH_SHUTTLE_ORDERS").map_or(ORDERS, |orders| orders as usize);
    let seed = number("NUTHATCH_SEED").unwrap_or(8);
    run(RandomScheduler::new_from_seed(seed, orders), &body);
    run(PctScheduler::new_from_seed(seed, PCT_DEPTH, orders), &body);
}

fn run(scheduler: impl Scheduler + 'static, body: &Arc<impl Fn() + Send + Sync + 'static>) {
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::Print;
    config.stack_size = 1 << 18;
    // Which orders are weaker is not what these models are about.
    config.silence_warnings = true;
    let body = Arc::clone(body);
    Runner::new(scheduler, config).run(move || body());
}

/// Runs models and says how long each took.
#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "its own harness")]
pub(crate) fn report<'a>(models: impl Iterator<Item = &'a (&'a str, fn())>) {
    for (name, run) in models {
        let began = Instant::now();
        run();
        println!("model {name} ... ok, {} ms", began.elapsed().as_millis());
    }
}

/// A store of 2 MiB, which is full after a few large values.
pub(crate) fn store() -> Arc<Store> {
    let options = Options {
        memory_bytes: 2 << 20,
        item_size_max: 1 << 20,
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
    Store::new(&options).expect("memory")
}

/// `len` bytes, of which each eight say where they are and which value they are of.
pub(crate) fn value(version: u32, len: usize) -> Vec<u8> {
    let words =
        (0..len.div_ceil(8)).flat_map(|at| (u64::from(version) << 32 | at as u64).to_le_bytes());
    words.take(len).collect()
}

pub(crate) fn set(store: &Store, key: &[u8], value: &[u8], now: Secs) -> Result<Outcome, Refusal> {
    store.store(&Terms::default(), &store.key(key), Meta::default(), value, now)
}

/// The value of a key, if it is there.
pub(crate) fn get(store: &Arc<Store>, key: &[u8], now: Secs) -> Option<Vec<u8>> {
    let copied = store.get(&store.key(key), now, |hit| {
        let mut bytes = Vec::new();
        hit.copy_to(&mut bytes);
        bytes
    });
    copied.ok()
}
