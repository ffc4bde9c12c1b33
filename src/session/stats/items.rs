//! `stats items`: items by slab class (stats, section 3).
#![forbid(unsafe_code)]

use super::{Sink, add_class};
use crate::session::Turn;

/// Only classes that hold items.
pub(super) fn list(into: &mut dyn Sink, turn: &Turn<'_>) {
    let classes = turn.shared.store.classes(turn.now.secs);
    for class in classes.iter().filter(|class| class.number > 0) {
        let lines = [
            ("number", class.number),
            ("age", class.age),
            ("mem_requested", class.mem_requested),
            ("evicted", class.evicted),
            ("evicted_nonzero", class.evicted_nonzero),
            ("evicted_time", class.evicted_time),
            ("outofmemory", class.outofmemory),
            ("reclaimed", class.reclaimed),
            ("expired_unfetched", class.expired_unfetched),
            ("evicted_unfetched", class.evicted_unfetched),
            ("crawler_reclaimed", class.crawler_reclaimed),
            ("crawler_items_checked", class.crawler_items_checked),
        ];
        add_class(into, "items:", class, &lines);
    }
}
