//! Meta requests: every command with any flags, in any order, with any tokens.
#![forbid(unsafe_code)]

use crate::generate::Maker;
use crate::sequence::{Line, Number, Word};
use crate::words::{SIGNED, UNSIGNED};

/// Commands.
pub const COMMANDS: &[(usize, &str)] =
    &[(35, "mg"), (35, "ms"), (12, "md"), (14, "ma"), (4, "mn"), (3, "me")];

/// Flags that mean something, by command, and how often they are taken.
const FLAGS_MG: &[(usize, char)] = &[
    (10, 'v'),
    (5, 't'),
    (4, 's'),
    (4, 'c'),
    (4, 'f'),
    (4, 'h'),
    (2, 'l'),
    (4, 'k'),
    (4, 'O'),
    (4, 'q'),
    (3, 'u'),
    (5, 'N'),
    (4, 'R'),
    (3, 'T'),
    (3, 'b'),
    (2, 'C'),
    (2, 'E'),
];
const FLAGS_MS: &[(usize, char)] = &[
    (6, 'T'),
    (5, 'F'),
    (5, 'M'),
    (5, 'C'),
    (4, 'c'),
    (3, 'I'),
    (4, 'k'),
    (4, 'O'),
    (4, 'q'),
    (3, 's'),
    (3, 'b'),
    (3, 'E'),
    (3, 'N'),
];
const FLAGS_MD: &[(usize, char)] = &[
    (5, 'q'),
    (5, 'I'),
    (5, 'C'),
    (4, 'T'),
    (4, 'x'),
    (4, 'E'),
    (3, 'F'),
    (4, 'k'),
    (4, 'O'),
    (3, 'b'),
];
const FLAGS_MA: &[(usize, char)] = &[
    (6, 'v'),
    (5, 'N'),
    (5, 'J'),
    (5, 'D'),
    (4, 'M'),
    (4, 'T'),
    (4, 'C'),
    (4, 'c'),
    (4, 't'),
    (4, 'q'),
    (3, 'E'),
    (3, 'k'),
    (3, 'O'),
    (3, 'b'),
];

/// Every letter that some command knows.
pub const LETTERS: &str = "bcCDEfFhIJklLMNOPqRstTuvx";

/// Tokens that are no flags.
const STRANGE: &[&[u8]] = &[
    b"S5", b"z", b"i", b"n", b"r", b"e", b"1", b"+", b"-", b"!", b"@", b"~", b"{", b"?", b"\xff5",
    b"[", b"_", b"\\", b"^", b"`", b"0", b"noreply", b"Z", b"W", b"X", b"\x01",
];

/// Keys in base64, and some that are none. The first ones are names of keys that others use too.
const ENCODED: &[(usize, &[u8])] = &[
    (12, b"Zm9v"),
    (6, b"Zg=="),
    (2, b"Zm-9v"),
    (2, b"Zg==Zm9v"),
    (2, b"AP8gDQo="),
    (1, b"Zg"),
    (1, b"===="),
    (1, b"Zg="),
    (1, b"Zg==="),
    (1, b"Z==="),
    (1, b"----"),
];

const MODES: [&[&str]; 3] = [
    &["MS", "ME", "MA", "MP", "MR", "MI", "MD", "M+", "M-"],
    &["MAppend", "MSet", "MIncr", "MDD"],
    &["M", "MX", "Ms", "Ma", "Mi", "M0", "M="],
];

impl Maker {
    /// A meta request.
    pub fn meta(&mut self) -> Line {
        let command = *self.random.weighted(COMMANDS);
        let mut line = match command {
            "mn" => {
                let text: &&str = self.random.pick(&["mn", "mn", "mn", "mn x", "mn q k O1"]);
                Line::of(text)
            }
            "me" => self.debug(),
            _ => self.keyed(command),
        };
        self.distort(&mut line);
        line
    }

    fn debug(&mut self) -> Line {
        let key = self.key();
        let mut words = vec![Word::new("me"), Word::new(&key)];
        match self.random.below(12) {
            0 => words.push(Word::new("b")),
            1 => words = ["me", "Zm9v", "b", "x"].map(Word::new).to_vec(),
            2 => words.push(Word::new("v")),
            3 => drop(words.pop()),
            _ => {}
        }
        Line::new(words)
    }

    fn keyed(&mut self, command: &'static str) -> Line {
        let is_encoded = self.random.one_in(8);
        let key = match is_encoded {
            true => self.random.weighted(ENCODED).to_vec(),
            false if command == "ma" && self.random.chance(50) => b"n".to_vec(),
            false => self.key(),
        };
        let flags = match command {
            "mg" => FLAGS_MG,
            "ms" => FLAGS_MS,
            "md" => FLAGS_MD,
            _ => FLAGS_MA,
        };
        let mut letters: Vec<char> = if is_encoded { vec!['b'] } else { Vec::new() };
        let count = match self.random.below(60) {
            0 => 14 + self.random.below(8),
            1..20 => 1,
            _ => self.random.below(6),
        };
        for _ in 0..count {
            let letter = match self.random.below(30) {
                0 => LETTERS.chars().nth(self.random.below(LETTERS.len())).expect("a letter"),
                _ => *self.random.weighted(flags),
            };
            if !letters.contains(&letter) || self.random.one_in(60) {
                let at = self.random.below(letters.len() + 1);
                letters.insert(at, letter);
            }
        }
        let mut words = vec![Word::new(command), Word::new(&key)];
        let data = if command == "ms" { self.value() } else { Vec::new() };
        if command == "ms" {
            words.push(self.length(&data));
        }
        let item_key = if is_encoded && key == b"Zm9v" { b"foo".to_vec() } else { key };
        words.extend(letters.iter().map(|letter| self.flag(*letter, &item_key)));
        if self.random.one_in(60) {
            let at = self.random.below(words.len()).max(2);
            words.insert(at, Word::new(*self.random.pick(STRANGE)));
        }
        self.count_uniques(command, &item_key, &words);
        let mut line = Line::new(words);
        if command == "ms" {
            line.block = Some(self.block(&data));
        }
        line
    }

    fn flag(&mut self, letter: char, key: &[u8]) -> Word {
        let name = LETTERS.find(letter).map_or("", |at| &LETTERS[at..at + 1]);
        let behind = |token: Word| match token {
            Word::Bytes(bytes) => Word::new([name.as_bytes(), &bytes].concat()),
            unique @ Word::Unique(..) => unique,
        };
        if "CDEFJMNORT".contains(letter) && self.random.one_in(100) {
            return Word::new(name);
        }
        match letter {
            'C' | 'E' => self.unique(name, key),
            'D' | 'J' => behind(self.graded(&UNSIGNED)),
            'F' => behind(self.graded(&[&["0", "5", "4294967295"], &["00000000005"], UNSIGNED[2]])),
            // No item has a time left that is close to one of these.
            'R' => behind(self.graded(&[
                &["30", "500", "0", "-1", "5000"],
                &["0000000030"],
                SIGNED[2],
            ])),
            'N' | 'T' => behind(self.graded(&SIGNED)),
            'M' => self.graded(&MODES),
            'O' => {
                let len = *self.random.pick(&[1, 1, 2, 3, 5, 30, 31, 32, 33]);
                Word::new("O".to_owned() + &"0pq9".repeat(9)[..len])
            }
            // Flags without a token may have one all the same.
            _ if self.random.one_in(80) => Word::new(format!("{name}5")),
            _ => Word::new(name),
        }
    }

    fn count_uniques(&mut self, command: &str, key: &[u8], words: &[Word]) {
        let has = |letter: u8| {
            words[2..]
                .iter()
                .any(|word| matches!(word, Word::Bytes(w) if w.first() == Some(&letter)))
        };
        let explicit = words[2..].iter().find_map(|word| match word {
            Word::Unique("E", number) if *number != Number::Exact(0) => Some(*number),
            _ => None,
        });
        let may_store = match command {
            "ms" | "ma" => true,
            "mg" => has(b'N'),
            _ => has(b'I') || has(b'x'),
        };
        match explicit {
            _ if !may_store => {}
            Some(number) => self.uniques.set(key, number),
            None => self.uniques.attempted(key),
        }
    }
}
