//! Hostile clients, each against a server of its own with a full cache, beside a well-behaved one:
//! the probes of `nuthatch-siege`, a second each, for memory by the tool's own bars, for time by wider ones.
//!
//! Times are the server's processor time, since other tests' programs may run meanwhile on the same
//! machine; `docs/benchmarks.md` has those of a quiet one.
#![forbid(unsafe_code)]

use std::process::{Command, Stdio};

use crate::harness::{Program, alone, say};

/// What the client's latency may be here, where a second has some hundred requests, the daemon has its
/// assertions, and the machine other work: far from what it is for a client that waits for others.
const RISE_MS: &str = "20";
const MAX_MS: &str = "100";

/// Probes what is named, each for a second; all bars must be kept.
#[track_caller]
fn stands(patterns: &[&str]) {
    let _turn = alone();
    let mut siege = Command::new(env!("CARGO_BIN_EXE_nuthatch-siege"));
    siege.args(["probe", "--server-time", "--alone", "1", "--seconds", "1"]);
    siege.args(["--rise-ms", RISE_MS, "--max-ms", MAX_MS, "--server"]);
    siege.arg(Program::target().path).stdin(Stdio::null());
    for pattern in patterns {
        siege.args(["--only", pattern]);
    }
    let output = siege.output().expect("the tool runs");
    let report = String::from_utf8_lossy(&output.stdout);
    let table = report.lines().skip_while(|line| !line.starts_with("RSS"));
    table.for_each(|line| say(line.trim_end()));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}{complaint}");
}

/// What one client took from 64 MB to 623 MB in memcached: answers that nobody reads.
#[test]
fn answers_that_are_not_read() {
    stands(&["endless-get", "multiget-unread", "slow-readers", "quiet-gets", "metadump-unread"]);
}

/// What begins and does not end.
#[test]
fn requests_without_an_end() {
    stands(&["half-uploads", "connections", "detail-prefixes"]);
}

/// The bars can be missed: this server is told to take four times what it is judged by.
#[test]
fn a_bar_can_be_missed() {
    let _turn = alone();
    let mut siege = Command::new(env!("CARGO_BIN_EXE_nuthatch-siege"));
    siege.args(["probe", "--only", "idle", "--alone", "1", "--seconds", "1"]);
    siege.args(["--server-time", "--server-arg=-m256", "--server"]).arg(Program::target().path);
    let output = siege.stdin(Stdio::null()).output().expect("the tool runs");
    let report = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains("idle: memory"), "{report}");
}
