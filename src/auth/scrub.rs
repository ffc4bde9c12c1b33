//! Wiping what functions have left on the stack.
#![forbid(unsafe_code)]

use std::hint::black_box;

use zeroize::Zeroize;

/// Bytes below the caller's frame that are wiped. Hashing, which leaves the ends of passwords behind, goes
/// some kilobytes deep.
const DEPTH: usize = 64 * 1024;

/// Wipes the stack below the caller's frame, where what it has called before had its own.
#[inline(never)]
pub(super) fn scrub() {
    let mut below = [0_u8; DEPTH];
    black_box(&mut below).zeroize();
}
