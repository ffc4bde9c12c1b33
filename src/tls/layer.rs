//! One connection's records: cipher bytes in, plain bytes out, and the other way.
//!
//! A connection owns what the keys of its two directions take, the front of a record that has not come
//! whole, and records that the kernel has not taken; the room to work in is its worker's [`Scratch`].
#![forbid(unsafe_code)]

use rustls::HandshakeKind;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
};

use zeroize::Zeroize;

use super::{Certificates, Mode, names};
use crate::clock::Secs;
use crate::limits::{READ_BUF_BYTES, TLS_HANDSHAKE_BYTES, TLS_OPEN_BYTES, TLS_PENDING_MAX_BYTES};

/// Bytes that a record may be longer than what is in it: head, explicit nonce, type and tag, rounded up.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// Bytes before what is encrypted: type, version, length (RFC 8446, section 5.2).
const RECORD_HEAD_BYTES: usize = 5;

/// Plain bytes of a record at the most.
pub const RECORD_BYTES: usize = 1 << 14;

/// One connection's side of TLS.
pub struct Layer {
    records: UnbufferedServerConnection,
    /// Cipher bytes of a record, or of a message of the handshake, that has not come whole.
    pending: Vec<u8>,
    /// Records on their way that the kernel has not taken, as many bytes as they are.
    unsent: Vec<u8>,
    /// When its first byte came.
    started: Secs,
    /// The handshake is done.
    is_open: bool,
    /// The client has said that nothing more comes.
    is_ended: bool,
    /// The client has been told that nothing more comes, or there is nothing to be told any more.
    is_closed: bool,
    /// Something has come.
    has_heard: bool,
}

/// A worker's room to work in: nothing stays in it from one connection to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Cipher bytes as they came.
    incoming: Vec<u8>,
    /// Cipher bytes to be written: the first `outgoing_len`.
    outgoing: Vec<u8>,
    outgoing_len: usize,
}

/// What has come of cipher bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Plain bytes.
    pub plain: usize,
    /// The handshake has just been done.
    pub opened: Option<Opened>,
}

/// How a handshake was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// From the start.
    Anew,
    /// With what is left of an earlier session.
    Resumed,
}

/// Why the records of a connection make no sense. What is to be told to the client of it is in the
/// [`Scratch`].
#[derive(Debug)]
pub struct Failure(pub String);

impl Scratch {
    /// Room for the records of `write_bytes` plain bytes, and for a read.
    pub fn new(write_bytes: usize) -> Scratch {
        let records = write_bytes.div_ceil(RECORD_BYTES) + 1;
        Scratch {
            incoming: vec![0; READ_BUF_BYTES],
            outgoing: vec![0; write_bytes + records * RECORD_OVERHEAD_BYTES],
            outgoing_len: 0,
        }
    }

    /// Wipes what has come: it was decrypted where it lay, and may be a password.
    pub fn wipe(&mut self) {
        self.incoming.as_mut_slice().zeroize();
    }

    /// What is to be written now.
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing[..self.outgoing_len]
    }

    /// Bytes of memory that it owns.
    pub fn held_bytes(&self) -> usize {
        self.incoming.capacity() + self.outgoing.capacity()
    }

    /// Takes note that what was to be written is somebody else's now.
    pub fn clear(&mut self) {
        self.outgoing_len = 0;
    }

    /// Has `encode` write behind what is there, with more room if it asks for that.
    fn append<E>(
        &mut self,
        mut encode: impl FnMut(&mut [u8]) -> Result<usize, E>,
        required: impl Fn(&E) -> Option<usize>,
    ) -> Result<(), E> {
        loop {
            match encode(&mut self.outgoing[self.outgoing_len..]) {
                Ok(count) => {
                    self.outgoing_len += count;
                    return Ok(());
                }
                Err(error) => match required(&error) {
                    Some(bytes) if bytes > self.outgoing.len() - self.outgoing_len => {
                        self.outgoing.resize(self.outgoing_len + bytes, 0);
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    fn encode<Data>(&mut self, message: &mut EncodeTlsData<'_, Data>) {
        let required = |error: &EncodeError| match error {
            EncodeError::InsufficientSize(size) => Some(size.required_size),
            EncodeError::AlreadyEncoded => None,
        };
        // It fails for want of room only, which is made.
        let _done = self.append(|room| message.encode(room), required);
    }
}

impl Layer {
    /// The side of a new connection to a listener in `mode`, whose first byte came at `now`.
    pub fn new(certificates: &Certificates, mode: Mode, now: Secs) -> Result<Layer, Failure> {
        let records = UnbufferedServerConnection::new(certificates.config(mode))?;
        Ok(Layer {
            records,
            pending: Vec::new(),
            unsent: Vec::new(),
            started: now,
            is_open: false,
            is_ended: false,
            is_closed: false,
            has_heard: false,
        })
    }

    /// Whether the handshake is done.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether a handshake is on its way: neither done nor failed.
    pub fn is_in_handshake(&self) -> bool {
        !self.is_open && !self.is_closed
    }

    /// Whether the client has said that nothing more comes.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Whether any byte has come.
    pub fn has_heard(&self) -> bool {
        self.has_heard
    }

    /// When it began.
    pub fn started(&self) -> Secs {
        self.started
    }

    /// The names in the client's verified certificate, each once: those of its subjectAltName, then the
    /// common name of its subject. Empty without a certificate.
    pub fn peer_names(&self) -> Vec<String> {
        let chain = self.records.peer_certificates().filter(|_| self.is_open);
        chain.and_then(|chain| chain.first()).map(names::of).unwrap_or_default()
    }

    /// Room to read into: what comes of it is at most `plain_max` plain bytes. Empty if there is none.
    pub fn space<'a>(&self, scratch: &'a mut Scratch, plain_max: usize) -> &'a mut [u8] {
        let end = plain_max.min(scratch.incoming.len());
        let start = self.pending.len();
        if start >= end {
            return &mut [];
        }
        scratch.incoming[..start].copy_from_slice(&self.pending);
        &mut scratch.incoming[start..end]
    }

    /// Takes the `count` bytes that were read into [`Layer::space`] and puts plain bytes at the front of
    /// `plain`, which has as much room as was said there. What is to be written is in `scratch`, also
    /// when this fails.
    pub fn take(
        &mut self,
        scratch: &mut Scratch,
        count: usize,
        plain: &mut [u8],
    ) -> Result<Taken, Failure> {
        let end = self.pending.len() + count;
        let mut start = 0;
        let mut taken = Taken { plain: 0, opened: None };
        self.has_heard |= count > 0;
        // Working in place: the room is given back at the end.
        let mut incoming = std::mem::take(&mut scratch.incoming);
        let result = loop {
            let UnbufferedStatus { discard, state, .. } =
                self.records.process_tls_records(&mut incoming[start..end]);
            let mut beside = 0;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        let to = taken.plain + record.payload.len();
                        plain[taken.plain..to].copy_from_slice(record.payload);
                        taken.plain = to;
                        beside += record.discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut message)) => scratch.encode(&mut message),
                Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    self.is_ended = true;
                    break Ok(());
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    start += discard;
                    break Ok(());
                }
                // Early data is not offered.
                Ok(_) => break Err(Failure("unexpected early data".to_owned())),
                Err(error) => break Err(error.into()),
            }
            start += discard + beside;
        };
        let rest = if self.is_ended || result.is_err() { &[] } else { &incoming[start..end] };
        self.pending = rest.to_vec();
        if result.is_err() {
            self.add_alerts(scratch);
        }
        scratch.incoming = incoming;
        result?;
        if self.pending.len() > TLS_PENDING_MAX_BYTES {
            self.is_closed = true;
            return Err(Failure("message of the handshake is too long".to_owned()));
        }
        if !self.is_open && !self.records.is_handshaking() {
            self.is_open = true;
            let is_resumed = self.records.handshake_kind() == Some(HandshakeKind::Resumed);
            taken.opened = Some(if is_resumed { Opened::Resumed } else { Opened::Anew });
        }
        Ok(taken)
    }

    /// Adds what the client is to be told of a failure. Nothing that has come is looked at again.
    fn add_alerts(&mut self, scratch: &mut Scratch) {
        self.is_closed = true;
        while self.records.wants_write() {
            let status = self.records.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(mut message)) = status.state else { return };
            scratch.encode(&mut message);
        }
    }

    /// Bytes of memory that it owns, those of the library by what was measured.
    pub fn held_bytes(&self) -> usize {
        let keys = if self.is_in_handshake() { TLS_HANDSHAKE_BYTES } else { TLS_OPEN_BYTES };
        keys + self.pending.capacity() + self.unsent.capacity()
    }

    /// Bytes that are held back.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Bytes of the record that has begun to come that are still to come; 0 if not even its length has.
    pub fn missing_len(&self) -> usize {
        let [_, _, _, high, low, ..] = self.pending[..] else { return 0 };
        let len = RECORD_HEAD_BYTES + usize::from(u16::from_be_bytes([high, low]));
        len.saturating_sub(self.pending.len())
    }

    /// Encrypts `plain` behind what is in `scratch`. Only once the handshake is done.
    pub fn encrypt(&mut self, plain: &[u8], scratch: &mut Scratch) -> Result<(), Failure> {
        self.with_traffic(scratch, |traffic, room| traffic.encrypt(plain, room))
    }

    /// Adds to `scratch` that nothing more comes, once; nothing if that could not be told.
    pub fn close(&mut self, scratch: &mut Scratch) {
        if self.is_open && !std::mem::replace(&mut self.is_closed, true) {
            // A connection whose keys are used up ends without.
            let _told =
                self.with_traffic(scratch, |traffic, room| traffic.queue_close_notify(room));
        }
    }

    fn with_traffic(
        &mut self,
        scratch: &mut Scratch,
        mut write: impl FnMut(&mut Traffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), Failure> {
        let required = |error: &EncryptError| match error {
            EncryptError::InsufficientSize(size) => Some(size.required_size),
            EncryptError::EncryptExhausted => None,
        };
        loop {
            let UnbufferedStatus { discard, state, .. } =
                self.records.process_tls_records(&mut self.pending);
            debug_assert_eq!(discard, 0, "what could be taken was taken");
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    return scratch
                        .append(|room| write(&mut traffic, room), required)
                        .map_err(|error| Failure(error.to_string()));
                }
                Ok(ConnectionState::EncodeTlsData(mut message)) => scratch.encode(&mut message),
                Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
                Ok(ConnectionState::PeerClosed) => {}
                Ok(_) => return Err(Failure("no more can be written".to_owned())),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Records that were not taken when they were to be written.
    pub fn unsent(&self) -> &[u8] {
        &self.unsent
    }

    /// Keeps what was not taken of `scratch`: all but the first `count` bytes.
    pub fn keep_unsent(&mut self, scratch: &mut Scratch, count: usize) {
        debug_assert!(self.unsent.is_empty(), "these come before");
        self.unsent = scratch.outgoing()[count..].to_vec();
        scratch.clear();
    }

    /// Takes note that the first `count` bytes of [`Layer::unsent`] have been taken.
    pub fn note_sent(&mut self, count: usize) {
        self.unsent = self.unsent[count..].to_vec();
    }
}

type Traffic<'a> = rustls::unbuffered::WriteTraffic<'a, rustls::server::ServerConnectionData>;

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layer").field("is_open", &self.is_open).finish_non_exhaustive()
    }
}

impl From<rustls::Error> for Failure {
    fn from(error: rustls::Error) -> Failure {
        Failure(error.to_string())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}
