//! Pages between shards.
//!
//! Each shard may own an equal share of the pages, since hashing spreads keys evenly. What is not
//! even are large values on their way: twenty uploads of one key all fall on one shard. One that
//! can free nothing more of its own is lent a page's worth of another's share, and what was lent
//! goes back bit by bit. No two shards are locked at a time: the shares in between belong to nobody,
//! and their sum never exceeds the limit.
#![forbid(unsafe_code)]

use super::Store;
use super::drain::Recipient;
use crate::clock::Secs;

/// A shard keeps at least so many pages: for its index and for one of each of a few classes.
const PAGES_KEPT: usize = 8;

/// Of what a shard has beyond its share, one part in so many goes back each second.
const RETURN_PART: usize = 8;

impl Store {
    /// Raises the share of shard `to` by a page, at the cost of another. False: no other shard can
    /// free one.
    pub(super) fn lend(&self, to: usize, now: Secs) -> bool {
        let count = self.shards.len();
        for step in 1..count {
            let mut from = self.shard((to + step) % count);
            let is_unused = from.pages_held < from.pages_max;
            if from.pages_max <= PAGES_KEPT
                || !(is_unused || from.give_up_page(Recipient::Arena, now))
            {
                continue;
            }
            from.pages_max -= 1;
            drop(from);
            self.shard(to).pages_max += 1;
            return true;
        }
        false
    }

    /// Moves the shares toward each other. Pages above a share are given up by `maintain`.
    pub(super) fn even_out(&self) {
        let share_of = |number| self.arena.share_of(number, self.shards.len());
        let mut returned = 0;
        for (number, shard) in self.shards.iter().enumerate() {
            let (mut shard, share) = (shard.lock(), share_of(number));
            let part = shard.pages_max.saturating_sub(share).div_ceil(RETURN_PART);
            shard.pages_max -= part;
            returned += part;
        }
        for (number, shard) in self.shards.iter().enumerate() {
            let (mut shard, share) = (shard.lock(), share_of(number));
            let part = share.saturating_sub(shard.pages_max).min(returned);
            shard.pages_max += part;
            returned -= part;
        }
    }
}
