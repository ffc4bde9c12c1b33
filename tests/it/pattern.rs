//! The text of a conversation file's line: bytes, with the few things that a file cannot know.
//!
//! ```text
//! \r \n \t \0 \\ \{ \} \xNN   a byte
//! \ at the end of the line    the line does not end with CR LF
//! {300*k}                     "k" three hundred times
//! {version}                   what the server answers to `version`
//! {name}                      expected: a number, remembered; afterwards: the same number
//! {name>other}                expected: a number, remembered, larger than the one named other
//! {*}                         expected: anything up to the end of the line
//! ```
#![forbid(unsafe_code)]

use std::collections::HashMap;

use crate::packet::{Packet, Way};

/// Numbers that were captured, and `version`.
pub type Names = HashMap<String, Vec<u8>>;

/// A line or several, parsed.
#[derive(Clone, Debug, Default)]
pub struct Pattern(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Name { name: String, above: Option<String> },
    Rest,
    Packet(Box<Packet>),
}

/// A number of eight bytes.
#[derive(Clone, Debug)]
pub enum Unique {
    /// This one.
    Exactly(u64),
    /// Not 0; remembered under a name, and if there is another name, larger than that one.
    Name { name: String, above: Option<String> },
}

impl Unique {
    /// Reads a decimal number, `{name}` or `{name>other}`.
    pub fn parse(text: &str) -> Result<Unique, String> {
        match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(inner) => match special(inner)? {
                Piece::Name { name, above } => Ok(Unique::Name { name, above }),
                _ => Err(format!("no name in {text}")),
            },
            None => text.parse().map(Unique::Exactly).map_err(|_| format!("bad number {text}")),
        }
    }

    /// The number, with the names put in.
    pub fn render(&self, names: &Names) -> Result<u64, String> {
        match self {
            Unique::Exactly(number) => Ok(*number),
            Unique::Name { name, .. } => {
                let digits = names.get(name).ok_or(format!("{{{name}}} is not known yet"))?;
                String::from_utf8_lossy(digits).parse().map_err(|_| format!("{name} is no number"))
            }
        }
    }

    /// Whether it is a name that would have to be given.
    pub fn needs(&self, names: &Names) -> bool {
        matches!(self, Unique::Name { name, .. } if !names.contains_key(name))
    }
}

/// How far a pattern fits what has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// All of it, with so many bytes.
    Whole(usize),
    /// So far; more must come.
    Partly,
    /// Not.
    No,
}

impl Pattern {
    /// Adds a line of a file; an error is for the person who wrote it.
    pub fn push_line(&mut self, line: &str) -> Result<(), String> {
        let mut chars = line.chars().peekable();
        let mut bytes = Vec::new();
        let mut ends = true;
        while let Some(char) = chars.next() {
            match char {
                '\\' if chars.peek().is_none() => ends = false,
                '\\' => bytes.push(escaped(&mut chars)?),
                '{' => {
                    let inner: String = chars.by_ref().take_while(|&next| next != '}').collect();
                    match special(&inner)? {
                        Piece::Bytes(repeated) => bytes.extend(repeated),
                        piece => {
                            self.0.push(Piece::Bytes(std::mem::take(&mut bytes)));
                            self.0.push(piece);
                        }
                    }
                }
                '}' => return Err("a } without {".to_owned()),
                char => bytes.extend(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if ends {
            bytes.extend(b"\r\n");
        }
        self.0.push(Piece::Bytes(bytes));
        Ok(())
    }

    /// Adds a packet of the binary protocol.
    pub fn push_packet(&mut self, line: &str, way: Way) -> Result<(), String> {
        self.0.push(Piece::Packet(Box::new(Packet::parse(line, way)?)));
        Ok(())
    }

    /// Whether it begins with a packet of the binary protocol.
    pub fn is_binary(&self) -> bool {
        matches!(self.0.first(), Some(Piece::Packet(_)))
    }

    /// The bytes, with the names put in.
    pub fn render(&self, names: &Names) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes) => out.extend(bytes),
                Piece::Name { name, .. } => {
                    let value = names.get(name).ok_or(format!("{{{name}}} is not known yet"))?;
                    out.extend(value);
                }
                Piece::Rest => return Err("{*} cannot be sent".to_owned()),
                Piece::Packet(packet) => out.extend(packet.render(names)?),
            }
        }
        Ok(out)
    }

    /// Whether the pattern has names that it would have to be given.
    pub fn needs(&self, names: &Names) -> bool {
        self.0.iter().any(|piece| match piece {
            Piece::Name { name, .. } => !names.contains_key(name),
            Piece::Packet(packet) => packet.needs(names),
            Piece::Bytes(_) | Piece::Rest => false,
        })
    }

    /// Holds the pattern against the beginning of `input`; captures only when it fits as a whole.
    pub fn fit(&self, input: &[u8], names: &mut Names) -> Fit {
        let mut found = names.clone();
        let mut rest = input;
        for piece in &self.0 {
            let taken = match piece {
                Piece::Bytes(bytes) => literal(bytes, rest),
                Piece::Rest => match rest.windows(2).position(|pair| pair == b"\r\n") {
                    Some(at) => Fit::Whole(at),
                    None => Fit::Partly,
                },
                Piece::Name { name, above } => number(name, above.as_deref(), rest, &mut found),
                Piece::Packet(packet) => packet.fit(rest, &mut found),
            };
            match taken {
                Fit::Whole(count) => rest = &rest[count..],
                other => return other,
            }
        }
        *names = found;
        Fit::Whole(input.len() - rest.len())
    }

    /// For a person.
    pub fn describe(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => crate::client::show(bytes),
            Piece::Name { name, .. } => format!("{{{name}}}"),
            Piece::Rest => "{*}".to_owned(),
            Piece::Packet(packet) => format!("{packet:x?}"),
        };
        self.0.iter().map(piece).collect::<Vec<_>>().join(" ")
    }
}

pub fn literal(bytes: &[u8], input: &[u8]) -> Fit {
    if input.starts_with(bytes) {
        Fit::Whole(bytes.len())
    } else if bytes.starts_with(input) {
        Fit::Partly
    } else {
        Fit::No
    }
}

/// Holds a number of eight bytes against the beginning of `input`; captures it.
pub fn unique(wanted: &Unique, input: &[u8], names: &mut Names) -> Fit {
    let known = wanted.render(names);
    if let Ok(number) = known {
        return literal(&number.to_be_bytes(), input);
    }
    let Unique::Name { name, above } = wanted else { return Fit::No };
    let Some(bytes) = input.first_chunk::<8>() else { return Fit::Partly };
    let number = u64::from_be_bytes(*bytes);
    let is_above = match above {
        Some(other) => {
            let other = Unique::Name { name: other.clone(), above: None };
            other.render(names).is_ok_and(|other| number > other)
        }
        None => number > 0,
    };
    if !is_above {
        return Fit::No;
    }
    names.insert(name.clone(), number.to_string().into_bytes());
    Fit::Whole(8)
}

fn number(name: &str, above: Option<&str>, input: &[u8], names: &mut Names) -> Fit {
    if let Some(value) = names.get(name) {
        return literal(value, input);
    }
    let digits = input.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == input.len() {
        return Fit::Partly;
    }
    let value = |bytes: &[u8]| String::from_utf8_lossy(bytes).parse::<u128>().ok();
    let is_above = match above {
        Some(other) => names.get(other).is_some_and(|other| value(&input[..digits]) > value(other)),
        None => true,
    };
    if digits == 0 || !is_above {
        return Fit::No;
    }
    names.insert(name.to_owned(), input[..digits].to_vec());
    Fit::Whole(digits)
}

fn escaped(chars: &mut impl Iterator<Item = char>) -> Result<u8, String> {
    match chars.next() {
        Some('r') => Ok(b'\r'),
        Some('n') => Ok(b'\n'),
        Some('t') => Ok(b'\t'),
        Some('0') => Ok(0),
        Some(char @ ('\\' | '{' | '}')) => Ok(char as u8),
        Some('x') => {
            let digits: String = chars.take(2).collect();
            u8::from_str_radix(&digits, 16).map_err(|_| format!("bad escape \\x{digits}"))
        }
        other => Err(format!("bad escape \\{}", other.unwrap_or(' '))),
    }
}

/// What stands between braces.
fn special(inner: &str) -> Result<Piece, String> {
    if inner == "*" {
        return Ok(Piece::Rest);
    }
    if let Some((count, text)) = inner.split_once('*') {
        let count: usize = count.parse().map_err(|_| format!("bad count in {{{inner}}}"))?;
        let mut bytes = Pattern::default();
        bytes.push_line(&format!("{text}\\"))?;
        let bytes = bytes.render(&Names::new())?;
        return Ok(Piece::Bytes(bytes.repeat(count)));
    }
    let (name, above) = match inner.split_once('>') {
        Some((name, above)) => (name, Some(above.to_owned())),
        None => (inner, None),
    };
    if name.is_empty() || !name.chars().all(|char| char.is_ascii_alphanumeric()) {
        return Err(format!("bad name in {{{inner}}}"));
    }
    Ok(Piece::Name { name: name.to_owned(), above })
}

#[test]
fn a_line_becomes_bytes() {
    let mut pattern = Pattern::default();
    pattern.push_line(r"a\x41\0\{{3*xy}\\").expect("parses");
    pattern.push_line(r"no end\").expect("parses");
    let bytes = pattern.render(&Names::new()).expect("renders");
    assert_eq!(bytes, b"aA\0{xyxyxy\\\r\nno end");
    for bad in ["{", "}", r"\q", r"\xg0", "{9999999999999999999999*x}", "{a b}"] {
        assert!(Pattern::default().push_line(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_pattern_fits_or_does_not() {
    let pattern = |line: &str| {
        let mut pattern = Pattern::default();
        pattern.push_line(line).expect("parses");
        pattern
    };
    let mut names = Names::new();
    assert_eq!(pattern("V {cas}").fit(b"V 1", &mut names), Fit::Partly);
    assert_eq!(pattern("V {cas}").fit(b"V x", &mut names), Fit::No);
    assert_eq!(pattern("V {cas}").fit(b"V 19\r\nEND", &mut names), Fit::Whole(6));
    assert_eq!(pattern("V {cas}").fit(b"V 18\r\n", &mut names), Fit::No);
    assert_eq!(pattern("V {new>cas}").fit(b"V 19\r\n", &mut names), Fit::No);
    assert_eq!(pattern("V {new>cas}").fit(b"V 100\r\n", &mut names), Fit::Whole(7));
    assert_eq!(pattern("STAT a {*}").fit(b"STAT a b c\r\nx", &mut names), Fit::Whole(12));
    assert!(pattern("{other}").needs(&names) && !pattern("{cas}").needs(&names));
}
