//! The thread that judges logins.
//!
//! ```text
//! worker ── Attempt, Ticket ──► [nuthatch-auth]: Gate ── Verdict, Ticket ──► worker
//! acceptor ── Reload (SIGHUP) ──►   │
//!                                   └─ once a second: has the file changed?
//! ```
//!
//! A check of a password may take some ten milliseconds and 20 MB, and the answer to one who guesses
//! waits: neither is to happen where requests are served. A connection has one attempt at a time, so what
//! waits here has the bound of `-c`.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};

use super::mail::{Mailbox, Message};
use crate::auth::{Attempt, Gate, Judgement, Origin, Verdict};
use crate::clock::Clock;

/// How often the file is looked at while nobody logs in.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Least time between two log lines about refused logins.
const COMPLAIN_EVERY: Duration = Duration::from_millis(100);

/// For how long an attempt waits at the most while the file is being written.
const SETTLE_MAX: Duration = Duration::from_millis(500);

/// Which attempt of which connection of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    /// The connection's place.
    pub(super) index: usize,
    number: u64,
}

/// A worker's attempts that have no verdict yet.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    /// By the places of the connections.
    open: HashMap<usize, u64>,
    last: u64,
}

/// Where attempts are handed in.
#[derive(Clone, Debug)]
pub(super) struct Desk(Sender<Job>);

enum Job {
    Judge(Attempt, Ticket, Mailbox),
    Reload,
}

/// An attempt that has been judged, or is to be judged later.
struct Held<T> {
    at: Instant,
    ticket: Ticket,
    mailbox: Mailbox,
    what: T,
}

struct Clerk {
    gate: Gate,
    clock: Arc<Clock>,
    jobs: Receiver<Job>,
    /// Verdicts whose time has not come, the earliest first, and where the others are.
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    held: HashMap<u64, Held<Verdict>>,
    held_count: u64,
    /// Attempts that wait for the file to settle.
    unjudged: Vec<Held<Attempt>>,
    /// When the file is to be looked at again.
    look_at: Instant,
    complained_at: Option<Instant>,
    unmentioned: u64,
}

impl Tickets {
    /// A ticket for the connection at `index`.
    pub(super) fn issue(&mut self, index: usize) -> Ticket {
        self.last += 1;
        self.open.insert(index, self.last);
        Ticket { index, number: self.last }
    }

    /// Whether the connection is still the one that the ticket was issued to; it is used up then.
    pub(super) fn redeem(&mut self, ticket: Ticket) -> bool {
        let is_valid = self.open.get(&ticket.index) == Some(&ticket.number);
        if is_valid {
            self.open.remove(&ticket.index);
        }
        is_valid
    }

    /// The connection at `index` is gone.
    pub(super) fn void(&mut self, index: usize) {
        self.open.remove(&index);
    }
}

impl Desk {
    /// Hands an attempt in; the verdict comes as mail.
    pub(super) fn judge(&self, attempt: Attempt, ticket: Ticket, mailbox: &Mailbox) {
        let _gone = self.0.send(Job::Judge(attempt, ticket, mailbox.clone()));
    }

    /// Has the file read again.
    pub(super) fn reload(&self) {
        let _gone = self.0.send(Job::Reload);
    }
}

/// Starts the thread. It ends once every copy of the desk is gone.
pub(super) fn start(gate: Gate, clock: Arc<Clock>) -> io::Result<(Desk, JoinHandle<()>)> {
    let (sender, jobs) = channel::unbounded();
    let mut clerk = Clerk {
        gate,
        look_at: clock.now().instant,
        clock,
        jobs,
        due: BinaryHeap::new(),
        held: HashMap::new(),
        held_count: 0,
        unjudged: Vec::new(),
        complained_at: None,
        unmentioned: 0,
    };
    let thread =
        thread::Builder::new().name("nuthatch-auth".to_owned()).spawn(move || clerk.run())?;
    Ok((Desk(sender), thread))
}

impl Clerk {
    fn run(&mut self) {
        loop {
            let now = self.clock.now().instant;
            let next =
                self.due.peek().map_or(self.look_at, |Reverse((at, _))| self.look_at.min(*at));
            match self.jobs.recv_timeout(next.saturating_duration_since(now)) {
                Ok(Job::Judge(attempt, ticket, mailbox)) => {
                    let now = self.clock.now().instant;
                    self.unjudged.push(Held {
                        at: now + SETTLE_MAX,
                        ticket,
                        mailbox,
                        what: attempt,
                    });
                }
                Ok(Job::Reload) => self.gate.reload(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.work();
        }
    }

    /// Judges what can be judged and tells what is due.
    fn work(&mut self) {
        let now = self.clock.now().instant;
        let settles_at = self.gate.look(now);
        self.look_at = settles_at.unwrap_or(now + LOOK_EVERY);
        for held in std::mem::take(&mut self.unjudged) {
            // While the file is being written who comes waits for what it will say.
            if settles_at.is_some() && now < held.at {
                self.unjudged.push(held);
            } else {
                self.judge(held);
            }
        }
        let now = self.clock.now().instant;
        while let Some(Reverse((at, number))) = self.due.peek().copied()
            && at <= now
        {
            self.due.pop();
            if let Some(held) = self.held.remove(&number) {
                tell(held);
            }
        }
    }

    fn judge(&mut self, held: Held<Attempt>) {
        let Held { ticket, mailbox, what: attempt, .. } = held;
        let (now, from) = (self.clock.now().instant, attempt.from);
        let is_certificate = matches!(attempt.ask, crate::auth::Ask::Names(_));
        let Judgement { verdict, at } = self.gate.judge(attempt, now);
        if matches!(verdict, Verdict::Refused) && !is_certificate {
            self.complain(from, now);
        }
        let held = Held { at, ticket, mailbox, what: verdict };
        if at <= now {
            return tell(held);
        }
        self.held_count += 1;
        self.due.push(Reverse((at, self.held_count)));
        self.held.insert(self.held_count, held);
    }

    /// Logs a refused login. Whose it was is not said: it may be a password in the place of a name.
    fn complain(&mut self, from: Origin, now: Instant) {
        if self.complained_at.is_some_and(|at| now.duration_since(at) < COMPLAIN_EVERY) {
            self.unmentioned += 1;
            return;
        }
        self.complained_at = Some(now);
        let from = from.map_or("a unix socket".to_owned(), |address| address.to_string());
        match std::mem::take(&mut self.unmentioned) {
            0 => log::warn!("a login from {from} was refused"),
            more => log::warn!("a login from {from} was refused, and {more} more before it"),
        }
    }
}

fn tell(held: Held<Verdict>) {
    held.mailbox.send(Message::Verdict(held.ticket, Box::new(held.what)));
}
