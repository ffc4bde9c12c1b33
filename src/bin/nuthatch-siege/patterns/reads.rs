//! Clients that ask for much and do not read it, or read it slowly.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::time::Duration;

use super::{Pattern, again, nothing, store};
use crate::crowd::Habit;
use crate::random::Random;
use crate::running::Running;
use crate::socket::Window;
use crate::tally::Tally;
use crate::target::{Needs, Target};

/// Gets of every kind.
pub const ALL: &[Pattern] = &[
    Pattern {
        name: "endless-get",
        about: "one get line that never ends, of keys that are there, its answer not read",
        needs: Needs::Plain,
        run: endless_get,
    },
    Pattern {
        name: "endless-key",
        about: "one get line of one key that never ends",
        needs: Needs::Plain,
        run: endless_key,
    },
    Pattern {
        name: "multiget-unread",
        about: "4 clients with a get of 1 MB of keys each, whose answers are not read",
        needs: Needs::Plain,
        run: multiget_unread,
    },
    Pattern {
        name: "multiget-million",
        about: "gets of a million keys, the same one, read as fast as it goes",
        needs: Needs::Plain,
        run: multiget_million,
    },
    Pattern {
        name: "multiget-misses",
        about: "gets of a million keys that are not there",
        needs: Needs::Plain,
        run: multiget_misses,
    },
    Pattern {
        name: "slow-readers",
        about: "1,000 clients that read values of 1 MB a byte at a time",
        needs: Needs::Plain,
        run: slow_readers,
    },
    Pattern {
        name: "slow-readers-changing",
        about: "300 such clients, while the values are replaced, deleted, flushed and evicted",
        needs: Needs::Plain,
        run: slow_readers_changing,
    },
    Pattern {
        name: "pipeline-unread",
        about: "50 clients that send gets without an end and read nothing",
        needs: Needs::Plain,
        run: pipeline_unread,
    },
];

fn endless_get(target: &Target, running: &Running, seed: u64) -> Tally {
    store(target, "key", 1, 1000);
    let keys = "siege:key0 ".repeat(10_000).into_bytes();
    let (mut next, first) = (again(keys), &b"get "[..]);
    let habit = Habit::new(target.plain, 1, first, &mut next);
    Habit { window: Window::Narrow, read_bytes: 0, ..habit }.run(running, seed)
}

fn endless_key(target: &Target, running: &Running, seed: u64) -> Tally {
    let (mut next, first) = (again(vec![b'k'; 100_000]), &b"get "[..]);
    Habit::new(target.plain, 1, first, &mut next).run(running, seed)
}

fn multiget_unread(target: &Target, running: &Running, seed: u64) -> Tally {
    store(target, "key", 1, 1000);
    let line = format!("get {}\r\n", "siege:key0 ".repeat((1 << 20) / 11));
    let mut still = nothing;
    let habit = Habit::new(target.plain, 4, line.into_bytes(), &mut still);
    Habit { window: Window::Narrow, read_bytes: 0, ..habit }.run(running, seed)
}

fn multiget_million(target: &Target, running: &Running, seed: u64) -> Tally {
    store(target, "key", 1, 10);
    let mut next = again(format!("get {}\r\n", "siege:key0 ".repeat(1_000_000)).into_bytes());
    let habit = Habit::new(target.plain, 4, [], &mut next);
    Habit { read_bytes: 4 << 20, ..habit }.run(running, seed)
}

fn multiget_misses(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = again(format!("get {}\r\n", "siege:none ".repeat(1_000_000)).into_bytes());
    Habit::new(target.plain, 4, [], &mut next).run(running, seed)
}

/// Each asks for four values, so that there is always something to wait for.
fn slow_readers(target: &Target, running: &Running, seed: u64) -> Tally {
    store(target, "big", 8, 1_000_000);
    let line = "get siege:big0 siege:big1 siege:big2 siege:big3\r\n".repeat(2);
    let peers = target.connections_max.min(1000);
    let mut still = nothing;
    let habit = Habit::new(target.plain, peers, line.into_bytes(), &mut still);
    let pause = Duration::from_millis(10);
    Habit { window: Window::Narrow, read_bytes: 1, pause, ..habit }.run(running, seed)
}

fn slow_readers_changing(target: &Target, running: &Running, seed: u64) -> Tally {
    store(target, "big", 8, 1_000_000);
    let value = "c".repeat(900_000);
    let changes: Vec<Vec<u8>> = (0..8)
        .map(|number| match number % 4 {
            0 => format!("set siege:big{number} 0 0 900000\r\n{value}\r\n"),
            1 => format!("delete siege:big{number}\r\ntouch siege:big0 1\r\n"),
            2 => format!("append siege:big{number} 0 0 1000\r\n{}\r\n", "a".repeat(1000)),
            _ => format!("set siege:more{number} 0 2 900000\r\n{value}\r\n"),
        })
        .map(String::into_bytes)
        .collect();
    let read = |running: &Running| {
        let line = "get siege:big0 siege:big1 siege:big2 siege:big3 siege:big4\r\n";
        let mut next = again(line.as_bytes());
        let habit = Habit::new(target.plain, 300, [], &mut next);
        let pause = Duration::from_millis(5);
        Habit { window: Window::Narrow, read_bytes: 50, pause, ..habit }.run(running, seed)
    };
    std::thread::scope(|scope| {
        let readers = scope.spawn(|| read(running));
        let changes: Vec<Rc<[u8]>> = changes.into_iter().map(Rc::from).collect();
        let mut next = |random: &mut Random| Rc::clone(&changes[random.below(8) as usize]);
        let mut tally = Habit::new(target.plain, 2, [], &mut next).run(running, seed);
        tally += readers.join().unwrap_or_default();
        tally
    })
}

fn pipeline_unread(target: &Target, running: &Running, seed: u64) -> Tally {
    store(target, "key", 1, 10_000);
    let mut next = again("get siege:key0\r\n".repeat(1000).into_bytes());
    let habit = Habit::new(target.plain, 50, [], &mut next);
    Habit { window: Window::Narrow, read_bytes: 0, ..habit }.run(running, seed)
}
