//! Requests that stand behind one another in the input, taken several at a time.
//!
//! A batch is read and hashed first, then the processor is made to fetch what its lookups will read,
//! all of it at once, and only then are the requests executed, in their order. With more items than
//! the caches hold this hides most of the time for which a lookup waits for memory. Only requests in
//! their usual form that are there completely are taken so ([`plain`]); any other one ends the batch
//! and is executed by itself. What a client sees is the same.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;

use crate::auth::Need;
use crate::limits::COPY_VALUE_MAX;
use crate::protocol::Reply;
use crate::protocol::request::StoreLine;
use crate::protocol::text::get::Verb;
use crate::protocol::text::plain;
use crate::session::cluster::is_list;
use crate::session::execute::arith;
use crate::session::value::{BLOCK_END, answer};
use crate::session::{Output, Session, State, Step, Turn, pause};
use crate::store::{Direction, Key};

/// Requests of a batch: as many lookups as a core has misses under way, and a half of what one
/// connection has executed in a turn by default (`-R`).
pub(super) const BATCH_MAX: usize = 10;

type Batch<'a> = ArrayVec<Ready<'a>, BATCH_MAX>;

/// A request that is all there, read and not yet executed.
struct Ready<'a> {
    key: Key<'a>,
    /// Bytes of its line.
    len: usize,
    /// Bytes of the block behind it: the next request of the batch was read from behind both.
    block_len: usize,
    /// None: another line about one key, of which no more was read.
    plain: Option<Plain<'a>>,
}

enum Plain<'a> {
    Get { shows_cas: bool },
    Set { line: StoreLine<'a>, noreply: bool },
    Count(plain::Count<'a>),
}

impl Session {
    /// The lines with which `rest` begins, as far as they are plain. None: the first one is not, or
    /// nothing is gained by having read it.
    pub(super) fn batch(
        &mut self,
        rest: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Option<Step> {
        let mut batch = Batch::new();
        read(rest, turn, &mut batch);
        if batch.is_empty() {
            return None;
        }
        if batch.len() > 1 {
            turn.shared.store.foresee(batch.iter().map(|ready| &ready.key));
        }
        let mut at = 0;
        for ready in &batch {
            if at > 0
                && let Some(want) = pause(&rest[at..], out, turn)
            {
                return Some(Step { consumed: at, want: Some(want) });
            }
            // Something large has been asked for, and the next is to be looked at by itself.
            if at > 0 && turn.shared.store.is_careful() {
                break;
            }
            let step = self.obey_ready(ready, &rest[at..], out, turn);
            at += step.consumed;
            // What was refused has yet to see its block go, or has none: then the others are not where they
            // were read.
            let is_where_read = step.consumed == ready.len + ready.block_len;
            if step.want.is_some() || !matches!(self.state, State::Line) || !is_where_read {
                return Some(Step { consumed: at, ..step });
            }
        }
        Some(Step::on(at))
    }

    /// Executes a request, which begins `rest`.
    fn obey_ready(
        &mut self,
        ready: &Ready<'_>,
        rest: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let Some(plain) = &ready.plain else { return self.one_line(rest, out, turn) };
        let (line, data) = rest.split_at(ready.len);
        log::trace!("< {}", line.trim_ascii_end().escape_ascii());
        turn.requests_left -= 1;
        if !self.access.is_full()
            && let Some(step) = self.refuse_ready(plain, ready, out)
        {
            return step;
        }
        let step = match plain {
            Plain::Set { line, noreply } => self.store(line, ready.key, *noreply, data, out, turn),
            Plain::Get { shows_cas } => self.get_one(&ready.key, *shows_cas, out, turn),
            Plain::Count(count) => {
                let direction = if count.is_incr { Direction::Incr } else { Direction::Decr };
                let delta = u64::from(count.delta);
                arith(direction, &ready.key, delta, count.noreply, out, turn)
            }
        };
        step.behind(ready.len)
    }
}

impl Session {
    /// Refuses a request that the client has no right to. None: it has.
    #[cold]
    fn refuse_ready(
        &mut self,
        plain: &Plain<'_>,
        ready: &Ready<'_>,
        out: &mut Output,
    ) -> Option<Step> {
        let (need, block_len, noreply) = match plain {
            Plain::Get { .. } => (Need::Read, 0, false),
            Plain::Set { line, noreply } => (Need::Write, line.block_len(), *noreply),
            Plain::Count(count) => (Need::ReadWrite, 0, count.noreply),
        };
        if self.access.allows(need, ready.key.bytes()) {
            return None;
        }
        let step = self.refuse_line(block_len as u64, noreply, out);
        Some(step.behind(ready.len))
    }

    /// Refuses a line for want of rights; its block of `block_len` bytes is thrown away before that is told.
    pub(super) fn refuse_line(&mut self, block_len: u64, noreply: bool, out: &mut Output) -> Step {
        if block_len > 0 {
            return self.start_swallow(block_len, Reply::PermissionDenied, noreply);
        }
        answer(Reply::PermissionDenied, noreply, out);
        Step::on(0)
    }
}

/// Reads the plain lines with which `input` begins, of those that may still be executed.
fn read<'a>(input: &'a [u8], turn: &Turn<'_>, batch: &mut Batch<'a>) {
    let count_max = BATCH_MAX.min(turn.requests_left as usize);
    let mut at = 0;
    while batch.len() < count_max
        && let Some(ready) = read_one(&input[at..], turn)
    {
        at += ready.len + ready.block_len;
        let is_certain = ready.block_len == 0 || has_block(input, at, ready.block_len);
        let is_last = !is_certain || at >= input.len();
        let is_needed = match ready.plain {
            // What becomes of an odd block is for the slower way to say, and nobody knows what stands
            // behind it.
            Some(Plain::Get { .. } | Plain::Count(_)) => true,
            Some(Plain::Set { .. }) => is_certain || batch.is_empty(),
            None => is_certain && !(is_last && batch.is_empty()),
        };
        if is_needed {
            batch.push(ready);
        }
        if is_last {
            return;
        }
    }
}

/// Whether a block that is stored at once ends at `end`.
fn has_block(input: &[u8], end: usize, len: usize) -> bool {
    len <= COPY_VALUE_MAX && input.get(..end).is_some_and(|input| input.ends_with(BLOCK_END))
}

/// The line that begins `input`.
fn read_one<'a>(input: &'a [u8], turn: &Turn<'_>) -> Option<Ready<'a>> {
    let store = &turn.shared.store;
    if let Some(verb) = Verb::of(input) {
        let (key, len) = plain::get(verb, input).filter(|_| !verb.touches())?;
        if is_list(key, turn) {
            return None;
        }
        let plain = Some(Plain::Get { shows_cas: verb.shows_cas() });
        return Some(Ready { key: store.key(key), len, block_len: 0, plain });
    }
    if let Some((line, noreply, len)) = plain::set(input) {
        let block_len = line.value_len + BLOCK_END.len();
        let plain = Some(Plain::Set { line, noreply });
        return Some(Ready { key: store.key(line.key), len, block_len, plain });
    }
    if let Some(count) = plain::count(input) {
        let (key, len) = (store.key(count.key), count.len);
        return Some(Ready { key, len, block_len: 0, plain: Some(Plain::Count(count)) });
    }
    let (key, len, value_len) = plain::about_key(input)?;
    let block_len = value_len.map_or(0, |len| len + BLOCK_END.len());
    Some(Ready { key: store.key(key), len, block_len, plain: None })
}
