//! The signals that the server answers to, as events of the acceptor's poll.
#![forbid(unsafe_code)]

use std::io;

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

/// The signals that wait to be acted on.
pub(super) struct Signals(signal_hook_mio::v1_0::Signals);

/// What signals ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) stop: bool,
    /// Files are to be read anew (SIGHUP).
    pub(super) reload: bool,
}

impl Signals {
    /// Catches SIGTERM, SIGINT, SIGUSR1 and SIGHUP from now on; `token` becomes readable at each.
    pub(super) fn register(registry: &Registry, token: Token) -> io::Result<Signals> {
        let mut signals = signal_hook_mio::v1_0::Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGHUP])?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(Signals(signals))
    }

    /// Takes what has come and tells what the server is to do (options, section 6).
    pub(super) fn take(&mut self) -> Asked {
        let mut asked = Asked { stop: false, reload: false };
        for signal in self.0.pending() {
            match signal {
                SIGHUP => asked.reload = true,
                _ => {
                    log_stop(signal == SIGUSR1);
                    asked.stop = true;
                }
            }
        }
        asked
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
