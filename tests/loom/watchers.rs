//! Watchers that come, read and go while lines are made.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::thread;

use crate::clock::Clock;
use crate::sync::model;
use crate::watch::{Classes, Event, Hub, Options, Wake, Watcher};

const MOVE: Event<'_> = Event::SlabMove { from: 1, to: 2 };

fn hub() -> Arc<Hub> {
    Hub::new(&Options { backlog_bytes: 4096 }, Arc::new(Clock::start()))
}

fn silent() -> Wake {
    Arc::new(|| {})
}

/// A wake that counts.
fn counted() -> (Wake, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&wakes);
    let wake = move || {
        counted.fetch_add(1, SeqCst);
    };
    (Arc::new(wake), wakes)
}

/// Lines that a watcher has, all there are.
fn taken(watcher: &Watcher) -> usize {
    let mut lines = Vec::new();
    assert!(watcher.take(usize::MAX, &mut lines), "it has taken all");
    lines.iter().filter(|byte| **byte == b'\n').count()
}

/// Two threads make a line each while the watcher looks: what it has not seen has woken it since.
pub(super) fn a_line_is_taken_or_wakes() {
    model(|| {
        let hub = hub();
        let (wake, wakes) = counted();
        let watcher = hub.watch(Classes::SYSEVENTS, wake).expect("room");
        assert_eq!(taken(&watcher), 0);
        let emitters = [(); 2].map(|()| {
            let hub = Arc::clone(&hub);
            thread::spawn(move || hub.emit(&MOVE))
        });
        let seen = taken(&watcher);
        emitters.into_iter().for_each(|emitter| emitter.join().expect("no panic"));
        // The first line wakes, and the next one if the watcher has taken the first meanwhile.
        assert_eq!(wakes.load(SeqCst), if seen == 1 { 2 } else { 1 }, "{seen} lines were seen");
        assert_eq!(seen + taken(&watcher), 2, "no line is lost or comes twice");
    });
}

/// Two watchers of different classes come, and one of them goes.
pub(super) fn what_is_watched_is_known() {
    model(|| {
        let hub = hub();
        let other = Arc::clone(&hub);
        let comes = thread::spawn(move || other.watch(Classes::FETCHERS, silent()));
        drop(hub.watch(Classes::MUTATIONS, silent()));
        let stays = comes.join().expect("no panic").expect("room");
        assert!(hub.watches(Classes::FETCHERS) && !hub.watches(Classes::MUTATIONS));
        hub.emit(&Event::ItemGet {
            key: b"a",
            status: "not_found",
            class: 0,
            descriptor: 7,
            size: 0,
        });
        assert_eq!(taken(&stays), 1);
        drop(stays);
        assert!(!hub.watches(Classes::FETCHERS));
    });
}

/// A watcher goes and another takes its place while a line is made for the first.
pub(super) fn who_has_left_gets_no_line_of_others() {
    model(|| {
        let hub = hub();
        let (wake, wakes) = counted();
        let first = hub.watch(Classes::SYSEVENTS, wake).expect("room");
        assert_eq!(taken(&first), 0);
        let emitting = Arc::clone(&hub);
        let emitter = thread::spawn(move || emitting.emit(&MOVE));
        drop(first);
        let second = hub.watch(Classes::FETCHERS, silent()).expect("the place of the first");
        emitter.join().expect("no panic");
        assert_eq!(taken(&second), 0, "a line of a class that it does not watch");
        assert!(wakes.load(SeqCst) <= 1);
        assert_eq!(hub.totals().log_watchers, 1);
    });
}
