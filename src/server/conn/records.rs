//! What a connection makes of its records: their plain bytes, the end of a handshake, failures.
#![forbid(unsafe_code)]

use std::os::fd::AsRawFd;

use super::{Conn, Phase};
use crate::limits::{SMALL_READ_BYTES, TLS_FLIGHT_COST_BYTES};
use crate::metrics::Counter;
use crate::server::buffers::Buffers;
use crate::server::go::{Context, End};
use crate::server::link::{Heard, ReadError};
use crate::server::os_text;
use crate::session::Output;
use crate::tls::{Failure, Opened};
use crate::watch::{Classes, CloseReason, Event};

impl Conn {
    /// As `read`, with TLS; of its own, so that who has none does not pay for its frame.
    #[inline(never)]
    pub(super) fn read_records(
        &mut self,
        held: &mut Buffers,
        context: &mut Context<'_>,
    ) -> Result<usize, End> {
        let (index, now) = (context.index, &context.now);
        let cost = self.link.byte_cost();
        let most = context.pool.read_max();
        let read_max = (context.bytes_max(most * cost) / cost).max(SMALL_READ_BYTES);
        let space = held.input.space(self.link.room_for_records(read_max));
        match self.link.read_records(space, index, now, context.handshakes) {
            Ok(Heard::Nothing) => {
                self.readable = false;
                Ok(0)
            }
            Ok(Heard::Some { plain, more, opened, has_answered }) => {
                if has_answered {
                    context.spent += TLS_FLIGHT_COST_BYTES;
                }
                self.readable = more || self.peer_done;
                self.must_flush = self.link.has_unsent();
                self.writable = !self.must_flush;
                if let Some(opened) = opened {
                    self.note_opened(opened, context);
                }
                if self.session.handles_secrets() {
                    context.handshakes.scratch.wipe();
                }
                held.input.filled(plain);
                Ok(plain)
            }
            Ok(Heard::End) => {
                if self.link.is_amid_handshake() {
                    self.note_failure("the client has left amid the handshake", true, context);
                }
                Err(End::Done)
            }
            Err(ReadError::Tls(Failure(message), is_in_handshake)) => {
                self.note_failure(&message, is_in_handshake, context);
                self.hang_up(held, context).map(|()| 0)
            }
            Err(ReadError::Io(err)) => {
                if self.link.is_amid_handshake() {
                    self.note_failure(&os_text(&err), true, context);
                }
                Err(End::Failed(err))
            }
            Err(ReadError::Overfull) => Err(End::Overfull),
        }
    }

    /// Ends a conversation whose records make no sense: nothing is answered any more.
    fn hang_up(&mut self, held: &mut Buffers, context: &mut Context<'_>) -> Result<(), End> {
        self.reason = CloseReason::Error;
        self.phase = Phase::Closing;
        held.output = Output::new();
        held.input.clear();
        // What has come and has not been read would turn the end into a reset.
        self.readable = true;
        self.must_flush = self.link.has_unsent();
        self.writable = !self.must_flush;
        if self.must_flush { Ok(()) } else { self.finish(held, context) }
    }

    fn note_opened(&mut self, opened: Opened, context: &Context<'_>) {
        if self.session.is_guest() {
            self.session.show_certificate(self.link.peer_names());
        }
        let certificates = &context.handshakes.certificates;
        let has_cache = certificates.as_ref().is_some_and(|them| them.options().session_cache);
        if opened == Opened::Anew && has_cache {
            context.counters.bump(Counter::SslNewSessions);
        }
    }

    /// Counts and tells a failure of TLS.
    fn note_failure(&self, message: &str, is_in_handshake: bool, context: &Context<'_>) {
        context.counters.bump(match is_in_handshake {
            true => Counter::SslHandshakeErrors,
            false => Counter::SslProtoErrors,
        });
        let descriptor = self.stream().as_raw_fd();
        log::debug!("TLS of connection {descriptor}: {message}");
        let hub = context.shared.store.hub();
        if hub.watches(Classes::CONNEVENTS) {
            hub.emit(&Event::ConnTlsError { descriptor, message });
        }
    }
}
