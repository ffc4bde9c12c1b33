//! `refresh_certs`, and what `stats` shows of TLS.
#![forbid(unsafe_code)]

use std::fmt::Debug;

use crate::clock::{Now, Secs};
use crate::protocol::Reply;
use crate::session::stats::{Sink, yes_no};
use crate::session::{Output, Shared, Step, Turn};

/// The certificates of a server with TLS, as sessions reach them.
pub trait Certificates: Debug + Send + Sync {
    /// Reads the files anew, for new connections. `Err`: the line that the client and the log are told; what
    /// there was stays in use.
    fn refresh(&self, now: Now) -> Result<(), String>;

    /// When they were last loaded.
    fn refreshed_at(&self) -> Secs;

    /// Whether sessions may be resumed, so that new ones are counted.
    fn has_session_cache(&self) -> bool;

    /// The keys and values of `stats settings`, in order.
    fn settings(&self) -> Vec<(&'static str, String)>;
}

/// `refresh_certs`
pub(super) fn refresh(out: &mut Output, turn: &mut Turn<'_>) -> Step {
    turn.was_long = true;
    match &turn.shared.certificates {
        None => out.push(Reply::TlsNotEnabled.line()),
        Some(certificates) => match certificates.refresh(turn.now) {
            Ok(()) => out.push(Reply::Ok.line()),
            Err(line) => {
                out.push(line.as_bytes());
                out.push(b"\r\n");
            }
        },
    }
    Step::on(0)
}

/// What `stats settings` shows.
pub(super) fn settings(into: &mut dyn Sink, shared: &Shared) {
    into.add("ssl_enabled", &yes_no(shared.certificates.is_some()));
    for (key, value) in shared.certificates.iter().flat_map(|them| them.settings()) {
        into.add(key, &value);
    }
}
