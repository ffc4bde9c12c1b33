//! A trace against a server, as an application with a cache beside its database would send it: what
//! a get misses is then set, with the trace's size.
//!
//! Gets travel in batches; the sets for what they missed go out ahead of the next batch. A batch
//! ends early where a key comes again, so that each get sees what the requests before it did.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ahash::{AHashMap, AHashSet};

use crate::client::{Client, Found, Stats, Stored, resident_bytes};
use crate::clock;
use crate::random::mix;
use crate::report::{Figure, Report, ratio};
use crate::trace::{Op, Request, key_text};

/// How a trace is replayed.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Where the server is; it is empty.
    pub server: SocketAddr,
    /// Requests a round trip at most.
    pub batch: usize,
    /// Seconds of the trace a second; none for as fast as possible.
    pub pace: Option<f64>,
    /// Whether values get the trace's TTLs.
    pub ttls: Ttls,
    /// Requests before counting starts.
    pub warmup: u64,
    /// Equal parts of the trace that have a hit ratio of their own, at least 1.
    pub windows: u64,
}

/// What becomes of a trace's TTLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttls {
    /// Nothing expires.
    Ignored,
    /// Sent, divided by the pace.
    Sent,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads.
    pub gets: u64,
    /// Reads that found something.
    pub hits: u64,
    /// Writes, those after misses included.
    pub sets: u64,
    /// Writes that the server refused.
    pub refused: u64,
    /// Deletions.
    pub deletes: u64,
    /// Hits with another value than was set last.
    pub wrong: u64,
    /// Bytes of values asked for.
    pub get_bytes: u64,
    /// Bytes of values found.
    pub hit_bytes: u64,
}

/// What a replay found.
pub struct Outcome {
    /// Over the whole trace.
    pub counts: Counts,
    windows: Vec<f64>,
    time: Duration,
    stats: Stats,
    rss: Option<u64>,
}

impl Outcome {
    /// The figures.
    pub fn report(&self) -> Report {
        let counts = &self.counts;
        let mut report = vec![
            ("gets", Figure::Count(counts.gets)),
            ("hits", Figure::Count(counts.hits)),
            ("misses", Figure::Count(counts.gets - counts.hits)),
            ("hit_ratio", Figure::Number(ratio(counts.hits, counts.gets))),
            ("byte_hit_ratio", Figure::Number(ratio(counts.hit_bytes, counts.get_bytes))),
            ("window_hit_ratios", Figure::Numbers(self.windows.clone())),
            ("sets", Figure::Count(counts.sets)),
            ("sets_refused", Figure::Count(counts.refused)),
            ("deletes", Figure::Count(counts.deletes)),
            ("wrong_values", Figure::Count(counts.wrong)),
            ("seconds", Figure::Number(self.time.as_secs_f64())),
        ];
        let counters = COUNTERS.iter().filter_map(|name| Some((*name, self.stats.find(name)?)));
        report.extend(counters.map(|(name, count)| (name, Figure::Count(count))));
        report.extend(self.rss.map(|rss| ("rss_bytes", Figure::Count(rss))));
        report
    }
}

/// Replays a trace.
///
/// # Errors
///
/// Those of the connection, and answers that are none.
pub fn replay(manner: &Manner, trace: &[Request]) -> io::Result<Outcome> {
    let mut replayer = Replayer::new(manner)?;
    let start = clock::now();
    let window = (trace.len() as u64 / manner.windows).max(1);
    let (mut windows, mut before) = (Vec::new(), Counts::default());
    for (index, request) in (0u64..).zip(trace) {
        if index > 0 && index % window == 0 && (windows.len() as u64) + 1 < manner.windows {
            replayer.flush()?;
            windows.push(hit_ratio(&before, &replayer.counts));
            before = replayer.counts;
        }
        replayer.await_due(request, start)?;
        replayer.push(*request, index >= manner.warmup)?;
    }
    replayer.flush()?;
    // The sets for what the last batch missed.
    replayer.flush()?;
    windows.push(hit_ratio(&before, &replayer.counts));
    let stats = replayer.client.stats()?;
    let rss = stats.find("pid").and_then(resident_bytes);
    Ok(Outcome { counts: replayer.counts, windows, time: clock::now() - start, stats, rss })
}

fn hit_ratio(before: &Counts, after: &Counts) -> f64 {
    ratio(after.hits - before.hits, after.gets - before.gets)
}

/// A replay on its way.
struct Replayer<'a> {
    manner: &'a Manner,
    client: Client,
    counts: Counts,
    /// What was sent or is queued and has no answer yet, and whether it counts.
    batch: Vec<(Request, bool)>,
    in_batch: AHashSet<u64>,
    /// Bytes of values that the batch's gets may bring.
    asked_bytes: usize,
    /// Sets for misses, queued ahead of the batch, by whether they count.
    pending_sets: Vec<bool>,
    /// The length of what was last set for each key.
    stored: AHashMap<u64, u32>,
    key: Vec<u8>,
}

impl Replayer<'_> {
    fn new(manner: &Manner) -> io::Result<Replayer<'_>> {
        Ok(Replayer {
            manner,
            client: Client::connect(manner.server)?,
            counts: Counts::default(),
            batch: Vec::new(),
            in_batch: AHashSet::new(),
            asked_bytes: 0,
            pending_sets: Vec::new(),
            stored: AHashMap::new(),
            key: Vec::new(),
        })
    }

    /// With a pace, waits for the request's time; nothing is left unsent meanwhile.
    fn await_due(&mut self, request: &Request, start: Instant) -> io::Result<()> {
        let Some(pace) = self.manner.pace else { return Ok(()) };
        let due = Duration::from_secs_f64(f64::from(request.time_ms) / 1000.0 / pace);
        if let Some(time) = due.checked_sub(clock::now() - start)
            && time > PATIENCE
        {
            // Twice, for what the first finds missing is to be there when the time has passed.
            self.flush()?;
            self.flush()?;
            clock::wait(due.saturating_sub(clock::now() - start));
        }
        Ok(())
    }

    fn push(&mut self, request: Request, counted: bool) -> io::Result<()> {
        // A server whose answers nobody reads may not read a value that is being sent.
        let blocks = request.op == Op::Set && self.asked_bytes > ASKED_MAX_BYTES;
        let full = self.batch.len() >= self.manner.batch;
        if full || blocks || self.in_batch.contains(&request.key) {
            self.flush()?;
        }
        self.in_batch.insert(request.key);
        if request.op == Op::Set {
            self.queue_set(&request);
        } else {
            self.key.clear();
            key_text(request.key, request.key_size, &mut self.key);
            if request.op == Op::Get {
                self.client.queue_get(&self.key);
                self.asked_bytes += request.value_size as usize;
            } else {
                self.client.queue_delete(&self.key);
            }
        }
        self.batch.push((request, counted));
        Ok(())
    }

    fn queue_set(&mut self, request: &Request) {
        self.key.clear();
        key_text(request.key, request.key_size, &mut self.key);
        let len = request.value_size as usize;
        self.client.queue_set(&self.key, self.manner.ttl(request.ttl), len, head(request.key));
        self.stored.insert(request.key, request.value_size);
    }

    /// Sends what is queued, reads all answers, and queues the sets for what was missed.
    fn flush(&mut self) -> io::Result<()> {
        self.client.send()?;
        for counted in std::mem::take(&mut self.pending_sets) {
            self.read_set(counted)?;
        }
        let mut batch = std::mem::take(&mut self.batch);
        for (request, counted) in batch.drain(..) {
            match request.op {
                Op::Get => self.read_get(&request, counted)?,
                Op::Set => self.read_set(counted)?,
                Op::Delete => {
                    self.client.read_delete()?;
                    self.counts.deletes += u64::from(counted);
                }
            }
        }
        self.batch = batch;
        self.in_batch.clear();
        self.asked_bytes = 0;
        Ok(())
    }

    fn read_set(&mut self, counted: bool) -> io::Result<()> {
        let stored = self.client.read_set()?;
        self.counts.sets += u64::from(counted);
        self.counts.refused += u64::from(counted && stored == Stored::Refused);
        Ok(())
    }

    fn read_get(&mut self, request: &Request, counted: bool) -> io::Result<()> {
        let bytes = u64::from(request.value_size);
        let (hit, right) = match self.client.read_get()? {
            Found::Miss => (false, true),
            Found::Hit(value) => {
                let len = self.stored.get(&request.key).map(|len| *len as usize);
                (true, len == Some(value.len()) && is_value(value, request.key))
            }
        };
        // A wrong value is one before counting starts, too.
        self.counts.wrong += u64::from(!right);
        if counted {
            self.counts.gets += 1;
            self.counts.get_bytes += bytes;
            self.counts.hits += u64::from(hit);
            self.counts.hit_bytes += if hit { bytes } else { 0 };
        }
        if !hit {
            self.queue_set(request);
            self.pending_sets.push(counted);
        }
        Ok(())
    }
}

impl Manner {
    /// The exptime that is sent for a TTL: never 0 for one that is not, nor so long that it would be
    /// taken for a date.
    fn ttl(&self, ttl: u32) -> u32 {
        match (self.ttls, self.pace) {
            (Ttls::Ignored, _) => 0,
            (Ttls::Sent, None) => ttl.min(TTL_MAX_SECS),
            (Ttls::Sent, Some(pace)) => ((f64::from(ttl) / pace).ceil() as u32).min(TTL_MAX_SECS),
        }
    }
}

/// The eight bytes that a key's values repeat; none is a control character.
fn head(key: u64) -> [u8; 8] {
    (mix(key) | 0x2020_2020_2020_2020).to_le_bytes()
}

fn is_value(value: &[u8], key: u64) -> bool {
    let head = head(key);
    value.chunks(head.len()).all(|part| part == &head[..part.len()])
}

/// What is shown of a server's counters, where it has them.
const COUNTERS: &[&str] = &[
    "evictions",
    "curr_items",
    "bytes",
    "limit_maxbytes",
    "reclaimed",
    "expired_unfetched",
    "evicted_unfetched",
    "slabs_moved",
    "total_items",
];

/// Bytes of values under which a set may follow gets whose answers are not read: half of the
/// smallest buffers that sockets of the loopback have.
const ASKED_MAX_BYTES: usize = 64 << 10;

/// Shorter waits are left out: a batch would have a request or two.
const PATIENCE: Duration = Duration::from_millis(1);

/// Thirty days: an exptime above it is a date.
const TTL_MAX_SECS: u32 = 60 * 60 * 24 * 30;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    /// A server of one connection that keeps all but key 0, and damages the values of key 2.
    fn serve(listener: &TcpListener) {
        let (mut out, _) = listener.accept().unwrap();
        let mut input = BufReader::new(out.try_clone().unwrap());
        let mut all: HashMap<String, Vec<u8>> = HashMap::new();
        let mut line = String::new();
        while input.read_line(&mut line).unwrap_or(0) > 0 {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            match words[0].as_str() {
                "get" => {
                    if let Some(value) = all.get(&words[1]) {
                        write!(out, "VALUE {} 0 {}\r\n", words[1], value.len() - 2).unwrap();
                        out.write_all(value).unwrap();
                    }
                    out.write_all(b"END\r\n").unwrap();
                }
                "set" => {
                    let mut value = vec![0; words[4].parse::<usize>().unwrap() + 2];
                    input.read_exact(&mut value).unwrap();
                    match words[1].trim_start_matches('0') {
                        "" => {}
                        "2" => drop(all.insert(words[1].clone(), [b"x", &value[1..]].concat())),
                        _ => drop(all.insert(words[1].clone(), value)),
                    }
                    out.write_all(b"STORED\r\n").unwrap();
                }
                "delete" => {
                    all.remove(&words[1]);
                    out.write_all(b"DELETED\r\n").unwrap();
                }
                _ => out.write_all(b"STAT evictions 7\r\nSTAT version 1.6\r\nEND\r\n").unwrap(),
            }
            line.clear();
        }
    }

    #[track_caller]
    fn check(trace: &[Request], want: Counts) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let manner =
            Manner { server, batch: 64, pace: None, ttls: Ttls::Ignored, warmup: 0, windows: 2 };
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| serve(&listener));
            replay(&manner, trace).unwrap()
        });
        assert_eq!(outcome.counts, want);
        assert_eq!(outcome.windows.len(), 2);
        assert_eq!(outcome.stats.find("evictions"), Some(7));
    }

    const GET: Request =
        Request { time_ms: 0, key: 1, key_size: 10, op: Op::Get, value_size: 100, ttl: 0 };

    #[test]
    fn each_get_sees_what_was_before_it() {
        let trace = [
            // A miss, then a hit although both would fit one batch.
            GET,
            GET,
            // The server does not keep this key.
            Request { key: 0, ..GET },
            Request { key: 0, ..GET },
            Request { op: Op::Delete, ..GET },
            // A miss, then a hit with another length.
            GET,
            Request { op: Op::Set, value_size: 3, ..GET },
            GET,
        ];
        let want = Counts {
            gets: 6,
            hits: 2,
            sets: 5,
            deletes: 1,
            get_bytes: 600,
            hit_bytes: 200,
            ..Counts::default()
        };
        check(&trace, want);
    }

    #[test]
    fn a_wrong_value_is_counted() {
        let get = Request { key: 2, ..GET };
        let want = Counts {
            gets: 3,
            hits: 2,
            sets: 1,
            wrong: 2,
            get_bytes: 300,
            hit_bytes: 200,
            ..Counts::default()
        };
        check(&[get, get, get], want);
    }

    #[test]
    fn ttls_follow_the_pace() {
        let ttl = |ttls, pace, ttl| {
            let server = "127.0.0.1:1".parse().unwrap();
            Manner { server, batch: 1, pace, ttls, warmup: 0, windows: 1 }.ttl(ttl)
        };
        assert_eq!(ttl(Ttls::Ignored, Some(2.0), 9), 0);
        assert_eq!(ttl(Ttls::Sent, None, 9), 9);
        assert_eq!(ttl(Ttls::Sent, Some(2.0), 9), 5);
        assert_eq!(ttl(Ttls::Sent, Some(1.0), 0), 0);
        assert_eq!(ttl(Ttls::Sent, Some(1e6), 1), 1);
        assert_eq!(ttl(Ttls::Sent, None, 40_000_000), 2_592_000);
    }

    #[test]
    fn values_are_compared_to_their_last_byte() {
        let value = [head(5), head(5)].concat();
        assert!(is_value(&value, 5) && is_value(&value[..11], 5) && is_value(b"", 5));
        assert!(!is_value(&value, 6));
        assert!(!is_value(&[&value[..15], b"\0"].concat(), 5));
    }
}
