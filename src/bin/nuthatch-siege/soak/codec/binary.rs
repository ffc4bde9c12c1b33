//! The binary protocol. A get of several keys is GETKQ of each, ended by NOOP.
#![forbid(unsafe_code)]

use super::{Answer, Found, Mode, Request, Trouble, disorder};
use crate::soak::link::Link;

pub fn put(request: &Request, opaque: u32, out: &mut Vec<u8>) {
    let mut one = |opcode, key: &[u8], extras: &[u8], value: &[u8], unique| {
        packet(out, opcode, opaque, unique, extras, key, value);
    };
    match request {
        Request::Get(keys) if keys.len() > 1 => {
            for (index, key) in (0..).zip(keys) {
                packet(out, GETKQ, opaque + index, 0, &[], key, &[]);
            }
            packet(out, NOOP, opaque + keys.len() as u32, 0, &[], &[], &[]);
        }
        Request::Get(keys) => one(GETK, &keys[0], &[], &[], 0),
        Request::GetTouch(key, ttl) => one(GATK, key, &ttl.to_be_bytes(), &[], 0),
        Request::Store(store) => {
            let (opcode, unique) = match store.mode {
                Mode::Set => (SET, 0),
                Mode::Add => (ADD, 0),
                Mode::Replace => (REPLACE, 0),
                Mode::Cas(unique) => (SET, unique),
            };
            let extras = [store.flags.to_be_bytes(), store.ttl.to_be_bytes()].concat();
            one(opcode, &store.key, &extras, &store.value, unique);
        }
        Request::Append(key, tail) => one(APPEND, key, &[], tail, 0),
        Request::Count(key, by) => {
            // No item is made where there is none.
            let extras = [&by.to_be_bytes()[..], &[0; 8], &[0xff; 4]].concat();
            one(INCREMENT, key, &extras, &[], 0);
        }
        Request::Touch(key, ttl) => one(TOUCH, key, &ttl.to_be_bytes(), &[], 0),
        Request::Delete(key) => one(DELETE, key, &[], &[], 0),
    }
}

pub fn take(request: &Request, opaque: u32, link: &mut Link) -> Result<Answer, Trouble> {
    let (opcode, key) = match request {
        Request::Get(keys) if keys.len() > 1 => return several(keys, opaque, link),
        Request::Get(keys) => (GETK, keys.first()),
        Request::GetTouch(key, _) => (GATK, Some(key)),
        Request::Store(store) => match store.mode {
            Mode::Set | Mode::Cas(_) => (SET, None),
            Mode::Add => (ADD, None),
            Mode::Replace => (REPLACE, None),
        },
        Request::Append(..) => (APPEND, None),
        Request::Count(..) => (INCREMENT, None),
        Request::Touch(..) => (TOUCH, None),
        Request::Delete(_) => (DELETE, None),
    };
    let reply = Reply::read(link)?;
    if (reply.opcode, reply.opaque) != (opcode, opaque) {
        return Err(reply.disorder());
    }
    match (reply.status, key) {
        (0, Some(key)) if reply.key == *key => Ok(Answer::Values(vec![Some(reply.found()?)])),
        (0, Some(_)) => Err(reply.disorder()),
        (NOT_FOUND, Some(_)) => Ok(Answer::Values(vec![None])),
        (0, None) if opcode == INCREMENT => {
            let count = <[u8; 8]>::try_from(reply.value.as_slice());
            Ok(Answer::Number(u64::from_be_bytes(count.map_err(|_| reply.disorder())?)))
        }
        (0, None) => Ok(Answer::Done),
        (NOT_FOUND, None) if matches!(opcode, REPLACE | APPEND) => Ok(Answer::NotStored),
        (EXISTS, None) if opcode == ADD => Ok(Answer::NotStored),
        (NOT_FOUND, None) => Ok(Answer::Missed),
        (EXISTS, None) => Ok(Answer::Exists),
        (NOT_STORED, None) => Ok(Answer::NotStored),
        (TOO_LARGE | OUT_OF_MEMORY | BUSY | TEMPORARY, _) => Ok(Answer::Refused(format!(
            "status {:#x}: {}",
            reply.status,
            String::from_utf8_lossy(&reply.value)
        ))),
        _ => Err(reply.disorder()),
    }
}

pub fn greet(login: Option<(&str, &str)>, link: &mut Link) -> Result<(), Trouble> {
    let mut out = Vec::new();
    if let Some((user, password)) = login {
        let secret = format!("\0{user}\0{password}");
        packet(&mut out, SASL_AUTH, 1, 0, &[], b"PLAIN", secret.as_bytes());
        link.send(&out)?;
        let reply = Reply::read(link)?;
        if (reply.opcode, reply.status) != (SASL_AUTH, 0) {
            return Err(reply.disorder());
        }
        out.clear();
    }
    packet(&mut out, NOOP, 2, 0, &[], &[], &[]);
    link.send(&out)?;
    let reply = Reply::read(link)?;
    if (reply.opcode, reply.status, reply.opaque) == (NOOP, 0, 2) {
        Ok(())
    } else {
        Err(reply.disorder())
    }
}

fn several(keys: &[Vec<u8>], opaque: u32, link: &mut Link) -> Result<Answer, Trouble> {
    let mut all = Vec::with_capacity(keys.len());
    loop {
        let reply = Reply::read(link)?;
        let place = reply.opaque.wrapping_sub(opaque) as usize;
        if (reply.opcode, reply.status, place) == (NOOP, 0, keys.len()) {
            all.resize(keys.len(), None);
            return Ok(Answer::Values(all));
        }
        let is_next = place >= all.len() && keys.get(place) == Some(&reply.key);
        if (reply.opcode, reply.status, is_next) != (GETKQ, 0, true) {
            return Err(reply.disorder());
        }
        all.resize(place, None);
        all.push(Some(reply.found()?));
    }
}

fn packet(
    out: &mut Vec<u8>,
    opcode: u8,
    opaque: u32,
    unique: u64,
    extras: &[u8],
    key: &[u8],
    value: &[u8],
) {
    out.extend_from_slice(&[0x80, opcode]);
    out.extend_from_slice(&(key.len() as u16).to_be_bytes());
    out.extend_from_slice(&[extras.len() as u8, 0, 0, 0]);
    out.extend_from_slice(&((extras.len() + key.len() + value.len()) as u32).to_be_bytes());
    out.extend_from_slice(&opaque.to_be_bytes());
    out.extend_from_slice(&unique.to_be_bytes());
    for part in [extras, key, value] {
        out.extend_from_slice(part);
    }
}

struct Reply {
    opcode: u8,
    status: u16,
    opaque: u32,
    unique: u64,
    extras: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Reply {
    fn read(link: &mut Link) -> Result<Reply, Trouble> {
        let head = link.exact(24)?;
        let [0x81, opcode, k1, k2, extras, _, s1, s2, b1, b2, b3, b4, o1, o2, o3, o4, ..] =
            head[..]
        else {
            return Err(disorder(&head));
        };
        let body_len = u32::from_be_bytes([b1, b2, b3, b4]) as usize;
        let (extras_len, key_len) =
            (usize::from(extras), usize::from(u16::from_be_bytes([k1, k2])));
        if body_len > super::text::VALUE_MAX_BYTES || extras_len + key_len > body_len {
            return Err(disorder(&head));
        }
        let mut extras = link.exact(body_len)?;
        let mut key = extras.split_off(extras_len);
        let value = key.split_off(key_len);
        Ok(Reply {
            opcode,
            status: u16::from_be_bytes([s1, s2]),
            opaque: u32::from_be_bytes([o1, o2, o3, o4]),
            unique: head[16..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            extras,
            key,
            value,
        })
    }

    fn found(self) -> Result<Found, Trouble> {
        let flags = <[u8; 4]>::try_from(self.extras.as_slice()).map_err(|_| self.disorder())?;
        Ok(Found { flags: u32::from_be_bytes(flags), unique: self.unique, value: self.value })
    }

    fn disorder(&self) -> Trouble {
        let (opcode, status, opaque) = (self.opcode, self.status, self.opaque);
        let text = String::from_utf8_lossy(&self.value[..self.value.len().min(60)]);
        Trouble::Disorder(format!("opcode {opcode:#x} status {status:#x} opaque {opaque} {text}"))
    }
}

const SET: u8 = 0x01;
const ADD: u8 = 0x02;
const REPLACE: u8 = 0x03;
const DELETE: u8 = 0x04;
const INCREMENT: u8 = 0x05;
const NOOP: u8 = 0x0a;
const GETK: u8 = 0x0c;
const GETKQ: u8 = 0x0d;
const APPEND: u8 = 0x0e;
const TOUCH: u8 = 0x1c;
const SASL_AUTH: u8 = 0x21;
/// Get and touch, with the key.
const GATK: u8 = 0x23;

const NOT_FOUND: u16 = 1;
const EXISTS: u16 = 2;
const TOO_LARGE: u16 = 3;
const NOT_STORED: u16 = 5;
const OUT_OF_MEMORY: u16 = 0x82;
const BUSY: u16 = 0x85;
const TEMPORARY: u16 = 0x86;
