//! A run: streams of executions, on several threads.
#![forbid(unsafe_code)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, panic, thread};

use nuthatch::fuzz::Target;

use crate::failure;
use crate::mutate::Mutator;
use crate::random::Random;
use crate::watchdog::{self, Place};

/// Executions of a stream, in units of what one costs.
const STREAM: u64 = 20_000;

/// What the second half of a run may add to its memory.
const GROWTH_MAX_BYTES: u64 = 16 << 20;

/// What is to be run.
pub struct Plan {
    pub seed: u64,
    /// Of each target, in units of what one costs.
    pub executions: u64,
    /// In place of that.
    pub seconds: Option<u64>,
    pub threads: usize,
}

/// A target with what it is fed with, and what has come of it.
struct Work {
    target: Target,
    mutator: Mutator,
    /// Streams that have been begun.
    streams: AtomicU64,
    executions: AtomicU64,
    nanos: AtomicU64,
    failed: Mutex<Option<String>>,
}

/// CPUs that may be used.
pub fn cpus() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Runs all of it in two halves and fails if anything did.
#[expect(clippy::print_stdout, reason = "what a run tells")]
pub fn run(plan: &Plan, targets: &[Target]) {
    let works: Vec<Work> = targets.iter().map(|target| Work::new(*target)).collect();
    // What fails is told of when it is small.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let begin = now();
    let memory = [0, 1].map(|half| {
        run_half(plan, &works, half);
        resident_bytes()
    });
    panic::set_hook(hook);
    print(&works, begin.elapsed());
    let failed: Vec<String> = works.iter().filter_map(Work::failure).collect();
    assert!(failed.is_empty(), "failed: {}", failed.join("; "));
    println!("memory after each half: {} and {} KiB", memory[0] >> 10, memory[1] >> 10);
    assert!(memory[1] <= memory[0] + GROWTH_MAX_BYTES, "memory is lost: {memory:?}");
}

impl Work {
    fn new(target: Target) -> Work {
        Work {
            target,
            mutator: Mutator::new(&target),
            streams: AtomicU64::new(0),
            executions: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
            failed: Mutex::new(None),
        }
    }

    fn failure(&self) -> Option<String> {
        let failed = self.failed.lock().expect("nobody panics with it");
        failed.as_ref().map(|words| format!("{}: {words}", self.target.name))
    }

    /// The streams of both halves of a plan without seconds.
    fn streams_max(&self, plan: &Plan) -> u64 {
        plan.executions.div_ceil(STREAM)
    }

    fn stream_len(&self) -> u64 {
        (STREAM / self.target.cost).max(1)
    }
}

/// All targets in turn, each on all threads.
fn run_half(plan: &Plan, works: &[Work], half: u64) {
    let places: Vec<Place> = (0..plan.threads).map(|_| Place::default()).collect();
    let places = &places;
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || watchdog::watch(places, &is_done));
        let runs: Vec<_> = places
            .iter()
            .map(|place| {
                scope.spawn(move || works.iter().for_each(|work| go(plan, work, half, place)))
            })
            .collect();
        for run in runs {
            run.join().expect("a failure is caught");
        }
        drop(done);
    });
}

/// Streams of one target until it has had its part.
fn go(plan: &Plan, work: &Work, half: u64, place: &Place) {
    let begin = now();
    let parts = 2 * crate::targets().len() as u32;
    let share = plan.seconds.map(|seconds| Duration::from_secs(seconds) / parts);
    let streams_max = (work.streams_max(plan) * (half + 1)).div_ceil(2);
    let mut input = Vec::new();
    loop {
        let is_over = match share {
            Some(share) => begin.elapsed() >= share,
            None => work.streams.load(Relaxed) >= streams_max,
        };
        if is_over || work.failure().is_some() {
            break;
        }
        let stream = work.streams.fetch_add(1, Relaxed);
        let name = work.target.name.bytes().fold(0, |sum, byte| sum * 131 + u64::from(byte));
        let mut random = Random::of(plan.seed ^ name << 32, stream);
        let begin = now();
        for _ in 0..work.stream_len() {
            work.mutator.make(&mut random, &mut input);
            place.begin(work.target.name, &input);
            if let Some(words) = failure::of(&work.target, &input) {
                fail(work, &input, words);
                break;
            }
            work.executions.fetch_add(1, Relaxed);
        }
        work.nanos.fetch_add(begin.elapsed().as_nanos() as u64, Relaxed);
    }
    place.begin("", b"");
}

fn fail(work: &Work, input: &[u8], words: String) {
    let small = failure::smaller(&work.target, input);
    let words = failure::of(&work.target, &small).unwrap_or(words);
    failure::report(work.target.name, &small, &words);
    *work.failed.lock().expect("nobody panics with it") = Some(words);
}

#[expect(clippy::print_stdout, reason = "what a run tells")]
fn print(works: &[Work], took: Duration) {
    let mut sum = 0;
    for work in works {
        let (count, nanos) = (work.executions.load(Relaxed), work.nanos.load(Relaxed).max(1));
        sum += count;
        let rate = count as u128 * 1_000_000_000 / u128::from(nanos);
        let end = if work.failure().is_some() { "  FAILED" } else { "" };
        println!(
            "{:<14} {count:>12} executions, {rate:>8} a second and thread{end}",
            work.target.name
        );
    }
    println!("{:<14} {sum:>12} executions in {} s", "all", took.as_secs());
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a run takes is not a matter of the server's"
)]
fn now() -> Instant {
    Instant::now()
}

/// Memory of this process.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}
