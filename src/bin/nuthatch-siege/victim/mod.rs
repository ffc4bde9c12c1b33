//! A well-behaved client: it stores, asks, waits for each answer, and checks every value.
//!
//! It asks at a steady pace. Where an answer is late, those that it would have waited for meanwhile
//! count too, each with what was left of the wait: else a server that stands still for a second
//! would have one slow answer only.
//!
//! Each latency is taken by two clocks: the machine's, and that of the server's process, which tells
//! how long it was busy until it answered. Other programs on the machine do not make that longer;
//! and a server that waits for something, instead of working, does not either. The kernel brings
//! the second up to date when the server stops running, or else 100 to 1,000 times a second, so a
//! latency of less than 10 ms may be counted with the one before it: the smaller of the two is taken.
#![forbid(unsafe_code)]

pub mod client;

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::clock;
use crate::latency::Histogram;
use crate::running::Running;
use crate::target::Target;
use crate::victim::client::{Answer, Client};

/// What the keys of well-behaved clients begin with.
pub const KEY_PREFIX: &str = "victim:";

/// What became of a victim's requests.
#[derive(Clone, Debug)]
pub struct Experience {
    /// Latencies of all requests that were answered, in nanoseconds.
    pub latency: Histogram,
    /// The same in processor time of the server, where that is less.
    pub busy: Histogram,
    /// Stores and gets.
    pub requests: u64,
    /// Gets that found the key.
    pub hits: u64,
    /// Stores that were refused for want of memory.
    pub refused: u64,
    /// Requests whose answer never came: the connection ended, or stood still for
    /// [`client::PATIENCE`].
    pub lost: u64,
    /// Answers that were wrong.
    pub wrong: u64,
    /// What the first wrong or lost one was.
    pub first_fault: Option<String>,
}

impl Experience {
    fn new() -> Experience {
        Experience {
            latency: Histogram::new(),
            busy: Histogram::new(),
            requests: 0,
            hits: 0,
            refused: 0,
            lost: 0,
            wrong: 0,
            first_fault: None,
        }
    }

    fn fault(&mut self, what: String) {
        self.first_fault.get_or_insert(what);
    }
}

/// A client with keys of its own.
#[derive(Debug)]
pub struct Victim {
    name: String,
    client: Option<Client>,
    /// Of each key the version that was stored last, and whether that is sure.
    versions: Vec<Version>,
    /// Requests so far.
    turn: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Version {
    /// The one that was stored last; 0 for none.
    last: u64,
    /// The least that may be there: below `last` after a store whose answer was lost.
    least: u64,
}

impl Victim {
    /// The victim of this name, which is part of its keys.
    pub fn new(name: &str) -> Victim {
        let versions = vec![Version::default(); KEYS];
        Victim { name: name.to_owned(), client: None, versions, turn: 0 }
    }

    /// Asks `target` once every [`PERIOD`] until told to stop.
    pub fn run(&mut self, target: &Target, running: &Running) -> Experience {
        let mut experience = Experience::new();
        while running.pause(PERIOD) {
            let (before, start) = (processor_time(target.pid), clock::now());
            if self.request(target, &mut experience) {
                let taken = clock::now().saturating_duration_since(start);
                let busy = processor_time(target.pid).saturating_sub(before).min(taken);
                note(&mut experience.latency, taken);
                note(&mut experience.busy, busy);
            }
        }
        experience
    }

    /// One request; whether it was answered.
    fn request(&mut self, target: &Target, experience: &mut Experience) -> bool {
        if self.client.is_none() {
            match Client::connect(target) {
                Ok(client) => self.client = Some(client),
                Err(error) => {
                    experience.lost += 1;
                    experience.fault(format!("no connection: {error}"));
                    return false;
                }
            }
        }
        let Some(client) = &mut self.client else { return false };
        self.turn += 1;
        experience.requests += 1;
        let index = (self.turn / 2) as usize % KEYS;
        let key = format!("{KEY_PREFIX}{}:{index}", self.name);
        let version = &mut self.versions[index];
        let result = if self.turn.is_multiple_of(2) {
            store(client, &key, version, experience)
        } else {
            fetch(client, &key, version, experience)
        };
        if let Err(error) = &result {
            experience.lost += 1;
            experience.fault(format!("{key}: {error}"));
            self.client = None;
        }
        result.is_ok()
    }
}

fn store(
    client: &mut Client,
    key: &str,
    version: &mut Version,
    experience: &mut Experience,
) -> std::io::Result<()> {
    version.last += 1;
    match client.set(key, &value(key, version.last))? {
        Answer::Stored => version.least = version.last,
        // A refused store takes the old value away.
        Answer::Refused => {
            experience.refused += 1;
            version.least = version.last + 1;
        }
        other => {
            experience.wrong += 1;
            experience.fault(format!("{key}: a store was answered by {other:?}"));
        }
    }
    Ok(())
}

fn fetch(
    client: &mut Client,
    key: &str,
    version: &mut Version,
    experience: &mut Experience,
) -> std::io::Result<()> {
    match client.get(key)? {
        Answer::Missed => {}
        Answer::Value(found) => {
            experience.hits += 1;
            let is_right = (version.least..=version.last).any(|v| found == value(key, v));
            if !is_right {
                experience.wrong += 1;
                let shown = String::from_utf8_lossy(&found[..found.len().min(60)]).into_owned();
                experience.fault(format!("{key}: version {} was {shown:?}", version.last));
            }
        }
        other => {
            experience.wrong += 1;
            experience.fault(format!("{key}: a get was answered by {other:?}"));
        }
    }
    Ok(())
}

/// What is stored under `key` as its version so and so: both, again and again.
fn value(key: &str, version: u64) -> Vec<u8> {
    let part = format!("{key}={version};");
    part.repeat(VALUE_LEN_BYTES.div_ceil(part.len())).into_bytes()
}

/// Counts a latency, and those of the requests that were not sent since this one took so long.
fn note(latencies: &mut Histogram, taken: Duration) {
    let mut left = Some(taken);
    while let Some(latency) = left {
        latencies.record(latency.as_nanos() as u64);
        left = latency.checked_sub(PERIOD).filter(|left| !left.is_zero());
    }
}

/// Processor time that process `pid` has had; none once it has ended.
fn processor_time(pid: u32) -> Duration {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed()));
    clock.and_then(clock_gettime).map_or(Duration::ZERO, Duration::from)
}

/// Keys of a victim.
const KEYS: usize = 500;

/// Least length of a value.
const VALUE_LEN_BYTES: usize = 200;

/// Time from an answer to the next request: at most 2,000 a second, which leaves the hostile ones
/// room on the core that they share with the victim.
const PERIOD: Duration = Duration::from_micros(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_differ_by_key_and_version() {
        assert_ne!(value("a", 1), value("a", 2));
        assert_ne!(value("a", 1), value("b", 1));
        assert!(value("victim:x:1", 1).len() >= VALUE_LEN_BYTES);
    }

    #[test]
    fn a_late_answer_counts_for_those_behind_it() {
        let mut latencies = Histogram::new();
        note(&mut latencies, PERIOD * 99);
        assert_eq!(latencies.max_ns(), PERIOD.as_nanos() as u64 * 99);
        let half_ns = PERIOD.as_nanos() as u64 * 50;
        assert!(latencies.percentile_ns(50.0).abs_diff(half_ns) < half_ns / 50);
    }
}
