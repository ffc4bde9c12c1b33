//! `stats items`: items by slab class (stats, section 3).
//!
//! There are no LRU lists. All items are shown as memcached shows them with `lru mode flat`, in COLD, but
//! for temporary ones. What the small queue hands on to the main one counts as moved to WARM.
#![forbid(unsafe_code)]

use super::{Sink, add_class};
use crate::session::Turn;

/// Only classes that hold items.
pub(super) fn list(into: &mut dyn Sink, turn: &Turn<'_>) {
    let (lru_maintainer, temp_lru) = {
        let tunables = turn.shared.tunables.lock();
        (tunables.lru_maintainer, tunables.temp_lru)
    };
    let classes = turn.shared.store.classes(turn.now.secs);
    for class in classes.iter().filter(|class| class.number > 0) {
        let mut add = |lines: &[(&str, u64)]| add_class(into, "items:", class, lines);
        add(&[("number", class.number)]);
        if lru_maintainer {
            let number_cold = class.number.saturating_sub(class.number_temp);
            add(&[("number_hot", 0), ("number_warm", 0), ("number_cold", number_cold)]);
            if temp_lru {
                add(&[("number_temp", class.number_temp)]);
            }
            add(&[("age_hot", 0), ("age_warm", 0)]);
        }
        add(&[
            ("age", class.age),
            ("mem_requested", class.mem_requested),
            ("evicted", class.evicted),
            ("evicted_nonzero", class.evicted_nonzero),
            ("evicted_time", class.evicted_time),
            ("outofmemory", class.outofmemory),
            ("tailrepairs", 0),
            ("reclaimed", class.reclaimed),
            ("expired_unfetched", class.expired_unfetched),
            ("evicted_unfetched", class.evicted_unfetched),
        ]);
        if lru_maintainer {
            add(&[("evicted_active", class.evicted_active)]);
        }
        add(&[
            ("crawler_reclaimed", class.crawler_reclaimed),
            ("crawler_items_checked", class.crawler_items_checked),
            ("lrutail_reflocked", 0),
        ]);
        if lru_maintainer {
            add(&[
                ("moves_to_cold", 0),
                ("moves_to_warm", class.promotions),
                ("moves_within_lru", class.second_chances),
                ("direct_reclaims", class.direct_reclaims),
                ("hits_to_hot", 0),
                ("hits_to_warm", 0),
                ("hits_to_cold", class.get_hits),
                ("hits_to_temp", 0),
            ]);
        }
    }
}
