//! The keys that the load is made of, and what their values must be.
//!
//! A key is a number, its name the prefix with the number in decimal. A value says of itself which
//! key, version and length it was made for, so a value of another key, of another length, torn
//! between two writes or shifted by some bytes is found out:
//!
//! ```text
//! 8 bytes or more   | version u32 | check u32 | pattern, from an offset that also depends on ... |
//! below 8           | the first bytes of a hash of seed, key and length                          |
//! ```
//!
//! The check is a hash of seed, key, version and length. Keys from `keys` to twice that are
//! counters, on which incr and decr work: their values are digits.
#![forbid(unsafe_code)]

use crate::random::{Random, mix};

/// The length of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueSize {
    /// The same number of bytes for all.
    Fixed(usize),
    /// Between the two, both included; each key has its own, always the same.
    Uniform(usize, usize),
}

/// The keys and their values.
#[derive(Debug)]
pub struct Dataset {
    prefix: Vec<u8>,
    keys: u32,
    size: ValueSize,
    seed: u64,
    /// Two periods of random bytes, so that one period starts anywhere in the first.
    pattern: Vec<u8>,
}

impl Dataset {
    /// `keys` keys and as many counters, at most [`KEYS_MAX`].
    pub fn new(prefix: &str, keys: u32, size: ValueSize, seed: u64) -> Dataset {
        let mut random = Random::new(mix(seed));
        let mut pattern: Vec<u8> = (0..PERIOD_BYTES).map(|_| random.bits() as u8).collect();
        pattern.extend_from_within(..);
        Dataset { prefix: prefix.as_bytes().to_vec(), keys, size, seed, pattern }
    }

    /// The number of keys that are not counters.
    pub fn keys(&self) -> u32 {
        self.keys
    }

    /// Appends the name of `key`.
    pub fn push_key(&self, key: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(itoa::Buffer::new().format(key).as_bytes());
    }

    /// The key of this name, if it is one of these.
    pub fn key_named(&self, name: &[u8]) -> Option<u32> {
        let digits = name.strip_prefix(self.prefix.as_slice())?;
        let canonical = digits.len() == 1 || digits.first() != Some(&b'0');
        let key = decimal(digits).filter(|_| canonical)?;
        u32::try_from(key).ok().filter(|key| *key < 2 * self.keys)
    }

    /// Length in bytes of the key's value.
    pub fn value_len_bytes(&self, key: u32) -> usize {
        match self.size {
            _ if self.is_counter(key) => COUNTER.len(),
            ValueSize::Fixed(len) => len,
            ValueSize::Uniform(from, to) => {
                let span = (to - from + 1) as u64;
                from + (self.hash(key, 0, 0) % span) as usize
            }
        }
    }

    /// Appends the key's value in this version.
    pub fn push_value(&self, key: u32, version: u32, out: &mut Vec<u8>) {
        let len = self.value_len_bytes(key);
        if self.is_counter(key) {
            out.extend_from_slice(COUNTER);
        } else if len < HEAD_BYTES {
            out.extend_from_slice(&self.hash(key, 0, len).to_le_bytes()[..len]);
        } else {
            let hash = self.hash(key, version, len);
            out.extend_from_slice(&head(version, hash));
            let mut left = len - HEAD_BYTES;
            while left > 0 {
                let part = left.min(PERIOD_BYTES);
                out.extend_from_slice(self.pattern_at(hash, part));
                left -= part;
            }
        }
    }

    /// Whether `value` is one that [`Dataset::push_value`] makes for the key, whatever version.
    pub fn is_right(&self, key: u32, value: &[u8]) -> bool {
        if self.is_counter(key) {
            // A value shorter than before is padded with spaces (text, section 6).
            return decimal(value.trim_ascii_end()).is_some();
        }
        let len = self.value_len_bytes(key);
        let Some((start, tail)) = value.split_first_chunk::<HEAD_BYTES>() else {
            return value.len() == len && value == &self.hash(key, 0, len).to_le_bytes()[..len];
        };
        let version = u32::from_le_bytes([start[0], start[1], start[2], start[3]]);
        let hash = self.hash(key, version, len);
        value.len() == len
            && *start == head(version, hash)
            && tail.chunks(PERIOD_BYTES).all(|part| part == self.pattern_at(hash, part.len()))
    }

    fn is_counter(&self, key: u32) -> bool {
        key >= self.keys
    }

    fn hash(&self, key: u32, version: u32, len: usize) -> u64 {
        let name = u64::from(key) << 32 | u64::from(version);
        mix(mix(name ^ self.seed).wrapping_add(len as u64))
    }

    fn pattern_at(&self, hash: u64, len: usize) -> &[u8] {
        let from = (hash as u32 as usize) % PERIOD_BYTES;
        &self.pattern[from..from + len]
    }
}

/// Reads a decimal number that fills `digits` and fits 64 bits.
pub fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then(|| sum.checked_mul(10)?.checked_add(u64::from(digit)))?
    })
}

fn head(version: u32, hash: u64) -> [u8; HEAD_BYTES] {
    (u64::from(version) | (hash >> 32) << 32).to_le_bytes()
}

/// Most keys: with their counters they still have 32-bit numbers.
pub const KEYS_MAX: u32 = 1 << 31;

/// Version and check.
const HEAD_BYTES: usize = 8;

/// A prime, so that no part of a large value fits where another part of a page or chunk belongs.
const PERIOD_BYTES: usize = 65_521;

/// A fresh counter: far from 0 and long enough to be counted up and down in place.
const COUNTER: &[u8] = b"5000000000";

#[cfg(test)]
mod tests {
    use super::*;

    fn value(dataset: &Dataset, key: u32, version: u32) -> Vec<u8> {
        let mut out = Vec::new();
        dataset.push_value(key, version, &mut out);
        out
    }

    #[test]
    fn every_length_is_right_for_its_own_key_only() {
        for len in [0, 1, 7, 8, 9, 100, 65_528, 65_529, 65_530, 200_000] {
            let dataset = Dataset::new("k", 10, ValueSize::Fixed(len), 1);
            let bytes = value(&dataset, 3, 77);
            assert_eq!(bytes.len(), len);
            assert!(dataset.is_right(3, &bytes), "{len}");
            assert!(len == 0 || !dataset.is_right(4, &bytes), "{len}: another key's");
            let other = Dataset::new("k", 10, ValueSize::Fixed(len), 2);
            assert!(len == 0 || !other.is_right(3, &bytes), "{len}: another seed's");
            assert!(!dataset.is_right(3, &[&bytes, b"x".as_slice()].concat()), "{len}: longer");
            assert!(len == 0 || !dataset.is_right(3, &bytes[1..]), "{len}: shorter");
        }
    }

    #[test]
    fn each_changed_byte_is_found() {
        let dataset = Dataset::new("k", 10, ValueSize::Fixed(100), 1);
        let good = value(&dataset, 3, 77);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(!dataset.is_right(3, &bad), "byte {at}");
        }
    }

    #[test]
    fn a_value_torn_between_two_versions_is_found() {
        let dataset = Dataset::new("k", 10, ValueSize::Fixed(100), 1);
        let (one, two) = (value(&dataset, 3, 1), value(&dataset, 3, 2));
        for at in 1..100 {
            let torn = [&one[..at], &two[at..]].concat();
            assert!(torn == one || torn == two || !dataset.is_right(3, &torn), "at {at}");
        }
    }

    #[test]
    fn chunks_of_a_large_value_cannot_change_places() {
        let dataset = Dataset::new("k", 1, ValueSize::Fixed(1 << 20), 1);
        let good = value(&dataset, 0, 5);
        let mut bad = good.clone();
        bad[4096..8192].copy_from_slice(&good[8192..12_288]);
        assert!(!dataset.is_right(0, &bad));
    }

    #[test]
    fn sizes_stay_within_their_bounds_and_reach_them() {
        let dataset = Dataset::new("k", 1000, ValueSize::Uniform(5, 9), 1);
        let sizes: Vec<usize> = (0..1000).map(|key| dataset.value_len_bytes(key)).collect();
        assert_eq!(sizes.iter().min(), Some(&5));
        assert_eq!(sizes.iter().max(), Some(&9));
    }

    #[test]
    fn names_are_read_back() {
        let dataset = Dataset::new("key:", 1000, ValueSize::Fixed(1), 1);
        for key in [0, 7, 10, 1999] {
            let mut name = Vec::new();
            dataset.push_key(key, &mut name);
            assert_eq!(dataset.key_named(&name), Some(key));
        }
        for name in ["key:2000", "key:", "key:01", "kex:1", "key:1 ", "key:99999999999999999999"] {
            assert_eq!(dataset.key_named(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn counters_are_numbers() {
        let dataset = Dataset::new("k", 10, ValueSize::Fixed(100), 1);
        assert!(dataset.is_right(10, &value(&dataset, 10, 0)));
        assert!(dataset.is_right(10, b"99  "));
        assert!(!dataset.is_right(10, b"9x"));
    }
}
