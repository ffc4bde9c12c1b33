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

/// Items that are there from the beginning of a dump to its end.
const STAYING: usize = 1_000_000;

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
    let server = Server::start(&["-m", "512", "-t", "2"]);
    let mut client = server.connect();
    fill(&mut client, "stay", STAYING);
    fill(&mut client, "go", STAYING);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| churn(&server, STAYING, &is_over));
        let (mut bytes, mut worst) = (0, Duration::ZERO);
        let mut quick = server.connect();
        for (what, end) in [("mgdump", "EN"), ("metadump", "END")] {
            let start = moment();
            let mut seen = vec![0_u8; STAYING];
            client.ask(format!("lru_crawler {what} all\r\n"), "OK\r\n");
            let mut lines = 0;
            lines_until(&mut client, end, |line| {
                lines += 1;
                bytes += line.len() + 1;
                let key = line.split([' ', '=']).nth(1).unwrap_or_default();
                if let Some(number) = key.strip_prefix("stay") {
                    seen[number.parse::<usize>().expect("a number")] += 1;
                }
                if lines % 20_000 == 0 {
                    let start = moment();
                    quick.ask("get stay1\r\n", "VALUE stay1 0 1\r\nx\r\nEND\r\n");
                    worst = worst.max(start.elapsed());
                }
            });
            let wrong = seen.iter().filter(|times| **times != 1).count();
            assert_eq!(wrong, 0, "{what}: items not listed once");
            say(&format!("{what} of {lines} items took {:?}", start.elapsed()));
        }
        is_over.store(true, Relaxed);
        say(&format!("{bytes} B of dumps; the slowest get beside them took {worst:?}"));
    });
    server.assert_serves();
}

/// A client that asks for a dump and does not read it costs its cursor and a bounded output; the
/// others are served meanwhile, and it gets the rest once it reads on.
#[test]
fn a_dump_that_is_not_read_costs_nothing() {
    let _turn = alone();
    let server = Server::start(&["-m", "256", "-t", "1"]);
    let mut quick = server.connect();
    fill(&mut quick, "stay", STAYING);
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
    assert_eq!(lines, STAYING);
    first.assert_in_step(OUR_VERSION);
    let growth = server.rss_bytes().saturating_sub(before);
    assert!(growth < 3 * MB, "{growth} B");
}

/// How long one slice of a dump keeps a shard locked, lines included.
#[test]
fn a_slice_of_a_walk_is_short() {
    let _turn = alone();
    let options = Options {
        memory_bytes: 256 << 20,
        item_size_max: 1 << 20,
        growth_factor: 1.08,
        chunk_space_min: 12,
        evictions: true,
        cas: true,
        large_pages: false,
        crawler: true,
        automove: true,
        track_sizes: false,
        threads: 2,
    };
    let store = Store::new(&options).expect("memory");
    let now = Clock::start().now().secs;
    for number in 0..STAYING {
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
    assert_eq!(count, STAYING);
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    say(&format!("{} slices of a walk: median {median:?}, longest {longest:?}", times.len()));
    assert!(median < Duration::from_micros(500), "{median:?}");
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
