//! A trace against the daemon's store in this process: no socket, and the trace's time in place of
//! the machine's, so that a policy can be judged in seconds.
//!
//! The store is made of the daemon's own command line and used as a session does: a value that is
//! sent in one piece is stored at once, a larger one is uploaded, and what a refused set was to
//! replace is gone. Maintenance runs until it is done at each new second, as on a server that has
//! time for it. What differs from a replay on a server: no request waits, so nothing is batched.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::sync::Arc;

use nuthatch::cli::{self, Invocation};
use nuthatch::clock::{Expiry, FIRST_SEC, Secs};
use nuthatch::config::{Config, Environment};
use nuthatch::limits::COPY_VALUE_MAX;
use nuthatch::store::{Key, Meta, Options, Refusal, Store, Terms};

use crate::clock;
use crate::lookaside::{Counts, Outcome, TTL_MAX_SECS, Truth, Ttls, Windows, head};
use crate::trace::{Op, Request, key_text};

/// How a trace is replayed.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// Of the store; see [`options`].
    pub options: Options,
    /// Whether values get the trace's TTLs.
    pub ttls: Ttls,
    /// Equal parts of the trace that have a hit ratio of their own, at least 1.
    pub windows: u64,
}

/// The store's options as the daemon has them with two threads, `-m` and these further arguments.
///
/// # Errors
///
/// Arguments that the daemon refuses, or that do not make it serve; its message.
pub fn options(memory_mb: u64, arguments: &[OsString]) -> Result<Options, String> {
    let memory = memory_mb.to_string();
    let words = ["nuthatch", "-t", "2", "-m", &memory].map(OsString::from);
    let parsed = cli::parse(words.into_iter().chain(arguments.iter().cloned()));
    let given = match parsed.map_err(|error| error.message)? {
        Invocation::Serve(given) => given,
        Invocation::Print(_) | Invocation::Passwd(_) => {
            return Err("options that make the daemon print and end".into());
        }
    };
    let environment = Environment { cpus: THREADS, ..Environment::default() };
    Ok(Config::new(&given, &environment).map_err(|error| error.message)?.store)
}

impl Simulation {
    /// Replays a trace.
    ///
    /// # Errors
    ///
    /// The store cannot be made.
    pub fn run(&self, trace: &[Request]) -> Result<Outcome, String> {
        let store = Store::new(&self.options).map_err(|error| error.0)?;
        let mut course = Course {
            ttls: self.ttls,
            store,
            now: Secs(0),
            counts: Counts::default(),
            truth: Truth::default(),
            key: Vec::new(),
            value: Vec::new(),
        };
        let start = clock::now();
        let mut windows = Windows::new(trace.len(), self.windows);
        for (index, request) in (0u64..).zip(trace) {
            if windows.ends_before(index) {
                windows.end(&course.counts);
            }
            course.pass_to(Secs(FIRST_SEC.saturating_add(request.time_ms / 1000)));
            course.carry_out(request);
        }
        windows.end(&course.counts);
        let time = clock::now() - start;
        Ok(Outcome { counts: course.counts, windows, time, counters: course.counters() })
    }
}

/// A simulation on its way.
struct Course {
    ttls: Ttls,
    store: Arc<Store>,
    now: Secs,
    counts: Counts,
    truth: Truth,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Course {
    /// What the server's first worker does when its clock ticks. A trace whose times run backwards
    /// does not turn the clock back.
    fn pass_to(&mut self, now: Secs) {
        if now > self.now {
            self.now = now;
            while self.store.maintain(now) {}
        }
    }

    fn carry_out(&mut self, request: &Request) {
        let mut text = std::mem::take(&mut self.key);
        text.clear();
        key_text(request.key, request.key_size, &mut text);
        let store = Arc::clone(&self.store);
        let key = store.key(&text);
        match request.op {
            Op::Get => self.get(&key, request),
            Op::Set => self.set(&key, request),
            Op::Delete => {
                // Gone is gone, whether or not it was there.
                let _ = self.store.delete(&key, None, self.now);
                self.counts.deletes += 1;
            }
        }
        self.key = text;
    }

    fn get(&mut self, key: &Key<'_>, request: &Request) {
        let value = &mut self.value;
        value.clear();
        let hit = self.store.get(key, self.now, |hit| hit.copy_to(value)).is_ok();
        self.counts.count_get(request.value_size, hit);
        if hit {
            self.counts.wrong += u64::from(!self.truth.is(request.key, &self.value));
        } else {
            self.set(key, request);
        }
    }

    fn set(&mut self, key: &Key<'_>, request: &Request) {
        let (head, len) = (head(request.key), request.value_size as usize);
        self.value.clear();
        self.value.extend(head.iter().cycle().take(len));
        self.counts.sets += 1;
        self.truth.note_set(request);
        let expiry = match self.ttls {
            Ttls::Sent if request.ttl > 0 => {
                Expiry(self.now.0.saturating_add(request.ttl.min(TTL_MAX_SECS)))
            }
            _ => Expiry::NEVER,
        };
        if self.store(key, Meta { expiry, ..Meta::default() }).is_err() {
            self.counts.refused += 1;
            self.store.forget(key, self.now);
        }
    }

    /// Stores the value as a session does whose client sends it whole.
    fn store(&self, key: &Key<'_>, meta: Meta) -> Result<(), Refusal> {
        let (store, terms, value) = (&self.store, Terms::default(), self.value.as_slice());
        if value.len() <= COPY_VALUE_MAX {
            return store.store(&terms, key, meta, value, self.now).map(drop);
        }
        let mut upload = store.reserve(&terms, key, meta, value.len(), self.now)?;
        let mut sent = 0;
        while upload.remaining() > 0 {
            sent += upload.fill(&value[sent..], self.now)?;
        }
        store.commit(upload, &terms, self.now).map(drop)
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let totals = self.store.totals();
        vec![
            ("evictions", totals.evictions),
            ("curr_items", totals.curr_items),
            ("bytes", totals.bytes),
            ("limit_maxbytes", totals.limit_maxbytes),
            ("reclaimed", totals.reclaimed),
            ("expired_unfetched", totals.expired_unfetched),
            ("evicted_unfetched", totals.evicted_unfetched),
            ("slabs_moved", totals.slabs_moved),
            ("total_items", totals.total_items),
        ]
    }
}

/// Threads that use a store in the comparisons: it has shards accordingly.
const THREADS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Request =
        Request { time_ms: 0, key: 1, key_size: 20, op: Op::Get, value_size: 100, ttl: 0 };

    #[track_caller]
    fn run(ttls: Ttls, trace: &[Request]) -> Outcome {
        let options = options(8, &[]).unwrap();
        Simulation { options, ttls, windows: 1 }.run(trace).unwrap()
    }

    #[test]
    fn what_is_missing_is_set() {
        let trace = [
            GET,
            GET,
            Request { op: Op::Delete, ..GET },
            GET,
            Request { op: Op::Set, value_size: 40_000, ..GET },
            Request { value_size: 40_000, ..GET },
        ];
        let outcome = run(Ttls::Ignored, &trace);
        let want = Counts {
            gets: 4,
            hits: 2,
            sets: 3,
            deletes: 1,
            get_bytes: 40_300,
            hit_bytes: 40_100,
            ..Counts::default()
        };
        assert_eq!(outcome.counts, want);
    }

    #[test]
    fn what_the_store_refuses_replaces_nothing_and_stays_away() {
        let large = Request { op: Op::Set, value_size: 2 << 20, ..GET };
        let outcome = run(Ttls::Ignored, &[GET, large, GET]);
        assert_eq!((outcome.counts.refused, outcome.counts.hits, outcome.counts.wrong), (1, 0, 0));
    }

    #[test]
    fn time_is_that_of_the_trace() {
        let at = |time_ms| Request { time_ms, ttl: 5, ..GET };
        let trace = [at(0), at(4_900), at(5_100), at(5_200), at(3_600_000)];
        assert_eq!(run(Ttls::Sent, &trace).counts.hits, 2);
        assert_eq!(run(Ttls::Ignored, &trace).counts.hits, 4);
        let ended = run(Ttls::Sent, &[at(0), Request { key: 2, ..at(9_000) }]);
        let items = ended.counters.iter().find(|(name, _)| *name == "curr_items");
        assert_eq!(items, Some(&("curr_items", 1)), "maintenance takes what has expired");
    }

    #[test]
    fn a_full_store_evicts_and_answers_right() {
        let get = |number: u64| Request {
            key: number * number % 9_973,
            value_size: (number * number % 9_973 % 40 * 100) as u32,
            time_ms: number as u32,
            ..GET
        };
        let trace: Vec<Request> = (0..30_000).map(get).collect();
        let outcome = run(Ttls::Ignored, &trace);
        assert_eq!((outcome.counts.wrong, outcome.counts.refused), (0, 0));
        assert!(outcome.counters[0].1 > 0, "no evictions");
    }

    #[test]
    fn the_daemons_options_and_refusals() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let with = options(64, &words("-f 1.5 -C")).unwrap();
        assert_eq!((with.memory_bytes, with.growth_factor, with.cas), (64 << 20, 1.5, false));
        assert_eq!(with.threads, 2);
        for bad in ["-h", "-f 0.5", "--nope", "-I 1g"] {
            assert!(options(64, &words(bad)).is_err(), "{bad}");
        }
    }
}
