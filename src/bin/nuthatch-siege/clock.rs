//! The only reader of time in this tool.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

/// The moment of the call.
#[expect(clippy::disallowed_methods, reason = "the one place of this tool that reads time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Asks `condition` again and again until it gives something, for at most `patience`.
///
/// What is waited for is another process, which wakes nobody here: it is asked a thousand times a
/// second.
pub fn wait_for<T>(patience: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let until = now() + patience;
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if now() >= until {
            return None;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
