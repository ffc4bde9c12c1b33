//! Requests with a value, and requests of which nothing is wanted.
#![forbid(unsafe_code)]

use super::{condition, refuse};
use crate::protocol::binary::response::{self, Status};
use crate::protocol::binary::{Store, Tag, Verb};
use crate::session::value::{Storing, Then, Told};
use crate::session::{Output, Session, Step, Turn};
use crate::store::{Meta, Mode, Outcome, Refusal, Terms};

impl Session {
    /// Set, add, replace, append and prepend, whose value begins `data`.
    pub(super) fn store_packet(
        &mut self,
        tag: Tag,
        request: &Store<'_>,
        data: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let Store { key, flags, exptime, cas, value_len } = *request;
        turn.shared.prefixes.set(key);
        // Items without a unique have none that could be named (`-C`).
        let compare = condition(cas).filter(|_| turn.shared.options.cas);
        // Section 4: with a unique, set, add and replace are one and the same.
        let mode = match tag.verb {
            Verb::Append => Mode::Append,
            Verb::Prepend => Mode::Prepend,
            Verb::Add if compare.is_none() => Mode::Add,
            Verb::Replace if compare.is_none() => Mode::Replace,
            _ => Mode::Set,
        };
        let key = turn.shared.store.key(key);
        let expiry = turn.now.expiry_unsigned(exptime);
        let storing = Storing {
            terms: Terms { compare, ..mode.into() },
            key,
            meta: Meta { flags, expiry, is_binary_key: !key.is_one_word() },
            value_len,
        };
        self.store_value(&storing, &Then::Binary(tag), data, out, turn)
    }
}

/// Appends what became of a store.
pub(in crate::session) fn tell(tag: Tag, told: Told, out: &mut Output) {
    let status = match told {
        Told::Outcome(Outcome::Stored { .. }) if tag.is_quiet => return,
        Told::Outcome(Outcome::Stored { cas, .. }) => {
            return response::done(out.bytes(), tag, cas);
        }
        Told::Outcome(Outcome::Exists) => Status::Exists,
        Told::Outcome(Outcome::NotFound) => Status::NotFound,
        Told::Outcome(Outcome::NotStored) => match tag.verb {
            Verb::Add => Status::Exists,
            Verb::Replace => Status::NotFound,
            _ => Status::NotStored,
        },
        Told::Refused(Refusal::TooLarge) => Status::TooLarge,
        Told::Refused(Refusal::NoMemory) => Status::NoMemoryStoring,
        Told::Abandoned => Status::NoMemoryReading,
        // A value that ends with its length cannot end wrongly.
        Told::BadChunk => Status::Invalid,
    };
    refuse(tag, status, out);
}
