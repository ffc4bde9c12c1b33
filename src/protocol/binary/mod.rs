//! The binary protocol: packets that begin with a header of fixed length.
//!
//! ```text
//! 0      1       2       4       5     6        8         12      16   24
//! magic  opcode  key_len extras  type  vbucket  body_len  opaque  cas  extras  key  value
//!                        _len                                          └──── body ──────┘
//! ```
//!
//! All numbers are big-endian. Of a request, header, extras and key are wanted at once, which are
//! few bytes; its value is not looked at here. Answers are in [`response`].
//!
//! Sections named in comments are those of the binary protocol's description.
#![forbid(unsafe_code)]

pub mod config;

pub mod response;

#[cfg(test)]
mod tests;

use crate::limits::KEY_LEN_MAX;

pub use response::Status;

/// First byte of a request.
pub const MAGIC: u8 = 0x80;

/// Bytes of a header.
pub const HEADER_LEN: usize = 24;

/// Largest body of a request in bytes (section 1, check 2).
const BODY_LEN_MAX: u32 = 1 << 30;

/// What a request asks for, loud or quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// An item's flags and value.
    Get,
    /// The same with its key.
    GetK,
    /// Store, whatever was there.
    Set,
    /// Store if nothing was there.
    Add,
    /// Store if something was there.
    Replace,
    /// Remove.
    Delete,
    /// Count up.
    Increment,
    /// Count down.
    Decrement,
    /// Close.
    Quit,
    /// Remove everything.
    Flush,
    /// Only answer.
    Noop,
    /// Tell the version.
    Version,
    /// Store behind the value that is there.
    Append,
    /// Store before the value that is there.
    Prepend,
    /// Tell statistics.
    Stat,
    /// Give an item a new expiry.
    Touch,
    /// The same, and as [`Verb::Get`].
    Gat,
    /// The same, and as [`Verb::GetK`].
    GatK,
    /// Tell the mechanisms of SASL.
    SaslList,
    /// Begin to authenticate.
    SaslAuth,
    /// Go on with that.
    SaslStep,
    /// Any other opcode.
    Unknown,
}

/// What the answers to a request have from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Repeated as it is.
    pub opcode: u8,
    /// What the opcode stands for.
    pub verb: Verb,
    /// Of the answer that is to be expected, nothing is told (section 4, "quiet").
    pub is_quiet: bool,
    /// The client's, repeated as it is.
    pub opaque: u32,
}

/// What the front of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A request with its extras and its key.
    Whole {
        /// For its answers.
        tag: Tag,
        /// What is asked for.
        request: Request<'a>,
        /// Bytes before its value.
        len: usize,
    },
    /// More of it must come.
    Partial,
    /// A request that is not known: the connection goes on behind it.
    Refused {
        /// For the answer.
        tag: Tag,
        /// The answer.
        status: Status,
        /// Bytes of the whole request.
        len: u64,
    },
    /// A request that contradicts itself: the connection ends with the answer.
    Broken {
        /// For the answer.
        tag: Tag,
        /// The answer.
        status: Status,
    },
    /// Not of this protocol: the connection ends without an answer.
    Foreign,
}

/// A request whose layout is that of its opcode: keys have 1 to [`KEY_LEN_MAX`] bytes. Borrows from
/// the packet. Exptimes are as they came: 0 never, up to 30 days relative, above that a Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Get, touch and both together.
    Retrieve {
        /// The item.
        key: &'a [u8],
        /// Its new exptime, if it is to have one.
        exptime: Option<u32>,
    },
    /// A value follows.
    Store(Store<'a>),
    /// Remove an item.
    Delete {
        /// The item.
        key: &'a [u8],
        /// As for [`Store`].
        cas: u64,
    },
    /// Count up or down.
    Arith(Arith<'a>),
    /// Remove everything.
    Flush {
        /// When, as an exptime; 0 is now.
        delay: u32,
    },
    /// Statistics.
    Stat {
        /// Which; empty: the general ones.
        group: &'a [u8],
    },
    /// Only answer.
    Noop,
    /// The version.
    Version,
    /// Close.
    Quit,
    /// Log in.
    Sasl(Sasl<'a>),
}

/// A message of a login; which it is says the [`Verb`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sasl<'a> {
    /// The mechanism; empty where they are asked for.
    pub mechanism: &'a [u8],
    /// Bytes of the message.
    pub value_len: usize,
}

/// What is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store<'a> {
    /// The item.
    pub key: &'a [u8],
    /// Client flags.
    pub flags: u32,
    /// When it expires.
    pub exptime: u32,
    /// The unique that the item must have; 0 is no condition.
    pub cas: u64,
    /// Bytes of the value.
    pub value_len: usize,
}

/// What is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arith<'a> {
    /// The item.
    pub key: &'a [u8],
    /// By how much.
    pub delta: u64,
    /// The number of an item that is made.
    pub initial: u64,
    /// Its exptime; [`NO_INITIAL`]: it is not made.
    pub exptime: u32,
    /// As for [`Store`].
    pub cas: u64,
}

/// The exptime with which counting makes no item (section 4).
pub const NO_INITIAL: u32 = u32::MAX;

/// Looks at the packet with which `input` begins. A header that is wrong is refused as soon as it is
/// there, whatever it announces.
pub fn read(input: &[u8]) -> Packet<'_> {
    if input.first().is_some_and(|magic| *magic != MAGIC) {
        return Packet::Foreign;
    }
    let Some((header, body)) = input.split_first_chunk::<HEADER_LEN>() else {
        return Packet::Partial;
    };
    let header = Header::read(header);
    let tag = header.tag();
    if let Err(status) = header.check(tag.verb) {
        return Packet::Broken { tag, status };
    }
    if tag.verb == Verb::Unknown {
        let len = HEADER_LEN as u64 + u64::from(header.body_len);
        return Packet::Refused { tag, status: Status::UnknownCommand, len };
    }
    let (extras_len, key_len) = (usize::from(header.extras_len), usize::from(header.key_len));
    let Some((extras, rest)) = body.split_at_checked(extras_len) else { return Packet::Partial };
    let Some(key) = rest.get(..key_len) else { return Packet::Partial };
    let request = header.request(tag.verb, extras, key);
    Packet::Whole { tag, request, len: HEADER_LEN + extras_len + key_len }
}

/// The fields of a header that mean something.
#[derive(Clone, Copy, Debug)]
struct Header {
    opcode: u8,
    key_len: u16,
    extras_len: u8,
    body_len: u32,
    opaque: u32,
    cas: u64,
}

impl Header {
    fn read(bytes: &[u8; HEADER_LEN]) -> Header {
        Header {
            opcode: bytes[1],
            key_len: u16::from_be_bytes([bytes[2], bytes[3]]),
            extras_len: bytes[4],
            body_len: u32_at(bytes, 8),
            opaque: u32_at(bytes, 12),
            cas: u64_at(bytes, 16),
        }
    }

    fn tag(&self) -> Tag {
        let (verb, is_quiet) = verb(self.opcode);
        Tag { opcode: self.opcode, verb, is_quiet, opaque: self.opaque }
    }

    /// Bytes of extras and key.
    fn front_len(&self) -> u32 {
        u32::from(self.extras_len) + u32::from(self.key_len)
    }

    /// Section 1, the checks in their order; the last is that of section 3.
    fn check(&self, verb: Verb) -> Result<(), Status> {
        let Some(value_len) = self.body_len.checked_sub(self.front_len()) else {
            return Err(Status::UnknownCommand);
        };
        let fits = self.body_len <= BODY_LEN_MAX
            && usize::from(self.key_len) <= KEY_LEN_MAX
            && layout_fits(verb, self.extras_len, self.key_len > 0, value_len > 0);
        if fits { Ok(()) } else { Err(Status::Invalid) }
    }

    /// What a request of the right layout asks for.
    fn request<'a>(&self, verb: Verb, extras: &[u8], key: &'a [u8]) -> Request<'a> {
        let cas = self.cas;
        match verb {
            Verb::Get | Verb::GetK => Request::Retrieve { key, exptime: None },
            Verb::Touch | Verb::Gat | Verb::GatK => {
                Request::Retrieve { key, exptime: Some(u32_at(extras, 0)) }
            }
            Verb::Set | Verb::Add | Verb::Replace | Verb::Append | Verb::Prepend => {
                Request::Store(Store {
                    key,
                    flags: u32_at(extras, 0),
                    exptime: u32_at(extras, 4),
                    cas,
                    value_len: (self.body_len - self.front_len()) as usize,
                })
            }
            Verb::Delete => Request::Delete { key, cas },
            Verb::Increment | Verb::Decrement => Request::Arith(Arith {
                key,
                delta: u64_at(extras, 0),
                initial: u64_at(extras, 8),
                exptime: u32_at(extras, 16),
                cas,
            }),
            Verb::Flush => Request::Flush { delay: u32_at(extras, 0) },
            Verb::Stat => Request::Stat { group: key },
            Verb::Version => Request::Version,
            Verb::Quit => Request::Quit,
            Verb::SaslList | Verb::SaslAuth | Verb::SaslStep => Request::Sasl(Sasl {
                mechanism: key,
                value_len: (self.body_len - self.front_len()) as usize,
            }),
            Verb::Noop | Verb::Unknown => Request::Noop,
        }
    }
}

/// Section 3: what an opcode stands for, and whether it is the quiet form of it.
fn verb(opcode: u8) -> (Verb, bool) {
    const LOUD: bool = false;
    const QUIET: bool = true;
    match opcode {
        0x00 => (Verb::Get, LOUD),
        0x01 => (Verb::Set, LOUD),
        0x02 => (Verb::Add, LOUD),
        0x03 => (Verb::Replace, LOUD),
        0x04 => (Verb::Delete, LOUD),
        0x05 => (Verb::Increment, LOUD),
        0x06 => (Verb::Decrement, LOUD),
        0x07 => (Verb::Quit, LOUD),
        0x08 => (Verb::Flush, LOUD),
        0x09 => (Verb::Get, QUIET),
        0x0a => (Verb::Noop, LOUD),
        0x0b => (Verb::Version, LOUD),
        0x0c => (Verb::GetK, LOUD),
        0x0d => (Verb::GetK, QUIET),
        0x0e => (Verb::Append, LOUD),
        0x0f => (Verb::Prepend, LOUD),
        0x10 => (Verb::Stat, LOUD),
        0x11 => (Verb::Set, QUIET),
        0x12 => (Verb::Add, QUIET),
        0x13 => (Verb::Replace, QUIET),
        0x14 => (Verb::Delete, QUIET),
        0x15 => (Verb::Increment, QUIET),
        0x16 => (Verb::Decrement, QUIET),
        0x17 => (Verb::Quit, QUIET),
        0x18 => (Verb::Flush, QUIET),
        0x19 => (Verb::Append, QUIET),
        0x1a => (Verb::Prepend, QUIET),
        0x1c => (Verb::Touch, LOUD),
        0x1d => (Verb::Gat, LOUD),
        0x1e => (Verb::Gat, QUIET),
        0x20 => (Verb::SaslList, LOUD),
        0x21 => (Verb::SaslAuth, LOUD),
        0x22 => (Verb::SaslStep, LOUD),
        0x23 => (Verb::GatK, LOUD),
        0x24 => (Verb::GatK, QUIET),
        _ => (Verb::Unknown, LOUD),
    }
}

/// Section 3: whether a request has the parts of its opcode. A value where there is none to be is
/// refused for all of them.
fn layout_fits(verb: Verb, extras_len: u8, has_key: bool, has_value: bool) -> bool {
    match verb {
        Verb::Get | Verb::GetK | Verb::Delete => extras_len == 0 && has_key && !has_value,
        Verb::Set | Verb::Add | Verb::Replace => extras_len == 8 && has_key,
        Verb::Append | Verb::Prepend | Verb::SaslAuth | Verb::SaslStep => {
            extras_len == 0 && has_key
        }
        Verb::Increment | Verb::Decrement => extras_len == 20 && has_key && !has_value,
        Verb::Touch | Verb::Gat | Verb::GatK => extras_len == 4 && has_key && !has_value,
        Verb::Flush => matches!(extras_len, 0 | 4) && !has_key && !has_value,
        Verb::Stat => extras_len == 0 && !has_value,
        Verb::Quit | Verb::Noop | Verb::Version | Verb::SaslList => {
            extras_len == 0 && !has_key && !has_value
        }
        Verb::Unknown => true,
    }
}

/// The number at `at`; 0 where there is none.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map_or(0, |field| u32::from_be_bytes(*field))
}

/// The number at `at`; 0 where there is none.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map_or(0, |field| u64::from_be_bytes(*field))
}
