//! The flags of a meta command (meta, section 3). Every flag is taken by every command; what has no
//! meaning for one is not looked at there.
#![forbid(unsafe_code)]

use super::Request;
use super::key::Key;
use crate::protocol::Reply;
use crate::protocol::number;

/// What the flags of a line say.
#[derive(Clone, Debug)]
pub struct Flags<'a> {
    /// The flags as they were given, letter and argument.
    pub order: &'a [&'a [u8]],
    /// Bits of the letters that were given.
    seen: u128,
    /// `q`: the usual outcome is not answered.
    pub is_quiet: bool,
    /// `v`
    pub shows_value: bool,
    /// `u`: this is no access.
    pub is_peek: bool,
    /// `I`
    pub invalidates: bool,
    /// `x`
    pub empties: bool,
    /// `T`, an exptime.
    pub ttl: Option<i32>,
    /// `N`, an exptime.
    pub create: Option<i32>,
    /// `R`, an exptime.
    pub recache: Option<i32>,
    /// `C`
    pub compare: Option<u64>,
    /// `E`
    pub cas: Option<u64>,
    /// `F`
    pub client_flags: u32,
    /// `M`: the byte behind it, a space when there is none.
    pub mode: Option<u8>,
    /// `J`
    pub initial: u64,
    /// `D`
    pub delta: u64,
    /// Bytes of `O`, its letter included; 0: not given.
    pub opaque_len: usize,
}

impl Default for Flags<'_> {
    fn default() -> Self {
        Flags {
            order: &[],
            seen: 0,
            is_quiet: false,
            shows_value: false,
            is_peek: false,
            invalidates: false,
            empties: false,
            ttl: None,
            create: None,
            recache: None,
            compare: None,
            cas: None,
            client_flags: 0,
            mode: None,
            initial: 0,
            delta: 1,
            opaque_len: 0,
        }
    }
}

/// Reads the flags, and the key as they say it is to be read. A duplicate or unknown flag is told at
/// once, of other errors the last; a bad `F` leaves the text as it is (section 2).
pub(super) fn read<'a>(key: &'a [u8], request: &mut Request<'a>) -> Result<(), Reply> {
    let mut error = None;
    for token in request.flags.order {
        let letter = token[0];
        if request.flags.has(letter) {
            return Err(Reply::MetaDuplicateFlag);
        }
        request.flags.seen |= bit(letter);
        let failed = if letter == b'b' {
            Key::base64(key).map(|key| request.key = key).ok_or(Reply::MetaBadKey)
        } else {
            request.flags.take(letter, &token[1..])
        };
        match failed {
            Ok(()) => {}
            Err(Reply::MetaInvalidFlag) => return Err(Reply::MetaInvalidFlag),
            Err(Reply::BadLine) => error = error.or(Some(Reply::BadLine)),
            Err(reply) => error = Some(reply),
        }
    }
    error.map_or(Ok(()), Err)
}

fn bit(letter: u8) -> u128 {
    1 << (letter & 127)
}

impl<'a> Flags<'a> {
    /// What nothing has been read of yet.
    pub(super) fn of(order: &'a [&'a [u8]]) -> Flags<'a> {
        Flags { order, ..Flags::default() }
    }
}

impl Flags<'_> {
    /// Takes one flag but `b`.
    fn take(&mut self, letter: u8, argument: &[u8]) -> Result<(), Reply> {
        match letter {
            b'q' => self.is_quiet = true,
            b'v' => self.shows_value = true,
            b'u' => self.is_peek = true,
            b'I' => self.invalidates = true,
            b'x' => self.empties = true,
            b'T' => self.ttl = Some(exptime(argument)?),
            b'N' => self.create = Some(exptime(argument)?),
            b'R' => self.recache = Some(exptime(argument)?),
            b'C' => self.compare = Some(unique(argument)?),
            b'E' => self.cas = Some(unique(argument)?),
            b'F' => self.client_flags = number::u32(argument).ok_or(Reply::BadLine)?,
            // A NUL is as good as no M at all.
            b'M' => self.mode = Some(argument.first().copied().unwrap_or(b' ')).filter(|m| *m != 0),
            b'J' => self.initial = number::u64(argument).ok_or(Reply::MetaBadInitial)?,
            b'D' => self.delta = number::u64(argument).ok_or(Reply::MetaBadDelta)?,
            b'O' => self.opaque_len = 1 + argument.len(),
            // Read off `order`, or reserved.
            b'c' | b'f' | b'h' | b'k' | b'l' | b's' | b't' | b'L' | b'P' => {}
            _ => return Err(Reply::MetaInvalidFlag),
        }
        Ok(())
    }

    /// Whether `O` is longer than may be sent back (section 2, row 13).
    pub fn is_opaque_too_long(&self) -> bool {
        self.opaque_len > OPAQUE_LEN_MAX
    }

    /// Whether a flag was given.
    pub fn has(&self, letter: u8) -> bool {
        self.seen & bit(letter) != 0
    }
}

/// Longest `O` that is sent back, its letter included.
pub const OPAQUE_LEN_MAX: usize = 32;

fn exptime(argument: &[u8]) -> Result<i32, Reply> {
    number::i32(argument).ok_or(Reply::MetaBadToken)
}

fn unique(argument: &[u8]) -> Result<u64, Reply> {
    number::u64(argument).ok_or(Reply::MetaBadToken)
}
