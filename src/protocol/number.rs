//! The numbers of the text protocol (text, section 2). They come in two families: strict ones,
//! digits only, and those that memcached reads with the C library, with its white space, its
//! signs and its truncation to 32 bits.
#![forbid(unsafe_code)]

/// Most characters of a strict 32-bit number.
const CHARS_32_MAX: usize = 11;

/// Most characters of a strict 64-bit number.
const CHARS_64_MAX: usize = 22;

/// Most characters of a number with a fraction, whatever follows it included.
const CHARS_FLOAT_MAX: usize = 31;

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

/// A number with a fraction, as `strtod` reads it but for hexadecimal digits. None also when it is
/// too large or too small to be told from infinity or 0, and for more than 31 characters.
pub fn float(text: &[u8]) -> Option<f64> {
    if text.len() > CHARS_FLOAT_MAX {
        return None;
    }
    let text = &text[text.iter().take_while(|&&byte| is_space(byte)).count()..];
    let is_end = |byte: &u8| is_space(*byte) || *byte == 0;
    let text = &text[..text.iter().position(is_end).unwrap_or(text.len())];
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    // Words and zeroes are meant; digits that end up as one are out of range, and so is what is
    // left of a number that has lost digits at the lower end.
    let digits = || text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let is_meant = number.is_normal()
        || text.iter().any(u8::is_ascii_alphabetic) && !text.iter().any(u8::is_ascii_digit)
        || number == 0.0 && !digits().any(|byte| matches!(byte, b'1'..=b'9'));
    is_meant.then_some(number)
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

    #[test]
    fn float_section_2() {
        check(
            float,
            &[
                ("0.5", Some(0.5)),
                ("-1e2", Some(-100.0)),
                ("+.5", Some(0.5)),
                ("5.", Some(5.0)),
                ("\t0.5", Some(0.5)),
                ("\u{b}0.5\tx", Some(0.5)),
                ("0.5\0x", Some(0.5)),
                ("0", Some(0.0)),
                ("0e999", Some(0.0)),
                ("0.00e-999", Some(0.0)),
                ("1000000000000000000000000000000", Some(1e30)),
                ("10000000000000000000000000000000", None),
                ("0.1                            x", None),
                ("1e308", Some(1e308)),
                ("1e309", None),
                ("-1e999", None),
                ("1e-307", Some(1e-307)),
                ("1e-310", None),
                ("1e-999", None),
                ("inf", Some(f64::INFINITY)),
                ("-Infinity", Some(f64::NEG_INFINITY)),
                ("1e", None),
                (".", None),
                ("-", None),
                ("x", None),
                ("", None),
                ("\t", None),
                ("\0", None),
            ],
        );
        assert!(float(b"nan").is_some_and(f64::is_nan));
    }
}
