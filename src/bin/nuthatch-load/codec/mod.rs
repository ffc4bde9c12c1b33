//! Requests to bytes, bytes to replies: one [`Codec`] for each protocol.
//!
//! The loops and the client know only the trait. A reply to a request of the get family is any
//! number of [`Reply::Value`]s and then one [`Reply::Done`]; a reply to any other is one `Done`.
#![forbid(unsafe_code)]

mod text;

pub use text::Text;

use crate::dataset::Dataset;
use crate::workload::Request;

/// One protocol, with the state of one connection.
pub trait Codec: Default + Send {
    /// What the protocol is called.
    const NAME: &'static str;

    /// Appends the bytes of a request.
    fn encode(&mut self, request: &Request<'_>, dataset: &Dataset, out: &mut Vec<u8>);

    /// Reads the reply at the head of `input`.
    ///
    /// # Errors
    ///
    /// [`Garbled`] when no reply can begin like this; the stream cannot be used any further.
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, Garbled>;
}

/// What the head of the input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// No whole reply; it takes at least this many bytes in all.
    More(usize),
    /// A reply and its length in bytes.
    Reply(Reply<'a>, usize),
}

/// A reply, or one value of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A value of a get.
    Value {
        /// The key's name; `None` where the protocol sends none, for the next key asked for.
        key: Option<&'a [u8]>,
        /// The value.
        bytes: &'a [u8],
    },
    /// The end of the reply.
    Done(Outcome<'a>),
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// All values have been sent.
    End,
    /// Stored, deleted or touched.
    Ok,
    /// The new value of a counter.
    Number(u64),
    /// Not stored, not found, or of another CAS unique.
    Refused,
    /// An error, with the server's words.
    Error(&'a [u8]),
}

/// Bytes that are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbled;
