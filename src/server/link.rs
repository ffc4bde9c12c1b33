//! A stream with or without TLS: what a connection reads from and writes to.
//!
//! Without, a read goes into the buffer or the item that it is for, and a write takes the answers from
//! where they lie. With TLS a read brings cipher bytes into the worker's scratch and plain ones into the
//! buffer; answers are encrypted there, as many at once as `-o ssl_wbuf_size` says, and what the kernel does
//! not take of the records stays with the connection. Either way a go is one read and one write.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, IoSliceMut, Read, Write};

use arrayvec::ArrayVec;
use mio::{Interest, Registry, Token};

use super::handshakes::{Handshakes, Records};
use super::stream::Stream;
use crate::auth::Origin;
use crate::clock::{Now, Secs};
use crate::limits::{IO_SLICES_MAX, TLS_BYTE_COST};
use crate::session::Output;
use crate::tls::{Failure, Layer, Mode, Opened, RECORD_BYTES};

/// A connected socket and what is between it and the session.
#[derive(Debug)]
pub(super) struct Link {
    stream: Stream,
    tls: Tls,
    /// It has a place among the handshakes in flight: from when it is let begin until the handshake is
    /// done or has failed, whatever becomes of the socket meanwhile.
    has_place: bool,
}

#[derive(Debug)]
enum Tls {
    /// There is none.
    Off,
    /// Nothing has come yet.
    Fresh(Mode),
    /// Something has, and others are to have their handshakes first.
    Waiting(Mode),
    /// It has a place, and nothing has been read yet.
    Admitted(Mode),
    /// Its handshake is in flight or done.
    On(Records),
}

/// How far a write got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    Done,
    /// The kernel takes no more.
    Blocked,
    /// It would take more, but others are to have their turn.
    Paused,
}

/// What a read of records has brought.
#[derive(Debug)]
pub(super) enum Heard {
    /// Nothing, and there is no more.
    Nothing,
    /// Cipher bytes.
    Some {
        /// Plain bytes that they were.
        plain: usize,
        /// The kernel may have more, or the end has come and is told by the next read.
        more: bool,
        /// The handshake has just been done.
        opened: Option<Opened>,
        /// Messages of the handshake have been answered, for which keys had to be computed.
        has_answered: bool,
    },
    /// The end of input.
    End,
}

/// Why records cannot be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The socket has failed.
    Io(io::Error),
    /// The client does not keep to TLS; true: in the handshake.
    Tls(Failure, bool),
    /// There is no room for what is to be held back.
    Overfull,
}

impl Link {
    /// `mode`: the listener is one with TLS.
    pub(super) fn new(stream: Stream, mode: Option<Mode>) -> Link {
        Link { stream, tls: mode.map_or(Tls::Off, Tls::Fresh), has_place: false }
    }

    /// The socket.
    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Reports its events under `token`, once and for all.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Whether its bytes are records.
    pub(super) fn is_tls(&self) -> bool {
        !matches!(self.tls, Tls::Off)
    }

    /// What moving a byte costs, in bytes that are moved without TLS.
    #[inline]
    pub(super) fn byte_cost(&self) -> usize {
        if self.is_tls() { TLS_BYTE_COST } else { 1 }
    }

    /// Room for what comes of a read of `read_max` cipher bytes: of the rest of a record if that is more.
    pub(super) fn room_for_records(&self, read_max: usize) -> usize {
        match &self.tls {
            Tls::On(layer) => layer.pending_len() + layer.missing_len().max(read_max),
            _ => read_max,
        }
    }

    /// Whether it has a place among the handshakes in flight.
    pub(super) fn has_place(&self) -> bool {
        self.has_place
    }

    /// Gives its place back, if it has one. `index` is the connection's place in the worker's slab.
    pub(super) fn give_back(&mut self, index: usize, shared: &mut Handshakes) {
        if std::mem::take(&mut self.has_place) {
            shared.leave(index);
        }
    }

    /// Whether its handshake has begun and is not done.
    pub(super) fn is_amid_handshake(&self) -> bool {
        matches!(&self.tls, Tls::On(layer) if layer.is_in_handshake() && layer.has_heard())
    }

    /// Whether the front of a record has come and not the rest.
    pub(super) fn is_midway(&self) -> bool {
        matches!(&self.tls, Tls::On(layer) if layer.is_open() && layer.pending_len() > 0)
    }

    /// Whether it waits for such a place.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.tls, Tls::Waiting(_))
    }

    /// Gives it the place that it waits for.
    pub(super) fn admit(&mut self) {
        if let Tls::Waiting(mode) = self.tls {
            self.tls = Tls::Admitted(mode);
            self.has_place = true;
        }
    }

    /// When its handshake began, while that is not done, or has failed and the client does not take note.
    pub(super) fn handshake_started(&self) -> Option<Secs> {
        match &self.tls {
            Tls::On(layer) if !layer.is_open() => Some(layer.started()),
            _ => None,
        }
    }

    /// The names in the client's verified certificate; empty without one.
    pub(super) fn peer_names(&self) -> Vec<String> {
        match &self.tls {
            Tls::On(layer) => layer.peer_names(),
            _ => Vec::new(),
        }
    }

    /// Whether records wait to be written.
    pub(super) fn has_unsent(&self) -> bool {
        matches!(&self.tls, Tls::On(layer) if !layer.unsent().is_empty())
    }

    /// Reads once, as it comes; only without TLS, or for bytes that are thrown away.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.read(into)
    }

    /// Reads into `value` and, when that is filled, on into `input`, `bytes_max` at most. Answers how many bytes were
    /// offered to the kernel, how many of them belong to the value, and what the kernel said. Only
    /// without TLS.
    pub(super) fn read_value(
        &mut self,
        mut value: ArrayVec<IoSliceMut<'_>, IO_SLICES_MAX>,
        input: &mut [u8],
        bytes_max: usize,
    ) -> (usize, usize, io::Result<usize>) {
        let mut slices: ArrayVec<IoSliceMut<'_>, { IO_SLICES_MAX + 1 }> = ArrayVec::new();
        let mut room = bytes_max;
        for slice in &mut value {
            let part = slice.len().min(room);
            room -= part;
            slices.push(IoSliceMut::new(&mut slice[..part]));
        }
        let value_len = bytes_max - room;
        let input_len = input.len().min(room);
        slices.push(IoSliceMut::new(&mut input[..input_len]));
        let result = self.stream.read_vectored(&mut slices);
        (value_len + input_len, value_len, result)
    }

    /// Reads records once, the plain bytes to the front of `into`. Answers of the handshake, and alerts
    /// about a failure, are written as far as the kernel takes them. `index` is the connection's place.
    pub(super) fn read_records(
        &mut self,
        into: &mut [u8],
        index: usize,
        now: &Now,
        shared: &mut Handshakes,
    ) -> Result<Heard, ReadError> {
        if !self.begin(index, now, shared)? {
            return Ok(Heard::Nothing);
        }
        let Tls::On(layer) = &mut self.tls else { unreachable!("it has just begun") };
        let was_open = layer.is_open();
        if layer.is_ended() {
            return Ok(Heard::End);
        }
        let scratch = &mut shared.scratch;
        scratch.clear();
        let space = layer.space(scratch, into.len());
        if space.is_empty() {
            return Err(ReadError::Overfull);
        }
        let offered = space.len();
        let count = match self.stream.read(space) {
            Ok(0) => return Ok(Heard::End),
            Ok(count) => count,
            Err(err) if err.kind() == ErrorKind::WouldBlock => return Ok(Heard::Nothing),
            Err(err) if err.kind() == ErrorKind::Interrupted => {
                return Ok(Heard::Some { plain: 0, more: true, opened: None, has_answered: false });
            }
            Err(err) => return Err(ReadError::Io(err)),
        };
        let result = layer.take(scratch, count, into);
        let is_done = !layer.is_in_handshake();
        let has_answered = !was_open && !scratch.outgoing().is_empty();
        let sent = match scratch.outgoing() {
            [] => Ok(()),
            outgoing => write_once(&mut self.stream, outgoing)
                .map(|count| layer.keep_unsent(scratch, count)),
        };
        let is_ended = layer.is_ended();
        // Before anything that may have failed ends this.
        if is_done && self.has_place {
            shared.complete(now.instant);
            self.give_back(index, shared);
        }
        sent.map_err(ReadError::Io)?;
        let taken = result.map_err(|failure| ReadError::Tls(failure, !was_open))?;
        let more = count == offered || is_ended;
        Ok(Heard::Some { plain: taken.plain, more, opened: taken.opened, has_answered })
    }

    /// Bytes of memory for its records and keys.
    pub(super) fn held_bytes(&self) -> usize {
        match &self.tls {
            Tls::On(layer) => layer.held_bytes(),
            _ => 0,
        }
    }

    /// Makes sure that there is a handshake, in flight or done; false: it has to wait.
    fn begin(
        &mut self,
        index: usize,
        now: &Now,
        shared: &mut Handshakes,
    ) -> Result<bool, ReadError> {
        let mode = match self.tls {
            Tls::On(_) => return Ok(true),
            Tls::Off | Tls::Waiting(_) => return Ok(false),
            Tls::Fresh(mode) if shared.enter(index, || origin(&self.stream)) => {
                self.has_place = true;
                mode
            }
            Tls::Fresh(mode) => {
                self.tls = Tls::Waiting(mode);
                return Ok(false);
            }
            Tls::Admitted(mode) => mode,
        };
        self.tls = Tls::Admitted(mode);
        shared.begin(index, now.instant);
        let certificates = shared.certificates.as_ref().expect("a listener with TLS has some");
        let layer = Layer::new(certificates, mode, now.secs)
            .map_err(|failure| ReadError::Tls(failure, true))?;
        self.tls = Tls::On(Box::new(layer));
        Ok(true)
    }

    /// Writes what there is of `output`, about `bytes_max` of it; `note` is told how many bytes of it have gone, each time.
    #[inline]
    pub(super) fn write(
        &mut self,
        output: &mut Output,
        shared: &mut Handshakes,
        bytes_max: usize,
        note: impl FnMut(usize),
    ) -> io::Result<Flush> {
        match self.tls {
            Tls::Off => write_plain(&mut self.stream, output, bytes_max, note),
            _ => self.write_all_records(output, shared, bytes_max, note),
        }
    }

    /// Of its own, so that who has no TLS does not pay for its frame.
    #[inline(never)]
    fn write_all_records(
        &mut self,
        output: &mut Output,
        shared: &mut Handshakes,
        bytes_max: usize,
        mut note: impl FnMut(usize),
    ) -> io::Result<Flush> {
        let mut total = 0;
        loop {
            let (plain, flush) = self.write_records(output, shared, bytes_max)?;
            if plain > 0 {
                note(plain);
            }
            total += plain;
            match flush {
                Flush::Paused if total < bytes_max => {}
                flush => return Ok(flush),
            }
        }
    }

    /// Writes once: records that were not taken, else as much of `output` as is encrypted at once, which is
    /// answered; beyond a record no more than `bytes_max`.
    fn write_records(
        &mut self,
        output: &mut Output,
        shared: &mut Handshakes,
        bytes_max: usize,
    ) -> io::Result<(usize, Flush)> {
        let Tls::On(layer) = &mut self.tls else { return Ok((0, Flush::Done)) };
        let mut plain = 0;
        let (offered, sent) = if layer.unsent().is_empty() {
            let Handshakes { scratch, gathered, write_bytes, .. } = shared;
            scratch.clear();
            let chunk = front(output, gathered, bytes_max.max(RECORD_BYTES).min(*write_bytes));
            plain = chunk.len();
            layer.encrypt(chunk, scratch).map_err(io::Error::other)?;
            output.advance(plain);
            let offered = scratch.outgoing().len();
            let sent = write_once(&mut self.stream, scratch.outgoing())?;
            layer.keep_unsent(scratch, sent);
            (offered, sent)
        } else {
            let offered = layer.unsent().len();
            let sent = write_once(&mut self.stream, layer.unsent())?;
            layer.note_sent(sent);
            (offered, sent)
        };
        let flush = match output.is_empty() {
            _ if sent < offered => Flush::Blocked,
            true => Flush::Done,
            false => Flush::Paused,
        };
        Ok((plain, flush))
    }

    /// Tells the client that nothing more comes, as far as TLS has a word for it and the kernel takes it.
    pub(super) fn close(&mut self, shared: &mut Handshakes) {
        if let Tls::On(layer) = &mut self.tls
            && layer.unsent().is_empty()
        {
            let scratch = &mut shared.scratch;
            scratch.clear();
            layer.close(scratch);
            if !scratch.outgoing().is_empty() {
                let _gone = self.stream.write(scratch.outgoing());
                scratch.clear();
            }
        }
    }

    /// Tells the client that nothing more comes.
    pub(super) fn shutdown(&mut self, shared: &mut Handshakes) -> io::Result<()> {
        self.close(shared);
        self.stream.shutdown_write()
    }
}

/// The address of who is at the other end.
fn origin(stream: &Stream) -> Origin {
    stream.peer_addr().map(|address| address.ip())
}

/// Writes `output` from where it lies, until there is no more, or the kernel or others are in the way.
#[inline]
fn write_plain(
    stream: &mut Stream,
    output: &mut Output,
    bytes_max: usize,
    mut note: impl FnMut(usize),
) -> io::Result<Flush> {
    let mut written = 0;
    loop {
        let (offered, result) = match output.plain() {
            Some(bytes) => (bytes.len(), stream.write(bytes)),
            None => {
                let slices = output.slices(bytes_max);
                let offered = slices.iter().map(|slice| slice.len()).sum();
                (offered, stream.write_vectored(&slices))
            }
        };
        let count = match result {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => count,
            Err(err) if err.kind() == ErrorKind::WouldBlock => return Ok(Flush::Blocked),
            Err(err) if err.kind() == ErrorKind::Interrupted => continue,
            Err(err) => return Err(err),
        };
        note(count);
        output.advance(count);
        written += count;
        if output.is_empty() {
            return Ok(Flush::Done);
        } else if count < offered {
            return Ok(Flush::Blocked);
        } else if written >= bytes_max {
            return Ok(Flush::Paused);
        }
    }
}

/// How many of `bytes`, which are some, the kernel takes; 0: none now.
fn write_once(stream: &mut Stream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        return match stream.write(bytes) {
            Ok(0) => Err(ErrorKind::WriteZero.into()),
            Err(err) if err.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(err) if err.kind() == ErrorKind::Interrupted => continue,
            other => other,
        };
    }
}

/// The first bytes of `output`, at most `bytes_max`: where they lie if they lie together, else in
/// `gathered`.
fn front<'a>(output: &'a Output, gathered: &'a mut Vec<u8>, bytes_max: usize) -> &'a [u8] {
    if let Some(bytes) = output.plain() {
        return &bytes[..bytes.len().min(bytes_max)];
    }
    gathered.clear();
    for slice in output.slices(bytes_max) {
        let room = bytes_max - gathered.len();
        gathered.extend_from_slice(&slice[..slice.len().min(room)]);
    }
    gathered
}
