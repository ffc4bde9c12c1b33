//! A load generator for a cache server on this machine.
//!
//! ```text
//! args → run → closed | open → client → codec → dataset
//!                                     → tally → latency        report, server_cpu, server_memory, clock
//!                                     → link → layer, encryption, anyone, socket
//! ```
//!
//! Every value that comes back is checked (see [`dataset`]). Exit code 0: all values were right;
//! 1: a wrong value came back; 2: the run could not be done.
#![forbid(unsafe_code)]

mod args;

mod run;

mod closed;

mod open;

mod client;

mod codec;

mod workload;

mod dataset;

mod random;

mod tally;

mod latency;

mod report;

mod server_cpu;

mod server_memory;

mod link;

mod layer;

mod encryption;

mod anyone;

mod socket;

mod clock;

use std::process::ExitCode;

use crate::args::Protocol;

fn main() -> ExitCode {
    let plan = args::parse();
    let result = match plan.protocol {
        Protocol::Text => run::run::<codec::Text>(&plan),
        Protocol::Meta => run::run::<codec::Meta>(&plan),
        Protocol::Binary => run::run::<codec::Binary>(&plan),
    };
    match result {
        Ok(result) => {
            let shown = report::report(&plan, &result);
            ExitCode::from(if shown.is_err() || result.tally.wrong > 0 { 1 } else { 0 })
        }
        Err(error) => {
            report::complain(&error);
            ExitCode::from(2)
        }
    }
}
