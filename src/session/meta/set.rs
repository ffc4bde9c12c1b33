//! `ms` (meta, section 5).
#![forbid(unsafe_code)]

use std::borrow::Cow;

use arrayvec::ArrayVec;

use super::{push_key_flag, push_number, push_opaque};
use crate::protocol::Reply;
use crate::protocol::meta::Request;
use crate::session::value::{Storing, Then, Told, answer, reply};
use crate::session::{Output, Session, Step, Turn};
use crate::store::{Meta, Mode, Outcome, Terms};

/// What the answer to an `ms` is made from once its value has come.
#[derive(Clone, Debug)]
pub(crate) struct Answer<'a> {
    is_quiet: bool,
    is_binary_key: bool,
    /// The flags that are answered, each once at most.
    returns: ArrayVec<u8, 4>,
    key: Cow<'a, [u8]>,
    opaque: Cow<'a, [u8]>,
    /// Length of the value that was sent, in bytes.
    value_len: usize,
}

impl Session {
    /// An `ms` whose data block begins `data`.
    pub(super) fn meta_set(
        &mut self,
        request: &Request<'_>,
        data: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let Request { key, flags, value_len } = request;
        let meta = Meta {
            flags: flags.client_flags,
            expiry: turn.now.expiry(flags.ttl.unwrap_or(0)),
            is_binary_key: key.is_binary(),
        };
        let store = &turn.shared.store;
        let key = store.key(key.bytes());
        let fits = || store.check_size(&key, meta, *value_len).is_ok();
        let terms = match terms(request, turn) {
            // A value that is too large is complained of first.
            Ok(_) if flags.is_opaque_too_long() && fits() => Err(Reply::MetaOpaqueTooLong),
            terms => terms,
        };
        let terms = match terms {
            Ok(terms) => terms,
            Err(error) => return self.start_swallow(*value_len as u64 + 2, error, false),
        };
        let storing = Storing { terms, key, meta, value_len: *value_len };
        self.store_value(&storing, &Then::Meta(Answer::new(request)), data, out, turn)
    }
}

/// The terms of the modes of section 5.
fn terms(request: &Request<'_>, turn: &Turn<'_>) -> Result<Terms, Reply> {
    let flags = &request.flags;
    let mode = match flags.mode {
        None | Some(b'S') => Mode::Set,
        Some(b'E') => Mode::Add,
        Some(b'A') => Mode::Append,
        Some(b'P') => Mode::Prepend,
        Some(b'R') => Mode::Replace,
        Some(_) => return Err(Reply::MetaBadSetMode),
    };
    let joins = matches!(mode, Mode::Append | Mode::Prepend);
    Ok(Terms {
        mode,
        compare: flags.compare,
        cas: flags.cas.filter(|cas| *cas != 0),
        may_be_stale: flags.invalidates && matches!(mode, Mode::Set | Mode::Replace),
        create: flags.create.filter(|_| joins).map(|exptime| turn.now.expiry(exptime)),
    })
}

impl<'a> Answer<'a> {
    fn new(request: &'a Request<'_>) -> Answer<'a> {
        let Request { key, flags, value_len } = request;
        let is_returned = |letter: &u8| matches!(letter, b'O' | b'k' | b'c' | b's');
        let opaque = flags.order.iter().find(|token| token[0] == b'O');
        let opaque = opaque.filter(|_| !flags.is_opaque_too_long());
        Answer {
            is_quiet: flags.is_quiet,
            is_binary_key: key.is_binary(),
            returns: flags.order.iter().map(|token| token[0]).filter(is_returned).collect(),
            key: key.bytes().into(),
            opaque: opaque.map_or(Cow::default(), |token| (*token).into()),
            value_len: *value_len,
        }
    }

    /// The same, when the line may go before the value has come.
    pub(in crate::session) fn into_owned(self) -> Answer<'static> {
        Answer {
            key: self.key.into_owned().into(),
            opaque: self.opaque.into_owned().into(),
            ..self
        }
    }

    /// Appends the answer. Only success is hidden by `q` (section 8).
    pub(in crate::session) fn tell(&self, told: Told, out: &mut Output) {
        let Told::Outcome(outcome) = told else { return answer(reply(told), false, out) };
        let (status, cas, value_len) = match outcome {
            Outcome::Stored { .. } if self.is_quiet => return,
            Outcome::Stored { cas, value_len } => (b"HD", cas, value_len),
            Outcome::NotStored => (b"NS", 0, self.value_len),
            Outcome::Exists => (b"EX", 0, self.value_len),
            Outcome::NotFound => (b"NF", 0, self.value_len),
        };
        let bytes = out.bytes();
        bytes.extend_from_slice(status);
        for letter in &self.returns {
            match letter {
                b'O' => push_opaque(bytes, &self.opaque),
                b'k' => push_key_flag(bytes, &self.key, self.is_binary_key),
                b'c' => push_number(bytes, b'c', cas),
                _ => push_number(bytes, b's', value_len),
            }
        }
        bytes.extend_from_slice(b"\r\n");
    }
}
