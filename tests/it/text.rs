//! What of the text protocol a conversation file cannot say: long lines, many keys, all lengths.
#![forbid(unsafe_code)]

use crate::client::Client;
use crate::harness::{Program, Random, Server, together};

/// A value that tells its key and its place, so that mixed up bytes show.
fn value(key: &str, len: usize) -> Vec<u8> {
    let unit = format!("{key}/{len}:");
    unit.bytes().cycle().take(len).collect()
}

fn set(key: &str, value: &[u8]) -> Vec<u8> {
    [format!("set {key} 7 0 {}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}

fn hit(key: &str, value: &[u8]) -> Vec<u8> {
    [format!("VALUE {key} 7 {}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}

/// Whatever the path by which a value goes out (copied, pinned, in chunks), its bytes are the same.
#[test]
fn values_of_every_length_come_back() {
    let _turn = together();
    let server = Server::start(&["-m", "256", "-I", "8m"]);
    let mut client = server.connect();
    let mut lens: Vec<usize> = (0..200).collect();
    for around in
        [512, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144, 524_288, 1 << 20]
    {
        lens.extend([around - 60, around - 2, around - 1, around, around + 1, around + 2]);
    }
    lens.extend([3_000_000, 8_000_000]);
    for len in lens {
        let key = format!("len{len}");
        let value = value(&key, len);
        client.ask(set(&key, &value), "STORED\r\n");
        client.send(format!("get {key} nope {key}\r\n"));
        client.expect(hit(&key, &value));
        client.expect(hit(&key, &value));
        client.expect("END\r\n");
    }
}

/// Section 5: a retrieval has no limit of keys; 10,000 in one line, each answered in its place.
#[test]
fn multiget_of_10_000_keys() {
    let _turn = together();
    let server = Server::start(&["-m", "64"]);
    let mut client = server.connect();
    let keys: Vec<String> = (0..10_000).map(|number| format!("key:{number}")).collect();
    for part in keys.chunks(100) {
        let request: Vec<u8> = part.iter().flat_map(|key| set(key, &value(key, 20))).collect();
        client.ask(request, "STORED\r\n".repeat(part.len()));
    }
    for command in ["get", "gat 0"] {
        client.send(format!("{command} {}\r\n", keys.join(" ")));
        for key in &keys {
            client.expect(hit(key, &value(key, 20)));
        }
        client.expect("END\r\n");
    }
    client.send(format!("get {}\r\n", "nope ".repeat(10_000)));
    client.expect("END\r\n");
    client.send(format!("get {}\r\n", "key:77 ".repeat(10_000)));
    client.expect(hit("key:77", &value("key:77", 20)).repeat(10_000));
    client.expect("END\r\n");
}

/// Bad inputs, item 10: a million keys that are not there, in one line.
#[test]
fn multiget_of_a_million_misses() {
    let _turn = together();
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send("get");
    for part in 0..100 {
        let keys: String = (0..10_000).map(|key| format!(" miss{}", part * 10_000 + key)).collect();
        client.send(keys);
    }
    client.ask("\r\n", "END\r\n");
    assert_eq!(client.stat("get_misses").as_deref(), Some("1000000"));
}

/// Bad inputs, item 1: key lengths about the bound, for every command with a key.
#[test]
fn key_lengths_about_the_bound() {
    let _turn = together();
    let server = Server::start(&[]);
    let mut client = server.connect();
    let bad = "CLIENT_ERROR bad command line format\r\n";
    for len in [1, 2, 249, 250, 251, 252, 300] {
        let key = "k".repeat(len);
        let answer = |good: &'static str| if len <= 250 { good } else { bad };
        client.ask(format!("set {key} 0 0 2\r\n10\r\n"), answer("STORED\r\n"));
        client.ask(format!("add {key} 0 0 1\r\n1\r\n"), answer("NOT_STORED\r\n"));
        client.ask(format!("replace {key} 0 0 2\r\n10\r\n"), answer("STORED\r\n"));
        client.ask(format!("append {key} 0 0 1\r\n0\r\n"), answer("STORED\r\n"));
        client.ask(format!("prepend {key} 0 0 1\r\n1\r\n"), answer("STORED\r\n"));
        client.ask(format!("cas {key} 0 0 1 0\r\n1\r\n"), answer("EXISTS\r\n"));
        client.ask(format!("incr {key} 1\r\n"), answer("1101\r\n"));
        client.ask(format!("decr {key} 1\r\n"), answer("1100\r\n"));
        client.ask(format!("touch {key} 0\r\n"), answer("TOUCHED\r\n"));
        let found = format!("VALUE {key} 0 4\r\n1100\r\nEND\r\n");
        let found = if len <= 250 { found.as_str() } else { bad };
        client.ask(format!("get {key}\r\n"), found);
        client.ask(format!("gat 0 {key}\r\n"), found);
        client.ask(format!("delete {key}\r\n"), answer("DELETED\r\n"));
    }
    client.assert_in_step(&Program::target().version);
}

/// Every byte but space and LF can be part of a key (a CR only inside it).
#[test]
fn every_byte_can_be_in_a_key() {
    let _turn = together();
    let server = Server::start(&[]);
    let mut client = server.connect();
    for byte in (0..=255_u8).filter(|byte| !matches!(byte, b' ' | b'\n')) {
        let key = [b'a', byte, b'b'];
        client.ask([b"set ", &key[..], b" 0 0 1\r\n", &[byte], b"\r\n"].concat(), "STORED\r\n");
        let found = [b"VALUE ", &key[..], b" 0 1\r\n", &[byte], b"\r\nEND\r\n"].concat();
        client.ask([b"get ", &key[..], b"\r\n"].concat(), found);
    }
    client.assert_in_step(&Program::target().version);
}

/// One conversation cut at random places many times over gives the same answers as in one piece.
#[test]
fn random_cuts_change_nothing() {
    let _turn = together();
    let mut random = Random::new("random_cuts_change_nothing");
    let server = Server::start(&[]);
    let mut request = Vec::new();
    let mut answer = Vec::new();
    for number in 0..40 {
        let key = format!("cut{number}");
        let value = value(&key, 1 << (number % 14));
        request.extend(set(&key, &value));
        request.extend(format!("get {key} nope {key}\r\nfoo\r\n\r\nincr nope 1\r\n").as_bytes());
        request.extend(format!("get {}\r\n", "k".repeat(251)).as_bytes());
        answer.extend(b"STORED\r\n");
        answer.extend([hit(&key, &value), hit(&key, &value)].concat());
        answer.extend(b"END\r\nERROR\r\nCLIENT_ERROR bad command line format\r\nNOT_FOUND\r\n");
        answer.extend(b"CLIENT_ERROR bad command line format\r\n");
    }
    for _ in 0..20 {
        let mut client = server.connect();
        let mut rest = &request[..];
        while !rest.is_empty() {
            let cut = 1 + random.below(3000.min(rest.len() as u64)) as usize;
            client.send(&rest[..cut]);
            rest = &rest[cut..];
        }
        client.expect(&answer);
        client.assert_in_step(&Program::target().version);
    }
}

/// One sequence of uniques over all keys and threads, from 2 on (section 4).
#[test]
fn uniques_are_one_sequence() {
    let _turn = together();
    let server = Server::start(&["-m", "1024", "-t", "4"]);
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for number in 2..100 {
        let key = format!("key{number}");
        clients[number % 3].ask(format!("set {key} 0 0 1\r\nx\r\n"), "STORED\r\n");
        clients[3]
            .ask(format!("gets {key}\r\n"), format!("VALUE {key} 0 1 {number}\r\nx\r\nEND\r\n"));
    }
}

/// `version` is the release of memcached whose protocol is spoken, and `stats` knows our own.
#[test]
fn versions_are_as_said() {
    let _turn = together();
    let program = Program::target();
    if program.path.ends_with("nuthatch") {
        let server = Server::start(&[]);
        let mut client = server.connect();
        client.ask("version\r\n", "VERSION 1.6.45\r\n");
        assert_eq!(client.stat("version").as_deref(), Some("1.6.45"));
        let ours = concat!("nuthatch-", env!("CARGO_PKG_VERSION"));
        assert_eq!(client.stat("libevent").as_deref(), Some(ours));
    }
}
