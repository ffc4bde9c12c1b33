//! The allowed differences: everything in which the daemon and memcached may answer differently,
//! each with its reason, and nothing else.
//!
//! A rule either keeps a request out of the sequences, or lets one kind of token in an answer
//! differ, as far as its test says. `docs/protocol.md` lists the deliberate ones for operators.
#![forbid(unsafe_code)]

use crate::answers::{Kind, Piece, pieces};
use crate::old;
use crate::oracle::{NEW_PARSER, Oracle, Release};
use crate::sequence::Sequence;
use crate::shapes;

/// An allowed difference.
pub struct Rule {
    /// What it is about.
    pub name: &'static str,
    /// The releases of memcached that differ.
    pub when: When,
    /// Why the difference is allowed.
    pub reason: &'static str,
    /// How far it goes.
    pub what: What,
}

/// Releases of memcached.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Always,
    Before(Release),
    Since(Release),
}

/// How far a rule goes.
#[derive(Clone, Copy)]
pub enum What {
    /// Request `.1` of the sequence is not sent when this holds.
    Avoid(fn(&Sequence, usize) -> bool),
    /// Pieces of this kind may be these two.
    Mask(Kind, fn(&Piece, &Piece) -> bool),
    /// Uniques need not be the same at all where this holds for a request of the sequence.
    LooseIf(fn(&Sequence, usize) -> bool),
}

use What::{Avoid, LooseIf, Mask};
use When::{Always, Before, Since};

const fn rule(name: &'static str, when: When, what: What, reason: &'static str) -> Rule {
    Rule { name, when, reason, what }
}

/// All of them.
pub const RULES: &[Rule] = &[
    rule("version", Always, Mask(Kind::Version, |_, _| true), "each names itself"),
    rule("item size in me", Always, Mask(Kind::Size, both_numbers), "items are laid out otherwise"),
    rule("slab class in me", Always, Mask(Kind::Class, both_numbers), "slab classes are our own"),
    rule(
        "seconds left until a Unix time",
        Always,
        Mask(Kind::Ttl, absolute_ttls),
        "seconds of the two servers do not begin together",
    ),
    rule(
        "seconds left of what has expired",
        Always,
        Mask(Kind::Ttl, wrapped_ttls),
        "a number that has wrapped shows how long the server has been up",
    ),
    rule(
        "retrieval of a key that is too long",
        Since(NEW_PARSER),
        Avoid(shapes::long_key_retrieval),
        "memcached drops answers that are due and sends an empty line",
    ),
    rule(
        "HTTP behind another request",
        Always,
        Avoid(shapes::late_http),
        "memcached closes without its queued answers",
    ),
    rule(
        "lines that are too long",
        Always,
        Avoid(shapes::long_line),
        "memcached's answer depends on how the line arrives",
    ),
    rule(
        "blocks that do not end",
        Always,
        Avoid(shapes::endless_block),
        "memcached keeps back answers until the block has arrived",
    ),
    rule(
        "flush_all within seconds",
        Always,
        Avoid(shapes::soon_flush),
        "memcached flushes a second early and loses what is stored in it",
    ),
    rule("statistics", Always, Avoid(shapes::statistics), "they tell of two different servers"),
    rule(
        "watch that is taken, or is behind another request",
        Always,
        Avoid(shapes::late_watch),
        "memcached's answer depends on whether earlier answers have been sent; a watcher hears of \
         what empties the server, and memcached does not always close it",
    ),
    rule(
        "memory limits that are taken",
        Always,
        Avoid(shapes::memory_limit),
        "the limit would stay for later sequences",
    ),
    rule(
        "uniques behind an ms that is not carried out",
        Always,
        LooseIf(shapes::refused_ms),
        "memcached takes a unique for it before it looks at its opaque and its block, and gives it to \
         the next item that is stored",
    ),
    rule(
        "a unique that is named behind such an ms",
        Always,
        Avoid(shapes::unique_behind_refused_ms),
        "it is another item's",
    ),
    rule(
        "ms with a flag that is no letter",
        Always,
        Avoid(shapes::broken_flag),
        "memcached runs its block as commands",
    ),
    rule(
        "blocks that are taken for lines, and are too long or store",
        Always,
        Avoid(shapes::long_loose_block),
        "as lines that are too long, and as blocks that do not end",
    ),
    rule(
        "values of white space alone",
        Always,
        Avoid(shapes::blank_value),
        "memcached looks for a number beyond their end",
    ),
    rule(
        "a number that is counted behind a retrieval of it",
        Always,
        Avoid(shapes::sum_behind_retrieval),
        "memcached pads it only once the answer to the retrieval has been sent",
    ),
    rule(
        "a new time or unique for a number that is counted up",
        Always,
        Avoid(shapes::marked_sum),
        "memcached gives it to the item that a longer number has just replaced",
    ),
    rule(
        "pages that are moved",
        Always,
        Avoid(shapes::page_move),
        "whether memcached's mover is busy depends on the time; slab classes are our own",
    ),
    rule(
        "words of admin commands with a NUL",
        Always,
        Avoid(shapes::word_with_nul),
        "memcached takes it for the end of the word",
    ),
    rule(
        "base64 with padding amid a group",
        Always,
        Avoid(shapes::padding_amid),
        "memcached takes it for a zero",
    ),
    rule(
        "a number that is counted behind a long value",
        Always,
        Avoid(shapes::sum_behind_long_value),
        "a number with a long text behind it counts in memcached; here it is a text",
    ),
    rule(
        "dumps behind a turn's worth of requests, or behind a cut",
        Always,
        Avoid(shapes::late_dump),
        "memcached refuses one behind answers that are unsent, and sends them every 20 requests, and before \
         it reads on amid a block",
    ),
    rule(
        "keys that break lines",
        Always,
        Avoid(shapes::key_that_breaks_lines),
        "memcached shows them as they are when their item was not made by ms",
    ),
    rule(
        "me of a key in base64",
        Always,
        Avoid(shapes::debug_base64),
        "memcached looks at the b only when another flag follows",
    ),
    rule(
        "unknown opcodes with a body",
        Always,
        Avoid(shapes::unknown_opcode),
        "memcached throws away too much, and loses the framing",
    ),
    rule(
        "heads that fit no buffer",
        Always,
        Avoid(shapes::endless_head),
        "memcached closes without an answer",
    ),
    rule(
        "values where none belongs",
        Always,
        Avoid(shapes::surplus_value),
        "memcached takes them for the next header",
    ),
    rule(
        "packets that are not where they should be",
        Always,
        Avoid(shapes::lost_framing),
        "memcached closes without its queued answers",
    ),
    rule(
        "statistics as packets",
        Always,
        Avoid(shapes::statistics_packet),
        "they tell of two different servers",
    ),
    rule(
        "uniques",
        Before(NEW_PARSER),
        LooseIf(|_, _| true),
        "older releases take none for stores that change nothing, some for a flush, and may give a store \
         the one that an earlier client has left",
    ),
    rule(
        "numbers of white space alone",
        Since(NEW_PARSER),
        Avoid(shapes::blank_number),
        "memcached reads on into the next word",
    ),
    rule(
        "what no client library writes",
        Before(NEW_PARSER),
        Avoid(old::oddity),
        "spaces, control bytes, long keys, numbers and words of admin commands were read otherwise",
    ),
    rule(
        "lines of the old parser",
        Before(NEW_PARSER),
        Avoid(shapes::old_line),
        "bad lines, odd numbers and words in short were read otherwise",
    ),
    rule(
        "blocks of the old parser",
        Before(NEW_PARSER),
        Avoid(shapes::old_block),
        "after a bad storage line or block the rest was read otherwise",
    ),
    rule(
        "meta flags of the old parser",
        Before(NEW_PARSER),
        Avoid(shapes::old_meta),
        "fewer flags were known, and errors had other texts",
    ),
    rule(
        "bodies of more than 1 GiB",
        Before([1, 6, 42]),
        Avoid(shapes::huge_body),
        "older releases wait for them",
    ),
];

impl Rule {
    /// Whether it is needed for this memcached.
    pub fn is_for(&self, oracle: &Oracle) -> bool {
        match self.when {
            Always => true,
            Before(release) => oracle.is_before(release),
            Since(release) => !oracle.is_before(release),
        }
    }
}

/// The rule that keeps request `index` out.
pub fn avoided(sequence: &Sequence, index: usize, oracle: &Oracle) -> Option<&'static Rule> {
    RULES.iter().filter(|rule| rule.is_for(oracle)).find(|rule| match rule.what {
        Avoid(is_so) => is_so(sequence, index),
        _ => false,
    })
}

/// Takes out requests until none is left that is to be avoided.
pub fn drop_avoided(sequence: &mut Sequence, oracle: &Oracle) {
    // From the end, since what follows a request can be what it lacks.
    while let Some(index) =
        (0..sequence.requests.len()).rev().find(|index| avoided(sequence, *index, oracle).is_some())
    {
        sequence.requests.remove(index);
    }
}

/// Whether nothing in the sequence is to be avoided.
pub fn is_admitted(sequence: &Sequence, oracle: &Oracle) -> bool {
    (0..sequence.requests.len()).all(|index| avoided(sequence, index, oracle).is_none())
}

fn is_loose(what: &What, sequence: &Sequence) -> bool {
    let LooseIf(is_so) = what else { return false };
    let indices = 0..sequence.requests.len();
    // Of nothing anything is so.
    indices.is_empty() || indices.into_iter().any(|index| is_so(sequence, index))
}

/// Whether the two may take different numbers of uniques.
pub fn uniques_may_differ(sequence: &Sequence, oracle: &Oracle) -> bool {
    RULES.iter().filter(|rule| rule.is_for(oracle)).any(|rule| is_loose(&rule.what, sequence))
}

/// How two answers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// The same, but for allowed differences.
    Same,
    /// The same but for seconds that are left or gone: a second may have ended between.
    SameButForSeconds,
    /// Not the same.
    Different,
}

/// Compares the answers of the daemon with those of memcached.
pub fn compare(ours: &[u8], theirs: &[u8], sequence: &Sequence, oracle: &Oracle) -> Likeness {
    if ours == theirs {
        return Likeness::Same;
    }
    let is_binary = sequence.is_binary();
    let (ours, theirs) = (pieces(ours, is_binary), pieces(theirs, is_binary));
    if ours.len() != theirs.len() {
        return Likeness::Different;
    }
    let rules: Vec<&What> =
        RULES.iter().filter(|rule| rule.is_for(oracle)).map(|rule| &rule.what).collect();
    let is_loose = rules.iter().any(|what| is_loose(what, sequence));
    let mut likeness = Likeness::Same;
    for (one, other) in ours.iter().zip(&theirs).filter(|(one, other)| one != other) {
        let is_masked = rules.iter().any(|what| match what {
            Mask(kind, may) => one.kind == *kind && may(one, other),
            LooseIf(_) => one.kind == Kind::Unique && is_loose,
            Avoid(_) => false,
        });
        if one.kind != other.kind {
            return Likeness::Different;
        }
        match one.kind {
            _ if is_masked => {}
            Kind::Ttl | Kind::Idle => likeness = Likeness::SameButForSeconds,
            _ => return Likeness::Different,
        }
    }
    likeness
}

fn both_numbers(one: &Piece, other: &Piece) -> bool {
    one.number().is_some_and(|number| number > 0) && other.number().is_some_and(|number| number > 0)
}

fn absolute_ttls(one: &Piece, other: &Piece) -> bool {
    const RELATIVE_SECS_MAX: i128 = 60 * 60 * 24 * 30;
    let (Some(one), Some(other)) = (one.number(), other.number()) else { return false };
    one > RELATIVE_SECS_MAX && other > RELATIVE_SECS_MAX && (one - other).abs() <= 1
}

fn wrapped_ttls(one: &Piece, other: &Piece) -> bool {
    let is_wrapped = |number: i128| number > i128::from(i32::MAX);
    one.number().is_some_and(is_wrapped) && other.number().is_some_and(is_wrapped)
}
