//! What people read.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the tool's output")]

use std::io::{self, Write};

use crate::patterns::Pattern;
use crate::probe::Outcome;
use crate::victim::Experience;

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
pub fn tell(outcome: &Outcome) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let misses = outcome.misses();
    let verdict = if misses.is_empty() { "kept".to_owned() } else { misses.join(", ") };
    writeln!(out, "{}: {verdict}", outcome.name)?;
    writeln!(out, "  {:?}", outcome.tally)?;
    for (when, of) in [("alone", &outcome.alone), ("beside", &outcome.beside)] {
        writeln!(
            out,
            "  {when}: {} requests, {} hits, {} refused, {} lost, {} wrong, p50 {}, p99 {}, max {} ms{}",
            of.requests,
            of.hits,
            of.refused,
            of.lost,
            of.wrong,
            millis(of.latency.percentile_ns(50.0)),
            millis(of.latency.percentile_ns(99.0)),
            millis(of.latency.max_ns()),
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
pub fn table(outcomes: &[Outcome], is_markdown: bool) -> io::Result<()> {
    let head = [
        "pattern",
        "RSS before",
        "most",
        "after",
        "p99 alone",
        "beside",
        "max alone",
        "beside",
        "lost",
        "wrong",
        "missed",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    if is_markdown {
        rows.push(std::array::from_fn(|column| {
            if column == 0 { "---" } else { "---:" }.to_owned()
        }));
    }
    rows.extend(outcomes.iter().map(cells));
    let mut out = io::stdout().lock();
    if let Some(outcome) = outcomes.first() {
        let bar = mib(outcome.memory_max_bytes);
        writeln!(out, "\nRSS in MiB, at most {bar}; latencies in ms; cache full before")?;
    }
    for row in rows {
        if is_markdown {
            writeln!(out, "| {} |", row.join(" | "))?;
        } else {
            write!(out, "{:24}", row[0])?;
            for cell in &row[1..] {
                write!(out, " {cell:>10}")?;
            }
            writeln!(out)?;
        }
    }
    out.flush()
}

fn cells(outcome: &Outcome) -> [String; 11] {
    let p99 = |of: &Experience| millis(of.latency.percentile_ns(99.0));
    let (alone, beside) = (&outcome.alone, &outcome.beside);
    [
        outcome.name.to_owned(),
        mib(outcome.before.now_bytes),
        mib(outcome.after.most_bytes),
        mib(outcome.after.now_bytes),
        p99(alone),
        p99(beside),
        millis(alone.latency.max_ns()),
        millis(beside.latency.max_ns()),
        beside.lost.to_string(),
        beside.wrong.to_string(),
        outcome.misses().join(", "),
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
