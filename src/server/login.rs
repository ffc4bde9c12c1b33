//! The thread that judges logins.
//!
//! ```text
//! worker ── Attempt, Ticket ──► [nuthatch-auth]: Gate ── Verdict, Ticket ──► worker
//! acceptor ── Reload (SIGHUP) ──►   │
//!                                   └─ once a second: has the file changed?
//! ```
//!
//! A check of a password may take some ten milliseconds and 20 MB, and the answer to one who guesses
//! waits: neither is to happen where requests are served. A connection has one attempt at a time, and who
//! has left is not judged any more, so what waits here has the bound of `-c`. Addresses take turns: who has a thousand connections that guess holds
//! up the login of another address by one check.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};

use super::mail::{Mailbox, Message};
use super::tickets::Ticket;
use crate::auth::{Attempt, Gate, Judgement, Origin, Verdict};
use crate::clock::Clock;

/// How often the file is looked at while nobody logs in.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Least time between two log lines about refused logins.
const COMPLAIN_EVERY: Duration = Duration::from_millis(100);

/// What an attempt takes beside what the client has sent: its place in queues, its ticket.
const BESIDE_ATTEMPT_BYTES: usize = 256;

/// For how long an attempt waits at the most while the file is being written.
const SETTLE_MAX: Duration = Duration::from_millis(500);

/// Where attempts are handed in.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    jobs: Sender<Job>,
    /// Bytes of memory for what waits, and for checks.
    held_bytes: Arc<AtomicUsize>,
}

enum Job {
    Judge(Attempt, Ticket, Mailbox, Charge),
    Reload,
    #[cfg(test)]
    Panic,
}

/// An attempt that has been judged, or is to be judged later.
struct Held<T> {
    at: Instant,
    ticket: Ticket,
    mailbox: Mailbox,
    what: T,
    charge: Charge,
}

/// Bytes of memory that are counted for as long as it is there.
struct Charge {
    bytes: usize,
    cell: Arc<AtomicUsize>,
}

/// Attempts that have not been judged, by where they come from.
#[derive(Default)]
struct Queue {
    by_origin: HashMap<Origin, VecDeque<Held<Attempt>>>,
    /// Whose turn is next; each once.
    turns: VecDeque<Origin>,
}

struct Clerk {
    gate: Gate,
    /// What the gate holds, as it stands in `held_bytes`.
    gate_bytes: usize,
    held_bytes: Arc<AtomicUsize>,
    clock: Arc<Clock>,
    jobs: Receiver<Job>,
    /// Verdicts whose time has not come, the earliest first, and where the others are.
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    held: HashMap<u64, Held<Verdict>>,
    held_count: u64,
    unjudged: Queue,
    /// When there is more to do, if nothing comes before.
    next_at: Instant,
    complained_at: Option<Instant>,
    unmentioned: u64,
}

impl Charge {
    fn new(bytes: usize, cell: &Arc<AtomicUsize>) -> Charge {
        cell.fetch_add(bytes, Relaxed);
        Charge { bytes, cell: Arc::clone(cell) }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.cell.fetch_sub(self.bytes, Relaxed);
    }
}

impl Queue {
    fn push(&mut self, held: Held<Attempt>) {
        let from = held.what.from;
        let own = self.by_origin.entry(from).or_insert_with(|| {
            self.turns.push_back(from);
            VecDeque::new()
        });
        own.push_back(held);
    }

    /// The next that somebody waits for, if it need not wait for the file any longer or nobody needs to.
    fn pop(&mut self, may_wait: bool, now: Instant) -> Option<Held<Attempt>> {
        loop {
            let held = self.pop_any(may_wait, now)?;
            if held.ticket.is_open() {
                return Some(held);
            }
        }
    }

    fn pop_any(&mut self, may_wait: bool, now: Instant) -> Option<Held<Attempt>> {
        let from = *self.turns.front()?;
        let own = self.by_origin.get_mut(&from)?;
        if may_wait && own.front().is_some_and(|held| now < held.at && held.ticket.is_open()) {
            return None;
        }
        let held = own.pop_front();
        self.turns.pop_front();
        if own.is_empty() {
            self.by_origin.remove(&from);
        } else {
            self.turns.push_back(from);
        }
        held
    }
}

impl Desk {
    /// Hands an attempt in; the verdict comes as mail.
    pub(super) fn judge(&self, attempt: Attempt, ticket: Ticket, mailbox: &Mailbox) {
        let charge = Charge::new(attempt.held_bytes() + BESIDE_ATTEMPT_BYTES, &self.held_bytes);
        let _gone = self.jobs.send(Job::Judge(attempt, ticket, mailbox.clone(), charge));
    }

    /// Breaks the thread.
    #[cfg(test)]
    pub(super) fn panic(&self) {
        let _gone = self.jobs.send(Job::Panic);
    }

    /// Has the file read again.
    pub(super) fn reload(&self) {
        let _gone = self.jobs.send(Job::Reload);
    }

    /// Bytes of memory for attempts that wait, and for checks of passwords.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes.load(Relaxed)
    }
}

/// Starts the thread. It ends once every copy of the desk is gone.
pub(super) fn start(gate: Gate, clock: Arc<Clock>) -> io::Result<(Desk, JoinHandle<()>)> {
    gate.check_readable();
    let (sender, jobs) = channel::unbounded();
    let held_bytes = Arc::new(AtomicUsize::new(0));
    let mut clerk = Clerk {
        gate,
        gate_bytes: 0,
        held_bytes: Arc::clone(&held_bytes),
        next_at: clock.now().instant,
        clock,
        jobs,
        due: BinaryHeap::new(),
        held: HashMap::new(),
        held_count: 0,
        unjudged: Queue::default(),
        complained_at: None,
        unmentioned: 0,
    };
    let thread =
        thread::Builder::new().name("nuthatch-auth".to_owned()).spawn(move || clerk.run())?;
    Ok((Desk { jobs: sender, held_bytes }, thread))
}

impl Clerk {
    fn run(&mut self) {
        // Room for checks is the items' no longer by the time that it is needed.
        self.note_gate();
        loop {
            let now = self.clock.now().instant;
            match self.jobs.recv_timeout(self.next_at.saturating_duration_since(now)) {
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Ok(job) = self.jobs.try_recv() {
                self.take(job);
            }
            self.work();
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Judge(attempt, ticket, mailbox, charge) => {
                let now = self.clock.now().instant;
                let is_good = self.gate.is_good_at_once(&attempt);
                let held = Held { at: now + SETTLE_MAX, ticket, mailbox, what: attempt, charge };
                // Others may have to be hashed first, unless the file is just being written.
                if is_good && self.gate.look(now).is_none() {
                    self.judge(held);
                } else {
                    self.unjudged.push(held);
                }
            }
            Job::Reload => {
                self.gate.reload();
                self.note_gate();
            }
            #[cfg(test)]
            Job::Panic => panic!("a test\nwants it"),
        }
    }

    /// Judges one attempt, tells what is due, and notes when there is more to do.
    fn work(&mut self) {
        let now = self.clock.now().instant;
        // While the file is being written who comes waits for what it will say.
        let settles_at = self.gate.look(now);
        let judged = self.unjudged.pop(settles_at.is_some(), now);
        let is_idle = judged.is_none();
        judged.into_iter().for_each(|held| self.judge(held));
        let now = self.clock.now().instant;
        while let Some(Reverse((at, number))) = self.due.peek().copied()
            && at <= now
        {
            self.due.pop();
            if let Some(held) = self.held.remove(&number) {
                tell(held);
            }
        }
        let look_at = if is_idle { settles_at.unwrap_or(now + LOOK_EVERY) } else { now };
        self.next_at = self.due.peek().map_or(look_at, |Reverse((at, _))| look_at.min(*at));
    }

    fn judge(&mut self, held: Held<Attempt>) {
        let Held { ticket, mailbox, what: attempt, charge, .. } = held;
        let (now, from) = (self.clock.now().instant, attempt.from);
        let is_certificate = matches!(attempt.ask, crate::auth::Ask::Names(_));
        let Judgement { verdict, at, was_looked_at } = self.gate.judge(attempt, now);
        if matches!(verdict, Verdict::Refused) && !is_certificate {
            self.complain(from, was_looked_at, now);
        }
        self.note_gate();
        let held = Held { at, ticket, mailbox, what: verdict, charge };
        if at <= now {
            return tell(held);
        }
        self.held_count += 1;
        self.due.push(Reverse((at, self.held_count)));
        self.held.insert(self.held_count, held);
    }

    /// Notes what the gate holds by now.
    fn note_gate(&mut self) {
        let bytes = self.gate.held_bytes();
        self.held_bytes.fetch_add(bytes.wrapping_sub(self.gate_bytes), Relaxed);
        self.gate_bytes = bytes;
    }

    /// Logs a refused login. Whose it was is not said: it may be a password in the place of a name.
    fn complain(&mut self, from: Origin, was_looked_at: bool, now: Instant) {
        if self.complained_at.is_some_and(|at| now.duration_since(at) < COMPLAIN_EVERY) {
            self.unmentioned += 1;
            return;
        }
        self.complained_at = Some(now);
        let from = from.map_or("a unix socket".to_owned(), |address| address.to_string());
        let why = if was_looked_at { "" } else { " unseen, after too many failures from there" };
        match std::mem::take(&mut self.unmentioned) {
            0 => log::warn!("a login from {from} was refused{why}"),
            more => log::warn!("a login from {from} was refused{why}, and {more} more before it"),
        }
    }
}

fn tell(held: Held<Verdict>) {
    held.mailbox.send(Message::Verdict(held.ticket, Box::new(held.what)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Ask;
    use crate::server::tickets::Tickets;

    /// Attempts from three places, the first of which has most of them.
    #[test]
    fn addresses_take_turns() {
        let poll = mio::Poll::new().expect("poll");
        let (mailbox, _mail) = Mailbox::new(poll.registry(), mio::Token(0)).expect("mailbox");
        let now = Clock::start().now().instant;
        let mut queue = Queue::default();
        let mut tickets = Tickets::default();
        let cell = Arc::default();
        for (index, place) in [1, 1, 1, 2, 1, 3, 2].into_iter().enumerate() {
            let from = Some(core::net::IpAddr::from([192, 0, 2, place]));
            let attempt = Attempt { ask: Ask::Mechanisms, from };
            let ticket = tickets.issue(index);
            let (mailbox, charge) = (mailbox.clone(), Charge::new(1, &cell));
            queue.push(Held { at: now, ticket, mailbox, what: attempt, charge });
        }
        let mut next = || queue.pop(false, now).map(|held| held.ticket.index);
        let order: Vec<_> = std::iter::from_fn(&mut next).collect();
        assert_eq!(order, [0, 3, 5, 1, 6, 2, 4]);
        assert!(queue.by_origin.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn who_has_left_is_not_judged() {
        let poll = mio::Poll::new().expect("poll");
        let (mailbox, _mail) = Mailbox::new(poll.registry(), mio::Token(0)).expect("mailbox");
        let now = Clock::start().now().instant;
        let (mut queue, mut tickets) = (Queue::default(), Tickets::default());
        let cell: Arc<AtomicUsize> = Arc::default();
        for index in 0..3 {
            let attempt = Attempt { ask: Ask::Mechanisms, from: None };
            let (ticket, mailbox) = (tickets.issue(index), mailbox.clone());
            let charge = Charge::new(1, &cell);
            queue.push(Held { at: now + SETTLE_MAX, ticket, mailbox, what: attempt, charge });
        }
        tickets.void(0);
        tickets.void(2);
        assert!(queue.pop(true, now).is_none(), "the file is awaited");
        assert_eq!(queue.pop(false, now).map(|held| held.ticket.index), Some(1));
        assert!(queue.pop(false, now).is_none());
        assert_eq!(cell.load(Relaxed), 0, "nothing waits");
    }
}
