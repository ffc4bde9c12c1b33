//! A connected TCP or unix stream as one type.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::listener::inet_name;

/// A non-blocking stream socket.
#[derive(Debug)]
pub(super) enum Stream {
    /// Over IPv4 or IPv6.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($inner) => $call,
            Stream::Unix($inner) => $call,
        }
    };
}

impl Stream {
    /// Whether the peer may be on another machine.
    pub(super) fn is_tcp(&self) -> bool {
        matches!(self, Stream::Tcp(_))
    }

    /// Tells the peer that nothing more will be sent.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        each!(self, stream => stream.shutdown(Shutdown::Write))
    }

    /// The peer's address, if it has one and is still there.
    pub(super) fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(tcp) => tcp.peer_addr().ok(),
            Stream::Unix(_) => None,
        }
    }
}

impl Stream {
    /// The peer's address as `stats conns` shows it.
    pub(super) fn peer_name(&self) -> String {
        match self.peer_addr() {
            Some(address) => inet_name("tcp", address),
            // memcached's own words for a client of a unix socket.
            None if !self.is_tcp() => "?:<AF 0>".to_owned(),
            None => "?".to_owned(),
        }
    }

    /// The address that the client connected to, as `stats conns` shows it.
    pub(super) fn own_name(&self) -> String {
        match self {
            Stream::Tcp(tcp) => {
                tcp.local_addr().map_or("?".to_owned(), |address| inet_name("tcp", address))
            }
            Stream::Unix(unix) => {
                let address = unix.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                format!("unix:{}", path.unwrap_or(Path::new("")).display())
            }
        }
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        each!(self, stream => stream.as_raw_fd())
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        each!(self, stream => stream.read(into))
    }

    fn read_vectored(&mut self, into: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        each!(self, stream => stream.read_vectored(into))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, stream => stream.write(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(self, stream => stream.write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        each!(self, stream => stream.register(registry, token, on))
    }

    fn reregister(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        each!(self, stream => stream.reregister(registry, token, on))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        each!(self, stream => stream.deregister(registry))
    }
}
