//! `stats conns`: everybody's connections in one list, and what they are doing.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::Client;
use crate::harness::{Launch, PATIENCE, Server, alone, moment, together, wait_for};

/// The list by descriptor, each with its keys and values in order.
#[track_caller]
fn conns(client: &mut Client) -> BTreeMap<u32, Vec<(String, String)>> {
    client.send("stats conns\r\n");
    let mut list: BTreeMap<u32, Vec<(String, String)>> = BTreeMap::new();
    let mut last = 0;
    for line in client.lines_until("END").iter().filter(|line| *line != "END") {
        let parts = line.strip_prefix("STAT ").and_then(|rest| rest.split_once(':'));
        let (descriptor, rest) = parts.unwrap_or_else(|| panic!("{line}"));
        let (key, value) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
        let descriptor = descriptor.parse().expect("a descriptor");
        assert!(descriptor >= last, "not in the order of descriptors: {line}");
        last = descriptor;
        list.entry(descriptor).or_default().push((key.to_owned(), value.to_owned()));
    }
    list
}

/// What connection is in which state.
#[track_caller]
fn states(client: &mut Client) -> Vec<String> {
    let list = conns(client);
    let state = |lines: &Vec<(String, String)>| {
        let found = lines.iter().find(|(key, _)| key == "state").expect("a state");
        found.1.clone()
    };
    list.values().map(state).collect()
}

/// Waits until the connections are in these states.
#[track_caller]
fn await_states(client: &mut Client, wanted: &[&str]) {
    let mut wanted: Vec<&str> = wanted.to_vec();
    wanted.sort_unstable();
    let mut seen = Vec::new();
    let end = moment() + PATIENCE;
    while seen != wanted {
        assert!(moment() < end, "{seen:?} for {wanted:?}");
        seen = states(client);
        seen.sort_unstable();
    }
}

#[test]
fn keys_in_memcached_s_order() {
    let _quiet = together();
    let server = Server::start(&["-t", "3"]);
    let mut client = server.connect();
    let list: Vec<_> = conns(&mut client).into_values().collect();
    let port = server.port();
    let own = format!("tcp:127.0.0.1:{port}");
    assert_eq!(list.len(), 2);
    assert_eq!(list[0][0], ("addr".to_owned(), own.clone()));
    assert_eq!(list[0][1], ("state".to_owned(), "conn_listening".to_owned()));
    assert_eq!((list[0][2].0.as_str(), list[0].len()), ("secs_since_last_cmd", 3));
    let keys: Vec<&str> = list[1].iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["addr", "listen_addr", "state", "secs_since_last_cmd"]);
    assert!(list[1][0].1.starts_with("tcp:127.0.0.1:") && list[1][0].1 != own);
    assert_eq!((list[1][1].1.as_str(), list[1][2].1.as_str()), (own.as_str(), "conn_parse_cmd"));
    assert_eq!(list[1][3].1, "0");

    let server = Launch::unix(Launch::tcp(&[])).start();
    let list: Vec<_> = conns(&mut server.connect()).into_values().collect();
    let own = format!("unix:{}", server.path("sock").display());
    assert_eq!(list[0][0].1, own);
    assert_eq!((list[1][0].1.as_str(), list[1][1].1.as_str()), ("?:<AF 0>", own.as_str()));
}

#[test]
fn what_connections_do() {
    let _quiet = together();
    let server = Server::start(&["-t", "2"]);
    let mut asking = server.connect();
    let silent = server.connect();
    let mut clients: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    clients[0].ask("version\r\n", format!("VERSION {}\r\n", crate::harness::OUR_VERSION));
    clients[1].send("get part");
    clients[2].send("set a 0 0 100000\r\nbeginning");
    clients[3].send("set a x 0 100\r\nbeginning");
    clients[4].ask("watch\r\n", "OK\r\n");
    let mut wanted = vec!["conn_listening", "conn_parse_cmd", "conn_new_cmd"];
    wanted.extend(["conn_read", "conn_read", "conn_nread", "conn_swallow", "conn_watch"]);
    await_states(&mut asking, &wanted);
    drop((silent, clients));
    await_states(&mut asking, &["conn_listening", "conn_parse_cmd"]);

    let mut slow = Client::tcp_narrow(server.port());
    let value = "x".repeat(1_000_000);
    asking.ask(format!("set big 0 0 1000000\r\n{value}\r\n"), "STORED\r\n");
    slow.send("get big\r\n".repeat(20));
    await_states(&mut asking, &["conn_listening", "conn_parse_cmd", "conn_mwrite"]);
}

#[test]
fn asked_for_amid_other_requests() {
    let _quiet = together();
    let server = Server::start(&["-t", "2"]);
    let mut client = server.connect();
    for _ in 0..50 {
        client.send("get a\r\nstats conns\r\nget b\r\nstats co\r\nversion\r\n");
        client.expect("END\r\n");
        let first = client.lines_until("END");
        assert!(first.len() > 4, "{first:?}");
        client.expect("END\r\n");
        assert_eq!(client.lines_until("END").len(), first.len());
        client.expect(format!("VERSION {}\r\n", crate::harness::OUR_VERSION));
    }
    // Those who ask and go leave nobody waiting.
    for _ in 0..200 {
        server.connect().send("stats conns\r\n");
    }
    await_states(&mut client, &["conn_listening", "conn_parse_cmd"]);
}

#[test]
fn a_crowd_is_listed_whole_while_others_are_served() {
    let _quiet = alone();
    let crowd = 3000;
    let server = Server::start(&["-c", "4000", "-t", "2"]);
    let clients: Vec<Client> = (0..crowd).map(|_| server.connect()).collect();
    let mut asking = server.connect();
    asking.await_stat("curr_connections", |count| count == crowd + 1);
    let list = conns(&mut asking);
    assert_eq!(list.len() as u64, crowd + 2);

    // Slow readers of the list cost no more than a portion of it each.
    let before = server.rss_bytes();
    let slow: Vec<Client> = (0..50)
        .map(|_| {
            let mut slow = Client::tcp_narrow(server.port());
            slow.send("stats conns\r\n".repeat(20));
            slow
        })
        .collect();
    let mut other = server.connect();
    let waits: Vec<Duration> = (0..200)
        .map(|_| {
            let since = moment();
            other.ask("get a\r\n", "END\r\n");
            since.elapsed()
        })
        .collect();
    assert!(waits.iter().max() < Some(&Duration::from_millis(500)), "{:?}", waits.iter().max());
    let grown = server.rss_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes for 50 slow readers");
    drop((slow, clients));
    wait_for("the crowd to go", PATIENCE, || (conns(&mut asking).len() == 3).then_some(()));
}
