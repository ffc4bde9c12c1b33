//! The classic text protocol.
#![forbid(unsafe_code)]

use std::io::Write;

use super::{Answer, Found, Mode, Request, Trouble, disorder, number, refusal};
use crate::soak::link::Link;

pub fn put(request: &Request, out: &mut Vec<u8>) {
    match request {
        Request::Get(keys) => {
            out.extend_from_slice(b"gets");
            for key in keys {
                words(out, &[key]);
            }
        }
        Request::GetTouch(key, ttl) => {
            out.extend_from_slice(b"gats");
            words(out, &[ttl.to_string().as_bytes(), key]);
        }
        Request::Store(store) => {
            let (verb, unique) = match store.mode {
                Mode::Set => ("set", None),
                Mode::Add => ("add", None),
                Mode::Replace => ("replace", None),
                Mode::Cas(unique) => ("cas", Some(unique)),
            };
            out.extend_from_slice(verb.as_bytes());
            words(out, &[&store.key]);
            // Writing into memory does not fail.
            let _ = write!(out, " {} {} {}", store.flags, store.ttl, store.value.len());
            if let Some(unique) = unique {
                let _ = write!(out, " {unique}");
            }
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(&store.value);
        }
        Request::Append(key, tail) => {
            out.extend_from_slice(b"append");
            words(out, &[key]);
            let _ = write!(out, " 0 0 {}\r\n", tail.len());
            out.extend_from_slice(tail);
        }
        Request::Count(key, by) => {
            out.extend_from_slice(b"incr");
            words(out, &[key, by.to_string().as_bytes()]);
        }
        Request::Touch(key, ttl) => {
            out.extend_from_slice(b"touch");
            words(out, &[key, ttl.to_string().as_bytes()]);
        }
        Request::Delete(key) => {
            out.extend_from_slice(b"delete");
            words(out, &[key]);
        }
    }
    out.extend_from_slice(b"\r\n");
}

pub fn take(request: &Request, link: &mut Link) -> Result<Answer, Trouble> {
    match request {
        Request::Get(keys) => values(keys, link),
        Request::GetTouch(key, _) => values(std::slice::from_ref(key), link),
        _ => status(request, &link.line()?),
    }
}

pub fn greet(login: Option<(&str, &str)>, link: &mut Link) -> Result<(), Trouble> {
    if let Some((user, password)) = login {
        let secret = format!("{user} {password}");
        link.send(format!("set login 0 0 {}\r\n{secret}\r\n", secret.len()).as_bytes())?;
        let line = link.line()?;
        if line != b"STORED" {
            return Err(disorder(&line));
        }
    }
    link.send(b"version\r\n")?;
    let line = link.line()?;
    if line.starts_with(b"VERSION ") { Ok(()) } else { Err(disorder(&line)) }
}

fn words(out: &mut Vec<u8>, words: &[&[u8]]) {
    for word in words {
        out.push(b' ');
        out.extend_from_slice(word);
    }
}

fn status(request: &Request, line: &[u8]) -> Result<Answer, Trouble> {
    let is_store = matches!(request, Request::Store(_) | Request::Append(..));
    let is_cas = matches!(request, Request::Store(store) if matches!(store.mode, Mode::Cas(_)));
    match line {
        b"STORED" if is_store => Ok(Answer::Done),
        b"NOT_STORED" if is_store && !is_cas => Ok(Answer::NotStored),
        b"EXISTS" if is_cas => Ok(Answer::Exists),
        b"NOT_FOUND" if is_cas || !is_store => Ok(Answer::Missed),
        b"TOUCHED" if matches!(request, Request::Touch(..)) => Ok(Answer::Done),
        b"DELETED" if matches!(request, Request::Delete(_)) => Ok(Answer::Done),
        _ => match (request, number(line)) {
            (Request::Count(..), Some(count)) => Ok(Answer::Number(count)),
            _ => refusal(line),
        },
    }
}

/// Values of some of `keys`, in their order, and the end.
fn values(keys: &[Vec<u8>], link: &mut Link) -> Result<Answer, Trouble> {
    let mut found = Vec::with_capacity(keys.len());
    loop {
        let line = link.line()?;
        if line == b"END" {
            found.resize(keys.len(), None);
            return Ok(Answer::Values(found));
        }
        let Some(rest) = line.strip_prefix(b"VALUE ") else { return refusal(&line) };
        let parts: Vec<&[u8]> = rest.split(|byte| *byte == b' ').collect();
        let [key, flags, len, unique] = parts[..] else { return Err(disorder(&line)) };
        let place = keys.iter().skip(found.len()).position(|wanted| wanted == key);
        let (Some(skipped), Some(flags), Some(len), Some(unique)) =
            (place, number(flags), number::<usize>(len), number(unique))
        else {
            return Err(disorder(&line));
        };
        if len > VALUE_MAX_BYTES {
            return Err(disorder(&line));
        }
        let mut value = link.exact(len + 2)?;
        if value.split_off(len) != b"\r\n" {
            return Err(disorder(&line));
        }
        found.resize(found.len() + skipped, None);
        found.push(Some(Found { flags, unique, value }));
    }
}

/// Values here are smaller.
pub const VALUE_MAX_BYTES: usize = 4 << 20;
