//! Which answer a request gets, and the answers, made once and each many times in a row.
#![forbid(unsafe_code)]

/// Which answer a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// So many values, in text.
    Values(usize),
    /// STORED.
    Stored,
    /// The value of a counter.
    Number,
    /// A value, as `mg` answers.
    MetaValue,
    /// HD.
    MetaStored,
    /// A value, in a packet.
    BinaryValue,
    /// An empty packet.
    BinaryStored,
}

impl Kind {
    /// The first byte of a packet.
    pub const BINARY: u8 = 0x80;

    /// Length of a packet's header.
    pub const HEADER_BYTES: usize = 24;

    /// Of a whole line or header: its answer, and how many bytes of the request follow.
    pub fn of_head(head: &[u8]) -> (Kind, usize) {
        match head {
            [Kind::BINARY, opcode, ..] => {
                let kind = if *opcode == 0 { Kind::BinaryValue } else { Kind::BinaryStored };
                let len = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
                (kind, len as usize)
            }
            [b's', ..] => (Kind::Stored, block_len_bytes(head, 4)),
            [b'm', b's', ..] => (Kind::MetaStored, block_len_bytes(head, 2)),
            [b'm', ..] => (Kind::MetaValue, 0),
            [b'i', ..] => (Kind::Number, 0),
            _ => (Kind::Values(memchr::memchr_iter(b' ', head).count()), 0),
        }
    }
}

/// The number in this place of the line, and CR LF.
fn block_len_bytes(line: &[u8], place: usize) -> usize {
    let word = line.split(|byte| *byte == b' ').nth(place).unwrap_or_default();
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum: usize, digit| sum * 10 + usize::from(digit - b'0')) + 2
}

/// Answers of all kinds that have been asked for.
#[derive(Debug)]
pub struct Answers {
    key: String,
    value: Vec<u8>,
    /// A run of a load has one kind or two: there is nothing to look up faster than this.
    rows: Vec<Row>,
}

/// Answers of one kind.
#[derive(Debug)]
struct Row {
    kind: Kind,
    len_bytes: usize,
    /// The answer, as often as makes up [`ROW_BYTES`].
    bytes: Vec<u8>,
}

impl Answers {
    /// All values are of `key` and of one length.
    pub fn new(key: &str, value_len_bytes: usize) -> Answers {
        Answers { key: key.to_owned(), value: vec![b'v'; value_len_bytes], rows: Vec::new() }
    }

    /// Length of one answer, which is made now if it is the first of its kind.
    pub fn len_bytes(&mut self, kind: Kind) -> usize {
        if let Some(row) = self.row(kind) {
            return row.len_bytes;
        }
        let answer = self.make(kind);
        let len_bytes = answer.len();
        let bytes = answer.repeat((ROW_BYTES / len_bytes).max(1));
        self.rows.push(Row { kind, len_bytes, bytes });
        len_bytes
    }

    /// Of answers of this kind of which `left` bytes are owed, what can be sent in one piece.
    pub fn last_bytes(&self, kind: Kind, left: usize) -> &[u8] {
        let Some(row) = self.row(kind) else { return &[] };
        let begun = (row.len_bytes - left % row.len_bytes) % row.len_bytes;
        &row.bytes[begun..row.bytes.len().min(begun + left)]
    }

    fn row(&self, kind: Kind) -> Option<&Row> {
        self.rows.iter().find(|row| row.kind == kind)
    }

    fn make(&self, kind: Kind) -> Vec<u8> {
        let (value, len) = (self.value.as_slice(), self.value.len());
        match kind {
            Kind::Values(count) => {
                let head = format!("VALUE {} 0 {len}\r\n", self.key);
                let one = [head.as_bytes(), value, b"\r\n"].concat();
                [one.repeat(count), b"END\r\n".to_vec()].concat()
            }
            Kind::Stored => b"STORED\r\n".to_vec(),
            Kind::Number => b"5000000001\r\n".to_vec(),
            Kind::MetaValue => [format!("VA {len}\r\n").as_bytes(), value, b"\r\n"].concat(),
            Kind::MetaStored => b"HD\r\n".to_vec(),
            Kind::BinaryValue => packet(0, &[0; 4], value),
            Kind::BinaryStored => packet(1, b"", b""),
        }
    }
}

/// A packet that says that all is well.
fn packet(opcode: u8, extras: &[u8], value: &[u8]) -> Vec<u8> {
    let mut header = [0; Kind::HEADER_BYTES];
    (header[0], header[1], header[4]) = (0x81, opcode, extras.len() as u8);
    header[8..12].copy_from_slice(&((extras.len() + value.len()) as u32).to_be_bytes());
    [&header, extras, value].concat()
}

/// A batch of small answers is within one piece.
const ROW_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes of `count` answers, taken `step` at a time.
    fn sent(answers: &mut Answers, kind: Kind, count: usize, step: usize) -> Vec<u8> {
        let mut left = count * answers.len_bytes(kind);
        let mut out = Vec::new();
        while left > 0 {
            let piece = answers.last_bytes(kind, left);
            let part = piece.len().min(step);
            out.extend_from_slice(&piece[..part]);
            left -= part;
        }
        out
    }

    #[test]
    fn answers_follow_each_other_whatever_is_sent_at_once() {
        let mut answers = Answers::new("k", 3);
        let two = b"VALUE k 0 3\r\nvvv\r\nVALUE k 0 3\r\nvvv\r\nEND\r\n".as_slice();
        for (kind, wanted) in [
            (Kind::Values(2), two),
            (Kind::Stored, b"STORED\r\n"),
            (Kind::MetaValue, b"VA 3\r\nvvv\r\n"),
        ] {
            for step in [1, 7, 1000, usize::MAX] {
                assert_eq!(sent(&mut answers, kind, 50, step), wanted.repeat(50));
            }
        }
        assert_eq!(answers.last_bytes(Kind::Stored, 8 * 50).len(), 8 * 50, "one write");
    }

    #[test]
    fn an_answer_longer_than_a_row() {
        let mut answers = Answers::new("k", 3 * ROW_BYTES);
        let len = answers.len_bytes(Kind::BinaryValue);
        assert_eq!(len, Kind::HEADER_BYTES + 4 + 3 * ROW_BYTES);
        let two = sent(&mut answers, Kind::BinaryValue, 2, 10_000);
        assert_eq!((&two[..len], &two[len..]), (&two[len..], &two[..len]));
        assert_eq!(two[8..12], ((len - Kind::HEADER_BYTES) as u32).to_be_bytes());
    }
}
