//! Memory stays within its bounds, whatever clients send or do not read.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::client::Client;
use crate::harness::{PATIENCE, Random, Server, alone, moment, say, together, wait_for};

const MB: u64 = 1 << 20;

/// What one greedy client may cost beyond what the server had: buffers, sockets, an item.
const ONE_CLIENT_BYTES: u64 = 4 * MB;

/// Most resident memory of a server with `-m mib`: 5 % for what an allocator and an index waste, and
/// 8 MB for code, stacks and buffers.
const fn rss_max_of(mib: u64) -> u64 {
    mib * MB * 105 / 100 + 8 * MB
}

const RSS_MAX_OF_64: u64 = rss_max_of(64);

#[track_caller]
fn assert_growth(server: &Server, before: u64, bound: u64) {
    let growth = server.rss_bytes().saturating_sub(before);
    assert!(growth <= bound, "grew by {growth} B, allowed are {bound} B");
}

/// Bad inputs, item 3: a get that never ends. 1 GB of keys, and the server keeps none of them.
#[test]
fn endless_get() {
    let _turn = alone();
    let server = Server::start(&["-m", "64"]);
    server.assert_serves();
    let before = server.rss_bytes();
    for command in ["get ", "gets ", "gat 0 ", "gats 0 "] {
        let mut client = server.connect();
        client.send(command);
        let keys = "some:key:of:a:good:length ".repeat(40_000);
        let rounds = if command == "get " { 1000 } else { 8 };
        for _ in 0..rounds {
            client.send(&keys);
            assert_growth(&server, before, ONE_CLIENT_BYTES);
        }
        client.ask("\r\n", "END\r\n");
    }
    server.assert_serves();
    assert_growth(&server, before, ONE_CLIENT_BYTES);
}

/// Bad inputs, item 3, as one key without an end.
#[test]
fn endless_key() {
    let _turn = alone();
    let server = Server::start(&["-m", "64"]);
    server.assert_serves();
    let before = server.rss_bytes();
    let mut client = server.connect();
    client.send("get ");
    let part = vec![b'k'; 1 << 20];
    for _ in 0..64 {
        client.send(&part);
        assert_growth(&server, before, ONE_CLIENT_BYTES);
    }
    server.assert_serves();
}

/// Endless lines of every other kind are hung up on.
#[test]
fn endless_lines() {
    let _turn = together();
    let server = Server::start(&["-m", "64"]);
    server.assert_serves();
    let before = server.rss_bytes();
    for start in ["", "set ", "delete ", "stats ", "version ", "x", " ", "\r", "\0"] {
        let mut client = server.connect();
        client.send(start);
        client.send(vec![b'y'; 4 << 20]);
        client.expect_closed();
    }
    server.assert_serves();
    assert_growth(&server, before, ONE_CLIENT_BYTES);
}

/// Values that are refused are not kept while they arrive.
#[test]
fn too_large_values_are_not_kept() {
    let _turn = alone();
    let server = Server::start(&["-m", "64"]);
    server.assert_serves();
    let before = server.rss_bytes();
    let mut client = server.connect();
    client.send("set a 0 0 67108864\r\n");
    let part = vec![b'v'; 1 << 20];
    for _ in 0..64 {
        client.send(&part);
        assert_growth(&server, before, ONE_CLIENT_BYTES);
    }
    client.ask("\r\n", "SERVER_ERROR object too large for cache\r\n");
    server.assert_serves();
}

/// Bad inputs, item 10: the answer to 1 MB of keys, some 100 MB, is never read. It is not made,
/// and a neighbour on the same thread gets each answer within 50 ms.
#[test]
fn slow_reader_of_a_large_multiget() {
    let _turn = alone();
    let server = Server::start(&["-m", "64", "-t", "1"]);
    let mut quick = server.connect();
    quick.send("set big 0 0 1000\r\n");
    quick.send([b'b'; 1000]);
    quick.ask("\r\nset a 0 0 1\r\nx\r\n", "STORED\r\nSTORED\r\n");
    let before = server.rss_bytes();
    let mut slow: Vec<Client> = (0..4).map(|_| Client::tcp_narrow(server.port())).collect();
    let line = format!("get {}\r\n", "big ".repeat(250_000));
    let mut worst = Duration::ZERO;
    for round in 0..200 {
        if let Some(client) = slow.get_mut(round / 10) {
            client.send_some(line.as_bytes(), Duration::from_millis(20));
        }
        let start = moment();
        quick.ask("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
        worst = worst.max(start.elapsed());
    }
    say(&format!("beside slow readers the slowest get took {worst:?}"));
    assert!(worst < Duration::from_millis(50), "a neighbour waited {worst:?}");
    assert_growth(&server, before, 4 * ONE_CLIENT_BYTES);
    drop(slow);
    server.assert_serves();
}

/// Bad inputs, item 18: what a slow reader is being sent is replaced, deleted, flushed and evicted;
/// the reader gets every value whole, as it was when it was read or as it was later.
#[test]
fn values_change_under_a_slow_reader() {
    let _turn = alone();
    let server = Server::start(&["-m", "16", "-t", "1", "-I", "1m"]);
    let mut writer = server.connect();
    let store = |writer: &mut Client, key: &str, byte: u8| {
        writer.send(format!("set {key} 0 0 200000\r\n"));
        writer.send(vec![byte; 200_000]);
        writer.ask("\r\n", "STORED\r\n");
    };
    for (key, byte) in [("a", b'A'), ("b", b'B'), ("c", b'C'), ("d", b'D')] {
        store(&mut writer, key, byte);
    }
    let mut slow = Client::tcp_narrow(server.port());
    slow.send("get a b c d a b c d a b c d a b c d\r\n");
    slow.take(1000);
    store(&mut writer, "a", b'1');
    writer.ask("delete b\r\n", "DELETED\r\n");
    writer.ask("touch c -1\r\n", "TOUCHED\r\n");
    for number in 0..100 {
        store(&mut writer, &format!("fill{number}"), b'f');
    }
    writer.ask("flush_all\r\n", "OK\r\n");
    for number in 0..100 {
        store(&mut writer, &format!("fill{number}"), b'g');
    }
    check_values(&mut slow, b'A');
    server.assert_serves();
}

/// The rest of a multiget whose first 1,000 bytes have been taken: every value is of one byte only.
#[track_caller]
fn check_values(client: &mut Client, first: u8) {
    let header = "VALUE a 0 200000\r\n".len();
    let rest = client.take(200_000 - (1000 - header));
    assert!(rest.iter().all(|byte| *byte == first), "the first value is torn");
    client.expect("\r\n");
    loop {
        let line = client.line();
        if line == "END" {
            return;
        }
        let len: usize =
            line.rsplit(' ').next().and_then(|len| len.parse().ok()).expect("a length");
        let value = client.take(len);
        assert!(value.iter().all(|byte| *byte == value[0]), "torn value behind {line}");
        client.expect("\r\n");
    }
}

/// `-m 64`: sets of 8 B to 1 MB in any mix; memory stays within the bound and nothing is refused.
#[test]
fn mixed_sets_stay_within_the_memory() {
    let _turn = alone();
    let mut random = Random::new("mixed_sets_stay_within_the_memory");
    let server = Server::start(&["-m", "64", "-t", "2"]);
    let mut client = server.connect();
    let filler = vec![b'm'; MB as usize];
    let mut worst = 0;
    // Three mixes in turn, so that memory has to move from one size to others.
    for (mix, exponents) in [(0, 3..=10), (1, 8..=14), (2, 3..=20), (3, 3..=7)] {
        let mut left = 150 * MB;
        while left > 0 {
            let mut batch = Vec::new();
            let mut count = 0;
            while batch.len() < 200_000 {
                let exponent =
                    exponents.start() + random.below(exponents.end() - exponents.start() + 1);
                let len = ((1 << exponent) + random.below(1 << exponent)).min(MB - 200) as usize;
                let key = random.below(2_000_000);
                batch.extend(format!("set k{mix}:{key} 0 0 {len}\r\n").as_bytes());
                batch.extend(&filler[..len]);
                batch.extend(b"\r\n");
                count += 1;
            }
            client.ask(&batch, "STORED\r\n".repeat(count));
            left = left.saturating_sub(batch.len() as u64);
            worst = worst.max(server.rss_bytes());
        }
        say(&format!("mix {mix}: at most {} kB resident of {}", worst >> 10, RSS_MAX_OF_64 >> 10));
        assert!(worst <= RSS_MAX_OF_64, "resident {worst} B, allowed are {RSS_MAX_OF_64} B");
    }
    let items: u64 = client.stat("curr_items").and_then(|text| text.parse().ok()).expect("items");
    assert!(items > 100_000, "only {items} items in a full cache of small ones");
}

/// Stores `mib` MiB of values of 1,000 bytes under keys that begin with `name`.
fn fill(client: &mut Client, name: &str, mib: u64) {
    let value = "v".repeat(1000);
    for number in 0..mib * MB / 1000 {
        client.send(format!("set {name}{number} 0 0 1000 noreply\r\n{value}\r\n"));
    }
    client.ask("mn\r\n", "MN\r\n");
}

/// What `-m` allows costs nothing before it is used.
#[test]
fn a_large_limit_is_no_memory_yet() {
    let _turn = together();
    let server = Server::start(&["-m", "65536", "-t", "2"]);
    server.assert_serves();
    assert!(server.rss_bytes() < 24 * MB, "resident {} B", server.rss_bytes());
    server.connect().ask("cache_memlimit 8\r\n", "OK\r\n");
    server.assert_serves();
}

/// `cache_memlimit` down gives memory back to the system, and up takes more than there was.
#[test]
fn a_lower_limit_gives_memory_back() {
    let _turn = alone();
    let server = Server::start(&["-m", "128", "-t", "2"]);
    let mut client = server.connect();
    fill(&mut client, "a", 150);
    assert!(server.rss_bytes() > 120 * MB, "{} B of 128 MiB", server.rss_bytes());
    let items = |client: &mut Client| -> u64 {
        client.stat("curr_items").and_then(|text| text.parse().ok()).expect("a number")
    };
    let full = items(&mut client);

    client.ask("cache_memlimit 32\r\n", "OK\r\n");
    let start = moment();
    let rss = wait_for("memory to be given back", PATIENCE, || {
        Some(server.rss_bytes()).filter(|rss| *rss <= rss_max_of(32))
    });
    say(&format!("128 to 32 MiB: {} kB resident after {:?}", rss >> 10, start.elapsed()));
    let left = items(&mut client);
    assert!(left > full / 5, "{left} of {full} items are left in a quarter of the memory");
    server.assert_serves();
    fill(&mut client, "b", 40);
    assert!(server.rss_bytes() <= rss_max_of(32), "resident {} B", server.rss_bytes());

    client.ask("cache_memlimit 192\r\n", "OK\r\n");
    fill(&mut client, "c", 220);
    assert!(items(&mut client) > full * 4 / 3, "{} items, {full} before", items(&mut client));
    assert!(server.rss_bytes() > 180 * MB, "{} B of 192 MiB", server.rss_bytes());
    assert!(server.rss_bytes() <= rss_max_of(192), "resident {} B", server.rss_bytes());
    server.assert_serves();
}

/// Twenty clients upload large values at once into a full cache: all are stored.
#[test]
fn uploads_at_once_into_a_full_cache() {
    let _turn = alone();
    let server = Server::start(&["-m", "64"]);
    let mut control = server.connect();
    let small = "set s{} 0 0 500\r\n";
    for part in 0..160 {
        let batch: String = (0..1000)
            .map(|number| {
                small.replace("{}", &format!("{part}:{number}")) + &"v".repeat(500) + "\r\n"
            })
            .collect();
        control.ask(batch, "STORED\r\n".repeat(1000));
    }
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("set big{number} 0 0 900000\r\n"));
    }
    for _ in 0..9 {
        for client in &mut clients {
            client.send(vec![b'u'; 100_000]);
        }
    }
    assert!(server.rss_bytes() <= RSS_MAX_OF_64, "resident {} B", server.rss_bytes());
    let answers: Vec<String> = clients
        .iter_mut()
        .map(|client| {
            client.send("\r\n");
            client.line()
        })
        .collect();
    let refused = answers.iter().filter(|answer| *answer != "STORED").count();
    assert_eq!(refused, 0, "of {} uploads: {answers:?}", answers.len());
    server.assert_serves();
}

/// `-M`: when memory is full a set is refused, nothing is lost, and the value is swallowed.
#[test]
fn full_without_eviction() {
    let _turn = together();
    let server = Server::start(&["-m", "8", "-M"]);
    let mut client = server.connect();
    client.ask("set first 0 0 5\r\nfirst\r\n", "STORED\r\n");
    let value = "v".repeat(10_000);
    let mut stored = 0;
    loop {
        client.send(format!("set k{stored} 0 0 10000\r\n{value}\r\n"));
        match client.line().as_str() {
            "STORED" => stored += 1,
            "SERVER_ERROR out of memory storing object" => break,
            other => panic!("{other}"),
        }
        assert!(stored < 2000, "never full");
    }
    assert!(stored > 300, "full after {stored} items of 10 kB in 8 MB");
    client.ask("get first\r\n", "VALUE first 0 5\r\nfirst\r\nEND\r\n");
    client.ask(format!("get k{stored}\r\n"), "END\r\n");
    for number in 0..stored {
        client.ask(
            format!("get k{number}\r\n"),
            format!("VALUE k{number} 0 10000\r\n{value}\r\nEND\r\n"),
        );
    }
    assert_eq!(client.stat("evictions").as_deref(), Some("0"));
    client.ask("delete k0\r\n", "DELETED\r\n");
    client.ask(format!("set k0 0 0 10000\r\n{value}\r\n"), "STORED\r\n");
}

/// Half uploads and half lines of clients that go away leave nothing behind.
#[test]
fn half_uploads_leave_nothing() {
    let _turn = alone();
    let server = Server::start(&["-m", "64"]);
    let mut control = server.connect();
    let before = server.rss_bytes();
    for _ in 0..300 {
        let mut client = server.connect();
        client.send("set half 0 0 1000000\r\n");
        client.send(vec![b'h'; 500_000]);
    }
    control.await_stat("curr_connections", |count| count == 1);
    control.ask("get half\r\n", "END\r\n");
    assert_eq!(control.stat("curr_items").as_deref(), Some("0"));
    assert_growth(&server, before, RSS_MAX_OF_64);
    assert!(server.rss_bytes() < RSS_MAX_OF_64);
    // The memory is free again: a full cache's worth of large values can be stored at once.
    let start = moment();
    for number in 0..40 {
        control.send(format!("set k{number} 0 0 1000000\r\n"));
        control.send(vec![b'k'; 1_000_000]);
        control.ask("\r\n", "STORED\r\n");
    }
    assert!(start.elapsed() < PATIENCE);
}
