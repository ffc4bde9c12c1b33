//! Sockets that accept connections, and with which options they are opened.
//!
//! memcached also sets SO_LINGER to reset connections on close; this server does not, since that
//! destroys answers on their way.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use nix::sys::stat::{Mode, umask};
use socket2::{Domain, SockAddr, Socket, Type};

use super::addresses::{self, Transport};
use super::gather::Part;
use super::stream::Stream;
use super::{Options, StartError, Terms, os_text};
use crate::clock::Now;

/// A socket that accepts connections.
#[derive(Debug)]
pub(super) enum Listener {
    /// Bound to this address.
    Tcp(TcpListener, SocketAddr, Terms),
    /// Bound to this file.
    Unix(UnixListener, SocketFile, Terms),
    /// Refuses with these errors, last first, before it accepts.
    #[cfg(test)]
    Faulty(std::cell::RefCell<Vec<nix::errno::Errno>>, Box<Listener>),
}

/// The file of a unix socket; dropping it removes the file if it is still the one that was bound.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: Option<(u64, u64)>,
}

impl Listener {
    /// Takes the next connection that waits, with the address that it comes from if it has one.
    pub(super) fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Listener::Tcp(listener, ..) => {
                let (stream, from) = listener.accept()?;
                Ok((Stream::Tcp(stream), Some(from.ip())))
            }
            Listener::Unix(listener, ..) => {
                let (stream, _) = listener.accept()?;
                Ok((Stream::Unix(stream), None))
            }
            #[cfg(test)]
            Listener::Faulty(faults, listener) => match faults.borrow_mut().pop() {
                Some(fault) => Err(fault.into()),
                None => listener.accept(),
            },
        }
    }

    /// The address, if this is a TCP listener.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(_, address, _) => Some(*address),
            Listener::Unix(..) => None,
            #[cfg(test)]
            Listener::Faulty(_, listener) => listener.address(),
        }
    }

    /// Adds what `stats conns` shows of it.
    pub(super) fn list(&self, part: &mut Part<'_>, now: &Now) {
        let (descriptor, address) = match self {
            Listener::Tcp(listener, address, _) => {
                (listener.as_raw_fd(), inet_name("tcp", *address))
            }
            Listener::Unix(listener, file, _) => {
                (listener.as_raw_fd(), format!("unix:{}", file.path.display()))
            }
            #[cfg(test)]
            Listener::Faulty(_, listener) => return listener.list(part, now),
        };
        part.add(descriptor, |entry| {
            entry.line("addr", address);
            entry.line("state", "conn_listening");
            entry.line("secs_since_last_cmd", now.uptime());
        });
    }

    /// What its clients speak.
    pub(super) fn terms(&self) -> Terms {
        match self {
            Listener::Tcp(.., terms) | Listener::Unix(.., terms) => *terms,
            #[cfg(test)]
            Listener::Faulty(_, listener) => listener.terms(),
        }
    }

    /// Reports waiting connections as events of `token`.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Listener::Tcp(listener, ..) => listener.register(registry, token, Interest::READABLE),
            Listener::Unix(listener, ..) => listener.register(registry, token, Interest::READABLE),
            #[cfg(test)]
            Listener::Faulty(_, listener) => listener.register(registry, token),
        }
    }
}

/// An address as `stats conns` shows it (stats, section 6).
pub(super) fn inet_name(transport: &str, address: SocketAddr) -> String {
    let family = if address.is_ipv6() { "6" } else { "" };
    format!("{transport}{family}:{address}")
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Listener::Tcp(_, address, _) => address.fmt(f),
            Listener::Unix(_, file, _) => file.path.display().fmt(f),
            #[cfg(test)]
            Listener::Faulty(_, listener) => listener.fmt(f),
        }
    }
}

impl SocketFile {
    fn of(path: &Path) -> SocketFile {
        SocketFile { path: path.to_owned(), identity: identity(path) }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Opens every socket that `options` ask for. With `-s` there is no TCP, with `-p 0` neither.
pub(super) fn bind(options: &Options) -> Result<Vec<Listener>, StartError> {
    if let Some(path) = &options.unix_socket {
        let listener = bind_unix(path, options).map_err(|err| {
            let (path, reason) = (path.display(), os_text(&err));
            StartError::os(format!("failed to listen on UNIX socket: {path}: {reason}"))
        })?;
        return Ok(vec![listener]);
    }
    addresses::bind(&Tcp { backlog: options.backlog }, options.port, options)
}

/// What is asked of a TCP listener beside its address.
struct Tcp {
    backlog: u32,
}

impl Transport for Tcp {
    type Bound = Listener;

    const NAME: &'static str = "TCP";

    const LEAVES_OUT_TAKEN: bool = true;

    /// TCP_NODELAY and SO_KEEPALIVE are set here, since accepted sockets inherit them: that saves
    /// two system calls a connection.
    fn bind(&self, address: SocketAddr, terms: Terms) -> io::Result<Listener> {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_keepalive(true)?;
        // Urgent data would end a read early, which is taken for the end of what there is.
        socket.set_out_of_band_inline(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(backlog_arg(self.backlog))?;
        let listener = TcpListener::from_std(socket.into());
        let address = listener.local_addr()?;
        Ok(Listener::Tcp(listener, address, terms))
    }

    fn address(bound: &Listener) -> SocketAddr {
        bound.address().expect("a TCP listener has an address")
    }
}

fn bind_unix(path: &Path, options: &Options) -> io::Result<Listener> {
    let address = SockAddr::unix(path)?;
    remove_stale(path, &address)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // The mode has to be right from the first moment, so it is the umask that makes it.
    let mask = Mode::from_bits_truncate(!options.unix_mask & 0o777);
    let before = umask(mask);
    let bound = socket.bind(&address);
    umask(before);
    bound?;
    let file = SocketFile::of(path);
    socket.listen(backlog_arg(options.backlog))?;
    let terms = Terms { protocol: options.protocol, tls: None };
    Ok(Listener::Unix(UnixListener::from_std(socket.into()), file, terms))
}

/// Removes a socket file that no server answers behind. Nothing else than a socket is removed.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => {}
        _ => return Ok(()),
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(err) if err.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Connected, or a backlog that is full: another server lives here, and bind will say so.
        _ => Ok(()),
    }
}

fn backlog_arg(backlog: u32) -> i32 {
    i32::try_from(backlog).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::tests::options;
    use crate::server::{Listen, Port};
    use crate::session::Protocol;

    fn port_of(listener: &Listener) -> u16 {
        listener.address().expect("TCP").port()
    }

    fn listen(host: &str, port: Option<u16>) -> Listen {
        Listen { host: host.to_owned(), port, ..Listen::default() }
    }

    #[test]
    fn loopback_families_share_a_free_port() {
        let listeners = bind(&options()).expect("bound");
        assert!(listeners.iter().all(|l| l.address().is_some_and(|a| a.ip().is_loopback())));
        assert!(listeners.iter().all(|l| port_of(l) == port_of(&listeners[0])));
    }

    #[test]
    fn port_off_listens_nowhere() {
        let options = Options { port: Port::Off, ..options() };
        assert!(bind(&options).expect("nothing to do").is_empty());
    }

    #[test]
    fn port_in_use_section_4() {
        let first = bind(&options()).expect("bound");
        let port = port_of(&first[0]);
        let taken = Options { port: Port::Number(port), ..options() };
        let err = bind(&taken).expect_err("in use on every family");
        assert_eq!(err.exit_code, 71);
        assert_eq!(
            err.message,
            format!("failed to listen on TCP port {port}: Address already in use")
        );
        let two =
            Options { listen: vec![listen("127.0.0.1", None), listen("::1", Some(port))], ..taken };
        let err = bind(&two).expect_err("in use");
        assert_eq!(
            err.message,
            format!(
                "failed to listen on one of interface(s) 127.0.0.1,[::1]:{port}: \
                 Address already in use"
            )
        );
    }

    #[test]
    fn protocols_section_4() {
        let ascii = Listen { protocol: Some(Protocol::Ascii), ..listen("127.0.0.1", None) };
        let options = Options {
            listen: vec![ascii, listen("127.0.0.1", None)],
            protocol: Protocol::Binary,
            ..options()
        };
        let listeners = bind(&options).expect("bound");
        let protocols: Vec<_> =
            listeners.iter().map(|listener| listener.terms().protocol).collect();
        assert_eq!(protocols, [Protocol::Ascii, Protocol::Binary]);
    }

    #[test]
    fn name_that_is_unknown() {
        let options = Options { listen: vec![listen("no.such.host.invalid", None)], ..options() };
        let err = bind(&options).expect_err("unknown");
        assert_eq!(err.exit_code, 71);
        let start = "failed to listen on one of interface(s) no.such.host.invalid: getaddrinfo(";
        assert!(err.message.starts_with(start), "{}", err.message);
    }

    #[test]
    fn unix_socket_replaces_a_stale_one_only() {
        let dir = crate::server::tests::TempDir::new();
        let path = dir.path().join("sock");
        let options = Options { unix_socket: Some(path.clone()), unix_mask: 0o700, ..options() };
        let first = bind(&options).expect("bound");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o700);
        let err = bind(&options).expect_err("a server answers there");
        assert!(err.message.ends_with(": Address already in use"), "{}", err.message);
        assert_eq!(err.exit_code, 71);
        drop(first);
        assert!(!path.exists(), "removed by its owner");

        drop(std::os::unix::net::UnixListener::bind(&path).expect("leaves a stale file"));
        assert!(path.exists());
        let second = bind(&options).expect("stale file replaced");
        drop(second);

        fs::write(&path, b"precious").expect("written");
        bind(&options).expect_err("not a socket");
        assert_eq!(fs::read(&path).expect("still there"), b"precious");
    }
}
