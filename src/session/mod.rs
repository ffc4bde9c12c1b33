//! One client's conversation as a machine without I/O: bytes in, answers out.
//!
//! ```text
//!            ┌─────────────────────── a whole line or packet ──────┐
//!            ▼                                                      │
//! input ─► Line ── get family ──► Keys ── too long a key ─► SkipLine┤
//!            ├──── storage ─────► Value ── its block has come ──────┤
//!            ├──── refused ─────► Swallow ── its block has gone ────┤
//!            ├──── list ────────► Dump ── all items are shown ──────┤
//!            ├──── a login ─────► Login ── the verdict is there ────┤
//!            ├──── config set ──► Configuring ── its block is there ┤
//!            ├──── stats conns ─► Conns ── all of them are listed ──┘
//!            ├──── watch ───────► Watching, to the end
//!            └──── quit, ... ───► Over
//! ```
//!
//! Knows no socket; time comes with the [`Turn`]. What a session answers depends on the bytes that
//! it is fed and never on how they were cut into reads. It holds neither lines nor answers: what
//! it cannot use yet stays with the caller, and is no more than a line. The first byte of a
//! connection tells its [`Protocol`]; packets of the binary one go through the same states.
#![forbid(unsafe_code)]

mod access;

mod admin;

mod batch;

mod binary;

mod certificates;

mod cluster;

mod conns;

mod control;

mod datagram;

mod dump;

mod execute;

mod login;

mod meta;

mod prefixes;

mod retrieve;

mod room;

mod shared;

mod stats;

mod tunables;

mod value;

mod watching;

#[cfg(test)]
mod tests;

use std::io::IoSliceMut;

use arrayvec::ArrayVec;
use memchr::memchr;

use crate::buf;
use crate::clock::Now;
use crate::limits::{
    EXCHANGE_BYTES, IO_SLICES_MAX, READ_BUF_BYTES, SMALL_READ_BYTES, WORK_BYTES_PER_REQUEST,
};
use crate::metrics::Counters;
use crate::protocol::Reply;
use crate::protocol::binary::MAGIC;
use crate::protocol::meta::Command;
use crate::protocol::text::{self, LINE_LEN_MIN, Line, get};
use crate::protocol::token::Tokens;
use crate::store::Value;
use crate::watch::{Wake, Watcher};
use access::Access;
use cluster::Configuring;
use conns::Listing;
use dump::Dump;
use login::Login;
use retrieve::Retrieval;
use value::{Arriving, Swallow, answer};

pub use crate::store::Room;
pub use certificates::Certificates;
pub use conns::Portion;
pub use datagram::{Datagram, Next};
pub use room::Arrival;
pub use shared::{Options, Shared};
pub use tunables::Tunables;

/// The answers of one connection.
pub type Output = buf::Output<Value>;

/// What one call of [`Session::advance`] may use and spend.
pub struct Turn<'a> {
    /// The time.
    pub now: Now,
    /// What all sessions have in common.
    pub shared: &'a Shared,
    /// The worker's own block.
    pub counters: &'a Counters,
    /// Requests that may still be executed in this turn; a multiget counts one a key.
    pub requests_left: u32,
    /// Set by what takes as long as many requests: others are to be looked at before the next turn.
    pub was_long: bool,
    /// The number of the connection that watchers are shown as `cfd`.
    pub descriptor: i32,
    /// Makes what gives the session another call if it waits for [`Want::News`].
    pub wake: &'a dyn Fn() -> Wake,
}

impl Turn<'_> {
    /// Takes note of work beside the request as such: `bytes` that were copied.
    fn spend(&mut self, bytes: usize) {
        let requests = u32::try_from(bytes / WORK_BYTES_PER_REQUEST).unwrap_or(u32::MAX);
        self.requests_left = self.requests_left.saturating_sub(requests);
    }

    /// Takes note that the request concerns all of the store, which is work enough for one turn.
    fn spend_all(&mut self) {
        self.requests_left = 0;
        self.was_long = true;
    }
}

/// What a session wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// More input. What was not consumed, at most a line or a packet's head, must be presented again with more
    /// behind it.
    Input,
    /// Another turn: the requests of this one are used up and input is left, or a list is going on.
    Turn,
    /// The output has reached its high-water mark: call again, with the same input, once it is
    /// below.
    Drain,
    /// As `Input`, or the ringing of what [`Turn::wake`] has made: a watcher has lines waiting.
    News,
    /// Memory for a large value: another call once the store has room ([`Store::has_room`]), or
    /// [`Session::refuse_room`]. Nothing else makes the session go on, and it had better not be given
    /// more input.
    ///
    /// [`Store::has_room`]: crate::store::Store::has_room
    Memory(Room),
    /// A portion of the list of connections: [`Session::take_conns`], then another call. Nothing
    /// else makes the session go on.
    Conns {
        /// The descriptor with which it begins.
        from: i32,
    },
    /// A verdict on what [`Session::take_ask`] gives: [`Session::take_verdict`], then another call. Nothing
    /// else makes the session go on.
    Verdict,
    /// Write the output, then close.
    Close,
    /// As `Close`, since the client does not keep to the protocol.
    Hangup,
    /// As `Close`; then the server is to stop (`shutdown`).
    Shutdown {
        /// As at SIGUSR1, not as at SIGINT.
        graceful: bool,
    },
}

/// What a client speaks, for the whole life of its connection (`-B`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What its first byte says.
    #[default]
    Auto,
    /// Text: classic and meta.
    Ascii,
    /// Packets.
    Binary,
}

/// One client's conversation.
#[derive(Debug)]
pub struct Session {
    state: State,
    access: Access,
    protocol: Protocol,
    /// The caller holds the beginning of a line or a packet.
    is_line_begun: bool,
    /// It may wait for memory; not over UDP.
    waits: bool,
    /// Bytes of the last value that was stored, if it was large and nothing but such has come since.
    large_len: u32,
}

// A connection has one, idle or not.
const _: () = assert!(size_of::<Session>() <= 64);

#[derive(Debug)]
enum State {
    /// A line or a packet begins.
    Line,
    /// Amid a line of the get family.
    Keys(Retrieval),
    /// Amid the block of a value that is stored.
    Value(Box<Arriving>),
    /// Amid the block of a request that was refused.
    Swallow(Swallow),
    /// Amid a list of items.
    Dump(Box<Dump>),
    /// Amid a line that has been answered.
    SkipLine,
    /// The list of connections is on its way.
    Conns(Box<Listing>),
    /// A verdict is on its way.
    Login(Box<Login>),
    /// Amid the block of a list of nodes.
    Configuring(Box<Configuring>),
    /// Lines of events go out, nothing that comes in matters.
    Watching(Watcher),
    /// Nothing is read any more.
    Over,
}

/// What one step of the machine has done.
struct Step {
    consumed: usize,
    /// None: go on with the next.
    want: Option<Want>,
}

impl Step {
    /// Goes on behind `consumed` bytes.
    fn on(consumed: usize) -> Step {
        Step { consumed, want: None }
    }

    /// Stops in front of what is left.
    fn wait(want: Want) -> Step {
        Step { consumed: 0, want: Some(want) }
    }

    /// The same step with `len` bytes consumed before it.
    fn behind(self, len: usize) -> Step {
        Step { consumed: self.consumed + len, ..self }
    }
}

impl Session {
    /// A session that has seen nothing.
    pub fn new() -> Session {
        Session::of(Protocol::Auto)
    }

    /// The same, of a client that is to speak `protocol`.
    pub fn of(protocol: Protocol) -> Session {
        Session {
            state: State::Line,
            access: Access::Full,
            protocol,
            is_line_begun: false,
            waits: true,
            large_len: 0,
        }
    }

    /// Executes what `input` holds, appends the answers to `out`; tells how many bytes of `input`
    /// are done with and what is wanted next.
    pub fn advance(
        &mut self,
        input: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> (usize, Want) {
        // What is behind the last value that had not come at once.
        let (mut at, mut behind_value) = (0, 0);
        loop {
            let rest = &input[at..];
            let step = match self.state {
                State::Line => match self.protocol {
                    Protocol::Ascii => self.line(rest, out, turn),
                    Protocol::Binary => self.packet(rest, out, turn),
                    Protocol::Auto => self.negotiate(rest),
                },
                State::Keys(retrieval) => self.keys(retrieval, rest, out, turn),
                State::Value(_) => {
                    let step = self.take_value(rest, out, turn);
                    behind_value = at + step.consumed;
                    step
                }
                State::Swallow(_) => self.swallow(rest, out),
                State::Dump(_) => self.dump(out, turn),
                State::SkipLine => self.skip_line(rest),
                State::Conns(_) => self.list_conns(out),
                State::Login(_) => self.hear_verdict(out, turn),
                State::Configuring(_) => self.configure(rest, out, turn),
                State::Watching(_) => self.listen(rest, out),
                State::Over => Step { consumed: rest.len(), want: Some(Want::Close) },
            };
            at += step.consumed;
            if let Some(want) = step.want {
                self.is_line_begun = at < input.len();
                if input.len() - behind_value >= SMALL_READ_BYTES {
                    self.large_len = 0;
                }
                return (at, want);
            }
        }
    }

    /// While a value is arriving: the item memory for the bytes still to come, so that the socket
    /// can be read straight into it, and whether that is all they need. Only asked for when all input
    /// has been consumed.
    pub fn value_space(&mut self) -> Option<(ArrayVec<IoSliceMut<'_>, IO_SLICES_MAX>, bool)> {
        match &mut self.state {
            State::Value(arriving) => arriving.space(),
            _ => None,
        }
    }

    /// Bytes that the next read behind the unread input should take at the most: few where a large value
    /// is expected, whose bytes had better be read straight into its item.
    pub fn read_max(&self) -> usize {
        if self.large_len > 0 { SMALL_READ_BYTES } else { READ_BUF_BYTES }
    }

    /// Takes note that `count` bytes were read into [`Session::value_space`].
    pub fn value_read(&mut self, count: usize) {
        if let State::Value(arriving) = &mut self.state {
            arriving.note_read(count);
        }
    }

    /// Bytes of memory for the request that is under way, and for the cursor of a dump.
    pub fn held_bytes(&self) -> (usize, usize) {
        let request = match &self.state {
            State::Dump(_) => return (0, size_of::<Dump>()),
            State::Value(_) => size_of::<Arriving>(),
            State::Conns(listing) => listing.held_bytes(),
            State::Login(_) => size_of::<Login>(),
            State::Configuring(configuring) => configuring.held_bytes(),
            _ => 0,
        };
        let exchange = if self.access.is_amid_exchange() { EXCHANGE_BYTES } else { 0 };
        (request + exchange, 0)
    }

    /// Whether a request has been begun and its end has not arrived.
    pub fn is_midway(&self) -> bool {
        match self.state {
            State::Line => self.is_line_begun,
            State::Over | State::Watching(_) => false,
            _ => true,
        }
    }

    /// Whether it has no memory but its own.
    pub fn is_bare(&self) -> bool {
        let is_plain =
            matches!(self.state, State::Line | State::Keys(_) | State::SkipLine | State::Over);
        is_plain && !self.access.is_amid_exchange()
    }

    /// While a value arrives, also one that is thrown away: bytes of it that are still to come.
    pub fn missing_bytes(&self) -> Option<u64> {
        match &self.state {
            State::Value(arriving) => Some(arriving.missing_bytes()),
            State::Swallow(swallow) => Some(swallow.missing_bytes()),
            State::Configuring(configuring) => Some(configuring.missing_bytes()),
            _ => None,
        }
    }

    /// Whether it waits for news: it has watched, and is never silent for too long.
    pub fn is_watching(&self) -> bool {
        matches!(self.state, State::Watching(_))
    }

    /// Where a connection begins.
    fn negotiate(&mut self, rest: &[u8]) -> Step {
        let Some(first) = rest.first() else { return Step::wait(Want::Input) };
        self.protocol = if *first == MAGIC { Protocol::Binary } else { Protocol::Ascii };
        Step::on(0)
    }

    /// Where a line begins.
    fn line(&mut self, rest: &[u8], out: &mut Output, turn: &mut Turn<'_>) -> Step {
        if let Some(pause) = pause(rest, out, turn) {
            return Step::wait(pause);
        }
        if self.is_guest() {
            return self.guest_line(rest, out, turn);
        }
        if turn.shared.store.is_careful() {
            let wait = self.wait_to_obey(rest, out, turn);
            return wait.unwrap_or_else(|| self.one_line(rest, out, turn));
        }
        match self.batch(rest, out, turn) {
            Some(step) => step,
            None => self.one_line(rest, out, turn),
        }
    }

    /// The line with which `rest`, which is not empty, begins.
    fn one_line(&mut self, rest: &[u8], out: &mut Output, turn: &mut Turn<'_>) -> Step {
        if let Some(verb) = get::Verb::of(rest) {
            return self.retrieve(verb, rest, out, turn);
        }
        let mut tokens = Tokens::default();
        if let Some(len) = text::plain::line(rest, &mut tokens) {
            return self.obey_line(&rest[..len], &tokens, &rest[len..], out, turn).behind(len);
        }
        match text::line(rest) {
            Line::Whole { text, len } if len < LINE_LEN_MIN => {
                log::trace!("< {}", text.escape_ascii());
                turn.requests_left -= 1;
                answer(Reply::BadLine, false, out);
                Step::on(len)
            }
            Line::Whole { text, len } => {
                let tokens = Tokens::split(text);
                self.obey_line(text, &tokens, &rest[len..], out, turn).behind(len)
            }
            Line::Partial => Step::wait(Want::Input),
            Line::Overlong => self.end(Want::Hangup),
        }
    }

    /// Executes a line from its tokens; `data` follows it.
    fn obey_line(
        &mut self,
        text: &[u8],
        tokens: &Tokens<'_>,
        data: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        log::trace!("< {}", text.trim_ascii_end().escape_ascii());
        turn.requests_left -= 1;
        // Empty when the line begins with a space.
        let word = if text.first() == Some(&b' ') { b"" } else { tokens.at(0).unwrap_or_default() };
        if let Some(command) = Command::of(word) {
            return self.meta(command, tokens, data, out, turn);
        }
        self.execute(&text::parse(word, tokens), data, out, turn)
    }

    fn skip_line(&mut self, rest: &[u8]) -> Step {
        match memchr(b'\n', rest) {
            Some(end) => {
                self.state = State::Line;
                Step::on(end + 1)
            }
            None => Step { consumed: rest.len(), want: Some(Want::Input) },
        }
    }

    /// Reads nothing any more.
    fn end(&mut self, want: Want) -> Step {
        self.state = State::Over;
        Step::wait(want)
    }
}

impl Default for Session {
    fn default() -> Self {
        Session::new()
    }
}

/// Why the next request cannot be looked at now.
fn pause(rest: &[u8], out: &Output, turn: &Turn<'_>) -> Option<Want> {
    if rest.is_empty() {
        Some(Want::Input)
    } else if turn.requests_left == 0 {
        Some(Want::Turn)
    } else if out.is_high() {
        Some(Want::Drain)
    } else {
        None
    }
}
