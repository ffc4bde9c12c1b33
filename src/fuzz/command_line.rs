//! Whole command lines, up to what a server would be started with.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::cli::{self, Invocation};
use crate::config::{Config, Environment};
use crate::fuzz::options::check_complaint;
use crate::limits::{ITEM_SIZE_MAX, ITEM_SIZE_MIN, MEMORY_MIN_BYTES};

/// Arguments, with a line feed behind each, are taken or refused with words; what is taken leads to options
/// that are within their bounds, or to a refusal.
pub fn command_line(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let words = rest.split(|byte| *byte == b'\n').map(|word| OsStr::from_bytes(word).to_owned());
    let given = match cli::parse([OsString::from("nuthatch")].into_iter().chain(words)) {
        Ok(Invocation::Serve(given)) => given,
        Ok(Invocation::Print(text)) => return assert!(!text.is_empty()),
        Ok(Invocation::Passwd(_)) => return,
        Err(error) => return check_complaint(&error),
    };
    let is = |bit: u8| kind >> bit & 1 == 1;
    let environment = Environment {
        port_file: is(0).then(|| "/ports".into()),
        root: is(1),
        sasl_passwords: is(2).then(|| "/passwords".into()),
        sasl_configuration: is(3),
        hostname: "host".to_owned(),
        cpus: 1 + usize::from(kind >> 4),
    };
    match Config::new(&given, &environment) {
        Ok(config) => check(&config),
        Err(error) => check_complaint(&error),
    }
}

fn check(config: &Config) {
    let store = &config.store;
    assert!(store.memory_bytes >= MEMORY_MIN_BYTES && store.threads > 0);
    assert!((ITEM_SIZE_MIN..=ITEM_SIZE_MAX).contains(&store.item_size_max));
    assert!(store.item_size_max <= store.memory_bytes / 2 && store.growth_factor > 1.0);
    assert!(config.session.requests_per_turn > 0 && config.session.max_connections > 0);
    assert!(config.warnings.iter().all(|line| !line.is_empty()));
}
