//! The test can fail, and reaches what it says: proved without a server.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use crate::allowed::{self, Likeness};
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

fn of_lines(lines: &[Line]) -> Sequence {
    let requests = lines.iter().cloned().map(Request::Line).collect();
    Sequence { requests, cuts: Cuts::Whole }
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
        let asked = Sequence { requests: vec![request], cuts: Cuts::Whole };
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
