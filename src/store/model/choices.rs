//! Where the steps of the model come from: a seed, or bytes that somebody has chosen.
#![forbid(unsafe_code)]

/// Numbers, one after the other.
pub(super) struct Choices(Source);

enum Source {
    /// The state of xorshift64*: small, seeded, the same everywhere.
    #[cfg(test)]
    Seed(u64),
    /// Few bytes a number, so that an input of some hundred is a hundred steps; zeroes behind the end. The
    /// next byte is the last one.
    Bytes(Vec<u8>),
}

impl Choices {
    /// Without an end. `seed` is not 0.
    #[cfg(test)]
    pub(super) fn seeded(seed: u64) -> Choices {
        Choices(Source::Seed(seed))
    }

    pub(super) fn given(bytes: &[u8]) -> Choices {
        Choices(Source::Bytes(bytes.iter().rev().copied().collect()))
    }

    /// Whether all bytes have been used.
    pub(super) fn is_over(&self) -> bool {
        match &self.0 {
            #[cfg(test)]
            Source::Seed(_) => false,
            Source::Bytes(bytes) => bytes.is_empty(),
        }
    }

    pub(super) fn next(&mut self) -> u64 {
        match &mut self.0 {
            #[cfg(test)]
            Source::Seed(state) => {
                *state ^= *state >> 12;
                *state ^= *state << 25;
                *state ^= *state >> 27;
                state.wrapping_mul(0x2545_f491_4f6c_dd1d)
            }
            // Spread over all bits, as callers use the upper ones and the lower ones.
            Source::Bytes(bytes) => take(bytes, 2).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        match &mut self.0 {
            #[cfg(test)]
            Source::Seed(_) => (self.next() >> 33) as usize % bound,
            Source::Bytes(bytes) => {
                let count = 1 + usize::from(bound > 1 << 8) + usize::from(bound > 1 << 16);
                take(bytes, count) as usize % bound
            }
        }
    }

    pub(super) fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }
}

fn take(bytes: &mut Vec<u8>, count: usize) -> u64 {
    (0..count).filter_map(|_| bytes.pop()).fold(0, |number, byte| number << 8 | u64::from(byte))
}
