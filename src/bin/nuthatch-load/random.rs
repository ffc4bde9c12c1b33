//! Random numbers that a seed replays, and the distributions drawn from them.
#![forbid(unsafe_code)]

/// A stream of random numbers (the splitmix64 generator of Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream that belongs to `seed`.
    pub fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// A number in `0..bound`; `bound` is not 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        // The upper 32 bits of a 64-bit product; its bias is below 2^-32 times the bound.
        (((self.bits() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Scrambles 64 bits; equal input gives equal output.
pub fn mix(bits: u64) -> u64 {
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// Ranks `0..count` of which rank r is drawn with a probability in proportion to (r + 1)^-alpha,
/// by rejection-inversion (Hörmann and Derflinger 1996), so that no table is needed.
#[derive(Clone, Debug)]
pub struct Zipf {
    count: f64,
    alpha: f64,
    /// Integral of the density's hull up to the first and to the last rank.
    first: f64,
    last: f64,
    /// A draw this close above its rank is taken without further question.
    sure: f64,
}

impl Zipf {
    /// A distribution over `count` ranks, at least one; `alpha` is above 0.
    pub fn new(count: u32, alpha: f64) -> Zipf {
        let mut zipf = Zipf { count: f64::from(count), alpha, first: 0.0, last: 0.0, sure: 0.0 };
        zipf.first = zipf.integral(1.5) - 1.0;
        zipf.last = zipf.integral(zipf.count + 0.5);
        zipf.sure = 2.0 - zipf.integral_inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    /// Draws a rank in `0..count`.
    pub fn draw(&self, random: &mut Random) -> u32 {
        loop {
            let area = self.last + random.unit() * (self.first - self.last);
            let place = self.integral_inverse(area);
            let rank = place.round().clamp(1.0, self.count);
            let inside = area >= self.integral(rank + 0.5) - self.density(rank);
            if rank - place <= self.sure || inside {
                return rank as u32 - 1;
            }
        }
    }

    fn density(&self, place: f64) -> f64 {
        place.powf(-self.alpha)
    }

    fn integral(&self, place: f64) -> f64 {
        if self.is_harmonic() {
            place.ln()
        } else {
            (place.powf(1.0 - self.alpha) - 1.0) / (1.0 - self.alpha)
        }
    }

    fn integral_inverse(&self, area: f64) -> f64 {
        if self.is_harmonic() {
            area.exp()
        } else {
            (1.0 + area * (1.0 - self.alpha)).powf(1.0 / (1.0 - self.alpha))
        }
    }

    /// Whether alpha is so near 1 that the power's integral would lose its digits.
    fn is_harmonic(&self) -> bool {
        (1.0 - self.alpha).abs() < 1e-6
    }
}

/// Step of the generator: 2^64 over the golden ratio, odd.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_reaches_both_ends_and_no_further() {
        let mut random = Random::new(3);
        let mut seen = [0u32; 7];
        for _ in 0..7000 {
            seen[random.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
    }

    #[test]
    fn zipf_frequencies_follow_the_law() {
        for alpha in [0.7, 1.0, 1.3] {
            let zipf = Zipf::new(1000, alpha);
            let mut random = Random::new(5);
            let mut seen = [0u32; 1000];
            for _ in 0..200_000 {
                seen[zipf.draw(&mut random) as usize] += 1;
            }
            let total: f64 = (1..=1000).map(|r| f64::from(r).powf(-alpha)).sum();
            for rank in [1u16, 2, 10, 100] {
                let want = 200_000.0 * f64::from(rank).powf(-alpha) / total;
                let got = f64::from(seen[usize::from(rank) - 1]);
                assert!((got - want).abs() < 6.0 * want.sqrt(), "{alpha} {rank} {got} {want}");
            }
        }
    }
}
