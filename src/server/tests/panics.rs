//! A panic of any thread ends the process, with a last line that says so.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use nix::libc;

use super::*;
use crate::auth;
use crate::server::process::stop_on_panic;

/// Names the thread that is to break, in the process that breaks.
const WHO: &str = "NUTHATCH_TEST_PANIC";

/// Runs [`breaks`] in a process of its own.
fn run(who: &str, log: &str) -> Output {
    let own = std::env::current_exe().expect("this program");
    Command::new(own)
        .args(["--exact", "server::tests::panics::breaks", "--nocapture"])
        .env(WHO, who)
        .env("RUST_LOG", log)
        .env_remove("RUST_BACKTRACE")
        .output()
        .expect("it runs")
}

#[track_caller]
fn check(who: &str, thread: &str, file: &str) {
    for (log, start) in [("info", "["), ("off", "stopping on purpose")] {
        let output = run(who, log);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
        let last = text.lines().next_back().expect("last words");
        assert!(last.starts_with(start), "{text}");
        let place = format!(
            "stopping on purpose after a panic, rather than serve wrong values: thread {thread}, \
             src/server/{file}:"
        );
        assert!(last.contains(&place), "{text}");
        assert!(last.ends_with(r": a test\nwants it"), "on one line: {text}");
    }
}

#[test]
fn a_worker_that_breaks_stops_the_process() {
    check("worker", "nuthatch-0", "worker.rs");
}

#[test]
fn the_thread_for_logins_that_breaks_stops_the_process() {
    check("logins", "nuthatch-auth", "login.rs");
}

#[test]
fn the_acceptor_that_breaks_stops_the_process() {
    check("acceptor", "server::tests::panics::breaks", "tests/panics.rs");
}

/// Nothing, but in the process that [`run`] starts.
#[test]
fn breaks() {
    let Ok(who) = std::env::var(WHO) else { return };
    env_logger::init();
    stop_on_panic();
    let options = options();
    let gate = auth::Gate::open(auth::Options {
        file: None,
        sasl: false,
        mechanisms: None,
        hostname: String::new(),
        delay: Duration::ZERO,
    })
    .expect("a gate without users");
    let listeners = listener::bind(&options).expect("bound");
    let shared = shared(options.threads);
    let mut acceptor =
        Acceptor::start(&options, listeners, Vec::new(), shared, Some(gate)).expect("started");
    match who.as_str() {
        "worker" => acceptor.worker().panic(),
        "logins" => acceptor.control().desk.as_ref().expect("logins").panic(),
        _ => panic!("a test\nwants it"),
    }
    acceptor.serve();
}
