//! Numbers of the command line, read as C's `atoi`, `strtol` and `atof` read them (options,
//! section 1), but telling apart what those cannot: a number, a number with something behind it,
//! and no number at all.
#![forbid(unsafe_code)]

/// What a text begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// The whole text is a number.
    Whole(i64),
    /// A number with something behind it, which memcached ignores.
    Prefix(i64),
    /// No digit where one was expected: memcached takes 0.
    Junk,
}

impl Number {
    /// What memcached takes: 0 for junk.
    pub fn or_zero(self) -> i64 {
        match self {
            Number::Whole(value) | Number::Prefix(value) => value,
            Number::Junk => 0,
        }
    }
}

/// Reads a decimal number with an optional sign. One that does not fit becomes the nearest that does.
pub fn decimal(text: &str) -> Number {
    leading(text, 10)
}

/// Reads an octal number, as [`decimal`] does.
pub fn octal(text: &str) -> Number {
    leading(text, 8)
}

/// Reads the longest beginning of `text` that is a finite number with or without a fraction.
pub fn fraction(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let longest = (1..=text.len()).rev().find_map(|end| text.get(..end)?.parse::<f64>().ok());
    longest.filter(|value| value.is_finite())
}

/// Reads `-I`: a number of bytes, with a last letter k, K, m or M times 1,024 or 1,048,576. Any
/// other letter is something behind the number: `2g` is 2.
pub fn size(text: &str) -> Number {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    match decimal(digits) {
        Number::Whole(value) => Number::Whole(value.saturating_mul(unit)),
        Number::Prefix(value) => Number::Prefix(value.saturating_mul(unit)),
        Number::Junk => Number::Junk,
    }
}

fn leading(text: &str, radix: u32) -> Number {
    let text = text.trim_start();
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let count = digits.bytes().take_while(|byte| char::from(*byte).is_digit(radix)).count();
    if count == 0 {
        return Number::Junk;
    }
    let value = digits[..count]
        .chars()
        .filter_map(|digit| digit.to_digit(radix))
        .fold(0i64, |sum, digit| sum.saturating_mul(radix.into()).saturating_add(digit.into()));
    let value = if negative { -value } else { value };
    if count == digits.len() { Number::Whole(value) } else { Number::Prefix(value) }
}

#[cfg(test)]
mod tests {
    use super::Number::{Junk, Prefix, Whole};
    use super::*;

    #[test]
    fn decimal_reads_what_atoi_reads() {
        for (text, number) in [
            ("0", Whole(0)),
            ("11211", Whole(11211)),
            (" \t-1", Whole(-1)),
            ("+5", Whole(5)),
            ("64x", Prefix(64)),
            ("64.5", Prefix(64)),
            ("1e3", Prefix(1)),
            ("0x10", Prefix(0)),
            ("8 ", Prefix(8)),
            ("", Junk),
            ("abc", Junk),
            ("-", Junk),
            ("- 1", Junk),
            ("--1", Junk),
            ("é", Junk),
            ("99999999999999999999", Whole(i64::MAX)),
            ("-99999999999999999999", Whole(-i64::MAX)),
        ] {
            assert_eq!(decimal(text), number, "{text:?}");
        }
        assert_eq!(Junk.or_zero(), 0);
        assert_eq!(Prefix(3).or_zero(), 3);
    }

    #[test]
    fn octal_stops_at_an_eight() {
        assert_eq!(octal("0700"), Whole(0o700));
        assert_eq!(octal("0778"), Prefix(0o77));
        assert_eq!(octal("8"), Junk);
    }

    #[test]
    fn fraction_takes_the_longest_number() {
        assert_eq!(fraction("1.25"), Some(1.25));
        assert_eq!(fraction(" 1.08x"), Some(1.08));
        assert_eq!(fraction("2"), Some(2.0));
        assert_eq!(fraction("-.5"), Some(-0.5));
        assert_eq!(fraction("1e1"), Some(10.0));
        assert_eq!(fraction("nan"), None);
        assert_eq!(fraction("inf"), None);
        assert_eq!(fraction("x1"), None);
        assert_eq!(fraction(""), None);
    }

    #[test]
    fn size_knows_k_and_m_only() {
        assert_eq!(size("1024"), Whole(1024));
        assert_eq!(size("512k"), Whole(512 << 10));
        assert_eq!(size("1M"), Whole(1 << 20));
        assert_eq!(size("2g"), Prefix(2));
        assert_eq!(size("m"), Junk);
        assert_eq!(size(""), Junk);
        assert_eq!(size("9999999999999999999m"), Whole(i64::MAX));
    }
}
