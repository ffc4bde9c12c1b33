//! Hostile clients for a cache server on this machine, and what they do to it and to its other
//! clients.
//!
//! ```text
//! args → probe → daemon, victim → report
//!        soak  → daemon, victims
//!                 patterns → crowd → socket, encryption → anyone, tally
//!                                             cores, resident, random, latency, running, clock
//! ```
//!
//! `probe` holds one pattern at a time against a fresh server, beside one well-behaved client;
//! `soak` holds many against one server for long. Exit code 0: every bar was kept; 1: one was not;
//! 2: the run could not be done.
#![forbid(unsafe_code)]

mod args;

mod probe;

mod soak;

mod report;

mod daemon;

mod resident;

mod cores;

mod victim;

mod patterns;

mod target;

mod running;

mod tally;

mod crowd;

mod socket;

mod encryption;

#[path = "../nuthatch-load/anyone.rs"]
mod anyone;

#[path = "../nuthatch-load/random.rs"]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the load generator's popularities are not drawn here")
)]
mod random;

#[path = "../nuthatch-load/latency.rs"]
mod latency;

mod clock;

use std::process::ExitCode;

use crate::args::Work;

fn main() -> ExitCode {
    let done = match args::parse() {
        Work::Probe(plan) => probe::run(&plan),
        Work::Soak(matches) => soak::run(&matches),
        Work::List => report::list(patterns::ALL),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            report::complain(&error);
            ExitCode::from(2)
        }
    }
}
