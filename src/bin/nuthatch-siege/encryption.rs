//! TLS of hostile clients: a connection that takes whom it finds for the server.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::anyone::Anyone;
use crate::socket::{Peer, Progress, Window};
use crate::tally::Tally;

/// Settings of such a client; one for all of a pattern's.
pub fn config() -> Option<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().ok()?;
    let config = builder.dangerous().with_custom_certificate_verifier(Anyone::new(provider, false));
    Some(Arc::new(config.with_no_client_auth()))
}

/// A connection with TLS, none of whose calls waits.
pub struct Tunnel {
    peer: Peer,
    tls: ClientConnection,
    /// Bytes for the server that the kernel has not taken.
    waiting: Vec<u8>,
}

impl Tunnel {
    /// Connects to `to`; the handshake goes on with each [`Tunnel::go`].
    pub fn connect(
        to: SocketAddr,
        window: Window,
        config: &Arc<ClientConfig>,
        tally: &mut Tally,
    ) -> Option<Tunnel> {
        let peer = Peer::connect(to, window, tally)?;
        let name = ServerName::try_from("localhost").ok()?;
        let tls = ClientConnection::new(Arc::clone(config), name).ok()?;
        Some(Tunnel { peer, tls, waiting: Vec::new() })
    }

    /// Sends what waits and takes at most `read_bytes` of what has come.
    pub fn go(&mut self, read_bytes: usize, tally: &mut Tally) {
        self.take_records();
        while !self.waiting.is_empty() {
            match self.peer.send(&self.waiting, tally) {
                Progress::Moved(len) => drop(self.waiting.drain(..len)),
                Progress::Stuck | Progress::Over => break,
            }
        }
        let mut scratch = [0; 16 << 10];
        let len = read_bytes.min(scratch.len());
        if let Progress::Moved(len) = self.peer.read(&mut scratch[..len], tally) {
            let mut bytes = &scratch[..len];
            while !bytes.is_empty() && self.tls.read_tls(&mut bytes).is_ok() {
                if self.tls.process_new_packets().is_err() {
                    break;
                }
            }
            let mut plain = Vec::new();
            // It would block, or the server has closed: whatever there is was read.
            let _ = self.tls.reader().read_to_end(&mut plain);
        }
    }

    /// Gives `bytes` to be sent, in records of their own.
    pub fn write(&mut self, bytes: &[u8]) {
        if self.tls.writer().write_all(bytes).is_ok() {
            self.take_records();
        }
    }

    /// Whether bytes wait for the kernel to take them.
    pub fn is_stuck(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether the handshake is over.
    pub fn is_open(&self) -> bool {
        !self.tls.is_handshaking()
    }

    /// Whether the connection has ended.
    pub fn is_over(&self) -> bool {
        self.peer.is_over()
    }

    fn take_records(&mut self) {
        while self.tls.wants_write() && self.tls.write_tls(&mut self.waiting).is_ok() {}
    }
}
