//! The only reader of time in this tool.
#![forbid(unsafe_code)]

use std::time::Instant;

/// The moment of the call.
#[expect(clippy::disallowed_methods, reason = "the one place of this tool that reads time")]
pub fn now() -> Instant {
    Instant::now()
}
