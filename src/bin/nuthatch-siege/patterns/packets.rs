//! Clients of the binary protocol.
#![forbid(unsafe_code)]

use std::rc::Rc;

use super::{Pattern, again, nothing, store};
use crate::crowd::{End, Habit};
use crate::random::Random;
use crate::running::Running;
use crate::socket::Window;
use crate::tally::Tally;
use crate::target::{Needs, Target};

/// Packets of every kind.
pub const ALL: &[Pattern] = &[
    Pattern {
        name: "packets",
        about: "every opcode with every combination of lengths that do not fit",
        needs: Needs::Plain,
        run: odd_packets,
    },
    Pattern {
        name: "packets-noise",
        about: "good packets with some bytes changed, and lines between them",
        needs: Needs::Plain,
        run: changed_packets,
    },
    Pattern {
        name: "packets-quiet",
        about: "quiet packets without an end and without a noop",
        needs: Needs::Plain,
        run: quiet_packets,
    },
    Pattern {
        name: "packets-stat",
        about: "statistics by packets, unread",
        needs: Needs::Plain,
        run: stat_packets,
    },
    Pattern {
        name: "quiet-gets",
        about: "70,000 quiet binary gets of one key from 100 clients, unread",
        needs: Needs::Plain,
        run: quiet_gets,
    },
];

/// A request: its header says what it is told to, whatever follows.
pub fn packet(opcode: u8, key_len: u16, extras_len: u8, body_len: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80, opcode];
    bytes.extend(key_len.to_be_bytes());
    bytes.extend([extras_len, 0, 0, 0]);
    bytes.extend(body_len.to_be_bytes());
    bytes.resize(24, 0);
    bytes.extend(body);
    bytes
}

/// A request whose header is right.
pub fn whole(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = [extras, key, value].concat();
    packet(opcode, key.len() as u16, extras.len() as u8, body.len() as u32, &body)
}

fn odd_packets(target: &Target, running: &Running, seed: u64) -> Tally {
    let lens = [0_u32, 1, 4, 8, 20, 23, 24, 250, 251, 255, 65_535, 1 << 20, 1 << 31, u32::MAX];
    let mut opcode = 0_u8;
    let mut next = |random: &mut Random| {
        opcode = opcode.wrapping_add(1);
        let mut len = || lens[random.below(lens.len() as u32) as usize];
        let (key, extras, body, sent) = (len(), len(), len(), len().min(300));
        let body_len = match sent % 3 {
            0 => body,
            1 => key.wrapping_add(extras),
            _ => key.wrapping_add(extras).wrapping_sub(1),
        };
        Rc::from(packet(opcode, key as u16, extras as u8, body_len, &vec![b'k'; sent as usize]))
    };
    let habit = Habit::new(target.plain, 32, [], &mut next);
    Habit { end: End::Closes, ..habit }.run(running, seed)
}

fn changed_packets(target: &Target, running: &Running, seed: u64) -> Tally {
    let key = b"siege:packet";
    let mut good = whole(0x01, &[0; 8], key, b"hello");
    good.extend(whole(0x00, &[], key, &[]));
    good.extend(whole(0x05, &[0; 20], key, &[]));
    good.extend(whole(0x0c, &[], key, &[]));
    good.extend(whole(0x1e, &[0; 4], key, &[]));
    good.extend(whole(0x0a, &[], &[], &[]));
    let mut next = |random: &mut Random| {
        let mut bytes = good.clone();
        for _ in 0..random.below(4) {
            let at = random.below(bytes.len() as u32) as usize;
            bytes[at] = random.below(256) as u8;
        }
        if random.below(4) == 0 {
            bytes.extend(b"get siege:packet\r\n");
        }
        bytes.extend(&good);
        Rc::from(bytes)
    };
    let habit = Habit::new(target.plain, 32, [], &mut next);
    Habit { end: End::Closes, ..habit }.run(running, seed)
}

fn quiet_packets(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut batch = Vec::new();
    for number in 0..100 {
        let key = format!("siege:q{number}").into_bytes();
        batch.extend(whole(0x11, &[0; 8], &key, &[b'q'; 500]));
        batch.extend(whole(0x09, &[], &key, &[]));
        batch.extend(whole(0x0d, &[], b"siege:none", &[]));
        batch.extend(whole(0x14, &[], &key, &[]));
    }
    let mut next = again(batch);
    Habit::new(target.plain, 20, [], &mut next).run(running, seed)
}

fn stat_packets(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut batch = Vec::new();
    for kind in [&b""[..], b"items", b"slabs", b"settings", b"sizes", b"detail dump", b"nothing"] {
        batch.extend(whole(0x10, &[], kind, &[]));
    }
    let mut next = again(batch.repeat(10));
    let habit = Habit::new(target.plain, 50, [], &mut next);
    Habit { window: Window::Narrow, read_bytes: 0, ..habit }.run(running, seed)
}

/// The key of all is one, so that each answer that waits may hold its item; more of them than a
/// count of 16 bits can tell.
fn quiet_gets(target: &Target, running: &Running, seed: u64) -> Tally {
    store(target, "key", 1, 10_000);
    let gets = whole(0x09, &[], b"siege:key0", &[]).repeat(700);
    let mut still = nothing;
    let habit = Habit::new(target.plain, 100, gets, &mut still);
    Habit { window: Window::Narrow, read_bytes: 0, ..habit }.run(running, seed)
}
