//! Sockets and threads: one acceptor, one event loop for each worker.
//!
//! ```text
//!            listeners, signals
//!                   │
//!              [acceptor]  the thread that calls `run`
//!      channel + waker │ to the least loaded
//!      ┌───────────┬───┴───────┐
//!  [worker 0]  [worker 1]  [worker N]   each: Poll, slab of Conn, ready list, buffer pool
//!      │
//!    [conn] = stream + session; borrows read and answer buffers only while it has work
//! ```
//!
//! Workers share nothing but [`Shared`]; each has a mailbox (`mail`) that any thread can write to. All readiness is edge-triggered:
//! both interests are registered once, the readiness bits live in the connection, and what a
//! connection waits for is computed from its state in one function.
#![forbid(unsafe_code)]

mod acceptor;
mod addresses;
mod announce;
mod buffers;
mod conn;
mod crowd;
mod gather;
mod go;
mod handshakes;
mod link;
mod listener;
mod login;
mod mail;
mod pace;
mod parts;
mod peers;
pub mod process;
mod ready;
mod signals;
mod stream;
#[cfg(test)]
mod tests;
mod tickets;
mod udp;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use mio::Waker;
use nix::errno::Errno;
use parking_lot::Mutex;

use crate::auth::Gate;
use crate::limits::DEADLINE_SECS;
use crate::session::{Protocol, Shared};
use crate::tls::{Certificates, Mode};
use acceptor::Acceptor;
use announce::Announcement;
use gather::Gather;
use listener::Listener;

/// How the server listens and serves.
#[derive(Clone, Debug)]
pub struct Options {
    /// `-l`. Empty: loopback (127.0.0.1 and ::1 where there is one).
    pub listen: Vec<Listen>,
    /// `-p`
    pub port: Port,
    /// `-U`
    pub udp_port: Port,
    /// `-o udp_public`: UDP also where other machines can reach it.
    pub udp_public: bool,
    /// `-s`: listen on this socket only.
    pub unix_socket: Option<PathBuf>,
    /// `-a`: permission bits of the socket file.
    pub unix_mask: u32,
    /// `-B`
    pub protocol: Protocol,
    /// `-b`: connections that the kernel may hold before they are accepted.
    pub backlog: u32,
    /// `-t`: workers, at least 1. [`crate::metrics::Metrics`] needs one block more, the last is
    /// the acceptor's.
    pub threads: usize,
    /// `-c`: client connections open at a time.
    pub connections_max: usize,
    /// `-R`: requests of one connection before others get their turn.
    pub requests_per_turn: u32,
    /// At `-c`: true answers and closes, false stops accepting until a connection closes.
    pub maxconns_fast: bool,
    /// `-o maxconns_per_address`: connections that one address may have; 0 for any number.
    pub maxconns_per_address: u32,
    /// `-o idle_timeout`: seconds after which a silent TCP connection is closed; 0 for never.
    pub idle_timeout_secs: u32,
    /// Until when what has begun must be done.
    pub deadlines: Deadlines,
    /// `MEMCACHED_PORT_FILENAME`: file to tell the TCP ports in.
    pub port_file: Option<PathBuf>,
    /// `-P`: file to tell the process id in.
    pub pid_file: Option<PathBuf>,
    /// Whether the pid file goes away at exit (`-d`).
    pub remove_pid_file: bool,
    /// `-u`: user to become once the ports are bound.
    pub drop_to: Option<String>,
    /// `-Z`: what listeners prove themselves with; None: a server without TLS.
    pub certificates: Option<Arc<Certificates>>,
}

/// Seconds after which a client that stops amid something is closed; 0 for never. An eighth of them, but no less
/// than [`crate::limits::PATIENCE_TIGHT_MIN_SECS`], while memory is tight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// `-o request_timeout`: for the rest of a request line, of a packet but for its value, of a record of TLS.
    pub request_secs: u32,
    /// `-o upload_timeout`: for the rest of a value, and a second more for each
    /// [`crate::limits::SLOW_BYTES_PER_SEC`] of it.
    pub upload_secs: u32,
    /// `-o send_timeout`: to take the answers that wait, and as much more by their size.
    pub send_secs: u32,
    /// `-o login_timeout`: to log in, where clients have to.
    pub login_secs: u32,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            request_secs: DEADLINE_SECS,
            upload_secs: DEADLINE_SECS,
            send_secs: DEADLINE_SECS,
            login_secs: DEADLINE_SECS,
        }
    }
}

/// One element of `-l`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// Name, IPv4, IPv6 without brackets, or `*` for all interfaces.
    pub host: String,
    /// None: that of `-p`, for UDP that of `-U`.
    pub port: Option<u16>,
    /// None: that of `-B`.
    pub protocol: Option<Protocol>,
    /// What it encrypts.
    pub encryption: Encryption,
}

/// What a prefix of an element of `-l` says of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Nothing: as `-Z` and `ssl_verify_mode` say.
    #[default]
    AsServer,
    /// `notls:`
    Off,
    /// `btls:`: on, and no certificate is asked for.
    NoPeer,
    /// `mtls:`: on, and clients must have a certificate.
    Peer,
}

/// What a listener's clients are to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    protocol: Protocol,
    /// None: without TLS.
    tls: Option<Mode>,
}

impl Encryption {
    /// The mode of a TCP listener of a server with TLS, or of one without.
    fn mode(self, has_tls: bool) -> Option<Mode> {
        match self {
            Encryption::AsServer => has_tls.then_some(Mode::Default),
            Encryption::Off => None,
            Encryption::NoPeer => Some(Mode::NoPeer),
            Encryption::Peer => Some(Mode::Peer),
        }
    }
}

/// The TCP port of `-p`, the UDP port of `-U`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// `-p 0`, `-U 0`: no socket of that kind at all.
    Off,
    /// `-p -1`, `-U -1`: whichever is free.
    Any,
    /// This one.
    Number(u16),
}

/// Why the server could not start, for a person, with the exit code to leave.
#[derive(Debug)]
pub struct StartError {
    /// One or more lines without a final newline.
    pub message: String,
    /// As of options, section 7.
    pub exit_code: u8,
}

/// Binds, starts the workers, serves until a signal or the `shutdown` command, and returns once
/// every connection is closed and every worker joined, about [`crate::limits::DRAIN_SECS`] later
/// at the latest.
///
/// `gate` judges logins, if [`crate::session::Options::login`] asks for them. The process is to leave
/// with 0 after `Ok`. Port and pid file appear when the sockets accept (options, section 8).
pub fn run(options: &Options, mut shared: Shared, gate: Option<Gate>) -> Result<(), StartError> {
    shared.certificates = options.certificates.clone().map(|them| them as _);
    let (listeners, udp) = listen(options)?;
    let announcement = Announcement::new(options, gate.is_some(), &listeners, &udp);
    let mut acceptor = Acceptor::start(options, listeners, udp, Arc::new(shared), gate)?;
    announcement.publish();
    acceptor.serve();
    acceptor.stop();
    announcement.withdraw();
    log::info!("stopped");
    Ok(())
}

/// Binds the sockets and gives up privileges: a port below 1024 needs them, but the file of a unix
/// socket has to belong to the user that serves it.
fn listen(options: &Options) -> Result<(Vec<Listener>, Vec<udp::Bound>), StartError> {
    let drop_privileges = || options.drop_to.as_deref().map_or(Ok(()), process::drop_privileges);
    if options.unix_socket.is_some() {
        drop_privileges()?;
        Ok((listener::bind(options)?, Vec::new()))
    } else {
        let bound = (listener::bind(options)?, udp::bind(options)?);
        drop_privileges()?;
        Ok(bound)
    }
}

impl StartError {
    /// EX_OSERR: sockets and other refusals of the system.
    pub(crate) fn os(message: String) -> StartError {
        StartError { message, exit_code: 71 }
    }

    /// EX_USAGE: options that do not go together.
    fn usage(message: String) -> StartError {
        StartError { message, exit_code: 64 }
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StartError {}

/// What a worker can ask of the acceptor.
struct Control {
    /// The acceptor's.
    waker: Waker,
    /// The server is to stop.
    stop: AtomicBool,
    /// Lists that workers want gathered. At most one for each connection.
    gathers: Mutex<Vec<Arc<Gather>>>,
    /// Where logins are judged; None: nobody has to log in.
    desk: Option<login::Desk>,
    /// Threads that have something to list: the workers and the acceptor.
    listing_threads: usize,
}

impl Control {
    /// Stops the server as SIGINT does, or SIGUSR1 if `graceful`.
    fn stop(&self, graceful: bool) {
        signals::log_stop(graceful);
        self.stop.store(true, SeqCst);
        self.wake();
    }

    /// Has the acceptor ask everybody for a portion of the list of connections.
    fn gather(&self, gather: Arc<Gather>) {
        self.gathers.lock().push(gather);
        self.wake();
    }

    fn wake(&self) {
        if let Err(err) = self.waker.wake() {
            log::error!("cannot wake the acceptor: {err}");
        }
    }
}

/// The system's words for an error, without Rust's addition of its number.
fn os_text(err: &std::io::Error) -> String {
    match err.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => err.to_string(),
    }
}
