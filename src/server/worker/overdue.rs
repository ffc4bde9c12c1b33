//! Once a second: who is late is closed, a part of the connections in each turn.
#![forbid(unsafe_code)]

use super::Worker;
use crate::metrics::Counter;
use crate::server::conn::Awaited;
use crate::server::go::End;

/// Places that are looked at in one turn: some 20 to 50 µs.
const PLACES_PER_TURN: usize = 1024;

impl Worker {
    /// Whether anybody may be late.
    pub(super) fn awaits_any(&self) -> bool {
        self.awaited > 0
            || self.handshakes.is_busy()
            || (self.idle_timeout_secs > 0 && !self.conns.is_empty())
    }

    /// Looks at the next places; once at all of them before it begins anew, in the next second at the earliest.
    pub(super) fn close_overdue(&mut self) {
        let Some(first) = self.overdue_from else { return };
        let mut last = (first + PLACES_PER_TURN).min(self.conns.capacity());
        if let Some(index) = (first..last).find(|index| self.close_if_overdue(*index)) {
            last = index + 1;
        }
        self.overdue_from = (last < self.conns.capacity()).then_some(last);
    }

    /// Takes places for handshakes from who has stopped amid one, for those that wait. Who is about to go may be
    /// going on with it.
    pub(super) fn give_up_stopped(&mut self) {
        for index in self.handshakes.stopped(self.now.instant) {
            if !self.conns[index].queued {
                self.shared.metrics.block(self.index).bump(Counter::SslHandshakeErrors);
                self.close(index, &End::Overdue(Awaited::Request));
            }
        }
    }

    /// Whether it was closed with answers that its client has not taken: the kernel frees them, which takes long.
    fn close_if_overdue(&mut self, index: usize) -> bool {
        let now = self.now.secs;
        let Some(conn) = self.conns.get(index).filter(|conn| !conn.queued) else { return false };
        let started = conn.link().handshake_started();
        if started.is_some_and(|at| self.handshakes.is_overdue(at, now)) {
            if conn.link().has_place() {
                self.shared.metrics.block(self.index).bump(Counter::SslHandshakeErrors);
            }
            self.close(index, &End::Overdue(Awaited::Request));
            return false;
        }
        let late = conn.late(now, self.idle_timeout_secs, self.level);
        if let Some(awaited) = late {
            if let Some(counter) = awaited.counter() {
                self.shared.metrics.block(self.index).bump(counter);
            }
            self.close(index, &End::Overdue(awaited));
        }
        matches!(late, Some(Awaited::Reading))
    }
}
