//! Who looks whether executions come to an end.
#![forbid(unsafe_code)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::failure;

/// Looks of the watchdog, a second apart, during which an execution may last. They are counted, not the
/// time: the process may have been stopped meanwhile.
const LOOKS_MAX: u32 = 60;

/// What a thread is doing.
#[derive(Default)]
pub struct Place {
    /// Executions begun.
    pub begun: AtomicU64,
    /// The target and the input of the present one.
    pub current: Mutex<(&'static str, Vec<u8>)>,
}

impl Place {
    /// Takes note of an execution that begins.
    pub fn begin(&self, name: &'static str, input: &[u8]) {
        let mut current = self.current.lock().expect("nobody panics with it");
        current.0 = name;
        current.1.clear();
        current.1.extend_from_slice(input);
        self.begun.fetch_add(1, Relaxed);
    }
}

/// Looks until the other end of `done` is gone. An execution that does not end is told of, and the process
/// with it.
pub fn watch(places: &[Place], done: &Receiver<()>) {
    let mut seen = vec![(0, 0); places.len()];
    while done.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        for (place, (begun, looks)) in places.iter().zip(&mut seen) {
            let now = place.begun.load(Relaxed);
            *looks = if now == *begun { *looks + 1 } else { 0 };
            *begun = now;
            // One that has nothing to do any more is empty.
            let (name, input) = &*place.current.lock().expect("nobody panics with it");
            if *looks >= LOOKS_MAX && !name.is_empty() {
                failure::report(name, input, "it does not end");
                std::process::exit(1);
            }
        }
    }
}
