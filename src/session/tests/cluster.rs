//! How clients find the nodes of their cluster, for every way of cutting what they send. What it is like without
//! a list is in `tests/cases`.

use super::binary::{ask, error, told};
use super::*;
use crate::discovery::Discovery;
use crate::limits::{CLUSTER_BYTES_MAX, CLUSTER_UPLOADS_MAX};

const NODES: &str = "12\na.example.com|10.0.0.1|11211 b.example.com|10.0.0.2|11211\n";

/// What is shown of `text`.
fn config(text: &str) -> String {
    format!("CONFIG cluster 0 {}\r\n{text}\r\n", text.len())
}

fn set(text: &str) -> String {
    format!("config set cluster 0 {}\r\n{text}\r\n", text.len())
}

fn serving(shared: Shared) -> Shared {
    Shared { discovery: Some(Discovery::fixed(NODES.as_bytes()).unwrap()), ..shared }
}

fn open() -> Shared {
    serving(shared())
}

#[track_caller]
fn check(send: &str, receive: &str) {
    check_all_splits(open, send.as_bytes(), receive.as_bytes());
}

#[test]
fn clients_are_shown_the_nodes() {
    let shown = config(NODES);
    check("config get cluster\r\n", &format!("{shown}END\r\n"));
    check("config get\nconfig get other\n", &format!("{shown}END\r\nEND\r\n"));
    let item = format!("AmazonElastiCache:cluster 0 {}", NODES.len());
    check(
        "get AmazonElastiCache:cluster\r\nget a AmazonElastiCache:cluster b\r\ngets AmazonElastiCache:cluster\r\n",
        &format!(
            "VALUE {item}\r\n{NODES}\r\nEND\r\nVALUE {item}\r\n{NODES}\r\nEND\r\nVALUE {item} 0\r\n{NODES}\r\nEND\r\n"
        ),
    );
    // It is no item, and who stores one of that name changes nothing for those who look for nodes.
    check(
        "set AmazonElastiCache:cluster 0 0 1\r\nx\r\nget AmazonElastiCache:cluster\r\n\
         config delete cluster\r\nget AmazonElastiCache:cluster\r\n\
         gat 0 AmazonElastiCache:cluster\r\n",
        &format!(
            "STORED\r\nVALUE {item}\r\n{NODES}\r\nEND\r\nDELETED\r\nEND\r\n\
             VALUE AmazonElastiCache:cluster 0 1\r\nx\r\nEND\r\n"
        ),
    );
    check("delete AmazonElastiCache:cluster\r\n", "NOT_FOUND\r\n");
}

#[test]
fn clients_put_others_in_their_place() {
    let other = "13\nc||1\n";
    check(
        &format!("{}config get cluster\r\n", set(other)),
        &format!("STORED\r\n{}END\r\n", config(other)),
    );
    let quiet = "config set cluster 0 7 noreply\r\n13\nc||1\r\nconfig get cluster\r\n";
    check(quiet, &format!("{}END\r\n", config("13\nc||1\n")));
    check(
        "config delete cluster\r\nconfig get cluster\r\nget AmazonElastiCache:cluster\r\nconfig delete cluster\r\nconfig delete other\r\n",
        "DELETED\r\nEND\r\nEND\r\nNOT_FOUND\r\nNOT_FOUND\r\n",
    );
    check("config delete cluster noreply\r\nconfig get\r\n", "END\r\n");
}

#[test]
fn what_is_no_list_changes_nothing() {
    let still = format!("{}END\r\n", config(NODES));
    for text in ["", "13", "13\n", "c||1", "13\nc||0", "x\nc||1"] {
        let send = format!("{}config get cluster\r\n", set(text));
        check(&send, &format!("CLIENT_ERROR bad cluster configuration\r\n{still}"));
    }
    check("config set cluster 0 3\r\n13\nc||1\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n");
    check(
        "config set other 0 7\r\n13\nc||1\r\nconfig set cluster x 7\r\n13\nc||1\r\n",
        "CLIENT_ERROR only cluster can be configured\r\nCLIENT_ERROR bad command line format\r\n",
    );
    check(
        "config set cluster 0\r\nconfig get a b\r\nconfig delete\r\nconfig list\r\nconfig\r\n",
        &format!("{}ERROR\r\nERROR\r\n", "CLIENT_ERROR bad command line format\r\n".repeat(3)),
    );
    let large = " ".repeat(CLUSTER_BYTES_MAX + 1);
    let send = format!("{}config get\r\n", set(&large));
    check(&send, &format!("SERVER_ERROR object too large for cache\r\n{still}"));
    let largest = format!("13\nc||1{}", "\n".repeat(CLUSTER_BYTES_MAX - 7));
    check(&set(&largest), "STORED\r\n");
}

#[test]
fn a_list_on_its_way_is_accounted_for() {
    let shared = open();
    let mut client = Client::new(&shared);
    client.send(b"config set cluster 0 60000\r\n");
    assert_eq!(client.session.missing_bytes(), Some(60002));
    client.send(&[b'x'; 50000]);
    assert_eq!(client.session.missing_bytes(), Some(10002));
    assert!(client.session.held_bytes().0 >= 50000 && client.session.is_midway());
    client
        .check(&format!("{}\r\n", "x".repeat(10000)), "CLIENT_ERROR bad cluster configuration\r\n");
    assert_eq!(client.session.held_bytes(), (0, 0));
}

#[test]
fn changing_them_is_for_administrators() {
    let guarded = || serving(logins::guarded());
    let login = |user: &str, password: &str| {
        format!("set auth 0 0 {}\r\n{user} {password}\r\n", user.len() + 1 + password.len())
    };
    let check = |user, password, send: &str, receive: &str| {
        let send = format!("{}{send}", login(user, password));
        check_all_splits(guarded, send.as_bytes(), format!("STORED\r\n{receive}").as_bytes());
    };
    let other = set("13\nc||1\n");
    let shown = format!("{}END\r\n", config(NODES));
    let denied = "CLIENT_ERROR permission denied\r\n";
    for (user, password) in [("reader", "r"), ("writer", "w"), ("app", "a")] {
        let send =
            format!("config get cluster\r\n{other}config delete cluster\r\nconfig get cluster\r\n");
        check(user, password, &send, &format!("{shown}{denied}{denied}{shown}"));
    }
    // Reading it needs no right at all, in either way.
    let item = format!("VALUE AmazonElastiCache:cluster 0 {}\r\n{NODES}\r\nEND\r\n", NODES.len());
    for (user, password) in [("writer", "w"), ("app", "a"), ("boss", "b")] {
        check(user, password, "get AmazonElastiCache:cluster\r\n", &item);
        check(user, password, "get AmazonElastiCache:clusters\r\n", denied);
    }
    for (user, password) in [("boss", "b"), ("foo", "bar")] {
        let send = format!("{other}config delete cluster\r\n");
        check(user, password, &send, "STORED\r\nDELETED\r\n");
    }
    check_all_splits(guarded, b"config get cluster\r\n", b"CLIENT_ERROR unauthenticated\r\n");
}

#[test]
fn as_many_as_are_on_their_way_are_all() {
    let shared = open();
    let line = "config set cluster 0 7\r\n";
    let mut senders: Vec<Client> = (0..CLUSTER_UPLOADS_MAX).map(|_| Client::new(&shared)).collect();
    senders.iter_mut().for_each(|sender| sender.check(line, ""));
    let mut late = Client::new(&shared);
    late.check(
        &format!("{line}13\nc||1\r\nconfig get other\r\n"),
        "SERVER_ERROR out of memory storing object\r\nEND\r\n",
    );
    drop(senders.pop());
    late.check(&format!("{line}13\nc||1\r\n"), "STORED\r\n");
    senders[0].check("14\nc||1\r\n", "STORED\r\n");
}

#[test]
fn nothing_is_changed_over_udp() {
    let shared = open();
    let answers = |payload: &[u8]| datagrams::answers(&shared, payload).0.concat();
    let refused = Reply::NotOverUdp.line();
    assert_same(refused, &answers(b"config set cluster 0 7\r\n13\nc||1\r\n"));
    assert_same(refused, &answers(b"config delete cluster\r\n"));
    let shown = format!("{}END\r\n", config(NODES));
    assert_same(shown.as_bytes(), &answers(b"config get cluster\r\n"));
    let invalid = error(0x64, 4, "Invalid arguments");
    assert_same(&invalid, &answers(&ask(0x64, &[0; 4], "cluster", b"13\nc||1\n")));
    let invalid = error(0x66, 4, "Invalid arguments");
    assert_same(&invalid, &answers(&ask(0x66, b"", "cluster", b"")));
}

#[test]
fn packets() {
    let flags = &[0; 4];
    let check = |send: &[&[u8]], receive: &[&[u8]]| {
        check_all_splits(open, &send.concat(), &receive.concat())
    };
    let noop = (ask(0x0a, b"", "", b""), told(0x0a, b"", "", b""));
    let nodes = NODES.as_bytes();
    let not_found = "Not found";
    for (opcode, key) in [(0x60, ""), (0x61, ""), (0x62, "cluster"), (0x63, "cluster")] {
        check(&[&ask(opcode, b"", "cluster", b"")], &[&told(opcode, flags, key, nodes)]);
        let missing = if opcode & 1 == 0 { error(opcode, 1, not_found) } else { Vec::new() };
        check(&[&ask(opcode, b"", "other", b""), &noop.0], &[&missing, &noop.1]);
    }
    let list = ask(0x68, b"", "", b"");
    check(&[&list], &[&told(0x68, flags, "cluster", nodes), &told(0x68, b"", "", b"")]);
    let other = b"13\nc||1\n";
    let get = (ask(0x60, b"", "cluster", b""), told(0x60, flags, "", other));
    check(&[&ask(0x64, flags, "cluster", other), &get.0], &[&told(0x64, b"", "", b""), &get.1]);
    check(&[&ask(0x65, flags, "cluster", other), &get.0], &[&get.1]);
    let delete = |opcode| ask(opcode, b"", "cluster", b"");
    let gone = told(0x68, b"", "", b"");
    check(&[&delete(0x66), &list], &[&told(0x66, b"", "", b""), &gone]);
    check(&[&delete(0x67), &list], &[&gone]);
    check(
        &[&delete(0x66), &delete(0x67)],
        &[&told(0x66, b"", "", b""), &error(0x67, 1, not_found)],
    );
    for (key, value, status, text) in [
        ("cluster", &b"13"[..], 4, "Invalid arguments"),
        ("other", other, 4, "Invalid arguments"),
        ("cluster", &[b' '; CLUSTER_BYTES_MAX + 1], 3, "Too large."),
    ] {
        let send = [&ask(0x65, flags, key, value)[..], &noop.0];
        check(&send, &[&error(0x65, status, text), &noop.1]);
    }
    // Of a layout that is not that of the opcode.
    for packet in [
        ask(0x60, b"", "", b""),
        ask(0x60, flags, "cluster", b""),
        ask(0x62, b"", "cluster", b"x"),
        ask(0x64, b"", "cluster", b"x"),
        ask(0x66, b"", "cluster", b"x"),
        ask(0x68, b"", "cluster", b""),
    ] {
        let end = check(&[&packet, &noop.0], &[&error(packet[1], 4, "Invalid arguments")]);
        assert_eq!(end, Some(Want::Close));
    }
    check(&[&ask(0x69, b"", "", b"")], &[&error(0x69, 0x81, "Unknown command")]);
    let item = "AmazonElastiCache:cluster";
    check(&[&ask(0x00, b"", item, b"")], &[&told(0x00, flags, "", nodes)]);
    check(&[&ask(0x0d, b"", item, b"")], &[&told(0x0d, flags, item, nodes)]);
    // Deleted, it is missing, whatever is stored under its name.
    let planted = ask(0x11, &[0; 8], item, b"x");
    check(&[&planted, &ask(0x09, b"", item, b"")], &[&told(0x09, flags, "", nodes)]);
    check(
        &[&planted, &delete(0x67), &ask(0x00, b"", item, b""), &ask(0x09, b"", item, b"")],
        &[&error(0x00, 1, not_found)],
    );
}
