//! How many items there are of each size (`-o track_sizes`).
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::Store;

/// Sizes are counted in steps of this many bytes, rounded up.
const STEP_BYTES: usize = 32;

/// The items of one shard by size, when somebody wants to know.
#[derive(Debug, Default)]
pub(super) struct Histogram(Option<BTreeMap<u32, u64>>);

impl Histogram {
    pub(super) fn new(is_on: bool) -> Histogram {
        Histogram(is_on.then(BTreeMap::new))
    }

    /// An item that asked for so many bytes is there now.
    pub(super) fn add(&mut self, bytes: u64) {
        if let Some(counts) = &mut self.0 {
            *counts.entry(step(bytes)).or_insert(0) += 1;
        }
    }

    /// None is there any longer.
    pub(super) fn clear(&mut self) {
        if let Some(counts) = &mut self.0 {
            counts.clear();
        }
    }

    /// One of so many bytes is there no longer.
    pub(super) fn remove(&mut self, bytes: u64) {
        let Some(counts) = &mut self.0 else { return };
        let Some(count) = counts.get_mut(&step(bytes)) else {
            unreachable!("what is removed was added")
        };
        *count -= 1;
        if *count == 0 {
            counts.remove(&step(bytes));
        }
    }
}

impl Store {
    /// Whether items are counted by size.
    pub fn tracks_sizes(&self) -> bool {
        self.shards.first().is_some_and(|shard| shard.lock().histogram.0.is_some())
    }

    /// Sizes in bytes, each rounded up to a multiple of 32, and the number of items of each; None:
    /// they are not counted.
    pub fn item_sizes(&self) -> Option<Vec<(u64, u64)>> {
        let mut sums: BTreeMap<u32, u64> = BTreeMap::new();
        for shard in &self.shards {
            for (step, count) in shard.lock().histogram.0.as_ref()? {
                *sums.entry(*step).or_insert(0) += count;
            }
        }
        let bytes = |step| u64::from(step) * STEP_BYTES as u64;
        Some(sums.into_iter().map(|(step, count)| (bytes(step), count)).collect())
    }
}

fn step(bytes: u64) -> u32 {
    // The largest value has a gigabyte.
    bytes.div_ceil(STEP_BYTES as u64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Secs;
    use crate::store::{Meta, Options, Terms, model::options};

    #[test]
    fn items_of_all_shards_are_counted_by_size() {
        let options = Options { threads: 4, ..options(64 << 20, 1 << 20, true) };
        let store = Store::new(&options).expect("memory");
        assert!(store.tracks_sizes() && store.shards.len() > 1);
        let set = |number: usize, len| {
            let key = format!("{number:03}");
            let (key, meta) = (store.key(key.as_bytes()), Meta::default());
            store.store(&Terms::default(), &key, meta, &vec![b'x'; len], Secs(100)).expect("room");
        };
        (0..100).for_each(|number| set(number, 10));
        (100..110).for_each(|number| set(number, 10 + 32 * 30));
        let sizes = store.item_sizes().expect("they are counted");
        let [(small, 100), (large, 10)] = sizes[..] else { panic!("{sizes:?}") };
        assert_eq!((small % 32, large - small), (0, 32 * 30));
        assert!((32..=96).contains(&small), "{small}");
        (0..100).for_each(|number| set(number, 10 + 32 * 30));
        assert_eq!(store.item_sizes(), Some(vec![(large, 110)]));
        store.flush(Secs(101));
        assert_eq!(store.item_sizes(), Some(Vec::new()));
        let options = Options { track_sizes: false, ..options };
        let store = Store::new(&options).expect("memory");
        assert_eq!((store.tracks_sizes(), store.item_sizes()), (false, None));
    }
}
