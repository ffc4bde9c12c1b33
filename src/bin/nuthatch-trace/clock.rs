//! The only reader of time in this tool, and the only place where it waits for time to pass.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

/// The moment of the call.
#[expect(clippy::disallowed_methods, reason = "the one place of this tool that reads time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits until a request of the trace is due.
#[expect(
    clippy::disallowed_methods,
    reason = "a trace's time is the condition; nothing tells of it"
)]
pub fn wait(time: Duration) {
    std::thread::sleep(time);
}
