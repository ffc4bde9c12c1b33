//! One client's connection, with bytes compared exactly and every wait bounded.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use rustls::ClientConnection;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::harness::{PATIENCE, moment, wait_for};

/// A connection. What has been received and not been expected yet waits in `pending`.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    pending: Vec<u8>,
    is_unix: bool,
    is_closed: bool,
    tls: Option<Box<ClientConnection>>,
}

/// What a look for more bytes found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Some came.
    Some,
    /// The server has closed.
    Closed,
    /// None within the time.
    Nothing,
}

impl Client {
    /// A TCP connection.
    #[track_caller]
    pub fn tcp(address: impl ToSocketAddrs) -> Client {
        Client::try_tcp(address).expect("the server accepts")
    }

    /// A TCP connection, or what prevented it.
    pub fn try_tcp(address: impl ToSocketAddrs) -> std::io::Result<Client> {
        let address = address.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        socket.set_tcp_nodelay(true)?;
        // Closing resets the connection, so that thousands of runs leave no port in TIME_WAIT.
        socket.set_linger(Some(Duration::ZERO))?;
        Ok(Client { socket, pending: Vec::new(), is_unix: false, is_closed: false, tls: None })
    }

    /// A TCP connection to `port` from an address of the loopback of its own.
    pub fn try_tcp_from(host: u8, port: u16) -> std::io::Result<Client> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, host], 0)).into())?;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        socket.connect_timeout(&address.into(), PATIENCE)?;
        socket.set_linger(Some(Duration::ZERO))?;
        Ok(Client { socket, pending: Vec::new(), is_unix: false, is_closed: false, tls: None })
    }

    /// A TCP connection with a receive buffer of a few kB, for clients that do not read.
    #[track_caller]
    pub fn tcp_narrow(port: u16) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
        socket.set_recv_buffer_size(4096).expect("SO_RCVBUF");
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        socket.connect(&address.into()).expect("the server accepts");
        Client { socket, pending: Vec::new(), is_unix: false, is_closed: false, tls: None }
    }

    /// A connection to a Unix socket.
    #[track_caller]
    pub fn unix(path: &Path) -> Client {
        Client::try_unix(path).expect("the server accepts")
    }

    /// A connection to a Unix socket, if there is somebody.
    pub fn try_unix(path: &Path) -> Option<Client> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).ok()?;
        socket.connect(&SockAddr::unix(path).ok()?).ok()?;
        Some(Client { socket, pending: Vec::new(), is_unix: true, is_closed: false, tls: None })
    }

    /// Sends all of `bytes`. A server that has hung up is not an error here: what it answered, and
    /// that it closed, is for the expectations.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.set_write_timeout(Some(PATIENCE)).expect("SO_SNDTIMEO");
        let sent = match &mut self.tls {
            None => self.socket.write_all(bytes.as_ref()),
            Some(tls) => {
                tls.writer().write_all(bytes.as_ref()).expect("no bound");
                send_records(&mut self.socket, tls)
            }
        };
        match sent {
            Ok(()) => {}
            Err(err) if is_hangup(err.kind()) => {}
            Err(err) => panic!("send: {err}"),
        }
    }

    /// Sends what the socket takes within `limit`; how many bytes that were.
    pub fn send_some(&mut self, bytes: &[u8], limit: Duration) -> usize {
        self.socket.set_write_timeout(Some(limit)).expect("SO_SNDTIMEO");
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        sent
    }

    /// Waits until the server has read all that was sent, or has shown for a while that it does not
    /// want to. Only a Unix socket can tell.
    pub fn await_read(&self) {
        if !self.is_unix {
            return;
        }
        let end = moment() + Duration::from_millis(20);
        while unread_by_peer(&self.socket) > 0 && moment() < end {
            std::thread::yield_now();
        }
    }

    /// Says that nothing more will be sent.
    pub fn shut_write(&self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// What has come and was not expected yet.
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// Drops the first `count` bytes of [`Client::pending`].
    pub fn consume(&mut self, count: usize) {
        self.pending.drain(..count);
    }

    /// Waits for more bytes, at most `limit`.
    #[track_caller]
    pub fn receive(&mut self, limit: Duration) -> Received {
        if self.is_closed {
            return Received::Closed;
        }
        let limit = limit.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(limit)).expect("SO_RCVTIMEO");
        let mut chunk = [0; 64 * 1024];
        match self.socket.read(&mut chunk) {
            Ok(0) => self.is_closed = true,
            Ok(count) if self.tls.is_some() => {
                return match self.take_records(&chunk[..count]) {
                    Ok(()) => Received::Some,
                    Err(error) => panic!("receive: {error}"),
                };
            }
            Ok(count) => {
                self.pending.extend_from_slice(&chunk[..count]);
                return Received::Some;
            }
            Err(err) if is_hangup(err.kind()) => self.is_closed = true,
            Err(err) if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Received::Nothing;
            }
            Err(err) => panic!("receive: {err}"),
        }
        Received::Closed
    }

    /// Shakes hands, and speaks TLS from then on. `Err`: what went wrong, as the client sees it.
    pub fn secure(&mut self, mut tls: ClientConnection) -> Result<(), String> {
        tls.set_buffer_limit(None);
        let mut tls = Box::new(tls);
        let text = |error: std::io::Error| error.to_string();
        self.socket.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
        while tls.is_handshaking() {
            tls.complete_io(&mut self.socket).map_err(text)?;
        }
        send_records(&mut self.socket, &mut tls).map_err(text)?;
        self.tls = Some(tls);
        // What came with the end of the handshake.
        self.take_records(&[])
    }

    /// The client's side of TLS.
    pub fn tls(&self) -> &ClientConnection {
        self.tls.as_ref().expect("a client with TLS")
    }

    /// Says that nothing more will be sent, as TLS does.
    pub fn end_records(&mut self) {
        let tls = self.tls.as_mut().expect("a client with TLS");
        tls.send_close_notify();
        send_records(&mut self.socket, tls).expect("the server is still there");
    }

    /// Whether the server has said that nothing more comes, as TLS does.
    pub fn was_told_the_end(&mut self) -> bool {
        let tls = self.tls.as_mut().expect("a client with TLS");
        tls.process_new_packets().is_ok_and(|state| state.peer_has_closed())
    }

    fn take_records(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        let tls = self.tls.as_mut().expect("a client with TLS");
        loop {
            if !bytes.is_empty() {
                tls.read_tls(&mut bytes).expect("memory");
            }
            tls.process_new_packets().map_err(|error| error.to_string())?;
            let mut chunk = [0; 16 * 1024];
            while let Ok(count @ 1..) = tls.reader().read(&mut chunk) {
                self.pending.extend_from_slice(&chunk[..count]);
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// Waits until at least `count` bytes are pending.
    #[track_caller]
    fn fill(&mut self, count: usize) {
        let end = moment() + PATIENCE;
        while self.pending.len() < count {
            let got = self.receive(end.saturating_duration_since(moment()));
            if got != Received::Some {
                let have = show(&self.pending);
                panic!("{got:?} after {} of {count} bytes: {have}", self.pending.len());
            }
        }
    }

    /// Takes exactly `count` bytes.
    #[track_caller]
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        self.fill(count);
        self.pending.drain(..count).collect()
    }

    /// Takes a line; its end, CR LF, is left out.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut seen = 0;
        loop {
            if let Some(at) = self.pending[seen..].windows(2).position(|pair| pair == b"\r\n") {
                let line = self.take(seen + at + 2);
                return String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
            }
            seen = self.pending.len().saturating_sub(1);
            self.fill(self.pending.len() + 1);
        }
    }

    /// Takes lines up to and with `last`.
    #[track_caller]
    pub fn lines_until(&mut self, last: &str) -> Vec<String> {
        self.lines_until_any(&[last])
    }

    /// Takes lines up to and with one of `last`.
    #[track_caller]
    pub fn lines_until_any(&mut self, last: &[&str]) -> Vec<String> {
        let mut lines = vec![self.line()];
        while lines.last().is_some_and(|line| !last.contains(&line.as_str())) {
            lines.push(self.line());
        }
        lines
    }

    /// The next bytes must be `expected`.
    #[track_caller]
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let end = moment() + PATIENCE;
        while self.pending.len() < expected.len() && expected.starts_with(&self.pending) {
            if self.receive(end.saturating_duration_since(moment())) != Received::Some {
                break;
            }
        }
        let have = &self.pending[..self.pending.len().min(expected.len())];
        assert!(
            have == expected,
            "\nexpected {}\nreceived {}",
            show(expected),
            show(&self.pending)
        );
        self.consume(expected.len());
    }

    /// Sends, then expects.
    #[track_caller]
    pub fn ask(&mut self, request: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) {
        self.send(request);
        self.expect(answer);
    }

    /// The server must close, with nothing more said.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        let mut got = self.receive(PATIENCE);
        while got == Received::Some && self.tls.is_some() && self.pending.is_empty() {
            // The word of TLS that nothing more comes.
            got = self.receive(PATIENCE);
        }
        let rest = show(&self.pending);
        assert!(got == Received::Closed && self.pending.is_empty(), "no close but {got:?}: {rest}");
    }

    /// Nothing that was not expected may have come, and the next answer must follow at once.
    #[track_caller]
    pub fn assert_in_step(&mut self, version: &str) {
        self.ask("version\r\n", format!("VERSION {version}\r\n"));
    }

    /// Value of a key of `stats`.
    #[track_caller]
    pub fn stat(&mut self, key: &str) -> Option<String> {
        self.send("stats\r\n");
        let start = format!("STAT {key} ");
        self.lines_until("END").iter().find_map(|line| Some(line.strip_prefix(&start)?.to_owned()))
    }

    /// Waits until `stats` shows a value of `key` that is as wanted.
    #[track_caller]
    pub fn await_stat(&mut self, key: &str, is_wanted: impl Fn(u64) -> bool) {
        wait_for(key, PATIENCE, || {
            let value = self.stat(key)?.parse().ok()?;
            is_wanted(value).then_some(())
        });
    }
}

fn send_records(socket: &mut Socket, tls: &mut ClientConnection) -> std::io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(socket)?;
    }
    Ok(())
}

fn is_hangup(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

/// Bytes for a person, the middle left out if they are many.
pub fn show(bytes: &[u8]) -> String {
    const SHOWN: usize = 400;
    let text = |part: &[u8]| part.escape_ascii().to_string();
    if bytes.len() <= SHOWN {
        return format!("\"{}\"", text(bytes));
    }
    let (head, tail) = (text(&bytes[..SHOWN / 2]), text(&bytes[bytes.len() - SHOWN / 2..]));
    format!("\"{head}\" .. {} bytes .. \"{tail}\"", bytes.len() - SHOWN)
}

nix::ioctl_read_bad!(outgoing_queue, nix::libc::TIOCOUTQ, nix::libc::c_int);

/// What the peer of a Unix socket has not read yet, as the kernel counts it; 0 is nothing.
#[expect(unsafe_code, reason = "no safe call tells what the peer has not read yet")]
fn unread_by_peer(socket: &Socket) -> i32 {
    let mut count = 0;
    // SAFETY: TIOCOUTQ writes one int, to which the pointer points for the whole call.
    match unsafe { outgoing_queue(socket.as_raw_fd(), &raw mut count) } {
        Ok(_) => count,
        Err(_) => 0,
    }
}
