//! Certificates and keys read from their files, and how a change of those is noticed.
//!
//! Messages name files and say what is wrong with them, never what is in them.
#![forbid(unsafe_code)]

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::{Zeroize, Zeroizing};

use crate::file::{self, Stamp};
use crate::limits::CERTIFICATE_FILE_BYTES_MAX;

/// The stamps of `paths`.
pub(super) fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| file::stamp(path)).collect()
}

/// A private key, wiped when it is dropped.
pub(super) struct PrivateKey(PrivateKeyDer<'static>);

impl PrivateKey {
    pub(super) fn der(&self) -> &PrivateKeyDer<'static> {
        &self.0
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The certificates of a PEM file, at least one; Err: what is wrong with it.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => Err("no certificate in it".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(pem_text(&error).to_owned()),
    }
}

/// The private key of a file in `format`: 1 PEM, 2 DER.
pub(super) fn private_key(path: &Path, format: i64) -> Result<PrivateKey, String> {
    match format {
        1 => match PrivateKeyDer::from_pem_slice(&read(path)?) {
            Ok(key) => Ok(PrivateKey(key)),
            Err(pem::Error::NoItemsFound) => Err("no private key in it".to_owned()),
            Err(error) => Err(pem_text(&error).to_owned()),
        },
        2 => {
            let bytes = read(path)?;
            match PrivateKeyDer::try_from(bytes.as_slice()) {
                Ok(key) => Ok(PrivateKey(key.clone_key())),
                // PKCS #8 by its outside only; what is inside is told when it is used.
                Err(_) => Ok(PrivateKey(PrivatePkcs8KeyDer::from(bytes.to_vec()).into())),
            }
        }
        _ => Err("bad file type".to_owned()),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    file::read(path, CERTIFICATE_FILE_BYTES_MAX).map_err(|err| os_text(&err))
}

/// The system's words for an error.
fn os_text(err: &io::Error) -> String {
    match err.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => err.to_string(),
    }
}

/// What is wrong with a PEM file; the library's own words would quote it.
fn pem_text(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section without an end",
        pem::Error::IllegalSectionStart { .. } => "a line that begins no section",
        pem::Error::Base64Decode(_) => "bad base64",
        _ => "not a PEM file",
    }
}
