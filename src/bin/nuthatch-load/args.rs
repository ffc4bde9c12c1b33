//! The command line, checked.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use rustls::pki_types::ServerName;

use crate::client::Verify;
use crate::codec::{Binary, Codec, Meta, Text};
use crate::dataset::{KEYS_MAX, ValueSize};
use crate::encryption;
use crate::socket::Address;
use crate::workload::{Answer, Distribution, Part, Recipe, Verb};

/// How the server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The classic text protocol.
    Text,
    /// The meta commands.
    Meta,
    /// The binary protocol.
    Binary,
}

impl Protocol {
    /// Whether there is such a request.
    fn takes(self, part: &Part) -> bool {
        match self {
            Protocol::Text => Text::takes(part.verb),
            Protocol::Meta => part.keys == 1 && Meta::takes(part.verb),
            Protocol::Binary => part.keys == 1 && Binary::takes(part.verb),
        }
    }
}

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// How the server is spoken to.
    pub protocol: Protocol,
    /// Where the server is.
    pub server: Address,
    /// How it is spoken to over TLS, if that is wanted.
    pub tls: Option<encryption::Options>,
    /// Connections.
    pub clients: usize,
    /// Requests that a connection has outstanding at most.
    pub depth: usize,
    /// Threads; no more than clients.
    pub threads: usize,
    /// Requests at most.
    pub requests_max: u64,
    /// Time after which no request is sent.
    pub time: Option<Duration>,
    /// Keys in the data set.
    pub keys: u32,
    /// What all keys' names begin with.
    pub key_prefix: String,
    /// Lengths of the values.
    pub value_size: ValueSize,
    /// The requests.
    pub recipe: Recipe,
    /// Whether each batch gets a connection of its own.
    pub reconnect: bool,
    /// Whether all keys are stored first.
    pub fill: bool,
    /// Requests a second of the open loop; none for the closed loop.
    pub rate: Option<f64>,
    /// How values are checked.
    pub verify: Verify,
    /// The server's process, to read its processor time and memory.
    pub server_pid: Option<u32>,
    /// Whether the report is JSON.
    pub json: bool,
    /// Longest silence of the server.
    pub stall: Duration,
}

impl Plan {
    /// The plan that these words ask for.
    #[cfg(test)]
    pub fn of(line: &str) -> Result<Plan, String> {
        let words = ["nuthatch-load"].into_iter().chain(line.split_whitespace());
        let matches = command().try_get_matches_from(words).map_err(|error| error.to_string())?;
        plan_from(&matches)
    }
}

/// Reads the command line; on a mistake, says so and ends the process with code 2.
pub fn parse() -> Plan {
    plan_from(&command().get_matches()).unwrap_or_else(|message| {
        command().error(clap::error::ErrorKind::ValueValidation, message).exit()
    })
}

fn command() -> Command {
    let number = |from: u64, to: u64| RangedU64ValueParser::<u64>::new().range(from..=to);
    Command::new("nuthatch-load")
        .about("Loads a cache server on this machine with requests and checks its answers")
        .group(ArgGroup::new("where").args(["server", "socket"]).required(true))
        .args([
            option("server", "HOST:PORT", "Address of the server; loopback only")
                .value_parser(loopback),
            option("socket", "PATH", "Unix socket of the server")
                .value_parser(value_parser!(PathBuf)),
            option("clients", "N", "Connections [50]").value_parser(number(1, 100_000)),
            option("depth", "N", "Requests in a batch, or outstanding in the open loop [1]")
                .value_parser(number(1, 100_000)),
            option("threads", "N", "Threads of the load [1]").value_parser(number(1, 256)),
            option("requests", "N", "Requests at most [100000, or no limit with --seconds]")
                .value_parser(number(0, u64::MAX / 2)),
            option("seconds", "S", "Time after which no request is sent").value_parser(positive),
            option("rate", "R", "Open loop: requests a second, whatever the server does")
                .value_parser(positive),
        ])
        .args([
            option("keys", "N", "Keys in the data set [100000]")
                .value_parser(number(1, u64::from(KEYS_MAX))),
            option("key-prefix", "TEXT", "What key names begin with [key:]").value_parser(prefix),
            option("value-size", "SIZE", "fixed:N or uniform:A,B bytes [fixed:100]")
                .value_parser(value_size),
            option("protocol", "NAME", "text, meta or binary; multigets are text's [text]")
                .value_parser(protocol),
            option("mix", "MIX", "Weights, with :K for keys a get: get=9,set=1,get:50=2 [get]")
                .value_parser(mix),
            option("dist", "DIST", "uniform or zipf:ALPHA [uniform]").value_parser(distribution),
            option("ttl", "SECS", "Exptime of what is stored or touched [0, for never]")
                .value_parser(number(0, i32::MAX as u64)),
            option("seed", "N", "Seed of all random numbers, and part of all values [1]")
                .value_parser(number(0, u64::MAX)),
            option("server-pid", "PID", "Report processor time and memory of this process")
                .value_parser(number(1, u64::from(u32::MAX))),
            option("stall", "SECS", "Silence of the server that ends the run [10]")
                .value_parser(number(1, 3600)),
        ])
        .args(tls_options())
        .args([
            switch("fill", "Store all keys first, unmeasured"),
            switch("reconnect", "Close a connection after its batch, and open another")
                .conflicts_with("rate"),
            switch("noreply", "Sets that are not the last of their batch ask for no answer")
                .conflicts_with("rate"),
            switch("no-verify", "Do not compare values with what they must be"),
            switch("json", "Report as JSON"),
        ])
}

/// What there is to say of TLS, each with what it means without.
fn tls_options() -> [Arg; 7] {
    let file = |name, help| {
        option(name, "FILE", help).value_parser(value_parser!(PathBuf)).requires("tls")
    };
    [
        switch("tls", "Speak TLS").conflicts_with("socket"),
        file("tls-ca", "Certificates, one of which the server's must come from [any server's]"),
        file("tls-cert", "Certificate and chain to show to the server [none]").requires("tls-key"),
        file("tls-key", "Key of that certificate").requires("tls-cert"),
        option("tls-version", "VERSION", "1.2 or 1.3 [1.3]")
            .value_parser(tls_version)
            .requires("tls"),
        option("tls-name", "NAME", "Name that the server's certificate must have [localhost]")
            .value_parser(tls_name)
            .requires("tls"),
        switch("tls-resume", "Take up sessions again where the server lets [full handshakes]")
            .requires("tls"),
    ]
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn plan_from(matches: &ArgMatches) -> Result<Plan, String> {
    let number = |name| matches.get_one::<u64>(name).copied();
    let count = |name, default: u64| number(name).unwrap_or(default) as usize;
    let time = matches.get_one::<f64>("seconds").map(|secs| Duration::from_secs_f64(*secs));
    let unlimited = if time.is_some() { u64::MAX } else { REQUESTS };
    let address = matches.get_one::<SocketAddr>("server").copied().map(Address::Tcp);
    let path = matches.get_one::<PathBuf>("socket").cloned().map(Address::Unix);
    let quiet = matches.get_flag("noreply");
    let (clients, threads) = (count("clients", 50), count("threads", 1));
    if threads > clients {
        return Err("--threads must not exceed --clients".into());
    }
    let protocol = matches.get_one("protocol").copied().unwrap_or(Protocol::Text);
    let mix = matches.get_one("mix").cloned().unwrap_or_else(|| vec![GET]);
    if !mix.iter().all(|part: &Part| protocol.takes(part)) {
        return Err("the protocol has no such request as one of the mix".into());
    }
    Ok(Plan {
        protocol,
        server: address.or(path).ok_or("--server or --socket is needed")?,
        tls: tls_from(matches),
        clients,
        depth: count("depth", 1),
        threads,
        requests_max: number("requests").unwrap_or(unlimited),
        time,
        keys: number("keys").unwrap_or(100_000) as u32,
        key_prefix: matches.get_one("key-prefix").cloned().unwrap_or_else(|| "key:".to_owned()),
        value_size: matches.get_one("value-size").copied().unwrap_or(ValueSize::Fixed(100)),
        recipe: Recipe {
            mix,
            distribution: matches.get_one("dist").copied().unwrap_or(Distribution::Uniform),
            exptime: number("ttl").unwrap_or(0) as u32,
            set_answer: if quiet { Answer::Unwanted } else { Answer::Wanted },
            seed: number("seed").unwrap_or(1),
        },
        reconnect: matches.get_flag("reconnect"),
        fill: matches.get_flag("fill"),
        rate: matches.get_one("rate").copied(),
        verify: if matches.get_flag("no-verify") { Verify::Keys } else { Verify::Bytes },
        server_pid: number("server-pid").map(|pid| pid as u32),
        json: matches.get_flag("json"),
        stall: Duration::from_secs(number("stall").unwrap_or(10)),
    })
}

/// What the words say of TLS.
fn tls_from(matches: &ArgMatches) -> Option<encryption::Options> {
    let file = |name| matches.get_one::<PathBuf>(name).cloned();
    matches.get_flag("tls").then(|| encryption::Options {
        ca: file("tls-ca"),
        identity: file("tls-cert").zip(file("tls-key")),
        version: matches.get_one("tls-version").copied().unwrap_or(encryption::Version::Tls13),
        name: matches.get_one("tls-name").cloned().unwrap_or_else(encryption::localhost),
        resume: matches.get_flag("tls-resume"),
    })
}

/// An address of this machine's loopback; a load must never leave the machine.
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

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1e9 => Ok(number),
        _ => Err("expected a number above 0 and up to 1e9".into()),
    }
}

fn prefix(text: &str) -> Result<String, String> {
    let usable =
        text.len() <= PREFIX_MAX_BYTES && text.bytes().all(|byte| byte > b' ' && byte < 127);
    usable.then(|| text.to_owned()).ok_or("expected at most 200 visible ASCII characters".into())
}

fn value_size(text: &str) -> Result<ValueSize, String> {
    let bytes = |text: &str| text.parse().ok().filter(|len| *len <= VALUE_MAX_BYTES);
    let size = match text.split_once(':') {
        Some(("fixed", len)) => bytes(len).map(ValueSize::Fixed),
        Some(("uniform", range)) => range
            .split_once(',')
            .and_then(|(from, to)| bytes(from).zip(bytes(to)))
            .filter(|(from, to)| from <= to)
            .map(|(from, to)| ValueSize::Uniform(from, to)),
        _ => None,
    };
    size.ok_or_else(|| "expected fixed:N or uniform:A,B with A <= B, up to 1 GiB".into())
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text {
        "text" => Ok(Protocol::Text),
        "meta" => Ok(Protocol::Meta),
        "binary" => Ok(Protocol::Binary),
        _ => Err("expected text, meta or binary".into()),
    }
}

fn tls_version(text: &str) -> Result<encryption::Version, String> {
    match text {
        "1.2" => Ok(encryption::Version::Tls12),
        "1.3" => Ok(encryption::Version::Tls13),
        _ => Err("expected 1.2 or 1.3".into()),
    }
}

fn tls_name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned()).map_err(|_| "expected a host name or an address".into())
}

fn distribution(text: &str) -> Result<Distribution, String> {
    match text.split_once(':') {
        None if text == "uniform" => Ok(Distribution::Uniform),
        Some(("zipf", alpha)) => match alpha.parse() {
            Ok(alpha) if alpha > 0.0 && alpha <= 10.0 => Ok(Distribution::Zipf(alpha)),
            _ => Err("the exponent must be above 0 and at most 10".into()),
        },
        _ => Err("expected uniform or zipf:ALPHA".into()),
    }
}

fn mix(text: &str) -> Result<Vec<Part>, String> {
    let parts = text.split(',').map(part).collect::<Result<Vec<Part>, String>>()?;
    match parts.iter().try_fold(0u32, |sum, part| sum.checked_add(part.weight)) {
        Some(1..) => Ok(parts),
        _ => Err("the weights must add up to at least 1 and to less than 2^32".into()),
    }
}

/// Reads `verb[:keys][=weight]`; `mget` is another name for `get`.
fn part(text: &str) -> Result<Part, String> {
    let (what, weight) = text.split_once('=').unwrap_or((text, "1"));
    let (name, keys) = what.split_once(':').unwrap_or((what, "1"));
    let name = if name == "mget" { "get" } else { name };
    let verb = Verb::ALL.iter().find(|(known, _)| *known == name).map(|(_, verb)| *verb);
    let verb = verb.ok_or_else(|| format!("no request is called {name}"))?;
    let weight = weight.parse().map_err(|_| format!("{weight} is no weight"))?;
    let keys = keys.parse().ok().filter(|keys| (1..=BATCH_KEYS_MAX).contains(keys));
    match keys {
        Some(keys) if keys == 1 || matches!(verb, Verb::Get | Verb::Gets) => {
            Ok(Part { verb, keys, weight })
        }
        Some(_) => Err(format!("{name} takes one key")),
        None => Err(format!("a get takes 1 to {BATCH_KEYS_MAX} keys")),
    }
}

/// The mix that is meant where none is named.
const GET: Part = Part { verb: Verb::Get, keys: 1, weight: 1 };

/// Requests of a run that names no bound.
const REQUESTS: u64 = 100_000;

/// With the digits of a number the name still is within the 250 bytes of a key.
const PREFIX_MAX_BYTES: usize = 200;

/// The largest value that any server takes.
const VALUE_MAX_BYTES: usize = 1 << 30;

/// Keys in one request; enough to try a server's limits.
const BATCH_KEYS_MAX: u32 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn only_the_loopback() {
        for good in ["127.0.0.1:1", "127.9.8.7:11211", "[::1]:11211", "localhost:11211"] {
            assert!(loopback(good).is_ok(), "{good}");
        }
        for bad in [
            "0.0.0.0:1",
            "10.0.0.1:1",
            "128.0.0.1:1",
            "[::]:1",
            "[::ffff:127.0.0.1]:1",
            "localhost",
            "localhost.example:1",
            "example.org:1",
            "127.0.0.1",
        ] {
            assert!(loopback(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn always_bounded() {
        let bounds = |line| Plan::of(line).map(|plan| (plan.requests_max, plan.time));
        let second = Some(Duration::from_secs(1));
        assert_eq!(bounds("--socket s"), Ok((100_000, None)));
        assert_eq!(bounds("--socket s --seconds 1"), Ok((u64::MAX, second)));
        assert_eq!(bounds("--socket s --seconds 1 --requests 5"), Ok((5, second)));
        assert!(bounds("--socket s --seconds inf").is_err());
        assert!(bounds("").is_err(), "a server must be named");
        assert!(bounds("--socket s --server 127.0.0.1:1").is_err());
    }

    #[test]
    fn mixes() {
        let of = |verb, keys, weight| Part { verb, keys, weight };
        assert_eq!(
            mix("get=9,set=1,mget:50=2,incr"),
            Ok(vec![
                of(Verb::Get, 1, 9),
                of(Verb::Set, 1, 1),
                of(Verb::Get, 50, 2),
                of(Verb::Incr, 1, 1)
            ])
        );
        for bad in ["", "get=0", "got", "set:2", "get:0", "get=x", "get=4294967295,set"] {
            assert!(mix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_protocol_is_asked_for_what_it_has() {
        for good in ["meta --mix get=9,set", "binary --mix incr,touch", "text --mix mget:50"] {
            assert!(Plan::of(&format!("--socket s --protocol {good}")).is_ok(), "{good}");
        }
        for bad in ["meta --mix incr", "binary --mix gets", "meta --mix get:2", "http"] {
            assert!(Plan::of(&format!("--socket s --protocol {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn tls_is_asked_for_before_anything_of_it() {
        let tls = |line: &str| Plan::of(&format!("--server [::1]:1 {line}")).map(|plan| plan.tls);
        assert_eq!(tls(""), Ok(None));
        let plain = tls("--tls").unwrap().unwrap();
        assert_eq!((plain.ca, plain.identity, plain.resume), (None, None, false));
        assert_eq!(
            (plain.version, plain.name),
            (encryption::Version::Tls13, encryption::localhost())
        );
        let full = "--tls --tls-ca a --tls-cert b --tls-key c --tls-version 1.2 --tls-name ::1";
        let full = tls(full).unwrap().unwrap();
        assert_eq!(full.identity, Some(("b".into(), "c".into())));
        assert_eq!((full.ca, full.version), (Some("a".into()), encryption::Version::Tls12));
        for bad in
            ["--tls-ca a", "--tls --tls-cert b", "--tls --tls-version 1", "--tls --tls-name ?"]
        {
            assert!(tls(bad).is_err(), "{bad}");
        }
        assert!(Plan::of("--socket s --tls").is_err());
    }

    #[test]
    fn sizes_and_distributions() {
        assert_eq!(value_size("fixed:0"), Ok(ValueSize::Fixed(0)));
        assert_eq!(value_size("uniform:1,9"), Ok(ValueSize::Uniform(1, 9)));
        assert!(value_size("uniform:9,1").is_err());
        assert!(value_size("fixed:2000000000").is_err());
        assert_eq!(distribution("zipf:0.99"), Ok(Distribution::Zipf(0.99)));
        assert!(distribution("zipf:0").is_err());
        assert!(distribution("zipf:NaN").is_err());
    }
}
