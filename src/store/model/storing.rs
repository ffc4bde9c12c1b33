//! The model's stores: of every mode, with and without conditions.
#![forbid(unsafe_code)]

use super::super::*;
use super::{CAS_NARROW_MAX, Entry, Model};

impl Model {
    pub(super) fn put(&mut self) {
        let (key, value, meta) = (self.key(), self.value(), self.meta());
        let mut terms = self.terms(&key);
        // Not `living`, which forgets: a store that is too large looks at no item.
        if !self.entries.contains_key(&key) && self.choices.one_in(2) {
            terms.create = Some(self.meta().expiry);
        }
        let outcome = self.store.store(&terms, &self.store.key(&key), meta, &value, self.now);
        match outcome {
            Ok(outcome) => self.applied(&terms, &key, meta, value, outcome),
            Err(Refusal::NoMemory) => self.check_refusal(),
            Err(Refusal::TooLarge) => {
                assert!(key.len() + value.len() + 63 > self.case.item_size_max);
            }
        }
    }

    pub(super) fn terms(&mut self, key: &[u8]) -> Terms {
        let modes = [Mode::Add, Mode::Replace, Mode::Append, Mode::Prepend];
        let mode = modes.get(self.choices.below(10)).copied().unwrap_or(Mode::Set);
        let held = self.entries.get(key).map_or(7, |entry| entry.cas);
        let compare = match self.choices.below(12) {
            0 => Some(self.choices.below(100) as u64),
            1 => Some(held),
            2 => Some(held.saturating_sub(1)),
            _ => None,
        };
        let may_be_stale = self.choices.one_in(2) && matches!(mode, Mode::Set | Mode::Replace);
        Terms { mode, compare, cas: self.chosen_cas(), may_be_stale, create: None }
    }

    /// A unique as a client might choose it, seldom.
    pub(super) fn chosen_cas(&mut self) -> Option<u64> {
        match self.choices.below(16) {
            0 => Some(self.choices.next()),
            1 => Some(CAS_NARROW_MAX + self.choices.below(2) as u64),
            2 => Some(self.choices.below(100) as u64),
            _ => None,
        }
    }

    /// Changes the map as the outcome says, and checks that it was the right one.
    pub(super) fn applied(
        &mut self,
        terms: &Terms,
        key: &[u8],
        meta: Meta,
        value: Vec<u8>,
        outcome: Outcome,
    ) {
        let Outcome::Stored { cas, value_len } = outcome else {
            return self.check_not_stored(terms, key, outcome);
        };
        assert!(terms.cas.is_none_or(|chosen| chosen == cas));
        let old = self.living(key);
        let entry = match (terms.mode, old) {
            (Mode::Append, Some(old)) => {
                let value = [old.value.clone(), value].concat();
                old.joined(value, cas)
            }
            (Mode::Prepend, Some(old)) => {
                let value = [value, old.value.clone()].concat();
                old.joined(value, cas)
            }
            (Mode::Append | Mode::Prepend, None) => {
                let expiry = terms.create.expect("nothing to join, and nothing was to be created");
                Entry::new(value, Meta { expiry, ..meta }, cas)
            }
            (Mode::Set | Mode::Replace, old) if terms.compare.is_some() => {
                let old = old.expect("a condition on nothing does not hold");
                self.compared(terms, old, Entry::new(value, meta, cas))
            }
            (Mode::Replace, None) => panic!("replaced nothing"),
            (Mode::Set | Mode::Add | Mode::Replace, _) => Entry::new(value, meta, cas),
        };
        assert_eq!(entry.value.len(), value_len);
        self.entries.insert(key.to_vec(), entry);
    }

    /// What a store with a condition leaves.
    fn compared(&self, terms: &Terms, old: Entry, new: Entry) -> Entry {
        if terms.compare == Some(old.cas) {
            return new;
        }
        assert!(terms.may_be_stale && terms.compare < Some(old.cas));
        let Entry { expiry, is_token_sent, .. } = old;
        Entry { expiry, is_stale: true, is_token_sent, ..new }
    }

    fn check_not_stored(&mut self, terms: &Terms, key: &[u8], outcome: Outcome) {
        match (terms.mode, outcome) {
            (Mode::Add, Outcome::NotStored) => assert!(self.living(key).is_some()),
            (Mode::Replace, Outcome::NotStored) => self.must_be_absent(key),
            (Mode::Set | Mode::Replace, Outcome::NotFound) => {
                assert!(terms.compare.is_some());
                self.must_be_absent(key);
            }
            (Mode::Append | Mode::Prepend, Outcome::NotStored) => {
                // Nothing there, or the joined item could not be had: the old one stays.
            }
            (_, Outcome::Exists) => {
                let wanted = terms.compare.expect("only a condition fails so");
                let held = self.living(key).map(|old| old.cas);
                assert!(wanted == 0 || held != Some(wanted));
            }
            other => panic!("{other:?}"),
        }
    }
}
