//! Whole servers on loopback, stopped by their own control. Exact bytes, no fixed sleeps.

mod accepting;
mod panics;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use super::acceptor::Acceptor;
use super::*;
use crate::clock::Clock;
use crate::limits::{GOES_AT_ONCE, OUTPUT_HIGH_WATER_BYTES};
use crate::metrics::{Counter, Metrics};
use crate::session;
use crate::store::{self, Store};

/// Longer than anything here takes, short enough that a hang is seen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Loopback, any port, two workers.
pub(super) fn options() -> Options {
    Options {
        listen: Vec::new(),
        port: Port::Any,
        udp_port: Port::Off,
        udp_public: false,
        unix_socket: None,
        unix_mask: 0o700,
        protocol: Protocol::Auto,
        backlog: 128,
        threads: 2,
        connections_max: 1024,
        requests_per_turn: 20,
        maxconns_fast: true,
        maxconns_per_address: 0,
        idle_timeout_secs: 0,
        deadlines: Deadlines::default(),
        port_file: None,
        pid_file: None,
        remove_pid_file: false,
        drop_to: None,
        certificates: None,
    }
}

/// An empty store, and what else the sessions of that many workers have in common.
pub(super) fn shared(threads: usize) -> Arc<Shared> {
    let store = Store::new(&store::Options {
        memory_bytes: 64 << 20,
        item_size_max: 4 << 20,
        growth_factor: 1.04,
        chunk_space_min: 48,
        evictions: true,
        cas: true,
        large_pages: false,
        crawler: true,
        automove: true,
        temporary_ttl: None,
        track_sizes: false,
        threads,
    })
    .expect("a store");
    Arc::new(Shared::new(
        store,
        Arc::new(Metrics::new(threads + 1)),
        Arc::new(Clock::start()),
        session::Options { shutdown: true, dump: true, ..session::Options::default() },
    ))
}

/// A directory that goes away with the value.
pub(super) struct TempDir(PathBuf);

impl TempDir {
    pub(super) fn new() -> TempDir {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("nuthatch-{}-{}", std::process::id(), COUNT.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a new directory");
        TempDir(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server.
struct Server {
    address: Option<SocketAddr>,
    shared: Arc<Shared>,
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(options: &Options) -> Server {
        Server::start_on(options, listener::bind(options).expect("bound"))
    }

    fn start_on(options: &Options, listeners: Vec<Listener>) -> Server {
        let shared = shared(options.threads);
        let address = listeners[0].address();
        let mut acceptor =
            Acceptor::start(options, listeners, Vec::new(), Arc::clone(&shared), None)
                .expect("started");
        let control = acceptor.control();
        let thread = std::thread::spawn(move || {
            acceptor.serve();
            acceptor.stop();
        });
        Server { address, shared, control, thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address.expect("TCP")).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        stream
    }

    fn total(&self, counter: Counter) -> u64 {
        self.shared.metrics.total(counter)
    }

    /// Waits until `condition` holds.
    #[track_caller]
    fn until(&self, condition: impl Fn(&Server) -> bool) {
        let deadline = self.shared.clock.now().instant + PATIENCE;
        while !condition(self) {
            assert!(self.shared.clock.now().instant < deadline, "it never came");
            std::thread::yield_now();
        }
    }

    fn until_open(&self, count: usize) {
        self.until(|server| server.shared.metrics.connections.count() == count);
    }

    fn stop(mut self) {
        self.control.stop(false);
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.control.stop(false);
            self.join();
        }
    }
}

#[track_caller]
fn expect(stream: &mut impl Read, want: &[u8]) {
    let mut got = vec![0; want.len()];
    let read = stream.read_exact(&mut got);
    assert!(read.is_ok(), "{read:?} before {:?}", want.escape_ascii().to_string());
    assert!(got == want, "{} for {}", got.escape_ascii(), want.escape_ascii());
}

#[track_caller]
fn check(stream: &mut (impl Read + Write), send: &[u8], want: &[u8]) {
    stream.write_all(send).expect("sent");
    expect(stream, want);
}

#[track_caller]
fn expect_end(stream: &mut impl Read) {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("an orderly end");
    assert!(rest.is_empty(), "left over: {}", rest.escape_ascii());
}

fn set(key: &str, value: &[u8]) -> Vec<u8> {
    [format!("set {key} 0 0 {}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}

fn hit(key: &str, value: &[u8]) -> Vec<u8> {
    [format!("VALUE {key} 0 {}\r\n", value.len()).as_bytes(), value, b"\r\nEND\r\n"].concat()
}

/// Bytes in which any two places differ that a mistake would swap.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

#[test]
fn requests_arrive_in_any_pieces() {
    let server = Server::start(&options());
    let mut whole = server.connect();
    check(&mut whole, b"set a 0 0 1\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
    let mut pieces = server.connect();
    pieces.set_nodelay(true).expect("no delay");
    for byte in b"get a\r\nset b 0 0 2\r\nbb\r\nget b\r\n" {
        pieces.write_all(&[*byte]).expect("sent");
    }
    expect(&mut pieces, b"VALUE a 0 1\r\n1\r\nEND\r\nSTORED\r\nVALUE b 0 2\r\nbb\r\nEND\r\n");
    server.stop();
}

#[test]
fn large_values_go_both_ways() {
    let server = Server::start(&options());
    let mut client = server.connect();
    for len in [2_000, 16_384, 16_385, 65_536, 131_072, 1_000_000, 3_000_000] {
        let value = pattern(len);
        let mut request = set("large", &value);
        request.extend_from_slice(b"get large\r\n");
        let mut sender = client.try_clone().expect("another handle");
        let sending = std::thread::spawn(move || sender.write_all(&request).expect("sent"));
        expect(&mut client, &[b"STORED\r\n".as_slice(), &hit("large", &value)].concat());
        sending.join().expect("sent");
    }
}

#[test]
fn deep_pipeline_yields_and_keeps_order() {
    const COUNT: usize = 5_000;
    let server = Server::start(&options());
    let mut client = server.connect();
    check(&mut client, &set("a", b"1"), b"STORED\r\n");
    let mut sender = client.try_clone().expect("another handle");
    let sending = std::thread::spawn(move || {
        let requests: String =
            (0..COUNT).map(|n| format!("get {}\r\n", if n % 3 == 0 { "a" } else { "b" })).collect();
        sender.write_all(requests.as_bytes()).expect("sent");
    });
    for n in 0..COUNT {
        let want: &[u8] = if n % 3 == 0 { b"VALUE a 0 1\r\n1\r\nEND\r\n" } else { b"END\r\n" };
        expect(&mut client, want);
    }
    sending.join().expect("sent");
    assert!(server.total(Counter::ConnYields) > 0);
}

/// More clients than go at once, with more requests each than one go takes, some of whose goes end the
/// round: everyone gets its own answers, in order.
#[test]
fn clients_that_go_at_once_keep_apart() {
    const CLIENTS: usize = 3 * GOES_AT_ONCE;
    const ROUNDS: usize = 40;
    let server = Server::start(&Options { threads: 1, ..options() });
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        let key = format!("key{n}");
        let mut requests = set(&key, &pattern(n));
        requests.extend_from_slice(&format!("get {key} none\r\n").into_bytes().repeat(ROUNDS));
        if n % 5 == 0 {
            requests.extend_from_slice(b"stats settings\r\n");
        }
        requests.extend_from_slice(format!("delete {key}\r\nquit\r\n").as_bytes());
        client.write_all(&requests).expect("sent");
    }
    for (n, client) in clients.iter_mut().enumerate() {
        expect(client, b"STORED\r\n");
        let want = hit(&format!("key{n}"), &pattern(n));
        for _ in 0..ROUNDS {
            expect(client, &want);
        }
        let mut rest = String::new();
        client.read_to_string(&mut rest).expect("text to the end");
        let last = rest.strip_suffix("DELETED\r\n").expect("the last answer");
        assert_eq!(last.ends_with("END\r\n"), n % 5 == 0, "{last}");
    }
    server.until_open(0);
}

/// A client that asks for much and reads nothing holds no more than its share, harms nobody, and
/// gets everything once it reads.
#[test]
fn slow_reader_waits_alone() {
    const GETS: usize = 400;
    let server = Server::start(&Options { threads: 1, ..options() });
    let value = pattern(100_000);
    let mut slow = server.connect();
    check(&mut slow, &set("v", &value), b"STORED\r\n");
    let request = b"get v\r\n".repeat(GETS);
    slow.write_all(&request).expect("sent");
    let mut other = server.connect();
    for _ in 0..100 {
        check(&mut other, b"get nothing\r\n", b"END\r\n");
    }
    assert!(server.total(Counter::GetHits) < GETS as u64, "it was not executed ahead");
    let want = hit("v", &value);
    for _ in 0..GETS {
        expect(&mut slow, &want);
    }
    const { assert!(GETS * 100_000 > 100 * OUTPUT_HIGH_WATER_BYTES) };
}

#[test]
fn half_closed_client_gets_its_answers() {
    let server = Server::start(&options());
    let mut client = server.connect();
    let value = pattern(500_000);
    let mut request = set("v", &value);
    request.extend_from_slice(&b"get v\r\n".repeat(10));
    request.extend_from_slice(b"get half a li");
    client.write_all(&request).expect("sent");
    client.shutdown(Shutdown::Write).expect("half closed");
    expect(&mut client, b"STORED\r\n");
    for _ in 0..10 {
        expect(&mut client, &hit("v", &value));
    }
    expect_end(&mut client);
    server.until_open(0);
}

/// The end of input that arrives together with data has no event of its own.
#[test]
fn vanished_clients_leave_nothing() {
    let server = Server::start(&options());
    for _ in 0..200 {
        let mut client = server.connect();
        client.write_all(b"get a\r\n").expect("sent");
    }
    server.until(|server| server.total(Counter::TotalConnections) == 200);
    server.until_open(0);
}

#[test]
fn unfinished_value_goes_with_its_client() {
    let server = Server::start(&options());
    let mut client = server.connect();
    check(&mut client, b"version\r\nset v 0 0 1000000\r\nhalf", b"VERSION ");
    drop(client);
    server.until_open(0);
    check(&mut server.connect(), b"get v\r\n", b"END\r\n");
}

#[test]
fn quit_ends_orderly_with_its_answers() {
    let server = Server::start(&options());
    let mut client = server.connect();
    check(&mut client, b"get a\r\nquit\r\n", b"END\r\n");
    expect_end(&mut client);
    // What follows a quit is neither executed nor a reason to reset.
    let mut client = server.connect();
    let mut requests = b"get a\r\nquit\r\n".to_vec();
    requests.extend_from_slice(&b"get a\r\n".repeat(10_000));
    client.write_all(&requests).expect("sent");
    expect(&mut client, b"END\r\n");
    expect_end(&mut client);
    drop(client);
    server.until_open(0);
}

#[test]
fn silent_connections_are_closed_at_the_idle_timeout() {
    let server = Server::start(&Options { idle_timeout_secs: 3600, ..options() });
    let mut client = server.connect();
    check(&mut client, b"get a\r\n", b"END\r\n");
    server.shared.clock.shift(3599);
    check(&mut client, b"get a\r\n", b"END\r\n");
    server.shared.clock.shift(3602);
    expect_end(&mut client);
    server.until(|server| server.total(Counter::IdleKicks) == 1);
    server.until_open(0);
}

#[test]
fn stop_answers_what_was_received() {
    let mut server = Server::start(&options());
    let value = pattern(1_000_000);
    let mut slow = server.connect();
    check(&mut slow, &set("v", &value), b"STORED\r\n");
    slow.write_all(&b"get v\r\n".repeat(12)).expect("sent");
    let mut idle = server.connect();
    check(&mut idle, b"get a\r\n", b"END\r\n");
    server.until(|server| server.total(Counter::GetHits) > 0);
    server.control.stop(true);
    expect_end(&mut idle);
    for _ in 0..12 {
        expect(&mut slow, &hit("v", &value));
    }
    expect_end(&mut slow);
    server.join();
    let refused = TcpStream::connect(server.address.expect("TCP")).expect_err("closed");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn shutdown_command_stops_the_server() {
    let mut server = Server::start(&options());
    let mut client = server.connect();
    client.write_all(b"shutdown\r\n").expect("sent");
    expect_end(&mut client);
    server.join();
}

#[test]
fn unix_socket_serves_and_goes_away() {
    let dir = TempDir::new();
    let path = dir.path().join("sock");
    let server = Server::start(&Options { unix_socket: Some(path.clone()), ..options() });
    let mut client = std::os::unix::net::UnixStream::connect(&path).expect("connected");
    client.set_read_timeout(Some(PATIENCE)).expect("timeout");
    check(&mut client, &set("a", &pattern(70_000)), b"STORED\r\n");
    check(&mut client, b"get a\r\n", &hit("a", &pattern(70_000)));
    server.stop();
    expect_end(&mut client);
    assert!(!path.exists());
}

/// `run` itself: files appear once the sockets accept.
#[test]
fn run_tells_its_port_and_pid() {
    let dir = TempDir::new();
    let [port_file, pid_file] = ["port", "pid"].map(|name| dir.path().join(name));
    let options = Options {
        port_file: Some(port_file.clone()),
        pid_file: Some(pid_file.clone()),
        remove_pid_file: true,
        ..options()
    };
    let server = Server::start(&options);
    let shared = Shared::new(
        Arc::clone(&server.shared.store),
        Arc::new(Metrics::new(3)),
        Arc::clone(&server.shared.clock),
        session::Options { shutdown: true, ..session::Options::default() },
    );
    let running = std::thread::spawn(move || run(&options, shared, None));
    server.until(|_| pid_file.exists());
    let told = std::fs::read_to_string(&port_file).expect("written before the pid file");
    let port = told.strip_prefix("TCP INET: ").and_then(|rest| rest.lines().next());
    let port: u16 = port.expect("the first line").parse().expect("a number");
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    client.set_read_timeout(Some(PATIENCE)).expect("timeout");
    client.write_all(b"shutdown\r\n").expect("sent");
    expect_end(&mut client);
    running.join().expect("no panic").expect("no error");
    assert!(!pid_file.exists());
}
