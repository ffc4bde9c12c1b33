//! A size in bytes for each key: a function of the key, so that a key keeps its size in a trace.
#![forbid(unsafe_code)]

use crate::random::{mix, unit};

/// How sizes are spread over keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Sizes {
    /// All the same.
    Fixed(u32),
    /// From the first to the second, both included.
    Uniform(u32, u32),
    /// Median, and sigma of the logarithm.
    LogNormal(f64, f64),
    /// Location, scale, shape.
    Pareto(f64, f64, f64),
    /// Location, scale, shape of a generalised extreme value distribution.
    ExtremeValue(f64, f64, f64),
    /// Edges of buckets, one more than buckets, and the cumulative share of each bucket.
    Table(Vec<f64>, Vec<f64>),
}

impl Sizes {
    /// Reads `fixed:N`, `uniform:A,B`, `lognormal:MEDIAN,SIGMA`, `pareto:LOC,SCALE,SHAPE`,
    /// `gev:LOC,SCALE,SHAPE`, or a name: `etc` and `etc-key` (values and keys of the ETC pool of the
    /// SIGMETRICS'12 paper on Facebook's memcached) and `twitter` (the median of the OSDI'20 paper).
    ///
    /// # Errors
    ///
    /// A text that is none of them, as a sentence.
    pub fn parse(text: &str) -> Result<Sizes, String> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let numbers = rest.split(',').filter(|part| !part.is_empty()).map(str::parse);
        let numbers: Vec<f64> = numbers.collect::<Result<_, _>>().unwrap_or_default();
        match (name, numbers.as_slice()) {
            ("etc", []) => Ok(Sizes::Pareto(0.0, 214.476, 0.348238)),
            ("etc-key", []) => Ok(Sizes::ExtremeValue(30.7984, 8.20449, 0.078688)),
            ("twitter", []) => Ok(Sizes::LogNormal(230.0, 1.0)),
            ("fixed", [size]) => Ok(Sizes::Fixed(*size as u32)),
            ("uniform", [from, to]) if from <= to => Ok(Sizes::Uniform(*from as u32, *to as u32)),
            ("lognormal", [median, sigma]) => Ok(Sizes::LogNormal(*median, *sigma)),
            ("pareto", [location, scale, shape]) => Ok(Sizes::Pareto(*location, *scale, *shape)),
            ("gev", [location, scale, shape]) => Ok(Sizes::ExtremeValue(*location, *scale, *shape)),
            _ => Err(format!("'{text}' is no distribution of sizes")),
        }
    }

    /// The size of `key`: at least 1, at most `max`.
    pub fn of(&self, key: u64, seed: u64, max: u32) -> u32 {
        let bits = mix(key ^ mix(seed));
        let place = unit(bits);
        let second = || unit(mix(bits));
        let size = match self {
            Sizes::Fixed(size) => f64::from(*size),
            Sizes::Uniform(from, to) => f64::from(*from) + place * (f64::from(to - from) + 1.0),
            Sizes::LogNormal(median, sigma) => {
                // Box and Muller's normal number of two uniform ones.
                let radius = (-2.0 * second().max(TINY).ln()).sqrt();
                median * (sigma * radius * (std::f64::consts::TAU * place).cos()).exp()
            }
            Sizes::Pareto(location, scale, shape) => {
                location + scale * ((1.0 - place).powf(-shape) - 1.0) / shape
            }
            Sizes::ExtremeValue(location, scale, shape) => {
                location + scale * ((-place.max(TINY).ln()).powf(-shape) - 1.0) / shape
            }
            Sizes::Table(edges, cumulative) => {
                let bucket = cumulative.partition_point(|sum| *sum <= place).min(edges.len() - 2);
                edges[bucket] + second() * (edges[bucket + 1] - edges[bucket])
            }
        };
        (size as u32).clamp(1, max)
    }
}

/// Keeps logarithms finite.
const TINY: f64 = 1e-12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_their_medians_and_stay_with_the_key() {
        let median = |text: &str| {
            let sizes = Sizes::parse(text).unwrap();
            let mut all: Vec<u32> = (0..20_001).map(|key| sizes.of(key, 1, 1 << 20)).collect();
            assert_eq!(all[5], sizes.of(5, 1, 1 << 20));
            all.sort_unstable();
            all[10_000]
        };
        assert_eq!(median("fixed:77"), 77);
        assert!((215..245).contains(&median("twitter")));
        assert!((155..175).contains(&median("etc")));
        assert!((30..38).contains(&median("etc-key")));
        assert!((295..305).contains(&median("uniform:200,400")));
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        for bad in ["", "fixed", "fixed:x", "uniform:9,1", "normal:3,4", "twitter:1"] {
            assert!(Sizes::parse(bad).is_err(), "{bad}");
        }
    }
}
