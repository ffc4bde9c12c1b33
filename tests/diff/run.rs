//! The run itself: sequences in turn, failures confirmed, made small and told of.
#![forbid(unsafe_code)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::allowed::{self, Likeness};
use crate::generate::{self, Dialect};
use crate::harness::{Program, moment, say};
use crate::oracle::{NEW_PARSER, Oracle};
use crate::pair::{Heard, Pair};
use crate::report;
use crate::sequence::Sequence;
use crate::shrink::shrink;

/// How a run is to be.
struct Options {
    seed: u64,
    first: u64,
    count: u64,
    failures_max: usize,
    dialects: Vec<Dialect>,
}

/// Threads, each with its pairs of servers.
const WORKERS: usize = 2;

/// The options with which sequences are run, in turn: most without any, some without uniques. Older
/// memcacheds are asked without any: with `-C` they forget what was stored in the second of a flush.
const OPTIONS: [Option<&str>; 8] = [None, None, None, None, None, None, None, Some("-C")];

/// Times that a sequence has to fail in a row to be a failure that can be made small.
const CONFIRMATIONS: usize = 2;

/// Smaller sequences that are tried for one failure.
const SHRINK_TRIES_MAX: usize = 3000;

impl Options {
    fn from_environment() -> Options {
        let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
        let wanted = std::env::var("NUTHATCH_DIFF_DIALECTS");
        let all = || Dialect::ALL.iter();
        let dialects = match &wanted {
            Ok(names) => {
                let dialect = |name: &str| all().find(|(known, _)| *known == name);
                names
                    .split(',')
                    .map(|name| dialect(name).expect("text, meta or binary").1)
                    .collect()
            }
            Err(_) => all().map(|(_, dialect)| *dialect).collect(),
        };
        let failures_max = number("NUTHATCH_DIFF_FAILURES").unwrap_or(5);
        Options {
            seed: number("NUTHATCH_SEED").unwrap_or_else(|| u64::from(std::process::id())),
            first: number("NUTHATCH_DIFF_FIRST").unwrap_or(0),
            count: number("NUTHATCH_DIFF_SEQUENCES").unwrap_or(2000),
            failures_max: usize::try_from(failures_max).expect("a small number"),
            dialects,
        }
    }
}

/// What is shared by the threads of a run.
struct Run {
    options: Options,
    target: Program,
    program: Program,
    oracle: Oracle,
    next: AtomicU64,
    failures: Mutex<Vec<String>>,
    /// Differences that were not there when the sequence was sent again, and need not be.
    ticks: AtomicU64,
}

#[test]
fn memcached_answers_the_same() {
    let Some(program) = Program::oracle() else { return };
    let options = Options::from_environment();
    let target = Program::target();
    say(&format!(
        "diff: {} and memcached {}, {} sequences of {:?} from {}, NUTHATCH_SEED={}",
        target.version,
        program.version,
        options.count,
        options.dialects,
        options.first,
        options.seed
    ));
    let oracle = Oracle::new(&program.release());
    let begin = moment();
    let run = Run {
        next: AtomicU64::new(options.first),
        failures: Mutex::default(),
        ticks: AtomicU64::new(0),
        options,
        target,
        program,
        oracle,
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| run.work());
        }
    });
    let failures = run.failures.into_inner().expect("no thread has panicked");
    let ticks = run.ticks.into_inner();
    say(&format!("diff: {:?}, differences that were there once only: {ticks}", begin.elapsed()));
    assert!(ticks <= 3 + run.options.count / 10_000, "{ticks} sequences are unsteady");
    assert!(failures.is_empty(), "{} failures\n\n{}", failures.len(), failures.join("\n"));
}

impl Run {
    fn work(&self) {
        let start = |option| Pair::start(self.target.clone(), self.program.clone(), option);
        let mut pairs: Vec<Pair> = Vec::new();
        let end = self.options.first + self.options.count;
        loop {
            let index = self.next.fetch_add(1, Relaxed);
            let found = self.failures.lock().expect("no thread has panicked").len();
            if index >= end || found >= self.options.failures_max {
                return;
            }
            let option = OPTIONS[index as usize % OPTIONS.len()];
            let option = option.filter(|_| !self.oracle.is_before(NEW_PARSER));
            let at = pairs.iter().position(|pair| pair.option() == option).unwrap_or(pairs.len());
            if at == pairs.len() {
                pairs.push(start(option));
            }
            let pair = &mut pairs[at];
            let sequence =
                generate::sequence(self.options.seed, index, &self.options.dialects, &self.oracle);
            let heard = pair.run(&sequence);
            let likeness = self.judge(&sequence, &heard);
            if likeness != Likeness::Same {
                self.examine(pair, index, sequence, heard, likeness);
            }
        }
    }

    fn judge(&self, sequence: &Sequence, [ours, theirs]: &[Heard; 2]) -> Likeness {
        if ours.is_closed != theirs.is_closed || !ours.is_closed {
            return Likeness::Different;
        }
        let counts_uniques = !allowed::uniques_may_differ(sequence, &self.oracle);
        if ours.taken.is_none() || counts_uniques && ours.taken != theirs.taken {
            return Likeness::Different;
        }
        allowed::compare(&ours.bytes, &theirs.bytes, sequence, &self.oracle)
    }

    /// A difference: one that is there again is made small; one that is gone is explained by a second that
    /// has ended, or is a failure as it stands.
    fn examine(
        &self,
        pair: &mut Pair,
        index: u64,
        sequence: Sequence,
        heard: [Heard; 2],
        likeness: Likeness,
    ) {
        let is_old = self.oracle.is_before(NEW_PARSER);
        if is_old {
            // What an older release has kept from before the last flush does not count.
            pair.restart();
        }
        let mut fails = |sequence: &Sequence| {
            let heard = pair.run(sequence);
            self.judge(sequence, &heard) != Likeness::Same
        };
        let is_steady = (0..CONFIRMATIONS).all(|_| fails(&sequence));
        let mut origin = format!("seed {}, sequence {index}", self.options.seed);
        let text = if is_steady {
            let small = shrink(sequence, SHRINK_TRIES_MAX, |sequence| {
                allowed::is_admitted(sequence, &self.oracle) && fails(sequence)
            });
            pair.restart();
            let base = pair.base();
            let heard = pair.run(&small);
            report::case(&small, pair.option(), base, &heard, &origin)
        } else if likeness == Likeness::SameButForSeconds || is_old {
            self.ticks.fetch_add(1, Relaxed);
            return;
        } else {
            origin += ", not there when it was sent again";
            report::case(&sequence, pair.option(), pair.base(), &heard, &origin)
        };
        let mut failures = self.failures.lock().expect("no thread has panicked");
        if !failures.contains(&text) {
            failures.push(text);
        }
    }
}
