//! Packets that memcached does not have: ElastiCache's for the nodes of a cluster (docs/protocol.md, "Discovery").
#![forbid(unsafe_code)]

use super::{HEADER_LEN, Header, Tag, Verb};

/// What is asked for. Keys have 1 to [`crate::limits::KEY_LEN_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Config<'a> {
    /// What is configured under a key.
    Get {
        /// The key.
        key: &'a [u8],
        /// Whether the answer names it.
        shows_key: bool,
    },
    /// A value follows; before the key there are flags, which mean nothing.
    Set {
        /// The key.
        key: &'a [u8],
        /// Bytes of the value.
        value_len: usize,
    },
    /// Nothing is to be configured under the key.
    Delete(&'a [u8]),
    /// Everything that is configured.
    List,
}

/// What the front of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A request with its extras and its key.
    Whole {
        /// For its answers.
        tag: Tag,
        /// What is asked for.
        request: Config<'a>,
        /// Bytes before its value.
        len: usize,
    },
    /// More of it must come.
    Partial,
    /// One that contradicts itself: the connection ends with the answer.
    Broken(Tag),
}

/// Bytes of the extras of [`Config::Set`].
const FLAGS_LEN: u8 = 4;

/// Looks at the packet with which `input` begins, which is one of an opcode that is unknown otherwise. None: also here.
pub fn read(input: &[u8]) -> Option<Packet<'_>> {
    let (header, body) = input.split_first_chunk::<HEADER_LEN>()?;
    let header = Header::read(header);
    let is_quiet = match header.opcode {
        0x60 | 0x62 | 0x64 | 0x66 | 0x68 => false,
        0x61 | 0x63 | 0x65 | 0x67 => true,
        _ => return None,
    };
    let tag = Tag { opcode: header.opcode, verb: Verb::Unknown, is_quiet, opaque: header.opaque };
    // That lengths agree has been looked at before the opcode.
    let value_len = (header.body_len - header.front_len()) as usize;
    let (has_key, has_value) = (header.key_len > 0, value_len > 0);
    let fits = match header.opcode {
        0x64 | 0x65 => header.extras_len == FLAGS_LEN && has_key,
        0x68 => header.extras_len == 0 && !has_key && !has_value,
        _ => header.extras_len == 0 && has_key && !has_value,
    };
    if !fits {
        return Some(Packet::Broken(tag));
    }
    let front_len = header.front_len() as usize;
    let Some(front) = body.get(..front_len) else { return Some(Packet::Partial) };
    let key = &front[usize::from(header.extras_len)..];
    let request = match header.opcode {
        0x60..=0x63 => Config::Get { key, shows_key: header.opcode >= 0x62 },
        0x64 | 0x65 => Config::Set { key, value_len },
        0x66 | 0x67 => Config::Delete(key),
        _ => Config::List,
    };
    Some(Packet::Whole { tag, request, len: HEADER_LEN + front_len })
}
