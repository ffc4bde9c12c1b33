//! TLS over one connection: plain bytes in and out, records on the socket.
//!
//! As few calls of the system are made as for a plain connection: one read takes all that is there, into a
//! buffer for two records, and what is written in one piece is sent in one piece. The handshake is
//! driven by [`Read::read`]; what is written before it ends is kept and sent right behind it.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use rustls::HandshakeKind;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};

/// One end of TLS, on the client's side.
pub struct Layer<S: Read + Write> {
    socket: S,
    tls: UnbufferedClientConnection,
    /// Bytes of the socket: `received.0..received.1` are not yet decrypted, and no whole record.
    records: Vec<u8>,
    received: (usize, usize),
    /// Plain bytes from `plain_at` on for which the reader had no room.
    plain: Vec<u8>,
    plain_at: usize,
    /// Plain bytes written before the handshake's end.
    early: Vec<u8>,
    /// Records, of which the first `sent` bytes have been sent.
    output: Vec<u8>,
    sent: usize,
    stage: Stage,
    counts: Arc<Handshakes>,
}

/// Handshakes that were completed, by what they cost.
#[derive(Debug, Default)]
pub struct Handshakes {
    /// With certificates and signatures.
    pub full: AtomicU64,
    /// Of sessions that were taken up again.
    pub resumed: AtomicU64,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Handshake,
    Open,
    /// The other side has said that nothing more comes.
    Closed,
}

impl Handshakes {
    fn count(&self, kind: Option<HandshakeKind>) {
        let counter = if kind == Some(HandshakeKind::Resumed) { &self.resumed } else { &self.full };
        counter.fetch_add(1, Relaxed);
    }
}

impl<S: Read + Write> Layer<S> {
    /// Takes over a fresh connection. The handshake begins with the first call of
    /// [`Write::write`] or [`Write::flush`].
    pub fn new(socket: S, tls: UnbufferedClientConnection, counts: Arc<Handshakes>) -> Layer<S> {
        Layer {
            socket,
            tls,
            records: Vec::new(),
            received: (0, 0),
            plain: Vec::new(),
            plain_at: 0,
            early: Vec::new(),
            output: Vec::new(),
            sent: 0,
            stage: Stage::Handshake,
            counts,
        }
    }

    /// The connection below.
    pub fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Completes the handshake on a socket that blocks.
    ///
    /// # Errors
    ///
    /// The handshake fails, or the socket does.
    pub fn shake_hands(&mut self) -> io::Result<()> {
        self.flush()?;
        while self.stage == Stage::Handshake {
            self.receive()?;
            self.advance(&mut Sink::default())?;
            self.send()?;
        }
        Ok(())
    }

    /// Reads what the socket has; false if it may have more than that.
    fn receive(&mut self) -> io::Result<bool> {
        let (start, end) = self.received;
        if self.records.is_empty() {
            self.records.resize(RECORDS_BYTES, 0);
        }
        self.records.copy_within(start..end, 0);
        self.received = (0, end - start);
        let space = &mut self.records[end - start..];
        let room = space.len();
        match self.socket.read(space) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.received.1 += count;
                Ok(count < room)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes all records that are whole; plain bytes go to `sink` and, when that is full, are kept.
    fn advance(&mut self, sink: &mut Sink<'_>) -> io::Result<()> {
        loop {
            let (start, end) = self.received;
            let UnbufferedStatus { discard, state } =
                self.tls.process_tls_records(&mut self.records[start..end]);
            let more = match state.map_err(io::Error::other)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let kept = sink.take(record.map_err(io::Error::other)?.payload);
                        self.plain.extend_from_slice(kept);
                    }
                    true
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    append(&mut self.output, FLIGHT_BYTES, |space| {
                        data.encode(space).map_err(|error| match error {
                            EncodeError::InsufficientSize(size) => Ok(size.required_size),
                            EncodeError::AlreadyEncoded => Err(io::Error::other(error)),
                        })
                    })?;
                    true
                }
                // Sent before anything else is waited for.
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    true
                }
                ConnectionState::WriteTraffic(mut traffic) => {
                    if self.stage == Stage::Handshake {
                        self.stage = Stage::Open;
                        encrypt(&mut traffic, &self.early, &mut self.output)?;
                        self.early = Vec::new();
                        self.counts.count(self.tls.handshake_kind());
                    }
                    false
                }
                ConnectionState::BlockedHandshake => false,
                _ => {
                    self.stage = Stage::Closed;
                    false
                }
            };
            self.received.0 += discard;
            if !more {
                return Ok(());
            }
        }
    }

    /// Sends records as far as the socket takes them.
    fn send(&mut self) -> io::Result<()> {
        while self.sent < self.output.len() {
            match self.socket.write(&self.output[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(())
    }
}

impl<S: Read + Write> fmt::Debug for Layer<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Layer").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl<S: Read + Write> Read for Layer<S> {
    /// Fills `into` or empties the socket; with fewer bytes than `into` has, the socket is empty.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut sink = Sink { space: into, filled: 0 };
        let kept = sink.take(&self.plain[self.plain_at..]).len();
        self.plain_at = self.plain.len() - kept;
        if kept == 0 {
            self.plain.clear();
            self.plain_at = 0;
        }
        let mut empty = false;
        while !empty && !sink.is_full() && self.stage != Stage::Closed {
            match self.receive() {
                Ok(all) => empty = all,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // What came before is told first.
                Err(_) if sink.filled > 0 => break,
                Err(error) => return Err(error),
            }
            let advanced = self.advance(&mut sink);
            // An alert that tells why is sent even so.
            match self.send() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    advanced?;
                    return Err(error);
                }
                _ => advanced?,
            }
        }
        match sink.filled {
            0 if self.stage == Stage::Closed => Ok(0),
            0 => Err(io::ErrorKind::WouldBlock.into()),
            filled => Ok(filled),
        }
    }
}

impl<S: Read + Write> Write for Layer<S> {
    /// Takes a part of `from` when nothing is left unsent; [`Write::flush`] sends what is.
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let part = &from[..from.len().min(PIECE_BYTES)];
        if self.stage == Stage::Handshake {
            self.early.extend_from_slice(part);
            return Ok(part.len());
        }
        let (start, end) = self.received;
        let status = self.tls.process_tls_records(&mut self.records[start..end]);
        match status.state.map_err(io::Error::other)? {
            ConnectionState::WriteTraffic(mut traffic) => {
                encrypt(&mut traffic, part, &mut self.output)?;
            }
            _ => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        self.received.0 += status.discard;
        match self.send() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(part.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.stage == Stage::Handshake {
            self.advance(&mut Sink::default())?;
        }
        self.send()
    }
}

impl<S: Read + Write> Drop for Layer<S> {
    /// Says that nothing more comes, as a client that closes in order does.
    fn drop(&mut self) {
        if self.stage != Stage::Open || self.sent < self.output.len() {
            return;
        }
        if let UnbufferedStatus { state: Ok(ConnectionState::WriteTraffic(mut traffic)), .. } =
            self.tls.process_tls_records(&mut [])
        {
            let said = append(&mut self.output, FLIGHT_BYTES, |space| {
                traffic.queue_close_notify(space).map_err(too_small)
            });
            let _ = said.and_then(|()| self.socket.write(&self.output));
        }
    }
}

/// Where plain bytes go.
#[derive(Default)]
struct Sink<'a> {
    space: &'a mut [u8],
    filled: usize,
}

impl Sink<'_> {
    /// Takes what there is room for, and gives back the rest.
    fn take<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let space = &mut self.space[self.filled..];
        let (taken, rest) = bytes.split_at(space.len().min(bytes.len()));
        space[..taken.len()].copy_from_slice(taken);
        self.filled += taken.len();
        rest
    }

    fn is_full(&self) -> bool {
        self.filled == self.space.len()
    }
}

/// Encrypts `plain` into records behind `output`.
fn encrypt(
    traffic: &mut WriteTraffic<'_, ClientConnectionData>,
    plain: &[u8],
    output: &mut Vec<u8>,
) -> io::Result<()> {
    let records = 1 + plain.len() / RECORD_PLAIN_BYTES;
    append(output, plain.len() + records * RECORD_EXTRA_BYTES, |space| {
        traffic.encrypt(plain, space).map_err(too_small)
    })
}

/// The space that was wanted, if that is what failed.
fn too_small(error: EncryptError) -> io::Result<usize> {
    match error {
        EncryptError::InsufficientSize(size) => Ok(size.required_size),
        EncryptError::EncryptExhausted => Err(io::Error::other(error)),
    }
}

/// Lengthens `output` by what `fill` writes into the space that it is given: `space` bytes, or as
/// many as it then asks for.
fn append(
    output: &mut Vec<u8>,
    mut space: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<usize, io::Result<usize>>,
) -> io::Result<()> {
    let start = output.len();
    loop {
        output.resize(start + space, 0);
        match fill(&mut output[start..]) {
            Ok(filled) => {
                output.truncate(start + filled);
                return Ok(());
            }
            Err(wanted) => space = wanted?,
        }
    }
}

/// Two of the largest records that there are.
const RECORDS_BYTES: usize = 2 * (16 * 1024 + 256 + 5);

/// Plain bytes in a record at most.
const RECORD_PLAIN_BYTES: usize = 16 * 1024;

/// More than a record is longer than its plain bytes in any suite: a head, a nonce, a tag, a type.
const RECORD_EXTRA_BYTES: usize = 5 + 8 + 16 + 1;

/// Most flights of a client are shorter; others ask for more.
const FLIGHT_BYTES: usize = 512;

/// Plain bytes that are encrypted before the socket has taken them: some records' worth.
const PIECE_BYTES: usize = 4 * RECORD_PLAIN_BYTES;

#[cfg(test)]
pub mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use rustls::pki_types::ServerName;
    use rustls::{ServerConfig, ServerConnection};

    use super::*;
    use crate::encryption::tests::{Authority, options};
    use crate::encryption::{self, Version};

    /// A server that sends back what it is sent, and the wire to it.
    pub struct Echo {
        server: Arc<Mutex<ServerConnection>>,
        to_say: VecDeque<u8>,
        /// Bytes that a call takes or gives at most.
        step: usize,
        /// Half of the calls would block, as these bits say from the lowest on; 0: none does.
        pauses: u64,
    }

    impl Echo {
        fn new(config: ServerConfig, step: usize) -> Echo {
            let mut server = ServerConnection::new(Arc::new(config)).unwrap();
            server.set_buffer_limit(None);
            let server = Arc::new(Mutex::new(server));
            Echo { server, to_say: VecDeque::new(), step, pauses: PAUSES }
        }

        fn pause(&mut self) -> io::Result<()> {
            self.pauses = self.pauses.rotate_right(1);
            if self.pauses & 1 == 1 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        }
    }

    impl Read for Echo {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.pause()?;
            let mut server = self.server.lock().unwrap();
            while server.wants_write() {
                server.write_tls(&mut self.to_say)?;
            }
            let count = self.step.min(into.len()).min(self.to_say.len());
            self.to_say.read_exact(&mut into[..count])?;
            if count == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
        }
    }

    impl Write for Echo {
        fn write(&mut self, from: &[u8]) -> io::Result<usize> {
            self.pause()?;
            let mut server = self.server.lock().unwrap();
            let count = server.read_tls(&mut &from[..self.step.min(from.len())])?;
            let state = server.process_new_packets().map_err(io::Error::other)?;
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            server.reader().read_exact(&mut plain)?;
            server.writer().write_all(&plain)?;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A client of a server with this configuration.
    pub fn connect(
        config: ServerConfig,
        options: &encryption::Options,
        step: usize,
    ) -> Layer<Echo> {
        let client = Arc::new(options.config().unwrap());
        let client = UnbufferedClientConnection::new(client, options.name.clone()).unwrap();
        Layer::new(Echo::new(config, step), client, Arc::default())
    }

    /// Writes `said` piece by piece and reads as much, `room` bytes a read.
    pub fn echo(layer: &mut Layer<Echo>, mut said: &[u8], room: usize) -> io::Result<Vec<u8>> {
        let (mut heard, all) = (Vec::new(), said.len());
        let mut space = vec![0; room];
        for _ in 0..CALLS {
            if heard.len() == all {
                return Ok(heard);
            }
            match layer.write(said) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                count => said = &said[count.unwrap_or(0)..],
            }
            match layer.read(&mut space) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                count => heard.extend_from_slice(&space[..count.unwrap_or(0)]),
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// A client of a server of its own.
    fn client(options: &encryption::Options, step: usize) -> Layer<Echo> {
        let authority = Authority::new("of the server");
        connect(authority.server(None), options, step)
    }

    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|place| (place % 251) as u8).collect()
    }

    #[test]
    fn what_is_said_is_heard_however_it_is_cut() {
        for version in [Version::Tls12, Version::Tls13] {
            for step in [1, 2, 3, 4, 5, 6, 21, 22, 1000, usize::MAX] {
                let options = encryption::Options { version, ..options() };
                let mut layer = client(&options, step);
                for (len, room) in [(1, 1), (100, 7), (40_000, 8192), (40_000, 100_000), (3, 9)] {
                    let said = bytes(len);
                    assert_eq!(echo(&mut layer, &said, room).unwrap(), said, "{version:?} {step}");
                }
                assert_eq!(layer.counts.full.load(Relaxed), 1);
            }
        }
    }

    #[test]
    fn more_than_the_socket_takes_is_left_to_the_next_flush() {
        let mut layer = client(&options(), 1000);
        echo(&mut layer, b"hello", 5).unwrap();
        let said = bytes(300_000);
        let mut sent = 0;
        while sent < said.len() {
            match layer.write(&said[sent..]) {
                Ok(count) => sent += count,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            assert!(layer.output.len() < PIECE_BYTES + 10 * RECORD_EXTRA_BYTES);
        }
        while layer.flush().is_err() {}
        assert!(layer.output.is_empty());
        let mut heard = Vec::new();
        while heard.len() < said.len() {
            let mut space = [0; 7000];
            let count = layer.read(&mut space).unwrap_or(0);
            heard.extend_from_slice(&space[..count]);
        }
        assert!(heard == said);
    }

    #[test]
    fn a_client_that_goes_says_so() {
        let mut layer = client(&options(), usize::MAX);
        let server = Arc::clone(&layer.socket().server);
        echo(&mut layer, b"hello", 5).unwrap();
        let still_open = server.lock().unwrap().reader().read(&mut [0]).unwrap_err();
        assert_eq!(still_open.kind(), io::ErrorKind::WouldBlock);
        layer.socket().pauses = 0;
        drop(layer);
        assert_eq!(server.lock().unwrap().reader().read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_server_that_closes_is_at_its_end() {
        let mut layer = client(&options(), usize::MAX);
        echo(&mut layer, b"hello", 5).unwrap();
        let server = Arc::clone(&layer.socket().server);
        server.lock().unwrap().writer().write_all(b"bye").unwrap();
        server.lock().unwrap().send_close_notify();
        let mut space = [0; 10];
        layer.socket().pauses = 0;
        assert_eq!(layer.read(&mut space).unwrap(), 3);
        assert_eq!(layer.read(&mut space).unwrap(), 0);
    }

    #[test]
    fn a_record_that_was_changed_is_an_error() {
        let mut layer = client(&options(), usize::MAX);
        echo(&mut layer, b"hello", 5).unwrap();
        layer.socket().server.lock().unwrap().writer().write_all(b"bye").unwrap();
        layer.socket().pauses = 0;
        let wire = layer.socket();
        let mut record = [0; 100];
        let len = wire.read(&mut record).unwrap();
        record[len - 1] ^= 1;
        wire.to_say.extend(&record[..len]);
        let error = layer.read(&mut [0; 10]).unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_session_is_taken_up_again_only_where_that_is_wanted() {
        let authority = Authority::new("of the server");
        let server = authority.server(None);
        for (resume, resumed) in [(false, 0), (true, 1)] {
            let config = Arc::new(encryption::Options { resume, ..options() }.config().unwrap());
            let counts: Arc<Handshakes> = Arc::default();
            for _ in 0..2 {
                let name = ServerName::try_from("localhost").unwrap();
                let client = UnbufferedClientConnection::new(Arc::clone(&config), name).unwrap();
                let wire = Echo::new(server.clone(), usize::MAX);
                let mut layer = Layer::new(wire, client, Arc::clone(&counts));
                echo(&mut layer, b"hello", 5).unwrap();
            }
            assert_eq!(counts.resumed.load(Relaxed), resumed);
            assert_eq!(counts.full.load(Relaxed), 2 - resumed);
        }
    }

    /// No period that calls could fall in with.
    const PAUSES: u64 = 0x9E37_79B9_7F4A_7C15;

    /// Enough for each test; none may go on for ever.
    const CALLS: usize = 1_000_000;
}
