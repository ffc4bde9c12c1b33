//! The requests of one datagram (behaviour, section 7).
//!
//! A datagram is a conversation of its own: a fresh [`Session`] over its bytes, and what is not
//! complete in it is never joined with another. Every request is answered by itself. Since the first
//! packet of an answer says how many there are, an answer is held whole, and so it has a bound; what
//! needs a connection (to watch, to list connections) is refused.
#![forbid(unsafe_code)]

use crate::limits::DATAGRAM_ANSWERS_MAX_BYTES;
use crate::protocol::Reply;
use crate::protocol::binary::response::{self, Status};
use crate::protocol::binary::{self, Packet};
use crate::session::{Output, Protocol, Session, State, Turn, Want};

/// A datagram that is being answered.
#[derive(Debug)]
pub struct Datagram {
    session: Session,
    /// Bytes of the datagram that are done with.
    at: usize,
    /// Where the present request begins.
    begin: usize,
    /// Bytes that the answers to this and the following requests may have.
    left_bytes: usize,
    is_over: bool,
}

/// What a step has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more to do before there is an answer.
    Turn,
    /// A request has its answer, which is empty if the client wants none.
    Answer,
    /// `quit`: an empty answer is to be sent.
    Quit,
    /// Nothing more comes of this datagram.
    Over,
    /// `shutdown`: the server is to stop.
    Shutdown {
        /// As at SIGUSR1, not as at SIGINT.
        graceful: bool,
    },
}

impl Datagram {
    /// A datagram whose sender is to speak `protocol`.
    pub fn new(protocol: Protocol) -> Datagram {
        let mut session = Session::of(protocol);
        // Its answer is copied at once.
        session.never_wait();
        Datagram {
            session,
            at: 0,
            begin: 0,
            left_bytes: DATAGRAM_ANSWERS_MAX_BYTES,
            is_over: false,
        }
    }

    /// Does a bounded amount of the present request of `payload`, and no more than that request. What
    /// it does of a list is all that a turn may have: then no request of the turn is left.
    /// `answer` grows until it is told to be one; then the caller empties it.
    pub fn advance(&mut self, payload: &[u8], answer: &mut Vec<u8>, turn: &mut Turn<'_>) -> Next {
        // A server that is answered would answer, and so on.
        if self.is_over || payload == Reply::Error.line() {
            return Next::Over;
        }
        // One request is all that a session executes before it asks for another turn. A list begins in the
        // next one, and has a turn to itself as long as it goes on.
        let requests_left = turn.requests_left;
        let is_listing = matches!(self.session.state, State::Dump(_));
        turn.requests_left = 1;
        let mut out = Output::new();
        let (consumed, want) = self.session.advance(&payload[self.at..], &mut out, turn);
        turn.requests_left = if is_listing { 0 } else { requests_left.saturating_sub(1) };
        self.at += consumed;
        if !self.hold(out, answer) {
            self.is_over = true;
            answer.clear();
            self.refuse_long(&payload[self.begin..], answer);
            return Next::Answer;
        }
        self.go_on(want, answer)
    }

    fn go_on(&mut self, want: Want, answer: &mut Vec<u8>) -> Next {
        let is_complete = matches!(self.session.state, State::Line);
        self.is_over = !matches!(want, Want::Turn | Want::Drain);
        match want {
            Want::Turn | Want::Drain if is_complete => {
                self.begin = self.at;
                self.left_bytes -= answer.len();
                Next::Answer
            }
            Want::Turn | Want::Drain => Next::Turn,
            Want::Input if is_complete && !answer.is_empty() => Next::Answer,
            Want::News | Want::Conns { .. } | Want::Verdict | Want::Memory(_) => {
                answer.clear();
                answer.extend_from_slice(Reply::NotOverUdp.line());
                Next::Answer
            }
            Want::Close if !answer.is_empty() => Next::Answer,
            Want::Close if self.session.protocol == Protocol::Ascii => Next::Quit,
            Want::Shutdown { graceful } => Next::Shutdown { graceful },
            // What has no end in this datagram is forgotten with it.
            Want::Input | Want::Close | Want::Hangup => {
                answer.clear();
                Next::Over
            }
        }
    }

    /// Moves what is in `out` to `answer`. False: that is more than an answer may be.
    fn hold(&self, mut out: Output, answer: &mut Vec<u8>) -> bool {
        while !out.is_empty() {
            let slices = out.slices(usize::MAX);
            let count = slices.iter().map(|slice| slice.len()).sum();
            if answer.len() + count > self.left_bytes {
                return false;
            }
            slices.iter().for_each(|slice| answer.extend_from_slice(slice));
            drop(slices);
            out.advance(count);
        }
        true
    }

    /// Says that the answer to `request` would be too long.
    fn refuse_long(&self, request: &[u8], answer: &mut Vec<u8>) {
        if self.session.protocol != Protocol::Binary {
            answer.extend_from_slice(Reply::TooLongForUdp.line());
        } else if let Packet::Whole { tag, .. } = binary::read(request) {
            response::error(answer, tag, Status::TooLarge);
        }
    }
}
