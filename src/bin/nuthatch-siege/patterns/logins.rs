//! Clients that should log in.
#![forbid(unsafe_code)]

use std::rc::Rc;

use super::packets::{packet, whole};
use super::{Pattern, again};
use crate::crowd::{End, Habit};
use crate::random::Random;
use crate::running::Running;
use crate::tally::Tally;
use crate::target::{Needs, Target};

/// What happens before a login, and instead of one.
pub const ALL: &[Pattern] = &[
    Pattern {
        name: "login-huge",
        about: "a text login of 2 GB, and others whose length is no good",
        needs: Needs::Login,
        run: login_huge,
    },
    Pattern {
        name: "login-blanks",
        about: "empty lines, spaces and endless lines in place of a login",
        needs: Needs::Login,
        run: login_blanks,
    },
    Pattern {
        name: "login-failures",
        about: "text logins with a wrong password without an end",
        needs: Needs::Login,
        run: login_failures,
    },
    Pattern {
        name: "login-skipped",
        about: "commands of both protocols before a login",
        needs: Needs::Login,
        run: login_skipped,
    },
    Pattern {
        name: "login-again",
        about: "logins that succeed, again and again on one connection",
        needs: Needs::Login,
        run: login_again,
    },
    Pattern {
        name: "sasl-junk",
        about: "SASL steps out of order, unknown mechanisms, payloads of 0 B to 64 kB with NULs",
        needs: Needs::Login,
        run: sasl_junk,
    },
    Pattern {
        name: "sasl-failures",
        about: "SASL PLAIN with a wrong password without an end, and SCRAM begun and left",
        needs: Needs::Login,
        run: sasl_failures,
    },
];

fn login_huge(target: &Target, running: &Running, seed: u64) -> Tally {
    let lens = ["2147483647", "2000000000", "4294967297", "-1", "16385", "18446744073709551615"];
    let mut next = |random: &mut Random| {
        let len = lens[random.below(6) as usize];
        let mut bytes = format!("set login 0 0 {len}\r\n").into_bytes();
        bytes.extend(std::iter::repeat_n(b'p', 1 << 20));
        Rc::from(bytes)
    };
    Habit::new(target.plain, 20, [], &mut next).run(running, seed)
}

fn login_blanks(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = |random: &mut Random| {
        let part: &[u8] =
            [&b"\r\n"[..], b"\n", b" ", b" \r\n", b"x", b"\0"][random.below(6) as usize];
        Rc::from(part.repeat(1 << random.below(15)))
    };
    Habit::new(target.plain, 50, [], &mut next).run(running, seed)
}

fn login_failures(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = |random: &mut Random| {
        let secret = format!("siege wrong{}", random.below(1_000_000));
        Rc::from(format!("set login 0 0 {}\r\n{secret}\r\n", secret.len()).into_bytes())
    };
    Habit::new(target.plain, 100, [], &mut next).run(running, seed)
}

fn login_skipped(target: &Target, running: &Running, seed: u64) -> Tally {
    let attempts: Vec<Rc<[u8]>> = vec![
        Rc::from(&b"get siege:key0\r\nstats\r\nflush_all\r\nquit\r\n"[..]),
        Rc::from(&b"set k 0 0 3\r\nabc\r\nget k\r\n"[..]),
        Rc::from(&b"mg siege:key0 v\r\nwatch\r\nlru_crawler metadump all\r\n"[..]),
        Rc::from(&b"quit\r\n"[..]),
        Rc::from(whole(0x00, &[], b"siege:key0", &[])),
        Rc::from(whole(0x01, &[0; 8], b"siege:key0", b"abc")),
        Rc::from(whole(0x08, &[], &[], &[])),
    ];
    let mut next = |random: &mut Random| Rc::clone(&attempts[random.below(7) as usize]);
    let habit = Habit::new(target.plain, 32, [], &mut next);
    Habit { end: End::Closes, ..habit }.run(running, seed)
}

fn login_again(target: &Target, running: &Running, seed: u64) -> Tally {
    let Some(login) = &target.login else { return Tally::default() };
    let secret = format!("{} {}", login.user, login.password);
    let text = format!("set login 0 0 {}\r\n{secret}\r\nget siege:key0\r\n", secret.len());
    let plain = format!("\0{}\0{}", login.user, login.password);
    let sasl = whole(0x21, &[], b"PLAIN", plain.as_bytes());
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut next = again(sasl.clone());
            Habit::new(target.plain, 10, [], &mut next).run(running, seed)
        });
        let mut next = again(text.into_bytes());
        let mut tally = Habit::new(target.plain, 10, [], &mut next).run(running, seed);
        tally += others.join().unwrap_or_default();
        tally
    })
}

fn sasl_junk(target: &Target, running: &Running, seed: u64) -> Tally {
    let mechanisms: [&[u8]; 9] = [
        b"PLAIN",
        b"SCRAM-SHA-256",
        b"SCRAM-SHA-512",
        b"CRAM-MD5",
        b"",
        b"PLAI\0N",
        b"plain",
        b"NOBODY-KNOWS-THIS-MECHANISM-AT-ALL-1",
        b"SCRAM-SHA-256-PLUS",
    ];
    let payloads: [&[u8]; 8] = [
        b"",
        b"\0",
        b"\0siege\0\0siege-password",
        b"siege\0siege\0\0",
        b"n,,n=siege,r=",
        b"n,,n=siege,r=abc",
        b"p=tls-unique,,n=siege,r=x",
        b"c=biws,r=abc,p=AAAA",
    ];
    let mut next = |random: &mut Random| {
        let opcode = [0x20, 0x21, 0x22, 0x22, 0x21][random.below(5) as usize];
        let mechanism = mechanisms[random.below(9) as usize];
        let mut payload = payloads[random.below(8) as usize].to_vec();
        if random.below(8) == 0 {
            payload.resize(1 << random.below(17), b'\0');
        }
        let mut bytes = whole(opcode, &[], mechanism, &payload);
        if random.below(16) == 0 {
            bytes.extend(packet(0x21, 5, 0, 1 << random.below(32), b"PLAIN"));
        }
        Rc::from(bytes)
    };
    Habit::new(target.plain, 50, [], &mut next).run(running, seed)
}

fn sasl_failures(target: &Target, running: &Running, seed: u64) -> Tally {
    let mut next = |random: &mut Random| {
        let plain = format!("\0siege\0wrong{}", random.below(1_000_000));
        let scram = format!("n,,n=siege,r=nonce{}", random.below(1_000_000));
        Rc::from(match random.below(4) {
            0 => whole(0x21, &[], b"SCRAM-SHA-256", scram.as_bytes()),
            _ => whole(0x21, &[], b"PLAIN", plain.as_bytes()),
        })
    };
    Habit::new(target.plain, 100, [], &mut next).run(running, seed)
}
