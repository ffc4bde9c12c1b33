//! How many connections are open, and whether somebody waits for one of them to close.
#![forbid(unsafe_code)]

use crossbeam::utils::CachePadded;

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// The count of open connections. Who closes one after [`Connections::await_close`] learns of it,
/// unless its close is in what [`Connections::count`] says after that: either the one who waits sees
/// the close, or the one who closes sees that somebody waits.
#[derive(Debug, Default)]
pub struct Connections {
    open: CachePadded<AtomicUsize>,
    is_awaited: AtomicBool,
}

impl Connections {
    /// Connections that are open now.
    pub fn count(&self) -> usize {
        self.open.load(SeqCst)
    }

    /// One more is open.
    pub fn note_opened(&self) {
        self.open.fetch_add(1, SeqCst);
    }

    /// One has closed. True: somebody waits for that and is to be woken.
    #[must_use]
    pub fn note_closed(&self) -> bool {
        self.open.fetch_sub(1, SeqCst);
        self.is_awaited.load(SeqCst)
    }

    /// From now on who closes one is told that it is awaited. The count is to be read again after
    /// this.
    pub fn await_close(&self) {
        self.is_awaited.store(true, SeqCst);
    }

    /// Nobody waits any longer.
    pub fn end_wait(&self) {
        self.is_awaited.store(false, SeqCst);
    }
}
