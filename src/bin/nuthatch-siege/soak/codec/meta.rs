//! The meta commands. A get of several keys is quiet, and ended by `mn`.
#![forbid(unsafe_code)]

use std::io::Write;

use super::text::VALUE_MAX_BYTES;
use super::{Answer, Found, Mode, Request, Trouble, disorder, number, refusal};
use crate::soak::link::Link;

pub fn put(request: &Request, opaque: u32, out: &mut Vec<u8>) {
    // Writing into memory does not fail.
    match request {
        Request::Get(keys) => {
            let quiet = if keys.len() > 1 { " q" } else { "" };
            for (index, key) in (0..).zip(keys) {
                head(out, "mg", key);
                let _ = write!(out, " v k f c O{}{quiet}\r\n", opaque + index);
            }
            if keys.len() > 1 {
                out.extend_from_slice(b"mn\r\n");
            }
        }
        Request::GetTouch(key, ttl) => {
            head(out, "mg", key);
            let _ = write!(out, " v k f c O{opaque} T{ttl}\r\n");
        }
        Request::Store(store) => {
            head(out, "ms", &store.key);
            let (len, ttl, flags) = (store.value.len(), store.ttl, store.flags);
            let _ = write!(out, " {len} T{ttl} F{flags} O{opaque}");
            let _ = match store.mode {
                Mode::Set => Ok(()),
                Mode::Add => write!(out, " ME"),
                Mode::Replace => write!(out, " MR"),
                Mode::Cas(unique) => write!(out, " C{unique}"),
            };
            block(out, &store.value);
        }
        Request::Append(key, tail) => {
            head(out, "ms", key);
            let _ = write!(out, " {} O{opaque} MA", tail.len());
            block(out, tail);
        }
        Request::Count(key, by) => {
            head(out, "ma", key);
            let _ = write!(out, " D{by} v O{opaque}\r\n");
        }
        Request::Touch(key, ttl) => {
            head(out, "mg", key);
            let _ = write!(out, " T{ttl} O{opaque}\r\n");
        }
        Request::Delete(key) => {
            head(out, "md", key);
            let _ = write!(out, " O{opaque}\r\n");
        }
    }
}

pub fn take(request: &Request, opaque: u32, link: &mut Link) -> Result<Answer, Trouble> {
    let is_get = matches!(request, Request::Get(_) | Request::GetTouch(..));
    match request {
        Request::Get(keys) if keys.len() > 1 => several(keys, opaque, link),
        Request::Get(keys) => single(&keys[0], opaque, link),
        Request::GetTouch(key, _) => single(key, opaque, link),
        _ => {
            let line = link.line()?;
            let (code, _) = split(&line);
            let is_cas = matches!(request, Request::Store(s) if matches!(s.mode, Mode::Cas(_)));
            let has_opaque = flag(&line, b'O') == Some(opaque.to_string().as_bytes());
            match code {
                b"VA" if !is_get && has_opaque => counted(&line, link),
                _ if !has_opaque => refusal(&line),
                b"HD" => Ok(Answer::Done),
                b"EN" if matches!(request, Request::Touch(..)) => Ok(Answer::Missed),
                b"NF" => Ok(Answer::Missed),
                b"NS" => Ok(Answer::NotStored),
                b"EX" if is_cas => Ok(Answer::Exists),
                _ => Err(disorder(&line)),
            }
        }
    }
}

fn head(out: &mut Vec<u8>, verb: &str, key: &[u8]) {
    out.extend_from_slice(verb.as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
}

fn block(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    (&line[..end], line.get(end + 1..).unwrap_or_default())
}

/// What the line has behind the flag `name`.
fn flag(line: &[u8], name: u8) -> Option<&[u8]> {
    let mut words = line.split(|byte| *byte == b' ').skip(1);
    words.find_map(|word| word.strip_prefix(&[name]))
}

fn counted(line: &[u8], link: &mut Link) -> Result<Answer, Trouble> {
    let value = block_of(line, link)?;
    number(&value).map(Answer::Number).ok_or_else(|| disorder(&value))
}

/// The block that the line `VA len ...` announces.
fn block_of(line: &[u8], link: &mut Link) -> Result<Vec<u8>, Trouble> {
    let len = split(split(line).1).0;
    let len = number(len).filter(|len| *len <= VALUE_MAX_BYTES).ok_or_else(|| disorder(line))?;
    let mut value = link.exact(len + 2)?;
    if value.split_off(len) == b"\r\n" { Ok(value) } else { Err(disorder(line)) }
}

fn found(line: &[u8], link: &mut Link) -> Result<Found, Trouble> {
    let flags = flag(line, b'f').and_then(number).ok_or_else(|| disorder(line))?;
    let unique = flag(line, b'c').and_then(number).ok_or_else(|| disorder(line))?;
    Ok(Found { flags, unique, value: block_of(line, link)? })
}

fn single(key: &[u8], opaque: u32, link: &mut Link) -> Result<Answer, Trouble> {
    let line = link.line()?;
    let is_ours =
        flag(&line, b'k') == Some(key) && flag(&line, b'O') == Some(opaque.to_string().as_bytes());
    if is_ours && line.starts_with(b"EN ") {
        return Ok(Answer::Values(vec![None]));
    }
    if !line.starts_with(b"VA ") || !is_ours {
        return refusal(&line);
    }
    Ok(Answer::Values(vec![Some(found(&line, link)?)]))
}

fn several(keys: &[Vec<u8>], opaque: u32, link: &mut Link) -> Result<Answer, Trouble> {
    let mut all = Vec::with_capacity(keys.len());
    loop {
        let line = link.line()?;
        if line == b"MN" {
            all.resize(keys.len(), None);
            return Ok(Answer::Values(all));
        }
        let place = flag(&line, b'O').and_then(number::<u32>);
        let place = place.and_then(|number| number.checked_sub(opaque)).map(|at| at as usize);
        let place = place
            .filter(|at| *at >= all.len() && flag(&line, b'k') == keys.get(*at).map(Vec::as_slice));
        let (true, Some(place)) = (line.starts_with(b"VA "), place.filter(|at| *at < keys.len()))
        else {
            return Err(disorder(&line));
        };
        all.resize(place, None);
        all.push(Some(found(&line, link)?));
    }
}
