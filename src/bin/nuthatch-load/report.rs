//! What is shown to people and to scripts.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::{self, Write};

use crate::args::Plan;
use crate::run::RunResult;

/// Writes the result to standard output, as JSON if the plan says so.
///
/// # Errors
///
/// Standard output cannot be written.
pub fn report(plan: &Plan, result: &RunResult) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if plan.json { json(plan, result, &mut out) } else { text(plan, result, &mut out) }
}

/// Writes a failure to standard error.
pub fn complain(error: &dyn Display) {
    let _ = writeln!(io::stderr(), "nuthatch-load: {error}");
}

fn text(plan: &Plan, result: &RunResult, out: &mut impl Write) -> io::Result<()> {
    let tally = &result.tally;
    let pace = plan.rate.map_or("closed loop".into(), |rate| format!("open loop at {rate}/s"));
    writeln!(
        out,
        "{}, {} clients, depth {}, {} threads, {pace}, seed {}",
        result.protocol, plan.clients, plan.depth, plan.threads, plan.recipe.seed
    )?;
    let seconds = result.elapsed.as_secs_f64();
    writeln!(out, "requests    {} in {seconds:.3} s, {:.0}/s", tally.requests, per_second(result))?;
    writeln!(
        out,
        "keys        {} hits, {} misses, {} refused, {} errors, {} wrong",
        tally.hits, tally.misses, tally.refused, tally.errors, tally.wrong
    )?;
    if tally.unsent > 0 {
        writeln!(out, "unsent      {} requests were due and could not be sent", tally.unsent)?;
    }
    write!(out, "latency us ")?;
    for (name, us) in latencies_us(result) {
        write!(out, " {name} {us:.1}")?;
    }
    writeln!(out)?;
    if let Some(cpu) = cpu_us_per_request(result) {
        writeln!(
            out,
            "server cpu  {:.3} us a request (user {:.3}, system {:.3})",
            cpu.total, cpu.user, cpu.system
        )?;
    }
    if let Some((before, after)) = result.server_memory {
        let each = after.saturating_sub(before) / plan.clients as u64;
        writeln!(out, "server mem  {after} B resident, {each} B more for each connection")?;
    }
    if let Some((full, resumed)) = result.handshakes {
        writeln!(out, "tls         {full} full handshakes, {resumed} resumed")?;
    }
    if let Some(line) = &tally.first_error {
        writeln!(out, "first error {line}")?;
    }
    Ok(())
}

fn json(plan: &Plan, result: &RunResult, out: &mut impl Write) -> io::Result<()> {
    let tally = &result.tally;
    write!(
        out,
        "{{\"protocol\":\"{}\",\"clients\":{},\"depth\":{},\"threads\":{},\"seed\":{},",
        result.protocol, plan.clients, plan.depth, plan.threads, plan.recipe.seed
    )?;
    write!(
        out,
        "\"rate\":{},\"seconds\":{:.6},\"requests\":{},\"requests_per_second\":{:.1},",
        plan.rate.map_or("null".into(), |rate| rate.to_string()),
        result.elapsed.as_secs_f64(),
        tally.requests,
        per_second(result)
    )?;
    write!(
        out,
        "\"hits\":{},\"misses\":{},\"refused\":{},\"errors\":{},\"wrong\":{},\"unsent\":{}",
        tally.hits, tally.misses, tally.refused, tally.errors, tally.wrong, tally.unsent
    )?;
    for (name, us) in latencies_us(result) {
        write!(out, ",\"{}_us\":{us:.3}", name.replace('.', ""))?;
    }
    if let Some(cpu) = cpu_us_per_request(result) {
        write!(
            out,
            ",\"server_cpu_us\":{:.4},\"server_user_us\":{:.4},\"server_system_us\":{:.4}",
            cpu.total, cpu.user, cpu.system
        )?;
    }
    if let Some((before, after)) = result.server_memory {
        write!(out, ",\"server_rss_before_bytes\":{before},\"server_rss_bytes\":{after}")?;
    }
    if let Some((full, resumed)) = result.handshakes {
        write!(out, ",\"tls_full_handshakes\":{full},\"tls_resumed\":{resumed}")?;
    }
    writeln!(out, "}}")
}

fn per_second(result: &RunResult) -> f64 {
    result.tally.requests as f64 / result.elapsed.as_secs_f64().max(1e-9)
}

fn latencies_us(result: &RunResult) -> [(&'static str, f64); 5] {
    let latency = &result.tally.latency;
    let us = |ns: u64| ns as f64 / 1000.0;
    [
        ("p50", us(latency.percentile_ns(50.0))),
        ("p90", us(latency.percentile_ns(90.0))),
        ("p99", us(latency.percentile_ns(99.0))),
        ("p99.9", us(latency.percentile_ns(99.9))),
        ("max", us(latency.max_ns())),
    ]
}

/// The server's processor time for one request, in microseconds.
struct CpuPerRequest {
    user: f64,
    system: f64,
    total: f64,
}

fn cpu_us_per_request(result: &RunResult) -> Option<CpuPerRequest> {
    let cpu = result.server_cpu?;
    let requests = result.tally.requests.max(1) as f64;
    let us = |time: std::time::Duration| time.as_secs_f64() * 1e6 / requests;
    Some(CpuPerRequest { user: us(cpu.user), system: us(cpu.system), total: us(cpu.total) })
}
