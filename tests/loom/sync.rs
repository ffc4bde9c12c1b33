//! What `src/sync.rs` has, by loom.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

pub(crate) use loom::sync::MutexGuard;

/// Orders tried of the model that runs.
static ORDERS: AtomicUsize = AtomicUsize::new(0);

/// Tries every order of what `body` and the threads that it starts do.
pub(crate) fn model(body: impl Fn() + Send + Sync + 'static) {
    let body = Arc::new(body);
    loom::model(move || {
        ORDERS.fetch_add(1, Relaxed);
        body();
    });
}

/// Runs models and says how many orders were tried.
#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "its own harness")]
pub(crate) fn report<'a>(models: impl Iterator<Item = &'a (&'a str, fn())>) {
    for (name, run) in models {
        ORDERS.store(0, Relaxed);
        let began = Instant::now();
        run();
        let millis = began.elapsed().as_millis();
        println!("model {name} ... ok, {} orders, {millis} ms", ORDERS.load(Relaxed));
    }
}

/// A lock without poison.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("a panic ends the model")
    }
}

/// loom takes `SeqCst` of a load or a store for `AcqRel`; of a fence it knows what it means. So accesses
/// in that order are made of accesses and fences, as compilers make them.
pub(crate) mod atomic {
    use loom::sync::atomic::fence;
    pub(crate) use std::sync::atomic::Ordering;
    use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

    /// Does `access` in an order that loom knows, between fences where that is not all.
    fn ordered<R>(order: Ordering, weaker: Ordering, access: impl FnOnce(Ordering) -> R) -> R {
        if order != SeqCst {
            return access(order);
        }
        fence(SeqCst);
        let result = access(weaker);
        fence(SeqCst);
        result
    }

    macro_rules! atomics {
        ($($name:ident: $value:ty),+) => {$(
            #[derive(Debug, Default)]
            pub(crate) struct $name(loom::sync::atomic::$name);

            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    $name(loom::sync::atomic::$name::new(value))
                }

                pub(crate) fn load(&self, order: Ordering) -> $value {
                    ordered(order, Acquire, |order| self.0.load(order))
                }

                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    ordered(order, Release, |order| self.0.store(value, order));
                }
            }
        )+};
    }

    macro_rules! sums {
        ($($name:ident: $value:ty),+) => {$(
            impl $name {
                pub(crate) fn fetch_add(&self, more: $value, order: Ordering) -> $value {
                    ordered(order, AcqRel, |order| self.0.fetch_add(more, order))
                }

                pub(crate) fn fetch_sub(&self, less: $value, order: Ordering) -> $value {
                    ordered(order, AcqRel, |order| self.0.fetch_sub(less, order))
                }
            }
        )+};
    }

    atomics!(AtomicBool: bool, AtomicU32: u32, AtomicUsize: usize);
    sums!(AtomicU32: u32, AtomicUsize: usize);

    /// One that is changed by a load and a store. Of who loads and then stores, loom compares the store
    /// with that load alone, and misses orders in which others load between the two; so every access
    /// touches another atomic first, in a way that all touches depend on each other and none says anything
    /// of what was before it.
    #[derive(Debug, Default)]
    pub(crate) struct AtomicU64 {
        turns: loom::sync::atomic::AtomicUsize,
        value: loom::sync::atomic::AtomicU64,
    }

    impl AtomicU64 {
        pub(crate) fn new(value: u64) -> AtomicU64 {
            AtomicU64 { value: loom::sync::atomic::AtomicU64::new(value), ..AtomicU64::default() }
        }

        pub(crate) fn load(&self, order: Ordering) -> u64 {
            self.turns.fetch_add(0, Relaxed);
            ordered(order, Acquire, |order| self.value.load(order))
        }

        pub(crate) fn store(&self, value: u64, order: Ordering) {
            self.turns.fetch_add(0, Relaxed);
            ordered(order, Release, |order| self.value.store(value, order));
        }
    }
}
