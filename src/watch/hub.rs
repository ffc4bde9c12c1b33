//! Where events become lines and lines find their watchers.
//!
//! The hub's mutex is a leaf: it is taken with a shard locked (an eviction), and nothing is locked
//! inside it. Watchers are woken after it has been let go.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use arrayvec::ArrayVec;
use crossbeam::utils::CachePadded;

use super::backlog::Backlog;
use super::{Classes, Event};
use crate::clock::Clock;
use crate::limits::{KEY_LEN_MAX, WATCH_BACKLOG_MAX_BYTES, WATCHERS_MAX};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

/// Makes a session look at its watcher. Called from any thread, rarely: once after each time that
/// a watcher has taken all there was.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Bytes of a line behind its number: the longest key as `%XX`, and all the rest.
const BODY_LEN_MAX: usize = 3 * KEY_LEN_MAX + 250;

/// Bytes of `ts=S.U gid=N `.
const HEAD_LEN_MAX: usize = 3 + 20 + 1 + 6 + 5 + 20 + 1;

/// How much a watcher may be behind.
#[derive(Clone, Debug)]
pub struct Options {
    /// `-o watcher_logbuf_size` in bytes. Raised to what one line needs, lowered to
    /// [`WATCH_BACKLOG_MAX_BYTES`].
    pub backlog_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { backlog_bytes: 256 * 1024 }
    }
}

/// See the module documentation.
pub struct Hub {
    /// What anybody watches. Read by every emitter, so that it shares its cache line with nothing.
    watched: CachePadded<AtomicU32>,
    backlog_bytes: usize,
    /// Bytes of memory that the backlogs have.
    held_bytes: AtomicUsize,
    clock: Arc<Clock>,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Of the last line or watcher.
    gid: u64,
    watchers: [Option<Entry>; WATCHERS_MAX],
    counts: Counts,
}

struct Entry {
    classes: Classes,
    backlog: Backlog,
    wake: Wake,
    /// The watcher has taken everything and is to be told of the next line.
    is_waiting: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    written: u64,
    skipped: u64,
    sent: u64,
}

/// What the hub has counted; the names are those of the `stats` keys (stats, section 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Lines lost on their way to the watchers: none, since nothing lies between.
    pub log_worker_dropped: u64,
    /// Lines made.
    pub log_worker_written: u64,
    /// Lines lost since a watcher's backlog was full, once for each watcher.
    pub log_watcher_skipped: u64,
    /// Lines put into a watcher's backlog, once for each watcher.
    pub log_watcher_sent: u64,
    /// Watchers that there are now.
    pub log_watchers: u64,
}

impl Hub {
    /// A hub that nobody watches.
    pub fn new(options: &Options, clock: Arc<Clock>) -> Arc<Hub> {
        let least = HEAD_LEN_MAX + BODY_LEN_MAX;
        Arc::new(Hub {
            watched: CachePadded::new(AtomicU32::new(0)),
            backlog_bytes: options.backlog_bytes.clamp(least, WATCH_BACKLOG_MAX_BYTES),
            held_bytes: AtomicUsize::new(0),
            clock,
            inner: Mutex::new(Inner {
                gid: 0,
                watchers: [const { None }; WATCHERS_MAX],
                counts: Counts::default(),
            }),
        })
    }

    /// Whether anybody watches one of `classes`: one relaxed load.
    pub fn watches(&self, classes: Classes) -> bool {
        Classes(self.watched.load(Relaxed)).meet(classes)
    }

    /// Whether anybody watches anything: one relaxed load.
    pub fn is_watched(&self) -> bool {
        self.watched.load(Relaxed) != 0
    }

    /// Tells the watchers of an event, if there are any.
    pub fn emit(&self, event: &Event<'_>) {
        if !self.watches(event.classes()) {
            return;
        }
        let mut body: ArrayVec<u8, BODY_LEN_MAX> = ArrayVec::new();
        let written = event.write(&mut body);
        debug_assert!(written.is_ok(), "a line is longer than it can be");
        let wakes = {
            let mut inner = self.inner.lock();
            let wakes = inner.push(event.classes(), &body, &self.clock);
            self.note_held(&inner);
            wakes
        };
        wakes.iter().for_each(|wake| wake());
    }

    /// Bytes of lines that may wait for one watcher.
    pub fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }

    /// Bytes of memory that all backlogs have.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes.load(Relaxed)
    }

    /// Adds a watcher, which has `wake` called for what comes once it has taken all. None: there
    /// are [`WATCHERS_MAX`] already.
    pub fn watch(self: &Arc<Hub>, classes: Classes, wake: Wake) -> Option<Watcher> {
        let mut inner = self.inner.lock();
        let slot = inner.watchers.iter().position(Option::is_none)?;
        inner.gid += 1;
        let backlog = Backlog::new(self.backlog_bytes);
        inner.watchers[slot] = Some(Entry { classes, backlog, wake, is_waiting: false });
        self.note_classes(&inner);
        Some(Watcher { hub: Arc::clone(self), slot })
    }

    /// What was counted since the start or the last [`Hub::reset_stats`].
    pub fn totals(&self) -> Totals {
        let inner = self.inner.lock();
        Totals {
            log_worker_dropped: 0,
            log_worker_written: inner.counts.written,
            log_watcher_skipped: inner.counts.skipped,
            log_watcher_sent: inner.counts.sent,
            log_watchers: inner.watchers.iter().flatten().count() as u64,
        }
    }

    /// `stats reset`
    pub fn reset_stats(&self) {
        self.inner.lock().counts = Counts::default();
    }

    fn note_held(&self, inner: &Inner) {
        let held = inner.watchers.iter().flatten().map(|entry| entry.backlog.held_bytes()).sum();
        self.held_bytes.store(held, Relaxed);
    }

    fn note_classes(&self, inner: &Inner) {
        let classes = inner
            .watchers
            .iter()
            .flatten()
            .fold(Classes::default(), |all, watcher| all.with(watcher.classes));
        self.watched.store(classes.0, Relaxed);
    }
}

impl Inner {
    /// Numbers a line and gives it to those who watch its class; answers whom to wake. Number and
    /// time are taken under the lock, so that lines come in the order of both.
    fn push(
        &mut self,
        classes: Classes,
        body: &[u8],
        clock: &Clock,
    ) -> ArrayVec<Wake, WATCHERS_MAX> {
        self.gid += 1;
        self.counts.written += 1;
        let time = clock.wall();
        let mut head: ArrayVec<u8, HEAD_LEN_MAX> = ArrayVec::new();
        // Microseconds are not padded, as in memcached.
        let written =
            write!(head, "ts={}.{} gid={} ", time.as_secs(), time.subsec_micros(), self.gid);
        debug_assert!(written.is_ok(), "three numbers fit");
        let mut wakes = ArrayVec::new();
        for watcher in self.watchers.iter_mut().flatten().filter(|w| w.classes.meet(classes)) {
            if !watcher.backlog.push(&head, body) {
                self.counts.skipped += 1;
                continue;
            }
            self.counts.sent += 1;
            if std::mem::take(&mut watcher.is_waiting) {
                wakes.push(Arc::clone(&watcher.wake));
            }
        }
        wakes
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("watched", &self.watched).finish_non_exhaustive()
    }
}

/// One watcher's end; dropping it ends the watching.
#[derive(Debug)]
pub struct Watcher {
    hub: Arc<Hub>,
    slot: usize,
}

impl Watcher {
    /// Moves at most `count_max` bytes of lines to `into`. True: there are no more, and the next one
    /// will wake; false: ask again.
    pub fn take(&self, count_max: usize, into: &mut Vec<u8>) -> bool {
        let mut inner = self.hub.inner.lock();
        let Some(entry) = &mut inner.watchers[self.slot] else {
            unreachable!("a watcher's slot is its own until it is dropped")
        };
        entry.is_waiting = entry.backlog.take(count_max, into);
        entry.is_waiting
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut inner = self.hub.inner.lock();
        let entry = inner.watchers[self.slot].take();
        self.hub.note_classes(&inner);
        self.hub.note_held(&inner);
        drop(inner);
        // Last, since what it wakes with may hold anything.
        drop(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(backlog_bytes: usize) -> Arc<Hub> {
        Hub::new(&Options { backlog_bytes }, Arc::new(Clock::start()))
    }

    fn silent() -> Wake {
        Arc::new(|| {})
    }

    fn lookup(key: &[u8]) -> Event<'_> {
        Event::ItemGet { key, status: "not_found", class: 0, descriptor: 7, size: 0 }
    }

    /// What has come, without times.
    fn taken(watcher: &Watcher) -> String {
        let mut bytes = Vec::new();
        while !watcher.take(100, &mut bytes) {}
        let text = String::from_utf8(bytes).expect("ASCII");
        let without_time = |line: &str| match line.split_once(" gid=") {
            Some((time, rest)) => {
                let micros = time.strip_prefix("ts=").and_then(|ts| ts.split_once('.'));
                let (secs, micros) = micros.expect("ts=S.U");
                assert!(secs.parse::<u64>().is_ok() && micros.parse::<u32>().is_ok(), "{time}");
                format!("gid={rest}\n")
            }
            None => format!("{line}\n"),
        };
        text.lines().map(without_time).collect()
    }

    #[test]
    fn a_backlog_is_bounded_at_both_ends() {
        let least = HEAD_LEN_MAX + BODY_LEN_MAX;
        for (given, held) in [(0, least), (8192, 8192), (64 << 20, 64 << 20), (65 << 20, 64 << 20)]
        {
            assert_eq!(hub(given).backlog_bytes(), held, "{given}");
        }
    }

    #[test]
    fn lines_go_to_those_who_watch_their_class() {
        let hub = hub(1 << 16);
        hub.emit(&lookup(b"unseen"));
        let fetchers = hub.watch(Classes::FETCHERS, silent()).expect("room");
        let moves = hub.watch(Classes::SYSEVENTS.with(Classes::DELETIONS), silent()).expect("room");
        hub.emit(&lookup(b"a"));
        hub.emit(&Event::SlabMove { from: 2, to: 3 });
        hub.emit(&lookup(b"b"));
        let line = |gid, key| {
            format!("gid={gid} type=item_get key={key} status=not_found clsid=0 cfd=7 size=0\n")
        };
        assert_eq!(taken(&fetchers), line(3, "a") + &line(5, "b"));
        assert_eq!(taken(&moves), "gid=4 type=slab_move src=2 dst=3 state=ok\n");
        let totals = hub.totals();
        assert_eq!((totals.log_worker_written, totals.log_watcher_sent), (3, 3));
        assert_eq!((totals.log_watchers, totals.log_watcher_skipped), (2, 0));
        drop(fetchers);
        assert!(!hub.watches(Classes::FETCHERS) && hub.watches(Classes::DELETIONS));
        hub.reset_stats();
        assert_eq!(hub.totals(), Totals { log_watchers: 1, ..Totals::default() });
    }

    #[test]
    fn a_watcher_is_woken_once_for_what_it_awaits() {
        let hub = hub(1 << 16);
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let wake: Wake = Arc::new(move || {
            counted.fetch_add(1, Relaxed);
        });
        let watcher = hub.watch(Classes::FETCHERS, wake).expect("room");
        hub.emit(&lookup(b"a"));
        assert_eq!(count.load(Relaxed), 0, "it has not said that it waits");
        taken(&watcher);
        hub.emit(&lookup(b"b"));
        hub.emit(&lookup(b"c"));
        assert_eq!(count.load(Relaxed), 1);
        let mut begun = Vec::new();
        assert!(!watcher.take(1, &mut begun));
        hub.emit(&lookup(b"d"));
        assert_eq!(count.load(Relaxed), 1, "it has not taken all");
        assert!(watcher.take(usize::MAX, &mut begun));
        assert_eq!(begun.iter().filter(|byte| **byte == b'\n').count(), 3);
        hub.emit(&lookup(b"e"));
        assert_eq!(count.load(Relaxed), 2);
    }

    #[test]
    fn twenty_watchers_and_no_more() {
        let hub = hub(0);
        let mut watchers: Vec<Watcher> = (0..WATCHERS_MAX)
            .map(|_| hub.watch(Classes::FETCHERS, silent()).expect("room"))
            .collect();
        assert!(hub.watch(Classes::FETCHERS, silent()).is_none());
        watchers.remove(7);
        let new = hub.watch(Classes::MUTATIONS, silent()).expect("the place of the one that went");
        hub.emit(&lookup(b"a"));
        assert_eq!(taken(&new), "");
        assert_eq!(hub.totals().log_watcher_sent, 19);
    }

    #[test]
    fn the_longest_line_fits_the_smallest_backlog() {
        let hub = hub(0);
        let watcher = hub.watch(Classes::MUTATIONS, silent()).expect("room");
        let key = [0xff; KEY_LEN_MAX];
        let (status, command) = ("not_stored", "replace");
        let (class, descriptor, size) = (u8::MAX, i32::MIN, usize::MAX);
        let store =
            Event::ItemStore { key: &key, status, command, ttl: u32::MAX, class, descriptor, size };
        hub.emit(&store);
        hub.emit(&store);
        let lines = taken(&watcher);
        let (line, rest) = lines.split_once('\n').expect("a line");
        assert!(line.ends_with(&format!("size={}", usize::MAX)), "{line}");
        assert_eq!(rest, "skipped=1\n");
        assert_eq!(hub.totals().log_watcher_skipped, 1);
    }
}
