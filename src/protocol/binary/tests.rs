//! Every opcode, every layout, every cut.

use super::*;

/// A request with an opaque and a unique of its own.
fn packet(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let body_len = (extras.len() + key.len() + value.len()) as u32;
    let mut bytes = vec![MAGIC, opcode];
    bytes.extend((key.len() as u16).to_be_bytes());
    bytes.extend([extras.len() as u8, 0xdd, 0xee, 0xff]);
    bytes.extend(body_len.to_be_bytes());
    bytes.extend(0x0102_0304_u32.to_be_bytes());
    bytes.extend(0x1122_3344_5566_7788_u64.to_be_bytes());
    [&bytes, extras, key, value].concat()
}

const CAS: u64 = 0x1122_3344_5566_7788;

fn tag(opcode: u8, verb: Verb, is_quiet: bool) -> Tag {
    Tag { opcode, verb, is_quiet, opaque: 0x0102_0304 }
}

#[track_caller]
fn check(bytes: &[u8], tag: Tag, request: Request<'_>, value_len: usize) {
    let len = bytes.len() - value_len;
    assert_eq!(read(bytes), Packet::Whole { tag, request, len });
    for cut in 0..len {
        assert_eq!(read(&bytes[..cut]), Packet::Partial, "cut at {cut}");
    }
    for cut in len..bytes.len() {
        assert_eq!(read(&bytes[..cut]), Packet::Whole { tag, request, len }, "cut at {cut}");
    }
}

#[test]
fn requests_section_3() {
    let key = b"key".as_slice();
    let exptime = 0xdead_beef_u32.to_be_bytes();
    for (opcode, verb, is_quiet) in [
        (0x00, Verb::Get, false),
        (0x09, Verb::Get, true),
        (0x0c, Verb::GetK, false),
        (0x0d, Verb::GetK, true),
    ] {
        let request = Request::Retrieve { key, exptime: None };
        check(&packet(opcode, b"", key, b""), tag(opcode, verb, is_quiet), request, 0);
    }
    for (opcode, verb, is_quiet) in [
        (0x1c, Verb::Touch, false),
        (0x1d, Verb::Gat, false),
        (0x1e, Verb::Gat, true),
        (0x23, Verb::GatK, false),
        (0x24, Verb::GatK, true),
    ] {
        let request = Request::Retrieve { key, exptime: Some(0xdead_beef) };
        check(&packet(opcode, &exptime, key, b""), tag(opcode, verb, is_quiet), request, 0);
    }
    for (opcode, verb) in [(0x04, Verb::Delete), (0x14, Verb::Delete)] {
        let request = Request::Delete { key, cas: CAS };
        check(&packet(opcode, b"", key, b""), tag(opcode, verb, opcode > 0x10), request, 0);
    }
    for (opcode, verb, request) in [
        (0x07, Verb::Quit, Request::Quit),
        (0x17, Verb::Quit, Request::Quit),
        (0x08, Verb::Flush, Request::Flush { delay: 0 }),
        (0x18, Verb::Flush, Request::Flush { delay: 0 }),
        (0x0a, Verb::Noop, Request::Noop),
        (0x0b, Verb::Version, Request::Version),
        (0x10, Verb::Stat, Request::Stat { group: b"" }),
    ] {
        check(&packet(opcode, b"", b"", b""), tag(opcode, verb, opcode > 0x10), request, 0);
    }
    let flush = packet(0x08, &exptime, b"", b"");
    check(&flush, tag(0x08, Verb::Flush, false), Request::Flush { delay: 0xdead_beef }, 0);
    let stat = packet(0x10, b"", b"items", b"");
    check(&stat, tag(0x10, Verb::Stat, false), Request::Stat { group: b"items" }, 0);
}

#[test]
fn requests_with_numbers_and_values_section_3() {
    let key = [b'k'; KEY_LEN_MAX];
    let key = key.as_slice();
    let extras = [0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff];
    for (opcode, verb) in [
        (0x01, Verb::Set),
        (0x02, Verb::Add),
        (0x03, Verb::Replace),
        (0x11, Verb::Set),
        (0x12, Verb::Add),
        (0x13, Verb::Replace),
    ] {
        let request =
            Request::Store(Store { key, flags: 7, exptime: u32::MAX, cas: CAS, value_len: 5 });
        let tag = tag(opcode, verb, opcode > 0x10);
        check(&packet(opcode, &extras, key, b"value"), tag, request, 5);
        let request =
            Request::Store(Store { key, flags: 7, exptime: u32::MAX, cas: CAS, value_len: 0 });
        check(&packet(opcode, &extras, key, b""), tag, request, 0);
    }
    for (opcode, verb, is_quiet) in [
        (0x0e, Verb::Append, false),
        (0x0f, Verb::Prepend, false),
        (0x19, Verb::Append, true),
        (0x1a, Verb::Prepend, true),
    ] {
        let request = Request::Store(Store { key, flags: 0, exptime: 0, cas: CAS, value_len: 3 });
        check(&packet(opcode, b"", key, b"end"), tag(opcode, verb, is_quiet), request, 3);
    }
    let extras: Vec<u8> = (1..=20).collect();
    for (opcode, verb) in [
        (0x05, Verb::Increment),
        (0x06, Verb::Decrement),
        (0x15, Verb::Increment),
        (0x16, Verb::Decrement),
    ] {
        let request = Request::Arith(Arith {
            key,
            delta: 0x0102_0304_0506_0708,
            initial: 0x090a_0b0c_0d0e_0f10,
            exptime: 0x1112_1314,
            cas: CAS,
        });
        check(&packet(opcode, &extras, key, b""), tag(opcode, verb, opcode > 0x10), request, 0);
    }
}

/// What section 3 says of each opcode: lengths of extras, and whether key and value may be there.
fn layout(opcode: u8) -> Option<(&'static [u8], &'static [bool], &'static [bool])> {
    const NO: &[bool] = &[false];
    const MUST: &[bool] = &[true];
    const MAY: &[bool] = &[false, true];
    match opcode {
        0x00 | 0x04 | 0x09 | 0x0c | 0x0d | 0x14 => Some((&[0], MUST, NO)),
        0x01..=0x03 | 0x11..=0x13 => Some((&[8], MUST, MAY)),
        0x05 | 0x06 | 0x15 | 0x16 => Some((&[20], MUST, NO)),
        0x07 | 0x0a | 0x0b | 0x17 | 0x20 => Some((&[0], NO, NO)),
        0x08 | 0x18 => Some((&[0, 4], NO, NO)),
        0x0e | 0x0f | 0x19 | 0x1a | 0x21 | 0x22 => Some((&[0], MUST, MAY)),
        0x10 => Some((&[0], MAY, NO)),
        0x1c..=0x1e | 0x23 | 0x24 => Some((&[4], MUST, NO)),
        _ => None,
    }
}

#[test]
fn layouts_section_3() {
    for opcode in 0..=255 {
        for extras_len in [0, 1, 3, 4, 5, 7, 8, 9, 16, 19, 20, 21, 24, 255] {
            for (key, value) in [("", ""), ("k", ""), ("", "v"), ("k", "v")] {
                let bytes = packet(opcode, &vec![7; extras_len], key.as_bytes(), value.as_bytes());
                let read = read(&bytes);
                let fits = layout(opcode).is_none_or(|(extras, keys, values)| {
                    extras.contains(&(extras_len as u8))
                        && keys.contains(&!key.is_empty())
                        && values.contains(&!value.is_empty())
                });
                let is_known = layout(opcode).is_some();
                let is_right = match read {
                    Packet::Broken { status, .. } => !fits && status == Status::Invalid,
                    Packet::Whole { len, .. } => fits && is_known && len <= bytes.len(),
                    Packet::Refused { status, len, .. } => {
                        let all = len == bytes.len() as u64;
                        fits && !is_known && all && status == Status::UnknownCommand
                    }
                    Packet::Partial | Packet::Foreign => false,
                };
                assert!(is_right, "{opcode:#x} {extras_len} {key:?} {value:?}: {read:?}");
            }
        }
    }
}

#[test]
fn checks_section_1() {
    let get = packet(0x00, b"", b"key", b"");
    let with = |at: usize, field: &[u8]| {
        let mut bytes = get.clone();
        bytes[at..at + field.len()].copy_from_slice(field);
        bytes
    };
    let broken = |bytes: &[u8]| match read(bytes) {
        Packet::Broken { status, .. } => Some(status),
        _ => None,
    };
    // Each is found out by the header alone.
    let header = |bytes: Vec<u8>| broken(&bytes[..HEADER_LEN]);
    assert_eq!(header(with(8, &[0, 0, 0, 2])), Some(Status::UnknownCommand));
    assert_eq!(header(with(4, &[1])), Some(Status::UnknownCommand));
    assert_eq!(header(with(2, &[0xff, 0xff])), Some(Status::UnknownCommand));
    assert_eq!(header(with(8, &[0x40, 0, 0, 1])), Some(Status::Invalid));
    assert_eq!(header(with(8, &[0xff; 4])), Some(Status::Invalid));
    assert_eq!(header(packet(0x00, b"", &[b'k'; KEY_LEN_MAX + 1], b"")), Some(Status::Invalid));
    assert_eq!(header(packet(0x30, b"", &[b'k'; KEY_LEN_MAX + 1], b"")), Some(Status::Invalid));
    assert_eq!(header(packet(0x30, b"", &[b'k'; KEY_LEN_MAX], b"")), None);
    let mut set = packet(0x01, &[0; 8], b"k", b"");
    set[8..12].copy_from_slice(&[0x40, 0, 0, 0]);
    assert_eq!(broken(&set), None, "the largest body");
    for magic in (0..=255).filter(|magic| *magic != MAGIC) {
        assert_eq!(read(&with(0, &[magic])[..1]), Packet::Foreign);
    }
}

/// Headers of all combinations of extreme fields: nothing panics, and nothing is wanted beyond the
/// longest head.
#[test]
fn extreme_headers() {
    let lens16 = [0, 1, 250, 251, 0x7fff, 0xffff_u16];
    let lens8 = [0, 1, 4, 8, 20, 255_u8];
    let lens32 = [0, 1, 24, 28, 250, 254, 1 << 30, (1 << 30) + 1, u32::MAX - 1, u32::MAX];
    let body = [0xff; 20 + KEY_LEN_MAX];
    for opcode in 0..=255 {
        for key_len in lens16 {
            for (extras_len, body_len) in
                lens8.iter().flat_map(|e| lens32.iter().map(move |b| (*e, *b)))
            {
                let mut bytes = vec![MAGIC, opcode];
                bytes.extend(key_len.to_be_bytes());
                bytes.extend([extras_len, 0xff, 0xff, 0xff]);
                bytes.extend(body_len.to_be_bytes());
                bytes.extend([0xff; 12]);
                bytes.extend(body);
                let alone = read(&bytes[..HEADER_LEN]);
                let read = read(&bytes);
                assert_ne!(read, Packet::Partial);
                assert!(alone == Packet::Partial || alone == read);
                if let Packet::Whole { request: Request::Store(store), len, .. } = read {
                    assert_eq!(len + store.value_len, HEADER_LEN + body_len as usize);
                }
            }
        }
    }
}

#[test]
fn answers_section_8() {
    let hex = |text: &str| -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
        digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    };
    let check = |write: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut bytes = Vec::new();
        write(&mut bytes);
        assert_eq!(bytes, hex(expected), "{expected}");
    };
    let get = tag(0x00, Verb::Get, false);
    let head = response::Head { flags: 0xdead_beef, cas: 5, key: b"", value_len: 3 };
    check(
        &|into| response::head(into, get, &head, 3),
        "81000000 04000000 00000007 01020304 0000000000000005 deadbeef",
    );
    let getk = tag(0x0c, Verb::GetK, false);
    let head = response::Head { key: b"a", ..head };
    check(
        &|into| response::head(into, getk, &head, 0),
        "810c0001 04000000 00000008 01020304 0000000000000005 deadbeef 61",
    );
    check(
        &|into| response::missing(into, getk, b"nope"),
        "810c0004 00000001 00000004 01020304 0000000000000000 6e6f7065",
    );
    check(
        &|into| response::error(into, get, Status::NotFound),
        "81000000 00000001 00000009 01020304 0000000000000000 4e6f7420 666f756e64",
    );
    check(
        &|into| response::done(into, tag(0x01, Verb::Set, false), 0x0102),
        "81010000 00000000 00000000 01020304 0000000000000102",
    );
    check(
        &|into| response::number(into, tag(0x05, Verb::Increment, false), 10, 2),
        "81050000 00000000 00000008 01020304 0000000000000002 000000000000000a",
    );
    check(
        &|into| response::text(into, tag(0x0b, Verb::Version, false), "1.6.45"),
        "810b0000 00000000 00000006 01020304 0000000000000000 312e362e3435",
    );
    check(
        &|into| {
            let write = |value: &mut Vec<u8>| value.extend(b"17");
            response::stat(into, tag(0x10, Verb::Stat, false), "pid", write);
        },
        "81100003 00000000 00000005 01020304 0000000000000000 706964 3137",
    );
}

#[test]
fn statuses_section_2() {
    for (status, code, text_len) in [
        (Status::NotFound, 0x01, 9),
        (Status::Exists, 0x02, 20),
        (Status::TooLarge, 0x03, 10),
        (Status::Invalid, 0x04, 17),
        (Status::NotStored, 0x05, 11),
        (Status::NonNumeric, 0x06, 46),
        (Status::AuthFailure, 0x20, 13),
        (Status::UnknownCommand, 0x81, 15),
        (Status::NoMemory, 0x82, 13),
        (Status::NoMemoryStoring, 0x82, 29),
        (Status::NoMemoryReading, 0x82, 25),
        (Status::NoMemoryCreating, 0x82, 33),
        (Status::NoMemoryCounting, 0x82, 32),
    ] {
        assert_eq!((status.code(), status.text().len()), (code, text_len), "{status:?}");
    }
}
