//! The command line: memcached's options as plain values.
//!
//! clap splits the arguments; the options are then applied left to right as getopt would hand them
//! out (options, section 1), so that the last one wins and the first wrong one is the one
//! complained of. Nothing here knows the modules that the values are for: that is `config`.
#![forbid(unsafe_code)]

pub mod config_file;
pub mod extended;
pub mod flags;
pub mod number;
mod passwd;
pub mod suboptions;
pub mod tls;
pub mod tuning;
pub mod usage;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;

use extended::Extended;
use flags::{Flag, STRAY, State};
use number::Number;

/// What a command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Print this on standard output and exit with 0.
    Print(String),
    /// Make a line of a user file.
    Passwd(crate::passwd::Task),
    /// Serve.
    Serve(Box<Given>),
}

/// What is wrong with a command line, for a person, with the exit code to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    /// One or more lines, without a line feed at the end.
    pub message: String,
    /// See options, section 7.
    pub exit_code: u8,
}

impl UsageError {
    /// Exit code 1, which memcached leaves for most wrong values.
    pub fn plain(message: impl Into<String>) -> UsageError {
        UsageError { message: message.into(), exit_code: 1 }
    }

    /// Exit code 64 (`EX_USAGE`).
    pub fn usage(message: impl Into<String>) -> UsageError {
        UsageError { message: message.into(), exit_code: EX_USAGE }
    }
}

/// `EX_USAGE` of sysexits.h.
pub const EX_USAGE: u8 = 64;

/// `-B`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// By the first byte of each connection.
    Auto,
    /// Text only.
    Ascii,
    /// Packets only.
    Binary,
}

/// The options of a command line, each checked by itself. None: not given.
#[derive(Clone, Debug)]
pub struct Given {
    /// `-p`
    pub port: Option<i64>,
    /// `-U`; 0: off.
    pub udp_port: i64,
    /// `-s`
    pub unix_socket: Option<PathBuf>,
    /// `-a`, permission bits
    pub unix_mask: u32,
    /// `-A`
    pub shutdown: bool,
    /// Every `-l`.
    pub listen: Vec<String>,
    /// `-d`
    pub daemon: bool,
    /// `-r`
    pub core_dumps: bool,
    /// `-u`
    pub user: Option<String>,
    /// `-m`, MiB
    pub memory_mib: i64,
    /// `-M` was not given.
    pub evictions: bool,
    /// `-c`, at least 1
    pub connections_max: u32,
    /// `-k`
    pub lock_memory: bool,
    /// How many `-v`.
    pub verbosity: u32,
    /// `-P`
    pub pid_file: Option<PathBuf>,
    /// `-f`, above 1
    pub growth_factor: f64,
    /// `-n`, bytes, at least 1
    pub chunk_space_min: u32,
    /// `-L`
    pub large_pages: bool,
    /// `-D`
    pub prefix_delimiter: Option<char>,
    /// `-t`, at least 1
    pub threads: Option<u32>,
    /// `-R`, at least 1
    pub requests_per_event: u32,
    /// `-C` was not given.
    pub cas: bool,
    /// `-b`
    pub backlog: i64,
    /// `-B`
    pub protocol: Option<Protocol>,
    /// `-I`, bytes
    pub item_size_max: i64,
    /// `-F` was not given.
    pub flush: bool,
    /// `-X` was not given.
    pub dump: bool,
    /// `-W` was not given.
    pub watch: bool,
    /// `-S`
    pub sasl: bool,
    /// `-Y`
    pub auth_file: Option<PathBuf>,
    /// `-Z`
    pub tls: bool,
    /// `-N`, at least 1
    pub napi_ids: Option<u32>,
    /// `-o`
    pub extended: Extended,
    /// `--cluster-file`
    pub cluster_file: Option<PathBuf>,
    /// Lines for the log: what was ignored or read otherwise than its writer may have meant.
    pub notes: Vec<String>,
}

impl Default for Given {
    fn default() -> Given {
        Given {
            port: None,
            udp_port: 0,
            unix_socket: None,
            unix_mask: 0o700,
            shutdown: false,
            listen: Vec::new(),
            daemon: false,
            core_dumps: false,
            user: None,
            memory_mib: 64,
            evictions: true,
            connections_max: 1024,
            lock_memory: false,
            verbosity: 0,
            pid_file: None,
            growth_factor: 1.04,
            chunk_space_min: 12,
            large_pages: false,
            prefix_delimiter: None,
            threads: None,
            requests_per_event: 20,
            cas: true,
            backlog: 1024,
            protocol: None,
            item_size_max: 1 << 20,
            flush: true,
            dump: true,
            watch: true,
            sasl: false,
            auth_file: None,
            tls: false,
            napi_ids: None,
            extended: Extended::default(),
            cluster_file: None,
            notes: Vec::new(),
        }
    }
}

/// Reads a command line, whose first element is the program.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, UsageError> {
    let args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).is_some_and(|word| word == passwd::WORD) {
        return passwd::parse(args.into_iter().skip(2));
    }
    let program = args.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
    let program = program.to_string_lossy().into_owned();
    let matches = flags::command().try_get_matches_from(args).map_err(|e| not_understood(&e))?;

    let mut given = Given::default();
    let options = in_order(&matches);
    take_files(&mut given, &options)?;
    given.verbosity += u32::from(matches.get_count("verbose"));
    for (flag, value) in options {
        match flag.short {
            'h' => return Ok(Invocation::Print(usage::usage(&program))),
            'i' => return Ok(Invocation::Print(usage::licence().to_owned())),
            'V' => return Ok(Invocation::Print(usage::version_line(&program))),
            _ => given.take(flag, value)?,
        }
    }
    given.note_strays(&matches);
    Ok(Invocation::Serve(Box::new(given)))
}

/// Applies the files of `--config`, so that the options of the command line come after theirs and win. Where
/// it says to listen, it is not beside but instead of what the files say: an address too many may be one
/// that should not be open.
fn take_files(given: &mut Given, options: &[(&Flag, &OsStr)]) -> Result<(), UsageError> {
    let asks = |letters: &str| options.iter().any(|(flag, _)| letters.contains(flag.short));
    if asks("hiV") {
        return Ok(());
    }
    for (_, value) in options.iter().filter(|(flag, _)| flag.short == config_file::CONFIG) {
        config_file::take(given, Path::new(value))?;
    }
    if asks("l") {
        given.listen.clear();
    }
    Ok(())
}

/// The options of a command line with their values (empty for those that take none), left to right.
fn in_order(matches: &clap::ArgMatches) -> Vec<(&'static Flag, &OsStr)> {
    let mut seen: Vec<(usize, &Flag, &OsStr)> = Vec::new();
    for flag in flags::all().filter(|flag| flag.short != 'v') {
        if matches.value_source(flag.long) != Some(ValueSource::CommandLine) {
            continue;
        }
        let indices = matches.indices_of(flag.long).into_iter().flatten();
        if flag.value.is_empty() {
            seen.extend(indices.map(|index| (index, flag, OsStr::new(""))));
        } else {
            let values = matches.get_many::<OsString>(flag.long).into_iter().flatten();
            seen.extend(indices.zip(values).map(|(index, value)| (index, flag, value.as_os_str())));
        }
    }
    seen.sort_unstable_by_key(|(index, ..)| *index);
    seen.into_iter().map(|(_, flag, value)| (flag, value)).collect()
}

/// Says what clap could not make sense of, in getopt's order: its complaint, then memcached's.
fn not_understood(error: &clap::Error) -> UsageError {
    let arg = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => arg.as_str(),
        _ => "?",
    };
    let complaint = match error.kind() {
        ErrorKind::UnknownArgument => format!("unknown or ambiguous option '{arg}'"),
        ErrorKind::TooManyValues => format!("option '{arg}' takes no value"),
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("option '{arg}' requires a value")
        }
        kind => format!("option '{arg}': {kind}"),
    };
    UsageError::plain(format!("{complaint} (-h lists the options)\nIllegal argument \"?\""))
}

impl Given {
    /// Applies one option.
    fn take(&mut self, flag: &Flag, value: &OsStr) -> Result<(), UsageError> {
        if flag.state == State::Refused {
            return Err(UsageError::usage(
                "This server keeps nothing across restarts: there is no memory file (-e).",
            ));
        }
        // getopt's value: without the white space before it.
        let value = OsStr::from_bytes(value.as_bytes().trim_ascii_start());
        match flag.short {
            // memcached serves nobody then, and goes on.
            's' if value.is_empty() => return Err(UsageError::usage("-s: no path of a socket")),
            's' => self.unix_socket = Some(value.into()),
            'P' => self.pid_file = Some(value.into()),
            'Y' => self.auth_file = Some(value.into()),
            '1' => self.cluster_file = Some(value.into()),
            // Read before.
            config_file::CONFIG => {}
            _ if flag.value.is_empty() => self.switch(flag.short),
            _ => {
                let text = value.to_str().ok_or_else(|| {
                    UsageError::usage(format!("{}: {value:?} is not UTF-8", flag.name()))
                })?;
                self.set(flag, text)?;
            }
        }
        Ok(())
    }

    fn note_strays(&mut self, matches: &clap::ArgMatches) {
        for stray in matches.get_many::<OsString>(STRAY).into_iter().flatten() {
            self.notes.push(format!("argument {stray:?} is no option and was ignored"));
        }
    }

    /// Applies an option without a value.
    fn switch(&mut self, short: char) {
        match short {
            'A' => self.shutdown = true,
            'd' => self.daemon = true,
            'r' => self.core_dumps = true,
            'M' => self.evictions = false,
            'k' => self.lock_memory = true,
            'L' => self.large_pages = true,
            'C' => self.cas = false,
            'F' => self.flush = false,
            'X' => self.dump = false,
            'W' => self.watch = false,
            'S' => self.sasl = true,
            'Z' => self.tls = true,
            _ => {}
        }
    }

    /// Applies an option with a value.
    fn set(&mut self, flag: &Flag, text: &str) -> Result<(), UsageError> {
        match flag.short {
            'p' => self.port = Some(self.number(flag, text, number::decimal(text))?),
            'U' => self.udp_port = self.number(flag, text, number::decimal(text))?,
            'a' => {
                let mask = self.number(flag, text, number::octal(text))?;
                self.unix_mask = u32::try_from(mask & 0o777).unwrap_or(0);
            }
            'l' if text.is_empty() => {}
            'l' => self.listen.push(text.to_owned()),
            'u' => self.user = Some(text.to_owned()),
            'm' => self.memory_mib = self.number(flag, text, number::decimal(text))?,
            'c' => self.connections_max = self.at_least_one(flag, text, "Maximum connections")?,
            'f' => {
                self.growth_factor = number::fraction(text)
                    .filter(|factor| *factor > 1.0)
                    .ok_or_else(|| UsageError::plain("Factor must be greater than 1"))?;
            }
            'n' => self.chunk_space_min = self.at_least_one(flag, text, "Chunk size")?,
            'D' => {
                let first = text.chars().next();
                let first = first.ok_or_else(|| UsageError::plain("No delimiter specified"))?;
                self.prefix_delimiter = Some(first);
            }
            't' => self.threads = Some(self.at_least_one(flag, text, "Number of threads")?),
            'R' => {
                let what = "Number of requests per event";
                self.requests_per_event = self.at_least_one(flag, text, what)?;
            }
            'b' => self.backlog = self.number(flag, text, number::decimal(text))?,
            'B' => self.protocol = Some(protocol(text)?),
            'I' => self.item_size_max = self.number(flag, text, number::size(text))?,
            'N' => {
                let what = "Maximum number of NAPI IDs";
                self.napi_ids = Some(self.at_least_one(flag, text, what)?);
            }
            'o' => self.extended.take_list(text)?,
            _ => {}
        }
        Ok(())
    }

    /// A number that may be 0. memcached takes 0 for a text without digits; we refuse it, since
    /// what was meant would silently be lost.
    fn number(&mut self, flag: &Flag, text: &str, read: Number) -> Result<i64, UsageError> {
        match read {
            Number::Whole(value) => Ok(value),
            Number::Prefix(value) => {
                self.notes.push(format!("{} {text} was read as {value}", flag.name()));
                Ok(value)
            }
            Number::Junk => {
                Err(UsageError::usage(format!("{}: \"{text}\" is not a number", flag.name())))
            }
        }
    }

    /// A number from 1 to the largest of memcached's own type. `what` begins the complaint.
    fn at_least_one(&mut self, flag: &Flag, text: &str, what: &str) -> Result<u32, UsageError> {
        let read = number::decimal(text);
        if read.or_zero() <= 0 {
            return Err(UsageError::plain(format!("{what} must be greater than 0")));
        }
        let value = self.number(flag, text, read)?.min(i32::MAX.into());
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    }
}

fn protocol(text: &str) -> Result<Protocol, UsageError> {
    match text {
        "auto" => Ok(Protocol::Auto),
        "ascii" => Ok(Protocol::Ascii),
        "binary" => Ok(Protocol::Binary),
        _ => Err(UsageError::usage(format!(
            "Invalid value for binding protocol: {text}\n -- should be one of auto, binary, or ascii"
        ))),
    }
}

#[cfg(test)]
mod tests;
