//! The signals that the server answers to, as events of the acceptor's poll.
#![forbid(unsafe_code)]

use std::io;

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

/// The signals that wait to be acted on.
pub(super) struct Signals(signal_hook_mio::v1_0::Signals);

/// What they ask for (options, section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pending {
    /// The server is to stop.
    pub(super) stop: bool,
    /// Files are to be read again.
    pub(super) reload: bool,
}

impl Signals {
    /// Catches SIGTERM, SIGINT, SIGUSR1 and SIGHUP from now on; `token` becomes readable at each.
    pub(super) fn register(registry: &Registry, token: Token) -> io::Result<Signals> {
        let mut signals = signal_hook_mio::v1_0::Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGHUP])?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(Signals(signals))
    }

    /// Takes what has come.
    pub(super) fn take(&mut self) -> Pending {
        let mut pending = Pending::default();
        for signal in self.0.pending() {
            match signal {
                SIGHUP => pending.reload = true,
                _ => {
                    log_stop(signal == SIGUSR1);
                    pending.stop = true;
                }
            }
        }
        pending
    }
}

/// Says on what terms the server stops, in memcached's words.
pub(super) fn log_stop(graceful: bool) {
    if graceful {
        log::warn!("Gracefully stopping");
    } else {
        log::info!("Exiting normally");
    }
}
