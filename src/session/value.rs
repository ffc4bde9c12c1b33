//! Data blocks: the value of a storage command on its way into its item, or into nowhere.
#![forbid(unsafe_code)]

use std::io::IoSliceMut;

use arrayvec::ArrayVec;

use crate::clock::Secs;
use crate::limits::{COPY_VALUE_MAX, IO_SLICES_MAX};
use crate::metrics::{Counter, Counters};
use crate::protocol::Reply;
use crate::protocol::request::{StoreLine, StoreVerb};
use crate::session::{Output, Session, State, Step, Turn, Want};
use crate::store::{Key, Meta, Mode, Outcome, Refusal, Upload};

/// What a data block ends in.
const BLOCK_END: &[u8; 2] = b"\r\n";

/// A value that goes straight into its item as it comes, and the end of its block.
#[derive(Debug)]
pub(super) struct Arriving {
    upload: Upload,
    mode: Mode,
    noreply: bool,
    /// What has come of the two bytes behind the value.
    end: ArrayVec<u8, 2>,
}

impl Arriving {
    /// The memory for the bytes of the value that are still to come, if there are any.
    pub(super) fn space(&mut self) -> Option<ArrayVec<IoSliceMut<'_>, IO_SLICES_MAX>> {
        Some(self.upload.spare()).filter(|slices| !slices.is_empty())
    }

    pub(super) fn note_read(&mut self, count: usize) {
        self.upload.advance(count);
    }

    /// Takes as much of the block as `bytes` holds; answers how much.
    fn fill(&mut self, bytes: &[u8], now: Secs) -> Result<usize, Refusal> {
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
    fn missing_bytes(&self) -> u64 {
        (self.upload.remaining() + self.end.remaining_capacity()) as u64
    }
}

/// A block that is thrown away, and the answer that comes after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Swallow {
    remaining: u64,
    reply: Option<Reply>,
}

impl Session {
    /// A storage command whose data block begins `data`.
    pub(super) fn store(
        &mut self,
        line: &StoreLine<'_>,
        noreply: bool,
        data: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let (store, now) = (&turn.shared.store, turn.now.secs);
        let key = store.key(line.key);
        let meta = Meta { flags: line.flags, expiry: turn.now.expiry(line.exptime) };
        let mode = mode(line.verb);
        let is_there = line.value_len <= COPY_VALUE_MAX
            && data.get(line.value_len..line.block_len()) == Some(BLOCK_END);
        let refusal = if is_there {
            match store.store(mode, &key, meta, &data[..line.value_len], now) {
                Ok(outcome) => {
                    turn.counters.bump(Counter::CmdSet);
                    answer(count(mode, outcome, turn.counters), noreply, out);
                    return Step::on(line.block_len());
                }
                Err(refusal) => refusal,
            }
        } else {
            match store.reserve(&key, meta, line.value_len, now) {
                Ok(upload) => {
                    turn.counters.bump(Counter::CmdSet);
                    let end = ArrayVec::new();
                    self.state = State::Value(Box::new(Arriving { upload, mode, noreply, end }));
                    return Step::on(0);
                }
                Err(refusal) => refusal,
            }
        };
        let reply = refused(refusal, mode, &key, turn);
        self.start_swallow(line.value_len as u64 + 2, reply, noreply)
    }

    /// Throws the next `len` bytes away, then answers.
    pub(super) fn start_swallow(&mut self, len: u64, reply: Reply, noreply: bool) -> Step {
        let reply = (!noreply).then_some(reply);
        self.state = State::Swallow(Swallow { remaining: len, reply });
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
        let Ok(consumed) = arriving.fill(rest, turn.now.secs) else {
            let taken = before - arriving.missing_bytes();
            return self.give_up_value(turn).behind(taken as usize);
        };
        if !arriving.end.is_full() {
            return Step { consumed, want: Some(Want::Input) };
        }
        if let State::Value(arriving) = std::mem::replace(&mut self.state, State::Line) {
            let Arriving { upload, mode, noreply, end } = *arriving;
            let reply = if end.as_slice() == BLOCK_END {
                match turn.shared.store.commit(upload, mode, turn.now.secs) {
                    Ok(outcome) => count(mode, outcome, turn.counters),
                    Err(refusal) => count_refusal(refusal, turn.counters),
                }
            } else {
                Reply::BadChunk
            };
            answer(reply, noreply, out);
        }
        Step::on(consumed)
    }

    /// No memory for the rest of a value: what has come is freed, what comes is thrown away. The
    /// old item stays (text, section 4, rule 9).
    fn give_up_value(&mut self, turn: &Turn<'_>) -> Step {
        let State::Value(arriving) = &self.state else { return Step::on(0) };
        let (missing, noreply) = (arriving.missing_bytes(), arriving.noreply);
        turn.counters.bump(Counter::StoreNoMemory);
        self.start_swallow(missing, Reply::NoMemoryReading, noreply)
    }

    /// Amid a block that goes nowhere. The answer must not come before all of it has, lest a
    /// client that waits for its answer with half of the block unsent takes it for the next one's.
    pub(super) fn swallow(&mut self, swallow: Swallow, rest: &[u8], out: &mut Output) -> Step {
        let consumed = usize::try_from(swallow.remaining).unwrap_or(usize::MAX).min(rest.len());
        let remaining = swallow.remaining - consumed as u64;
        if remaining > 0 {
            self.state = State::Swallow(Swallow { remaining, ..swallow });
            return Step { consumed, want: Some(Want::Input) };
        }
        self.state = State::Line;
        if let Some(reply) = swallow.reply {
            answer(reply, false, out);
        }
        Step::on(consumed)
    }
}

/// Sends `reply` unless silence was asked for.
pub(super) fn answer(reply: Reply, noreply: bool, out: &mut Output) {
    if !noreply {
        log_answer(reply);
        out.push(reply.line());
    }
}

/// Logs errors with `-v`, every answer with `-vv`.
pub(super) fn log_answer(reply: Reply) {
    if !log::log_enabled!(log::Level::Debug) {
        return;
    }
    let level = if reply.is_error() { log::Level::Debug } else { log::Level::Trace };
    log::log!(level, "> {}", reply.line().trim_ascii_end().escape_ascii());
}

fn mode(verb: StoreVerb) -> Mode {
    match verb {
        StoreVerb::Set => Mode::Set,
        StoreVerb::Add => Mode::Add,
        StoreVerb::Replace => Mode::Replace,
        StoreVerb::Append => Mode::Append,
        StoreVerb::Prepend => Mode::Prepend,
        StoreVerb::Cas(unique) => Mode::Cas(unique),
    }
}

fn count(mode: Mode, outcome: Outcome, counters: &Counters) -> Reply {
    let (reply, counter) = match outcome {
        Outcome::Stored { .. } => (Reply::Stored, Counter::CasHits),
        Outcome::NotStored => return Reply::NotStored,
        Outcome::Exists => (Reply::Exists, Counter::CasBadval),
        Outcome::NotFound => (Reply::NotFound, Counter::CasMisses),
    };
    if matches!(mode, Mode::Cas(_)) {
        counters.bump(counter);
    }
    reply
}

/// A store that got no item. After a failed `set` the client must not find what was there before
/// (text, section 4, rule 8).
fn refused(refusal: Refusal, mode: Mode, key: &Key<'_>, turn: &Turn<'_>) -> Reply {
    if mode == Mode::Set {
        turn.shared.store.forget(key, turn.now.secs);
    }
    count_refusal(refusal, turn.counters)
}

fn count_refusal(refusal: Refusal, counters: &Counters) -> Reply {
    let (reply, counter) = match refusal {
        Refusal::TooLarge => (Reply::TooLarge, Counter::StoreTooLarge),
        Refusal::NoMemory => (Reply::NoMemoryStoring, Counter::StoreNoMemory),
    };
    counters.bump(counter);
    reply
}
