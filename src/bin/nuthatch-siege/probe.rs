//! One pattern at a time: what it costs the server, and a client beside it.
#![forbid(unsafe_code)]

use std::io;
use std::thread;
use std::time::Duration;

use crate::args::Plan;
use crate::clock;
use crate::cores::{self, Cores};
use crate::daemon::{Server, Setup};
use crate::patterns::Pattern;
use crate::report;
use crate::resident::Resident;
use crate::running::Running;
use crate::tally::Tally;
use crate::target::{Needs, Target};
use crate::victim::client::Client;
use crate::victim::{Experience, Victim};

/// What came of one pattern.
#[derive(Debug)]
pub struct Outcome {
    /// The pattern's name.
    pub name: &'static str,
    /// What it did.
    pub tally: Tally,
    /// The victim before it.
    pub alone: Experience,
    /// The victim beside it.
    pub beside: Experience,
    /// Memory of the server before it, with a full cache.
    pub before: Resident,
    /// Memory of the server once the pattern's clients were gone.
    pub after: Resident,
    /// Whether the server answered at the end.
    pub is_alive: bool,
    /// Most that the server may have resident, in bytes.
    pub memory_max_bytes: u64,
}

impl Outcome {
    /// The bars of the plan that were missed, in words.
    pub fn misses(&self, plan: &Plan) -> Vec<String> {
        let latency = |of: &'_ Experience| match plan.clock {
            LatencyClock::Wall => (of.latency.percentile_ns(99.0), of.latency.max_ns()),
            LatencyClock::Server => (of.busy.percentile_ns(99.0), of.busy.max_ns()),
        };
        let (p99_alone_ns, _) = latency(&self.alone);
        let (p99_ns, max_ns) = latency(&self.beside);
        let rise_ns = p99_ns.saturating_sub(p99_alone_ns);
        let checks = [
            (!self.is_alive, "the server does not answer"),
            (self.after.most_bytes > self.memory_max_bytes, "memory"),
            (rise_ns >= plan.rise_max.as_nanos() as u64, "p99"),
            (max_ns >= plan.latency_max.as_nanos() as u64, "maximum"),
            (self.beside.lost + self.alone.lost > 0, "answers lost"),
            (self.beside.wrong + self.alone.wrong > 0, "wrong answers"),
            (self.beside.requests == 0, "the victim had no turn"),
            (self.tally.rounds == 0, "the pattern did nothing"),
        ];
        let missed = checks.into_iter().filter(|(is_missed, _)| *is_missed);
        missed.map(|(_, what)| what.to_owned()).collect()
    }
}

/// By which clock latencies are held against the bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatencyClock {
    /// The machine's, which should have nothing else to do.
    Wall,
    /// The processor time of the server.
    Server,
}

/// Probes each pattern; whether all bars were kept.
///
/// # Errors
///
/// A server cannot be started.
pub fn run(plan: &Plan) -> io::Result<bool> {
    let cores = Cores::choose();
    let mut outcomes = Vec::new();
    for pattern in &plan.patterns {
        let outcome = probe(plan, pattern, cores)?;
        report::tell(&outcome, plan)?;
        outcomes.push(outcome);
    }
    report::table(&outcomes, plan)?;
    Ok(outcomes.iter().all(|outcome| outcome.misses(plan).is_empty()))
}

fn probe(plan: &Plan, pattern: &Pattern, cores: Option<Cores>) -> io::Result<Outcome> {
    let mut setup = Setup::new(&plan.server, plan.memory_mb);
    setup.has_tls = pattern.needs == Needs::Tls;
    setup.has_udp = pattern.needs == Needs::Udp;
    setup.has_login = pattern.needs == Needs::Login;
    setup.args.clone_from(&plan.server_args);
    setup.core = cores.map(|cores| cores.server);
    let mut server = Server::start(&setup)?;
    if !pattern.needs.met_by(&server.target) {
        return Err(io::Error::other(format!("the server has no {:?} port", pattern.needs)));
    }
    cores::raise(server.target.pid);
    fill(&server.target)?;
    let before = server.resident()?;
    let target = &server.target;

    let (alone, beside) = (Running::for_time(plan.alone), Running::for_time(ENDLESS));
    let (tally, alone, beside) = thread::scope(|scope| {
        let victim = scope.spawn(|| {
            if let Some(cores) = cores {
                cores::bind_thread(cores.clients);
            }
            cores::come_first();
            let mut victim = Victim::new("one");
            (victim.run(target, &alone), victim.run(target, &beside))
        });
        let hostile = scope.spawn(|| {
            if let Some(cores) = cores {
                cores::bind_thread(cores.clients);
            }
            while alone.pause(plan.alone) {}
            (pattern.run)(target, &Running::for_time(plan.time), plan.seed)
        });
        let tally = hostile.join();
        beside.stop();
        let experiences = victim.join();
        let ended = |_| io::Error::other("a thread of the tool has panicked");
        let (alone, beside) = experiences.map_err(ended)?;
        Ok::<_, io::Error>((tally.map_err(ended)?, alone, beside))
    })?;

    let is_alive = server.ended().is_none() && Client::connect(&server.target).is_ok();
    let after = settled(&server).unwrap_or(before);
    Ok(Outcome {
        name: pattern.name,
        tally,
        alone,
        beside,
        before,
        after,
        is_alive,
        memory_max_bytes: memory_max_bytes(plan.memory_mb),
    })
}

/// Memory once all clients are gone, or after [`SETTLE_PATIENCE`] as it is then.
fn settled(server: &Server) -> io::Result<Resident> {
    let alone = || {
        let mut client = Client::connect(&server.target).ok()?;
        let mut line = client.ask("stats\r\n").ok()?;
        while line != "END" {
            if let Some(count) = line.strip_prefix("STAT curr_connections ") {
                // memcached counts its listeners, too.
                return count.parse().ok().filter(|count: &u64| *count <= 4);
            }
            line = client.next_line().ok()?;
        }
        None
    };
    clock::wait_for(SETTLE_PATIENCE, alone);
    server.resident()
}

/// Fills the cache, and a fifth more, so that what a pattern takes comes on top of that.
fn fill(target: &Target) -> io::Result<()> {
    let mut client = Client::connect(target)?;
    let value = "f".repeat(FILL_VALUE_BYTES);
    let count = target.memory_bytes / FILL_VALUE_BYTES as u64 * 6 / 5;
    for first in (0..count).step_by(100) {
        let mut batch = String::new();
        for number in first..count.min(first + 100) {
            batch += &format!("set fill:{number} 0 0 {FILL_VALUE_BYTES} noreply\r\n{value}\r\n");
        }
        client.ask(batch + "mn\r\n")?;
    }
    Ok(())
}

/// Most that a server with `-m memory_mb` may have resident: 5 % for what an allocator and an index
/// waste, and 8 MiB for code, stacks and buffers.
pub fn memory_max_bytes(memory_mb: u64) -> u64 {
    (memory_mb << 20) * 105 / 100 + (8 << 20)
}

/// How long the server may take to see that its clients are gone.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);

/// Longer than any run: it is stopped by word.
const ENDLESS: Duration = Duration::from_secs(86_400);

const FILL_VALUE_BYTES: usize = 1000;
