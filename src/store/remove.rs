//! Taking items away, wholly or in part: delete, and what the meta protocol's `md` may leave.
#![forbid(unsafe_code)]

use super::arena::Ref;
use super::shard::{Payload, Shard};
use super::{Burial, Kept, Key, Meta};
use crate::clock::Secs;
use crate::store::item::Mark;

impl Shard {
    /// Removes what a refused `set` was to replace; no delete is counted.
    pub(super) fn forget(&mut self, key: &Key<'_>, now: Secs) {
        if let Ok((slot, item)) = self.lookup(key, now) {
            self.unlink(slot, key.hash, item);
        }
    }

    /// Removes an item, if its unique is `compare` where that is given.
    pub(super) fn delete(
        &mut self,
        key: &Key<'_>,
        compare: Option<u64>,
        now: Secs,
    ) -> Result<(), Kept> {
        let (slot, item) = self.lookup(key, now).map_err(Kept::Miss)?;
        self.check_cas(item, compare)?;
        self.count_delete(item);
        self.unlink(slot, key.hash, item);
        Ok(())
    }

    /// Leaves of an item what `burial` says (meta, section 9).
    pub(super) fn bury(
        &mut self,
        key: &Key<'_>,
        compare: Option<u64>,
        burial: &Burial,
        now: Secs,
    ) -> Result<(), Kept> {
        let (_, mut item) = self.lookup(key, now).map_err(Kept::Miss)?;
        self.check_cas(item, compare)?;
        if let Some(meta) = burial.empty {
            let cas = match burial.cas {
                None => self.cas_of(item),
                chosen => self.new_cas(chosen),
            };
            item = self.replace(key, item, meta, cas, Some(b""), now)?;
        }
        if !burial.stale {
            self.count_delete(item);
            return Ok(());
        }
        if let Some(expiry) = burial.expiry {
            self.set_expiry(item, expiry);
        }
        self.slab.chunk(item).make_stale();
        let cas = self.new_cas(burial.cas);
        self.give_cas(key, item, cas, now).map(|_| ())
    }

    /// Gives an item a unique, for which it may have to be made anew. Answers the item as it is then.
    pub(super) fn give_cas(
        &mut self,
        key: &Key<'_>,
        item: Ref,
        cas: u64,
        now: Secs,
    ) -> Result<Ref, Kept> {
        let chunk = self.slab.chunk(item);
        if chunk.can_hold_cas(cas) {
            chunk.set_cas(cas);
            return Ok(item);
        }
        let meta = Meta { flags: chunk.flags(), expiry: chunk.expiry(), is_binary_key: false };
        self.replace(key, item, meta, cas, None, now)
    }

    /// Makes an item anew, with `value`, or with its own and its marks.
    fn replace(
        &mut self,
        key: &Key<'_>,
        old: Ref,
        meta: Meta,
        cas: u64,
        value: Option<&[u8]>,
        now: Secs,
    ) -> Result<Ref, Kept> {
        let chunk = self.slab.chunk(old);
        // An emptied item is a new one, of which it is not known how its key was given.
        let is_binary_key = match value {
            Some(_) => chunk.has(Mark::BINARY_KEY) && !key.is_one_word(),
            None => chunk.has(Mark::BINARY_KEY),
        };
        let meta = Meta { is_binary_key, ..meta };
        let payload = value.map_or(Payload::Item(old), Payload::Bytes);
        let len = self.payload_len(payload);
        let header = self.header(key, meta, len, Some(cas), now);
        self.pin(old);
        let built = self.build(&header, now);
        if let Some(item) = built {
            let new = self.slab.chunk(item);
            self.fill(item, 0, payload);
            new.set_cas(cas);
            if value.is_none() {
                new.take_marks(chunk);
            }
        }
        self.unpin(old);
        let item = built.ok_or(Kept::NoMemory)?;
        self.link(key, item, now).map(|()| item).map_err(|_| Kept::NoMemory)
    }

    fn check_cas(&self, item: Ref, compare: Option<u64>) -> Result<(), Kept> {
        match compare {
            Some(wanted) if wanted != self.cas_of(item) => Err(Kept::Mismatch),
            _ => Ok(()),
        }
    }

    fn count_delete(&mut self, item: Ref) {
        let class = self.slab.class_of(item);
        self.class_mut(class).delete_hits += 1;
    }
}
