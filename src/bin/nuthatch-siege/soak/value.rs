//! Keys and values that tell on themselves.
//!
//! A key names its slot and generation. A plain value begins with its key, its version and its
//! length, and the rest of it follows from these: so a value that belongs to another key, one
//! put together of two, one cut short or one changed in a single byte is seen. A journal is a
//! plain value with entries appended, each of which names the version before it. A counter is a
//! number whose upper bits are its slot's.
#![forbid(unsafe_code)]

use crate::random::mix;
use crate::victim::KEY_PREFIX;

/// A slot's place in its ledger.
pub type SlotNumber = u32;

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A value that is stored whole.
    Plain,
    /// A value that is appended to.
    Journal,
    /// A number that is counted up.
    Counter,
}

/// Why a value is not what was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is another key's.
    Foreign,
    /// It is no value that was ever stored.
    Torn,
}

/// The key of a slot in a generation. Every eighth is as long as keys may be.
pub fn key(slot: SlotNumber, generation: u32) -> Vec<u8> {
    let mut key = format!("{KEY_PREFIX}{slot:x}.{generation:x}").into_bytes();
    if slot % 8 == 7 {
        key.push(b'-');
        key.resize(KEY_MAX_BYTES, b'a' + (slot % 26) as u8);
    }
    key
}

/// The flags that an item of this version has.
pub fn flags(slot: SlotNumber, version: u64) -> u32 {
    mix(u64::from(slot) << 40 ^ version ^ 0xf1a6) as u32
}

/// The plain value of `version` with `len` bytes, or as many as its head needs.
pub fn plain(slot: SlotNumber, generation: u32, version: u64, len: usize) -> Vec<u8> {
    let mut value = key(slot, generation);
    let len = len.max(value.len() + HEAD_BYTES);
    value.reserve_exact(len + 8 - value.len());
    value.extend_from_slice(format!(" {version:012x} {len:08x} ").as_bytes());
    let seed = mix(u64::from(slot) << 32 ^ u64::from(generation)) ^ mix(version);
    let mut count = 0;
    while value.len() < len {
        value.extend_from_slice(&mix(seed.wrapping_add(count)).to_le_bytes());
        count += 1;
    }
    value.truncate(len);
    value
}

/// What is appended to a journal whose newest version is `before`.
pub fn entry(slot: SlotNumber, version: u64, before: u64) -> Vec<u8> {
    let print = mix(u64::from(slot) ^ version << 20 ^ before << 1);
    format!("+{version:012x}{before:012x}{print:016x}").into_bytes()
}

/// The number that a counter of this version is.
pub fn count(slot: SlotNumber, version: u64) -> u64 {
    (u64::from(slot) + 1) << VERSION_BITS | version
}

/// The version of a counter with this number.
///
/// # Errors
///
/// It is not of this slot.
pub fn version_of_count(slot: SlotNumber, number: u64) -> Result<u64, Fault> {
    let is_ours = number >> VERSION_BITS == u64::from(slot) + 1;
    if is_ours { Ok(number & ((1 << VERSION_BITS) - 1)) } else { Err(Fault::Foreign) }
}

/// The version of a value that was served for a key, after a look at every byte.
///
/// # Errors
///
/// It is not what was ever stored under that key.
pub fn version(
    form: Form,
    slot: SlotNumber,
    generation: u32,
    value: &[u8],
    served_flags: u32,
) -> Result<u64, Fault> {
    if form == Form::Counter {
        let text = std::str::from_utf8(value).map_err(|_| Fault::Torn)?;
        let number = text.trim_end().parse().map_err(|_| Fault::Torn)?;
        return version_of_count(slot, number);
    }
    let key = key(slot, generation);
    let Some(head) = value.strip_prefix(key.as_slice()).filter(|rest| rest.first() == Some(&b' '))
    else {
        let is_of_another = value.starts_with(KEY_PREFIX.as_bytes());
        return Err(if is_of_another { Fault::Foreign } else { Fault::Torn });
    };
    let number = |from: usize, to: usize| {
        let digits = head.get(from..to).and_then(|digits| std::str::from_utf8(digits).ok());
        digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(Fault::Torn)
    };
    let (first, len) = (number(1, 13)?, number(14, 22)? as usize);
    let whole = value.get(..len).ok_or(Fault::Torn)?;
    let is_right =
        whole == plain(slot, generation, first, len) && served_flags == flags(slot, first);
    let rest = value.get(len..).unwrap_or_default();
    match form {
        _ if !is_right => Err(Fault::Torn),
        Form::Journal => last_entry(slot, first, rest),
        _ if rest.is_empty() => Ok(first),
        _ => Err(Fault::Torn),
    }
}

/// The version of the last of `entries`, each of which must name the one before.
fn last_entry(slot: SlotNumber, first: u64, entries: &[u8]) -> Result<u64, Fault> {
    let mut newest = first;
    for text in entries.chunks(ENTRY_BYTES) {
        let digits = text.get(1..13).and_then(|digits| std::str::from_utf8(digits).ok());
        let version = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let version = version.filter(|version| *version > newest).ok_or(Fault::Torn)?;
        if text != entry(slot, version, newest) {
            return Err(Fault::Torn);
        }
        newest = version;
    }
    Ok(newest)
}

/// Bytes of a version in a counter.
const VERSION_BITS: u32 = 40;

/// What a plain value has behind its key: spaces, 12 digits of version, 8 of length.
const HEAD_BYTES: usize = 23;

/// `+`, two versions of 12 digits, 16 digits of print.
const ENTRY_BYTES: usize = 41;

/// The longest key that memcached takes.
const KEY_MAX_BYTES: usize = 250;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: Form, value: &[u8]) -> Result<u64, Fault> {
        version(form, 5, 1, value, flags(5, 8))
    }

    #[test]
    fn a_value_is_known_again_to_the_last_byte() {
        for len in [0, 40, 41, 1000, 70_000] {
            let good = plain(5, 1, 8, len);
            assert_eq!(read(Form::Plain, &good), Ok(8));
            for place in [0, good.len() / 2, good.len() - 1] {
                let mut bad = good.clone();
                bad[place] ^= 1;
                assert_eq!(read(Form::Plain, &bad), Err(Fault::Torn), "{len} {place}");
            }
            assert_eq!(read(Form::Plain, &good[..good.len() - 1]), Err(Fault::Torn));
            assert_eq!(read(Form::Plain, &[&good[..], b"x"].concat()), Err(Fault::Torn));
        }
        assert_eq!(version(Form::Plain, 5, 1, &plain(5, 1, 8, 50), 1), Err(Fault::Torn));
    }

    #[test]
    fn two_values_in_one_are_seen() {
        let (old, new) = (plain(5, 1, 6, 1000), plain(5, 1, 8, 1000));
        let torn = [&new[..500], &old[500..]].concat();
        assert_eq!(read(Form::Plain, &torn), Err(Fault::Torn));
        assert_eq!(read(Form::Plain, &plain(6, 1, 8, 1000)), Err(Fault::Foreign));
        assert_eq!(read(Form::Plain, &plain(5, 2, 8, 1000)), Err(Fault::Foreign));
    }

    #[test]
    fn a_journal_lacks_no_entry() {
        let base = plain(5, 1, 8, 100);
        let (one, two) = (entry(5, 10, 8), entry(5, 14, 10));
        assert_eq!(read(Form::Journal, &base), Ok(8));
        assert_eq!(read(Form::Journal, &[&base[..], &one, &two].concat()), Ok(14));
        assert_eq!(read(Form::Journal, &[&base[..], &two].concat()), Err(Fault::Torn));
        assert_eq!(read(Form::Journal, &[&base[..], &one, &one].concat()), Err(Fault::Torn));
        assert_eq!(read(Form::Journal, &[&base[..], &one[..40]].concat()), Err(Fault::Torn));
        assert_eq!(read(Form::Plain, &[&base[..], &one].concat()), Err(Fault::Torn));
    }

    #[test]
    fn a_counter_is_of_its_slot() {
        let text = |number: u64| number.to_string().into_bytes();
        assert_eq!(read(Form::Counter, &text(count(5, 8))), Ok(8));
        assert_eq!(read(Form::Counter, &text(count(4, 8))), Err(Fault::Foreign));
        assert_eq!(read(Form::Counter, b"seven"), Err(Fault::Torn));
    }

    #[test]
    fn keys_are_as_long_as_they_may_be() {
        assert_eq!(key(7, 1).len(), 250);
        assert_ne!(key(7, 1), key(15, 1));
        assert_ne!(key(7, 1), key(7, 2));
        assert!(key(1 << 20, 1 << 20).len() < 40);
    }
}
