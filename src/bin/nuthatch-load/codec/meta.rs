//! The meta commands. A value comes without its key, and is the whole reply.
#![forbid(unsafe_code)]

use crate::codec::{Codec, Decoded, Garbled, Outcome, Reply, line};
use crate::dataset::Dataset;
use crate::workload::{Answer, Request, Verb};

/// The meta commands; they need no state.
#[derive(Debug, Default)]
pub struct Meta;

impl Codec for Meta {
    const NAME: &'static str = "meta";

    fn takes(verb: Verb) -> bool {
        !verb.counts() && verb != Verb::Touch
    }

    fn encode(&mut self, request: &Request<'_>, dataset: &Dataset, out: &mut Vec<u8>) {
        let key = request.keys[0];
        out.extend_from_slice(match request.verb {
            verb if verb.stores() => b"ms ",
            Verb::Delete => b"md ",
            _ => b"mg ",
        });
        dataset.push_key(key, out);
        if request.verb.stores() {
            line::push_number(dataset.value_len_bytes(key) as u64, out);
        }
        out.extend_from_slice(match request.verb {
            Verb::Get | Verb::Gat => b" v",
            Verb::Gets => b" v c",
            Verb::Add => b" ME",
            Verb::Replace => b" MR",
            _ => b"",
        });
        let timed = request.verb.stores() && request.exptime > 0 || request.verb == Verb::Gat;
        if timed {
            out.extend_from_slice(b" T");
            out.extend_from_slice(itoa::Buffer::new().format(request.exptime).as_bytes());
        }
        if request.answer == Answer::Unwanted {
            out.extend_from_slice(b" q");
        }
        out.extend_from_slice(b"\r\n");
        if request.verb.stores() {
            dataset.push_value(key, request.version, out);
            out.extend_from_slice(b"\r\n");
        }
    }

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, Garbled> {
        let Some((line, after)) = line::first(input)? else {
            return Ok(Decoded::More(input.len() + 1));
        };
        let mut words = line.split(|byte| *byte == b' ');
        let outcome = match words.next() {
            Some(b"VA") => {
                let len = words.next().ok_or(Garbled)?;
                return line::block(input, after, len, |bytes| Reply::Whole { bytes });
            }
            Some(b"EN") => Outcome::End,
            Some(b"HD") => Outcome::Ok,
            Some(b"NS" | b"NF" | b"EX") => Outcome::Refused,
            _ if line::is_error(line) => Outcome::Error(line),
            _ => return Err(Garbled),
        };
        Ok(Decoded::Reply(Reply::Done(outcome), after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::check_cuts;
    use crate::dataset::ValueSize;

    #[test]
    fn replies_however_they_are_cut() {
        check_cuts::<Meta>(
            b"VA 5\r\nab\r\nc\r\nVA 0 c77\r\n\r\nEN\r\nHD\r\nNS\r\nNF\r\nCLIENT_ERROR bad\r\n",
            &[
                Reply::Whole { bytes: b"ab\r\nc" },
                Reply::Whole { bytes: b"" },
                Reply::Done(Outcome::End),
                Reply::Done(Outcome::Ok),
                Reply::Done(Outcome::Refused),
                Reply::Done(Outcome::Refused),
                Reply::Done(Outcome::Error(b"CLIENT_ERROR bad")),
            ],
        );
    }

    #[test]
    fn what_is_no_reply_is_garbled() {
        for bad in [b"VA 3\r\nabcd\r\n".as_slice(), b"VA\r\n", b"VA x\r\n", b"STORED\r\n", b"\r\n"]
        {
            let shown = String::from_utf8_lossy(bad);
            assert_eq!(Meta.decode(bad), Err(Garbled), "{shown}");
        }
    }

    #[test]
    fn requests_to_the_byte() {
        let dataset = Dataset::new("k", 10, ValueSize::Fixed(0), 1);
        let encoded = |verb, exptime, answer| {
            let mut out = Vec::new();
            let request = Request { verb, keys: &[1], version: 1, exptime, answer };
            Meta.encode(&request, &dataset, &mut out);
            String::from_utf8(out).unwrap()
        };
        let wanted = |verb| encoded(verb, 0, Answer::Wanted);
        assert_eq!(wanted(Verb::Get), "mg k1 v\r\n");
        assert_eq!(wanted(Verb::Gets), "mg k1 v c\r\n");
        assert_eq!(wanted(Verb::Set), "ms k1 0\r\n\r\n");
        assert_eq!(wanted(Verb::Add), "ms k1 0 ME\r\n\r\n");
        assert_eq!(wanted(Verb::Replace), "ms k1 0 MR\r\n\r\n");
        assert_eq!(wanted(Verb::Delete), "md k1\r\n");
        assert_eq!(encoded(Verb::Gat, 60, Answer::Wanted), "mg k1 v T60\r\n");
        assert_eq!(encoded(Verb::Set, 60, Answer::Unwanted), "ms k1 0 T60 q\r\n\r\n");
    }
}
