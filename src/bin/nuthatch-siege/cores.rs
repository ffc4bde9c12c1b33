//! Which core runs what, and what runs first.
//!
//! The server has the first core that this process may use, and the tool the second. On the first
//! the server runs before other programs (nice -15), and on the second the victim's thread before
//! the hostile ones, by real-time priority, both where that is allowed: so what the victim waits for
//! is the server and no core. The patterns `idle` and `burn` show what is left of that.
#![forbid(unsafe_code)]

use std::process::{Command, Stdio};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, gettid};

/// The cores of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// The server's.
    pub server: usize,
    /// That of all clients.
    pub clients: usize,
}

impl Cores {
    /// The first two that this process may use; none where there is only one.
    pub fn choose() -> Option<Cores> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let mut cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
        Some(Cores { server: cores.next()?, clients: cores.next()? })
    }
}

/// Binds the calling thread, and the threads and processes that it starts later, to `core`.
pub fn bind_thread(core: usize) {
    let mut set = CpuSet::new();
    // Without it the figures are noisier, which the control patterns show.
    let _ = set.set(core).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
}

/// Lets process `pid`, with the threads that it has, run before what else is on this machine, as far
/// as this process may. Not by real-time priority: a server that is kept busy would be throttled.
pub fn raise(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    threads
        .into_iter()
        .flatten()
        .flatten()
        .all(|thread| run("renice", &["-n", "-15", "-p", &thread.file_name().to_string_lossy()]))
}

/// Lets the calling thread run before all others on its core. Whether it may.
///
/// There is no safe call for that: the program `chrt` does it, or else `renice`.
pub fn come_first() -> bool {
    let tid = gettid().to_string();
    run("chrt", &["-f", "-p", "10", &tid]) || run("renice", &["-n", "-5", "-p", &tid])
}

fn run(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
