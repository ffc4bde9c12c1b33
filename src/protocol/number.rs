//! The numbers of the text protocol (text, section 2). They come in two families: strict ones,
//! digits only, and those that memcached reads with the C library, with its white space, its
//! signs and its truncation to 32 bits.
#![forbid(unsafe_code)]

/// Most characters of a strict 32-bit number.
const CHARS_32_MAX: usize = 11;

/// Most characters of a strict 64-bit number.
const CHARS_64_MAX: usize = 22;

/// Strict unsigned 32 bits: 1 to 11 digits.
pub fn u32(text: &[u8]) -> Option<u32> {
    if text.len() > CHARS_32_MAX {
        return None;
    }
    strict(text)?.try_into().ok()
}

/// Strict signed 32 bits: an optional `-` and digits, at most 11 characters in all. `-` alone is 0.
pub fn i32(text: &[u8]) -> Option<i32> {
    if text.len() > CHARS_32_MAX {
        return None;
    }
    signed(text)?.try_into().ok()
}

/// Strict unsigned 64 bits: 1 to 22 digits.
pub fn u64(text: &[u8]) -> Option<u64> {
    if text.len() > CHARS_64_MAX { None } else { strict(text) }
}

/// Strict signed 64 bits: an optional `-` and digits, at most 22 characters in all.
pub fn i64(text: &[u8]) -> Option<i64> {
    if text.len() > CHARS_64_MAX { None } else { signed(text) }
}

/// What `strtol` makes of `text`, cut to its low 32 bits. None when it does not fit 64 bits or is
/// followed by anything but white space or NUL.
pub fn libc_i32(text: &[u8]) -> Option<i32> {
    let number = libc(text)?;
    let limit = if number.negative { 1 << 63 } else { i64::MAX as u64 };
    if number.magnitude > limit { None } else { Some(number.wrapped() as i32) }
}

/// What `strtoul` makes of `text`, cut to its low 32 bits. None as for [`libc_i32`]; a number with
/// a `-` is also refused when its wrapped value has the top bit set.
pub fn libc_u32(text: &[u8]) -> Option<u32> {
    let number = libc(text)?;
    let wrapped = number.wrapped();
    if number.negative && wrapped >> 63 == 1 { None } else { Some(wrapped as u32) }
}

/// A number with a fraction, as `strtod` reads it but for hexadecimal digits.
pub fn float(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii_start();
    let end = text.iter().position(|&byte| is_space(byte)).unwrap_or(text.len());
    std::str::from_utf8(&text[..end]).ok()?.parse().ok()
}

/// A sign and digits as the C library reads them.
struct LibcNumber {
    negative: bool,
    magnitude: u64,
}

impl LibcNumber {
    fn wrapped(&self) -> u64 {
        if self.negative { self.magnitude.wrapping_neg() } else { self.magnitude }
    }
}

/// Digits only, at least one.
fn strict(text: &[u8]) -> Option<u64> {
    if text.is_empty() { None } else { digits(text) }
}

fn signed(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', rest @ ..] => 0i64.checked_sub_unsigned(digits(rest)?),
        _ => i64::try_from(strict(text)?).ok(),
    }
}

/// The value of a run of digits; an empty run is 0.
fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn libc(text: &[u8]) -> Option<LibcNumber> {
    let number = &text[text.iter().take_while(|&&byte| is_space(byte)).count()..];
    let (negative, unsigned) = match number {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, number),
    };
    let count = unsigned.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // Without a digit nothing is converted.
    let is_ended = unsigned.get(count).is_none_or(|&byte| is_space(byte) || byte == 0);
    let is_number = count > 0 && is_ended;
    is_number.then_some(LibcNumber { negative, magnitude: digits(&unsigned[..count])? })
}

/// White space of the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: PartialEq + std::fmt::Debug>(
        parse: fn(&[u8]) -> Option<T>,
        cases: &[(&str, Option<T>)],
    ) {
        for (text, want) in cases {
            assert_eq!(parse(text.as_bytes()), *want, "{text:?}");
        }
    }

    #[test]
    fn strict_u32_section_2() {
        check(
            u32,
            &[
                ("0", Some(0)),
                ("4294967295", Some(u32::MAX)),
                ("00000000001", Some(1)),
                ("000000000001", None),
                ("4294967296", None),
                ("", None),
                ("-0", None),
                ("+1", None),
                ("1 ", None),
                ("0x1", None),
                ("1e3", None),
            ],
        );
    }

    #[test]
    fn strict_i32_section_2() {
        check(
            i32,
            &[
                ("0", Some(0)),
                ("-", Some(0)),
                ("-1", Some(-1)),
                ("2147483647", Some(i32::MAX)),
                ("-2147483648", Some(i32::MIN)),
                ("2147483648", None),
                ("-2147483649", None),
                ("00000000001", Some(1)),
                ("000000000001", None),
                ("-0000000001", Some(-1)),
                ("-00000000001", None),
                ("+1", None),
                ("--1", None),
                ("", None),
            ],
        );
    }

    #[test]
    fn strict_64_section_2() {
        check(
            u64,
            &[
                ("18446744073709551615", Some(u64::MAX)),
                ("18446744073709551616", None),
                ("0000000000000000000001", Some(1)),
                ("00000000000000000000001", None),
                ("-1", None),
                ("+1", None),
                ("", None),
            ],
        );
        check(
            i64,
            &[
                ("-9223372036854775808", Some(i64::MIN)),
                ("9223372036854775807", Some(i64::MAX)),
                ("9223372036854775808", None),
                ("p", None),
                ("", None),
            ],
        );
    }

    #[test]
    fn libc_i32_section_2() {
        check(
            libc_i32,
            &[
                ("0", Some(0)),
                ("+5", Some(5)),
                ("-1", Some(-1)),
                ("\t5", Some(5)),
                ("5\tx", Some(5)),
                ("5\0x", Some(5)),
                ("0\r", Some(0)),
                ("\t", None),
                ("\tx", None),
                ("2147483648", Some(i32::MIN)),
                ("4294967296", Some(0)),
                ("4294967301", Some(5)),
                ("9223372036854775807", Some(-1)),
                ("-9223372036854775808", Some(0)),
                ("9223372036854775808", None),
                ("-9223372036854775809", None),
                ("99999999999999999999", None),
                ("5x", None),
                ("x", None),
                ("-", None),
                ("+", None),
                ("- 1", None),
                ("\0", None),
                ("", None),
            ],
        );
    }

    #[test]
    fn libc_u32_section_2() {
        check(
            libc_u32,
            &[
                ("+5", Some(5)),
                ("4294967296", Some(0)),
                ("18446744073709551615", Some(u32::MAX)),
                ("18446744073709551616", None),
                ("9223372036854775808", Some(0)),
                ("-1", None),
                ("-0", Some(0)),
                ("-9223372036854775808", None),
                ("-9223372036854775809", Some(u32::MAX)),
                ("-18446744073709551615", Some(1)),
                ("-18446744073709551616", None),
                ("5\t", Some(5)),
                ("\t5", Some(5)),
                ("1e3", None),
                ("-", None),
            ],
        );
    }
}
