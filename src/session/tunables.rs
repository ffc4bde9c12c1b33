//! Settings of memcached's that operators give or change and find again in `stats settings`.
//!
//! Most of them are without effect, since no part here is steered by them; docs/options.md and
//! docs/protocol.md say which. They are kept so that what was set is what is shown.
#![forbid(unsafe_code)]

use crate::protocol::control::{Lru, LruMode};

/// See the module's documentation. Names are those of `stats settings` (stats, section 2).
#[derive(Clone, Debug, PartialEq)]
pub struct Tunables {
    /// `-o hashpower`, 0: not given. Without effect.
    pub hashpower_init: u32,
    /// `-o no_slab_reassign` is false: `slabs reassign` works.
    pub slab_reassign: bool,
    /// `slabs automove`: 0 keeps pages in their class where they need not move.
    pub slab_automove: u32,
    /// `slabs automove ratio`. Without effect.
    pub slab_automove_ratio: f64,
    /// `slabs automove freeratio`. Without effect.
    pub slab_automove_freeratio: f64,
    /// `slabs automove window`. Without effect.
    pub slab_automove_window: u32,
    /// `lru_crawler sleep` in microseconds. Without effect.
    pub lru_crawler_sleep: u32,
    /// `lru_crawler tocrawl`. Without effect.
    pub lru_crawler_tocrawl: u32,
    /// `-o tail_repair_time`. Without effect.
    pub tail_repair_time: u64,
    /// `-o no_lru_maintainer` is false. There is no such thread; without it `lru mode` and
    /// `lru temp_ttl` fail, and what it counts is not shown, as in memcached.
    pub lru_maintainer: bool,
    /// `lru mode`: flat has no temporary items. Without effect beside that.
    pub lru_segmented: bool,
    /// `lru tune`. Without effect.
    pub hot_lru_pct: u32,
    /// `lru tune`. Without effect.
    pub warm_lru_pct: u32,
    /// `lru tune`. Without effect.
    pub hot_max_factor: f64,
    /// `lru tune`. Without effect.
    pub warm_max_factor: f64,
    /// `lru temp_ttl` of 0 or more: what expires so soon is evicted last.
    pub temp_lru: bool,
    /// `lru temp_ttl` in seconds.
    pub temporary_ttl: i32,
    /// `-o worker_logbuf_size` in bytes. Without effect.
    pub worker_logbuf_size: u64,
    /// `-o read_buf_mem_limit` in bytes. Without effect.
    pub read_buf_mem_limit: u64,
    /// `-N`. Without effect.
    pub num_napi_ids: u32,
}

impl Tunables {
    /// Items that are stored with a TTL of so many seconds or less are evicted last; None: there are no
    /// such items.
    pub fn ttl_of_temporary_items(&self) -> Option<u32> {
        let is_on = self.temp_lru && self.lru_segmented && self.lru_maintainer;
        u32::try_from(self.temporary_ttl).ok().filter(|_| is_on)
    }

    /// `lru`: whether it can be done.
    pub(super) fn tune(&mut self, request: Lru) -> bool {
        match request {
            Lru::Tune { hot_pct, warm_pct, hot_factor, warm_factor } => {
                self.hot_lru_pct = hot_pct;
                self.warm_lru_pct = warm_pct;
                self.hot_max_factor = hot_factor;
                self.warm_max_factor = warm_factor;
                return true;
            }
            _ if !self.lru_maintainer => return false,
            Lru::Mode(Some(mode)) => self.lru_segmented = mode == LruMode::Segmented,
            Lru::TempTtl(Some(ttl)) => {
                self.temp_lru = ttl >= 0;
                if self.temp_lru {
                    self.temporary_ttl = ttl;
                }
            }
            Lru::Mode(None) | Lru::TempTtl(None) => return false,
        }
        true
    }
}

impl Default for Tunables {
    /// memcached's own defaults.
    fn default() -> Tunables {
        Tunables {
            hashpower_init: 0,
            slab_reassign: true,
            slab_automove: 1,
            slab_automove_ratio: 0.8,
            slab_automove_freeratio: 0.01,
            slab_automove_window: 10,
            lru_crawler_sleep: 100,
            lru_crawler_tocrawl: 0,
            tail_repair_time: 0,
            lru_maintainer: true,
            lru_segmented: true,
            hot_lru_pct: 20,
            warm_lru_pct: 40,
            hot_max_factor: 0.2,
            warm_max_factor: 2.0,
            temp_lru: false,
            temporary_ttl: 61,
            worker_logbuf_size: 64 * 1024,
            read_buf_mem_limit: 0,
            num_napi_ids: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lru_section_7() {
        let mut tunables = Tunables::default();
        let tune = Lru::Tune { hot_pct: 1, warm_pct: 2, hot_factor: 3.0, warm_factor: 4.0 };
        assert!(tunables.tune(tune));
        assert_eq!((tunables.hot_lru_pct, tunables.warm_lru_pct), (1, 2));
        assert!(tunables.tune(Lru::Mode(Some(LruMode::Flat))) && !tunables.lru_segmented);
        assert!(tunables.tune(Lru::TempTtl(Some(0))) && tunables.temp_lru);
        assert_eq!(tunables.temporary_ttl, 0);
        assert_eq!(tunables.ttl_of_temporary_items(), None, "the mode is flat");
        assert!(tunables.tune(Lru::Mode(Some(LruMode::Segmented))));
        assert_eq!(tunables.ttl_of_temporary_items(), Some(0));
        assert!(tunables.tune(Lru::TempTtl(Some(5))) && tunables.tune(Lru::TempTtl(Some(-1))));
        assert_eq!((tunables.temp_lru, tunables.temporary_ttl), (false, 5));
        assert!(!tunables.tune(Lru::Mode(None)) && !tunables.tune(Lru::TempTtl(None)));
        tunables.lru_maintainer = false;
        assert!(tunables.tune(tune));
        assert!(!tunables.tune(Lru::Mode(Some(LruMode::Segmented))));
        assert!(!tunables.tune(Lru::TempTtl(Some(1))));
        assert!(tunables.lru_segmented);
    }
}
