//! The model's steps on single items that the meta protocol brings, and on numbers.
#![forbid(unsafe_code)]

use super::super::*;
use super::{Entry, Model};

impl Model {
    /// mg: looks at an item, may make it, and may change what is known of it.
    pub(super) fn inspect(&mut self) {
        let (key, meta, expiry) = (self.key(), self.meta(), self.meta().expiry);
        let create = self.choices.one_in(2).then(|| (meta, self.chosen_cas()));
        let (touches, sends, notes) =
            (self.choices.one_in(2), self.choices.one_in(2), self.choices.one_in(2));
        let now = self.now;
        let seen = self.store.inspect(&self.store.key(&key), create, now, |hit| {
            let entry = Entry::of(hit);
            if touches {
                hit.set_expiry(expiry);
            }
            if sends {
                hit.send_token();
            }
            if notes {
                hit.note(now);
            }
            (hit.is_new(), entry)
        });
        let old = match seen {
            Err(_) => return self.must_be_absent(&key),
            Ok((false, entry)) => {
                assert_eq!(Some(&entry), self.living(&key).as_ref());
                entry
            }
            Ok((true, entry)) => {
                self.must_be_absent(&key);
                let (meta, cas) = create.expect("made without having been asked for");
                assert!(cas.is_none_or(|cas| cas == entry.cas));
                assert_eq!(entry, Entry::new(Vec::new(), meta, entry.cas));
                entry
            }
        };
        let expiry = if touches { expiry } else { old.expiry };
        let is_token_sent = old.is_token_sent || sends;
        self.entries.insert(key, Entry { expiry, is_token_sent, ..old });
    }

    /// md that leaves something.
    pub(super) fn bury(&mut self) {
        let (key, meta, expiry) = (self.key(), self.meta(), self.meta().expiry);
        let empties = self.choices.one_in(2);
        let burial = Burial {
            empty: empties.then_some(meta),
            stale: !empties || self.choices.one_in(2),
            expiry: self.choices.one_in(2).then_some(expiry),
            cas: self.chosen_cas(),
        };
        let compare = self.compare(&key);
        let old = self.living(&key);
        match self.store.bury(&self.store.key(&key), compare, &burial, self.now) {
            Err(Kept::Miss(_)) => return self.must_be_absent(&key),
            Err(Kept::Mismatch) => return assert_ne!(compare, old.map(|old| old.cas)),
            Err(Kept::NoMemory) => {
                self.check_refusal();
                // What became of the item depends on where memory ended.
                self.entries.remove(&key);
                let _gone = self.store.delete(&self.store.key(&key), None, self.now);
                return;
            }
            Ok(()) => {}
        }
        let old = old.expect("nothing to bury");
        assert!(compare.is_none_or(|compare| compare == old.cas));
        let mut entry = old.clone();
        if let Some(meta) = burial.empty {
            let cas = burial.cas.unwrap_or(old.cas);
            let meta = Meta { is_binary_key: false, ..meta };
            entry = Entry::new(Vec::new(), meta, cas);
        }
        if burial.stale {
            entry.expiry = burial.expiry.unwrap_or(entry.expiry);
            entry = Entry { is_stale: true, is_token_sent: false, ..entry };
        }
        self.check_buried(key, &burial, entry);
    }

    /// What is left may already have expired; if not, its unique is the chosen one or a new one.
    fn check_buried(&mut self, key: Vec<u8>, burial: &Burial, mut entry: Entry) {
        let seen = self.store.inspect(&self.store.key(&key), None, self.now, |hit| Entry::of(hit));
        match seen {
            Ok(seen) => {
                if burial.stale && burial.cas.is_none() {
                    assert_ne!(seen.cas, entry.cas);
                    entry.cas = seen.cas;
                }
                entry.cas = burial.cas.unwrap_or(entry.cas);
                assert_eq!(seen, entry);
                self.entries.insert(key, entry);
            }
            Err(_) => {
                assert!(entry.expiry.passed(self.now));
                self.entries.remove(&key);
            }
        }
    }

    fn compare(&mut self, key: &[u8]) -> Option<u64> {
        let held = self.entries.get(key).map_or(7, |entry| entry.cas);
        self.choices.one_in(3).then(|| if self.choices.one_in(4) { held ^ 1 } else { held })
    }

    pub(super) fn arith(&mut self) {
        let (key, delta) = (self.key(), self.choices.next() >> self.choices.below(64));
        let direction = if self.choices.one_in(2) { Direction::Incr } else { Direction::Decr };
        let sum = self.sum(&key, direction, delta);
        let old = self.living(&key);
        let parsed = |entry: &Entry| {
            let text = String::from_utf8_lossy(&entry.value).into_owned();
            let is_space = |c: char| c == ' ' || ('\t'..='\r').contains(&c);
            let text = text.trim_start_matches(is_space);
            text.split(|c| is_space(c) || c == '\0').next()?.parse::<u64>().ok()
        };
        let visit = |hit: &mut Hit<'_>, number| (number, Entry::of(hit));
        match self.store.arith(&self.store.key(&key), &sum, self.now, visit) {
            Ok((Number { is_new: true, value }, seen)) => {
                self.must_be_absent(&key);
                let Created { initial, expiry, is_binary_key } =
                    sum.create.expect("made on demand");
                assert_eq!(value, initial);
                let meta = Meta { flags: 0, expiry, is_binary_key };
                assert_eq!(seen, Entry::new(initial.to_string().into_bytes(), meta, seen.cas));
                self.entries.insert(key, seen);
            }
            Ok((Number { value, .. }, seen)) => {
                let entry = old.expect("a sum of nothing");
                assert!(sum.compare == 0 || sum.compare == entry.cas);
                let before = parsed(&entry).expect("a sum of no number");
                let want = match direction {
                    Direction::Incr => before.wrapping_add(delta),
                    Direction::Decr => before.saturating_sub(delta),
                };
                assert_eq!(value, want);
                let len = seen.value.len();
                let digits = value.to_string().len();
                // Written in place and padded, or made anew; then its marks are gone.
                assert!(len == digits || len == entry.value.len());
                assert_eq!(seen.value, format!("{value:<len$}").into_bytes());
                assert!(sum.cas.is_none_or(|cas| cas == seen.cas));
                let Entry { is_stale, is_token_sent, is_binary_key, .. } = seen;
                assert!(entry.is_stale >= is_stale && entry.is_token_sent >= is_token_sent);
                assert!(entry.is_binary_key >= is_binary_key);
                let marked = Entry { is_stale, is_token_sent, is_binary_key, ..entry };
                let entry = Entry { cas: seen.cas, ..marked };
                assert_eq!(seen, Entry { value: seen.value.clone(), ..entry });
                self.entries.insert(key, seen);
            }
            Err(NoSum::Miss(_)) => self.must_be_absent(&key),
            Err(NoSum::Mismatch) => assert_ne!(sum.compare, old.expect("no unique").cas),
            Err(NoSum::NonNumeric) => {
                let old = old.expect("no number");
                // With flags and a wide unique, which are not always there.
                let bytes = HEADER_BYTES + 4 + 4 + key.len() + old.value.len();
                let is_chained = bytes > self.store.chunk_bytes_max();
                assert!(parsed(&old).is_none() || is_chained, "a number of {bytes} bytes");
            }
            Err(NoSum::NoMemory | NoSum::NoMemoryForNew) => self.check_refusal(),
        }
    }

    fn sum(&mut self, key: &[u8], direction: Direction, delta: u64) -> Sum {
        let created = |model: &mut Model| Created {
            initial: model.choices.next() >> model.choices.below(64),
            expiry: model.meta().expiry,
            is_binary_key: false,
        };
        Sum {
            direction,
            delta,
            compare: self.compare(key).unwrap_or(0),
            cas: self.chosen_cas(),
            create: self.choices.one_in(3).then(|| created(self)),
        }
    }
}
