//! The command line, checked.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::cachebench;
use crate::convert::Conversion;
use crate::fill::Filling;
use crate::formats::{FORMATS, Format};
use crate::generate::{self, PRESETS, Preset, Recipe};
use crate::lookaside::Ttls;
use crate::popularity::{Popularity, Zipf};
use crate::replay::Manner;
use crate::report::Look;
use crate::simulate::{self, Simulation};
use crate::sizes::Sizes;
use crate::trace::Form;

/// What is to be done.
#[derive(Debug)]
pub enum Task {
    /// Make a trace.
    Generate(Box<Recipe>, Output),
    /// Bring a trace of others into our form.
    Convert(Box<Conversion>, Output),
    /// Say what is in a trace.
    Info(PathBuf, Look),
    /// Send a trace to a server.
    Replay {
        /// How.
        manner: Manner,
        /// The trace.
        path: PathBuf,
        /// Requests of it at most.
        limit: usize,
        /// How the figures are shown.
        look: Look,
    },
    /// Send a trace to a store in this process.
    Simulate {
        /// How.
        simulation: Simulation,
        /// The trace.
        path: PathBuf,
        /// Requests of it at most.
        limit: usize,
        /// How the figures are shown.
        look: Look,
    },
    /// Fill a server with items of one size.
    Fill(Filling, Look),
}

/// Where a trace is written to.
#[derive(Debug)]
pub struct Output {
    /// The file; `-` for standard output.
    pub path: PathBuf,
    /// Records or lines.
    pub form: Form,
}

/// Reads the command line; on a mistake, says so and ends the process with code 2.
pub fn parse() -> Task {
    let mut command = command();
    let matches = command.get_matches_mut();
    task_from(&matches).unwrap_or_else(|message| {
        command.error(clap::error::ErrorKind::ValueValidation, message).exit()
    })
}

/// The recipe that these words behind `generate` ask for.
#[cfg(test)]
pub fn recipe_of(line: &str) -> Result<Recipe, String> {
    match task_of(&format!("generate {line}"))? {
        Task::Generate(recipe, _) => Ok(*recipe),
        other => Err(format!("{other:?}")),
    }
}

#[cfg(test)]
fn task_of(line: &str) -> Result<Task, String> {
    let words = ["nuthatch-trace"].into_iter().chain(line.split_whitespace());
    task_from(&command().try_get_matches_from(words).map_err(|error| error.to_string())?)
}

fn command() -> Command {
    Command::new("nuthatch-trace")
        .about("Makes and converts traces of requests, and replays them on a cache server")
        .subcommand_required(true)
        .subcommands([generate(), convert(), info(), replay(), simulate(), fill()])
}

fn generate() -> Command {
    let presets = PRESETS.iter().map(|preset| format!("  {:11} {}\n", preset.name, preset.about));
    Command::new("generate")
        .about("Makes a trace; a preset is a set of defaults for the options")
        .after_help(format!("Presets:\n{}\n{SIZES_HELP}", presets.collect::<String>()))
        .arg(Arg::new("preset").value_name("PRESET").required(true).value_parser(preset))
        .args([
            option("requests", "N", "Requests in the trace").value_parser(number(0, u64::MAX)),
            option("keys", "N", "Keys that popularity is spread over")
                .value_parser(number(1, u64::from(u32::MAX))),
            option("alpha", "X", "Exponent of the popularity").value_parser(positive),
            option("seed", "N", "Seed of everything [1]").value_parser(number(0, u64::MAX)),
            option("rate", "R", "Requests a second of the trace's time [20000]")
                .value_parser(positive),
            option("key-size", "SIZES", "Sizes of keys").value_parser(Sizes::parse),
            option("value-size", "SIZES", "Sizes of values").value_parser(Sizes::parse),
            option("max-value", "BYTES", "Bound on the size of values [500000]")
                .value_parser(number(1, VALUE_MAX_BYTES)),
            option("pop", "FILE", "Popularity, from CacheLib's pop.json")
                .value_parser(value_parser!(PathBuf)),
            option("sizes", "FILE", "Sizes of values, from CacheLib's sizes.json")
                .value_parser(value_parser!(PathBuf)),
        ])
        .args([
            option("onehit", "SHARE", "Requests for keys that never come again")
                .value_parser(share),
            option("scan-share", "SHARE", "Requests that are part of a scan").value_parser(share),
            option("scan-length", "N", "Requests of a scan [50000]")
                .value_parser(number(1, u64::MAX)),
            option("scan-keys", "N", "Keys after which scans begin again [without end]")
                .value_parser(number(1, u64::MAX)),
            option("drift", "X", "A rank passes to another key every 100,000 / X requests")
                .value_parser(not_negative),
            option("set-share", "SHARE", "Writes").value_parser(share),
            option("delete-share", "SHARE", "Deletions").value_parser(share),
            option("shift", "SHARE", "Where in the trace keys and sizes change, 0 for nowhere")
                .value_parser(share),
            option("shift-value-size", "SIZES", "Sizes from there on [lognormal:1500,0.5]")
                .value_parser(Sizes::parse),
            option("ttl", "SHARE:SECS,...", "TTLs of shares of the keys").value_parser(ttls),
        ])
        .args(output_args())
}

fn convert() -> Command {
    let formats = FORMATS.iter().map(|(_, name, about)| format!("  {name:11} {about}\n"));
    Command::new("convert")
        .about(
            "Brings a trace of others into this tool's form; input without sizes gets them by key",
        )
        .after_help(format!("Formats:\n{}\n{SIZES_HELP}", formats.collect::<String>()))
        .arg(file("What to read; - for standard input"))
        .args([
            option("format", "NAME", "What is in it").required(true).value_parser(format),
            option("limit", "N", "Requests at most").value_parser(number(0, u64::MAX)),
            option("skip", "N", "Requests to pass over [0]").value_parser(number(0, u64::MAX)),
            option("value-size", "SIZES", "Sizes of values, whatever the input says")
                .value_parser(Sizes::parse),
            option("key-size", "SIZES", "Sizes of keys, whatever the input says")
                .value_parser(Sizes::parse),
            option("scale", "X", "Factor on the input's sizes of values [1]")
                .value_parser(positive),
            option("max-value", "BYTES", "Bound on the size of values [500000]")
                .value_parser(number(1, VALUE_MAX_BYTES)),
            option("seed", "N", "Seed of the sizes [1]").value_parser(number(0, u64::MAX)),
            option("rate", "R", "Requests a second where the input has no times [20000]")
                .value_parser(positive),
        ])
        .args(output_args())
}

fn info() -> Command {
    Command::new("info")
        .about("Says what is in a trace")
        .args([file("The trace; - for standard input"), switch("json", "Report as JSON")])
}

fn replay() -> Command {
    Command::new("replay")
        .about("Sends a trace to an empty server; what a get misses is then set")
        .args([file("The trace; - for standard input"), server()])
        .args([
            option("limit", "N", "Requests at most").value_parser(number(0, u64::MAX)),
            option("warmup", "N", "Requests before counting starts [0]")
                .value_parser(number(0, u64::MAX)),
            option("batch", "N", "Requests a round trip [32]").value_parser(number(1, 1000)),
            option("pace", "X", "Seconds of the trace a second; 0 for as fast as possible [0]")
                .value_parser(not_negative),
            option("windows", "N", "Equal parts that have a hit ratio of their own [2]")
                .value_parser(number(1, 10_000)),
            switch("ttl", "Send the trace's TTLs, divided by the pace"),
            switch("json", "Report as JSON"),
        ])
}

fn simulate() -> Command {
    Command::new("simulate")
        .about(
            "Does the same with the daemon's store in this process, in the time of the trace; \
            behind -- follow options of the daemon",
        )
        .arg(file("The trace; - for standard input"))
        .args([
            option("memory-mb", "N", "The daemon's -m [64]").value_parser(number(1, 1 << 20)),
            option("limit", "N", "Requests at most").value_parser(number(0, u64::MAX)),
            option("windows", "N", "Equal parts that have a hit ratio of their own [2]")
                .value_parser(number(1, 10_000)),
            switch("ttl", "Values get the trace's TTLs"),
            switch("json", "Report as JSON"),
        ])
        .arg(
            Arg::new("options")
                .value_name("OPTION")
                .num_args(0..)
                .last(true)
                .value_parser(value_parser!(OsString))
                .help("Options of the daemon"),
        )
}

fn fill() -> Command {
    Command::new("fill")
        .about("Sets fresh keys of one size on an empty server until the first eviction")
        .arg(server())
        .args([
            option("key-size", "BYTES", "Length of keys [16]").value_parser(number(8, 250)),
            option("value-size", "BYTES", "Length of values")
                .required(true)
                .value_parser(number(0, VALUE_MAX_BYTES)),
            option("batch", "N", "Sets between two looks at the counters [500]")
                .value_parser(number(1, 100_000)),
            option("max-items", "N", "Items at most [100000000]")
                .value_parser(number(1, u64::MAX / 2)),
            switch("json", "Report as JSON"),
        ])
}

fn output_args() -> [Arg; 2] {
    [
        option("out", "FILE", "Where to write it; - for standard output [-]")
            .value_parser(value_parser!(PathBuf)),
        switch("csv", "Write lines of text instead of records"),
    ]
}

fn server() -> Arg {
    option("server", "HOST:PORT", "Address of the server; loopback only [127.0.0.1:11211]")
        .value_parser(loopback)
}

fn file(help: &'static str) -> Arg {
    Arg::new("file")
        .value_name("FILE")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help(help)
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn number(from: u64, to: u64) -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(from..=to)
}

fn task_from(matches: &ArgMatches) -> Result<Task, String> {
    let (name, matches) = matches.subcommand().ok_or("a subcommand is needed")?;
    let given = Given(matches);
    match name {
        "generate" => Ok(Task::Generate(Box::new(recipe(&given)?), given.output())),
        "convert" => Ok(Task::Convert(Box::new(conversion(&given)?), given.output())),
        "info" => Ok(Task::Info(given.file()?, given.look())),
        "replay" => Ok(Task::Replay {
            manner: manner(&given),
            path: given.file()?,
            limit: given.limit(),
            look: given.look(),
        }),
        "simulate" => Ok(Task::Simulate {
            simulation: simulation(&given)?,
            path: given.file()?,
            limit: given.limit(),
            look: given.look(),
        }),
        _ => Ok(Task::Fill(filling(&given), given.look())),
    }
}

/// What was given to a subcommand.
struct Given<'a>(&'a ArgMatches);

impl Given<'_> {
    fn number(&self, name: &str, default: u64) -> u64 {
        self.0.get_one(name).copied().unwrap_or(default)
    }

    fn real(&self, name: &str, default: f64) -> f64 {
        self.0.get_one(name).copied().unwrap_or(default)
    }

    fn path(&self, name: &str) -> Option<&PathBuf> {
        self.0.get_one(name)
    }

    fn sizes(&self, name: &str) -> Option<Sizes> {
        self.0.get_one(name).cloned()
    }

    fn sizes_or(&self, name: &str, default: &str) -> Result<Sizes, String> {
        self.sizes(name).map_or_else(|| Sizes::parse(default), Ok)
    }

    fn server(&self) -> SocketAddr {
        let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 11211));
        self.0.get_one("server").copied().unwrap_or(default)
    }

    fn file(&self) -> Result<PathBuf, String> {
        self.path("file").cloned().ok_or_else(|| "a file is needed".into())
    }

    fn limit(&self) -> usize {
        usize::try_from(self.number("limit", u64::MAX)).unwrap_or(usize::MAX)
    }

    fn ttls(&self) -> Ttls {
        if self.0.get_flag("ttl") { Ttls::Sent } else { Ttls::Ignored }
    }

    fn look(&self) -> Look {
        if self.0.get_flag("json") { Look::Json } else { Look::Text }
    }

    fn output(&self) -> Output {
        Output {
            path: self.path("out").cloned().unwrap_or_else(|| "-".into()),
            form: if self.0.get_flag("csv") { Form::Csv } else { Form::Binary },
        }
    }
}

fn recipe(given: &Given<'_>) -> Result<Recipe, String> {
    let preset: Preset = *given.0.get_one("preset").ok_or("a preset is needed")?;
    let keys = given.number("keys", preset.keys);
    let popularity = match given.path("pop") {
        Some(path) => Popularity::Buckets(cachebench::popularity(path, keys)?),
        None if preset.name == "cachebench" => return Err("cachebench needs --pop".into()),
        None => Popularity::Zipf(Zipf::new(keys, given.real("alpha", preset.alpha))),
    };
    let value_sizes = match given.path("sizes") {
        Some(path) => cachebench::sizes(path)?,
        None => given.sizes_or("value-size", preset.value_size)?,
    };
    let shift = given.real("shift", preset.shift);
    let shift_sizes = given.sizes_or("shift-value-size", "lognormal:1500,0.5")?;
    Ok(Recipe {
        requests: given.number("requests", preset.requests),
        seed: given.number("seed", 1),
        rate: given.real("rate", 20_000.0),
        popularity,
        key_sizes: given.sizes_or("key-size", preset.key_size)?,
        value_sizes,
        value_max: given.number("max-value", VALUE_MAX_DEFAULT) as u32,
        onehit: given.real("onehit", preset.onehit),
        scan_share: given.real("scan-share", preset.scan_share),
        scan_length: given.number("scan-length", 50_000),
        scan_keys: given.number("scan-keys", u64::MAX),
        drift: given.real("drift", preset.drift),
        set_share: given.real("set-share", preset.set_share),
        delete_share: given.real("delete-share", preset.delete_share),
        shift: (shift > 0.0).then_some((shift, shift_sizes)),
        ttls: match given.0.get_one::<Shares>("ttl") {
            Some(shares) => shares.0.clone(),
            None => generate::ttls(preset.ttl)?,
        },
    })
}

fn conversion(given: &Given<'_>) -> Result<Conversion, String> {
    Ok(Conversion {
        input: given.file()?,
        format: *given.0.get_one("format").ok_or("a format is needed")?,
        skip: given.number("skip", 0),
        limit: given.number("limit", u64::MAX),
        value_sizes: given.sizes("value-size"),
        key_sizes: given.sizes("key-size"),
        scale: given.real("scale", 1.0),
        value_max: given.number("max-value", VALUE_MAX_DEFAULT) as u32,
        seed: given.number("seed", 1),
        rate: given.real("rate", 20_000.0),
    })
}

fn manner(given: &Given<'_>) -> Manner {
    Manner {
        server: given.server(),
        batch: given.number("batch", 32) as usize,
        pace: Some(given.real("pace", 0.0)).filter(|pace| *pace > 0.0),
        ttls: given.ttls(),
        warmup: given.number("warmup", 0),
        windows: given.number("windows", 2),
    }
}

fn simulation(given: &Given<'_>) -> Result<Simulation, String> {
    let arguments = given.0.get_many("options").unwrap_or_default().cloned();
    let arguments: Vec<OsString> = arguments.collect();
    Ok(Simulation {
        options: simulate::options(given.number("memory-mb", 64), &arguments)?,
        ttls: given.ttls(),
        windows: given.number("windows", 2),
    })
}

fn filling(given: &Given<'_>) -> Filling {
    Filling {
        server: given.server(),
        key_size: given.number("key-size", 16) as u16,
        value_size: given.number("value-size", 0) as usize,
        batch: given.number("batch", 500),
        items_max: given.number("max-items", 100_000_000),
    }
}

/// An address of this machine's loopback; a replay must never leave the machine.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = match text.strip_prefix("localhost:").map(str::parse) {
        Some(Ok(port)) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        _ => text.parse().map_err(|_| "expected an IP address and a port".to_owned())?,
    };
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("only loopback addresses (127.0.0.0/8 and ::1) are allowed".into())
    }
}

fn preset(text: &str) -> Result<Preset, String> {
    let found = PRESETS.iter().find(|preset| preset.name == text);
    found.copied().ok_or_else(|| "no such preset; --help lists them".into())
}

fn format(text: &str) -> Result<Format, String> {
    let found = FORMATS.iter().find(|(_, name, _)| *name == text);
    found.map(|(format, ..)| *format).ok_or_else(|| "no such format; --help lists them".into())
}

/// TTLs by share: clap takes a list for many values.
#[derive(Clone, Debug)]
struct Shares(Vec<(f64, u32)>);

fn ttls(text: &str) -> Result<Shares, String> {
    generate::ttls(text).map(Shares)
}

fn positive(text: &str) -> Result<f64, String> {
    real(text).filter(|number| *number > 0.0).ok_or("expected a number above 0".into())
}

fn not_negative(text: &str) -> Result<f64, String> {
    real(text).filter(|number| *number >= 0.0).ok_or("expected a number, at least 0".into())
}

fn share(text: &str) -> Result<f64, String> {
    let within = |number: &f64| (0.0..1.0).contains(number);
    real(text).filter(within).ok_or("expected a number from 0 to below 1".into())
}

fn real(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.abs() <= 1e9)
}

const SIZES_HELP: &str = "Sizes: fixed:N uniform:A,B lognormal:MEDIAN,SIGMA \
    pareto:LOC,SCALE,SHAPE gev:LOC,SCALE,SHAPE etc etc-key twitter";

/// Largest value that can be asked for: the daemon's own bound is a gigabyte.
const VALUE_MAX_BYTES: u64 = 1 << 30;

const VALUE_MAX_DEFAULT: u64 = 500_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn options_stand_in_for_what_a_preset_says() {
        let recipe = recipe_of("twitter --set-share 0.5 --ttl 1:7 --shift 0.25").unwrap();
        assert_eq!((recipe.requests, recipe.set_share), (2_000_000, 0.5));
        assert_eq!(recipe.ttls, [(1.0, 7)]);
        assert_eq!(recipe.shift.map(|(at, _)| at), Some(0.25));
        assert_eq!(recipe_of("twitter").unwrap().ttls.len(), 4);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "",
            "generate",
            "generate nope",
            "generate cachebench",
            "generate zipf --keys 0",
            "generate zipf --alpha -1",
            "generate scan --scan-share 1",
            "generate zipf --value-size nope",
            "generate ttl --ttl 5",
            "convert -",
            "convert - --format nope",
            "replay t --server 10.0.0.1:1",
            "replay t --pace NaN",
            "simulate t --memory-mb 1",
            "simulate t -- -f 0",
            "fill",
        ] {
            assert!(task_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_subcommand() {
        let generate = task_of("generate big --out x --csv").unwrap();
        assert!(matches!(generate, Task::Generate(_, Output { form: Form::Csv, .. })));
        assert!(matches!(task_of("convert - --format arc"), Ok(Task::Convert(..))));
        assert!(matches!(task_of("info t --json"), Ok(Task::Info(_, Look::Json))));
        assert!(matches!(task_of("fill --value-size 1"), Ok(Task::Fill(..))));
        match task_of("simulate t --memory-mb 8 --ttl -- -f 1.5").unwrap() {
            Task::Simulate { simulation, .. } => {
                assert_eq!(simulation.options.memory_bytes, 8 << 20);
                assert_eq!(simulation.ttls, Ttls::Sent);
            }
            other => panic!("{other:?}"),
        }
        match task_of("replay t --pace 0 --ttl --server localhost:7").unwrap() {
            Task::Replay { manner, .. } => {
                assert_eq!((manner.pace, manner.ttls), (None, Ttls::Sent));
                assert_eq!(manner.server.port(), 7);
            }
            other => panic!("{other:?}"),
        }
    }
}
