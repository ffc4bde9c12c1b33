//! Opening the sockets of `-U`.
//!
//! The sockets of one address share its port, and the kernel gives each client to one of them. The
//! first is bound alone: if another server has the port at any of the addresses, the start fails
//! and no datagram goes astray.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::UdpSocket;
use nix::sys::socket::{SetSockOpt, sockopt};
use socket2::{Domain, Socket, Type};

use super::Udp;
use crate::clock::Secs;
use crate::limits::UDP_RECEIVE_BUF_BYTES;
use crate::server::Terms;
use crate::server::addresses::{self, Transport};
use crate::server::{Options, StartError};
use crate::session::Protocol;

/// The sockets of one address, one for each worker.
pub(in crate::server) struct Bound {
    address: SocketAddr,
    protocol: Protocol,
    /// The ports of all addresses.
    ports: Arc<[u16]>,
    sockets: Vec<UdpSocket>,
}

impl Bound {
    /// Where they are bound.
    pub(in crate::server) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A worker's own socket.
    pub(in crate::server) fn take(&mut self, now: Secs) -> Option<Udp> {
        let socket = self.sockets.pop()?;
        Some(Udp {
            socket,
            address: self.address,
            own_ports: Arc::clone(&self.ports),
            protocol: self.protocol,
            readable: false,
            active_at: now,
            input: Vec::new(),
            answer: Vec::new(),
            current: None,
        })
    }
}

/// Opens every socket that `options` ask for; with `-s` there is none.
pub(in crate::server) fn bind(options: &Options) -> Result<Vec<Bound>, StartError> {
    if options.unix_socket.is_some() {
        return Ok(Vec::new());
    }
    let sockets = Sockets { count: options.threads, public: options.udp_public };
    let mut all = addresses::bind(&sockets, options.udp_port, options)?;
    let ports: Arc<[u16]> = all.iter().map(|bound| bound.address.port()).collect();
    all.iter_mut().for_each(|bound| bound.ports = Arc::clone(&ports));
    Ok(all)
}

/// What is asked of the sockets of an address.
struct Sockets {
    count: usize,
    public: bool,
}

impl Transport for Sockets {
    type Bound = Bound;

    const NAME: &'static str = "UDP";

    /// A client cannot tell whose port its datagrams go to.
    const LEAVES_OUT_TAKEN: bool = false;

    /// A cache that answers anybody's datagrams answers those with a false sender's address, many
    /// times as long as they are: nobody is to offer that by accident.
    fn check(&self, addresses: &[SocketAddr]) -> Result<(), StartError> {
        let open = addresses.iter().find(|address| !address.ip().is_loopback());
        match open {
            Some(address) if !self.public => Err(StartError::usage(format!(
                "-U: {address} can be reached from other machines, which could make this server \
                 flood others. Listen on loopback only (-l), leave -U out, or allow it with -o \
                 udp_public"
            ))),
            _ => Ok(()),
        }
    }

    fn bind(&self, address: SocketAddr, terms: Terms) -> io::Result<Bound> {
        let protocol = terms.protocol;
        let first = socket(address)?;
        first.bind(&address.into())?;
        first.set_reuse_port(true)?;
        let mut sockets = vec![UdpSocket::from_std(first.into())];
        let address = sockets[0].local_addr()?;
        while sockets.len() < self.count {
            let next = socket(address)?;
            next.set_reuse_port(true)?;
            next.bind(&address.into())?;
            sockets.push(UdpSocket::from_std(next.into()));
        }
        Ok(Bound { address, protocol, ports: [].into(), sockets })
    }

    fn address(bound: &Bound) -> SocketAddr {
        bound.address
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::DGRAM;
    let socket = Socket::new(Domain::for_address(address), kind, Some(socket2::Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // A client's datagrams wait in one socket, for one worker: what comes at once must fit. Without the
    // privilege to go beyond it, the system cuts this down to what it allows.
    if sockopt::RcvBufForce.set(&socket, &UDP_RECEIVE_BUF_BYTES).is_err() {
        socket.set_recv_buffer_size(UDP_RECEIVE_BUF_BYTES)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::tests::options;
    use crate::server::{Listen, Port};

    fn udp(host: &str, port: Port) -> Options {
        let listen = vec![Listen { host: host.to_owned(), ..Listen::default() }];
        Options { listen, udp_port: port, ..options() }
    }

    #[test]
    fn every_worker_has_a_socket_and_nobody_else() {
        let mut bound = bind(&udp("127.0.0.1", Port::Any)).expect("bound");
        assert_eq!((bound.len(), bound[0].sockets.len()), (1, 2));
        let port = bound[0].address.port();
        let err = bind(&udp("127.0.0.1", Port::Number(port))).err().expect("in use");
        assert_eq!(err.exit_code, 71);
        assert!(err.message.ends_with(": Address already in use"), "{}", err.message);
        assert!(bound[0].take(Secs(1)).is_some() && bound[0].take(Secs(1)).is_some());
        assert!(bound[0].take(Secs(1)).is_none());
        assert!(bind(&udp("127.0.0.1", Port::Off)).expect("nothing to do").is_empty());
    }

    #[test]
    fn a_port_that_another_has_in_one_family() {
        for taken in ["127.0.0.1", "::1"] {
            let Ok(other) = std::net::UdpSocket::bind((taken, 0)) else { continue };
            let port = other.local_addr().expect("bound").port();
            let loopback = Options { udp_port: Port::Number(port), ..options() };
            let err = bind(&loopback).err().expect("in use");
            let want = format!("failed to listen on UDP port {port}: Address already in use");
            assert_eq!((err.message, err.exit_code), (want, 71), "{taken}");
        }
    }

    /// As large as is wanted, or as the system allows everybody.
    #[test]
    fn a_burst_of_datagrams_fits() {
        let allowed = std::fs::read_to_string("/proc/sys/net/core/rmem_max").expect("a setting");
        let allowed: usize = allowed.trim().parse().expect("a number");
        let socket = socket(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket");
        let granted = socket.recv_buffer_size().expect("SO_RCVBUF");
        assert!(granted >= allowed.min(UDP_RECEIVE_BUF_BYTES), "{granted} of {allowed}");
    }

    #[test]
    fn loopback_families_share_a_free_port() {
        let bound = bind(&Options { udp_port: Port::Any, ..options() }).expect("bound");
        assert!(bound.iter().all(|one| one.address.ip().is_loopback()));
        assert!(bound.iter().all(|one| one.address.port() == bound[0].address.port()));
    }

    #[test]
    fn addresses_that_others_can_reach_need_udp_public() {
        for host in ["0.0.0.0", "*", "::"] {
            let err = bind(&udp(host, Port::Any)).err().expect("refused");
            assert_eq!(err.exit_code, 64);
            assert!(err.message.contains("-o udp_public"), "{}", err.message);
        }
        let allowed = Options { udp_public: true, ..udp("0.0.0.0", Port::Any) };
        assert_eq!(bind(&allowed).expect("bound").len(), 1);
    }
}
