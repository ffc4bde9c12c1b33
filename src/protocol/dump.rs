//! The lines in which items are listed (text, sections 7 and 8).
//!
//! None of them can be broken by what a key holds: keys of metadump are URI-encoded. Keys that are
//! marked as binary, which those are that were given in base64 and those of binary clients that are
//! no word of a line, are in base64 in mgdump and not in cachedump.
#![forbid(unsafe_code)]

use itoa::{Buffer, Integer};

use crate::protocol::meta::push_key;
use crate::watch::uri_encode;

/// What metadump tells of an item, beside its key.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    /// Unix time at which it expires, None: never.
    pub expires_at: Option<i64>,
    /// Unix time of the last access.
    pub accessed_at: i64,
    /// CAS unique.
    pub cas: u64,
    /// Whether it was fetched since it was stored.
    pub is_fetched: bool,
    /// Slab class.
    pub class: u8,
    /// Bytes that it asked for.
    pub size_bytes: usize,
    /// Client flags.
    pub flags: u32,
}

/// Appends a line of `lru_crawler metadump`. Its end is LF alone, with a space before it.
pub fn metadump_line(into: &mut Vec<u8>, key: &[u8], item: &Metadata) {
    into.extend_from_slice(b"key=");
    // Writing to memory does not fail.
    let _ok = uri_encode(key, into);
    number(into, b" exp=", item.expires_at.unwrap_or(-1));
    number(into, b" la=", item.accessed_at);
    number(into, b" cas=", item.cas);
    into.extend_from_slice(if item.is_fetched { b" fetch=yes" } else { b" fetch=no" });
    number(into, b" cls=", item.class);
    number(into, b" size=", item.size_bytes);
    number(into, b" flags=", item.flags);
    into.extend_from_slice(b" \n");
}

/// Appends a line of `lru_crawler mgdump`.
pub fn mgdump_line(into: &mut Vec<u8>, key: &[u8], is_binary: bool) {
    into.extend_from_slice(b"mg ");
    push_key(into, key, is_binary);
    if is_binary {
        into.extend_from_slice(b" b");
    }
    into.extend_from_slice(b"\r\n");
}

/// Appends a line of `stats cachedump`; 0 stands for an item that never expires.
pub fn cachedump_line(into: &mut Vec<u8>, key: &[u8], value_len: usize, expires_at: Option<i64>) {
    into.extend_from_slice(b"ITEM ");
    into.extend_from_slice(key);
    number(into, b" [", value_len);
    number(into, b" b; ", expires_at.unwrap_or(0));
    into.extend_from_slice(b" s]\r\n");
}

fn number(into: &mut Vec<u8>, before: &[u8], number: impl Integer) {
    into.extend_from_slice(before);
    into.extend_from_slice(Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(write: impl FnOnce(&mut Vec<u8>), want: &str) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        assert_eq!(String::from_utf8_lossy(&bytes), want);
    }

    #[test]
    fn lines_section_7() {
        let item = Metadata {
            expires_at: None,
            accessed_at: 1_700_000_000,
            cas: 5,
            is_fetched: false,
            class: 1,
            size_bytes: 63,
            flags: 0,
        };
        check(
            |into| metadump_line(into, b"a/b", &item),
            "key=a%2Fb exp=-1 la=1700000000 cas=5 fetch=no cls=1 size=63 flags=0 \n",
        );
        let item = Metadata { expires_at: Some(7), is_fetched: true, flags: u32::MAX, ..item };
        check(
            |into| metadump_line(into, b"a", &item),
            "key=a exp=7 la=1700000000 cas=5 fetch=yes cls=1 size=63 flags=4294967295 \n",
        );
        check(|into| mgdump_line(into, b"a", false), "mg a\r\n");
        check(|into| mgdump_line(into, b"\r\n", true), "mg DQo= b\r\n");
    }

    #[test]
    fn lines_section_8() {
        check(|into| cachedump_line(into, b"a", 5, None), "ITEM a [5 b; 0 s]\r\n");
        check(|into| cachedump_line(into, b"a", 0, Some(9)), "ITEM a [0 b; 9 s]\r\n");
    }
}
