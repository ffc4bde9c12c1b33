//! The daemon when memory is short: large uploads into a cache full of small items, and loads that turn
//! to other sizes. `NUTHATCH_PRESSURE=full` runs them at full size, and beside memcached.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::time::Duration;

use crate::client::Client;
use crate::harness::{Launch, Program, Random, Server, alone, moment, say};

/// Whether the run is to be at full size, and beside memcached.
pub fn is_full() -> bool {
    std::env::var("NUTHATCH_PRESSURE").is_ok_and(|value| value == "full")
}

/// The daemon under test, and in a run at full size the memcached beside it.
pub fn programs() -> Vec<Program> {
    let peer = if is_full() { Program::oracle() } else { None };
    std::iter::once(Program::target()).chain(peer).collect()
}

/// What a program is called in what is printed.
pub fn name(program: &Program) -> &'static str {
    if program.is_ours { "ours" } else { "memcached" }
}

/// Stores values of `len` bytes until items have been evicted.
fn fill(client: &mut Client, len: usize) {
    let value = "f".repeat(len);
    let batch = (200_000 / (len + 30)).max(1);
    for from in (0..).step_by(batch) {
        let lines: String = (from..from + batch)
            .map(|number| format!("set fill:{number:09} 0 0 {len}\r\n{value}\r\n"))
            .collect();
        client.send(lines);
        for _ in 0..batch {
            client.line();
        }
        if from / batch % 20 == 19 && client.stat("evictions").is_some_and(|count| count != "0") {
            return;
        }
    }
}

/// Uploads at once: `rounds` times by so many clients.
struct Uploads {
    what: &'static str,
    args: &'static [&'static str],
    clients: usize,
    len: usize,
    is_one_key: bool,
    /// Every second client stops half way until the others are done.
    half_stall: bool,
    /// Together they are more than uploads may hold, so that some have to be refused.
    is_too_much: bool,
}

const UPLOADS: Uploads = Uploads {
    what: "20 of 900 kB",
    args: &["-m", "64", "-t", "2"],
    clients: 20,
    len: 900_000,
    is_one_key: false,
    half_stall: false,
    is_too_much: false,
};

const OF_8_MB: Uploads =
    Uploads { args: &["-m", "64", "-t", "2", "-I", "8m"], clients: 3, len: 8_000_000, ..UPLOADS };

const ALL_UPLOADS: &[Uploads] = &[
    UPLOADS,
    Uploads { what: "20 of 900 kB, one key", is_one_key: true, ..UPLOADS },
    Uploads { what: "20 of 900 kB, half stall", half_stall: true, ..UPLOADS },
    Uploads {
        what: "20 of 900 kB, one key, half stall",
        is_one_key: true,
        half_stall: true,
        ..UPLOADS
    },
    Uploads { what: "20 of 900 kB, -I 8m", clients: 20, len: 900_000, ..OF_8_MB },
    Uploads { what: "3 of 8 MB", ..OF_8_MB },
    Uploads { what: "3 of 8 MB, one key", is_one_key: true, ..OF_8_MB },
    Uploads { what: "3 of 8 MB, half stall", half_stall: true, ..OF_8_MB },
    Uploads { what: "20 of 8 MB", clients: 20, is_too_much: true, ..OF_8_MB },
];

impl Uploads {
    /// How many were refused, and the most memory that was resident.
    fn run(&self, program: &Program, rounds: usize) -> (usize, u64) {
        let server = Launch::of(program.clone(), self.args).start();
        fill(&mut server.connect(), 116);
        let mut clients: Vec<Client> = (0..self.clients).map(|_| server.connect()).collect();
        let (mut refused, mut rss) = (0, 0);
        for round in 0..rounds {
            for (number, client) in clients.iter_mut().enumerate() {
                let key = if self.is_one_key { 0 } else { number };
                client.send(format!("set big:{round}:{key} 0 0 {}\r\n", self.len));
            }
            let mut all: Vec<(usize, &mut Client)> = clients.iter_mut().enumerate().collect();
            let (mut stalled, mut others): (Vec<_>, Vec<_>) =
                all.drain(..).partition(|(number, _)| self.half_stall && number % 2 == 1);
            self.send(&mut stalled, 0, self.len / 2);
            self.send(&mut others, 0, self.len);
            rss = rss.max(server.rss_bytes());
            refused += end(&mut others);
            self.send(&mut stalled, self.len / 2, self.len);
            rss = rss.max(server.rss_bytes());
            refused += end(&mut stalled);
        }
        server.assert_serves();
        (refused, rss)
    }

    /// Sends a part of the values, a little from each client in turn.
    fn send(&self, clients: &mut [(usize, &mut Client)], from: usize, to: usize) {
        const PART: usize = 100_000;
        for at in (from..to).step_by(PART) {
            for (_, client) in clients.iter_mut() {
                client.send(vec![b'u'; PART.min(to - at)]);
            }
        }
    }
}

/// Ends the uploads of these clients; how many of them were refused.
fn end(clients: &mut [(usize, &mut Client)]) -> usize {
    clients.iter_mut().for_each(|(_, client)| client.send("\r\n"));
    clients.iter_mut().filter_map(|(_, client)| (client.line() != "STORED").then_some(())).count()
}

/// A set is refused only when nothing can go: not while small items can.
#[test]
fn uploads_at_once_are_all_stored() {
    let _turn = alone();
    let rounds = if is_full() { 20 } else { 2 };
    for uploads in ALL_UPLOADS {
        for program in programs() {
            let (refused, rss) = uploads.run(&program, rounds);
            let all = uploads.clients * rounds;
            say(&format!(
                "{}, {}: {refused} of {all} refused, {} kB resident",
                uploads.what,
                name(&program),
                rss >> 10
            ));
            let is_bound = program.is_ours && !uploads.is_too_much;
            assert!(!is_bound || refused == 0, "{}: {refused} refused", uploads.what);
        }
    }
}

/// A cache full of values of one size, and a load of others that would fit.
struct Turn {
    from: usize,
    to: usize,
    keys: u64,
    is_zipf: bool,
    /// When it has its hits back.
    within: Duration,
}

const TO_8_KB: Turn =
    Turn { from: 100, to: 8_000, keys: 4_000, is_zipf: false, within: Duration::from_secs(5) };

const FROM_8_KB: Turn = Turn { from: 8_000, to: 100, keys: 200_000, ..TO_8_KB };

const TURNS: &[Turn] = &[
    TO_8_KB,
    Turn { is_zipf: true, ..TO_8_KB },
    FROM_8_KB,
    // A page moves for each page's worth of evictions, of which a load that hits most of the time has few.
    Turn { is_zipf: true, within: Duration::from_secs(10), ..FROM_8_KB },
    Turn { to: 1_000, keys: 30_000, ..TO_8_KB },
    Turn { to: 1_000, keys: 30_000, is_zipf: true, ..TO_8_KB },
    Turn { to: 300_000, keys: 100, ..TO_8_KB },
    Turn { from: 300_000, ..FROM_8_KB },
];

/// Of the keys stored since a turn, so many are kept when all is well: all would fit.
const KEPT_MIN: f64 = 0.99;

/// Windows in a row that show it.
const WINDOWS_KEPT: usize = 20;

/// What one window of a look-aside load saw.
#[derive(Clone, Copy, Default)]
struct Window {
    /// Since the turn.
    end: Duration,
    hits: u64,
    /// Misses on keys that had been stored since the turn.
    lost: u64,
    /// Misses on other keys.
    first: u64,
    refused: u64,
}

impl Window {
    fn kept(&self) -> f64 {
        self.hits as f64 / ((self.hits + self.lost) as f64).max(1.0)
    }

    fn hit_ratio(&self) -> f64 {
        self.hits as f64 / (self.hits + self.lost + self.first) as f64
    }
}

impl Turn {
    const BATCH: usize = 50;

    /// Asks for keys and stores those that are not there, `until` a moment after the turn; in a run at
    /// less than full size until they are kept.
    fn load(&self, client: &mut Client, random: &mut Random, until: Duration) -> Vec<Window> {
        let mut stored = HashSet::new();
        let (value, begin) = ("v".repeat(self.to), moment());
        let mut windows = vec![Window::default()];
        while begin.elapsed() < until {
            let mut keys: Vec<u64> = (0..Turn::BATCH).map(|_| self.key(random)).collect();
            keys.sort_unstable();
            keys.dedup();
            let lines: String = keys.iter().map(|key| format!("mg to:{key} s\r\n")).collect();
            client.send(lines);
            keys.retain(|_| client.line() == "EN");
            let seen = windows.last_mut().expect("a window");
            seen.hits += (Turn::BATCH - keys.len()) as u64;
            for key in &keys {
                let is_first = stored.insert(*key);
                seen.first += u64::from(is_first);
                seen.lost += u64::from(!is_first);
            }
            for part in keys.chunks((400_000 / self.to).max(1)) {
                for key in part {
                    client.send(format!("set to:{key} 0 0 {}\r\n{value}\r\n", self.to));
                }
                seen.refused += part.iter().filter(|_| client.line() != "STORED").count() as u64;
            }
            seen.end = begin.elapsed();
            if seen.hits + seen.first + seen.lost >= 20 * Turn::BATCH as u64 {
                let kept = windows.iter().rev().take_while(|window| window.kept() >= KEPT_MIN);
                if !is_full() && windows.len() > 50 && kept.count() >= WINDOWS_KEPT {
                    break;
                }
                windows.push(Window::default());
            }
        }
        if is_full() {
            windows.pop();
        }
        windows
    }

    fn key(&self, random: &mut Random) -> u64 {
        // A quarter of the small ones shows the same in a short run.
        let keys = if is_full() { self.keys } else { self.keys.min(50_000) } as f64;
        let part = random.below(1 << 30) as f64 / f64::from(1 << 30);
        let rank = if self.is_zipf { keys.powf(part) - 1.0 } else { part * keys };
        (rank as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
    }

    /// Seconds until as many of the keys stored since the turn are kept as at the end, and the same for
    /// all hits; with both ratios at the end.
    fn run(&self, program: &Program, random: &mut Random, until: Duration) -> Turned {
        let server = Launch::of(program.clone(), &["-m", "64", "-t", "2"]).start();
        let mut client = server.connect();
        fill(&mut client, self.from);
        let windows = self.load(&mut client, random, until);
        server.assert_serves();
        Turned::of(&windows, &server)
    }
}

/// How a load came through a turn.
struct Turned {
    kept: f64,
    kept_after: Duration,
    hit_ratio: f64,
    hit_ratio_after: Duration,
    first_second: f64,
    refused: u64,
    rss: u64,
}

impl Turned {
    fn of(windows: &[Window], server: &Server) -> Turned {
        // A short run ends with its first windows that are as they should be.
        let plateau = if is_full() { windows.len() / 5 } else { WINDOWS_KEPT };
        let last = &windows[windows.len() - plateau.max(WINDOWS_KEPT)..];
        let mean = |of: fn(&Window) -> f64| last.iter().map(of).sum::<f64>() / last.len() as f64;
        // From when on it stays so, a bad window in a hundred apart.
        let after = |of: fn(&Window) -> f64, plateau: f64| {
            let mut bad = windows.iter().filter(|window| of(window) < 0.99 * plateau).rev();
            bad.nth(windows.len() / 100).map_or(Duration::ZERO, |window| window.end)
        };
        let (kept, hit_ratio) = (mean(Window::kept), mean(Window::hit_ratio));
        let early: Vec<&Window> =
            windows.iter().take_while(|window| window.end < Duration::from_secs(1)).collect();
        Turned {
            kept,
            kept_after: after(Window::kept, kept),
            hit_ratio,
            hit_ratio_after: after(Window::hit_ratio, hit_ratio),
            first_second: early.iter().map(|window| window.hit_ratio()).sum::<f64>()
                / early.len().max(1) as f64,
            refused: windows.iter().map(|window| window.refused).sum(),
            rss: server.rss_bytes(),
        }
    }
}

/// A load that turns to another size has its hits back in seconds.
#[test]
fn a_load_of_another_size_is_kept() {
    let _turn = alone();
    let mut random = Random::new("a_load_of_another_size_is_kept");
    let until = Duration::from_secs(if is_full() { 15 } else { 10 });
    for turn in TURNS {
        for program in programs() {
            let turned = turn.run(&program, &mut random, until);
            say(&format!(
                "{} to {} B{}, {}: kept {:.4} after {:?}, hit ratio {:.4} after {:?} (first second {:.3}), \
                 {} refused, {} kB resident",
                turn.from,
                turn.to,
                if turn.is_zipf { ", zipf" } else { "" },
                name(&program),
                turned.kept,
                turned.kept_after,
                turned.hit_ratio,
                turned.hit_ratio_after,
                turned.first_second,
                turned.refused,
                turned.rss >> 10
            ));
            if program.is_ours {
                assert!(turned.kept >= KEPT_MIN, "kept {}", turned.kept);
                assert!(turned.kept_after <= turn.within, "after {:?}", turned.kept_after);
                assert_eq!(turned.refused, 0);
            }
        }
    }
}
