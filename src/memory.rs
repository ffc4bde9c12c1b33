//! The accountant: what clients hold beside the items, part by part, and how tight that makes it.
//!
//! `-m` is for all of it. Each worker keeps a [`Ledger`] of what its connections hold and publishes it
//! after every few goes; what has one owner (backlogs of watchers, the queue of logins, counted prefixes)
//! is asked for. Beyond what is [free](free_bytes) clients are lent memory of the items: the store evicts, and
//! takes no more than what is left. Where that is not enough there are [`Level`]s.
//!
//! ```text
//! 0                    free          free + a quarter of -m   free + half of -m
//! |---- costs no item ----|-- items are evicted --|-- and work waits --|-- and who holds most goes
//!                           Calm                    Tight                Full
//! ```
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

use crossbeam::utils::CachePadded;

use crate::limits::{CLIENTS_FREE_BYTES, CLIENTS_FREE_PART, CLIENTS_FULL_PART};

/// What memory is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Connections that are open, whatever they do.
    Connections,
    /// What was read and not yet executed, and room to read into.
    Input,
    /// Answers that have not been sent.
    Output,
    /// Requests under way: values that arrive (without the value itself, which is in its item), logins,
    /// lists of connections.
    Requests,
    /// Cursors of dumps.
    Dumps,
    /// Keys of TLS connections, and records that have not come or gone whole.
    Tls,
    /// Lines that wait for watchers.
    Watchers,
    /// Prefixes that are counted.
    Prefixes,
    /// Attempts to log in that wait, addresses that have failed, and room to check passwords in.
    Logins,
}

/// Number of [`Part`]s.
const PARTS: usize = Part::Logins as usize + 1;

/// Those that workers do not keep in their ledgers.
const SHARED: [Part; 3] = [Part::Watchers, Part::Prefixes, Part::Logins];

/// How tight it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Clients may take what they are used to.
    #[default]
    Calm,
    /// Reads are small, answers are made a few at a time, and who keeps others waiting has less time.
    Tight,
    /// As `Tight`; there are no new connections, and those that hold most are closed.
    Full,
}

/// What the connections of one worker hold. Its own.
#[derive(Debug, Default)]
pub struct Ledger {
    bytes: [usize; PARTS],
    total: usize,
    published: usize,
}

impl Ledger {
    /// What was `from` bytes has become `to`.
    pub fn change(&mut self, part: Part, from: usize, to: usize) {
        let bytes = &mut self.bytes[part as usize];
        debug_assert!(*bytes >= from, "{part:?}: {from} B given back of {bytes} B");
        *bytes = *bytes - from + to;
        self.total = self.total - from + to;
    }

    /// Whether there is something to be published.
    pub fn has_changed(&self) -> bool {
        self.total != self.published
    }

    /// Bytes in all.
    pub fn total(&self) -> usize {
        self.total
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Accountant {
    /// One for each worker.
    blocks: Box<[CachePadded<[AtomicUsize; PARTS]>]>,
    /// Their sum.
    total: CachePadded<AtomicUsize>,
    shared: [AtomicUsize; SHARED.len()],
    level: AtomicU8,
}

impl Accountant {
    /// Of so many workers that hold nothing.
    pub fn new(workers: usize) -> Accountant {
        Accountant {
            blocks: (0..workers).map(|_| CachePadded::default()).collect(),
            total: CachePadded::default(),
            shared: Default::default(),
            level: AtomicU8::new(Level::Calm as u8),
        }
    }

    /// Takes note of what worker number `worker` has in its ledger.
    pub fn publish(&self, worker: usize, ledger: &mut Ledger) {
        for (cell, bytes) in self.blocks[worker].iter().zip(ledger.bytes) {
            cell.store(bytes, Relaxed);
        }
        // Wraps where it has become less.
        self.total.fetch_add(ledger.total.wrapping_sub(ledger.published), Relaxed);
        ledger.published = ledger.total;
    }

    /// Takes note of what is held for watchers, prefixes and logins.
    pub fn note_shared(&self, watchers: usize, prefixes: usize, logins: usize) {
        for (cell, bytes) in self.shared.iter().zip([watchers, prefixes, logins]) {
            if cell.load(Relaxed) != bytes {
                cell.store(bytes, Relaxed);
            }
        }
    }

    /// Bytes that are held for a part.
    pub fn part(&self, part: Part) -> usize {
        let shared = SHARED.iter().position(|shared| *shared == part);
        shared.map_or(0, |index| self.shared[index].load(Relaxed))
            + self.blocks.iter().map(|block| block[part as usize].load(Relaxed)).sum::<usize>()
    }

    /// Bytes that clients hold in all, as far as that was published.
    pub fn total(&self) -> usize {
        let shared: usize = self.shared.iter().map(|bytes| bytes.load(Relaxed)).sum();
        self.total.load(Relaxed) + shared
    }

    /// How tight it is.
    pub fn level(&self) -> Level {
        match self.level.load(Relaxed) {
            0 => Level::Calm,
            1 => Level::Tight,
            _ => Level::Full,
        }
    }

    /// Bytes that connections hold, as far as that was published: what is left without those of watchers,
    /// prefixes and logins, which no connection's end would give back.
    pub fn of_connections(&self) -> usize {
        self.total.load(Relaxed)
    }

    /// Decides how tight it is with a limit of so many bytes (`-m`), of which clients may be lent `most`.
    /// `is_behind`: they have not got all that they need.
    pub fn judge(&self, limit: usize, most: usize, is_behind: bool) -> Level {
        let free = free_bytes(limit);
        let beyond = self.total().saturating_sub(free);
        let level = if self.of_connections().saturating_sub(free) > most {
            Level::Full
        } else if beyond > most / 2 || (is_behind && beyond > 0) {
            Level::Tight
        } else {
            Level::Calm
        };
        if level != self.level() {
            self.level.store(level as u8, Relaxed);
        }
        level
    }

    /// Bytes of the items' memory that clients need.
    pub fn wanted_bytes(&self, limit: usize) -> usize {
        self.total().saturating_sub(free_bytes(limit)).min(limit / CLIENTS_FULL_PART)
    }
}

/// What clients may hold before it costs any item.
pub fn free_bytes(limit: usize) -> usize {
    let part = limit / CLIENTS_FREE_PART;
    CLIENTS_FREE_BYTES.min(part) + part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ledgers_add_up() {
        let accountant = Accountant::new(2);
        let (mut one, mut two) = (Ledger::default(), Ledger::default());
        one.change(Part::Input, 0, 700);
        two.change(Part::Input, 0, 50);
        two.change(Part::Output, 0, 9);
        accountant.publish(0, &mut one);
        accountant.publish(1, &mut two);
        accountant.note_shared(1000, 200, 3);
        assert_eq!(accountant.total(), 700 + 50 + 9 + 1203);
        assert_eq!((accountant.part(Part::Input), accountant.part(Part::Prefixes)), (750, 200));
        one.change(Part::Input, 700, 40);
        assert!(one.has_changed() && !two.has_changed());
        accountant.publish(0, &mut one);
        assert_eq!((accountant.total(), one.total()), (40 + 50 + 9 + 1203, 40));
    }

    #[test]
    fn levels_follow_what_is_held() {
        let (accountant, mut ledger) = (Accountant::new(1), Ledger::default());
        let limit = 64 << 20;
        let free = free_bytes(limit);
        let mut hold = |bytes: usize, is_behind| {
            ledger.change(Part::Output, ledger.total(), bytes);
            accountant.publish(0, &mut ledger);
            (accountant.judge(limit, limit / 2, is_behind), accountant.wanted_bytes(limit))
        };
        assert_eq!(hold(free, true), (Level::Calm, 0));
        assert_eq!(hold(free + 1, false), (Level::Calm, 1));
        assert_eq!(hold(free + 1, true), (Level::Tight, 1));
        assert_eq!(hold(free + limit / 4, false), (Level::Calm, limit / 4));
        assert_eq!(hold(free + limit / 4 + 1, false), (Level::Tight, limit / 4 + 1));
        assert_eq!(hold(free + limit / 2 + 1, false), (Level::Full, limit / 2));
        assert_eq!(hold(0, false), (Level::Calm, 0));
        hold(free + 1, false);
        assert_eq!(accountant.judge(limit, 0, true), Level::Full, "nothing can be lent");
        hold(0, false);
        accountant.note_shared(limit, 0, 0);
        assert_eq!(
            accountant.judge(limit, limit / 2, false),
            Level::Tight,
            "nobody could go for it"
        );
    }
}
