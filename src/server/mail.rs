//! What other threads have to say to a worker.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;

use crossbeam::channel::{self, Receiver, Sender};
use mio::{Registry, Token, Waker};

use super::Terms;
use super::crowd::Seat;
use super::gather::Gather;
use super::stream::Stream;
use super::tickets::Ticket;
use crate::auth::Verdict;
use crate::watch::Wake;

/// One thing that a worker is told.
pub(super) enum Message {
    /// A client to be served, with its seat if such are counted.
    Stream(Stream, Terms, Option<Seat>),
    /// The connection in this place of the slab, if it still is one that watches, has lines waiting.
    News(usize),
    /// Say which connections are its own.
    Gather(Arc<Gather>),
    /// What a connection of its own has asked for is complete.
    Listed(Arc<Gather>),
    /// What has come of an attempt to log in.
    Verdict(Ticket, Box<Verdict>),
    /// Answer what has been received, close and end.
    Stop,
    /// Break.
    #[cfg(test)]
    Panic,
}

/// Where a worker can be reached, by any thread.
#[derive(Clone)]
pub(super) struct Mailbox {
    sender: Sender<Message>,
    waker: Arc<Waker>,
}

impl Mailbox {
    /// The mailbox of the worker whose poll is `registry`'s; mail arrives as an event of `token`.
    pub(super) fn new(
        registry: &Registry,
        token: Token,
    ) -> io::Result<(Mailbox, Receiver<Message>)> {
        let waker = Arc::new(Waker::new(registry, token)?);
        let (sender, receiver) = channel::unbounded();
        Ok((Mailbox { sender, waker }, receiver))
    }

    /// Leaves a message that the worker sees after the next [`Mailbox::wake`]. One that has ended
    /// sees none.
    pub(super) fn leave(&self, message: Message) {
        let _gone = self.sender.send(message);
    }

    /// Makes the worker look.
    pub(super) fn wake(&self) {
        self.waker.wake().expect("an eventfd of this process takes a wake");
    }

    /// Both.
    pub(super) fn send(&self, message: Message) {
        self.leave(message);
        self.wake();
    }

    /// What tells the worker that the watcher at `index` has lines waiting.
    pub(super) fn wake_for(&self, index: usize) -> Wake {
        let mailbox = self.clone();
        Arc::new(move || mailbox.send(Message::News(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::thread;
    use std::time::Duration;

    const THREADS: usize = 3;
    const MESSAGES: usize = 3000;

    /// A worker that has slept since its last look is woken by whatever comes.
    #[test]
    fn nothing_is_left_unseen() {
        let mut poll = Poll::new().expect("an event loop");
        let (mailbox, mail) = Mailbox::new(poll.registry(), Token(0)).expect("a mailbox");
        let senders: Vec<_> = (0..THREADS)
            .map(|thread| {
                let mailbox = mailbox.clone();
                thread::spawn(move || {
                    (0..MESSAGES).for_each(|n| mailbox.send(Message::News(n * THREADS + thread)));
                })
            })
            .collect();
        let (mut events, mut seen) = (Events::with_capacity(8), vec![false; THREADS * MESSAGES]);
        while seen.contains(&false) {
            poll.poll(&mut events, Some(Duration::from_secs(20))).expect("events");
            assert!(!events.is_empty(), "nobody has woken it");
            while let Ok(Message::News(number)) = mail.try_recv() {
                assert!(!std::mem::replace(&mut seen[number], true), "{number} has come twice");
            }
        }
        senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
    }
}
