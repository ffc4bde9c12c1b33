//! The numbers of the text protocols.
#![forbid(unsafe_code)]

use crate::protocol::number;

/// Whatever is read as a number is that number, read digit by digit without a bound.
pub fn numbers(data: &[u8]) {
    let strict = |signed: bool, chars_max: usize| {
        let fits = data.len() <= chars_max && !data.is_empty();
        let digits = data.strip_prefix(b"-").filter(|_| signed);
        let all = digits.unwrap_or(data);
        // A sign alone is 0; nothing at all is no number.
        let number = digits_of(all).filter(|_| fits)?;
        Some(if digits.is_some() { -number } else { number })
    };
    let within = |number: Option<i128>, min: i128, max: i128| {
        number.filter(|number| (min..=max).contains(number))
    };
    assert_eq!(number::u32(data).map(i128::from), within(strict(false, 11), 0, u32::MAX.into()));
    assert_eq!(
        number::i32(data).map(i128::from),
        within(strict(true, 11), i32::MIN.into(), i32::MAX.into())
    );
    assert_eq!(number::u64(data).map(i128::from), within(strict(false, 22), 0, u64::MAX.into()));
    assert_eq!(
        number::i64(data).map(i128::from),
        within(strict(true, 22), i64::MIN.into(), i64::MAX.into())
    );
    check_libc(data);
    if let Some(number) = number::float(data) {
        let text = String::from_utf8_lossy(data);
        let text = text.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
        let end = text.find([' ', '\t', '\n', '\u{b}', '\u{c}', '\r', '\0']).unwrap_or(text.len());
        let again: f64 = text[..end].parse().expect("it was read");
        assert!(again == number || again.is_nan() && number.is_nan());
    }
}

/// As `strtol` and `strtoul` do, cut to 32 bits.
fn check_libc(data: &[u8]) {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = data.iter().position(|byte| !is_space(byte)).unwrap_or(data.len());
    let (sign, rest) = match &data[start..] {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_ended = rest.get(count).is_none_or(|byte| is_space(byte) || *byte == 0);
    let digits = digits_of(&rest[..count]).filter(|_| count > 0 && is_ended);
    let number = digits.map(|digits| sign * digits);
    let signed = number.filter(|number| i64::try_from(*number).is_ok());
    assert_eq!(number::libc_i32(data), signed.map(|number| number as i32));
    let unsigned = digits
        .filter(|digits| u64::try_from(*digits).is_ok())
        .map(|digits| (sign * digits) as u64)
        .filter(|wrapped| sign > 0 || *wrapped >> 63 == 0);
    assert_eq!(number::libc_u32(data), unsigned.map(|number| number as u32));
}

/// None: something else stands there, or the number has more digits than fit.
fn digits_of(text: &[u8]) -> Option<i128> {
    text.iter().try_fold(0i128, |number, byte| {
        let digit = byte.is_ascii_digit().then_some(i128::from(byte.wrapping_sub(b'0')))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
