//! Looks that leave no trace, and what watchers are told: no hit is noted, nothing expired is
//! freed, no counter moves. They cost a lookup and are made only when somebody watches.
#![forbid(unsafe_code)]

use super::arena::Ref;
use super::class::ClassId;
use super::item::{Header, Mark};
use super::shard::Shard;
use super::{Key, Meta, Miss, Store};
use crate::clock::{Expiry, Secs};
use crate::watch::{Classes, Event};

/// What a glance shows of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its slab class.
    pub class_id: u8,
    /// Length of its value in bytes.
    pub value_len: usize,
    /// When it expires.
    pub expiry: Expiry,
}

impl Store {
    /// What there is of `key`, without a hit.
    pub fn glance(&self, key: &Key<'_>, now: Secs) -> Result<Seen, Miss> {
        self.shard_of(key).glance(key, now)
    }

    /// The slab class that a new item would be in; one that is too large for any: the largest.
    pub fn class_id(&self, key: &Key<'_>, meta: Meta, value_len: usize) -> u8 {
        let header = Header {
            key: key.bytes,
            flags: meta.flags,
            expiry: meta.expiry,
            is_binary_key: meta.is_binary_key,
            is_wide: false,
            access: 0,
            value_len,
            here_len: None,
        };
        let bytes = header.fixed_bytes(false) + value_len;
        self.sizes.class_for(bytes).unwrap_or(self.sizes.largest_whole()).0
    }
}

impl Shard {
    pub(super) fn glance(&self, key: &Key<'_>, now: Secs) -> Result<Seen, Miss> {
        let slab = &self.slab;
        let (_, item) =
            self.index.find(key.hash, |item| slab.key(item) == key.bytes).ok_or(Miss::NotFound)?;
        let chunk = slab.chunk(item);
        match self.gone(chunk, now) {
            Some(miss) => Err(miss),
            None => Ok(Seen {
                class_id: slab.class_of(item).0,
                value_len: chunk.value_len(),
                expiry: chunk.expiry(),
            }),
        }
    }

    /// Tells watchers of an item that is about to be evicted.
    pub(super) fn tell_eviction(&self, item: Ref, idle_secs: u32, now: Secs) {
        if !self.settings.hub.watches(Classes::EVICTIONS) {
            return;
        }
        let chunk = self.slab.chunk(item);
        let ttl = match chunk.expiry() {
            Expiry::NEVER => -1,
            Expiry(at) => i64::from(at) - i64::from(now.0),
        };
        self.settings.hub.emit(&Event::Eviction {
            key: self.slab.key(item),
            fetched: chunk.has(Mark::FETCHED),
            ttl,
            idle_secs,
            class: self.slab.class_of(item).0,
            size: chunk.value_len(),
        });
    }

    /// Tells watchers of a page that has left class `from` for class `to`; 0: for none.
    pub(super) fn tell_page_moved(&self, from: ClassId, to: ClassId) {
        self.settings.hub.emit(&Event::SlabMove { from: from.0, to: to.0 });
    }

    /// Tells watchers of a sweep that has freed something.
    pub(super) fn tell_sweep(&self, examined: u64, reclaimed: u64) {
        if reclaimed > 0 {
            let shard = self.settings.number;
            self.settings.hub.emit(&Event::Sweep { shard, examined, reclaimed });
        }
    }
}
