//! One client's connection: a stream, a session, and what lies between them.
//!
//! A connection is asked to go when it [can](Conn::can_go). One go is at most: one write of answers
//! that were blocked and one read ([`Conn::begin`]), one call of the session ([`Conn::execute`]), one
//! write ([`Conn::end`]); other connections have theirs in between. Whatever is left makes it go again
//! after the others.
#![forbid(unsafe_code)]

mod holding;
mod records;
mod room;
mod standing;
mod wait;
mod write;

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use mio::event::Event;
use mio::{Registry, Token};

use super::buffers::{Buffers, Pool};
use super::gather::{Gather, Part};
use super::go::{Context, End, Go, Next};
use super::handshakes::Handshakes;
use super::link::Link;
use super::ready::{Kind, Ready};
use super::stream::Stream;
use crate::auth::{Attempt, Verdict};
use crate::clock::Secs;
use crate::limits::{
    LINGER_BYTES_MAX, READ_BUF_BYTES, SMALL_READ_BYTES, VALUE_BYTES_PER_GO, WATCHED_REQUESTS_PART,
    WRITE_AT_ONCE_BYTES,
};
use crate::memory::Ledger;
use crate::metrics::Counter;
use crate::session::{Portion, Session, Turn, Want};
use crate::watch::CloseReason;
use holding::Holding;
use room::RoomWait;
use standing::Standing;
use wait::Wait;

pub(super) use wait::Awaited;

/// A connection as the worker's slab holds it; small, since most are idle.
#[derive(Debug)]
pub(super) struct Conn {
    link: Link,
    session: Session,
    /// None while there is neither unread input nor an unsent answer.
    held: Option<Box<Buffers>>,
    /// Bytes of memory that are noted as its own.
    holding: Holding,
    /// When a byte last came or went.
    active_at: Secs,
    /// Bytes thrown away since the last answer.
    discarded: u32,
    phase: Phase,
    /// The kernel may have input, or the end of it.
    readable: bool,
    /// The kernel may take output.
    writable: bool,
    /// The peer has sent all that it will: input ends with a read of 0 bytes, not with a short one.
    peer_done: bool,
    /// The peer has reset the connection: nothing is read any more, nor taken.
    is_reset: bool,
    /// The session has seen all input that there is. Then no answer is unsent, or `must_flush`.
    wants_input: bool,
    /// Answers have to be on their way before the session is called again.
    must_flush: bool,
    /// The session waits for a portion of the list of connections, for a verdict or for memory.
    is_asking: bool,
    /// What its wait for memory has come to.
    room_wait: RoomWait,
    /// A request has been executed since [`Conn::note_wait`].
    has_executed: bool,
    /// What is awaited of the client.
    wait: Wait,
    /// Something has been read.
    has_spoken: bool,
    /// Lines wait for the session, which watches.
    has_news: bool,
    /// Bytes that were read and written in its last go.
    moved_bytes: u32,
    /// What it has had of its worker's time.
    standing: Standing,
    /// Why it closes, as far as the session has a say in it.
    reason: CloseReason,
    /// Whether the worker's ready list holds this connection. The worker's.
    pub(super) queued: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// In conversation.
    Open,
    /// The conversation is over, answers are not all written.
    Closing,
    /// All is written and the peer told so; what it still sends is thrown away.
    Lingering,
}

impl Conn {
    /// A connection on which nothing has been said.
    pub(super) fn new(link: Link, session: Session, now: Secs) -> Conn {
        Conn {
            link,
            session,
            held: None,
            holding: Holding::default(),
            active_at: now,
            discarded: 0,
            phase: Phase::Open,
            readable: false,
            writable: true,
            peer_done: false,
            is_reset: false,
            wants_input: true,
            must_flush: false,
            is_asking: false,
            has_executed: false,
            wait: Wait::default(),
            room_wait: RoomWait::None,
            has_spoken: false,
            has_news: false,
            moved_bytes: 0,
            standing: Standing::of_newcomer(),
            reason: CloseReason::Normal,
            queued: false,
        }
    }

    /// Reports its events under `token`, once and for all.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.link.register(registry, token)
    }

    /// Takes note of what the kernel tells.
    pub(super) fn notice(&mut self, event: &Event) {
        let failed = event.is_error();
        self.peer_done |= event.is_read_closed() || failed;
        self.is_reset |= failed;
        self.readable |= event.is_readable() || self.peer_done;
        self.writable |= event.is_writable() || event.is_write_closed() || failed;
    }

    /// Takes note that lines wait for a session that watches.
    pub(super) fn notice_news(&mut self) {
        self.has_news |= self.session.is_watching();
    }

    /// Gives the session what it has asked for.
    pub(super) fn take_conns(&mut self, portion: Portion) {
        self.is_asking = false;
        self.session.take_conns(portion);
    }

    /// Tells the session what has come of an attempt to log in.
    pub(super) fn take_verdict(&mut self, verdict: Verdict) {
        self.is_asking = false;
        self.session.take_verdict(verdict);
    }

    /// Adds what `stats conns` shows of it.
    pub(super) fn list(&self, part: &mut Part<'_>, now: Secs) {
        let stream = self.link.stream();
        part.add(stream.as_raw_fd(), |entry| {
            entry.line("addr", stream.peer_name());
            entry.line("listen_addr", stream.own_name());
            entry.line("state", self.state_word());
            entry.line("secs_since_last_cmd", now.0.saturating_sub(self.active_at.0));
        });
    }

    fn state_word(&self) -> &'static str {
        if self.phase != Phase::Open {
            "conn_closing"
        } else if self.must_flush && !self.session.is_watching() {
            "conn_mwrite"
        } else if self.has_spoken && !self.queued {
            self.session.state_word()
        } else {
            "conn_new_cmd"
        }
    }

    /// The server stops: one more look at the socket and for lines, whatever has been heard.
    pub(super) fn look_again(&mut self) {
        self.readable = true;
        self.notice_news();
    }

    /// Whether a go would get anywhere. This one function decides what a connection waits for.
    pub(super) fn can_go(&self) -> bool {
        if self.must_flush {
            self.writable
        } else if self.is_asking {
            // Else those that come and go would stand in line, with what they hold, until their time is over.
            self.is_reset
        } else if self.phase == Phase::Lingering || self.wants_input {
            self.readable || self.has_news
        } else {
            true
        }
    }

    /// Puts it, at `index`, on the ready list if it can go and is not there yet.
    pub(super) fn queue(&mut self, index: usize, ready: &mut Ready) {
        if !self.queued && self.can_go() {
            self.queued = true;
            ready.push(index, self.kind());
        }
    }

    /// Before whom it goes.
    pub(super) fn kind(&self) -> Kind {
        // To close one costs some 10 µs, and many may go at once.
        match self.standing.kind() {
            Kind::Light if self.peer_done => Kind::Busy,
            kind => kind,
        }
    }

    /// Takes note after a go, which was a long one or not, of what it is from now on.
    pub(super) fn note_go(&mut self, was_long: bool) {
        // Whose answers are not all taken has asked for more than a little.
        let has_more = self.can_go() || self.must_flush;
        self.standing.note_go(self.moved_bytes, was_long, has_more);
    }

    /// Bytes that it moved in its last go, or so far in this one.
    pub(super) fn moved_bytes(&self) -> u32 {
        self.moved_bytes
    }

    /// Its socket.
    pub(super) fn stream(&self) -> &Stream {
        self.link.stream()
    }

    /// Its socket with what is between that and the session.
    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Gives it the place for its handshake that it waits for.
    pub(super) fn admit(&mut self) {
        self.link.admit();
        self.readable = true;
    }

    /// What watchers are told of its end.
    pub(super) fn reason(&self, end: &End) -> CloseReason {
        match end {
            // What comes after the session's last word changes nothing.
            _ if self.phase != Phase::Open => self.reason,
            End::Done => self.reason,
            End::Failed(_) | End::Overfull | End::Shed => CloseReason::Error,
            End::Overdue(Awaited::Anything) => CloseReason::IdleTimeout,
            End::Overdue(_) => CloseReason::Error,
        }
    }

    /// Gives back what it holds, before it is dropped from `index`, and tells the client so if it can.
    pub(super) fn release(
        &mut self,
        index: usize,
        pool: &mut Pool,
        shared: &mut Handshakes,
        ledger: &mut Ledger,
    ) {
        self.settle_last(ledger);
        self.link.give_back(index, shared);
        self.link.close(shared);
        if let Some(mut held) = self.held.take() {
            if self.session.handles_secrets() {
                held.input.wipe(true);
            }
            pool.put(held);
        }
    }

    /// Begins a go of the connection at `context.index`: writes what was blocked, reads what has come.
    pub(super) fn begin(&mut self, context: &mut Context<'_>) -> Go {
        self.moved_bytes = 0;
        let mut held = self.held.take().unwrap_or_else(|| context.pool.take());
        if self.wants_input {
            held = context.pool.expand(held);
        }
        let next = match self.receive(&mut held, context) {
            Ok(true) => Next::Execute,
            Ok(false) => Next::End(Ok(())),
            Err(end) => Next::End(Err(end)),
        };
        Go { index: context.index, held, next }
    }

    /// Has the session execute what has come. Many answers are written at once, before others have
    /// theirs, while the CPU's cache has them.
    pub(super) fn execute(&mut self, go: &mut Go, context: &mut Context<'_>) {
        if !go.is_to_execute() {
            return;
        }
        let hub = context.shared.store.hub();
        let requests_max = match hub.is_watched() {
            true => context.requests_per_turn.div_ceil(WATCHED_REQUESTS_PART),
            false => context.requests_per_turn,
        };
        let mut turn = Turn {
            now: context.now,
            shared: context.shared,
            counters: context.counters,
            requests_left: requests_max,
            was_long: false,
            descriptor: self.stream().as_raw_fd(),
            wake: &|| context.mailbox.wake_for(context.index),
        };
        let Buffers { input, output, .. } = &mut *go.held;
        output.set_high_water(context.pool.high_water());
        let (consumed, want) = match std::mem::take(&mut self.room_wait) {
            RoomWait::Over => self.session.refuse_room(input.unread(), output, &mut turn),
            _ => self.session.advance(input.unread(), output, &mut turn),
        };
        self.has_executed |= turn.requests_left < requests_max;
        context.was_long |= turn.was_long;
        input.consume(consumed);
        go.next = if output.weight() < WRITE_AT_ONCE_BYTES {
            Next::Answer(want)
        } else {
            Next::End(self.answer(want, &mut go.held, context))
        };
    }

    /// Ends a go: writes the answers. What it has not executed waits for the next; `Err` is the
    /// connection's end.
    pub(super) fn end(&mut self, mut go: Go, context: &mut Context<'_>) -> Result<(), End> {
        let was_guest = self.session.handles_secrets();
        let went = match go.next {
            Next::Execute => Ok(()),
            Next::Answer(want) => self.answer(want, &mut go.held, context),
            Next::End(went) => went,
        };
        if was_guest {
            go.held.input.wipe(went.is_err());
        }
        match went {
            Ok(()) => self.keep(go.held, context.pool),
            Err(_) => context.pool.put(go.held),
        }
        self.settle(context.ledger);
        let was_awaited = self.is_awaited();
        self.note_wait(context.now.secs, context.deadlines);
        *context.awaited += usize::from(self.is_awaited());
        *context.awaited -= usize::from(was_awaited);
        went
    }

    /// Holds what is needed until the next go.
    fn keep(&mut self, held: Box<Buffers>, pool: &mut Pool) {
        if held.is_empty() {
            pool.put(held);
        } else if self.can_go() && !pool.is_tight() {
            self.held = Some(held);
        } else {
            self.held = Some(pool.compact(held, self.session.handles_secrets()));
        }
    }

    /// Answers whether the session is to be called.
    fn receive(&mut self, held: &mut Buffers, context: &mut Context<'_>) -> Result<bool, End> {
        if self.must_flush {
            self.flush(&mut held.output, context)?;
            if self.must_flush {
                return Ok(false);
            }
        }
        if self.is_asking {
            let gone = || End::Failed(ErrorKind::ConnectionReset.into());
            return if self.is_reset { Err(gone()) } else { Ok(false) };
        }
        match self.phase {
            Phase::Open if self.wants_input => self.hear(held, context),
            Phase::Open => Ok(true),
            Phase::Closing => self.finish(held, context).map(|()| false),
            Phase::Lingering => self.discard(held, context).map(|()| false),
        }
    }

    /// Answers whether there is something new for the session.
    fn hear(&mut self, held: &mut Buffers, context: &mut Context<'_>) -> Result<bool, End> {
        let has_news = std::mem::take(&mut self.has_news);
        let count = if self.readable { self.read(held, context)? } else { 0 };
        if count > 0 {
            context.counters.add(Counter::BytesRead, count as u64);
            self.moved_bytes = self.moved_bytes.saturating_add(count as u32);
            context.spent += count * self.link.byte_cost();
            self.active_at = context.now.secs;
            self.has_spoken = true;
        } else if !has_news {
            return self.end_if_stopping(context).map(|()| false);
        }
        self.wants_input = false;
        Ok(true)
    }

    fn answer(
        &mut self,
        want: Want,
        held: &mut Buffers,
        context: &mut Context<'_>,
    ) -> Result<(), End> {
        match want {
            Want::Input | Want::News => {
                self.wants_input = true;
                self.flush(&mut held.output, context)?;
                self.end_if_stopping(context)
            }
            Want::Turn => {
                context.counters.bump(Counter::ConnYields);
                // Answers wait for those of the next go, unless too many connections do that.
                if context.pool.is_tight() && held.output.weight() > SMALL_READ_BYTES {
                    self.flush(&mut held.output, context)?;
                }
                Ok(())
            }
            Want::Drain => self.flush(&mut held.output, context),
            Want::Memory(room) => {
                self.flush(&mut held.output, context)?;
                self.wait_for_room(room, context);
                Ok(())
            }
            Want::Conns { from } => {
                self.flush(&mut held.output, context)?;
                self.ask_conns(from, context);
                Ok(())
            }
            Want::Verdict => {
                self.flush(&mut held.output, context)?;
                self.ask_verdict(context);
                Ok(())
            }
            Want::Close => self.close(held, context),
            Want::Hangup => {
                self.reason = CloseReason::Error;
                self.close(held, context)
            }
            Want::Shutdown { graceful } => {
                self.reason = CloseReason::Shutdown;
                context.control.stop(graceful);
                self.close(held, context)
            }
        }
    }

    /// Has a portion of the list of connections gathered. While the server stops there is nobody to
    /// gather it.
    fn ask_conns(&mut self, from: RawFd, context: &mut Context<'_>) {
        if context.stopping {
            return self.take_conns(Portion::default());
        }
        self.is_asking = true;
        let threads = context.control.listing_threads;
        let gather = Gather::new(from, threads, context.mailbox.clone(), context.index);
        context.asked.insert(context.index, Arc::clone(&gather));
        context.control.gather(gather);
    }

    /// Has an attempt to log in judged. While the server stops nobody is let in.
    fn ask_verdict(&mut self, context: &mut Context<'_>) {
        let Some(ask) = self.session.take_ask() else { return };
        let desk = context.control.desk.as_ref().filter(|_| !context.stopping);
        let Some(desk) = desk else { return self.take_verdict(Verdict::Refused) };
        self.is_asking = true;
        let from = self.stream().peer_addr().map(|address| address.ip());
        // Who has reset the connection has no address any more, and waits for nothing.
        if from.is_none() && self.stream().is_tcp() {
            return self.take_verdict(Verdict::Refused);
        }
        let ticket = context.tickets.issue(context.index);
        desk.judge(Attempt { ask, from }, ticket, context.mailbox);
    }

    /// While the server stops, a connection ends as soon as it owes nothing.
    fn end_if_stopping(&self, context: &Context<'_>) -> Result<(), End> {
        let owes = self.must_flush || self.readable;
        if context.stopping && !owes { Err(End::Done) } else { Ok(()) }
    }

    fn close(&mut self, held: &mut Buffers, context: &mut Context<'_>) -> Result<(), End> {
        self.phase = Phase::Closing;
        self.flush(&mut held.output, context)?;
        if self.must_flush { Ok(()) } else { self.finish(held, context) }
    }

    /// All answers are written. If the peer is still sending, closing now would reset the
    /// connection and could destroy them, so its input is awaited and thrown away for a while.
    fn finish(&mut self, held: &mut Buffers, context: &mut Context<'_>) -> Result<(), End> {
        let more = self.readable || !held.input.is_empty();
        if !more || context.stopping {
            return Err(End::Done);
        }
        held.input.clear();
        self.wants_input = true;
        self.link.shutdown(context.handshakes).map_err(End::Failed)?;
        self.phase = Phase::Lingering;
        self.active_at = context.now.secs;
        Ok(())
    }

    fn discard(&mut self, held: &mut Buffers, context: &Context<'_>) -> Result<(), End> {
        if self.readable {
            let space = held.input.space(READ_BUF_BYTES);
            let (offered, result) = (space.len(), self.link.read(space));
            let count = self.note_read(offered, result)?;
            self.discarded = self.discarded.saturating_add(count as u32);
        }
        let enough = self.discarded > LINGER_BYTES_MAX || context.stopping;
        if enough { Err(End::Done) } else { Ok(()) }
    }

    /// Reads once, behind what is unread; a value that is arriving goes straight into its item.
    /// 0: there was nothing to read. The end of input is an `Err`.
    fn read(&mut self, held: &mut Buffers, context: &mut Context<'_>) -> Result<usize, End> {
        if self.link.is_tls() {
            return self.read_records(held, context);
        }
        let all_consumed = held.input.is_empty();
        let read_max = context.bytes_max(context.pool.read_max().min(self.session.read_max()));
        let space = held.input.space(read_max);
        if space.is_empty() {
            return Err(End::Overfull);
        }
        let (offered, value_len, result) = {
            let value_space = if all_consumed { self.session.value_space() } else { None };
            match value_space {
                Some((value, is_all)) => {
                    let behind = if is_all { space } else { &mut [] };
                    self.link.read_value(value, behind, context.bytes_max(VALUE_BYTES_PER_GO))
                }
                None => (space.len(), 0, self.link.read(space)),
            }
        };
        let count = self.note_read(offered, result)?;
        if value_len > 0 {
            self.session.value_read(count.min(value_len));
        }
        held.input.filled(count.saturating_sub(value_len));
        Ok(count)
    }

    /// Learns from the result of a read into `offered` bytes whether there may be more.
    fn note_read(&mut self, offered: usize, result: io::Result<usize>) -> Result<usize, End> {
        match result {
            Ok(0) => Err(End::Done),
            Ok(count) => {
                self.readable = count == offered || self.peer_done;
                Ok(count)
            }
            Err(err) if err.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(0)
            }
            Err(err) if err.kind() == ErrorKind::Interrupted => Ok(0),
            Err(err) => Err(End::Failed(err)),
        }
    }
}

// What 100,000 idle connections cost; mio makes sockets larger in debug builds.
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Conn>() <= 168);
