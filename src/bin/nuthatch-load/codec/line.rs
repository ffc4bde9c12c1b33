//! What the two protocols of lines have in common.
#![forbid(unsafe_code)]

use crate::codec::{Decoded, Garbled, Reply};
use crate::dataset::decimal;

/// The first line of `input`, without its CR LF, and where the next begins; none if it is not whole.
pub fn first(input: &[u8]) -> Result<Option<(&[u8], usize)>, Garbled> {
    match memchr::memchr(b'\n', input) {
        Some(newline) => {
            let line = input[..newline].strip_suffix(b"\r").ok_or(Garbled)?;
            Ok(Some((line, newline + 1)))
        }
        None if input.len() < LINE_MAX_BYTES => Ok(None),
        None => Err(Garbled),
    }
}

/// The value of `len` bytes (in digits) that starts at `from`, as the reply that `make` makes of it.
pub fn block<'a>(
    input: &'a [u8],
    from: usize,
    len: &[u8],
    make: impl FnOnce(&'a [u8]) -> Reply<'a>,
) -> Result<Decoded<'a>, Garbled> {
    let len = decimal(len).filter(|len| *len <= VALUE_MAX_BYTES).ok_or(Garbled)?;
    let until = from + len as usize;
    match input.get(until..until + 2) {
        None => Ok(Decoded::More(until + 2)),
        Some(b"\r\n") => Ok(Decoded::Reply(make(&input[from..until]), until + 2)),
        Some(_) => Err(Garbled),
    }
}

/// Whether the line is an error's.
pub fn is_error(line: &[u8]) -> bool {
    let word = line.split(|byte| *byte == b' ').next();
    matches!(word, Some(b"ERROR" | b"CLIENT_ERROR" | b"SERVER_ERROR"))
}

/// Appends a space and the number.
pub fn push_number(number: u64, out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Longer than any line a server sends: a key of 250 bytes and three numbers, or an error.
pub const LINE_MAX_BYTES: usize = 4096;

/// The largest value that any server of these protocols takes (`-I 1024m`).
const VALUE_MAX_BYTES: u64 = 1 << 30;
