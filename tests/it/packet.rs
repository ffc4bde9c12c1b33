//! Packets of the binary protocol, as a line of a conversation file says them.
//!
//! ```text
//! >> OPCODE FIELD...            OPCODE: a name (`get`, `setq`) or two hex digits
//! << OPCODE STATUS FIELD...     STATUS: two or four hex digits
//!
//! key=TEXT value=TEXT           as in a line of text, without CR LF; a space is \x20
//! extras=HEX                    what stands between the header and the key
//! opaque=HEX                    01020304 where nothing is said, as in an answer
//! cas=0 | cas={name} | ...      a number, 0 where nothing is said; {name} and {name>other} as in text
//! magic=HEX keylen=N extralen=N bodylen=N type=HEX vbucket=HEX    fields that are not what they should be
//! ```
#![forbid(unsafe_code)]

use crate::pattern::{Fit, Names, Pattern, Unique, literal, unique};

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From a client.
    Request,
    /// To a client.
    Answer,
}

/// One packet, parsed.
#[derive(Clone, Debug)]
pub struct Packet {
    magic: u8,
    opcode: u8,
    /// Data type, and status or vbucket.
    kind: [u8; 3],
    opaque: Vec<u8>,
    cas: Unique,
    extras: Vec<u8>,
    key: Pattern,
    value: Pattern,
    /// Lengths of key, extras and body that are told in place of the true ones.
    key_len: Option<u16>,
    extras_len: Option<u8>,
    body_len: Option<u32>,
}

const OPCODES: &[(&str, u8)] = &[
    ("get", 0x00),
    ("set", 0x01),
    ("add", 0x02),
    ("replace", 0x03),
    ("delete", 0x04),
    ("incr", 0x05),
    ("decr", 0x06),
    ("quit", 0x07),
    ("flush", 0x08),
    ("getq", 0x09),
    ("noop", 0x0a),
    ("version", 0x0b),
    ("getk", 0x0c),
    ("getkq", 0x0d),
    ("append", 0x0e),
    ("prepend", 0x0f),
    ("stat", 0x10),
    ("setq", 0x11),
    ("addq", 0x12),
    ("replaceq", 0x13),
    ("deleteq", 0x14),
    ("incrq", 0x15),
    ("decrq", 0x16),
    ("quitq", 0x17),
    ("flushq", 0x18),
    ("appendq", 0x19),
    ("prependq", 0x1a),
    ("touch", 0x1c),
    ("gat", 0x1d),
    ("gatq", 0x1e),
    ("gatk", 0x23),
    ("gatkq", 0x24),
];

impl Packet {
    /// Reads what stands behind `>> ` or `<< `; an error is for the person who wrote it.
    pub fn parse(line: &str, way: Way) -> Result<Packet, String> {
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let opcode = words.next().ok_or("a packet has an opcode")?;
        let named = OPCODES.iter().find(|(name, _)| *name == opcode);
        let opcode = match named {
            Some((_, opcode)) => *opcode,
            None => number(opcode, 16)? as u8,
        };
        let mut packet = Packet {
            magic: if way == Way::Request { 0x80 } else { 0x81 },
            opcode,
            kind: [0; 3],
            opaque: vec![1, 2, 3, 4],
            cas: Unique::Exactly(0),
            extras: Vec::new(),
            key: Pattern::default(),
            value: Pattern::default(),
            key_len: None,
            extras_len: None,
            body_len: None,
        };
        if way == Way::Answer {
            let status = words.next().ok_or("an answer has a status")?;
            packet.kind[1..].copy_from_slice(&(number(status, 16)? as u16).to_be_bytes());
        }
        words.try_for_each(|word| packet.set(word))?;
        Ok(packet)
    }

    fn set(&mut self, word: &str) -> Result<(), String> {
        let (name, text) = word.split_once('=').ok_or(format!("no field: {word}"))?;
        match name {
            "key" => self.key.push_line(&format!("{text}\\"))?,
            "value" => self.value.push_line(&format!("{text}\\"))?,
            "extras" => self.extras = bytes(text)?,
            "opaque" => self.opaque = bytes(text)?,
            "cas" => self.cas = Unique::parse(text)?,
            "magic" => self.magic = number(text, 16)? as u8,
            "keylen" => self.key_len = Some(number(text, 10)? as u16),
            "extralen" => self.extras_len = Some(number(text, 10)? as u8),
            "bodylen" => self.body_len = Some(number(text, 10)? as u32),
            "type" => self.kind[0] = number(text, 16)? as u8,
            "vbucket" => {
                self.kind[1..].copy_from_slice(&(number(text, 16)? as u16).to_be_bytes());
            }
            _ => return Err(format!("no field: {word}")),
        }
        Ok(())
    }

    /// The bytes before the unique, and those behind it.
    fn around(&self, names: &Names) -> Result<(Vec<u8>, Vec<u8>), String> {
        let (key, value) = (self.key.render(names)?, self.value.render(names)?);
        let body = [&self.extras[..], &key, &value].concat();
        let extras_len = self.extras_len.unwrap_or(self.extras.len() as u8);
        let mut head = vec![self.magic, self.opcode];
        head.extend(self.key_len.unwrap_or(key.len() as u16).to_be_bytes());
        head.push(extras_len);
        head.extend(self.kind);
        head.extend(self.body_len.unwrap_or(body.len() as u32).to_be_bytes());
        head.extend(&self.opaque);
        Ok((head, body))
    }

    /// The whole packet, with the names put in.
    pub fn render(&self, names: &Names) -> Result<Vec<u8>, String> {
        let (head, body) = self.around(names)?;
        let cas = self.cas.render(names)?;
        Ok([&head[..], &cas.to_be_bytes(), &body].concat())
    }

    /// Whether it has names that it would have to be given.
    pub fn needs(&self, names: &Names) -> bool {
        self.cas.needs(names) || self.key.needs(names) || self.value.needs(names)
    }

    /// Holds it against the beginning of `input`; captures the unique.
    pub fn fit(&self, input: &[u8], names: &mut Names) -> Fit {
        let Ok((head, body)) = self.around(names) else { return Fit::No };
        let mut at = 0;
        for step in 0..3 {
            let rest = &input[at..];
            let fit = match step {
                0 => literal(&head, rest),
                1 => unique(&self.cas, rest, names),
                _ => literal(&body, rest),
            };
            match fit {
                Fit::Whole(count) => at += count,
                other => return other,
            }
        }
        Fit::Whole(at)
    }
}

fn number(text: &str, radix: u32) -> Result<u64, String> {
    u64::from_str_radix(text, radix).map_err(|_| format!("bad number {text}"))
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return Err(format!("bad bytes {text}"));
    }
    (0..text.len()).step_by(2).map(|at| Ok(number(&text[at..at + 2], 16)? as u8)).collect()
}

#[test]
fn a_line_becomes_a_packet() {
    let mut names = Names::new();
    let render = |line: &str, names: &Names| {
        Packet::parse(line, Way::Request).and_then(|packet| packet.render(names))
    };
    let plain = render("30 key=a\\x20 extras=0aff value={3*x} cas=5", &names).expect("renders");
    assert_eq!(
        plain,
        b"\x80\x30\0\x02\x02\0\0\0\0\0\0\x07\x01\x02\x03\x04\0\0\0\0\0\0\0\x05\x0a\xffa xxx"
    );
    let odd = "get magic=81 keylen=3 extralen=2 bodylen=1 type=7 vbucket=0102 opaque=00000000";
    let odd = render(odd, &names).expect("renders");
    assert_eq!(&odd[..16], b"\x81\0\0\x03\x02\x07\x01\x02\0\0\0\x01\0\0\0\0");
    for bad in ["", "nope", "get key", "get extras=1", "get cas=x", "get colour=red"] {
        assert!(render(bad, &names).is_err(), "{bad}");
    }

    let stored = Packet::parse("set 00 cas={c}", Way::Answer).expect("parses");
    let mut answer = [0; 24];
    answer[..2].copy_from_slice(&[0x81, 1]);
    answer[12..16].copy_from_slice(&[1, 2, 3, 4]);
    assert_eq!(stored.fit(&answer[..23], &mut names), Fit::Partly);
    assert_eq!(stored.fit(&answer, &mut names), Fit::No, "0 is no unique");
    answer[22..].copy_from_slice(&[1, 0]);
    assert_eq!(stored.fit(&answer, &mut names), Fit::Whole(24));
    let then = Packet::parse("get cas={c}", Way::Request).expect("parses");
    assert!(then.needs(&Names::new()) && !then.needs(&names));
    assert_eq!(then.render(&names).expect("renders")[16..], answer[16..]);
    let later = Packet::parse("set 00 cas={d>c}", Way::Answer).expect("parses");
    assert_eq!(later.fit(&answer, &mut names), Fit::No);
    answer[23] = 1;
    assert_eq!(later.fit(&answer, &mut names), Fit::Whole(24));
}
