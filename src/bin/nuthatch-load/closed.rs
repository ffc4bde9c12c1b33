//! The closed loop: a client sends a batch of `depth` requests in one write, waits until all are
//! answered, and sends the next.
//!
//! Batches, rather than a window that slides, so that every server is given the same bursts
//! whatever pieces it cuts its answers into. Where connections last for one batch, the next one is
//! made before the batch is sent, and counts into its latencies.
#![forbid(unsafe_code)]

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::client::{SocketClient, Verify};
use crate::clock;
use crate::codec::Codec;
use crate::dataset::Dataset;
use crate::link::Connector;
use crate::tally::Tally;
use crate::workload::{Answer, Workload};

/// What a loop needs to know besides its clients and its requests.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Keys and values.
    pub dataset: &'a Dataset,
    /// How answers are checked.
    pub verify: Verify,
    /// Requests a client may have outstanding.
    pub depth: usize,
    /// Whether sets inside a batch want an answer; the last request of a batch always does.
    pub set_answer: Answer,
    /// Where each batch gets a connection of its own; none where connections last.
    pub reconnect: Option<&'a Connector>,
    /// Time from the start of the loop after which no request is sent.
    pub time: Option<Duration>,
    /// If nothing at all is heard for so long, the run has failed.
    pub stall: Duration,
}

/// Runs `workload` over the clients until it ends and all is answered.
///
/// # Errors
///
/// A connection broke, an answer made no sense, or the server fell silent.
pub fn run<C: Codec>(
    clients: &mut [SocketClient<C>],
    workload: &mut Workload<'_>,
    terms: &Terms<'_>,
) -> io::Result<Tally> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS);
    let mut tally = Tally::new();
    let mut busy = 0;
    register(clients, &poll)?;
    let deadline = terms.time.map(|time| clock::now() + time);
    for client in &mut *clients {
        stop_at(deadline, workload);
        busy += usize::from(send_batch(client, workload, terms, clock::now(), &mut tally)?);
    }
    while busy > 0 {
        wait(&mut poll, &mut events, terms.stall)?;
        if events.is_empty() {
            return Err(stalled(terms.stall));
        }
        for event in &events {
            let client = &mut clients[event.token().0];
            client.flush()?;
            if !event.is_readable() || client.outstanding() == 0 {
                continue;
            }
            client.receive(terms.dataset, terms.verify, &mut tally)?;
            if client.outstanding() > 0 {
                continue;
            }
            stop_at(deadline, workload);
            let since = clock::now();
            if let Some(connector) = terms.reconnect.filter(|_| workload.left() > 0) {
                client.renew(connector.connect_from_anywhere()?);
                poll.registry().register(client.socket(), event.token(), BOTH)?;
            }
            if !send_batch(client, workload, terms, since, &mut tally)? {
                busy -= 1;
            }
        }
    }
    release(clients, &poll)?;
    Ok(tally)
}

fn stop_at(deadline: Option<Instant>, workload: &mut Workload<'_>) {
    if deadline.is_some_and(|deadline| clock::now() >= deadline) {
        workload.stop();
    }
}

/// Sends the next batch, whose latencies count from `since`; false if there is none.
fn send_batch<C: Codec>(
    client: &mut SocketClient<C>,
    workload: &mut Workload<'_>,
    terms: &Terms<'_>,
    since: Instant,
    tally: &mut Tally,
) -> io::Result<bool> {
    let count = workload.left().min(terms.depth as u64);
    for place in 1..=count {
        let answer = if place == count { Answer::Wanted } else { terms.set_answer };
        if let Some(request) = workload.next(answer) {
            tally.requests += u64::from(request.answer == Answer::Unwanted);
            client.ask(&request, terms.dataset, since);
        }
    }
    client.flush()?;
    Ok(count > 0)
}

/// Registers each client under its index, for good; readiness is kept by trying.
///
/// # Errors
///
/// Whatever the operating system says.
pub fn register<C: Codec>(clients: &mut [SocketClient<C>], poll: &Poll) -> io::Result<()> {
    clients.iter_mut().enumerate().try_for_each(|(index, client)| {
        poll.registry().register(client.socket(), Token(index), BOTH)
    })
}

/// Undoes [`register`], so that the clients can go on in another loop.
///
/// # Errors
///
/// Whatever the operating system says.
pub fn release<C: Codec>(clients: &mut [SocketClient<C>], poll: &Poll) -> io::Result<()> {
    clients.iter_mut().try_for_each(|client| poll.registry().deregister(client.socket()))
}

/// Waits for events.
///
/// # Errors
///
/// Whatever the operating system says.
pub fn wait(poll: &mut Poll, events: &mut Events, at_most: Duration) -> io::Result<()> {
    loop {
        match poll.poll(events, Some(at_most)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The failure of a server that says nothing.
pub fn stalled(stall: Duration) -> io::Error {
    let seconds = stall.as_secs();
    io::Error::new(io::ErrorKind::TimedOut, format!("the server said nothing for {seconds} s"))
}

/// Each connection is registered once, for all; readiness is kept by trying.
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Events taken in one turn.
pub const EVENTS: usize = 1024;
