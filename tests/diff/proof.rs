//! The test can fail, and reaches what it says: proved without a server.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use crate::allowed::{self, Likeness, RULES, What};
use crate::answers::{Kind, Piece};
use crate::generate::{self, Dialect};
use crate::oracle::Oracle;
use crate::sequence::{Cuts, Line, Packet, Request, Sequence, Word};
use crate::{admin, binary, meta, text};

fn new() -> Oracle {
    Oracle::new(&[1, 6, 45])
}

fn old() -> Oracle {
    Oracle::new(&[1, 6, 18])
}

fn made(count: u64, dialect: Dialect, oracle: &Oracle) -> Vec<Sequence> {
    (0..count).map(|index| generate::sequence(7, index, &[dialect], oracle)).collect()
}

fn lines(sequences: &[Sequence]) -> impl Iterator<Item = &Line> {
    sequences.iter().flat_map(|sequence| &sequence.requests).filter_map(Request::line)
}

fn sequence(requests: Vec<Request>) -> Sequence {
    Sequence { requests, cuts: Cuts::Whole }
}

fn of_lines(lines: &[Line]) -> Sequence {
    sequence(lines.iter().cloned().map(Request::Line).collect())
}

#[test]
fn a_seed_repeats() {
    for (_, dialect) in Dialect::ALL {
        assert_eq!(made(50, dialect, &new()), made(50, dialect, &new()));
        assert!(made(51, dialect, &new())[1..] != made(50, dialect, &new()));
    }
}

#[test]
fn one_byte_is_seen() {
    let oracle = new();
    let text = b"VALUE a 5 3 77\r\nabc\r\nEND\r\nHD c77 kab s3\r\nNS\r\n";
    let mut packet =
        vec![0x81, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 6, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 9];
    packet.extend(*b"\0\0\0\x05xy");
    for (bytes, is_binary) in [(&text[..], false), (&packet, true)] {
        let request = if is_binary {
            Request::Packet(Packet::new(10))
        } else {
            Request::Line(Line::of("mn"))
        };
        let asked = sequence(vec![request]);
        let compared = |other: &[u8]| allowed::compare(bytes, other, &asked, &oracle);
        assert_eq!(compared(bytes), Likeness::Same);
        assert_eq!(compared(&[bytes, b"\r\n"].concat()), Likeness::Different);
        for at in 0..bytes.len() {
            let mut other = bytes.to_vec();
            other[at] ^= 1;
            assert_eq!(compared(&other), Likeness::Different, "{at} {}", other.escape_ascii());
            let shorter = [&bytes[..at], &bytes[at + 1..]].concat();
            assert_eq!(compared(&shorter), Likeness::Different, "{at}");
        }
    }
}

#[test]
fn a_mask_hides_its_token_alone() {
    let compared = |oracle: &Oracle, one: &str, other: &str| {
        let asked = of_lines(&[Line::of("mn")]);
        allowed::compare(one.as_bytes(), other.as_bytes(), &asked, oracle)
    };
    let (same, seconds, different) =
        (Likeness::Same, Likeness::SameButForSeconds, Likeness::Different);
    for (wanted, one, other) in [
        (same, "VERSION 1.6.45\r\n", "VERSION 1.6.18\r\n"),
        (different, "VERSION 1.6.45\r\n", "VERSIOM 1.6.18\r\n"),
        (different, "VERSION 1.6.45\r\n", "VERSION 1.6.45\n"),
        (same, "ME a exp=-1 cls=1 size=64\r\n", "ME a exp=-1 cls=12 size=6\r\n"),
        (different, "ME a exp=-1 cls=1 size=64\r\n", "ME a exp=-1 cls=x size=64\r\n"),
        (different, "ME a exp=-1 cls=1 size=64\r\n", "ME b exp=-1 cls=1 size=65\r\n"),
        (seconds, "ME a exp=9 la=0\r\n", "ME a exp=10 la=1\r\n"),
        (seconds, "HD t9 s1\r\n", "HD t8 s1\r\n"),
        (different, "HD t9 s1\r\n", "HD t8 s2\r\n"),
        (different, "HD s9\r\n", "HD s8\r\n"),
        (same, "HD t2592001\r\n", "HD t2592002\r\n"),
        (seconds, "HD t2592001\r\n", "HD t2592003\r\n"),
        (seconds, "HD t2592001\r\n", "HD t2592000\r\n"),
        (same, "HD t4294967214\r\n", "HD t4294967000\r\n"),
        (seconds, "HD t4294967214\r\n", "HD t-1\r\n"),
        (different, "HD c5 c6\r\n", "HD c5 c7\r\n"),
        (different, "VA 1 t5\r\nx\r\n", "VA 1 t5\r\ny\r\n"),
        (different, "VA 5 t5\r\nHD t1\r\n", "VA 5 t5\r\nHD t2\r\n"),
    ] {
        assert_eq!(compared(&new(), one, other), wanted, "{one} {other}");
    }
    for (wanted, one, other) in
        [(same, "HD c5 c6\r\n", "HD c7 c0\r\n"), (different, "HD c5 s6\r\n", "HD c6 s7\r\n")]
    {
        assert_eq!(compared(&old(), one, other), wanted, "{one} {other}");
    }
}

/// A rule, sequences of lines of which it is for the last, and such of which it is not.
type Examples<'a> = (&'a str, &'a [&'a [&'a str]], &'a [&'a [&'a str]]);

/// For each rule that keeps requests out: sequences of which it keeps out the last line, and of which it
/// does not.
#[test]
fn a_rule_keeps_out_what_it_says() {
    let long = format!("get a {} b", "k".repeat(251));
    let many = format!("gat 0 {}", "a ".repeat(900));
    let many_for_get = format!("get {}", "a ".repeat(900));
    let table: &[Examples] = &[
        ("retrieval of a key that is too long", &[&[&long]], &[&[&long[..256]], &["get k"]]),
        (
            "HTTP behind another request",
            &[&["get a", "x HTTP/1.1"]],
            &[&["x HTTP/1.1"], &["mn", "get HTTP/1"]],
        ),
        (
            "lines that are too long",
            &[&[&many], &["mn", &many_for_get]],
            &[&[&many_for_get], &[&many[..1500]]],
        ),
        (
            "blocks that do not end",
            &[&["set a 0 0 5"], &["ms a 5", "mn"][..1]],
            &[&["set a 0 0 x"], &["get a 0 0 5"]],
        ),
        (
            "flush_all within seconds",
            &[&["flush_all 2"]],
            &[&["flush_all"], &["flush_all -2"], &["flush_all 1000"]],
        ),
        (
            "statistics",
            &[&["stats"], &["stats items"], &["stats c 1 1"], &["stats sett"]],
            &[&["stats item"], &["stats reset"], &["stats cachedump 64 1"], &["get settings"]],
        ),
        (
            "watch that is taken, or is behind another request",
            &[&["mn", "watch x"], &["watch"], &["watch e m"]],
            &[&["watch x"], &["watch e x"]],
        ),
        (
            "memory limits that are taken",
            &[&["cache_memlimit 8"]],
            &[&["cache_memlimit 7"], &["cache_memlimit x"]],
        ),
        (
            "what no client library writes",
            &[&["get \0"], &["verbosity x"], &["slabs automove 0"], &["mg Zg b"]],
            &[&["get a"], &["verbosity 1"], &["mg Zm9v b"], &["flush_all"]],
        ),
        (
            "lines of the old parser",
            &[
                &["a"],
                &["get"],
                &["incr n +1"],
                &["foo noreply"],
                &["delete a 0"],
                &["touch a 2147483648"],
            ],
            &[&["get a"], &["incr n x"], &["foo"], &["delete a noreply"], &["touch a 2147483647"]],
        ),
        (
            "uniques behind an ms that is not carried out",
            &[&["ms a 5"], &["ms a x"], &["ms a"]],
            &[&["md a 5"], &["set a 0 0 1"]],
        ),
        (
            "a unique that is named behind such an ms",
            &[&["ms a 5", "mg a C5"], &["ms a", "cas a 0 0 1 5"]],
            &[&["mg a C5"], &["ms a 5", "mg a v"]],
        ),
        (
            "ms with a flag that is no letter",
            &[&["ms a 1 +"], &["ms a 1 q @"]],
            &[&["ms a 1 q"], &["mg a +"]],
        ),
        (
            "a number that is counted behind a retrieval of it",
            &[&["get a n", "incr n 1"], &["mg foo", "ma Zm9v b"]],
            &[&["incr n 1", "get n"], &["get a", "incr n 1"]],
        ),
        (
            "a new time or unique for a number that is counted up",
            &[&["ma n T1"], &["ma n MI E5"]],
            &[&["ma n MD T1"], &["ma n"], &["mg n T1"]],
        ),
        (
            "pages that are moved",
            &[&["slabs reassign 1 2"], &["slabs r -1 5 x"]],
            &[&["slabs reassign x 2"], &["slabs reassign 1"], &["slabs automove 1 2"]],
        ),
        (
            "words of admin commands with a NUL",
            &[&["lru_crawler crawl 1\0"], &["slabs auto\0"]],
            &[&["lru_crawler crawl 1"], &["get a 1\0"]],
        ),
        (
            "base64 with padding amid a group",
            &[&["mg Zg=a b"], &["mg Zm9vZ=g= v b"]],
            &[&["mg Zg== b"], &["mg Zg=a"], &["mg Zg==Zm9v b"]],
        ),
        (
            "numbers of white space alone",
            &[&["set a \t 0 1"], &["cas a 0 \t 1 5"]],
            &[&["set \t 0 0 1"], &["get a \t"]],
        ),
        (
            "dumps behind a turn's worth of requests",
            &[&[
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "mn",
                "lru_crawler m all",
            ]],
            &[&["mn", "lru_crawler mgdump all"], &["lru_crawler metadump all"]],
        ),
        (
            "keys that break lines",
            &[&["mg AP8gDQo= b N1"], &["ms AP8gDQo= 1 b MA"], &["ma AP8gDQo= b"]],
            &[&["mg AP8gDQo= b"], &["mg a N1"], &["ms AP8gDQo= 1 b"]],
        ),
        ("me of a key in base64", &[&["me a b"], &["me a x b"]], &[&["me b"], &["mg a b"]]),
        ("blocks of the old parser", &[&["set a x 0 1"], &["cas a 0 0 1"]], &[&["get a x 0 1"]]),
        (
            "meta flags of the old parser",
            &[&["mg a E5"], &["md a s"], &["mg a v v"], &["ma a N0 q"]],
            &[&["mg a v t N5"], &["md a q I"], &["get a v v"], &["ma a q"]],
        ),
    ];
    for rule in RULES {
        assert!(!rule.reason.is_empty(), "{} has no reason", rule.name);
        let (What::Avoid(is_so) | What::LooseIf(is_so)) = rule.what else { continue };
        if rule.name == "uniques" {
            assert!(is_so(&of_lines(&[Line::of("mn")]), 0));
            continue;
        }
        let packets = packets_of(rule.name);
        for (packets, wanted) in &packets {
            let last = packets.len() - 1;
            let requests = packets.iter().cloned().map(Request::Packet).collect();
            assert_eq!(is_so(&sequence(requests), last), *wanted, "{}: {packets:?}", rule.name);
        }
        let Some((_, kept_out, let_in)) = table.iter().find(|(name, ..)| *name == rule.name) else {
            if rule.name == "blocks that are taken for lines, and are too long or store" {
                for (text, wanted) in [("ms a", true), ("ms a 2000", false), ("set a", true)] {
                    let line = Line::of(text).with_block("x".repeat(2000));
                    assert_eq!(is_so(&of_lines(&[line]), 0), wanted, "{text}");
                }
                continue;
            }
            assert!(packets.len() > 1, "{} has no examples", rule.name);
            continue;
        };
        for (texts, wanted) in kept_out
            .iter()
            .map(|texts| (texts, true))
            .chain(let_in.iter().map(|texts| (texts, false)))
        {
            let sequence =
                of_lines(&texts.iter().map(|text| Line::of(text.trim_end())).collect::<Vec<_>>());
            assert_eq!(is_so(&sequence, texts.len() - 1), wanted, "{}: {texts:?}", rule.name);
        }
    }
}

/// For the rules on packets: packets of which a rule is for the last, or is not.
fn packets_of(rule: &str) -> Vec<(Vec<Packet>, bool)> {
    let with = |change: fn(&mut Packet)| {
        let mut packet = Packet::new(0);
        change(&mut packet);
        packet
    };
    let good = Packet::new(10);
    match rule {
        "bodies of more than 1 GiB" => vec![
            (vec![with(|packet| packet.body_len = Some(1 << 30))], false),
            (vec![with(|packet| packet.body_len = Some((1 << 30) + 1))], true),
        ],
        "heads that fit no buffer" => vec![
            (vec![with(|packet| packet.key_len = Some(20_000))], true),
            (vec![with(|packet| packet.key_len = Some(251))], false),
        ],
        "unknown opcodes with a body" => vec![
            (vec![with(|packet| packet.opcode = 0x30)], false),
            (vec![with(|packet| (packet.opcode, packet.key) = (0x30, b"a".to_vec()))], true),
            (vec![with(|packet| packet.key = b"a".to_vec())], false),
        ],
        "values where none belongs" => vec![
            (vec![with(|packet| (packet.opcode, packet.value) = (0x1c, b"a".to_vec()))], true),
            (vec![with(|packet| (packet.opcode, packet.key) = (0x1c, b"a".to_vec()))], false),
        ],
        "values of white space alone" => vec![
            (vec![with(|packet| packet.value = b" \r".to_vec())], true),
            (vec![with(|packet| packet.value = b" 1".to_vec())], false),
            (vec![with(|packet| packet.value.clear())], false),
        ],
        "a number that is counted behind a long value" => {
            let long = with(|packet| packet.value = vec![b'x'; 2000]);
            let sum = with(|packet| packet.opcode = 5);
            vec![(vec![long.clone(), sum], true), (vec![long.clone(), long], false)]
        }
        "statistics as packets" => vec![
            (vec![with(|packet| packet.opcode = 0x10)], true),
            (vec![with(|packet| (packet.opcode, packet.key) = (0x10, b"reset".to_vec()))], false),
        ],
        "packets that are not where they should be" => vec![
            (vec![with(|packet| packet.magic = 0x81)], false),
            (vec![good.clone(), with(|packet| packet.magic = 0x81)], true),
            (vec![with(|packet| packet.body_len = Some(9))], false),
            (vec![with(|packet| (packet.key, packet.body_len) = (b"ab".to_vec(), Some(1)))], true),
            (vec![good.clone(), good], false),
        ],
        _ => Vec::new(),
    }
}

#[test]
fn nothing_avoided_is_left() {
    for oracle in [new(), old()] {
        for (_, dialect) in Dialect::ALL {
            let sequences = made(300, dialect, &oracle);
            assert!(sequences.iter().all(|sequence| allowed::is_admitted(sequence, &oracle)));
            let requests: usize = sequences.iter().map(|sequence| sequence.requests.len()).sum();
            assert!(requests > 500, "{dialect:?}: only {requests} requests are left");
        }
    }
}

#[test]
fn every_text_command_is_made() {
    let sequences = made(8000, Dialect::Text, &new());
    let commands: BTreeSet<&[u8]> = lines(&sequences).map(Line::command).collect();
    for (_, command) in text::COMMANDS {
        assert!(commands.contains(command.as_bytes()), "{command}");
    }
    let rendered: BTreeSet<Vec<u8>> =
        lines(&sequences).map(|line| of_lines(std::slice::from_ref(line)).render(0)).collect();
    let avoided = |text: &str| allowed::avoided(&of_lines(&[Line::of(text)]), 0, &new()).is_some();
    for text in admin::LINES.iter().filter(|text| !avoided(text)) {
        assert!(rendered.contains(format!("{text}\r\n").as_bytes()), "{text}");
    }
    assert!(lines(&sequences).any(|line| line.end == b"\n"));
    assert!(lines(&sequences).any(|line| line.block.as_ref().is_some_and(|b| b.len() > 1 << 18)));
    for cuts in [Cuts::Whole, Cuts::Bytes] {
        assert!(sequences.iter().any(|sequence| sequence.cuts == cuts));
    }
}

#[test]
fn every_meta_flag_is_made_with_every_command() {
    let sequences = made(8000, Dialect::Meta, &new());
    let mut found = BTreeSet::new();
    for line in lines(&sequences) {
        for word in &line.words {
            let flag = match word {
                Word::Bytes(bytes) => bytes.first().copied().unwrap_or(b' '),
                Word::Unique(letter, _) => letter.bytes().next().unwrap_or(b' '),
            };
            found.insert((line.command(), char::from(flag)));
        }
    }
    for (_, command) in meta::COMMANDS {
        let letters = if ["mn", "me"].contains(command) { "" } else { meta::LETTERS };
        assert!(found.iter().any(|(name, _)| *name == command.as_bytes()), "{command}");
        for letter in letters.chars() {
            assert!(found.contains(&(command.as_bytes(), letter)), "{command} {letter}");
        }
    }
    let is_long = |line: &Line| line.command() == b"mg" && line.words.len() > 16;
    assert!(lines(&sequences).any(is_long));
}

#[test]
fn every_opcode_is_made() {
    let sequences = made(30_000, Dialect::Binary, &new());
    let packets = sequences.iter().flat_map(|sequence| &sequence.requests);
    let packets: Vec<&Packet> = packets.filter_map(Request::packet).collect();
    let found: BTreeSet<u8> = packets.iter().map(|packet| packet.opcode).collect();
    assert!(found.len() > 200, "only {} opcodes, known or not", found.len());
    for opcode in binary::opcodes() {
        let count = packets.iter().filter(|packet| packet.opcode == opcode).count();
        assert!(count > 200, "opcode {opcode:#x} only {count} times");
    }
    for group in binary::STATS {
        assert!(packets.iter().any(|packet| packet.key == group.as_bytes()), "{group}");
    }
    for magic in [0x80, 0x81, b'g'] {
        assert!(packets.iter().any(|packet| packet.magic == magic));
    }
}

#[test]
fn a_number_is_read_off_a_piece() {
    let number = |kind, bytes: &[u8]| Piece { kind, bytes }.number();
    assert_eq!(number(Kind::Ttl, b"-1"), Some(-1));
    assert_eq!(number(Kind::Unique, b"18446744073709551615"), Some(i128::from(u64::MAX)));
    assert_eq!(number(Kind::Unique, &[0, 0, 0, 0, 0, 0, 1, 2]), Some(258));
    assert_eq!(number(Kind::Size, b"x"), None);
}
