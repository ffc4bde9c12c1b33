//! A connection whose calls wait for their answers.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::target::Target;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is stored.
    Stored,
    /// It is not stored for want of memory.
    Refused,
    /// The value.
    Value(Vec<u8>),
    /// There is no such key.
    Missed,
    /// Another line.
    Other(String),
}

/// A connection over the text protocol.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Client {
    /// Connects over the plain port and logs in where that is wanted.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says; the server does not let the client in.
    pub fn connect(target: &Target) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&target.plain, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut client = Client { stream: BufReader::new(stream), line: String::new() };
        if let Some(login) = &target.login {
            let secret = format!("{} {}", login.user, login.password);
            if client.set("login", secret.as_bytes())? != Answer::Stored {
                return Err(io::Error::other("the login is refused"));
            }
        }
        match client.ask("version\r\n")? {
            line if line.starts_with("VERSION") => Ok(client),
            line => Err(io::Error::other(line)),
        }
    }

    /// Sends `bytes`, which are whole requests, and gives the first line that comes.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says; the connection ends, or stands still for [`PATIENCE`].
    pub fn ask(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<String> {
        self.stream.get_mut().write_all(bytes.as_ref())?;
        self.next_line()
    }

    /// Stores `value` under `key`.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn set(&mut self, key: &str, value: &[u8]) -> io::Result<Answer> {
        let mut request = format!("set {key} 0 0 {}\r\n", value.len()).into_bytes();
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
        Ok(match self.ask(request)?.as_str() {
            "STORED" => Answer::Stored,
            line if line.starts_with("SERVER_ERROR out of memory") => Answer::Refused,
            line => Answer::Other(line.to_owned()),
        })
    }

    /// Asks for `key`.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn get(&mut self, key: &str) -> io::Result<Answer> {
        let line = self.ask(format!("get {key}\r\n"))?;
        if line == "END" {
            return Ok(Answer::Missed);
        }
        let mut words = line.split(' ');
        let is_value = words.next() == Some("VALUE") && words.next() == Some(key);
        let len = words.nth(1).and_then(|word| word.parse::<usize>().ok());
        let (true, Some(len)) = (is_value, len.filter(|len| *len <= VALUE_MAX_BYTES)) else {
            return Ok(Answer::Other(line));
        };
        let mut value = vec![0; len + 2];
        self.stream.read_exact(&mut value)?;
        value.truncate(len);
        match self.next_line()?.as_str() {
            "END" => Ok(Answer::Value(value)),
            line => Ok(Answer::Other(line.to_owned())),
        }
    }

    /// The next line, without its end.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn next_line(&mut self) -> io::Result<String> {
        self.line.clear();
        let len = (&mut self.stream).take(LINE_MAX_BYTES).read_line(&mut self.line)?;
        if len == 0 || !self.line.ends_with('\n') {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(self.line.trim_end().to_owned())
    }
}

/// A server that stays silent for so long has lost the request.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The largest value that any pattern stores.
const VALUE_MAX_BYTES: usize = 64 << 20;

/// The longest line that makes sense.
const LINE_MAX_BYTES: u64 = 64 << 10;
