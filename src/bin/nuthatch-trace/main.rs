//! Traces of requests to a cache: made, converted, and replayed on a server of this machine or on a store
//! in this process.
//!
//! ```text
//! args → generate → popularity, sizes, cachebench → random
//!        convert → formats                          trace, report, clock
//!        info
//!        replay → client, lookaside
//!        simulate → lookaside, the daemon's store
//!        fill → client
//! ```
//!
//! Exit code 0: done, and all values were right; 1: a wrong value came back; 2: it could not be
//! done.
#![forbid(unsafe_code)]

mod args;

mod generate;

mod convert;

mod formats;

mod info;

mod replay;

mod simulate;

mod fill;

mod lookaside;

mod client;

mod popularity;

mod sizes;

mod cachebench;

mod random;

mod trace;

mod report;

mod clock;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use args::{Output, Task};
use lookaside::Outcome;
use report::{Look, Report};
use trace::{Reader, Request, Writer};

fn main() -> ExitCode {
    match run(&args::parse()) {
        Ok(code) => code,
        Err(message) => {
            report::complain(&message);
            ExitCode::from(2)
        }
    }
}

fn run(task: &Task) -> Result<ExitCode, String> {
    match task {
        Task::Generate(recipe, output) => written(output, |writer| recipe.write(writer)),
        Task::Convert(conversion, output) => written(output, |writer| conversion.run(writer)),
        Task::Info(path, look) => {
            let report = open(path).and_then(info::info).map_err(|error| named(path, &error))?;
            shown(&report, *look)
        }
        Task::Replay { manner, path, limit, look } => {
            // The whole trace is read first, so that reading does not slow the replay.
            let trace = read(path, *limit)?;
            let outcome =
                replay::replay(manner, &trace).map_err(|error| format!("replay: {error}"))?;
            judged(&outcome, *look)
        }
        Task::Simulate { simulation, path, limit, look } => {
            let outcome = simulation.run(&read(path, *limit)?);
            judged(&outcome.map_err(|error| format!("simulate: {error}"))?, *look)
        }
        Task::Fill(filling, look) => {
            let report = filling.run().map_err(|error| format!("fill: {error}"))?;
            shown(&report, *look)
        }
    }
}

fn open(path: &Path) -> io::Result<Reader> {
    Reader::new(trace::open(path)?)
}

fn read(path: &Path, limit: usize) -> Result<Vec<Request>, String> {
    let trace = open(path).and_then(|reader| reader.take(limit).collect());
    trace.map_err(|error| named(path, &error))
}

fn judged(outcome: &Outcome, look: Look) -> Result<ExitCode, String> {
    shown(&outcome.report(), look)?;
    Ok(ExitCode::from(u8::from(outcome.counts.wrong > 0)))
}

fn shown(report: &Report, look: Look) -> Result<ExitCode, String> {
    report::show(report, look).map_err(|error| format!("standard output: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a trace.
fn written(
    output: &Output,
    write: impl FnOnce(&mut Writer) -> io::Result<()>,
) -> Result<ExitCode, String> {
    let written = Writer::create(&output.path, output.form).and_then(|mut writer| {
        write(&mut writer)?;
        writer.finish()
    });
    written.map_err(|error| named(&output.path, &error))?;
    Ok(ExitCode::SUCCESS)
}

fn named(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
