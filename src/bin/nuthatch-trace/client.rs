//! A client of the text protocol that sends many requests before it reads the answers.
//!
//! It does not read while it sends: between two calls of [`Client::send`] no more may be asked for
//! than the sockets hold, unless nothing long follows it.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection.
pub struct Client {
    input: BufReader<TcpStream>,
    out: Vec<u8>,
    line: Vec<u8>,
    value: Vec<u8>,
}

/// The answer to a get.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// It is not there.
    Miss,
    /// Its value.
    Hit(&'a [u8]),
}

/// The answer to a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is there now.
    Yes,
    /// The server would not have it.
    Refused,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says.
    pub fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        let input = BufReader::with_capacity(1 << 18, stream);
        Ok(Client { input, out: Vec::new(), line: Vec::new(), value: Vec::new() })
    }

    /// Will ask for a value.
    pub fn queue_get(&mut self, key: &[u8]) {
        self.queue(&[b"get ", key, b"\r\n"]);
    }

    /// Will delete.
    pub fn queue_delete(&mut self, key: &[u8]) {
        self.queue(&[b"delete ", key, b"\r\n"]);
    }

    /// Will set a value of `len` bytes that are `head` again and again.
    pub fn queue_set(&mut self, key: &[u8], ttl: u32, len: usize, head: [u8; 8]) {
        let terms = format!(" 0 {ttl} {len}\r\n");
        self.queue(&[b"set ", key, terms.as_bytes()]);
        let start = self.out.len();
        self.out.extend_from_slice(&head[..len.min(8)]);
        while self.out.len() < start + len {
            let have = self.out.len() - start;
            self.out.extend_from_within(start..start + have.min(len - have));
        }
        self.out.extend_from_slice(b"\r\n");
    }

    fn queue(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.out.extend_from_slice(part));
    }

    /// Sends what is queued.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says.
    pub fn send(&mut self) -> io::Result<()> {
        self.input.get_mut().write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Reads the next line, without its end.
    fn line(&mut self) -> io::Result<&[u8]> {
        self.line.clear();
        self.input.read_until(b'\n', &mut self.line)?;
        match self.line.strip_suffix(b"\r\n") {
            Some(line) => Ok(line),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads the answer to a get.
    ///
    /// # Errors
    ///
    /// Those of the connection, and any other answer.
    pub fn read_get(&mut self) -> io::Result<Found<'_>> {
        let line = self.line()?;
        if line == b"END" {
            return Ok(Found::Miss);
        }
        let len = line.strip_prefix(b"VALUE ").and_then(|rest| {
            let len = rest.split(|byte| *byte == b' ').nth(2)?;
            std::str::from_utf8(len).ok()?.parse::<usize>().ok()
        });
        let len = len.ok_or_else(|| unexpected(line))?;
        self.value.resize(len + 2, 0);
        self.input.read_exact(&mut self.value)?;
        match self.line()? {
            b"END" => Ok(Found::Hit(&self.value[..len])),
            other => Err(unexpected(other)),
        }
    }

    /// Reads the answer to a set.
    ///
    /// # Errors
    ///
    /// Those of the connection, and any answer but that it was stored or that it was not.
    pub fn read_set(&mut self) -> io::Result<Stored> {
        match self.line()? {
            b"STORED" => Ok(Stored::Yes),
            b"NOT_STORED" => Ok(Stored::Refused),
            line if line.starts_with(b"SERVER_ERROR") => Ok(Stored::Refused),
            other => Err(unexpected(other)),
        }
    }

    /// Reads the answer to a deletion.
    ///
    /// # Errors
    ///
    /// Those of the connection, and any other answer.
    pub fn read_delete(&mut self) -> io::Result<()> {
        match self.line()? {
            b"DELETED" | b"NOT_FOUND" => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Asks for the lines of `stats` that are whole numbers. No answer may be outstanding.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub fn stats(&mut self) -> io::Result<Stats> {
        self.queue(&[b"stats\r\n"]);
        self.send()?;
        let mut all = BTreeMap::new();
        loop {
            let line = self.line()?;
            if line == b"END" {
                return Ok(Stats(all));
            }
            let text = String::from_utf8_lossy(line);
            let mut words = text.split(' ').skip(1);
            if let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse)) {
                all.insert(name.to_owned(), value);
            }
        }
    }
}

/// What a server counts.
#[derive(Clone, Debug, Default)]
pub struct Stats(BTreeMap<String, u64>);

impl Stats {
    /// A number that not every server has.
    pub fn find(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// A number that is 0 where the server does not have it.
    pub fn count(&self, name: &str) -> u64 {
        self.find(name).unwrap_or(0)
    }
}

/// Resident memory of a process of this machine, in bytes.
pub fn resident_bytes(pid: u64) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

fn unexpected(line: &[u8]) -> io::Error {
    let text = format!("unexpected answer '{}'", String::from_utf8_lossy(line));
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// A server that says or takes nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);
