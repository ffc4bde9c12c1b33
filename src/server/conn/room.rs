//! A connection that waits for memory, or holds memory that others wait for.
#![forbid(unsafe_code)]

use super::Conn;
use crate::metrics::{Counter, Counters};
use crate::server::go::Context;
use crate::server::worker::Held;
use crate::session::Room;

/// What a connection's wait for memory has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RoomWait {
    /// It does not wait.
    #[default]
    None,
    /// It stands in the worker's line.
    Room,
    /// It is to be refused.
    Over,
}

impl Conn {
    /// Stands in line. While the server stops nobody waits.
    pub(super) fn wait_for_room(&mut self, room: Room, context: &mut Context<'_>) {
        if context.stopping {
            self.room_wait = RoomWait::Over;
            return;
        }
        self.is_asking = true;
        self.room_wait = RoomWait::Room;
        if context.line.enter(context.index, room, &context.now) {
            context.counters.bump(Counter::MemoryWaits);
        }
    }

    /// Whether it stands in line.
    pub(in crate::server) fn is_waiting_for_room(&self) -> bool {
        self.is_asking && self.room_wait == RoomWait::Room
    }

    /// Ends its wait: it may try again, or else is refused.
    pub(in crate::server) fn end_wait(&mut self, may_try: bool) {
        self.is_asking = false;
        self.room_wait = if may_try { RoomWait::None } else { RoomWait::Over };
    }

    /// Memory that a value keeps others from, unless it is for the server to go on. Of what is being sent,
    /// what is left counts.
    pub(in crate::server) fn held_on_its_way(&self) -> Option<Held> {
        if let Some(arrival) = self.session.arrival() {
            let held = Held { is_arriving: true, bytes: arrival.held, left: arrival.remaining };
            return (!self.is_asking && !self.readable).then_some(held);
        }
        let bytes = self.held.as_ref().map_or(0, |held| held.output.pinned_len());
        (bytes > 0 && !self.writable).then_some(Held { is_arriving: false, bytes, left: bytes })
    }

    /// Takes the memory of the value that is arriving.
    pub(in crate::server) fn take_arrival(&mut self, counters: &Counters) {
        self.session.take_arrival(counters);
    }
}
