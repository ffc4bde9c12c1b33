//! Numbers: incr and decr on the decimal text of a value (text, section 6).
#![forbid(unsafe_code)]

use super::arena::Ref;
use super::item::Mark;
use super::shard::{Payload, Shard};
use super::{Created, Direction, Kept, Key, Meta, NoSum, Number, Sum, charged_bytes};
use crate::clock::Secs;

/// Largest item that memcached keeps in one piece. Whether a larger one is a number it says before it
/// looks at the unique.
const WHOLE_BYTES_MAX: usize = 512 * 1024;

/// Digits of a number that fits 64 bits whatever they are.
const DIGITS_SURE: usize = 19;

impl Shard {
    /// incr and decr (text, section 6; meta, section 7). Answers the item with its number.
    pub(super) fn arith(
        &mut self,
        key: &Key<'_>,
        sum: &Sum,
        now: Secs,
    ) -> Result<(Ref, Number), NoSum> {
        let item = match (self.lookup(key, now), sum.create) {
            (Ok((_, item)), _) => item,
            (Err(_), Some(created)) => return self.create_number(key, created, sum.cas, now),
            (Err(miss), None) => return Err(NoSum::Miss(miss)),
        };
        let chunk = self.slab.chunk(item);
        let bytes =
            charged_bytes(key.bytes.len(), chunk.flags(), chunk.value_len(), self.settings.cas);
        if chunk.value_len() == 0 || bytes > WHOLE_BYTES_MAX {
            return Err(NoSum::NonNumeric);
        }
        if sum.compare != 0 && sum.compare != self.cas_of(item) {
            return Err(NoSum::Mismatch);
        }
        if chunk.has(Mark::CHAINED) {
            return Err(NoSum::NonNumeric);
        }
        let old = number(self.first_piece(item)).ok_or(NoSum::NonNumeric)?;
        let value = match sum.direction {
            Direction::Incr => old.wrapping_add(sum.delta),
            Direction::Decr => old.saturating_sub(sum.delta),
        };
        let class = self.slab.class_of(item);
        match sum.direction {
            Direction::Incr => self.class_mut(class).incr_hits += 1,
            Direction::Decr => self.class_mut(class).decr_hits += 1,
        }
        // The number is taken even if the client's own takes its place.
        let next = self.new_cas(None);
        let cas = if self.settings.cas { sum.cas.unwrap_or(next) } else { 0 };
        let mut digits = itoa::Buffer::new();
        let item = self.put_number(key, item, digits.format(value).as_bytes(), cas, now);
        item.map(|item| (item, Number { value, is_new: false })).map_err(|_| NoSum::NoMemory)
    }

    /// Puts a number's text in the place of the old value, padded with spaces when it is shorter.
    fn put_number(
        &mut self,
        key: &Key<'_>,
        item: Ref,
        digits: &[u8],
        cas: u64,
        now: Secs,
    ) -> Result<Ref, Kept> {
        let chunk = self.slab.chunk(item);
        if digits.len() <= chunk.value_len() && !chunk.has(Mark::PINNED) {
            // First, since this is what can fail.
            let item = self.give_cas(key, item, cas, now)?;
            self.fill(item, 0, Payload::Bytes(digits));
            self.pad(item, digits.len());
            let access = self.tick(now);
            self.slab.chunk(item).set_access(access);
            return Ok(item);
        }
        let is_binary_key = chunk.has(Mark::BINARY_KEY) && !key.is_one_word();
        let meta = Meta { flags: chunk.flags(), expiry: chunk.expiry(), is_binary_key };
        self.put_new(key, meta, digits, cas, now)
    }

    fn create_number(
        &mut self,
        key: &Key<'_>,
        created: Created,
        cas: Option<u64>,
        now: Secs,
    ) -> Result<(Ref, Number), NoSum> {
        let Created { initial, expiry, is_binary_key } = created;
        let cas = self.new_cas(cas);
        let meta = Meta { flags: 0, expiry, is_binary_key };
        let mut digits = itoa::Buffer::new();
        let item = self.put_new(key, meta, digits.format(initial).as_bytes(), cas, now);
        let number = Number { value: initial, is_new: true };
        item.map(|item| (item, number)).map_err(|_| NoSum::NoMemoryForNew)
    }

    /// Makes a new item the item of its key, with the unique `cas`.
    pub(super) fn put_new(
        &mut self,
        key: &Key<'_>,
        meta: Meta,
        value: &[u8],
        cas: u64,
        now: Secs,
    ) -> Result<Ref, Kept> {
        let header = self.header(key, meta, value.len(), Some(cas), now);
        let item = self.build(&header, now).ok_or(Kept::NoMemory)?;
        self.fill(item, 0, Payload::Bytes(value));
        self.slab.chunk(item).set_cas(cas);
        self.link(key, item, now).map(|()| item).map_err(|_| Kept::NoMemory)
    }
}

/// Reads a stored number as C's `strtoull` does, of which memcached then wants white space, a NUL or
/// the end behind it (text, section 6).
fn number(value: &[u8]) -> Option<u64> {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t'..=b'\r');
    let text = &value[value.iter().take_while(|&b| is_space(b)).count()..];
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 || text.get(digits).is_some_and(|b| !is_space(b) && *b != 0) {
        return None;
    }
    let (sure, rest) = text[..digits].split_at(digits.min(DIGITS_SURE));
    let sum = sure.iter().fold(0, |sum, b| sum * 10 + u64::from(b - b'0'));
    rest.iter().try_fold(sum, |sum, b| sum.checked_mul(10)?.checked_add(u64::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_as_section_6_reads_them() {
        for (text, want) in [
            ("1 2", Some(1)),
            (" 5", Some(5)),
            ("+7", Some(7)),
            ("000000000000000000000000000001", Some(1)),
            ("18446744073709551615", Some(u64::MAX)),
            ("9 ", Some(9)),
            ("5\0 5", Some(5)),
            ("-1", None),
            ("18446744073709551616", None),
            ("5xx", None),
            ("", None),
            (" ", None),
            ("+", None),
        ] {
            assert_eq!(number(text.as_bytes()), want, "{text:?}");
        }
    }
}
