//! What is in a trace.
#![forbid(unsafe_code)]

use std::io;

use ahash::AHashMap;

use crate::report::{Figure, Report};
use crate::trace::{Op, Request};

/// Counts a trace.
///
/// # Errors
///
/// Those of reading it.
pub fn info(requests: impl Iterator<Item = io::Result<Request>>) -> io::Result<Report> {
    let mut keys: AHashMap<u64, Key> = AHashMap::new();
    let mut ops = [0u64; 3];
    let (mut end_ms, mut value_bytes) = (0, 0);
    for request in requests {
        let request = request?;
        ops[request.op as usize] += 1;
        end_ms = end_ms.max(request.time_ms);
        value_bytes += u64::from(request.value_size);
        let bytes = u64::from(request.key_size) + u64::from(request.value_size);
        keys.entry(request.key).or_insert(Key { requests: 0, bytes }).requests += 1;
    }
    let requests: u64 = ops.iter().sum();
    Ok(vec![
        ("requests", Figure::Count(requests)),
        ("gets", Figure::Count(ops[Op::Get as usize])),
        ("sets", Figure::Count(ops[Op::Set as usize])),
        ("deletes", Figure::Count(ops[Op::Delete as usize])),
        ("keys", Figure::Count(keys.len() as u64)),
        ("keys_used_once", Figure::Count(keys.values().filter(|k| k.requests == 1).count() as u64)),
        ("key_value_bytes", Figure::Count(keys.values().map(|key| key.bytes).sum())),
        ("mean_value_size", Figure::Number(value_bytes as f64 / requests.max(1) as f64)),
        ("seconds", Figure::Number(f64::from(end_ms) / 1000.0)),
    ])
}

/// What is known of a key.
struct Key {
    requests: u64,
    /// Of key and value at the first request.
    bytes: u64,
}
