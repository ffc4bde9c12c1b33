//! Many patterns at once against one server, for long.
#![forbid(unsafe_code)]

use std::io;

use clap::{ArgMatches, Command};

/// The command line of a soak.
pub fn command() -> Command {
    Command::new("soak").about("Many patterns at once against one server, for long")
}

/// Runs a soak; whether all bars were kept.
///
/// # Errors
///
/// The soak cannot be done.
pub fn run(_: &ArgMatches) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}
