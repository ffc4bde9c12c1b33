//! Which keys the lists of `stats` have: as docs/stats.md says, in memcached's order.
#![forbid(unsafe_code)]

use crate::client::Client;
use crate::control::stats;
use crate::harness::{Launch, Program, Server, say, together};
use crate::watch;

const DOCUMENT: &str = include_str!("../../docs/stats.md");

/// With these memcached shows the keys that depend on an option, `num_threads` alike.
const ARGS: [&str; 4] = ["-t", "2", "-o", "idle_timeout=3600"];

/// The rows under a heading: key and state.
fn documented(heading: &str) -> Vec<(&'static str, &'static str)> {
    let start = DOCUMENT.find(&format!("## {heading}\n")).expect("a heading") + 3;
    let section = &DOCUMENT[start..];
    let section = &section[..section.find("\n## ").unwrap_or(section.len())];
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let key = cells[0].strip_prefix('`')?.strip_suffix('`')?;
        Some((key, cells[1]))
    };
    section.lines().filter(|line| line.starts_with("| `")).filter_map(row).collect()
}

/// Keys and values of a list; keys of classes without the class, of the first class only.
fn shown(client: &mut Client, what: &str) -> Vec<(String, String)> {
    client.send(format!("stats{what}\r\n"));
    let mut pairs: Vec<(String, String)> = Vec::new();
    for line in client.lines_until("END") {
        let Some((key, value)) = line.strip_prefix("STAT ").and_then(|rest| rest.split_once(' '))
        else {
            assert_eq!(line, "END");
            continue;
        };
        let key = key.rsplit(':').next().unwrap_or(key);
        if pairs.iter().all(|(held, _)| held != key) {
            pairs.push((key.to_owned(), value.to_owned()));
        }
    }
    pairs
}

const LISTS: [(&str, &str); 4] = [
    ("stats", ""),
    ("stats settings", " settings"),
    ("stats items", " items"),
    ("stats slabs", " slabs"),
];

fn with_an_item(server: &Server) -> Client {
    let mut client = server.connect();
    client.ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    client
}

/// The keys that `client`'s server shows are those of the document, but for these states.
#[track_caller]
pub fn assert_documented(client: &mut Client, hidden: &[&str]) {
    for (heading, what) in LISTS {
        let is_shown = |(_, state): &(&str, &str)| !hidden.contains(state);
        let rows: Vec<_> = documented(heading).into_iter().filter(is_shown).collect();
        let shown = shown(client, what);
        let keys: Vec<&str> = shown.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, rows.iter().map(|(key, _)| *key).collect::<Vec<_>>(), "{heading}");
        for ((key, value), (_, state)) in shown.iter().zip(rows) {
            let states = ["same", "ours", "zero", "recorded", "with -Z", "own"];
            assert!(states.contains(&state), "{key}: {state}");
            if state == "zero" {
                let nothing = ["0", "none", "no", "(null)"];
                assert!(nothing.contains(&value.as_str()), "{key} is {value}, not nothing");
            }
        }
    }
}

#[test]
fn the_document_and_the_server_agree() {
    let _turn = together();
    let server = Server::start(&ARGS);
    assert_documented(&mut with_an_item(&server), &["left out", "with -Z", "own"]);
}

/// Keys that memcached does not have are shown with the option that they belong to only.
#[test]
fn own_keys_go_with_their_options() {
    let _turn = together();
    let server = Server::start(&["-t", "2", "-o", "idle_timeout=3600,maxconns_per_address=9"]);
    assert_documented(&mut with_an_item(&server), &["left out", "with -Z"]);
}

/// memcached has no key that the document does not have, in the same order.
#[test]
fn the_document_has_all_keys_of_memcached() {
    let _turn = together();
    let Some(oracle) = Program::oracle() else { return };
    if oracle.release() < vec![1, 6, 40] {
        say("the keys of this memcached are not those that docs/stats.md is about");
        return;
    }
    let server = Launch::of(oracle, &ARGS).start();
    let mut client = with_an_item(&server);
    for (heading, what) in LISTS {
        let rows = documented(heading);
        let mut rest = rows.iter().map(|(key, _)| *key);
        for (key, _) in shown(&mut client, what) {
            assert!(rest.any(|row| row == key), "{heading}: {key} is missing or out of order");
        }
    }
}

/// What reads 0 on an idle server counts once there is something: no key that the document calls
/// `zero` does.
#[test]
fn what_is_zero_at_rest_counts() {
    let _turn = together();
    let server = Server::start(&["-U", "-1", "-t", "1", "-o", "watcher_logbuf_size=1"]);
    let mut client = server.connect();
    let watched = ["log_worker_written", "log_watcher_sent", "log_watchers"];
    assert!(watched.iter().all(|key| client.stat(key).as_deref() == Some("0")));
    let mut watcher = server.connect();
    watcher.ask("watch fetchers\r\n", "OK\r\n");
    client.ask("get a\r\n", "END\r\n");
    assert!(watch::line(&mut watcher).starts_with("item_get key=a status=not_found "));
    // More than may wait, and the one thread has no turn for the watcher meanwhile.
    client.ask(format!("get {}\r\n", "b ".repeat(1000)), "END\r\n");
    client.ask("me a\r\n", "EN\r\n");
    let shown = stats(&mut client, "");
    let counts = |key: &str| shown[key] != "0";
    assert!(watched.iter().all(|key| counts(key)), "{shown:?}");
    assert!(counts("log_watcher_skipped"), "{shown:?}");
    assert_ne!(stats(&mut client, " settings")["udpport"], "0");
    assert!(counts("cmd_meta"), "{shown:?}");
    for (heading, what) in [("stats", ""), ("stats settings", " settings")] {
        let shown = stats(&mut client, what);
        for (key, _) in documented(heading).iter().filter(|(_, state)| *state == "zero") {
            let value = &shown[*key];
            assert!(["0", "none", "no", "(null)"].contains(&value.as_str()), "{key} is {value}");
        }
    }
}

/// Keys that depend on options go with them, as in memcached (stats, section 1).
#[test]
fn keys_go_with_their_part() {
    let _turn = together();
    let options = "no_lru_crawler,no_lru_maintainer,no_slab_reassign,no_maxconns_fast";
    let server = Server::start(&["-o", options]);
    let mut client = with_an_item(&server);
    let keys: Vec<String> = shown(&mut client, "").into_iter().map(|(key, _)| key).collect();
    for key in &keys {
        let gone = ["slab_reassign_", "slabs_moved", "lru_", "moves_", "evicted_active"];
        assert!(!gone.iter().any(|start| key.starts_with(start)), "{key}");
    }
    for key in ["rejected_connections", "idle_kicks", "direct_reclaims"] {
        assert!(!keys.iter().any(|shown| shown == key), "{key}");
    }
    let items: Vec<String> = shown(&mut client, " items").into_iter().map(|(key, _)| key).collect();
    assert!(!items.iter().any(|key| key.starts_with("number_") || key.starts_with("hits_to_")));
}

/// `-o track_sizes`: items by what they asked for, in steps of 32 bytes (stats, section 5).
#[test]
fn sizes_are_counted() {
    let _turn = together();
    let server = Server::start(&["-o", "track_sizes"]);
    let mut client = server.connect();
    client.ask("stats sizes\r\n", "END\r\n");
    // 20 bytes of header and the key: 22 B, 32 B and 33 B.
    for (key, len) in [("a", 1), ("b", 11), ("c", 12), ("d", 11)] {
        client.ask(format!("set {key} 0 0 {len}\r\n{}\r\n", "v".repeat(len)), "STORED\r\n");
    }
    client.ask("stats sizes\r\n", "STAT 32 3\r\nSTAT 64 1\r\nEND\r\n");
    client.ask("set c 0 0 1\r\nx\r\nappend a 0 0 300\r\n", "STORED\r\n");
    client.ask(format!("{}\r\n", "v".repeat(300)), "STORED\r\n");
    client.ask("stats sizes\r\n", "STAT 32 3\r\nSTAT 352 1\r\nEND\r\n");
    client.ask("delete a\r\nincr a 1\r\n", "DELETED\r\nNOT_FOUND\r\n");
    client.ask("stats sizes\r\n", "STAT 32 3\r\nEND\r\n");
}
