//! What goes wrong around a daemon, in an order that the seed gives: it is stopped, runs out of
//! descriptors, gets other certificates and users, less memory, moved pages, is flushed.
//!
//! Each fault is told with its time, and undone before the next begins.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::counts::Counts;
use super::daemons::Daemon;
use crate::clock;
use crate::daemon::certify;
use crate::random::Random;
use crate::running::Running;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGSTOP, and SIGCONT up to two seconds later.
    Stop,
    /// No more descriptors than are open, for some seconds.
    Descriptors,
    /// A good certificate, a broken one, a good one.
    Certificates,
    /// Other users: by rename, in place, broken, and back.
    Users,
    /// A quarter of the memory, or up to a half, for some seconds; then it is filled again.
    Memory,
    /// Pages moved by command, another automove, values of other sizes.
    Pages,
    /// `flush_all`; then it is filled again.
    Flush,
    /// Statistics, resets, a crawl, SIGHUP.
    Chores,
}

/// How often each has been done.
pub type Done = BTreeMap<&'static str, u64>;

/// One fault after the other until told to stop.
pub fn run(daemons: &[Daemon], counts: &Counts, running: &Running, seed: u64) -> Done {
    let mut scene = Faults { daemons, counts, running, random: Random::new(seed) };
    let mut done = Done::new();
    while scene.pause(1_000, 5_000) {
        let fault = ALL[scene.random.below(ALL.len() as u32) as usize];
        let fits = |daemon: &&Daemon| match fault {
            Fault::Certificates => daemon.target().is_some_and(|target| target.tls.is_some()),
            Fault::Users => daemon.target().is_some_and(|target| target.login.is_some()),
            _ => true,
        };
        let daemons: Vec<&Daemon> = daemons.iter().filter(fits).collect();
        if daemons.is_empty() {
            continue;
        }
        let daemon = daemons[scene.random.below(daemons.len() as u32) as usize];
        let name = name(fault);
        match scene.cause(fault, daemon) {
            Ok(()) => *done.entry(name).or_default() += 1,
            Err(error) => counts.error("fault not done", &format!("{name}: {error}")),
        }
    }
    done
}

struct Faults<'a> {
    daemons: &'a [Daemon],
    counts: &'a Counts,
    running: &'a Running,
    random: Random,
}

impl Faults<'_> {
    /// Waits for a time from the seed; whether to go on.
    fn pause(&mut self, from_ms: u32, to_ms: u32) -> bool {
        let ms = from_ms + self.random.below(to_ms - from_ms);
        self.running.pause(Duration::from_millis(ms.into()))
    }

    fn cause(&mut self, fault: Fault, daemon: &Daemon) -> io::Result<()> {
        self.counts.say(&format!("fault {} of {}", name(fault), daemon.name));
        match fault {
            Fault::Stop => self.stop(daemon),
            Fault::Descriptors => self.descriptors(daemon),
            Fault::Certificates => self.certificates(daemon),
            Fault::Users => self.users(daemon),
            Fault::Memory => self.memory(daemon),
            Fault::Pages => self.pages(daemon),
            Fault::Flush => self.flush(daemon),
            Fault::Chores => self.chores(daemon),
        }
    }

    fn stop(&mut self, daemon: &Daemon) -> io::Result<()> {
        let weather = &daemon.scene.weather;
        let bad = weather.bad(false);
        weather.stop_or_go();
        daemon.signal(Signal::SIGSTOP);
        self.pause(20, 2_000);
        daemon.signal(Signal::SIGCONT);
        weather.stop_or_go();
        drop(bad);
        Ok(())
    }

    fn descriptors(&mut self, daemon: &Daemon) -> io::Result<()> {
        let pid = daemon.pid.to_string();
        let open = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
        let before = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let before = before.and_then(|rest| rest.split_whitespace().next());
        let before = before.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        // Connections that leave make room for others, so that it is met again and again.
        let bad = daemon.scene.weather.bad(false);
        limit_files(&pid, &(open as u32 + self.random.below(3)).to_string())?;
        self.pause(500, 4_000);
        limit_files(&pid, before)?;
        drop(bad);
        Ok(())
    }

    fn certificates(&mut self, daemon: &Daemon) -> io::Result<()> {
        let dir = daemon.dir();
        for is_good in [self.random.below(3) > 0, true] {
            if is_good {
                let fresh = dir.join("fresh");
                fs::create_dir_all(&fresh)?;
                certify(&fresh)?;
                fs::rename(fresh.join("server.key"), dir.join("server.key"))?;
                fs::rename(fresh.join("server.crt"), dir.join("server.crt"))?;
            } else {
                let name = ["server.key", "server.crt"][self.random.below(2) as usize];
                fs::write(dir.join(name), "-----BEGIN CERTIFICATE-----\nnothing\n")?;
            }
            let way = self.random.below(3);
            self.counts.say(&format!(
                "  {} pair, read {}",
                if is_good { "good" } else { "broken" },
                ["by SIGHUP", "by refresh_certs", "when it is found"][way as usize]
            ));
            match way {
                0 => daemon.signal(Signal::SIGHUP),
                1 => drop(daemon.ask("refresh_certs")?),
                _ => drop(self.pause(1_500, 3_000)),
            }
            self.pause(500, 1_500);
        }
        Ok(())
    }

    fn users(&mut self, daemon: &Daemon) -> io::Result<()> {
        let path = daemon.dir().join("users");
        let Some(login) = daemon.target().and_then(|target| target.login.as_ref()) else {
            return Ok(());
        };
        let good = format!("{}:{}\n", login.user, login.password);
        let count = self.random.below(200);
        let more: String =
            (0..count).map(|number| format!("user{number}:secret{number}\n")).collect();
        let broken = format!("{good}{more}a line without a secret\n");
        let way = self.random.below(3);
        self.counts.say(["  by rename", "  in place", "  broken"][way as usize]);
        match way {
            0 => replace(&path, &format!("{good}{more}"))?,
            1 => fs::write(&path, format!("{good}{more}"))?,
            _ => replace(&path, &broken)?,
        }
        if self.random.below(2) == 0 {
            daemon.signal(Signal::SIGHUP);
        }
        self.pause(500, 3_000);
        replace(&path, &good)
    }

    fn memory(&mut self, daemon: &Daemon) -> io::Result<()> {
        let most = daemon.memory_mb;
        let least = (most / 4).max(16) + u64::from(self.random.below((most / 4) as u32));
        let _emptied = daemon.emptied();
        {
            let _bad = daemon.scene.weather.bad(false);
            // Lost under fire, it may have been done all the same.
            let answer = daemon.ask(&format!("cache_memlimit {least}"));
            self.counts.say(&format!("  {least} MB: {answer:?}"));
        }
        self.pause(1_000, 6_000);
        let _bad = daemon.scene.weather.bad(false);
        let restore = || daemon.ask(&format!("cache_memlimit {most}")).ok();
        clock::wait_for(RESTORE_PATIENCE, restore)
            .ok_or_else(|| io::Error::other("the limit could not be restored"))?;
        daemon.refill()
    }

    fn pages(&mut self, daemon: &Daemon) -> io::Result<()> {
        let size = self.random.below(3);
        daemon.scene.size.store(size, Relaxed);
        let mode = self.random.below(3);
        let mut answers = vec![daemon.ask(&format!("slabs automove {mode}"))?];
        for _ in 0..4 {
            let (from, to) = (1 + self.random.below(60), 1 + self.random.below(60));
            answers.push(daemon.ask(&format!("slabs reassign {from} {to}"))?);
            self.pause(20, 100);
        }
        answers.push(daemon.ask("slabs automove 1")?);
        let answers: Vec<String> = answers.into_iter().flatten().collect();
        self.counts.say(&format!("  sizes {size}, automove {mode}: {}", answers.join(", ")));
        Ok(())
    }

    fn flush(&mut self, daemon: &Daemon) -> io::Result<()> {
        let _emptied = daemon.emptied();
        let _bad = daemon.scene.weather.bad(false);
        let before = daemon.scene.ledger.before_flush();
        let answer = daemon.ask("flush_all")?;
        if answer != ["OK"] {
            return Err(io::Error::other(answer.join(" ")));
        }
        daemon.scene.ledger.flushed(&before);
        // What has been flushed is given back only in the minute that follows.
        daemon.fill()
    }

    fn chores(&mut self, daemon: &Daemon) -> io::Result<()> {
        let what = CHORES[self.random.below(CHORES.len() as u32) as usize];
        self.counts.say(&format!("  {what}"));
        if what == "SIGHUP" {
            for daemon in self.daemons {
                daemon.signal(Signal::SIGHUP);
            }
            return Ok(());
        }
        daemon.ask(what).map(drop)
    }
}

/// For how long a limit that was lowered is tried to be set again.
const RESTORE_PATIENCE: Duration = Duration::from_secs(60);

/// Lists are of a kind that [`Daemon::ask`] reads to the end.
const CHORES: &[&str] = &[
    "SIGHUP",
    "stats",
    "stats slabs",
    "stats items",
    "stats settings",
    "stats reset",
    "lru_crawler crawl all",
    "verbosity 0",
];

/// The first is more frequent, since what it does takes least.
const ALL: &[Fault] = &[
    Fault::Stop,
    Fault::Stop,
    Fault::Descriptors,
    Fault::Certificates,
    Fault::Users,
    Fault::Memory,
    Fault::Pages,
    Fault::Pages,
    Fault::Flush,
    Fault::Chores,
];

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Stop => "stop",
        Fault::Descriptors => "descriptors",
        Fault::Certificates => "certificates",
        Fault::Users => "users",
        Fault::Memory => "memory",
        Fault::Pages => "pages",
        Fault::Flush => "flush",
        Fault::Chores => "chores",
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, text)?;
    fs::rename(fresh, path)
}

/// Sets the limit of open files of another process, for which there is no safe call.
fn limit_files(pid: &str, count: &str) -> io::Result<()> {
    let mut command = Command::new("prlimit");
    command.args(["--pid", pid, &format!("--nofile={count}:")]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("prlimit failed")) }
}
