//! Which connection a verdict is for: its place may be another client's by the time the verdict comes.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// One attempt of one connection of a worker.
#[derive(Debug)]
pub(super) struct Ticket {
    /// The connection's place.
    pub(super) index: usize,
    /// Nobody waits for the verdict once the worker has let go of the other end.
    is_open: Weak<()>,
}

/// A worker's attempts that have no verdict yet, by the places of the connections.
#[derive(Debug, Default)]
pub(super) struct Tickets(HashMap<usize, Arc<()>>);

impl Tickets {
    /// A ticket for the connection at `index`.
    pub(super) fn issue(&mut self, index: usize) -> Ticket {
        let open = Arc::new(());
        let is_open = Arc::downgrade(&open);
        self.0.insert(index, open);
        Ticket { index, is_open }
    }

    /// Whether the connection is still the one that the ticket was issued to; it is used up then.
    pub(super) fn redeem(&mut self, ticket: &Ticket) -> bool {
        ticket.is_open() && self.0.remove(&ticket.index).is_some()
    }

    /// The connection at `index` is gone.
    pub(super) fn void(&mut self, index: usize) {
        self.0.remove(&index);
    }
}

impl Ticket {
    /// Whether somebody waits for the verdict.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.strong_count() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_for_one_attempt_of_one_connection() {
        let mut tickets = Tickets::default();
        let first = tickets.issue(7);
        assert!(tickets.redeem(&first) && !tickets.redeem(&first));
        let gone = tickets.issue(7);
        tickets.void(7);
        let next = tickets.issue(7);
        assert!(!tickets.redeem(&gone) && tickets.redeem(&next));
    }
}
