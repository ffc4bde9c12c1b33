//! Clients that store: by halves, slowly, too much, again and again.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::time::Duration;

use super::{Pattern, again, nothing};
use crate::crowd::{End, Habit};
use crate::random::Random;
use crate::running::Running;
use crate::tally::Tally;
use crate::target::{Needs, Target};

/// Stores of every kind.
pub const ALL: &[Pattern] = &[
    Pattern {
        name: "half-uploads",
        about: "1,000 clients that send half of a value of 1 MB and stay",
        needs: Needs::Plain,
        run: half_uploads,
    },
    Pattern {
        name: "half-uploads-packets",
        about: "the same by packets",
        needs: Needs::Plain,
        run: half_uploads_packets,
    },
    Pattern {
        name: "slow-uploads",
        about: "500 clients that send values of 1 MB a byte at a time",
        needs: Needs::Plain,
        run: slow_uploads,
    },
    Pattern {
        name: "vanishing-uploads",
        about: "clients that reset the connection amid a value",
        needs: Needs::Plain,
        run: vanishing_uploads,
    },
    Pattern {
        name: "cut-uploads",
        about: "a store that is cut after each of its bytes in turn",
        needs: Needs::Plain,
        run: cut_uploads,
    },
    Pattern {
        name: "huge-values",
        about: "20 clients that store values of 1 MB without a rest",
        needs: Needs::Plain,
        run: huge_values,
    },
    Pattern {
        name: "sizes-churn",
        about: "values of 1 B to 1 MB in turn, so that memory moves from size to size",
        needs: Needs::Plain,
        run: sizes_churn,
    },
    Pattern {
        name: "append-churn",
        about: "appends and prepends to some keys until they are too large",
        needs: Needs::Plain,
        run: append_churn,
    },
    Pattern {
        name: "numbers-churn",
        about: "incr and decr of odd values by odd numbers",
        needs: Needs::Plain,
        run: numbers_churn,
    },
    Pattern {
        name: "touch-storm",
        about: "stores and touches with times to live of 1 s and less",
        needs: Needs::Plain,
        run: touch_storm,
    },
];

fn half_uploads(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut half = b"set siege:half 0 0 1000000\r\n".to_vec();
    half.extend(std::iter::repeat_n(b'h', 500_000));
    let peers = target.connections_max.min(1000);
    let mut still = nothing;
    Habit::new(target.plain, peers, half, &mut still).run(running, seed)
}

fn half_uploads_packets(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut half = vec![0x80, 0x01, 0, 1, 8, 0, 0, 0];
    half.extend(1_000_009_u32.to_be_bytes());
    half.resize(24 + 8, 0);
    half.extend(std::iter::repeat_n(b'h', 500_001));
    let peers = target.connections_max.min(1000);
    let mut still = nothing;
    Habit::new(target.plain, peers, half, &mut still).run(running, seed)
}

fn slow_uploads(target: &Target, running: &Running, seed: u64) -> Tally {
    let first = &b"set siege:slow 0 0 1000000\r\n"[..];
    let mut next = again(vec![b's'; 1_000_002]);
    let habit = Habit::new(target.plain, 500.min(target.connections_max), first, &mut next);
    let pause = Duration::from_millis(10);
    Habit { send_bytes: 1, pause, ..habit }.run(running, seed)
}

fn vanishing_uploads(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = again(vec![b'v'; 100_000]);
    let first = &b"set siege:gone 0 0 1000000\r\n"[..];
    let habit = Habit::new(target.plain, 20, first, &mut next);
    Habit { end: End::Resets, ..habit }.run(running, seed)
}

fn cut_uploads(target: &Target, running: &Running, seed: u64) -> Tally {
    let whole = b"set siege:cut 1 0 30\r\n012345678901234567890123456789\r\nget siege:cut\r\n";
    let mut len = 0;
    let mut next = |_: &mut Random| {
        len = len % whole.len() + 1;
        Rc::from(&whole[..len])
    };
    let habit = Habit::new(target.plain, 20, [], &mut next);
    Habit { end: End::Closes, ..habit }.run(running, seed)
}

fn huge_values(target: &Target, running: &Running, seed: u64) -> Tally {
    let stores: Vec<Rc<[u8]>> =
        (0..20).map(|number| set(number, "huge", 0, 1_000_000).into()).collect();
    let mut next = |random: &mut Random| Rc::clone(&stores[random.below(20) as usize]);
    Habit::new(target.plain, 20, [], &mut next).run(running, seed)
}

fn sizes_churn(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = |random: &mut Random| {
        let mut batch = Vec::new();
        while batch.len() < 100_000 {
            let len = (random.below(1 << 20) >> random.below(20)).min(1_000_000);
            batch.extend(set(random.below(100_000), "size", 0, len as usize));
        }
        Rc::from(batch)
    };
    Habit::new(target.plain, 4, [], &mut next).run(running, seed)
}

fn append_churn(target: &Target, running: &Running, seed: u64) -> Tally {
    let part = "p".repeat(10_000);
    let mut next = |random: &mut Random| {
        let number = random.below(10);
        let verb = ["append", "prepend"][random.below(2) as usize];
        let mut batch = format!("add siege:long{number} 0 0 1\r\nx\r\n").into_bytes();
        let line = format!("{verb} siege:long{number} 0 0 10000\r\n{part}\r\n");
        batch.extend(line.repeat(10).into_bytes());
        if random.below(20) == 0 {
            batch.extend(format!("delete siege:long{number}\r\n").into_bytes());
        }
        Rc::from(batch)
    };
    Habit::new(target.plain, 4, [], &mut next).run(running, seed)
}

fn numbers_churn(target: &Target, running: &Running, seed: u64) -> Tally {
    let values = ["0", "18446744073709551615", "99999999999999999999", "1 2", " 7", "-1", "x", ""];
    let deltas = ["1", "18446744073709551615", "18446744073709551616", "-1", "x", "", "1e3"];
    let mut next = |random: &mut Random| {
        let mut batch = String::new();
        for _ in 0..100 {
            let value = values[random.below(8) as usize];
            let delta = deltas[random.below(7) as usize];
            let number = random.below(100);
            batch += &format!("set siege:n{number} 0 0 {}\r\n{value}\r\n", value.len());
            batch += &format!("incr siege:n{number} {delta}\r\ndecr siege:n{number} {delta}\r\n");
            batch += &format!("ma siege:n{number} N5 J{delta} D{delta} MI t v\r\n");
        }
        Rc::from(batch.into_bytes())
    };
    Habit::new(target.plain, 4, [], &mut next).run(running, seed)
}

fn touch_storm(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = |random: &mut Random| {
        let mut batch = Vec::new();
        for _ in 0..100 {
            let number = random.below(100_000);
            let time = ["1", "-1", "0", "2"][random.below(4) as usize];
            batch.extend(set(number, "short", 1, 50));
            batch.extend(format!("touch siege:short{number} {time}\r\n").into_bytes());
            batch.extend(format!("gat {time} siege:short{}\r\n", number / 2).into_bytes());
        }
        Rc::from(batch)
    };
    Habit::new(target.plain, 4, [], &mut next).run(running, seed)
}

/// A store of `len` bytes as `siege:NAMENUMBER`.
fn set(number: u32, name: &str, exptime: u32, len: usize) -> Vec<u8> {
    let mut bytes = format!("set siege:{name}{number} 0 {exptime} {len}\r\n").into_bytes();
    bytes.extend(std::iter::repeat_n(b's', len));
    bytes.extend(b"\r\n");
    bytes
}
