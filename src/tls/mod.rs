//! TLS: certificates and their reload, records in and plain bytes out.
//!
//! ```text
//! files ──► Certificates ── config of a Mode ──► Layer ◄── cipher bytes in a worker's Scratch
//!              │ replaced as a whole                │
//!              └── those of new connections         └──► plain bytes; records in the Scratch
//! ```
//!
//! Knows no socket and no session. What a [`Layer`] makes of the bytes of a connection does not depend on
//! how they were cut into reads.
#![forbid(unsafe_code)]

mod certificates;

mod ciphers;

mod files;

mod layer;

mod names;

mod verifier;

#[cfg(test)]
mod tests;

pub use certificates::{Certificates, LoadError};
pub use layer::{Failure, Layer, Opened, RECORD_BYTES, Scratch, Taken};

/// What certificates are made of and what clients must keep to.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `-o ssl_chain_cert`: file of the certificate and those that lead to its root, PEM.
    pub chain_cert: Option<String>,
    /// `-o ssl_key`: file of its private key.
    pub key: Option<String>,
    /// `-o ssl_keyformat`: 1 PEM, 2 DER.
    pub key_format: i64,
    /// `-o ssl_verify_mode`: what is asked of clients.
    pub verify: Verify,
    /// `-o ssl_ca_cert`: file of the certificates that sign those of clients, PEM.
    pub ca_cert: Option<String>,
    /// `-o ssl_ciphers`: OpenSSL's names of suites of TLS 1.2.
    pub ciphers: Option<String>,
    /// `-o ssl_wbuf_size`: plain bytes that are encrypted and written at once.
    pub write_bytes: usize,
    /// `-o ssl_session_cache`: sessions may be resumed.
    pub session_cache: bool,
    /// `-o ssl_min_version`
    pub min_version: MinVersion,
    /// `-o ssl_handshake_timeout`: seconds.
    pub handshake_secs: u32,
}

/// Makes the calling thread ready for handshakes. A thread's first random number costs some 25 ms of its
/// time, which is what seeding takes; all clients of a worker would wait for it beside the first handshake.
pub fn prepare_thread() {
    let mut bytes = [0; 1];
    // A system without random numbers is for the handshake to find, which has an answer to that.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
}

/// What is asked of clients (`-o ssl_verify_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Nothing (0).
    #[default]
    None,
    /// A certificate, which must be good if there is one (1).
    Request,
    /// A good certificate (2).
    Require,
    /// The same (3); memcached would not ask again in a renegotiation, which there is none of here.
    Once,
}

/// The lowest version that clients may speak (`-o ssl_min_version`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// What was asked for is lower than what there is: 1.2.
    Tls10,
    /// The same.
    Tls11,
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// What a listener asks of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What `ssl_verify_mode` says.
    Default,
    /// No certificate (`btls:`).
    NoPeer,
    /// A good certificate (`mtls:`).
    Peer,
}

impl Verify {
    /// The verify mode of this number.
    pub fn of(number: i64) -> Verify {
        match number {
            1 => Verify::Request,
            2 => Verify::Require,
            3 => Verify::Once,
            _ => Verify::None,
        }
    }

    /// The bits that OpenSSL knows it by, which `stats settings` shows.
    fn bits(self) -> u32 {
        match self {
            Verify::None => 0,
            Verify::Request => 1,
            Verify::Require => 3,
            Verify::Once => 7,
        }
    }
}

impl MinVersion {
    /// The version of this number.
    pub fn of(number: i64) -> MinVersion {
        match number {
            0 => MinVersion::Tls10,
            1 => MinVersion::Tls11,
            3 => MinVersion::Tls13,
            _ => MinVersion::Tls12,
        }
    }

    /// As `stats settings` shows it.
    fn word(self) -> &'static str {
        match self {
            MinVersion::Tls10 => "tlsv1.0",
            MinVersion::Tls11 => "tlsv1.1",
            MinVersion::Tls12 => "tlsv1.2",
            MinVersion::Tls13 => "tlsv1.3",
        }
    }
}
