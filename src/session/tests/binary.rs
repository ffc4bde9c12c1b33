//! Packets, for every way of cutting them into reads. Sections are those of the binary protocol's
//! description. What takes uniques, and memcached's own answers, are in `tests/cases`.

use super::*;
use crate::limits::{DETAIL_PACKET_BYTES_MAX, OUTPUT_HIGH_WATER_BYTES};
use crate::protocol::binary::{HEADER_LEN, MAGIC};

const OPAQUE: [u8; 4] = [0xca, 0xfe, 0, 1];

/// Flags and exptime of a store.
const EXTRAS: [u8; 8] = [0, 0, 0, 7, 0, 0, 0, 0];

fn header(start: [u8; 2], key_len: usize, extras_len: usize, status: u16, body: usize) -> Vec<u8> {
    let mut bytes = start.to_vec();
    bytes.extend((key_len as u16).to_be_bytes());
    bytes.extend([extras_len as u8, 0]);
    bytes.extend(status.to_be_bytes());
    bytes.extend((body as u32).to_be_bytes());
    bytes.extend(OPAQUE);
    bytes.extend([0; 8]);
    bytes
}

fn packet(start: [u8; 2], status: u16, extras: &[u8], key: &str, value: &[u8]) -> Vec<u8> {
    let body = [extras, key.as_bytes(), value].concat();
    [header(start, key.len(), extras.len(), status, body.len()), body].concat()
}

pub(super) fn ask(opcode: u8, extras: &[u8], key: &str, value: &[u8]) -> Vec<u8> {
    packet([MAGIC, opcode], 0, extras, key, value)
}

pub(super) fn told(opcode: u8, extras: &[u8], key: &str, value: &[u8]) -> Vec<u8> {
    packet([0x81, opcode], 0, extras, key, value)
}

pub(super) fn error(opcode: u8, status: u16, text: &str) -> Vec<u8> {
    packet([0x81, opcode], status, b"", "", text.as_bytes())
}

fn set(key: &str, value: &[u8]) -> Vec<u8> {
    ask(0x01, &EXTRAS, key, value)
}

fn get(key: &str) -> Vec<u8> {
    ask(0x00, b"", key, b"")
}

fn hit(value: &[u8]) -> Vec<u8> {
    told(0x00, &EXTRAS[..4], "", value)
}

const STORED: u8 = 0x01;

/// Items without uniques, so that every answer is known to the byte.
fn plain() -> Shared {
    shared_with(options(), &store::Options { cas: false, ..store_options() })
}

fn with_cas() -> Shared {
    shared_with(Options { cas: true, ..options() }, &store_options())
}

#[track_caller]
fn check(send: &[Vec<u8>], receive: &[Vec<u8>]) {
    let end = check_all_splits(plain, &send.concat(), &receive.concat());
    assert_eq!(end, None);
}

#[track_caller]
fn check_closes(send: &[Vec<u8>], receive: &[Vec<u8>]) {
    let end = check_all_splits(plain, &send.concat(), &receive.concat());
    assert_eq!(end, Some(Want::Close));
}

#[test]
fn stores_and_lookups_section_4() {
    let stored = told(STORED, b"", "", b"");
    check(&[set("a", b"val"), get("a")], &[stored.clone(), hit(b"val")]);
    check(&[set("a", b""), get("a")], &[stored.clone(), hit(b"")]);
    check(
        &[set("a", b"b"), ask(0x0e, b"", "a", b"c"), ask(0x0f, b"", "a", b"a"), get("a")],
        &[stored.clone(), told(0x0e, b"", "", b""), told(0x0f, b"", "", b""), hit(b"abc")],
    );
    check(
        &[
            ask(0x03, &EXTRAS, "a", b"x"),
            ask(0x02, &EXTRAS, "a", b"x"),
            ask(0x02, &EXTRAS, "a", b"y"),
            ask(0x19, b"", "none", b"y"),
            ask(0x0c, b"", "a", b""),
            ask(0x0c, b"", "none", b""),
            get("none"),
        ],
        &[
            error(0x03, 1, "Not found"),
            told(0x02, b"", "", b""),
            error(0x02, 2, "Data exists for key."),
            error(0x19, 5, "Not stored."),
            told(0x0c, &EXTRAS[..4], "a", b"x"),
            packet([0x81, 0x0c], 1, b"", "none", b""),
            error(0x00, 1, "Not found"),
        ],
    );
    let exptime = [0, 0, 0, 0];
    check(
        &[
            set("a", b"x"),
            ask(0x1c, &exptime, "a", b""),
            ask(0x1d, &exptime, "a", b""),
            ask(0x24, &exptime, "none", b""),
            ask(0x24, &exptime, "a", b""),
            ask(0x04, b"", "a", b""),
            ask(0x14, b"", "a", b""),
        ],
        &[
            stored,
            told(0x1c, &EXTRAS[..4], "", b""),
            told(0x1d, &EXTRAS[..4], "", b"x"),
            told(0x24, &EXTRAS[..4], "a", b"x"),
            told(0x04, b"", "", b""),
            error(0x14, 1, "Not found"),
        ],
    );
}

#[test]
fn quiet_pipelines_section_4() {
    check(
        &[
            ask(0x11, &EXTRAS, "a", b"1"),
            ask(0x11, &EXTRAS, "b", b"2"),
            ask(0x09, b"", "a", b""),
            ask(0x09, b"", "none", b""),
            ask(0x0d, b"", "b", b""),
            ask(0x12, &EXTRAS, "a", b"1"),
            ask(0x18, b"", "", b""),
            ask(0x09, b"", "a", b""),
            ask(0x0a, b"", "", b""),
        ],
        &[
            told(0x09, &EXTRAS[..4], "", b"1"),
            told(0x0d, &EXTRAS[..4], "b", b"2"),
            error(0x12, 2, "Data exists for key."),
            told(0x0a, b"", "", b""),
        ],
    );
}

#[test]
fn unknown_opcodes_section_3() {
    check(
        &[
            ask(0x1b, &[1, 2, 3, 4], "key", b"value"),
            ask(0x20, b"", "", b""),
            ask(0x21, b"", "PLAIN", b"\0user\0password"),
            ask(0xff, b"", "", &[MAGIC; 100]),
            get("a"),
        ],
        &[
            error(0x1b, 0x81, "Unknown command"),
            error(0x20, 0x81, "Unknown command"),
            error(0x21, 0x81, "Unknown command"),
            error(0xff, 0x81, "Unknown command"),
            error(0x00, 1, "Not found"),
        ],
    );
}

#[test]
fn broken_packets_close_section_1() {
    let stored = || told(STORED, b"", "", b"");
    let invalid = |opcode| error(opcode, 4, "Invalid arguments");
    let noop = || ask(0x0a, b"", "", b"");
    check_closes(&[set("a", b"x"), ask(0x0a, b"", "", b"x"), noop()], &[stored(), invalid(0x0a)]);
    check_closes(&[ask(0x1c, &[0; 4], "a", &noop()), noop()], &[invalid(0x1c)]);
    check_closes(&[ask(0x10, b"", "items", b"x"), noop()], &[invalid(0x10)]);
    check_closes(&[get(&"k".repeat(KEY_LEN_MAX + 1)), noop()], &[invalid(0x00)]);
    let contradiction = header([MAGIC, 0x00], 3, 0, 0, 2);
    check_closes(&[contradiction, noop()], &[error(0x00, 0x81, "Unknown command")]);
    check_closes(&[set("a", b"x"), b"version\r\n".to_vec()], &[stored()]);
    check_closes(&[ask(0x07, b"", "", b""), noop()], &[told(0x07, b"", "", b"")]);
    check_closes(&[set("a", b"x"), ask(0x17, b"", "", b""), noop()], &[stored()]);
}

/// The first byte decides, for ever; a forced protocol does not ask it.
#[test]
fn protocols_section_1() {
    check_closes(&[ask(0x0a, b"", "", b""), b"get a\r\n".to_vec()], &[told(0x0a, b"", "", b"")]);
    let text = [b"version\r\n".to_vec(), get("a"), b"\r\n".to_vec()];
    check(&text, &[b"VERSION 1.6.45-test\r\nERROR\r\n".to_vec()]);
    let shared = plain();
    let mut client = Client { session: Session::of(Protocol::Ascii), ..Client::new(&shared) };
    client.send(&[&get("a")[..], b"\r\n"].concat());
    assert_same(b"ERROR\r\n", &client.answers());
    let mut client = Client { session: Session::of(Protocol::Binary), ..Client::new(&shared) };
    client.send(b"v");
    assert_eq!((client.end, client.answers()), (Some(Want::Close), Vec::new()));
}

#[test]
fn values_of_any_length() {
    for value_len in [COPY_VALUE_MAX - 1, COPY_VALUE_MAX, COPY_VALUE_MAX + 1, 200_000] {
        let value: Vec<u8> = (0..value_len).map(|i| (i % 251) as u8).collect();
        let send = [set("big", &value), ask(0x0d, b"", "big", b""), get("big")].concat();
        let receive =
            [told(STORED, b"", "", b""), told(0x0d, &EXTRAS[..4], "big", &value), hit(&value)];
        let shared = plain();
        for path in [Path::Input, Path::Item] {
            for piece_len in [send.len(), 65_536, 1_000] {
                let outcome = converse(&shared, path, send.chunks(piece_len));
                assert_same(&receive.concat(), &outcome.answers);
            }
        }
    }
}

#[test]
fn too_large_section_4() {
    let make = || {
        let store = store::Options { item_size_max: 1024, cas: false, ..store_options() };
        shared_with(options(), &store)
    };
    let value = [b'v'; 1500];
    for (opcode, extras, is_kept) in [
        (0x01, &EXTRAS[..], false),
        (0x11, &EXTRAS, false),
        (0x02, &EXTRAS, true),
        (0x13, &EXTRAS, true),
        (0x0e, b"", true),
        (0x1a, b"", true),
    ] {
        let send = [set("a", b"x"), ask(opcode, extras, "a", &value), get("a")].concat();
        let last = if is_kept { hit(b"x") } else { error(0x00, 1, "Not found") };
        let receive = [told(STORED, b"", "", b""), error(opcode, 3, "Too large."), last].concat();
        check_all_splits(make, &send, &receive);
    }
}

#[test]
fn a_full_store_without_evictions_refuses() {
    let store = store::Options { evictions: false, memory_bytes: 2 << 20, ..store_options() };
    let shared = shared_with(options(), &store);
    let mut client = Client::new(&shared);
    let refusal = error(0x11, 0x82, "Out of memory allocating item");
    let refused = (0..1000).any(|number| {
        client.send(&ask(0x11, &EXTRAS, &format!("k{number}"), &[b'v'; 10_000]));
        client.answers() == refusal
    });
    assert!(refused);
    assert_eq!(shared.metrics.total(Counter::StoreNoMemory), 0, "a counter of the text protocols");
}

#[test]
fn counters_of_stats_section_1() {
    let shared = with_cas();
    let mut client = Client::new(&shared);
    let sum = |exptime: u8| [&[0; 7][..], &[1], &[0; 8], &[exptime; 4]].concat();
    let with_unique = |mut packet: Vec<u8>| {
        packet[HEADER_LEN - 1] = 0xff;
        packet[HEADER_LEN - 8] = 0xff;
        packet
    };
    for packet in [
        set("a", b"1"),
        ask(0x02, &EXTRAS, "a", b"1"),
        ask(0x0e, b"", "a", b"0"),
        get("a"),
        ask(0x0d, b"", "b", b""),
        ask(0x1c, &[0; 4], "a", b""),
        ask(0x1e, &[0; 4], "b", b""),
        ask(0x05, &sum(0), "a", b""),
        ask(0x05, &sum(0xff), "b", b""),
        ask(0x06, &sum(0xff), "b", b""),
        ask(0x06, &sum(0), "made", b""),
        with_unique(set("a", b"1")),
        with_unique(set("none", b"1")),
        with_unique(ask(0x0e, b"", "a", b"1")),
        with_unique(ask(0x04, b"", "a", b"")),
        ask(0x04, b"", "b", b""),
        ask(0x14, b"", "a", b""),
        ask(0x08, b"", "", b""),
    ] {
        client.send(&packet);
    }
    // A value that has not come is no store yet.
    let begun = set("a", &[b'x'; 100]);
    client.send(&begun[..50]);
    for (counter, count) in [
        (Counter::CmdSet, 6),
        (Counter::CmdGet, 2),
        (Counter::GetHits, 1),
        (Counter::GetMisses, 1),
        (Counter::CmdTouch, 2),
        (Counter::TouchHits, 1),
        (Counter::TouchMisses, 1),
        (Counter::IncrHits, 1),
        (Counter::IncrMisses, 1),
        (Counter::DecrHits, 0),
        (Counter::DecrMisses, 1),
        (Counter::CasBadval, 1),
        (Counter::CasMisses, 1),
        (Counter::CasHits, 0),
        (Counter::DeleteHits, 1),
        (Counter::DeleteMisses, 1),
        (Counter::CmdFlush, 1),
    ] {
        assert_eq!(shared.metrics.total(counter), count, "{counter:?}");
    }
    client.send(&begun[50..]);
    assert_eq!(shared.metrics.total(Counter::CmdSet), 7);
}

#[test]
fn flushes_that_are_not_allowed_do_not_count() {
    let shared = shared_with(Options { flush: false, ..options() }, &store_options());
    let mut client = Client::new(&shared);
    client.send(&ask(0x18, &[0, 0, 0, 1], "", b""));
    assert_same(&error(0x18, 0x20, "Auth failure."), &client.answers());
    assert_eq!(shared.metrics.total(Counter::CmdFlush), 0);
}

/// Keys and values of a list of packets, which must end with one that has neither.
fn list(mut bytes: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    loop {
        let (head, rest) = bytes.split_at(HEADER_LEN);
        let key_len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let body_len = u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize;
        assert_eq!(head, header([0x81, 0x10], key_len, 0, 0, body_len));
        let (body, rest) = rest.split_at(body_len);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        if key_len == 0 {
            assert!(body.is_empty() && rest.is_empty(), "ends once");
            return found;
        }
        found.push((text(&body[..key_len]), text(&body[key_len..])));
        bytes = rest;
    }
}

/// The lists are those of the text protocol, with the same keys in the same order.
#[test]
fn lists_section_6() {
    let shared = plain();
    let mut client = Client::new(&shared);
    client.send(&set("a", b"x"));
    client.answers();
    let mut text = Client::new(&shared);
    for group in ["", "settings", "items", "slabs", "sizes"] {
        client.send(&ask(0x10, b"", group, b""));
        let packets = list(&client.answers());
        text.send(format!("stats {group}\r\n").as_bytes());
        let lines = String::from_utf8(text.answers()).unwrap();
        let keys: Vec<_> = lines.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(packets.iter().map(|(key, _)| key).collect::<Vec<_>>(), keys, "{group}");
        assert!(!packets.is_empty());
    }
    client.send(&ask(0x10, b"", "settingsX", b""));
    assert!(list(&client.answers()).contains(&("flush_enabled".to_owned(), "yes".to_owned())));
    client.send(&ask(0x10, b"", "reset", b""));
    assert_eq!(list(&client.answers()), []);
    assert_eq!(shared.metrics.total(Counter::CmdSet), 0);
    for group in ["conns", "itemsX", "set", "nope", "detail", "detail o"] {
        client.send(&ask(0x10, b"", group, b""));
        assert_same(&error(0x10, 1, "Not found"), &client.answers());
    }
}

/// A dump is one packet, and so has a bound; the text protocol's has none.
#[test]
fn a_long_detail_dump_is_refused_section_2() {
    // With memory for as many prefixes.
    let store = store::Options { memory_bytes: 64 << 20, cas: false, ..store_options() };
    let shared = shared_with(options(), &store);
    let mut client = Client::new(&shared);
    let mut text = Client::new(&shared);
    text.check("stats detail on\r\n", "OK\r\n");
    let gets =
        |from: usize| (0..1000).map(move |n| format!("get p{:05}:x\r\n", from + n)).collect();
    let dump = |client: &mut Client| {
        client.send(&ask(0x10, b"", "detail dump", b""));
        client.answers()
    };
    let mut compared = 0;
    for thousand in 0..8 {
        let gets: String = gets(thousand * 1000);
        text.send(gets.as_bytes());
        text.answers();
        let answer = dump(&mut client);
        if answer.len() < DETAIL_PACKET_BYTES_MAX / 2 {
            continue;
        }
        text.send(b"stats detail dump\r\n");
        let lines = text.answers();
        assert!(lines.len() <= DETAIL_PACKET_BYTES_MAX + 5);
        assert!(answer.windows(lines.len()).any(|window| window == lines));
        compared += 1;
    }
    assert!(compared > 0);
    assert_same(&error(0x10, 0x82, "Out of memory generating stats"), &dump(&mut client));
}

#[test]
fn every_turn_length_gives_the_same() {
    let send = [
        set("a", b"x"),
        ask(0x09, b"", "none", b"").repeat(7),
        get("a").repeat(5),
        ask(0x30, b"", "k", b"v"),
        ask(0x10, b"", "sizes", b""),
        ask(0x0a, b"", "", b""),
    ]
    .concat();
    let wanted = converse(&plain(), Path::Input, [&send[..]]);
    for requests_per_turn in 1..20 {
        let shared = plain();
        let mut client = Client { requests_per_turn, ..Client::new(&shared) };
        client.send(&send);
        assert_same(&wanted.answers, &client.answers());
    }
    let shared = plain();
    let mut client = Client::new(&shared);
    let mut turn = Turn { requests_left: 3, ..client.turn() };
    let input = ask(0x09, b"", "none", b"").repeat(5);
    let step = client.session.advance(&input, &mut client.out, &mut turn);
    assert_eq!(step, (input.len() / 5 * 3, Want::Turn), "quiet requests count too");
}

#[test]
fn answers_wait_for_their_reader() {
    for value_len in [1000, COPY_VALUE_MAX, 100_000] {
        let shared = plain();
        let mut client = Client { requests_per_turn: u32::MAX, ..Client::new(&shared) };
        client.send(&set("a", &vec![b'v'; value_len]));
        client.answers();
        let count = 4 * OUTPUT_HIGH_WATER_BYTES / value_len.min(COPY_VALUE_MAX);
        let input = get("a").repeat(count);
        let (mut at, mut drains, mut received) = (0, 0, 0);
        loop {
            let mut turn = client.turn();
            let (consumed, want) = client.session.advance(&input[at..], &mut client.out, &mut turn);
            at += consumed;
            assert!(client.out.weight() <= OUTPUT_HIGH_WATER_BYTES + COPY_VALUE_MAX + 100);
            client.read();
            received += client.answers().len();
            if want == Want::Input {
                break;
            }
            assert_eq!(want, Want::Drain);
            drains += 1;
        }
        assert!(drains >= 1, "{value_len}");
        assert_eq!(received, count * hit(&vec![b'v'; value_len]).len());
    }
}

#[test]
fn midway() {
    let shared = plain();
    let mut client = Client::new(&shared);
    let set = set("a", b"xyz");
    for (piece, is_midway) in [
        (&set[..1], true),
        (&set[1..HEADER_LEN], true),
        (&set[HEADER_LEN..34], true),
        (&set[34..], false),
        (&[][..], false),
    ] {
        client.send(piece);
        assert_eq!(client.session.is_midway(), is_midway, "{piece:?}");
    }
}
