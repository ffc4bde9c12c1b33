//! Answers of the binary protocol as bytes (binary, sections 1 to 3).
#![forbid(unsafe_code)]

use super::{HEADER_LEN, Tag};

/// First byte of an answer.
const MAGIC: u8 = 0x81;

/// Where the length of the body stands in a header.
const BODY_LEN_AT: usize = 8;

/// Flags of an item, as extras.
const FLAGS_LEN: usize = 4;

/// How a request has ended (section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As asked.
    Success,
    /// There is no such item, or no such group of statistics.
    NotFound,
    /// There is one already, or its unique is another.
    Exists,
    /// The item would be larger than `-I`.
    TooLarge,
    /// The layout is not that of the opcode.
    Invalid,
    /// There is nothing to append to, or no room for the joined value.
    NotStored,
    /// The stored value is no number.
    NonNumeric,
    /// Not allowed.
    AuthFailure,
    /// The login goes on.
    AuthContinue,
    /// No such opcode.
    UnknownCommand,
    /// No memory for what was to be done.
    NoMemory,
    /// No memory for a new item.
    NoMemoryStoring,
    /// No memory for the rest of a value that has begun to arrive.
    NoMemoryReading,
    /// No memory for a number that is made.
    NoMemoryCreating,
    /// No memory for a longer number.
    NoMemoryCounting,
    /// No memory for a list that has to be made whole.
    NoMemoryListing,
}

impl Status {
    /// The number in the header.
    pub fn code(self) -> u16 {
        match self {
            Status::Success => 0x00,
            Status::NotFound => 0x01,
            Status::Exists => 0x02,
            Status::TooLarge => 0x03,
            Status::Invalid => 0x04,
            Status::NotStored => 0x05,
            Status::NonNumeric => 0x06,
            Status::AuthFailure => 0x20,
            Status::AuthContinue => 0x21,
            Status::UnknownCommand => 0x81,
            Status::NoMemory
            | Status::NoMemoryStoring
            | Status::NoMemoryReading
            | Status::NoMemoryCreating
            | Status::NoMemoryCounting
            | Status::NoMemoryListing => 0x82,
        }
    }

    /// The body of an error.
    pub fn text(self) -> &'static str {
        match self {
            Status::Success | Status::AuthContinue => "",
            Status::NotFound => "Not found",
            Status::Exists => "Data exists for key.",
            Status::TooLarge => "Too large.",
            Status::Invalid => "Invalid arguments",
            Status::NotStored => "Not stored.",
            Status::NonNumeric => "Non-numeric server-side value for incr or decr",
            Status::AuthFailure => "Auth failure.",
            Status::UnknownCommand => "Unknown command",
            Status::NoMemory => "Out of memory",
            Status::NoMemoryStoring => "Out of memory allocating item",
            Status::NoMemoryReading => "Out of memory during read",
            Status::NoMemoryCreating => "Out of memory allocating new item",
            Status::NoMemoryCounting => "Out of memory incrementing value",
            Status::NoMemoryListing => "Out of memory generating stats",
        }
    }
}

/// Lengths of the parts of a body in bytes. A body has at most [`u32::MAX`] bytes.
#[derive(Clone, Copy, Default)]
struct Lens {
    extras: u8,
    key: u16,
    value: u32,
}

fn header(tag: Tag, status: Status, lens: Lens, cas: u64) -> [u8; HEADER_LEN] {
    let body_len = u32::from(lens.extras) + u32::from(lens.key) + lens.value;
    let mut bytes = [0; HEADER_LEN];
    bytes[0] = MAGIC;
    bytes[1] = tag.opcode;
    bytes[2..4].copy_from_slice(&lens.key.to_be_bytes());
    bytes[4] = lens.extras;
    bytes[6..8].copy_from_slice(&status.code().to_be_bytes());
    bytes[BODY_LEN_AT..12].copy_from_slice(&body_len.to_be_bytes());
    bytes[12..16].copy_from_slice(&tag.opaque.to_be_bytes());
    bytes[16..].copy_from_slice(&cas.to_be_bytes());
    bytes
}

/// Appends a success that has nothing to tell but a unique.
pub fn done(into: &mut Vec<u8>, tag: Tag, cas: u64) {
    into.extend_from_slice(&header(tag, Status::Success, Lens::default(), cas));
}

/// Appends an error.
pub fn error(into: &mut Vec<u8>, tag: Tag, status: Status) {
    let text = status.text().as_bytes();
    let lens = Lens { value: text.len() as u32, ..Lens::default() };
    into.extend_from_slice(&header(tag, status, lens, 0));
    into.extend_from_slice(text);
}

/// Appends a miss that names its key, which has at most 250 bytes.
pub fn missing(into: &mut Vec<u8>, tag: Tag, key: &[u8]) {
    let lens = Lens { key: key.len() as u16, ..Lens::default() };
    into.extend_from_slice(&header(tag, Status::NotFound, lens, 0));
    into.extend_from_slice(key);
}

/// Appends a text.
pub fn text(into: &mut Vec<u8>, tag: Tag, text: &str) {
    bytes(into, tag, Status::Success, text.as_bytes());
}

/// Appends a status with a body of up to some kilobytes.
pub fn bytes(into: &mut Vec<u8>, tag: Tag, status: Status, body: &[u8]) {
    let lens = Lens { value: body.len() as u32, ..Lens::default() };
    into.extend_from_slice(&header(tag, status, lens, 0));
    into.extend_from_slice(body);
}

/// Appends a number that was counted.
pub fn number(into: &mut Vec<u8>, tag: Tag, number: u64, cas: u64) {
    let lens = Lens { value: 8, ..Lens::default() };
    into.extend_from_slice(&header(tag, Status::Success, lens, cas));
    into.extend_from_slice(&number.to_be_bytes());
}

/// What of an item stands before its value.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Client flags.
    pub flags: u32,
    /// Its unique.
    pub cas: u64,
    /// Its key, where that is asked for; at most 250 bytes.
    pub key: &'a [u8],
    /// Bytes of its value, as many as an item can have, that are told of.
    pub value_len: usize,
}

/// Appends the answer that shows an item, up to its value, and makes room for `room` more bytes.
pub fn head(into: &mut Vec<u8>, tag: Tag, head: &Head<'_>, room: usize) {
    let lens =
        Lens { extras: FLAGS_LEN as u8, key: head.key.len() as u16, value: head.value_len as u32 };
    into.reserve(HEADER_LEN + FLAGS_LEN + head.key.len() + room);
    into.extend_from_slice(&header(tag, Status::Success, lens, head.cas));
    into.extend_from_slice(&head.flags.to_be_bytes());
    into.extend_from_slice(head.key);
}

/// Appends one statistic, whose value `write` appends. The packet without any, which ends a list, is
/// [`done`].
pub fn stat(into: &mut Vec<u8>, tag: Tag, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    let lens = Lens { key: key.len() as u16, ..Lens::default() };
    into.extend_from_slice(&header(tag, Status::Success, lens, 0));
    into.extend_from_slice(key.as_bytes());
    write(into);
    let body_len = (into.len() - start - HEADER_LEN) as u32;
    let at = start + BODY_LEN_AT;
    into[at..at + 4].copy_from_slice(&body_len.to_be_bytes());
}
