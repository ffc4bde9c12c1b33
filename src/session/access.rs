//! What a client may do: everything, what its user's rights say, or nothing but log in.
//!
//! Each command is held against that once, before anything of it is done, and each key of a line of the
//! get family. A refusal is an answer; the connection goes on.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::auth::{Exchange, Need, User};
use crate::protocol::binary::{self, Verb};
use crate::protocol::meta::{self, Flags};
use crate::protocol::request::Request;
use crate::session::{Session, State};

/// What a client may do at the moment.
#[derive(Debug)]
pub(super) enum Access {
    /// Everything.
    Full,
    /// What this user may, who has rights.
    Limited(Arc<User>),
    /// Log in, and perhaps it has begun to.
    Guest(Option<Box<Exchange>>),
}

impl Access {
    /// That of a user.
    pub(super) fn of(user: Arc<User>) -> Access {
        if user.rights.is_some() { Access::Limited(user) } else { Access::Full }
    }

    /// Whether it covers what a command on `key` needs; `key` is empty where there is none.
    pub(super) fn allows(&self, need: Need, key: &[u8]) -> bool {
        match self {
            Access::Full => true,
            Access::Limited(user) => {
                user.rights.as_ref().is_none_or(|rights| rights.allow(need, key))
            }
            Access::Guest(_) => need == Need::Nothing,
        }
    }

    /// Whether it has begun to log in and not ended.
    pub(super) fn is_amid_exchange(&self) -> bool {
        matches!(self, Access::Guest(Some(_)))
    }

    /// Whether the client may do anything, so that nothing need be looked at.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Access::Full)
    }
}

impl Session {
    /// Whether what the client sends may be a secret: it has to log in, or logs in again.
    pub fn handles_secrets(&self) -> bool {
        self.is_guest() || matches!(self.state, State::Login(_))
    }

    /// Whether the client has yet to log in.
    pub fn is_guest(&self) -> bool {
        matches!(self.access, Access::Guest(_))
    }
}

/// What a line of the classic protocol needs, and its key.
pub(super) fn of_line<'a>(request: &Request<'a>) -> (Need, &'a [u8]) {
    match *request {
        Request::Store(line) => (Need::Write, line.key),
        Request::Delete { key } | Request::Touch { key, .. } => (Need::Write, key),
        // The answer shows the number.
        Request::Incr { key, .. } | Request::Decr { key, .. } => (Need::ReadWrite, key),
        Request::Version | Request::Quit | Request::Hangup | Request::Refused { .. } => {
            (Need::Nothing, b"")
        }
        // Whoever may do anything may know where; what changes that says so itself.
        Request::Config(_) => (Need::Nothing, b""),
        Request::FlushAll { .. }
        | Request::Stats(_)
        | Request::Shutdown(_)
        | Request::Verbosity(_)
        | Request::MemoryLimit { .. }
        | Request::Crawler(_)
        | Request::Slabs(_)
        | Request::Lru(_)
        | Request::DebugTime(_)
        | Request::Conns
        | Request::Watch(_)
        | Request::RefreshCertificates => (Need::Admin, b""),
    }
}

/// What a command of the meta protocol needs: `mg` writes as soon as it is asked to change or make an item
/// or to hand out the token of who refills it, `ma` reads when it shows the number.
pub(super) fn of_meta(verb: meta::Verb, flags: &Flags<'_>) -> Need {
    match verb {
        meta::Verb::Get
            if flags.ttl.is_some() || flags.create.is_some() || flags.recache.is_some() =>
        {
            Need::ReadWrite
        }
        meta::Verb::Arith if flags.shows_value => Need::ReadWrite,
        meta::Verb::Get | meta::Verb::Debug => Need::Read,
        meta::Verb::Set | meta::Verb::Delete | meta::Verb::Arith => Need::Write,
    }
}

/// What a packet needs, and its key.
pub(super) fn of_packet<'a>(verb: Verb, request: &binary::Request<'a>) -> (Need, &'a [u8]) {
    match *request {
        binary::Request::Retrieve { key, exptime: None } => (Need::Read, key),
        binary::Request::Retrieve { key, .. } if verb == Verb::Touch => (Need::Write, key),
        binary::Request::Retrieve { key, .. } => (Need::ReadWrite, key),
        binary::Request::Store(store) => (Need::Write, store.key),
        binary::Request::Delete { key, .. } => (Need::Write, key),
        binary::Request::Arith(arith) => (Need::ReadWrite, arith.key),
        binary::Request::Flush { .. } | binary::Request::Stat { .. } => (Need::Admin, b""),
        binary::Request::Noop
        | binary::Request::Version
        | binary::Request::Quit
        | binary::Request::Sasl(_) => (Need::Nothing, b""),
    }
}
