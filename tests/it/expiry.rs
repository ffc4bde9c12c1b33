//! Expired items give their memory back at their second, for any mix of TTLs, at a cost that follows
//! how many expire and not how many there are.
//!
//! Most of it on the store by itself, with a clock of the test's own: a minute takes as long as its work.
//! `NUTHATCH_EXPIRY_ITEMS` sets how many items there are, `NUTHATCH_PRESSURE=full` watches daemons for minutes.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use nuthatch::clock::{Expiry, Secs};
use nuthatch::store::{Meta, Store, Terms};

use crate::client::Client;
use crate::harness::{
    Launch, Program, Server, alone, moment, say, sized, store_of, thread_time, wait_for,
};
use crate::pressure::{is_full, name, programs};

/// The second in which everything is stored.
const START: u32 = 100;

/// Seconds that each mix is watched for.
const WATCHED: u32 = 60;

/// Items, of which the full size is 4 million.
fn items() -> u32 {
    sized("NUTHATCH_EXPIRY_ITEMS", 200_000) as u32
}

/// A mix of TTLs: the TTL of each item, 0 for none, by a number that is as good as random.
#[derive(Clone, Copy)]
struct Mix {
    what: &'static str,
    ttl: fn(u32) -> u32,
    /// One item in so many is touched each second, and gets a TTL of an hour.
    touched_part: Option<u32>,
    /// So many expire that the work is more than 1 % of a core when there are millions.
    is_steep: bool,
}

const SPREAD: Mix = Mix {
    what: "spread over 1 h",
    ttl: |random| 1 + random % 3600,
    touched_part: None,
    is_steep: false,
};

const MIXES: &[Mix] = &[
    SPREAD,
    Mix { what: "none expires", ttl: |_| 0, ..SPREAD },
    Mix { what: "half 5 s, half 1 h", ttl: half_at_once, is_steep: true, ..SPREAD },
    Mix { what: "10 s to 2 h", ttl: |random| 10 + random % 7190, ..SPREAD },
    Mix { what: "1 h, touched", touched_part: Some(100), ..SPREAD },
    Mix { what: "spread over 1 min", ttl: |random| 1 + random % 60, is_steep: true, ..SPREAD },
    Mix { what: "one in a hundred within 1 min", ttl: one_in_a_hundred, ..SPREAD },
    Mix { what: "all in one second", ttl: |_| 30, is_steep: true, ..SPREAD },
];

/// Items looked at for each that expires or gets another TTL: those of a region.
const LOOKED_AT_MAX: u64 = 16;

/// One per cent of a core.
const CPU_MAX_A_SECOND: Duration = Duration::from_millis(10);

fn half_at_once(random: u32) -> u32 {
    if random.is_multiple_of(2) { 5 } else { 3600 }
}

fn one_in_a_hundred(random: u32) -> u32 {
    if random.is_multiple_of(100) { 1 + random / 100 % 60 } else { 0 }
}

/// What the seconds of one mix have cost.
#[derive(Default)]
struct Cost {
    total: Duration,
    worst_second: Duration,
    worst_slice: Duration,
}

fn scramble(number: u32) -> u32 {
    let mixed = (number ^ number >> 16).wrapping_mul(0x7feb_352d);
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x846c_a68b);
    mixed ^ mixed >> 16
}

fn put(store: &Arc<Store>, number: u32, expiry: Expiry, now: Secs) {
    let key = format!("key:{number:012}");
    let meta = Meta { expiry, ..Meta::default() };
    store
        .store(&Terms::default(), &store.key(key.as_bytes()), meta, &[b'v'; 100], now)
        .expect("room");
}

/// Does the work of one second.
fn sweep(store: &Store, now: Secs, cost: &mut Cost) {
    let begin = thread_time();
    let mut last = begin;
    loop {
        let goes_on = store.maintain(now);
        let time = thread_time();
        cost.worst_slice = cost.worst_slice.max(time - last);
        last = time;
        if !goes_on {
            break;
        }
    }
    cost.total += last - begin;
    cost.worst_second = cost.worst_second.max(last - begin);
}

fn watch(mix: &Mix, count: u32) {
    let store = store_of(count as usize * 180 + (64 << 20));
    let expiry = |number: u32| match (mix.ttl)(scramble(number)) {
        0 => Expiry::NEVER,
        ttl => Expiry(START + ttl),
    };
    (0..count).for_each(|number| put(&store, number, expiry(number), Secs(START)));
    let mut expiries: Vec<u32> = (0..count).map(|number| expiry(number).0).collect();
    let (mut left, mut cost) = (count, Cost::default());
    sweep(&store, Secs(START), &mut Cost::default());
    let before = store.totals();
    assert_eq!((before.curr_items, before.evictions), (count.into(), 0), "all fit");
    let mut touched = 0;
    for second in START + 1..=START + WATCHED {
        sweep(&store, Secs(second), &mut cost);
        left -= expiries.iter().filter(|expiry| **expiry == second).count() as u32;
        assert_eq!(store.totals().curr_items, u64::from(left), "{}: second {second}", mix.what);
        let numbers = mix.touched_part.map_or(0..0, |part| 0..count / part);
        for number in numbers.map(|number| scramble(number ^ second << 20) % count) {
            touched += u64::from(touch(&store, number, Secs(second), &mut expiries));
        }
    }
    let after = store.totals();
    // Most by the sweep, some by the emptying of a page that they leave with little in it.
    let (freed, seen) = (after.reclaimed, after.crawler_items_checked);
    assert_eq!(freed, u64::from(count - left));
    let Cost { total, worst_second, worst_slice } = cost;
    say(&format!(
        "{count} items, {}: {:?} a second, worst {worst_second:?}, slice {worst_slice:?}; \
         {freed} freed, {touched} touched, {seen} looked at",
        mix.what,
        total / WATCHED,
    ));
    assert!(seen <= LOOKED_AT_MAX * (freed + touched), "{}: {seen} looked at", mix.what);
    let is_bound = !mix.is_steep || count <= 200_000;
    assert!(!is_bound || total / WATCHED < CPU_MAX_A_SECOND, "{}: {total:?}", mix.what);
}

/// Gives an item another hour, if it is still there.
fn touch(store: &Store, number: u32, now: Secs, expiries: &mut [u32]) -> bool {
    let key = format!("key:{number:012}");
    let expiry = Expiry(now.0 + 3600);
    let is_there = store.touch(&store.key(key.as_bytes()), expiry, now).is_ok();
    if is_there {
        expiries[number as usize] = expiry.0;
    }
    is_there
}

/// See the module.
#[test]
fn expired_items_are_gone_at_their_second() {
    let _turn = alone();
    MIXES.iter().for_each(|mix| watch(mix, items()));
}

/// Stores items of 16 and 100 bytes, each with the TTL that `ttl` gives for its number.
fn fill(client: &mut Client, numbers: std::ops::Range<u32>, ttl: impl Fn(u32) -> u32) {
    let value = "v".repeat(100);
    for from in numbers.clone().step_by(5_000) {
        let part = from..(from + 5_000).min(numbers.end);
        let lines: String = part
            .map(|number| {
                let ttl = ttl(scramble(number));
                format!("set key:{number:012} 0 {ttl} 100 noreply\r\n{value}\r\n")
            })
            .collect();
        client.send(lines);
    }
    client.ask("mn\r\n", "MN\r\n");
}

fn pause_until(end: Instant) {
    wait_for("a moment", Duration::from_secs(100), || (moment() >= end).then_some(()));
}

/// In the daemon: what expires at once is back within two seconds, and a minute of what expires bit by
/// bit costs less than 1 % of a core.
#[test]
fn a_daemon_gives_expired_memory_back() {
    let _turn = alone();
    let (count, ttl) = (items(), if is_full() { 5 } else { 2 });
    let memory = ((count as usize * 210) >> 20) + 64;
    for program in programs() {
        let server = Launch::of(program.clone(), &["-m", &memory.to_string(), "-t", "2"]).start();
        let mut client = server.connect();
        fill(&mut client, 0..count / 2, |_| 3600);
        let before = server.cpu_time();
        fill(&mut client, count / 2..count, |_| ttl);
        let filled = (moment(), server.cpu_time());
        let due = filled.0 + Duration::from_secs(ttl.into());
        pause_until(due);
        let left = u64::from(count / 2);
        let items = |client: &mut Client| client.stat("curr_items")?.parse::<u64>().ok();
        wait_for("expired items to go", Duration::from_secs(100), || {
            (items(&mut client)? <= left).then_some(())
        });
        let late = due.elapsed();
        if is_full() {
            pause_until(filled.0 + Duration::from_secs(60));
        }
        say(&format!(
            "{count} items, half {ttl} s, {}: back after {late:?}, {:?} of CPU since the fill, {:?} for it",
            name(&program),
            server.cpu_time() - filled.1,
            filled.1 - before
        ));
        assert!(!program.is_ours || late < Duration::from_secs(2), "{late:?}");
    }
    if is_full() {
        programs().iter().for_each(|program| watch_daemon(program, count, memory));
    }
}

/// A minute of a daemon that nobody asks anything, with TTLs spread over an hour.
fn watch_daemon(program: &Program, count: u32, memory: usize) {
    let server = Launch::of(program.clone(), &["-m", &memory.to_string(), "-t", "2"]).start();
    let mut client = server.connect();
    fill(&mut client, 0..count, SPREAD.ttl);
    let (begin, before) = (moment(), server.cpu_time());
    pause_until(begin + Duration::from_secs(60));
    let cpu = server.cpu_time() - before;
    say(&format!(
        "{count} items, {}, {}: {cpu:?} of CPU in a minute, {} kB resident, curr_items {:?}",
        SPREAD.what,
        name(program),
        server.rss_bytes() >> 10,
        client.stat("curr_items")
    ));
    assert!(!program.is_ours || cpu < 60 * CPU_MAX_A_SECOND, "{cpu:?}");
}

/// Beside clients that keep the thread busy, each with many requests at a time: a slice of the sweep a
/// turn would take many seconds.
#[test]
fn expired_memory_is_back_under_load() {
    let _turn = alone();
    let (count, ttl) = (items().min(500_000), 3);
    let memory = ((count as usize * 210) >> 20) + 64;
    let server = Server::start(&["-m", &memory.to_string(), "-t", "1", "-R", "6000"]);
    let mut client = server.connect();
    fill(&mut client, 0..count, |_| ttl);
    let due = moment() + Duration::from_secs(ttl.into());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| keep_busy(&server, &is_over));
        pause_until(due);
        wait_for("expired items to go", Duration::from_secs(100), || {
            (client.stat("curr_items")? == "0").then_some(())
        });
        is_over.store(true, Relaxed);
    });
    let late = due.elapsed();
    say(&format!("{count} items at once under load: back after {late:?}"));
    assert!(late < Duration::from_secs(2), "{late:?}");
}

/// Fifty clients, each with as many requests at a time as are served in one go, of which none is short.
fn keep_busy(server: &Server, is_over: &AtomicBool) {
    let mut clients: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    let requests = format!("get{}\r\n", " nothing".repeat(300)).repeat(20);
    let answers = "END\r\n".repeat(20);
    clients.iter_mut().for_each(|client| client.send(&requests));
    while !is_over.load(Relaxed) {
        for client in &mut clients {
            client.expect(&answers);
            client.send(&requests);
        }
    }
}
