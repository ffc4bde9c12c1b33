//! Runs the conversation files in `tests/cases`, against the daemon and against memcached.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::client::Received;
use crate::harness::{Launch, Program, Server, say, together};
use crate::script::{Case, Feed};

static CASES: LazyLock<Result<Vec<Case>, String>> =
    LazyLock::new(|| Case::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")));

fn cases() -> &'static [Case] {
    CASES.as_ref().expect("the conversation files are well formed")
}

#[test]
fn whole() {
    check(Program::target(), false, |_| vec![Feed::Whole]);
}

#[test]
fn pipelined() {
    check(Program::target(), false, |case| {
        if case.may_pipeline { vec![Feed::Pipelined] } else { Vec::new() }
    });
}

#[test]
fn byte_by_byte() {
    check(Program::target(), true, |_| vec![Feed::Bytes]);
}

#[test]
fn at_every_split_point() {
    check(Program::target(), true, Case::splits);
}

#[test]
fn memcached_answers_the_same() {
    let Some(oracle) = Program::oracle() else { return };
    say(&format!("comparing with memcached {}", oracle.version));
    check(oracle.clone(), false, |_| vec![Feed::Whole]);
    check(oracle, true, |case| {
        // Where seconds have to be waited for, once will do.
        let splits = if case.longest_advance() == 0 { case.splits() } else { Vec::new() };
        std::iter::once(Feed::Bytes).chain(splits).collect()
    });
}

/// What a file says to differ must do so, or the file is wrong.
#[test]
fn memcached_differs_where_said() {
    let _turn = together();
    let Some(oracle) = Program::oracle() else { return };
    let mut equal = Vec::new();
    for case in cases().iter().filter(|case| !case.is_same_for(&oracle)) {
        if case.longest_advance() > WAITED_SECS_MAX || !accepts(&oracle, case) {
            continue;
        }
        let server = start(&oracle, case, false);
        if case.run(&oracle, &server, Feed::Whole).is_ok() {
            equal.push(case.name.as_str());
        }
    }
    assert!(equal.is_empty(), "memcached {} answers these just so: {equal:?}", oracle.version);
}

/// A memcached without `debugtime` is waited for, but not longer than this.
const WAITED_SECS_MAX: u64 = 3;

/// Conversations going on at a time; they mostly wait.
const THREADS: usize = 4;

/// Runs every case in every way that `feeds` names, and tells of all that failed.
#[track_caller]
fn check(program: Program, is_unix: bool, feeds: impl Fn(&Case) -> Vec<Feed> + Sync) {
    let _turn = together();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failures = Vec::new();
        let mut runs = 0;
        while let Some(case) = cases().get(next.fetch_add(1, Relaxed)) {
            let wait = if program.is_ours { u64::MAX } else { WAITED_SECS_MAX };
            if case.is_same_for(&program) && case.longest_advance() <= wait {
                let feeds = feeds(case);
                runs += feeds.len();
                failures.extend(run(&program, case, is_unix, &feeds).err());
            }
        }
        (runs, failures)
    };
    let (mut runs, mut failures) = (0, Vec::new());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let (count, failed) = thread.join().expect("a runner thread");
            runs += count;
            failures.extend(failed);
        }
    });
    assert!(runs > cases().len() / 2, "only {runs} runs of {} cases", cases().len());
    assert!(
        failures.is_empty(),
        "{} of {} cases failed\n{}",
        failures.len(),
        cases().len(),
        failures.join("\n\n")
    );
}

/// Runs one case, each time on an empty server; the first failure ends it.
fn run(program: &Program, case: &Case, is_unix: bool, feeds: &[Feed]) -> Result<(), String> {
    let mut server = start(program, case, is_unix);
    for (count, feed) in feeds.iter().enumerate() {
        if count > 0 && (case.wants_fresh_server || !wipe(&server)) {
            server = start(program, case, is_unix);
        }
        case.run(program, &server, *feed)?;
    }
    Ok(())
}

/// Empties the server; false where it will not have that, or is gone.
fn wipe(server: &Server) -> bool {
    let Some(mut client) = server.try_connect() else { return false };
    client.send("flush_all\r\nstats reset\r\nverbosity 0\r\n");
    while client.pending().len() < WIPED.len() && WIPED.starts_with(client.pending()) {
        if client.receive(crate::harness::PATIENCE) != Received::Some {
            return false;
        }
    }
    client.pending() == WIPED
}

const WIPED: &[u8] = b"OK\r\nRESET\r\nOK\r\n";

fn start(program: &Program, case: &Case, is_unix: bool) -> Server {
    let mut args = case.args.clone();
    if program.is_ours && case.longest_advance() > 0 {
        args.extend(["-o".to_owned(), "debug_clock".to_owned()]);
    }
    let launch = Launch::of(program.clone(), &args);
    if is_unix { launch.unix().start() } else { launch.start() }
}

/// Whether memcached knows the case's arguments; `-o debug_clock` is ours.
fn accepts(program: &Program, case: &Case) -> bool {
    program.is_ours || !case.args.iter().any(|arg| arg == "debug_clock")
}
