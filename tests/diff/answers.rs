//! Answers taken apart, so that exactly one token of them can be compared by a rule of its own.
//!
//! Bytes that are no answer of any protocol are plain; equal answers come apart equally.
#![forbid(unsafe_code)]

/// What a piece of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Anything that has no other kind.
    Plain,
    /// The text of `version`, or its length in a binary header.
    Version,
    /// A unique.
    Unique,
    /// Seconds that an item has left.
    Ttl,
    /// Seconds since an item was used.
    Idle,
    /// Bytes of memory that an item takes, in `me`.
    Size,
    /// Slab class of an item, in `me`.
    Class,
}

/// A piece of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    pub kind: Kind,
    pub bytes: &'a [u8],
}

impl Piece<'_> {
    /// The number that it is, of either protocol.
    pub fn number(&self) -> Option<i128> {
        if self.kind == Kind::Unique
            && let Ok(bytes) = <[u8; 8]>::try_from(self.bytes)
            && !self.bytes.iter().all(u8::is_ascii_digit)
        {
            return Some(i128::from(u64::from_be_bytes(bytes)));
        }
        std::str::from_utf8(self.bytes).ok()?.parse().ok()
    }
}

/// The pieces of all that a connection heard.
pub fn pieces(answers: &[u8], is_binary: bool) -> Vec<Piece<'_>> {
    let mut cutter = Cutter { pieces: Vec::new() };
    let mut rest = answers;
    while !rest.is_empty() {
        let used = if is_binary { cutter.packet(rest) } else { cutter.line(rest) };
        rest = &rest[used..];
    }
    cutter.pieces
}

struct Cutter<'a> {
    pieces: Vec<Piece<'a>>,
}

impl<'a> Cutter<'a> {
    fn push(&mut self, kind: Kind, bytes: &'a [u8]) {
        if !bytes.is_empty() {
            self.pieces.push(Piece { kind, bytes });
        }
    }

    /// Takes a packet from the begin of `rest`; how many bytes that were.
    fn packet(&mut self, rest: &'a [u8]) -> usize {
        let body_len = |rest: &[u8]| {
            let len = u32::from_be_bytes(rest.get(8..12)?.try_into().ok()?);
            usize::try_from(len).ok()
        };
        let len = body_len(rest).map(|len| len.saturating_add(24));
        let Some(len) = len.filter(|len| *len <= rest.len() && rest[0] == 0x81) else {
            self.push(Kind::Plain, rest);
            return rest.len();
        };
        let is_version = rest[1] == 0x0b && rest[6..8] == [0, 0];
        let text = if is_version { Kind::Version } else { Kind::Plain };
        self.push(Kind::Plain, &rest[..8]);
        self.push(text, &rest[8..12]);
        self.push(Kind::Plain, &rest[12..16]);
        self.push(Kind::Unique, &rest[16..24]);
        self.push(text, &rest[24..len]);
        len
    }

    /// Takes a line from the begin of `rest`, with the value behind it if it announces one.
    fn line(&mut self, rest: &'a [u8]) -> usize {
        let len = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let line = &rest[..len];
        let end = line.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |at| at + 1);
        let words: Vec<&[u8]> = line[..end].split(|byte| *byte == b' ').collect();
        let value_len = match words[0] {
            b"VERSION" if words.len() > 1 => {
                self.push(Kind::Plain, &line[..8]);
                self.push(Kind::Version, &line[8..end]);
                self.push(Kind::Plain, &line[end..]);
                return len;
            }
            b"VALUE" => words.get(3),
            b"VA" => words.get(1),
            _ => None,
        };
        let mut start = 0;
        for (index, word) in words.iter().enumerate() {
            let (kind, skip) = token(words[0], index, word);
            self.push(Kind::Plain, &line[start..start + skip]);
            self.push(kind, &line[start + skip..start + word.len()]);
            start += word.len();
            let gap = usize::from(index + 1 < words.len());
            self.push(Kind::Plain, &line[start..start + gap]);
            start += gap;
        }
        self.push(Kind::Plain, &line[end..]);
        let value_len = value_len.and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
        let value_len = value_len.map_or(0, |len: usize| len.saturating_add(2));
        let value_len = value_len.min(rest.len() - len);
        self.push(Kind::Plain, &rest[len..len + value_len]);
        len + value_len
    }
}

/// What word `index` of a line that begins with `command` is, and where in the word that begins.
fn token(command: &[u8], index: usize, word: &[u8]) -> (Kind, usize) {
    let is_number = |from: usize| {
        let digits = word[from..].strip_prefix(b"-").unwrap_or(&word[from..]);
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    };
    let named = |names: &[(&str, Kind)]| {
        let found = names.iter().find(|(name, _)| word.starts_with(name.as_bytes()));
        found.filter(|(name, _)| is_number(name.len())).map(|(name, kind)| (*kind, name.len()))
    };
    let found = match command {
        b"VALUE" if index == 4 && is_number(0) => Some((Kind::Unique, 0)),
        b"HD" | b"EN" | b"NS" | b"EX" | b"NF" if index > 0 => named(FLAGS),
        b"VA" if index > 1 => named(FLAGS),
        b"ME" if index > 1 => named(FIELDS),
        _ => None,
    };
    found.unwrap_or((Kind::Plain, 0))
}

const FLAGS: &[(&str, Kind)] = &[("t", Kind::Ttl), ("l", Kind::Idle), ("c", Kind::Unique)];

const FIELDS: &[(&str, Kind)] = &[
    ("exp=", Kind::Ttl),
    ("la=", Kind::Idle),
    ("cas=", Kind::Unique),
    ("cls=", Kind::Class),
    ("size=", Kind::Size),
];

#[test]
fn text_comes_apart() {
    let text =
        b"VALUE c1 0 8 77\r\nHD t1\r\nx\r\nHD c5 t-1 Oc6 kt7 h1 l2 cx W\r\nVA 5 c9\r\nHD t\n\r\n\
        ME c5 exp=-1 la=0 cas=9 fetch=no cls=1 size=64\r\nVERSION 1.6.18 x\r\nt5 \nEN";
    let all = pieces(text, false);
    let joined: Vec<u8> = all.iter().flat_map(|piece| piece.bytes).copied().collect();
    assert_eq!(joined, text);
    let of = |kind| -> Vec<&[u8]> {
        all.iter().filter(|piece| piece.kind == kind).map(|piece| piece.bytes).collect()
    };
    assert_eq!(of(Kind::Unique), [&b"77"[..], b"5", b"9", b"9"]);
    assert_eq!(of(Kind::Ttl), [&b"-1"[..], b"-1"]);
    assert_eq!(of(Kind::Idle), [&b"2"[..], b"0"]);
    assert_eq!(of(Kind::Size), [b"64"]);
    assert_eq!(of(Kind::Class), [b"1"]);
    assert_eq!(of(Kind::Version), [b"1.6.18 x"]);
}

#[test]
fn packets_come_apart() {
    let mut version = vec![0x81, 0x0b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
    version.extend([0; 12]);
    version.extend(b"v1");
    let mut get = vec![0x81, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 5, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 1, 0];
    get.extend([0, 0, 0, 0, 1]);
    let bytes = [&version[..], &get, b"\x81\0"].concat();
    let all = pieces(&bytes, true);
    assert_eq!(all.iter().flat_map(|piece| piece.bytes).copied().collect::<Vec<u8>>(), bytes);
    let uniques = all.iter().filter(|piece| piece.kind == Kind::Unique);
    assert_eq!(uniques.map(Piece::number).collect::<Vec<_>>(), [Some(0), Some(256)]);
    let versions = all.iter().filter(|piece| piece.kind == Kind::Version);
    assert_eq!(versions.map(|piece| piece.bytes).collect::<Vec<_>>(), [&[0, 0, 0, 2][..], b"v1"]);
}
