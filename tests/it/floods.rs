//! Floods of connections: they are turned away, cost those who are in little, and leave nothing behind.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::authority::Authority;
use crate::client::{Client, Received};
use crate::harness::{Launch, PATIENCE, Server, alone, moment, say, sized, together, wait_for};

const TOO_MANY: &str = "ERROR Too many open connections\r\n";
const CROWDED: &str = "ERROR Too many open connections from your address\r\n";

/// What the process has open, by what it is.
fn open_files(server: &Server) -> BTreeMap<String, usize> {
    let mut open = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("alive").flatten() {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        // Of sockets and pipes the rest is a number.
        let kind = target.split_once(":[").map_or(target.as_str(), |(kind, _)| kind);
        *open.entry(kind.to_owned()).or_default() += 1;
    }
    open
}

/// Sockets of `port` on the server's side that wait for it to close them (CLOSE_WAIT).
fn close_wait(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("a table of sockets");
    let own = format!(":{port:04X}");
    let is_one = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.len() > 3 && fields[1].ends_with(&own) && fields[3] == "08"
    };
    table.lines().filter(is_one).count()
}

/// A client from 127.0.0.`host`; None: it is told that its address has too many.
#[track_caller]
fn admitted_from(host: u8, server: &Server) -> Option<Client> {
    let mut client = Client::try_tcp_from(host, server.port()).expect("the server accepts");
    client.send("version\r\n");
    match client.line() {
        line if line.starts_with("VERSION") => Some(client),
        line => {
            assert_eq!(format!("{line}\r\n"), CROWDED);
            client.expect_closed();
            None
        }
    }
}

/// `-o maxconns_per_address`: one address cannot take the places of others, and gets its own back.
#[test]
fn an_address_cannot_take_all_places() {
    let _turn = together();
    for fast in ["maxconns_fast", "no_maxconns_fast"] {
        let list = format!("maxconns_per_address=10,{fast}");
        let server = Server::start(&["-c", "40", "-t", "2", "-o", &list]);
        let mut greedy: Vec<Client> = (0..10).filter_map(|_| admitted_from(2, &server)).collect();
        assert_eq!(greedy.len(), 10);
        assert!((0..500).all(|_| admitted_from(2, &server).is_none()));
        let mut other = admitted_from(3, &server).expect("another address has its own places");
        assert_eq!(other.stat("rejected_per_address").as_deref(), Some("500"));
        greedy[9].ask("get a\r\n", "END\r\n");
        greedy.truncate(5);
        wait_for("places of those who left", PATIENCE, || {
            greedy.extend(admitted_from(2, &server));
            (greedy.len() == 10).then_some(())
        });
        assert!(admitted_from(2, &server).is_none());
    }
}

/// Clients of a Unix socket have no address, and none is shown to have too many without the option.
#[test]
fn unix_sockets_have_no_address() {
    let _turn = together();
    let server = Launch::tcp(&["-o", "maxconns_per_address=1"]).unix().start();
    let mut clients: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.ask("get a\r\n", "END\r\n"));
}

/// At `-c` a client of a listener with TLS gets the same line as memcached's does: text, which no client takes
/// for an answer.
#[test]
fn no_room_is_said_in_text_also_with_tls() {
    let _turn = together();
    let server = Authority::new().serve(&["-c", "1", "-t", "1"]);
    let _first = server.connect();
    wait_for("the first to be let in", PATIENCE, || {
        let mut client = server.connect();
        match client.receive(Duration::from_millis(50)) {
            Received::Some => {
                client.expect(TOO_MANY);
                client.expect_closed();
                Some(())
            }
            _ => None,
        }
    });
}

/// Sets the limit of open files of a running server.
fn limit(server: &Server, count: u32) {
    let mut command = Command::new("prlimit");
    command.arg(format!("--pid={}", server.pid())).arg(format!("--nofile={count}:"));
    assert!(command.status().expect("prlimit of util-linux").success());
}

/// The limit of open files sinks below what is open, the reserve included: nobody can be accepted nor told so.
/// Who is in is served, nothing spins, and with the limit as before all who wait are served, and there is
/// a reserve again.
#[test]
fn descriptors_are_taken_away_and_given_back() {
    let _turn = alone();
    let server = Server::start(&["-t", "1", "-c", "200"]);
    let mut inside = server.connect();
    inside.ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    let before = open_files(&server);
    for _ in 0..3 {
        limit(&server, 4);
        let mut crowd: Vec<Client> =
            (0..100).filter_map(|_| Client::try_tcp(("127.0.0.1", server.port())).ok()).collect();
        let (cpu, start) = (server.cpu_time(), moment());
        while start.elapsed() < Duration::from_secs(1) {
            inside.ask("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
            inside.receive(Duration::from_millis(5));
        }
        let used = server.cpu_time() - cpu;
        assert!(used < Duration::from_millis(300), "spins: {used:?} of CPU in a second");
        let reserve = |open: &BTreeMap<String, usize>| open["/dev/null"];
        assert_eq!(reserve(&open_files(&server)) + 1, reserve(&before), "the reserve is in use");
        limit(&server, 400);
        let told = |client: &mut Client| {
            client.send("get b\r\n");
            client.line()
        };
        let served = crowd.iter_mut().map(told).filter(|line| line == "END").count();
        assert_eq!(served, crowd.len());
        assert_eq!(reserve(&open_files(&server)), reserve(&before), "a reserve again");
        drop(crowd);
        inside.await_stat("curr_connections", |count| count == 1);
        assert_eq!(open_files(&server), before);
    }
    assert!(server.log().lines().count() < 20, "{}", server.log());
}

/// Clients that come one after another, as fast as they can.
struct Flood<'a> {
    server: &'a Server,
    is_over: &'a AtomicBool,
    count: usize,
}

impl Flood<'_> {
    /// Connects again and again until told to stop; how often that was.
    fn run(&self, mut with: impl FnMut(Client)) -> usize {
        let mut done = 0;
        while done < self.count && !self.is_over.load(Relaxed) {
            let Some(client) = self.server.try_connect() else { continue };
            with(client);
            done += 1;
        }
        done
    }

    /// Resets each connection at once.
    fn reset(&self) -> usize {
        self.run(drop)
    }

    /// Keeps connections, also those that were turned away, and begins anew with 300 of them.
    fn hold(&self) -> usize {
        let mut held = Vec::new();
        self.run(|client| {
            if held.len() >= 300 {
                held.clear();
            }
            held.push(client);
        })
    }

    /// Sends noise and does not wait for what becomes of it.
    fn junk(&self) -> usize {
        let noise: Vec<u8> = (0..4000u32).map(|n| (n * 31 % 251) as u8).collect();
        self.run(|mut client| {
            client.send_some(&noise, Duration::from_millis(20));
        })
    }
}

/// Asks once a millisecond until all others have ended; how long each answer took, shortest first.
fn latencies(client: &mut Client, is_over: &AtomicBool) -> Vec<Duration> {
    let mut all = Vec::new();
    while !is_over.load(Relaxed) {
        let start = moment();
        client.ask("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
        all.push(start.elapsed());
        client.receive(Duration::from_millis(1));
    }
    all.sort_unstable();
    all
}

/// Many threads connect and reset, connect and stay beyond `-c`, connect and send noise; who is in is served
/// meanwhile, on the same thread. Afterwards nothing is left of it: no descriptor, no socket that waits for
/// its end, no memory to speak of, no long log.
#[test]
fn floods_leave_nothing() {
    let _turn = alone();
    let count = sized("NUTHATCH_FLOOD", 2000);
    let server = Server::start(&["-t", "1", "-c", "200"]);
    let mut victim = server.connect();
    victim.ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    let (before, rss) = (open_files(&server), server.rss_bytes());
    let is_over = AtomicBool::new(false);
    let flood = Flood { server: &server, is_over: &is_over, count };
    let (took, counts) = std::thread::scope(|scope| {
        let kinds =
            [Flood::reset, Flood::hold, Flood::junk, Flood::reset, Flood::hold, Flood::junk];
        let flood = &flood;
        let floods = kinds.map(|kind| scope.spawn(move || kind(flood)));
        let watch = scope.spawn(|| latencies(&mut victim, &is_over));
        let counts: Vec<_> = floods.into_iter().map(|one| one.join().expect("a flood")).collect();
        is_over.store(true, Relaxed);
        (watch.join().expect("the victim is served"), counts)
    });
    let at = |part: usize| took[(took.len() - 1) * part / 100];
    say(&format!(
        "floods of {counts:?} connections: {} answers beside them, median {:?}, p99 {:?}, longest {:?}",
        took.len(),
        at(50),
        at(99),
        at(100)
    ));
    // The clients' own threads take the processors, too: a bound for what is out of order.
    assert!(at(50) < Duration::from_millis(50) && at(100) < Duration::from_secs(1));
    let total: usize = counts.iter().sum();
    assert_eq!(total, 6 * count);
    victim.await_stat("curr_connections", |count| count == 1);
    wait_for("descriptors to be as before", PATIENCE, || {
        (open_files(&server) == before).then_some(())
    });
    wait_for("no socket to wait for its end", PATIENCE, || {
        (close_wait(server.port()) == 0).then_some(())
    });
    let grown = server.rss_bytes().saturating_sub(rss);
    assert!(grown < 4 << 20, "{grown} B more");
    assert!(server.log().lines().count() < 20, "{}", server.log());
    server.assert_serves();
}

/// SIGTERM amid a flood that is turned away is taken note of as ever.
#[test]
fn a_flood_does_not_keep_signals_out() {
    let _turn = alone();
    let mut server = Server::start(&["-t", "1", "-c", "1"]);
    let port = server.port();
    let is_over = AtomicBool::new(false);
    let code = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    if is_over.load(Relaxed) || Client::try_tcp(("127.0.0.1", port)).is_err() {
                        break;
                    }
                }
            });
        }
        let mut inside = wait_for("a place", PATIENCE, || {
            let mut client = Client::try_tcp(("127.0.0.1", port)).ok()?;
            client.send("version\r\n");
            client.line().starts_with("VERSION").then_some(client)
        });
        inside.await_stat("rejected_connections", |count| count > 100);
        let start = moment();
        server.signal(nix::sys::signal::Signal::SIGTERM);
        let code = server.exit_code();
        say(&format!("stopped {:?} after the signal", start.elapsed()));
        is_over.store(true, Relaxed);
        code
    });
    assert_eq!(code, Some(0));
}
