//! `stats slabs`: memory and commands by slab class (stats, section 4).
#![forbid(unsafe_code)]

use super::{Sink, add_class};
use crate::session::Turn;

pub(super) fn list(into: &mut dyn Sink, turn: &Turn<'_>) {
    let classes = turn.shared.store.classes(turn.now.secs);
    for class in &classes {
        let lines = [
            ("chunk_size", class.chunk_size),
            ("chunks_per_page", class.chunks_per_page),
            ("total_pages", class.total_pages),
            ("total_chunks", class.total_pages * class.chunks_per_page),
            ("used_chunks", class.used_chunks),
            ("free_chunks", class.free_chunks),
            ("free_chunks_end", 0),
            ("get_hits", class.get_hits),
            ("cmd_set", class.cmd_set),
            ("delete_hits", class.delete_hits),
            ("incr_hits", class.incr_hits),
            ("decr_hits", class.decr_hits),
            ("cas_hits", class.cas_hits),
            ("cas_badval", class.cas_badval),
            ("touch_hits", class.touch_hits),
        ];
        add_class(into, "", class, &lines);
    }
    into.add("active_slabs", &classes.len());
    into.add("total_malloced", &turn.shared.store.totals().total_malloced);
}
