//! One run: connect, fill, load, measure.
#![forbid(unsafe_code)]

use std::io;
use std::thread;
use std::time::Duration;

use crate::args::Plan;
use crate::client::{Client, SocketClient};
use crate::clock;
use crate::closed::{self, Terms};
use crate::codec::Codec;
use crate::dataset::Dataset;
use crate::link::Connector;
use crate::open;
use crate::server_cpu::CpuTime;
use crate::server_memory;
use crate::socket::raise_open_files_limit;
use crate::tally::Tally;
use crate::workload::{Answer, Workload};

/// What a run found.
#[derive(Debug)]
pub struct RunResult {
    /// Name of the protocol spoken.
    pub protocol: &'static str,
    /// Counters of the measured phase.
    pub tally: Tally,
    /// Length of the measured phase: from before the first request to the last answer.
    pub elapsed: Duration,
    /// Processor time of the server in the measured phase, if its process id is known.
    pub server_cpu: Option<CpuTime>,
    /// Resident bytes of the server before there was a connection, and at the end while all are open.
    pub server_memory: Option<(u64, u64)>,
    /// TLS handshakes of the whole run: full ones, and those that took a session up again.
    pub handshakes: Option<(u64, u64)>,
}

/// Carries out the plan.
///
/// # Errors
///
/// The server cannot be reached, a connection breaks, an answer makes no sense, a fill does not
/// succeed, or the server's process cannot be looked at.
pub fn run<C: Codec>(plan: &Plan) -> io::Result<RunResult> {
    raise_open_files_limit();
    let dataset = Dataset::new(&plan.key_prefix, plan.keys, plan.value_size, plan.recipe.seed);
    let memory = || plan.server_pid.map(server_memory::resident_bytes).transpose();
    let memory_before = memory()?;
    let connector = Connector::new(&plan.server, plan.tls.as_ref(), plan.stall)?;
    let mut clients: Vec<SocketClient<C>> = (0..plan.clients)
        .map(|_| connector.connect().map(Client::new))
        .collect::<io::Result<_>>()?;
    if plan.fill {
        fill(plan, &dataset, &mut clients)?;
    }
    let cpu_before = plan.server_pid.map(CpuTime::of_process).transpose()?;
    let reconnect = plan.reconnect.then_some(&connector);
    let terms = Terms { time: plan.time, reconnect, ..terms(plan, &dataset) };
    let start = clock::now();
    let tally = on_threads(plan, &mut clients, |thread, clients| {
        let quota = share(plan.requests_max, thread, plan.threads);
        let mut workload = Workload::mix(&plan.recipe, &dataset, quota, thread as u64);
        match plan.rate {
            None => closed::run(clients, &mut workload, &terms),
            Some(rate) => {
                let rate = rate * clients.len() as f64 / plan.clients as f64;
                open::run(clients, &mut workload, &terms, rate)
            }
        }
    })?;
    let cpu_after = plan.server_pid.map(CpuTime::of_process).transpose()?;
    Ok(RunResult {
        protocol: C::NAME,
        elapsed: tally.ended.map_or(Duration::ZERO, |ended| ended.duration_since(start)),
        tally,
        server_cpu: cpu_after.zip(cpu_before).map(|(after, before)| after.since(&before)),
        server_memory: memory_before.zip(memory()?),
        handshakes: connector.handshakes(),
    })
}

/// Stores every key once.
fn fill<C: Codec>(
    plan: &Plan,
    dataset: &Dataset,
    clients: &mut [SocketClient<C>],
) -> io::Result<()> {
    let terms = Terms { depth: FILL_DEPTH, set_answer: Answer::Wanted, ..terms(plan, dataset) };
    let keys = if plan.recipe.counts() { 2 * plan.keys } else { plan.keys };
    let tally = on_threads(plan, clients, |thread, clients| {
        let place = |thread| (u64::from(keys) * thread as u64 / plan.threads as u64) as u32;
        let mut workload = Workload::fill(&plan.recipe, dataset, place(thread)..place(thread + 1));
        closed::run(clients, &mut workload, &terms)
    })?;
    match tally.first_error {
        Some(line) => Err(io::Error::other(format!("{} sets of the fill: {line}", tally.errors))),
        None => Ok(()),
    }
}

fn terms<'a>(plan: &Plan, dataset: &'a Dataset) -> Terms<'a> {
    Terms {
        dataset,
        verify: plan.verify,
        depth: plan.depth,
        set_answer: plan.recipe.set_answer,
        reconnect: None,
        time: None,
        stall: plan.stall,
    }
}

/// Runs `work` on each thread with its share of the clients, and adds up what it counts.
fn on_threads<C: Codec>(
    plan: &Plan,
    clients: &mut [SocketClient<C>],
    work: impl Fn(usize, &mut [SocketClient<C>]) -> io::Result<Tally> + Sync,
) -> io::Result<Tally> {
    let mut rest = clients;
    thread::scope(|scope| {
        let work = &work;
        let mut threads = Vec::new();
        for thread in 0..plan.threads {
            let count = share(plan.clients as u64, thread, plan.threads) as usize;
            let (part, others) = std::mem::take(&mut rest).split_at_mut(count);
            rest = others;
            threads.push(scope.spawn(move || work(thread, part)));
        }
        let mut sum = Tally::new();
        for thread in threads {
            let part = thread.join().map_err(|_| io::Error::other("a thread panicked"))?;
            sum.merge(part?);
        }
        Ok(sum)
    })
}

/// The part of `whole` that falls to one of `threads` threads.
fn share(whole: u64, thread: usize, threads: usize) -> u64 {
    let threads = threads as u64;
    whole / threads + u64::from((thread as u64) < whole % threads)
}

/// Deep enough that a fill is not slowed down by round trips.
const FILL_DEPTH: usize = 50;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::{Arc, Mutex};

    use rustls::{ServerConnection, StreamOwned};

    use super::*;
    use crate::codec::Text;
    use crate::encryption::tests::Authority;

    type Items = Arc<Mutex<HashMap<String, Vec<u8>>>>;

    /// What a server does to the values that it gives out.
    type Spoil = fn(&mut Vec<u8>);

    /// Starts a server that knows get and set; it ends with its connections.
    fn serve(connections: usize, spoil: Spoil) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let items = Items::default();
        thread::spawn(move || {
            for stream in listener.incoming().take(connections) {
                let items = Arc::clone(&items);
                thread::spawn(move || converse(stream.unwrap(), &items, spoil));
            }
        });
        address
    }

    /// The same over TLS.
    fn serve_tls(connections: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::new(Authority::new("of the server").server(None));
        let items = Items::default();
        thread::spawn(move || {
            for stream in listener.incoming().take(connections) {
                let (items, config) = (Arc::clone(&items), Arc::clone(&config));
                let tls = ServerConnection::new(config).unwrap();
                let stream = StreamOwned::new(tls, stream.unwrap());
                thread::spawn(move || converse(stream, &items, |_| ()));
            }
        });
        address
    }

    fn converse(stream: impl Read + Write, items: &Items, spoil: Spoil) -> Option<()> {
        let mut input = BufReader::new(stream);
        loop {
            let mut line = String::new();
            input.read_line(&mut line).ok().filter(|len| *len > 0)?;
            let words: Vec<&str> = line.split_whitespace().collect();
            let mut reply = Vec::new();
            if words[0] == "set" {
                let mut value = vec![0; words[4].parse::<usize>().ok()? + 2];
                input.read_exact(&mut value).ok()?;
                items.lock().unwrap().insert(words[1].to_owned(), value);
                reply.extend_from_slice(if words.len() > 5 { b"" } else { b"STORED\r\n" });
            } else {
                for key in &words[1..] {
                    let Some(mut value) = items.lock().unwrap().get(*key).cloned() else {
                        continue;
                    };
                    spoil(&mut value);
                    write!(reply, "VALUE {key} 0 {}\r\n", value.len() - 2).ok()?;
                    reply.append(&mut value);
                }
                reply.extend_from_slice(b"END\r\n");
            }
            input.get_mut().write_all(&reply).ok()?;
            input.get_mut().flush().ok()?;
        }
    }

    fn load(spoil: Spoil, options: &str) -> io::Result<RunResult> {
        let address = serve(4, spoil);
        let line = format!("--server {address} --clients 4 --keys 500 --fill {options}");
        run::<Text>(&Plan::of(&line).unwrap())
    }

    #[test]
    fn closed_loop_asks_as_often_as_planned_and_finds_all() {
        for options in [
            "--requests 1001",
            "--requests 1001 --depth 7 --threads 3 --dist zipf:1",
            "--requests 1001 --depth 20 --noreply --mix get=1,set=5",
            "--requests 101 --depth 3 --mix mget:20,set --value-size uniform:0,70000",
            "--requests 0",
        ] {
            let tally = load(|_| (), options).unwrap().tally;
            let plan = Plan::of(&format!("--socket s {options}")).unwrap();
            assert_eq!(tally.requests, plan.requests_max, "{options}");
            assert_eq!((tally.misses, tally.errors, tally.wrong), (0, 0, 0), "{options}");
        }
    }

    #[test]
    fn open_loop_keeps_its_rate() {
        let result = load(|_| (), "--requests 500 --rate 2000 --threads 2").unwrap();
        assert_eq!((result.tally.requests, result.tally.hits, result.tally.unsent), (500, 500, 0));
        assert!(result.elapsed >= Duration::from_millis(248), "{:?}", result.elapsed);
    }

    #[test]
    fn open_loop_that_cannot_keep_up_says_what_it_left_out() {
        let result = load(|_| (), "--seconds 0.1 --rate 100000000").unwrap();
        let tally = result.tally;
        assert!(tally.unsent > 0);
        assert_eq!(tally.requests + tally.unsent, 10_000_000);
        assert!(tally.latency.percentile_ns(50.0) > 10_000_000, "half waited for 10 ms");
    }

    #[test]
    fn each_batch_has_a_connection_of_its_own() {
        // One connection more would find no server behind it: 4 at first, then one for each batch
        // but those of the first four.
        let address = serve(4 + 46, |_| ());
        let line = format!(
            "--server {address} --clients 4 --keys 500 --fill --reconnect --depth 2 --requests 100"
        );
        let tally = run::<Text>(&Plan::of(&line).unwrap()).unwrap().tally;
        assert_eq!((tally.requests, tally.hits), (100, 100));
    }

    #[test]
    fn each_loop_works_over_tls() {
        let run = |connections, options: &str| {
            let address = serve_tls(connections);
            let line = format!("--server {address} --tls --clients 4 --keys 500 --fill {options}");
            run::<Text>(&Plan::of(&line).unwrap()).unwrap()
        };
        for (connections, options) in [
            (4, "--requests 100"),
            (4, "--requests 100 --depth 20 --mix get=1,set=1 --value-size uniform:0,70000"),
            (4, "--requests 100 --tls-version 1.2 --threads 2"),
            (4, "--requests 100 --rate 10000"),
            (4 + 46, "--requests 100 --depth 2 --reconnect"),
        ] {
            let result = run(connections, options);
            assert_eq!(result.tally.requests, 100, "{options}");
            assert_eq!((result.tally.misses, result.tally.wrong), (0, 0), "{options}");
            assert_eq!(result.handshakes, Some((connections as u64, 0)), "{options}");
        }
        let (full, resumed) =
            run(4 + 96, "--requests 100 --reconnect --tls-resume").handshakes.unwrap();
        assert!(full + resumed == 100 && resumed > 0, "{full} {resumed}");
    }

    #[test]
    fn open_loop_counts_the_wait_of_those_that_came_while_the_server_slept() {
        // Each answer takes 10 ms, ten at once: of 2,000 requests a second half are too many.
        let options = "--seconds 0.3 --rate 2000 --requests 600 --keys 10 --depth 1";
        let address = serve(4, |_| ());
        let line = format!("--server {address} --clients 4 --fill {options}");
        let quick = run::<Text>(&Plan::of(&line).unwrap()).unwrap().tally;
        assert!(quick.latency.percentile_ns(50.0) < 100_000_000);
        let address = serve(4, |_| park());
        let line = format!("--server {address} --clients 4 --fill {options}");
        let slow = run::<Text>(&Plan::of(&line).unwrap()).unwrap().tally;
        // 4 connections of 10 ms an answer do 400 a second, so that the last ones wait for most of
        // the 0.3 s; an uncorrected latency would be 10 ms throughout.
        assert!(slow.latency.percentile_ns(90.0) > 100_000_000);
        assert_eq!(slow.latency.percentile_ns(100.0), slow.latency.max_ns());
    }

    /// Holds a connection up for 10 ms.
    fn park() {
        thread::park_timeout(Duration::from_millis(10));
    }

    #[test]
    fn a_server_that_spoils_values_is_found_out() {
        let tally = load(|value| value[50] ^= 1, "--requests 100").unwrap().tally;
        assert_eq!((tally.requests, tally.hits, tally.wrong), (100, 0, 100));
        let unseen = load(|value| value[50] ^= 1, "--requests 100 --no-verify").unwrap().tally;
        assert_eq!((unseen.hits, unseen.wrong), (100, 0));
    }

    #[test]
    fn a_server_that_breaks_the_stream_ends_the_run() {
        let error = load(|value| value.truncate(0x10), "--requests 100").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
