//! Many patterns at once against some daemons, for long, beside clients whose every value is
//! checked, and with faults.
//!
//! ```text
//! daemons ← sieges (patterns)      samples → verdict
//!    ↑   ← faults                     counts ↗
//! clients → author → codec → link      ↑
//!     └────→ ledger ← value ───────────┘
//! ```
#![forbid(unsafe_code)]

mod author;

mod client;

mod codec;

mod counts;

mod daemons;

mod faults;

mod ledger;

mod link;

#[cfg(test)]
mod lies;

mod roles;

mod samples;

mod sieges;

mod value;

mod verdict;

mod weather;

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Arg, ArgMatches, Command, value_parser};

use self::client::Client;
use self::counts::Counts;
use self::daemons::Daemon;
use self::roles::Cast;
use self::verdict::Verdict;
use crate::clock;
use crate::daemon::Setup;
use crate::random::{Random, mix};
use crate::running::Running;

/// The command line of a soak.
pub fn command() -> Command {
    let number = |name: &'static str, help: &'static str, from: u64, to: u64| {
        let parser = RangedU64ValueParser::<u64>::new().range(from..=to);
        Arg::new(name).long(name).value_name("N").help(help).value_parser(parser)
    };
    Command::new("soak").about("Many patterns at once against one server, for long").args([
        Arg::new("server")
            .long("server")
            .value_name("PATH")
            .help("Program of the server [nuthatch beside this program]")
            .value_parser(value_parser!(PathBuf)),
        number("seconds", "How long [60]", 5, 1_000_000),
        number("memory-mb", "The main daemon's -m; the others have a quarter [256]", 64, 4_096),
        number("rate", "Batches a second of all well-behaved clients together [2000]", 10, 100_000),
        number("lanes", "Hostile patterns at a time [2]", 0, 16),
        number("faults", "Whether there are faults: 0 or 1 [1]", 0, 1),
        number("seed", "What random numbers begin with [by the clock]", 0, u64::MAX),
    ])
}

struct Plan {
    server: PathBuf,
    time: Duration,
    memory_mb: u64,
    rate: u64,
    lanes: u64,
    has_faults: bool,
    seed: u64,
}

impl Plan {
    fn new(matches: &ArgMatches) -> Plan {
        let number = |name, or| matches.get_one::<u64>(name).copied().unwrap_or(or);
        // The process's number is as good as any: the seed is told.
        let seed = mix(u64::from(std::process::id()));
        Plan {
            server: matches.get_one("server").cloned().unwrap_or_else(crate::args::nuthatch),
            time: Duration::from_secs(number("seconds", 60)),
            memory_mb: number("memory-mb", 256),
            rate: number("rate", 2_000),
            lanes: number("lanes", 2),
            has_faults: number("faults", 1) == 1,
            seed: number("seed", seed),
        }
    }
}

/// Runs a soak; whether all bars were kept.
///
/// # Errors
///
/// The soak cannot be done.
pub fn run(matches: &ArgMatches) -> io::Result<bool> {
    let plan = Plan::new(matches);
    let began = clock::now();
    let counts = Counts::new(began);
    counts.say(&format!("soak of {:?} with --seed {}", plan.time, plan.seed));
    let setup = |memory_mb: u64, has_login: bool| Setup {
        threads: 2,
        connections: CONNECTIONS,
        has_tls: true,
        has_udp: !has_login,
        has_login,
        ..Setup::new(&plan.server, memory_mb)
    };
    let small_mb = plan.memory_mb / 4;
    let main = Daemon::tcp("main", &setup(plan.memory_mb, false), roles::MAIN, began)?;
    let logins = Daemon::tcp("logins", &setup(small_mb, true), roles::LOGINS, began)?;
    let unix = Daemon::unix("unix", &plan.server, logins.dir(), small_mb, roles::UNIX, began)?;
    // The directory of `unix` is that of `logins`, which must be the last to go.
    let mut daemons = vec![unix, main, logins];
    for daemon in &daemons {
        counts.say(&format!("{} is process {}, -m {}", daemon.name, daemon.pid, daemon.memory_mb));
        daemon.fill()?;
    }
    let cast = roles::cast(&daemons)?;
    let mut verdict = hold(&plan, &daemons, &cast, &counts);
    verdict.look_after(&mut daemons, &counts);
    verdict.tell(&counts, &mut io::stdout().lock())?;
    Ok(verdict.is_kept())
}

/// Everything at once, for the plan's time.
fn hold(plan: &Plan, daemons: &[Daemon], cast: &[Cast<'_>], counts: &Counts) -> Verdict {
    let running = Running::for_time(plan.time);
    let tallies = sieges::Tallies::default();
    let interval = Duration::from_secs(1) * cast.len() as u32 / plan.rate as u32;
    let alone = (plan.time / 10).min(ALONE_MAX);
    let mut seeds = Random::new(plan.seed);
    let (samples, faults) = thread::scope(|scope| {
        for Cast { role, daemon, number } in cast {
            let seed = seeds.bits();
            let running = &running;
            let client = move || {
                Client::new(role, &daemon.scene, counts, *number, seed).run(running, interval);
            };
            scope.spawn(client);
        }
        let samples = scope.spawn(|| samples::run(daemons, counts, &running));
        // The clients are alone at first, to be compared with.
        running.pause(alone);
        for _ in 0..plan.lanes {
            let seed = seeds.bits();
            let (running, tallies) = (&running, &tallies);
            scope.spawn(move || sieges::run(daemons, counts, running, seed, tallies));
        }
        let seed = seeds.bits();
        let faults = plan.has_faults.then(|| {
            let running = &running;
            scope.spawn(move || faults::run(daemons, counts, running, seed))
        });
        let faults = faults.and_then(|thread| thread.join().ok()).unwrap_or_default();
        (samples.join().unwrap_or_default(), faults)
    });
    let tallies = tallies.into_inner().unwrap_or_default();
    Verdict::new(daemons, samples, faults, tallies)
}

/// Room for the well-behaved, and for two patterns.
const CONNECTIONS: usize = 1_024;

/// The longest time that well-behaved clients are alone.
const ALONE_MAX: Duration = Duration::from_secs(20);
