//! Connections to the server: TCP on the loopback, or a unix socket.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{Domain, Protocol, SockRef, Type};

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address of the loopback.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// A connection that does not block.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP, without Nagle's delay.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says.
    pub fn connect(address: &Address) -> io::Result<Socket> {
        match address {
            Address::Tcp(address) => {
                let stream = std::net::TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(Socket::Tcp(TcpStream::from_std(stream)))
            }
            Address::Unix(path) => {
                let stream = std::os::unix::net::UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Socket::Unix(UnixStream::from_std(stream)))
            }
        }
    }
}

impl Socket {
    /// Connects as [`Socket::connect`] does, but over IPv4 from one of many addresses of the loopback.
    /// One address has ports for 28,000 connections, each of which leaves its port unusable for a
    /// second or more (TIME-WAIT): too few where a load closes more than that.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says.
    pub fn connect_from_anywhere(address: &Address) -> io::Result<Socket> {
        let Address::Tcp(to @ SocketAddr::V4(_)) = address else {
            return Socket::connect(address);
        };
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        // The port is chosen by the connect. Chosen by the bind it would be taken from every other
        // program on this machine, too, until the connection is forgotten.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(&source(SOURCES_USED.fetch_add(1, Relaxed)).into())?;
        socket.connect(&SocketAddr::into(*to))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Socket::Tcp(TcpStream::from_std(socket.into())))
    }

    /// Makes reads and writes wait, each for at most `patience`; or not at all, as they are at first.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says.
    pub fn block(&self, patience: Option<Duration>) -> io::Result<()> {
        let socket = match self {
            Socket::Tcp(stream) => SockRef::from(stream),
            Socket::Unix(stream) => SockRef::from(stream),
        };
        socket.set_read_timeout(patience)?;
        socket.set_write_timeout(patience)?;
        socket.set_nonblocking(patience.is_none())
    }
}

/// The address of the loopback with this number; after 254 they come again.
fn source(number: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 1, 1 + (number % 254) as u8), 0))
}

/// Addresses that this process has connected from.
static SOURCES_USED: AtomicU32 = AtomicU32::new(0);

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(into),
            Socket::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(from),
            Socket::Unix(stream) => stream.write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Socket {
    fn register(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.register(to, token, interest),
            Socket::Unix(stream) => stream.register(to, token, interest),
        }
    }

    fn reregister(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.reregister(to, token, interest),
            Socket::Unix(stream) => stream.reregister(to, token, interest),
        }
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.deregister(from),
            Socket::Unix(stream) => stream.deregister(from),
        }
    }
}

/// Lets this process open as many files as it may; if that is refused, connecting will say so.
pub fn raise_open_files_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn each_connection_is_from_the_next_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Address::Tcp(listener.local_addr().unwrap());
        let mut hosts = HashSet::new();
        for _ in 0..20 {
            let _open = Socket::connect_from_anywhere(&to).unwrap();
            let host = listener.accept().unwrap().1.ip();
            assert!(host.is_loopback());
            hosts.insert(host);
        }
        assert_eq!(hosts.len(), 20);
        assert_eq!(source(0), source(254));
    }
}
