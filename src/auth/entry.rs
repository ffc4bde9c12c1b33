//! Making lines of a user file (`nuthatch passwd`).
#![forbid(unsafe_code)]

use std::num::NonZeroU32;

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand;

use super::line;
use super::rights::Rights;
use super::scram::{Hash, Keys};
use super::secret::{Ring, prepare};

/// How a password is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// argon2id with 19 MiB, two passes and one lane: 20 to 30 ms of a core for each guess.
    Argon2id,
    /// Keys of SCRAM with 16384 rounds.
    Scram(Hash),
}

/// Rounds of the hash in keys of SCRAM that are written: a few milliseconds, which the client spends.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(1 << 14).expect("not 0");

/// Bytes of a salt.
const SALT_LEN: usize = 16;

/// Why there is no line for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoEntry {
    /// A name is some text without colons and line ends that does not begin with `#`.
    BadName,
    /// A password is some text without line ends.
    BadPassword,
    /// As [`Rights::parse`] reads them.
    BadRights,
}

/// The line for a user, without a line end.
pub fn entry(
    user: &str,
    password: &str,
    written: Written,
    rights: Option<&str>,
) -> Result<String, NoEntry> {
    if user.is_empty() || user.starts_with('#') || user.contains([':', '\r', '\n', '\0']) {
        return Err(NoEntry::BadName);
    }
    if password.is_empty() || password.contains(['\r', '\n', '\0']) {
        return Err(NoEntry::BadPassword);
    }
    if rights
        .is_some_and(|rights| rights.contains('\n') || Rights::parse(rights.as_bytes()).is_none())
    {
        return Err(NoEntry::BadRights);
    }
    let mut salt = [0; SALT_LEN];
    rand::fill(&mut salt).expect("the system has random numbers");
    let password = prepare(password.as_bytes());
    let secret = match written {
        Written::Scram(hash) => Keys::derive(hash, &password, &salt, ITERATIONS).to_string(),
        Written::Argon2id => {
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default());
            let hash: PasswordHash = argon2
                .hash_password_with_salt(&password, &salt)
                .expect("the parameters are good, and the salt has the right length");
            hash.to_string()
        }
    };
    let rights = rights.map(|rights| format!(":{rights}")).unwrap_or_default();
    Ok(format!("{user}:{secret}{rights}"))
}

/// The text of a file with `line` in place of the user's lines, or behind all others. Lines that are not of
/// passwords stay. Rights that stood in the first of them stand behind `line`, too, if `keeps_rights`.
pub fn with_entry(file: &str, line: &str, keeps_rights: bool) -> String {
    let ring = Ring::new();
    let name = line.split(':').next().unwrap_or_default();
    let mut lines: Vec<String> = Vec::new();
    let mut is_there = false;
    for old in file.lines() {
        match line::password_rights(old, name, &ring) {
            None => lines.push(old.to_owned()),
            Some(_) if std::mem::replace(&mut is_there, true) => {}
            Some(rights) if keeps_rights && !rights.is_empty() => {
                lines.push(format!("{line}:{rights}"));
            }
            Some(_) => lines.push(line.to_owned()),
        }
    }
    if !is_there {
        lines.push(line.to_owned());
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written() {
        let made = |user, password, rights| entry(user, password, Written::Argon2id, rights).err();
        for name in ["", "a:b", "#a", "a\nb", "a\r"] {
            assert_eq!(made(name, "x", None), Some(NoEntry::BadName), "{name:?}");
        }
        for password in ["", "a\nb"] {
            assert_eq!(made("a", password, None), Some(NoEntry::BadPassword), "{password:?}");
        }
        for rights in ["", "raed", "read,prefix=a\n"] {
            assert_eq!(made("a", "x", Some(rights)), Some(NoEntry::BadRights), "{rights:?}");
        }
    }

    #[test]
    fn a_line_takes_the_place_of_the_users() {
        let check = |before, after| assert_eq!(with_entry(before, "a:new", false), after);
        check("", "a:new\n");
        check("b:x", "b:x\na:new\n");
        check("# a:x\na:x:read\nb:y\n\na:z\n", "# a:x\na:new\nb:y\n\n");
        check("a:$cert:read\na:x\n", "a:$cert:read\na:new\n");
        check("junk\n", "junk\na:new\n");
    }

    #[test]
    fn rights_stay_unless_others_are_given() {
        let check = |before, after| assert_eq!(with_entry(before, "a:new", true), after);
        check("a:x:read,prefix=b:\n", "a:new:read,prefix=b:\n");
        check("a:x\n", "a:new\n");
        check(
            "a:$argon2id$v=19$m=256,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA:read\n",
            "a:new:read\n",
        );
        check("b:x:read\n", "b:x:read\na:new\n");
    }
}
