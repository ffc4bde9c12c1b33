//! Numbers: incr and decr on the decimal text of a value (text, section 6).
#![forbid(unsafe_code)]

use super::arena::Ref;
use super::item::Mark;
use super::shard::{Payload, Shard};
use super::{Arith, Direction, Key, Meta};
use crate::clock::Secs;

impl Shard {
    /// incr and decr (text, section 6).
    pub(super) fn arith(
        &mut self,
        key: &Key<'_>,
        direction: Direction,
        delta: u64,
        now: Secs,
    ) -> Arith {
        let (_, item) = match self.lookup(key, now) {
            Ok(found) => found,
            Err(miss) => return Arith::Miss(miss),
        };
        let chunk = self.slab.chunk(item);
        if chunk.has(Mark::CHAINED) {
            return Arith::NonNumeric;
        }
        let Some(old) = number(self.first_piece(item)) else { return Arith::NonNumeric };
        let value = match direction {
            Direction::Incr => old.wrapping_add(delta),
            Direction::Decr => old.saturating_sub(delta),
        };
        let cas = self.take_cas();
        let class = self.slab.class_of(item);
        match direction {
            Direction::Incr => self.class_mut(class).incr_hits += 1,
            Direction::Decr => self.class_mut(class).decr_hits += 1,
        }
        let mut digits = itoa::Buffer::new();
        if self.put_number(key, item, digits.format(value).as_bytes(), cas, now) {
            Arith::Value { value, cas }
        } else {
            Arith::NoMemory
        }
    }

    /// Puts a number's text in the place of the old value, padded with spaces when it is shorter.
    fn put_number(&mut self, key: &Key<'_>, item: Ref, digits: &[u8], cas: u64, now: Secs) -> bool {
        let chunk = self.slab.chunk(item);
        if digits.len() <= chunk.value_len() && !chunk.has(Mark::PINNED) {
            self.fill(item, 0, Payload::Bytes(digits));
            self.pad(item, digits.len());
            chunk.set_cas(cas);
            let access = self.tick(now);
            self.slab.chunk(item).set_access(access);
            return true;
        }
        let meta = Meta { flags: chunk.flags(), expiry: chunk.expiry() };
        let header = self.header(key, meta, digits.len(), now);
        let Some(new) = self.build(&header, now) else {
            return false;
        };
        self.fill(new, 0, Payload::Bytes(digits));
        self.slab.chunk(new).set_cas(cas);
        self.link(key, new, now).is_ok()
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
    text[..digits]
        .iter()
        .try_fold(0u64, |sum, b| sum.checked_mul(10)?.checked_add(u64::from(b - b'0')))
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
