//! Waiting for memory: what a client is answered when there is room at last, and when there is not.

use std::any::Any;

use super::*;
use crate::store::{Meta, Room, Terms};

/// Bytes of what others hold: some of them fill what there is for large values.
const LARGE: usize = 900_000;

const NOW: Secs = Secs(SECS);

/// Values that hold memory until they are dropped.
type Holders = Vec<Box<dyn Any>>;

/// Uploads of others, up to one that has no room for more.
fn uploads(shared: &Shared) -> Holders {
    let store = &shared.store;
    let mut holders = Holders::new();
    let mut is_filled = true;
    while is_filled {
        let key = format!("up:{}", holders.len());
        let key = store.key(key.as_bytes());
        let mut upload =
            store.reserve(&Terms::default(), &key, Meta::default(), LARGE, NOW).unwrap();
        is_filled = upload.fill(&vec![b'u'; LARGE - 1], NOW).is_ok();
        holders.push(Box::new(upload));
    }
    holders
}

/// Values that others are being sent, until there is no room for more, and beside them the value of the key
/// `large`, which is not.
fn pins(shared: &Shared) -> Holders {
    let mut client = Client::new(shared);
    let value = "v".repeat(LARGE);
    let set = |client: &mut Client<'_>, key: &str| {
        client.check(&format!("set {key} 0 0 {LARGE}\r\n{value}\r\n"), "STORED\r\n");
    };
    let holders = (0..)
        .map_while(|number| {
            let name = format!("pinned:{number}");
            set(&mut client, &name);
            let key = shared.store.key(name.as_bytes());
            let bytes = shared.store.bytes_to_pin(&key, NOW);
            shared
                .store
                .has_room(Room::Pin { bytes })
                .then(|| shared.store.get(&key, NOW, |hit| hit.pin()).unwrap())
                .map(|value| Box::new(value) as Box<dyn Any>)
        })
        .collect();
    set(&mut client, "large");
    holders
}

/// What is answered to `send`, cut at many points: with holders that go when it waits, if `is_relieved`.
#[track_caller]
fn check_waits(
    hold: impl Fn(&Shared) -> Holders,
    is_relieved: bool,
    send: &[u8],
    receive: &[u8],
    waits: bool,
) {
    let cuts = [0, 1, 5, 20, 24, 60, 5_000, 70_000, send.len() / 2, send.len() - 1];
    let mut counts = Vec::new();
    for path in [Path::Input, Path::Item] {
        for cut in cuts.into_iter().filter(|cut| *cut < send.len()) {
            let shared = shared_with(options(), &store_options());
            let mut held = Some(hold(&shared));
            let relief = if is_relieved { held.take() } else { None };
            let mut client = Client { path, relief, ..Client::new(&shared) };
            let (left, right) = send.split_at(cut);
            client.send(left);
            client.send(right);
            assert_same(receive, &client.answers());
            assert_eq!(client.waits > 0, waits, "cut at {cut}");
            assert!(client.unread.is_empty() && !client.session.is_midway());
            let refused = shared.metrics.total(Counter::MemoryWaitsOver);
            assert_eq!(refused, u64::from(waits && !is_relieved));
            counts.push(
                [Counter::CmdGet, Counter::GetHits, Counter::CmdSet]
                    .map(|counter| shared.metrics.total(counter)),
            );
            assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
            drop(client);
            drop(held);
            assert_eq!((shared.store.uploading_bytes(), shared.store.pinned_bytes()), (0, 0));
            assert!(!shared.store.is_careful());
        }
    }
}

fn set(key: &str, len: usize) -> Vec<u8> {
    format!("set {key} 0 0 {len}\r\n{}\r\n", "n".repeat(len)).into_bytes()
}

fn shown(key: &str, len: usize, byte: &str) -> String {
    format!("VALUE {key} 0 {len}\r\n{}\r\n", byte.repeat(len))
}

#[test]
fn a_large_upload_waits_for_others() {
    let send = [&set("new", 300_000), b"version\r\n".as_slice()].concat();
    check_waits(uploads, true, &send, b"STORED\r\nVERSION 1.6.45-test\r\n", true);
}

#[test]
fn an_upload_that_has_waited_in_vain_is_refused_once_all_of_it_has_come() {
    let send = [&set("new", 300_000), b"get new\r\n".as_slice()].concat();
    let refused = b"SERVER_ERROR Out of memory during read\r\nEND\r\n";
    check_waits(uploads, false, &send, refused, true);
    let meta = [b"ms new 300000 O7\r\n", "n".repeat(300_000).as_bytes(), b"\r\nmn\r\n"].concat();
    let refused = b"SERVER_ERROR Out of memory during read\r\nMN\r\n";
    check_waits(uploads, false, &meta, refused, true);
}

/// Where many large values arrive, there is room for small ones.
#[test]
fn small_uploads_do_not_wait() {
    for len in [1, 100, 5_000, 20_000] {
        let send = [&set("new", len), b"version\r\n".as_slice()].concat();
        check_waits(uploads, false, &send, b"STORED\r\nVERSION 1.6.45-test\r\n", false);
    }
}

#[test]
fn a_large_value_waits_to_be_sent() {
    let value = shown("large", LARGE, "v");
    let send = b"set s 0 0 1\r\nx\r\nget s large s\r\nmg s v\r\nversion\r\n";
    let receive = format!(
        "STORED\r\n{0}{value}{0}END\r\nVA 1\r\nx\r\nVERSION 1.6.45-test\r\n",
        shown("s", 1, "x")
    );
    check_waits(pins, true, send, receive.as_bytes(), true);
    let send = b"get large\r\nversion\r\n";
    let receive = format!("{value}END\r\nVERSION 1.6.45-test\r\n");
    check_waits(pins, true, send, receive.as_bytes(), true);
    let send = b"gat 0 large\r\nmg large v\r\nmg large s\r\n";
    let meta = format!("VA {LARGE}\r\n{}\r\nHD s{LARGE}\r\n", "v".repeat(LARGE));
    check_waits(pins, true, send, format!("{value}END\r\n{meta}").as_bytes(), true);
}

#[test]
fn a_reader_that_has_waited_in_vain_is_refused() {
    let small = shown("s", 1, "x");
    let refusal = "SERVER_ERROR out of memory writing get response\r\n";
    let send = b"set s 0 0 1\r\nx\r\nget s large s\r\nget s\r\n";
    let receive = format!("STORED\r\n{small}{refusal}{small}END\r\n");
    check_waits(pins, false, send, receive.as_bytes(), true);
    let receive = format!("{refusal}VERSION 1.6.45-test\r\n");
    check_waits(pins, false, b"mg large v s\r\nversion\r\n", receive.as_bytes(), true);
    check_waits(pins, false, b"get large\r\nversion\r\n", receive.as_bytes(), true);
    let mut send = vec![0x80, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0];
    send.extend_from_slice(b"large");
    let mut receive = vec![0x81, 0, 0, 0, 0, 0, 0, 0x82, 0, 0, 0, 13, 0, 0, 0, 9];
    receive.extend_from_slice(&[0; 8]);
    receive.extend_from_slice(b"Out of memory");
    check_waits(pins, false, &send, &receive, true);
}

/// What costs nothing more does not wait: misses, what is pinned already, and what shows no value.
#[test]
fn only_what_would_be_pinned_waits() {
    let value = shown("pinned:0", LARGE, "v");
    let receive = format!("{value}END\r\nEND\r\nHD s{LARGE}\r\n");
    check_waits(
        pins,
        false,
        b"get pinned:0\r\nget no\r\nmg large s\r\n",
        receive.as_bytes(),
        false,
    );
}

/// A datagram's answer is copied at once: it waits for nobody.
#[test]
fn datagrams_do_not_wait() {
    let shared = shared_with(options(), &store_options());
    let held = pins(&shared);
    let client = Client::new(&shared);
    let mut answer = Vec::new();
    let mut datagram = Datagram::new(Protocol::Auto);
    while datagram.advance(b"get large\r\n", &mut answer, &mut client.turn()) != Next::Answer {}
    assert_eq!(answer, format!("{}END\r\n", shown("large", LARGE, "v")).into_bytes());
    drop(held);
}

/// What others need can be taken from a value that stands still; its client is told at the end.
#[test]
fn a_value_can_be_taken_while_it_arrives() {
    for cut in [30, 30_000, 99_999, 100_019] {
        let shared = shared();
        let mut client = Client::new(&shared);
        let send = set("a", 100_000);
        client.send(&send[..cut]);
        let arrival = client.session.arrival().expect("amid a value");
        assert!(arrival.held > 0 && arrival.remaining <= 100_000);
        client.session.take_arrival(shared.metrics.block(0));
        assert_eq!((shared.store.uploading_bytes(), client.session.arrival()), (0, None));
        client.send(&send[cut..]);
        assert_same(b"SERVER_ERROR Out of memory during read\r\n", &client.answers());
        assert_eq!(shared.metrics.total(Counter::StoreNoMemory), 1);
        client.check("get a\r\n", "END\r\n");
    }
}
