//! Lists of all items: complete, beside all other work, and at the pace of whoever reads them.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use nuthatch::clock::Clock;
use nuthatch::protocol::dump::{Metadata, metadump_line};
use nuthatch::store::{Meta, Options, Store, Terms, Walk};

use crate::client::{Client, Received};
use crate::harness::{OUR_VERSION, PATIENCE, Server, alone, moment, say, together, wait_for};

const MB: u64 = 1 << 20;

/// Items that are there from the beginning of a dump to its end: a million, or as many as
/// `NUTHATCH_DUMP_ITEMS` says.
fn staying() -> usize {
    match std::env::var("NUTHATCH_DUMP_ITEMS") {
        Ok(text) => text.parse().expect("a number of items"),
        Err(_) => 1_000_000,
    }
}

/// `-m` with room for `count` small items.
fn memory_for(count: usize) -> String {
    (count.div_ceil(4_000).max(64)).to_string()
}

/// The longest of the shortest `per_mille` of `times`, which are sorted.
fn quantile(times: &[Duration], per_mille: usize) -> Duration {
    times[(times.len() * per_mille / 1000).min(times.len() - 1)]
}

/// Sorts times and says how they are spread.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let [median, p99, p999] = [500, 990, 999].map(|per_mille| quantile(times, per_mille));
    let longest = times[times.len() - 1];
    format!("median {median:?}, p99 {p99:?}, p99.9 {p999:?}, longest {longest:?}")
}

/// Stores `count` items, many at a time.
fn fill(client: &mut Client, name: &str, count: usize) {
    for from in (0..count).step_by(10_000) {
        let mut lines = String::new();
        for number in from..(from + 10_000).min(count) {
            lines.push_str(&format!("set {name}{number} 0 0 1 noreply\r\nx\r\n"));
        }
        client.send(lines);
    }
    client.send("version\r\n");
    client.line();
}

/// Takes what comes up to `end` on a line of its own, in lines that end in LF or CR LF.
#[track_caller]
fn lines_until(client: &mut Client, end: &str, mut each: impl FnMut(&str)) {
    loop {
        let lines = client.pending().iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let taken = client.take(lines);
        let mut is_over = false;
        for line in std::str::from_utf8(&taken).expect("text").lines() {
            assert!(!is_over, "{line} behind the end");
            is_over = line == end;
            if !is_over {
                each(line);
            }
        }
        if is_over {
            return;
        }
        assert_eq!(client.receive(PATIENCE), Received::Some);
    }
}

/// Deletes and stores other items until it is told to stop: the index shrinks and grows.
fn churn(server: &Server, count: usize, is_over: &AtomicBool) {
    let mut client = server.connect();
    let mut round = 0;
    while !is_over.load(Relaxed) {
        for from in (0..count).step_by(5_000) {
            let mut lines = String::new();
            for number in from..from + 5_000 {
                lines.push_str(&match round % 2 {
                    0 => format!("delete go{number} noreply\r\n"),
                    _ => format!("set go{number} 0 0 1 noreply\r\nx\r\n"),
                });
            }
            lines.push_str("version\r\n");
            client.send(lines);
            client.line();
            if is_over.load(Relaxed) {
                return;
            }
        }
        round += 1;
    }
}

/// A million items that stay are listed once each, while as many others come and go.
#[test]
fn every_item_that_stays_is_listed_once() {
    let _turn = alone();
    let staying = staying();
    let server = Server::start(&["-m", &memory_for(2 * staying), "-t", "2"]);
    let mut client = server.connect();
    fill(&mut client, "stay", staying);
    fill(&mut client, "go", staying);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| churn(&server, staying, &is_over));
        let mut bytes = 0;
        for (what, end) in [("mgdump", "EN"), ("metadump", "END")] {
            let start = moment();
            let mut seen = vec![0_u8; staying];
            client.ask(format!("lru_crawler {what} all\r\n"), "OK\r\n");
            let mut lines = 0;
            lines_until(&mut client, end, |line| {
                lines += 1;
                bytes += line.len() + 1;
                let key = line.split([' ', '=']).nth(1).unwrap_or_default();
                if let Some(number) = key.strip_prefix("stay") {
                    seen[number.parse::<usize>().expect("a number")] += 1;
                }
            });
            let wrong = seen.iter().filter(|times| **times != 1).count();
            assert_eq!(wrong, 0, "{what}: items not listed once");
            say(&format!("{what} of {lines} items took {:?}", start.elapsed()));
        }
        is_over.store(true, Relaxed);
        say(&format!("{bytes} B of dumps"));
    });
    server.assert_serves();
}

/// Gets one after the other until `is_over`; how long each took.
fn gets(server: &Server, mut is_over: impl FnMut(usize) -> bool) -> Vec<Duration> {
    let mut client = server.connect();
    let mut times = Vec::new();
    while !is_over(times.len()) {
        let start = moment();
        client.ask("get stay1\r\n", "VALUE stay1 0 1\r\nx\r\nEND\r\n");
        times.push(start.elapsed());
    }
    times
}

/// Reads a whole list of `count` items beside a neighbour: how long each of its gets took, and by
/// how much the server's resident memory grew.
fn beside_a_dump(server: &Server, what: &str, end: &str, count: usize) -> (Vec<Duration>, u64) {
    let mut client = server.connect();
    let (before, is_over) = (server.rss_bytes(), AtomicBool::new(false));
    thread::scope(|scope| {
        let neighbour = scope.spawn(|| gets(server, |_| is_over.load(Relaxed)));
        client.ask(format!("lru_crawler {what} all\r\n"), "OK\r\n");
        let (mut lines, mut growth) = (0, 0);
        lines_until(&mut client, end, |_| {
            lines += 1;
            if lines % 100_000 == 0 {
                growth = growth.max(server.rss_bytes().saturating_sub(before));
            }
        });
        is_over.store(true, Relaxed);
        assert_eq!(lines, count, "{what}");
        (neighbour.join().expect("a neighbour that is served"), growth)
    })
}

/// A client of the same thread waits for less than a millisecond, and a dump holds no memory: both
/// however many items there are.
#[test]
fn a_neighbour_of_a_dump_is_served() {
    let _turn = alone();
    let staying = staying();
    let server = Server::start(&["-m", &memory_for(staying), "-t", "1"]);
    fill(&mut server.connect(), "stay", staying);
    let mut quiet = gets(&server, |count| count == 20_000);
    say(&format!("gets: {}", spread(&mut quiet)));
    let (mut p90s, mut quietest) = (Vec::new(), Duration::MAX);
    for (what, end) in [("metadump", "END"), ("mgdump", "EN")].repeat(3) {
        let (mut times, growth) = beside_a_dump(&server, what, end, staying);
        // By parts of the dump, before all of it is sorted.
        for part in times.chunks_exact_mut(250) {
            part.sort_unstable();
            quietest = quietest.min(quantile(part, 990));
        }
        let many = times.len();
        say(&format!("{many} gets beside a {what}: {}; RSS + {growth} B", spread(&mut times)));
        assert!(growth < MB, "{growth} B");
        p90s.push(quantile(&times, 900));
    }
    // What else the machine does adds milliseconds to one get in a hundred, most of the time; a dump
    // that holds others up does so all the time, and to many.
    p90s.sort_unstable();
    let bound = Duration::from_millis(1);
    assert!(p90s[3] < bound, "p90 of the dumps: {p90s:?}");
    assert!(quietest < bound, "p99 while the machine had nothing else to do: {quietest:?}");
}

/// A client that asks for a dump and does not read it costs its cursor and a bounded output; the
/// others are served meanwhile, and it gets the rest once it reads on.
#[test]
fn a_dump_that_is_not_read_costs_nothing() {
    let _turn = alone();
    let staying = staying();
    let server = Server::start(&["-m", &memory_for(staying), "-t", "1"]);
    let mut quick = server.connect();
    fill(&mut quick, "stay", staying);
    let before = server.rss_bytes();
    let mut slow: Vec<Client> = (0..8).map(|_| Client::tcp_narrow(server.port())).collect();
    for client in &mut slow {
        client.send("lru_crawler metadump all\r\n");
    }
    quick.await_stat("bytes_written", |bytes| bytes > 8 * 64 * 1024);
    let written = || server.connect().stat("bytes_written").and_then(|bytes| bytes.parse().ok());
    let mut last: u64 = 0;
    wait_for("the dumps to stall", PATIENCE, || {
        thread::yield_now();
        let now: u64 = written()?;
        let has_stalled = now - last < 10_000;
        last = now;
        has_stalled.then_some(())
    });
    let growth = server.rss_bytes().saturating_sub(before);
    say(&format!("8 dumps that nobody reads: resident memory grew by {growth} B"));
    assert!(growth < 3 * MB, "{growth} B");
    quick.ask("get stay5\r\n", "VALUE stay5 0 1\r\nx\r\nEND\r\n");
    let mut first = slow.swap_remove(0);
    drop(slow);
    first.expect("OK\r\n");
    let mut lines = 0;
    lines_until(&mut first, "END", |_| lines += 1);
    assert_eq!(lines, staying);
    first.assert_in_step(OUR_VERSION);
    let growth = server.rss_bytes().saturating_sub(before);
    assert!(growth < 3 * MB, "{growth} B");
}

/// How long one slice of a dump keeps a shard locked, lines included.
#[test]
fn a_slice_of_a_walk_is_short() {
    let _turn = alone();
    let staying = staying();
    let options = Options {
        memory_bytes: staying.max(1_000_000) * 256,
        item_size_max: 1 << 20,
        growth_factor: 1.04,
        chunk_space_min: 12,
        evictions: true,
        cas: true,
        large_pages: false,
        crawler: true,
        automove: true,
        temporary_ttl: None,
        track_sizes: false,
        threads: 2,
    };
    let store = Store::new(&options).expect("memory");
    let now = Clock::start().now().secs;
    for number in 0..staying {
        let key = format!("a-key-of-a-usual-length:{number}");
        let meta = Meta::default();
        store
            .store(&Terms::default(), &store.key(key.as_bytes()), meta, b"value", now)
            .expect("room");
    }
    let (mut walk, mut lines, mut times) = (Walk::default(), Vec::new(), Vec::new());
    let mut count = 0;
    loop {
        lines.clear();
        let start = moment();
        let goes_on = store.walk(&mut walk, now, |item| {
            count += 1;
            let metadata = Metadata {
                expires_at: None,
                accessed_at: item.access().0.into(),
                cas: item.cas(),
                is_fetched: item.is_fetched(),
                class: item.class(),
                size_bytes: item.size_bytes(),
                flags: item.flags(),
            };
            metadump_line(&mut lines, item.key(), &metadata);
        });
        times.push(start.elapsed());
        if !goes_on {
            break;
        }
    }
    assert_eq!(count, staying);
    say(&format!("{} slices of a walk: {}", times.len(), spread(&mut times)));
    let (median, p99) = (quantile(&times, 500), quantile(&times, 990));
    assert!(median < Duration::from_micros(100), "{median:?}");
    assert!(p99 < Duration::from_micros(500), "{p99:?}");
}

/// stats cachedump: a class at a time, as memcdump asks for all 256 of them in a row.
#[test]
fn cachedump_of_every_class() {
    let _turn = together();
    let server = Server::start(&["-m", "64"]);
    let mut client = server.connect();
    for number in 0..300 {
        let value = "v".repeat(number * 17);
        client.ask(format!("set k{number} 0 0 {}\r\n{value}\r\n", value.len()), "STORED\r\n");
    }
    let mut keys = Vec::new();
    for class in 0..256 {
        client.send(format!("stats cachedump {class} 0\r\n"));
        let lines = client.lines_until_any(&["END", "CLIENT_ERROR Illegal slab id"]);
        for line in lines.iter().filter(|line| line.starts_with("ITEM ")) {
            let (key, rest) = line[5..].split_once(' ').expect("a key");
            let number: usize = key[1..].parse().expect("a number");
            assert_eq!(rest, format!("[{} b; 0 s]", number * 17));
            keys.push(number);
        }
    }
    keys.sort_unstable();
    assert!(keys.into_iter().eq(0..300));
}
