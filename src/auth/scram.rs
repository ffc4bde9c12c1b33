//! The keys by which SCRAM proves a password (RFC 5802, RFC 7677), and how files write them.
//!
//! In files they stand as `SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY` with base64 in the last
//! three (RFC 5803; PostgreSQL's own form), and the same with `SCRAM-SHA-512`.
#![forbid(unsafe_code)]

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::limits::SCRAM_ITERATIONS_MAX;

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SCRAM-SHA-256
    Sha256,
    /// SCRAM-SHA-512
    Sha512,
}

/// What a server keeps of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    pub(super) hash: Hash,
    pub(super) iterations: NonZeroU32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Vec<u8>,
    pub(super) server_key: Vec<u8>,
}

impl Hash {
    /// All of them, the strongest first.
    pub(super) const ALL: [Hash; 2] = [Hash::Sha512, Hash::Sha256];

    /// The name of the mechanism.
    pub fn mechanism(self) -> &'static str {
        match self {
            Hash::Sha256 => "SCRAM-SHA-256",
            Hash::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// Bytes of its digests.
    pub(super) fn len(self) -> usize {
        match self {
            Hash::Sha256 => digest::SHA256_OUTPUT_LEN,
            Hash::Sha512 => digest::SHA512_OUTPUT_LEN,
        }
    }

    fn hmac(self, key: &[u8], text: &[u8]) -> hmac::Tag {
        let algorithm = match self {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), text)
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }
}

impl Keys {
    /// Those of `password`, which is to be prepared (RFC 4013) already.
    pub fn derive(hash: Hash, password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Keys {
        let algorithm = match hash {
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let mut salted = Zeroizing::new(vec![0; hash.len()]);
        pbkdf2::derive(algorithm, iterations, salt, password, &mut salted);
        let client_key = hash.hmac(&salted, b"Client Key");
        Keys {
            hash,
            iterations,
            salt: salt.to_vec(),
            stored_key: hash.digest(client_key.as_ref()),
            server_key: hash.hmac(&salted, b"Server Key").as_ref().to_vec(),
        }
    }

    /// Whether they are those of `password`, prepared. Takes as long if they are not.
    pub(super) fn are_of(&self, password: &[u8]) -> bool {
        let derived = Keys::derive(self.hash, password, &self.salt, self.iterations);
        constant_time::verify_slices_are_equal(&derived.stored_key, &self.stored_key).is_ok()
    }

    /// Reads what a file has; None: it is malformed, or asks for more work than a login may cost.
    pub(super) fn parse(text: &str) -> Option<Keys> {
        let hash = Hash::ALL.into_iter().find(|hash| text.starts_with(hash.mechanism()))?;
        let rest = text[hash.mechanism().len()..].strip_prefix('$')?;
        let (work, keys) = rest.split_once('$')?;
        let (iterations, salt) = work.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let keys = Keys {
            hash,
            iterations: iterations.parse().ok().filter(|n| *n <= SCRAM_ITERATIONS_MAX)?,
            salt: BASE64.decode(salt).ok().filter(|salt| !salt.is_empty())?,
            stored_key: BASE64.decode(stored_key).ok()?,
            server_key: BASE64.decode(server_key).ok()?,
        };
        let fits = keys.stored_key.len() == hash.len() && keys.server_key.len() == hash.len();
        fits.then_some(keys)
    }
}

impl std::fmt::Display for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [salt, stored_key, server_key] =
            [&self.salt, &self.stored_key, &self.server_key].map(|bytes| BASE64.encode(bytes));
        let (mechanism, iterations) = (self.hash.mechanism(), self.iterations);
        write!(f, "{mechanism}${iterations}:{salt}${stored_key}:{server_key}")
    }
}

/// Nothing of the keys.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.hash.mechanism())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3: user `user`, password `pencil`. The keys are those by which its proof and
    /// its server signature verify.
    const RFC_7677: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
                            WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                            wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn example_of_rfc_7677() {
        let keys = Keys::parse(RFC_7677).expect("well formed");
        assert!(keys.are_of(b"pencil"));
        assert!(!keys.are_of(b"pencil "));
        assert_eq!(keys.to_string(), RFC_7677);
        assert_eq!(format!("{keys:?}"), "Keys(SCRAM-SHA-256)");
    }

    #[test]
    fn what_is_written_is_read() {
        for hash in Hash::ALL {
            let iterations = NonZeroU32::new(2).unwrap();
            let keys = Keys::derive(hash, b"secret", b"salt", iterations);
            assert_eq!(Keys::parse(&keys.to_string()), Some(keys));
        }
    }

    #[test]
    fn malformed_keys() {
        let cut = RFC_7677.len() - 1;
        for text in [
            &RFC_7677[..cut],
            &RFC_7677.replace("4096", "0"),
            &RFC_7677.replace("4096", "-1"),
            &RFC_7677.replace("4096", "4294967295"),
            &RFC_7677.replace("256", "512"),
            &RFC_7677.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
            &RFC_7677.replace("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=", "AAAA"),
            &RFC_7677.replace("wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", "AAAA"),
            "SCRAM-SHA-256$",
            "SCRAM-SHA-1$4096:AAAA$AAAA:AAAA",
        ] {
            assert_eq!(Keys::parse(text), None, "{text}");
        }
    }
}
