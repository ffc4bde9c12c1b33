//! Counters by the prefix of a key, `stats detail` (stats, section 7).
//!
//! The prefix of a key is what stands before its first delimiter (`-D`). Off, this costs the load of
//! a flag. On, each count locks one part of the table, which part the prefix says.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::limits::{PREFIX_BYTES_MAX, PREFIXES_MAX};

/// Parts of the table: enough that threads rarely meet, and that one is written to an output in
/// one go.
const PARTS: usize = 64;

/// See the module's documentation.
#[derive(Debug)]
pub struct Prefixes {
    is_on: AtomicBool,
    delimiter: u8,
    hasher: ahash::RandomState,
    parts: Box<[Mutex<Part>]>,
    /// Prefixes in all parts, and bytes of them.
    count: AtomicUsize,
    bytes: AtomicUsize,
    /// Bytes of memory that they may take.
    held_max: usize,
}

/// What a prefix takes beside its bytes: an entry of a table that is half full at the least, and what the
/// allocator adds to the bytes.
const BYTES_PER_PREFIX: usize = 2 * (size_of::<(Box<[u8]>, Counts)>() + 1) + 24;

type Part = HashMap<Box<[u8]>, Counts, ahash::RandomState>;

/// What is counted for one prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    gets: u64,
    hits: u64,
    sets: u64,
    deletes: u64,
}

impl Prefixes {
    /// A table without prefixes, which may take so many bytes of memory. Of the delimiter the first byte counts.
    pub(super) fn new(delimiter: char, is_on: bool, held_max: usize) -> Prefixes {
        let mut bytes = [0; 4];
        delimiter.encode_utf8(&mut bytes);
        Prefixes {
            is_on: AtomicBool::new(is_on),
            delimiter: bytes[0],
            hasher: ahash::RandomState::new(),
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            held_max,
        }
    }

    /// Counts a key that was looked up by get or gat (also touch and gat of the binary protocol).
    pub(super) fn get(&self, key: &[u8], is_hit: bool) {
        self.count(key, |counts| {
            counts.gets += 1;
            counts.hits += u64::from(is_hit);
        });
    }

    /// Counts a store of the set family, whatever comes of it.
    pub(super) fn set(&self, key: &[u8]) {
        self.count(key, |counts| counts.sets += 1);
    }

    /// Counts a delete, whatever comes of it.
    pub(super) fn delete(&self, key: &[u8]) {
        self.count(key, |counts| counts.deletes += 1);
    }

    /// Begins to count, or stops; what was counted stays.
    pub(super) fn switch(&self, is_on: bool) {
        self.is_on.store(is_on, Relaxed);
    }

    /// Whether it counts.
    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Bytes of memory for what is counted.
    pub fn held_bytes(&self) -> usize {
        self.count.load(Relaxed) * BYTES_PER_PREFIX + self.bytes.load(Relaxed)
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        for part in &self.parts {
            let mut part = part.lock();
            let bytes: usize = part.keys().map(|prefix| prefix.len()).sum();
            self.count.fetch_sub(part.len(), Relaxed);
            self.bytes.fetch_sub(bytes, Relaxed);
            *part = Part::default();
        }
    }

    /// Appends the lines of part `number`, from 0 on. False: there is no such part.
    pub(super) fn list(&self, number: usize, into: &mut Vec<u8>) -> bool {
        let Some(part) = self.parts.get(number) else { return false };
        for (prefix, counts) in part.lock().iter() {
            let Counts { gets, hits, sets, deletes } = counts;
            into.extend_from_slice(b"PREFIX ");
            into.extend_from_slice(prefix);
            // Writing to memory does not fail.
            let _ok = write!(into, " get {gets} hit {hits} set {sets} del {deletes}\r\n");
        }
        true
    }

    fn count(&self, key: &[u8], change: impl FnOnce(&mut Counts)) {
        if self.is_on() {
            self.count_prefix(key, change);
        }
    }

    #[cold]
    fn count_prefix(&self, key: &[u8], change: impl FnOnce(&mut Counts)) {
        let Some(end) = memchr::memchr(self.delimiter, key) else { return };
        let prefix = &key[..end];
        // It would break its line, or be taken for more than one word there.
        if prefix.iter().any(|byte| byte.is_ascii_control() || *byte == b' ') {
            return;
        }
        let number = self.hasher.hash_one(prefix) as usize % PARTS;
        let mut part = self.parts[number].lock();
        if let Some(counts) = part.get_mut(prefix) {
            return change(counts);
        }
        if self.has_room(prefix.len()) {
            let mut counts = Counts::default();
            change(&mut counts);
            part.insert(prefix.into(), counts);
        }
    }

    /// Takes room for one more prefix, if there is any.
    fn has_room(&self, len: usize) -> bool {
        if self.held_bytes() + BYTES_PER_PREFIX + len > self.held_max {
            return false;
        }
        if self.count.fetch_add(1, Relaxed) >= PREFIXES_MAX {
            self.count.fetch_sub(1, Relaxed);
            return false;
        }
        if self.bytes.fetch_add(len, Relaxed) + len > PREFIX_BYTES_MAX {
            self.bytes.fetch_sub(len, Relaxed);
            self.count.fetch_sub(1, Relaxed);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(prefixes: &Prefixes) -> Vec<String> {
        let mut bytes = Vec::new();
        let parts = (0..).take_while(|&number| prefixes.list(number, &mut bytes)).count();
        assert_eq!(parts, PARTS);
        let text = String::from_utf8(bytes).unwrap();
        let mut lines: Vec<String> = text.split_terminator("\r\n").map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[test]
    fn counts_by_prefix_section_7() {
        let prefixes = Prefixes::new(':', true, usize::MAX);
        prefixes.get(b"foo:1", true);
        prefixes.get(b"foo:2", false);
        prefixes.set(b"foo:3:4");
        prefixes.delete(b"fo:3");
        prefixes.get(b":x", false);
        for key in [b"foo".as_slice(), b"a b:c", b"a\r\nb:c", b"\0:", b""] {
            prefixes.get(key, true);
        }
        let wanted = [
            "PREFIX  get 1 hit 0 set 0 del 0",
            "PREFIX fo get 0 hit 0 set 0 del 1",
            "PREFIX foo get 2 hit 1 set 1 del 0",
        ];
        assert_eq!(lines(&prefixes), wanted, "prefixes are told apart exactly");
        prefixes.switch(false);
        prefixes.get(b"foo:1", true);
        assert_eq!(lines(&prefixes), wanted, "what was counted stays");
        prefixes.clear();
        assert!(lines(&prefixes).is_empty());
    }

    #[test]
    fn prefixes_are_bounded() {
        let prefixes = Prefixes::new('/', true, usize::MAX);
        for number in 0..2 * PREFIXES_MAX {
            prefixes.set(format!("{number}/").as_bytes());
        }
        assert_eq!(lines(&prefixes).len(), PREFIXES_MAX);
        prefixes.set(b"5/");
        assert!(lines(&prefixes).contains(&"PREFIX 5 get 0 hit 0 set 2 del 0".to_owned()));
        prefixes.clear();
        let long = "x".repeat(200);
        for number in 0..PREFIXES_MAX {
            prefixes.set(format!("{number}{long}/").as_bytes());
        }
        let bytes: usize = lines(&prefixes).iter().map(|line| line.len()).sum();
        assert!(bytes < 2 * PREFIX_BYTES_MAX, "{bytes}");
        prefixes.clear();
        prefixes.set(b"a/");
        assert_eq!(lines(&prefixes).len(), 1, "the room is given back");
    }

    #[test]
    fn a_delimiter_is_one_byte() {
        let prefixes = Prefixes::new('\u{e9}', true, usize::MAX);
        prefixes.set(b"a\xc3b");
        assert_eq!(lines(&prefixes).len(), 1);
    }
}
