//! What releases before the new parser read otherwise, beside the shapes in `shapes`: whatever is not written
//! as a client library writes it.
#![forbid(unsafe_code)]

use crate::sequence::{Line, Number, Packet, Request, Sequence, Word};

/// Commands that are compared whatever their words, which `shapes` looks at.
const COMMANDS: &[&str] = &[
    "set", "add", "replace", "append", "prepend", "cas", "get", "gets", "gat", "gats", "delete",
    "incr", "decr", "touch", "mg", "ms", "md", "ma",
];

/// Commands that are compared with nothing behind them.
const BARE: &[&str] = &["flush_all", "version", "quit", "mn"];

const KEY_LEN_MAX: usize = 250;

pub fn oddity(sequence: &Sequence, index: usize) -> bool {
    match &sequence.requests[index] {
        Request::Line(line) => !is_plain(line),
        Request::Packet(packet) => !sequence.is_binary() || is_odd_packet(packet),
    }
}

/// A packet that names a unique, of which older releases take others, or that flushes: they did so by
/// uniques, and forgot a later flush no sooner than it was due.
fn is_odd_packet(packet: &Packet) -> bool {
    matches!(packet.cas, Number::Ahead(_)) || matches!(packet.opcode, 0x08 | 0x18)
}

fn is_plain(line: &Line) -> bool {
    let is_spaced = line.gaps.iter().enumerate().all(|(at, gap)| *gap == u8::from(at > 0));
    let is_graphic = line.words.iter().all(|word| match word {
        Word::Bytes(bytes) => {
            bytes.len() <= KEY_LEN_MAX && bytes.iter().all(|byte| byte.is_ascii_graphic())
        }
        // Uniques are others there.
        Word::Unique(..) => false,
    });
    let command = String::from_utf8_lossy(line.command());
    let is_bare = BARE.contains(&&*command) && line.words.len() == 1;
    let has_digits = |at: usize, len: usize| {
        line.word(at).len() <= len && line.word(at).iter().all(u8::is_ascii_digit)
    };
    let is_verbosity = command == "verbosity" && line.words.len() == 2 && has_digits(1, 9);
    let is_sum = ["incr", "decr"].contains(&&*command);
    let is_known = COMMANDS.contains(&&*command) || is_bare || is_verbosity;
    is_spaced
        && line.trail == 0
        && line.end == b"\r\n"
        && is_graphic
        && is_known
        && has_readable_key(line)
        && line.word(1) != b"noreply"
        && !has_long_opaque(line)
        && (!is_sum || has_digits(2, 20))
}

/// What is complained of first when a value is too large as well was otherwise.
fn has_long_opaque(line: &Line) -> bool {
    let is_long = |word: &[u8]| word.first() == Some(&b'O') && word.len() > 32;
    line.command() == b"ms" && (3..line.words.len()).any(|index| is_long(line.word(index)))
}

/// A key in base64 that is not was refused in other words.
fn has_readable_key(line: &Line) -> bool {
    let is_base64 = (2..line.words.len()).any(|index| line.word(index) == b"b");
    !is_base64 || [&b"Zm9v"[..], b"Zg=="].contains(&line.word(1))
}
