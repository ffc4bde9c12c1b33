//! Storing: what is to come of a store, and carrying it out (text, section 4; meta, section 5).
#![forbid(unsafe_code)]

use super::arena::Ref;
use super::index::Slot;
use super::item::{Header, Mark};
use super::shard::{Payload, Shard};
use super::{Key, Meta, Mode, Outcome, Refusal, Terms, charged_bytes};
use crate::clock::{Expiry, Secs};

/// What is to come of a store.
enum Verdict {
    /// The new item takes the key.
    Place(Placing),
    /// The new bytes are joined to this item's.
    Join(Ref),
    /// Nothing changes.
    Refused(Outcome),
}

/// What the item that takes a key is beside what the client said of it.
#[derive(Clone, Copy, Default)]
struct Placing {
    expiry: Expiry,
    is_stale: bool,
    is_token_sent: bool,
}

impl Shard {
    /// Stores a complete value.
    pub(super) fn store(
        &mut self,
        terms: &Terms,
        key: &Key<'_>,
        meta: Meta,
        value: &[u8],
        now: Secs,
    ) -> Result<Outcome, Refusal> {
        let found = self.lookup_to_store(key, now);
        let verdict = if terms.is_unconditional() {
            Verdict::Place(Placing { expiry: meta.expiry, ..Placing::default() })
        } else {
            self.judge(terms, found.map(|(_, item)| item), meta.expiry, now)
        };
        let placing = match verdict {
            Verdict::Place(placing) => placing,
            Verdict::Join(old) => {
                self.count_unplaced(terms, key, meta, value.len(), now);
                return Ok(self.join(terms, key, old, Payload::Bytes(value), now));
            }
            Verdict::Refused(outcome) => {
                self.count_unplaced(terms, key, meta, value.len(), now);
                return Ok(self.not_stored(terms, outcome));
            }
        };
        let meta = Meta { expiry: placing.expiry, ..meta };
        let header = self.header(key, meta, value.len(), terms.cas, now);
        let item = match found {
            Some((_, old)) if self.fits_in_place(old, &header) => {
                self.overwrite(old, &header, value, now);
                old
            }
            _ => {
                let item = self.build(&header, now).ok_or(Refusal::NoMemory)?;
                self.fill(item, 0, Payload::Bytes(value));
                self.link(key, item, now)?;
                item
            }
        };
        self.count_set(item);
        Ok(self.stored(item, terms, placing))
    }

    /// Counts a store whose item has been begun.
    pub(super) fn count_set(&mut self, item: Ref) {
        let class = self.slab.class_of(item);
        self.class_mut(class).cmd_set += 1;
    }

    /// Counts a store for whose value no item of its own is made, for the class that it would have.
    fn count_unplaced(
        &mut self,
        terms: &Terms,
        key: &Key<'_>,
        meta: Meta,
        value_len: usize,
        now: Secs,
    ) {
        let header = self.header(key, meta, value_len, terms.cas, now);
        let (class, _) = self.cut(&header);
        self.class_mut(class).cmd_set += 1;
    }

    /// Publishes an upload, which becomes the item or is freed.
    pub(super) fn commit(
        &mut self,
        terms: &Terms,
        key: &Key<'_>,
        upload: Ref,
        now: Secs,
    ) -> Result<Outcome, Refusal> {
        let found = self.lookup_to_store(key, now);
        let expiry = self.slab.chunk(upload).expiry();
        let placing = match self.judge(terms, found.map(|(_, item)| item), expiry, now) {
            Verdict::Place(placing) => placing,
            Verdict::Join(old) => {
                let outcome = self.join(terms, key, old, Payload::Item(upload), now);
                self.free(upload);
                return Ok(outcome);
            }
            Verdict::Refused(outcome) => {
                self.free(upload);
                return Ok(self.not_stored(terms, outcome));
            }
        };
        let access = self.tick(now);
        let chunk = self.slab.chunk(upload);
        chunk.set_access(access);
        chunk.set_expiry(placing.expiry);
        self.link(key, upload, now)?;
        Ok(self.stored(upload, terms, placing))
    }

    /// The living item that a store is about; one that is gone gives its room.
    fn lookup_to_store(&mut self, key: &Key<'_>, now: Secs) -> Option<(Slot, Ref)> {
        let slab = &self.slab;
        let (slot, item) = self.index.find(key.hash, |item| slab.key(item) == key.bytes)?;
        if self.gone(self.slab.chunk(item), now).is_none() {
            return Some((slot, item));
        }
        let class = self.slab.class_of(item);
        self.class_mut(class).reclaimed += 1;
        self.reclaim(item);
        None
    }

    /// What is to come of a store (text, section 4; meta, section 5). `expiry` is the new item's own.
    fn judge(&mut self, terms: &Terms, old: Option<Ref>, expiry: Expiry, now: Secs) -> Verdict {
        let refused = Verdict::Refused;
        let place = |expiry| Verdict::Place(Placing { expiry, ..Placing::default() });
        let Some(old) = old else {
            return match (terms.mode, terms.create) {
                (Mode::Append | Mode::Prepend, Some(expiry)) => place(expiry),
                (Mode::Append | Mode::Prepend, None) => refused(Outcome::NotStored),
                (Mode::Set | Mode::Replace, _) if terms.compare.is_some() => {
                    refused(Outcome::NotFound)
                }
                (Mode::Replace, _) => refused(Outcome::NotStored),
                (Mode::Set | Mode::Add, _) => place(expiry),
            };
        };
        match (terms.mode, terms.compare) {
            (Mode::Add, _) => {
                let access = self.tick(now);
                self.slab.chunk(old).set_access(access);
                refused(Outcome::NotStored)
            }
            (Mode::Append | Mode::Prepend, None | Some(0)) => Verdict::Join(old),
            // Without uniques there is nothing to compare with, and these two then do not.
            (Mode::Append | Mode::Prepend, _) if !self.settings.cas => Verdict::Join(old),
            (Mode::Set | Mode::Replace, None) => place(expiry),
            (mode, Some(wanted)) => {
                let held = self.cas_of(old);
                if wanted != 0 && held == wanted {
                    let joins = matches!(mode, Mode::Append | Mode::Prepend);
                    return if joins { Verdict::Join(old) } else { place(expiry) };
                }
                if terms.may_be_stale && (1..held).contains(&wanted) {
                    let chunk = self.slab.chunk(old);
                    return Verdict::Place(Placing {
                        expiry: chunk.expiry(),
                        is_stale: true,
                        is_token_sent: chunk.is_token_sent(),
                    });
                }
                if matches!(mode, Mode::Set | Mode::Replace) {
                    let class = self.slab.class_of(old);
                    self.class_mut(class).cas_badval += 1;
                }
                refused(Outcome::Exists)
            }
        }
    }

    fn not_stored(&mut self, terms: &Terms, outcome: Outcome) -> Outcome {
        self.new_cas(terms.cas);
        outcome
    }

    /// Gives an item that was just stored its unique, and counts it.
    fn stored(&mut self, item: Ref, terms: &Terms, placing: Placing) -> Outcome {
        let cas = self.new_cas(terms.cas);
        let chunk = self.slab.chunk(item);
        chunk.set_cas(cas);
        if placing.is_stale {
            chunk.make_stale();
        }
        if placing.is_token_sent {
            chunk.set_token_sent();
        }
        if terms.compare.is_some() && matches!(terms.mode, Mode::Set | Mode::Replace) {
            let class = self.slab.class_of(item);
            self.class_mut(class).cas_hits += 1;
        }
        Outcome::Stored { cas, value_len: chunk.value_len() }
    }

    /// append and prepend: flags and expiry are the old item's.
    fn join(
        &mut self,
        terms: &Terms,
        key: &Key<'_>,
        old: Ref,
        more: Payload<'_>,
        now: Secs,
    ) -> Outcome {
        let chunk = self.slab.chunk(old);
        let (old_len, more_len) = (chunk.value_len(), self.payload_len(more));
        let is_binary_key = chunk.has(Mark::BINARY_KEY) && !key.is_one_word();
        let meta = Meta { flags: chunk.flags(), expiry: chunk.expiry(), is_binary_key };
        let len = old_len + more_len;
        if charged_bytes(key.bytes.len(), meta.flags, len, self.settings.cas)
            > self.settings.item_size_max
        {
            return self.not_stored(terms, Outcome::NotStored);
        }
        self.pin(old);
        let header = self.header(key, meta, len, terms.cas, now);
        let built = self.build(&header, now);
        if let Some(item) = built {
            let (first, second) = match terms.mode {
                Mode::Prepend => (more, Payload::Item(old)),
                _ => (Payload::Item(old), more),
            };
            let middle = self.payload_len(first);
            self.fill(item, 0, first);
            self.fill(item, middle, second);
        }
        self.unpin(old);
        match built {
            Some(item) if self.link(key, item, now).is_ok() => {
                self.stored(item, terms, Placing::default())
            }
            _ => self.not_stored(terms, Outcome::NotStored),
        }
    }

    /// Whether a new item can take the chunk of `old`.
    pub(super) fn fits_in_place(&self, old: Ref, header: &Header<'_>) -> bool {
        let chunk = self.slab.chunk(old);
        let bytes = header.fixed_bytes(false) + header.value_len;
        !chunk.has(Mark::PINNED)
            && !chunk.has(Mark::CHAINED)
            && self.slab.sizes().class_for(bytes) == Some(self.slab.class_of(old))
    }

    /// Makes `old`'s chunk, which is a living item's, the new item of the same key; it keeps its standing
    /// with the hand.
    pub(super) fn overwrite(&mut self, old: Ref, header: &Header<'_>, value: &[u8], now: Secs) {
        let chunk = self.slab.chunk(old);
        debug_assert!(chunk.has(Mark::LINKED) && !chunk.has(Mark::PINNED), "{old:?} is read");
        let (freq, before) = (chunk.freq(), chunk.requested_bytes() as u64);
        chunk.make_item(header);
        chunk.set_freq(freq);
        chunk.set(Mark::LINKED);
        self.fill(old, 0, Payload::Bytes(value));
        self.note_renewed(old, before);
        if self.settings.temporary_ttl.is_some() {
            self.choose_queue_again(old, now);
        }
    }

    /// Counts a living item that was stored anew in its place, and asked for `before` bytes before that.
    fn note_renewed(&mut self, item: Ref, before: u64) {
        let chunk = self.slab.chunk(item);
        if chunk.expiry() != Expiry::NEVER {
            self.slab.note_expiry(item, chunk.expiry().0);
        }
        let requested = chunk.requested_bytes() as u64;
        self.counters.total_items += 1;
        if requested == before {
            return;
        }
        self.counters.bytes = self.counters.bytes - before + requested;
        self.histogram.remove(before);
        self.histogram.add(requested);
        let class = self.slab.class_of(item);
        let counters = self.class_mut(class);
        counters.requested = counters.requested - before + requested;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::model::options;
    use crate::store::{Options, Store};

    const NOW: Secs = Secs(100);
    const SIZE_MAX: usize = 10_000;

    fn store(cas: bool) -> Arc<Store> {
        Store::new(&Options { cas, ..options(8 << 20, SIZE_MAX, true) }).expect("memory")
    }

    fn put(
        store: &Store,
        terms: &Terms,
        key: &str,
        flags: u32,
        len: usize,
    ) -> Result<Outcome, Refusal> {
        let meta = Meta { flags, ..Meta::default() };
        store.store(terms, &store.key(key.as_bytes()), meta, &vec![b'x'; len], NOW)
    }

    /// What memcached charges: a header of 48 bytes, 8 for the unique, 4 for flags that are not 0, key and
    /// value with their ends.
    #[test]
    fn the_largest_item_is_as_large_as_memcacheds() {
        for cas in [true, false] {
            for flags in [0, 1] {
                let store = store(cas);
                let left = SIZE_MAX - 51 - usize::from(cas) * 8 - usize::from(flags > 0) * 4;
                for key in ["k", "a longer key"] {
                    let len = left - key.len();
                    let put = |mode, len| {
                        put(&store, &Terms { mode, ..Terms::default() }, key, flags, len)
                    };
                    assert_eq!(put(Mode::Set, len + 1), Err(Refusal::TooLarge));
                    assert!(matches!(put(Mode::Set, len), Ok(Outcome::Stored { .. })));
                    assert_eq!(put(Mode::Append, 1), Ok(Outcome::NotStored));
                    put(Mode::Set, len - 2).expect("room");
                    assert_eq!(put(Mode::Prepend, 3), Ok(Outcome::NotStored));
                    assert!(matches!(put(Mode::Prepend, 2), Ok(Outcome::Stored { .. })));
                    let held = store.get(&store.key(key.as_bytes()), NOW, |hit| hit.value_len());
                    assert_eq!(held, Ok(len));
                }
            }
        }
    }

    /// Without uniques it does not compare.
    #[test]
    fn an_append_may_compare() {
        for cas in [true, false] {
            let store = store(cas);
            put(&store, &Terms::default(), "k", 0, 1).expect("room");
            let unique = store.get(&store.key(b"k"), NOW, |hit| hit.cas()).expect("it is there");
            assert_eq!(unique > 0, cas);
            let append = |compare| {
                let terms = Terms { mode: Mode::Append, compare, ..Terms::default() };
                matches!(put(&store, &terms, "k", 0, 1), Ok(Outcome::Stored { .. }))
            };
            assert_eq!(append(Some(unique + 1)), !cas);
            assert!(append(Some(unique)) && append(Some(0)) && append(None));
        }
    }

    #[test]
    fn a_refused_value_takes_the_old_one_with_it() {
        let store = store(true);
        put(&store, &Terms::default(), "k", 0, 1).expect("room");
        let key = store.key(b"k");
        store.forget(&key, NOW);
        assert!(store.get(&key, NOW, |_| ()).is_err());
        let classes = store.classes(NOW);
        assert_eq!((classes[0].number, classes[0].delete_hits), (0, 0));
    }
}
