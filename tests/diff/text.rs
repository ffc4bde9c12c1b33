//! Classic text requests: retrieval, storage, deletion, arithmetic, and lines that are none of them.
#![forbid(unsafe_code)]

use crate::generate::Maker;
use crate::sequence::{Line, Word};
use crate::words::{SIGNED, UNSIGNED};

/// Every classic command that has a key.
pub const COMMANDS: &[(usize, &str)] = &[
    (14, "get"),
    (14, "gets"),
    (5, "gat"),
    (5, "gats"),
    (20, "set"),
    (6, "add"),
    (5, "replace"),
    (6, "append"),
    (5, "prepend"),
    (8, "cas"),
    (6, "delete"),
    (7, "incr"),
    (6, "decr"),
    (5, "touch"),
];

/// Lines that no command begins.
const STRANGE: &[&str] = &[
    "",
    "a",
    "ab",
    "mn",
    "foo",
    "foo bar baz",
    "foo noreply",
    "foo noreply bar",
    "GET a",
    "Set a 0 0 1",
    "getx a",
    "getsx a",
    "settt a 0 0 1",
    "\tget a",
    "get\ta",
    "\0",
    "\x01\x02\x03\x04",
    "HTTP/1.1",
    "GET / HTTP/1.1",
    "foo HTTP/",
    "get HTTP/1.1",
    "noreply",
    "_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ noreply",
    "_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ noreply",
];

impl Maker {
    /// A classic request.
    pub fn classic(&mut self) -> Line {
        if self.random.one_in(25) {
            return self.strange();
        }
        let command = *self.random.weighted(COMMANDS);
        let mut line = match command {
            "get" | "gets" | "gat" | "gats" => self.retrieval(command),
            "delete" | "incr" | "decr" | "touch" => self.one_item(command),
            _ => self.storage(command),
        };
        self.distort(&mut line);
        line
    }

    fn strange(&mut self) -> Line {
        let text: &&str = self.random.pick(STRANGE);
        let mut line = Line::of(text);
        if self.random.one_in(4) {
            line.end = b"\n".to_vec();
        }
        line
    }

    fn retrieval(&mut self, command: &'static str) -> Line {
        let mut words = vec![Word::new(command)];
        if command.starts_with("gat") {
            words.push(self.graded(&SIGNED));
        }
        let count = match self.random.below(300) {
            0 => 0,
            // A line of more than 2,048 bytes.
            1 => 700 + self.random.below(400),
            2..20 => 20 + self.random.below(10),
            20..100 => 2 + self.random.below(4),
            _ => 1,
        };
        words.extend((0..count).map(|_| Word::Bytes(self.key())));
        Line::new(words)
    }

    fn storage(&mut self, command: &'static str) -> Line {
        let (key, data) = (self.key(), self.value());
        let (flags, exptime, length) = (self.flags(), self.store_exptime(), self.length(&data));
        let mut words = vec![Word::new(command), Word::new(&key), flags, exptime, length];
        if command == "cas" {
            words.push(self.unique("", &key));
        }
        if self.random.one_in(40) {
            words.push(Word::new("junk"));
        }
        if self.random.one_in(8) {
            words.push(Word::new("noreply"));
        }
        let mut line = Line::new(words);
        line.block = Some(self.block(&data));
        // A block that is too short, a bad number or a key too long make even a set fail.
        let is_sure = command == "set" && Line::new(line.words.clone()).is_plain_set(&data, &key);
        if is_sure && line.block.as_ref().is_some_and(|block| block.ends_with(b"\r\n")) {
            self.uniques.stored(&key);
        } else {
            self.uniques.attempted(&key);
        }
        line
    }

    fn one_item(&mut self, command: &'static str) -> Line {
        let key = if self.random.chance(60) { b"n".to_vec() } else { self.key() };
        let mut words = vec![Word::new(command), Word::new(&key)];
        match command {
            "touch" => words.push(self.graded(&SIGNED)),
            "delete" if self.random.chance(90) => {}
            "delete" => words.push(Word::new(*self.random.pick(&["0", "5", "x", "-1", "0 x"]))),
            _ => {
                words.push(self.graded(&UNSIGNED));
                self.uniques.attempted(&key);
            }
        }
        if self.random.one_in(10) {
            words.push(Word::new("noreply"));
        } else if self.random.one_in(40) {
            words.push(Word::new("junk"));
        }
        Line::new(words)
    }
}

impl Line {
    /// Whether a set of `data` cannot but succeed: small, and every number beyond doubt.
    fn is_plain_set(&self, data: &[u8], key: &[u8]) -> bool {
        let is_plain = |index: usize| {
            let word = self.word(index);
            word.len() < 10 && word.iter().all(u8::is_ascii_digit)
        };
        data.len() < 500_000
            && key.len() <= 250
            && self.words.len() <= 6
            && self.word(4) == data.len().to_string().as_bytes()
            && is_plain(2)
            && is_plain(3)
    }
}
