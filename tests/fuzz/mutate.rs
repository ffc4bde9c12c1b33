//! Inputs from seeds.
#![forbid(unsafe_code)]

use nuthatch::fuzz::Target;

use crate::corpus;
use crate::random::Random;

/// Numbers at which something begins or ends.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "-1",
    "5",
    "100",
    "127",
    "128",
    "247",
    "248",
    "249",
    "250",
    "251",
    "252",
    "255",
    "256",
    "1023",
    "1024",
    "2047",
    "2048",
    "2049",
    "4096",
    "16384",
    "16385",
    "65535",
    "65536",
    "1048576",
    "1048577",
    "2592000",
    "2592001",
    "2147483645",
    "2147483646",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
    "1e3",
    "+5",
    "0x10",
    "00000000001",
    "000000000001",
    "0.5",
];

const WIDE: &[u32] =
    &[0, 1, 2, 23, 24, 250, 251, 0xffff, 1 << 20, (1 << 30) + 1, 1 << 31, u32::MAX, 0x7fff_ffff];

const REPEATS: &[usize] = &[2, 3, 10, 32, 33, 100, 248, 250, 251, 252, 400, 1000, 2047, 2048];

/// Makes inputs for one target.
pub struct Mutator {
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    head: usize,
    len_max: usize,
}

impl Mutator {
    pub fn new(target: &Target) -> Mutator {
        let (seeds, words) = (corpus::seeds(target), corpus::words(target));
        Mutator { seeds, words, head: target.head, len_max: target.len_max }
    }

    /// Puts another input into `into`.
    pub fn make(&self, random: &mut Random, into: &mut Vec<u8>) {
        into.clear();
        let heads = random.next().to_le_bytes();
        into.extend_from_slice(&heads[..self.head]);
        if random.one_in(4) {
            let mask = random.next().to_le_bytes();
            into.iter_mut().zip(mask).for_each(|(byte, mask)| *byte &= mask);
        }
        into.extend_from_slice(any(&self.seeds, random));
        let count = [0, 1, 1, 2, 2, 3, 4, 8][random.below(8)];
        for _ in 0..count {
            self.change(random, into);
        }
        into.truncate(self.head + self.len_max);
    }

    /// One change, behind the head.
    fn change(&self, random: &mut Random, input: &mut Vec<u8>) {
        let at = self.head + random.below(input.len() - self.head + 1);
        match random.below(14) {
            0 => change_byte(input, at, |byte| byte ^ 1 << random.below(8)),
            1 => change_byte(input, at, |_| random.next() as u8),
            2 => change_byte(input, at, |_| *random.pick(b" \r\n\0\t:=,-0 9\x7f\x80\xff")),
            3 => insert(input, at, any(&self.words, random)),
            4 => {
                let word = any(&self.words, random);
                let end = (at + word.len()).min(input.len());
                input.splice(at..end, word.iter().copied());
            }
            5 => {
                let end = (at + 1 + random.below(8)).min(input.len());
                input.drain(at..end);
            }
            6 => {
                let end = (at + 1 + random.below(40)).min(input.len());
                let part = input[at..end].to_vec();
                insert(input, at, &part);
            }
            7 => self.join(random, input, at),
            8 => insert(input, at, any(&self.seeds, random)),
            9 => input.extend_from_slice(any(&self.seeds, random)),
            10 | 11 => change_number(random, input, at),
            12 => {
                let wide = random.pick(WIDE).to_be_bytes();
                let width = [1, 2, 4][random.below(3)];
                let end = (at + width).min(input.len());
                input[at..end].copy_from_slice(&wide[4 - (end - at)..]);
            }
            _ => {
                let byte = input.get(at).copied().unwrap_or(b' ');
                let count = *random.pick(REPEATS);
                insert(input, at, &vec![byte; count.min(self.len_max)]);
            }
        }
        // Doubled again and again it would not fit into memory.
        input.truncate(self.head + 2 * self.len_max);
    }

    /// Goes on with the end of another seed.
    fn join(&self, random: &mut Random, input: &mut Vec<u8>, at: usize) {
        let other = any(&self.seeds, random);
        input.truncate(at);
        input.extend_from_slice(&other[random.below(other.len() + 1)..]);
    }
}

fn any<'a>(list: &'a [Vec<u8>], random: &mut Random) -> &'a [u8] {
    random.pick::<Vec<u8>>(list)
}

fn change_byte(input: &mut [u8], at: usize, change: impl FnOnce(u8) -> u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = change(*byte);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, part: &[u8]) {
    input.splice(at..at, part.iter().copied());
}

/// Puts a number in place of the digits that come next.
fn change_number(random: &mut Random, input: &mut Vec<u8>, at: usize) {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let start = at + input[at..].iter().position(is_digit).unwrap_or(0);
    let len = input[start..].iter().take_while(|byte| is_digit(byte)).count();
    let number = random.pick(NUMBERS).bytes();
    input.splice(start..start + len, number);
}
