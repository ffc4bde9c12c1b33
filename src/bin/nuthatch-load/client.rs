//! One connection: what has been asked, and whether what comes back is right.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Instant;

use crate::clock;
use crate::codec::{Codec, Decoded, Outcome, Reply};
use crate::dataset::Dataset;
use crate::link::Link;
use crate::tally::Tally;
use crate::workload::{Answer, Request, Verb};

/// Whether values are compared with what they must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Each byte.
    Bytes,
    /// Keys only.
    Keys,
}

/// One connection to the server.
#[derive(Debug)]
pub struct Client<S, C> {
    socket: S,
    codec: C,
    /// Encoded requests, of which the first `written` bytes have been sent.
    output: Vec<u8>,
    written: usize,
    input: Input,
    /// Requests that wait for their answer, in order.
    pending: VecDeque<Pending>,
    /// The keys of all pending requests, in order.
    keys: VecDeque<u32>,
}

/// A connection of the usual kind.
pub type SocketClient<C> = Client<Link, C>;

#[derive(Debug)]
struct Pending {
    verb: Verb,
    /// How many of the keys no reply has passed yet.
    keys_left: usize,
    /// From when on its latency counts.
    since: Instant,
}

impl<S: Read + Write, C: Codec> Client<S, C> {
    /// A client on a fresh connection.
    pub fn new(socket: S) -> Client<S, C> {
        Client {
            socket,
            codec: C::default(),
            output: Vec::new(),
            written: 0,
            input: Input::default(),
            pending: VecDeque::new(),
            keys: VecDeque::new(),
        }
    }

    /// The connection, to register it.
    pub fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Goes on with another connection; nothing may be outstanding.
    pub fn renew(&mut self, socket: S) {
        debug_assert!(self.pending.is_empty());
        self.socket = socket;
        self.codec = C::default();
        self.output.clear();
        self.written = 0;
        (self.input.start, self.input.end, self.input.least) = (0, 0, 1);
    }

    /// Requests that wait for an answer.
    pub fn outstanding(&self) -> usize {
        self.pending.len()
    }

    /// Takes a request; [`Client::flush`] sends it. `since` is from when on its latency counts.
    pub fn ask(&mut self, request: &Request<'_>, dataset: &Dataset, since: Instant) {
        self.codec.encode(request, dataset, &mut self.output);
        if request.answer == Answer::Wanted {
            self.keys.extend(request.keys);
            let keys_left = request.keys.len();
            self.pending.push_back(Pending { verb: request.verb, keys_left, since });
        }
    }

    /// Sends what has been asked, as far as the socket takes it.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.written < self.output.len() {
            match self.socket.write(&self.output[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        match self.socket.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads all there is, counts it, and says how many requests have been answered.
    ///
    /// # Errors
    ///
    /// The connection is broken or closed, or what came is no answer to what was asked.
    pub fn receive(
        &mut self,
        dataset: &Dataset,
        verify: Verify,
        tally: &mut Tally,
    ) -> io::Result<usize> {
        let before = self.pending.len();
        loop {
            let space = self.input.space();
            let room = space.len();
            match self.socket.read(space) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.input.end += count;
                    self.decode(dataset, verify, tally, clock::now())?;
                    // A short read has emptied the socket; what comes later is a new event.
                    if count < room {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(before - self.pending.len())
    }

    fn decode(
        &mut self,
        dataset: &Dataset,
        verify: Verify,
        tally: &mut Tally,
        now: Instant,
    ) -> io::Result<()> {
        while self.input.has_enough() {
            let bytes = &self.input.bytes[self.input.start..self.input.end];
            match self.codec.decode(bytes) {
                Err(_) => return Err(unexpected("no reply", bytes)),
                Ok(Decoded::More(least)) => self.input.least = least,
                Ok(Decoded::Reply(reply, used)) => {
                    let front = Front { pending: &mut self.pending, keys: &mut self.keys };
                    front.meet(&reply, dataset, verify, tally, now).ok_or_else(|| {
                        unexpected("a reply that does not belong to the request", bytes)
                    })?;
                    self.input.start += used;
                    self.input.least = 1;
                }
            }
        }
        Ok(())
    }
}

/// The queue of what has been asked.
struct Front<'a> {
    pending: &'a mut VecDeque<Pending>,
    keys: &'a mut VecDeque<u32>,
}

impl Front<'_> {
    /// Holds a reply against the oldest request; `None` if it cannot be a reply to that one.
    fn meet(
        self,
        reply: &Reply<'_>,
        dataset: &Dataset,
        verify: Verify,
        tally: &mut Tally,
        now: Instant,
    ) -> Option<()> {
        let request = self.pending.front_mut()?;
        match reply {
            Reply::Value { .. } | Reply::Whole { .. } if !request.verb.retrieves() => return None,
            Reply::Value { key, bytes } => {
                let found = request.find(self.keys, *key, dataset, tally);
                tally.value(is_right(found, bytes, dataset, verify));
                return Some(());
            }
            Reply::Whole { bytes } => {
                let found = request.find(self.keys, None, dataset, tally);
                tally.value(is_right(found, bytes, dataset, verify));
            }
            Reply::Done(Outcome::Error(line)) => tally.error(line),
            Reply::Done(outcome) if outcome.suits(request.verb) => {
                if request.verb.retrieves() {
                    tally.misses += request.keys_left as u64;
                } else if *outcome == Outcome::Refused {
                    tally.refused += 1;
                }
            }
            Reply::Done(_) => return None,
        }
        self.keys.drain(..request.keys_left);
        tally.answered(request.since, now);
        self.pending.pop_front();
        Some(())
    }
}

/// Whether this is what is to be found under the key, and there is one.
fn is_right(found: Option<u32>, value: &[u8], dataset: &Dataset, verify: Verify) -> bool {
    found.is_some_and(|key| verify == Verify::Keys || dataset.is_right(key, value))
}

impl Pending {
    /// The key that a value is for: the next one of this name, and those before it are misses.
    fn find(
        &mut self,
        keys: &mut VecDeque<u32>,
        name: Option<&[u8]>,
        dataset: &Dataset,
        tally: &mut Tally,
    ) -> Option<u32> {
        let mut asked = keys.iter().take(self.keys_left);
        let place = match name.map(|name| dataset.key_named(name)) {
            Some(named) => asked.position(|key| Some(*key) == named)?,
            None => asked.next().map(|_| 0)?,
        };
        tally.misses += place as u64;
        self.keys_left -= place + 1;
        keys.drain(..=place).next_back()
    }
}

impl Outcome<'_> {
    /// Whether a request of this kind can end so.
    fn suits(&self, verb: Verb) -> bool {
        match self {
            Outcome::End => verb.retrieves(),
            Outcome::Number(_) => verb.counts(),
            Outcome::Ok => !verb.retrieves() && !verb.counts(),
            Outcome::Refused => !verb.retrieves() && verb != Verb::Set,
            Outcome::Error(_) => true,
        }
    }
}

/// Bytes received and not yet decoded: `start..end` of the buffer.
#[derive(Debug)]
struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// With fewer bytes than this there is no use in decoding.
    least: usize,
}

impl Default for Input {
    fn default() -> Input {
        Input { bytes: Vec::new(), start: 0, end: 0, least: 1 }
    }
}

impl Input {
    fn has_enough(&self) -> bool {
        self.end - self.start >= self.least
    }

    /// Free space behind the bytes, large enough for the reply that is under way.
    fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.bytes.len() - self.end < SPACE_MIN_BYTES {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let wanted = self.least.max(self.end + SPACE_MIN_BYTES);
        if wanted > self.bytes.len() {
            self.bytes.resize(wanted.next_power_of_two(), 0);
        }
        &mut self.bytes[self.end..]
    }
}

fn unexpected(what: &str, bytes: &[u8]) -> io::Error {
    let shown = bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii();
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: \"{shown}\""))
}

/// A read gets at least this much space: what a batch of small answers needs.
const SPACE_MIN_BYTES: usize = 8 * 1024;

/// As much of a wrong answer is shown as fits a line.
const SHOWN_BYTES: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Meta, Text};
    use crate::dataset::ValueSize;

    /// A server that has said all it will say, some bytes a read.
    #[derive(Default)]
    struct Canned {
        sent: Vec<u8>,
        to_say: VecDeque<u8>,
        step: usize,
    }

    impl Read for Canned {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.step.min(into.len()).min(self.to_say.len());
            for (place, byte) in into.iter_mut().zip(self.to_say.drain(..count)) {
                *place = byte;
            }
            if count == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
        }
    }

    impl Write for Canned {
        fn write(&mut self, from: &[u8]) -> io::Result<usize> {
            self.sent.extend_from_slice(from);
            Ok(from.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn dataset() -> Dataset {
        Dataset::new("k", 10, ValueSize::Fixed(20), 1)
    }

    fn value_of(key: u32) -> Vec<u8> {
        let mut out = format!("VALUE k{key} 0 20\r\n").into_bytes();
        dataset().push_value(key, 9, &mut out);
        out.extend_from_slice(b"\r\n");
        out
    }

    /// Asks, answers `step` bytes a read, and gives the counters or the failure.
    fn talk(requests: &[(Verb, &[u32])], reply: &[u8], step: usize) -> io::Result<Tally> {
        talk_in::<Text>(requests, reply, step)
    }

    fn talk_in<C: Codec>(
        requests: &[(Verb, &[u32])],
        reply: &[u8],
        step: usize,
    ) -> io::Result<Tally> {
        let mut client: Client<Canned, C> = Client::new(Canned { step, ..Canned::default() });
        for (verb, keys) in requests {
            let request =
                Request { verb: *verb, keys, version: 1, exptime: 0, answer: Answer::Wanted };
            client.ask(&request, &dataset(), clock::now());
        }
        client.flush()?;
        client.socket().to_say.extend(reply);
        let mut tally = Tally::new();
        let mut answered = 0;
        while !client.socket().to_say.is_empty() {
            answered += client.receive(&dataset(), Verify::Bytes, &mut tally)?;
        }
        assert_eq!(answered as u64, tally.requests);
        assert_eq!(client.outstanding(), requests.len() - answered);
        assert!(client.outstanding() > 0 || client.keys.is_empty());
        Ok(tally)
    }

    fn counters(tally: &Tally) -> [u64; 6] {
        [tally.requests, tally.hits, tally.misses, tally.refused, tally.errors, tally.wrong]
    }

    #[test]
    fn pipelined_answers_are_counted_however_they_are_cut() {
        let asked: [(Verb, &[u32]); 7] = [
            (Verb::Get, &[1, 2, 3, 4]),
            (Verb::Get, &[5]),
            (Verb::Set, &[6]),
            (Verb::Delete, &[7]),
            (Verb::Incr, &[12]),
            (Verb::Set, &[8]),
            (Verb::Get, &[3, 3]),
        ];
        let reply = [
            value_of(2),
            value_of(4),
            b"END\r\nEND\r\nSTORED\r\nNOT_FOUND\r\n5000000001\r\nSERVER_ERROR x\r\n".to_vec(),
            value_of(3),
            value_of(3),
            b"END\r\n".to_vec(),
        ]
        .concat();
        for step in 1..=reply.len() {
            let tally = talk(&asked, &reply, step).unwrap();
            assert_eq!(counters(&tally), [7, 4, 3, 1, 1, 0], "step {step}");
            assert_eq!(tally.first_error.as_deref(), Some("SERVER_ERROR x"));
        }
    }

    #[test]
    fn a_wrong_value_is_counted_as_wrong() {
        let good = value_of(1);
        for at in good.len() - 22..good.len() - 2 {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            bad.extend_from_slice(b"END\r\n");
            let tally = talk(&[(Verb::Get, &[1])], &bad, 1000).unwrap();
            assert_eq!(counters(&tally), [1, 0, 0, 0, 0, 1], "byte {at}");
        }
    }

    #[test]
    fn a_value_of_another_key_is_counted_as_wrong() {
        let unasked = [value_of(2), b"END\r\n".to_vec()].concat();
        let tally = talk(&[(Verb::Get, &[1])], &unasked, 1000).unwrap();
        assert_eq!(counters(&tally), [1, 0, 1, 0, 0, 1]);
        let mut swapped = value_of(2);
        swapped[7] = b'1';
        swapped.extend_from_slice(b"END\r\n");
        let tally = talk(&[(Verb::Get, &[1])], &swapped, 1000).unwrap();
        assert_eq!(counters(&tally), [1, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_reply_to_another_kind_of_request_breaks_the_run() {
        for (verb, reply) in [
            (Verb::Get, b"STORED\r\n".as_slice()),
            (Verb::Set, b"END\r\n"),
            (Verb::Set, b"NOT_STORED\r\n"),
            (Verb::Incr, b"STORED\r\n"),
            (Verb::Get, b"END\r\nEND\r\n"),
            (Verb::Set, b"what\r\n"),
        ] {
            let error = talk(&[(verb, &[1])], reply, 1000).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{verb:?}");
        }
    }

    #[test]
    fn values_that_end_their_reply_are_checked_too() {
        let value = |key| {
            let mut out = b"VA 20\r\n".to_vec();
            dataset().push_value(key, 9, &mut out);
            [out, b"\r\n".to_vec()].concat()
        };
        let asked: [(Verb, &[u32]); 4] =
            [(Verb::Get, &[1]), (Verb::Set, &[1]), (Verb::Get, &[2]), (Verb::Get, &[3])];
        let reply = [value(1), b"HD\r\nEN\r\n".to_vec(), value(4)].concat();
        for step in 1..=reply.len() {
            let tally = talk_in::<Meta>(&asked, &reply, step).unwrap();
            assert_eq!(counters(&tally), [4, 1, 1, 0, 0, 1], "step {step}");
        }
        let error = talk_in::<Meta>(&[(Verb::Set, &[1])], &value(1), 1000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
