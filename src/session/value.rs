//! Values on their way into an item, or into nowhere: what storing commands of all dialects share.
#![forbid(unsafe_code)]

use std::io::IoSliceMut;

use arrayvec::ArrayVec;

use crate::clock::Secs;
use crate::limits::{COPY_VALUE_MAX, IO_SLICES_MAX, LARGE_VALUE_BYTES};
use crate::metrics::{Counter, Counters};
use crate::protocol::Reply;
use crate::protocol::binary::{Status, Tag, Verb};
use crate::protocol::request::{StoreLine, StoreVerb};
use crate::session::{Arrival, Output, Session, State, Step, Turn, Want, binary, meta};
use crate::store::{Key, Meta, Mode, Outcome, Refusal, Shortage, Terms, Upload};

/// What a data block ends in.
pub(super) const BLOCK_END: &[u8; 2] = b"\r\n";

/// A store whose value begins behind its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storing<'a> {
    pub(super) terms: Terms,
    pub(super) key: Key<'a>,
    pub(super) meta: Meta,
    pub(super) value_len: usize,
}

/// How a store is told of, in the dialect in which it was asked for.
#[derive(Clone, Debug)]
pub(super) enum Then<'a> {
    /// A line of the classic protocol.
    Text {
        /// Nothing is told.
        noreply: bool,
    },
    /// A line of the meta protocol.
    Meta(meta::Answer<'a>),
    /// A packet of the binary protocol.
    Binary(Tag),
}

/// What there is to tell of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It was carried out, or its condition did not hold.
    Outcome(Outcome),
    /// It found no memory, or is too large.
    Refused(Refusal),
    /// It found no memory for all of a value that had begun to arrive.
    Abandoned,
    /// Its block does not end where it should.
    BadChunk,
}

impl Then<'_> {
    /// The same, for a value whose line may go before it has come.
    fn into_owned(self) -> Then<'static> {
        match self {
            Then::Text { noreply } => Then::Text { noreply },
            Then::Meta(answer) => Then::Meta(answer.into_owned()),
            Then::Binary(tag) => Then::Binary(tag),
        }
    }

    /// What follows the value.
    fn end(&self) -> &'static [u8] {
        match self {
            Then::Text { .. } | Then::Meta(_) => BLOCK_END,
            Then::Binary(_) => b"",
        }
    }

    /// Whether what follows a value, if all of it is there, is what has to.
    fn ends(&self, end: Option<&[u8]>) -> bool {
        match self {
            Then::Text { .. } | Then::Meta(_) => matches!(end, Some([b'\r', b'\n'])),
            Then::Binary(_) => end.is_some(),
        }
    }

    /// Whether an item that could not be replaced must not be found any more (text, section 4, rule 8;
    /// meta, section 5; binary, section 4).
    fn forgets(&self, mode: Mode, compare: Option<u64>) -> bool {
        match self {
            Then::Text { .. } => mode == Mode::Set && compare.is_none(),
            Then::Meta(_) => true,
            Then::Binary(tag) => tag.verb == Verb::Set,
        }
    }

    /// Whether the request counts as soon as its item is begun; else when its value is complete
    /// (stats, section 1).
    fn counts_at_once(&self) -> bool {
        match self {
            Then::Text { .. } | Then::Meta(_) => true,
            Then::Binary(_) => false,
        }
    }

    /// Whether what finds no memory has a counter.
    fn counts_refusals(&self) -> bool {
        match self {
            Then::Text { .. } | Then::Meta(_) => true,
            Then::Binary(_) => false,
        }
    }

    /// Appends the answer.
    fn tell(&self, told: Told, out: &mut Output) {
        match self {
            Then::Text { noreply } => match told {
                // Nearly always; the answer is known when this is compiled.
                Told::Outcome(Outcome::Stored { .. }) => answer(Reply::Stored, *noreply, out),
                told => answer(reply(told), *noreply, out),
            },
            Then::Meta(meta) => meta.tell(told, out),
            Then::Binary(tag) => binary::tell(*tag, told, out),
        }
    }
}

/// A value that goes straight into its item as it comes, and the end of its block.
#[derive(Debug)]
pub(super) struct Arriving {
    upload: Upload,
    terms: Terms,
    then: Then<'static>,
    /// What has come of the bytes behind the value. Full from the start where there are none.
    end: ArrayVec<u8, 2>,
}

impl Arriving {
    /// The memory for the bytes of the value that are still to come, if there are any, and whether it
    /// is all that they need.
    pub(super) fn space(&mut self) -> Option<(ArrayVec<IoSliceMut<'_>, IO_SLICES_MAX>, bool)> {
        let remaining = self.upload.remaining();
        let slices = self.upload.spare();
        let room: usize = slices.iter().map(|slice| slice.len()).sum();
        (room > 0).then_some((slices, room == remaining))
    }

    pub(super) fn note_read(&mut self, count: usize) {
        self.upload.advance(count);
    }

    /// What is seen of it from outside.
    pub(super) fn describe(&self) -> Arrival {
        Arrival { held: self.upload.held_bytes(), remaining: self.upload.remaining() }
    }

    /// Takes as much of the block as `bytes` holds; answers how much.
    fn fill(&mut self, bytes: &[u8], now: Secs) -> Result<usize, Shortage> {
        let value = self.upload.fill(bytes, now)?;
        if self.upload.remaining() > 0 {
            return Ok(value);
        }
        let end = &bytes[value..];
        let end = &end[..end.len().min(self.end.remaining_capacity())];
        self.end.extend(end.iter().copied());
        Ok(value + end.len())
    }

    /// Bytes of the block still to come.
    pub(super) fn missing_bytes(&self) -> u64 {
        (self.upload.remaining() + self.end.remaining_capacity()) as u64
    }
}

/// A block that is thrown away, and the answer that comes after it.
#[derive(Debug)]
pub(super) struct Swallow {
    remaining: u64,
    after: After,
}

impl Swallow {
    /// Bytes that are still to come.
    pub(super) fn missing_bytes(&self) -> u64 {
        self.remaining
    }
}

/// What is said once a block has been thrown away.
#[derive(Debug)]
enum After {
    Nothing,
    Reply(Reply),
    Packet(Tag, Status),
    Told(Box<Then<'static>>, Told),
}

impl Session {
    /// A storage command of the classic protocol whose data block begins `data`.
    pub(super) fn store(
        &mut self,
        line: &StoreLine<'_>,
        key: Key<'_>,
        noreply: bool,
        data: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        turn.shared.prefixes.set(line.key);
        let expiry = turn.now.expiry(line.exptime);
        let storing = Storing {
            terms: terms(line.verb),
            key,
            meta: Meta { flags: line.flags, expiry, is_binary_key: false },
            value_len: line.value_len,
        };
        self.store_value(&storing, &Then::Text { noreply }, data, out, turn)
    }

    /// Stores a value that begins `data`, at once if all of it is there.
    pub(super) fn store_value(
        &mut self,
        storing: &Storing<'_>,
        then: &Then<'_>,
        data: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let (store, now) = (&turn.shared.store, turn.now.secs);
        let Storing { ref terms, key, meta, value_len } = *storing;
        let block_len = value_len + then.end().len();
        let is_there = value_len <= COPY_VALUE_MAX && then.ends(data.get(value_len..block_len));
        let refusal = if is_there {
            let glance = turn.watch_glance(&key);
            let stored = store.store(terms, &key, meta, &data[..value_len], now);
            turn.watch_stored(&key, terms, meta, value_len, stored, glance);
            match stored {
                Ok(outcome) => {
                    turn.counters.bump(Counter::CmdSet);
                    count(terms, outcome, turn.counters);
                    spend(terms, outcome, turn);
                    then.tell(Told::Outcome(outcome), out);
                    return Step::on(block_len);
                }
                Err(refusal) => refusal,
            }
        } else {
            match store.reserve(terms, &key, meta, value_len, now) {
                Ok(mut upload) => {
                    upload.expect(self.large_len as usize);
                    if then.counts_at_once() {
                        turn.counters.bump(Counter::CmdSet);
                        upload.count();
                    }
                    let there = BLOCK_END.len() - then.end().len();
                    let end = BLOCK_END[..there].iter().copied().collect();
                    let (terms, then) = (*terms, then.clone().into_owned());
                    self.state = State::Value(Box::new(Arriving { upload, terms, then, end }));
                    return Step::on(0);
                }
                Err(refusal) => {
                    turn.watch_stored(&key, terms, meta, value_len, Err(refusal), None);
                    refusal
                }
            }
        };
        // The client must not find what was there before.
        if then.forgets(terms.mode, terms.compare) {
            turn.watch_lookup(&key);
            store.forget(&key, now);
        }
        count_refusal(then, refusal, turn.counters);
        let after = After::Told(Box::new(then.clone().into_owned()), Told::Refused(refusal));
        self.state = State::Swallow(Swallow { remaining: block_len as u64, after });
        Step::on(0)
    }

    /// Throws the next `len` bytes away, then answers.
    pub(super) fn start_swallow(&mut self, len: u64, reply: Reply, noreply: bool) -> Step {
        let after = if noreply { After::Nothing } else { After::Reply(reply) };
        self.state = State::Swallow(Swallow { remaining: len, after });
        Step::on(0)
    }

    /// Throws a packet of `len` bytes away, then answers.
    pub(super) fn start_swallow_packet(&mut self, len: u64, tag: Tag, status: Status) -> Step {
        self.state = State::Swallow(Swallow { remaining: len, after: After::Packet(tag, status) });
        Step::on(0)
    }

    /// Amid the block of a value.
    pub(super) fn take_value(
        &mut self,
        rest: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let State::Value(arriving) = &mut self.state else { return Step::on(0) };
        let before = arriving.missing_bytes();
        let consumed = match arriving.fill(rest, turn.now.secs) {
            Ok(consumed) => consumed,
            Err(shortage) => {
                let taken = before - arriving.missing_bytes();
                return self.value_without_room(shortage, turn).behind(taken as usize);
            }
        };
        if arriving.missing_bytes() > 0 {
            return Step { consumed, want: Some(Want::Input) };
        }
        if let State::Value(arriving) = std::mem::replace(&mut self.state, State::Line) {
            let Arriving { upload, terms, then, end } = *arriving;
            self.large_len = if upload.value_len() >= LARGE_VALUE_BYTES {
                u32::try_from(upload.value_len()).unwrap_or(u32::MAX)
            } else {
                0
            };
            if !then.counts_at_once() {
                turn.counters.bump(Counter::CmdSet);
                upload.count();
            }
            let told = if end.as_slice() == BLOCK_END {
                let noted = turn.watch_upload(&upload);
                let stored = turn.shared.store.commit(upload, &terms, turn.now.secs);
                turn.watch_committed(noted, &terms, stored);
                match stored {
                    Ok(outcome) => {
                        count(&terms, outcome, turn.counters);
                        spend(&terms, outcome, turn);
                        Told::Outcome(outcome)
                    }
                    Err(refusal) => {
                        count_refusal(&then, refusal, turn.counters);
                        Told::Refused(refusal)
                    }
                }
            } else {
                Told::BadChunk
            };
            then.tell(told, out);
        }
        Step::on(consumed)
    }

    /// The rest of a value waits, if others have the memory that it needs.
    #[cold]
    fn value_without_room(&mut self, shortage: Shortage, turn: &Turn<'_>) -> Step {
        match shortage {
            Shortage::Room(room) if self.waits => Step::wait(Want::Memory(room)),
            Shortage::Room(_) | Shortage::Memory => {
                self.give_up_value(turn.counters);
                Step::on(0)
            }
        }
    }

    /// No memory for the rest of a value: what has come is freed, what comes is thrown away. The
    /// old item stays (text, section 4, rule 9).
    pub(super) fn give_up_value(&mut self, counters: &Counters) {
        if let State::Value(arriving) = std::mem::replace(&mut self.state, State::Line) {
            let remaining = arriving.missing_bytes();
            count_refusal(&arriving.then, Refusal::NoMemory, counters);
            let after = After::Told(Box::new(arriving.then), Told::Abandoned);
            self.state = State::Swallow(Swallow { remaining, after });
        }
    }

    /// Amid a block that goes nowhere. The answer must not come before all of it has, lest a
    /// client that waits for its answer with half of the block unsent takes it for the next one's.
    pub(super) fn swallow(&mut self, rest: &[u8], out: &mut Output) -> Step {
        let State::Swallow(swallow) = &mut self.state else { return Step::on(0) };
        let consumed = usize::try_from(swallow.remaining).unwrap_or(usize::MAX).min(rest.len());
        swallow.remaining -= consumed as u64;
        if swallow.remaining > 0 {
            return Step { consumed, want: Some(Want::Input) };
        }
        match &swallow.after {
            After::Nothing => {}
            After::Reply(reply) => answer(*reply, false, out),
            After::Packet(tag, status) => binary::refuse(*tag, *status, out),
            After::Told(then, told) => then.tell(*told, out),
        }
        self.state = State::Line;
        Step::on(consumed)
    }
}

/// Sends `reply` unless silence was asked for.
#[inline]
pub(super) fn answer(reply: Reply, noreply: bool, out: &mut Output) {
    if !noreply {
        log_answer(reply);
        out.push(reply.line());
    }
}

/// Logs errors with `-v`, every answer with `-vv`.
#[inline]
pub(super) fn log_answer(reply: Reply) {
    if log::log_enabled!(log::Level::Debug) {
        log_line(reply);
    }
}

#[cold]
fn log_line(reply: Reply) {
    let level = if reply.is_error() { log::Level::Debug } else { log::Level::Trace };
    log::log!(level, "> {}", reply.line().trim_ascii_end().escape_ascii());
}

fn terms(verb: StoreVerb) -> Terms {
    match verb {
        StoreVerb::Set => Mode::Set.into(),
        StoreVerb::Add => Mode::Add.into(),
        StoreVerb::Replace => Mode::Replace.into(),
        StoreVerb::Append => Mode::Append.into(),
        StoreVerb::Prepend => Mode::Prepend.into(),
        StoreVerb::Cas(unique) => Terms { compare: Some(unique), ..Terms::default() },
    }
}

/// What the classic protocol says of a store.
pub(super) fn reply(told: Told) -> Reply {
    match told {
        Told::Outcome(Outcome::Stored { .. }) => Reply::Stored,
        Told::Outcome(Outcome::NotStored) => Reply::NotStored,
        Told::Outcome(Outcome::Exists) => Reply::Exists,
        Told::Outcome(Outcome::NotFound) => Reply::NotFound,
        Told::Refused(Refusal::TooLarge) => Reply::TooLarge,
        Told::Refused(Refusal::NoMemory) => Reply::NoMemoryStoring,
        Told::Abandoned => Reply::NoMemoryReading,
        Told::BadChunk => Reply::BadChunk,
    }
}

/// What joins two values copies both.
fn spend(terms: &Terms, outcome: Outcome, turn: &mut Turn<'_>) {
    if let (Mode::Append | Mode::Prepend, Outcome::Stored { value_len, .. }) = (terms.mode, outcome)
    {
        turn.spend(value_len);
    }
}

fn count(terms: &Terms, outcome: Outcome, counters: &Counters) {
    let is_cas = terms.compare.is_some() && matches!(terms.mode, Mode::Set | Mode::Replace);
    if !is_cas {
        return;
    }
    match outcome {
        Outcome::Stored { .. } => counters.bump(Counter::CasHits),
        Outcome::Exists => counters.bump(Counter::CasBadval),
        Outcome::NotFound => counters.bump(Counter::CasMisses),
        Outcome::NotStored => {}
    }
}

fn count_refusal(then: &Then<'_>, refusal: Refusal, counters: &Counters) {
    if !then.counts_refusals() {
        return;
    }
    counters.bump(match refusal {
        Refusal::TooLarge => Counter::StoreTooLarge,
        Refusal::NoMemory => Counter::StoreNoMemory,
    });
}
