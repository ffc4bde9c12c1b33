//! Connections of clients that do as they like: none of their calls waits.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{Domain, Protocol, SockRef, Type};

use crate::tally::Tally;

/// How much the kernel keeps of answers that are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// As much as it likes, which can be megabytes.
    Wide,
    /// As little as it can, so that the server has to keep the rest.
    Narrow,
}

/// Connects, from one of many addresses of the loopback: one has ports for 28,000 connections only,
/// each of which leaves its port unusable for a minute. The stream does not block.
///
/// # Errors
///
/// Whatever the operating system says; nobody accepted within [`CONNECT_PATIENCE`].
pub fn connect(to: SocketAddr, window: Window) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    if window == Window::Narrow {
        // Before the connect, as the window's scale is settled there.
        socket.set_recv_buffer_size(NARROW_BYTES)?;
    }
    // The port is chosen by the connect: a port chosen by the bind is taken from everybody else.
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    socket.bind(&source(SOURCES_USED.fetch_add(1, Relaxed)).into())?;
    socket.connect_timeout(&to.into(), CONNECT_PATIENCE)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A connection that sends what it has to send as fast as the server takes it.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    sent: usize,
    is_over: bool,
}

/// What came of a call that does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes went through.
    Moved(usize),
    /// None could.
    Stuck,
    /// The connection is over.
    Over,
}

impl Peer {
    /// Connects to `to`, and counts that; none if that failed.
    pub fn connect(to: SocketAddr, window: Window, tally: &mut Tally) -> Option<Peer> {
        match connect(to, window) {
            Ok(stream) => {
                tally.connections += 1;
                Some(Peer { stream, sent: 0, is_over: false })
            }
            Err(_) => {
                tally.refused += 1;
                None
            }
        }
    }

    /// Sends of `bytes` what has not been sent yet, `most` bytes of it at most, as far as the kernel
    /// takes it.
    pub fn push(&mut self, bytes: &[u8], most: usize, tally: &mut Tally) -> Progress {
        let rest = bytes.get(self.sent..).unwrap_or_default();
        let progress = self.send(&rest[..rest.len().min(most)], tally);
        if let Progress::Moved(len) = progress {
            self.sent += len;
        }
        progress
    }

    /// Whether [`Peer::push`] has sent all of `bytes`.
    pub fn has_sent(&self, bytes: &[u8]) -> bool {
        self.sent >= bytes.len()
    }

    /// Begins [`Peer::push`] from the first byte again.
    pub fn rewind(&mut self) {
        self.sent = 0;
    }

    /// Sends as much of `bytes` as the kernel takes at once, [`CALL_MAX_BYTES`] at most.
    pub fn send(&mut self, bytes: &[u8], tally: &mut Tally) -> Progress {
        let result = self.stream.write(&bytes[..bytes.len().min(CALL_MAX_BYTES)]);
        self.noted(result, tally, |tally, len| tally.sent_bytes += len)
    }

    /// Reads at most `into.len()` bytes of answers.
    pub fn read(&mut self, into: &mut [u8], tally: &mut Tally) -> Progress {
        let result = match self.stream.read(into) {
            Ok(0) if !into.is_empty() => Err(ErrorKind::UnexpectedEof.into()),
            other => other,
        };
        self.noted(result, tally, |tally, len| tally.read_bytes += len)
    }

    /// Whether the server has ended the connection.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Ends the connection by a reset.
    pub fn reset(self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    fn noted(
        &mut self,
        result: io::Result<usize>,
        tally: &mut Tally,
        count: impl FnOnce(&mut Tally, u64),
    ) -> Progress {
        match result {
            Ok(len) => {
                count(tally, len as u64);
                Progress::Moved(len)
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Progress::Stuck
            }
            Err(_) => {
                tally.closed += u64::from(!self.is_over);
                self.is_over = true;
                Progress::Over
            }
        }
    }
}

/// The address of the loopback with this number; after 254 they come again.
fn source(number: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 1, 1 + (number % 254) as u8), 0))
}

/// Addresses that this process has connected from.
static SOURCES_USED: AtomicU32 = AtomicU32::new(0);

/// What the kernel makes 2,304 bytes of, the least there is.
const NARROW_BYTES: usize = 1024;

/// Bytes of one call. A kernel that is not preemptible runs it to its end, also where the victim's
/// thread on the same core, which should go first, has its answer.
const CALL_MAX_BYTES: usize = 16 << 10;

/// Time after which a server that does not accept is let alone.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
