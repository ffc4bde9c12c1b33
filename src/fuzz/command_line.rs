//! Whole command lines, up to what a server would be started with.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::cli::{self, Given, Invocation, config_file};
use crate::config::{Config, Environment};
use crate::fuzz::options::check_complaint;
use crate::limits::{ITEM_SIZE_MAX, ITEM_SIZE_MIN, MEMORY_MIN_BYTES};

/// Arguments, with a line feed behind each, or a file of options, are taken or refused with words; what is taken leads to options
/// that are within their bounds, or to a refusal.
pub fn command_line(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let is = |bit: u8| kind >> bit & 1 == 1;
    let Some(given) = (if is(7) { of_file(rest) } else { of_words(rest) }) else { return };
    let environment = Environment {
        port_file: is(0).then(|| "/ports".into()),
        root: is(1),
        sasl_passwords: is(2).then(|| "/passwords".into()),
        sasl_configuration: is(3),
        hostname: "host".to_owned(),
        cpus: 1 + usize::from(kind >> 4 & 7),
    };
    match Config::new(&given, &environment) {
        Ok(config) => check(&config),
        Err(error) => check_complaint(&error),
    }
}

/// What a command line asks for. What is named as a file of options is left out: there may be one.
fn of_words(text: &[u8]) -> Option<Box<Given>> {
    let words = text.split(|byte| *byte == b'\n').filter(|word| !word.starts_with(b"--conf"));
    let words = words.map(|word| OsStr::from_bytes(word).to_owned());
    match cli::parse([OsString::from("nuthatch")].into_iter().chain(words)) {
        Ok(Invocation::Serve(given)) => Some(given),
        Ok(Invocation::Print(text)) => {
            assert!(!text.is_empty());
            None
        }
        Ok(Invocation::Passwd(_)) => None,
        Err(error) => {
            check_complaint(&error);
            None
        }
    }
}

/// What a file of options asks for. Each of its lines, quoted, is one word.
fn of_file(text: &[u8]) -> Option<Box<Given>> {
    for line in text.split(|byte| *byte == b'\n' || *byte == b'\0') {
        let quoted: Vec<u8> = line.iter().flat_map(|byte| [b'\\', *byte]).collect();
        // A blank at the very end belongs to no word, and leaves its backslash alone.
        if line.trim_ascii_end() == line && !line.is_empty() {
            assert_eq!(config_file::words(&quoted), Ok(vec![OsStr::from_bytes(line).to_owned()]));
        }
    }
    match config_file::options_of("FILE", text) {
        Ok(given) => {
            assert!(given.notes.iter().all(|note| note.starts_with("FILE:")));
            Some(Box::new(given))
        }
        Err(error) => {
            assert!(error.message.starts_with("FILE:"));
            check_complaint(&error);
            None
        }
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
