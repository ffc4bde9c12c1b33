//! Which keys are asked for how often.
#![forbid(unsafe_code)]

use crate::random::Random;

/// A distribution over ranks, of which 0 is the first.
#[derive(Clone, Debug)]
pub enum Popularity {
    /// By a power law.
    Zipf(Zipf),
    /// By groups of equally popular keys.
    Buckets(Buckets),
}

impl Popularity {
    /// Draws a rank.
    pub fn draw(&self, random: &mut Random) -> u64 {
        match self {
            Popularity::Zipf(zipf) => zipf.draw(random),
            Popularity::Buckets(buckets) => buckets.draw(random),
        }
    }
}

/// Ranks of which rank r is drawn with a probability in proportion to (r + 1)^-alpha, by
/// rejection-inversion (Hörmann and Derflinger 1996). Unlike the load generator's it is exact to
/// the last bit near alpha 1, where traces of old seeds must stay what they are.
#[derive(Clone, Debug)]
pub struct Zipf {
    count: f64,
    alpha: f64,
    /// Integral of the density's hull up to the last and to the first rank.
    last: f64,
    first: f64,
    /// A draw this close above its rank is taken without further question.
    sure: f64,
}

impl Zipf {
    /// A distribution over `count` ranks, at least one; `alpha` is above 0.
    pub fn new(count: u64, alpha: f64) -> Zipf {
        let mut zipf = Zipf { count: count as f64, alpha, last: 0.0, first: 0.0, sure: 0.0 };
        zipf.last = zipf.integral(zipf.count + 0.5);
        zipf.first = zipf.integral(1.5) - 1.0;
        zipf.sure = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    fn density(&self, place: f64) -> f64 {
        (-self.alpha * place.ln()).exp()
    }

    /// The density's antiderivative: (x^(1-a) - 1) / (1-a), or ln x where a is 1.
    fn integral(&self, place: f64) -> f64 {
        let log = place.ln();
        let power = (1.0 - self.alpha) * log;
        if power.abs() > NEAR { power.exp_m1() / power * log } else { log * (1.0 + power / 2.0) }
    }

    fn inverse(&self, area: f64) -> f64 {
        let power = (area * (1.0 - self.alpha)).max(-1.0);
        let scale = if power.abs() > NEAR { power.ln_1p() / power } else { 1.0 - power / 2.0 };
        (scale * area).exp()
    }

    fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let area = self.last + random.unit() * (self.first - self.last);
            let place = self.inverse(area);
            let rank = (place + 0.5).floor().clamp(1.0, self.count);
            let inside = || area >= self.integral(rank + 0.5) - self.density(rank);
            if rank - place <= self.sure || inside() {
                return rank as u64 - 1;
            }
        }
    }
}

/// Below this the series of a power replaces it.
const NEAR: f64 = 1e-8;

/// Groups of equally popular keys, as in CacheLib's published workloads.
#[derive(Clone, Debug)]
pub struct Buckets {
    first: Vec<u64>,
    count: Vec<u64>,
    cumulative: Vec<f64>,
}

impl Buckets {
    /// Groups of `counts` keys that have `weights` of the requests, scaled to `keys` keys in all.
    /// The two slices are of one length, at least 1.
    pub fn new(counts: &[f64], weights: &[f64], keys: u64) -> Buckets {
        let scale = keys as f64 / counts.iter().sum::<f64>();
        let total: f64 = weights.iter().sum();
        let mut buckets = Buckets { first: vec![], count: vec![], cumulative: vec![] };
        let (mut edge, mut next, mut sum) = (0.0, 0u64, 0.0);
        for (count, weight) in counts.iter().zip(weights) {
            edge += count * scale;
            let end = (edge.round() as u64).max(next + 1);
            buckets.first.push(next);
            buckets.count.push(end - next);
            next = end;
            sum += weight / total;
            buckets.cumulative.push(sum);
        }
        buckets
    }

    fn draw(&self, random: &mut Random) -> u64 {
        let place = random.unit();
        let bucket = self.cumulative.partition_point(|sum| *sum <= place);
        let bucket = bucket.min(self.first.len() - 1);
        self.first[bucket] + random.below(self.count[bucket])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_ranks_of_a_power_law() {
        for alpha in [0.7, 1.0, 1.2f64] {
            let (zipf, mut random) = (Zipf::new(10_000, alpha), Random::new(3));
            let mut seen = [0.0; 2];
            for _ in 0..400_000 {
                let rank = zipf.draw(&mut random);
                assert!(rank < 10_000);
                if let Some(count) = seen.get_mut(rank as usize) {
                    *count += 1.0;
                }
            }
            let off = seen[0] / seen[1] / 2f64.powf(alpha);
            assert!((off - 1.0f64).abs() < 0.1, "alpha {alpha}: {off}");
        }
    }

    #[test]
    fn buckets_follow_their_weights() {
        let buckets = Buckets::new(&[1.0, 99.0], &[3.0, 1.0], 1000);
        let mut random = Random::new(1);
        let hot = (0..10_000).filter(|_| buckets.draw(&mut random) < 10).count();
        assert!((7_200..7_800).contains(&hot));
    }
}
