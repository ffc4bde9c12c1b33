//! Long lists: `lru_crawler metadump` and `mgdump`, `stats cachedump` and `stats detail dump` (text,
//! sections 7 and 8).
//!
//! A dump is a state of the session that holds a cursor into the store. Each go lets it append a
//! bounded number of lines, as long as the output takes them: a client that stops reading costs its
//! cursor and what is in its output, and nobody waits for it.
#![forbid(unsafe_code)]

use crate::clock::{Expiry, Now};
use crate::limits::DUMP_SLICES_PER_GO;
use crate::protocol::Reply;
use crate::protocol::control::{ClassSet, Classes, DumpFormat};
use crate::protocol::dump::{Metadata, cachedump_line, metadump_line, mgdump_line};
use crate::protocol::request::Cachedump;
use crate::session::value::answer;
use crate::session::{Output, Session, Shared, State, Step, Turn, Want};
use crate::store::{ClassWalk, Entry, Store, Walk};

/// Classes up to this number are taken for good in a list whether or not there are such
/// (memcached's own last one); larger ones have to exist.
const CLASS_KNOWN_MAX: u8 = 63;

/// A list that is being written.
#[derive(Debug)]
pub(super) enum Dump {
    /// Items of all classes, or of some.
    All { format: DumpFormat, classes: Option<ClassSet>, walk: Walk },
    /// Items of one class, at most so many (None: all).
    Class { walk: ClassWalk, left: Option<u32> },
    /// Prefixes of keys, from this part of the table on.
    Prefixes { part: usize },
}

impl Session {
    /// `lru_crawler metadump` and `mgdump`.
    ///
    /// What was answered before and is not written yet forbids it, as in memcached. That depends on
    /// what the kernel took and so on how requests came in: the one answer that does.
    pub(super) fn start_dump(
        &mut self,
        format: DumpFormat,
        classes: Classes,
        noreply: bool,
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let (not_allowed, pipelined) = match format {
            DumpFormat::Metadump => (Reply::MetadumpNotAllowed, Reply::MetadumpPipelined),
            DumpFormat::Mgdump => (Reply::MgdumpNotAllowed, Reply::MgdumpPipelined),
        };
        let classes = match check(classes, &turn.shared.store) {
            _ if !turn.shared.options.dump => Err(not_allowed),
            _ if !out.is_empty() => Err(pipelined),
            classes => classes,
        };
        match classes {
            Ok(classes) => {
                out.push(Reply::Ok.line());
                self.state =
                    State::Dump(Box::new(Dump::All { format, classes, walk: Walk::default() }));
            }
            Err(error) => answer(error, noreply, out),
        }
        Step::on(0)
    }

    /// `stats cachedump`
    pub(super) fn start_cachedump(
        &mut self,
        request: Result<Cachedump, Reply>,
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let class = match request {
            _ if !turn.shared.options.dump => Err(Reply::CachedumpNotAllowed),
            Ok(Cachedump { class, .. }) => {
                let class = u8::try_from(class).map_err(|_| Reply::IllegalClass);
                class.and_then(|class| match is_class(class, &turn.shared.store) || class == 0 {
                    true => Ok(class),
                    false => Err(Reply::IllegalClass),
                })
            }
            Err(error) => Err(error),
        };
        match class {
            Ok(class) => {
                let left = request.map_or(0, |request| request.limit);
                let left = (left > 0).then_some(left);
                self.state =
                    State::Dump(Box::new(Dump::Class { walk: ClassWalk::new(class), left }));
            }
            Err(error) => answer(error, false, out),
        }
        Step::on(0)
    }

    /// `stats detail dump`
    pub(super) fn start_prefixes(&mut self) -> Step {
        self.state = State::Dump(Box::new(Dump::Prefixes { part: 0 }));
        Step::on(0)
    }

    /// Amid a list.
    pub(super) fn dump(&mut self, out: &mut Output, turn: &mut Turn<'_>) -> Step {
        let State::Dump(dump) = &mut self.state else { return Step::on(0) };
        // Whatever `-R` is, a list takes the rest of a turn, and has none if there is no rest.
        if turn.requests_left == 0 {
            return Step::wait(Want::Turn);
        }
        turn.requests_left = 0;
        turn.was_long = true;
        for _ in 0..DUMP_SLICES_PER_GO {
            if out.is_high() {
                return Step::wait(Want::Drain);
            }
            if !dump.slice(out.bytes(), turn.shared, &turn.now) {
                out.push(dump.end().line());
                self.state = State::Line;
                return Step::on(0);
            }
        }
        Step::wait(Want::Turn)
    }
}

impl Dump {
    /// Appends some lines; false: that was all.
    fn slice(&mut self, into: &mut Vec<u8>, shared: &Shared, now: &Now) -> bool {
        let store = &shared.store;
        match self {
            Dump::Prefixes { part } => {
                *part += 1;
                shared.prefixes.list(*part - 1, into)
            }
            Dump::All { format, classes, walk } => store.walk(walk, now.secs, |item| {
                if classes.is_some_and(|classes| !classes.contains(item.class())) {
                    return;
                }
                match format {
                    DumpFormat::Metadump => metadump_line(into, item.key(), &metadata(item, now)),
                    DumpFormat::Mgdump => mgdump_line(into, item.key(), item.is_binary_key()),
                }
            }),
            Dump::Class { walk, left } => store.walk_class(walk, now.secs, |item| {
                // What reads this list knows no base64: it would ask for other keys.
                if item.is_binary_key() {
                    return true;
                }
                cachedump_line(into, item.key(), item.value_len(), expires_at(item, now));
                *left = left.map(|left| left - 1);
                *left != Some(0)
            }),
        }
    }

    /// What stands behind the last line.
    fn end(&self) -> Reply {
        match self {
            Dump::All { format: DumpFormat::Mgdump, .. } => Reply::EndOfKeys,
            _ => Reply::End,
        }
    }
}

/// The classes that a dump is to show, None: all.
pub(super) fn check(classes: Classes, store: &Store) -> Result<Option<ClassSet>, Reply> {
    match classes {
        Classes::All | Classes::Hash => Ok(None),
        Classes::List(set) if set.iter().any(|class| !is_class(class, store)) => {
            Err(Reply::BadClass)
        }
        Classes::List(set) if set.is_empty() => Err(Reply::NothingToCrawl),
        Classes::List(set) => Ok(Some(set)),
        Classes::Bad => Err(Reply::BadClass),
    }
}

fn is_class(class: u8, store: &Store) -> bool {
    class <= CLASS_KNOWN_MAX || store.has_class(class)
}

fn metadata(item: &Entry<'_>, now: &Now) -> Metadata {
    Metadata {
        expires_at: expires_at(item, now),
        accessed_at: now.unix_start + i64::from(item.access().0),
        cas: item.cas(),
        is_fetched: item.is_fetched(),
        class: item.class(),
        size_bytes: item.size_bytes(),
        flags: item.flags(),
    }
}

/// Unix time at which an item expires.
fn expires_at(item: &Entry<'_>, now: &Now) -> Option<i64> {
    let expiry = item.expiry();
    (expiry != Expiry::NEVER).then(|| now.unix_start + i64::from(expiry.0))
}
