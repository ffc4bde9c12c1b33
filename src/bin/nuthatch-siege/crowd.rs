//! Many connections that do the same: the body of most patterns.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::random::Random;
use crate::running::Running;
use crate::socket::{Peer, Progress, Window};
use crate::tally::Tally;

/// What each connection of a crowd does.
pub struct Habit<'a> {
    /// Where it connects.
    pub to: SocketAddr,
    /// How many there are at a time. Those whom the server hangs up on come again.
    pub peers: usize,
    /// How much the kernel keeps of their answers.
    pub window: Window,
    /// What each sends first.
    pub first: Rc<[u8]>,
    /// What each sends when it has sent all before; no bytes: it only stays.
    pub next: &'a mut dyn FnMut(&mut Random) -> Rc<[u8]>,
    /// Bytes that each sends at most in a turn.
    pub send_bytes: usize,
    /// Bytes of answers that each reads in a turn.
    pub read_bytes: usize,
    /// How a connection ends.
    pub end: End,
    /// Time between turns; with none, a turn in which nothing could be done has a short rest.
    pub pause: Duration,
}

/// When a connection of a crowd ends from its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Never.
    Stays,
    /// When all that came first and next has been sent once.
    Closes,
    /// Then, by a reset.
    Resets,
}

impl Habit<'_> {
    /// One that sends `first`, then `next` at full speed again and again, and stays.
    pub fn new<'a>(
        to: SocketAddr,
        peers: usize,
        first: impl Into<Rc<[u8]>>,
        next: &'a mut dyn FnMut(&mut Random) -> Rc<[u8]>,
    ) -> Habit<'a> {
        Habit {
            to,
            peers,
            window: Window::Wide,
            first: first.into(),
            next,
            send_bytes: usize::MAX,
            read_bytes: 64 << 10,
            end: End::Stays,
            pause: Duration::ZERO,
        }
    }

    /// Does so until told to stop.
    pub fn run(mut self, running: &Running, seed: u64) -> Tally {
        let mut tally = Tally::default();
        let mut random = Random::new(seed);
        let mut members: Vec<Member> = Vec::new();
        let mut scratch = vec![0; self.read_bytes.min(16 << 10)];
        while running.goes_on() {
            members.retain(|member| !member.peer.is_over());
            for _ in 0..CONNECTS_A_TURN {
                if members.len() >= self.peers {
                    break;
                }
                let Some(peer) = Peer::connect(self.to, self.window, &mut tally) else { break };
                members.push(Member { peer, bytes: Rc::clone(&self.first), is_first: true });
            }
            let before = (tally.sent_bytes, tally.read_bytes, tally.connections);
            let mut index = 0;
            while index < members.len() {
                let is_done = self.turn(&mut members[index], &mut random, &mut tally);
                members[index].read(self.read_bytes, &mut scratch, &mut tally);
                match self.end {
                    End::Closes if is_done => drop(members.swap_remove(index)),
                    End::Resets if is_done => members.swap_remove(index).peer.reset(),
                    _ => index += 1,
                }
                if index.is_multiple_of(256) && !running.goes_on() {
                    return tally;
                }
            }
            let is_stuck = before == (tally.sent_bytes, tally.read_bytes, tally.connections);
            running.pause(if is_stuck { self.pause.max(REST) } else { self.pause });
        }
        tally
    }

    /// Sends for one of them; whether it has sent everything once.
    fn turn(&mut self, member: &mut Member, random: &mut Random, tally: &mut Tally) -> bool {
        let mut left = self.send_bytes.min(SEND_MAX_BYTES);
        while left > 0 {
            if member.peer.has_sent(&member.bytes) {
                let is_once = !member.is_first;
                tally.rounds += 1;
                if is_once && self.end != End::Stays {
                    return true;
                }
                member.bytes = (self.next)(random);
                member.is_first = false;
                member.peer.rewind();
                if member.bytes.is_empty() {
                    return true;
                }
            }
            match member.peer.push(&member.bytes, left, tally) {
                Progress::Moved(len) => left -= len,
                Progress::Stuck | Progress::Over => return false,
            }
        }
        member.peer.has_sent(&member.bytes) && !member.is_first
    }
}

struct Member {
    peer: Peer,
    bytes: Rc<[u8]>,
    is_first: bool,
}

impl Member {
    fn read(&mut self, most: usize, scratch: &mut [u8], tally: &mut Tally) {
        let mut left = most;
        while left > 0 {
            let len = left.min(scratch.len());
            match self.peer.read(&mut scratch[..len], tally) {
                Progress::Moved(got) => left -= got,
                Progress::Stuck | Progress::Over => return,
            }
        }
    }
}

/// Connections that are made before those that are there get their turn.
const CONNECTS_A_TURN: usize = 32;

/// Bytes after which the next connection has its turn.
const SEND_MAX_BYTES: usize = 1 << 20;

/// Time for which a server that takes and gives nothing is left alone.
const REST: Duration = Duration::from_millis(1);
