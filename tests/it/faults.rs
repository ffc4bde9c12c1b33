//! Clients that misbehave: cut off, half said, never said, said wrongly. After each the server
//! answers the next client (bad inputs, section 2).
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::client::{Client, Received};
use crate::harness::{Launch, PATIENCE, Program, Random, Server, together, wait_for};

/// Item 5: a conversation cut after every single byte stores what was complete and nothing else.
#[test]
fn cut_after_every_byte() {
    let _turn = together();
    let server = Launch::tcp(&[]).unix().start();
    let mut control = server.connect();
    let talk = b"set a 0 0 5\r\nhello\r\nset b 0 0 3\r\nxyz\r\nappend a 0 0 1\r\n!\r\nget a b\r\n";
    let steps = [(20, "a", "hello"), (38, "b", "xyz"), (57, "a", "hello!")];
    for cut in 0..=talk.len() {
        let mut client = server.connect();
        client.send(&talk[..cut]);
        client.await_read();
        drop(client);
        control.await_stat("curr_connections", |count| count == 1);
        for key in ["a", "b"] {
            let value = steps.iter().rev().find(|(at, name, _)| *name == key && cut >= *at);
            let wanted = match value {
                Some((_, _, value)) => {
                    format!("VALUE {key} 0 {}\r\n{value}\r\nEND\r\n", value.len())
                }
                None => "END\r\n".to_owned(),
            };
            control.ask(format!("get {key}\r\n"), wanted);
        }
        control.ask("flush_all\r\n", "OK\r\n");
    }
}

/// Item 5: every odd length, with data behind it; the connection stays in step or is closed.
#[test]
fn odd_lengths() {
    let _turn = together();
    let server = Server::start(&[]);
    let lens = [
        "-1",
        "2147483646",
        "2147483647",
        "2147483648",
        "4294967295",
        "9223372036854775808",
        "18446744073709551616",
        "1e3",
        "+5",
        "12345678901234567890",
        "0x10",
        "5.0",
        "--5",
        "5-",
        "٣",
    ];
    for command in ["set", "add", "replace", "append", "prepend", "cas"] {
        let mut client = server.connect();
        for len in lens {
            client.send(format!("{command} k 0 0 {len} 1\r\n"));
            client.expect("CLIENT_ERROR bad command line format\r\n");
        }
        client.assert_in_step(&Program::target().version);
    }
    server.assert_serves();
}

/// Item 5: the largest length that is a number at all is waited for, and costs nothing.
#[test]
fn largest_length_is_swallowed() {
    let _turn = together();
    let server = Server::start(&[]);
    let before = server.rss_bytes();
    let mut client = server.connect();
    client.send("set k 0 0 2147483645\r\n");
    client.send(vec![b'v'; 3 << 20]);
    assert_eq!(client.receive(Duration::from_millis(100)), Received::Nothing);
    server.assert_serves();
    assert!(server.rss_bytes() < before + (4 << 20));
}

/// Item 2: lines about the bound, sent in one piece without an end, then byte by byte.
#[test]
fn lines_about_the_bound_without_end() {
    let _turn = together();
    let server = Server::start(&[]);
    for len in [2047, 2048, 2049, 8192] {
        let mut client = server.connect();
        client.send(vec![b'a'; len]);
        while client.receive(Duration::from_millis(5)) != Received::Closed {
            client.send("a");
        }
        client.expect_closed();
        server.assert_serves();
    }
}

/// Item 4: spaces, line ends and CRs in all amounts.
#[test]
fn blank_floods() {
    let _turn = together();
    let server = Server::start(&[]);
    for count in [1, 100, 2000, 65_536] {
        let mut client = server.connect();
        client.send("\n".repeat(count));
        client.expect("CLIENT_ERROR bad command line format\r\n".repeat(count));
        client.send("\r\n".repeat(count));
        client.expect("CLIENT_ERROR bad command line format\r\n".repeat(count));
        if count <= 2000 {
            client.ask(format!("{}\r\n", " ".repeat(count + 4)), "ERROR\r\n");
            client.send("\r".repeat(count));
            client.send("\n");
            let answer = client.line();
            assert!(answer.contains("ERROR"), "{answer}");
        }
        client.assert_in_step(&Program::target().version);
    }
}

/// Item 17: HTTP on the port is hung up on, whatever follows.
#[test]
fn http_is_hung_up_on() {
    let _turn = together();
    let server = Server::start(&[]);
    for verb in ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "CONNECT", "PATCH"] {
        let mut client = server.connect();
        let body = "set http 0 0 1\r\nx\r\nset http 0 0 1\r\nx\r\n";
        client.send(format!("{verb} /a HTTP/1.1\r\nHost: a\r\nContent-Length: 38\r\n\r\n{body}"));
        client.expect_closed();
    }
    server.connect().ask("get http\r\n", "END\r\n");
}

/// Item 19: clients that vanish while answers are on their way.
#[test]
fn clients_that_vanish() {
    let _turn = together();
    let server = Server::start(&[]);
    let mut control = server.connect();
    control.send("set big 0 0 500000\r\n");
    control.send(vec![b'b'; 500_000]);
    control.ask("\r\n", "STORED\r\n");
    for _ in 0..200 {
        let mut client = server.connect();
        client.send("get big big big big big big big big\r\n");
    }
    for _ in 0..50 {
        let mut client = server.connect();
        client.send("get big big big big\r\n");
        client.take(1000);
    }
    control.await_stat("curr_connections", |count| count == 1);
    server.assert_serves();
}

/// A client that sends and never reads is stopped, not stored up; then it reads all of its answers.
#[test]
fn writer_that_does_not_read() {
    let _turn = together();
    let server = Server::start(&["-t", "1"]);
    server.connect().ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    let before = server.rss_bytes();
    let mut client = Client::tcp_narrow(server.port());
    let request = "get a\r\n".repeat(400_000);
    let sent = client.send_some(request.as_bytes(), Duration::from_millis(300));
    server.assert_serves();
    assert!(server.rss_bytes() < before + (4 << 20), "answers pile up");
    let whole = sent / 7;
    assert!(whole > 0);
    for _ in 0..whole {
        client.expect("VALUE a 0 1\r\nx\r\nEND\r\n");
    }
}

/// Bytes without sense, of every kind, on connection after connection.
#[test]
fn noise() {
    let _turn = together();
    let mut random = Random::new("noise");
    let server = Server::start(&[]);
    let before = server.rss_bytes();
    let words = [
        "get ",
        "set ",
        "k ",
        "0 ",
        "1 ",
        "\r\n",
        "\n",
        "incr ",
        "-1 ",
        "noreply",
        "gat ",
        "cas ",
        "stats ",
        "99999999999 ",
        "\0",
        "\u{80}",
        " ",
        "touch ",
        "delete ",
        "flush_all ",
        "verbosity ",
        "append ",
        "250 ",
        "HTTP/1.1",
        "cache_memlimit ",
        "64 ",
    ];
    for round in 0..300 {
        let mut client = server.connect();
        let mut bytes = Vec::new();
        while bytes.len() < 3000 {
            match random.below(10) {
                0 if round % 2 == 0 => bytes.push(random.below(256) as u8),
                _ => bytes.extend(words[random.below(words.len() as u64) as usize].as_bytes()),
            }
        }
        client.send(&bytes);
        client.shut_write();
        while client.receive(PATIENCE) == Received::Some {}
    }
    server.assert_serves();
    assert!(server.rss_bytes() < before + (32 << 20));
}

/// Many clients at once on the same keys: every answer belongs to its request.
#[test]
fn clients_do_not_mix() {
    let _turn = together();
    let server = Server::start(&["-m", "16", "-t", "4"]);
    let talk = |name: usize| {
        let mut client = server.connect();
        for round in 0..300 {
            let value = format!("{name}:{round}:").repeat(1 + round * 7 % 900);
            let set = format!("set own{name} {round} 0 {}\r\n{value}\r\n", value.len());
            client.ask(set, "STORED\r\n");
            let hit = format!("VALUE own{name} {round} {}\r\n{value}\r\nEND\r\n", value.len());
            client.ask(format!("get own{name}\r\n"), hit);
            client.send("incr all 1\r\nadd all 0 0 1\r\n0\r\n");
            client.line();
            client.line();
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|name| scope.spawn(move || talk(name))).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("a client"));
    });
    let mut client = server.connect();
    client.send("incr all 0\r\n");
    let total: usize = client.line().parse().expect("the common counter");
    assert!(total >= 16 * 300 - 1, "increments were lost: {total}");
}

/// cas under contention: of all who read the same unique, one stores.
#[test]
fn cas_lets_one_win() {
    let _turn = together();
    let server = Server::start(&["-t", "4"]);
    server.connect().ask("set n 0 0 1\r\n0\r\n", "STORED\r\n");
    let add = || {
        let mut client = server.connect();
        let mut wins = 0;
        while wins < 50 {
            client.send("gets n\r\n");
            let head = client.line();
            let unique = head.rsplit(' ').next().expect("a unique").to_owned();
            let number: u64 = client.line().parse().expect("a number");
            client.expect("END\r\n");
            let next = (number + 1).to_string();
            client.send(format!("cas n 0 0 {} {unique}\r\n{next}\r\n", next.len()));
            wins += u32::from(client.line() == "STORED");
        }
    };
    std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(add))));
    server.connect().ask("get n\r\n", "VALUE n 0 3\r\n400\r\nEND\r\n");
}

/// Expired items come back as memory without anyone asking for them.
#[test]
fn expired_items_are_reclaimed() {
    let _turn = together();
    let server = Server::start(&["-m", "64"]);
    let mut client = server.connect();
    for part in 0..20 {
        let batch: String =
            (0..1000).map(|number| format!("set e{part}:{number} 0 1 1\r\nx\r\n")).collect();
        client.ask(batch, "STORED\r\n".repeat(1000));
    }
    wait_for("the memory of expired items", Duration::from_secs(8), || {
        (client.stat("curr_items")? == "0").then_some(())
    });
}
