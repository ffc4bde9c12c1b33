//! Requests to bytes, bytes to replies: one [`Codec`] for each protocol.
//!
//! The loops and the client know only the trait. A reply to a request of the get family is any
//! number of [`Reply::Value`]s and then one [`Reply::Done`], or one [`Reply::Whole`]; a reply to any
//! other is one `Done`.
#![forbid(unsafe_code)]

mod text;

mod meta;

mod line;

mod binary;

pub use binary::Binary;
pub use meta::Meta;
pub use text::Text;

use crate::dataset::Dataset;
use crate::workload::{Request, Verb};

/// One protocol, with the state of one connection.
pub trait Codec: Default + Send {
    /// What the protocol is called.
    const NAME: &'static str;

    /// Whether there is such a request, of one key.
    fn takes(_verb: Verb) -> bool {
        true
    }

    /// Appends the bytes of a request that [`Codec::takes`].
    fn encode(&mut self, request: &Request<'_>, dataset: &Dataset, out: &mut Vec<u8>);

    /// Reads the reply at the head of `input`, of at least one byte.
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
    /// The value of a get of one key, with which its reply ends.
    Whole {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `stream` whole, cut once at every place, and byte by byte: the same replies.
    #[track_caller]
    pub fn check_cuts<C: Codec>(stream: &[u8], replies: &[Reply<'_>]) {
        let wanted: Vec<String> = replies.iter().map(|reply| format!("{reply:?}")).collect();
        for at in 0..stream.len() {
            let pieces = [&stream[..at], &stream[at..]];
            assert_eq!(decode_pieces::<C>(&pieces), wanted, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(decode_pieces::<C>(&bytes), wanted, "byte by byte");
    }

    fn decode_pieces<C: Codec>(pieces: &[&[u8]]) -> Vec<String> {
        let mut codec = C::default();
        let (mut input, mut replies) = (Vec::new(), Vec::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            while !input.is_empty() {
                match codec.decode(&input).unwrap() {
                    Decoded::More(least) => {
                        assert!(least > input.len());
                        break;
                    }
                    Decoded::Reply(reply, used) => {
                        replies.push(format!("{reply:?}"));
                        input.drain(..used);
                    }
                }
            }
        }
        assert!(input.is_empty());
        replies
    }
}
