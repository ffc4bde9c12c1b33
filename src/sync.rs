//! Locks and atomics of what several threads share.
//!
//! Whose order of events between threads is its own business takes them from here, so that the
//! models of `tests/loom` and `tests/shuttle` can compile it with others in their place, which try
//! the orders in which threads may go.
#![forbid(unsafe_code)]

pub(crate) use parking_lot::{Mutex, MutexGuard};
pub(crate) use std::sync::atomic;

/// Lets go of a lock in favour of who has waited for it longest.
pub(crate) fn unlock_fair<T>(guard: MutexGuard<'_, T>) {
    MutexGuard::unlock_fair(guard);
}
