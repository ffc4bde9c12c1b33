//! What all sessions of a server have in common.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::discovery::Discovery;
use crate::limits::PREFIX_MEMORY_PART;
use crate::memory::Accountant;
use crate::metrics::Metrics;
use crate::session::prefixes::Prefixes;
use crate::session::{Certificates, Tunables};
use crate::store::Store;

/// What sessions reach beside their own state.
#[derive(Debug)]
pub struct Shared {
    /// The items.
    pub store: Arc<Store>,
    /// The counters of all threads.
    pub metrics: Arc<Metrics>,
    /// The server's clock, for `debugtime` alone: time enters by [`super::Turn::now`].
    pub clock: Arc<Clock>,
    /// What clients hold in memory.
    pub memory: Accountant,
    /// What was asked for on the command line.
    pub options: Options,
    /// What the `verbosity` command sets: 0 to 2.
    pub verbosity: AtomicU32,
    /// What `slabs`, `lru` and `lru_crawler` set.
    pub tunables: Mutex<Tunables>,
    /// What `stats detail` shows.
    pub prefixes: Prefixes,
    /// Of a server with TLS; filled by it.
    pub certificates: Option<Arc<dyn Certificates>>,
    /// `--cluster-file`: of a server that knows the nodes of its cluster; filled by it.
    pub discovery: Option<Discovery>,
}

impl Shared {
    /// What has not been changed by any command yet.
    pub fn new(
        store: Arc<Store>,
        metrics: Arc<Metrics>,
        clock: Arc<Clock>,
        options: Options,
    ) -> Shared {
        let prefixes_max = store.limit_bytes() / PREFIX_MEMORY_PART;
        Shared {
            memory: Accountant::new(metrics.owners()),
            store,
            metrics,
            clock,
            verbosity: AtomicU32::new(options.verbosity),
            tunables: Mutex::new(options.tunables.clone()),
            prefixes: Prefixes::new(options.prefix_delimiter, options.detail, prefixes_max),
            certificates: None,
            discovery: None,
            options,
        }
    }
}

/// What the sessions of a server may do and what they report of it (`stats settings`). Filled by
/// `config`, never changed.
#[derive(Debug, Default)]
pub struct Options {
    /// `VERSION` answer and `stats` key, e.g. `1.6.45`.
    pub version: String,
    /// `-c`
    pub max_connections: u64,
    /// `-p`, -1: any.
    pub tcp_port: i32,
    /// `-U`, -1: any.
    pub udp_port: i32,
    /// `-l` as given, None: the default.
    pub inter: Option<String>,
    /// `-s`
    pub domain_socket: Option<String>,
    /// `-a`, permission bits.
    pub unix_mask: u32,
    /// `-A`
    pub shutdown: bool,
    /// `-F` is false.
    pub flush: bool,
    /// `-X` is false.
    pub dump: bool,
    /// `-W` is false.
    pub watch: bool,
    /// `-t`
    pub threads: u64,
    /// `-D`
    pub prefix_delimiter: char,
    /// `-D` is given: statistics by prefix are kept from the start.
    pub detail: bool,
    /// `-R`
    pub requests_per_turn: u32,
    /// `-b`
    pub backlog: u32,
    /// Clients have to log in before anything else.
    pub login: bool,
    /// They may do so by SASL.
    pub sasl: bool,
    /// The file by which clients of the text protocol log in.
    pub auth_file: Option<String>,
    /// `-B`
    pub binding_protocol: &'static str,
    /// `-o no_maxconns_fast` is false.
    pub maxconns_fast: bool,
    /// `-o maxconns_per_address`, 0: off.
    pub maxconns_per_address: u32,
    /// `-o idle_timeout`, 0: off.
    pub idle_timeout_secs: u32,
    /// `-o debug_clock`: the command `debugtime` works.
    pub debug_clock: bool,
    /// `-f`
    pub growth_factor: f64,
    /// `-n`, bytes.
    pub chunk_size: u64,
    /// `-I`, bytes.
    pub item_size_max: u64,
    /// `-C` is false.
    pub cas: bool,
    /// `-M` is false.
    pub evictions: bool,
    /// `-v` at start: 0, 1, 2...
    pub verbosity: u32,
    /// Settings that most of are without effect, at start.
    pub tunables: Tunables,
}
