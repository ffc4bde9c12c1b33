//! Clients of the port with TLS.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::time::Duration;

use super::{Pattern, again, nothing, store};
use crate::crowd::{End, Habit};
use crate::encryption::{self, Tunnel};
use crate::random::Random;
use crate::running::Running;
use crate::socket::Window;
use crate::tally::Tally;
use crate::target::{Needs, Target};

/// Handshakes, and what comes in their place.
pub const ALL: &[Pattern] = &[
    Pattern {
        name: "tls-plain",
        about: "lines and packets to the port with TLS, and TLS to the other",
        needs: Needs::Tls,
        run: plain,
    },
    Pattern {
        name: "tls-half-records",
        about: "1,000 clients that send half of a record and stay, or a byte of it at a time",
        needs: Needs::Tls,
        run: half_records,
    },
    Pattern {
        name: "tls-stops",
        about: "500 handshakes that stop at each of their flights",
        needs: Needs::Tls,
        run: stops,
    },
    Pattern {
        name: "tls-handshakes",
        about: "whole handshakes without an end",
        needs: Needs::Tls,
        run: handshakes,
    },
    Pattern {
        name: "tls-byte-records",
        about: "requests in records of one byte",
        needs: Needs::Tls,
        run: byte_records,
    },
    Pattern {
        name: "tls-slow-readers",
        about: "300 clients that read values of 1 MB over TLS some bytes at a time",
        needs: Needs::Tls,
        run: slow_readers,
    },
    Pattern {
        name: "tls-connections",
        about: "as many connections with TLS as may be, which do nothing",
        needs: Needs::Tls,
        run: connections,
    },
];

fn plain(target: &Target, running: &Running, seed: u64) -> Tally {
    let Some(tls) = target.tls else { return Tally::default() };
    let hello = [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[7; 200]].concat();
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut next = again(hello.clone());
            let habit = Habit::new(target.plain, 16, [], &mut next);
            Habit { end: End::Closes, ..habit }.run(running, seed)
        });
        let lines: [&[u8]; 4] = [
            b"get a\r\n",
            b"\x80\x00\x00\x01",
            b"\x15\x03\x01\x00\x02\x02\x28",
            b"GET / HTTP/1.1\r\n\r\n",
        ];
        let mut next = |random: &mut Random| Rc::from(lines[random.below(4) as usize].repeat(20));
        let habit = Habit::new(tls, 16, [], &mut next);
        let mut tally = Habit { end: End::Closes, ..habit }.run(running, seed);
        tally += others.join().unwrap_or_default();
        tally
    })
}

fn half_records(target: &Target, running: &Running, seed: u64) -> Tally {
    let Some(tls) = target.tls else { return Tally::default() };
    let half = [&b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc"[..], &[7; 8000]].concat();
    let mut still = nothing;
    let habit = Habit::new(tls, target.connections_max.min(1000), half, &mut still);
    Habit { send_bytes: 1000, pause: Duration::from_millis(20), ..habit }.run(running, seed)
}

/// What a client does once it is connected, turn by turn, until this says that it leaves.
type Deed<'a> = dyn FnMut(&mut Tunnel, u64, &mut Tally) -> bool + 'a;

/// Keeps `peers` connections with TLS; each does `deed` once a turn, with the count of its turns.
fn tunnels(
    target: &Target,
    running: &Running,
    (peers, window, pause): (usize, Window, Duration),
    deed: &mut Deed<'_>,
) -> Tally {
    let mut tally = Tally::default();
    let (Some(to), Some(config)) = (target.tls, encryption::config()) else { return tally };
    let mut members: Vec<(Tunnel, u64)> = Vec::new();
    while running.goes_on() {
        for _ in 0..CONNECTS_A_TURN {
            if members.len() >= peers {
                break;
            }
            let Some(tunnel) = Tunnel::connect(to, window, &config, &mut tally) else { break };
            members.push((tunnel, 0));
        }
        members.retain_mut(|(tunnel, turns)| {
            *turns += 1;
            running.goes_on() && deed(tunnel, *turns, &mut tally) && !tunnel.is_over()
        });
        running.pause(pause);
    }
    tally
}

/// By its number each goes on for so many turns, and then stays.
fn stops(target: &Target, running: &Running, _: u64) -> Tally {
    let mut count = 0;
    let shape = (500.min(target.connections_max), Window::Wide, Duration::from_millis(1));
    tunnels(target, running, shape, &mut |tunnel, turns, tally| {
        count += 1;
        if turns <= count % 4 {
            tunnel.go(64, tally);
        }
        tally.rounds += 1;
        true
    })
}

fn handshakes(target: &Target, running: &Running, _: u64) -> Tally {
    let shape = (50, Window::Wide, Duration::ZERO);
    tunnels(target, running, shape, &mut |tunnel, _, tally| {
        tunnel.go(16 << 10, tally);
        tally.rounds += u64::from(tunnel.is_open());
        !tunnel.is_open()
    })
}

fn byte_records(target: &Target, running: &Running, _: u64) -> Tally {
    let shape = (20, Window::Wide, Duration::ZERO);
    tunnels(target, running, shape, &mut |tunnel, _, tally| {
        tunnel.go(16 << 10, tally);
        if tunnel.is_open() && !tunnel.is_stuck() {
            b"get siege:key0\r\n".iter().for_each(|byte| tunnel.write(&[*byte]));
            tally.rounds += 1;
        }
        true
    })
}

fn slow_readers(target: &Target, running: &Running, _: u64) -> Tally {
    store(target, "big", 4, 1_000_000);
    let shape = (300.min(target.connections_max), Window::Narrow, Duration::from_millis(10));
    tunnels(target, running, shape, &mut |tunnel, turns, tally| {
        let is_asking = tunnel.is_open() && turns.is_multiple_of(50);
        tunnel.go(if tunnel.is_open() { 20 } else { 16 << 10 }, tally);
        if is_asking && !tunnel.is_stuck() {
            tunnel.write(b"get siege:big0 siege:big1 siege:big2 siege:big3\r\n");
            tally.rounds += 1;
        }
        true
    })
}

fn connections(target: &Target, running: &Running, _: u64) -> Tally {
    // Each costs this tool some memory, too.
    let shape = (target.connections_max.min(5000), Window::Wide, Duration::from_millis(1));
    tunnels(target, running, shape, &mut |tunnel, turns, tally| {
        if turns < 20 {
            tunnel.go(16 << 10, tally);
            tally.rounds += 1;
        }
        true
    })
}

/// Connections that are made before those that are there get their turn.
const CONNECTS_A_TURN: usize = 16;
