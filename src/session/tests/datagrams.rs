//! Datagrams, behaviour section 7: every request answered by itself, none that is not complete.

use super::*;
use crate::limits::DATAGRAM_ANSWERS_MAX_BYTES;
use crate::protocol::Reply;

/// What is answered to `payload`, request by request, and what comes last.
pub(super) fn answers(shared: &Shared, payload: &[u8]) -> (Vec<Vec<u8>>, Next) {
    let client = Client::new(shared);
    let mut datagram = Datagram::new(Protocol::Auto);
    let (mut all, mut answer) = (Vec::new(), Vec::new());
    loop {
        let mut turn = client.turn();
        match datagram.advance(payload, &mut answer, &mut turn) {
            // Amid a list it has none left, whatever there were.
            Next::Turn => assert!([0, 19].contains(&turn.requests_left)),
            Next::Answer => all.push(std::mem::take(&mut answer)),
            end => {
                assert!(answer.is_empty());
                return (all, end);
            }
        }
    }
}

#[track_caller]
fn check(shared: &Shared, payload: &str, want: &[&str]) {
    let (got, end) = answers(shared, payload.as_bytes());
    let got: Vec<_> = got.iter().map(|answer| answer.escape_ascii().to_string()).collect();
    let want: Vec<_> = want.iter().map(|answer| answer.escape_default().to_string()).collect();
    assert_eq!(got, want, "{payload:?}");
    assert_eq!(end, Next::Over, "{payload:?}");
}

#[test]
fn datagrams_section_7() {
    let shared = shared();
    check(&shared, "set a 0 0 1\r\nx\r\n", &["STORED\r\n"]);
    check(&shared, "get a\r\n", &["VALUE a 0 1\r\nx\r\nEND\r\n"]);
    // One sequence for all keys, unlike memcached.
    check(&shared, "get a nope a\r\n", &["VALUE a 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\nEND\r\n"]);
    check(
        &shared,
        "get nope\r\nincr n 1\r\nset n 0 0 1\r\n5\r\nincr n 1\r\nfoo\r\n\r\nmn\r\n",
        &[
            "END\r\n",
            "NOT_FOUND\r\n",
            "STORED\r\n",
            "6\r\n",
            "ERROR\r\n",
            "CLIENT_ERROR bad command line format\r\n",
            "MN\r\n",
        ],
    );
    check(
        &shared,
        "mn\r\nmg n v\r\nmg nope v q\r\nmg nope v\r\n",
        &["MN\r\n", "VA 1\r\n6\r\n", "", "EN\r\n"],
    );
    check(&shared, "delete n noreply\r\nget n\r\n", &["", "END\r\n"]);
    check(&shared, "set n 0 0 1 noreply\r\nx\r\n", &[]);
    check(
        &shared,
        "set b 0 0 1\r\nxyz\r\n",
        &["CLIENT_ERROR bad data chunk\r\n", "CLIENT_ERROR bad command line format\r\n"],
    );
}

#[test]
fn what_is_not_complete_is_forgotten_section_7() {
    let shared = shared();
    for payload in
        ["get a", "set a 0 0 5\r\nxyz", "set a 0 0 5\r\n", "set a x 0 5\r\nxy", "gets a b"]
    {
        check(&shared, payload, &[]);
    }
    check(&shared, "get a\r\nset a 0 0 5\r\nxyz", &["END\r\n"]);
    check(&shared, "get a\r\nget a b", &["END\r\n"]);
    let long = format!("set a 0 0 40000\r\n{}", "x".repeat(39_000));
    check(&shared, &long, &[]);
    check(&shared, "get a\r\n", &["END\r\n"]);
    let totals = shared.store.totals();
    assert_eq!((totals.curr_items, totals.bytes), (0, 0));
    check(&shared, &"x".repeat(5000), &[]);
    check(&shared, "GET / HTTP/1.1\r\nget a\r\n", &[]);
    check(&shared, "", &[]);
}

#[test]
fn what_another_server_answers_is_not_answered_for_ever() {
    let shared = shared();
    check(&shared, "ERROR\r\n", &[]);
    for payload in ["STORED\r\n", "END\r\n", "error\r\n", "CLIENT_ERROR line too long\r\n"] {
        check(&shared, payload, &["ERROR\r\n"]);
    }
}

#[test]
fn large_values_section_7() {
    let shared = shared();
    let value = "x".repeat(50_000);
    check(&shared, &format!("set a 0 0 50000\r\n{value}\r\n"), &["STORED\r\n"]);
    check(&shared, "get a\r\n", &[&format!("VALUE a 0 50000\r\n{value}\r\nEND\r\n")]);
    let mut client = Client::new(&shared);
    let largest = "y".repeat((1 << 20) - 59 - 1);
    client.check(&format!("set b 0 0 {}\r\n{largest}\r\n", largest.len()), "STORED\r\n");
    let whole = format!("VALUE b 0 {}\r\n{largest}\r\nEND\r\n", largest.len());
    check(&shared, "get b\r\n", &[&whole]);
    let too_long = String::from_utf8_lossy(Reply::TooLongForUdp.line()).into_owned();
    check(&shared, "get a b\r\n", &[&too_long]);
    check(
        &shared,
        "version\r\nget b\r\nversion\r\n",
        &["VERSION 1.6.45-test\r\n", &whole, "VERSION 1.6.45-test\r\n"],
    );
    // The bound is one for the whole datagram.
    check(
        &shared,
        "get a\r\nget b\r\nversion\r\n",
        &[&format!("VALUE a 0 50000\r\n{value}\r\nEND\r\n"), &too_long],
    );
    assert!(whole.len() < DATAGRAM_ANSWERS_MAX_BYTES);
}

#[test]
fn what_needs_a_connection_section_7() {
    let shared = shared_with(
        Options { watch: true, shutdown: true, dump: true, ..options() },
        &store_options(),
    );
    let refused = String::from_utf8_lossy(Reply::NotOverUdp.line()).into_owned();
    check(&shared, "watch\r\nversion\r\n", &[&refused]);
    check(&shared, "stats conns\r\n", &[&refused]);
    assert_eq!(shared.store.hub().totals().log_watchers, 0);
    let end = |payload: &str| answers(&shared, payload.as_bytes());
    assert_eq!(
        end("version\r\nquit\r\nversion\r\n"),
        (vec![b"VERSION 1.6.45-test\r\n".to_vec()], Next::Quit)
    );
    assert_eq!(end("shutdown graceful\r\n"), (vec![], Next::Shutdown { graceful: true }));
    let mut client = Client::new(&shared);
    for n in 0..2000 {
        client.check(&format!("set k{n} 0 0 1\r\nx\r\n"), "STORED\r\n");
    }
    let (dump, _) = end("lru_crawler metadump all\r\n");
    assert_eq!(dump.len(), 1, "a list of some length is one answer");
    assert!(dump[0].starts_with(b"OK\r\nkey=k") || dump[0].starts_with(b"key=k"));
    assert!(dump[0].ends_with(b"\nEND\r\n"));
    assert_eq!(dump[0].iter().filter(|byte| **byte == b'\n').count(), 2002);
}

/// A packet of the binary protocol without extras.
fn packet(opcode: u8, key: &[u8], opaque: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, opcode, 0, key.len() as u8, 0, 0, 0, 0, 0, 0, 0, key.len() as u8];
    bytes.extend_from_slice(&opaque.to_be_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(key);
    bytes
}

#[test]
fn packets_section_7() {
    let shared = shared();
    let (get, getq, noop, quit) = (0x00, 0x09, 0x0a, 0x07);
    let send =
        [packet(getq, b"a", 1), packet(get, b"a", 2), packet(noop, b"", 3), packet(quit, b"", 4)];
    let (got, end) = answers(&shared, &send.concat());
    let seen: Vec<_> = got
        .iter()
        .map(|answer| answer.get(..16).map(|head| (head[1], head[7], head[15])))
        .collect();
    assert_eq!(seen, [None, Some((get, 1, 2)), Some((noop, 0, 3)), Some((quit, 0, 4))]);
    assert_eq!(end, Next::Over);
    let mut cut = packet(get, b"abc", 1);
    cut.pop();
    assert_eq!(answers(&shared, &cut), (vec![], Next::Over));
    let mixed = [packet(noop, b"", 1), b"version\r\n".to_vec()].concat();
    assert_eq!(answers(&shared, &mixed).0.len(), 1);

    let shared =
        shared_with(options(), &store::Options { item_size_max: 2 << 20, ..store_options() });
    let value = "x".repeat(1_500_000);
    Client::new(&shared).check(&format!("set a 0 0 1500000\r\n{value}\r\n"), "STORED\r\n");
    let (got, end) = answers(&shared, &packet(get, b"a", 77));
    assert_eq!((got.len(), end), (1, Next::Over));
    assert_eq!((got[0][1], got[0][7], got[0][15]), (get, 3, 77), "too large");
}
