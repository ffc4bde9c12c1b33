//! What a client can ask for, without the bytes in which it asked.
#![forbid(unsafe_code)]

use crate::protocol::Reply;
use crate::protocol::control::{Config, Crawler, Lru, Slabs};

/// A request and whether its answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Command<'a> {
    /// What is asked for.
    pub request: Request<'a>,
    /// Whatever the answer is, it is not sent (text, section 3).
    pub noreply: bool,
}

/// A request whose fields have been read and found well-formed: keys have 1 to `KEY_LEN_MAX`
/// bytes. Borrows from the line it was read from. The get family is not here: its lines have no
/// bound, see [`crate::protocol::text::get`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request<'a> {
    /// A data block follows.
    Store(StoreLine<'a>),
    /// `delete`
    Delete {
        /// The item to remove.
        key: &'a [u8],
    },
    /// `incr`
    Incr {
        /// The item to count up.
        key: &'a [u8],
        /// By how much, modulo 2^64.
        delta: u64,
    },
    /// `decr`
    Decr {
        /// The item to count down.
        key: &'a [u8],
        /// By how much; it stops at 0.
        delta: u64,
    },
    /// `touch`
    Touch {
        /// The item that is to expire at another time.
        key: &'a [u8],
        /// As in [`StoreLine::exptime`].
        exptime: i32,
    },
    /// `flush_all`
    FlushAll {
        /// Seconds or a Unix time; None: something that is no number. Whether flushing is allowed
        /// at all comes first.
        delay: Option<i32>,
    },
    /// `stats`
    Stats(StatsTopic),
    /// `version`
    Version,
    /// `quit`
    Quit,
    /// The client speaks HTTP: close, say nothing.
    Hangup,
    /// `shutdown`
    Shutdown(ShutdownMode),
    /// `verbosity`
    Verbosity(u32),
    /// `cache_memlimit`
    MemoryLimit {
        /// The new limit in units of 2^20 bytes.
        megabytes: u32,
    },
    /// `lru_crawler`
    Crawler(Crawler),
    /// `slabs`
    Slabs(Slabs),
    /// `lru`
    Lru(Lru),
    /// `config`
    Config(Config<'a>),
    /// `debugtime` with the seconds by which to move the clock; None: something else.
    DebugTime(Option<i64>),
    /// `refresh_certs`
    RefreshCertificates,
    /// `stats conns`
    Conns,
    /// `watch`; None: a word that is not known. Whether watching is allowed at all comes first.
    Watch(Option<WatchWords>),
    /// Not to be executed.
    Refused {
        /// Why.
        error: Reply,
        /// Bytes behind the line that belong to it and are to be thrown away before the answer.
        block_len: u64,
    },
}

/// The line of a storage command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLine<'a> {
    /// Which command.
    pub verb: StoreVerb,
    /// Key of the item.
    pub key: &'a [u8],
    /// Client flags.
    pub flags: u32,
    /// 0 never, negative at once, up to 30 days relative, above that a Unix time.
    pub exptime: i32,
    /// Bytes of the value, without the CR LF that ends its block.
    pub value_len: usize,
}

impl StoreLine<'_> {
    /// Bytes of the data block, with its CR LF.
    pub fn block_len(&self) -> usize {
        self.value_len + 2
    }
}

/// The storage commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreVerb {
    /// Whatever was there.
    Set,
    /// Only if nothing was there.
    Add,
    /// Only if something was there.
    Replace,
    /// Behind the value that is there.
    Append,
    /// Before the value that is there.
    Prepend,
    /// Only if the item still has this unique.
    Cas(u64),
}

/// What `stats` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatsTopic {
    /// Show a list.
    List(StatsList),
    /// Make the counters 0.
    Reset,
    /// Count by prefix, or show what was counted, or say what is wrong with the arguments. Whether
    /// that is allowed at all comes first.
    Detail(Result<Detail, Reply>),
    /// List the items of a class, or say what is wrong with the arguments. Whether listing is allowed
    /// at all comes first.
    Cachedump(Result<Cachedump, Reply>),
}

/// The arguments of `stats detail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// `on` or `off`
    Switch(bool),
    /// `dump`
    Dump,
}

/// The arguments of `stats cachedump`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cachedump {
    /// Slab class.
    pub class: u32,
    /// Most items that are shown; 0: all.
    pub limit: u32,
}

/// The lists of keys and values that `stats` can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatsList {
    /// `stats` alone.
    General,
    /// The options in force.
    Settings,
    /// Items by slab class.
    Items,
    /// Memory and commands by slab class.
    Slabs,
    /// Items by size.
    Sizes,
}

/// Which words of `watch` were given, in the order of text, section 7: rawcmds, evictions, fetchers,
/// mutations, sysevents, connevents, proxyreqs, proxyevents, proxyuser, deletions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchWords(pub [bool; 10]);

/// How `shutdown` is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownMode {
    /// `shutdown`
    Plain,
    /// `shutdown graceful`
    Graceful,
    /// Another word. Whether the command is allowed at all comes first.
    Unknown,
}
