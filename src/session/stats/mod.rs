//! `stats` and its lists. Keys and their order are memcached's (stats, sections 1 to 5); what
//! becomes of each of them here is in docs/stats.md.
//!
//! A list is produced once, by [`produce`], and rendered by a [`Sink`]: as lines of text here, as
//! packets by a codec that has such.
#![forbid(unsafe_code)]

mod bounds;

mod general;

mod items;

mod settings;

mod sizes;

mod slabs;

use std::fmt::Display;
use std::io::Write;

use crate::protocol::Reply;
use crate::protocol::request::{Detail, StatsList, StatsTopic};
use crate::session::value::answer;
use crate::session::{Output, Session, Step, Turn};
use crate::store::Class;

/// Takes the statistics of a list, one by one, in order.
pub(super) trait Sink {
    /// Takes one. Key and value are ASCII; a key is at most some 40 characters long, a value as
    /// long as an option of the command line.
    fn add(&mut self, key: &str, value: &dyn Display);
}

/// Puts the statistics of `list` into `into`. What ends a list is the caller's business.
pub(super) fn produce(list: StatsList, into: &mut dyn Sink, turn: &Turn<'_>) {
    match list {
        StatsList::General => general::list(into, turn),
        StatsList::Settings => settings::list(into, turn),
        StatsList::Items => items::list(into, turn),
        StatsList::Slabs => slabs::list(into, turn),
        StatsList::Sizes => sizes::list(into, turn),
    }
}

/// `stats reset`: counters become 0, gauges stay (stats, section 9).
pub(super) fn reset(turn: &Turn<'_>) {
    turn.shared.metrics.reset();
    turn.shared.store.reset_stats();
    turn.shared.store.hub().reset_stats();
    turn.shared.prefixes.clear();
}

impl Session {
    /// The text command `stats`.
    pub(super) fn stats(
        &mut self,
        topic: StatsTopic,
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        match topic {
            StatsTopic::Reset => {
                reset(turn);
                out.push(Reply::Reset.line());
            }
            StatsTopic::Detail(request) => return self.stats_detail(request, out, turn),
            StatsTopic::Cachedump(request) => return self.start_cachedump(request, out, turn),
            StatsTopic::List(list) => {
                turn.was_long = true;
                produce(list, &mut Lines(out.bytes()), turn);
                out.push(Reply::End.line());
            }
        }
        Step::on(0)
    }

    /// `stats detail`
    fn stats_detail(
        &mut self,
        request: Result<Detail, Reply>,
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let prefixes = &turn.shared.prefixes;
        let reply = match request {
            _ if !turn.shared.options.dump => Reply::DetailNotAllowed,
            Ok(Detail::Dump) => return self.start_prefixes(),
            Ok(Detail::Switch(is_on)) => {
                prefixes.switch(is_on);
                Reply::Ok
            }
            Err(error) => error,
        };
        answer(reply, false, out);
        Step::on(0)
    }
}

/// `STAT` lines of the text protocol.
struct Lines<'a>(&'a mut Vec<u8>);

impl Sink for Lines<'_> {
    fn add(&mut self, key: &str, value: &dyn Display) {
        // Writing to memory does not fail.
        let _ok = write!(self.0, "STAT {key} {value}\r\n");
    }
}

/// Several numbers.
fn add_all(into: &mut dyn Sink, lines: &[(&str, u64)]) {
    for (key, value) in lines {
        into.add(key, value);
    }
}

/// Numbers whose keys begin with a slab class, as `1:chunk_size` or `items:1:number`.
fn add_class(into: &mut dyn Sink, prefix: &str, class: &Class, lines: &[(&str, u64)]) {
    for (key, value) in lines {
        into.add(&format!("{prefix}{}:{key}", class.id), value);
    }
}

pub(super) fn yes_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}
