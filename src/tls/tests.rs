//! The record layer against rustls's own client, in memory, and certificates in files.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme,
    SupportedProtocolVersion,
};

use super::*;
use crate::clock::Secs;

const NOW: Secs = Secs(62);
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// An authority, a server and a client, in files of a directory that goes away.
struct Files {
    dir: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Files {
    fn new() -> Files {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("nuthatch-tls-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).expect("a directory");
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(params, key()).expect("signed");
        let files = Files { dir, authority };
        fs::write(files.path("ca.pem"), files.authority.pem()).expect("written");
        files.issue("server", &["server.example"]);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes `NAME.pem` and `NAME.key` for these names.
    fn issue(
        &self,
        name: &str,
        names: &[&str],
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("params");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = key();
        let issuer: &Issuer<'_, KeyPair> = &self.authority;
        let certificate = params.signed_by(&key, issuer).expect("signed");
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).expect("written");
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("written");
        (certificate.der().clone(), key.into())
    }

    fn options(&self) -> Options {
        Options {
            chain_cert: Some(self.text("server.pem")),
            key: Some(self.text("server.key")),
            key_format: 1,
            ca_cert: Some(self.text("ca.pem")),
            write_bytes: 16 * 1024,
            handshake_secs: 10,
            ..Options::default()
        }
    }

    fn load(&self) -> Certificates {
        Certificates::load(self.options(), NOW).expect("good certificates")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// Takes any server for the right one: who that is is not in question here.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn client(
    version: &'static SupportedProtocolVersion,
    own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> ClientConnection {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version that there is")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer));
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            builder.with_client_auth_cert(vec![certificate], key).expect("a pair")
        }
    };
    let name = ServerName::try_from("server.example").expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a client")
}

/// A layer whose bytes come in pieces.
struct Side {
    layer: Layer,
    scratch: Scratch,
    piece: usize,
    /// Plain bytes that came.
    plain: Vec<u8>,
    opened: Vec<Opened>,
}

impl Side {
    fn new(certificates: &Certificates, mode: Mode, piece: usize) -> Side {
        let layer = Layer::new(certificates, mode, NOW).expect("a layer");
        let scratch = Scratch::new(16 * 1024);
        Side { layer, scratch, piece, plain: Vec::new(), opened: Vec::new() }
    }

    /// Takes `bytes` piece by piece; what is to be said to them.
    fn take(&mut self, bytes: &[u8]) -> (Vec<u8>, Result<(), Failure>) {
        let mut answer = Vec::new();
        for piece in bytes.chunks(self.piece) {
            let mut plain = vec![0; 64 * 1024];
            let space = self.layer.space(&mut self.scratch, plain.len());
            space[..piece.len()].copy_from_slice(piece);
            let taken = self.layer.take(&mut self.scratch, piece.len(), &mut plain);
            answer.extend_from_slice(self.scratch.outgoing());
            self.scratch.clear();
            match taken {
                Ok(taken) => {
                    self.plain.extend_from_slice(&plain[..taken.plain]);
                    self.opened.extend(taken.opened);
                }
                Err(failure) => return (answer, Err(failure)),
            }
        }
        (answer, Ok(()))
    }

    fn encrypt(&mut self, plain: &[u8]) -> Vec<u8> {
        self.layer.encrypt(plain, &mut self.scratch).expect("encrypted");
        let bytes = self.scratch.outgoing().to_vec();
        self.scratch.clear();
        bytes
    }
}

/// What a client has to send.
fn sent_by(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).expect("memory");
    }
    bytes
}

/// Gives a client what the server says; its plain bytes.
fn give(client: &mut ClientConnection, mut bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).expect("memory");
        client.process_new_packets()?;
        let mut chunk = [0; 20_000];
        while let Ok(count @ 1..) = client.reader().read(&mut chunk) {
            plain.extend_from_slice(&chunk[..count]);
        }
    }
    Ok(plain)
}

/// Shakes hands; what the client makes of it.
fn shake(client: &mut ClientConnection, side: &mut Side) -> Result<(), String> {
    loop {
        let bytes = sent_by(client);
        if bytes.is_empty() {
            return Ok(());
        }
        let (answer, taken) = side.take(&bytes);
        let given = give(client, &answer).map_err(|error| error.to_string());
        taken.map_err(|failure| failure.0)?;
        given?;
    }
}

#[test]
fn the_same_bytes_however_they_are_cut() {
    let certificates = Files::new().load();
    let request = b"set k 0 0 5\r\nhello\r\nget k\r\n".repeat(700);
    for version in VERSIONS {
        for piece in [1, 2, 3, 5, 13, 100, 1000, 4096, 60_000] {
            let mut side = Side::new(&certificates, Mode::Default, piece);
            let mut client = client(version, None);
            shake(&mut client, &mut side).expect("hands are shaken");
            assert!(side.layer.is_open() && side.layer.has_heard());
            assert_eq!(side.opened, [Opened::Anew]);
            client.writer().write_all(&request).expect("memory");
            let (answer, taken) = side.take(&sent_by(&mut client));
            taken.expect("good records");
            assert!(answer.is_empty());
            assert!(side.plain == request, "{version:?} in pieces of {piece}");
            assert!(side.layer.pending_len() == 0, "nothing is held back");
            client.send_close_notify();
            side.take(&sent_by(&mut client)).1.expect("a good end");
            assert!(side.layer.is_ended());
        }
    }
}

#[test]
fn records_of_one_byte_and_of_any_length() {
    let certificates = Files::new().load();
    for version in VERSIONS {
        let mut side = Side::new(&certificates, Mode::Default, 4096);
        let mut client = client(version, None);
        shake(&mut client, &mut side).expect("hands are shaken");
        let mut wanted = Vec::new();
        for len in [1, 1, 1, 2, 500, 16_383, 16_384, 16_385, 40_000] {
            let bytes = vec![b'a' + (len % 26) as u8; len];
            // A record each, since each is sent before the next is written.
            client.writer().write_all(&bytes).expect("memory");
            side.take(&sent_by(&mut client)).1.expect("good records");
            wanted.extend_from_slice(&bytes);
            assert!(side.plain == wanted, "{len}");
            let records = side.encrypt(&bytes);
            assert!(give(&mut client, &records).expect("good records") == bytes, "{len}");
        }
        side.layer.close(&mut side.scratch);
        let last = side.scratch.outgoing().to_vec();
        assert!(!last.is_empty() && give(&mut client, &last).expect("the end").is_empty());
        side.scratch.clear();
        side.layer.close(&mut side.scratch);
        assert!(side.scratch.outgoing().is_empty(), "told once");
    }
}

#[test]
fn what_the_kernel_does_not_take_comes_first() {
    let certificates = Files::new().load();
    let mut side = Side::new(&certificates, Mode::Default, 4096);
    let mut client = client(&TLS13, None);
    shake(&mut client, &mut side).expect("hands are shaken");
    side.layer.encrypt(&[b'x'; 1000], &mut side.scratch).expect("encrypted");
    let all = side.scratch.outgoing().to_vec();
    side.layer.keep_unsent(&mut side.scratch, 10);
    assert!(side.scratch.outgoing().is_empty());
    assert_eq!(side.layer.unsent(), &all[10..]);
    side.layer.note_sent(500);
    assert_eq!(side.layer.unsent(), &all[510..]);
    side.layer.note_sent(all.len() - 510);
    assert!(side.layer.unsent().is_empty());
    assert!(give(&mut client, &all).expect("good records") == [b'x'; 1000]);
}

#[test]
fn noise_fails_with_an_alert() {
    let certificates = Files::new().load();
    for noise in [
        b"get k\r\n".as_slice(),
        b"\x80\0\0\0\0\0",
        b"\x16\x03\x01\xff\xff\x01",
        b"\x16\x03\x01\0\x04\x02\0\0\0",
        b"\x17\x03\x03\0\x05hello",
    ] {
        let mut side = Side::new(&certificates, Mode::Default, 4096);
        let (answer, taken) = side.take(noise);
        taken.expect_err("noise");
        assert_eq!(answer.first(), Some(&0x15), "an alert for {}", noise.escape_ascii());
        assert!(!side.layer.is_in_handshake() && !side.layer.is_open());
    }
    // A record that was tampered with, wherever that is.
    for version in VERSIONS {
        let mut at = 0;
        loop {
            let mut side = Side::new(&certificates, Mode::Default, 4096);
            let mut client = client(version, None);
            shake(&mut client, &mut side).expect("hands are shaken");
            client.writer().write_all(b"get k\r\n").expect("memory");
            let mut bytes = sent_by(&mut client);
            let Some(byte) = bytes.get_mut(at) else { break };
            *byte ^= 0x40;
            let taken = side.take(&bytes).1;
            // TLS 1.3 does not look at the version in a record's head (RFC 8446, section 5.1). A head that
            // promises more than there is makes it wait, which is no failure.
            let is_ignored = version.version == ProtocolVersion::TLSv1_3 && at == 2;
            assert!(taken.is_err() || is_ignored || (3..=4).contains(&at), "{version:?} at {at}");
            assert!(side.plain.is_empty() || is_ignored);
            at += 1;
        }
        assert!(at > 20);
    }
}

#[test]
fn a_message_without_end_is_refused() {
    let certificates = Files::new().load();
    let mut side = Side::new(&certificates, Mode::Default, 4096);
    // The head of a message of 65,000 bytes, in records that are filled with it.
    let mut message = b"\x01\0\xfd\xe8".to_vec();
    message.resize(65_000, 0);
    let mut sent = 0;
    for part in message.chunks(16_000) {
        let mut record = b"\x16\x03\x01".to_vec();
        record.extend_from_slice(&(part.len() as u16).to_be_bytes());
        record.extend_from_slice(part);
        sent += part.len();
        if side.take(&record).1.is_err() {
            break;
        }
    }
    assert!(sent < 60_000, "{sent} bytes were held back");
}

#[test]
fn clients_certificates() {
    let files = Files::new();
    let own = files.issue("client", &["a.example", "a.example", "b.example"]);
    let strange = Files::new().issue("client", &["a.example"]);
    let copy = |pair: &(CertificateDer<'static>, PrivateKeyDer<'static>)| {
        Some((pair.0.clone(), pair.1.clone_key()))
    };
    let trusting = |verify, ca_cert: bool| {
        let mut options = Options { verify, ..files.options() };
        if !ca_cert {
            options.ca_cert = None;
        }
        Certificates::load(options, NOW).expect("good certificates")
    };
    let lets_in = |certificates: &Certificates, mode, own| {
        let results = VERSIONS.map(|version| {
            let mut side = Side::new(certificates, mode, 4096);
            let is_in = shake(&mut client(version, copy_of(&own)), &mut side).is_ok();
            assert_eq!(is_in, side.layer.is_open());
            (is_in, side.layer.peer_names())
        });
        assert_eq!(results[0], results[1], "both versions agree");
        results.into_iter().next().expect("two of them")
    };
    let nobody = (false, vec![]);
    let anybody = (true, vec![]);
    let names = vec!["a.example".to_owned(), "b.example".to_owned(), "client".to_owned()];
    let client = (true, names);
    for (verify, mode, given, wanted) in [
        (Verify::None, Mode::Default, None, &anybody),
        (Verify::None, Mode::Default, copy(&own), &anybody),
        (Verify::None, Mode::Default, copy(&strange), &anybody),
        (Verify::Request, Mode::Default, None, &anybody),
        (Verify::Request, Mode::Default, copy(&own), &client),
        (Verify::Request, Mode::Default, copy(&strange), &nobody),
        (Verify::Require, Mode::Default, None, &nobody),
        (Verify::Require, Mode::Default, copy(&own), &client),
        (Verify::Once, Mode::Default, copy(&strange), &nobody),
        (Verify::Once, Mode::Default, copy(&own), &client),
        (Verify::Require, Mode::NoPeer, None, &anybody),
        (Verify::None, Mode::Peer, None, &nobody),
        (Verify::None, Mode::Peer, copy(&own), &client),
    ] {
        assert_eq!(lets_in(&trusting(verify, true), mode, given), *wanted, "{verify:?} {mode:?}");
    }
    // Nobody has said who signs clients' certificates.
    for (verify, given, wanted) in [
        (Verify::Require, None, &nobody),
        (Verify::Require, copy(&own), &nobody),
        (Verify::Request, copy(&own), &nobody),
        (Verify::Request, None, &anybody),
    ] {
        assert_eq!(lets_in(&trusting(verify, false), Mode::Default, given), *wanted, "{verify:?}");
    }
}

fn copy_of(
    pair: &Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> Option<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    pair.as_ref().map(|(certificate, key)| (certificate.clone(), key.clone_key()))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
}

#[test]
fn messages_name_the_file_and_what_is_wrong() {
    let files = Files::new();
    files.issue("other", &[]);
    write(
        &files.path("junk"),
        "-----BEGIN CERTIFICATE-----\nc2VjcmV0!\n-----END CERTIFICATE-----\n",
    );
    let check = |change: &dyn Fn(&mut Options), wanted: String| {
        let mut options = files.options();
        change(&mut options);
        let error = Certificates::load(options, NOW).expect_err("not good");
        assert_eq!(error.0, wanted);
    };
    let (server, key) = (files.text("server.pem"), files.text("server.key"));
    let (junk, other) = (files.text("junk"), files.text("other.key"));
    let absent = files.text("absent");
    let chain = "Error loading the certificate chain";
    check(&|o| o.chain_cert = None, format!("{chain}: (null) : no such option"));
    check(&|o| o.key = None, "Error loading the key: (null) : no such option".to_owned());
    check(
        &|o| o.chain_cert = Some(absent.clone()),
        format!("{chain}: {absent} : No such file or directory"),
    );
    check(&|o| o.chain_cert = Some(junk.clone()), format!("{chain}: {junk} : bad base64"));
    check(&|o| o.chain_cert = Some(key.clone()), format!("{chain}: {key} : no certificate in it"));
    check(
        &|o| o.key = Some(server.clone()),
        format!("Error loading the key: {server} : no private key in it"),
    );
    check(
        &|o| o.key = Some(other.clone()),
        format!("Error loading the key: {other} : key values mismatch"),
    );
    check(&|o| o.key_format = 3, format!("Error loading the key: {key} : bad file type"));
    check(
        &|o| o.ca_cert = Some(key.clone()),
        format!("Error loading the CA certificate: {key} : no certificate in it"),
    );
    check(
        &|o| o.ciphers = Some("FOO".to_owned()),
        "Error setting the provided cipher(s): FOO".to_owned(),
    );
}

#[test]
fn a_key_in_der() {
    let files = Files::new();
    let (certificate, key) = files.issue("server", &["x.example"]);
    assert!(!certificate.is_empty());
    fs::write(files.path("server.der"), key.secret_der()).expect("written");
    let key = Some(files.text("server.der"));
    let options = Options { key: key.clone(), key_format: 2, ..files.options() };
    Certificates::load(options, NOW).expect("good certificates");
    let options = Options { key, ..files.options() };
    Certificates::load(options, NOW).expect_err("not PEM");
}

#[test]
fn certificates_change_as_a_whole_or_not_at_all() {
    let files = Files::new();
    let certificates = files.load();
    let shown = || {
        let mut side = Side::new(&certificates, Mode::Default, 4096);
        let mut client = client(&TLS13, None);
        shake(&mut client, &mut side).expect("hands are shaken");
        client.peer_certificates().expect("some")[0].to_vec()
    };
    let first = shown();
    assert!(certificates.refresh_if_changed(Secs(70)).is_none());
    let (second, _) = files.issue("server", &["second.example"]);
    assert!(certificates.refresh_if_changed(Secs(71)).is_none(), "it may not be all");
    assert_eq!(certificates.refresh_if_changed(Secs(72)), Some(Ok(())));
    assert_eq!(certificates.refreshed_at(), Secs(72));
    assert!(first != *second && shown() == *second);
    assert!(certificates.refresh_if_changed(Secs(73)).is_none());
    // A key that does not belong to it: what there was stays, and is complained of once.
    files.issue("other", &[]);
    fs::copy(files.path("other.key"), files.path("server.key")).expect("copied");
    assert!(certificates.refresh_if_changed(Secs(74)).is_none());
    assert!(certificates.refresh_if_changed(Secs(75)).is_some_and(|result| result.is_err()));
    assert!(certificates.refresh_if_changed(Secs(76)).is_none());
    certificates.refresh(Secs(77)).expect_err("still not");
    assert_eq!(certificates.refreshed_at(), Secs(72));
    assert!(shown() == *second);
    fs::remove_file(files.path("server.key")).expect("there");
    certificates.refresh(Secs(78)).expect_err("no key at all");
    let (third, _) = files.issue("server", &["third.example"]);
    assert_eq!(certificates.refresh(Secs(79)), Ok(()));
    assert!(shown() == *third && certificates.refreshed_at() == Secs(79));
}
