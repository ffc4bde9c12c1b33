//! The binary protocol. A value comes without its key, and is the whole reply.
//!
//! ```text
//! magic | opcode | key length u16 | extras length | 0 | status u16 | body length u32 | opaque | cas
//! ```
#![forbid(unsafe_code)]

use crate::codec::{Codec, Decoded, Garbled, Outcome, Reply};
use crate::dataset::Dataset;
use crate::workload::{Answer, Request, Verb};

/// The binary protocol; an answer names its opcode, so it needs no state.
#[derive(Debug, Default)]
pub struct Binary;

impl Codec for Binary {
    const NAME: &'static str = "binary";

    fn takes(verb: Verb) -> bool {
        // Each get of this protocol tells the CAS unique.
        verb != Verb::Gets
    }

    fn encode(&mut self, request: &Request<'_>, dataset: &Dataset, out: &mut Vec<u8>) {
        let key = request.keys[0];
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        match request.verb {
            Verb::Set | Verb::Add | Verb::Replace => out.extend_from_slice(&[0; 4]),
            Verb::Incr | Verb::Decr => {
                // By one, and where there is no counter none is made: that is exptime 2^32-1.
                out.extend_from_slice(&1u64.to_be_bytes());
                out.extend_from_slice(&0u64.to_be_bytes());
                out.extend_from_slice(&u32::MAX.to_be_bytes());
            }
            Verb::Get | Verb::Gets | Verb::Delete | Verb::Gat | Verb::Touch => {}
        }
        if request.verb.stores() || matches!(request.verb, Verb::Gat | Verb::Touch) {
            out.extend_from_slice(&request.exptime.to_be_bytes());
        }
        let extras_len = out.len() - start - HEADER_BYTES;
        dataset.push_key(key, out);
        let key_len = out.len() - start - HEADER_BYTES - extras_len;
        if request.verb.stores() {
            dataset.push_value(key, request.version, out);
        }
        let body_len = out.len() - start - HEADER_BYTES;
        let header = &mut out[start..];
        header[0] = REQUEST;
        header[1] = opcode(request.verb, request.answer);
        // Names have at most 210 bytes, values 2^30.
        header[2..4].copy_from_slice(&(key_len as u16).to_be_bytes());
        header[4] = extras_len as u8;
        header[8..12].copy_from_slice(&(body_len as u32).to_be_bytes());
    }

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, Garbled> {
        if input[0] != RESPONSE {
            return Err(Garbled);
        }
        let Some((header, rest)) = input.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(Decoded::More(HEADER_BYTES));
        };
        let key_len = u16::from_be_bytes([header[2], header[3]]) as usize;
        let status = u16::from_be_bytes([header[6], header[7]]);
        let body_len = u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let before_value = key_len + usize::from(header[4]);
        if before_value > body_len || body_len > BODY_MAX_BYTES {
            return Err(Garbled);
        }
        let used = HEADER_BYTES + body_len;
        let Some(body) = rest.get(..body_len) else { return Ok(Decoded::More(used)) };
        Ok(Decoded::Reply(reply(header[1], status, &body[before_value..])?, used))
    }
}

fn reply(opcode: u8, status: u16, value: &[u8]) -> Result<Reply<'_>, Garbled> {
    let outcome = match (status, opcode) {
        (0, GET | GAT) => return Ok(Reply::Whole { bytes: value }),
        (0, INCR | DECR) => {
            let number = value.try_into().map_err(|_| Garbled)?;
            Outcome::Number(u64::from_be_bytes(number))
        }
        (0, SET | SETQ | ADD | REPLACE | DELETE | TOUCH) => Outcome::Ok,
        (0, _) => return Err(Garbled),
        (NOT_FOUND, GET | GAT) => Outcome::End,
        (NOT_FOUND | EXISTS | NOT_STORED, _) => Outcome::Refused,
        _ => Outcome::Error(value),
    };
    Ok(Reply::Done(outcome))
}

fn opcode(verb: Verb, answer: Answer) -> u8 {
    match (verb, answer) {
        (Verb::Set, Answer::Unwanted) => SETQ,
        (Verb::Set, Answer::Wanted) => SET,
        (Verb::Get | Verb::Gets, _) => GET,
        (Verb::Add, _) => ADD,
        (Verb::Replace, _) => REPLACE,
        (Verb::Delete, _) => DELETE,
        (Verb::Incr, _) => INCR,
        (Verb::Decr, _) => DECR,
        (Verb::Touch, _) => TOUCH,
        (Verb::Gat, _) => GAT,
    }
}

const HEADER_BYTES: usize = 24;
const REQUEST: u8 = 0x80;
const RESPONSE: u8 = 0x81;

const GET: u8 = 0x00;
const SET: u8 = 0x01;
const ADD: u8 = 0x02;
const REPLACE: u8 = 0x03;
const DELETE: u8 = 0x04;
const INCR: u8 = 0x05;
const DECR: u8 = 0x06;
const SETQ: u8 = 0x11;
const TOUCH: u8 = 0x1c;
const GAT: u8 = 0x1d;

const NOT_FOUND: u16 = 1;
const EXISTS: u16 = 2;
const NOT_STORED: u16 = 5;

/// The largest value that any server takes (`-I 1024m`), with room for extras and key.
const BODY_MAX_BYTES: usize = (1 << 30) + 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::check_cuts;
    use crate::dataset::ValueSize;

    /// A response with these extras and value.
    fn response(opcode: u8, status: u16, extras: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES];
        (out[0], out[1], out[4]) = (RESPONSE, opcode, extras.len() as u8);
        out[6..8].copy_from_slice(&status.to_be_bytes());
        out[8..12].copy_from_slice(&((extras.len() + value.len()) as u32).to_be_bytes());
        [&out, extras, value].concat()
    }

    #[test]
    fn replies_however_they_are_cut() {
        let stream = [
            response(GET, 0, &[0; 4], b"ab\x81c"),
            response(GAT, 0, &[0; 4], b""),
            response(GET, NOT_FOUND, &[], b"Not found"),
            response(SET, 0, &[], b""),
            response(ADD, EXISTS, &[], b"Data exists for key."),
            response(INCR, 0, &[], &42u64.to_be_bytes()),
            response(DELETE, NOT_FOUND, &[], b"Not found"),
            response(SET, 0x82, &[], b"Out of memory"),
        ];
        check_cuts::<Binary>(
            &stream.concat(),
            &[
                Reply::Whole { bytes: b"ab\x81c" },
                Reply::Whole { bytes: b"" },
                Reply::Done(Outcome::End),
                Reply::Done(Outcome::Ok),
                Reply::Done(Outcome::Refused),
                Reply::Done(Outcome::Number(42)),
                Reply::Done(Outcome::Refused),
                Reply::Done(Outcome::Error(b"Out of memory")),
            ],
        );
    }

    #[test]
    fn what_is_no_reply_is_garbled() {
        let mut long_extras = response(GET, 0, &[], b"abc");
        long_extras[4] = 4;
        let mut huge = response(GET, 0, &[], b"");
        huge[8] = 0xff;
        for bad in [
            long_extras,
            huge,
            response(0x0a, 0, &[], b""),
            response(INCR, 0, &[], b"1234567"),
            b"VALUE".to_vec(),
        ] {
            assert_eq!(Binary.decode(&bad), Err(Garbled), "{bad:02x?}");
        }
    }

    #[test]
    fn requests_to_the_byte() {
        let dataset = Dataset::new("k", 10, ValueSize::Fixed(0), 1);
        let check = |verb, key: u32, answer, head: [u8; 5], body: &[u8]| {
            let mut out = b"before".to_vec();
            let request = Request { verb, keys: &[key], version: 1, exptime: 60, answer };
            Binary.encode(&request, &dataset, &mut out);
            let mut wanted = [b"before".as_slice(), &head, &[0; 3]].concat();
            wanted.extend_from_slice(&(body.len() as u32).to_be_bytes());
            wanted.extend_from_slice(&[0; 12]);
            wanted.extend_from_slice(body);
            assert_eq!(out, wanted, "{verb:?}");
        };
        check(Verb::Get, 1, Answer::Wanted, [0x80, 0, 0, 2, 0], b"k1");
        let stored = b"\0\0\0\0\0\0\0\x3ck1";
        check(Verb::Set, 1, Answer::Wanted, [0x80, 1, 0, 2, 8], stored);
        check(Verb::Set, 1, Answer::Unwanted, [0x80, 0x11, 0, 2, 8], stored);
        check(Verb::Add, 1, Answer::Wanted, [0x80, 2, 0, 2, 8], stored);
        check(Verb::Delete, 1, Answer::Wanted, [0x80, 4, 0, 2, 0], b"k1");
        check(Verb::Gat, 1, Answer::Wanted, [0x80, 0x1d, 0, 2, 4], b"\0\0\0\x3ck1");
        let counted = b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\xff\xff\xff\xffk11";
        check(Verb::Incr, 11, Answer::Wanted, [0x80, 5, 0, 3, 20], counted);
    }
}
