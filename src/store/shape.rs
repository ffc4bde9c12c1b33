//! How many shards and how large pages a store of given options has.
#![forbid(unsafe_code)]

use super::Options;
use super::ghost::SET_BYTES;
use super::limit::kept_bytes;

/// Pages are small enough that many classes share a small cache well, and large enough that those of a
/// large one seldom have to move, and that large values are in few pieces.
pub(super) const SMALL_PAGE_BYTES: usize = 16 * 1024;
const MEDIUM_PAGE_BYTES: usize = 32 * 1024;
const MEDIUM_PAGES_FROM_BYTES: usize = 32 << 20;
pub(super) const LARGE_PAGE_BYTES: usize = 64 * 1024;
const LARGE_PAGES_FROM_BYTES: usize = 1 << 30;

/// A shard owns so many pages, so that its classes share them well; fewer, down to the least, where
/// there would be more threads than shards.
const PAGES_PER_SHARD: usize = 1024;
const PAGES_PER_SHARD_MIN: usize = 512;
/// A shard holds at least so many of the largest items.
const LARGEST_ITEMS_PER_SHARD: usize = 4;
/// Enough that two threads rarely meet.
const SHARDS_PER_THREAD: usize = 16;
const SHARDS_MAX: usize = 256;

/// Share of a shard's memory for its ghost table, one part in so many: four bytes for each item of 500.
const GHOST_SHARE: usize = 128;

/// Below this limit a store may take more than it: every class that is in use needs pages of its own.
/// (memcached gives each its first page of 1 MiB whatever the limit: 15 to 46 MB are resident at `-m 8`.)
const ALLOWANCE_BELOW_BYTES: usize = 32 << 20;

/// A limit with its allowance: a twelfth of what it lacks, at most a quarter of itself; 2 MiB for 8.
pub(super) fn with_allowance(memory_bytes: usize) -> usize {
    let lacking = ALLOWANCE_BELOW_BYTES.saturating_sub(memory_bytes);
    memory_bytes + (lacking / 12).min(memory_bytes / 4)
}

/// Sets of the ghost table of each of so many shards.
pub(super) fn ghost_sets(memory_bytes: usize, shards: usize) -> usize {
    (memory_bytes / shards / GHOST_SHARE / SET_BYTES).max(1)
}

/// The sizes that follow from the options.
pub(super) struct Shape {
    pub page_bytes: usize,
    pub shards: usize,
    /// Of each shard's table.
    pub ghost_sets: usize,
    /// What is left of `-m`, and its allowance, for pages.
    pub arena_bytes: usize,
    /// The limit cannot be raised beyond it. What is reserved costs address space and a few bytes a page.
    pub reserved_max_bytes: usize,
}

impl Shape {
    pub(super) fn of(options: &Options) -> Shape {
        let memory = options.memory_bytes;
        let page_bytes = match memory {
            0..MEDIUM_PAGES_FROM_BYTES => SMALL_PAGE_BYTES,
            MEDIUM_PAGES_FROM_BYTES..LARGE_PAGES_FROM_BYTES => MEDIUM_PAGE_BYTES,
            _ => LARGE_PAGE_BYTES,
        };
        let of_pages = |pages: usize| {
            memory / (pages * page_bytes).max(LARGEST_ITEMS_PER_SHARD * options.item_size_max)
        };
        let threads = options.threads.max(1);
        let least = of_pages(PAGES_PER_SHARD_MIN).min(threads).max(1);
        let most = (threads * SHARDS_PER_THREAD).min(SHARDS_MAX);
        let shards = 1 << of_pages(PAGES_PER_SHARD).clamp(least, most).ilog2();
        let ghost_sets = ghost_sets(memory, shards);
        let arena_bytes =
            with_allowance(memory) - shards * ghost_sets * SET_BYTES - kept_bytes(options);
        Shape { page_bytes, shards, ghost_sets, arena_bytes, reserved_max_bytes: usize::MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CLIENTS_KEPT_PART;
    use crate::store::model::options;

    #[test]
    fn small_limits_have_an_allowance() {
        for (limit, with_it) in
            [(2 << 20, 5 << 19), (8 << 20, 10 << 20), (32 << 20, 32 << 20), (64 << 20, 64 << 20)]
        {
            assert_eq!(with_allowance(limit), with_it);
        }
        let steps: Vec<usize> = (2..40).map(|mib| with_allowance(mib << 20)).collect();
        assert!(steps.is_sorted());
    }

    /// Pages, shards and what the tables of ghosts cost, as the limit, threads and the largest item ask.
    #[test]
    fn shapes_follow_from_the_options() {
        const MIB: usize = 1 << 20;
        const KIB: usize = 1 << 10;
        for (memory, item, threads, shape) in [
            (8 * MIB, MIB, 4, (16 * KIB, 1)),
            (32 * MIB - 1, MIB, 1, (16 * KIB, 1)),
            (32 * MIB, MIB, 1, (32 * KIB, 1)),
            (64 * MIB, MIB, 1, (32 * KIB, 2)),
            (64 * MIB, MIB, 4, (32 * KIB, 4)),
            (64 * MIB, 4 * MIB, 4, (32 * KIB, 4)),
            (64 * MIB, 8 * MIB, 4, (32 * KIB, 2)),
            (64 * MIB, 64 * MIB, 4, (32 * KIB, 1)),
            (512 * MIB, MIB, 1, (32 * KIB, 16)),
            (512 * MIB, MIB, 0, (32 * KIB, 16)),
            (1024 * MIB - 1, MIB, 4, (32 * KIB, 16)),
            (1024 * MIB, MIB, 4, (64 * KIB, 16)),
            (65_536 * MIB, MIB, 4, (64 * KIB, 64)),
            (65_536 * MIB, MIB, 64, (64 * KIB, 256)),
        ] {
            let options = Options { threads, ..options(memory, item, true) };
            let made = Shape::of(&options);
            assert_eq!((made.page_bytes, made.shards), shape, "{memory} {item} {threads}");
            let ghosts = made.shards * made.ghost_sets * SET_BYTES;
            assert!(ghosts <= memory / 128 && ghosts > memory / 128 - made.shards * SET_BYTES);
            let left = with_allowance(memory) - ghosts - kept_bytes(&options);
            assert_eq!(made.arena_bytes, left);
        }
        assert_eq!(ghost_sets(1, 1), 1);
        let evicting = options(64 * MIB, MIB, true);
        let keeping = options(64 * MIB, MIB, false);
        let large = Options { large_pages: true, ..options(64 * MIB, MIB, true) };
        let kept = 64 * MIB / CLIENTS_KEPT_PART;
        assert_eq!([evicting, keeping, large].map(|of| kept_bytes(&of)), [0, kept, kept]);
    }
}
