//! Extended options that set what `stats settings` shows, and little else.
#![forbid(unsafe_code)]

use super::number;

/// What was given of them, with memcached's defaults (options, section 3).
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// `hashpower`, 0: not given.
    pub hashpower: i64,
    /// Whether pages may be moved by command.
    pub slab_reassign: bool,
    /// `slab_automove`, 0 to 2.
    pub slab_automove: i64,
    /// `slab_automove_ratio`
    pub slab_automove_ratio: f64,
    /// `slab_automove_window`
    pub slab_automove_window: i64,
    /// `tail_repair_time` in seconds, 0: not given.
    pub tail_repair_time: i64,
    /// Whether expired items are looked for in the background.
    pub lru_crawler: bool,
    /// `lru_crawler_sleep` in microseconds.
    pub lru_crawler_sleep: i64,
    /// `lru_crawler_tocrawl`
    pub lru_crawler_tocrawl: i64,
    /// Whether memcached would keep three queues.
    pub lru_segmented: bool,
    /// `hot_max_factor`
    pub hot_max_factor: f64,
    /// `warm_max_factor`
    pub warm_max_factor: f64,
    /// `temporary_ttl`, if given.
    pub temporary_ttl: Option<i64>,
    /// `worker_logbuf_size` in KiB.
    pub worker_logbuf_kib: i64,
    /// `read_buf_mem_limit` in MiB.
    pub read_buf_mem_limit_mib: i64,
    /// Whether items are counted by size.
    pub track_sizes: bool,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            hashpower: 0,
            slab_reassign: true,
            slab_automove: 1,
            slab_automove_ratio: 0.8,
            slab_automove_window: 10,
            tail_repair_time: 0,
            lru_crawler: true,
            lru_crawler_sleep: 100,
            lru_crawler_tocrawl: 0,
            lru_segmented: true,
            hot_max_factor: 0.2,
            warm_max_factor: 2.0,
            temporary_ttl: None,
            worker_logbuf_kib: 64,
            read_buf_mem_limit_mib: 0,
            track_sizes: false,
        }
    }
}

impl Tuning {
    /// Takes note of an option whose value has been checked.
    pub(super) fn set(&mut self, name: &str, number: i64, text: Option<&str>) {
        let float = || text.and_then(number::fraction).unwrap_or_default();
        match name {
            "hashpower" => self.hashpower = number,
            "slab_reassign" => self.slab_reassign = true,
            "no_slab_reassign" => self.slab_reassign = false,
            "slab_automove" => self.slab_automove = if text.is_some() { number } else { 1 },
            "no_slab_automove" => self.slab_automove = 0,
            "slab_automove_ratio" => self.slab_automove_ratio = float(),
            "slab_automove_window" => self.slab_automove_window = number,
            "tail_repair_time" => self.tail_repair_time = number,
            "lru_crawler" => self.lru_crawler = true,
            "no_lru_crawler" => self.lru_crawler = false,
            "lru_crawler_sleep" => self.lru_crawler_sleep = number,
            "lru_crawler_tocrawl" => self.lru_crawler_tocrawl = number,
            "lru_maintainer" => self.lru_segmented = true,
            "no_lru_maintainer" => self.lru_segmented = false,
            "hot_max_factor" => self.hot_max_factor = float(),
            "warm_max_factor" => self.warm_max_factor = float(),
            "temporary_ttl" => self.temporary_ttl = Some(number),
            "worker_logbuf_size" => self.worker_logbuf_kib = number,
            "read_buf_mem_limit" => self.read_buf_mem_limit_mib = number,
            "track_sizes" => self.track_sizes = true,
            "no_modern" => {
                self.slab_reassign = false;
                self.slab_automove = 0;
                self.lru_crawler = false;
                self.lru_segmented = false;
            }
            _ => {}
        }
    }
}
