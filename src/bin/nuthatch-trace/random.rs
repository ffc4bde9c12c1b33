//! Deterministic random numbers: the same seed gives the same trace on any machine.
#![forbid(unsafe_code)]

/// A stream of random numbers over [`mix`].
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream that belongs to `seed`.
    pub fn new(seed: u64) -> Random {
        Random { state: mix(seed) }
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        unit(self.bits())
    }

    /// A number in `0..bound`; `bound` is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }
}

/// Scrambles 64 bits (one step of splitmix64; Steele, Lea and Flood, 2014). Traces are made of its
/// results: another function would make others of the same seeds.
pub fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(GAMMA);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// Maps 64 random bits to `0.0..1.0`.
pub fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Step of the generator: 2^64 over the golden ratio, odd.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut one, mut same, mut other) = (Random::new(1), Random::new(1), Random::new(2));
        let numbers: Vec<u64> = (0..8).map(|_| one.bits()).collect();
        assert!(numbers.iter().all(|number| *number == same.bits()));
        assert_ne!(numbers[0], other.bits());
        assert!((0..1000).all(|_| one.below(7) < 7 && one.unit() < 1.0));
    }

    #[test]
    fn these_numbers_and_no_others() {
        let mut random = Random::new(1);
        let numbers = [random.bits(), random.bits()];
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        let first = mix(mix(1).wrapping_add(GAMMA));
        assert_eq!(numbers, [first, mix(mix(1).wrapping_add(GAMMA).wrapping_add(GAMMA))]);
    }
}
