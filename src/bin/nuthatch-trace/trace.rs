//! The trace format.
//!
//! A file is the 8 bytes `KVTRACE1`, then a record of 24 bytes a request, little-endian:
//!
//! ```text
//! 0        4             12        14  15  16          20     24
//! | time   | key         | key     |op | 0 | value     | TTL  |
//! | ms u32 | id u64      | len u16 |u8 |   | len u32   | s u32|
//! ```
//!
//! or text: CSV with the columns `time_ms,key,key_size,value_size,ttl,op`. A TTL of 0 is none.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A read; what is missed is then set.
    Get,
    /// A write, whatever is there.
    Set,
    /// A deletion.
    Delete,
}

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Since the trace began.
    pub time_ms: u32,
    /// Which key; [`key_text`] makes its text.
    pub key: u64,
    /// Length of the key's text in bytes.
    pub key_size: u16,
    /// What is done.
    pub op: Op,
    /// Length of the value in bytes.
    pub value_size: u32,
    /// Seconds that the value lives, 0 for ever.
    pub ttl: u32,
}

impl Request {
    fn encode(&self) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        record[0..4].copy_from_slice(&self.time_ms.to_le_bytes());
        record[4..12].copy_from_slice(&self.key.to_le_bytes());
        record[12..14].copy_from_slice(&self.key_size.to_le_bytes());
        record[14] = self.op as u8;
        record[16..20].copy_from_slice(&self.value_size.to_le_bytes());
        record[20..24].copy_from_slice(&self.ttl.to_le_bytes());
        record
    }

    fn decode(record: &[u8; RECORD]) -> io::Result<Request> {
        let op = match record[14] {
            0 => Op::Get,
            1 => Op::Set,
            2 => Op::Delete,
            other => return Err(bad(&format!("unknown operation {other}"))),
        };
        Ok(Request {
            time_ms: u32::from_le_bytes(field(record, 0)),
            key: u64::from_le_bytes(field(record, 4)),
            key_size: u16::from_le_bytes(field(record, 12)),
            op,
            value_size: u32::from_le_bytes(field(record, 16)),
            ttl: u32::from_le_bytes(field(record, 20)),
        })
    }

    fn from_csv(line: &str) -> Option<Request> {
        let mut fields = line.trim().split(',');
        Some(Request {
            time_ms: fields.next()?.parse().ok()?,
            key: fields.next()?.parse().ok()?,
            key_size: fields.next()?.parse().ok()?,
            value_size: fields.next()?.parse().ok()?,
            ttl: fields.next()?.parse().ok()?,
            op: match fields.next()? {
                "get" => Op::Get,
                "set" => Op::Set,
                "delete" => Op::Delete,
                _ => return None,
            },
        })
    }

    fn to_csv(self) -> String {
        let op = match self.op {
            Op::Get => "get",
            Op::Set => "set",
            Op::Delete => "delete",
        };
        let Request { time_ms, key, key_size, value_size, ttl, .. } = self;
        format!("{time_ms},{key},{key_size},{value_size},{ttl},{op}")
    }
}

/// The `N` bytes at `at`.
///
/// # Panics
///
/// `bytes` ends before them.
pub fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the record is longer")
}

fn bad(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Opens a file for reading; `-` is standard input.
///
/// # Errors
///
/// It cannot be opened.
pub fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    Ok(if path == Path::new("-") {
        Box::new(BufReader::with_capacity(BUFFER, io::stdin()))
    } else {
        Box::new(BufReader::with_capacity(BUFFER, File::open(path)?))
    })
}

/// Reads requests of either form, told apart by the first bytes.
pub enum Reader {
    /// Records.
    Binary(Box<dyn BufRead>),
    /// Lines.
    Csv(Box<dyn BufRead>),
}

impl Reader {
    /// Reads the requests in `input`.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn new(mut input: Box<dyn BufRead>) -> io::Result<Reader> {
        if input.fill_buf()?.starts_with(MAGIC) {
            input.consume(MAGIC.len());
            return Ok(Reader::Binary(input));
        }
        Ok(Reader::Csv(input))
    }

    fn read(&mut self) -> io::Result<Option<Request>> {
        match self {
            Reader::Binary(input) => {
                if input.fill_buf()?.is_empty() {
                    return Ok(None);
                }
                let mut record = [0; RECORD];
                input.read_exact(&mut record)?;
                Request::decode(&record).map(Some)
            }
            Reader::Csv(input) => loop {
                let mut line = String::new();
                if input.read_line(&mut line)? == 0 {
                    return Ok(None);
                }
                if line.trim().is_empty() || line.starts_with("time_ms") {
                    continue;
                }
                let request = Request::from_csv(&line);
                let wrong = || bad(&format!("not a line of a trace: {}", line.trim()));
                return request.map(Some).ok_or_else(wrong);
            },
        }
    }
}

impl Iterator for Reader {
    type Item = io::Result<Request>;

    fn next(&mut self) -> Option<io::Result<Request>> {
        self.read().transpose()
    }
}

/// Which form a trace is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Records.
    Binary,
    /// Lines.
    Csv,
}

/// Writes requests.
pub struct Writer {
    out: Box<dyn Write>,
    form: Form,
    written: u64,
}

impl Writer {
    /// Writes to a file; `-` is standard output.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn create(path: &Path, form: Form) -> io::Result<Writer> {
        let mut out: Box<dyn Write> = if path == Path::new("-") {
            Box::new(BufWriter::with_capacity(BUFFER, io::stdout()))
        } else {
            Box::new(BufWriter::with_capacity(BUFFER, File::create(path)?))
        };
        match form {
            Form::Binary => out.write_all(MAGIC)?,
            Form::Csv => writeln!(out, "{COLUMNS}")?,
        }
        Ok(Writer { out, form, written: 0 })
    }

    /// Writes one request.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&mut self, request: &Request) -> io::Result<()> {
        self.written += 1;
        match self.form {
            Form::Binary => self.out.write_all(&request.encode()),
            Form::Csv => writeln!(self.out, "{}", request.to_csv()),
        }
    }

    /// Requests written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes what is still buffered, and says how many requests there are.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<u64> {
        self.out.flush()?;
        Ok(self.written)
    }
}

/// Appends the text of a key: its number in base 36, padded with zeros on the left to `size` bytes.
/// A size that is too small for the number is exceeded, so that no two keys are the same.
pub fn key_text(key: u64, size: u16, out: &mut Vec<u8>) {
    let mut digits = [0; 13];
    let mut start = digits.len();
    let mut rest = key;
    loop {
        start -= 1;
        digits[start] = DIGITS[(rest % 36) as usize];
        rest /= 36;
        if rest == 0 {
            break;
        }
    }
    let text = &digits[start..];
    let size = usize::from(size).min(KEY_MAX_BYTES);
    out.resize(out.len() + size.saturating_sub(text.len()), b'0');
    out.extend_from_slice(text);
}

const MAGIC: &[u8; 8] = b"KVTRACE1";

const COLUMNS: &str = "time_ms,key,key_size,value_size,ttl,op";

const RECORD: usize = 24;

const BUFFER: usize = 1 << 20;

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// The protocol's longest key.
const KEY_MAX_BYTES: usize = 250;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn sample() -> Vec<Request> {
        let get = Request {
            time_ms: 7,
            key: 1 << 40,
            key_size: 38,
            op: Op::Get,
            value_size: 230,
            ttl: 60,
        };
        vec![get, Request { key: 3, op: Op::Set, ..get }, Request { op: Op::Delete, ttl: 0, ..get }]
    }

    #[test]
    fn both_forms_read_back() {
        for form in [Form::Binary, Form::Csv] {
            let name = format!("nuthatch-trace-{}-{form:?}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let mut writer = Writer::create(&path, form).unwrap();
            for request in sample() {
                writer.write(&request).unwrap();
            }
            assert_eq!(writer.finish().unwrap(), 3);
            let reader = Reader::new(open(&path).unwrap()).unwrap();
            let back: Vec<Request> = reader.map(Result::unwrap).collect();
            std::fs::remove_file(path).unwrap();
            assert_eq!(back, sample());
        }
    }

    #[test]
    fn damaged_input_is_an_error() {
        let first = |bytes: Vec<u8>| Reader::new(Box::new(Cursor::new(bytes))).unwrap().next();
        assert!(first([&MAGIC[..], &[0; 10]].concat()).unwrap().is_err());
        assert!(first([&MAGIC[..], &[9; 24]].concat()).unwrap().is_err());
        assert!(first(b"1,2,x\n".to_vec()).unwrap().is_err());
        assert!(first(MAGIC.to_vec()).is_none());
    }

    #[test]
    fn key_texts_have_their_size_and_differ() {
        let text = |key, size| {
            let mut out = Vec::new();
            key_text(key, size, &mut out);
            out
        };
        assert_eq!(text(35, 4), b"000z");
        assert_eq!(text(36, 1), b"10");
        assert_eq!(text(u64::MAX, 16).len(), 16);
        assert_eq!(text(1, 300).len(), 250);
        assert_ne!(text(1, 16), text(2, 16));
    }
}
