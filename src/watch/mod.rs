//! What happens in the server, line by line, for clients that `watch` (text, section 7).
//!
//! ```text
//! store, session, server ── Event ──► Hub ── line ──► backlog of each interested watcher
//!                                      │                        │ taken by its session while
//!                                      └── Wake, once, when ────┘ the client reads
//!                                          a line comes into an awaited backlog
//! ```
//!
//! Nobody pays for what nobody watches: an emitter first asks for a mask, one relaxed load. A line is
//! made once and copied to every watcher of its class. A watcher's backlog is bounded and lossy: a
//! client that does not read loses lines, is told how many, and costs nothing beside its backlog.
//!
//! Knows no socket and no event loop: who is to be woken, and how, comes in as a [`Wake`].
#![forbid(unsafe_code)]

mod backlog;

mod event;

mod hub;

mod uri;

pub use event::{CloseReason, Event, Peer, Transport};
pub use hub::{Hub, Options, Totals, Wake, Watcher};
pub use uri::uri_encode;

/// Kinds of events that can be watched, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u32);

impl Classes {
    /// Nothing is logged for it, as in memcached.
    pub const RAWCMDS: Classes = Classes(1);
    /// Items evicted to make room.
    pub const EVICTIONS: Classes = Classes(1 << 1);
    /// Lookups of items by any command.
    pub const FETCHERS: Classes = Classes(1 << 2);
    /// Stores, also those without success.
    pub const MUTATIONS: Classes = Classes(1 << 3);
    /// Pages moved and expired items swept.
    pub const SYSEVENTS: Classes = Classes(1 << 4);
    /// Connections opened and closed.
    pub const CONNEVENTS: Classes = Classes(1 << 5);
    /// Of memcached's proxy: nothing here.
    pub const PROXYREQS: Classes = Classes(1 << 6);
    /// Of memcached's proxy: nothing here.
    pub const PROXYEVENTS: Classes = Classes(1 << 7);
    /// Of memcached's proxy: nothing here.
    pub const PROXYUSER: Classes = Classes(1 << 8);
    /// Items deleted by a client.
    pub const DELETIONS: Classes = Classes(1 << 9);

    /// Both sets.
    pub const fn with(self, more: Classes) -> Classes {
        Classes(self.0 | more.0)
    }

    /// Whether the sets have a class in common.
    pub const fn meet(self, other: Classes) -> bool {
        self.0 & other.0 != 0
    }
}
