//! What clients hold is taken from the items, bounded, and given back; who stops amid something is
//! closed in time.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::client::{Client, Received};
use crate::harness::{PATIENCE, Scratch, Server, alone, say, together, wait_for};

const MB: u64 = 1 << 20;

/// 5 % and 8 MB above `-m`.
const fn rss_max_of(mib: u64) -> u64 {
    mib * MB * 105 / 100 + 8 * MB
}

/// A server whose cache is full of items with values of so many bytes.
fn full(mib: u64, value_len: u64) -> (Server, Client) {
    let size = mib.to_string();
    let server = Server::start(&["-m", &size, "-t", "1", "-c", "4096"]);
    let mut client = server.connect();
    store(&mut client, "k", mib * MB * 5 / 4 / value_len, value_len);
    (server, client)
}

/// Stores so many values under keys that begin with `name`.
fn store(client: &mut Client, name: &str, count: u64, value_len: u64) {
    let value = "v".repeat(value_len as usize);
    for number in 0..count {
        client.send(format!("set {name}{number} 0 0 {value_len} noreply\r\n{value}\r\n"));
    }
    client.ask("mn\r\n", "MN\r\n");
}

fn number(client: &mut Client, key: &str) -> u64 {
    client.stat(key).and_then(|text| text.parse().ok()).expect("a number")
}

/// The most memory that was resident at any time.
fn rss_peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("alive");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Bad inputs, item 10: many clients ask for much and read nothing. Their answers and what they
/// have sent take the place of items, no more, and everybody else is served.
#[test]
fn answers_that_nobody_reads_take_the_place_of_items() {
    let _turn = alone();
    let (server, mut client) = full(64, 1000);
    let items = number(&mut client, "curr_items");
    let keys: String = (0..400).map(|number| format!(" k{}", 60_000 + number)).collect();
    let request = format!("get{keys}\r\n").repeat(20);
    let slow: Vec<Client> = (0..1000)
        .map(|_| {
            let mut slow = Client::tcp_narrow(server.port());
            slow.send_some(request.as_bytes(), Duration::from_millis(5));
            slow
        })
        .collect();
    client.ask("set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    let (output, lent) = (number(&mut client, "memory_output"), number(&mut client, "memory_lent"));
    let left = number(&mut client, "curr_items");
    say(&format!(
        "{output} B of answers, {lent} B lent, {left} of {items} items left, peak {} kB",
        rss_peak(&server) >> 10
    ));
    assert!(output > 2 * MB && lent > 4 * MB, "{output} B, {lent} B");
    assert!(left > items / 3, "{left} of {items} items are left");
    assert!(rss_peak(&server) <= rss_max_of(64), "{} kB were resident", rss_peak(&server) >> 10);
    drop(slow);
    client.await_stat("memory_lent", |lent| lent == 0);
    client.await_stat("memory_pressure", |level| level == 0);
    store(&mut client, "l", 64 * MB * 5 / 4 / 1000, 1000);
    assert!(number(&mut client, "curr_items") > items * 9 / 10, "the items have their place again");
    assert!(rss_peak(&server) <= rss_max_of(64), "{} kB were resident", rss_peak(&server) >> 10);
}

/// More clients than memory: the largest of them go, newcomers are told so, and memory stays bounded.
#[test]
fn the_largest_go_when_memory_is_full() {
    let _turn = alone();
    let (server, mut client) = full(8, 1000);
    let half = format!("set {} 0 0 1", "k".repeat(1950));
    let crowd: Vec<Client> = (0..3500)
        .filter_map(|_| {
            let mut other = Client::try_tcp(("127.0.0.1", server.port())).ok()?;
            // Some are closed before they have sent all.
            other.send_some(half.as_bytes(), Duration::from_millis(1));
            Some(other)
        })
        .collect();
    wait_for("somebody to go", PATIENCE, || {
        let kicked = number(&mut client, "memory_kicks");
        let refused = number(&mut client, "memory_refused_connections");
        say(&format!("{kicked} clients had to go, {refused} did not get in"));
        (kicked + refused > 0).then_some(())
    });
    client.ask("set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    say(&format!("of {} clients, peak {} kB", crowd.len(), rss_peak(&server) >> 10));
    assert!(rss_peak(&server) <= rss_max_of(8), "{} kB were resident", rss_peak(&server) >> 10);
    drop(crowd);
    client.await_stat("memory_pressure", |level| level == 0);
    server.assert_serves();
}

/// Whether somebody who comes now is let in, again and again until it is so; then all is calm.
#[track_caller]
fn await_room(server: &Server) {
    wait_for("a client to be let in, and memory to be calm", PATIENCE, || {
        let mut client = server.try_connect()?;
        client.send("stats\r\n");
        while matches!(client.receive(PATIENCE), Received::Some)
            && !client.pending().ends_with(b"END\r\n")
        {}
        let shown = String::from_utf8_lossy(client.pending()).into_owned();
        shown.contains("STAT memory_pressure 0\r\n").then_some(())
    });
}

/// Buffers of many workers beside a small `-m`: they go when those who needed them do.
#[test]
fn spare_buffers_are_not_held_against_those_who_come() {
    let _turn = alone();
    let server = Server::start(&["-m", "4", "-t", "16", "-c", "1024"]);
    let mut clients: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    for _ in 0..20 {
        clients.iter_mut().for_each(|client| client.send("set a 0 0 1\r\nx\r\n"));
        for client in &mut clients {
            client.receive(PATIENCE);
        }
    }
    drop(clients);
    await_room(&server);
}

/// The same of the places of a crowd that has gone.
#[test]
fn empty_places_are_not_held_against_those_who_come() {
    let _turn = alone();
    let server = Server::start(&["-m", "2", "-t", "1", "-c", "6000"]);
    let crowd: Vec<Client> = (0..4300).filter_map(|_| server.try_connect()).collect();
    drop(crowd);
    await_room(&server);
}

/// Half lines of many clients: what they have sent is counted to the byte, and gone with them.
#[test]
fn half_lines_are_counted() {
    let _turn = together();
    let server = Server::start(&["-m", "64", "-c", "4096"]);
    let mut client = server.connect();
    let before = number(&mut client, "memory_input");
    let half = format!("set {} 0 0 1", "k".repeat(1500));
    let mut clients: Vec<Client> = (0..500).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|other| other.send(&half));
    let least = before + 500 * half.len() as u64;
    client.await_stat("memory_input", |bytes| {
        bytes >= least && bytes < least + 500 * 400 + 33 * 65536
    });
    drop(clients);
    client.await_stat("curr_connections", |count| count == 1);
    client.await_stat("memory_input", |bytes| bytes <= before + 32 * 65536);
}

/// A wait is over a second after its last one, and not before.
#[track_caller]
fn check_deadline(args: &[&str], name: &str, secs: u64, stop: impl Fn(&Server) -> Client) {
    let args = [&["-m", "64", "-t", "1", "-o", "debug_clock"], args].concat();
    let server = Server::start(&args);
    let mut client = stop(&server);
    let mut control = server.connect();
    control.ask("debugtime 0\r\n", "OK\r\n");
    control.await_stat("curr_connections", |count| count == 2);
    control.await_stat(&format!("{name}_timeouts"), |count| count == 0);
    control.ask(format!("debugtime {}\r\n", secs - 5), "OK\r\n");
    // Two ticks of the server's clock at the least, in which nobody is closed.
    let uptime = number(&mut control, "uptime");
    control.await_stat("uptime", |now| now >= uptime + 2);
    assert_eq!(number(&mut control, "curr_connections"), 2, "closed too early");
    control.ask("debugtime 10\r\n", "OK\r\n");
    control.await_stat(&format!("{name}_timeouts"), |count| count == 1);
    control.await_stat("curr_connections", |count| count == 1);
    client.expect_closed();
}

fn with_half(bytes: &'static [u8]) -> impl Fn(&Server) -> Client {
    move |server| {
        let mut client = server.connect();
        client.send(bytes);
        client.await_read();
        client
    }
}

#[test]
fn half_requests_have_a_deadline() {
    let _turn = together();
    check_deadline(&[], "request", 120, with_half(b"set half 0 0 1"));
    check_deadline(&["-o", "request_timeout=30"], "request", 30, with_half(b"\x80\x00\x00\x01"));
    check_deadline(&["-o", "request_timeout=30"], "request", 30, with_half(b"get a b hal"));
}

#[test]
fn half_values_have_a_deadline_by_size() {
    let _turn = together();
    check_deadline(&[], "upload", 120, with_half(b"set half 0 0 1000\r\nhalf"));
    let large = b"set half 0 0 1000000\r\nhalf";
    check_deadline(&["-o", "upload_timeout=30"], "upload", 30 + 61, with_half(large));
    // Also one that is thrown away, since it is larger than may be.
    let refused = b"set half 0 0 2000000\r\nhalf";
    check_deadline(&["-o", "upload_timeout=30"], "upload", 30 + 122, with_half(refused));
}

/// A guest has one time for all that it tries.
#[test]
fn who_does_not_log_in_has_a_deadline() {
    let _turn = together();
    for begun in ["", "set x 0 0 8\r\nu1 p", "nonsense\r\n", "set x 0 0 5\r\na b c\r\n"] {
        let scratch = Scratch::new();
        let users = scratch.path("users");
        std::fs::write(&users, "u1:pass\n").expect("written");
        let file = users.to_string_lossy().into_owned();
        let options = format!("debug_clock,login_timeout=30,user_file={file}");
        let server = Server::start(&["-m", "64", "-t", "1", "-o", &options]);
        let mut control = server.connect();
        control.ask("set x 0 0 7\r\nu1 pass\r\n", "STORED\r\n");
        let mut guest = server.connect();
        control.await_stat("curr_connections", |count| count == 2);
        control.ask("debugtime 20\r\n", "OK\r\n");
        guest.send(begun);
        control.ask("debugtime 45\r\n", "OK\r\n");
        control.await_stat("login_timeouts", |count| count == 1);
        control.await_stat("curr_connections", |count| count == 1);
    }
}

/// Who does not take what it has asked for.
#[test]
fn answers_that_are_not_taken_have_a_deadline() {
    let _turn = together();
    let slow = |server: &Server| {
        let mut client = server.connect();
        client.send(format!("set big 0 0 1000000\r\n{}\r\n", "b".repeat(1_000_000)));
        client.expect("STORED\r\n");
        let mut slow = Client::tcp_narrow(server.port());
        // More than the buffers of the kernel take.
        slow.send(format!("get{}\r\n", " big".repeat(20)));
        client.await_stat("memory_output", |bytes| bytes > 0);
        slow
    };
    let server = Server::start(&["-m", "64", "-t", "1", "-o", "debug_clock,send_timeout=30"]);
    let client = slow(&server);
    let mut control = server.connect();
    wait_for("the answers to be in the way", PATIENCE, || {
        (number(&mut control, "curr_connections") == 2).then_some(())
    });
    control.ask("debugtime 25\r\n", "OK\r\n");
    let uptime = number(&mut control, "uptime");
    control.await_stat("uptime", |now| now >= uptime + 2);
    assert_eq!(number(&mut control, "send_timeouts"), 0);
    // 20 MB at 16 KiB a second take half an hour, of which 8 values are pinned at a time.
    control.ask("debugtime 600\r\n", "OK\r\n");
    control.await_stat("send_timeouts", |count| count == 1);
    drop(client);
}

/// Who is idle, or only listens, has all the time in the world.
#[test]
fn who_is_idle_stays() {
    let _turn = together();
    let server = Server::start(&["-m", "64", "-t", "1", "-o", "debug_clock"]);
    let mut idle = server.connect();
    idle.ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    let mut watcher = server.connect();
    watcher.ask("watch connevents\r\n", "OK\r\n");
    let mut control = server.connect();
    control.ask("debugtime 100000\r\n", "OK\r\n");
    let uptime = number(&mut control, "uptime");
    control.await_stat("uptime", |now| now >= uptime + 2);
    assert_eq!(number(&mut control, "curr_connections"), 3);
    idle.ask("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
}
