//! A sequence of requests, kept in parts so that a failing one can be made smaller part by part.
//!
//! Uniques are numbers that only the servers know when a sequence is sent. A sequence names them by
//! how far they lie ahead of the last one taken before it, and becomes bytes when that is known.
#![forbid(unsafe_code)]

/// A number in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// This one.
    Exact(u64),
    /// The unique so far ahead of the last one that was taken before the sequence.
    Ahead(i64),
}

impl Number {
    /// The number, when `base` was the last unique.
    pub fn value(self, base: u64) -> u64 {
        match self {
            Number::Exact(value) => value,
            Number::Ahead(by) => base.wrapping_add_signed(by),
        }
    }
}

/// A word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A unique in decimal digits, behind a letter or nothing.
    Unique(&'static str, Number),
}

impl Word {
    /// A word of these bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Word {
        Word::Bytes(bytes.as_ref().to_vec())
    }

    fn render(&self, base: u64, out: &mut Vec<u8>) {
        match self {
            Word::Bytes(bytes) => out.extend(bytes),
            Word::Unique(letter, number) => {
                out.extend(format!("{letter}{}", number.value(base)).bytes());
            }
        }
    }
}

/// A line of the text protocols, and the data block that its client sends behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The words, the command first.
    pub words: Vec<Word>,
    /// Spaces before each word.
    pub gaps: Vec<u8>,
    /// Spaces behind the last word.
    pub trail: u8,
    /// What ends the line.
    pub end: Vec<u8>,
    /// What follows, with its own end.
    pub block: Option<Vec<u8>>,
}

impl Line {
    /// A well-formed line of these words.
    pub fn new(words: Vec<Word>) -> Line {
        let gaps = (0..words.len()).map(|index| u8::from(index > 0)).collect();
        Line { words, gaps, trail: 0, end: b"\r\n".to_vec(), block: None }
    }

    /// A well-formed line of words parted by spaces.
    pub fn of(text: &str) -> Line {
        Line::new(text.split(' ').map(Word::new).collect())
    }

    /// The same with a block behind it.
    pub fn with_block(mut self, data: impl AsRef<[u8]>) -> Line {
        self.block = Some([data.as_ref(), b"\r\n"].concat());
        self
    }

    /// The bytes of word `index`, where the sequence knows them.
    pub fn word(&self, index: usize) -> &[u8] {
        match self.words.get(index) {
            Some(Word::Bytes(bytes)) => bytes,
            _ => b"",
        }
    }

    /// The last word.
    pub fn last(&self) -> &[u8] {
        self.word(self.words.len().saturating_sub(1))
    }

    /// The command word.
    pub fn command(&self) -> &[u8] {
        self.word(0)
    }

    /// Length of the line without its block. A unique counts as long as one can be.
    pub fn len_max(&self) -> usize {
        let spaces: usize = self.gaps.iter().map(|gap| usize::from(*gap)).sum();
        let word = |word: &Word| match word {
            Word::Bytes(bytes) => bytes.len(),
            Word::Unique(..) => 21,
        };
        spaces
            + self.words.iter().map(word).sum::<usize>()
            + usize::from(self.trail)
            + self.end.len()
    }

    fn render(&self, base: u64, out: &mut Vec<u8>) {
        for (index, word) in self.words.iter().enumerate() {
            let gap = self.gaps.get(index).copied().unwrap_or(1);
            out.resize(out.len() + usize::from(gap), b' ');
            word.render(base, out);
        }
        out.resize(out.len() + usize::from(self.trail), b' ');
        out.extend(&self.end);
        out.extend(self.block.iter().flatten());
    }
}

/// A request of the binary protocol. Lengths are those of the parts, unless they are told to lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub magic: u8,
    pub opcode: u8,
    pub data_type: u8,
    pub vbucket: u16,
    pub opaque: u32,
    pub cas: Number,
    pub extras: Vec<u8>,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub extras_len: Option<u8>,
    pub key_len: Option<u16>,
    pub body_len: Option<u32>,
}

impl Packet {
    /// A request without a body.
    pub fn new(opcode: u8) -> Packet {
        Packet {
            magic: 0x80,
            opcode,
            data_type: 0,
            vbucket: 0,
            opaque: 0,
            cas: Number::Exact(0),
            extras: Vec::new(),
            key: Vec::new(),
            value: Vec::new(),
            extras_len: None,
            key_len: None,
            body_len: None,
        }
    }

    /// Extras and key as the header counts them.
    pub fn head_len(&self) -> usize {
        let extras = self.extras_len.map_or(self.extras.len(), usize::from);
        extras + self.key_len.map_or(self.key.len(), usize::from)
    }

    /// The body as the header counts it.
    pub fn body_len(&self) -> usize {
        let real = self.extras.len() + self.key.len() + self.value.len();
        self.body_len.map_or(real, |len| usize::try_from(len).expect("32 bits fit"))
    }

    fn render(&self, base: u64, out: &mut Vec<u8>) {
        let extras_len = u8::try_from(self.extras.len()).expect("few extras");
        let key_len = u16::try_from(self.key.len()).expect("a short key");
        out.extend([self.magic, self.opcode]);
        out.extend(self.key_len.unwrap_or(key_len).to_be_bytes());
        out.extend([self.extras_len.unwrap_or(extras_len), self.data_type]);
        out.extend(self.vbucket.to_be_bytes());
        out.extend(u32::try_from(self.body_len()).expect("a short body").to_be_bytes());
        out.extend(self.opaque.to_be_bytes());
        out.extend(self.cas.value(base).to_be_bytes());
        out.extend(self.extras.iter().chain(&self.key).chain(&self.value));
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Line(Line),
    Packet(Packet),
}

impl Request {
    /// The line, if it is one.
    pub fn line(&self) -> Option<&Line> {
        if let Request::Line(line) = self { Some(line) } else { None }
    }

    /// The packet, if it is one.
    pub fn packet(&self) -> Option<&Packet> {
        if let Request::Packet(packet) = self { Some(packet) } else { None }
    }

    fn render(&self, base: u64, out: &mut Vec<u8>) {
        match self {
            Request::Line(line) => line.render(base, out),
            Request::Packet(packet) => packet.render(base, out),
        }
    }
}

/// Where the bytes of a sequence are cut into sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cuts {
    /// Nowhere.
    Whole,
    /// At these bytes, counted round the end.
    At(Vec<usize>),
    /// Everywhere.
    Bytes,
}

/// What one connection sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    pub requests: Vec<Request>,
    pub cuts: Cuts,
}

impl Sequence {
    /// The bytes, when `base` was the last unique before them.
    pub fn render(&self, base: u64) -> Vec<u8> {
        let mut out = Vec::new();
        self.requests.iter().for_each(|request| request.render(base, &mut out));
        out
    }

    /// The bytes as they are sent.
    pub fn pieces(&self, base: u64) -> Vec<Vec<u8>> {
        let bytes = self.render(base);
        let mut cuts = match &self.cuts {
            Cuts::Whole => Vec::new(),
            Cuts::At(cuts) => cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect(),
            Cuts::Bytes => (0..bytes.len()).collect(),
        };
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for end in cuts.into_iter().chain([bytes.len()]).filter(|end| *end > 0) {
            if end > start {
                pieces.push(bytes[start..end].to_vec());
                start = end;
            }
        }
        pieces
    }

    /// Bytes from the begin of request `index` to the end of all. Uniques are counted as short ones.
    pub fn len_from(&self, index: usize) -> usize {
        let mut out = Vec::new();
        self.requests[index..].iter().for_each(|request| request.render(1, &mut out));
        out.len()
    }

    /// Whether the first byte makes it one of the binary protocol.
    pub fn is_binary(&self) -> bool {
        matches!(self.requests.first(), Some(Request::Packet(packet)) if packet.magic == 0x80)
    }
}

#[test]
fn pieces_are_the_bytes() {
    let mut set = Line::of("set a 0 0 2").with_block("xy");
    set.words.push(Word::Unique("C", Number::Ahead(2)));
    let requests = vec![Request::Line(set), Request::Packet(Packet::new(10))];
    for cuts in [Cuts::Whole, Cuts::Bytes, Cuts::At(vec![3, 3, 0, 1000, 20, 41])] {
        let sequence = Sequence { requests: requests.clone(), cuts };
        let bytes = sequence.render(7);
        assert!(bytes.starts_with(b"set a 0 0 2 C9\r\nxy\r\n\x80\x0a"));
        assert_eq!(bytes.len(), 44);
        assert_eq!(sequence.pieces(7).concat(), bytes);
        assert!(sequence.pieces(7).iter().all(|piece| !piece.is_empty()));
        assert_eq!(sequence.len_from(1), 24);
    }
}
