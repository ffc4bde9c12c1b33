//! Whatever a client sends, nothing breaks and the cutting into reads does not matter.

use super::*;
use crate::protocol::binary::{HEADER_LEN, MAGIC};

/// Names the seed from which to replay.
const SEED_VARIABLE: &str = "NUTHATCH_SEED";

const ROUNDS: usize = 800;

/// Splitmix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Pieces of requests, valid and not.
const PIECES: &[&str] = &[
    "get ",
    "gets ",
    "gat ",
    "gats 10 ",
    "gat x ",
    "a",
    "b",
    " a",
    " b",
    " ",
    "   ",
    "\r",
    "\n",
    "\r\n",
    "set a 0 0 1\r\n",
    "set b 1 0 5 noreply\r\n",
    "add c 0 0 0\r\n",
    "append a 0 0 2\r\n",
    "cas a 0 0 1 5\r\n",
    "set a x 0 3\r\n",
    "set a 0 0 -1\r\n",
    "prepend b 0 -1 1\r\n",
    "x\r\n",
    "12345\r\n",
    "incr a 1\r\n",
    "decr b 18446744073709551615\r\n",
    "delete a\r\n",
    "touch b 5\r\n",
    "flush_all\r\n",
    "flush_all 5\r\n",
    "version\r\n",
    "noreply\r\n",
    "foo bar\r\n",
    "stats sizes\r\n",
    "verbosity\r\n",
    "cache_memlimit 64\r\n",
    "shutdown\r\n",
    "4294967296",
    "-1",
    "\0",
    "\t",
];

fn garbage(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.below(60) {
        match random.below(40) {
            0 => bytes.extend((0..random.below(40)).map(|_| random.next() as u8)),
            1 => bytes.resize(bytes.len() + 240 + random.below(20), b'k'),
            2 => bytes.resize(bytes.len() + random.below(3000), b" akx"[random.below(4)]),
            3 => bytes.extend(b" key".repeat(random.below(700))),
            _ => bytes.extend(PIECES[random.below(PIECES.len())].bytes()),
        }
    }
    bytes
}

/// Packets whose fields are mostly right, and sometimes not.
fn packets(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.below(20) {
        let opcode =
            if random.below(20) == 0 { random.next() as u8 } else { random.below(0x25) as u8 };
        let extras_len = match opcode {
            0x01..=0x03 | 0x11..=0x13 => 8,
            0x05 | 0x06 | 0x15 | 0x16 => 20,
            0x1c..=0x1e | 0x23 | 0x24 => 4,
            _ => 0,
        };
        let has_value = matches!(opcode, 0x01..=0x03 | 0x0e | 0x0f | 0x11..=0x13 | 0x19 | 0x1a);
        let key: &[u8] = match opcode {
            0x07 | 0x08 | 0x0a | 0x0b | 0x17 | 0x18 | 0x20 => b"",
            // The one list that does not tell of time.
            0x10 => b"sizes",
            _ => [&b"a"[..], b"b", &[b'k'; 250]][random.below(3)],
        };
        let value_len = if has_value { [0, 1, 30, 20_000][random.below(4)] } else { 0 };
        let body_len = extras_len + key.len() + value_len;
        let start = bytes.len();
        bytes.extend([MAGIC, opcode, 0, key.len() as u8, extras_len as u8, 0, 0, 0]);
        bytes.extend((body_len as u32).to_be_bytes());
        bytes.extend([0; 12]);
        bytes.extend((0..extras_len).map(|at| if at % 4 == 3 { 5 } else { 0 }));
        bytes.extend_from_slice(key);
        bytes.resize(start + HEADER_LEN + body_len, b'1');
        if random.below(30) == 0 {
            // Not the opcode: it is any of them already.
            let at = start + [0, 2 + random.below(HEADER_LEN - 2)][random.below(2)];
            bytes[at] = random.next() as u8;
        }
    }
    bytes
}

/// Without uniques: a value that comes in pieces takes its number at another moment.
fn make() -> Shared {
    shared_with(options(), &store::Options { cas: false, ..store_options() })
}

#[test]
fn garbage_in_any_cut_gives_the_same() {
    let seed = std::env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("{SEED_VARIABLE}={seed}");
    let mut random = Random(seed);
    for _ in 0..ROUNDS {
        let bytes = [garbage, packets][random.below(2)](&mut random);
        let whole = converse(&make(), Path::Input, [&bytes[..]]);
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let most = [3, 100, 5000][random.below(3)];
            let (piece, after) = rest.split_at((1 + random.below(most)).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        let path = [Path::Input, Path::Item][random.below(2)];
        let cut = converse(&make(), path, pieces);
        assert_same(&whole.answers, &cut.answers);
        assert!(whole == cut, "not the same: {}", bytes.escape_ascii());
    }
}
