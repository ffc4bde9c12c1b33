//! The workloads: which requests, on what they find.
#![forbid(unsafe_code)]

use super::kit::script::{Kind, Script, Shape};

/// A kind of request as it is counted.
#[derive(Debug)]
pub struct Workload {
    /// What it is called in the record.
    pub name: &'static str,
    kind: Kind,
    depth: usize,
    value_len: usize,
    keys: Keys,
    /// `-m`
    pub memory_mb: &'static str,
    /// It is also counted in a daemon, over a socket.
    pub is_in_daemon: bool,
}

/// Which keys are asked for, and which are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    /// So many, all there, asked for again and again.
    Stay(usize),
    /// Each once, all there.
    Go,
    /// Each once, none there, and no memory is left.
    Come,
}

/// In bytes: what most workloads store, what evicts, and what is not copied.
const VALUE_LEN: usize = 100;
const EVICTING_LEN: usize = 200;
const LARGE_LEN: usize = 100_000;

/// Requests of a deep pipeline.
const DEEP: usize = 50;

/// Most requests of a script.
pub const REQUESTS_MAX: usize = 20_000;

/// Keys that stay: few enough that each has often been asked for when the counting begins.
const STAY: Keys = Keys::Stay(1000);

const fn of(name: &'static str, kind: Kind, depth: usize) -> Workload {
    Workload {
        name,
        kind,
        depth,
        value_len: VALUE_LEN,
        keys: STAY,
        memory_mb: "64",
        is_in_daemon: false,
    }
}

const fn in_daemon(workload: Workload) -> Workload {
    Workload { is_in_daemon: true, ..workload }
}

const fn on(keys: Keys, value_len: usize, memory_mb: &'static str, workload: Workload) -> Workload {
    Workload { keys, value_len, memory_mb, ..workload }
}

/// All of them.
pub const WORKLOADS: &[Workload] = &[
    in_daemon(of("get", Kind::Get, 1)),
    in_daemon(of("get-50", Kind::Get, DEEP)),
    in_daemon(of("set", Kind::Set, 1)),
    in_daemon(of("set-50", Kind::Set, DEEP)),
    of("mget-50", Kind::MultiGet, DEEP),
    of("mg", Kind::MetaGet, 1),
    of("mg-50", Kind::MetaGet, DEEP),
    of("ms", Kind::MetaSet, 1),
    of("ms-50", Kind::MetaSet, DEEP),
    of("binary-get", Kind::BinaryGet, 1),
    of("binary-get-50", Kind::BinaryGet, DEEP),
    of("binary-set", Kind::BinarySet, 1),
    of("binary-set-50", Kind::BinarySet, DEEP),
    of("miss", Kind::Miss, 1),
    of("miss-50", Kind::Miss, DEEP),
    on(Keys::Come, EVICTING_LEN, "8", of("evict-set", Kind::Set, 1)),
    on(Keys::Come, EVICTING_LEN, "8", of("evict-set-50", Kind::Set, DEEP)),
    on(Keys::Stay(100), VALUE_LEN, "64", of("incr", Kind::Incr, 1)),
    on(Keys::Stay(100), VALUE_LEN, "64", of("incr-50", Kind::Incr, DEEP)),
    on(Keys::Go, VALUE_LEN, "64", of("delete", Kind::Delete, 1)),
    on(Keys::Go, VALUE_LEN, "64", of("delete-50", Kind::Delete, DEEP)),
    on(Keys::Stay(20), LARGE_LEN, "64", of("get-100k", Kind::Get, 1)),
    on(Keys::Stay(20), LARGE_LEN, "64", of("set-100k", Kind::Set, 1)),
];

impl Workload {
    /// What is to be stored before: the same however many requests follow.
    pub fn fill(&self) -> Script {
        let (first, keys) = match self.keys {
            Keys::Stay(keys) => (0, keys),
            Keys::Go => (0, 2 * REQUESTS_MAX),
            // Twice what there is memory for, under numbers that no request has.
            Keys::Come => {
                let memory_mb: usize = self.memory_mb.parse().expect("a number");
                (1 << 30, (memory_mb << 21) / self.value_len)
            }
        };
        let kind = if self.kind == Kind::Incr { Kind::SetNumber } else { Kind::Set };
        let shape = Shape { first, keys, value_len: self.value_len, depth: 1 };
        Script::new(kind, &shape, keys)
    }

    /// The script that warms up, and the one that is counted: so many requests each, a multiple of
    /// what one send holds and at most [`REQUESTS_MAX`].
    pub fn scripts(&self, requests: usize) -> [Script; 2] {
        assert!(requests <= REQUESTS_MAX && requests.is_multiple_of(self.depth));
        [0, requests].map(|from| {
            let (first, keys) = match self.keys {
                Keys::Stay(keys) => (0, keys),
                Keys::Go | Keys::Come => (from, requests),
            };
            let shape = Shape { first, keys, value_len: self.value_len, depth: self.depth };
            Script::new(self.kind, &shape, requests)
        })
    }
}
