//! The server's certificates: loaded as a whole, replaced as a whole, kept when what would replace
//! them is broken.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    Error, InconsistentKeys, RootCertStore, ServerConfig, SupportedCipherSuite,
    SupportedProtocolVersion,
};

use super::files;
use super::verifier::TrustsNobody;
use super::{MinVersion, Mode, Options, Verify, ciphers};
use crate::clock::Secs;
use crate::file::Stamp;
use crate::limits::TLS_SESSIONS_MAX;

/// What is wrong with certificates, in memcached's words, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError(pub String);

/// Certificates that new connections are served with.
#[derive(Debug)]
pub struct Certificates {
    options: Options,
    provider: Arc<CryptoProvider>,
    /// The files, by names that a change of directory does not change.
    paths: Vec<PathBuf>,
    loaded: ArcSwap<Loaded>,
    watched: Mutex<Watched>,
    /// When they were last loaded, on the server's clock.
    refreshed_at: AtomicU32,
}

/// What there is to know of clients and the server's own name, for each [`Mode`]. Sessions are resumed
/// within one mode only: whose certificate nobody has looked at must not come in where one is asked for.
#[derive(Debug)]
struct Loaded {
    default: Arc<ServerConfig>,
    no_peer: Arc<ServerConfig>,
    peer: Arc<ServerConfig>,
}

/// What the files looked like.
#[derive(Debug)]
struct Watched {
    /// When they were last read, whatever came of it.
    read: Vec<Option<Stamp>>,
    /// At the last look.
    seen: Vec<Option<Stamp>>,
}

impl Certificates {
    /// Loads what `options` name.
    pub fn load(options: Options, now: Secs) -> Result<Certificates, LoadError> {
        let provider = Arc::new(provider(&options)?);
        let names = [&options.chain_cert, &options.key, &options.ca_cert];
        let paths = names.into_iter().flatten().map(|name| {
            let path = PathBuf::from(name);
            std::path::absolute(&path).unwrap_or(path)
        });
        let paths: Vec<PathBuf> = paths.collect();
        let stamps = files::stamps(&paths);
        let loaded = read(&options, &paths, &provider)?;
        Ok(Certificates {
            options,
            provider,
            paths,
            loaded: ArcSwap::from_pointee(loaded),
            watched: Mutex::new(Watched { read: stamps.clone(), seen: stamps }),
            refreshed_at: AtomicU32::new(now.0),
        })
    }

    /// Whether clients of a listener in `mode` must show a good certificate.
    pub fn require_client(&self, mode: Mode) -> bool {
        match mode {
            Mode::Default => matches!(self.options.verify, Verify::Require | Verify::Once),
            Mode::NoPeer => false,
            Mode::Peer => true,
        }
    }

    /// Reads the files anew; new connections are served with what they hold. `Err`: nothing has changed.
    pub fn refresh(&self, now: Secs) -> Result<(), LoadError> {
        let mut watched = self.watched.lock();
        self.refresh_locked(&mut watched, now)
    }

    /// Reads the files anew if they have changed and have been left alone since the last call, so that
    /// half of a change is not taken for all of it. `None`: there was nothing to do.
    pub fn refresh_if_changed(&self, now: Secs) -> Option<Result<(), LoadError>> {
        let stamps = files::stamps(&self.paths);
        let mut watched = self.watched.lock();
        let is_at_rest = stamps == watched.seen;
        watched.seen = stamps;
        if !is_at_rest || watched.seen == watched.read {
            return None;
        }
        Some(self.refresh_locked(&mut watched, now))
    }

    fn refresh_locked(&self, watched: &mut Watched, now: Secs) -> Result<(), LoadError> {
        watched.read = files::stamps(&self.paths);
        let loaded = read(&self.options, &self.paths, &self.provider)?;
        self.loaded.store(Arc::new(loaded));
        self.refreshed_at.store(now.0, Relaxed);
        Ok(())
    }

    /// What a new connection of a listener in `mode` is to be served with.
    pub(super) fn config(&self, mode: Mode) -> Arc<ServerConfig> {
        let loaded = self.loaded.load();
        Arc::clone(match mode {
            Mode::Default => &loaded.default,
            Mode::NoPeer => &loaded.no_peer,
            Mode::Peer => &loaded.peer,
        })
    }

    /// When they were last loaded.
    pub fn refreshed_at(&self) -> Secs {
        Secs(self.refreshed_at.load(Relaxed))
    }

    /// What was asked for.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What `stats settings` shows: keys and values (stats, section 2).
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let options = &self.options;
        let yes_no = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let text = |given: &Option<String>, none: &str| given.as_deref().unwrap_or(none).to_owned();
        vec![
            ("ssl_chain_cert", text(&options.chain_cert, "(null)")),
            ("ssl_key", text(&options.key, "(null)")),
            ("ssl_verify_mode", options.verify.bits().to_string()),
            ("ssl_keyformat", options.key_format.to_string()),
            ("ssl_ciphers", text(&options.ciphers, "NULL")),
            ("ssl_ca_cert", text(&options.ca_cert, "NULL")),
            ("ssl_wbuf_size", options.write_bytes.to_string()),
            ("ssl_session_cache", yes_no(options.session_cache)),
            ("ssl_kernel_tls", yes_no(false)),
            ("ssl_min_version", options.min_version.word().to_owned()),
        ]
    }
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

/// The algorithms. Groups are in the order of what they cost: a client that offers X25519 or P-256 is
/// never asked for another share, and X25519MLKEM768 is there for who insists on it.
fn provider(options: &Options) -> Result<CryptoProvider, LoadError> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![
        aws_lc_rs::kx_group::X25519,
        aws_lc_rs::kx_group::SECP256R1,
        aws_lc_rs::kx_group::SECP384R1,
        aws_lc_rs::kx_group::X25519MLKEM768,
    ];
    if let Some(list) = &options.ciphers {
        let chosen = ciphers::parse(list);
        if chosen.is_empty() {
            return Err(LoadError(format!("Error setting the provided cipher(s): {list}")));
        }
        let is_tls13 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
        provider.cipher_suites.retain(is_tls13);
        provider.cipher_suites.extend(chosen);
    }
    Ok(provider)
}

/// Reads all files, in memcached's order.
fn read(
    options: &Options,
    paths: &[PathBuf],
    provider: &Arc<CryptoProvider>,
) -> Result<Loaded, LoadError> {
    let mut paths = paths.iter();
    let failed = |what: &str, name: &Option<String>, reason: &str| {
        let name = name.as_deref().unwrap_or("(null)");
        LoadError(format!("Error loading the {what}: {name} : {reason}"))
    };
    // Of each file that is named there is a path, in this order.
    let mut path_of = |what: &str, name: &Option<String>| match name {
        Some(_) => Ok(paths.next().expect("a path of each file that is named")),
        None => Err(failed(what, name, "no such option")),
    };
    let in_chain = |reason: &str| failed("certificate chain", &options.chain_cert, reason);
    let in_key = |reason: &str| failed("key", &options.key, reason);
    let path = path_of("certificate chain", &options.chain_cert)?;
    let chain = files::certificates(path).map_err(|reason| in_chain(&reason))?;
    let path = path_of("key", &options.key)?;
    let key = files::private_key(path, options.key_format).map_err(|reason| in_key(&reason))?;
    let signing = any_supported_type(key.der()).map_err(|error| in_key(&text(&error)))?;
    drop(key);
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => return Err(in_key("key values mismatch")),
        Err(error) => return Err(in_chain(&text(&error))),
    }
    let roots = match &options.ca_cert {
        None => None,
        name @ Some(_) => {
            let in_ca = |reason: &str| failed("CA certificate", name, reason);
            let path = path_of("CA certificate", name)?;
            let found = files::certificates(path).map_err(|reason| in_ca(&reason))?;
            Some(Arc::new(roots(found).map_err(|error| in_ca(&text(&error)))?))
        }
    };
    let make = |verify| config(options, provider, &certified, roots.as_ref(), verify);
    Ok(Loaded {
        default: make(options.verify)?,
        no_peer: make(Verify::None)?,
        peer: make(Verify::Require)?,
    })
}

fn roots(certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    certificates.into_iter().try_for_each(|certificate| roots.add(certificate))?;
    Ok(roots)
}

fn config(
    options: &Options,
    provider: &Arc<CryptoProvider>,
    certified: &CertifiedKey,
    roots: Option<&Arc<RootCertStore>>,
    verify: Verify,
) -> Result<Arc<ServerConfig>, LoadError> {
    let failed = |error: &dyn std::fmt::Display| {
        LoadError(format!("Error validating the certificate: {error}"))
    };
    let versions: &[&SupportedProtocolVersion] = match options.min_version {
        MinVersion::Tls13 => &[&TLS13],
        _ => &[&TLS13, &TLS12],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)
        .map_err(|error| failed(&error))?;
    let builder = match verifier(provider, roots, verify).map_err(|error| failed(&error))? {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let mut config =
        builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified.clone())));
    if options.session_cache {
        config.session_storage = ServerSessionMemoryCache::new(TLS_SESSIONS_MAX);
        config.ticketer = Ticketer::new().map_err(|error| failed(&error))?;
        config.send_tls13_tickets = 1;
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

/// Who looks at clients' certificates; None: nobody asks for one.
fn verifier(
    provider: &Arc<CryptoProvider>,
    roots: Option<&Arc<RootCertStore>>,
    verify: Verify,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, rustls::server::VerifierBuilderError> {
    let is_mandatory = match verify {
        Verify::None => return Ok(None),
        Verify::Request => false,
        Verify::Require | Verify::Once => true,
    };
    let Some(roots) = roots else {
        return Ok(Some(Arc::new(TrustsNobody::new(Arc::clone(provider), is_mandatory))));
    };
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider));
    let builder = if is_mandatory { builder } else { builder.allow_unauthenticated() };
    builder.build().map(Some)
}

/// An error of the library in its own words. It quotes no key.
fn text(error: &Error) -> String {
    error.to_string()
}
