//! Fixed scripts whose instructions `scripts/instructions` counts, under callgrind.
//!
//! ```text
//! instructions list                        names of the workloads; with `socket` behind it, of
//!                                          those that are also counted in a daemon
//! instructions memory NAME REQUESTS        on a session and a store in this process
//! instructions socket PATH NAME REQUESTS   on a daemon that listens on that Unix socket
//! ```
//!
//! In memory only what `count_from_here` calls is to be counted: the requests, executed and
//! answered, without sockets; what comes before it fills the store and warms up. Each answer's
//! length is checked, so that what is counted is what was meant.
//!
//! An example to Cargo and not a bench, so that it is compiled as the daemon is (benches unwind).
#![forbid(unsafe_code)]

#[path = "../kit/mod.rs"]
mod kit;
mod workload;

use std::error::Error;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use kit::client::Client;
use kit::script::Script;
use workload::{WORKLOADS, Workload};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["list"] => list(|_| true),
        ["list", "socket"] => list(|workload| workload.is_in_daemon),
        ["memory", name, requests] => parsed(name, requests).and_then(in_memory),
        ["socket", path, name, requests] => {
            parsed(name, requests).and_then(|what| over_socket(path, what))
        }
        _ => Err("usage: list [socket] | memory NAME REQUESTS | socket PATH NAME REQUESTS".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

type Done = Result<(), Box<dyn Error>>;

fn list(is_wanted: impl Fn(&Workload) -> bool) -> Done {
    let mut out = io::stdout().lock();
    for workload in WORKLOADS.iter().filter(|workload| is_wanted(workload)) {
        writeln!(out, "{}", workload.name)?;
    }
    Ok(())
}

fn parsed(name: &str, requests: &str) -> Result<(&'static Workload, usize), Box<dyn Error>> {
    let workload = WORKLOADS.iter().find(|workload| workload.name == name);
    Ok((workload.ok_or_else(|| format!("no workload {name}"))?, requests.parse()?))
}

fn in_memory((workload, requests): (&Workload, usize)) -> Done {
    let shared = kit::shared(kit::config(&["-m", workload.memory_mb]));
    let mut filler = Client::new(&shared);
    if let Some(script) = workload.fill(requests) {
        run(&mut filler, &script)?;
    }
    let mut client = Client::new(&shared);
    let [warm, counted] = workload.scripts(requests);
    run(&mut client, &warm)?;
    count_from_here(&mut client, &counted)
}

/// What is counted; by this name `scripts/instructions` knows it.
#[inline(never)]
fn count_from_here(client: &mut Client<'_>, script: &Script) -> Done {
    run(client, script)
}

#[inline(always)]
fn run(client: &mut Client<'_>, script: &Script) -> Done {
    for (bytes, answer_len) in script.sends() {
        let answered = client.send(bytes);
        if answered != answer_len {
            return Err(wrong(bytes, answered, answer_len));
        }
    }
    Ok(())
}

#[cold]
fn wrong(bytes: &[u8], answered: usize, wanted: usize) -> Box<dyn Error> {
    let start = bytes[..bytes.len().min(40)].escape_ascii();
    format!("{answered} bytes answered to {start}..., not {wanted}").into()
}

fn over_socket(path: &str, (workload, requests): (&Workload, usize)) -> Done {
    if let Some(script) = workload.fill(requests) {
        converse(&mut UnixStream::connect(path)?, &script)?;
    }
    let mut stream = UnixStream::connect(path)?;
    for script in workload.scripts(requests) {
        converse(&mut stream, &script)?;
    }
    Ok(())
}

fn converse(stream: &mut UnixStream, script: &Script) -> Done {
    let mut answers = Vec::new();
    for (bytes, answer_len) in script.sends() {
        answers.resize(answer_len, 0);
        stream.write_all(bytes)?;
        stream.read_exact(&mut answers)?;
        if answers.contains(&b'_') || !answers.is_ascii() {
            return Err(wrong(bytes, 0, answer_len));
        }
    }
    Ok(())
}
