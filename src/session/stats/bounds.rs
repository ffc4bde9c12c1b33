//! What memory is held for, and how often a bound was met: the last lines of `stats`.
#![forbid(unsafe_code)]

use super::{Sink, add_all};
use crate::memory::Part;
use crate::metrics::Counter;
use crate::session::Turn;
use crate::store::Totals;

pub(super) fn list(into: &mut dyn Sink, totals: &Totals, turn: &Turn<'_>) {
    let (memory, store) = (&turn.shared.memory, &turn.shared.store);
    let part = |part| memory.part(part) as u64;
    let total = |counter| turn.shared.metrics.total(counter);
    add_all(
        into,
        &[
            ("memory_items", totals.total_malloced),
            ("memory_index", totals.hash_bytes),
            ("memory_ghosts", store.ghost_bytes() as u64),
            ("memory_uploads", store.uploading_bytes() as u64),
            ("memory_pinned", store.pinned_bytes() as u64),
            ("memory_connections", part(Part::Connections)),
            ("memory_input", part(Part::Input)),
            ("memory_output", part(Part::Output)),
            ("memory_requests", part(Part::Requests)),
            ("memory_dumps", part(Part::Dumps)),
            ("memory_tls", part(Part::Tls)),
            ("memory_watchers", part(Part::Watchers)),
            ("memory_prefixes", part(Part::Prefixes)),
            ("memory_logins", part(Part::Logins)),
            ("memory_lent", store.lent_bytes() as u64),
            ("memory_pressure", memory.level() as u64),
            ("request_timeouts", total(Counter::RequestTimeouts)),
            ("upload_timeouts", total(Counter::UploadTimeouts)),
            ("send_timeouts", total(Counter::SendTimeouts)),
            ("login_timeouts", total(Counter::LoginTimeouts)),
            ("memory_waits", total(Counter::MemoryWaits)),
            ("memory_waits_over", total(Counter::MemoryWaitsOver)),
            ("memory_uploads_taken", total(Counter::ArrivalsTaken)),
            ("memory_readers_closed", total(Counter::ReaderKicks)),
            ("memory_kicks", total(Counter::MemoryKicks)),
            ("memory_refused_connections", total(Counter::MemoryRefused)),
        ],
    );
}
