//! The `stats` family: form, keys, and counters that count what they say.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use crate::client::{Client, Received};
use crate::harness::{PATIENCE, Server, together};

/// The lines of an answer as pairs, in order. Every line must have the form `STAT key value`.
#[track_caller]
fn stats(client: &mut Client, what: &str) -> Vec<(String, String)> {
    client.send(format!("stats{what}\r\n"));
    let mut lines = client.lines_until("END");
    lines.pop();
    let pair = |line: String| {
        let (key, value) = line.strip_prefix("STAT ").and_then(|rest| rest.split_once(' '))?;
        Some((key.to_owned(), value.to_owned()))
    };
    let shown = lines.join("\n");
    lines
        .into_iter()
        .map(|line| pair(line).unwrap_or_else(|| panic!("no stat in\n{shown}")))
        .collect()
}

/// Keys that monitoring and clients look for, in memcached's order (stats, section 1).
const ESSENTIAL: [&str; 49] = [
    "pid",
    "uptime",
    "time",
    "version",
    "pointer_size",
    "rusage_user",
    "rusage_system",
    "max_connections",
    "curr_connections",
    "total_connections",
    "rejected_connections",
    "cmd_get",
    "cmd_set",
    "cmd_flush",
    "cmd_touch",
    "get_hits",
    "get_misses",
    "get_expired",
    "get_flushed",
    "delete_misses",
    "delete_hits",
    "incr_misses",
    "incr_hits",
    "decr_misses",
    "decr_hits",
    "cas_misses",
    "cas_hits",
    "cas_badval",
    "touch_hits",
    "touch_misses",
    "store_too_large",
    "store_no_memory",
    "bytes_read",
    "bytes_written",
    "limit_maxbytes",
    "accepting_conns",
    "listen_disabled_num",
    "time_in_listen_disabled_us",
    "threads",
    "conn_yields",
    "hash_power_level",
    "hash_bytes",
    "bytes",
    "curr_items",
    "total_items",
    "expired_unfetched",
    "evicted_unfetched",
    "evictions",
    "reclaimed",
];

/// Order of `stats settings` (stats, section 2), of the keys that say something here.
const SETTINGS: [&str; 25] = [
    "maxbytes",
    "maxconns",
    "tcpport",
    "udpport",
    "inter",
    "verbosity",
    "evictions",
    "domain_socket",
    "umask",
    "shutdown_command",
    "growth_factor",
    "chunk_size",
    "num_threads",
    "stat_key_prefix",
    "detail_enabled",
    "reqs_per_event",
    "cas_enabled",
    "tcp_backlog",
    "binding_protocol",
    "auth_enabled_sasl",
    "auth_enabled_ascii",
    "item_size_max",
    "maxconns_fast",
    "flush_enabled",
    "idle_timeout",
];

/// `wanted` must all be there, in this order, and no key twice.
#[track_caller]
fn check_order(pairs: &[(String, String)], wanted: &[&str]) {
    let mut rest = pairs.iter().map(|(key, _)| key.as_str());
    for key in wanted {
        assert!(rest.any(|have| have == *key), "{key} is missing or out of order in {pairs:?}");
    }
    let mut keys: Vec<_> = pairs.iter().map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), pairs.len(), "a key twice in {pairs:?}");
}

#[test]
fn stats_has_the_keys_in_order() {
    let _turn = together();
    let server = Server::start(&["-m", "64", "-t", "2"]);
    let pairs = stats(&mut server.connect(), "");
    check_order(&pairs, &ESSENTIAL);
    let map: HashMap<_, _> = pairs.into_iter().collect();
    assert_eq!(map["pid"], server.pid().to_string());
    assert_eq!(map["limit_maxbytes"], (64 << 20).to_string());
    assert_eq!(map["max_connections"], "1024");
    assert_eq!(map["threads"], "2");
    assert_eq!(map["pointer_size"], "64");
    assert_eq!(map["accepting_conns"], "1");
    assert!(map["version"].starts_with("1.6."), "{}", map["version"]);
    assert!(map["uptime"].parse::<u32>().is_ok_and(|secs| secs < 600), "{}", map["uptime"]);
    for key in ["rusage_user", "rusage_system"] {
        let (secs, micros) = map[key].split_once('.').expect("seconds and microseconds");
        assert!(secs.parse::<u32>().is_ok() && micros.len() == 6, "{}", map[key]);
    }
}

#[test]
fn settings_show_the_command_line() {
    let _turn = together();
    let args = ["-m", "100", "-c", "77", "-t", "3", "-R", "5", "-b", "99", "-C", "-M", "-F", "-A"];
    let server = Server::start(&args);
    let mut client = server.connect();
    let pairs = stats(&mut client, " settings");
    check_order(&pairs, &SETTINGS);
    let map: HashMap<_, _> = pairs.into_iter().collect();
    let wanted = [
        ("maxbytes", "104857600"),
        ("maxconns", "77"),
        ("num_threads", "3"),
        ("reqs_per_event", "5"),
        ("tcp_backlog", "99"),
        ("cas_enabled", "no"),
        ("evictions", "off"),
        ("flush_enabled", "no"),
        ("shutdown_command", "yes"),
        ("item_size_max", "1048576"),
        ("verbosity", "0"),
        ("inter", "127.0.0.1"),
        ("domain_socket", "NULL"),
        ("umask", "700"),
        ("auth_enabled_sasl", "no"),
        ("maxconns_fast", "yes"),
        ("idle_timeout", "0"),
    ];
    for (key, value) in wanted {
        assert_eq!(map[key], value, "{key}");
    }
    client.ask("verbosity 5\r\n", "OK\r\n");
    let pairs: HashMap<_, _> = stats(&mut client, " settings").into_iter().collect();
    assert_eq!(pairs["verbosity"], "2", "capped as in memcached");
}

/// What a conversation does to the counters (stats, section 1), each by exactly so much.
#[test]
fn counters_count() {
    let _turn = together();
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.ask("stats reset\r\n", "RESET\r\n");
    client.ask("set a 0 0 1\r\n1\r\nget a a b\r\ngets a\r\n", "STORED\r\n");
    client.lines_until("END");
    client.lines_until("END");
    let talk = "gat 0 a b\r\ntouch a 0\r\ntouch b 0\r\nincr a 1\r\nincr b 1\r\ndecr a 1\r\ndecr b 1\r\n\
        add a 0 0 1\r\nx\r\ncas a 0 0 1 0\r\nx\r\ncas b 0 0 1 0\r\nx\r\ndelete b\r\ndelete a\r\n\
        set e 0 -1 1\r\nx\r\nget e\r\nme e\r\nflush_all\r\nset b 0 0 9999999\r\n";
    client.send(talk);
    client.send(vec![b'v'; 9_999_999]);
    client.ask("\r\n", "VALUE a 0 1\r\n1\r\nEND\r\nTOUCHED\r\nNOT_FOUND\r\n2\r\nNOT_FOUND\r\n1\r\n\
        NOT_FOUND\r\nNOT_STORED\r\nEXISTS\r\nNOT_FOUND\r\nNOT_FOUND\r\nDELETED\r\nSTORED\r\nEND\r\nEN\r\nOK\r\n\
        SERVER_ERROR object too large for cache\r\n");
    let map: HashMap<_, _> = stats(&mut client, "").into_iter().collect();
    let wanted = [
        ("cmd_get", 5),
        ("get_hits", 3),
        ("get_misses", 2),
        ("get_expired", 1),
        ("cmd_set", 5),
        ("cmd_touch", 4),
        ("cmd_meta", 1),
        ("touch_hits", 2),
        ("touch_misses", 2),
        ("incr_hits", 1),
        ("incr_misses", 1),
        ("decr_hits", 1),
        ("decr_misses", 1),
        ("cas_badval", 1),
        ("cas_misses", 1),
        ("cas_hits", 0),
        ("delete_hits", 1),
        ("delete_misses", 1),
        ("cmd_flush", 1),
        ("store_too_large", 1),
        ("curr_connections", 1),
    ];
    let wrong: Vec<_> = wanted
        .iter()
        .filter(|(key, count)| map[*key] != count.to_string())
        .map(|(key, count)| format!("{key} {} not {count}", map[*key]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(map["bytes_read"].parse::<u64>().is_ok_and(|bytes| bytes > 9_999_999));
}

/// What is counted for a class is counted for all, once (stats, sections 1 and 4).
#[test]
fn classes_add_up() {
    let _turn = together();
    let server = Server::start(&[]);
    let mut client = server.connect();
    let long = "v".repeat(3000);
    let huge = "v".repeat(300_000);
    client.send(format!(
        "set a 0 0 1\r\n1\r\nset l 0 0 3000\r\n{long}\r\nset h 0 0 300000\r\n{huge}\r\nadd a 0 0 1\r\n1\r\n\
         add a 0 0 3000\r\n{long}\r\nappend l 0 0 1\r\n1\r\nprepend none 0 0 1\r\n1\r\nreplace l 0 0 1\r\n2\r\n\
         cas a 0 0 1 9999\r\n1\r\ncas none 0 0 1 9999\r\n1\r\nset b 0 0 1\r\n12\r\nms a 1\r\n1\r\nms a 1 MR E7\r\n1\r\n\
         ms a 1 C7\r\n1\r\nms a 1 C7\r\n1\r\nms h 3000 MA\r\n{long}\r\nget a l h none\r\ngets a\r\n\
         gat 0 a l h none\r\ntouch l 0\r\nmg a\r\nmg a v\r\nmg l T0 v\r\nincr a 1\r\ndecr a 1\r\nma a\r\nma a MD\r\n\
         incr l 1\r\ndelete h\r\nmd l\r\nmd a x\r\nmd a I\r\nmd a\r\nmn\r\n"
    ));
    client.lines_until("MN");
    for (opcode, extras, value) in [(0x01, 8, "1"), (0x02, 8, "1"), (0x0e, 0, "1"), (0x1d, 4, "")] {
        let mut packet = vec![0x80, opcode, 0, 1, extras, 0, 0, 0, 0, 0, 0];
        packet.push(1 + extras + value.len() as u8);
        packet.resize(24 + usize::from(extras), 0);
        packet.extend([b"c", value.as_bytes()].concat());
        let mut packets = server.connect();
        packets.send(packet);
        packets.shut_write();
        while packets.receive(PATIENCE) == Received::Some {}
    }
    let totals: HashMap<_, _> = stats(&mut client, "").into_iter().collect();
    let slabs = stats(&mut client, " slabs");
    let sum = |end: &str| -> u64 {
        let of_classes = slabs.iter().filter(|(key, _)| key.ends_with(&format!(":{end}")));
        of_classes.map(|(_, value)| value.parse::<u64>().expect("a number")).sum()
    };
    for key in [
        "cmd_set",
        "get_hits",
        "touch_hits",
        "delete_hits",
        "incr_hits",
        "decr_hits",
        "cas_hits",
        "cas_badval",
    ] {
        let total: u64 = totals[key].parse().expect("a number");
        assert!(total > 0, "{key} was not tried");
        assert_eq!(sum(key), total, "{key}");
    }
}

#[test]
fn items_bytes_and_slabs_follow_the_store() {
    let _turn = together();
    let server = Server::start(&[]);
    let mut client = server.connect();
    assert!(stats(&mut client, " items").is_empty(), "no classes without items");
    for number in 0..1000 {
        client.ask(format!("set k{number} 0 0 100\r\n{}\r\n", "v".repeat(100)), "STORED\r\n");
    }
    let map: HashMap<_, _> = stats(&mut client, "").into_iter().collect();
    assert_eq!(map["curr_items"], "1000");
    assert_eq!(map["total_items"], "1000");
    assert!(map["bytes"].parse::<u64>().is_ok_and(|bytes| (100_000..250_000).contains(&bytes)));
    let numbers: u64 = stats(&mut client, " items")
        .iter()
        .filter(|(key, _)| key.starts_with("items:") && key.ends_with(":number"))
        .map(|(_, value)| value.parse::<u64>().expect("a number"))
        .sum();
    assert_eq!(numbers, 1000);
    let slabs = stats(&mut client, " slabs");
    check_order(&slabs, &["active_slabs", "total_malloced"]);
    let sum = |end: &str| -> u64 {
        slabs
            .iter()
            .filter(|(key, _)| key.ends_with(end))
            .filter_map(|(_, value)| value.parse::<u64>().ok())
            .sum()
    };
    assert_eq!(sum(":used_chunks"), 1000);
    assert!(sum(":total_chunks") >= 1000 && sum(":total_pages") > 0);
    client.ask("delete k7\r\n", "DELETED\r\n");
    assert_eq!(client.stat("curr_items").as_deref(), Some("999"));
    client.ask("flush_all\r\nset a 0 0 1\r\nx\r\n", "OK\r\nSTORED\r\n");
    let map: HashMap<_, _> = stats(&mut client, "").into_iter().collect();
    assert_eq!((map["curr_items"].as_str(), map["total_items"].as_str()), ("1", "1001"));
    assert!(map["bytes"].parse::<u64>().is_ok_and(|bytes| bytes < 100), "of what is left");
    let items: HashMap<_, _> = stats(&mut client, " items").into_iter().collect();
    assert_eq!(items["items:1:number"], "1");
    assert!(items.iter().all(|(key, value)| !key.ends_with(":number") || value == "1"));
}

/// `stats reset` makes counters 0 and leaves gauges (stats, section 9).
#[test]
fn reset_leaves_gauges() {
    let _turn = together();
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.ask("set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    client.ask("stats reset\r\n", "RESET\r\n");
    let map: HashMap<_, _> = stats(&mut client, "").into_iter().collect();
    for key in ["cmd_get", "cmd_set", "get_hits", "total_items", "total_connections"] {
        assert_eq!(map[key], "0", "{key}");
    }
    assert_eq!(map["curr_items"], "1");
    assert_eq!(map["curr_connections"], "1");
}

/// Bad inputs, item 15: arguments of any length, and a reset while others are busy.
#[test]
fn odd_arguments_do_no_harm() {
    let _turn = together();
    let server = Server::start(&[]);
    let mut client = server.connect();
    for len in [1, 10, 250, 251, 1000, 2000, 2040] {
        client.ask(format!("stats {}\r\n", "z".repeat(len)), "ERROR\r\n");
    }
    let mut busy = server.connect();
    let requests = 200;
    for _ in 0..requests {
        busy.send("set a 0 0 1\r\nx\r\nget a\r\n");
        client.ask("stats reset\r\n", "RESET\r\n");
    }
    busy.expect("STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n".repeat(requests));
    client.ask("verbosity 4294967295\r\nverbosity 0\r\n", "OK\r\nOK\r\n");
    client.ask("flush_all -1\r\n", "OK\r\n");
    server.assert_serves();
}
