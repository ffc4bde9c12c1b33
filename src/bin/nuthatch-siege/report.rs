//! What people read.
#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "the tool's output")]

use std::io::{self, Write};

use crate::args::Plan;
use crate::latency::Histogram;
use crate::patterns::Pattern;
use crate::probe::Outcome;

/// Names all patterns; always kept.
///
/// # Errors
///
/// Standard output is closed.
pub fn list(families: &[&[Pattern]]) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    for pattern in families.iter().flat_map(|family| family.iter()) {
        let needs = format!("{:?}", pattern.needs).to_lowercase();
        writeln!(out, "{:24} {needs:6} {}", pattern.name, pattern.about)?;
    }
    Ok(true)
}

/// One pattern's outcome, as it comes.
///
/// # Errors
///
/// Standard output is closed.
pub fn tell(outcome: &Outcome, plan: &Plan) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let misses = outcome.misses(plan);
    let verdict = if misses.is_empty() { "kept".to_owned() } else { misses.join(", ") };
    writeln!(out, "{}: {verdict}", outcome.name)?;
    let (before, after) = (outcome.before, outcome.after);
    let memory = [before.now_bytes, after.most_bytes, after.now_bytes].map(mib);
    writeln!(out, "  {:?}", outcome.tally)?;
    writeln!(out, "  RSS {} MiB before, {} at most, {} after", memory[0], memory[1], memory[2])?;
    for (when, of) in [("alone", &outcome.alone), ("beside", &outcome.beside)] {
        writeln!(
            out,
            "  {when}: {} requests, {} hits, {} refused, {} lost, {} wrong, p50 {}, p99 {}, max {} ms, of the server's time p99 {}, max {} ms{}",
            of.requests,
            of.hits,
            of.refused,
            of.lost,
            of.wrong,
            millis(of.latency.percentile_ns(50.0)),
            millis(of.latency.percentile_ns(99.0)),
            millis(of.latency.max_ns()),
            millis(of.busy.percentile_ns(99.0)),
            millis(of.busy.max_ns()),
            of.first_fault.as_ref().map(|fault| format!(" ({fault})")).unwrap_or_default(),
        )?;
    }
    out.flush()
}

/// All outcomes.
///
/// # Errors
///
/// Standard output is closed.
pub fn table(outcomes: &[Outcome], plan: &Plan) -> io::Result<()> {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    if plan.is_markdown {
        rows.push(std::array::from_fn(|column| {
            if column == 0 { "---" } else { "---:" }.to_owned()
        }));
    }
    rows.extend(outcomes.iter().map(|outcome| cells(outcome, plan)));
    let mut out = io::stdout().lock();
    if let Some(outcome) = outcomes.first() {
        let bar = mib(outcome.memory_max_bytes);
        writeln!(out, "\nRSS in MiB, at most {bar}; latencies in ms; cache full before")?;
    }
    for row in rows {
        if plan.is_markdown {
            writeln!(out, "| {} |", row.join(" | "))?;
        } else {
            write!(out, "{:22}", row[0])?;
            for cell in &row[1..] {
                write!(out, " {cell:>9}")?;
            }
            writeln!(out)?;
        }
    }
    out.flush()
}

/// Of the table. "busy" is the server's processor time.
const COLUMNS: [&str; 13] = [
    "pattern",
    "RSS most",
    "after",
    "p99 alone",
    "beside",
    "busy",
    "beside",
    "max alone",
    "beside",
    "busy",
    "lost",
    "wrong",
    "missed",
];

fn cells(outcome: &Outcome, plan: &Plan) -> [String; 13] {
    let p99 = |of: &Histogram| millis(of.percentile_ns(99.0));
    let (alone, beside) = (&outcome.alone, &outcome.beside);
    [
        outcome.name.to_owned(),
        mib(outcome.after.most_bytes),
        mib(outcome.after.now_bytes),
        p99(&alone.latency),
        p99(&beside.latency),
        p99(&alone.busy),
        p99(&beside.busy),
        millis(alone.latency.max_ns()),
        millis(beside.latency.max_ns()),
        millis(beside.busy.max_ns()),
        beside.lost.to_string(),
        beside.wrong.to_string(),
        outcome.misses(plan).join(", "),
    ]
}

/// Says what went wrong.
pub fn complain(error: &io::Error) {
    eprintln!("nuthatch-siege: {error}");
}

fn millis(ns: u64) -> String {
    format!("{:.3}", ns as f64 / 1e6)
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}
