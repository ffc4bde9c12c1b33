//! A histogram of latencies with a fixed relative error.
//!
//! Below 256 ns each nanosecond has its bucket; above, each power of two is cut into 128 equal
//! buckets, so that a percentile is never more than 0.8 % too high and never too low.
#![forbid(unsafe_code)]

/// Counts of latencies in nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max_ns: u64,
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Histogram {
        Histogram { buckets: vec![0; BUCKETS], count: 0, max_ns: 0 }
    }

    /// Counts one latency.
    pub fn record(&mut self, ns: u64) {
        self.buckets[bucket_of(ns)] += 1;
        self.count += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds all that `other` has counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (sum, part) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += part;
        }
        self.count += other.count;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// The latency that `percent` (0 to 100) of the counted do not exceed; 0 when empty.
    pub fn percentile_ns(&self, percent: f64) -> u64 {
        let rank = ((percent / 100.0 * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_ns(bucket).min(self.max_ns);
            }
        }
        self.max_ns
    }

    /// The longest latency; 0 when empty.
    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }
}

fn bucket_of(ns: u64) -> usize {
    let shift = (u64::BITS - ns.leading_zeros()).saturating_sub(SPLIT_BITS + 1);
    ((shift as usize) << SPLIT_BITS) + (ns >> shift) as usize
}

/// The longest latency that falls into the bucket.
fn upper_ns(bucket: usize) -> u64 {
    let shift = (bucket >> SPLIT_BITS).saturating_sub(1);
    let lower = ((bucket - (shift << SPLIT_BITS)) as u64) << shift;
    lower + ((1 << shift) - 1)
}

/// Each power of two has 2^7 buckets.
const SPLIT_BITS: u32 = 7;

/// One more than the bucket of `u64::MAX`, whose shift is 56 and whose upper bits are 255.
const BUCKETS: usize = (56 << SPLIT_BITS) + 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_everything_without_gap_or_overlap() {
        for bucket in 0..BUCKETS - 1 {
            let upper = upper_ns(bucket);
            assert_eq!(bucket_of(upper), bucket);
            assert_eq!(bucket_of(upper + 1), bucket + 1);
        }
        assert_eq!(upper_ns(BUCKETS - 1), u64::MAX);
        assert_eq!(bucket_of(0), 0);
    }

    #[test]
    fn percentiles_of_a_known_row() {
        let mut histogram = Histogram::new();
        for us in 1..=1000 {
            histogram.record(us * 1000);
        }
        for (percent, want_us) in [(50.0, 500), (90.0, 900), (99.0, 990), (99.9, 999)] {
            let got = histogram.percentile_ns(percent);
            let want = want_us * 1000;
            assert!(got >= want && got <= want + want / 128, "{percent}: {got}");
        }
        assert_eq!(histogram.percentile_ns(100.0), 1_000_000);
        assert_eq!(histogram.max_ns(), 1_000_000);
    }

    #[test]
    fn small_ones_are_exact_and_none_is_zero() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentile_ns(50.0), 0);
        for ns in [3, 5, 200] {
            histogram.record(ns);
        }
        assert_eq!(histogram.percentile_ns(1.0), 3);
        assert_eq!(histogram.percentile_ns(50.0), 5);
        assert_eq!(histogram.percentile_ns(67.0), 200);
    }

    #[test]
    fn merged_is_the_same_as_counted_together() {
        let (mut one, mut two, mut both) = (Histogram::new(), Histogram::new(), Histogram::new());
        for ns in 0..10_000 {
            if ns % 3 == 0 { &mut one } else { &mut two }.record(ns * ns);
            both.record(ns * ns);
        }
        one.merge(&two);
        assert_eq!(one.buckets, both.buckets);
        assert_eq!((one.count, one.max_ns), (both.count, both.max_ns));
    }
}
