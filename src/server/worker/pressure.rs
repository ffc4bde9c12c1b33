//! A worker's part in keeping to the memory: it says what its connections hold, has the items give way to
//! them, and where that is not enough closes those that hold most.
#![forbid(unsafe_code)]

use super::Worker;
use crate::heap;
use crate::limits::{
    GIVE_BACK_FROM_BYTES, LEND_STEP_PART, SHED_LEAST_BYTES, SHED_TO_EIGHTHS, WAY_SLICES_PER_ROUND,
};
use crate::memory::{Level, Part, free_bytes};
use crate::metrics::Counter;
use crate::server::conn::Conn;
use crate::server::crowd::SEAT_BYTES;
use crate::server::go::End;

/// What a connection takes beside its [`Conn`]: its place among the descriptors, and what the event loop
/// and the allocator add.
const BESIDE_CONN_BYTES: usize = 64;

/// Every so many calls of [`Worker::settle`], and once a second, it is looked at what is in no ledger, or in
/// those of others: backlogs of watchers, prefixes, logins.
pub(super) const SHARED_EVERY: u32 = 16;

/// Places for connections that stay when nobody needs them; some 150 kB.
const PLACES_KEPT: usize = 1024;

/// What a worker has in its ledger for all of its connections together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Common {
    connections: usize,
    input: usize,
    output: usize,
    tls: usize,
}

impl Worker {
    /// Publishes what has changed and does what follows from it. Called after every few goes: between two
    /// calls no more can come than these can hold.
    pub(super) fn settle(&mut self) {
        self.settle_common();
        self.settled = self.settled.wrapping_add(1);
        // Also where others have found that it is not calm.
        let level = self.level.max(self.shared.memory.level());
        let is_due = self.settled.is_multiple_of(SHARED_EVERY) || level > Level::Calm;
        if !is_due && !self.ledger.has_changed() {
            return;
        }
        self.publish();
        let shared = &self.shared;
        self.most_held = self.most_held.max(shared.memory.total());
        let limit = shared.store.limit_bytes();
        let is_calm = shared.memory.total() <= free_bytes(limit);
        if is_calm && self.level == Level::Calm && shared.memory.level() == Level::Calm {
            return;
        }
        let has_enough = self.lend(limit);
        self.make_way(limit, has_enough);
        self.pool.set_level(self.level);
        if self.level == Level::Full {
            self.shed(limit);
        }
    }

    /// Has what depends on the memory limit keep to it.
    pub(super) fn set_limit(&mut self) {
        let limit = self.shared.store.limit_bytes();
        self.pool.set_limit(limit, self.threads);
        self.handshakes.set_limit(limit, self.threads);
    }

    /// Whether a crowd has gone that its table of connections had to grow for: what clients hold is also that.
    pub(super) fn has_empty_places(&self) -> bool {
        self.conns.capacity() > PLACES_KEPT && self.conns.len() < self.conns.capacity() / 4
    }

    fn publish(&mut self) {
        let shared = &self.shared;
        shared.memory.publish(self.index, &mut self.ledger);
        let logins = self.control.desk.as_ref().map_or(0, |desk| desk.held_bytes());
        shared.memory.note_shared(
            shared.store.hub().held_bytes(),
            shared.prefixes.held_bytes(),
            logins,
        );
    }

    fn settle_common(&mut self) {
        let (input, output) = self.pool.held_bytes();
        let now = Common {
            connections: self.conns.capacity() * size_of::<Conn>()
                + self.conns.len() * BESIDE_CONN_BYTES
                + self.seats.capacity() * SEAT_BYTES,
            input,
            output,
            tls: self.handshakes.held_bytes(),
        };
        if now == self.common {
            return;
        }
        let before = &self.common;
        self.ledger.change(Part::Connections, before.connections, now.connections);
        self.ledger.change(Part::Input, before.input, now.input);
        self.ledger.change(Part::Output, before.output, now.output);
        self.ledger.change(Part::Tls, before.tls, now.tls);
        self.common = now;
    }

    /// Lends clients what they need of the items' memory, in steps, so that a few bytes more do not change
    /// the shares of all shards. False: they have not got as much.
    fn lend(&self, limit: usize) -> bool {
        let (store, memory) = (&self.shared.store, &self.shared.memory);
        let wanted = memory.wanted_bytes(limit);
        if !store.can_give_way() {
            return wanted <= store.lent_bytes();
        }
        let lendable = store.lendable_bytes();
        let to_lend = wanted.next_multiple_of((limit / LEND_STEP_PART).max(1)).min(lendable);
        if to_lend > store.lent_bytes() {
            store.lend_to_clients(to_lend);
        }
        wanted <= lendable
    }

    /// Once a second: what clients do not need any more goes back to the system, and to the items bit by bit,
    /// since who has just needed it may need it again.
    pub(super) fn take_back(&mut self) {
        let held = self.shared.memory.total();
        if held + GIVE_BACK_FROM_BYTES <= self.most_held {
            heap::give_back();
            self.most_held = held;
        }
        let store = &self.shared.store;
        if let Some(resident) = &mut self.resident {
            resident.keep_to(store.limit_bytes());
        }
        if !store.can_give_way() {
            return;
        }
        let (limit, lent) = (store.limit_bytes(), store.lent_bytes());
        let step = (limit / LEND_STEP_PART).max(1);
        let wanted = self.shared.memory.wanted_bytes(limit).next_multiple_of(step);
        if wanted < lent {
            store.lend_to_clients(lent - ((lent - wanted) / 4).max(step).min(lent - wanted));
        }
    }

    /// Has the items give back what is lent, as far as a few slices do, and judges what that comes to.
    fn make_way(&mut self, limit: usize, has_enough: bool) {
        let (store, memory) = (&self.shared.store, &self.shared.memory);
        let mut is_behind = store.is_above_limit();
        for _ in 0..WAY_SLICES_PER_ROUND {
            if !is_behind || !store.make_way(self.now.secs) {
                break;
            }
            is_behind = store.is_above_limit();
        }
        self.level = memory.judge(limit, store.lent_bytes_max(), is_behind || !has_enough);
    }

    /// Closes the connections that hold most, and more than what would be everybody's part, until there is
    /// room again. Only of a worker that holds its part of all: what others hold is theirs to give up. Who is
    /// about to go is not among them: it has its go first.
    fn shed(&mut self, limit: usize) {
        let memory = &self.shared.memory;
        let holds_its_part = self.ledger.total() * self.threads >= memory.of_connections();
        if !holds_its_part || memory.of_connections() < self.shed_from {
            return;
        }
        let full = free_bytes(limit) + self.shared.store.lent_bytes_max();
        let count = self.shared.metrics.connections.count().max(1);
        let fair = (full / count).max(SHED_LEAST_BYTES);
        let mut greedy: Vec<(usize, usize)> = self
            .conns
            .iter()
            .filter(|(_, conn)| !conn.queued && conn.held_bytes() > fair)
            .map(|(index, conn)| (conn.held_bytes(), index))
            .collect();
        greedy.sort_unstable();
        let enough = full / 8 * SHED_TO_EIGHTHS;
        let mut closed = 0;
        while self.shared.memory.of_connections() > enough
            && let Some((_, index)) = greedy.pop()
        {
            self.close(index, &End::Shed);
            self.shared.memory.publish(self.index, &mut self.ledger);
            closed += 1;
        }
        if closed > 0 {
            self.shared.metrics.block(self.index).add(Counter::MemoryKicks, closed);
            let most = self.shared.store.lent_bytes_max();
            self.level = self.shared.memory.judge(limit, most, false);
            log::warn!("memory is full: {closed} connections that held most of it were closed");
        } else {
            // To look at all of them again is of no use before there is more.
            self.shed_from = self.shared.memory.of_connections() + limit / LEND_STEP_PART;
        }
    }
}
