//! Made traces, after published workloads. The same recipe gives the same trace.
#![forbid(unsafe_code)]

use std::io;

use crate::popularity::Popularity;
use crate::random::{Random, mix, unit};
use crate::sizes::Sizes;
use crate::trace::{Op, Request, Writer};

/// What the options of `generate` are when they are not given.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// What it is called.
    pub name: &'static str,
    /// What it is like.
    pub about: &'static str,
    /// Requests in the trace.
    pub requests: u64,
    /// Keys that popularity is spread over.
    pub keys: u64,
    /// Exponent of the popularity.
    pub alpha: f64,
    /// Sizes of keys, as [`Sizes::parse`] reads them.
    pub key_size: &'static str,
    /// Sizes of values.
    pub value_size: &'static str,
    /// Share of requests for keys that never come again.
    pub onehit: f64,
    /// Share of requests that are part of a scan.
    pub scan_share: f64,
    /// How fast ranks pass to other keys.
    pub drift: f64,
    /// Share of writes.
    pub set_share: f64,
    /// Share of deletions.
    pub delete_share: f64,
    /// Where in the trace keys and sizes change; 0 for nowhere.
    pub shift: f64,
    /// Shares and TTLs, as [`ttls`] reads them.
    pub ttl: &'static str,
}

const ZIPF: Preset = Preset {
    name: "zipf",
    about: "Zipf 1.0, values of 230 B at the median",
    requests: 2_000_000,
    keys: 1_000_000,
    alpha: 1.0,
    key_size: "lognormal:38,0.3",
    value_size: "twitter",
    onehit: 0.0,
    scan_share: 0.0,
    drift: 0.0,
    set_share: 0.0,
    delete_share: 0.0,
    shift: 0.0,
    ttl: "",
};

/// All presets.
pub const PRESETS: &[Preset] = &[
    ZIPF,
    Preset {
        name: "big",
        about: "Zipf 0.8 over four million keys: a working set of over a gigabyte",
        requests: 5_000_000,
        keys: 4_000_000,
        alpha: 0.8,
        ..ZIPF
    },
    Preset {
        name: "etc",
        about: "after the ETC pool (SIGMETRICS'12): Pareto values, GEV keys, deletions, one-hit keys",
        key_size: "etc-key",
        value_size: "etc",
        onehit: 0.05,
        delete_share: 0.01,
        ..ZIPF
    },
    Preset {
        name: "twitter",
        about: "after the medians of OSDI'20: keys of 38 B, values of 230 B, TTLs up to days, writes",
        alpha: 1.1,
        set_share: 0.09,
        ttl: "0.2:300,0.3:3600,0.3:43200,0.2:86400",
        ..ZIPF
    },
    Preset {
        name: "drift",
        about: "the working set moves: new keys become popular all the time",
        alpha: 0.9,
        drift: 0.05,
        ..ZIPF
    },
    Preset {
        name: "scan",
        about: "Zipf with long scans of keys that are used once",
        scan_share: 0.3,
        ..ZIPF
    },
    Preset {
        name: "onehit",
        about: "Zipf with 30 % of requests for keys that never come again",
        onehit: 0.3,
        ..ZIPF
    },
    Preset {
        name: "calcify",
        about: "keys and sizes of values change half-way",
        value_size: "lognormal:150,0.5",
        shift: 0.5,
        ..ZIPF
    },
    Preset {
        name: "ttl",
        about: "half of the keys live for four seconds, the others for an hour",
        ttl: "0.5:4,0.5:3600",
        ..ZIPF
    },
    Preset {
        name: "cachebench",
        about: "popularity and sizes from CacheLib's pop.json and sizes.json",
        ..ZIPF
    },
];

/// A trace to be made.
#[derive(Debug)]
pub struct Recipe {
    /// Requests in the trace.
    pub requests: u64,
    /// Seed of everything.
    pub seed: u64,
    /// Requests a second of the trace's time.
    pub rate: f64,
    /// Which keys are asked for.
    pub popularity: Popularity,
    /// Sizes of keys.
    pub key_sizes: Sizes,
    /// Sizes of values.
    pub value_sizes: Sizes,
    /// Bound on the size of values.
    pub value_max: u32,
    /// Share of requests for keys that never come again.
    pub onehit: f64,
    /// Share of requests that are part of a scan, below 1.
    pub scan_share: f64,
    /// Requests of a scan.
    pub scan_length: u64,
    /// After so many scanned keys, scans begin again with the first.
    pub scan_keys: u64,
    /// A rank passes to another key every 100,000 / drift requests.
    pub drift: f64,
    /// Share of writes.
    pub set_share: f64,
    /// Share of deletions.
    pub delete_share: f64,
    /// Where in the trace (0 to 1) keys change, and the sizes from there on.
    pub shift: Option<(f64, Sizes)>,
    /// Shares of the keys and their TTLs in seconds; the rest lives for ever.
    pub ttls: Vec<(f64, u32)>,
}

impl Recipe {
    /// Writes the trace.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write(&self, writer: &mut Writer) -> io::Result<()> {
        let mut course = Course::new(self);
        (0..self.requests).try_for_each(|index| writer.write(&course.request(index)))
    }

    /// With drift, each rank passes to a fresh key now and then, at a moment of its own.
    fn moved(&self, rank: u64, index: u64) -> u64 {
        if self.drift <= 0.0 {
            return rank;
        }
        let life = 100_000.0 / self.drift;
        let phase = unit(mix(rank ^ self.seed));
        let generation = (index as f64 / life + phase) as u64;
        rank + generation * MOVED
    }

    fn ttl_of(&self, key: u64) -> u32 {
        let mut place = unit(mix(key ^ mix(self.seed ^ 3)));
        for (share, ttl) in &self.ttls {
            if place < *share {
                return *ttl;
            }
            place -= share;
        }
        0
    }
}

/// A recipe as it is carried out.
struct Course<'a> {
    recipe: &'a Recipe,
    random: Random,
    one_hit: u64,
    scanned: u64,
    scan_left: u64,
}

impl Course<'_> {
    fn new(recipe: &Recipe) -> Course<'_> {
        let random = Random::new(recipe.seed);
        Course { recipe, random, one_hit: 0, scanned: 0, scan_left: 0 }
    }

    /// The request at `index`; they are made in order. Each random number is drawn only where its
    /// option is in use: the order of draws is part of what a seed means.
    fn request(&mut self, index: u64) -> Request {
        let recipe = self.recipe;
        let progress = index as f64 / recipe.requests as f64;
        let shift = recipe.shift.as_ref().filter(|(at, _)| progress >= *at);
        let key = self.key(index, shift.is_some());
        let sizes = shift.map_or(&recipe.value_sizes, |(_, sizes)| sizes);
        let kind = self.random.unit();
        let op = if self.scan_left == 0 && kind < recipe.set_share {
            Op::Set
        } else if self.scan_left == 0 && kind < recipe.set_share + recipe.delete_share {
            Op::Delete
        } else {
            Op::Get
        };
        Request {
            time_ms: (index as f64 * 1000.0 / recipe.rate) as u32,
            key,
            key_size: recipe.key_sizes.of(key, recipe.seed ^ 1, KEY_SIZE_MAX) as u16,
            op,
            value_size: sizes.of(key, recipe.seed ^ 2, recipe.value_max),
            ttl: recipe.ttl_of(key),
        }
    }

    fn key(&mut self, index: u64, shifted: bool) -> u64 {
        let recipe = self.recipe;
        if self.scan_left == 0 && recipe.scan_share > 0.0 {
            // So that scans take their share of all requests.
            let odds = recipe.scan_share / (1.0 - recipe.scan_share) / recipe.scan_length as f64;
            if self.random.unit() < odds {
                self.scan_left = recipe.scan_length;
            }
        }
        if self.scan_left > 0 {
            self.scan_left -= 1;
            self.scanned += 1;
            SCANNED + (self.scanned - 1) % recipe.scan_keys
        } else if recipe.onehit > 0.0 && self.random.unit() < recipe.onehit {
            self.one_hit += 1;
            ONE_HIT + self.one_hit
        } else {
            let key = recipe.moved(recipe.popularity.draw(&mut self.random), index);
            if shifted { SHIFTED + key } else { key }
        }
    }
}

/// Reads `SHARE:SECONDS,...`; empty for no TTLs.
///
/// # Errors
///
/// Something else, as a sentence.
pub fn ttls(text: &str) -> Result<Vec<(f64, u32)>, String> {
    let part = |part: &str| {
        let (share, ttl) = part.split_once(':')?;
        Some((share.parse().ok()?, ttl.parse().ok()?))
    };
    let parts = text.split(',').filter(|part| !part.is_empty()).map(part);
    parts.collect::<Option<_>>().ok_or_else(|| "expected SHARE:SECONDS,...".into())
}

/// Longest key that a distribution gives.
pub const KEY_SIZE_MAX: u32 = 200;

// Ranges of keys that do not meet.
const MOVED: u64 = 1 << 34;
const ONE_HIT: u64 = 1 << 36;
const SCANNED: u64 = 1 << 37;
const SHIFTED: u64 = 1 << 38;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::recipe_of;

    fn made(line: &str) -> Vec<Request> {
        let recipe = recipe_of(line).unwrap();
        let mut course = Course::new(&recipe);
        (0..recipe.requests).map(|index| course.request(index)).collect()
    }

    #[test]
    fn a_seed_makes_one_trace() {
        let trace = made("twitter --requests 5000 --seed 4");
        assert_eq!(trace, made("twitter --requests 5000 --seed 4"));
        assert_ne!(trace, made("twitter --requests 5000 --seed 5"));
    }

    /// A sum over the first requests of each preset, so that no change makes other traces of the
    /// seeds that published figures name.
    #[test]
    fn a_seed_makes_the_trace_that_it_always_made() {
        let sum = |line: &str| {
            made(line).iter().fold(0, |sum: u64, request| {
                let Request { time_ms, key, key_size, op, value_size, ttl } = *request;
                let sizes = u64::from(key_size) << 32 ^ u64::from(value_size);
                mix(sum ^ mix(key) ^ sizes) ^ u64::from(time_ms) ^ u64::from(ttl) << 20 ^ op as u64
            })
        };
        let sums = SUMS.iter().map(|(name, _)| (*name, sum(&format!("{name} --requests 20000"))));
        assert_eq!(sums.collect::<Vec<_>>(), SUMS);
    }

    const SUMS: &[(&str, u64)] = &[
        ("big", 0xa2a4_9b09_0eb1_88aa),
        ("etc", 0x2098_ccce_394e_7e45),
        ("twitter", 0x7487_db2e_0447_cc1c),
        ("drift", 0x66e8_0112_a681_5bb4),
        ("scan", 0x305d_777d_75f2_788b),
        ("onehit", 0x18ba_d54c_e63a_28ca),
        ("calcify", 0x9eec_6a7b_cee8_37b9),
        ("ttl", 0xc635_9391_6b3b_7193),
    ];

    #[test]
    fn presets_do_what_they_say() {
        let share = |all: &[Request], is: &dyn Fn(&Request) -> bool| {
            all.iter().filter(|request| is(request)).count() as f64 / all.len() as f64
        };
        let all = made("onehit --requests 20000");
        assert!((share(&all, &|request| request.key >= ONE_HIT) - 0.3).abs() < 0.02);
        let all = made("scan --requests 400000 --scan-length 1000");
        assert!((share(&all, &|request| request.key >= SCANNED) - 0.3).abs() < 0.06);
        let all = made("calcify --requests 20000");
        assert!((share(&all, &|request| request.key >= SHIFTED) - 0.5).abs() < 0.01);
        let all = made("twitter --requests 20000");
        assert!((share(&all, &|request| request.op == Op::Set) - 0.09).abs() < 0.01);
        let all = made("etc --requests 20000");
        assert!((share(&all, &|request| request.op == Op::Delete) - 0.01).abs() < 0.005);
        let all = made("ttl --requests 20000 --alpha 0.1");
        assert!((share(&all, &|request| request.ttl == 4) - 0.5).abs() < 0.02);
        let all = made("drift --requests 200000 --keys 10 --drift 1");
        assert!(all[199_999].key >= MOVED);
    }
}
