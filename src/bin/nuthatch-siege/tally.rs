//! What hostile clients did.
#![forbid(unsafe_code)]

use std::ops::AddAssign;

/// Counts of what was done to a server, by which it can be seen that something was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections that were made.
    pub connections: u64,
    /// Connections that could not be made.
    pub refused: u64,
    /// Connections that the server ended.
    pub closed: u64,
    /// Bytes that the kernel took for the server.
    pub sent_bytes: u64,
    /// Bytes of answers that were read.
    pub read_bytes: u64,
    /// Rounds of what the pattern does again and again.
    pub rounds: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.connections += other.connections;
        self.refused += other.refused;
        self.closed += other.closed;
        self.sent_bytes += other.sent_bytes;
        self.read_bytes += other.read_bytes;
        self.rounds += other.rounds;
    }
}
