//! What came of a soak.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::counts::Counts;
use super::daemons::Daemon;
use super::faults::Done;
use super::samples::{MB, Samples};
use crate::clock;
use crate::tally::Tally;

/// All that is told at the end.
#[derive(Debug)]
pub struct Verdict {
    daemons: Vec<(&'static str, u64, Samples)>,
    faults: Done,
    sieges: BTreeMap<&'static str, (u64, Tally)>,
    /// Bars that were missed.
    missed: Vec<String>,
}

impl Verdict {
    /// Of what was seen.
    pub fn new(
        daemons: &[Daemon],
        samples: Vec<Samples>,
        faults: Done,
        sieges: BTreeMap<&'static str, (u64, Tally)>,
    ) -> Verdict {
        let daemons = daemons.iter().zip(samples);
        let daemons = daemons.map(|(daemon, samples)| (daemon.name, daemon.memory_mb, samples));
        let mut verdict =
            Verdict { daemons: daemons.collect(), faults, sieges, missed: Vec::new() };
        verdict.judge_memory();
        verdict
    }

    /// Sees that the daemons are alive, have not complained, and have let go of who is gone.
    pub fn look_after(&mut self, daemons: &mut [Daemon], counts: &Counts) {
        for daemon in daemons {
            if let Some(status) = daemon.ended() {
                self.missed.push(format!("{} has ended: {status}", daemon.name));
            }
            let log = daemon.log();
            for line in log.lines().filter(|line| line.contains("panicked")) {
                self.missed.push(format!("{} logged: {line}", daemon.name));
            }
            if log.len() > LOG_MAX_BYTES {
                let last = log.lines().next_back().unwrap_or_default();
                let (name, len) = (daemon.name, log.len());
                self.missed.push(format!("{name} logged {len} bytes, at last: {last:.200}"));
            }
            for (name, most, fails) in [
                ("curr_connections", CONNECTIONS_LEFT, "keeps connections of who is gone"),
                ("memory_pressure", 0, "is short of memory after all have gone"),
            ] {
                let is_back = || stat(daemon, name).filter(|value| *value <= most);
                if clock::wait_for(LEAVE_PATIENCE, is_back).is_none() {
                    self.missed.push(format!("{} {fails}", daemon.name));
                }
            }
        }
        for (kind, count) in counts.all_wrong() {
            self.missed.push(format!("{kind}: {count}"));
        }
        if counts.hits.load(Relaxed) == 0 {
            self.missed.push("no hits".to_owned());
        }
    }

    /// Whether all bars were kept.
    pub fn is_kept(&self) -> bool {
        self.missed.is_empty()
    }

    fn judge_memory(&mut self) {
        for (name, memory_mb, samples) in &self.daemons {
            let bar = bar_bytes(*memory_mb);
            if samples.most_bytes > bar {
                let (most, bar) = (samples.most_bytes as f64 / MB, bar as f64 / MB);
                self.missed.push(format!("{name}: {most:.1} MB resident, above {bar:.1} MB"));
            }
            if let Some((second, last)) = samples.quarters()
                && last as f64 > second as f64 * GROWTH_MAX
            {
                let (second, last) = (second as f64 / MB, last as f64 / MB);
                self.missed.push(format!("{name}: grew from {second:.1} MB to {last:.1} MB"));
            }
        }
    }

    /// Tells all of it.
    ///
    /// # Errors
    ///
    /// Nobody listens.
    pub fn tell(&self, counts: &Counts, out: &mut impl Write) -> io::Result<()> {
        let count = |of: &std::sync::atomic::AtomicU64| of.load(Relaxed);
        writeln!(
            out,
            "\noperations {}, hits compared {}, misses {}, connections {}",
            count(&counts.operations),
            count(&counts.hits),
            count(&counts.misses),
            count(&counts.connections)
        )?;
        writeln!(out, "wrong: {:?}", counts.all_wrong())?;
        writeln!(out, "errors: {:?}", counts.all_errors())?;
        writeln!(out, "faults: {:?}", self.faults)?;
        for (name, (turns, tally)) in &self.sieges {
            writeln!(out, "siege {name}: {turns} turns, {tally:?}")?;
        }
        writeln!(out, "latency of a batch from when it was due, ms: p50, p99, p99.9, max")?;
        let names = ["alone", "beside hostile clients", "in faults and a second after"];
        for (name, of) in names.iter().zip(counts.latencies()) {
            let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|p| of.percentile_ns(p) as f64 / 1e6);
            let max = of.max_ns() as f64 / 1e6;
            writeln!(out, "  {name}: {p50:.3}, {p99:.3}, {p999:.3}, {max:.1}")?;
        }
        for (name, memory_mb, samples) in &self.daemons {
            let (most, bar) = (samples.most_bytes as f64 / MB, bar_bytes(*memory_mb) as f64 / MB);
            write!(out, "{name}: -m {memory_mb}, resident at most {most:.1} MB (bar {bar:.1})")?;
            match samples.quarters() {
                Some((second, last)) => {
                    let (second, last) = (second as f64 / MB, last as f64 / MB);
                    write!(out, ", medians of quarters {second:.1} and {last:.1} MB")?;
                }
                None => write!(out, ", too short to speak of growth")?,
            }
            writeln!(out, ", {} connections", samples.connections_most)?;
            let parts = samples.parts.iter().map(|(name, most)| format!("{name} {most}"));
            writeln!(out, "  at most: {}", parts.collect::<Vec<_>>().join(", "))?;
        }
        for missed in &self.missed {
            writeln!(out, "MISSED {missed}")?;
        }
        writeln!(out, "{}", if self.is_kept() { "all bars kept" } else { "bars missed" })?;
        out.flush()
    }
}

/// A number of `stats`; none where a newcomer is not let in.
fn stat(daemon: &Daemon, name: &str) -> Option<u64> {
    let stats = daemon.ask("stats").ok()?;
    let named = format!("STAT {name} ");
    stats.iter().find_map(|line| line.strip_prefix(&named))?.parse().ok()
}

/// What a daemon with this `-m` may have resident: 1.05 times that and 8 MB.
fn bar_bytes(memory_mb: u64) -> u64 {
    (memory_mb << 20) / 20 * 21 + (8 << 20)
}

/// Growth of the median that is noise.
const GROWTH_MAX: f64 = 1.02;

/// A log that grew beyond is one that an attacker can fill a disk with.
const LOG_MAX_BYTES: usize = 64 << 20;

/// Connections of those who ask for the number, and the listeners, which memcached counts, too.
const CONNECTIONS_LEFT: u64 = 12;

/// Until then all who have gone must have been let go.
const LEAVE_PATIENCE: Duration = Duration::from_secs(15);
