//! What benches share: the daemon's own options, keys, a server without sockets and its client,
//! and requests as bytes.
#![forbid(unsafe_code)]

pub mod client;
pub mod script;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use nuthatch::cli::{self, Invocation};
use nuthatch::clock::{Clock, Expiry, Secs};
use nuthatch::config::{Config, Environment};
use nuthatch::metrics::Metrics;
use nuthatch::session::Shared;
use nuthatch::store::{Meta, Store, Terms};

/// A prime: a walk over the keys in steps of it meets each once, in an order without locality.
pub const STEP: usize = 1_000_003;

/// When all happens.
pub const NOW: Secs = Secs(1000);

/// Of all items.
pub const META: Meta = Meta { flags: 0, expiry: Expiry::NEVER, is_binary_key: false };

/// Of all items.
pub const VALUE: [u8; 100] = [b'v'; 100];

/// Items, and the megabytes that hold them: what fits the processor's cache, nearly; and with
/// `NUTHATCH_BENCH_LARGE=1` what does not.
pub fn sizes() -> Vec<(usize, usize)> {
    let is_large = std::env::var_os("NUTHATCH_BENCH_LARGE").is_some_and(|value| value == "1");
    let large = is_large.then_some((4_000_000, 1024));
    [(100_000, 64)].into_iter().chain(large).collect()
}

/// What [`script`] calls them.
pub fn keys(count: usize) -> Vec<[u8; script::KEY_LEN]> {
    (0..count).map(script::key).collect()
}

/// A store of so many megabytes, as a daemon with one thread makes it.
pub fn store(memory_mb: usize) -> Arc<Store> {
    let config = config(&["-m", &memory_mb.to_string()]);
    Store::with_seed(&config.store, SEED).expect("memory can be reserved")
}

/// Stores [`VALUE`] under each key.
pub fn fill(store: &Store, keys: &[[u8; script::KEY_LEN]]) {
    for key in keys {
        let stored = store.store(&Terms::default(), &store.key(key), META, &VALUE, NOW);
        assert!(stored.is_ok());
    }
}

/// Keys are hashed alike in every run, so that a count of instructions is the same.
const SEED: u64 = 0x6e75_7468_6174_6368;

/// Short, since what is told apart here differs by more than a longer one would show.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30)
}

/// The daemon's configuration of these command-line words, with one thread.
pub fn config(words: &[&str]) -> Config {
    let words = ["nuthatch", "-t", "1"].iter().chain(words).map(OsString::from);
    let given = match cli::parse(words) {
        Ok(Invocation::Serve(given)) => given,
        other => panic!("options with which nothing is served: {other:?}"),
    };
    let environment = Environment { cpus: 1, ..Environment::default() };
    Config::new(&given, &environment).expect("options that the daemon takes")
}

/// What a daemon of this configuration would share among its sessions.
pub fn shared(config: Config) -> Shared {
    let store = Store::with_seed(&config.store, SEED).expect("memory can be reserved");
    let metrics = Arc::new(Metrics::new(2));
    Shared::new(store, metrics, Arc::new(Clock::start()), config.session)
}
