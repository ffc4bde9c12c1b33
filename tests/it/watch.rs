//! `watch` over sockets: connections as events, lines that come at once, watchers that do not read,
//! and watchers that go.
#![forbid(unsafe_code)]

use nix::sys::signal::Signal;

use crate::client::{Client, Received};
use crate::harness::{Launch, PATIENCE, Server, moment, together};

/// Longer than a line needs, shorter than a second, which it may take in memcached.
const AT_ONCE: std::time::Duration = std::time::Duration::from_millis(900);

fn watch(server: &Server, words: &str) -> Client {
    let mut watcher = server.connect();
    watcher.ask(format!("watch {words}\r\n"), "OK\r\n");
    watcher
}

/// The next line, which ends in LF alone, without time and number.
#[track_caller]
pub fn line(watcher: &mut Client) -> String {
    let end = moment() + PATIENCE;
    loop {
        if let Some(at) = watcher.pending().iter().position(|byte| *byte == b'\n') {
            let line = watcher.take(at + 1);
            let line = String::from_utf8(line).expect("ASCII").trim_end().to_owned();
            return line.split_once(" type=").map_or(line.clone(), |(_, rest)| rest.to_owned());
        }
        let got = watcher.receive(end.saturating_duration_since(moment()));
        assert_eq!(got, Received::Some, "no line");
    }
}

/// The line with what differs from run to run replaced.
#[track_caller]
fn conn_line(watcher: &mut Client) -> String {
    let line = line(watcher);
    let word = |word: &str| match word.split_once('=') {
        Some((key @ ("rport" | "cfd"), value)) => {
            assert!(value.parse::<u32>().is_ok(), "{line}");
            format!("{key}=N")
        }
        _ => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn connections_are_events() {
    let _quiet = together();
    let tcp = Server::start(&["-A", "-t", "1", "-o", "idle_timeout=1,debug_clock"]);
    let unix = Launch::unix(Launch::tcp(&[])).start();
    for (server, from) in
        [(&tcp, "rip=127.0.0.1 rport=N transport=tcp"), (&unix, "rip=unix rport=N transport=local")]
    {
        // The connection that found the server ready may not have been closed yet.
        let mut watcher = server.connect();
        watcher.await_stat("curr_connections", |count| count == 1);
        watcher.ask("watch connevents\r\n", "OK\r\n");
        for (last_words, reason) in [
            ("quit\r\n", "normal"),
            ("GET / HTTP/1.1\r\n", "error"),
            (&"x".repeat(3000), "error"),
            ("", "normal"),
        ] {
            let mut client = server.connect();
            client.send("version\r\n");
            client.line();
            client.send(last_words);
            client.shut_write();
            assert_eq!(conn_line(&mut watcher), format!("conn_new {from} cfd=N"));
            let gone = format!("conn_close {from} reason={reason} cfd=N");
            assert_eq!(conn_line(&mut watcher), gone, "after {last_words:?}");
        }
    }
    let from = "rip=127.0.0.1 rport=N transport=tcp";
    let mut watcher = watch(&tcp, "connevents");
    let (_silent, mut other) = (tcp.connect(), tcp.connect());
    other.ask("debugtime 10\r\n", "OK\r\n");
    let two: Vec<String> = (0..2).map(|_| conn_line(&mut watcher)).collect();
    assert_eq!(two, [format!("conn_new {from} cfd=N"), format!("conn_new {from} cfd=N")]);
    assert_eq!(conn_line(&mut watcher), format!("conn_close {from} reason=idle_timeout cfd=N"));
    let mut last = tcp.connect();
    last.send("shutdown\r\n");
    let end = format!("conn_close {from} reason=shutdown cfd=N");
    while conn_line(&mut watcher) != end {}
}

#[test]
fn lines_come_at_once_and_in_order() {
    let _quiet = together();
    let server = Server::start(&["-t", "4"]);
    let mut watcher = watch(&server, "fetchers mutations");
    let mut clients: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for round in 0..20 {
        for (n, client) in clients.iter_mut().enumerate() {
            client.ask(format!("get k{n}\r\n"), "END\r\n");
            let since = moment();
            let line = line(&mut watcher);
            let start = format!("item_get key=k{n} status=not_found clsid=0 cfd=");
            assert!(line.starts_with(&start), "{line} in round {round}");
            assert!(since.elapsed() < AT_ONCE);
        }
    }
}

#[test]
fn a_watcher_that_does_not_read_loses_lines_and_holds_nobody_up() {
    let _quiet = together();
    let server = Server::start(&["-o", "watcher_logbuf_size=8"]);
    let mut watcher = Client::tcp_narrow(server.port());
    watcher.ask("watch fetchers\r\n", "OK\r\n");
    let mut client = server.connect();
    let key = "k".repeat(200);
    let requests = format!("get {key}\r\n").repeat(1000);
    let answers = "END\r\n".repeat(1000);
    // More than the sockets between take, whatever their buffers are.
    let lines = 80_000;
    for _ in 0..lines / 1000 {
        client.ask(&requests, &answers);
    }
    let (mut seen, mut skipped) = (0, 0);
    while seen + skipped < lines {
        let line = line(&mut watcher);
        match line.strip_prefix("skipped=") {
            Some(count) => skipped += count.parse::<usize>().expect("a number"),
            None => {
                assert!(
                    line.starts_with(&format!("item_get key={key} status=not_found ")),
                    "{line}"
                );
                seen += 1;
            }
        }
    }
    assert!(skipped > 0, "the sockets took all of it");
    let stat = |client: &mut Client, key| client.stat(key).expect("there").parse::<usize>();
    assert_eq!(stat(&mut client, "log_worker_written"), Ok(lines));
    assert_eq!(stat(&mut client, "log_watcher_skipped"), Ok(skipped));
    assert_eq!(stat(&mut client, "log_watcher_sent"), Ok(seen));
    assert_eq!(stat(&mut client, "log_watchers"), Ok(1));
    client.ask("get other\r\n", "END\r\n");
    assert!(line(&mut watcher).starts_with("item_get key=other "));
}

#[test]
fn twenty_watch_and_a_place_is_free_when_one_goes() {
    let _quiet = together();
    let mut server = Server::start(&[]);
    let mut watchers: Vec<Client> = (0..20).map(|_| watch(&server, "")).collect();
    let too_many = "WATCHER_TOO_MANY log watcher limit reached";
    let mut late = server.connect();
    late.ask("watch\r\n", format!("{too_many}\r\n"));
    late.ask("get a\r\n", "END\r\n");
    watchers.pop();
    loop {
        late.send("watch\r\n");
        match late.line().as_str() {
            "OK" => break,
            line => assert_eq!(line, too_many),
        }
    }
    server.connect().ask("get a\r\n", "END\r\n");
    assert!(line(&mut late).starts_with("item_get key=a "));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), Some(0), "watchers do not keep a server");
}
