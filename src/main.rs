//! Entry point: arguments, configuration, process, server; errors to standard error and the exit code.
#![forbid(unsafe_code)]

use std::alloc::System;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use nuthatch::auth::Gate;
use nuthatch::cli::{self, EX_USAGE, Given, Invocation};
use nuthatch::clock::{Clock, FIRST_SEC, Secs};
use nuthatch::config::{Config, Environment};
use nuthatch::discovery::Discovery;
use nuthatch::journal;
use nuthatch::metrics::Metrics;
use nuthatch::server::{self, StartError};
use nuthatch::session::Shared;
use nuthatch::store::Store;
use nuthatch::tls::{self, Certificates};
use nuthatch::watch::Hub;
use zeroizing_alloc::ZeroAlloc;

/// Memory is wiped when it is freed: what a client or a file has sent may be a password, and libraries
/// make copies of it.
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

/// The store, to the end of the process.
static KEPT: OnceLock<Arc<Store>> = OnceLock::new();

fn main() -> ExitCode {
    let done = match cli::parse(std::env::args_os()) {
        Ok(Invocation::Print(text)) => print(&text),
        Ok(Invocation::Passwd(task)) => {
            task.carry_out().map_err(plain).and_then(|line| print(&line))
        }
        Ok(Invocation::Serve(given)) => serve(&given),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without standard error there is nobody left to tell; the exit code remains.
            let _ = writeln!(io::stderr(), "{}", error.message);
            ExitCode::from(error.exit_code)
        }
    }
}

fn print(text: &str) -> Result<(), StartError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| StartError {
        message: format!("cannot write to standard output: {error}"),
        exit_code: 1,
    })
}

/// The certificates of a server with TLS.
fn load(tls: Option<tls::Options>) -> Result<Option<Arc<Certificates>>, StartError> {
    let Some(options) = tls else { return Ok(None) };
    match Certificates::load(options, Secs(FIRST_SEC)) {
        Ok(certificates) => Ok(Some(Arc::new(certificates))),
        Err(error) => Err(StartError { message: error.0, exit_code: EX_USAGE }),
    }
}

fn serve(given: &Given) -> Result<(), StartError> {
    let Config { store, watch, session, mut server, auth, tls, cluster_file, process, warnings } =
        Config::new(given, &Environment::read())?;
    server::process::stop_on_panic();
    journal::start(process.log_level);
    warnings.iter().for_each(|line| log::warn!("{line}"));
    let gate = auth.map(Gate::open).transpose().map_err(plain)?;
    // While files can still be named as from where it was started, and by who started it.
    server.certificates = load(tls)?;
    let discovery = cluster_file.map(|path| Discovery::open(&path)).transpose();
    let discovery = discovery.map_err(|message| StartError { message, exit_code: EX_USAGE })?;
    process.apply(server.drop_to.as_deref())?;

    let clock = Arc::new(Clock::start());
    let hub = Hub::new(&watch, Arc::clone(&clock));
    let store = Store::with_hub(&store, hub).map_err(|error| plain(error.0))?;
    // Freeing it would wipe all of its reserved memory, most of it for the first time. Kept where tools
    // that look for leaks find it.
    KEPT.get_or_init(|| Arc::clone(&store));
    let metrics = Arc::new(Metrics::new(server.threads + 1));
    let shared = Shared { discovery, ..Shared::new(store, metrics, clock, session) };
    server::run(&server, shared, gate)
}

fn plain(message: String) -> StartError {
    StartError { message, exit_code: 1 }
}
