//! `watch`, section 7: what sessions tell watchers, and how a watcher listens.

use super::*;
use crate::limits::{OUTPUT_HIGH_WATER_BYTES, WATCHERS_MAX};

/// Watching allowed, as it is by default.
fn watchable() -> Shared {
    shared_with(Options { watch: true, ..options() }, &store_options())
}

/// What has come, line by line, without time and number.
fn lines(watcher: &mut Client<'_>) -> Vec<String> {
    watcher.send(b"");
    let text = String::from_utf8(watcher.answers()).expect("ASCII");
    let without_head = |line: &str| match line.split_once(" type=") {
        Some((_, rest)) => rest.to_owned(),
        None => line.to_owned(),
    };
    text.lines().map(without_head).collect()
}

#[track_caller]
fn watch<'a>(shared: &'a Shared, words: &str) -> Client<'a> {
    let mut watcher = Client::new(shared);
    watcher.check(&format!("watch {words}\r\n"), "OK\r\n");
    assert!(watcher.session.is_watching() && !watcher.session.is_midway());
    watcher
}

/// What watchers of lookups, stores and deletes are told of `send`, sent whole and byte by byte.
#[track_caller]
fn check_told(send: &str, told: &[&str]) {
    for chunk in [send.len(), 1] {
        let shared = watchable();
        let mut watcher = watch(&shared, "fetchers mutations deletions");
        let mut client = Client::new(&shared);
        send.as_bytes().chunks(chunk).for_each(|part| client.send(part));
        let class = |line: &str| {
            let found = line.split_once("clsid=").expect("a class").1;
            let class = found.split(' ').next().expect("a number").to_owned();
            line.replace(
                &format!("clsid={class}"),
                if class == "0" { "clsid=0" } else { "clsid=N" },
            )
        };
        let got: Vec<String> = lines(&mut watcher).iter().map(|line| class(line)).collect();
        assert_eq!(got, told, "{send:?} in chunks of {chunk}");
    }
}

#[test]
fn watch_section_7_lookups() {
    check_told("get a\r\n", &["item_get key=a status=not_found clsid=0 cfd=7 size=0"]);
    check_told(
        "gets a%20\x01 b\r\n",
        &[
            "item_get key=a%2520%01 status=not_found clsid=0 cfd=7 size=0",
            "item_get key=b status=not_found clsid=0 cfd=7 size=0",
        ],
    );
    let miss = "item_get key=a status=not_found clsid=0 cfd=7 size=0";
    check_told("gat 5 a\r\ntouch a 5\r\nincr a 1\r\ndelete a\r\n", &[miss; 4]);
    check_told(
        "set a 0 -1 1\r\nx\r\nget a\r\nget a\r\n",
        &[
            miss,
            "item_store key=a status=stored cmd=set ttl=4294966297 clsid=N cfd=7 size=1",
            "item_get key=a status=expired clsid=0 cfd=7 size=0",
            miss,
        ],
    );
    check_told(
        "set a 0 0 1\r\nx\r\nflush_all\r\ndelete a\r\n",
        &[
            miss,
            "item_store key=a status=stored cmd=set ttl=0 clsid=N cfd=7 size=1",
            "item_get key=a status=flushed clsid=0 cfd=7 size=0",
        ],
    );
}

#[test]
fn watch_section_7_stores() {
    let found = |size| format!("item_get key=a status=found clsid=N cfd=7 size={size}");
    let store = |status, cmd, ttl, size| {
        format!("item_store key=a status={status} cmd={cmd} ttl={ttl} clsid=N cfd=7 size={size}")
    };
    let told = [
        "item_get key=a status=not_found clsid=0 cfd=7 size=0",
        &store("stored", "add", 100, 3),
        &found(3),
        &store("not_stored", "add", 0, 1),
        &found(3),
        &store("stored", "replace", 50, 2),
        &found(2),
        &store("stored", "append", 50, 4),
        &found(4),
        &store("stored", "prepend", 50, 5),
        &found(5),
        &store("exists", "cas", 0, 1),
        &found(5),
        "deleted key=a cmd=delete clsid=N size=5",
        "item_get key=a status=not_found clsid=0 cfd=7 size=0",
        &store("not_found", "cas", 0, 1),
    ];
    check_told(
        "add a 0 100 3\r\nxyz\r\nadd a 0 0 1\r\nx\r\nreplace a 0 50 2\r\nxx\r\nappend a 0 0 2\r\nyy\r\n\
         prepend a 0 9 1\r\nz\r\ncas a 0 0 1 999\r\nx\r\ndelete a\r\ncas a 0 0 1 5\r\nx\r\n",
        &told,
    );
    check_told("set a 0 0 1\r\nxyz\r\n", &[]);
}

/// What commands of the meta protocol make beside what they are for, as memcached tells of it.
#[test]
fn watch_section_7_meta() {
    let miss = "item_get key=a status=not_found clsid=0 cfd=7 size=0";
    let found = |size| format!("item_get key=a status=found clsid=N cfd=7 size={size}");
    let store = |cmd, ttl, size| {
        format!("item_store key=a status=stored cmd={cmd} ttl={ttl} clsid=N cfd=7 size={size}")
    };
    check_told("mg a v\r\nme a\r\nmg a N9\r\nme a\r\n", &[miss, miss, miss, &found(0)]);
    check_told("ma a N9 J15\r\nma a\r\n", &[miss, miss, &store("add", 0, 2), &found(2)]);
    check_told("ma a\r\n", &[miss]);
    check_told(
        "ms a 1\r\nx\r\nmd a x T8\r\nmd a I\r\nmd a\r\n",
        &[
            miss,
            &store("set", 0, 1),
            &found(1),
            &found(1),
            &store("set", 8, 0),
            "deleted key=a cmd=md clsid=N size=0",
            &found(0),
            &found(0),
            "deleted key=a cmd=md clsid=N size=0",
        ],
    );
}

#[test]
fn watch_section_7_refused_stores() {
    let shared = watchable();
    let mut watcher = watch(&shared, "fetchers mutations");
    let mut client = Client::new(&shared);
    let block = "x".repeat(1 << 20);
    for command in ["set", "add"] {
        client.check(
            &format!("{command} a 0 9 {}\r\n{block}\r\n", block.len()),
            "SERVER_ERROR object too large for cache\r\n",
        );
    }
    assert_eq!(
        lines(&mut watcher),
        [
            "item_store key=a status=too_large cmd=set ttl=9 clsid=0 cfd=7 size=0",
            "item_get key=a status=not_found clsid=0 cfd=7 size=0",
            "item_store key=a status=too_large cmd=add ttl=9 clsid=0 cfd=7 size=0",
        ]
    );
}

#[test]
fn watch_section_7_evictions() {
    check_evictions(0, "ttl=-1");
    check_evictions(50, "ttl=50");
}

#[track_caller]
fn check_evictions(exptime: u32, ttl: &str) {
    let shared = watchable();
    let mut watcher = watch(&shared, "e");
    let mut client = Client::new(&shared);
    let block = "x".repeat(10_000);
    for n in 0..2000 {
        client.check(&format!("set k{n} 0 {exptime} 10000\r\n{block}\r\n"), "STORED\r\n");
        let told = lines(&mut watcher);
        if let Some(line) = told.first() {
            assert!(line.starts_with("eviction key=k") && line.ends_with("size=10000"), "{line}");
            assert!(line.contains(&format!(" fetch=no {ttl} la=0 clsid=")), "{line}");
            assert_eq!(shared.store.totals().evictions, told.len() as u64);
            return;
        }
    }
    panic!("nothing was evicted");
}

#[test]
fn watch_refusals_section_7() {
    let pipelined = "ERROR cannot pipeline other commands before watch\r\n";
    let shared = watchable();
    let check = |send: &str, receive: &str| Client::new(&shared).check(send, receive);
    check("get a\r\nwatch\r\n", &format!("END\r\n{pipelined}"));
    check("version x\r\nwatch x\r\n", &format!("VERSION 1.6.45-test\r\n{pipelined}"));
    check("watch x\r\nwatch noreply\r\n", &format!("ERROR\r\n{pipelined}"));
    check("watch f noreply\r\n", "ERROR\r\n");
    check(" watch\r\n", "ERROR\r\n");
    assert_eq!(shared.store.hub().totals().log_watchers, 0);
    let refusing = shared_with(options(), &store_options());
    Client::new(&refusing).check("watch x\r\n", "CLIENT_ERROR watch commands not allowed\r\n");

    let watchers: Vec<Client<'_>> = (0..WATCHERS_MAX).map(|_| watch(&shared, "")).collect();
    check("watch\r\n", "WATCHER_TOO_MANY log watcher limit reached\r\n");
    drop(watchers);
    check("watch\r\n", "OK\r\n");
}

#[test]
fn a_watcher_is_not_heard_any_more() {
    let shared = watchable();
    let mut watcher = Client::new(&shared);
    watcher.check("watch\r\nversion\r\nget a\r\n", "OK\r\n");
    watcher.check("version\r\nset a 0 0 100\r\n", "");
    watcher.check("quit\r\n", "");
    assert_eq!((watcher.end, watcher.session.is_watching()), (None, true));
}

#[test]
fn a_watcher_is_given_no_more_than_the_output_takes() {
    let shared = watchable();
    let mut watcher = watch(&shared, "");
    let mut client = Client::new(&shared);
    for _ in 0..2000 {
        client.check("get a\r\n", "END\r\n");
    }
    let mut turn = watcher.turn();
    let mut out = Output::new();
    assert_eq!(watcher.session.advance(b"ignored", &mut out, &mut turn), (7, Want::Drain));
    assert_eq!(out.weight(), OUTPUT_HIGH_WATER_BYTES);
    assert_eq!(watcher.session.advance(b"", &mut out, &mut turn), (0, Want::Drain));
    assert_eq!(out.weight(), OUTPUT_HIGH_WATER_BYTES, "none while it is high");
    out.advance(OUTPUT_HIGH_WATER_BYTES);
    watcher.out = out;
    let rest = lines(&mut watcher).len();
    assert!((1000..2000).contains(&rest), "{rest}");
    assert_eq!(shared.store.hub().totals().log_watcher_sent, 2000);
}
