//! The server as a hostile client sees it.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

/// Where a server can be reached, and how many may come. All addresses are of the loopback.
#[derive(Clone, Debug)]
pub struct Target {
    /// TCP without TLS.
    pub plain: SocketAddr,
    /// TCP with TLS, where the server has it.
    pub tls: Option<SocketAddr>,
    /// UDP, where the server has it.
    pub udp: Option<SocketAddr>,
    /// A user who may do everything, where clients have to log in.
    pub login: Option<Login>,
    /// The server's process, which patterns of faults signal.
    pub pid: u32,
    /// Connections that all patterns together may hold at a time.
    pub connections_max: usize,
    /// Bytes of values that the server keeps at most (`-m`).
    pub memory_bytes: u64,
}

/// A name and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub user: String,
    /// The password.
    pub password: String,
}

/// What a server must have for a pattern to make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// A port without TLS where nobody logs in.
    Plain,
    /// A port where clients log in.
    Login,
    /// A port with TLS.
    Tls,
    /// A UDP port.
    Udp,
}

impl Needs {
    /// Whether `target` has it.
    pub fn met_by(self, target: &Target) -> bool {
        match self {
            Needs::Plain => target.login.is_none(),
            Needs::Login => target.login.is_some(),
            Needs::Tls => target.tls.is_some(),
            Needs::Udp => target.udp.is_some(),
        }
    }
}
