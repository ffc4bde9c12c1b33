//! A trace against a server, as an application with a cache beside its database would send it: what
//! a get misses is then set, with the trace's size.
//!
//! Gets travel in batches; the sets for what they missed go out ahead of the next batch. A batch
//! ends early where a key comes again, so that each get sees what the requests before it did.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ahash::AHashSet;

use crate::client::{Client, Found, Stored, resident_bytes};
use crate::clock;
use crate::lookaside::{Counts, Outcome, TTL_MAX_SECS, Truth, Ttls, Windows, head};
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

/// Replays a trace.
///
/// # Errors
///
/// Those of the connection, and answers that are none.
pub fn replay(manner: &Manner, trace: &[Request]) -> io::Result<Outcome> {
    let mut replayer = Replayer::new(manner)?;
    let start = clock::now();
    let mut windows = Windows::new(trace.len(), manner.windows);
    for (index, request) in (0u64..).zip(trace) {
        if windows.ends_before(index) {
            replayer.flush()?;
            windows.end(&replayer.counts);
        }
        replayer.await_due(request, start)?;
        replayer.push(*request, index >= manner.warmup)?;
    }
    replayer.flush()?;
    // The sets for what the last batch missed.
    replayer.flush()?;
    windows.end(&replayer.counts);
    let time = clock::now() - start;
    let stats = replayer.client.stats()?;
    let counters = COUNTERS.iter().filter_map(|name| Some((*name, stats.find(name)?)));
    let rss = stats.find("pid").and_then(resident_bytes).map(|rss| ("rss_bytes", rss));
    let counters = counters.chain(rss).collect();
    Ok(Outcome { counts: replayer.counts, windows, time, counters })
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
    truth: Truth,
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
            truth: Truth::default(),
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
        self.truth.note_set(request);
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
        let (hit, right) = match self.client.read_get()? {
            Found::Miss => (false, true),
            Found::Hit(value) => (true, self.truth.is(request.key, value)),
        };
        // A wrong value is one before counting starts, too.
        self.counts.wrong += u64::from(!right);
        if counted {
            self.counts.count_get(request.value_size, hit);
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
        assert_eq!(outcome.counters, [("evictions", 7)]);
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
}
