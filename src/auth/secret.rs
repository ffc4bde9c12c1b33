//! What the user file knows of a password, and whether a password fits it.
//!
//! No password is kept: of one that stands in the file in plain text, only what [`Ring`] makes of it
//! stays in memory.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::{constant_time, hmac, rand};
use zeroize::Zeroizing;

use super::scram::{Hash, Keys};
use crate::limits::{ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX};

/// Keys of this process, by which names and passwords are told apart without being kept.
pub struct Ring {
    passwords: hmac::Key,
    salts: hmac::Key,
}

/// A password as a [`Ring`] knows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Print([u8; 32]);

/// By what a user is known.
#[derive(Clone)]
pub(super) enum Secret {
    /// A password that the file has as it is: as it stands there, and prepared.
    Plain { raw: Print, prepared: Print },
    /// argon2id, in PHC form.
    Argon2(Box<PasswordHash>),
    /// Keys of SCRAM.
    Scram(Keys),
    /// No password, but the name in a verified client certificate.
    Certificate,
}

/// A password that somebody has offered.
pub(super) struct Offer {
    pub(super) raw: Print,
    pub(super) prepared: Print,
    text: Zeroizing<Vec<u8>>,
}

impl Ring {
    /// Random ones.
    pub fn new() -> Ring {
        let mut keys = Zeroizing::new([[0; 32]; 2]);
        for key in &mut *keys {
            rand::fill(key).expect("the system has random numbers");
        }
        Ring {
            passwords: hmac::Key::new(hmac::HMAC_SHA256, &keys[0]),
            salts: hmac::Key::new(hmac::HMAC_SHA256, &keys[1]),
        }
    }

    pub(super) fn print(&self, password: &[u8]) -> Print {
        let tag = hmac::sign(&self.passwords, password);
        Print(tag.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// The salt of a user without one in the file, and of a name that nobody has: nobody can tell these
    /// apart by it.
    pub(super) fn salt(&self, name: &[u8]) -> [u8; 16] {
        let tag = hmac::sign(&self.salts, name);
        *tag.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }

    /// Bytes that nobody knows.
    pub(super) fn noise(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        rand::fill(&mut bytes).expect("the system has random numbers");
        bytes
    }

    /// `password` as it can be compared.
    pub(super) fn offer(&self, password: &[u8]) -> Offer {
        let text = Zeroizing::new(prepare(password).into_owned());
        Offer { raw: self.print(password), prepared: self.print(&text), text }
    }
}

impl Default for Ring {
    fn default() -> Self {
        Ring::new()
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

impl Print {
    /// Takes as long if they differ.
    pub(super) fn is(&self, other: &Print) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Secret {
    /// What `text` in the file stands for; `Err` says what is wrong with it, and nothing of it.
    pub(super) fn parse(text: &[u8], ring: &Ring) -> Result<Secret, &'static str> {
        let as_text = std::str::from_utf8(text).unwrap_or_default();
        if is_scram(text) {
            return Keys::parse(as_text).map(Secret::Scram).ok_or("malformed SCRAM keys");
        }
        if text.starts_with(ARGON2ID) {
            return argon2id(as_text).map(|hash| Secret::Argon2(Box::new(hash)));
        }
        if is_foreign_hash(as_text) {
            return Err("a kind of hash that is not known");
        }
        Ok(Secret::plain(text, ring))
    }

    /// A password in plain text, whatever it looks like.
    pub(super) fn plain(text: &[u8], ring: &Ring) -> Secret {
        Secret::Plain { raw: ring.print(text), prepared: ring.print(&prepare(text)) }
    }

    /// How many colons a secret that begins like `text` has of its own; None: it is in plain text.
    pub(super) fn colons(text: &[u8]) -> Option<usize> {
        if is_scram(text) {
            Some(2)
        } else if text.starts_with(ARGON2ID) {
            Some(0)
        } else {
            None
        }
    }

    /// Whether the password fits. Takes as long if it does not.
    pub(super) fn fits(&self, offer: &Offer, workspace: &mut Workspace) -> bool {
        match self {
            Secret::Plain { raw, prepared } => {
                let (raw, prepared) = (raw.is(&offer.raw), prepared.is(&offer.prepared));
                raw | prepared
            }
            Secret::Argon2(hash) => workspace.fits(hash, &offer.text),
            Secret::Scram(keys) => keys.are_of(&offer.text),
            Secret::Certificate => false,
        }
    }

    /// Bytes of memory that a check takes.
    pub(super) fn check_bytes(&self) -> usize {
        match self {
            Secret::Argon2(hash) => Params::try_from(&**hash)
                .map_or(0, |params| params.block_count() * size_of::<Block>()),
            _ => 0,
        }
    }

    /// Whether that takes milliseconds.
    pub(super) fn is_slow(&self) -> bool {
        matches!(self, Secret::Argon2(_) | Secret::Scram(_))
    }
}

/// Memory for checks by argon2id: kept from one to the next, since giving back and taking 19 MiB each time
/// leaves the process with several times as much.
#[derive(Default)]
pub(super) struct Workspace(Vec<Block>);

impl Workspace {
    /// Bytes of memory that it has.
    pub(super) fn held_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Block>()
    }

    fn fits(&mut self, hash: &PasswordHash, password: &[u8]) -> bool {
        let (Ok(params), Some(salt), Some(expected)) =
            (Params::try_from(hash), &hash.salt, &hash.hash)
        else {
            return false;
        };
        let version = hash.version.and_then(|number| Version::try_from(number).ok());
        let count = params.block_count();
        if self.0.len() < count {
            self.0 = vec![Block::default(); count];
        }
        let argon2 = Argon2::new(Algorithm::Argon2id, version.unwrap_or_default(), params);
        let mut output = Zeroizing::new(vec![0; expected.len()]);
        let blocks = &mut self.0[..count];
        let hashed =
            argon2.hash_password_into_with_memory(password, salt, &mut output, &mut *blocks);
        // They would tell a right guess from a wrong one.
        blocks.fill(Block::default());
        hashed.is_ok()
            && constant_time::verify_slices_are_equal(&output, expected.as_bytes()).is_ok()
    }
}

/// Nothing of it.
impl std::fmt::Debug for Print {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Print")
    }
}

/// Nothing of the secret.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Secret::Plain { .. } => "Plain",
            Secret::Argon2(_) => "Argon2",
            Secret::Scram(_) => "Scram",
            Secret::Certificate => "Certificate",
        })
    }
}

/// What a hash by argon2id begins with.
const ARGON2ID: &[u8] = b"$argon2id$";

/// Whether `text` is to be keys of SCRAM.
fn is_scram(text: &[u8]) -> bool {
    Hash::ALL.iter().any(|hash| {
        let rest = text.strip_prefix(hash.mechanism().as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b"$"))
    })
}

/// A password as SASL compares it (RFC 4013); one that cannot be prepared stands for itself.
pub(super) fn prepare(password: &[u8]) -> Cow<'_, [u8]> {
    let prepared = std::str::from_utf8(password).ok().map(stringprep::saslprep);
    match prepared {
        Some(Ok(Cow::Owned(text))) => Cow::Owned(text.into_bytes()),
        Some(Ok(Cow::Borrowed(text))) => Cow::Borrowed(text.as_bytes()),
        _ => Cow::Borrowed(password),
    }
}

fn argon2id(text: &str) -> Result<PasswordHash, &'static str> {
    let malformed = "malformed argon2id hash";
    let hash = PasswordHash::new(text).map_err(|_| malformed)?;
    let params = Params::try_from(&hash).map_err(|_| malformed)?;
    if params.m_cost() > ARGON2_MEMORY_KIB_MAX || params.t_cost() > ARGON2_PASSES_MAX {
        return Err("an argon2id hash that would take too much memory or time");
    }
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(malformed);
    }
    Ok(hash)
}

/// Whether it has the form of a hash that other programs make, and would be no good as a password.
fn is_foreign_hash(text: &str) -> bool {
    const NAMES: [&str; 12] =
        ["1", "2a", "2b", "2y", "5", "6", "7", "y", "gy", "argon2i", "argon2d", "scrypt"];
    let name = text.strip_prefix('$').and_then(|rest| rest.split_once('$'));
    name.is_some_and(|(name, _)| NAMES.contains(&name) || name.starts_with("pbkdf2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(secret: &str, password: &str, fits: bool) {
        let ring = Ring::new();
        let secret = Secret::parse(secret.as_bytes(), &ring).expect("well formed");
        let mut workspace = Workspace::default();
        for _ in 0..2 {
            assert_eq!(secret.fits(&ring.offer(password.as_bytes()), &mut workspace), fits);
        }
        assert!(workspace.0.iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
    }

    #[test]
    fn plain_text() {
        check("secret", "secret", true);
        check("secret", "secres", false);
        check("secret", "", false);
        check("", "", true);
        check("a b:c$", "a b:c$", true);
        // Half- and full-width forms are one to SASL.
        check("\u{ff21}", "A", true);
        check("\u{ff21}", "\u{ff21}", true);
    }

    #[test]
    fn argon2id_hashes() {
        use argon2::password_hash::PasswordHasher;
        let hash: PasswordHash =
            Argon2::default().hash_password_with_salt(b"secret", b"saltsaltsalt").unwrap();
        check(&hash.to_string(), "secret", true);
        check(&hash.to_string(), "Secret", false);
    }

    #[test]
    fn a_check_takes_the_memory_that_the_hash_says() {
        let ring = Ring::new();
        let bytes = |text: &str| Secret::parse(text.as_bytes(), &ring).unwrap().check_bytes();
        let hash = "$argon2id$v=19$m=256,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA";
        assert_eq!((bytes(hash), bytes("secret")), (256 * 1024, 0));
        assert!(Secret::parse(hash.as_bytes(), &ring).unwrap().is_slow());
    }

    #[test]
    fn argon2id_has_a_bound_on_memory_and_time() {
        let ring = Ring::new();
        let parsed = |memory: u32, passes: u32| {
            let rest = "p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA";
            let text = format!("$argon2id$v=19$m={memory},t={passes},{rest}");
            Secret::parse(text.as_bytes(), &ring).is_ok()
        };
        assert!(parsed(ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX));
        assert!(!parsed(ARGON2_MEMORY_KIB_MAX + 1, 1) && !parsed(256, ARGON2_PASSES_MAX + 1));
    }

    #[test]
    fn what_is_no_secret() {
        let ring = Ring::new();
        for text in [
            "$argon2id$v=19$m=256,t=1,p=1$c2FsdHNhbHQ$",
            "$argon2id$v=19$m=256,t=1,p=1$c2FsdHNhbHQ",
            "$argon2id$",
            "$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
            "$argon2i$v=19$m=256,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
            "$2b$10$abc",
            "SCRAM-SHA-256$x",
        ] {
            assert!(Secret::parse(text.as_bytes(), &ring).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_shown() {
        let ring = Ring::new();
        let secret = Secret::parse(b"secret", &ring).unwrap();
        assert_eq!(format!("{secret:?} {ring:?}"), "Plain Ring");
    }
}
