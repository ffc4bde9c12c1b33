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

    /// Whether it can stand in a line as it is. One that cannot, since it holds a space or the end of a
    /// line, is always shown in base64.
    pub fn is_one_word(&self) -> bool {
        !self.bytes.iter().any(|byte| matches!(byte, b' ' | b'\r' | b'\n'))
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Whatever was there.
    #[default]
    Set,
    /// Only if there is none.
    Add,
    /// Only if there is one.
    Replace,
    /// The new bytes behind the old ones.
    Append,
    /// The new bytes before the old ones.
    Prepend,
}

/// How a store is to be carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What is done with the value.
    pub mode: Mode,
    /// Only if the item's unique is this: of `cas`, of `C` (meta, section 5), of a binary request. Not
    /// looked at by [`Mode::Add`]. 0 is no item's unique; to append and prepend it is no condition.
    pub compare: Option<u64>,
    /// The unique that the item gets in place of the next number (`E`).
    pub cas: Option<u64>,
    /// A value whose `compare` is below the item's unique is stored too, but stale (`I`).
    pub may_be_stale: bool,
    /// append and prepend store a key that is not there, with this expiry (`N`).
    pub create: Option<Expiry>,
}

impl Terms {
    /// Whether the value is stored whatever is there.
    pub(super) fn is_unconditional(&self) -> bool {
        self.mode == Mode::Set && self.compare.is_none()
    }
}

impl From<Mode> for Terms {
    fn from(mode: Mode) -> Terms {
        Terms { mode, ..Terms::default() }
    }
}

/// What became of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stored, with this unique.
    Stored {
        /// The item's new unique; 0 without CAS.
        cas: u64,
        /// Length of the whole value, in bytes.
        value_len: usize,
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

/// A change of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Up or down.
    pub direction: Direction,
    /// By how much.
    pub delta: u64,
    /// Only if the item's unique is this; 0 is no condition.
    pub compare: u64,
    /// The unique that the item gets in place of the next number (`E`).
    pub cas: Option<u64>,
    /// A key that is not there is stored with this number.
    pub create: Option<Created>,
}

/// The item that a [`Sum`] makes of a key that is not there. `delta` is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its number.
    pub initial: u64,
    /// When it expires.
    pub expiry: Expiry,
    /// See [`Meta::is_binary_key`].
    pub is_binary_key: bool,
}

impl Sum {
    /// incr and decr of the classic protocol.
    pub fn plain(direction: Direction, delta: u64) -> Sum {
        Sum { direction, delta, compare: 0, cas: None, create: None }
    }
}

/// A number that was changed, or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// What is stored now.
    pub value: u64,
    /// There was none.
    pub is_new: bool,
}

/// Why a number is what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSum {
    /// No such item.
    Miss(Miss),
    /// The value is no number, or too long to be one.
    NonNumeric,
    /// The item has another unique.
    Mismatch,
    /// The longer number found no memory.
    NoMemory,
    /// The new item found none.
    NoMemoryForNew,
}

/// What `md` leaves of an item (meta, section 9).
#[derive(Clone, Copy, Debug, Default)]
pub struct Burial {
    /// `x`: the value becomes empty; these are the item's flags and expiry.
    pub empty: Option<Meta>,
    /// `I`: the value becomes stale, and the item gets a new unique.
    pub stale: bool,
    /// With `stale`: when it expires.
    pub expiry: Option<Expiry>,
    /// The unique that the item gets in place of the next number, or of its own (`E`).
    pub cas: Option<u64>,
}

/// Why nothing was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// No such item.
    Miss(Miss),
    /// The item has another unique.
    Mismatch,
    /// What was to be left of the item found no memory.
    NoMemory,
}

/// What a new item is to be, beside its value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meta {
    /// Client flags.
    pub flags: u32,
    /// When it expires.
    pub expiry: Expiry,
    /// The key was given in base64, and is to be shown so (meta, section 3).
    pub is_binary_key: bool,
}
