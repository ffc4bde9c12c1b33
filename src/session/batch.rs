//! Requests that stand behind one another in the input, taken several at a time.
//!
//! A batch is read and hashed first, then the processor is made to fetch what its lookups will read,
//! all of it at once, and only then are the requests executed, in their order. With more items than
//! the caches hold this hides most of the time for which a lookup waits for memory. Only requests in
//! their usual form that are there completely are taken so ([`plain`]); any other one ends the batch
//! and is executed by itself. What a client sees is the same.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;

use crate::limits::COPY_VALUE_MAX;
use crate::protocol::request::StoreLine;
use crate::protocol::text::get::Verb;
use crate::protocol::text::plain;
use crate::session::{Output, Session, State, Step, Turn, pause};
use crate::store::Key;

/// Requests of a batch: as many lookups as a core has misses under way, and a half of what one
/// connection has executed in a turn by default (`-R`).
pub(super) const BATCH_MAX: usize = 10;

/// A request that is all there, read and not yet executed.
struct Ready<'a> {
    key: Key<'a>,
    /// Bytes of its line.
    len: usize,
    plain: Plain<'a>,
}

enum Plain<'a> {
    Get { shows_cas: bool },
    Set { line: StoreLine<'a>, noreply: bool },
}

impl Session {
    /// The lines with which `rest` begins, as far as they are plain. None: the first one is not.
    pub(super) fn batch(
        &mut self,
        rest: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Option<Step> {
        let batch = read(rest, turn);
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
            log::trace!("< {}", rest[at..at + ready.len].trim_ascii_end().escape_ascii());
            turn.requests_left -= 1;
            at += ready.len;
            match &ready.plain {
                Plain::Get { shows_cas } => self.get_one(&ready.key, *shows_cas, out, turn),
                Plain::Set { line, noreply } => {
                    let data = &rest[at..];
                    at += self.store(line, ready.key, *noreply, data, out, turn).consumed;
                }
            }
            // A set that was refused has yet to see its block go.
            if !matches!(self.state, State::Line) {
                break;
            }
        }
        Some(Step::on(at))
    }
}

fn read<'a>(input: &'a [u8], turn: &Turn<'_>) -> ArrayVec<Ready<'a>, BATCH_MAX> {
    let store = &turn.shared.store;
    let mut batch = ArrayVec::new();
    let mut at = 0;
    while batch.len() < BATCH_MAX.min(turn.requests_left as usize) {
        let rest = &input[at..];
        let ready = if let Some(verb) = Verb::of(rest) {
            if verb.touches() {
                break;
            }
            let Some((key, len)) = plain::get(verb, rest) else { break };
            at += len;
            Ready { key: store.key(key), len, plain: Plain::Get { shows_cas: verb.shows_cas() } }
        } else {
            let Some((line, noreply, len)) = plain::set(rest) else { break };
            let block = rest.get(len..len + line.value_len + 2);
            // Of any other block, and after it, the slower way knows what becomes.
            if batch.is_empty()
                || (line.value_len <= COPY_VALUE_MAX
                    && block.is_some_and(|block| block.ends_with(b"\r\n")))
            {
                at += len + line.value_len + 2;
            } else {
                break;
            }
            Ready { key: store.key(line.key), len, plain: Plain::Set { line, noreply } }
        };
        batch.push(ready);
        if at > input.len() {
            break;
        }
    }
    batch
}
