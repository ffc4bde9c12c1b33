//! Makes a failing sequence small: fewer requests, simpler words, no cuts.
//!
//! Each step keeps the sequence failing and free of what is to be avoided. It may end with another difference
//! than it began with; that one will be found again when the first is mended.
#![forbid(unsafe_code)]

use crate::sequence::{Cuts, Line, Number, Packet, Request, Sequence, Word};

/// The smallest sequence that was found for which `fails` still holds, within a number of tries.
pub fn shrink(
    sequence: Sequence,
    tries_max: usize,
    mut fails: impl FnMut(&Sequence) -> bool,
) -> Sequence {
    let mut best = sequence;
    let mut tries = 0;
    let mut list = candidates(&best);
    let (mut index, mut since_success) = (0, 0);
    // The place in the list is kept when a success renews it: what stands before has just been tried.
    while since_success < list.len() && tries < tries_max {
        let at = index % list.len();
        tries += 1;
        if fails(&list[at]) {
            best = list.swap_remove(at);
            list = candidates(&best);
            since_success = 0;
        } else {
            index = at + 1;
            since_success += 1;
        }
    }
    best
}

/// Simpler sequences, those first that would save most.
fn candidates(sequence: &Sequence) -> Vec<Sequence> {
    let count = sequence.requests.len();
    let mut found = Vec::new();
    let mut run = count / 2;
    while run > 0 {
        for start in (0..=count - run).step_by(run) {
            let mut requests = sequence.requests.clone();
            requests.drain(start..start + run);
            found.push(Sequence { requests, cuts: sequence.cuts.clone() });
        }
        run /= 2;
    }
    found.extend(simpler_cuts(&sequence.cuts).into_iter().map(|cuts| {
        let requests = sequence.requests.clone();
        Sequence { requests, cuts }
    }));
    for index in 0..count {
        for request in simpler(&sequence.requests[index]) {
            let mut requests = sequence.requests.clone();
            requests[index] = request;
            found.push(Sequence { requests, cuts: sequence.cuts.clone() });
        }
    }
    found
}

fn simpler_cuts(cuts: &Cuts) -> Vec<Cuts> {
    match cuts {
        Cuts::Whole => Vec::new(),
        Cuts::Bytes => vec![Cuts::Whole],
        Cuts::At(all) => {
            let without = |index: usize| {
                let mut rest = all.clone();
                rest.remove(index);
                Cuts::At(rest)
            };
            std::iter::once(Cuts::Whole).chain((0..all.len()).map(without)).collect()
        }
    }
}

fn simpler(request: &Request) -> Vec<Request> {
    match request {
        Request::Line(line) => simpler_lines(line).into_iter().map(Request::Line).collect(),
        Request::Packet(packet) => {
            simpler_packets(packet).into_iter().map(Request::Packet).collect()
        }
    }
}

fn simpler_lines(line: &Line) -> Vec<Line> {
    let mut found = Vec::new();
    let mut with = |change: &dyn Fn(&mut Line)| {
        let mut simple = line.clone();
        change(&mut simple);
        if simple != *line {
            found.push(simple);
        }
    };
    if let Some(block) = &line.block {
        let data = block.strip_suffix(b"\r\n").unwrap_or(block);
        for len in [0, 1, data.len() / 2, data.len().saturating_sub(1)] {
            with(&|simple| resize_block(simple, data, len.min(data.len())));
        }
        with(&|simple| simple.block = Some([data, b"\r\n"].concat()));
    }
    for index in (1..line.words.len()).rev() {
        with(&|simple| {
            simple.words.remove(index);
            simple.gaps.pop();
        });
    }
    with(&|simple| {
        let plain = Line::new(simple.words.clone());
        *simple = Line { block: simple.block.take(), ..plain };
    });
    with(&|simple| simple.end = b"\r\n".to_vec());
    for (index, word) in line.words.iter().enumerate().skip(1) {
        for word in simpler_words(word) {
            with(&|simple| simple.words[index] = word.clone());
        }
    }
    found
}

/// Makes the block shorter, and the word that says its length with it, if it is right.
fn resize_block(line: &mut Line, data: &[u8], len: usize) {
    let (old, new) = (data.len().to_string().into_bytes(), len.to_string().into_bytes());
    if let Some(word) = line.words.iter_mut().skip(2).rev().find(|word| **word == Word::new(&old)) {
        *word = Word::Bytes(new);
    }
    line.block = Some([&data[..len], b"\r\n"].concat());
}

fn simpler_words(word: &Word) -> Vec<Word> {
    let Word::Bytes(bytes) = word else { return Vec::new() };
    let mut found = Vec::new();
    if bytes.len() > 1 {
        found.push(Word::new(&bytes[..1]));
        found.push(Word::new(&bytes[..bytes.len() / 2]));
        found.push(Word::new(&bytes[..bytes.len() - 1]));
    }
    if bytes.len() == 1 && bytes[0].is_ascii_digit() && bytes[0] > b'1' {
        found.push(Word::new("0"));
        found.push(Word::new("1"));
    }
    found
}

fn simpler_packets(packet: &Packet) -> Vec<Packet> {
    let mut found = Vec::new();
    let mut with = |change: &dyn Fn(&mut Packet)| {
        let mut simple = packet.clone();
        change(&mut simple);
        if simple != *packet {
            found.push(simple);
        }
    };
    for len in [0, 1, packet.value.len() / 2, packet.value.len().saturating_sub(1)] {
        with(&|simple| simple.value.truncate(len));
    }
    for len in [0, 1] {
        with(&|simple| simple.key.truncate(len));
    }
    with(&|simple| simple.extras.fill(0));
    with(&|simple| simple.extras.truncate(simple.extras.len().saturating_sub(1)));
    with(&|simple| simple.opaque = 0);
    with(&|simple| simple.cas = Number::Exact(0));
    with(&|simple| (simple.data_type, simple.vbucket) = (0, 0));
    with(&|simple| simple.body_len = None);
    with(&|simple| simple.key_len = None);
    with(&|simple| simple.extras_len = None);
    found
}

#[test]
fn what_matters_is_left() {
    let lines = ["version", "set aaaaaa 5 0 3", "get b x c", "incr n 1"].map(Line::of);
    let mut requests: Vec<Request> = lines.map(Request::Line).to_vec();
    if let Request::Line(line) = &mut requests[1] {
        line.block = Some(b"xyz\r\n".to_vec());
    }
    let sequence = Sequence { requests, cuts: Cuts::At(vec![3, 9]) };
    let fails = |sequence: &Sequence| {
        let lines: Vec<&Line> = sequence.requests.iter().filter_map(Request::line).collect();
        let is_get =
            |line: &&Line| line.command() == b"get" && line.words.contains(&Word::new("x"));
        lines.iter().any(is_get) && lines.iter().any(|line| line.block.is_some())
    };
    let small = shrink(sequence, 1000, fails);
    assert_eq!(small.render(0), b"set\r\n\r\nget x\r\n");
    assert_eq!(small.cuts, Cuts::Whole);
}
