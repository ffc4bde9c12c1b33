//! Operations as requests of the three protocols, and their answers.
//!
//! An answer must be one that the request can have, for the keys that were asked for, in their
//! order; where the protocol has opaques, with the request's own.
#![forbid(unsafe_code)]

mod binary;

mod meta;

mod text;

use std::io;

use super::link::Link;

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// The classic text protocol.
    Text,
    /// The meta commands.
    Meta,
    /// The binary protocol.
    Binary,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The values of these keys, with their uniques.
    Get(Vec<Vec<u8>>),
    /// The value of a key, which from now on lives for so many seconds.
    GetTouch(Vec<u8>, u32),
    /// A value is to be stored.
    Store(Store),
    /// A value is to be appended.
    Append(Vec<u8>, Vec<u8>),
    /// A number is to be added to.
    Count(Vec<u8>, u64),
    /// An item is to live for so many seconds.
    Touch(Vec<u8>, u32),
    /// An item is to go.
    Delete(Vec<u8>),
}

/// What is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Under what condition.
    pub mode: Mode,
    /// The key.
    pub key: Vec<u8>,
    /// The client's flags.
    pub flags: u32,
    /// Time to live in seconds; 0: for ever.
    pub ttl: u32,
    /// The value.
    pub value: Vec<u8>,
}

/// When a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Always.
    Set,
    /// If there is none.
    Add,
    /// If there is one.
    Replace,
    /// If there is one with this unique.
    Cas(u64),
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One for each key.
    Values(Vec<Option<Found>>),
    /// It is done.
    Done,
    /// There is no such item.
    Missed,
    /// The condition was not met.
    NotStored,
    /// The item has another unique.
    Exists,
    /// The new number.
    Number(u64),
    /// The server cannot for want of memory, or will not; its words.
    Refused(String),
}

/// An item as served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The client's flags.
    pub flags: u32,
    /// The unique.
    pub unique: u64,
    /// The value.
    pub value: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// The connection is over.
    Lost(io::Error),
    /// What came is no answer to the request.
    Disorder(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Lost(error)
    }
}

impl Codec {
    /// Appends `request` to `out`; `opaque` and as many after it as it has keys are its own.
    pub fn put(self, request: &Request, opaque: u32, out: &mut Vec<u8>) {
        match self {
            Codec::Text => text::put(request, out),
            Codec::Meta => meta::put(request, opaque, out),
            Codec::Binary => binary::put(request, opaque, out),
        }
    }

    /// Reads the answer to `request`, which was put with `opaque`.
    ///
    /// # Errors
    ///
    /// The connection is over, or what comes is no answer.
    pub fn take(self, request: &Request, opaque: u32, link: &mut Link) -> Result<Answer, Trouble> {
        match self {
            Codec::Text => text::take(request, link),
            Codec::Meta => meta::take(request, opaque, link),
            Codec::Binary => binary::take(request, opaque, link),
        }
    }

    /// Logs in, where there is a login, and sees that the server answers.
    ///
    /// # Errors
    ///
    /// It does not, or refuses the login.
    pub fn greet(self, login: Option<(&str, &str)>, link: &mut Link) -> Result<(), Trouble> {
        match self {
            Codec::Text | Codec::Meta => text::greet(login, link),
            Codec::Binary => binary::greet(login, link),
        }
    }
}

/// A line that no answer should be.
fn disorder(line: &[u8]) -> Trouble {
    let line = String::from_utf8_lossy(&line[..line.len().min(120)]);
    Trouble::Disorder(line.into_owned())
}

/// A refusal, or else disorder.
fn refusal(line: &[u8]) -> Result<Answer, Trouble> {
    let is_refusal = line.starts_with(b"SERVER_ERROR ");
    if is_refusal {
        Ok(Answer::Refused(String::from_utf8_lossy(line).into_owned()))
    } else {
        Err(disorder(line))
    }
}

/// A number in ASCII.
fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked of every codec; the bytes say the protocol's own.
    #[test]
    fn requests_are_what_the_protocols_say() {
        let store = Request::Store(Store {
            mode: Mode::Cas(9),
            key: b"k".to_vec(),
            flags: 5,
            ttl: 7,
            value: b"xyz".to_vec(),
        });
        let bytes = |codec: Codec, request: &Request| {
            let mut out = Vec::new();
            codec.put(request, 3, &mut out);
            out
        };
        assert_eq!(bytes(Codec::Text, &store), b"cas k 5 7 3 9\r\nxyz\r\n");
        assert_eq!(bytes(Codec::Meta, &store), b"ms k 3 T7 F5 O3 C9\r\nxyz\r\n");
        let packet = bytes(Codec::Binary, &store);
        assert_eq!(
            packet[..24],
            *b"\x80\x01\0\x01\x08\0\0\0\0\0\0\x0c\0\0\0\x03\0\0\0\0\0\0\0\x09"
        );
        assert_eq!(packet[24..], *b"\0\0\0\x05\0\0\0\x07kxyz");
        let get = Request::Get(vec![b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(bytes(Codec::Text, &get), b"gets a b\r\n");
        assert_eq!(bytes(Codec::Meta, &get), b"mg a v k f c O3 q\r\nmg b v k f c O4 q\r\nmn\r\n");
    }
}
