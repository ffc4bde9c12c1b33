//! Bodies of fuzz targets: each takes any bytes and panics where something does not hold.
//!
//! They are run by the seeded loop of `tests/fuzz`, and by cargo-fuzz, whose project there has a line for
//! each. They stand beside `main`: they may name all rooms, and none names them. Docs/testing.md says how
//! they are used.
//!
//! An execution depends on its input alone. What is dear to make and is not changed by being used, as a gate
//! with its users, is made once a thread; stores are made anew each time.
#![forbid(unsafe_code)]

mod binary;

mod client;

mod command_line;

mod datagram;

mod input;

mod meta;

mod multiget;

mod nodes;

mod numbers;

mod options;

mod pair;

mod sasl;

mod session;

mod store;

mod text;

mod tls;

mod users;

pub use binary::binary;
pub use command_line::command_line;
pub use datagram::datagram;
pub use meta::meta;
pub use multiget::multiget;
pub use nodes::nodes;
pub use numbers::numbers;
pub use options::options;
pub use pair::pair;
pub use sasl::sasl;
pub use session::session;
pub use store::store;
pub use text::text;
pub use tls::tls;
pub use users::users;

/// A body and what it is fed with.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// That of the function, and of the files with seeds.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub run: fn(&[u8]),
    /// Bytes at the front of an input that say how the rest is fed: any will do.
    pub head: usize,
    /// The file of words that inputs are made of.
    pub words: &'static str,
    /// Inputs need not be longer, in bytes.
    pub len_max: usize,
    /// What an execution takes, in units of the cheapest one's.
    pub cost: u64,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("text", text, 0, "text", 600, 1),
    target("multiget", multiget, 1, "text", 2400, 2),
    target("meta", meta, 0, "text", 600, 1),
    target("numbers", numbers, 0, "numbers", 32, 1),
    target("nodes", nodes, 0, "nodes", 200, 2),
    target("binary", binary, 0, "binary", 400, 1),
    target("options", options, 0, "options", 300, 4),
    target("command_line", command_line, 1, "options", 300, 100),
    target("users", users, 1, "users", 300, 20),
    target("sasl", sasl, 2, "users", 300, 20),
    target("datagram", datagram, input::HEAD, "session", 1400, 50),
    target("session", session, input::HEAD, "session", 4096, 100),
    target("pair", pair, input::HEAD, "session", 4096, 100),
    target("tls", tls, input::HEAD, "tls", 2000, 200),
    target("store", store, 1, "store", 600, 100),
];

const fn target(
    name: &'static str,
    run: fn(&[u8]),
    head: usize,
    words: &'static str,
    len_max: usize,
    cost: u64,
) -> Target {
    Target { name, run, head, words, len_max, cost }
}

/// The lengths at which an input is cut: all of a short one, some of a long one and all near its end.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    const ALL_MAX: usize = 40;
    const NEAR_END: usize = 8;
    let step = len.div_ceil(ALL_MAX).max(1);
    (0..len.saturating_sub(NEAR_END)).step_by(step).chain(len.saturating_sub(NEAR_END)..len)
}

/// Whether a key is one that may be looked up.
fn is_key(key: &[u8]) -> bool {
    (1..=crate::limits::KEY_LEN_MAX).contains(&key.len())
}
