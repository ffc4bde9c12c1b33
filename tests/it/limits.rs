//! Bounds of connections and open files: at the bound, one past it, and afterwards.
#![forbid(unsafe_code)]

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::client::{Client, Received};
use crate::harness::{Launch, PATIENCE, Server, alone, moment, say, together, wait_for};

const TOO_MANY: &str = "ERROR Too many open connections\r\n";

/// Bytes of resident memory that an idle connection may cost.
const IDLE_CONNECTION_BYTES: u64 = 600;

/// Lets this process have `wanted` files open; whether it may.
fn raise_open_files(wanted: u64) -> bool {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit of open files");
    soft >= wanted || setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).is_ok()
}

/// Connects and asks; None if the server refuses, with its message checked.
#[track_caller]
fn admitted(server: &Server) -> Option<Client> {
    let mut client = server.connect();
    client.send("version\r\n");
    match client.line() {
        line if line.starts_with("VERSION") => Some(client),
        line => {
            assert_eq!(format!("{line}\r\n"), TOO_MANY);
            client.expect_closed();
            None
        }
    }
}

/// `-c`: the client too many is told so and hung up on; when one leaves there is room again.
#[test]
fn connections_above_the_bound_are_refused() {
    let _turn = together();
    let server = Server::start(&["-c", "40", "-t", "2"]);
    let mut clients: Vec<Client> = std::iter::from_fn(|| admitted(&server)).take(60).collect();
    assert!((10..=40).contains(&clients.len()), "{} of -c 40 admitted", clients.len());
    let rejected = |client: &mut Client| client.stat("rejected_connections");
    assert_eq!(rejected(&mut clients[0]).as_deref(), Some("1"));
    for _ in 0..20 {
        assert!(admitted(&server).is_none());
    }
    assert_eq!(rejected(&mut clients[0]).as_deref(), Some("21"));
    clients.truncate(5);
    wait_for("room after clients left", PATIENCE, || admitted(&server));
    clients[4].ask("get a\r\n", "END\r\n");
}

/// `-o no_maxconns_fast`: the client too many waits until another leaves.
#[test]
fn connections_above_the_bound_wait() {
    let _turn = together();
    let server = Server::start(&["-c", "20", "-t", "1", "-o", "no_maxconns_fast"]);
    let mut clients = Vec::new();
    let waiting = loop {
        let mut client = server.connect();
        client.send("version\r\n");
        if client.receive(Duration::from_millis(300)) != Received::Some {
            break client;
        }
        client.line();
        clients.push(client);
        assert!(clients.len() <= 20, "nobody has to wait");
    };
    let mut waiting = waiting;
    clients.truncate(2);
    assert!(waiting.line().starts_with("VERSION"), "served once there is room");
    clients[1].ask("get a\r\n", "END\r\n");
}

/// Bad inputs, item 20: no more file descriptors. Clients get a close or wait, those who are in are
/// served, and afterwards all is as before; the server does not spin meanwhile.
#[test]
fn out_of_file_descriptors() {
    let _turn = alone();
    let server = Launch::tcp(&["-c", "40", "-t", "2"]).open_files(64).start();
    let mut inside = admitted(&server).expect("the first client");
    let mut crowd: Vec<Client> = Vec::new();
    for _ in 0..300 {
        crowd.extend(Client::try_tcp(("127.0.0.1", server.port())));
    }
    outlasts_crowd(&server, &mut inside, crowd);
}

/// The server serves who is inside and does not spin while others cannot come in, and takes new
/// clients once the crowd has gone.
fn outlasts_crowd(server: &Server, inside: &mut Client, crowd: Vec<Client>) {
    let (cpu, start) = (server.cpu_time(), moment());
    while start.elapsed() < Duration::from_secs(1) {
        inside.ask("set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
        inside.receive(Duration::from_millis(5));
    }
    let used = server.cpu_time() - cpu;
    assert!(used < Duration::from_millis(500), "spins: {used:?} of CPU in a second");
    drop(crowd);
    wait_for("room after the crowd has gone", PATIENCE, || admitted(server));
    server.assert_serves();
}

/// Bad inputs, item 20, where the limit of open files sinks below `-c` and accept itself fails.
#[test]
fn accept_fails_and_recovers() {
    let _turn = alone();
    let server = Server::start(&["-t", "1", "-c", "1000"]);
    let mut inside = admitted(&server).expect("the first client");
    let limit = |count: u32| {
        let mut command = std::process::Command::new("prlimit");
        command.arg(format!("--pid={}", server.pid())).arg(format!("--nofile={count}:"));
        assert!(command.status().expect("prlimit of util-linux").success());
    };
    limit(40);
    let crowd: Vec<Client> =
        (0..100).filter_map(|_| Client::try_tcp(("127.0.0.1", server.port())).ok()).collect();
    assert!(crowd.len() > 40, "only {} clients connect", crowd.len());
    outlasts_crowd(&server, &mut inside, crowd);
    limit(1000);
    let mut later: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    later.iter_mut().for_each(|client| client.ask("get b\r\n", "END\r\n"));
    inside.ask("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
}

/// 10,000 clients that say nothing cost at most [`IDLE_CONNECTION_BYTES`] each, once those who
/// talked have stopped.
#[test]
fn idle_connections_are_small() {
    let _turn = alone();
    const COUNT: u64 = 10_000;
    if !raise_open_files(COUNT + 200) {
        say("SKIPPED idle_connections_are_small: the hard limit of open files is in the way");
        return;
    }
    let server = Launch::tcp(&["-c", "12000", "-t", "2"]).start();
    let mut control = server.connect();
    let mut first: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    talk(&mut first);
    let before = server.rss_bytes();
    let mut clients: Vec<Client> = (0..COUNT).map(|_| server.connect()).collect();
    talk(&mut clients);
    control.await_stat("curr_connections", |count| count >= COUNT);
    let each = server.rss_bytes().saturating_sub(before) / COUNT;
    say(&format!("an idle connection costs {each} B of resident memory"));
    assert!(each <= IDLE_CONNECTION_BYTES, "{each} B an idle connection");
    drop(clients);
    control.await_stat("curr_connections", |count| count < 200);
    server.assert_serves();
}

/// Every client stores and reads something, so that its buffers have been in use.
fn talk(clients: &mut [Client]) {
    for client in clients.iter_mut() {
        client.send("set a 0 0 100\r\n");
        client.send([b'x'; 100]);
        client.send("\r\nget a\r\n");
    }
    for client in clients {
        client.expect(format!("STORED\r\nVALUE a 0 100\r\n{}\r\nEND\r\n", "x".repeat(100)));
    }
}

/// `-o idle_timeout`: who is silent is hung up on, who talks is not, and it is counted.
#[test]
fn idle_clients_are_closed() {
    let _turn = together();
    let server = Server::start(&["-o", "idle_timeout=2"]);
    let (mut silent, mut midway, mut busy) = (server.connect(), server.connect(), server.connect());
    silent.ask("get a\r\n", "END\r\n");
    midway.send("set a 0 0 10\r\nabc");
    let start = moment();
    while silent.receive(Duration::from_millis(50)) != Received::Closed {
        busy.ask("get a\r\n", "END\r\n");
        assert!(start.elapsed() < PATIENCE, "never closed");
    }
    assert!(start.elapsed() > Duration::from_millis(900), "closed after {:?}", start.elapsed());
    midway.expect_closed();
    busy.await_stat("idle_kicks", |count| count == 2);
}

/// `-R`: a client with endless requests does not keep others waiting.
#[test]
fn busy_client_gives_way() {
    let _turn = alone();
    let server = Server::start(&["-t", "1"]);
    let port = server.port();
    let mut quick = server.connect();
    quick.ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    let is_done = std::sync::atomic::AtomicBool::new(false);
    let flood = || {
        let mut client = Client::tcp(("127.0.0.1", port));
        let request = "get a\r\n".repeat(2000);
        while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
            client.send(&request);
            client.expect("VALUE a 0 1\r\nx\r\nEND\r\n".repeat(2000));
        }
    };
    let slowest = std::thread::scope(|scope| {
        scope.spawn(flood);
        let slowest = (0..200)
            .map(|_| {
                let start = moment();
                quick.ask("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
                start.elapsed()
            })
            .max();
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        slowest.expect("some rounds")
    });
    assert!(slowest < Duration::from_millis(100), "a get took {slowest:?} beside a busy client");
}
