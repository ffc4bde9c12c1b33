//! Conversation files: what is sent and what must come back, one behaviour each.
//!
//! `docs/testing.md` has the format. A file is parsed into steps, and one and the same list of
//! steps is run with its bytes arriving in different pieces.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::client::{Client, Received, show};
use crate::harness::{PATIENCE, Program, Server, moment, release, wait_for};
use crate::packet::Way;
use crate::pattern::{Fit, Names, Pattern};

/// A conversation file.
#[derive(Clone, Debug)]
pub struct Case {
    /// File name without its ending.
    pub name: String,
    /// Arguments of the server.
    pub args: Vec<String>,
    /// What memcached makes of it.
    pub verdict: Verdict,
    /// Whether the next answer must come at once after the last step.
    pub ends_in_step: bool,
    /// Whether all sends may go out in one piece.
    pub may_pipeline: bool,
    /// Whether every run needs a server of its own.
    pub wants_fresh_server: bool,
    steps: Vec<Step>,
}

/// What the header `oracle:` says.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Every memcached answers the same.
    Same,
    /// From this release on.
    Since(Vec<u32>),
    /// Up to, and not with, this release.
    Before(Vec<u32>),
    /// memcached answers otherwise, for the reason in the file.
    Differs,
}

#[derive(Clone, Debug)]
enum Step {
    Send(char, Pattern),
    Expect(char, Pattern),
    Close(char),
    ShutWrite(char),
    Advance(i64),
}

/// How the bytes of a conversation arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// Each send in one piece.
    Whole,
    /// As many sends in one piece as the captured numbers allow, the answers read afterwards.
    Pipelined,
    /// Byte by byte; a long send only at its beginning and its end.
    Bytes,
    /// The send of this index cut at this byte.
    Split(usize, usize),
}

/// Sends longer than this are not cut at every point.
const SPLIT_LEN_MAX: usize = 300;

/// Of a send longer than [`SPLIT_LEN_MAX`], so much at both ends goes byte by byte.
const EDGE_BYTES: usize = 100;

impl Case {
    /// Reads a file; an error names the line.
    pub fn parse(name: &str, text: &str) -> Result<Case, String> {
        let mut reader = Reader { client: 'a', steps: Vec::new(), verdict: None, args: Vec::new() };
        let (mut ends_in_step, mut may_pipeline, mut wants_fresh_server) = (true, true, false);
        for (index, line) in text.lines().enumerate() {
            match line.split_once(": ") {
                Some(("end", "midway")) => ends_in_step = false,
                Some(("pipeline", _)) => may_pipeline = false,
                Some(("server", "fresh")) => wants_fresh_server = true,
                _ => reader.line(line).map_err(|what| format!("{name}:{}: {what}", index + 1))?,
            }
        }
        let verdict = reader.verdict.ok_or(format!("{name}: no `oracle:` line"))?;
        let steps = reader.steps;
        let sends = |step: &Step| matches!(step, Step::Send(..));
        let expects = |step: &Step| matches!(step, Step::Expect(..) | Step::Close(_));
        if !steps.iter().any(sends) || !(ends_in_step || steps.iter().any(expects)) {
            return Err(format!("{name}: proves nothing"));
        }
        let (name, args) = (name.to_owned(), reader.args);
        Ok(Case { name, args, verdict, ends_in_step, may_pipeline, wants_fresh_server, steps })
    }

    /// All files of a directory, in order. None at all is an error.
    pub fn all(dir: &Path) -> Result<Vec<Case>, String> {
        let listing = std::fs::read_dir(dir).map_err(|err| format!("{}: {err}", dir.display()))?;
        let mut paths: Vec<_> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        let mut cases = Vec::new();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "case")) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let text = std::fs::read_to_string(path).map_err(|err| format!("{name}: {err}"))?;
            cases.push(Case::parse(&name, &text)?);
        }
        if cases.is_empty() { Err(format!("no cases in {}", dir.display())) } else { Ok(cases) }
    }

    /// Whether the answers of `program` are to be those in the file.
    pub fn is_same_for(&self, program: &Program) -> bool {
        match &self.verdict {
            _ if program.is_ours => true,
            Verdict::Same => true,
            Verdict::Since(first) => program.release() >= *first,
            Verdict::Before(first) => program.release() < *first,
            Verdict::Differs => false,
        }
    }

    /// The longest jump of the clock in it, in seconds either way.
    pub fn longest_advance(&self) -> u64 {
        let secs =
            |step: &Step| if let Step::Advance(secs) = step { secs.unsigned_abs() } else { 0 };
        self.steps.iter().map(secs).max().unwrap_or(0)
    }

    /// Every way to feed it with one send cut in two.
    pub fn splits(&self) -> Vec<Feed> {
        let no_names = Names::new();
        let len = |pattern: &Pattern| pattern.render(&no_names).map_or(0, |bytes| bytes.len());
        let sends = self.steps.iter().filter_map(|step| match step {
            Step::Send(_, pattern) => Some(len(pattern)),
            _ => None,
        });
        sends
            .enumerate()
            .filter(|(_, len)| *len <= SPLIT_LEN_MAX)
            .flat_map(|(index, len)| (1..len).map(move |at| Feed::Split(index, at)))
            .collect()
    }

    /// Whether a client speaks the binary protocol: what it first sends is a packet.
    fn is_binary(&self, name: char) -> bool {
        let first = self.steps.iter().find_map(|step| match step {
            Step::Send(client, pattern) if *client == name => Some(pattern),
            _ => None,
        });
        first.is_some_and(Pattern::is_binary)
    }

    /// Holds the conversation with `server`, which must have no items. An error is for a person.
    pub fn run(&self, program: &Program, server: &Server, feed: Feed) -> Result<(), String> {
        let names = Names::from([("version".to_owned(), program.version.clone().into_bytes())]);
        let mut run = Run {
            case: self,
            server,
            feed,
            names,
            clients: BTreeMap::new(),
            closed: Vec::new(),
            sends: 0,
            patience: if self.is_same_for(program) { PATIENCE } else { Duration::from_millis(500) },
        };
        let done = match feed {
            Feed::Pipelined => run.pipelined(),
            _ => self.steps.iter().enumerate().try_for_each(|(at, step)| run.step(at, step)),
        };
        done.and_then(|()| if self.ends_in_step { run.end() } else { Ok(()) })
            .map_err(|what| format!("{} fed {feed:?}: {what}", self.name))
    }
}

struct Reader {
    client: char,
    steps: Vec<Step>,
    verdict: Option<Verdict>,
    args: Vec<String>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix("oracle: ") {
            self.verdict = Some(verdict(rest)?);
        } else if let Some(rest) = line.strip_prefix("args: ") {
            self.args = rest.split(' ').map(str::to_owned).collect();
        } else if let Some(text) = line.strip_prefix("> ").or((line == ">").then_some("")) {
            self.sent().push_line(text)?;
        } else if let Some(text) = line.strip_prefix("< ").or((line == "<").then_some("")) {
            self.expected().push_line(text)?;
        } else if let Some(packet) = line.strip_prefix(">> ") {
            self.sent().push_packet(packet, Way::Request)?;
        } else if let Some(packet) = line.strip_prefix("<< ") {
            self.expected().push_packet(packet, Way::Answer)?;
        } else {
            self.directive(line)?;
        }
        Ok(())
    }

    /// What the client is sending.
    fn sent(&mut self) -> &mut Pattern {
        if !matches!(self.steps.last(), Some(Step::Send(client, _)) if *client == self.client) {
            self.steps.push(Step::Send(self.client, Pattern::default()));
        }
        self.last()
    }

    /// What the client is being answered.
    fn expected(&mut self) -> &mut Pattern {
        if !matches!(self.steps.last(), Some(Step::Expect(client, _)) if *client == self.client) {
            self.steps.push(Step::Expect(self.client, Pattern::default()));
        }
        self.last()
    }

    fn last(&mut self) -> &mut Pattern {
        match self.steps.last_mut() {
            Some(Step::Send(_, pattern) | Step::Expect(_, pattern)) => pattern,
            _ => unreachable!("the step was just looked at"),
        }
    }

    fn directive(&mut self, line: &str) -> Result<(), String> {
        let step = match line.split_once(' ').unwrap_or((line, "")) {
            ("@close", "") => Step::Close(self.client),
            ("@shut", "") => Step::ShutWrite(self.client),
            ("@advance", secs) => Step::Advance(secs.parse().map_err(|_| "bad seconds")?),
            ("@client", name) => {
                self.client = name.chars().next().ok_or("a client has a letter")?;
                return Ok(());
            }
            // An empty text parts two sends that would else be one.
            ("@then", "") => Step::Expect(self.client, Pattern::default()),
            _ => return Err(format!("not understood: {line}")),
        };
        self.steps.push(step);
        Ok(())
    }
}

fn verdict(text: &str) -> Result<Verdict, String> {
    match text.split_once(' ').unwrap_or((text, "")) {
        ("same", "") => Ok(Verdict::Same),
        ("since", version) if !version.is_empty() => Ok(Verdict::Since(release(version))),
        ("before", rest) if rest.contains(' ') => {
            Ok(Verdict::Before(release(rest.split(' ').next().unwrap_or(""))))
        }
        ("differs", reason) if !reason.is_empty() => Ok(Verdict::Differs),
        _ => Err("oracle: same, since VERSION, before VERSION REASON, differs REASON".to_owned()),
    }
}

/// One conversation going on.
struct Run<'a> {
    case: &'a Case,
    server: &'a Server,
    feed: Feed,
    names: Names,
    clients: BTreeMap<char, Client>,
    closed: Vec<char>,
    sends: usize,
    patience: Duration,
}

impl Run<'_> {
    fn client(&mut self, name: char) -> &mut Client {
        let server = self.server;
        self.clients.entry(name).or_insert_with(|| server.connect())
    }

    fn step(&mut self, at: usize, step: &Step) -> Result<(), String> {
        let done = match step {
            Step::Send(name, pattern) => self.send(*name, pattern),
            Step::Expect(name, pattern) => self.expect(*name, pattern),
            Step::Close(name) => self.expect_closed(*name),
            Step::ShutWrite(name) => {
                self.client(*name).shut_write();
                Ok(())
            }
            Step::Advance(secs) => advance(self.server, *secs),
        };
        done.map_err(|what| format!("step {at}: {what}"))
    }

    fn send(&mut self, name: char, pattern: &Pattern) -> Result<(), String> {
        let bytes = pattern.render(&self.names)?;
        let (feed, index) = (self.feed, self.sends);
        self.sends += 1;
        let client = self.client(name);
        for piece in pieces(&bytes, feed, index) {
            client.send(piece);
            if feed != Feed::Whole {
                client.await_read();
            }
        }
        Ok(())
    }

    fn expect(&mut self, name: char, pattern: &Pattern) -> Result<(), String> {
        let end = moment() + self.patience;
        let mut names = std::mem::take(&mut self.names);
        let client = self.client(name);
        let result = loop {
            let fit = pattern.fit(client.pending(), &mut names);
            if let Fit::Whole(count) = fit {
                client.consume(count);
                break Ok(());
            }
            let left = end.saturating_duration_since(moment());
            if fit == Fit::No || client.receive(left) != Received::Some {
                let have = show(client.pending());
                break Err(format!("\nexpected {}\nreceived {have}", pattern.describe()));
            }
        };
        self.names = names;
        result
    }

    fn expect_closed(&mut self, name: char) -> Result<(), String> {
        let patience = self.patience;
        let client = self.client(name);
        let got = client.receive(patience);
        let rest = show(client.pending());
        self.closed.push(name);
        if got == Received::Closed && rest == "\"\"" {
            return Ok(());
        }
        Err(format!("expected a close, got {got:?} {rest}"))
    }

    /// Sends all that one client can say without knowing an answer in one piece, then expects the
    /// answers, and so on.
    fn pipelined(&mut self) -> Result<(), String> {
        let case = self.case;
        let mut batch = Vec::new();
        let mut waiting: Vec<(usize, &Step)> = Vec::new();
        for (at, step) in case.steps.iter().enumerate() {
            let is_same = waiting.iter().all(|(_, other)| other.client() == step.client());
            let Step::Send(_, pattern) = step else {
                if !is_same || !matches!(step, Step::Expect(..)) {
                    self.flush(&mut batch, &mut waiting)?;
                }
                waiting.push((at, step));
                continue;
            };
            if !is_same || pattern.needs(&self.names) {
                self.flush(&mut batch, &mut waiting)?;
            }
            batch.extend(pattern.render(&self.names)?);
            waiting.push((at, step));
        }
        self.flush(&mut batch, &mut waiting)
    }

    /// Sends `batch` at once and takes all the steps that are no sends.
    fn flush(
        &mut self,
        batch: &mut Vec<u8>,
        waiting: &mut Vec<(usize, &Step)>,
    ) -> Result<(), String> {
        if let Some(name) = waiting.first().and_then(|(_, step)| step.client()) {
            self.client(name).send(std::mem::take(batch));
        }
        let mut rest = waiting.drain(..).filter(|(_, step)| !matches!(step, Step::Send(..)));
        rest.try_for_each(|(at, step)| self.step(at, step))
    }

    /// Every client that is still connected must be in step: no byte too many, no answer missing.
    fn end(&mut self) -> Result<(), String> {
        let mut names: Vec<char> = self.clients.keys().copied().collect();
        names.retain(|name| !self.closed.contains(name));
        for name in names {
            let (mut question, mut answer) = (Pattern::default(), Pattern::default());
            if self.case.is_binary(name) {
                question.push_packet("noop opaque=ffffffff", Way::Request)?;
                answer.push_packet("noop 00 opaque=ffffffff", Way::Answer)?;
            } else {
                question.push_line("version")?;
                answer.push_line("VERSION {version}")?;
            }
            let question = question.render(&self.names)?;
            self.client(name).send(question);
            self.expect(name, &answer).map_err(|what| format!("not in step at the end: {what}"))?;
        }
        Ok(())
    }
}

impl Step {
    fn client(&self) -> Option<char> {
        match self {
            Step::Send(name, _) | Step::Expect(name, _) => Some(*name),
            Step::Close(name) | Step::ShutWrite(name) => Some(*name),
            Step::Advance(_) => None,
        }
    }
}

fn pieces(bytes: &[u8], feed: Feed, index: usize) -> Vec<&[u8]> {
    match feed {
        Feed::Split(send, at) if send == index => vec![&bytes[..at], &bytes[at..]],
        Feed::Bytes if bytes.len() <= SPLIT_LEN_MAX => bytes.chunks(1).collect(),
        Feed::Bytes => {
            let (head, rest) = bytes.split_at(EDGE_BYTES);
            let (middle, tail) = rest.split_at(rest.len() - EDGE_BYTES);
            head.chunks(1).chain(middle.chunks(4093)).chain(tail.chunks(1)).collect()
        }
        _ => vec![bytes],
    }
}

/// Moves the server's clock: with `debugtime` where there is such a command, else by waiting.
fn advance(server: &Server, secs: i64) -> Result<(), String> {
    let mut control = server.connect();
    control.send(format!("debugtime {secs}\r\n"));
    match control.line().as_str() {
        "OK" => Ok(()),
        _ => {
            let start: u64 = control.stat("uptime").and_then(|text| text.parse().ok()).unwrap_or(0);
            wait_for("the server's clock", PATIENCE, || {
                let now: u64 = control.stat("uptime")?.parse().ok()?;
                (now >= start.saturating_add_signed(secs)).then_some(())
            });
            Ok(())
        }
    }
}
