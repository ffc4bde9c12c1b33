//! How long a shard stays locked: no call on a full store of many items holds up the other threads.
//!
//! The store by itself, in one thread. A call takes a shard's lock for all of its time, or several
//! shards' one after the other, so that its time is a bound. The time is the thread's own: what else
//! the machine does is left out.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nuthatch::clock::{Expiry, Secs};
use nuthatch::store::{Meta, Store, Terms};

use crate::harness::{Random, alone, say, sized, store_of, thread_time};

/// Items, of which the full size is 10 million.
fn items() -> u64 {
    sized("NUTHATCH_LOCK_ITEMS", 300_000) as u64
}

/// Bytes of a key and a value of 8 bytes with all that they cost.
const ITEM_BYTES: u64 = 57;

/// The one kind of call that may be as long as its value is large.
const LARGE: &str = "set of 300 kB";

/// What is timed to see the timing itself; it is no call.
const NOTHING: &str = "(nothing)";

/// A store, the numbers of what was stored, and how long each call took.
struct Bench {
    store: Arc<Store>,
    random: Random,
    now: Secs,
    stored: u64,
    value: Vec<u8>,
    times: BTreeMap<&'static str, Vec<u32>>,
}

impl Bench {
    fn time<T>(&mut self, kind: &'static str, call: impl FnOnce(&Arc<Store>) -> T) -> T {
        let begin = thread_time();
        let answer = call(&self.store);
        let nanos = (thread_time() - begin).as_nanos();
        self.times.entry(kind).or_default().push(nanos.try_into().unwrap_or(u32::MAX));
        answer
    }

    /// Stores a new item; one in eight expires within a minute.
    fn set(&mut self, kind: &'static str, value_len: usize) {
        let key = format!("key:{:012}", self.stored);
        let expiry = match self.random.below(8) {
            0 => Expiry(self.now.0 + 1 + self.random.below(60) as u32),
            _ => Expiry::NEVER,
        };
        let (meta, now) = (Meta { expiry, ..Meta::default() }, self.now);
        let value = std::mem::take(&mut self.value);
        let stored = self.time(kind, |store| {
            let key = store.key(key.as_bytes());
            store.store(&Terms::default(), &key, meta, &value[..value_len], now)
        });
        self.value = value;
        stored.expect("something can go");
        self.stored += 1;
    }

    fn sets(&mut self, kind: &'static str, value_len: usize, count: u64) {
        (0..count).for_each(|_| self.set(kind, value_len));
    }

    /// A key of those stored lately.
    fn some_key(&mut self) -> String {
        let lately = self.stored.min(items());
        format!("key:{:012}", self.stored - 1 - self.random.below(lately))
    }

    fn gets(&mut self, kind: &'static str, count: u64) {
        for _ in 0..count {
            let (key, now) = (self.some_key(), self.now);
            self.time(kind, |store| store.get(&store.key(key.as_bytes()), now, |_| ()).is_ok());
        }
    }

    fn deletes(&mut self, kind: &'static str, count: u64) {
        for _ in 0..count {
            let (key, now) = (self.some_key(), self.now);
            self.time(kind, |store| store.delete(&store.key(key.as_bytes()), None, now).is_ok());
        }
    }

    fn touches(&mut self, kind: &'static str, count: u64) {
        for _ in 0..count {
            let (key, now) = (self.some_key(), self.now);
            let expiry = Expiry(now.0 + 1 + self.random.below(100) as u32);
            self.time(kind, |store| store.touch(&store.key(key.as_bytes()), expiry, now).is_ok());
        }
    }

    /// The background work of so many seconds.
    fn seconds(&mut self, kind: &'static str, count: u32) {
        for _ in 0..count {
            self.now.0 += 1;
            let now = self.now;
            while self.time(kind, |store| store.maintain(now)) {}
        }
    }
}

fn quantile(times: &[u32], part: f64) -> Duration {
    let at = ((times.len() as f64 * part) as usize).min(times.len() - 1);
    Duration::from_nanos(times[at].into())
}

/// See the module.
#[test]
fn no_call_keeps_a_shard_locked_for_long() {
    let _turn = alone();
    let (count, memory) = (items(), items() * ITEM_BYTES + (4 << 20));
    let mut bench = Bench {
        store: store_of(memory.max(64 << 20) as usize),
        random: Random::new("no_call_keeps_a_shard_locked_for_long"),
        now: Secs(100),
        stored: 0,
        value: vec![b'v'; 1 << 20],
        times: BTreeMap::new(),
    };
    let part = count / 4;
    bench.sets("set, memory left", 8, count);
    bench.gets("get", part);
    bench.sets("set, evicting", 8, part);
    bench.touches("touch", part);
    bench.seconds("maintain, expiry", 60);
    bench.sets("set, evicting", 8, part);
    bench.sets("set, other sizes", 100, part);
    bench.seconds("maintain, expiry", 5);
    bench.sets("set, other sizes", 1000, part / 10);
    bench.sets("set, other sizes", 4000, part / 40);
    bench.sets("set, other sizes", 8, part);
    bench.sets(LARGE, 300_000, (part / 2000).max(50));
    bench.sets("set, other sizes", 8, part);
    bench.sets("set, other sizes", 8, part);
    bench.deletes("delete", part);
    bench.seconds("maintain, slack", 20);
    bench.sets("set, evicting", 8, count);
    let now = bench.now;
    bench.time("flush", |store| store.flush(now));
    bench.sets("set, after a flush", 8, part);
    bench.seconds("maintain, after a flush", 2);
    bench.sets("set, memory left", 8, count);
    let half = (memory / 2).max(32 << 20) as usize;
    bench.time("memlimit", |store| assert!(store.set_memory_limit(half)));
    bench.sets("set, above the limit", 8, part / 10);
    bench.seconds("maintain, above the limit", 20);
    bench.sets("set, evicting", 8, part);
    bench.time("memlimit", |store| assert!(store.set_memory_limit(2 * half)));
    bench.sets("set, memory left", 8, part);
    (0..2 * count).for_each(|_| bench.time(NOTHING, |_| ()));
    check(bench.times);
}

/// Says how the times of each kind are spread, and holds them to the bound. Those of nothing show what
/// the clock and interrupts add, not what touching memory may.
fn check(times: BTreeMap<&'static str, Vec<u32>>) {
    // Where assertions are checked everything takes longer.
    let bound = Duration::from_micros(if cfg!(debug_assertions) { 250 } else { 100 });
    let mut all = Vec::new();
    let mut over = Vec::new();
    for (kind, mut times) in times {
        line(kind, &mut times);
        if kind != LARGE && kind != NOTHING {
            over.extend(Some(kind).filter(|_| quantile(&times, 0.999) > bound));
            all.extend(times);
        }
    }
    line("all but large values", &mut all);
    assert!(over.is_empty(), "p99.9 over {bound:?}: {over:?}");
    let p9999 = quantile(&all, 0.9999);
    assert!(p9999 < bound, "p99.99 {p9999:?}");
    let longest = quantile(&all, 0.99999);
    assert!(longest < Duration::from_millis(1), "{longest:?} one time in 100,000");
}

fn line(kind: &str, times: &mut [u32]) {
    times.sort_unstable();
    let [median, p999, p9999] = [0.5, 0.999, 0.9999].map(|part| quantile(times, part));
    let longest = quantile(times, 1.0);
    let over = times.iter().filter(|nanos| **nanos >= 1_000_000).count();
    say(&format!(
        "{kind}: {} calls, median {median:?}, p99.9 {p999:?}, p99.99 {p9999:?}, \
         longest {longest:?}, {over} of 1 ms and more",
        times.len()
    ));
}
