//! The codecs: bytes to requests, answers to bytes.
#![forbid(unsafe_code)]

#[allow(dead_code, reason = "each bench uses a part of it")]
mod kit;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use nuthatch::protocol::text::get::{self, Begin, Next, Verb};
use nuthatch::protocol::text::{self, plain};
use nuthatch::protocol::token::Tokens;
use nuthatch::protocol::{binary, meta, response};

use kit::script::{Kind, Script, Shape, key};

/// What a client sends for so many requests of a kind.
fn sent(kind: Kind, depth: usize) -> Vec<u8> {
    let script = Script::new(kind, &Shape { first: 0, keys: 100, value_len: 100, depth }, depth);
    script.sends().flat_map(|(bytes, _)| bytes.to_vec()).collect()
}

/// As a session does.
fn parse_line(input: &[u8]) -> bool {
    if let Some((_, noreply, _)) = plain::set(input) {
        return noreply;
    }
    let mut tokens = Tokens::default();
    let Some(_) = plain::line(input, &mut tokens) else { return false };
    text::parse(tokens.at(0).unwrap_or_default(), &tokens).noreply
}

fn text(c: &mut Criterion) {
    let mut group = c.benchmark_group("text");
    let line = sent(Kind::Get, 1);
    group.bench_function("get", |b| {
        b.iter(|| {
            let line = black_box(&line[..]);
            Verb::of(line).and_then(|verb| plain::get(verb, line)).is_some()
        });
    });
    let line = sent(Kind::MultiGet, 50);
    group.bench_function("get of 50 keys", |b| {
        b.iter(|| keys_of(black_box(&line)));
    });
    for (name, line) in [
        ("set", sent(Kind::Set, 1)),
        (
            "set with flags and exptime",
            b"set key-000000000000 4294967295 2592000 1048576\r\n".into(),
        ),
        ("incr by 1", sent(Kind::Incr, 1)),
        ("incr by 20 digits", b"incr key-000000000000 18446744073709551615\r\n".into()),
        ("touch", b"touch key-000000000000 3600\r\n".into()),
        ("delete", sent(Kind::Delete, 1)),
    ] {
        group.bench_function(name, |b| b.iter(|| parse_line(black_box(&line))));
    }
    group.finish();
}

/// Bytes of all keys of a line.
fn keys_of(line: &[u8]) -> usize {
    let Begin::Keys { mut at, .. } = get::begin(Verb::Get, line) else { return 0 };
    let mut bytes = 0;
    while let Next::Key { key, end, last } = get::next(&line[at..]) {
        bytes += key.len();
        at += end;
        if last {
            break;
        }
    }
    bytes
}

fn meta_lines(c: &mut Criterion) {
    let mut group = c.benchmark_group("meta");
    for (name, verb, line) in [
        ("mg v", meta::Verb::Get, "mg key-000000000000 v\r\n"),
        ("mg with 8 flags", meta::Verb::Get, "mg key-000000000000 v f t s c k Oabcd q\r\n"),
        ("ms", meta::Verb::Set, "ms key-000000000000 100\r\n"),
        (
            "ms with 5 flags",
            meta::Verb::Set,
            "ms key-000000000000 100 T3600 F7 C12345678 Oabcd q\r\n",
        ),
        ("ma", meta::Verb::Arith, "ma key-000000000000 v D10\r\n"),
    ] {
        let line = line.as_bytes();
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut tokens = Tokens::default();
                let len = tokens.take_plain_line(black_box(line));
                len.is_some() && meta::parse(verb, &tokens).is_ok()
            });
        });
    }
    group.finish();
}

fn packets(c: &mut Criterion) {
    let mut group = c.benchmark_group("binary");
    for (name, kind) in [("get", Kind::BinaryGet), ("set", Kind::BinarySet)] {
        let packet = sent(kind, 1);
        group.bench_function(name, |b| {
            b.iter(|| black_box(binary::read(black_box(&packet))));
        });
    }
    group.finish();
}

fn answers(c: &mut Criterion) {
    let mut group = c.benchmark_group("answers");
    let key = key(0);
    let mut out = Vec::with_capacity(1024);
    for (name, flags, value_len, cas) in [
        ("VALUE line", 0, 100, None),
        ("VALUE line with flags and unique", 4_294_967_295, 1_048_576, Some(u64::MAX)),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                response::value_line(
                    &mut out,
                    black_box(&key),
                    flags,
                    black_box(value_len),
                    cas,
                    0,
                );
            });
        });
    }
    for (name, number) in [("number of 1 digit", 7), ("number of 20 digits", u64::MAX)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                response::number_line(&mut out, black_box(number));
            });
        });
    }
    let tag = binary::Tag { opcode: 0, verb: binary::Verb::Get, is_quiet: false, opaque: 1 };
    let head = binary::response::Head { flags: 0, cas: 1, key: b"", value_len: 100 };
    group.bench_function("head of a binary answer", |b| {
        b.iter(|| {
            out.clear();
            binary::response::head(&mut out, black_box(tag), &head, 0);
        });
    });
    group.finish();
}

criterion_group! { name = benches; config = kit::criterion(); targets = text, meta_lines, packets, answers }
criterion_main!(benches);
