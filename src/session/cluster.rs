//! The commands by which clients find the nodes of their cluster (docs/protocol.md, "Discovery").
//!
//! They are ElastiCache's, not memcached's: without a list of nodes they are commands that nobody knows. What a
//! client sends in place of the list is taken whole, so that it can be looked at before it is served.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::auth::Need;
use crate::discovery::{Discovery, ITEM_KEY, KEY, Nodes, Place};
use crate::limits::CLUSTER_BYTES_MAX;
use crate::protocol::Reply;
use crate::protocol::binary::Tag;
use crate::protocol::binary::config::{self, Packet};
use crate::protocol::binary::response::{self, Head, Status};
use crate::protocol::control::Config;
use crate::protocol::response::{config_line, value_line};
use crate::session::binary::refuse;
use crate::session::stats::Sink;
use crate::session::value::{BLOCK_END, answer};
use crate::session::{Output, Session, Shared, State, Step, Turn, Want};

/// A list on its way.
#[derive(Debug)]
pub(super) struct Configuring {
    /// What has come of it and of what ends it.
    block: Vec<u8>,
    missing: usize,
    then: Then,
    _place: Place,
}

/// How a client is told what became of it.
#[derive(Clone, Copy, Debug)]
enum Then {
    Line { noreply: bool },
    Packet(Tag),
}

impl Configuring {
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Configuring>() + self.block.capacity()
    }

    pub(super) fn missing_bytes(&self) -> u64 {
        self.missing as u64
    }
}

impl Session {
    /// `config`
    #[cold]
    pub(super) fn config(
        &mut self,
        request: Config<'_>,
        noreply: bool,
        out: &mut Output,
        turn: &Turn<'_>,
    ) -> Step {
        let Some(discovery) = &turn.shared.discovery else {
            answer(Reply::Error, noreply, out);
            return Step::on(0);
        };
        let is_admin = self.access.allows(Need::Admin, b"");
        let reply = match request {
            Config::Get(key) => {
                if let Some(nodes) = discovery.nodes().filter(|_| key.is_none_or(|key| key == KEY))
                {
                    config_line(out.bytes(), KEY, nodes.text());
                }
                out.push(Reply::End.line());
                return Step::on(0);
            }
            Config::Set { value_len, .. } if !is_admin => {
                return self.refuse_line(value_len as u64 + 2, noreply, out);
            }
            Config::Delete(_) if !is_admin => return self.refuse_line(0, noreply, out),
            Config::Set { key, value_len } => {
                let block_len = value_len + BLOCK_END.len();
                return match self.admit(discovery, key, value_len) {
                    Err((error, _)) => self.start_swallow(block_len as u64, error, noreply),
                    Ok(place) => self.start_configuring(block_len, Then::Line { noreply }, place),
                };
            }
            Config::Delete(_) if self.is_over_udp() => Reply::NotOverUdp,
            Config::Delete(KEY) if discovery.delete() => Reply::Deleted,
            Config::Delete(_) => Reply::NotFound,
            Config::Refused { error, block_len: 0 } => error,
            Config::Refused { error, block_len } => {
                return self.start_swallow(block_len, error, noreply);
            }
        };
        answer(reply, noreply, out);
        Step::on(0)
    }

    /// The same as the packet with which `rest` begins, of an opcode that is unknown otherwise. None: it is so
    /// here, too.
    #[cold]
    pub(super) fn config_packet(
        &mut self,
        rest: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Option<Step> {
        turn.shared.discovery.as_ref()?;
        Some(match config::read(rest)? {
            Packet::Partial => Step::wait(Want::Input),
            Packet::Broken(tag) => {
                refuse(tag, Status::Invalid, out);
                self.end(Want::Close)
            }
            Packet::Whole { tag, request, len } => {
                turn.requests_left -= 1;
                self.obey_config(tag, request, out, turn).behind(len)
            }
        })
    }

    fn obey_config(
        &mut self,
        tag: Tag,
        request: config::Config<'_>,
        out: &mut Output,
        turn: &Turn<'_>,
    ) -> Step {
        use config::Config;
        let Some(discovery) = &turn.shared.discovery else { return Step::on(0) };
        let is_admin = self.access.allows(Need::Admin, b"");
        match request {
            Config::Get { key, shows_key } => {
                let shown_key = if shows_key { key } else { b"" };
                match discovery.nodes().filter(|_| key == KEY) {
                    Some(nodes) => show_nodes_packet(tag, shown_key, &nodes, out),
                    None if tag.is_quiet => {}
                    None => refuse(tag, Status::NotFound, out),
                }
            }
            Config::List => {
                if let Some(nodes) = discovery.nodes() {
                    show_nodes_packet(tag, KEY, &nodes, out);
                }
                response::done(out.bytes(), tag, 0);
            }
            Config::Set { value_len, .. } if !is_admin => {
                return self.start_swallow_packet(value_len as u64, tag, Status::AuthFailure);
            }
            Config::Delete(_) if !is_admin => refuse(tag, Status::AuthFailure, out),
            Config::Set { key, value_len } => {
                return match self.admit(discovery, key, value_len) {
                    Err((_, status)) => self.start_swallow_packet(value_len as u64, tag, status),
                    Ok(place) => self.start_configuring(value_len, Then::Packet(tag), place),
                };
            }
            Config::Delete(_) if self.is_over_udp() => refuse(tag, Status::Invalid, out),
            Config::Delete(KEY) if discovery.delete() => done(tag, out),
            Config::Delete(_) => refuse(tag, Status::NotFound, out),
        }
        Step::on(0)
    }

    /// Whether a list may be sent, or why not, as a line and as a status.
    fn admit(
        &self,
        discovery: &Discovery,
        key: &[u8],
        value_len: usize,
    ) -> Result<Place, (Reply, Status)> {
        // Whoever has sent it: a sender's address is quickly made up.
        if self.is_over_udp() {
            return Err((Reply::NotOverUdp, Status::Invalid));
        }
        if key != KEY {
            return Err((Reply::BadConfigKey, Status::Invalid));
        }
        if value_len > CLUSTER_BYTES_MAX {
            return Err((Reply::TooLarge, Status::TooLarge));
        }
        discovery.place().ok_or((Reply::NoMemoryStoring, Status::NoMemoryStoring))
    }

    fn start_configuring(&mut self, block_len: usize, then: Then, place: Place) -> Step {
        let configuring =
            Configuring { block: Vec::new(), missing: block_len, then, _place: place };
        self.state = State::Configuring(Box::new(configuring));
        Step::on(0)
    }

    /// Amid the block of a list.
    #[cold]
    pub(super) fn configure(&mut self, rest: &[u8], out: &mut Output, turn: &Turn<'_>) -> Step {
        let State::Configuring(configuring) = &mut self.state else { return Step::on(0) };
        let consumed = configuring.missing.min(rest.len());
        configuring.block.extend_from_slice(&rest[..consumed]);
        configuring.missing -= consumed;
        if configuring.missing > 0 {
            return Step { consumed, want: Some(Want::Input) };
        }
        let State::Configuring(configuring) = std::mem::replace(&mut self.state, State::Line)
        else {
            return Step::on(consumed);
        };
        let set = |text| turn.shared.discovery.as_ref().is_some_and(|them| them.set(text));
        match (configuring.then, configuring.block.as_slice()) {
            (Then::Packet(tag), text) if set(text) => done(tag, out),
            (Then::Packet(tag), _) => refuse(tag, Status::Invalid, out),
            (Then::Line { noreply }, block) => {
                let reply = match block.strip_suffix(BLOCK_END) {
                    None => Reply::BadChunk,
                    Some(text) if set(text) => Reply::Stored,
                    Some(_) => Reply::BadCluster,
                };
                answer(reply, noreply, out);
            }
        }
        Step::on(consumed)
    }
}

/// Whether `key` is that of the item by which old clients ask for the list. What is stored under it is nobody's to
/// see: it would be another list, by whom may not change this one.
#[inline]
pub(super) fn is_list(key: &[u8], turn: &Turn<'_>) -> bool {
    turn.shared.discovery.is_some() && is_its_key(key)
}

/// Apart, so that a server without a list has one test a key.
#[cold]
#[inline(never)]
fn is_its_key(key: &[u8]) -> bool {
    key == ITEM_KEY
}

/// Shows the list to a client that asks for it as for an item.
#[cold]
pub(super) fn show_nodes(shows_cas: bool, out: &mut Output, turn: &Turn<'_>) {
    if let Some(nodes) = nodes(turn) {
        let text = nodes.text();
        value_line(out.bytes(), ITEM_KEY, 0, text.len(), shows_cas.then_some(0), text.len());
        out.push(text);
        out.push(b"\r\n");
    }
}

/// What `stats settings` shows.
pub(super) fn settings(into: &mut dyn Sink, shared: &Shared) {
    if let Some(nodes) = shared.discovery.as_ref().and_then(Discovery::nodes) {
        into.add("cluster_version", &nodes.version_text());
        into.add("cluster_nodes", &nodes.count());
    }
}

/// The list, if there is one.
pub(super) fn nodes(turn: &Turn<'_>) -> Option<Arc<Nodes>> {
    turn.shared.discovery.as_ref().and_then(Discovery::nodes)
}

/// Appends the list as a packet.
pub(super) fn show_nodes_packet(tag: Tag, key: &[u8], nodes: &Nodes, out: &mut Output) {
    let text = nodes.text();
    let head = Head { flags: 0, cas: 0, key, value_len: text.len() };
    response::head(out.bytes(), tag, &head, text.len());
    out.push(text);
}

fn done(tag: Tag, out: &mut Output) {
    if !tag.is_quiet {
        response::done(out.bytes(), tag, 0);
    }
}
