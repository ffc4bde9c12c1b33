//! How many shards and how large pages a store of given options has.
#![forbid(unsafe_code)]

use super::Options;

/// Pages are this large from [`LARGE_PAGES_FROM_BYTES`] on: few page moves.
const PAGE_BYTES: usize = 64 * 1024;
/// Below, so that many classes do not eat a small cache.
pub(super) const SMALL_PAGE_BYTES: usize = 16 * 1024;
const LARGE_PAGES_FROM_BYTES: usize = 64 << 20;

/// A shard owns at least so many pages, so that its classes share them well.
const PAGES_PER_SHARD_MIN: usize = 256;
/// A shard holds at least so many of the largest items.
const LARGEST_ITEMS_PER_SHARD: usize = 4;
/// Enough that two threads rarely meet.
const SHARDS_PER_THREAD: usize = 16;
const SHARDS_MAX: usize = 256;

/// Share of a shard's memory for its ghost table, one part in so many.
const GHOST_SHARE: usize = 256;

/// The sizes that follow from the options.
pub(super) struct Shape {
    pub page_bytes: usize,
    pub shards: usize,
    /// Of each shard's table.
    pub ghost_entries: usize,
    /// What is left of `-m` for pages.
    pub arena_bytes: usize,
}

impl Shape {
    pub(super) fn of(options: &Options) -> Shape {
        let memory = options.memory_bytes;
        let page_bytes =
            if memory < LARGE_PAGES_FROM_BYTES { SMALL_PAGE_BYTES } else { PAGE_BYTES };
        let shard_bytes_min =
            (PAGES_PER_SHARD_MIN * page_bytes).max(LARGEST_ITEMS_PER_SHARD * options.item_size_max);
        let most = (options.threads.max(1) * SHARDS_PER_THREAD).min(SHARDS_MAX);
        let shards = 1 << (memory / shard_bytes_min).clamp(1, most).ilog2();
        let ghost_bytes = memory / shards / GHOST_SHARE;
        let ghost_entries = 1 << (ghost_bytes / size_of::<u64>()).max(1).ilog2();
        let arena_bytes = memory - shards * ghost_entries * size_of::<u64>();
        Shape { page_bytes, shards, ghost_entries, arena_bytes }
    }
}
