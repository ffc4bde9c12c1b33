//! One event loop and the connections that it serves.
//!
//! A turn: poll, read the clock, note what is ready, then let the connections of the ready list go,
//! some at a time: they read, are executed, and write. A connection stands in that list at most once
//! and is closed only when it is not in it, so an entry is never stale. Nothing here blocks but the poll.
#![forbid(unsafe_code)]

mod handle;
mod overdue;
mod pressure;
mod room;
mod rounds;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::Receiver;
use mio::{Events, Poll, Token};
use slab::Slab;

use super::buffers::Pool;
use super::conn::Conn;
use super::crowd::Seat;
use super::gather::Gather;
use super::go::End;
use super::handshakes::{self, Handshakes};
use super::link::Link;
use super::mail::{Mailbox, Message};
use super::pace::Pace;
use super::peers::Peers;
use super::ready::Ready;
use super::stream::Stream;
use super::tickets::Tickets;
use super::udp::{Budget, Udp};
use super::{Control, Deadlines, Options, Terms};
use crate::auth::Verdict;
use crate::clock::{Now, Secs};
use crate::heap::Resident;
use crate::limits::{DRAIN_SECS, TURN_BYTES_MAX};
use crate::memory::{Ledger, Level};
use crate::session::{Portion, Session, Shared};
use crate::tls;
use pressure::{Common, SHARED_EVERY};

pub(super) use handle::Handle;
pub(super) use room::{Held, Line};

/// The token of the worker's waker; connections have their index in the slab.
const WAKER: Token = Token(usize::MAX);

/// The token of the first UDP socket; the others follow. No slab is as large.
const FIRST_UDP: usize = usize::MAX / 2;

/// Events taken by one poll: of many that go at once so many are known of before the first is closed, so that who
/// asks meanwhile does not stand behind them in the kernel's list.
const EVENTS_MAX: usize = 1024;

/// A worker as its thread sees it.
struct Worker {
    index: usize,
    poll: Poll,
    /// Its own.
    mailbox: Mailbox,
    incoming: Receiver<Message>,
    shared: Arc<Shared>,
    control: Arc<Control>,
    requests_per_turn: u32,
    idle_timeout_secs: u32,
    /// Connections handed over and not yet closed.
    load: Arc<AtomicUsize>,
    conns: Slab<Conn>,
    /// The places of connections, in the order in which they are listed.
    by_descriptor: BTreeMap<RawFd, usize>,
    udp: Vec<Udp>,
    peers: Peers,
    /// Of its connections, by their places; empty unless `-o maxconns_per_address` is given.
    seats: HashMap<usize, Seat>,
    /// Lists of connections that it has to add its own to.
    gathers: VecDeque<Arc<Gather>>,
    /// Lists that its connections wait for, by their places.
    asked: HashMap<usize, Arc<Gather>>,
    /// Attempts to log in of its connections.
    tickets: Tickets,
    /// Those that wait for memory.
    line: Line,
    /// Connections that can go; those for which `queued` is set.
    ready: Ready,
    pool: Pool,
    handshakes: Handshakes,
    pace: Pace,
    ledger: Ledger,
    common: Common,
    /// Calls of [`Worker::settle`].
    settled: u32,
    /// The most that clients have held since memory was given back to the system.
    most_held: usize,
    /// Worker 0 only, and where the system tells.
    resident: Option<Resident>,
    /// Nobody is closed for want of memory while connections hold less.
    shed_from: usize,
    /// `-t`
    threads: usize,
    /// How tight memory is.
    level: Level,
    now: Now,
    /// How long the last turn was, the wait for events left out; noted while there is background work.
    turn: Duration,
    /// The second of the last tick.
    ticked: Secs,
    /// The store has background work waiting. Worker 0 only.
    maintaining: bool,
    deadlines: Deadlines,
    /// Connections of which something is awaited that may be late.
    awaited: usize,
    /// While it is looked who is late: the next place.
    overdue_from: Option<usize>,
    /// While the server stops: when connections are closed whatever they are owed.
    deadline: Option<Instant>,
}

/// Starts worker `index` on a thread of its own.
pub(super) fn start(
    index: usize,
    options: &Options,
    mut udp: Vec<Udp>,
    shared: &Arc<Shared>,
    control: &Arc<Control>,
) -> io::Result<Handle> {
    let poll = Poll::new()?;
    let (mailbox, incoming) = Mailbox::new(poll.registry(), WAKER)?;
    for (number, udp) in udp.iter_mut().enumerate() {
        udp.register(poll.registry(), Token(FIRST_UDP + number))?;
    }
    let load = Arc::new(AtomicUsize::new(0));
    let now = shared.clock.now();
    let mut worker = Worker {
        index,
        poll,
        mailbox: mailbox.clone(),
        incoming,
        shared: Arc::clone(shared),
        control: Arc::clone(control),
        requests_per_turn: options.requests_per_turn,
        idle_timeout_secs: options.idle_timeout_secs,
        load: Arc::clone(&load),
        conns: Slab::new(),
        by_descriptor: BTreeMap::new(),
        udp,
        peers: Peers::default(),
        seats: HashMap::new(),
        gathers: VecDeque::new(),
        asked: HashMap::new(),
        tickets: Tickets::default(),
        line: Line::default(),
        ready: Ready::default(),
        pool: Pool::default(),
        handshakes: Handshakes::new(options.certificates.as_ref()),
        pace: Pace::default(),
        ledger: Ledger::default(),
        common: Common::default(),
        settled: 0,
        most_held: 0,
        resident: if index == 0 { Resident::open() } else { None },
        shed_from: 0,
        threads: options.threads,
        level: Level::Calm,
        now,
        turn: Duration::ZERO,
        ticked: now.secs,
        maintaining: false,
        deadlines: options.deadlines.clone(),
        awaited: 0,
        overdue_from: None,
        deadline: None,
    };
    worker.set_limit();
    let thread =
        thread::Builder::new().name(format!("nuthatch-{index}")).spawn(move || worker.run())?;
    Ok(Handle::new(thread, mailbox, load))
}

impl Worker {
    /// Serves until it is told to stop and every connection has ended.
    fn run(&mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        if self.handshakes.certificates.is_some() {
            tls::prepare_thread();
        }
        while !self.is_finished() {
            if let Err(err) = self.poll.poll(&mut events, self.timeout())
                && err.kind() != io::ErrorKind::Interrupted
            {
                // Only a broken descriptor does this; going on would spin.
                panic!("worker {} cannot poll: {err}", self.index);
            }
            self.now = self.shared.clock.now();
            self.shared.store.flush_if_due(self.now.secs);
            for event in &events {
                match event.token() {
                    WAKER => self.receive(),
                    Token(number) if number >= FIRST_UDP => {
                        // There is none any more once the server stops.
                        if let Some(udp) = self.udp.get_mut(number - FIRST_UDP) {
                            udp.notice();
                        }
                    }
                    Token(index) => {
                        self.conns[index].notice(event);
                        self.queue(index);
                    }
                }
            }
            self.tick();
            self.list();
            self.serve();
            self.serve_udp();
            self.serve_line();
            if self.handshakes.has_queue() {
                self.admit();
            }
            self.settle();
            let (held, free) = self.pool.count();
            self.shared.metrics.note_read_buffers(self.index, held, free);
            if self.maintaining {
                self.turn = self.shared.clock.now().instant - self.now.instant;
            }
        }
        for index in 0..self.conns.capacity() {
            if self.conns.contains(index) {
                self.close(index, &End::Done);
            }
        }
    }

    /// How long the poll may wait: a server without work wakes once a second, on one thread, once what
    /// its load has needed is gone.
    fn timeout(&self) -> Option<Duration> {
        let has_work = !self.ready.is_empty()
            || !self.gathers.is_empty()
            || self.maintaining
            || self.overdue_from.is_some()
            || self.udp.iter().any(Udp::can_go);
        if has_work {
            return Some(Duration::ZERO);
        }
        let ticks = self.index == 0
            || self.awaits_any()
            || self.pool.is_ample()
            || self.has_empty_places()
            || self.level > Level::Calm
            || self.deadline.is_some();
        let tick = ticks.then(|| self.shared.clock.until_tick(&self.now));
        let tick = self.handshakes.until_due(self.now.instant, tick);
        self.line.until_due(&self.now, tick)
    }

    fn is_finished(&self) -> bool {
        self.deadline.is_some_and(|deadline| self.conns.is_empty() || self.now.instant >= deadline)
    }

    /// Reads its mail.
    fn receive(&mut self) {
        while let Ok(message) = self.incoming.try_recv() {
            match message {
                Message::Stream(stream, terms, seat) => self.open(stream, terms, seat),
                Message::News(index) => {
                    // Another client may have got the place meanwhile.
                    if let Some(conn) = self.conns.get_mut(index) {
                        conn.notice_news();
                        self.queue(index);
                    }
                }
                Message::Gather(gather) => self.gathers.push_back(gather),
                Message::Listed(gather) => self.take_conns(&gather),
                Message::Verdict(ticket, verdict) => {
                    if self.tickets.redeem(&ticket) {
                        self.conns[ticket.index].take_verdict(*verdict);
                        self.queue(ticket.index);
                    }
                }
                Message::Stop => self.begin_stop(),
                #[cfg(test)]
                Message::Panic => panic!("a test\nwants it"),
            }
        }
    }

    /// Gives a connection the list that it waits for. It may have gone, and another one be in its
    /// place.
    fn take_conns(&mut self, gather: &Arc<Gather>) {
        let index = gather.index();
        if self.asked.get(&index).is_some_and(|asked| Arc::ptr_eq(asked, gather)) {
            self.asked.remove(&index);
            self.conns[index].take_conns(gather.portion());
            self.queue(index);
        }
    }

    /// Lists its connections, once a turn at most, so that many who ask do not hold others up.
    fn list(&mut self) {
        if let Some(gather) = self.gathers.pop_front() {
            let now = self.now.secs;
            gather.answer(|part| {
                self.udp.iter().for_each(|udp| udp.list(part, now));
                for index in part.wanted(&self.by_descriptor) {
                    self.conns[index].list(part, now);
                }
            });
        }
    }

    fn open(&mut self, stream: Stream, terms: Terms, seat: Option<Seat>) {
        let entry = self.conns.vacant_entry();
        let index = entry.key();
        let session = match self.shared.options.login {
            true => Session::guest(terms.protocol),
            false => Session::of(terms.protocol),
        };
        let conn = entry.insert(Conn::new(Link::new(stream, terms.tls), session, self.now.secs));
        conn.note_wait(self.now.secs, &self.deadlines);
        self.awaited += usize::from(conn.is_awaited());
        self.by_descriptor.insert(conn.stream().as_raw_fd(), index);
        self.seats.extend(seat.map(|seat| (index, seat)));
        let registered = conn.register(self.poll.registry(), Token(index));
        self.peers.opened(index, conn.stream(), self.shared.store.hub());
        if log::log_enabled!(log::Level::Trace) {
            let peer = conn.stream().peer_addr().map_or("unix".to_owned(), |a| a.to_string());
            log::trace!("worker {}: connection {index} from {peer}", self.index);
        }
        if let Err(err) = registered {
            log::warn!("cannot watch a connection: {err}");
            self.close(index, &End::Failed(err));
        }
    }

    /// Gives every connection a last look at its socket.
    fn begin_stop(&mut self) {
        if self.deadline.is_some() {
            return;
        }
        self.deadline = Some(self.now.instant + Duration::from_secs(DRAIN_SECS));
        self.udp.clear();
        for index in 0..self.conns.capacity() {
            if let Some(conn) = self.conns.get_mut(index) {
                conn.look_again();
                if self.asked.remove(&index).is_some() {
                    conn.take_conns(Portion::default());
                }
                self.tickets.void(index);
                conn.take_verdict(Verdict::Refused);
                self.queue(index);
            }
        }
    }

    /// Puts a connection on the ready list if it can go and is not there yet.
    fn queue(&mut self, index: usize) {
        self.conns[index].queue(index, &mut self.ready);
    }

    /// What is done once a second, and the slices of work that it leaves behind.
    fn tick(&mut self) {
        let ticked = self.now.secs != self.ticked;
        self.ticked = self.now.secs;
        if self.index == 0 && (ticked || self.maintaining) {
            self.maintain();
        }
        if self.overdue_from.is_some() {
            self.close_overdue();
        }
        if !ticked {
            return;
        }
        self.pool.trim();
        if self.has_empty_places() {
            // From the end on: places do not change.
            self.conns.shrink_to_fit();
            self.seats.shrink_to(2 * self.conns.len());
        }
        self.set_limit();
        self.settled = SHARED_EVERY - 1;
        self.shed_from = 0;
        if self.index == 0 {
            self.take_back();
            self.read_files_anew();
        }
        if self.awaits_any() {
            self.overdue_from.get_or_insert(0);
            self.close_overdue();
        }
    }

    /// What is in files that have changed; one thread looks.
    fn read_files_anew(&self) {
        if let Some(certificates) = &self.handshakes.certificates {
            handshakes::refresh_if_changed(certificates, self.now.secs);
        }
        if let Some(discovery) = &self.shared.discovery {
            discovery.refresh_if_changed();
        }
    }

    /// Gives places for handshakes that are free to who waits for one.
    fn admit(&mut self) {
        self.give_up_stopped();
        while let Some(index) = self.handshakes.next() {
            self.conns[index].admit();
            self.queue(index);
        }
    }

    /// One slice of the store's background work. Where that is a second late, half of the thread's time,
    /// by how long the last turn was.
    fn maintain(&mut self) {
        let store = &self.shared.store;
        self.maintaining = store.maintain(self.now.secs);
        let end = self.now.instant + self.turn / 2;
        while self.maintaining
            && store.is_behind(self.now.secs)
            && self.shared.clock.now().instant < end
        {
            self.maintaining = store.maintain(self.now.secs);
        }
    }

    /// Lets every UDP socket that has datagrams go once.
    fn serve_udp(&mut self) {
        for udp in self.udp.iter_mut().filter(|udp| udp.can_go()) {
            udp.go(&mut Budget {
                shared: &self.shared,
                control: &self.control,
                counters: self.shared.metrics.block(self.index),
                now: self.now,
                requests_left: self.requests_per_turn,
                bytes_left: TURN_BYTES_MAX,
            });
        }
    }

    fn close(&mut self, index: usize, end: &End) {
        let mut conn = self.conns.remove(index);
        self.awaited -= usize::from(conn.is_awaited());
        self.by_descriptor.remove(&conn.stream().as_raw_fd());
        self.asked.remove(&index);
        self.tickets.void(index);
        self.line.forget(index);
        self.peers.closed(index, conn.stream(), conn.reason(end), self.shared.store.hub());
        if conn.link().is_waiting() {
            self.handshakes.forget(index);
        }
        conn.release(index, &mut self.pool, &mut self.handshakes, &mut self.ledger);
        log::trace!("worker {}: connection {index} closed: {end}", self.index);
        // The descriptor is free before its place is given to another client.
        drop(conn);
        self.seats.remove(&index);
        self.load.fetch_sub(1, Relaxed);
        if self.shared.metrics.connections.note_closed() {
            self.control.wake();
        }
    }
}
