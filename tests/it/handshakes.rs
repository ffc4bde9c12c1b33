//! Handshakes of TLS that stop, come in crowds or are reset.
#![forbid(unsafe_code)]

use std::time::Duration;

use rustls::version::TLS13;

use crate::authority::{Authority, VERSIONS, session};
use crate::client::{Client, Received};
use crate::harness::{PATIENCE, alone, moment, say, together};
use crate::tls::{client, count};

/// Handshakes that a thread has in flight, where there is memory for as many.
const HANDSHAKES_MAX: usize = 1024;

/// Within this time a client gets in beside two thousand that have stopped amid their handshakes: as long as those that
/// have places are waited for, and for each as many of its own address that came before it.
const GETS_IN: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(2)];

/// The messages of a client up to the end of each of its flights, and into the next one: it is closed
/// when its time is up, counted, and in nobody's way.
#[test]
fn handshakes_that_stop() {
    let _turn = together();
    let authority = Authority::new();
    let server = authority.serve(&["-t", "1", "-o", "ssl_handshake_timeout=1"]);
    let mut stopped = Vec::new();
    for version in VERSIONS {
        for (flights, part) in [(0, 1), (0, 100), (1, 0), (1, 1), (1, 20)] {
            let mut tls = session(&authority.config(version, None));
            let mut raw = server.connect();
            for flight in 0..=flights {
                let mut bytes = Vec::new();
                while tls.wants_write() {
                    tls.write_tls(&mut bytes).expect("memory");
                }
                let len = if flight == flights { part } else { bytes.len() };
                raw.send(&bytes[..len]);
                if flight < flights {
                    // One flight of a server is one write here.
                    assert_eq!(raw.receive(PATIENCE), Received::Some);
                    let answer = raw.pending().to_vec();
                    raw.consume(answer.len());
                    tls.read_tls(&mut answer.as_slice()).expect("memory");
                    tls.process_new_packets().expect("good records");
                }
            }
            stopped.push(raw);
        }
    }
    let mut silent = server.connect();
    let mut good = client(&server, &authority.config(&TLS13, None));
    good.ask("get k\r\n", "END\r\n");
    for client in &mut stopped {
        client.expect_closed();
    }
    assert_eq!(count(&mut good, "ssl_handshake_errors"), stopped.len() as u64);
    // Who has said nothing yet has no time that could be up.
    silent.secure(session(&authority.config(&TLS13, None))).expect("a good handshake");
    silent.ask("get k\r\n", "END\r\n");
    // Who leaves amid one is counted as well.
    let mut leaving = server.connect();
    leaving.send(b"\x16\x03\x01");
    leaving.shut_write();
    good.await_stat("ssl_handshake_errors", |count| count == stopped.len() as u64 + 1);
}

/// As many handshakes as there may be in flight stop: who comes then waits, and is served once one is given up,
/// which is sooner than it would be otherwise. Nobody else is given up for it.
#[test]
fn handshakes_in_flight_are_bounded() {
    let _turn = together();
    let authority = Authority::new();
    let args = ["-m", "128", "-t", "1", "-c", "2000", "-o", "ssl_handshake_timeout=3600"];
    let server = authority.serve(&args);
    let config = authority.config(&TLS13, None);
    let mut good = client(&server, &config);
    let stopped: Vec<Client> = (0..HANDSHAKES_MAX)
        .map(|_| {
            let mut raw = server.connect();
            raw.send(b"\x16\x03");
            raw
        })
        .collect();
    good.await_stat("curr_connections", |count| count == HANDSHAKES_MAX as u64 + 1);
    good.ask("get k\r\n", "END\r\n");
    let began = moment();
    let mut late: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut late {
        client.secure(session(&config)).expect("a good handshake");
        client.ask("get k\r\n", "END\r\n");
    }
    let waited = moment() - began;
    assert!(waited > Duration::from_millis(100), "nobody waited: {waited:?}");
    // One that came at a time.
    assert_eq!(count(&mut good, "ssl_handshake_errors"), 1);
    drop(stopped);
}

/// Thousands of sockets that stop after their first message, time and again: who goes on with its handshake gets in,
/// also from their address.
#[test]
fn sockets_that_stop_lock_nobody_out() {
    let _turn = alone();
    let authority = Authority::new();
    let server = authority.serve(&["-t", "1", "-c", "5000", "-o", "ssl_handshake_timeout=3600"]);
    let mut good = client(&server, &authority.config(&TLS13, None));
    let mut stopped: Vec<Client> = Vec::new();
    for round in 0..6 {
        let config = authority.config(VERSIONS[round % 2], None);
        let mut hello = Vec::new();
        session(&config).write_tls(&mut hello).expect("memory");
        // Of those before, half stay where they are.
        stopped.drain(..stopped.len() / 2);
        while stopped.len() < 2000 {
            let mut raw = server.connect();
            raw.send(&hello);
            stopped.push(raw);
        }
        let is_other = round >= 3;
        let host = if is_other { 2 } else { 1 };
        let began = moment();
        let mut client = Client::try_tcp_from(host, server.port()).expect("the server accepts");
        client.secure(session(&config)).expect("a good handshake");
        client.ask("get k\r\n", "END\r\n");
        let waited = moment() - began;
        say(&format!("tls: in after {waited:?} beside sockets that stop, from 127.0.0.{host}"));
        assert!(waited < GETS_IN[usize::from(is_other)], "{waited:?} in round {round}");
        good.ask("get k\r\n", "END\r\n");
    }
    assert!(count(&mut good, "ssl_handshake_errors") > 0, "none was in the way");
}

/// How long the one of a crowd's packets that is lost is waited for: after a second it is sent again.
const LOST: Duration = Duration::from_millis(1100);

/// A client that opens more connections at once than there are places, and goes on with none before all have begun, gets
/// all of them, though one that it opened needed a second packet for it.
#[test]
fn a_crowd_gets_in() {
    let _turn = alone();
    let authority = Authority::new();
    let server = authority.serve(&["-t", "1", "-c", "5000"]);
    let config = authority.config(&TLS13, None);
    let mut good = client(&server, &config);
    let mut begin = |number| {
        let began = moment();
        while number == 1000 && moment() - began < LOST {
            good.ask("get k\r\n", "END\r\n");
        }
        let (mut raw, mut session) = (server.connect(), session(&config));
        let mut hello = Vec::new();
        session.write_tls(&mut hello).expect("memory");
        raw.send(&hello);
        (raw, session)
    };
    let crowd: Vec<_> = (0..2000).map(&mut begin).collect();
    for (mut client, session) in crowd {
        client.secure(session).expect("a good handshake");
        client.ask("get k\r\n", "END\r\n");
    }
}

/// Who resets its connection when it is to be told of a failure, or of the handshake's end, takes no place
/// with it.
#[test]
fn places_of_those_that_reset_are_free() {
    let _turn = together();
    let authority = Authority::new();
    let server = authority.serve(&["-t", "1", "-c", "2000", "-o", "ssl_session_cache"]);
    let config = authority.config(&TLS13, None);
    let mut good = client(&server, &config);
    for round in 0..4 * HANDSHAKES_MAX {
        let mut raw = server.connect();
        if round % 4 == 0 {
            // Behind its last flight, which is answered by tickets.
            raw.secure(session(&config)).expect("a good handshake");
        } else {
            raw.send("get k\r\nget k\r\n");
        }
        drop(raw);
    }
    good.await_stat("curr_connections", |count| count == 1);
    client(&server, &config).ask("get k\r\n", "END\r\n");
}
