//! Certificates for tests, and clients that have them.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::client::Client;
use crate::harness::{Launch, Scratch, Server};

/// The versions of TLS that are spoken.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A certificate and its key.
pub struct Pair {
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
}

/// Somebody who signs certificates, with a directory of files.
pub struct Authority {
    dir: Scratch,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, with `ca.pem`, and `server.pem` and `server.key` for `localhost`.
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of tests");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("signed");
        let authority = Authority { dir: Scratch::new(), issuer };
        fs::write(authority.dir.path("ca.pem"), authority.issuer.pem()).expect("written");
        authority.issue("server");
        authority
    }

    /// A pair for `localhost`, in the files `NAME.pem` and `NAME.key`.
    pub fn issue(&self, name: &str) -> Pair {
        self.issue_until(name, 4000)
    }

    /// The same, good until the end of `year`.
    pub fn issue_until(&self, name: &str, year: i32) -> Pair {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("params");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(1999, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        // As certificates are to be replaced: nobody sees half of a file.
        for (end, text) in [("pem", certificate.pem()), ("key", key.serialize_pem())] {
            let (new, path) = (self.path("new"), self.path(&format!("{name}.{end}")));
            fs::write(&new, text).expect("written");
            fs::rename(&new, &path).expect("renamed");
        }
        Pair { certificate: certificate.der().clone(), key: key.into() }
    }

    /// The name of one of its files.
    pub fn path(&self, name: &str) -> String {
        self.dir.path(name).display().to_string()
    }

    /// A server with its certificate, on a free port of the loopback with TLS.
    #[track_caller]
    pub fn serve(&self, args: &[&str]) -> Server {
        self.launch(args).start()
    }

    /// The same, to be started.
    pub fn launch(&self, args: &[&str]) -> Launch {
        let [chain, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| self.path(name));
        let files = format!("ssl_chain_cert={chain},ssl_key={key},ssl_ca_cert={ca}");
        Launch::tcp(&[&["-Z", "-o", &files], args].concat())
    }

    /// What its clients are configured with: they trust it, and have a certificate if one is given.
    pub fn config(
        &self,
        version: &'static SupportedProtocolVersion,
        own: Option<&Pair>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let root = fs::read(Path::new(&self.path("ca.pem"))).expect("there");
        let root = rustls::pki_types::pem::PemObject::from_pem_slice(&root).expect("PEM");
        roots.add(root).expect("a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .expect("a version that there is")
            .with_root_certificates(roots);
        Arc::new(match own {
            None => builder.with_no_client_auth(),
            Some(pair) => builder
                .with_client_auth_cert(vec![pair.certificate.clone()], pair.key.clone_key())
                .expect("a pair"),
        })
    }
}

/// A client's side of TLS.
pub fn session(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("a client")
}

/// A client of `port`, its handshake done; `Err`: why that failed.
pub fn connect(port: u16, config: &Arc<ClientConfig>) -> Result<Client, String> {
    let mut client = Client::tcp(("127.0.0.1", port));
    client.secure(session(config))?;
    Ok(client)
}
