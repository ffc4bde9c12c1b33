//! Clients that ask for what the server tells of itself: statistics, dumps, what is watched.
#![forbid(unsafe_code)]

use std::rc::Rc;

use super::{Pattern, again, nothing};
use crate::crowd::Habit;
use crate::random::Random;
use crate::running::Running;
use crate::socket::Window;
use crate::tally::Tally;
use crate::target::{Needs, Target};

/// Reports of every kind.
pub const ALL: &[Pattern] = &[
    Pattern {
        name: "detail-prefixes",
        about: "stats detail on, and a prefix of its own for each key",
        needs: Needs::Plain,
        run: detail_prefixes,
    },
    Pattern {
        name: "metadump-unread",
        about: "20 clients that ask for a dump of all keys and do not read it",
        needs: Needs::Plain,
        run: metadump_unread,
    },
    Pattern {
        name: "metadump-loop",
        about: "dumps of all keys without an end",
        needs: Needs::Plain,
        run: metadump_loop,
    },
    Pattern {
        name: "stats-loop",
        about: "stats of every kind without an end, read",
        needs: Needs::Plain,
        run: stats_loop,
    },
    Pattern {
        name: "stats-unread",
        about: "stats of every kind without an end, unread",
        needs: Needs::Plain,
        run: stats_unread,
    },
    Pattern {
        name: "stats-junk",
        about: "stats with any argument of any length",
        needs: Needs::Plain,
        run: stats_junk,
    },
    Pattern {
        name: "watch-unread",
        about: "500 clients that watch everything and read nothing, beside 2 that make it happen",
        needs: Needs::Plain,
        run: watch_unread,
    },
    Pattern {
        name: "flush-loop",
        about: "flush_all, lru_crawler crawl and slabs reassign without an end",
        needs: Needs::Plain,
        run: flush_loop,
    },
];

fn detail_prefixes(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut number = 0_u64;
    let mut next = |_: &mut Random| {
        let mut batch = String::new();
        for _ in 0..1000 {
            number += 1;
            let long = "p".repeat(100);
            batch += &format!("get {long}{number}:k\r\nset {long}{number}s:k 0 0 1\r\nx\r\n");
        }
        Rc::from(batch.into_bytes())
    };
    Habit::new(target.plain, 2, &b"stats detail on\r\n"[..], &mut next).run(running, seed)
}

fn metadump_unread(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = again(&b"lru_crawler metadump all\r\n"[..]);
    let habit = Habit::new(target.plain, 20, [], &mut next);
    Habit { window: Window::Narrow, read_bytes: 0, ..habit }.run(running, seed)
}

fn metadump_loop(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = again(&b"lru_crawler metadump all\r\nlru_crawler mgdump all\r\n"[..]);
    let habit = Habit::new(target.plain, 4, [], &mut next);
    Habit { read_bytes: 1 << 20, ..habit }.run(running, seed)
}

fn stats_loop(target: &Target, running: &Running, seed: u64) -> Tally {
    Habit::new(target.plain, 20, [], &mut any_stats).run(running, seed)
}

fn stats_unread(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = any_stats;
    let habit = Habit::new(target.plain, 100, [], &mut next);
    Habit { window: Window::Narrow, read_bytes: 0, ..habit }.run(running, seed)
}

fn any_stats(random: &mut Random) -> Rc<[u8]> {
    let kinds = [
        "",
        " conns",
        " sizes",
        " items",
        " slabs",
        " settings",
        " detail dump",
        " reset",
        " cachedump 1 0",
        " threads",
        " extstore",
        " sizes_enable",
        " sizes_disable",
    ];
    let mut batch = String::new();
    for _ in 0..20 {
        batch += &format!("stats{}\r\n", kinds[random.below(kinds.len() as u32) as usize]);
    }
    Rc::from(batch.into_bytes())
}

fn stats_junk(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = |random: &mut Random| {
        let mut batch = b"stats ".to_vec();
        let len = random.below(1 << 16) >> random.below(16);
        batch.extend((0..len).map(|_| random.below(256) as u8));
        batch.extend(b"\r\n");
        Rc::from(batch)
    };
    Habit::new(target.plain, 20, [], &mut next).run(running, seed)
}

fn watch_unread(target: &Target, running: &Running, seed: u64) -> Tally {
    std::thread::scope(|scope| {
        let watchers = scope.spawn(|| {
            let all = "watch fetchers mutations evictions connevents proxyreqs proxyevents \
                       proxyuser deletions\r\n";
            let peers = target.connections_max.min(500);
            let mut still = nothing;
            let habit = Habit::new(target.plain, peers, all.as_bytes(), &mut still);
            Habit { window: Window::Narrow, read_bytes: 0, ..habit }.run(running, seed)
        });
        let mut next = |random: &mut Random| {
            let number = random.below(100_000);
            let line = format!("set siege:w{number} 0 0 3\r\nabc\r\nget siege:w{}\r\n", number / 2);
            Rc::from(line.repeat(50).into_bytes())
        };
        let mut tally = Habit::new(target.plain, 2, [], &mut next).run(running, seed);
        tally += watchers.join().unwrap_or_default();
        tally
    })
}

fn flush_loop(target: &Target, running: &Running, seed: u64) -> Tally {
    let lines = [
        "flush_all\r\n",
        "flush_all 1\r\n",
        "flush_all -1\r\n",
        "flush_all 99999999999\r\n",
        "lru_crawler crawl all\r\n",
        "slabs reassign -1 999\r\n",
        "slabs reassign -1 1\r\n",
        "slabs automove 99999\r\n",
        "slabs automove 1\r\n",
        "verbosity 4294967295\r\n",
        "lru mode\r\n",
        "verbosity 0\r\n",
        "stats reset\r\n",
        "lru_crawler enable\r\n",
    ];
    let mut next = |random: &mut Random| {
        let some = (0..100).map(|_| lines[random.below(lines.len() as u32) as usize]);
        Rc::from(some.collect::<String>().into_bytes())
    };
    Habit::new(target.plain, 4, [], &mut next).run(running, seed)
}
