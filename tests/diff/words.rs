//! What the words of requests are drawn from: keys, numbers and values, good, odd and bad.
//!
//! There are few keys, so that requests meet each other's items. Times are far away or gone by, so
//! that a second that ends during a sequence changes nothing but the seconds that are left.
#![forbid(unsafe_code)]

use crate::generate::Maker;
use crate::sequence::{Number, Word};

/// Keys of 250 and 251 bytes.
pub const LONGEST: [u8; 250] = [b'k'; 250];
pub const TOO_LONG: [u8; 251] = [b'k'; 251];

const KEYS: &[(usize, &[u8])] = &[
    (30, b"a"),
    (15, b"b"),
    (20, b"n"),
    (6, b"foo"),
    (4, b"p:x"),
    (2, b"f"),
    (1, b"k\x01\x7f"),
    (1, b"\xff\xfe\x80"),
    (1, b"a\tb"),
    (1, b"\0"),
    (1, b"noreply"),
    (1, b"0"),
    (1, b"\ra"),
    (1, &LONGEST),
    (2, &TOO_LONG),
];

const VALUES: &[(usize, &[u8])] = &[
    (8, b"x"),
    (8, b"10"),
    (5, b"99"),
    (3, b"0"),
    (3, b""),
    (4, b"hello world"),
    (2, b"18446744073709551615"),
    (1, b"18446744073709551616"),
    (1, b" 5"),
    (1, b"5 "),
    (1, b"5 6"),
    (1, b"+7"),
    (1, b"-1"),
    (1, b"5xx"),
    (1, b"\t5"),
    (1, b"0000000000000000000000000001"),
    (1, b"a\r\nb"),
    (1, b"get a\r\n"),
    (1, b"\r"),
    (1, b"\0\0\0"),
    (1, b"\x80\x0a"),
];

/// Lengths of the larger values. The last ones are about as large as an item may be.
const LENGTHS: &[(usize, usize)] = &[
    (400, 100),
    (200, 1_000),
    (60, 5_000),
    (30, 20_000),
    (10, 100_000),
    (8, 300_000),
    (2, 600_000),
    (1, 1_048_516),
    (1, 1_100_000),
];

/// Words that C's `strtol` reads, as the classic stores do: good, odd, bad.
const STORE_EXPTIMES: [&[&str]; 3] = [
    &["0", "0", "0", "0", "100", "-1", "2592000", "2592001", "2000000000"],
    &[
        "+100",
        "\t100",
        "-0",
        "0100",
        "4294967296",
        "4294967396",
        "2147483648",
        "-2147483649",
        "9223372036854775807",
        "-9223372036854775808",
        "00000000000000000100",
    ],
    &["x", "1x", "0x10", "9223372036854775808", "-", "1.5", "--1", "99999999999999999999"],
];

/// Words of the strict signed number of 32 bits.
pub const SIGNED: [&[&str]; 3] = [
    &["0", "100", "-1", "2592000", "2592001", "2000000000", "1000"],
    &["-", "00000000100", "-0", "-2147483648", "2147483647", "-100"],
    &["+100", "000000000100", "2147483648", "x", "1x", "-2147483649", "0x10", "1.5", "--1"],
];

const FLAGS: [&[&str]; 3] = [
    &["0", "0", "5", "4294967295", "65536"],
    &["+5", "\t5", "00007", "4294967296", "18446744073709551615", "-18446744073709551615"],
    &["-1", "x", "5x", "18446744073709551616", "-", "0x5"],
];

/// Words of the unsigned number of 64 bits.
pub const UNSIGNED: [&[&str]; 3] = [
    &["1", "0", "5", "1", "100", "18446744073709551615"],
    &["0000000000000000000001", "00", "9223372036854775808"],
    &["-1", "+1", "x", "1x", "18446744073709551616", "00000000000000000000001", "-", "0x1"],
];

impl Maker {
    /// A key.
    pub fn key(&mut self) -> Vec<u8> {
        self.random.weighted(KEYS).to_vec()
    }

    /// A value.
    pub fn value(&mut self) -> Vec<u8> {
        if !self.random.one_in(20) {
            return self.random.weighted(VALUES).to_vec();
        }
        let len = *self.random.weighted(LENGTHS) + self.random.below(3);
        let text = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let start = self.random.below(text.len());
        text.iter().copied().cycle().skip(start).take(len).collect()
    }

    /// One of a list of good, odd and bad words.
    pub fn graded(&mut self, words: &[&[&'static str]; 3]) -> Word {
        let grade = match self.random.below(100) {
            0..84 => 0,
            84..94 => 1,
            _ => 2,
        };
        Word::new(*self.random.pick(words[grade]))
    }

    /// Flags of a classic store.
    pub fn flags(&mut self) -> Word {
        self.graded(&FLAGS)
    }

    /// Exptime of a classic store.
    pub fn store_exptime(&mut self) -> Word {
        self.graded(&STORE_EXPTIMES)
    }

    /// A unique that the item of `key` may have, behind a letter.
    pub fn unique(&mut self, letter: &'static str, key: &[u8]) -> Word {
        if self.random.one_in(25) {
            let bad = self.graded(&[&["x"], &["-1"], UNSIGNED[2]]);
            let Word::Bytes(bytes) = bad else { return bad };
            return Word::new([letter.as_bytes(), &bytes].concat());
        }
        Word::Unique(letter, self.uniques.guess(key, &mut self.random))
    }

    /// A unique of a binary request: mostly none.
    pub fn cas(&mut self, key: &[u8]) -> Number {
        if self.random.chance(80) {
            return Number::Exact(0);
        }
        self.uniques.guess(key, &mut self.random)
    }

    /// The length of `data` as a word: mostly the true one.
    pub fn length(&mut self, data: &[u8]) -> Word {
        let len = data.len();
        if !self.random.one_in(12) {
            return Word::new(len.to_string());
        }
        let text = match self.random.below(14) {
            0 => (len + 1).to_string(),
            1 => (len + 2).to_string(),
            2 => len.saturating_sub(1).to_string(),
            3 => len.saturating_sub(2).to_string(),
            4 => (len + 1 + self.random.below(100)).to_string(),
            5 => format!("{len:011}"),
            6 => format!("{len:012}"),
            7 => format!("+{len}"),
            8 => format!("-{len}"),
            9 => "2147483646".to_owned(),
            10 => "2147483648".to_owned(),
            11 => format!("{len}x"),
            12 => "abc".to_owned(),
            _ => "-".to_owned(),
        };
        Word::new(text)
    }

    /// Ends of data blocks: nearly always the right one.
    pub fn block(&mut self, data: &[u8]) -> Vec<u8> {
        let end: &[u8] = match self.random.below(200) {
            0 => b"\n",
            1 => b"",
            2 => b"xx",
            3 => b"\r",
            4 => b"\n\r",
            5 => b"x\r\n",
            _ => b"\r\n",
        };
        [data, end].concat()
    }

    /// Odd spaces and ends of a line, now and then.
    pub fn distort(&mut self, line: &mut crate::sequence::Line) {
        match self.random.below(150) {
            0 => line.end = b"\n".to_vec(),
            1 => line.end = b"\r\r\n".to_vec(),
            2 => line.trail = 1,
            3 => line.trail = 7,
            4 => line.gaps[0] = 1,
            5 => {
                let index = self.random.below(line.gaps.len());
                line.gaps[index] += 1;
            }
            6 => {
                let index = self.random.below(line.words.len());
                line.words.remove(index);
                line.gaps.pop();
            }
            7 => {
                let index = self.random.below(line.words.len());
                let word = line.words[index].clone();
                line.words.insert(index, word);
                line.gaps.push(1);
            }
            8 => {
                let [one, other] = [(); 2].map(|()| self.random.below(line.words.len()));
                line.words.swap(one, other);
            }
            9 => {
                let index = self.random.below(line.words.len());
                if let Word::Bytes(bytes) = &mut line.words[index] {
                    let at = self.random.below(bytes.len() + 1);
                    let byte = *self.random.pick(b"\x01\x7f\t\0\r\xff09aZ-+");
                    bytes.insert(at, byte);
                }
            }
            _ => {}
        }
    }
}
