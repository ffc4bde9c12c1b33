//! Seeds and words: what inputs are made of.
//!
//! `seeds/TARGET` has seeds, parted by empty lines, in lines as those of conversation files (docs/testing.md):
//! `> TEXT` and `>> PACKET`. Those of `tests/cases` are seeds, too: whole conversations where that is what a
//! target takes, single requests elsewhere. Head bytes are not in them.
//!
//! `words/NAME` has words in the form that libFuzzer reads: in quotes, `\xNN` for a byte, a line each.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use nuthatch::fuzz::Target;

use crate::packet::Way;
use crate::pattern::{Names, Pattern};

/// The seeds of a target, without head bytes.
pub fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let mut seeds = read_seeds(target.name);
    match target.name {
        "session" | "pair" | "datagram" => {
            seeds.extend(conversations().into_iter().map(|sends| sends.concat()));
            if target.name != "session" {
                seeds.extend(read_seeds("session"));
            }
        }
        "text" => seeds.extend(lines(|_| true)),
        "meta" => seeds.extend(lines(|line| line.starts_with(b"m"))),
        "multiget" => {
            let is_get = |line: &[u8]| line.starts_with(b"ge") || line.starts_with(b"ga");
            let space = |line: &[u8]| line.iter().position(|byte| *byte == b' ');
            let lines = lines(is_get).into_iter();
            seeds.extend(lines.filter_map(|line| Some(line[space(&line)? + 1..].to_vec())));
        }
        "binary" => {
            let sends = conversations().concat().into_iter();
            seeds.extend(sends.filter(|send| send.first() == Some(&0x80)));
        }
        _ => {}
    }
    seeds.retain(|seed| seed.len() <= target.len_max);
    seeds
}

/// The words of a target.
pub fn words(target: &Target) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(place("words").join(target.words)).expect("a file of words");
    let quoted = |line: &str| {
        let inner = line.strip_prefix('"')?.strip_suffix('"')?;
        Some(unescape(inner.as_bytes()))
    };
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| quoted(line).unwrap_or_else(|| panic!("no quotes: {line}"))).collect()
}

/// Writes what cargo-fuzz takes: a folder with seeds, a file of words.
pub fn write(target: &Target, dir: &Path) {
    let seeds_dir = dir.join(target.name);
    fs::create_dir_all(&seeds_dir).expect("a folder");
    // Heads that lead to different servers.
    let heads: &[u8] = if target.head == 0 { &[0] } else { &[0, 0x47, 0x9f, 0xe8] };
    for (number, seed) in seeds(target).iter().enumerate() {
        let head = heads[number % heads.len()];
        let input = [&vec![head; target.head][..], seed].concat();
        fs::write(seeds_dir.join(format!("seed-{number:04}")), input).expect("a file");
    }
    let words = fs::read(place("words").join(target.words)).expect("a file of words");
    fs::write(dir.join(format!("{}.words", target.name)), words).expect("a file");
}

/// The names of all files of a kind.
pub fn files(kind: &str) -> Vec<String> {
    let listing = fs::read_dir(place(kind)).expect("a folder");
    listing.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into()).collect()
}

fn place(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(kind)
}

fn read_seeds(name: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(place("seeds").join(name)).unwrap_or_default();
    let paragraphs = text.split("\n\n").map(sends).filter(|sends| !sends.is_empty());
    paragraphs.map(|sends| sends.concat()).collect()
}

/// What is sent by the lines of a text, each by itself.
fn sends(text: &str) -> Vec<Vec<u8>> {
    let mut names = Names::new();
    names.insert("version".to_owned(), b"1.6.45".to_vec());
    let mut found = Vec::new();
    for line in text.lines() {
        let mut pattern = Pattern::default();
        let read = match line.split_once(' ') {
            Some((">", text)) => pattern.push_line(text),
            Some((">>", packet)) => pattern.push_packet(packet, Way::Request),
            _ if line == ">" => pattern.push_line(""),
            _ => continue,
        };
        read.unwrap_or_else(|what| panic!("{line}: {what}"));
        // Numbers that a server has given out: the first ones.
        if pattern.needs(&names) {
            let name = |text: &str| Some(text.split_once('{')?.1.split_once('}')?.0.to_owned());
            let number = 1 + names.len() as u64 % 3;
            names.extend(name(line).map(|name| (name, number.to_string().into_bytes())));
        }
        found.extend(pattern.render(&names).ok());
    }
    found
}

fn conversations() -> Vec<Vec<Vec<u8>>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let listing = fs::read_dir(dir).expect("cases");
    let mut paths: Vec<_> = listing.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| sends(&fs::read_to_string(path).expect("a case"))).collect()
}

/// All lines of text in conversations that are wanted, each once.
fn lines(is_wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let mut lines: Vec<_> =
        conversations().concat().into_iter().filter(|line| is_wanted(line)).collect();
    lines.retain(|line| line.first() != Some(&0x80));
    lines.sort();
    lines.dedup();
    lines
}

fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((first, rest)) = text.split_first() {
        text = rest;
        match (first, rest) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("hexadecimal");
                out.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
                text = after;
            }
            (b'\\', [byte @ (b'\\' | b'"'), after @ ..]) => {
                out.push(*byte);
                text = after;
            }
            _ => out.push(*first),
        }
    }
    out
}
