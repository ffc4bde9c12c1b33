//! Whom a client trusts over TLS, and what it shows of itself.
#![forbid(unsafe_code)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use crate::anyone::Anyone;

/// The one version of TLS that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// What a client of TLS is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whose certificates the server's must come from; none: any server is taken.
    pub ca: Option<PathBuf>,
    /// The client's certificate with its chain, and the key for it.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The version that is spoken.
    pub version: Version,
    /// The name that is asked for, and that the certificate must have.
    pub name: ServerName<'static>,
    /// Whether a session is taken up again where the server gives tickets for it.
    pub resume: bool,
}

impl Options {
    /// The configuration that does so.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or has not in it what it should.
    pub fn config(&self) -> io::Result<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let version = match self.version {
            Version::Tls12 => &TLS12,
            Version::Tls13 => &TLS13,
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(provider)?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(
                    certificates(chain)?,
                    PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error))?,
                )
                .map_err(|error| unusable(chain, error))?,
        };
        config.resumption = if self.resume {
            Resumption::in_memory_sessions(SESSIONS)
        } else {
            Resumption::disabled()
        };
        Ok(config)
    }

    fn verifier(&self, provider: Arc<CryptoProvider>) -> io::Result<Arc<dyn ServerCertVerifier>> {
        let Some(ca) = &self.ca else { return Ok(Anyone::new(provider, false)) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| unusable(ca, error))?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(verifier.build().map_err(|error| unusable(ca, error))?)
    }
}

/// The name of a server on this machine.
pub fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a host name")
}

/// The certificates of a file, of which there must be some.
fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| unusable(path, error))?;
    if certificates.is_empty() { Err(unusable(path, "no certificate")) } else { Ok(certificates) }
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {error}", path.display()))
}

/// Sessions that are kept; there is one server.
const SESSIONS: usize = 8;

#[cfg(test)]
pub mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
    use rustls::ServerConfig;
    use rustls::server::WebPkiClientVerifier;

    use super::*;
    use crate::layer::tests::{connect, echo};

    /// Who signs certificates.
    pub struct Authority(CertifiedIssuer<'static, KeyPair>);

    impl Authority {
        pub fn new(name: &str) -> Authority {
            let mut params = CertificateParams::new([]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().unwrap();
            Authority(CertifiedIssuer::self_signed(params, key).unwrap())
        }

        /// A certificate for localhost, and its key.
        fn certify(&self) -> (rcgen::Certificate, KeyPair) {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            (params.signed_by(&key, &self.0).unwrap(), key)
        }

        /// A server with such a certificate, which wants one of `clients` of its clients.
        pub fn server(&self, clients: Option<&Authority>) -> ServerConfig {
            let provider = Arc::new(aws_lc_rs::default_provider());
            let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[&TLS12, &TLS13])
                .unwrap();
            let builder = match clients {
                None => builder.with_no_client_auth(),
                Some(authority) => {
                    let mut roots = RootCertStore::empty();
                    roots.add(authority.0.der().clone()).unwrap();
                    let roots = Arc::new(roots);
                    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                    builder.with_client_cert_verifier(verifier.build().unwrap())
                }
            };
            let (certificate, key) = self.certify();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            builder.with_single_cert(vec![certificate.der().clone()], key).unwrap()
        }
    }

    /// Any server, over TLS 1.3.
    pub fn options() -> Options {
        let (ca, identity, version) = (None, None, Version::Tls13);
        Options { ca, identity, version, name: localhost(), resume: false }
    }

    /// Files of a test, gone with it.
    struct Files(PathBuf);

    impl Files {
        fn new(test: &str) -> Files {
            let name = format!("nuthatch-load-{test}-{}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&dir).unwrap();
            Files(dir)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn talk(server: ServerConfig, options: &Options) -> io::Result<Vec<u8>> {
        echo(&mut connect(server, options, usize::MAX), b"hello", 5)
    }

    #[test]
    fn a_server_is_held_against_the_authority_where_one_is_named() {
        let files = Files::new("trust");
        let (good, other) = (Authority::new("good"), Authority::new("other"));
        let ca = Some(files.write("ca.pem", &good.0.pem()));
        for version in [Version::Tls12, Version::Tls13] {
            let trusting = Options { ca: ca.clone(), version, ..options() };
            assert!(talk(good.server(None), &trusting).is_ok());
            assert!(talk(other.server(None), &trusting).is_err());
            assert!(talk(other.server(None), &options()).is_ok());
            let name = ServerName::try_from("example.org").unwrap();
            let elsewhere = Options { name, ..trusting };
            assert!(talk(good.server(None), &elsewhere).is_err());
        }
    }

    #[test]
    fn a_client_shows_its_certificate() {
        let files = Files::new("identity");
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let (certificate, key) = clients.certify();
        let chain = files.write("client.pem", &certificate.pem());
        let key = files.write("client.key", &key.serialize_pem());
        for version in [Version::Tls12, Version::Tls13] {
            let bare = Options { version, ..options() };
            let known = Options { identity: Some((chain.clone(), key.clone())), ..bare.clone() };
            assert!(talk(servers.server(Some(&clients)), &known).is_ok());
            assert!(talk(servers.server(Some(&servers)), &known).is_err());
            assert!(talk(servers.server(Some(&clients)), &bare).is_err());
        }
    }

    #[test]
    fn files_that_are_of_no_use_are_named() {
        let files = Files::new("useless");
        let empty = files.write("empty.pem", "");
        let ca = files.write("ca.pem", &Authority::new("ca").0.pem());
        let missing = files.0.join("missing.pem");
        let identity = |chain: &PathBuf, key: &PathBuf| Options {
            identity: Some((chain.clone(), key.clone())),
            ..options()
        };
        for (options, named) in [
            (Options { ca: Some(empty.clone()), ..options() }, "empty.pem: "),
            (Options { ca: Some(missing.clone()), ..options() }, "missing.pem: "),
            (identity(&ca, &empty), "empty.pem: "),
            (identity(&ca, &ca), "ca.pem: "),
            (identity(&missing, &ca), "missing.pem: "),
        ] {
            let error = options.config().unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
