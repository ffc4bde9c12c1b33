//! Fixed scripts whose instructions `scripts/instructions` counts, under callgrind.
//!
//! ```text
//! instructions list                        names of the workloads; with `socket` behind it, of
//!                                          those that are also counted in a daemon
//! instructions memory NAME REQUESTS        on a session and a store in this process
//! instructions memory-of NAME              what a daemon for it is to be given as `-m`
//! instructions socket PORT NAME REQUESTS   on a daemon that listens there, on loopback
//! ```
//!
//! In memory only what `count_from_here` calls is to be counted: the requests, executed and
//! answered, without sockets; what comes before it fills the store and warms up. Each answer's
//! length is checked, so that what is counted is what was meant.
//!
//! An example to Cargo and not a bench, so that it is compiled as the daemon is (benches unwind).
#![forbid(unsafe_code)]

#[path = "../kit/mod.rs"]
#[allow(dead_code, reason = "benches use other parts of it")]
mod kit;
mod workload;

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

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
        ["memory-of", name] => named(name).and_then(|workload| print(workload.memory_mb)),
        ["socket", port, name, requests] => {
            parsed(name, requests).and_then(|what| over_socket(port.parse()?, what))
        }
        _ => Err("these are no words of mine; see the head of my source".into()),
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
    let names = WORKLOADS.iter().filter(|workload| is_wanted(workload));
    names.map(|workload| workload.name).try_for_each(print)
}

fn print(line: &str) -> Done {
    Ok(writeln!(io::stdout(), "{line}")?)
}

fn parsed(name: &str, requests: &str) -> Result<(&'static Workload, usize), Box<dyn Error>> {
    Ok((named(name)?, requests.parse()?))
}

fn named(name: &str) -> Result<&'static Workload, Box<dyn Error>> {
    let workload = WORKLOADS.iter().find(|workload| workload.name == name);
    Ok(workload.ok_or_else(|| format!("no workload {name}"))?)
}

fn in_memory((workload, requests): (&Workload, usize)) -> Done {
    let shared = kit::shared(kit::config(&["-m", workload.memory_mb]));
    run(&mut Client::new(&shared), &workload.fill())?;
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

/// Longer than any answer takes under callgrind.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

fn over_socket(port: u16, (workload, requests): (&Workload, usize)) -> Done {
    let [warm, counted] = workload.scripts(requests);
    // Not a Unix socket: there each answer that is taken is an event for the daemon, which comes with the
    // next request or before it as it happens.
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let mut answers = Vec::new();
    for (bytes, answer_len) in
        [&workload.fill(), &warm, &counted].into_iter().flat_map(Script::sends)
    {
        answers.resize(answer_len, 0);
        stream.write_all(bytes)?;
        stream.read_exact(&mut answers)?;
    }
    stream.shutdown(Shutdown::Write)?;
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => Err("more was answered than should be".into()),
    }
}
