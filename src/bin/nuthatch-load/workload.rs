//! Which request comes next.
#![forbid(unsafe_code)]

use std::ops::Range;

use crate::dataset::Dataset;
use crate::random::{Random, Zipf};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Retrieve, any number of keys.
    Get,
    /// Retrieve with the CAS unique, any number of keys.
    Gets,
    /// Retrieve one key and set its exptime.
    Gat,
    /// Store.
    Set,
    /// Store if absent.
    Add,
    /// Store if present.
    Replace,
    /// Count a counter up by 1.
    Incr,
    /// Count a counter down by 1.
    Decr,
    /// Remove.
    Delete,
    /// Set the exptime.
    Touch,
}

impl Verb {
    /// All verbs, under their names in the text protocol.
    pub const ALL: [(&'static str, Verb); 10] = [
        ("get", Verb::Get),
        ("gets", Verb::Gets),
        ("gat", Verb::Gat),
        ("set", Verb::Set),
        ("add", Verb::Add),
        ("replace", Verb::Replace),
        ("incr", Verb::Incr),
        ("decr", Verb::Decr),
        ("delete", Verb::Delete),
        ("touch", Verb::Touch),
    ];

    /// Whether values are the answer.
    pub fn retrieves(self) -> bool {
        matches!(self, Verb::Get | Verb::Gets | Verb::Gat)
    }

    /// Whether it carries a value.
    pub fn stores(self) -> bool {
        matches!(self, Verb::Set | Verb::Add | Verb::Replace)
    }

    /// Whether it works on counters.
    pub fn counts(self) -> bool {
        matches!(self, Verb::Incr | Verb::Decr)
    }
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What to do.
    pub verb: Verb,
    /// The keys, in order; one unless the verb is get or gets.
    pub keys: &'a [u32],
    /// Version of the value, if it carries one.
    pub version: u32,
    /// Exptime in seconds, if it carries one.
    pub exptime: u32,
    /// Whether an answer is expected.
    pub answer: Answer,
}

/// Whether a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The usual.
    Wanted,
    /// The request says that it wants none.
    Unwanted,
}

/// One kind of request within a mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What to do.
    pub verb: Verb,
    /// Keys in a request.
    pub keys: u32,
    /// How often, against the other parts.
    pub weight: u32,
}

/// How keys are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// All alike.
    Uniform,
    /// With this exponent; which keys are the frequent ones is scattered over the key numbers.
    Zipf(f64),
}

/// Everything that makes up the requests, the same for all threads.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Kinds of requests; at least one, and not all of weight 0.
    pub mix: Vec<Part>,
    /// How keys are drawn.
    pub distribution: Distribution,
    /// Exptime in seconds of what is stored, touched and got-and-touched; 0 for never.
    pub exptime: u32,
    /// Whether sets want an answer where another request in the same batch gets one.
    pub set_answer: Answer,
    /// Where all random numbers come from.
    pub seed: u64,
}

impl Recipe {
    /// Whether any request works on counters.
    pub fn counts(&self) -> bool {
        self.mix.iter().any(|part| part.verb.counts())
    }
}

/// A bounded stream of requests for one thread.
#[derive(Debug)]
pub struct Workload<'a> {
    recipe: &'a Recipe,
    random: Random,
    source: Source,
    /// Requests still to come.
    left: u64,
    key_count: u32,
    weights: u32,
    /// Keys of the request given last.
    keys: Vec<u32>,
}

#[derive(Debug)]
enum Source {
    /// Sets of all keys in a range, in order.
    Fill(Range<u32>),
    Uniform,
    /// With the factor that scatters ranks over keys.
    Zipf(Zipf, u64),
}

impl<'a> Workload<'a> {
    /// Stores each of `keys` once.
    pub fn fill(recipe: &'a Recipe, dataset: &Dataset, keys: Range<u32>) -> Workload<'a> {
        let left = u64::from(keys.end - keys.start);
        Workload::new(recipe, dataset, Source::Fill(keys), left, u64::MAX)
    }

    /// At most `requests` requests of the mix; threads differ in `stream`.
    pub fn mix(recipe: &'a Recipe, dataset: &Dataset, requests: u64, stream: u64) -> Workload<'a> {
        let source = match recipe.distribution {
            Distribution::Uniform => Source::Uniform,
            Distribution::Zipf(alpha) => {
                Source::Zipf(Zipf::new(dataset.keys(), alpha), scatter(dataset.keys()))
            }
        };
        Workload::new(recipe, dataset, source, requests, stream)
    }

    fn new(
        recipe: &'a Recipe,
        dataset: &Dataset,
        source: Source,
        left: u64,
        stream: u64,
    ) -> Workload<'a> {
        let random = Random::new(crate::random::mix(recipe.seed ^ stream.rotate_left(32)));
        let weights = recipe.mix.iter().map(|part| part.weight).sum();
        let key_count = dataset.keys();
        Workload { recipe, random, source, left, key_count, weights, keys: Vec::new() }
    }

    /// Requests still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Leaves out one request.
    pub fn skip(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Gives up the rest.
    pub fn stop(&mut self) {
        self.left = 0;
    }

    /// The next request, none at the end. `answer` is what a set should ask for.
    pub fn next(&mut self, answer: Answer) -> Option<Request<'_>> {
        self.left = self.left.checked_sub(1)?;
        self.keys.clear();
        let verb = if let Source::Fill(range) = &mut self.source {
            self.keys.extend(range.next());
            Verb::Set
        } else {
            let part = self.pick();
            let first = if part.verb.counts() { self.key_count } else { 0 };
            for _ in 0..part.keys {
                let key = first + self.draw();
                self.keys.push(key);
            }
            part.verb
        };
        Some(Request {
            verb,
            keys: &self.keys,
            version: if verb.stores() { self.random.bits() as u32 } else { 0 },
            exptime: self.recipe.exptime,
            answer: if verb == Verb::Set { answer } else { Answer::Wanted },
        })
    }

    fn pick(&mut self) -> Part {
        let mut place = self.random.below(self.weights);
        for part in &self.recipe.mix {
            match place.checked_sub(part.weight) {
                Some(rest) => place = rest,
                None => return *part,
            }
        }
        unreachable!("the place is below the sum of the weights")
    }

    fn draw(&mut self) -> u32 {
        match &self.source {
            Source::Zipf(zipf, factor) => {
                let rank = u64::from(zipf.draw(&mut self.random));
                (rank * factor % u64::from(self.key_count)) as u32
            }
            _ => self.random.below(self.key_count),
        }
    }
}

/// A factor by which ranks are multiplied modulo `count` so that each key still has one rank.
fn scatter(count: u32) -> u64 {
    let near_golden = (f64::from(count) * 0.618_034) as u64;
    (near_golden.max(1)..).find(|factor| gcd(*factor, u64::from(count)) == 1).unwrap_or(1)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::dataset::ValueSize;

    fn recipe(mix: &[(Verb, u32, u32)], distribution: Distribution) -> Recipe {
        let mix = mix.iter().map(|&(verb, keys, weight)| Part { verb, keys, weight }).collect();
        Recipe { mix, distribution, exptime: 0, set_answer: Answer::Wanted, seed: 1 }
    }

    fn dataset(keys: u32) -> Dataset {
        Dataset::new("k", keys, ValueSize::Fixed(10), 1)
    }

    #[test]
    fn weights_and_key_counts_are_kept() {
        let recipe = recipe(
            &[(Verb::Get, 5, 9), (Verb::Set, 1, 1), (Verb::Add, 1, 0)],
            Distribution::Uniform,
        );
        let mut workload = Workload::mix(&recipe, &dataset(100), 10_000, 0);
        let mut sets = 0;
        let mut total = 0;
        while let Some(request) = workload.next(Answer::Wanted) {
            assert_eq!(request.keys.len(), if request.verb == Verb::Get { 5 } else { 1 });
            assert_ne!(request.verb, Verb::Add);
            sets += u32::from(request.verb == Verb::Set);
            total += 1;
        }
        assert_eq!(total, 10_000);
        assert!((850..1150).contains(&sets), "{sets}");
    }

    #[test]
    fn counters_have_keys_of_their_own() {
        let recipe = recipe(&[(Verb::Incr, 1, 1)], Distribution::Zipf(1.0));
        let mut workload = Workload::mix(&recipe, &dataset(100), 1000, 0);
        while let Some(request) = workload.next(Answer::Wanted) {
            assert!((100..200).contains(&request.keys[0]));
        }
    }

    #[test]
    fn fill_names_each_key_once() {
        let recipe = recipe(&[(Verb::Get, 1, 1)], Distribution::Uniform);
        let mut workload = Workload::fill(&recipe, &dataset(100), 20..30);
        let mut seen = Vec::new();
        while let Some(request) = workload.next(Answer::Wanted) {
            assert_eq!(request.verb, Verb::Set);
            seen.extend_from_slice(request.keys);
        }
        assert_eq!(seen, (20..30).collect::<Vec<u32>>());
    }

    #[test]
    fn every_rank_has_a_key() {
        for count in [1u32, 2, 10, 97, 1000] {
            let factor = scatter(count);
            let keys: HashSet<u64> =
                (0..u64::from(count)).map(|rank| rank * factor % u64::from(count)).collect();
            assert_eq!(keys.len(), count as usize);
        }
    }
}
