//! The command line of `nuthatch passwd`.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, Command, builder::PossibleValuesParser, value_parser};

use super::{Invocation, UsageError};
use crate::auth::{Hash, Written};
use crate::passwd::Task;

/// The word that a command line begins with.
pub(super) const WORD: &str = "passwd";

const HASHES: [(&str, Written); 3] = [
    ("argon2id", Written::Argon2id),
    ("scram-sha-256", Written::Scram(Hash::Sha256)),
    ("scram-sha-512", Written::Scram(Hash::Sha512)),
];

fn command() -> Command {
    Command::new("nuthatch passwd")
        .about(
            "Makes a line of a user file. Asks for the password, or reads it from standard input.",
        )
        .disable_version_flag(true)
        .arg(Arg::new("user").value_name("USER").required(true).help("whose line"))
        .arg(
            Arg::new("hash")
                .long("hash")
                .value_name("NAME")
                .value_parser(PossibleValuesParser::new(HASHES.map(|(name, _)| name)))
                .default_value("argon2id")
                .help("how the password is written: argon2id, scram-sha-256 or scram-sha-512"),
        )
        .arg(Arg::new("rights").long("rights").value_name("LIST").help(
            "read, write, admin, prefix=PREFIX, with commas between them, or all (default: what \
                     FILE has for the user, else all)",
        ))
        .arg(
            Arg::new("file")
                .long("file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("puts the line into FILE, in place of the user's (default: prints it)"),
        )
}

/// Reads the arguments behind the word.
pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Invocation, UsageError> {
    let given =
        command().try_get_matches_from([OsString::from("nuthatch passwd")].into_iter().chain(args));
    let mut given = match given {
        Ok(given) => given,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            return Ok(Invocation::Print(error.to_string()));
        }
        Err(error) => return Err(UsageError::usage(error.to_string().trim_end())),
    };
    let hash: String = given.remove_one("hash").expect("it has a default");
    let written = HASHES.into_iter().find(|(name, _)| *name == hash);
    Ok(Invocation::Passwd(Task {
        user: given.remove_one("user").expect("clap has seen to it"),
        written: written.expect("clap has seen to it").1,
        rights: given.remove_one("rights"),
        file: given.remove_one("file"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(line: &str) -> Result<Invocation, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn what_can_be_asked_for() {
        let Ok(Invocation::Passwd(plain)) = task("alice") else { panic!() };
        assert_eq!((plain.user.as_str(), plain.written), ("alice", Written::Argon2id));
        assert_eq!((plain.rights, plain.file), (None, None));
        let all = task("--hash scram-sha-512 --rights read,prefix=a: --file /f alice");
        let Ok(Invocation::Passwd(all)) = all else { panic!() };
        assert_eq!(all.written, Written::Scram(Hash::Sha512));
        assert_eq!((all.rights.as_deref(), all.file), (Some("read,prefix=a:"), Some("/f".into())));
    }

    #[test]
    fn what_cannot() {
        for line in ["", "a b", "--hash md5 a", "--nothing a"] {
            assert_eq!(task(line).expect_err(line).exit_code, 64, "{line}");
        }
        assert!(matches!(task("--help"), Ok(Invocation::Print(_))));
    }
}
