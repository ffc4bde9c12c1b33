//! Waiting for room: for more of a value that arrives, and to send one that lies in its item.
//!
//! Nothing of a request that waits has been counted or answered, and its bytes are not consumed, so
//! that it is executed as if it came now once there is room. A client that holds values itself, unsent,
//! first gets those: who waits holds none of what others wait for, but an upload that is given up in the end.
#![forbid(unsafe_code)]

use super::value::answer;
use super::{Output, Protocol, Session, State, Step, Turn, Want, access, binary};
use crate::auth::Need;
use crate::metrics::{Counter, Counters};
use crate::protocol::Reply;
use crate::protocol::binary::{Packet, Request, Status, Verb, read};
use crate::protocol::meta::{self, Command};
use crate::protocol::text::{self, Line};
use crate::protocol::token::Tokens;
use crate::store::Room;

/// A value that is arriving, as it looks to who needs its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Bytes of memory that it holds.
    pub held: usize,
    /// Bytes that have yet to come.
    pub remaining: usize,
}

impl Session {
    /// Answers [`Want::Memory`] with no: goes on as [`Session::advance`], but for what it waits for, which is
    /// refused unless there is room at last.
    pub fn refuse_room(
        &mut self,
        input: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> (usize, Want) {
        let tried = self.advance(input, out, turn);
        if !matches!(tried, (0, Want::Memory(_))) {
            return tried;
        }
        turn.counters.bump(Counter::MemoryWaitsOver);
        let consumed = match self.state {
            State::Value(_) => {
                self.give_up_value(turn.counters);
                0
            }
            State::Keys(_) => self.give_up(Reply::NoMemoryShowing, out).consumed,
            _ => self.refuse_to_show(input, out),
        };
        let (more, want) = self.advance(&input[consumed..], out, turn);
        (consumed + more, want)
    }

    /// The value that is arriving, if there is one.
    pub fn arrival(&self) -> Option<Arrival> {
        match &self.state {
            State::Value(arriving) => Some(arriving.describe()),
            _ => None,
        }
    }

    /// Takes the memory of a value that is arriving: its client is told so, as when there is none, once
    /// it has sent the rest.
    pub fn take_arrival(&mut self, counters: &Counters) {
        self.give_up_value(counters);
    }

    /// Does not wait for room to send a value, and gives an upload up that finds none: for who is held up
    /// by nobody and holds nothing for long.
    pub(super) fn never_wait(&mut self) {
        self.waits = false;
    }

    /// Whether it is a datagram's.
    pub(super) fn is_over_udp(&self) -> bool {
        !self.waits
    }

    /// What a line has to wait for that begins `rest`, while each value is asked for. None: it may go on, and
    /// only it.
    #[cold]
    pub(super) fn wait_to_obey(&self, rest: &[u8], out: &Output, turn: &Turn<'_>) -> Option<Step> {
        let Line::Whole { text, .. } = text::line(rest) else { return None };
        if text.first() == Some(&b' ') {
            return None;
        }
        let tokens = Tokens::split(text);
        let Some(Command::Keyed(verb @ meta::Verb::Get)) = Command::of(tokens.at(0)?) else {
            return None;
        };
        let request = meta::parse(verb, &tokens).ok()?;
        if !request.flags.shows_value {
            return None;
        }
        let key = request.key.bytes();
        self.wait_to_show(access::of_meta(verb, &request.flags), key, out, turn)
    }

    /// The same of a packet.
    #[cold]
    pub(super) fn wait_to_obey_packet(
        &self,
        rest: &[u8],
        out: &Output,
        turn: &Turn<'_>,
    ) -> Option<Step> {
        let Packet::Whole { tag, request: request @ Request::Retrieve { .. }, .. } = read(rest)
        else {
            return None;
        };
        if tag.verb == Verb::Touch {
            return None;
        }
        let (need, key) = access::of_packet(tag.verb, &request);
        self.wait_to_show(need, key, out, turn)
    }

    /// What has to be waited for before the value of `key` is shown.
    #[cold]
    pub(super) fn wait_to_show(
        &self,
        need: Need,
        key: &[u8],
        out: &Output,
        turn: &Turn<'_>,
    ) -> Option<Step> {
        if !self.waits || !(self.access.is_full() || self.access.allows(need, key)) {
            return None;
        }
        let store = &turn.shared.store;
        let bytes = store.bytes_to_pin(&store.key(key), turn.now.secs);
        let room = Room::Pin { bytes };
        if bytes == 0 || store.has_room(room) {
            None
        } else if out.has_pinned() {
            Some(Step::wait(Want::Drain))
        } else {
            Some(Step::wait(Want::Memory(room)))
        }
    }

    /// Refuses the line or packet with which `input` begins; answers its length.
    fn refuse_to_show(&mut self, input: &[u8], out: &mut Output) -> usize {
        if self.protocol == Protocol::Binary {
            if let Packet::Whole { tag, len, .. } = read(input) {
                binary::refuse(tag, Status::NoMemory, out);
                return len;
            }
        } else if let Line::Whole { len, .. } = text::line(input) {
            answer(Reply::NoMemoryShowing, false, out);
            return len;
        }
        0
    }
}
