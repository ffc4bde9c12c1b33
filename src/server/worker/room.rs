//! Connections that wait for room for a large value, and those whose memory they need.
//!
//! Who waits is not read and stands in a line. Every few milliseconds it is looked, from its front on but for
//! what [`order`] says, whom the store has room for: a few of those try again, and some whose wait has been too long are refused.
//! While others wait anywhere, values that stand still are given up: one that arrives loses its memory, and
//! who does not read what is sent from its item is closed, the largest first; the sooner, the more wait.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use super::Worker;
use crate::clock::Now;
use crate::limits::{
    ROOM_HEADWAY_PART, ROOM_LINE_LONG, ROOM_REFUSED_PART, ROOM_RETRY, ROOM_STALL, ROOM_STALL_LOOK,
    ROOM_STALL_LOOK_CALM, ROOM_STALL_SHORT, ROOM_TAKEN_PART, ROOM_TRIES_MAX, ROOM_WAIT,
};
use crate::metrics::Counter;
use crate::server::conn::{Awaited, Conn};
use crate::server::go::End;
use crate::session::{Room, Shared};

/// Who waits for room, in order, and what was seen of those that hold some.
#[derive(Debug, Default)]
pub(in crate::server) struct Line {
    /// By the order in which they came.
    waiters: BTreeMap<u64, Waiter>,
    /// Their numbers in that order, by the places of connections.
    numbers: HashMap<usize, u64>,
    next: u64,
    /// Of the waiters, as many as the store knows of.
    noted: usize,
    /// When the next look at them is due.
    due: Option<Instant>,
    /// Of values that did not get on in the last go of their connections, by the places of these.
    marks: HashMap<usize, Mark>,
    /// When the next look at those is due.
    stalls_due: Option<Instant>,
    /// What such a look has found, while it is being taken.
    taking: Option<Taking>,
    /// Of values that arrive: their first wait, by the places of connections.
    first_waits: HashMap<usize, FirstWait>,
}

/// When a value that arrives first had to wait. One that gets a little room at a time waits no longer in all than
/// one that gets none, and does not lose its place in the line.
#[derive(Clone, Copy, Debug)]
struct FirstWait {
    number: u64,
    since: Instant,
    /// When it waited last, and what it held then.
    last: Instant,
    held: usize,
}

#[derive(Debug)]
struct Waiter {
    index: usize,
    room: Room,
    /// When it began to wait for this.
    since: Instant,
    /// It has been let try again.
    is_trying: bool,
}

/// A value on its way that belongs to one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Held {
    /// It arrives, and is not being sent.
    pub(in crate::server) is_arriving: bool,
    /// Bytes of memory that it keeps others from.
    pub(in crate::server) bytes: usize,
    /// Bytes that have yet to come or go.
    pub(in crate::server) left: usize,
}

/// How far it had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    held: Held,
    since: Instant,
}

/// Values that stand still, with the places of their connections, largest first, and the bytes that all
/// values on their way held before any of these was taken.
#[derive(Debug)]
struct Taking {
    stalled: VecDeque<(usize, Mark)>,
    before: usize,
}

impl Line {
    /// Puts the connection at `index` at the end of the line, or back where it was if it has tried in
    /// vain. True: it had not waited for this.
    pub(in crate::server) fn enter(&mut self, index: usize, room: Room, now: &Now) -> bool {
        self.due.get_or_insert(now.instant + ROOM_RETRY);
        let held = self.numbers.get(&index).and_then(|number| self.waiters.get_mut(number));
        if let Some(waiter) = held.filter(|waiter| waiter.room == room) {
            waiter.is_trying = false;
            return false;
        }
        let (number, since) = self.first_wait(index, room, now.instant);
        if let Some(before) = self.numbers.insert(index, number) {
            self.waiters.remove(&before);
        }
        self.waiters.insert(number, Waiter { index, room, since, is_trying: false });
        true
    }

    /// The place in the line of who waits for `room`, and since when it waits.
    fn first_wait(&mut self, index: usize, room: Room, now: Instant) -> (u64, Instant) {
        let next = FirstWait { number: self.next, since: now, last: now, held: 0 };
        self.next += 1;
        let Room::Upload { held, .. } = room else { return (next.number, now) };
        let before = self.first_waits.get(&index).copied();
        // A value holds more each time; with less it is another one, as after a while without a wait.
        let goes_on = |it: &FirstWait| held > it.held && now <= it.last + ROOM_WAIT;
        let first = FirstWait { last: now, held, ..before.filter(goes_on).unwrap_or(next) };
        self.first_waits.insert(index, first);
        (first.number, first.since)
    }

    /// The connection at `index` has gone.
    pub(super) fn forget(&mut self, index: usize) {
        if let Some(number) = self.numbers.remove(&index) {
            self.waiters.remove(&number);
        }
        self.marks.remove(&index);
        self.first_waits.remove(&index);
    }

    /// Whether values that stand still are being taken.
    pub(super) fn is_taking(&self) -> bool {
        self.taking.is_some()
    }

    /// How long the poll may wait that may otherwise wait for `tick`: until the next look.
    pub(super) fn until_due(&self, now: &Now, tick: Option<Duration>) -> Option<Duration> {
        if self.is_taking() {
            return Some(Duration::ZERO);
        }
        let Some(due) = self.due.into_iter().chain(self.stalls_due).min() else { return tick };
        let due = due.saturating_duration_since(now.instant);
        Some(tick.map_or(due, |tick| tick.min(due)))
    }

    /// Takes note after a go of the connection at `index` of what that holds and others may need.
    pub(super) fn note_held(&mut self, index: usize, conn: &Conn, now: Instant) {
        if let Some(held) = conn.held_on_its_way() {
            self.marks.entry(index).or_insert(Mark { held, since: now });
            self.stalls_due.get_or_insert(now + ROOM_STALL_LOOK);
        }
    }

    /// Lets those try again that there is room for, and ends waits that have been too long; answers with
    /// their places.
    fn look(&mut self, shared: &Shared, conns: &mut Slab<Conn>, now: &Now) -> Vec<usize> {
        let store = &shared.store;
        let numbers = &mut self.numbers;
        self.waiters.retain(|_, waiter| {
            let conn = &conns[waiter.index];
            let waits = conn.is_waiting_for_room() || (waiter.is_trying && conn.queued);
            if !waits {
                numbers.remove(&waiter.index);
            }
            waits
        });
        let mut going = Vec::new();
        let taken_max = store.items_limit_bytes() / ROOM_REFUSED_PART;
        let mut taken = 0;
        for number in order(&self.waiters) {
            if going.len() == ROOM_TRIES_MAX {
                break;
            }
            let Some(waiter) = self.waiters.get_mut(&number) else { continue };
            let conn = &mut conns[waiter.index];
            if store.has_room(waiter.room) {
                conn.end_wait(true);
            } else if now.instant >= waiter.since + ROOM_WAIT && taken <= taken_max {
                if let Room::Upload { held, .. } = waiter.room {
                    taken += held;
                }
                conn.end_wait(false);
            } else {
                continue;
            }
            waiter.is_trying = true;
            going.push(waiter.index);
        }
        self.due = (!self.waiters.is_empty()).then(|| now.instant + ROOM_RETRY);
        going
    }

    /// Tells the store how many wait.
    fn note(&mut self, shared: &Shared) {
        let count = self.waiters.len();
        if count != self.noted {
            shared
                .store
                .note_waiting(count.saturating_sub(self.noted), self.noted.saturating_sub(count));
            self.noted = count;
        }
    }

    /// The places of those that have made no headway for so long, with what they hold, largest first.
    fn stalled(
        &mut self,
        conns: &Slab<Conn>,
        now: Instant,
        patience: Duration,
    ) -> VecDeque<(usize, Mark)> {
        let mut stalled = Vec::new();
        self.marks.retain(|index, mark| {
            let Some(held) = conns[*index].held_on_its_way() else { return false };
            if mark.held.is_ahead(&held) {
                *mark = Mark { held, since: now };
            } else if now >= mark.since + patience {
                stalled.push((*index, *mark));
            }
            true
        });
        stalled.sort_unstable_by_key(|(_, mark)| Reverse(mark.held.bytes));
        stalled.into()
    }
}

/// The numbers of those that are to be looked at, as long as there is room for some. Who is sending a value comes
/// in turn, since it holds memory already; of those that want to be sent something the last comes first: ahead
/// of it may be many that do not read, who would each have their time before it, so that its wait were over. As
/// long as there is room now and then, nobody waits long.
fn order(waiters: &BTreeMap<u64, Waiter>) -> Vec<u64> {
    let waiting = || waiters.iter().filter(|(_, waiter)| !waiter.is_trying);
    let is_pin = |waiter: &Waiter| matches!(waiter.room, Room::Pin { .. });
    let mut last_first = waiting().rev().filter(|(_, waiter)| is_pin(waiter));
    let in_turn = |(number, waiter): (&u64, &Waiter)| match is_pin(waiter) {
        true => last_first.next().map_or(*number, |(number, _)| *number),
        false => *number,
    };
    waiting().map(in_turn).collect()
}

impl Held {
    /// Whether `later` is something else, or has come on.
    fn is_ahead(&self, later: &Held) -> bool {
        self.is_arriving != later.is_arriving
            || later.left > self.left
            || self.left - later.left > self.bytes / ROOM_HEADWAY_PART
    }
}

impl Worker {
    /// Looks after those who wait for room, when that is due.
    pub(super) fn serve_line(&mut self) {
        if self.line.due.is_some_and(|due| self.now.instant >= due) {
            for index in self.line.look(&self.shared, &mut self.conns, &self.now) {
                self.queue(index);
            }
        }
        self.line.note(&self.shared);
        self.pool.set_filling(self.shared.store.is_filling_up());
        if self.line.stalls_due.is_some_and(|due| self.now.instant >= due) {
            self.look_for_stalled();
        }
        self.take_stalled();
    }

    /// Looks for what stands still, if others need it.
    fn look_for_stalled(&mut self) {
        let store = &self.shared.store;
        let patience = if store.waiting() > ROOM_LINE_LONG { ROOM_STALL_SHORT } else { ROOM_STALL };
        let stalled = self.line.stalled(&self.conns, self.now.instant, patience);
        let is_crowded = store.is_crowded();
        let until_next = if is_crowded { ROOM_STALL_LOOK } else { ROOM_STALL_LOOK_CALM };
        self.line.stalls_due = (!self.line.marks.is_empty()).then(|| self.now.instant + until_next);
        let before = store.on_its_way_bytes();
        self.line.taking = is_crowded.then_some(Taking { stalled, before });
    }

    /// Takes what stands still from its owners, one that is being sent in each turn: the kernel's part of closing a
    /// connection whose client does not read is to free what lies in its socket.
    fn take_stalled(&mut self) {
        let Some(mut taking) = self.line.taking.take() else { return };
        let store = Arc::clone(&self.shared.store);
        let taken_max = store.items_limit_bytes() / ROOM_TAKEN_PART;
        let counters = self.shared.metrics.block(self.index);
        while let Some((index, mark)) = taking.stalled.pop_front() {
            // A value that several are being sent is free once all of them have gone.
            let taken = taking.before.saturating_sub(store.on_its_way_bytes());
            if taken > taken_max || !store.is_crowded() {
                return;
            }
            // Its connection may have gone, or have come on.
            if self.line.marks.get(&index) != Some(&mark) {
                continue;
            }
            let conn = &mut self.conns[index];
            if conn.queued || conn.held_on_its_way() != Some(mark.held) {
                continue;
            }
            if mark.held.is_arriving {
                counters.bump(Counter::ArrivalsTaken);
                conn.take_arrival(counters);
            } else {
                counters.bump(Counter::ReaderKicks);
                self.close(index, &End::Overdue(Awaited::Reading));
                self.line.taking = Some(taking);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn of_who_is_to_be_sent_something_the_last_is_looked_at_first() {
        let now = Clock::start().now();
        let mut line = Line::default();
        let (pin, upload) = (Room::Pin { bytes: 5 }, Room::Upload { held: 1, missing: 1 });
        for (index, room) in [pin, upload, pin, upload, pin].into_iter().enumerate() {
            line.enter(index, room, &now);
        }
        assert_eq!(order(&line.waiters), [4, 1, 2, 3, 0]);
        line.waiters.get_mut(&4).expect("it waits").is_trying = true;
        assert_eq!(order(&line.waiters), [2, 1, 0, 3]);
    }

    /// A value that gets a little at a time is not waited with for longer than one that gets nothing.
    #[test]
    fn a_value_has_one_time_for_all_its_waits() {
        let start = Clock::start().now();
        let at = |secs: u64| Now { instant: start.instant + Duration::from_secs(secs), ..start };
        let room = |held| Room::Upload { held, missing: 1000 };
        let mut line = Line::default();
        let since = |line: &Line, index| {
            let waiter = &line.waiters[&line.numbers[&index]];
            waiter.since.duration_since(start.instant).as_secs()
        };
        assert!(line.enter(7, room(100), &at(0)) && line.enter(8, room(100), &at(1)));
        assert!(line.enter(7, room(200), &at(3)) && line.enter(7, room(300), &at(6)));
        assert_eq!((since(&line, 7), since(&line, 8)), (0, 1));
        assert!(line.numbers[&7] < line.numbers[&8], "it keeps its place");
        assert!(line.enter(7, room(50), &at(7)), "another value");
        assert_eq!(since(&line, 7), 7);
        assert!(line.numbers[&7] > line.numbers[&8]);
        assert!(line.enter(7, room(60), &at(13)), "it has had all it needed meanwhile");
        assert_eq!(since(&line, 7), 13);
        line.forget(7);
        assert!(line.enter(7, room(70), &at(14)));
        assert_eq!(since(&line, 7), 14, "another client");
        assert!(line.enter(8, Room::Pin { bytes: 5 }, &at(15)));
        assert_eq!((since(&line, 8), line.waiters.len()), (15, 2));
    }
}
