//! Clients that send lines that nobody should.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::time::Duration;

use super::{Pattern, again};
use crate::crowd::{End, Habit};
use crate::random::Random;
use crate::running::Running;
use crate::socket::Window;
use crate::tally::Tally;
use crate::target::{Needs, Target};

/// Odd lines of every kind.
pub const ALL: &[Pattern] = &[
    Pattern {
        name: "slow-lines",
        about: "1,000 clients that send a line at a byte a second",
        needs: Needs::Plain,
        run: slow_lines,
    },
    Pattern {
        name: "long-lines",
        about: "lines of 2,047 to 8,192 bytes without an end, then a byte a second",
        needs: Needs::Plain,
        run: long_lines,
    },
    Pattern {
        name: "blanks",
        about: "spaces, empty lines and lone carriage returns",
        needs: Needs::Plain,
        run: blanks,
    },
    Pattern {
        name: "odd-lengths",
        about: "stores whose length, flags or exptime is no good, or whose value is too long or short",
        needs: Needs::Plain,
        run: odd_lengths,
    },
    Pattern {
        name: "odd-lines",
        about: "text and meta requests with wrong keys, numbers, flags and tokens",
        needs: Needs::Plain,
        run: odd_lines,
    },
    Pattern {
        name: "mn-flood",
        about: "50 clients that send mn without an end",
        needs: Needs::Plain,
        run: mn_flood,
    },
    Pattern {
        name: "mn-unread",
        about: "the same, their answers unread",
        needs: Needs::Plain,
        run: mn_unread,
    },
    Pattern {
        name: "gets-flood",
        about: "20 clients that pipeline gets without an end, read",
        needs: Needs::Plain,
        run: gets_flood,
    },
    Pattern {
        name: "http",
        about: "requests of HTTP, with stores in their bodies",
        needs: Needs::Plain,
        run: http,
    },
    Pattern {
        name: "noise",
        about: "random bytes, and requests with some bytes changed",
        needs: Needs::Plain,
        run: noise,
    },
];

fn slow_lines(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = again("get siege:slow ".repeat(200).into_bytes());
    let habit = Habit::new(target.plain, target.connections_max.min(1000), [], &mut next);
    Habit { send_bytes: 1, pause: Duration::from_secs(1), ..habit }.run(running, seed)
}

/// The first turn sends it all but for the last byte, and each later one a byte.
fn long_lines(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut lens = [2047, 2048, 2049, 8192].into_iter().cycle();
    let mut next = |_: &mut Random| {
        let len = lens.next().unwrap_or(2048);
        Rc::from([&b"set "[..], &vec![b'l'; len - 4]].concat())
    };
    let habit = Habit::new(target.plain, 100, [], &mut next);
    Habit { send_bytes: 2048, pause: Duration::from_millis(250), ..habit }.run(running, seed)
}

fn blanks(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = |random: &mut Random| {
        let len = (1 << random.below(17)) as usize;
        let part: &[u8] = match random.below(6) {
            0 => b" ",
            1 => b"\r\n",
            2 => b"\n",
            3 => b"\r",
            4 => b"\r\r\n",
            _ => b" \r\n",
        };
        Rc::from(part.repeat(len / part.len() + 1))
    };
    Habit::new(target.plain, 20, [], &mut next).run(running, seed)
}

fn odd_lengths(target: &Target, running: &Running, seed: u64) -> Tally {
    let numbers = [
        "-1",
        "0",
        "1",
        "2",
        "2147483647",
        "2147483648",
        "4294967295",
        "4294967296",
        "9223372036854775808",
        "18446744073709551616",
        "1e3",
        "+5",
        "12345678901234567890",
        "x",
        "",
        "2592000",
        "2592001",
        "1048576",
        "1000000",
    ];
    let mut next = |random: &mut Random| {
        let mut number = || numbers[random.below(numbers.len() as u32) as usize];
        let (flags, exptime, len) = (number(), number(), number());
        let mut batch = format!("set siege:odd {flags} {exptime} {len}\r\nabc\r\n");
        batch += &format!("append siege:odd 0 0 {len} noreply\r\nget siege:odd\r\n");
        batch += &format!(
            "ms siege:odd {len} T{exptime} F{flags} MX\r\nabcd\r\nset siege:odd 0 0 2\r\nabc\r\n"
        );
        batch += &format!(
            "cas siege:odd {flags} {exptime} 1 {len}\r\nx\r\ntouch siege:odd {exptime}\r\n"
        );
        Rc::from(batch.into_bytes())
    };
    Habit::new(target.plain, 20, [], &mut next).run(running, seed)
}

fn odd_lines(target: &Target, running: &Running, seed: u64) -> Tally {
    let long = |len: usize| "o".repeat(len);
    let every: String = ('!'..='~').map(|flag| format!(" {flag}")).collect();
    let lines: Vec<String> = vec![
        "get\r\n".into(),
        "get \r\n".into(),
        "gat\r\ngat 0\r\ngats 1\r\n".into(),
        format!("get {}\r\nget {}\r\n", long(250), long(251)),
        "get a\x7fb a\tb \x01\r\n".into(),
        format!("mg {} v\r\nmg {} k v\r\n", long(250), long(251)),
        format!("mg siege:m{every}\r\n"),
        "mg siege:m v v q q O1 O2\r\nmg siege:m v O\r\nmg siege:m T\r\nmg siege:m E\r\n".into(),
        format!("mg siege:m O{}\r\nmg siege:m O{}\r\n", long(32), long(33)),
        format!("mg siege:m O{}\r\n", long(2000)),
        format!("mg {} b v\r\nmg ==== b\r\nmg A b\r\n", "QUFB".repeat(83)),
        "ms siege:m S\r\nms siege:m\r\nms siege:m S1 MXY\r\nx\r\nms siege:m 1 Mq\r\nx\r\n".into(),
        "mn\r\nmg siege:none q v\r\nmn\r\nme siege:none\r\nme siege:m\r\n".into(),
        "ma siege:m N0 J5 MD D99999999999999999999\r\nmd siege:m q I T5 x C1\r\n".into(),
        "incr siege:m 1 2 3\r\nverbosity\r\nshutdown now please\r\ncache_memlimit x\r\n".into(),
        "gets siege:m\r\ncas siege:m 0 0 1 18446744073709551616\r\nx\r\n".into(),
        "delete siege:m 0\r\ndelete siege:m 5\r\ndelete siege:m noreply x\r\n".into(),
    ];
    let lines: Vec<Rc<[u8]>> = lines.into_iter().map(|text| Rc::from(text.into_bytes())).collect();
    let mut next =
        |random: &mut Random| Rc::clone(&lines[random.below(lines.len() as u32) as usize]);
    Habit::new(target.plain, 20, [], &mut next).run(running, seed)
}

fn mn_flood(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = again("mn\r\n".repeat(10_000).into_bytes());
    Habit::new(target.plain, 50, [], &mut next).run(running, seed)
}

fn mn_unread(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = again("mn\r\n".repeat(10_000).into_bytes());
    let habit = Habit::new(target.plain, 50, [], &mut next);
    Habit { window: Window::Narrow, read_bytes: 0, ..habit }.run(running, seed)
}

fn gets_flood(target: &Target, running: &Running, seed: u64) -> Tally {
    super::store(target, "key", 10, 1000);
    let lines: String = (0..10).map(|number| format!("get siege:key{number}\r\n")).collect();
    let mut next = again(lines.repeat(100).into_bytes());
    let habit = Habit::new(target.plain, 20, [], &mut next);
    Habit { read_bytes: 1 << 20, ..habit }.run(running, seed)
}

fn http(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = |random: &mut Random| {
        let verb = ["GET", "POST", "get", "PUT", "HEAD"][random.below(5) as usize];
        let body = "set siege:http 0 0 3\r\nbad\r\nflush_all\r\n";
        let request = format!(
            "{verb} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Rc::from(request.into_bytes())
    };
    let habit = Habit::new(target.plain, 20, [], &mut next);
    Habit { end: End::Closes, ..habit }.run(running, seed)
}

fn noise(target: &Target, running: &Running, seed: u64) -> Tally {
    let request = b"set siege:noise 0 0 5\r\nhello\r\nget siege:noise\r\nmg siege:noise v\r\n";
    let mut next = |random: &mut Random| {
        let mut bytes = request.repeat(10);
        let most = 1 << random.below(10);
        let changed = random.below(most);
        for _ in 0..changed {
            let at = random.below(bytes.len() as u32) as usize;
            bytes[at] = random.below(256) as u8;
        }
        Rc::from(bytes)
    };
    let habit = Habit::new(target.plain, 20, [], &mut next);
    Habit { end: End::Closes, ..habit }.run(running, seed)
}
