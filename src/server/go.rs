//! One go of a connection: what it may use, how far it has come, and how it can end.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::buffers::{Buffers, Pool};
use super::conn::Awaited;
use super::gather::Gather;
use super::handshakes::Handshakes;
use super::mail::Mailbox;
use super::pace::Pace;
use super::tickets::Tickets;
use super::worker::Line;
use super::{Control, Deadlines};
use crate::clock::Now;
use crate::limits::{BUSY_GO_BYTES, ROUND_BYTES_MAX};
use crate::memory::Ledger;
use crate::metrics::Counters;
use crate::session::{Shared, Want};

/// What the goes of several connections may use.
pub(super) struct Context<'a> {
    /// The place in the worker's slab of the connection whose turn it is.
    pub(super) index: usize,
    /// The worker's own.
    pub(super) mailbox: &'a Mailbox,
    /// What connections of the worker wait for, by their places.
    pub(super) asked: &'a mut HashMap<usize, Arc<Gather>>,
    /// Attempts to log in of the worker's connections.
    pub(super) tickets: &'a mut Tickets,
    /// Who waits for memory.
    pub(super) line: &'a mut Line,
    pub(super) pool: &'a mut Pool,
    pub(super) handshakes: &'a mut Handshakes,
    pub(super) pace: &'a mut Pace,
    /// What its connections hold.
    pub(super) ledger: &'a mut Ledger,
    pub(super) deadlines: &'a Deadlines,
    /// How many of its connections something is awaited of that may be late.
    pub(super) awaited: &'a mut usize,
    pub(super) shared: &'a Shared,
    pub(super) control: &'a Control,
    /// The worker's own block.
    pub(super) counters: &'a Counters,
    pub(super) now: Now,
    /// `-R`
    pub(super) requests_per_turn: u32,
    /// The server stops: what has been received is answered, then the connection closes.
    pub(super) stopping: bool,
    /// More than one can go.
    pub(super) others_wait: bool,
    /// Set by a go that took as long as those of many others.
    pub(super) was_long: bool,
    /// What has been done in this round, in bytes that were moved without TLS at their usual cost, or what costs as much.
    pub(super) spent: usize,
}

impl Context<'_> {
    /// How many bytes a connection may move at once that may otherwise move `most`, in a round that others
    /// have done something in: what is left of two large values' worth, so that many that each may do much
    /// do not do it one after another; and always as much as nobody is busy by.
    #[inline]
    pub(super) fn bytes_max(&self, most: usize) -> usize {
        let left = ROUND_BYTES_MAX.saturating_sub(self.spent);
        most.min(left.max(BUSY_GO_BYTES as usize))
    }
}

/// A go that is under way.
pub(super) struct Go {
    /// The connection's place in the worker's slab.
    pub(super) index: usize,
    /// What it has read and is to write.
    pub(super) held: Box<Buffers>,
    pub(super) next: Next,
}

/// What is next in a go.
pub(super) enum Next {
    /// The session is to be called.
    Execute,
    /// It has been called: what it wants is to be done.
    Answer(Want),
    /// Nothing.
    End(Result<(), End>),
}

/// Why a connection ends, for the log.
#[derive(Debug)]
pub(super) enum End {
    /// Either side has said what it had to say.
    Done,
    /// The socket failed.
    Failed(io::Error),
    /// This was awaited for too long.
    Overdue(Awaited),
    /// The session asked for more than a full buffer.
    Overfull,
    /// Memory was full, and it held much of it.
    Shed,
}

impl Go {
    /// Whether the session is still to be called.
    pub(super) fn is_to_execute(&self) -> bool {
        matches!(self.next, Next::Execute)
    }

    /// Bytes that wait to be executed.
    pub(super) fn unread_len(&self) -> usize {
        self.held.input.unread().len()
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Done => f.write_str("done"),
            End::Failed(err) => err.fmt(f),
            End::Overdue(Awaited::Anything) => f.write_str("silent for too long"),
            End::Overdue(Awaited::Request) => f.write_str("the rest of a request did not come"),
            End::Overdue(Awaited::Upload) => f.write_str("the rest of a value did not come"),
            End::Overdue(Awaited::Reading) => f.write_str("answers were not taken"),
            End::Overdue(Awaited::Login) => f.write_str("nobody logged in"),
            End::Overdue(Awaited::End) => f.write_str("the end was not taken note of"),
            End::Shed => f.write_str("closed for want of memory"),
            End::Overfull => f.write_str("request does not fit the buffer"),
        }
    }
}
