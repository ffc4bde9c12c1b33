//! Whose turn it is, and for how long: the goes of connections between two polls.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;

use super::Worker;
use crate::limits::{
    BUSY_BYTES_AT_ONCE, BUSY_BYTES_PER_POLL, GOES_AT_ONCE, GOES_PER_POLL, READ_BUF_BYTES,
};
use crate::memory::Level;
use crate::server::go::{Context, End, Go};
use crate::server::ready::Kind;

/// What connections of one kind, or of several, have done since the last poll.
#[derive(Debug, Default)]
struct Round {
    /// See [`Context::spent`].
    spent: usize,
    /// Somebody had a long go.
    was_long: bool,
}

impl Worker {
    /// Lets the light connections that can go go, each once, and then of the busy ones and of the heavy ones as many
    /// as do a bounded amount of work, which may be the same ones several times, so that a deep pipeline costs one
    /// poll. A long go ends the round, so that who comes meanwhile waits for one and not for several.
    pub(super) fn serve(&mut self) {
        let mut round = Round::default();
        let mut light = self.ready.len(Kind::Light);
        while light > 0 && !round.was_long {
            light -= self.serve_some(Kind::Light, light.min(GOES_AT_ONCE), &mut round);
        }
        if self.ready.is_empty() {
            return;
        }
        let mut goes_left = GOES_PER_POLL;
        round.spent = 0;
        // To close one that does not read takes as long as a round.
        round.was_long |= self.line.is_taking();
        for kind in [Kind::Busy, Kind::Heavy] {
            // One at the least, else who goes before them could hold up all of them.
            let is_over = round.was_long || round.spent >= BUSY_BYTES_PER_POLL;
            goes_left = if is_over { 1 } else { goes_left.max(1) };
            goes_left -= self.serve_bounded(kind, goes_left, &mut round);
        }
    }

    /// Lets those of a kind go, so many times at the most, until as much is done as may be between two polls; answers how
    /// many times.
    fn serve_bounded(&mut self, kind: Kind, goes_max: usize, round: &mut Round) -> usize {
        let mut goes = 0;
        round.was_long = false;
        while goes < goes_max && self.ready.len(kind) > 0 {
            let count = (goes_max - goes).min(GOES_AT_ONCE).min(self.ready.len(kind));
            goes += self.serve_some(kind, count, round);
            if round.was_long || round.spent >= BUSY_BYTES_PER_POLL {
                break;
            }
        }
        goes
    }

    /// Lets the first `count` of those of a kind go, all of them reading before any is executed, and
    /// writing afterwards: the kernel's and our own code and tables are each fetched once for several.
    /// Fewer, if they do much or may be expected to: answers how many. A long go ends the round; who has not been
    /// executed by then comes first next time.
    fn serve_some(&mut self, kind: Kind, count: usize, round: &mut Round) -> usize {
        let mut context = Context {
            index: 0,
            mailbox: &self.mailbox,
            asked: &mut self.asked,
            tickets: &mut self.tickets,
            line: &mut self.line,
            pool: &mut self.pool,
            handshakes: &mut self.handshakes,
            pace: &mut self.pace,
            ledger: &mut self.ledger,
            deadlines: &self.deadlines,
            awaited: &mut self.awaited,
            shared: &self.shared,
            control: &self.control,
            counters: self.shared.metrics.block(self.index),
            now: self.now,
            requests_per_turn: self.requests_per_turn,
            stopping: self.deadline.is_some(),
            others_wait: self.ready.len_of_all() > 1,
            was_long: false,
            spent: round.spent,
        };
        let enough = round.spent + BUSY_BYTES_AT_ONCE;
        let mut going: ArrayVec<Go, GOES_AT_ONCE> = ArrayVec::new();
        let (mut unread, mut expected) = (0, 0);
        while going.len() < count
            && unread < READ_BUF_BYTES
            && expected < BUSY_BYTES_AT_ONCE
            && context.spent < enough
        {
            let Some(index) = self.ready.pop(kind) else { break };
            let conn = &mut self.conns[index];
            conn.queued = false;
            expected += conn.moved_bytes() as usize;
            context.index = index;
            let go = conn.begin(&mut context);
            unread += go.unread_len();
            going.push(go);
        }
        let mut long = None;
        for go in &mut going {
            context.index = go.index;
            self.conns[go.index].execute(go, &mut context);
            if context.was_long {
                long = Some(go.index);
                break;
            }
        }
        let count = going.len();
        let mut first: ArrayVec<usize, GOES_AT_ONCE> = ArrayVec::new();
        let mut ended: ArrayVec<(usize, End), GOES_AT_ONCE> = ArrayVec::new();
        for go in going {
            let (index, is_first) = (go.index, go.is_to_execute());
            let conn = &mut self.conns[index];
            context.index = index;
            match conn.end(go, &mut context) {
                Ok(()) if is_first => first.push(index),
                Ok(()) => {
                    conn.note_go(long == Some(index));
                    context.line.note_held(index, conn, context.now.instant);
                    conn.queue(index, &mut self.ready);
                }
                Err(end) => ended.push((index, end)),
            }
        }
        *round = Round { spent: context.spent, was_long: long.is_some() };
        self.conclude(kind, &first, &ended);
        count
    }

    /// After some goes: who has not been executed comes first next time, who has ended is closed.
    #[inline]
    fn conclude(&mut self, kind: Kind, first: &[usize], ended: &[(usize, End)]) {
        for &index in first.iter().rev() {
            self.conns[index].queued = true;
            self.ready.put_back(index, kind);
        }
        for (index, end) in ended {
            self.close(*index, end);
        }
        if self.ledger.has_changed() || self.level > Level::Calm {
            self.settle();
        }
    }
}
