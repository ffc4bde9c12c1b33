//! Events and their lines, in memcached's words and order (text, section 7).
#![forbid(unsafe_code)]

use std::io::{self, Write};

use super::{Classes, uri_encode};

/// Something that a watcher can be told of. Keys are as the client wrote them, sizes are those of
/// values in bytes, classes are slab classes (0: none), descriptors are those of connections.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// An item was looked up.
    ItemGet {
        /// What was looked up.
        key: &'a [u8],
        /// `found`, `not_found`, `expired` or `flushed`.
        status: &'static str,
        /// Of the item that was found.
        class: u8,
        /// Of the client.
        descriptor: i32,
        /// Of the item that was found.
        size: usize,
    },
    /// A store has been carried out or refused.
    ItemStore {
        /// What was to be stored.
        key: &'a [u8],
        /// `stored`, `not_stored`, `exists`, `not_found`, `too_large` or `no_memory`.
        status: &'static str,
        /// `set`, `add`, `replace`, `append`, `prepend` or `cas`.
        command: &'static str,
        /// Seconds that the item is to live, 0 for ever; modulo 2^32 when that is past.
        ttl: u32,
        /// Of the new item.
        class: u8,
        /// Of the client.
        descriptor: i32,
        /// Of the new item.
        size: usize,
    },
    /// A client has deleted an item.
    Deleted {
        /// What was deleted.
        key: &'a [u8],
        /// `delete` or `md`.
        command: &'static str,
        /// Of the item.
        class: u8,
        /// Of the item.
        size: usize,
    },
    /// An item had to go.
    Eviction {
        /// Which.
        key: &'a [u8],
        /// Whether it was ever hit.
        fetched: bool,
        /// Seconds that it still had to live; -1: for ever.
        ttl: i64,
        /// Seconds since it was last accessed.
        idle_secs: u32,
        /// Of the item.
        class: u8,
        /// Of the item.
        size: usize,
    },
    /// A connection was opened.
    ConnNew {
        /// Who is there.
        peer: Peer<'a>,
        /// Of the connection.
        descriptor: i32,
    },
    /// A connection was closed.
    ConnClose {
        /// Who was there.
        peer: Peer<'a>,
        /// Why.
        reason: CloseReason,
        /// Of the connection.
        descriptor: i32,
    },
    /// The TLS of a connection has failed.
    ConnTlsError {
        /// Of the connection.
        descriptor: i32,
        /// What is wrong, on one line.
        message: &'a str,
    },
    /// A page has left a slab class.
    SlabMove {
        /// The class that gave it.
        from: u8,
        /// The class that got it; 0: the pool.
        to: u8,
    },
    /// A sweep for expired items has gone through a shard of the store.
    Sweep {
        /// Which shard.
        shard: usize,
        /// Items that it looked at.
        examined: u64,
        /// Items that it freed.
        reclaimed: u64,
    },
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Its address, or `unix`.
    pub address: &'a str,
    /// Its port, or 0.
    pub port: u16,
    /// How it comes.
    pub transport: Transport,
}

/// What a connection is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A unix socket.
    Local,
    /// TCP.
    Tcp,
}

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The socket failed or the client did not keep to the protocol.
    Error,
    /// Either side had said what it had to say.
    Normal,
    /// It was silent for too long.
    IdleTimeout,
    /// `shutdown`
    Shutdown,
}

impl Event<'_> {
    /// Who is told of it.
    pub fn classes(&self) -> Classes {
        match self {
            Event::ItemGet { .. } => Classes::FETCHERS,
            Event::ItemStore { .. } => Classes::MUTATIONS,
            Event::Deleted { .. } => Classes::DELETIONS,
            Event::Eviction { .. } => Classes::EVICTIONS,
            Event::ConnNew { .. } | Event::ConnClose { .. } | Event::ConnTlsError { .. } => {
                Classes::CONNEVENTS
            }
            Event::SlabMove { .. } | Event::Sweep { .. } => Classes::SYSEVENTS,
        }
    }

    /// Writes its part of the line, LF included.
    pub(super) fn write(&self, into: &mut impl Write) -> io::Result<()> {
        match *self {
            Event::ItemGet { key, status, class, descriptor, size } => {
                into.write_all(b"type=item_get key=")?;
                uri_encode(key, into)?;
                writeln!(into, " status={status} clsid={class} cfd={descriptor} size={size}")
            }
            Event::ItemStore { key, status, command, ttl, class, descriptor, size } => {
                into.write_all(b"type=item_store key=")?;
                uri_encode(key, into)?;
                write!(into, " status={status} cmd={command} ttl={ttl} clsid={class}")?;
                writeln!(into, " cfd={descriptor} size={size}")
            }
            Event::Deleted { key, command, class, size } => {
                into.write_all(b"type=deleted key=")?;
                uri_encode(key, into)?;
                writeln!(into, " cmd={command} clsid={class} size={size}")
            }
            Event::Eviction { key, fetched, ttl, idle_secs, class, size } => {
                let fetched = if fetched { "yes" } else { "no" };
                into.write_all(b"type=eviction key=")?;
                uri_encode(key, into)?;
                write!(into, " fetch={fetched} ttl={ttl} la={idle_secs}")?;
                writeln!(into, " clsid={class} size={size}")
            }
            Event::ConnNew { peer, descriptor } => {
                into.write_all(b"type=conn_new ")?;
                peer.write(into)?;
                writeln!(into, " cfd={descriptor}")
            }
            Event::ConnClose { peer, reason, descriptor } => {
                into.write_all(b"type=conn_close ")?;
                peer.write(into)?;
                writeln!(into, " reason={} cfd={descriptor}", reason.word())
            }
            Event::ConnTlsError { descriptor, message } => {
                writeln!(into, "type=conntlserr fd={descriptor} msg={message}")
            }
            Event::SlabMove { from, to } => {
                writeln!(into, "type=slab_move src={from} dst={to} state=ok")
            }
            // One sweep a second goes through all classes of a shard; there are no lists to name.
            Event::Sweep { shard, examined, reclaimed } => {
                write!(into, "type=lru_crawler crawler={shard} lru=all low_mark=0")?;
                write!(into, " next_reclaims=0 since_run=1 next_run=1 elapsed=0")?;
                writeln!(into, " examined={examined} reclaimed={reclaimed}")
            }
        }
    }
}

impl Peer<'_> {
    fn write(&self, into: &mut impl Write) -> io::Result<()> {
        let transport = match self.transport {
            Transport::Local => "local",
            Transport::Tcp => "tcp",
        };
        write!(into, "rip={} rport={} transport={transport}", self.address, self.port)
    }
}

impl CloseReason {
    fn word(self) -> &'static str {
        match self {
            CloseReason::Error => "error",
            CloseReason::Normal => "normal",
            CloseReason::IdleTimeout => "idle_timeout",
            CloseReason::Shutdown => "shutdown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(event: &Event<'_>, line: &str) {
        let mut bytes = Vec::new();
        event.write(&mut bytes).expect("memory");
        assert_eq!(String::from_utf8(bytes).expect("ASCII"), format!("{line}\n"));
    }

    #[test]
    fn lines_section_7() {
        let (class, descriptor, size) = (3, 29, 5);
        check(
            &Event::ItemGet { key: b"a%20\x01~", status: "found", class, descriptor, size },
            "type=item_get key=a%2520%01~ status=found clsid=3 cfd=29 size=5",
        );
        let key = b"k\xff";
        let (status, command, ttl) = ("stored", "set", u32::MAX);
        check(
            &Event::ItemStore { key, status, command, ttl, class, descriptor, size },
            "type=item_store key=k%FF status=stored cmd=set ttl=4294967295 clsid=3 cfd=29 size=5",
        );
        check(
            &Event::Deleted { key, command: "md", class, size },
            "type=deleted key=k%FF cmd=md clsid=3 size=5",
        );
        check(
            &Event::Eviction { key: b"k", fetched: true, ttl: -1, idle_secs: 7, class, size },
            "type=eviction key=k fetch=yes ttl=-1 la=7 clsid=3 size=5",
        );
        check(&Event::SlabMove { from: 1, to: 0 }, "type=slab_move src=1 dst=0 state=ok");
        check(
            &Event::Sweep { shard: 4, examined: 9, reclaimed: 2 },
            "type=lru_crawler crawler=4 lru=all low_mark=0 next_reclaims=0 since_run=1 next_run=1 \
             elapsed=0 examined=9 reclaimed=2",
        );
    }

    #[test]
    fn connections_section_7() {
        let peer = Peer { address: "127.0.0.1", port: 5, transport: Transport::Tcp };
        check(
            &Event::ConnNew { peer, descriptor: 9 },
            "type=conn_new rip=127.0.0.1 rport=5 transport=tcp cfd=9",
        );
        check(
            &Event::ConnTlsError { descriptor: 9, message: "bad record MAC" },
            "type=conntlserr fd=9 msg=bad record MAC",
        );
        let peer = Peer { address: "unix", port: 0, transport: Transport::Local };
        check(
            &Event::ConnClose { peer, reason: CloseReason::IdleTimeout, descriptor: 9 },
            "type=conn_close rip=unix rport=0 transport=local reason=idle_timeout cfd=9",
        );
    }
}
