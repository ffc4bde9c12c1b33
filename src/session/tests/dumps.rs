//! Lists of items as they are written bit by bit.

use super::*;
use crate::limits::OUTPUT_HIGH_WATER_BYTES;

fn with_items(count: usize) -> Shared {
    let shared = shared();
    let mut client = Client::new(&shared);
    for number in 0..count {
        client.send(format!("set key{number} 0 0 1 noreply\r\nx\r\n").as_bytes());
    }
    shared
}

/// What `command` answers, in lines.
fn ask(client: &mut Client<'_>, command: &str) -> Vec<String> {
    client.send(format!("{command}\r\n").as_bytes());
    let answers = String::from_utf8(client.answers()).unwrap();
    answers.lines().map(str::to_owned).collect()
}

#[test]
fn metadump_section_7() {
    let shared = shared_with(options(), &store::Options { cas: false, ..store_options() });
    let mut client = Client::new(&shared);
    let time = client.now.unix_start;
    client.check("set a:b 0 50 1\r\nx\r\n", "STORED\r\n");
    let (la, exp) = (time + i64::from(SECS), time + i64::from(SECS) + 50);
    client.check(
        "lru_crawler metadump all\r\n",
        &format!(
            "OK\r\nkey=a%3Ab exp={exp} la={la} cas=0 fetch=no cls=1 size=24 flags=0 \nEND\r\n"
        ),
    );
    client.check("touch a:b 0\r\n", "TOUCHED\r\n");
    client.check(
        "lru_crawler metadump 1\r\n",
        &format!("OK\r\nkey=a%3Ab exp=-1 la={la} cas=0 fetch=yes cls=1 size=24 flags=0 \nEND\r\n"),
    );
    client.check("lru_crawler metadump 2\r\n", "OK\r\nEND\r\n");
    client.check("lru_crawler mgdump 2,1\r\n", "OK\r\nmg a:b\r\nEN\r\n");
}

#[test]
fn flushes_do_not_make_an_access_look_later() {
    let shared = shared_with(options(), &store::Options { cas: false, ..store_options() });
    let mut client = Client::new(&shared);
    let time = client.now.unix_start;
    let flush = "flush_all\r\n".repeat(3);
    client.check(&format!("set a 0 0 1\r\nx\r\n{flush}"), "STORED\r\nOK\r\nOK\r\nOK\r\n");
    client.check("get a\r\nset b 0 0 1\r\nx\r\nget b\r\n", {
        "END\r\nSTORED\r\nVALUE b 0 1\r\nx\r\nEND\r\n"
    });
    client.now.secs = Secs(SECS + 1);
    client.check(
        "mg b l h\r\nset c 0 0 1\r\nx\r\nmg c l h\r\n",
        "HD l1 h1\r\nSTORED\r\nHD l0 h0\r\n",
    );
    let la = time + i64::from(SECS) + 1;
    let line = |key| format!("key={key} exp=-1 la={la} cas=0 fetch=yes cls=1 size=22 flags=0 ");
    let lines = ask(&mut client, "lru_crawler metadump all");
    assert!(lines.contains(&line("b")), "{lines:?}");
    assert!(lines.contains(&line("c")), "{lines:?}");
    // The second of a flush that is over does not shield what was stored in it.
    client.check("flush_all\r\nget b c\r\n", "OK\r\nEND\r\n");
}

/// After these the worker looks at the others, whatever is left to do.
#[test]
fn what_goes_through_all_of_the_store_is_long() {
    let shared = shared();
    let stat = [&[0x80, 0x10][..], &[0; 22]].concat();
    for (request, is_long) in [
        (b"lru_crawler metadump all\r\n".as_slice(), true),
        (b"stats cachedump 1 0\r\n", true),
        (b"stats detail dump\r\n", true),
        (b"stats\r\n", true),
        (b"stats slabs\r\n", true),
        (&stat, true),
        (b"get a b c\r\n", false),
        (b"set a 0 0 1\r\nx\r\n", false),
        (b"stats reset\r\n", true),
        (b"flush_all\r\n", true),
        (b"slabs automove 1\r\n", true),
        (b"lru_crawler crawl all\r\n", true),
        (b"cache_memlimit 8\r\n", true),
        (b"verbosity 0\r\n", false),
    ] {
        let client = Client::new(&shared);
        let mut turn = client.turn();
        Session::new().advance(request, &mut Output::new(), &mut turn);
        assert_eq!(turn.was_long, is_long, "{}", request.escape_ascii());
    }
}

#[test]
fn what_follows_a_dump_is_answered_after_it() {
    let shared = shared();
    check_all_splits(
        || with_items(1),
        b"lru_crawler mgdump all\r\nget key0\r\n",
        b"OK\r\nmg key0\r\nEN\r\nVALUE key0 0 1\r\nx\r\nEND\r\n",
    );
    check_all_splits(
        || with_items(1),
        b"stats cachedump 1 5\r\nget key0\r\n",
        b"ITEM key0 [1 b; 0 s]\r\nEND\r\nVALUE key0 0 1\r\nx\r\nEND\r\n",
    );
    let mut client = Client::new(&shared);
    let pipelined = "ERROR cannot pipeline other commands before mgdump\r\n";
    client.check(
        "delete a\r\nlru_crawler mgdump all\r\nget a\r\n",
        &format!("NOT_FOUND\r\n{pipelined}END\r\n"),
    );
    client.check("lru_crawler mgdump all\r\n", "OK\r\nEN\r\n");
}

#[test]
fn every_item_is_listed_once() {
    let shared = with_items(20_000);
    let mut client = Client::new(&shared);
    let mut want: Vec<String> = (0..20_000).map(|number| format!("mg key{number}")).collect();
    want.sort();
    let mut lines = ask(&mut client, "lru_crawler mgdump all");
    assert_eq!((lines.remove(0).as_str(), lines.pop().as_deref()), ("OK", Some("EN")));
    lines.sort();
    assert!(lines == want, "{} lines", lines.len());
    let mut lines = ask(&mut client, "stats cachedump 1 0");
    assert_eq!(lines.pop().as_deref(), Some("END"));
    lines.sort();
    assert_eq!(lines.len(), 20_000);
    lines.dedup();
    assert_eq!(lines.len(), 20_000);
    assert_eq!(ask(&mut client, "stats cachedump 1 17").len(), 18);
    assert_eq!(ask(&mut client, "stats cachedump 2 0"), ["END"]);
}

/// Nothing is made for a client that does not read, and what changes meanwhile does no harm.
#[test]
fn a_dump_waits_for_its_reader() {
    let shared = with_items(20_000);
    let mut client = Client::new(&shared);
    let (mut session, mut out) = (Session::new(), Output::new());
    let mut input = b"lru_crawler metadump all\r\n".as_slice();
    let (mut turns, mut lines) = (0, 0);
    loop {
        let (consumed, want) = session.advance(input, &mut out, &mut client.turn());
        input = &input[consumed..];
        assert!(out.weight() < 2 * OUTPUT_HIGH_WATER_BYTES, "{}", out.weight());
        turns += 1;
        match want {
            Want::Turn => assert!(session.is_midway()),
            Want::Drain => {
                let again = session.advance(input, &mut out, &mut client.turn());
                assert_eq!(again, (0, Want::Drain));
                lines += out.bytes().iter().filter(|byte| **byte == b'\n').count();
                let count = out.weight();
                out.advance(count);
                client
                    .send(format!("delete key{turns}\r\nset new{turns} 0 0 1\r\nx\r\n").as_bytes());
            }
            end => {
                assert_eq!(end, Want::Input);
                lines += out.bytes().iter().filter(|byte| **byte == b'\n').count();
                break;
            }
        }
    }
    assert!(turns > 50, "{turns} turns");
    assert!((19_000..21_000).contains(&lines), "{lines}");
    assert!(!session.is_midway());
}

/// `stats detail` counts what is meant to be counted (stats, section 7).
#[test]
fn stats_detail_section_7() {
    let shared = shared();
    let mut client = Client::new(&shared);
    client.check("stats detail dump\r\n", "END\r\n");
    client.check("set foo:1 0 0 1\r\nx\r\nstats detail dump\r\n", "STORED\r\nEND\r\n");
    client.check("stats detail on\r\n", "OK\r\n");
    client.send(b"get foo:1 foo:2\r\ngat 0 foo:1\r\nset foo:3 0 0 9999999\r\n");
    client.send(&[b'v'; 9_999_999 + 2]);
    client.send(b"add foo:1 0 0 1\r\nx\r\ndelete foo:1\r\ndelete foo:1\r\n");
    client.send(b"incr foo:1 1\r\ndecr foo:1 1\r\ntouch foo:1 0\r\nset foo:9 0\r\nget plain\r\n");
    client.answers();
    let line = "PREFIX foo get 3 hit 2 set 2 del 2\r\nEND\r\n";
    client.check("stats detail off\r\nget foo:1\r\n", "OK\r\nEND\r\n");
    client.check("stats detail dump\r\n", line);
    client.check("stats reset\r\nstats detail dump\r\n", "RESET\r\nEND\r\n");
}
