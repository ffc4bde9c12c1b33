//! One connection: how much of its input is which request, and what it is still owed.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use mio::net::TcpStream;

use crate::canned::{Answers, Kind};

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It waits for its next event.
    Open,
    /// It is over.
    Ended,
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    stream: TcpStream,
    asked: Asked,
    /// How many bytes of which answers are to be sent; those of a run are alike.
    runs: VecDeque<(Kind, usize)>,
}

impl Conn {
    /// A connection on which nothing has been said.
    pub fn new(stream: TcpStream) -> Conn {
        Conn { stream, asked: Asked::default(), runs: VecDeque::new() }
    }

    /// Reads what has come and answers it.
    pub fn go(&mut self, input: &mut [u8], answers: &mut Answers) -> Fate {
        loop {
            match self.send(answers) {
                Ok(()) => {}
                // The rest is for when there is room; nothing is read meanwhile.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Fate::Open,
                Err(_) => return Fate::Ended,
            }
            let count = match self.stream.read(input) {
                Ok(0) => return Fate::Ended,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Fate::Open,
                Err(_) => return Fate::Ended,
            };
            self.asked.take(&input[..count], |kind| owe(&mut self.runs, kind, answers));
            if count < input.len() {
                // A short read has emptied the socket; what comes later is a new event.
                return match self.send(answers) {
                    Ok(()) => Fate::Open,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Fate::Open,
                    Err(_) => Fate::Ended,
                };
            }
        }
    }

    /// Sends what is owed: like answers in one write, as far as there are so many in a row.
    fn send(&mut self, answers: &Answers) -> io::Result<()> {
        while let Some((kind, left)) = self.runs.front_mut() {
            match self.stream.write(answers.last_bytes(*kind, *left)) {
                Ok(count) => *left -= count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if *left == 0 {
                self.runs.pop_front();
            }
        }
        Ok(())
    }
}

/// Adds one answer to what is owed.
fn owe(runs: &mut VecDeque<(Kind, usize)>, kind: Kind, answers: &mut Answers) {
    let len = answers.len_bytes(kind);
    match runs.back_mut() {
        Some((last, left)) if *last == kind => *left += len,
        _ => runs.push_back((kind, len)),
    }
}

/// Where in its requests a client is.
#[derive(Debug, Default)]
struct Asked {
    /// The beginning of a line or header that has not come whole.
    begun: Vec<u8>,
    /// Bytes of a value that are still to come, and what is owed after them.
    body: Option<(usize, Kind)>,
}

impl Asked {
    /// Goes on by `input`, and tells of each request that ends in it.
    fn take(&mut self, mut input: &[u8], mut ended: impl FnMut(Kind)) {
        while !input.is_empty() {
            if let Some((left, kind)) = self.body.take() {
                let part = left.min(input.len());
                input = &input[part..];
                if part < left {
                    self.body = Some((left - part, kind));
                } else {
                    ended(kind);
                }
                continue;
            }
            let Some((head, rest)) = split_head(&self.begun, input) else {
                self.begun.extend_from_slice(input);
                return;
            };
            let (kind, body_len) = if self.begun.is_empty() {
                Kind::of_head(head)
            } else {
                self.begun.extend_from_slice(head);
                Kind::of_head(&self.begun)
            };
            self.begun.clear();
            input = rest;
            if body_len == 0 {
                ended(kind);
            } else {
                self.body = Some((body_len, kind));
            }
        }
    }
}

/// Cuts off the rest of the line, or of the header, of which `begun` has come before.
fn split_head<'a>(begun: &[u8], input: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let first = begun.first().or(input.first());
    if first == Some(&Kind::BINARY) {
        input.split_at_checked(Kind::HEADER_BYTES - begun.len())
    } else {
        memchr::memchr(b'\n', input).map(|newline| input.split_at(newline + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(pieces: &[&[u8]]) -> Vec<Kind> {
        let (mut asked, mut kinds) = (Asked::default(), Vec::new());
        for piece in pieces {
            asked.take(piece, |kind| kinds.push(kind));
        }
        assert!(asked.begun.is_empty() && asked.body.is_none());
        kinds
    }

    #[test]
    fn requests_are_counted_however_they_are_cut() {
        let mut binary_set = [0; Kind::HEADER_BYTES + 11];
        (binary_set[0], binary_set[1], binary_set[11]) = (Kind::BINARY, 1, 11);
        let mut binary_get = [0; Kind::HEADER_BYTES + 3];
        (binary_get[0], binary_get[11]) = (Kind::BINARY, 3);
        let stream = [
            b"get key:1\r\nget key:1 key:2\r\nset key:1 0 0 4\r\na\r\nb\r\nmg key:1 v\r\n"
                .as_slice(),
            b"ms key:1 3 T60\r\n\nbc\r\nincr key:1 1\r\n",
            &binary_set,
            &binary_get,
        ]
        .concat();
        let wanted = [
            Kind::Values(1),
            Kind::Values(2),
            Kind::Stored,
            Kind::MetaValue,
            Kind::MetaStored,
            Kind::Number,
            Kind::BinaryStored,
            Kind::BinaryValue,
        ];
        for at in 0..stream.len() {
            assert_eq!(kinds(&[&stream[..at], &stream[at..]]), wanted, "cut at {at}");
        }
        assert_eq!(kinds(&stream.chunks(1).collect::<Vec<_>>()), wanted);
    }
}
