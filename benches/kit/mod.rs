//! What benches share: the daemon's own options, a server without sockets and its client, and
//! requests as bytes.
#![forbid(unsafe_code)]

pub mod client;
pub mod script;

use std::ffi::OsString;
use std::sync::Arc;

use nuthatch::cli::{self, Invocation};
use nuthatch::clock::Clock;
use nuthatch::config::{Config, Environment};
use nuthatch::metrics::Metrics;
use nuthatch::session::Shared;
use nuthatch::store::Store;

/// Keys are hashed alike in every run, so that a count of instructions is the same.
const SEED: u64 = 0x6e75_7468_6174_6368;

/// The daemon's configuration of these command-line words, with one thread.
pub fn config(words: &[&str]) -> Config {
    let words = ["nuthatch", "-t", "1"].iter().chain(words).map(OsString::from);
    let given = match cli::parse(words) {
        Ok(Invocation::Serve(given)) => given,
        other => panic!("options with which nothing is served: {other:?}"),
    };
    let environment = Environment { port_file: None, root: false, cpus: 1 };
    Config::new(&given, &environment).expect("options that the daemon takes")
}

/// What a daemon of this configuration would share among its sessions.
pub fn shared(config: Config) -> Shared {
    let store = Store::with_seed(&config.store, SEED).expect("memory can be reserved");
    let metrics = Arc::new(Metrics::new(2));
    Shared::new(store, metrics, Arc::new(Clock::start()), config.session)
}
