//! Writing answers, in parts that take a bounded time.
#![forbid(unsafe_code)]

use super::Conn;
use crate::limits::{BUSY_GO_BYTES, TIMED_WRITE_BYTES, VALUE_BYTES_PER_GO, WRITE_AT_ONCE_BYTES};
use crate::metrics::Counter;
use crate::server::go::{Context, End};
use crate::server::link::Flush;
use crate::server::ready::Kind;
use crate::session::Output;

impl Conn {
    /// Writes what there is; afterwards `must_flush` tells whether some of it is left.
    #[inline]
    pub(super) fn flush(
        &mut self,
        output: &mut Output,
        context: &mut Context<'_>,
    ) -> Result<(), End> {
        if output.is_empty() && !self.link.has_unsent() {
            self.must_flush = false;
            return Ok(());
        }
        let cost = self.written_byte_cost(context);
        let bytes_max = self.write_max(cost, context);
        let is_timed = output.weight() >= WRITE_AT_ONCE_BYTES && !self.link.is_tls();
        let started = is_timed.then(|| context.shared.clock.now().instant);
        let (counters, now, before) = (context.counters, context.now.secs, self.moved_bytes);
        let (active_at, moved_bytes) = (&mut self.active_at, &mut self.moved_bytes);
        let note = |count| {
            counters.add(Counter::BytesWritten, count as u64);
            *moved_bytes = moved_bytes.saturating_add(count as u32);
            *active_at = now;
        };
        let flush = self.link.write(output, context.handshakes, bytes_max, note);
        let moved = (self.moved_bytes - before) as usize;
        context.spent += moved * cost;
        if let Some(started) = started.filter(|_| moved >= TIMED_WRITE_BYTES) {
            context.pace.note(moved, context.shared.clock.now().instant - started);
        }
        let flush = flush.map_err(End::Failed)?;
        self.must_flush = flush != Flush::Done;
        self.writable = flush != Flush::Blocked;
        Ok(())
    }

    /// What a byte that it writes counts as.
    #[inline]
    fn written_byte_cost(&self, context: &Context<'_>) -> usize {
        match self.link.is_tls() {
            true => self.link.byte_cost(),
            false => context.pace.byte_cost(),
        }
    }

    /// Bytes that it may write now, each at such a cost. With TLS it is a record at the least, whatever this says.
    #[inline]
    fn write_max(&self, cost: usize, context: &Context<'_>) -> usize {
        if self.link.is_tls() && self.standing.kind() != Kind::Light {
            return context.bytes_max(VALUE_BYTES_PER_GO) / cost;
        }
        let most = context.bytes_max(self.standing.write_max(context.others_wait));
        (most / cost).max(BUSY_GO_BYTES as usize)
    }
}
