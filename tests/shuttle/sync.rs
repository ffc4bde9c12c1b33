//! What `src/sync.rs` has, by shuttle.

pub(crate) use shuttle::sync::{MutexGuard, atomic};

/// A lock without poison.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("a panic ends the model")
    }
}

/// Lets go of a lock; whose turn it is then is the scheduler's business, as always.
pub(crate) fn unlock_fair<T>(guard: MutexGuard<'_, T>) {
    drop(guard);
    shuttle::thread::yield_now();
}
