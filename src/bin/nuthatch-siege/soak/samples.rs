//! The memory of the daemons, second by second.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::counts::Counts;
use super::daemons::Daemon;
use crate::clock;
use crate::resident::Resident;
use crate::running::Running;

/// What was seen of one daemon.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Resident bytes, one a second while it is full.
    pub resident: Vec<u64>,
    /// The most at any time, as the kernel counts it.
    pub most_bytes: u64,
    /// The most connections, as the daemon counts them.
    pub connections_most: u64,
    /// The largest value of each statistic about memory.
    pub parts: BTreeMap<String, u64>,
}

/// Looks once a second until told to stop, and tells once in a while.
pub fn run(daemons: &[Daemon], counts: &Counts, running: &Running) -> Vec<Samples> {
    let mut all = vec![Samples::default(); daemons.len()];
    let mut next_tell = clock::now() + TELL_EVERY;
    while running.pause(Duration::from_secs(1)) {
        for (daemon, samples) in daemons.iter().zip(&mut all) {
            match Resident::of(daemon.pid) {
                Ok(resident) => {
                    if daemon.is_full() {
                        samples.resident.push(resident.now_bytes);
                    }
                    samples.most_bytes = samples.most_bytes.max(resident.most_bytes);
                }
                Err(error) => {
                    counts.wrong("daemon gone", &format!("{}: {error}", daemon.name));
                    running.stop();
                }
            }
            // Under fire it may be refused.
            samples.note(&daemon.ask("stats").unwrap_or_default());
        }
        next_tell = tell(&all, daemons, counts, next_tell);
    }
    all
}

fn tell(all: &[Samples], daemons: &[Daemon], counts: &Counts, due: Instant) -> Instant {
    let now = clock::now();
    if now < due {
        return due;
    }
    let memory = daemons.iter().zip(all).map(|(daemon, samples)| {
        let now = samples.resident.last().copied().unwrap_or_default();
        format!("{} {:.1} MB", daemon.name, now as f64 / MB)
    });
    let memory: Vec<String> = memory.collect();
    let (hits, wrong) = (&counts.hits, counts.all_wrong().values().sum::<u64>());
    let hits = hits.load(std::sync::atomic::Ordering::Relaxed);
    counts.say(&format!("{}; {hits} hits, {wrong} wrong", memory.join(", ")));
    now + TELL_EVERY
}

impl Samples {
    fn note(&mut self, stats: &[String]) {
        for line in stats {
            let mut words = line.split(' ').skip(1);
            let (Some(name), Some(Ok(number))) = (words.next(), words.next().map(str::parse))
            else {
                continue;
            };
            if name == "curr_connections" {
                self.connections_most = self.connections_most.max(number);
            } else if name.contains("mem") || name == "bytes" {
                let most = self.parts.entry(name.to_owned()).or_default();
                *most = number.max(*most);
            }
        }
    }

    /// The resident bytes of the second quarter and of the last, by their medians; none if there
    /// are too few samples for a word about it.
    pub fn quarters(&self) -> Option<(u64, u64)> {
        let quarter = self.resident.len() / 4;
        let is_enough = quarter >= QUARTER_LEAST;
        let last = self.resident.len().saturating_sub(quarter);
        is_enough
            .then(|| (median(&self.resident[quarter..2 * quarter]), median(&self.resident[last..])))
    }
}

fn median(of: &[u64]) -> u64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// A megabyte, as `-m` counts them.
pub const MB: f64 = 1_048_576.0;

const TELL_EVERY: Duration = Duration::from_secs(10);

/// Seconds that a quarter must have: each hostile pattern has its own needs, and some dozen have to come in each.
const QUARTER_LEAST: usize = 150;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_are_compared_by_their_medians() {
        let mut samples = Samples { resident: vec![5; 160], ..Samples::default() };
        samples.resident.extend([7; 160]);
        samples.resident.extend([1_000; 160]);
        samples.resident.extend([9; 160]);
        samples.resident[170] = 1_000_000;
        assert_eq!(samples.quarters(), Some((7, 9)));
        samples.resident.truncate(500);
        assert_eq!(samples.quarters(), None);
    }

    #[test]
    fn statistics_about_memory_are_kept() {
        let mut samples = Samples::default();
        for (connections, bytes) in [(3, 9), (5, 7)] {
            samples.note(&[
                format!("STAT curr_connections {connections}"),
                format!("STAT bytes {bytes}"),
                "STAT version 1.6.45".to_owned(),
            ]);
        }
        assert_eq!(samples.connections_most, 5);
        assert_eq!(samples.parts, BTreeMap::from([("bytes".to_owned(), 9)]));
    }
}
