//! What can be asked of the store, and what it answers.
#![forbid(unsafe_code)]

use crate::clock::Expiry;

/// A key of 1 to [`crate::limits::KEY_LEN_MAX`] bytes with its hash.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) hash: u64,
}

impl<'a> Key<'a> {
    /// The key as the client wrote it.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Why there is no item to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No item under this key.
    NotFound,
    /// There was one; its time has passed.
    Expired,
    /// There was one; a flush has made it invisible.
    Flushed,
}

/// Why a store was refused before its outcome was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Larger than `-I`.
    TooLarge,
    /// No memory: with `-M`, or when everything that could go is in use.
    NoMemory,
}

/// Which store is meant (text, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Whatever was there.
    Set,
    /// Only if there is none.
    Add,
    /// Only if there is one.
    Replace,
    /// The new bytes behind the old ones.
    Append,
    /// The new bytes before the old ones.
    Prepend,
    /// Only if the item's unique is still this.
    Cas(u64),
}

/// What became of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stored, with this unique.
    Stored {
        /// The item's new unique.
        cas: u64,
    },
    /// The condition was not met, or the joined item of an append cannot be had.
    NotStored,
    /// The unique has changed.
    Exists,
    /// `cas` on a key that is not there.
    NotFound,
}

/// incr or decr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Wraps modulo 2^64.
    Incr,
    /// Stops at 0.
    Decr,
}

/// What became of an incr or decr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arith {
    /// The new value.
    Value {
        /// The number that is stored now.
        value: u64,
        /// The item's new unique.
        cas: u64,
    },
    /// No such item.
    Miss(Miss),
    /// The value is no number, or too long to be one.
    NonNumeric,
    /// The longer number found no memory.
    NoMemory,
}

/// What a new item is to be, beside its value.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// Client flags.
    pub flags: u32,
    /// When it expires.
    pub expiry: Expiry,
}
