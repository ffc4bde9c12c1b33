//! The memcached that is compared with, as far as its release decides what it answers.
#![forbid(unsafe_code)]

/// A release: `[1, 6, 45]`.
pub type Release = [u32; 3];

/// The memcached that is compared with.
#[derive(Clone, Debug)]
pub struct Oracle {
    release: Release,
}

/// When text and meta requests came to be read by the parser that they have since.
pub const NEW_PARSER: Release = [1, 6, 40];

impl Oracle {
    /// By the numbers of its version; those that are missing are 0.
    pub fn new(numbers: &[u32]) -> Oracle {
        let number = |index: usize| numbers.get(index).copied().unwrap_or(0);
        Oracle { release: [number(0), number(1), number(2)] }
    }

    /// Whether it is older than a release.
    pub fn is_before(&self, release: Release) -> bool {
        self.release < release
    }

    /// Whether a store that changes nothing takes no unique.
    pub fn takes_uniques_for_successes_only(&self) -> bool {
        self.is_before(NEW_PARSER)
    }
}
