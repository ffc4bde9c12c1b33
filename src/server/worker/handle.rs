//! A worker as the acceptor sees it.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;

use crate::server::Terms;
use crate::server::crowd::Seat;
use crate::server::gather::Gather;
use crate::server::mail::{Mailbox, Message};
use crate::server::stream::Stream;

/// What the acceptor knows of a worker, and how it tells it something.
pub(in crate::server) struct Handle {
    thread: JoinHandle<()>,
    mailbox: Mailbox,
    load: Arc<AtomicUsize>,
    /// Something was handed over or is wanted since the last wake.
    unseen: bool,
}

impl Handle {
    /// Of a worker that serves on `thread` and counts its connections in `load`.
    pub(super) fn new(thread: JoinHandle<()>, mailbox: Mailbox, load: Arc<AtomicUsize>) -> Handle {
        Handle { thread, mailbox, load, unseen: false }
    }

    /// Connections that are the worker's or on their way to it.
    pub(in crate::server) fn load(&self) -> usize {
        self.load.load(Relaxed)
    }

    /// Gives a connection to the worker, which sees it after the next [`Handle::wake`].
    pub(in crate::server) fn hand_over(
        &mut self,
        stream: Stream,
        terms: Terms,
        seat: Option<Seat>,
    ) {
        self.unseen = true;
        self.load.fetch_add(1, Relaxed);
        self.mailbox.leave(Message::Stream(stream, terms, seat));
    }

    /// Has the worker see, after the next [`Handle::wake`], what memory it can give back.
    pub(in crate::server) fn note_want(&mut self) {
        self.unseen = true;
    }

    /// Makes the worker look at what was handed over, if there is anything.
    pub(in crate::server) fn wake(&mut self) {
        if std::mem::take(&mut self.unseen) {
            self.mailbox.wake();
        }
    }

    /// Has the worker list its connections.
    pub(in crate::server) fn gather(&self, gather: &Arc<Gather>) {
        self.mailbox.send(Message::Gather(Arc::clone(gather)));
    }

    /// Breaks the worker.
    #[cfg(test)]
    pub(in crate::server) fn panic(&self) {
        self.mailbox.send(Message::Panic);
    }

    /// Makes the worker answer what it has received, close and end.
    pub(in crate::server) fn stop(self) -> JoinHandle<()> {
        self.mailbox.send(Message::Stop);
        self.thread
    }
}
