//! A failing sequence as a conversation file, for `tests/cases`.
#![forbid(unsafe_code)]

use crate::pair::Heard;
use crate::sequence::{Cuts, Sequence};

/// The file: what is sent, what memcached answers, and, as comments, what the daemon answers instead.
/// `base` is the last unique before it on servers that have just been started, with `option` if there is one.
pub fn case(
    sequence: &Sequence,
    option: Option<&str>,
    base: u64,
    heard: &[Heard; 2],
    origin: &str,
) -> String {
    let [ours, theirs] = heard;
    let mut out = format!("# Say what this proves. ({origin})\n");
    if sequence.cuts != Cuts::Whole {
        let cuts: Vec<usize> = sequence.pieces(base).iter().map(Vec::len).collect();
        out += &format!("# It came in pieces of {cuts:?} bytes.\n");
    }
    out += "oracle: same\nserver: fresh\n";
    if let Some(option) = option {
        out += &format!("args: {option}\n");
    }
    out += &lines("> ", &sequence.render(base));
    out += &lines("< ", &theirs.bytes);
    out += "@shut\n@close\n";
    out += "# The daemon answered:\n";
    out += &lines("#   ", &ours.bytes);
    for (name, heard) in [("The daemon", ours), ("memcached", theirs)] {
        if !heard.is_closed {
            out += &format!("# {name} did not close.\n");
        }
        match heard.taken {
            Some(count) => out += &format!("# {name} took {count} uniques.\n"),
            None => out += &format!("# {name} was gone afterwards.\n"),
        }
    }
    out
}

/// Bytes as lines of a conversation file; those of memcached's uniques are its own.
fn lines(start: &str, bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.windows(2).position(|pair| pair == b"\r\n");
        let (line, close) = match end {
            Some(at) => (&rest[..at], ""),
            None => (rest, "\\"),
        };
        out += &format!(
            "{}{}{close}\n",
            if line.is_empty() && end.is_some() { start.trim_end() } else { start },
            escape(line)
        );
        rest = &rest[end.map_or(rest.len(), |at| at + 2)..];
    }
    out
}

/// Bytes as `docs/testing.md` writes them, runs of one byte in short.
fn escape(bytes: &[u8]) -> String {
    const RUN_LEN_MIN: usize = 20;
    let mut out = String::new();
    for run in bytes.chunk_by(|one, other| one == other) {
        let one = match run[0] {
            b'\r' => "\\r".to_owned(),
            b'\n' => "\\n".to_owned(),
            b'\t' => "\\t".to_owned(),
            byte @ (b'\\' | b'{' | b'}') => format!("\\{}", char::from(byte)),
            byte @ b' '..=b'~' => char::from(byte).to_string(),
            byte => format!("\\x{byte:02x}"),
        };
        let is_plain = run[0].is_ascii_alphanumeric();
        if is_plain && run.len() >= RUN_LEN_MIN {
            out += &format!("{{{}*{one}}}", run.len());
        } else {
            out += &one.repeat(run.len());
        }
    }
    out
}

#[test]
fn a_case_reads_back_as_the_bytes() {
    use crate::pattern::{Names, Pattern};
    use crate::random::Random;
    let mut random = Random::of(1, 1);
    for _ in 0..2000 {
        let parts: [&[u8]; 12] = [
            b"\r\n",
            b"\r",
            b"\n",
            b"a b",
            b"\\",
            b"{",
            b"}",
            b"\xff\0\t",
            b" ",
            &[b'k'; 250],
            b"7",
            b"",
        ];
        let bytes: Vec<u8> =
            (0..random.below(9)).flat_map(|_| *random.pick(&parts)).copied().collect();
        let mut pattern = Pattern::default();
        for line in lines("> ", &bytes).lines() {
            let text =
                line.strip_prefix("> ").or((line == ">").then_some("")).expect("a line to send");
            pattern.push_line(text).expect("parses");
        }
        assert_eq!(pattern.render(&Names::new()).expect("no names"), bytes, "{bytes:?}");
    }
}
