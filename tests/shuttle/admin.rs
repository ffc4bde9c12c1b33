//! Commands that go through all shards in turn, beside each other and beside requests.

use std::sync::Arc;

use shuttle::thread;

use crate::clock::Secs;
use crate::kit::{NOW, get, model, set, store};
use crate::store::validate::{limits_agree, validate};

/// Two workers learn that a flush is due: whichever does it, what each stores after that stays and what
/// was there before is gone.
pub(super) fn a_due_flush_comes_before_what_is_stored_next() {
    model(|| {
        let store = store();
        let due = Secs(NOW.0 + 1);
        set(&store, b"before", b"1", NOW).expect("room");
        store.flush_at(due);
        let workers = [b"a", b"b"].map(|key| {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                store.flush_if_due(due);
                assert!(get(&store, b"before", due).is_none(), "it was to be flushed");
                set(&store, key, b"2", due).expect("room");
                store.flush_if_due(due);
                assert!(get(&store, key, due).is_some(), "it was stored after the flush");
                store.maintain(due);
            })
        });
        workers.into_iter().for_each(|worker| worker.join().expect("no panic"));
        assert!(get(&store, b"a", due).is_some() && get(&store, b"b", due).is_some());
        validate(&store);
    });
}

/// Two clients change the limit: what is shown, the arena and the ghosts follow the same one.
pub(super) fn one_limit_is_the_last() {
    model(|| {
        let store = store();
        let threads = [64 << 20, 4 << 20].map(|bytes| {
            let store = Arc::clone(&store);
            thread::spawn(move || assert!(store.set_memory_limit(bytes)))
        });
        set(&store, b"key", b"value", NOW).expect("room");
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert!(limits_agree(&store));
        validate(&store);
    });
}
