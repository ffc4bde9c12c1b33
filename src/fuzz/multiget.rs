//! A line of the get family, as it arrives.
#![forbid(unsafe_code)]

use crate::fuzz::{cuts, is_key};
use crate::protocol::text::get::{self, Begin, Next, Verb};
use crate::protocol::text::plain;

/// What a line has led to.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It ended after so many bytes.
    At(usize),
    /// It has a key that is too long, after so many bytes.
    TooLong(usize),
    /// It goes on.
    None,
}

/// The same keys are found however the line arrives, each once, and none that is too long.
pub fn multiget(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let prefix = ["get ", "gets ", "gat ", "gats "][usize::from(*choice) % 4];
    let line = [prefix.as_bytes(), rest].concat();
    let verb = Verb::of(&line).expect("it has one");
    let begin = get::begin(verb, &line);
    for len in cuts(line.len()).filter(|len| *len >= prefix.len()) {
        let sooner = get::begin(verb, &line[..len]);
        assert!(sooner == Begin::Partial || sooner == begin);
    }
    let Begin::Keys { at, exptime } = begin else {
        assert_eq!(plain::get(verb, &line).filter(|_| !verb.touches()), None);
        return;
    };
    assert!((prefix.len()..=line.len()).contains(&at) && exptime.is_none_or(|_| verb.touches()));
    let (keys, end) = walk(&line, at, line.len(), usize::MAX);
    let step = 1 + usize::from(*choice >> 4) * 3;
    assert_eq!(walk(&line, at, at, step), (keys.clone(), end));
    if let Some((key, len)) = plain::get(verb, &line).filter(|_| !verb.touches()) {
        assert_eq!(walk(&line, at, line.len(), usize::MAX), (vec![key], End::At(len)));
    }
    // Whatever a line is, its keys are what stands between its spaces.
    let text = line[at..].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    for key in keys {
        let word = words.next().expect("a key is a word");
        assert!(is_key(key) && (word == key || word.strip_suffix(b"\r") == Some(key)));
    }
}

/// Takes the keys from `at` on, of which `there` bytes are there and `step` more each time that they do
/// not suffice.
fn walk(line: &[u8], mut at: usize, mut there: usize, step: usize) -> (Vec<&[u8]>, End) {
    let mut keys = Vec::new();
    loop {
        match get::next(&line[at..there]) {
            Next::Key { key, end, last } => {
                keys.push(key);
                at += end;
                if last {
                    return (keys, End::At(at));
                }
            }
            Next::End { end } => return (keys, End::At(at + end)),
            // Spaces before it may or may not have been passed by.
            Next::TooLong => {
                let spaces = line[at..].iter().take_while(|byte| **byte == b' ').count();
                return (keys, End::TooLong(at + spaces));
            }
            Next::More { spaces } => {
                at += spaces;
                assert!(at <= there);
                if there == line.len() {
                    return (keys, End::None);
                }
                there = there.saturating_add(step).min(line.len());
            }
        }
    }
}
