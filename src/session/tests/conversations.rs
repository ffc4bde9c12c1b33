//! What is sent and what comes back, to the byte, for every way of cutting it into reads.

use super::*;

/// An error line that many conversations have.
const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";

#[track_caller]
fn check(send: &str, receive: &str) {
    let end = check_all_splits(shared, send.as_bytes(), receive.as_bytes());
    assert_eq!(end, None, "{send:?}");
}

#[track_caller]
fn check_closes(send: &str, receive: &str) {
    let end = check_all_splits(shared, send.as_bytes(), receive.as_bytes());
    assert!(matches!(end, Some(Want::Close | Want::Hangup)), "{send:?}: {end:?}");
}

fn long_key() -> String {
    "k".repeat(KEY_LEN_MAX + 1)
}

#[test]
fn storing_section_4() {
    check("set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    check("set a 4294967296 0 1\nx\r\nget a\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    check("set a 7 0 0\r\n\r\nget a\r\n", "STORED\r\nVALUE a 7 0\r\n\r\nEND\r\n");
    check("set a 0 0 -\r\n\r\nget a\r\n", "STORED\r\nVALUE a 0 0\r\n\r\nEND\r\n");
    check("set a 0 0 2\r\n\r\n\r\nget a\r\n", "STORED\r\nVALUE a 0 2\r\n\r\n\r\nEND\r\n");
    check("set a 0 2147483648 1\r\nx\r\nget a\r\n", "STORED\r\nEND\r\n");
    check("set a 0 -1 1\r\nx\r\nget a\r\n", "STORED\r\nEND\r\n");
    check("set a 0 0 1\r\nx\r\nadd a 0 0 1\r\ny\r\n", "STORED\r\nNOT_STORED\r\n");
    check("add a 0 0 1\r\nx\r\nreplace a 0 0 1\r\ny\r\n", "STORED\r\nSTORED\r\n");
    check("replace a 0 0 1\r\nx\r\nget a\r\n", "NOT_STORED\r\nEND\r\n");
    check("append a 0 0 1\r\nx\r\nprepend a 0 0 1\r\nx\r\n", "NOT_STORED\r\nNOT_STORED\r\n");
    check(
        "set a 3 0 1\r\nx\r\nprepend a 5 5 1\r\ny\r\nappend a 0 0 2\r\nzz\r\nget a\r\n",
        "STORED\r\nSTORED\r\nSTORED\r\nVALUE a 3 4\r\nyxzz\r\nEND\r\n",
    );
    check(
        "cas nope 0 0 1 5\r\ny\r\nset a 0 0 1\r\nx\r\ncas a 0 0 1 0\r\ny\r\ncas a 0 0 1 -1\r\ny\r\n",
        &format!("NOT_FOUND\r\nSTORED\r\nEXISTS\r\n{BAD_LINE}"),
    );
}

#[test]
fn short_lines_section_1() {
    for line in ["\n", "\r\n", "a\r\n", "ab\n", " \n", "mn\n"] {
        check(line, BAD_LINE);
    }
}

/// More plain lines than a batch takes, and among them what ends one: a block that is too long or too
/// short, a value that is too large, a line that is not plain.
#[test]
fn odd_requests_amid_plain_ones() {
    check(
        "set a 0 0 1\r\n5\r\nget a\r\nincr a 1\r\nset b 0 0 1\r\nxx\r\nget b\r\nget a\r\n",
        &format!(
            "STORED\r\nVALUE a 0 1\r\n5\r\nEND\r\n6\r\nCLIENT_ERROR bad data chunk\r\n{BAD_LINE}END\r\nVALUE a 0 1\r\n6\r\nEND\r\n"
        ),
    );
    let many = "incr a 1\r\nmg a v\r\n".repeat(8);
    let numbers: String = (1..=8).map(|n| format!("{n}\r\nVA 1\r\n{n}\r\n")).collect();
    check(
        &format!(
            "set a 0 0 1\r\n0\r\n{many}get  a\r\nset b 0 0 1 noreply\r\ny\r\ngets nope\r\ndelete b\r\n"
        ),
        &format!("STORED\r\n{numbers}VALUE a 0 1\r\n8\r\nEND\r\nEND\r\nDELETED\r\n"),
    );
    let large = "x".repeat(2_000_000);
    let shared = shared();
    let mut client = Client::new(&shared);
    client.check(
        &format!("get a\r\nset a 0 0 2000000\r\n{large}\r\nget a\r\ntouch a 1\r\n"),
        "END\r\nSERVER_ERROR object too large for cache\r\nEND\r\nNOT_FOUND\r\n",
    );
}

#[test]
fn uniques_section_4() {
    let shared = shared();
    let mut client = Client::new(&shared);
    client.check("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    let unique = |client: &mut Client<'_>, command: &str| {
        client.send(command.as_bytes());
        let answers = String::from_utf8(client.answers()).unwrap();
        let line = answers.lines().next().unwrap().to_owned();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let first = unique(&mut client, "gets a\r\n");
    assert_eq!(unique(&mut client, "gats 0 a\r\n"), first, "a touch gives no new unique");
    client.check(&format!("cas a 0 0 1 {first}\r\ny\r\n"), "STORED\r\n");
    client.check(&format!("cas a 0 0 1 {first}\r\nz\r\n"), "EXISTS\r\n");
    client.check("get a\r\n", "VALUE a 0 1\r\ny\r\nEND\r\n");
    let second = unique(&mut client, "gets a\r\n");
    client.check(&format!("cas a 0 0 1 {second} noreply\r\n5\r\n"), "");
    client.check("incr a 1\r\n", "6\r\n");
    assert_ne!(unique(&mut client, "gets a\r\n"), second);
}

#[test]
fn refused_lines_section_4() {
    let long = long_key();
    check("set a 0 0\r\nxyz\r\n", &format!("{BAD_LINE}ERROR\r\n"));
    check("set a 0 0 abc\r\nxyz\r\n", &format!("{BAD_LINE}ERROR\r\n"));
    check("set a 0 0 -1\r\nx\r\n", &format!("{BAD_LINE}{BAD_LINE}"));
    check(&format!("set {long} 0 0 1\r\nx\r\n"), BAD_LINE);
    check(&format!("set {long} 0 0 1 noreply\r\nx\r\nget a\r\n"), "END\r\n");
    check("set a x 0 2\r\nxy\r\nget a\r\n", &format!("{BAD_LINE}END\r\n"));
    check("set a 0 x 2\r\nxyzwget a\r\n", &format!("{BAD_LINE}END\r\n"));
    check("cas a 0 0 1\r\nx\r\n", BAD_LINE);
    check("cas a 0 0 1 noreply\r\nx\r\nget a\r\n", "END\r\n");
    check("set a x 0 2147483645\r\nno answer yet\r\nget a\r\n", "");
}

#[test]
fn bad_chunks_section_4() {
    let bad = "CLIENT_ERROR bad data chunk\r\n";
    check("set a 0 0 1\r\nxyz\r\n", &format!("{bad}{BAD_LINE}"));
    check("set a 0 0 3\r\nxy\r\nz\r\n", &format!("{bad}{BAD_LINE}"));
    check("set a 0 0 1\r\nx\n\r\n", &format!("{bad}{BAD_LINE}"));
    check("set a 0 0 0\r\n\n\r\n", &format!("{bad}{BAD_LINE}"));
    check("set a 0 0 1 noreply\r\nxyz\r\nget a\r\n", &format!("{BAD_LINE}END\r\n"));
    check(
        "set a 0 0 1\r\nx\r\nset a 0 0 1\r\nyyyget a\r\n",
        &format!("STORED\r\n{bad}VALUE a 0 1\r\nx\r\nEND\r\n"),
    );
    check("set a 0 0 1\r\nx\r", "");
    check("set a 0 0 1\r\n", "");
}

#[test]
fn too_large_section_4() {
    let refusal = "SERVER_ERROR object too large for cache\r\n";
    let make =
        || shared_with(options(), &store::Options { item_size_max: 1024, ..store_options() });
    let block = "v".repeat(1500);
    for (line, kept) in [("set a 0 0 1500", false), ("add a 0 0 1500", true)] {
        let send = format!("set a 0 0 1\r\nx\r\n{line}\r\n{block}\r\nget a\r\n");
        let value = if kept { "VALUE a 0 1\r\nx\r\n" } else { "" };
        let receive = format!("STORED\r\n{refusal}{value}END\r\n");
        check_all_splits(make, send.as_bytes(), receive.as_bytes());
        let send = send.replace("1500\r\n", "1500 noreply\r\n");
        check_all_splits(make, send.as_bytes(), receive.replace(refusal, "").as_bytes());
    }
    // The block's end does not matter when there is no item for it.
    let send = format!("set a 0 0 1500\r\n{block}xxget a\r\n");
    check_all_splits(make, send.as_bytes(), format!("{refusal}END\r\n").as_bytes());
}

#[test]
fn retrieval_section_5() {
    let stored = "STORED\r\n";
    let a = "VALUE a 0 1\r\nx\r\n";
    let b = "VALUE b 9 2\r\nyy\r\n";
    let set = "set a 0 0 1\r\nx\r\nset b 9 0 2\r\nyy\r\n";
    let check = |send: &str, receive: &str| {
        check(&format!("{set}{send}"), &format!("{stored}{stored}{receive}"));
    };
    check("get a\r\n", &format!("{a}END\r\n"));
    check("get  b   a \r\n", &format!("{b}{a}END\r\n"));
    check("get a nope a b\n", &format!("{a}{a}{b}END\r\n"));
    check("get nope\r\nget b\r\n", &format!("END\r\n{b}END\r\n"));
    check("gat 100 a nope b\r\n", &format!("{a}{b}END\r\n"));
    check("gat -1 a\r\nget a\r\n", &format!("{a}END\r\nEND\r\n"));
    check("get a noreply\r\n", &format!("{a}END\r\n"));
    check(&format!("get{} noreply\r\n", " a".repeat(30)), &format!("{}END\r\n", a.repeat(30)));
    check("get a\tb \0\r\n", "END\r\n");
    check("get a\r\r\n", "END\r\n");
    for line in ["get", "get ", "gets  ", "gat", "gat 10", "gat x", "gat 10 "] {
        check(&format!("{line}\r\nget a\r\n"), &format!("{BAD_LINE}{a}END\r\n"));
    }
    check("gat x a\r\n", "CLIENT_ERROR invalid exptime argument\r\n");
    check("gats 000000000001 a\r\n", "CLIENT_ERROR invalid exptime argument\r\n");
}

#[test]
fn long_keys_section_5() {
    let long = long_key();
    let fits = &long[1..];
    check(&format!("get {fits}\r\nget {fits}\n"), "END\r\nEND\r\n");
    check(&format!("get {long}\r\n"), BAD_LINE);
    check(&format!("get {long} noreply\r\n"), BAD_LINE);
    check(
        &format!("set a 0 0 1\r\nx\r\nget a\r\nget a {long} a\r\nget a\r\n"),
        &format!("STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n{BAD_LINE}VALUE a 0 1\r\nx\r\nEND\r\n"),
    );
    check(&format!("gat 1 {long}\r\n"), BAD_LINE);
    check(&format!("delete {long} noreply\r\ndelete {long}\r\n"), BAD_LINE);
}

#[test]
fn one_item_section_6() {
    check(
        "set a 0 0 1\r\nx\r\ndelete a 0 junk\r\ndelete a\r\ndelete\r\n",
        &format!("STORED\r\nDELETED\r\nNOT_FOUND\r\n{BAD_LINE}"),
    );
    check(
        "set n 0 0 2\r\n10\r\nincr n 1\r\ndecr n 2\r\nget n\r\ndecr n 100\r\nget n\r\n",
        "STORED\r\n11\r\n9\r\nVALUE n 0 2\r\n9 \r\nEND\r\n0\r\nVALUE n 0 2\r\n0 \r\nEND\r\n",
    );
    check(
        "set n 5 0 1\r\n0\r\nincr n 18446744073709551615\r\nincr n 1\r\nget n\r\n",
        "STORED\r\n18446744073709551615\r\n0\r\nVALUE n 5 20\r\n0                   \r\nEND\r\n",
    );
    check(
        "incr n 1\r\nincr n -1\r\nincr n\r\nset n 0 0 1\r\nx\r\ndecr n 1\r\n",
        &format!(
            "NOT_FOUND\r\nCLIENT_ERROR invalid numeric delta argument\r\n{BAD_LINE}STORED\r\n\
             CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
        ),
    );
    check(
        "touch a 1\r\nset a 0 0 1\r\nx\r\ntouch a 2147483648\r\ntouch a 10\r\ntouch a -1\r\nget a\r\n",
        "NOT_FOUND\r\nSTORED\r\nCLIENT_ERROR invalid exptime argument\r\nTOUCHED\r\nTOUCHED\r\nEND\r\n",
    );
    check(
        "set a 0 0 1 noreply\r\n5\r\nincr a 1 noreply\r\ntouch a 0 noreply\r\nget a\r\n\
         delete a noreply\r\nincr a noreply\r\nget a\r\n",
        "VALUE a 0 1\r\n6\r\nEND\r\nEND\r\n",
    );
}

#[test]
fn framing_section_1() {
    check("\r\n\na\r\nab\r\n", &format!("{BAD_LINE}{BAD_LINE}{BAD_LINE}ERROR\r\n"));
    check("\r\r\n\r\r\r\n", &format!("{BAD_LINE}ERROR\r\n"));
    check(" get a\r\n get\r\n flush_all\r\n", "ERROR\r\nERROR\r\nOK\r\n");
    check("GET a\r\nget\ta\r\nfoo bar noreply\r\n", "ERROR\r\nERROR\r\n");
    check("version\r\nversion noreply\n", &"VERSION 1.6.45-test\r\n".repeat(2));
    check("HTTP/1.1\r\nget HTTP/1.1\r\n", "ERROR\r\nEND\r\n");
    check_closes("POST /x HTTP/1.1\r\nHost: x\r\n\r\nset a 0 0 1\r\nx\r\n", "");
    check_closes("get a\r\nGET / HTTP/1.1\r\n", "END\r\n");
    check_closes(
        "set a 0 0 1\r\nx\r\nget a\r\nquit\r\nversion\r\n",
        "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n",
    );
    check_closes("quit now noreply\r\n", "");
}

#[test]
fn long_lines_section_1() {
    let line = |len: usize| format!("get a\r\n{}", "x".repeat(len));
    check(&line(LINE_LEN_MAX), "END\r\n");
    check(&format!("{}\n", line(LINE_LEN_MAX)), "END\r\nERROR\r\n");
    check_closes(&line(LINE_LEN_MAX + 1), "END\r\n");
    check_closes(&format!("{}\nversion\r\n", line(LINE_LEN_MAX + 1)), "END\r\n");
    check_closes(&" ".repeat(LINE_LEN_MAX + 1), "");
    check_closes(&format!("  get {}", "a ".repeat(2000)), "");
    check_closes(&format!("gat {}", " ".repeat(3000)), "");
}

#[test]
fn endless_retrievals() {
    let a = "VALUE a 0 1\r\nx\r\n";
    let set = "set a 0 0 1\r\nx\r\n";
    let long = long_key();
    let check = |send: &str, receive: &str| {
        check(
            &format!("{set}{send}version\r\n"),
            &format!("STORED\r\n{receive}VERSION 1.6.45-test\r\n"),
        );
    };
    check(&format!("get{}\r\n", " a".repeat(1500)), &format!("{}END\r\n", a.repeat(1500)));
    check(&format!("gat 9{}\n", " a".repeat(1500)), &format!("{}END\r\n", a.repeat(1500)));
    let nope = format!(" {}", &long[1..]);
    check(&format!("get{} a  \r\n", nope.repeat(20)), &format!("{a}END\r\n"));
    // Too long within the window: nothing is looked up. Behind it: the answer ends there.
    check(&format!("get a {long}{}\r\n", " a".repeat(1500)), BAD_LINE);
    check(
        &format!("get{} {long} a\r\n", " a".repeat(1500)),
        &format!("{}{BAD_LINE}", a.repeat(1500)),
    );
    check(&format!("get a {}\r\n", long.repeat(30)), BAD_LINE);
    check(&format!("get {}\r\n", " ".repeat(5000)), BAD_LINE);
    check(&format!("gat x {}a\r\n", " ".repeat(5000)), "CLIENT_ERROR invalid exptime argument\r\n");
    check(&format!("get {}a\r\n", " ".repeat(5000)), &format!("{a}END\r\n"));
}

#[test]
fn administration_section_7() {
    check("set a 0 0 1\r\nx\r\nflush_all\r\nget a\r\n", "STORED\r\nOK\r\nEND\r\n");
    check("set a 0 0 1\r\nx\r\nflush_all -5 noreply\r\nget a\r\n", "STORED\r\nEND\r\n");
    check("set a 0 0 1\r\nx\r\nflush_all noreply\r\nget a\r\n", "STORED\r\nEND\r\n");
    check(
        "set a 0 0 1\r\nx\r\nflush_all 2592001\r\nflush_all x\r\nget a\r\n",
        "STORED\r\nOK\r\nCLIENT_ERROR invalid exptime argument\r\nVALUE a 0 1\r\nx\r\nEND\r\n",
    );
    check("verbosity\r\nverbosity x noreply\r\n", BAD_LINE);
    check(
        "cache_memlimit\r\ncache_memlimit 7\r\ncache_memlimit 1000000001\r\ncache_memlimit 8\r\n",
        "ERROR\r\nMEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n\
         MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\nOK\r\n",
    );
    check("shutdown\r\nshutdown x\r\n", &"SERVER_ERROR: shutdown not enabled\r\n".repeat(2));
    check("refresh_certs noreply\r\n", "Error TLS not enabled\r\n");
    check("debugtime 5\r\ndebugtime 5 noreply\r\n", "ERROR\r\n");
    check("slabs\r\nlru x\r\nmisbehave\r\n", &"ERROR\r\n".repeat(3));
}

#[test]
fn large_values_go_straight_into_their_item() {
    for value_len in [COPY_MAX - 1, COPY_MAX, COPY_MAX + 1, 3 * COPY_MAX, 200_000] {
        let value: String = (0..value_len).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
        let send = format!("set big 3 0 {value_len}\r\n{value}\r\nget big\r\ngets nope big\r\n");
        let shared = shared();
        for path in [Path::Input, Path::Item] {
            for piece_len in [send.len(), 65_536, 1_000] {
                let outcome = converse(&shared, path, send.as_bytes().chunks(piece_len));
                let answers = String::from_utf8(outcome.answers).unwrap();
                let head =
                    format!("STORED\r\nVALUE big 3 {value_len}\r\n{value}\r\nEND\r\nVALUE big 3 ");
                assert!(answers.starts_with(&head), "{value_len} in pieces of {piece_len}");
                assert!(answers.ends_with(&format!("\r\n{value}\r\nEND\r\n")));
            }
        }
        let refused = format!("set big 3 0 {value_len}\r\n{value}xxget a\r\n");
        let outcome = converse(&shared, Path::Item, refused.as_bytes().chunks(1_000));
        assert_same(b"CLIENT_ERROR bad data chunk\r\nEND\r\n", &outcome.answers);
    }
}

const COPY_MAX: usize = crate::limits::COPY_VALUE_MAX;
