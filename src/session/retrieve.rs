//! The get family against the store, key by key while the line streams in.
//!
//! A line of one key, which nearly every line is, is answered in one go. Of any other one, each key
//! is consumed as it is answered, so that the machine can stop and go on between any two of them.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;

use crate::auth::Need;
use crate::clock::Expiry;
use crate::limits::COPY_VALUE_MAX;
use crate::metrics::Counter;
use crate::protocol::Reply;
use crate::protocol::response::value_line;
use crate::protocol::text::get::{self, Begin, Next, Verb};
use crate::session::batch::BATCH_MAX;
use crate::session::cluster::{is_list, show_nodes};
use crate::session::execute::count_miss;
use crate::session::value::log_answer;
use crate::session::{Output, Session, State, Step, Turn, Want, pause};
use crate::store::{Hit, Key};

/// What a line of the get family asks for, beside its keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retrieval {
    shows_cas: bool,
    /// What the items' expiry becomes (gat, gats).
    touch: Option<Expiry>,
    has_keys: bool,
}

impl Session {
    /// A line that begins with `verb`.
    pub(super) fn retrieve(
        &mut self,
        verb: Verb,
        rest: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let shows_cas = verb.shows_cas();
        match get::begin(verb, rest) {
            Begin::Keys { at, exptime } => {
                let touch = exptime.map(|exptime| turn.now.expiry(exptime));
                self.state = State::Keys(Retrieval { shows_cas, touch, has_keys: false });
                Step::on(at)
            }
            Begin::Refused(error) => {
                turn.requests_left -= 1;
                self.give_up(error, out)
            }
            Begin::Partial => Step::wait(Want::Input),
            Begin::Overlong => self.end(Want::Hangup),
        }
    }

    /// A line of one key, answered.
    pub(super) fn get_one(
        &self,
        key: &Key<'_>,
        shows_cas: bool,
        out: &mut Output,
        turn: &Turn<'_>,
    ) -> Step {
        look_up(key, None, turn, |hit| show(hit, key.bytes(), shows_cas, out));
        out.push(Reply::End.line());
        Step::on(0)
    }

    /// The next keys of a line.
    pub(super) fn keys(
        &mut self,
        retrieval: Retrieval,
        rest: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        if let Some(pause) = pause(rest, out, turn) {
            return Step::wait(pause);
        }
        match get::next(rest) {
            Next::Key { .. } => self.take_keys(retrieval, rest, out, turn),
            Next::End { end } => self.end_line(retrieval, end, out, turn),
            Next::TooLong => {
                turn.requests_left -= 1;
                self.give_up(Reply::BadLine, out)
            }
            Next::More { spaces } => Step { consumed: spaces, want: Some(Want::Input) },
        }
    }

    /// Some of the keys with which the rest of a line begins, looked up together.
    fn take_keys(
        &mut self,
        retrieval: Retrieval,
        rest: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let Retrieval { shows_cas, touch, .. } = retrieval;
        let store = &turn.shared.store;
        let mut keys: ArrayVec<(Key<'_>, usize, bool), BATCH_MAX> = ArrayVec::new();
        let mut at = 0;
        while keys.len() < BATCH_MAX.min(turn.requests_left as usize)
            && let Next::Key { key, end, last } = get::next(&rest[at..])
        {
            at += end;
            keys.push((store.key(key), at, last));
            if last {
                break;
            }
        }
        if keys.len() > 1 {
            store.foresee(keys.iter().map(|(key, ..)| key));
        }
        self.state = State::Keys(Retrieval { has_keys: true, ..retrieval });
        let mut at = 0;
        for (key, end, last) in &keys {
            if out.is_high() {
                return Step { consumed: at, want: Some(Want::Drain) };
            }
            if store.is_careful()
                && let Some(step) = self.wait_to_show(need(touch), key.bytes(), out, turn)
            {
                return step.behind(at);
            }
            note_key(key.bytes(), turn);
            if touch.is_none() && is_list(key.bytes(), turn) {
                show_nodes(shows_cas, out, turn);
            } else if !self.access.is_full() && !self.access.allows(need(touch), key.bytes()) {
                return self.give_up(Reply::PermissionDenied, out).behind(at);
            } else {
                look_up(key, touch, turn, |hit| show(hit, key.bytes(), shows_cas, out));
            }
            at = *end;
            if *last {
                out.push(Reply::End.line());
                self.state = State::Line;
            }
        }
        Step::on(at)
    }

    /// The line's end, `end` bytes from here, that no key stands directly before.
    fn end_line(
        &mut self,
        retrieval: Retrieval,
        end: usize,
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let reply = if retrieval.has_keys {
            Reply::End
        } else {
            turn.requests_left -= 1;
            Reply::BadLine
        };
        out.push(reply.line());
        self.state = State::Line;
        Step::on(end)
    }

    /// Answers with an error in place of `END` and skips the rest of the line.
    pub(super) fn give_up(&mut self, error: Reply, out: &mut Output) -> Step {
        log_answer(error);
        out.push(error.line());
        self.state = State::SkipLine;
        Step::on(0)
    }
}

/// What a line needs that gives its items this expiry.
fn need(touch: Option<Expiry>) -> Need {
    if touch.is_some() { Need::ReadWrite } else { Need::Read }
}

/// Takes note of a key of a line: each counts as a request.
fn note_key(key: &[u8], turn: &mut Turn<'_>) {
    log::trace!("< get {}", key.escape_ascii());
    turn.requests_left -= 1;
}

/// Looks one key up, giving its item a new expiry if one is named, shows the item to `visit`, and
/// counts. Whether there is an item.
pub(super) fn look_up(
    key: &Key<'_>,
    touch: Option<Expiry>,
    turn: &Turn<'_>,
    visit: impl FnOnce(&mut Hit<'_>),
) -> bool {
    let (store, now, counters) = (&turn.shared.store, turn.now.secs, turn.counters);
    let visit = |hit: &mut Hit<'_>| {
        turn.watch_hit(key.bytes(), hit);
        visit(hit);
    };
    let (found, hits, misses) = if let Some(expiry) = touch {
        counters.bump(Counter::CmdTouch);
        let found = store.get_and_touch(key, expiry, now, visit);
        (found, Counter::TouchHits, Counter::TouchMisses)
    } else {
        counters.bump(Counter::CmdGet);
        (store.get(key, now, visit), Counter::GetHits, Counter::GetMisses)
    };
    turn.shared.prefixes.get(key.bytes(), found.is_ok());
    match found {
        Ok(()) => counters.bump(hits),
        Err(miss) => {
            turn.watch_miss(key.bytes(), miss);
            count_miss(counters, misses, miss);
        }
    }
    found.is_ok()
}

/// Appends an item.
fn show(hit: &mut Hit<'_>, key: &[u8], shows_cas: bool, out: &mut Output) {
    let value_len = hit.value_len();
    let cas = shows_cas.then(|| hit.cas());
    let room = copied_len(value_len) + 2 + Reply::End.line().len();
    value_line(out.bytes(), key, hit.flags(), value_len, cas, room);
    copy_or_pin(hit, out);
    out.push(b"\r\n");
}

/// Appends a value. A small one is copied, since a pin would cost more; a large one is sent from where
/// it lies.
pub(super) fn copy_or_pin(hit: &mut Hit<'_>, out: &mut Output) {
    if hit.value_len() <= COPY_VALUE_MAX {
        hit.copy_to(out.bytes());
    } else {
        out.pin(hit.pin());
    }
}

/// Bytes of a value that [`copy_or_pin`] copies.
pub(super) fn copied_len(value_len: usize) -> usize {
    if value_len <= COPY_VALUE_MAX { value_len } else { 0 }
}
