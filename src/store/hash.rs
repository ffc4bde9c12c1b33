//! The hash of a key: ahash, seeded anew in every process against hash flooding.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, Hasher as _};

use ahash::RandomState;

#[derive(Debug)]
pub(super) struct Hasher(RandomState);

impl Hasher {
    /// A hasher with a seed from the operating system.
    pub(super) fn random() -> Hasher {
        Hasher(RandomState::new())
    }

    /// A hasher with a given seed, for tests and counts that are to be repeated.
    pub(super) fn seeded(seed: u64) -> Hasher {
        Hasher(RandomState::with_seeds(seed, !seed, seed.rotate_left(17), 0x5eed))
    }

    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}
