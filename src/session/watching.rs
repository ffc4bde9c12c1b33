//! `watch` (text, section 7): a session that only listens, and what sessions tell those that do.
//!
//! The `watch_` methods of [`Turn`] are for whoever executes a command. While nobody watches each
//! of them is one load; what they want to know beyond that they look up without leaving a trace.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;

use crate::clock::Expiry;
use crate::limits::KEY_LEN_MAX;
use crate::protocol::Reply;
use crate::protocol::request::WatchWords;
use crate::session::value::answer;
use crate::session::{Output, Session, State, Step, Turn, Want};
use crate::store::{Hit, Key, Meta, Miss, Mode, Outcome, Refusal, Seen, Terms, Upload};
use crate::watch::{Classes, Event};

/// What each of the [`WatchWords`] stands for.
const CLASSES: [Classes; 10] = [
    Classes::RAWCMDS,
    Classes::EVICTIONS,
    Classes::FETCHERS,
    Classes::MUTATIONS,
    Classes::SYSEVENTS,
    Classes::CONNEVENTS,
    Classes::PROXYREQS,
    Classes::PROXYEVENTS,
    Classes::PROXYUSER,
    Classes::DELETIONS,
];

/// What a lookup would have found before a command was executed; None: nobody wants to know.
pub(super) type Glance = Option<Result<Seen, Miss>>;

/// An upload that is about to be committed, as watchers will be told of it.
pub(super) struct Noted {
    key: ArrayVec<u8, KEY_LEN_MAX>,
    meta: Meta,
    value_len: usize,
    glance: Glance,
}

impl Session {
    /// Becomes a watcher, unless there is a reason against it.
    pub(super) fn watch(
        &mut self,
        words: Option<WatchWords>,
        out: &mut Output,
        turn: &Turn<'_>,
    ) -> Step {
        let reply = if !turn.shared.options.watch {
            Reply::WatchNotAllowed
        } else if !out.is_empty() {
            Reply::WatchPipelined
        } else if let Some(words) = words {
            let given = CLASSES.iter().zip(words.0).filter(|(_, is_given)| *is_given);
            let classes = given.fold(Classes::default(), |all, (class, _)| all.with(*class));
            match turn.shared.store.hub().watch(classes, (turn.wake)()) {
                Some(watcher) => {
                    self.state = State::Watching(watcher);
                    Reply::Ok
                }
                None => Reply::WatcherTooMany,
            }
        } else {
            Reply::Error
        };
        answer(reply, false, out);
        Step::on(0)
    }

    /// Moves lines to the output while there is room. What the client says is thrown away.
    pub(super) fn listen(&mut self, rest: &[u8], out: &mut Output) -> Step {
        let State::Watching(watcher) = &self.state else { return Step::on(0) };
        let room = out.room();
        let want = if watcher.take(room, out.bytes()) { Want::News } else { Want::Drain };
        Step { consumed: rest.len(), want: Some(want) }
    }
}

impl Turn<'_> {
    /// Tells watchers what a lookup of `key` will find, and answers it if it is an item. Before the
    /// command is executed.
    pub(super) fn watch_lookup(&self, key: &Key<'_>) -> Option<Seen> {
        let glance = self.watch_glance(key);
        self.tell_lookup(key, glance);
        glance?.ok()
    }

    /// The same without telling, for [`Turn::watch_stored`].
    pub(super) fn watch_glance(&self, key: &Key<'_>) -> Glance {
        let classes = Classes::FETCHERS.with(Classes::MUTATIONS).with(Classes::DELETIONS);
        let watched = self.shared.store.hub().watches(classes);
        watched.then(|| self.shared.store.glance(key, self.now.secs))
    }

    /// Tells watchers of an item that was found.
    pub(super) fn watch_hit(&self, key: &[u8], hit: &Hit<'_>) {
        let hub = self.shared.store.hub();
        if hub.watches(Classes::FETCHERS) {
            let (class, size) = (hit.class_id(), hit.value_len());
            let descriptor = self.descriptor;
            hub.emit(&Event::ItemGet { key, status: "found", class, descriptor, size });
        }
    }

    /// Tells watchers of an item that was not found.
    pub(super) fn watch_miss(&self, key: &[u8], miss: Miss) {
        let status = match miss {
            Miss::NotFound => "not_found",
            Miss::Expired => "expired",
            Miss::Flushed => "flushed",
        };
        let descriptor = self.descriptor;
        let event = Event::ItemGet { key, status, class: 0, descriptor, size: 0 };
        self.shared.store.hub().emit(&event);
    }

    /// Tells watchers of a delete that has removed what [`Turn::watch_lookup`] saw; `command` is
    /// `delete` or `md`.
    pub(super) fn watch_deleted(&self, key: &Key<'_>, command: &'static str, seen: Option<Seen>) {
        if let Some(seen) = seen {
            let (key, class, size) = (key.bytes(), seen.class_id, seen.value_len);
            self.shared.store.hub().emit(&Event::Deleted { key, command, class, size });
        }
    }

    /// Tells watchers of a number that was made with `expiry`: memcached adds it, and looks up anew.
    pub(super) fn watch_created(&self, key: &Key<'_>, expiry: Expiry) {
        if let Some(Ok(seen)) = self.watch_glance(key) {
            self.watch_miss(key.bytes(), Miss::NotFound);
            self.tell_store(key.bytes(), "stored", "add", Seen { expiry, ..seen });
        }
    }

    /// Tells watchers of an item that was emptied, `seen` before: memcached sets it, and looks up
    /// anew. Answers the item as it is then.
    pub(super) fn watch_emptied(&self, key: &Key<'_>, seen: Option<Seen>) -> Option<Seen> {
        let emptied = self.watch_glance(key)?.ok()?;
        self.tell_lookup(key, seen.map(Ok));
        self.tell_store(key.bytes(), "stored", "set", emptied);
        Some(emptied)
    }

    /// Tells watchers of a store and of the lookup that it has made. A store that was refused has
    /// made none.
    pub(super) fn watch_stored(
        &self,
        key: &Key<'_>,
        terms: &Terms,
        meta: Meta,
        value_len: usize,
        stored: Result<Outcome, Refusal>,
        glance: Glance,
    ) {
        let store = &self.shared.store;
        if stored.is_ok() {
            self.tell_lookup(key, glance);
        }
        if !store.hub().watches(Classes::MUTATIONS) {
            return;
        }
        let new = |class_id, value_len| Seen { class_id, value_len, expiry: meta.expiry };
        let of_len = |len| new(store.class_id(key, meta, len), len);
        let seen = match stored {
            Ok(Outcome::Stored { value_len: len, .. }) => match store.glance(key, self.now.secs) {
                Ok(seen) => Seen { value_len: len, ..seen },
                Err(_) => of_len(len),
            },
            Ok(_) => of_len(value_len),
            Err(_) => new(0, 0),
        };
        self.tell_store(key.bytes(), status(stored), command(terms), seen);
    }

    fn tell_store(&self, key: &[u8], status: &'static str, command: &'static str, item: Seen) {
        self.shared.store.hub().emit(&Event::ItemStore {
            key,
            status,
            command,
            ttl: match item.expiry {
                Expiry::NEVER => 0,
                Expiry(at) => at.wrapping_sub(self.now.secs.0),
            },
            class: item.class_id,
            descriptor: self.descriptor,
            size: item.value_len,
        });
    }

    /// What [`Turn::watch_committed`] will tell; None: nobody wants to know.
    pub(super) fn watch_upload(&self, upload: &Upload) -> Option<Noted> {
        let store = &self.shared.store;
        if !store.hub().watches(Classes::FETCHERS.with(Classes::MUTATIONS)) {
            return None;
        }
        let (key, meta) = upload.describe();
        let glance = self.watch_glance(&store.key(&key));
        Some(Noted { key, meta, value_len: upload.value_len(), glance })
    }

    /// As [`Turn::watch_stored`], of an upload.
    pub(super) fn watch_committed(
        &self,
        noted: Option<Noted>,
        terms: &Terms,
        stored: Result<Outcome, Refusal>,
    ) {
        if let Some(Noted { key, meta, value_len, glance }) = noted {
            let key = self.shared.store.key(&key);
            self.watch_stored(&key, terms, meta, value_len, stored, glance);
        }
    }

    fn tell_lookup(&self, key: &Key<'_>, glance: Glance) {
        let Some(found) = glance else { return };
        let (key, descriptor) = (key.bytes(), self.descriptor);
        match found {
            Err(miss) => self.watch_miss(key, miss),
            Ok(Seen { class_id: class, value_len: size, .. }) => {
                let event = Event::ItemGet { key, status: "found", class, descriptor, size };
                self.shared.store.hub().emit(&event);
            }
        }
    }
}

fn status(stored: Result<Outcome, Refusal>) -> &'static str {
    match stored {
        Ok(Outcome::Stored { .. }) => "stored",
        Ok(Outcome::NotStored) => "not_stored",
        Ok(Outcome::Exists) => "exists",
        Ok(Outcome::NotFound) => "not_found",
        Err(Refusal::TooLarge) => "too_large",
        Err(Refusal::NoMemory) => "no_memory",
    }
}

fn command(terms: &Terms) -> &'static str {
    match terms.mode {
        Mode::Set if terms.compare.is_some() => "cas",
        Mode::Set => "set",
        Mode::Add => "add",
        Mode::Replace => "replace",
        Mode::Append => "append",
        Mode::Prepend => "prepend",
    }
}
