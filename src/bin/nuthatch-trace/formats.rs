//! The forms in which others publish traces.
#![forbid(unsafe_code)]

use std::io::{self, BufRead};

use crate::trace::{Op, Reader, field};

/// A form of trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// This tool's own two.
    Kv,
    /// Blocks of the ARC paper.
    Arc,
    /// A key a line.
    Lines,
    /// Time, key and size.
    Sized,
    /// Twitter's.
    Twitter,
    /// libCacheSim's.
    Oracle,
    /// Big-endian keys of 32 bits.
    Be32,
    /// Little-endian keys of 32 bits.
    Le32,
    /// Big-endian keys of 64 bits.
    Be64,
}

/// All forms, with their names and what they are.
pub const FORMATS: &[(Format, &str, &str)] = &[
    (Format::Kv, "kv", "this tool's own, either form: to cut, resize or rewrite a trace"),
    (Format::Arc, "arc", "text: first block, count, ignored, number (the ARC paper's)"),
    (Format::Lines, "lines", "text: a key a line, lines of '*' ignored (LIRS)"),
    (Format::Sized, "sized", "text: time, key, size, with blanks (AdaptSize, webcachesim)"),
    (
        Format::Twitter,
        "twitter",
        "CSV: time, key, key size, value size, client, op, TTL (Twitter's cache-trace)",
    ),
    (Format::Oracle, "oracle", "libCacheSim's oracleGeneral: u32 time, u64 key, u32 size, i64"),
    (Format::Be32, "be32", "big-endian keys of 32 bits (cache2k)"),
    (Format::Le32, "le32", "little-endian keys of 32 bits (CloudPhysics, as Caffeine has them)"),
    (Format::Be64, "be64", "big-endian keys of 64 bits (Scarab, Corda)"),
];

/// A request as it is in the input, with what that says of sizes and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// A key, or the hash of one.
    pub key: u64,
    /// Length of the value.
    pub size: Option<u32>,
    /// Length of the key.
    pub key_size: Option<u16>,
    /// When, from any start.
    pub time_ms: Option<u64>,
    /// Seconds to live, 0 for ever.
    pub ttl: u32,
    /// What is done.
    pub op: Op,
}

impl Found {
    /// A read of `key`, of which nothing else is known.
    pub fn key(key: u64) -> Found {
        Found { key, size: None, key_size: None, time_ms: None, ttl: 0, op: Op::Get }
    }
}

/// Takes requests and says whether it wants more.
pub type Sink<'a> = dyn FnMut(Found) -> io::Result<bool> + 'a;

/// Reads `input` to its end or until `sink` has enough.
///
/// # Errors
///
/// Those of input and sink. Lines of text that are no requests are passed over.
pub fn read(format: Format, mut input: Box<dyn BufRead>, sink: &mut Sink<'_>) -> io::Result<()> {
    match format {
        Format::Kv => own(input, sink),
        Format::Be32 => records(&mut input, sink, |b| Found::key(u32::from_be_bytes(b).into())),
        Format::Le32 => records(&mut input, sink, |b| Found::key(u32::from_le_bytes(b).into())),
        Format::Be64 => records(&mut input, sink, |b| Found::key(u64::from_be_bytes(b))),
        Format::Oracle => records(&mut input, sink, oracle),
        Format::Lines => lines(&mut input, sink, |line, sink| {
            (!line.is_empty() && line != "*").then(|| sink(Found::key(key_of(line))))
        }),
        Format::Arc => lines(&mut input, sink, arc),
        Format::Sized => lines(&mut input, sink, |line, sink| sized(line).map(sink)),
        Format::Twitter => lines(&mut input, sink, |line, sink| twitter(line).map(sink)),
    }
}

fn own(input: Box<dyn BufRead>, sink: &mut Sink<'_>) -> io::Result<()> {
    for request in Reader::new(input)? {
        let request = request?;
        let found = Found {
            key: request.key,
            size: Some(request.value_size),
            key_size: Some(request.key_size),
            time_ms: Some(request.time_ms.into()),
            ttl: request.ttl,
            op: request.op,
        };
        if !sink(found)? {
            break;
        }
    }
    Ok(())
}

/// Records of one length; the rest of one at the end is passed over.
fn records<const N: usize>(
    input: &mut dyn BufRead,
    sink: &mut Sink<'_>,
    found: impl Fn([u8; N]) -> Found,
) -> io::Result<()> {
    let mut record = [0; N];
    loop {
        match input.read_exact(&mut record) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        if !sink(found(record))? {
            return Ok(());
        }
    }
}

fn lines(
    input: &mut dyn BufRead,
    sink: &mut Sink<'_>,
    mut found: impl FnMut(&str, &mut Sink<'_>) -> Option<io::Result<bool>>,
) -> io::Result<()> {
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        if let Some(more) = found(line.trim(), sink)
            && !more?
        {
            break;
        }
        line.clear();
    }
    Ok(())
}

fn oracle(record: [u8; 24]) -> Found {
    Found {
        size: Some(u32::from_le_bytes(field(&record, 12))),
        time_ms: Some(u64::from(u32::from_le_bytes(field(&record, 0))) * 1000),
        ..Found::key(u64::from_le_bytes(field(&record, 4)))
    }
}

/// A line of the ARC paper's: as many requests as blocks.
fn arc(line: &str, sink: &mut Sink<'_>) -> Option<io::Result<bool>> {
    let mut fields = line.split_whitespace();
    let first: u64 = fields.next()?.parse().ok()?;
    let count: u64 = fields.next()?.parse().ok()?;
    for key in first..first.checked_add(count)? {
        match sink(Found::key(key)) {
            Ok(true) => {}
            end => return Some(end),
        }
    }
    Some(Ok(true))
}

fn sized(line: &str) -> Option<Found> {
    let mut fields = line.split_whitespace();
    let time: f64 = fields.next()?.parse().ok()?;
    let key = key_of(fields.next()?);
    let size = fields.next()?.parse().ok()?;
    Some(Found { size: Some(size), time_ms: Some((time * 1000.0) as u64), ..Found::key(key) })
}

fn twitter(line: &str) -> Option<Found> {
    // A key may hold commas: the fields behind it are split off from the right.
    let fields: Vec<&str> = line.rsplitn(6, ',').collect();
    let [ttl, op, _client, value_size, key_size, rest] = fields.try_into().ok()?;
    let (time, key) = rest.split_once(',')?;
    let time: u64 = time.parse().ok()?;
    Some(Found {
        key: key_of(key),
        size: Some(value_size.parse().ok()?),
        key_size: Some(key_size.parse().ok()?),
        time_ms: Some(time.checked_mul(1000)?),
        ttl: ttl.parse().ok()?,
        op: match op {
            "get" | "gets" => Op::Get,
            "delete" => Op::Delete,
            _ => Op::Set,
        },
    })
}

/// A number as it is, any other text by its hash (FNV-1a).
fn key_of(text: &str) -> u64 {
    let byte = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.parse().unwrap_or_else(|_| text.bytes().fold(0xcbf2_9ce4_8422_2325, byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn found(format: Format, content: &[u8]) -> Vec<(u64, Option<u32>)> {
        let mut all = Vec::new();
        let input = Box::new(Cursor::new(content.to_vec()));
        let mut sink = |found: Found| {
            all.push((found.key, found.size));
            Ok(true)
        };
        read(format, input, &mut sink).unwrap();
        all
    }

    #[test]
    fn each_public_form() {
        let blocks = found(Format::Arc, b"5 3 0 1\n# no\n9 1 0 2\n");
        assert_eq!(blocks, [(5, None), (6, None), (7, None), (9, None)]);
        assert_eq!(found(Format::Lines, b"7\n*\n8\n"), [(7, None), (8, None)]);
        let sizes = found(Format::Sized, b"1 4 100\n2 5 9\n");
        assert_eq!(sizes, [(4, Some(100)), (5, Some(9))]);
        assert_eq!(found(Format::Be32, &[0, 0, 1, 0, 0, 0, 0, 2, 9]), [(256, None), (2, None)]);
        assert_eq!(found(Format::Le32, &[0, 1, 0, 0]), [(256, None)]);
        assert_eq!(found(Format::Be64, &[0, 0, 0, 0, 0, 0, 0, 2]), [(2, None)]);
        let mut record = [0; 24];
        (record[4], record[12]) = (3, 100);
        assert_eq!(found(Format::Oracle, &record), [(3, Some(100))]);
        assert_eq!(found(Format::Kv, b"1,2,3,4,0,set\n"), [(2, Some(4))]);
    }

    #[test]
    fn twitters_keys_may_hold_commas() {
        let line = twitter("7,a,b,3,44,1,gets,60").unwrap();
        assert_eq!((line.size, line.key_size, line.ttl), (Some(44), Some(3), 60));
        assert_eq!((line.time_ms, line.op, line.key), (Some(7000), Op::Get, key_of("a,b")));
        assert_eq!(twitter("7,a,3,44,1,add,0").map(|line| line.op), Some(Op::Set));
        assert_eq!(twitter("time,key"), None);
    }

    #[test]
    fn a_sink_that_has_enough_ends_the_reading() {
        let mut left = 2;
        let mut sink = |_| {
            left -= 1;
            Ok(left > 0)
        };
        read(Format::Arc, Box::new(Cursor::new(b"1 50 0 0\n".to_vec())), &mut sink).unwrap();
        assert_eq!(left, 0);
    }
}
