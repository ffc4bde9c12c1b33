//! A connection of a well-behaved client: TCP, TLS, a Unix socket or datagrams, with a buffer for
//! what comes. Every wait has a bound.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::anyone::Anyone;

/// Where a client connects to.
#[derive(Clone, Debug)]
pub enum Place {
    /// TCP.
    Plain(SocketAddr),
    /// TCP with TLS, as this configuration has it.
    Tls(SocketAddr, Arc<ClientConfig>),
    /// A Unix socket.
    Unix(PathBuf),
    /// Datagrams.
    Udp(SocketAddr),
}

/// A connection.
#[derive(Debug)]
pub struct Link {
    stream: Stream,
    buffer: Vec<u8>,
    taken: usize,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Unix(UnixStream),
    Udp(Datagrams),
}

impl Link {
    /// Connects, with a handshake where there is one.
    ///
    /// # Errors
    ///
    /// Whatever the operating system or TLS says.
    pub fn connect(place: &Place) -> io::Result<Link> {
        let stream = match place {
            Place::Plain(address) => Stream::Plain(tcp(*address)?),
            Place::Tls(address, config) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                let tls = ClientConnection::new(Arc::clone(config), name);
                let tls = tls.map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(tls, tcp(*address)?);
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock)?;
                }
                Stream::Tls(Box::new(stream))
            }
            Place::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Stream::Unix(stream)
            }
            Place::Udp(address) => Stream::Udp(Datagrams::connect(*address)?),
        };
        Ok(Link { stream, buffer: Vec::new(), taken: 0 })
    }

    /// Sends all of `bytes`; of datagrams: in one.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says; [`PATIENCE`] is over.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
            Stream::Unix(stream) => stream.write_all(bytes),
            Stream::Udp(datagrams) => {
                // What a datagram leaves unread is of no use to the next.
                self.buffer.clear();
                self.taken = 0;
                datagrams.send(bytes)
            }
        }
    }

    /// The next line, without its end.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says; [`PATIENCE`] is over; it is longer than lines are.
    pub fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut looked = 0;
        loop {
            let rest = self.buffer.get(self.taken..).unwrap_or_default();
            if let Some(end) = memchr::memchr(b'\n', &rest[looked..]).map(|at| at + looked) {
                let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]).to_vec();
                self.taken += end + 1;
                return Ok(line);
            }
            looked = rest.len();
            if looked > LINE_MAX_BYTES {
                return Err(ErrorKind::InvalidData.into());
            }
            self.fill()?;
        }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    ///
    /// As of [`Link::line`].
    pub fn exact(&mut self, len: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() - self.taken < len {
            self.fill()?;
        }
        let bytes = self.buffer[self.taken..self.taken + len].to_vec();
        self.taken += len;
        Ok(bytes)
    }

    /// Bytes that have come and are not wanted: there must be none between batches.
    pub fn surplus(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// Whether answers may be lost on the way by right.
    pub fn is_lossy(&self) -> bool {
        matches!(self.stream, Stream::Udp(_))
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let old_len = self.buffer.len();
        self.buffer.resize(old_len + READ_BYTES, 0);
        let into = &mut self.buffer[old_len..];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(into),
            Stream::Tls(stream) => stream.read(into),
            Stream::Unix(stream) => stream.read(into),
            Stream::Udp(datagrams) => datagrams.receive(into),
        };
        self.buffer.truncate(old_len + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            other => other.map(drop),
        }
    }
}

fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Memcached's frames: a request of one datagram, an answer of several, numbered.
#[derive(Debug)]
struct Datagrams {
    socket: UdpSocket,
    id: u16,
    next: u16,
}

impl Datagrams {
    fn connect(address: SocketAddr) -> io::Result<Datagrams> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(DATAGRAM_PATIENCE))?;
        Ok(Datagrams { socket, id: 0, next: 0 })
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.id = self.id.wrapping_add(1);
        self.next = 0;
        let [high, low] = self.id.to_be_bytes();
        self.socket.send(&[&[high, low, 0, 0, 0, 1, 0, 0], bytes].concat()).map(drop)
    }

    /// The payload of the next datagram that belongs to the request.
    fn receive(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut datagram = [0; 65_536];
        loop {
            let len = self.socket.recv(&mut datagram)?;
            let Some(([h, l, sh, sl, ..], payload)) = datagram[..len].split_first_chunk::<8>()
            else {
                return Err(ErrorKind::InvalidData.into());
            };
            // An answer to a request that was given up is passed over.
            if u16::from_be_bytes([*h, *l]) != self.id {
                continue;
            }
            if u16::from_be_bytes([*sh, *sl]) != self.next || payload.len() > into.len() {
                // One before it was lost, so that this answer is, too.
                return Err(ErrorKind::TimedOut.into());
            }
            self.next += 1;
            into[..payload.len()].copy_from_slice(payload);
            return Ok(payload.len());
        }
    }
}

/// TLS of this version with any server: whom it is spoken with is not in question here.
///
/// # Errors
///
/// The library knows no such version.
pub fn tls_config(version: &'static rustls::SupportedProtocolVersion) -> io::Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let anyone = Anyone::new(Arc::clone(&provider), true);
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(anyone);
    Ok(config.with_no_client_auth())
}

/// An answer that has not come by then is lost: far beyond any stop of the server.
const PATIENCE: Duration = Duration::from_secs(20);

/// A datagram that has not come by then has been dropped.
const DATAGRAM_PATIENCE: Duration = Duration::from_secs(4);

/// Bytes that are read at once, no less than a datagram has.
const READ_BYTES: usize = 64 << 10;

/// No line of an answer is longer.
const LINE_MAX_BYTES: usize = 4096;
