//! Who waits for a place: one of each address in turn, those of an address in their order.
//!
//! So who opens very many connections waits behind himself, and others do not wait behind him.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};

use crate::auth::Origin;

/// Connections that wait, by their places in the worker's slab.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// In the order in which they have their turn.
    turns: BTreeMap<Turn, usize>,
    waiters: HashMap<usize, (Turn, Origin)>,
    /// Addresses of which somebody waits; of IPv6, networks. Clients of a Unix socket have one together.
    addresses: HashMap<Origin, Address>,
    /// That of who had the last turn.
    round: u64,
    next: u64,
}

/// A round has one of each address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    round: u64,
    number: u64,
}

#[derive(Debug, Default)]
struct Address {
    /// That of its last.
    round: u64,
    count: usize,
}

impl Waiting {
    /// Puts the connection at `index`, which does not wait yet, behind those of its address.
    pub(super) fn push(&mut self, index: usize, from: Origin) {
        let address = self.addresses.entry(from).or_default();
        address.round = address.round.max(self.round) + 1;
        address.count += 1;
        let turn = Turn { round: address.round, number: self.next };
        self.next += 1;
        self.turns.insert(turn, index);
        self.waiters.insert(index, (turn, from));
    }

    /// Takes out who is next.
    pub(super) fn pop(&mut self) -> Option<usize> {
        let (turn, index) = self.turns.pop_first()?;
        self.round = turn.round;
        self.remove(index);
        Some(index)
    }

    /// Takes out the connection at `index`, if it is there.
    pub(super) fn remove(&mut self, index: usize) {
        let Some((turn, from)) = self.waiters.remove(&index) else { return };
        self.turns.remove(&turn);
        let address = self.addresses.get_mut(&from).expect("one of it waits");
        address.count -= 1;
        if address.count == 0 {
            self.addresses.remove(&from);
        }
        if self.turns.is_empty() {
            // With what a crowd has made them grow by.
            *self = Waiting::default();
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Bytes of memory that they take here.
    pub(super) fn held_bytes(&self) -> usize {
        if self.waiters.is_empty() {
            return 0;
        }
        let waiter = size_of::<(usize, (Turn, Origin))>() + 1;
        let address = size_of::<(Origin, Address)>() + 1;
        // Nodes of a tree are half full at the least.
        2 * self.turns.len() * size_of::<(Turn, usize)>()
            + self.waiters.capacity() * waiter
            + self.addresses.capacity() * address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> Origin {
        Some([192, 0, 2, last].into())
    }

    #[test]
    fn addresses_take_turns() {
        let mut waiting = Waiting::default();
        (0..100).for_each(|index| waiting.push(index, from(1)));
        assert_eq!((waiting.pop(), waiting.pop()), (Some(0), Some(1)));
        waiting.push(200, from(2));
        waiting.push(201, from(2));
        waiting.push(300, None);
        let next: Vec<usize> = (0..7).filter_map(|_| waiting.pop()).collect();
        assert_eq!(next, [2, 200, 300, 3, 201, 4, 5]);
        // Who comes back has no turn before those that are there.
        waiting.push(202, from(2));
        assert_eq!((waiting.pop(), waiting.pop()), (Some(6), Some(202)));
    }

    #[test]
    fn nothing_is_kept_of_who_has_gone() {
        let mut waiting = Waiting::default();
        (0..1000).for_each(|index| waiting.push(index, from(index as u8)));
        assert!(waiting.held_bytes() > 1000 * 50);
        (0..999).for_each(|index| waiting.remove(index));
        waiting.remove(5);
        assert_eq!((waiting.len(), waiting.addresses.len()), (1, 1));
        assert_eq!((waiting.pop(), waiting.pop()), (Some(999), None));
        assert_eq!((waiting.len(), waiting.held_bytes()), (0, 0));
    }
}
