//! Counters: one block per thread, written by its owner alone, summed when somebody asks.
//!
//! A counter is bumped with a plain load and store, never with a locked instruction: each block
//! has one writer. A reset takes the present sums as the new zero, so that it writes to no block.
#![forbid(unsafe_code)]

mod connections;

use crossbeam::utils::CachePadded;

pub use connections::Connections;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What is counted. Names are those of the `stats` keys (stats, section 1).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter { $($(#[$doc])* $name),+ }

        const COUNTERS: usize = [$(Counter::$name),+].len();
    };
}

counters! {
    /// Connections opened.
    TotalConnections,
    /// Connections refused at `-c`.
    RejectedConnections,
    /// Connections refused at `-o maxconns_per_address`.
    RejectedPerAddress,
    /// Keys looked up by get and gets, hit or miss.
    CmdGet,
    /// Store commands whose item got its memory.
    CmdSet,
    /// `flush_all`, also refused ones.
    CmdFlush,
    /// touch, gat and gats.
    CmdTouch,
    /// `me`
    CmdMeta,
    /// Keys found by get and gets.
    GetHits,
    /// Keys not found by get and gets.
    GetMisses,
    /// Lookups that found an expired item.
    GetExpired,
    /// Lookups that found a flushed item.
    GetFlushed,
    /// Deletes of keys that were not there.
    DeleteMisses,
    /// Deletes of keys that were.
    DeleteHits,
    /// incr on a missing key.
    IncrMisses,
    /// incr that gave a number.
    IncrHits,
    /// decr on a missing key.
    DecrMisses,
    /// decr that gave a number.
    DecrHits,
    /// cas on a missing key.
    CasMisses,
    /// cas that stored.
    CasHits,
    /// cas with another unique than the item's.
    CasBadval,
    /// touch, gat and gats that found their key.
    TouchHits,
    /// touch, gat and gats that did not.
    TouchMisses,
    /// Stores refused for their size.
    StoreTooLarge,
    /// Stores refused for want of memory.
    StoreNoMemory,
    /// Times that a client had to wait for room for a large value.
    MemoryWaits,
    /// Such waits that ended in a refusal.
    MemoryWaitsOver,
    /// Values that stood still while they arrived, and whose memory others needed.
    ArrivalsTaken,
    /// Connections closed that did not read large values, whose memory others needed.
    ReaderKicks,
    /// Connections closed by `-o idle_timeout`.
    IdleKicks,
    /// Connections closed since the rest of a request did not come.
    RequestTimeouts,
    /// Connections closed since the rest of a value did not come.
    UploadTimeouts,
    /// Connections closed since they did not take their answers.
    SendTimeouts,
    /// Connections closed since they did not log in.
    LoginTimeouts,
    /// Connections closed since memory was full and they held most of it.
    MemoryKicks,
    /// Connections refused since memory was full.
    MemoryRefused,
    /// Attempts to log in that have come to their end.
    AuthCmds,
    /// Of those, the ones that failed.
    AuthErrors,
    /// Bytes read from sockets.
    BytesRead,
    /// Bytes written to sockets.
    BytesWritten,
    /// Times that accepting was suspended.
    ListenDisabledNum,
    /// Microseconds for which it was.
    TimeInListenDisabledUs,
    /// Times that a connection gave way to others with requests left.
    ConnYields,
    /// Sessions of TLS that were not resumed ones.
    SslNewSessions,
    /// Handshakes of TLS that came to nothing.
    SslHandshakeErrors,
    /// Connections whose records made no sense after the handshake.
    SslProtoErrors,
}

/// The counters of one thread.
#[derive(Debug)]
pub struct Counters([AtomicU64; COUNTERS]);

impl Counters {
    fn new() -> Counters {
        Counters(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Adds `count`. Only the thread that owns the block may call this: it is a load and a store.
    pub fn add(&self, counter: Counter, count: u64) {
        let cell = &self.0[counter as usize];
        cell.store(cell.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Adds one; see [`Counters::add`].
    pub fn bump(&self, counter: Counter) {
        self.add(counter, 1);
    }
}

/// All counters and gauges of one server.
#[derive(Debug)]
pub struct Metrics {
    blocks: Box<[CachePadded<Counters>]>,
    zero: Mutex<[u64; COUNTERS]>,
    /// Full-size read buffers of each thread, and those of them that are in nobody's use.
    buffers: Box<[CachePadded<[AtomicU64; 2]>]>,
    /// Client connections.
    pub connections: Connections,
    /// Whether the listeners accept.
    pub accepting: AtomicBool,
}

impl Metrics {
    /// One block for each of `threads` owners.
    pub fn new(threads: usize) -> Metrics {
        Metrics {
            blocks: (0..threads).map(|_| CachePadded::new(Counters::new())).collect(),
            zero: Mutex::new([0; COUNTERS]),
            buffers: (0..threads).map(|_| CachePadded::default()).collect(),
            connections: Connections::default(),
            accepting: AtomicBool::new(true),
        }
    }

    /// How many threads it is of.
    pub fn owners(&self) -> usize {
        self.blocks.len()
    }

    /// The block of owner `thread`, `0..threads`.
    pub fn block(&self, thread: usize) -> &Counters {
        &self.blocks[thread]
    }

    /// Notes how many read buffers `thread` has, and how many of them are free.
    pub fn note_read_buffers(&self, thread: usize, held: usize, free: usize) {
        let [held_cell, free_cell] = &*self.buffers[thread];
        held_cell.store(held as u64, Relaxed);
        free_cell.store(free as u64, Relaxed);
    }

    /// Read buffers of all threads, and how many of them are free.
    pub fn read_buffers(&self) -> (u64, u64) {
        self.buffers.iter().fold((0, 0), |(held, free), cells| {
            (held + cells[0].load(Relaxed), free + cells[1].load(Relaxed))
        })
    }

    /// Sum over all threads since the last reset.
    pub fn total(&self, counter: Counter) -> u64 {
        // First, so that the sum is no older than the zero, which would be a total below nothing.
        let zero = self.zero.lock()[counter as usize];
        self.sum(counter as usize).wrapping_sub(zero)
    }

    /// Makes all totals 0 (`stats reset`).
    pub fn reset(&self) {
        let mut zero = self.zero.lock();
        for (index, base) in zero.iter_mut().enumerate() {
            *base = self.sum(index);
        }
    }

    fn sum(&self, index: usize) -> u64 {
        self.blocks.iter().fold(0, |sum, block| sum.wrapping_add(block.0[index].load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_blocks_and_resets() {
        let metrics = Metrics::new(2);
        metrics.block(0).bump(Counter::CmdGet);
        metrics.block(1).add(Counter::CmdGet, 5);
        assert_eq!(metrics.total(Counter::CmdGet), 6);
        metrics.reset();
        assert_eq!(metrics.total(Counter::CmdGet), 0);
        metrics.block(1).bump(Counter::CmdGet);
        assert_eq!(metrics.total(Counter::CmdGet), 1);
        assert_eq!(metrics.total(Counter::ConnYields), 0);
    }
}
