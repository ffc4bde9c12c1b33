//! Who has to log in first, and what users may do then.

use super::*;
use crate::protocol::binary::HEADER_LEN;

/// The users of all tests.
pub(super) const USERS: &str = "\
foo:bar
baaaz:quux
reader:r:read
writer:w:write
app:a:prefix=app:
boss:b:admin
";

pub(super) fn guarded() -> Shared {
    let options = Options { login: true, sasl: true, shutdown: true, watch: true, ..options() };
    shared_with(options, &store::Options { cas: false, ..store_options() })
}

#[track_caller]
fn check(send: &str, receive: &str) {
    check_all_splits(guarded, send.as_bytes(), receive.as_bytes());
}

fn login(user: &str, password: &str) -> String {
    let token = format!("{user} {password}");
    format!("set auth 0 0 {}\r\n{token}\r\n", token.len())
}

#[test]
fn text_logins_section_8() {
    check(
        "set foo 0 0 2\r\nhi\r\nget foo\r\nset foo 0 0 7\r\nfoo bab\r\nset foo 0 0 7\r\nfoo bar\r\n\
         get foo\r\nset foo 0 0 2 noreply\r\nhi\r\nget foo\r\n",
        "CLIENT_ERROR bad authentication token format\r\nCLIENT_ERROR unauthenticated\r\n\
         CLIENT_ERROR authentication failure\r\nSTORED\r\nEND\r\nVALUE foo 0 2\r\nhi\r\nEND\r\n",
    );
    check("set a b c 10\r\nbaaaz quux\r\nmn\r\nmg a\r\n", "STORED\r\nMN\r\nEN\r\n");
    check("set a b c 7 noreply\r\nfoo bar\r\n", "STORED\r\n");
    check("set a b c 7\nfoo bar\r\nversion\n", "STORED\r\nVERSION 1.6.45-test\r\n");
}

#[test]
fn what_is_no_login_section_8() {
    let unauthenticated = "CLIENT_ERROR unauthenticated\r\n";
    for line in [
        "version",
        "get a",
        "gets a b c",
        "mg a v",
        "mn",
        "stats",
        "flush_all",
        "shutdown",
        "x",
        "",
        " ",
        "watch",
        "set a b 7",
        "setx a b c 7",
        "set a b c -1",
        "set a b c 4294967296",
        "incr a 1",
        "lru_crawler metadump all",
        "add a 0 0 7",
        "delete a",
        "verbosity 1",
        "refresh_certs",
    ] {
        check(&format!("{line}\r\n"), unauthenticated);
    }
    check("\r\n\n\r\n", &unauthenticated.repeat(3));
    check(
        "set a b c 7\r\nfoo  bar\r\n",
        &format!("CLIENT_ERROR bad command line termination\r\n{unauthenticated}"),
    );
    check("set a b c 7\r\nfoo barxx", "CLIENT_ERROR bad command line termination\r\n");
    check(
        "set a b c 2147483646\r\nx\r\n",
        &format!("CLIENT_ERROR auth token too long\r\n{unauthenticated}"),
    );
    check("set a b c 16385\r\n", "CLIENT_ERROR auth token too long\r\n");
    check("set a b c 0\r\n\r\n", "CLIENT_ERROR bad authentication token format\r\n");
}

#[test]
fn long_lines_and_logins_before_one() {
    let endless = format!("get {}", "key ".repeat(5000));
    assert_eq!(check_all_splits(guarded, endless.as_bytes(), b""), Some(Want::Hangup));
    let quit = check_all_splits(guarded, b"quit\r\nversion\r\n", b"");
    assert_eq!(quit, Some(Want::Close));
    let longest = format!(
        "set a 0 0 {LOGIN_LEN_MAX}\r\nfoo {}\r\nversion\r\n",
        "x".repeat(LOGIN_LEN_MAX - 4)
    );
    check(&longest, "CLIENT_ERROR authentication failure\r\nCLIENT_ERROR unauthenticated\r\n");
}

#[test]
fn a_thousand_failures() {
    let shared = guarded();
    let mut client = Client::new(&shared);
    for _ in 0..1000 {
        client.check(&login("foo", "wrong"), "CLIENT_ERROR authentication failure\r\n");
    }
    client.check(&login("foo", "bar"), "STORED\r\n");
    assert_eq!(shared.metrics.total(Counter::AuthCmds), 1001);
    assert_eq!(shared.metrics.total(Counter::AuthErrors), 1000);
}

/// Logs in as `user`, then sends and expects.
#[track_caller]
fn check_as((user, password): (&str, &str), send: &str, receive: &str) {
    check(&format!("{}{send}", login(user, password)), &format!("STORED\r\n{receive}"));
}

const READER: (&str, &str) = ("reader", "r");
const WRITER: (&str, &str) = ("writer", "w");
const APP: (&str, &str) = ("app", "a");
const BOSS: (&str, &str) = ("boss", "b");

const DENIED: &str = "CLIENT_ERROR permission denied\r\n";

#[test]
fn rights_to_read_and_to_write() {
    check_as(READER, "get a\r\ngets a b\r\nmg a v\r\nme a\r\n", "END\r\nEND\r\nEN\r\nEN\r\n");
    for line in [
        "set a 0 0 1\r\nx",
        "add a 0 0 1\r\nx",
        "cas a 0 0 1 1\r\nx",
        "append a 0 0 1\r\nx",
        "delete a",
        "incr a 1",
        "decr a 1",
        "touch a 1",
        "gat 1 a",
        "gats 1 a b",
        "ms a 1\r\nx",
        "md a",
        "ma a",
        "mg a v T30",
        "mg a N30 v",
        "mg a R30 v",
        "ms a 20000\r\n",
    ] {
        let block = if line.ends_with("20000\r\n") { "x".repeat(20000) } else { String::new() };
        check_as(READER, &format!("{line}{block}\r\nmn\r\n"), &format!("{DENIED}MN\r\n"));
    }
    check_as(
        WRITER,
        "set a 0 0 1\r\n1\r\nma a\r\nms b 1\r\nx\r\nmd b\r\ntouch a 9\r\ndelete a\r\n",
        "STORED\r\nHD\r\nHD\r\nHD\r\nTOUCHED\r\nDELETED\r\n",
    );
    for line in [
        "get a", "gets a b", "gat 1 a", "mg a v", "me a", "mg a T1", "incr a 1", "decr a 0",
        "ma a v",
    ] {
        check_as(WRITER, &format!("{line}\r\nmn\r\n"), &format!("{DENIED}MN\r\n"));
    }
    check_as(READER, "set a 0 0 1 noreply\r\nx\r\nmn\r\n", "MN\r\n");
}

#[test]
fn rights_on_keys() {
    check_as(
        APP,
        "set app:1 0 0 1\r\n1\r\nset a 0 0 1\r\n1\r\nget app:1\r\nget app\r\nms YXBwOjI= 1 b\r\nx\r\n\
         mg YXBwOjI= b v\r\nmg YXBw b v\r\nincr app:1 1\r\nincr ap 1\r\ngat 1 app:1 ap\r\n",
        &format!(
            "STORED\r\n{DENIED}VALUE app:1 0 1\r\n1\r\nEND\r\n{DENIED}HD\r\nVA 1\r\nx\r\n{DENIED}\
             2\r\n{DENIED}VALUE app:1 0 1\r\n2\r\n{DENIED}"
        ),
    );
    let keys: String = (0..30).map(|n| format!("app:{n} ")).collect();
    check_as(APP, &format!("get {keys} b app:1\r\nmn\r\n"), &format!("{DENIED}MN\r\n"));
}

#[test]
fn rights_to_administer() {
    for line in [
        "stats",
        "stats settings",
        "stats reset",
        "stats conns",
        "flush_all",
        "flush_all 10",
        "verbosity 1",
        "cache_memlimit 100",
        "lru_crawler crawl all",
        "lru_crawler metadump all",
        "slabs reassign 1 2",
        "slabs automove 1",
        "lru mode flat",
        "shutdown",
        "watch",
        "stats cachedump 1 1",
        "debugtime 1",
        "refresh_certs",
        "stats detail on",
        "lru_crawler mgdump all",
    ] {
        for user in [READER, WRITER, APP] {
            check_as(user, &format!("{line}\r\nmn\r\n"), &format!("{DENIED}MN\r\n"));
        }
    }
    check_as(
        BOSS,
        "flush_all\r\nverbosity 1\r\nget a\r\nset a 0 0 1\r\n1\r\n",
        &format!("OK\r\nOK\r\n{DENIED}{DENIED}"),
    );
    for user in [READER, WRITER, APP, BOSS] {
        check_as(user, "version\r\nmn\r\nnothing\r\n", "VERSION 1.6.45-test\r\nMN\r\nERROR\r\n");
    }
}

/// A packet without extras.
fn packet(magic: u8, opcode: u8, status: u16, key: &[u8], value: &[u8]) -> Vec<u8> {
    packet_with(magic, opcode, status, b"", key, value)
}

fn packet_with(
    magic: u8,
    opcode: u8,
    status: u16,
    extras: &[u8],
    key: &[u8],
    value: &[u8],
) -> Vec<u8> {
    let body = [extras, key, value].concat();
    let mut bytes = vec![magic, opcode];
    bytes.extend((key.len() as u16).to_be_bytes());
    bytes.extend([extras.len() as u8, 0]);
    bytes.extend(status.to_be_bytes());
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.resize(HEADER_LEN, 0);
    [bytes, body].concat()
}

fn ask(opcode: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    packet(0x80, opcode, 0, key, value)
}

fn told(opcode: u8, status: u16, text: &str) -> Vec<u8> {
    packet(0x81, opcode, status, b"", text.as_bytes())
}

fn plain(token: &str) -> Vec<u8> {
    ask(0x21, b"PLAIN", token.as_bytes())
}

#[track_caller]
fn check_packets(asked: &[Vec<u8>], answers: &[Vec<u8>]) -> Option<Want> {
    check_all_splits(guarded, &asked.concat(), &answers.concat())
}

fn noop() -> Vec<u8> {
    ask(0x0a, b"", b"")
}

const FAILED: &str = "Auth failure.";

#[test]
fn sasl_logins_section_5() {
    let granted = || told(0x21, 0, "Authenticated");
    check_packets(&[plain("\0foo\0bar"), noop()], &[granted(), told(0x0a, 0, "")]);
    check_packets(
        &[ask(0x20, b"", b""), ask(0x0b, b"", b""), plain("\0foo\0bar"), noop()],
        &[told(0x20, 0, "PLAIN "), told(0x0b, 0, "1.6.45-test"), granted(), told(0x0a, 0, "")],
    );
    check_packets(
        &[plain(""), ask(0x22, b"PLAIN", b"\0foo\0bar"), noop()],
        &[told(0x21, 0x21, ""), told(0x22, 0, "Authenticated"), told(0x0a, 0, "")],
    );
    check_packets(
        &[plain("\0foo\0bab"), plain("\0foo\0bar"), noop()],
        &[told(0x21, 0x20, FAILED), granted(), told(0x0a, 0, "")],
    );
}

#[test]
fn no_way_in_section_5() {
    let refused = |opcode| told(opcode, 0x20, FAILED);
    let granted = || told(0x21, 0, "Authenticated");
    for opcode in 0..=0xff {
        let (extras, key): (usize, &[u8]) = match opcode {
            0x00 | 0x04 | 0x09 | 0x0c..=0x0f | 0x14 | 0x19 | 0x1a => (0, b"k"),
            0x01..=0x03 | 0x11..=0x13 => (8, b"k"),
            0x05 | 0x06 | 0x15 | 0x16 => (20, b"k"),
            0x1c..=0x1e | 0x23 | 0x24 => (4, b"k"),
            _ => (0, b""),
        };
        if !matches!(opcode, 0x0b | 0x20..=0x22) {
            let packet = packet_with(0x80, opcode, 0, &vec![0; extras], key, b"");
            let end = check_packets(&[packet, plain("\0foo\0bar")], &[refused(opcode)]);
            assert_eq!(end, Some(Want::Close), "{opcode:#x}");
        }
    }
    // A failed login, then a command (CVE-2013-7239).
    check_packets(&[plain("\0foo\0bab"), noop()], &[refused(0x21), refused(0x0a)]);
    // A step without a start, after a failure, after a success.
    let step = || ask(0x22, b"PLAIN", b"\0foo\0bar");
    check_packets(&[step(), noop()], &[refused(0x22), refused(0x0a)]);
    check_packets(
        &[plain("\0foo\0bab"), step(), noop()],
        &[refused(0x21), refused(0x22), refused(0x0a)],
    );
    check_packets(
        &[plain("\0foo\0bar"), step(), noop()],
        &[granted(), refused(0x22), refused(0x0a)],
    );
    // Whoever begins again has nothing until it is let in again.
    check_packets(
        &[plain("\0foo\0bar"), ask(0x20, b"", b""), noop()],
        &[granted(), told(0x20, 0, "PLAIN "), refused(0x0a)],
    );
    check_packets(
        &[plain("\0foo\0bar"), plain("\0foo\0bab"), noop()],
        &[granted(), refused(0x21), refused(0x0a)],
    );
    check_packets(
        &[plain("\0foo\0bar"), plain(""), noop()],
        &[granted(), told(0x21, 0x21, ""), refused(0x0a)],
    );
}

/// Also one that is refused unread.
#[test]
fn any_new_login_ends_the_old_one_section_5() {
    let granted = || told(0x21, 0, "Authenticated");
    let long = vec![b'x'; LOGIN_LEN_MAX + 1];
    for (again, refusal) in [
        (ask(0x21, &[b'X'; 33], b"x"), told(0x21, 0x04, "Invalid arguments")),
        (ask(0x21, b"PLAIN", &long), told(0x21, 0x82, "Out of memory")),
    ] {
        check_packets(
            &[plain("\0foo\0bar"), again, noop()],
            &[granted(), refusal, told(0x0a, 0x20, FAILED)],
        );
    }
}

#[test]
fn what_is_no_sasl_section_5() {
    let invalid = |opcode| told(opcode, 0x04, "Invalid arguments");
    let refused = |opcode| told(opcode, 0x20, FAILED);
    let version = || told(0x0b, 0, "1.6.45-test");
    let ask_version = || ask(0x0b, b"", b"");
    check_packets(
        &[ask(0x21, &[b'X'; 33], b"\0foo\0bar"), ask_version()],
        &[invalid(0x21), version()],
    );
    check_packets(
        &[ask(0x21, &[b'X'; 32], b"\0foo\0bar"), ask_version()],
        &[refused(0x21), version()],
    );
    check_packets(
        &[ask(0x21, b"PLAIN\0", b"\0foo\0bar"), ask_version()],
        &[refused(0x21), version()],
    );
    check_packets(&[ask(0x21, b"\0\0", b"\0foo\0bar"), ask_version()], &[refused(0x21), version()]);
    check_packets(&[ask(0x21, b"CRAM-MD5", b""), ask_version()], &[refused(0x21), version()]);
    let end = check_packets(&[ask(0x21, b"", b"\0foo\0bar"), ask_version()], &[invalid(0x21)]);
    assert_eq!(end, Some(Want::Close));
    let long = vec![b'x'; 65536];
    check_packets(
        &[ask(0x21, b"PLAIN", &long), ask_version()],
        &[told(0x21, 0x82, "Out of memory"), version()],
    );
    check_packets(
        &[ask(0x21, b"PLAIN", &long[..LOGIN_LEN_MAX]), ask_version()],
        &[refused(0x21), version()],
    );
}

#[test]
fn rights_of_packets() {
    let login = |user: &str| plain(&format!("\0{user}\0{}", &user[..1]));
    let granted = || told(0x21, 0, "Authenticated");
    let refused = |opcode| told(opcode, 0x20, FAILED);
    let done = || told(0x0a, 0, "");
    let store = |opcode| packet_with(0x80, opcode, 0, &[0; 8], b"k", b"value");
    let touch = |opcode| packet_with(0x80, opcode, 0, &[0; 4], b"k", b"");
    let count = |opcode| packet_with(0x80, opcode, 0, &[0; 20], b"k", b"");
    // What who may do it is told.
    let missing = |opcode| Some(told(opcode, 0x01, "Not found"));
    let stored = |opcode| Some(told(opcode, 0, ""));
    for (asked, opcode, readers, writers) in [
        (store(0x01), 0x01, None, stored(0x01)),
        (store(0x12), 0x12, None, Some(Vec::new())),
        (ask(0x0e, b"k", b"value"), 0x0e, None, Some(told(0x0e, 0x05, "Not stored."))),
        (ask(0x04, b"k", b""), 0x04, None, missing(0x04)),
        (count(0x05), 0x05, None, None),
        (touch(0x1c), 0x1c, None, missing(0x1c)),
        (touch(0x1d), 0x1d, None, None),
        (ask(0x00, b"k", b""), 0x00, missing(0x00), None),
        (ask(0x0d, b"k", b""), 0x0d, Some(Vec::new()), None),
        (ask(0x10, b"", b""), 0x10, None, None),
        (ask(0x08, b"", b""), 0x08, None, None),
    ] {
        for (user, answer) in [("reader", readers), ("writer", writers), ("app", None)] {
            let answer = answer.unwrap_or_else(|| refused(opcode));
            check_packets(&[login(user), asked.clone(), noop()], &[granted(), answer, done()]);
        }
    }
    check_packets(
        &[login("reader"), ask(0x00, b"k", b""), noop()],
        &[granted(), told(0x00, 0x01, "Not found"), done()],
    );
    let quiet_set = packet_with(0x80, 0x11, 0, &[0; 8], b"app:1", b"value");
    let quiet_get = ask(0x09, b"app:1", b"");
    let hit = packet_with(0x81, 0x09, 0, &[0; 4], b"", b"value");
    check_packets(&[login("app"), quiet_set, quiet_get, noop()], &[granted(), hit, done()]);
}

#[test]
fn certificates_stand_for_a_login() {
    let shared = guarded();
    let mut client = Client::new(&shared);
    client.gate = Some(auth::tests::gate("a.example:$cert:read\nfoo:bar\n"));
    client.session.show_certificate(vec!["x".to_owned(), "a.example".to_owned()]);
    client.check("get a\r\nset a 0 0 1\r\nx\r\n", &format!("END\r\n{DENIED}"));
    let mut client = Client::new(&shared);
    client.session.show_certificate(vec!["foo".to_owned()]);
    client.check("get a\r\n", "CLIENT_ERROR unauthenticated\r\n");
    client.check(&login("foo", "bar"), "STORED\r\n");
}
