//! A whole that several threads have parts of.
#![forbid(unsafe_code)]

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering::AcqRel};

/// What threads put together, each once.
pub(super) struct Parts<T> {
    /// Threads that have not added theirs.
    missing: AtomicUsize,
    whole: Mutex<T>,
}

impl<T> Parts<T> {
    /// Nothing yet of so many threads.
    pub(super) fn new(threads: usize, nothing: T) -> Parts<T> {
        Parts { missing: AtomicUsize::new(threads), whole: Mutex::new(nothing) }
    }

    /// Adds one thread's part. True for the last one, after which the whole is complete.
    #[must_use]
    pub(super) fn add(&self, add: impl FnOnce(&mut T)) -> bool {
        add(&mut self.whole.lock());
        self.missing.fetch_sub(1, AcqRel) == 1
    }

    /// The whole.
    pub(super) fn with<R>(&self, see: impl FnOnce(&mut T) -> R) -> R {
        see(&mut self.whole.lock())
    }
}
