//! The command line.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr};

use clap::builder::RangedU64ValueParser;
use clap::{Arg, Command};

/// What is to be served.
#[derive(Debug)]
pub struct Plan {
    /// Where to listen, on the loopback.
    pub address: SocketAddr,
    /// The key that every answer is for.
    pub key: String,
    /// Length of the values in bytes.
    pub value_len_bytes: usize,
}

/// Reads the command line; on a mistake, says so and ends the process with code 2.
pub fn parse() -> Plan {
    let matches = command().get_matches();
    let number = |name| matches.get_one::<u64>(name).copied();
    let port = number("port").unwrap_or(DEFAULT_PORT) as u16;
    Plan {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        key: matches.get_one("key").cloned().unwrap_or_else(|| "key:0".to_owned()),
        value_len_bytes: number("value-size").unwrap_or(100) as usize,
    }
}

fn command() -> Command {
    let number = |from: u64, to: u64| RangedU64ValueParser::<u64>::new().range(from..=to);
    Command::new("nuthatch-floor")
        .about("Answers requests for a cache on this machine with bytes made in advance")
        .args([
            Arg::new("port")
                .short('p')
                .value_name("PORT")
                .help("Port of 127.0.0.1 to listen on [11211]")
                .value_parser(number(1, u64::from(u16::MAX))),
            Arg::new("key").long("key").value_name("TEXT").help("Key of all values [key:0]"),
            Arg::new("value-size")
                .long("value-size")
                .value_name("N")
                .help("Length of all values in bytes [100]")
                .value_parser(number(0, VALUE_MAX_BYTES)),
        ])
}

const DEFAULT_PORT: u64 = 11_211;

/// The largest value that any server takes.
const VALUE_MAX_BYTES: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        command().debug_assert();
    }
}
