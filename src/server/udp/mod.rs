//! UDP (behaviour, section 7): every worker has a socket for every address of `-U`.
//!
//! ```text
//! request   id, sequence, total = 1, reserved │ one or more requests
//! answer    id, 0, total, 0 │ 1,392 bytes    id, 1, total, 0 │ ...
//! ```
//!
//! A request is one datagram; one that says that it is part of several is dropped. Each of the
//! requests in it is answered by a sequence of its own. What the kernel does not take is lost: that
//! is what UDP is.
//!
//! An answer of one datagram has the frame of a request, and says `ERROR` to it. So that no two
//! servers answer each other for ever, what comes from a port of our own is dropped wherever it is
//! from, and a datagram that is an `ERROR` is not answered ([`Datagram`]).
#![forbid(unsafe_code)]

mod bind;

#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use super::gather::Part;
use super::listener::inet_name;
use super::{Control, os_text};
use crate::clock::{Now, Secs};
use crate::limits::READ_BUF_BYTES;
use crate::metrics::{Counter, Counters};
use crate::session::{Datagram, Next, Protocol, Shared, Turn};

pub(super) use bind::{Bound, bind};

/// Bytes of the frame before the payload.
const FRAME_LEN: usize = 8;

/// Bytes of an answer in one datagram, so that with the frame it fits what any network carries.
const PAYLOAD_LEN_MAX: usize = 1392;

/// Larger than any datagram.
const INPUT_LEN: usize = 64 * 1024;

/// One worker's socket at one address.
pub(super) struct Udp {
    socket: UdpSocket,
    address: SocketAddr,
    /// The ports of all UDP sockets of this server, which others like it have as well.
    own_ports: Arc<[u16]>,
    protocol: Protocol,
    /// The kernel may have datagrams.
    readable: bool,
    /// When a datagram last came.
    active_at: Secs,
    /// [`INPUT_LEN`] bytes from the first datagram on.
    input: Vec<u8>,
    /// The answer that is being made or sent.
    answer: Vec<u8>,
    current: Option<Current>,
}

/// The datagram that is being answered.
struct Current {
    datagram: Datagram,
    /// Its length with the frame.
    len: usize,
    id: [u8; 2],
    sender: SocketAddr,
    /// The next packet of the answer, while one is being sent.
    sending: Option<u16>,
}

/// What a go may use and spend.
pub(super) struct Budget<'a> {
    pub(super) shared: &'a Shared,
    pub(super) control: &'a Control,
    /// The worker's own block.
    pub(super) counters: &'a Counters,
    pub(super) now: Now,
    /// Requests and datagrams that may be looked at.
    pub(super) requests_left: u32,
    /// Bytes of answers that may be made and sent; the last answer may go beyond it.
    pub(super) bytes_left: usize,
}

impl Budget<'_> {
    fn spend(&mut self, count: usize) {
        self.bytes_left = self.bytes_left.saturating_sub(count);
    }
}

impl Udp {
    /// Reports its datagrams under `token`.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// The kernel has told of a datagram.
    pub(super) fn notice(&mut self) {
        self.readable = true;
    }

    /// Whether a go would get anywhere.
    pub(super) fn can_go(&self) -> bool {
        self.readable || self.current.is_some()
    }

    /// Does a bounded amount of what there is to do.
    pub(super) fn go(&mut self, budget: &mut Budget<'_>) {
        while self.can_go() && budget.requests_left > 0 && budget.bytes_left > 0 {
            match &self.current {
                None => self.receive(budget),
                Some(Current { sending: Some(_), .. }) => self.send(budget),
                Some(Current { sending: None, .. }) => self.execute(budget),
            }
        }
    }

    /// Adds what `stats conns` shows of it.
    pub(super) fn list(&self, part: &mut Part<'_>, now: Secs) {
        part.add(self.socket.as_raw_fd(), |entry| {
            entry.line("UDP", "UDP");
            entry.line("addr", inet_name("udp", self.address));
            entry.line("state", "conn_read");
            entry.line("secs_since_last_cmd", now.0.saturating_sub(self.active_at.0));
        });
    }

    /// Takes the next datagram, if it is a request.
    fn receive(&mut self, budget: &mut Budget<'_>) {
        budget.requests_left -= 1;
        self.input.resize(INPUT_LEN, 0);
        let (len, sender) = match self.socket.recv_from(&mut self.input) {
            Ok(received) => received,
            Err(err) => {
                self.readable = err.kind() != ErrorKind::WouldBlock;
                if self.readable {
                    log::debug!("udp {}: {}", self.address, os_text(&err));
                }
                return;
            }
        };
        budget.counters.add(Counter::BytesRead, len as u64);
        self.active_at = budget.now.secs;
        if self.own_ports.contains(&sender.port()) {
            log::debug!("udp {}: {sender} is dropped, as it may be a server", self.address);
            return;
        }
        let [id0, id1, _, _, 0, 1, ..] = self.input[..len] else { return };
        if len > FRAME_LEN {
            let datagram = Datagram::new(self.protocol);
            let id = [id0, id1];
            self.current = Some(Current { datagram, len, id, sender, sending: None });
        }
    }

    /// Goes on with the present request.
    fn execute(&mut self, budget: &mut Budget<'_>) {
        let Some(current) = &mut self.current else { return };
        let mut turn = Turn {
            now: budget.now,
            shared: budget.shared,
            counters: budget.counters,
            requests_left: budget.requests_left,
            was_long: false,
            descriptor: self.socket.as_raw_fd(),
            wake: &|| Arc::new(|| {}),
        };
        let payload = &self.input[FRAME_LEN..current.len];
        let held = self.answer.len();
        let next = current.datagram.advance(payload, &mut self.answer, &mut turn);
        budget.requests_left = turn.requests_left;
        budget.now = turn.now;
        budget.spend(self.answer.len().saturating_sub(held));
        match next {
            Next::Turn => {}
            Next::Answer if self.answer.is_empty() => {}
            Next::Answer => current.sending = Some(0),
            Next::Quit => {
                let (id, sender) = (current.id, current.sender);
                let _lost = self.send_frame(&frame(id, 0, 0), sender, budget.counters);
                self.end();
            }
            Next::Shutdown { graceful } => {
                budget.control.stop(graceful);
                self.end();
            }
            Next::Over => self.end(),
        }
    }

    /// Sends what is left of an answer, as far as the budget goes.
    fn send(&mut self, budget: &mut Budget<'_>) {
        let Some(Current { id, sender, sending: Some(first), .. }) = self.current else { return };
        let total = self.answer.len().div_ceil(PAYLOAD_LEN_MAX);
        let mut next = usize::from(first);
        let mut is_lost = false;
        while next < total && budget.bytes_left > 0 && !is_lost {
            let payload = &self.answer[next * PAYLOAD_LEN_MAX..];
            let payload = &payload[..payload.len().min(PAYLOAD_LEN_MAX)];
            let mut packet = [0; FRAME_LEN + PAYLOAD_LEN_MAX];
            packet[..FRAME_LEN].copy_from_slice(&frame(id, next as u16, total as u16));
            packet[FRAME_LEN..FRAME_LEN + payload.len()].copy_from_slice(payload);
            let packet = &packet[..FRAME_LEN + payload.len()];
            is_lost = self.send_frame(packet, sender, budget.counters).is_err();
            budget.spend(packet.len());
            next += 1;
        }
        let is_sent = is_lost || next == total;
        if is_sent {
            self.answer.clear();
        }
        if let Some(current) = &mut self.current {
            current.sending = (!is_sent).then_some(next as u16);
        }
    }

    fn send_frame(&self, packet: &[u8], sender: SocketAddr, counters: &Counters) -> Result<(), ()> {
        match self.socket.send_to(packet, sender) {
            Ok(count) => {
                counters.add(Counter::BytesWritten, count as u64);
                Ok(())
            }
            Err(err) => {
                log::debug!("udp {}: answer lost: {}", self.address, os_text(&err));
                Err(())
            }
        }
    }

    /// Has done with a datagram. Memory of an unusually long answer is not kept.
    fn end(&mut self) {
        self.current = None;
        self.answer.clear();
        self.answer.shrink_to(READ_BUF_BYTES);
    }
}

/// The frame of packet `sequence` of `total`.
fn frame(id: [u8; 2], sequence: u16, total: u16) -> [u8; FRAME_LEN] {
    let ([s0, s1], [t0, t1]) = (sequence.to_be_bytes(), total.to_be_bytes());
    [id[0], id[1], s0, s1, t0, t1, 0, 0]
}

const _: () = assert!(
    crate::limits::DATAGRAM_ANSWERS_MAX_BYTES / PAYLOAD_LEN_MAX < u16::MAX as usize,
    "a sequence number fits its field"
);
