//! Makes sequences out of a seed: which dialect, how many requests, where they are cut.
//!
//! What the requests of a dialect are is in `text`, `meta`, `admin` and `binary`; what is left out since the
//! answers are meant to differ is in `allowed`.
#![forbid(unsafe_code)]

use crate::allowed;
use crate::oracle::Oracle;
use crate::random::Random;
use crate::sequence::{Cuts, Line, Number, Packet, Request, Sequence};

/// What a sequence is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Classic text and the admin commands.
    Text,
    /// Meta commands with some classic ones between.
    Meta,
    /// The binary protocol.
    Binary,
}

impl Dialect {
    /// All, by the names that `NUTHATCH_DIFF_DIALECTS` uses.
    pub const ALL: [(&str, Dialect); 3] =
        [("text", Dialect::Text), ("meta", Dialect::Meta), ("binary", Dialect::Binary)];
}

/// What a sequence is made with.
#[derive(Debug)]
pub struct Maker {
    pub random: Random,
    pub uniques: Uniques,
}

/// Sequence `index` of a run.
pub fn sequence(seed: u64, index: u64, dialects: &[Dialect], oracle: &Oracle) -> Sequence {
    let random = Random::of(seed, index);
    let mut maker = Maker { random, uniques: Uniques::new(oracle) };
    let dialect = *maker.random.pick(dialects);
    let count = match maker.random.below(20) {
        0 => 20 + maker.random.below(40),
        1..=4 => 1,
        5..=9 => 2 + maker.random.below(3),
        _ => 3 + maker.random.below(12),
    };
    let mut requests: Vec<Request> = (0..count).map(|_| maker.request(dialect, dialects)).collect();
    requests.push(trailer(dialect));
    let mut sequence = Sequence { requests, cuts: Cuts::Whole };
    // Rules can be about cuts, which are counted round the end of what they leave.
    sequence.cuts = maker.cuts(sequence.len_from(0));
    allowed::drop_avoided(&mut sequence, oracle);
    sequence
}

/// Follows the last request, so that one that claims some bytes too many gets them. A server that
/// waits for the end of a block may keep its answers back until then.
fn trailer(dialect: Dialect) -> Request {
    const LEN: usize = 144;
    match dialect {
        Dialect::Text | Dialect::Meta => {
            Request::Line(Line::new(vec![crate::sequence::Word::new("z".repeat(LEN))]))
        }
        Dialect::Binary => {
            // A value that is read as no-ops when nothing of it is missing.
            let mut noop = Packet::new(0x0a);
            noop.value = [&[0x80, 0x0a][..], &[0; 22]].concat().repeat(LEN / 24 - 1);
            noop.body_len = Some(0);
            Request::Packet(noop)
        }
    }
}

impl Maker {
    fn request(&mut self, dialect: Dialect, dialects: &[Dialect]) -> Request {
        let is_mixed = self.random.one_in(150);
        let dialect = if is_mixed { *self.random.pick(dialects) } else { dialect };
        match (dialect, self.random.below(100)) {
            (Dialect::Text, 0..12) => Request::Line(self.admin()),
            (Dialect::Text, _) | (Dialect::Meta, 0..20) => Request::Line(self.classic()),
            (Dialect::Meta, _) => Request::Line(self.meta()),
            (Dialect::Binary, _) => Request::Packet(self.binary()),
        }
    }

    fn cuts(&mut self, len: usize) -> Cuts {
        match self.random.below(100) {
            0..45 => Cuts::Whole,
            45 if len < 400 => Cuts::Bytes,
            46..60 => {
                // Close together, and so within one request.
                let at = self.random.below(len + 1);
                let count = 1 + self.random.below(5);
                Cuts::At((0..count).map(|_| at + self.random.below(40)).collect())
            }
            _ => {
                let count = 1 + self.random.below(3);
                Cuts::At((0..count).map(|_| self.random.below(len + 1)).collect())
            }
        }
    }
}

/// A guess at the unique that each key's item has.
#[derive(Debug)]
pub struct Uniques {
    taken: i64,
    of: Vec<(Vec<u8>, Number)>,
    /// Whether only stores that change something take a unique; then a store that may or may not
    /// change something ends what is known about all later ones.
    is_frugal: bool,
    is_lost: bool,
}

impl Uniques {
    fn new(oracle: &Oracle) -> Uniques {
        let is_frugal = oracle.takes_uniques_for_successes_only();
        Uniques { taken: 0, of: Vec::new(), is_frugal, is_lost: false }
    }

    /// A store is attempted that surely succeeds.
    pub fn stored(&mut self, key: &[u8]) {
        self.taken += 1;
        self.set(key, Number::Ahead(self.taken));
    }

    /// A store is attempted that may fail.
    pub fn attempted(&mut self, key: &[u8]) {
        self.stored(key);
        self.is_lost |= self.is_frugal;
    }

    /// An item was given its unique by a request.
    pub fn set(&mut self, key: &[u8], number: Number) {
        self.of.retain(|(other, _)| other != key);
        self.of.push((key.to_vec(), number));
    }

    /// A unique to ask for: the right one more often than not.
    pub fn guess(&self, key: &[u8], random: &mut Random) -> Number {
        let known = self.of.iter().find(|(other, _)| other == key).map(|(_, number)| *number);
        let exact = [0, 1 << 48, (1 << 48) + 1, i64::MAX as u64, u64::MAX - 1, u64::MAX];
        match (random.below(20), known) {
            (0..3, _) => Number::Exact(*random.pick(&exact)),
            (_, _) if self.is_lost => Number::Exact(*random.pick(&exact)),
            (3..14, Some(number)) => number,
            (14..16, Some(Number::Ahead(by))) => Number::Ahead(by + [1, -1][random.below(2)]),
            (14..16, Some(Number::Exact(value))) => {
                Number::Exact([value.wrapping_add(1), value.wrapping_sub(1)][random.below(2)])
            }
            _ => Number::Ahead(i64::try_from(random.below(8)).expect("small")),
        }
    }
}
