//! A connection as a client sees it: bare, or with TLS on it.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;

use crate::encryption;
use crate::layer::{Handshakes, Layer};
use crate::socket::{Address, Socket};

/// Makes connections to one server.
#[derive(Debug)]
pub struct Connector {
    address: Address,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Longest silence of the server in a handshake.
    patience: Duration,
    handshakes: Arc<Handshakes>,
}

/// A connection that does not block.
#[derive(Debug)]
pub enum Link {
    /// Plain bytes on the socket.
    Plain(Socket),
    /// TLS on it.
    Tls(Box<Layer<Socket>>),
}

impl Connector {
    /// Makes connections to `address`, with TLS where that is wanted.
    ///
    /// # Errors
    ///
    /// A certificate or a key cannot be used.
    pub fn new(
        address: &Address,
        tls: Option<&encryption::Options>,
        patience: Duration,
    ) -> io::Result<Connector> {
        let tls = match tls {
            None => None,
            Some(options) => Some((Arc::new(options.config()?), options.name.clone())),
        };
        Ok(Connector { address: address.clone(), tls, patience, handshakes: Arc::default() })
    }

    /// Connects, and shakes hands.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says; the handshake fails.
    pub fn connect(&self) -> io::Result<Link> {
        let socket = Socket::connect(&self.address)?;
        let mut link = self.over(socket)?;
        if let Link::Tls(layer) = &mut link {
            layer.socket().block(Some(self.patience))?;
            layer.shake_hands()?;
            layer.socket().block(None)?;
        }
        Ok(link)
    }

    /// Connects as [`Socket::connect_from_anywhere`] does. The handshake is done when the first
    /// answer has come.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says.
    pub fn connect_from_anywhere(&self) -> io::Result<Link> {
        self.over(Socket::connect_from_anywhere(&self.address)?)
    }

    fn over(&self, socket: Socket) -> io::Result<Link> {
        let Some((config, name)) = &self.tls else { return Ok(Link::Plain(socket)) };
        let tls = UnbufferedClientConnection::new(Arc::clone(config), name.clone())
            .map_err(io::Error::other)?;
        Ok(Link::Tls(Box::new(Layer::new(socket, tls, Arc::clone(&self.handshakes)))))
    }

    /// Handshakes so far: full ones, and those that took a session up again. None without TLS.
    pub fn handshakes(&self) -> Option<(u64, u64)> {
        let Handshakes { full, resumed } = &*self.handshakes;
        self.tls.as_ref().map(|_| (full.load(Relaxed), resumed.load(Relaxed)))
    }
}

impl Link {
    fn socket(&mut self) -> &mut Socket {
        match self {
            Link::Plain(socket) => socket,
            Link::Tls(layer) => layer.socket(),
        }
    }
}

impl Read for Link {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Plain(socket) => socket.read(into),
            Link::Tls(layer) => layer.read(into),
        }
    }
}

impl Write for Link {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Link::Plain(socket) => socket.write(from),
            Link::Tls(layer) => layer.write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Link::Plain(socket) => socket.flush(),
            Link::Tls(layer) => layer.flush(),
        }
    }
}

impl Source for Link {
    fn register(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.socket().register(to, token, interest)
    }

    fn reregister(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.socket().reregister(to, token, interest)
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        self.socket().deregister(from)
    }
}
