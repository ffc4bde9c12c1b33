//! Keys of the meta protocol: plain, or in base64 (meta, section 3, "Binary keys").
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::limits::KEY_LEN_MAX;

/// Most bytes that a key in base64 stands for.
const DECODED_LEN_MAX: usize = KEY_LEN_MAX / 4 * 3;

/// Characters of the longest key in base64, padding included.
const ENCODED_LEN_MAX: usize = KEY_LEN_MAX.div_ceil(3) * 4;

/// Bits left over in the last character are not looked at, as memcached does not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// A key as it was given.
#[derive(Clone, Debug)]
pub struct Key<'a>(Form<'a>);

#[derive(Clone, Debug)]
enum Form<'a> {
    Plain(&'a [u8]),
    Binary(Box<[u8]>),
}

impl<'a> Key<'a> {
    /// A key that is its own text.
    pub(super) fn plain(text: &'a [u8]) -> Key<'a> {
        Key(Form::Plain(text))
    }

    /// A key in base64. Characters outside the alphabet are skipped; the first group of four that is
    /// padded is the last one looked at. None: not base64, or of no bytes.
    pub(super) fn base64(text: &[u8]) -> Option<Key<'a>> {
        let is_base64 =
            |b: &&u8| matches!(b, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=');
        let text: ArrayVec<u8, KEY_LEN_MAX> = text.iter().filter(is_base64).copied().collect();
        if text.is_empty() || text.len() % 4 != 0 {
            return None;
        }
        let end = text.chunks(4).position(|group| group.contains(&b'='));
        let text = end.map_or(text.as_slice(), |last| &text[..(last + 1) * 4]);
        let mut bytes = [0; DECODED_LEN_MAX];
        let len = BASE64.decode_slice(text, &mut bytes).ok().filter(|len| *len > 0)?;
        Some(Key(Form::Binary(bytes[..len].into())))
    }

    /// A key of either form.
    pub(super) fn read(text: &'a [u8], is_base64: bool) -> Option<Key<'a>> {
        if is_base64 { Key::base64(text) } else { Some(Key::plain(text)) }
    }

    /// The key itself.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Plain(text) => text,
            Form::Binary(bytes) => bytes,
        }
    }

    /// Whether it was given in base64.
    pub fn is_binary(&self) -> bool {
        matches!(self.0, Form::Binary(_))
    }
}

/// Appends a key: in base64 if `is_binary`.
pub fn push_key(into: &mut Vec<u8>, key: &[u8], is_binary: bool) {
    if !is_binary {
        return into.extend_from_slice(key);
    }
    let mut text = [0; ENCODED_LEN_MAX];
    if let Ok(len) = BASE64.encode_slice(key, &mut text) {
        into.extend_from_slice(&text[..len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Option<String> {
        Key::base64(text.as_bytes()).map(|key| String::from_utf8_lossy(key.bytes()).into_owned())
    }

    #[test]
    fn binary_keys_section_3() {
        for (text, want) in [
            ("Zm9v", Some("foo")),
            ("Zg==", Some("f")),
            ("Zm-9v", Some("foo")),
            ("Zg==Zm9v", Some("f")),
            ("Zh==", Some("f")),
            ("Zm9", None),
            ("Z===", None),
            ("====", None),
            ("----", None),
            ("", None),
        ] {
            assert_eq!(decode(text).as_deref(), want, "{text}");
        }
        assert_eq!(Key::base64(&[b'A'; 248]).map(|key| key.bytes().len()), Some(186));
        assert!(Key::base64(&[b'A'; 250]).is_none());
    }

    #[test]
    fn keys_are_shown_as_they_were_given() {
        let mut text = Vec::new();
        push_key(&mut text, b"foo", false);
        push_key(&mut text, b"foo", true);
        assert_eq!(text, b"fooZm9v");
        push_key(&mut text, &[7; KEY_LEN_MAX], true);
        assert_eq!(text.len(), 7 + ENCODED_LEN_MAX);
    }
}
