//! Accepts connections, hands them to workers, and answers signals.
//!
//! Four things can keep a client out. At `-c` it is told so and closed, or with
//! `-o no_maxconns_fast` accepting is *suspended* until a connection closes. An address that has as
//! many connections as `-o maxconns_per_address` lets it have is told so, and so is everybody while
//! memory is full. When the system has no descriptor or memory left, a client is shed with the help of
//! a descriptor held in reserve, or else accepting is tried again a little later; either way nothing
//! spins.
//!
//! A flood costs this thread some five system calls a client and nobody else anything: who is turned
//! away never reaches a worker, nothing is logged of it, and after each batch the workers are woken and
//! signals looked for.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use nix::errno::Errno;
use parking_lot::Mutex;

use super::crowd::{Crowd, Crowded, Seat};
use super::listener::Listener;
use super::signals::Signals;
use super::stream::Stream;
use super::{Control, Options, StartError, Terms, login, os_text, udp, worker};
use crate::auth::Gate;
use crate::limits::{ACCEPT_BATCH, ACCEPT_FAILURES_MAX, ACCEPT_RETRY_MILLIS};
use crate::memory::Level;
use crate::metrics::{Counter, Counters};
use crate::session::Shared;

const WAKER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);

/// Least time between two log lines about the same trouble.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// The acceptor with the workers that it feeds.
pub(super) struct Acceptor {
    poll: Poll,
    signals: Signals,
    /// With whether more connections wait: the kernel tells of the first only.
    listeners: Vec<(Listener, bool)>,
    workers: Vec<worker::Handle>,
    /// The thread that judges logins.
    clerk: Option<JoinHandle<()>>,
    /// The worker that the last connection went to.
    last: usize,
    shared: Arc<Shared>,
    control: Arc<Control>,
    /// Index of the acceptor's block of counters.
    block: usize,
    connections_max: usize,
    maxconns_fast: bool,
    /// None: an address may have any number of connections.
    crowd: Option<Arc<Crowd>>,
    /// Given up to shed a client when there is no other descriptor.
    reserve: Option<File>,
    /// Since when accepting is suspended.
    suspended_at: Option<Instant>,
    /// Until when not to try, for want of descriptors or memory.
    retry_at: Option<Instant>,
    complained_at: Option<Instant>,
    /// Times in a row that accept has failed as it does when a client has gone.
    failures: usize,
}

/// Why a client is turned away.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// There are as many connections as `-c` allows, or descriptors.
    Full,
    /// Memory is full.
    Memory,
    /// Its address has as many as it may.
    Crowded,
}

impl Refusal {
    /// What the client gets in place of a conversation; at `-c` in memcached's words. It is text also for
    /// those who would speak packets or TLS, as memcached's is.
    fn line(self) -> &'static [u8] {
        match self {
            Refusal::Full => b"ERROR Too many open connections\r\n",
            Refusal::Memory => b"SERVER_ERROR out of memory\r\n",
            Refusal::Crowded => b"ERROR Too many open connections from your address\r\n",
        }
    }

    fn counter(self) -> Counter {
        match self {
            Refusal::Full => Counter::RejectedConnections,
            Refusal::Memory => Counter::MemoryRefused,
            Refusal::Crowded => Counter::RejectedPerAddress,
        }
    }
}

impl Acceptor {
    /// Starts the workers and watches `listeners` and signals.
    pub(super) fn start(
        options: &Options,
        mut listeners: Vec<Listener>,
        mut udp: Vec<udp::Bound>,
        shared: Arc<Shared>,
        gate: Option<Gate>,
    ) -> Result<Acceptor, StartError> {
        let failed = |what: &str, err: &io::Error| {
            StartError::os(format!("failed to {what}: {}", os_text(err)))
        };
        let poll = Poll::new().map_err(|err| failed("make an event loop", &err))?;
        let registry = poll.registry();
        let waker =
            Waker::new(registry, WAKER).map_err(|err| failed("make an event loop", &err))?;
        let signals =
            Signals::register(registry, SIGNALS).map_err(|err| failed("catch signals", &err))?;
        for (index, listener) in listeners.iter_mut().enumerate() {
            listener
                .register(registry, Token(index))
                .map_err(|err| failed("watch a listener", &err))?;
        }
        let clerk = gate
            .map(|gate| login::start(gate, Arc::clone(&shared.clock)))
            .transpose()
            .map_err(|err| failed("start a thread for logins", &err))?;
        let (desk, clerk) = clerk.unzip();
        let control = Arc::new(Control {
            desk,
            waker,
            stop: AtomicBool::new(false),
            gathers: Mutex::default(),
            listing_threads: options.threads + 1,
        });
        let now = shared.clock.now().secs;
        let workers = (0..options.threads)
            .map(|index| {
                let udp = udp.iter_mut().filter_map(|bound| bound.take(now)).collect();
                worker::start(index, options, udp, &shared, &control)
            })
            .collect::<io::Result<Vec<_>>>()
            .map_err(|err| failed("start a worker thread", &err))?;
        Ok(Acceptor {
            poll,
            signals,
            listeners: listeners.into_iter().map(|listener| (listener, false)).collect(),
            workers,
            clerk,
            last: 0,
            shared,
            control,
            block: options.threads,
            connections_max: options.connections_max,
            maxconns_fast: options.maxconns_fast,
            crowd: Crowd::new(options.maxconns_per_address),
            reserve: open_reserve(),
            suspended_at: None,
            retry_at: None,
            complained_at: None,
            failures: 0,
        })
    }

    /// What stops the server from another thread.
    #[cfg(test)]
    pub(super) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// The first of the workers.
    #[cfg(test)]
    pub(super) fn worker(&self) -> &worker::Handle {
        &self.workers[0]
    }

    /// Accepts until the server is to stop.
    pub(super) fn serve(&mut self) {
        let mut events = Events::with_capacity(16 + self.listeners.len());
        loop {
            if let Err(err) = self.poll.poll(&mut events, self.timeout())
                && err.kind() != ErrorKind::Interrupted
            {
                // Only a broken descriptor does this; going on would spin.
                panic!("the acceptor cannot poll: {err}");
            }
            let mut stop = false;
            for event in &events {
                match event.token() {
                    SIGNALS => {
                        let asked = self.signals.take();
                        stop |= asked.stop;
                        if asked.reload {
                            self.reload();
                        }
                    }
                    WAKER => stop |= self.control.stop.load(SeqCst),
                    Token(index) => self.listeners[index].1 = true,
                }
            }
            if stop {
                return;
            }
            self.gather();
            self.resume();
            self.accept();
        }
    }

    /// Closes the listeners, lets the workers answer what they have received, and joins them.
    pub(super) fn stop(self) {
        drop(self.listeners);
        let threads: Vec<_> = self.workers.into_iter().map(worker::Handle::stop).collect();
        for thread in threads {
            thread.join().expect("a worker does not panic");
        }
        // The last that could hand something in.
        drop(self.control);
        if let Some(clerk) = self.clerk {
            clerk.join().expect("the thread for logins does not panic");
        }
    }

    /// How long the poll may wait: as long as it likes, unless something is to be tried again.
    fn timeout(&self) -> Option<Duration> {
        if let Some(retry_at) = self.retry_at {
            return Some(retry_at.saturating_duration_since(self.shared.clock.now().instant));
        }
        let more = self.suspended_at.is_none() && self.listeners.iter().any(|(_, more)| *more);
        more.then_some(Duration::ZERO)
    }

    /// Accepts a batch from each listener that has connections waiting.
    fn accept(&mut self) {
        if self.suspended_at.is_none() && self.reserve.is_none() {
            // It could not be had back when it was given up; it goes before clients.
            self.reserve = open_reserve();
        }
        for index in 0..self.listeners.len() {
            let mut left = ACCEPT_BATCH;
            while left > 0 && self.listeners[index].1 && self.suspended_at.is_none() {
                left -= 1;
                self.accept_one(index);
            }
        }
        self.workers.iter_mut().for_each(worker::Handle::wake);
    }

    fn accept_one(&mut self, index: usize) {
        if self.is_full() && !self.maxconns_fast {
            return self.suspend();
        }
        match self.listeners[index].0.accept() {
            Ok((stream, from)) => self.receive(stream, from, self.listeners[index].0.terms()),
            Err(err) if err.kind() == ErrorKind::WouldBlock => {
                self.failures = 0;
                self.listeners[index].1 = false;
            }
            Err(err) => match err.raw_os_error().map(Errno::from_raw) {
                // The client is gone, or its network: accept(2) says to go on.
                Some(
                    Errno::EINTR
                    | Errno::ECONNABORTED
                    | Errno::EPROTO
                    | Errno::EPERM
                    | Errno::ENETDOWN
                    | Errno::ENETUNREACH
                    | Errno::ENONET
                    | Errno::ENOPROTOOPT
                    | Errno::EHOSTDOWN
                    | Errno::EHOSTUNREACH
                    | Errno::EOPNOTSUPP,
                ) => self.pass_over(&err),
                Some(Errno::EMFILE) if self.maxconns_fast => self.shed(index, &err),
                _ => self.retry_later(&err),
            },
        }
    }

    /// Reads anew what can be read anew. What comes of it is in the log.
    fn reload(&self) {
        if let Some(desk) = &self.control.desk {
            desk.reload();
        }
        if let Some(certificates) = &self.shared.certificates {
            drop(certificates.refresh(self.shared.clock.now()));
        }
        if let Some(discovery) = &self.shared.discovery {
            discovery.refresh();
        }
        let Shared { certificates, discovery, .. } = &*self.shared;
        if self.control.desk.is_none() && certificates.is_none() && discovery.is_none() {
            log::info!("SIGHUP: nothing to read again");
        }
    }

    /// Passes on what workers want to know of each other, with what is the acceptor's own.
    fn gather(&self) {
        let gathers = std::mem::take(&mut *self.control.gathers.lock());
        for gather in gathers {
            let now = self.shared.clock.now();
            gather.answer(|part| {
                self.listeners.iter().for_each(|(listener, _)| listener.list(part, &now));
            });
            self.workers.iter().for_each(|worker| worker.gather(&gather));
        }
    }

    /// Lets a client in or turns it away.
    fn receive(&mut self, stream: Stream, from: Option<IpAddr>, terms: Terms) {
        self.failures = 0;
        match self.seat(from) {
            Ok(seat) => self.admit(stream, terms, seat),
            Err(refusal) => {
                if matches!(refusal, Refusal::Memory) {
                    // Who sleeps may have what is wanted.
                    self.workers.iter_mut().for_each(worker::Handle::note_want);
                }
                self.reject(stream, refusal);
            }
        }
    }

    /// Whether a client from there may come in. This one function decides it; its seat, if it needs one.
    fn seat(&self, from: Option<IpAddr>) -> Result<Option<Seat>, Refusal> {
        if self.is_full() {
            return Err(Refusal::Full);
        }
        if self.shared.memory.level() == Level::Full {
            return Err(Refusal::Memory);
        }
        let Some(crowd) = &self.crowd else { return Ok(None) };
        crowd.enter(from).map_err(|Crowded| Refusal::Crowded)
    }

    /// Hands a client to the worker with the fewest connections.
    fn admit(&mut self, stream: Stream, terms: Terms, seat: Option<Seat>) {
        let count = self.workers.len();
        let from_last = (1..=count).map(|step| (self.last + step) % count);
        self.last =
            from_last.min_by_key(|&index| self.workers[index].load()).expect("there is a worker");
        self.shared.metrics.connections.note_opened();
        self.counters().bump(Counter::TotalConnections);
        self.workers[self.last].hand_over(stream, terms, seat);
    }

    /// Tells a client why there is no room for it and closes.
    fn reject(&self, mut stream: Stream, refusal: Refusal) {
        self.counters().bump(refusal.counter());
        // What it has sent already is read, since unread input turns the close into a reset.
        let _ = stream.write(refusal.line());
        let _ = stream.shutdown_write();
        let _ = stream.read(&mut [0; 4096]);
    }

    /// Rejects a client for which there is no descriptor but the one in reserve.
    fn shed(&mut self, index: usize, err: &io::Error) {
        if self.reserve.take().is_none() {
            return self.retry_later(err);
        }
        match self.listeners[index].0.accept() {
            Ok((stream, _)) => {
                self.reject(stream, Refusal::Full);
                self.complain("turning clients away", err);
            }
            Err(again) if again.kind() == ErrorKind::WouldBlock => self.listeners[index].1 = false,
            Err(again) => self.retry_later(&again),
        }
        self.reserve = open_reserve();
    }

    /// Goes on without a client that has gone, unless that is all that accept ever says.
    fn pass_over(&mut self, err: &io::Error) {
        log::debug!("not accepted: {}", os_text(err));
        self.failures += 1;
        if self.failures >= ACCEPT_FAILURES_MAX {
            self.failures = 0;
            self.retry_later(err);
        }
    }

    /// Suspends accepting for a moment.
    fn retry_later(&mut self, err: &io::Error) {
        self.complain("cannot accept, trying again", err);
        let now = self.shared.clock.now().instant;
        self.retry_at = Some(now + Duration::from_millis(ACCEPT_RETRY_MILLIS));
        self.suspend();
    }

    /// Stops accepting until [`Acceptor::resume`] finds that the reason is gone.
    fn suspend(&mut self) {
        self.suspended_at = Some(self.shared.clock.now().instant);
        self.counters().bump(Counter::ListenDisabledNum);
        self.shared.metrics.accepting.store(false, Relaxed);
        self.shared.metrics.connections.await_close();
        // A connection that closed before this woke nobody.
        self.resume();
    }

    /// Accepts again if it was suspended and need not be any longer.
    fn resume(&mut self) {
        let Some(suspended_at) = self.suspended_at else { return };
        let now = self.shared.clock.now().instant;
        if self.retry_at.is_some_and(|at| now < at) || (self.is_full() && !self.maxconns_fast) {
            return;
        }
        self.retry_at = None;
        self.suspended_at = None;
        let micros = now.duration_since(suspended_at).as_micros();
        self.counters().add(Counter::TimeInListenDisabledUs, micros as u64);
        self.shared.metrics.accepting.store(true, Relaxed);
        self.shared.metrics.connections.end_wait();
    }

    fn complain(&mut self, what: &str, err: &io::Error) {
        let now = self.shared.clock.now().instant;
        if self.complained_at.is_none_or(|at| now.duration_since(at) >= COMPLAIN_EVERY) {
            self.complained_at = Some(now);
            log::warn!("{what}: {}", os_text(err));
        }
    }

    fn is_full(&self) -> bool {
        self.shared.metrics.connections.count() >= self.connections_max
    }

    fn counters(&self) -> &Counters {
        self.shared.metrics.block(self.block)
    }
}

fn open_reserve() -> Option<File> {
    File::open("/dev/null").ok()
}
