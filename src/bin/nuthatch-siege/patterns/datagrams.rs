//! Datagrams.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use super::{Pattern, store};
use crate::random::Random;
use crate::running::Running;
use crate::tally::Tally;
use crate::target::{Needs, Target};

/// Over UDP.
pub const ALL: &[Pattern] = &[
    Pattern {
        name: "udp-broken",
        about: "datagrams without a frame, with wrong counts, cut short, of noise, and empty ones",
        needs: Needs::Udp,
        run: broken,
    },
    Pattern {
        name: "udp-large",
        about: "datagrams that ask for values of 500 kB, whose answers nobody reads",
        needs: Needs::Udp,
        run: large,
    },
];

fn broken(target: &Target, running: &Running, seed: u64) -> Tally {
    let texts =
        ["get siege:key0\r\n", "stats\r\n", "set siege:udp 0 0 9\r\nabc\r\n", "", "get ", "\r\n"];
    let mut next = |random: &mut Random| {
        let mut bytes = Vec::new();
        let mut number = || [0_u16, 1, 2, 255, 65_535][random.below(5) as usize];
        for part in [number(), number(), number(), number()] {
            bytes.extend(part.to_be_bytes());
        }
        bytes.extend(texts[random.below(6) as usize].as_bytes());
        match random.below(4) {
            0 => bytes.truncate(random.below(12) as usize),
            1 => bytes.extend((0..random.below(1400)).map(|byte| byte as u8)),
            _ => {}
        }
        bytes
    };
    flood(target, running, seed, &mut next)
}

fn large(target: &Target, running: &Running, seed: u64) -> Tally {
    store(target, "wide", 1, 500_000);
    let mut next = |_: &mut Random| b"\0\x01\0\0\0\x01\0\0get siege:wide0\r\n".to_vec();
    flood(target, running, seed, &mut next)
}

/// Sends from ten sockets, as fast as the kernel takes it. Answers are left to it.
fn flood(
    target: &Target,
    running: &Running,
    seed: u64,
    next: &mut dyn FnMut(&mut Random) -> Vec<u8>,
) -> Tally {
    let mut tally = Tally::default();
    let Some(to) = target.udp else { return tally };
    let mut random = Random::new(seed);
    let bind = |_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok();
    let sockets: Vec<UdpSocket> = (0..10).filter_map(bind).collect();
    for socket in &sockets {
        let _ = socket.set_nonblocking(true);
    }
    while running.goes_on() {
        for socket in &sockets {
            match socket.send_to(&next(&mut random), to) {
                Ok(len) => tally.sent_bytes += len as u64,
                Err(_) => {
                    running.pause(Duration::from_millis(1));
                }
            }
        }
        tally.rounds += 1;
    }
    tally
}
