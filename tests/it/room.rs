//! Clients that hold memory with values that they neither send nor read to the end, and a neighbour who is
//! not to be failed for it.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::harness::{Launch, Program, Server, alone, moment, say};

/// For one worker, so that all of them meet.
const ARGS: &[&str] = &["-m", "64", "-t", "1", "-c", "4096"];

const LARGE: usize = 1_000_000;

/// A neighbour's small request; on a quiet machine it is a few milliseconds.
const QUICK: Duration = Duration::from_millis(250);

/// Longer than a value that stands still is left where it is while others wait, twice over.
const A_WHILE: Duration = Duration::from_secs(4);

/// The longest that a request took.
fn longest(times: impl IntoIterator<Item = Duration>) -> Duration {
    times.into_iter().max().unwrap_or_default()
}

fn timed(client: &mut Client, request: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) -> Duration {
    let start: Instant = moment();
    client.ask(request, answer);
    start.elapsed()
}

/// Sets a value in two parts, so that it is seen to arrive.
fn set(client: &mut Client, key: &str, len: usize) -> Duration {
    let start = moment();
    let value = vec![b'n'; len];
    client.send(format!("set {key} 0 0 {len}\r\n"));
    client.send(&value[..len / 2]);
    client.send(&value[len / 2..]);
    client.send("\r\n");
    client.expect("STORED\r\n");
    start.elapsed()
}

fn get(client: &mut Client, key: &str, len: usize) -> Duration {
    let answer =
        [format!("VALUE {key} 0 {len}\r\n").as_bytes(), vec![b'n'; len].as_slice(), b"\r\nEND\r\n"]
            .concat();
    timed(client, format!("get {key}\r\n"), answer)
}

/// Asks for so many of the large values and reads none.
fn stop_reading(server: &Server, first: usize, count: usize) -> Client {
    let mut client = Client::tcp_narrow(server.port());
    for number in first..first + count {
        client.send(format!("get large:{}\r\n", number % 60));
    }
    client
}

/// A thousand clients announce a megabyte each, send a half of it, and nothing more.
#[test]
fn half_uploads_do_not_fail_a_neighbour() {
    let _turn = alone();
    let server = Launch::of(Program::target(), ARGS).start();
    let half = vec![b'h'; LARGE / 2];
    let mut neighbour = server.connect();
    let mut halves: Vec<Client> = (0..1000).map(|_| server.connect()).collect();
    for (number, client) in halves.iter_mut().enumerate() {
        client.send(format!("set half:{number} 0 0 {LARGE}\r\n"));
        client.send_some(&half, Duration::from_millis(1));
    }
    // A value as large as theirs waits like theirs, and may be refused like theirs.
    for (len, is_quick) in [(100, true), (20_000, true), (100_000, false)] {
        let times = (0..10).map(|number| set(&mut neighbour, &format!("own:{number}"), len));
        let longest = longest(times.collect::<Vec<_>>());
        say(&format!("beside 1,000 half uploads: sets of {len} B took {longest:?} at the most"));
        assert!(!is_quick || longest < QUICK, "{longest:?} for {len} B");
        assert!(longest < A_WHILE);
    }
    assert!(server.rss_bytes() < 80 << 20, "{} B resident", server.rss_bytes());
    drop(halves);
    server.assert_serves();
}

/// Two hundred clients ask for twelve of sixty values of a megabyte each, and read nothing: whoever is closed
/// leaves room to others of the kind.
#[test]
fn slow_readers_do_not_fail_a_neighbour() {
    let _turn = alone();
    let server = Launch::of(Program::target(), ARGS).start();
    let mut neighbour = server.connect();
    for number in 0..60 {
        set(&mut neighbour, &format!("large:{number}"), LARGE);
    }
    let readers: Vec<Client> = (0..200).map(|number| stop_reading(&server, number, 12)).collect();
    for (len, is_quick) in [(100, true), (20_000, true), (100_000, false), (LARGE, false)] {
        let times = (0..10).map(|number| {
            let key = format!("own:{number}");
            set(&mut neighbour, &key, len).max(get(&mut neighbour, &key, len))
        });
        let longest = longest(times.collect::<Vec<_>>());
        say(&format!(
            "beside 200 slow readers: sets and gets of {len} B took {longest:?} at the most"
        ));
        assert!(!is_quick || longest < QUICK, "{longest:?} for {len} B");
        assert!(longest < A_WHILE);
    }
    drop(readers);
    server.assert_serves();
}

/// Clients that reset their connections while they wait are let go of at once: those that come and go would else
/// stand in line, with what they hold, until others make room.
#[test]
fn who_resets_does_not_wait() {
    let _turn = alone();
    let server = Launch::of(Program::target(), ARGS).start();
    let half = vec![b'h'; LARGE / 2];
    let mut neighbour = server.connect();
    let open: u64 = neighbour.stat("curr_connections").and_then(|open| open.parse().ok()).unwrap();
    let mut halves: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    for (number, client) in halves.iter_mut().enumerate() {
        client.send(format!("set half:{number} 0 0 {LARGE}\r\n"));
        client.send_some(&half, Duration::from_millis(1));
    }
    neighbour.await_stat("memory_waits", |waits| waits >= 50);
    let start = moment();
    halves.truncate(100);
    neighbour.await_stat("curr_connections", |count| count <= open + 100);
    let took = start.elapsed();
    say(&format!("100 of 200 half uploads were reset and gone after {took:?}"));
    // Sooner than anything is taken from those that stay.
    assert!(took < A_WHILE / 8, "{took:?}");
}

/// What was to be sent and is not read is closed only while others wait: alone, a slow reader gets its value.
#[test]
fn a_slow_reader_alone_gets_its_value() {
    let _turn = alone();
    let server = Launch::of(Program::target(), ARGS).start();
    let mut client = server.connect();
    set(&mut client, "large:0", LARGE);
    let mut slow = stop_reading(&server, 0, 1);
    let start = moment();
    while start.elapsed() < Duration::from_secs(4) {
        client.ask("get none\r\n", "END\r\n");
    }
    slow.expect(
        [format!("VALUE large:0 0 {LARGE}\r\n").as_bytes(), &vec![b'n'; LARGE], b"\r\nEND\r\n"]
            .concat(),
    );
}
