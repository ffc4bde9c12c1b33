//! Commands that steer the store: they do what they say and `stats settings` shows it.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use crate::client::Client;
use crate::harness::{Server, together};

/// A list of `stats` as a map.
pub fn stats(client: &mut Client, what: &str) -> HashMap<String, String> {
    client.send(format!("stats{what}\r\n"));
    let lines = client.lines_until("END");
    let pairs = lines.iter().filter_map(|line| line.strip_prefix("STAT ")?.split_once(' '));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[track_caller]
fn check_settings(client: &mut Client, wanted: &[(&str, &str)]) {
    let settings = stats(client, " settings");
    for (key, value) in wanted {
        assert_eq!(settings[*key], *value, "{key}");
    }
}

fn number(map: &HashMap<String, String>, key: &str) -> u64 {
    map.get(key).map_or(0, |value| value.parse().expect("a number"))
}

/// Ninety items of class 1, of which thirty expire after a second.
fn with_expiring_items(args: &[&str]) -> (Server, Client) {
    let server = Server::start(args);
    let mut client = server.connect();
    for number in 0..90 {
        let exptime = if number < 30 { 1 } else { 0 };
        client.ask(format!("set k{number} 0 {exptime} 2\r\nok\r\n"), "STORED\r\n");
    }
    client.ask("debugtime 5\r\n", "OK\r\n");
    (server, client)
}

/// Stores so many new items of 1,000 bytes.
fn store_more(client: &mut Client, name: &str, exptime: u32, count: usize) {
    let value = "v".repeat(1_000);
    for number in 0..count {
        client.send(format!("set {name}{number} 0 {exptime} 1000\r\n{value}\r\n"));
    }
    for _ in 0..count {
        assert_eq!(client.line(), "STORED");
    }
}

/// memcached's t/lru-maintainer.t, and what becomes of a memory full of such items.
#[test]
fn temporary_items_go_last() {
    let _turn = together();
    let server = Server::start(&["-m", "8", "-o", "temporary_ttl=60"]);
    let mut client = server.connect();
    store_more(&mut client, "canary", 45, 1);
    store_more(&mut client, "more", 0, 30_000);
    let value = "v".repeat(1_000);
    client.ask("get canary0\r\n", format!("VALUE canary0 0 1000\r\n{value}\r\nEND\r\n"));
    let items = stats(&mut client, " items");
    let temporary = items.iter().filter(|(key, _)| key.ends_with(":number_temp"));
    assert_eq!(temporary.map(|(_, count)| count.as_str()).collect::<Vec<_>>(), ["1"]);
    store_more(&mut client, "canary", 0, 1);
    let items = stats(&mut client, " items");
    assert!(items.iter().all(|(key, count)| !key.ends_with(":number_temp") || count == "0"));
    store_more(&mut client, "temporary", 60, 30_000);
    client.ask("get more29999\r\n", "END\r\n");
    client.ask("lru temp_ttl -1\r\n", "OK\r\n");
    store_more(&mut client, "again", 60, 1);
    let items = stats(&mut client, " items");
    assert!(items.keys().all(|key| !key.ends_with(":number_temp")), "shown only while it is on");
}

#[test]
fn the_crawler_is_off_until_it_is_enabled() {
    let _turn = together();
    let (_server, mut client) = with_expiring_items(&["-o", "debug_clock,no_lru_crawler"]);
    check_settings(&mut client, &[("lru_crawler", "no")]);
    client.ask("lru_crawler enable\r\n", "OK\r\n");
    check_settings(&mut client, &[("lru_crawler", "yes")]);
    client.ask("lru_crawler crawl 1\r\n", "OK\r\n");
    client.await_stat("crawler_items_checked", |count| count >= 90);
    client.await_stat("curr_items", |count| count == 60);
    let items = stats(&mut client, " items");
    assert_eq!(items["items:1:crawler_reclaimed"], "30");
    assert_eq!(items["items:1:reclaimed"], "30");
    client.ask("lru_crawler disable\r\n", "OK\r\n");
    check_settings(&mut client, &[("lru_crawler", "no")]);
}

#[test]
fn a_crawl_looks_at_items_that_are_not_due() {
    let _turn = together();
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.ask("set a 0 0 2\r\nok\r\n", "STORED\r\n");
    assert_eq!(client.stat("crawler_items_checked").as_deref(), Some("0"));
    client.ask("lru_crawler crawl 1\r\n", "OK\r\n");
    client.await_stat("crawler_items_checked", |count| count > 0);
}

#[test]
fn pages_move_by_command() {
    let _turn = together();
    let server = Server::start(&["-m", "64"]);
    let mut client = server.connect();
    for number in 0..20_000 {
        client.send(format!("set k{number} 0 0 2 noreply\r\nok\r\n"));
    }
    client.ask("version\r\n", format!("VERSION {}\r\n", crate::harness::OUR_VERSION));
    let before = stats(&mut client, " slabs");
    let pages = number(&before, "1:total_pages");
    assert!(pages > 2, "{before:?}");
    client.ask("slabs reassign 1 9\r\n", "OK\r\n");
    client.ask("slabs reassign -1 9\r\n", "OK\r\n");
    client.ask("slabs reassign 1 0\r\n", "OK\r\n");
    client.ask("slabs reassign 0 9\r\n", "OK\r\n");
    let after = stats(&mut client, " slabs");
    assert_eq!(number(&after, "1:total_pages"), pages - 3);
    assert_eq!(number(&after, "9:total_pages"), 3);
    assert_eq!(client.stat("slabs_moved").as_deref(), Some("4"));
    server.assert_serves();
}

#[test]
fn settings_show_what_was_set() {
    let _turn = together();
    let options = "no_modern,slab_reassign,slab_automove=2,lru_crawler,lru_crawler_sleep=7,\
        lru_maintainer,hot_lru_pct=11,temporary_ttl=9,watcher_logbuf_size=70000";
    let server = Server::start(&["-o", options]);
    let mut client = server.connect();
    let given = [
        ("slab_reassign", "yes"),
        ("slab_automove", "2"),
        ("lru_crawler", "yes"),
        ("lru_crawler_sleep", "7"),
        ("hot_lru_pct", "11"),
        ("temp_lru", "yes"),
        ("temporary_ttl", "9"),
        ("slab_automove_ratio", "0.80"),
        // As far as it is followed: a 240th of -m.
        ("watcher_logbuf_size", "279620"),
    ];
    check_settings(&mut client, &given);
    for line in [
        "slabs automove 0",
        "slabs automove ratio 0.5",
        "slabs automove freeratio 0.25",
        "slabs automove window 30",
        "lru_crawler sleep 8",
        "lru_crawler tocrawl 9",
        "lru tune 1 2 3.5 4",
        "lru mode flat",
        "lru temp_ttl -1",
    ] {
        client.ask(format!("{line}\r\n"), "OK\r\n");
    }
    let set = [
        ("slab_automove", "0"),
        ("slab_automove_ratio", "0.50"),
        ("slab_automove_freeratio", "0.250"),
        ("slab_automove_window", "30"),
        ("lru_crawler_sleep", "8"),
        ("lru_crawler_tocrawl", "9"),
        ("hot_lru_pct", "1"),
        ("warm_lru_pct", "2"),
        ("hot_max_factor", "3.50"),
        ("warm_max_factor", "4.00"),
        ("lru_segmented", "no"),
        ("temp_lru", "no"),
        ("temporary_ttl", "9"),
    ];
    check_settings(&mut client, &set);
}
