//! UDP (behaviour, section 7): frames, both protocols, what is dropped, and where it is offered.
#![forbid(unsafe_code)]

use std::fs;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

use crate::client::show;
use crate::harness::{OUR_VERSION, PATIENCE, Server, moment, together};

/// Bytes of the frame before the payload.
const FRAME_LEN: usize = 8;

/// A client without a connection.
struct Sender {
    socket: UdpSocket,
    last_id: u16,
}

impl Sender {
    fn to(server: &Server) -> Sender {
        let ports = fs::read_to_string(server.path("ports")).expect("a port file");
        let port = ports.lines().find_map(|line| line.strip_prefix("UDP INET: "));
        let port: u16 = port.expect("a UDP port").parse().expect("a number");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        socket.connect(("127.0.0.1", port)).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
        Sender { socket, last_id: 0x1234 }
    }

    /// Sends a request in a frame of its own.
    fn send(&mut self, payload: impl AsRef<[u8]>) {
        self.last_id += 1;
        let frame = [self.last_id.to_be_bytes(), [0, 0], [0, 1], [0, 0]].concat();
        self.send_raw(&[&frame, payload.as_ref()].concat());
    }

    fn send_raw(&self, datagram: &[u8]) {
        assert_eq!(self.socket.send(datagram).expect("sent"), datagram.len());
    }

    /// The next datagram: id, sequence, total and payload.
    #[track_caller]
    fn receive(&self) -> (u16, u16, u16, Vec<u8>) {
        let mut bytes = [0; 2000];
        let len = self.socket.recv(&mut bytes).expect("an answer");
        assert!((FRAME_LEN..=1400).contains(&len), "{len} bytes");
        let number = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        assert_eq!(number(6), 0, "reserved");
        (number(0), number(2), number(4), bytes[FRAME_LEN..len].to_vec())
    }

    /// The next answer to what was sent last, put together; and the lengths of its datagrams.
    #[track_caller]
    fn answer(&self) -> (Vec<u8>, Vec<usize>) {
        let (mut whole, mut lens) = (Vec::new(), Vec::new());
        loop {
            let (id, sequence, total, payload) = self.receive();
            assert_eq!((id, usize::from(sequence)), (self.last_id, lens.len()));
            lens.push(payload.len() + FRAME_LEN);
            whole.extend_from_slice(&payload);
            if usize::from(total) == lens.len() {
                return (whole, lens);
            }
        }
    }

    #[track_caller]
    fn expect(&self, answer: impl AsRef<[u8]>) {
        let (got, want) = (self.answer().0, answer.as_ref());
        assert!(got == want, "\nexpected {}\nreceived {}", show(want), show(&got));
    }

    #[track_caller]
    fn ask(&mut self, request: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) {
        self.send(request);
        self.expect(answer);
    }

    /// Nothing that was not expected has come, and the server answers.
    #[track_caller]
    fn assert_in_step(&mut self) {
        self.ask("version\r\n", format!("VERSION {OUR_VERSION}\r\n"));
    }
}

#[test]
fn frames_section_7() {
    let _turn = together();
    let server = Server::start(&["-U", "-1", "-t", "2"]);
    let mut client = server.connect();
    let value = "x".repeat(5000);
    client.ask(format!("set k 0 0 5000\r\n{value}\r\n"), "STORED\r\n");
    let mut sender = Sender::to(&server);
    sender.send("get k\r\n");
    let (whole, lens) = sender.answer();
    assert_eq!(whole, format!("VALUE k 0 5000\r\n{value}\r\nEND\r\n").into_bytes());
    assert_eq!(lens, [1400, 1400, 1400, 5000 + 23 + 8 - 3 * 1392]);
    // An answer that fills its datagrams to the last byte.
    let full = 2 * 1392 - "VALUE k 0 2761\r\n\r\nEND\r\n".len();
    client.ask(format!("set k 0 0 {full}\r\n{}\r\n", "y".repeat(full)), "STORED\r\n");
    sender.send("get k\r\n");
    assert_eq!(sender.answer().1, [1400, 1400]);
    // Sequence and reserved of a request say nothing.
    sender.last_id += 1;
    let id = sender.last_id.to_be_bytes();
    sender.send_raw(&[&id, &[9, 9, 0, 1, 7, 7][..], b"get nope\r\n"].concat());
    sender.expect("END\r\n");
}

#[test]
fn requests_of_one_datagram_section_7() {
    let _turn = together();
    let server = Server::start(&["-U", "-1", "-R", "3", "-t", "2"]);
    let mut sender = Sender::to(&server);
    sender.send("set a 0 0 1\r\nx\r\nget a b a\r\ndelete a noreply\r\nmn\r\nget a\r\n");
    sender.expect("STORED\r\n");
    sender.expect("VALUE a 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    sender.expect("MN\r\n");
    sender.expect("END\r\n");
    sender.send("version\r\n".repeat(100));
    (0..100).for_each(|_| sender.expect(format!("VERSION {OUR_VERSION}\r\n")));
    sender.send("quit\r\nversion\r\n");
    assert_eq!(sender.receive(), (sender.last_id, 0, 0, Vec::new()), "an empty frame for quit");
    sender.assert_in_step();

    let (noop, version) = (0x0a, 0x0b);
    let packet = |opcode| [&[0x80, opcode][..], &[0; 22]].concat();
    sender.send([packet(noop), packet(version)].concat());
    assert_eq!(sender.answer().0[..8], [0x81, noop, 0, 0, 0, 0, 0, 0]);
    assert_eq!(sender.answer().0[24..], *OUR_VERSION.as_bytes());
    sender.assert_in_step();
}

#[test]
fn what_is_dropped_section_7() {
    let _turn = together();
    let server = Server::start(&["-U", "-1", "-t", "1"]);
    let mut sender = Sender::to(&server);
    for datagram in [
        &b""[..],
        b"\x00",
        b"\x00\x01\x00\x00\x00\x01\x00",
        b"\x00\x01\x00\x00\x00\x01\x00\x00",
        b"\x00\x01\x00\x00\x00\x02\x00\x00get a\r\n",
        b"\x00\x01\x00\x00\x00\x00\x00\x00get a\r\n",
        b"\x00\x01\x00\x00\x01\x01\x00\x00get a\r\n",
        b"\x00\x01\x00\x00\x00\x01\x00\x00get a",
        b"\x00\x01\x00\x00\x00\x01\x00\x00set a 0 0 3\r\nxy",
        b"\x00\x01\x00\x00\x00\x01\x00\x00set a 0 0 3 noreply\r\nxyz\r\n",
        b"\x00\x01\x00\x00\x00\x01\x00\x00\x80\x0a",
        b"\x00\x01\x00\x00\x00\x01\x00\x00GET / HTTP/1.1\r\n",
    ] {
        sender.send_raw(datagram);
        sender.assert_in_step();
    }
    sender.ask("get a\r\n", "VALUE a 0 3\r\nxyz\r\nEND\r\n");
    // A value that goes on in another datagram is never joined.
    sender.send(format!("set a 0 0 60000\r\n{}", "z".repeat(40_000)));
    sender.send(format!("{}\r\n", "z".repeat(20_000)));
    sender.ask("get a\r\n", "VALUE a 0 3\r\nxyz\r\nEND\r\n");
    sender.ask("watch\r\n", "CLIENT_ERROR not possible over UDP\r\n");
    sender.ask("stats conns\r\n", "CLIENT_ERROR not possible over UDP\r\n");
    sender.send("stats\r\n");
    let stats = String::from_utf8(sender.answer().0).expect("text");
    assert!(stats.starts_with("STAT pid ") && stats.ends_with("\r\nEND\r\n"), "{stats}");
}

#[test]
fn servers_do_not_answer_each_other() {
    let _turn = together();
    let server = Server::start(&["-U", "-1", "-t", "1"]);
    let mut client = Sender::to(&server);
    let port = client.socket.peer_addr().expect("connected").port();
    // As what another server at the same port sends, or somebody in its name.
    let like_a_server = UdpSocket::bind(("127.0.0.2", port)).expect("bound");
    like_a_server.set_nonblocking(true).expect("O_NONBLOCK");
    for payload in ["version\r\n", "ERROR\r\n", "get a\r\n"] {
        let datagram = [&b"\x00\x01\x00\x00\x00\x01\x00\x00"[..], payload.as_bytes()].concat();
        like_a_server.send_to(&datagram, ("127.0.0.1", port)).expect("sent");
    }
    // One thread, one socket: what came before this has been looked at.
    client.assert_in_step();
    let err = like_a_server.recv(&mut [0; 100]).expect_err("no answer");
    assert_eq!(err.kind(), ErrorKind::WouldBlock);
    // From any other port an `ERROR` alone is what is not answered.
    client.send("ERROR\r\n");
    client.ask("STORED\r\n", "ERROR\r\n");
    client.assert_in_step();
}

#[test]
fn seen_in_statistics() {
    let _turn = together();
    let server = Server::start(&["-U", "-1", "-t", "2"]);
    let mut client = server.connect();
    let mut sender = Sender::to(&server);
    let before: u64 = client.stat("bytes_read").expect("there").parse().expect("a number");
    let sent = "set a 0 0 1000\r\n".len() + 1000 + 2 + FRAME_LEN;
    sender.ask(format!("set a 0 0 1000\r\n{}\r\n", "x".repeat(1000)), "STORED\r\n");
    let after: u64 = client.stat("bytes_read").expect("there").parse().expect("a number");
    assert_eq!(after - before, (sent + "stats\r\n".len()) as u64);
    client.send("stats conns\r\n");
    let lines = client.lines_until("END");
    let port = sender.socket.peer_addr().expect("connected").port();
    let udp: Vec<&String> = lines.iter().filter(|line| line.contains(":UDP")).collect();
    assert_eq!(udp.len(), 2, "one for each worker: {lines:?}");
    let own = format!(":addr udp:127.0.0.1:{port}");
    assert_eq!(lines.iter().filter(|line| line.ends_with(&own)).count(), 2, "{lines:?}");
    // Watchers see the socket as the client.
    let mut watcher = server.connect();
    watcher.ask("watch fetchers\r\n", "OK\r\n");
    sender.ask("get nope\r\n", "END\r\n");
    let line = watcher.take(60);
    assert!(line.starts_with(b"ts="), "{}", show(&line));
}

#[test]
fn a_flood_does_not_starve_connections() {
    let _turn = together();
    let server = Server::start(&["-U", "-1", "-t", "1"]);
    let mut client = server.connect();
    let value = "x".repeat(100_000);
    client.ask(format!("set k 0 0 100000\r\n{value}\r\n"), "STORED\r\n");
    let mut sender = Sender::to(&server);
    for _ in 0..50 {
        // Answers that nobody reads: most of them are lost, as they may be.
        (0..10).for_each(|_| sender.send("get k\r\n".repeat(1000)));
        let since = moment();
        client.ask("get nope\r\n", "END\r\n");
        assert!(since.elapsed() < Duration::from_secs(1));
    }
    let mut other = Sender::to(&server);
    other.ask("get nope\r\n", "END\r\n");
}
