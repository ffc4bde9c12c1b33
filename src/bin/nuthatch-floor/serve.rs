//! One thread, one epoll: accept, read, answer.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::args::Plan;
use crate::canned::Answers;
use crate::conn::{Conn, Fate};

/// Serves until the process ends.
///
/// # Errors
///
/// It cannot listen, or the operating system refuses to wait for events.
pub fn serve(plan: &Plan) -> io::Result<Infallible> {
    let mut answers = Answers::new(&plan.key, plan.value_len_bytes);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS);
    let mut listener = TcpListener::bind(plan.address)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut conns: Slab<Conn> = Slab::new();
    let mut input = vec![0; INPUT_BYTES];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut conns)?;
                continue;
            }
            let index = event.token().0;
            if conns[index].go(&mut input, &mut answers) == Fate::Ended {
                conns.remove(index);
            }
        }
    }
}

/// Takes all that wait.
fn accept(listener: &TcpListener, poll: &Poll, conns: &mut Slab<Conn>) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                // A client that is gone already is noticed when it is read from.
                let _ = stream.set_nodelay(true);
                let entry = conns.vacant_entry();
                let both = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut stream, Token(entry.key()), both)?;
                entry.insert(Conn::new(stream));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

const LISTENER: Token = Token(usize::MAX);

/// Events taken in one turn.
const EVENTS: usize = 1024;

/// One read takes a batch of any row of the benchmarks, and a good part of a large value.
const INPUT_BYTES: usize = 256 * 1024;
