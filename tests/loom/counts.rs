//! Counters with one writer each, and the gauge that the acceptor waits on.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;

use crate::metrics::{Connections, Counter, Metrics};
use crate::sync::model;

/// Whatever the resets and bumps beside it.
pub(super) fn a_total_is_never_below_nothing() {
    model(|| {
        let metrics = Arc::new(Metrics::new(1));
        let (bumped, reset) = (metrics.clone(), metrics.clone());
        let writer = thread::spawn(move || bumped.block(0).bump(Counter::CmdGet));
        let resetter = thread::spawn(move || reset.reset());
        assert!(metrics.total(Counter::CmdGet) <= 1);
        writer.join().expect("no panic");
        resetter.join().expect("no panic");
        assert!(metrics.total(Counter::CmdGet) <= 1);
    });
}

/// A reset writes to no block, so that it takes nothing of what is counted after it.
pub(super) fn no_count_is_lost() {
    model(|| {
        let metrics = Arc::new(Metrics::new(2));
        metrics.block(1).add(Counter::CmdGet, 5);
        let others = metrics.clone();
        let writer = thread::spawn(move || others.block(1).bump(Counter::CmdGet));
        metrics.reset();
        metrics.block(0).bump(Counter::CmdGet);
        let seen = metrics.total(Counter::CmdGet);
        assert!((1..=2).contains(&seen), "its own, and perhaps the other's: {seen}");
        writer.join().expect("no panic");
        let all = metrics.total(Counter::CmdGet);
        assert!((seen..=2).contains(&all), "{all} after {seen}");
    });
}

/// The acceptor at `-c` 1, with two connections open and closing.
pub(super) fn who_waits_for_a_close_learns_of_it() {
    model(|| {
        let connections = Arc::new(Connections::default());
        let is_woken = Arc::new(AtomicBool::new(false));
        connections.note_opened();
        connections.note_opened();
        let closers = [(); 2].map(|()| {
            let (connections, is_woken) = (connections.clone(), is_woken.clone());
            thread::spawn(move || {
                if connections.note_closed() {
                    is_woken.store(true, Relaxed);
                }
            })
        });
        connections.await_close();
        let is_full = connections.count() >= 1;
        closers.into_iter().for_each(|closer| closer.join().expect("no panic"));
        assert!(!is_full || is_woken.load(Relaxed), "it waits for ever");
        assert_eq!(connections.count(), 0);
    });
}
