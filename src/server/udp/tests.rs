//! How much one go of a socket does.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use mio::{Poll, Waker};
use parking_lot::Mutex;

use super::*;
use crate::clock::Expiry;
use crate::limits::TURN_BYTES_MAX;
use crate::server::tests::{options, shared};
use crate::server::{Options, Port};
use crate::store::{Meta, Mode};

/// Longer than a datagram takes on loopback.
const PATIENCE: Duration = Duration::from_secs(20);

/// A socket without a worker, and a client of it.
struct Pair {
    udp: Udp,
    client: UdpSocket,
    shared: Arc<Shared>,
    control: Control,
    _poll: Poll,
}

impl Pair {
    fn new() -> Pair {
        let options = Options { udp_port: Port::Any, threads: 1, ..options() };
        let mut bound = bind(&options).expect("bound");
        let udp = bound[0].take(Secs(1)).expect("a socket");
        let client = UdpSocket::bind((udp.address.ip(), 0)).expect("bound");
        client.connect(udp.address).expect("connected");
        client.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
        let poll = Poll::new().expect("an event loop");
        let control = Control {
            desk: None,
            waker: Waker::new(poll.registry(), Token(0)).expect("a waker"),
            stop: AtomicBool::new(false),
            gathers: Mutex::default(),
            listing_threads: 1,
        };
        Pair { udp, client, shared: shared(1), control, _poll: poll }
    }

    fn fill(&self, count: usize) {
        let meta = Meta { flags: 0, expiry: Expiry::NEVER, is_binary_key: false };
        for number in 0..count {
            let key = format!("key{number}");
            let key = self.shared.store.key(key.as_bytes());
            let stored = self.shared.store.store(&Mode::Set.into(), &key, meta, b"x", Secs(1));
            assert!(stored.is_ok());
        }
    }

    /// Goes taken to answer a datagram, with a large `-R`, until there is nothing more to do.
    fn goes(&mut self, payload: &[u8]) -> usize {
        let datagram = [&frame([0, 1], 0, 1), payload].concat();
        assert_eq!(self.client.send(&datagram).expect("sent"), datagram.len());
        let end = self.shared.clock.now().instant + PATIENCE;
        while self.udp.socket.peek(&mut [0]).is_err_and(|err| err.kind() == ErrorKind::WouldBlock) {
            assert!(self.shared.clock.now().instant < end, "a datagram is lost on loopback");
            thread::yield_now();
        }
        self.udp.notice();
        let mut count = 0;
        while self.udp.can_go() {
            self.udp.go(&mut Budget {
                shared: &self.shared,
                control: &self.control,
                counters: self.shared.metrics.block(0),
                now: self.shared.clock.now(),
                requests_left: 100_000,
                bytes_left: TURN_BYTES_MAX,
            });
            count += 1;
        }
        count
    }

    /// The payload of the next datagram of an answer.
    fn receive(&self) -> Vec<u8> {
        let mut bytes = vec![0; 2000];
        let len = self.client.recv(&mut bytes).expect("an answer");
        bytes[FRAME_LEN..len].to_vec()
    }
}

#[test]
fn a_list_takes_many_goes_and_not_one() {
    let mut pair = Pair::new();
    assert!(pair.goes(&b"version\r\n".repeat(30)) <= 2, "others take as many as they may");
    (0..30).for_each(|_| assert!(pair.receive().starts_with(b"VERSION")));

    // One that shows nothing, behind another: each at least a go of its own.
    let empty = b"lru_crawler metadump 63\r\n";
    assert!(pair.goes(&empty.repeat(20)) >= 20);
    (0..20).for_each(|_| assert_eq!(pair.receive(), b"OK\r\nEND\r\n"));

    // A slice looks at some 90 items, a go at four slices.
    pair.fill(20_000);
    let goes = pair.goes(empty);
    assert!((40..2000).contains(&goes), "{goes}");
    assert_eq!(pair.receive(), b"OK\r\nEND\r\n");
}
