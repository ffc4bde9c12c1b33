//! The classic text protocol.
#![forbid(unsafe_code)]

use crate::codec::{Codec, Decoded, Garbled, Outcome, Reply, line};
use crate::dataset::{Dataset, decimal};
use crate::workload::{Answer, Request, Verb};

/// The classic text protocol; it needs no state.
#[derive(Debug, Default)]
pub struct Text;

impl Codec for Text {
    const NAME: &'static str = "text";

    fn encode(&mut self, request: &Request<'_>, dataset: &Dataset, out: &mut Vec<u8>) {
        out.extend_from_slice(name_of(request.verb));
        if request.verb == Verb::Gat {
            line::push_number(u64::from(request.exptime), out);
        }
        for key in request.keys {
            out.push(b' ');
            dataset.push_key(*key, out);
        }
        match request.verb {
            Verb::Get | Verb::Gets | Verb::Gat | Verb::Delete => {}
            Verb::Incr | Verb::Decr => out.extend_from_slice(b" 1"),
            Verb::Touch => line::push_number(u64::from(request.exptime), out),
            Verb::Set | Verb::Add | Verb::Replace => {
                out.extend_from_slice(b" 0");
                line::push_number(u64::from(request.exptime), out);
                let len: usize = request.keys.iter().map(|key| dataset.value_len_bytes(*key)).sum();
                line::push_number(len as u64, out);
            }
        }
        if request.answer == Answer::Unwanted {
            out.extend_from_slice(b" noreply");
        }
        out.extend_from_slice(b"\r\n");
        if request.verb.stores() {
            for key in request.keys {
                dataset.push_value(*key, request.version, out);
            }
            out.extend_from_slice(b"\r\n");
        }
    }

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, Garbled> {
        let Some((line, after)) = line::first(input)? else {
            return Ok(Decoded::More(input.len() + 1));
        };
        match line.strip_prefix(b"VALUE ") {
            Some(fields) => value(fields, input, after),
            None => Ok(Decoded::Reply(Reply::Done(outcome(line)?), after)),
        }
    }
}

/// Reads the value whose line has these fields and whose bytes start at `from`.
fn value<'a>(fields: &'a [u8], input: &'a [u8], from: usize) -> Result<Decoded<'a>, Garbled> {
    let mut words = fields.split(|byte| *byte == b' ');
    let key = words.next().ok_or(Garbled)?;
    words.next().and_then(decimal).ok_or(Garbled)?;
    let len = words.next().ok_or(Garbled)?;
    if let Some(unique) = words.next() {
        decimal(unique).ok_or(Garbled)?;
    }
    line::block(input, from, len, |bytes| Reply::Value { key: Some(key), bytes })
}

/// Reads a line that ends a reply.
fn outcome(line: &[u8]) -> Result<Outcome<'_>, Garbled> {
    match line {
        b"END" => Ok(Outcome::End),
        b"STORED" | b"DELETED" | b"TOUCHED" => Ok(Outcome::Ok),
        b"NOT_STORED" | b"NOT_FOUND" | b"EXISTS" => Ok(Outcome::Refused),
        _ if line::is_error(line) => Ok(Outcome::Error(line)),
        _ => decimal(line).map(Outcome::Number).ok_or(Garbled),
    }
}

fn name_of(verb: Verb) -> &'static [u8] {
    let named = Verb::ALL.iter().find(|(_, known)| *known == verb);
    named.map_or(b"".as_slice(), |(name, _)| name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::check_cuts;
    use crate::dataset::ValueSize;

    const STREAM: &[u8] =
        b"VALUE k:1 0 5\r\nab\r\nc\r\nVALUE k:2 7 0 18446744073709551615\r\n\r\nEND\r\n\
        STORED\r\nNOT_STORED\r\n42\r\nSERVER_ERROR out of memory\r\nERROR\r\nEND\r\n";

    fn expected() -> [Reply<'static>; 9] {
        let value = |key, bytes| Reply::Value { key: Some(key), bytes };
        [
            value(b"k:1", b"ab\r\nc"),
            value(b"k:2", b""),
            Reply::Done(Outcome::End),
            Reply::Done(Outcome::Ok),
            Reply::Done(Outcome::Refused),
            Reply::Done(Outcome::Number(42)),
            Reply::Done(Outcome::Error(b"SERVER_ERROR out of memory")),
            Reply::Done(Outcome::Error(b"ERROR")),
            Reply::Done(Outcome::End),
        ]
    }

    #[test]
    fn replies_however_they_are_cut() {
        check_cuts::<Text>(STREAM, &expected());
    }

    #[test]
    fn what_is_no_reply_is_garbled() {
        for bad in [
            b"VALUE k 0 3\r\nabcd\r\n".as_slice(),
            b"VALUE k 0 x\r\n",
            b"VALUE k 0\r\n",
            b"VALUE k 0 99999999999\r\n",
            b"END\n",
            b"-1\r\n",
            b"\r\n",
            b"END \r\n",
            b"ERRORS\r\n",
            &[b'a'; line::LINE_MAX_BYTES],
        ] {
            let shown = String::from_utf8_lossy(bad);
            assert_eq!(Text.decode(bad), Err(Garbled), "{shown}");
        }
    }

    #[test]
    fn requests_to_the_byte() {
        let dataset = Dataset::new("k", 10, ValueSize::Fixed(0), 1);
        let encoded = |verb, keys: &[u32], answer| {
            let mut out = Vec::new();
            let request = Request { verb, keys, version: 1, exptime: 60, answer };
            Text.encode(&request, &dataset, &mut out);
            String::from_utf8(out).unwrap()
        };
        let wanted = |verb, keys: &[u32]| encoded(verb, keys, Answer::Wanted);
        assert_eq!(wanted(Verb::Get, &[1, 2, 9]), "get k1 k2 k9\r\n");
        assert_eq!(wanted(Verb::Gets, &[1]), "gets k1\r\n");
        assert_eq!(wanted(Verb::Gat, &[1]), "gat 60 k1\r\n");
        assert_eq!(wanted(Verb::Set, &[1]), "set k1 0 60 0\r\n\r\n");
        assert_eq!(wanted(Verb::Add, &[11]), "add k11 0 60 10\r\n5000000000\r\n");
        assert_eq!(wanted(Verb::Incr, &[11]), "incr k11 1\r\n");
        assert_eq!(wanted(Verb::Delete, &[1]), "delete k1\r\n");
        assert_eq!(wanted(Verb::Touch, &[1]), "touch k1 60\r\n");
        let quiet = encoded(Verb::Set, &[1], Answer::Unwanted);
        assert_eq!(quiet, "set k1 0 60 0 noreply\r\n\r\n");
    }
}
