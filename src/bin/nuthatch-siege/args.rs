//! The command line, checked.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::patterns::{self, Pattern};
use crate::probe::LatencyClock;
use crate::soak;

/// What is to be done.
#[derive(Debug)]
pub enum Work {
    /// One pattern after the other, each against a fresh server.
    Probe(Plan),
    /// Many patterns against one server.
    Soak(ArgMatches),
    /// The names of the patterns.
    List,
}

/// What is to be probed.
#[derive(Debug)]
pub struct Plan {
    /// The server's program.
    pub server: PathBuf,
    /// Further arguments of the server.
    pub server_args: Vec<String>,
    /// The patterns.
    pub patterns: Vec<&'static Pattern>,
    /// The server's `-m`.
    pub memory_mb: u64,
    /// How long the victim is alone before each pattern.
    pub alone: Duration,
    /// How long each pattern goes on.
    pub time: Duration,
    /// What the patterns' random numbers begin with.
    pub seed: u64,
    /// By which clock latencies are judged, and by what.
    pub clock: LatencyClock,
    /// How much the p99 may rise.
    pub rise_max: Duration,
    /// How long the slowest answer may take.
    pub latency_max: Duration,
    /// Whether the last word is a table in Markdown.
    pub is_markdown: bool,
}

/// Reads the command line; on a mistake, says so and ends the process with code 2.
pub fn parse() -> Work {
    work_from(&command().get_matches()).unwrap_or_else(|message| {
        command().error(clap::error::ErrorKind::ValueValidation, message).exit()
    })
}

fn work_from(matches: &ArgMatches) -> Result<Work, String> {
    match matches.subcommand() {
        Some(("probe", matches)) => plan_from(matches).map(Work::Probe),
        Some(("soak", matches)) => Ok(Work::Soak(matches.clone())),
        _ => Ok(Work::List),
    }
}

fn command() -> Command {
    Command::new("nuthatch-siege")
        .about("Holds hostile clients against a cache server on this machine")
        .subcommand_required(true)
        .subcommands([probe(), soak::command(), Command::new("list").about("Names the patterns")])
}

fn probe() -> Command {
    let number = |from: u64, to: u64| RangedU64ValueParser::<u64>::new().range(from..=to);
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("probe")
        .about("Each pattern against a fresh server, beside a well-behaved client")
        .args([
            option("server", "PATH", "Program of the server [nuthatch beside this program]")
                .value_parser(value_parser!(PathBuf)),
            option("server-arg", "TEXT", "Further argument of the server; may be repeated")
                .action(ArgAction::Append)
                .allow_hyphen_values(true),
            option("only", "NAME", "Pattern to probe, all of them by default; may be repeated")
                .action(ArgAction::Append),
            option("memory-mb", "N", "The server's -m [64]").value_parser(number(8, 4096)),
            option("seconds", "N", "How long each pattern goes on [5]")
                .value_parser(number(1, 600)),
            option("alone", "N", "Seconds of the client alone before that [2]")
                .value_parser(number(1, 600)),
            option("seed", "N", "What random numbers begin with [1]")
                .value_parser(value_parser!(u64)),
            option("rise-ms", "N", "How much the client's p99 may rise [1]")
                .value_parser(number(1, 1000)),
            option("max-ms", "N", "How long its slowest answer may take [50]")
                .value_parser(number(1, 10_000)),
            Arg::new("server-time")
                .long("server-time")
                .action(ArgAction::SetTrue)
                .help("Judge latencies by the server's processor time, on a machine that is busy"),
            Arg::new("markdown")
                .long("markdown")
                .action(ArgAction::SetTrue)
                .help("End with a table in Markdown"),
        ])
}

fn plan_from(matches: &ArgMatches) -> Result<Plan, String> {
    let number = |name, or| matches.get_one::<u64>(name).copied().unwrap_or(or);
    let texts = |name| -> Vec<String> {
        matches.get_many::<String>(name).unwrap_or_default().cloned().collect()
    };
    let only = texts("only");
    let patterns = if only.is_empty() {
        patterns::all().collect()
    } else {
        let find = |name: &String| {
            patterns::by_name(name).ok_or_else(|| format!("there is no pattern '{name}'"))
        };
        only.iter().map(find).collect::<Result<_, _>>()?
    };
    Ok(Plan {
        server: matches.get_one("server").cloned().unwrap_or_else(nuthatch),
        server_args: texts("server-arg"),
        patterns,
        memory_mb: number("memory-mb", 64),
        alone: Duration::from_secs(number("alone", 2)),
        time: Duration::from_secs(number("seconds", 5)),
        seed: number("seed", 1),
        clock: match matches.get_flag("server-time") {
            true => LatencyClock::Server,
            false => LatencyClock::Wall,
        },
        rise_max: Duration::from_millis(number("rise-ms", 1)),
        latency_max: Duration::from_millis(number("max-ms", 50)),
        is_markdown: matches.get_flag("markdown"),
    })
}

/// The daemon that was built with this tool.
pub fn nuthatch() -> PathBuf {
    let tool = std::env::current_exe().unwrap_or_default();
    tool.with_file_name("nuthatch")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(line: &str) -> Result<Work, String> {
        let words = ["nuthatch-siege"].into_iter().chain(line.split_whitespace());
        let matches = command().try_get_matches_from(words).map_err(|error| error.to_string())?;
        work_from(&matches)
    }

    #[test]
    fn the_command_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn a_probe_is_read() {
        let Ok(Work::Probe(plan)) =
            work("probe --only idle --only burn --server-arg -c --seconds 3")
        else {
            panic!("no probe");
        };
        let names: Vec<&str> = plan.patterns.iter().map(|pattern| pattern.name).collect();
        assert_eq!(names, ["idle", "burn"]);
        assert_eq!(plan.server_args, ["-c"]);
        assert_eq!((plan.memory_mb, plan.time), (64, Duration::from_secs(3)));
        assert!(work("probe --only nobody").unwrap_err().contains("'nobody'"));
        assert!(work("probe --seconds 0").is_err());
        assert!(matches!(work("list"), Ok(Work::List)));
    }
}
