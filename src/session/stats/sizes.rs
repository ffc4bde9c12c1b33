//! `stats sizes`: items by size (stats, section 5).
#![forbid(unsafe_code)]

use super::Sink;
use crate::session::Turn;

pub(super) fn list(into: &mut dyn Sink, turn: &Turn<'_>) {
    let Some(sizes) = turn.shared.store.item_sizes() else {
        return into.add("sizes_status", &"disabled");
    };
    for (bytes, count) in sizes {
        into.add(&bytes.to_string(), &count);
    }
}
