//! Requests as bytes, cut into what a client sends at a time, with the length of each answer.
#![forbid(unsafe_code)]

use std::io::Write;

use super::STEP;

/// Bytes of a key.
pub const KEY_LEN: usize = 16;

/// The key of that number.
pub fn key(number: usize) -> [u8; KEY_LEN] {
    let mut key = *b"key-            ";
    write!(&mut key[4..], "{number:012}").expect("a number of 12 digits");
    key
}

/// Length of the number that `incr` counts: it never gets longer.
const NUMBER: &str = "1000000000";

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `get KEY`
    Get,
    /// `get KEY KEY ...`, so many keys that a line is one send.
    MultiGet,
    /// `mg KEY v`
    MetaGet,
    /// GET of the binary protocol.
    BinaryGet,
    /// `set KEY 0 0 LENGTH`
    Set,
    /// `set` of a number that `incr` may count.
    SetNumber,
    /// `ms KEY LENGTH`
    MetaSet,
    /// SET of the binary protocol.
    BinarySet,
    /// `get` of a key that is not there.
    Miss,
    /// `incr KEY 1`
    Incr,
    /// `delete KEY` of one that is there.
    Delete,
}

/// Which keys, of what values, sent how many at a time.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Keys are numbered from this.
    pub first: usize,
    /// So many keys, walked through in a scattered order, again and again.
    pub keys: usize,
    /// Bytes of each value.
    pub value_len: usize,
    /// Requests in one send.
    pub depth: usize,
}

/// What a client sends, piece by piece.
#[derive(Debug, Default)]
pub struct Script {
    bytes: Vec<u8>,
    sends: Vec<Send>,
}

#[derive(Clone, Copy, Debug)]
struct Send {
    /// Where it ends in the script's bytes; it begins where the one before it ends.
    end: usize,
    /// Bytes of all its answers.
    answer_len: usize,
}

impl Script {
    /// So many requests, or the next multiple of what one send holds.
    pub fn new(kind: Kind, shape: &Shape, requests: usize) -> Script {
        let mut script = Script::default();
        let mut at = 0;
        for _ in 0..requests.div_ceil(shape.depth) {
            let mut answer_len = if kind == Kind::MultiGet {
                script.bytes.extend_from_slice(b"get");
                END.len()
            } else {
                0
            };
            for _ in 0..shape.depth {
                let key = key(shape.first + at);
                answer_len += request(kind, &key, shape.value_len, &mut script.bytes);
                at = (at + STEP) % shape.keys;
            }
            if kind == Kind::MultiGet {
                script.bytes.extend_from_slice(b"\r\n");
            }
            script.sends.push(Send { end: script.bytes.len(), answer_len });
        }
        script
    }

    /// Each send with the bytes that are answered to it.
    pub fn sends(&self) -> impl Iterator<Item = (&[u8], usize)> {
        let mut start = 0;
        self.sends.iter().map(move |send| {
            let bytes = &self.bytes[start..send.end];
            start = send.end;
            (bytes, send.answer_len)
        })
    }
}

const END: &[u8] = b"END\r\n";

/// Appends a request; tells how long its answer is.
fn request(kind: Kind, key: &[u8], value_len: usize, into: &mut Vec<u8>) -> usize {
    let mut line = |parts: &[&[u8]]| parts.iter().for_each(|part| into.extend_from_slice(part));
    let len = value_len.to_string();
    let value_line_len = "VALUE  0 \r\n".len() + key.len() + len.len() + value_len + 2;
    match kind {
        Kind::Get => line(&[b"get ", key, b"\r\n"]),
        Kind::MultiGet => line(&[b" ", key]),
        Kind::Miss => line(&[b"get not-", key, b"\r\n"]),
        Kind::MetaGet => line(&[b"mg ", key, b" v\r\n"]),
        Kind::Set => line(&[b"set ", key, b" 0 0 ", len.as_bytes(), b"\r\n"]),
        Kind::SetNumber => line(&[b"set ", key, b" 0 0 10\r\n", NUMBER.as_bytes(), b"\r\n"]),
        Kind::MetaSet => line(&[b"ms ", key, b" ", len.as_bytes(), b"\r\n"]),
        Kind::Incr => line(&[b"incr ", key, b" 1\r\n"]),
        Kind::Delete => line(&[b"delete ", key, b"\r\n"]),
        Kind::BinaryGet => line(&[&header(0x00, 0, key.len()), key]),
        Kind::BinarySet => line(&[&header(0x01, 8, key.len() + value_len), &[0; 8], key]),
    }
    if matches!(kind, Kind::Set | Kind::MetaSet | Kind::BinarySet) {
        into.resize(into.len() + value_len, b'v');
    }
    if matches!(kind, Kind::Set | Kind::MetaSet) {
        into.extend_from_slice(b"\r\n");
    }
    match kind {
        Kind::Get => value_line_len + END.len(),
        Kind::MultiGet => value_line_len,
        Kind::Miss => END.len(),
        Kind::MetaGet => "VA \r\n".len() + len.len() + value_len + 2,
        Kind::BinaryGet => HEADER_LEN + 4 + value_len,
        Kind::Set | Kind::SetNumber => "STORED\r\n".len(),
        Kind::MetaSet => "HD\r\n".len(),
        Kind::BinarySet => HEADER_LEN,
        Kind::Incr => NUMBER.len() + 2,
        Kind::Delete => "DELETED\r\n".len(),
    }
}

const HEADER_LEN: usize = 24;

/// The head of a packet whose key has [`KEY_LEN`] bytes, and its body `extras_len` and `rest_len`.
fn header(opcode: u8, extras_len: u8, rest_len: usize) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..5].copy_from_slice(&[0x80, opcode, 0, KEY_LEN as u8, extras_len]);
    let body_len = rest_len as u32 + u32::from(extras_len);
    header[8..12].copy_from_slice(&body_len.to_be_bytes());
    header
}
