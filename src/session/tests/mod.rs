//! Conversations with a session over a real store. Sections are those of the text protocol's
//! description.

mod binary;

mod cluster;

mod conns;

mod conversations;

mod datagrams;

mod dumps;

mod limits;

mod logins;

mod meta;

mod random;

mod room;

mod watching;

use std::mem::discriminant;
use std::sync::Arc;

use super::*;
use crate::auth::{self, Attempt, Gate};
use crate::clock::{Clock, Secs};
use crate::limits::{COPY_VALUE_MAX, KEY_LEN_MAX, LINE_LEN_MAX, LOGIN_LEN_MAX};
use crate::metrics::{Counter, Metrics};
use crate::store::{self, Store};

/// Second at which all conversations take place.
const SECS: u32 = 1000;

/// The number that watchers see of every connection.
const DESCRIPTOR: i32 = 7;

fn options() -> Options {
    Options {
        version: "1.6.45-test".to_owned(),
        flush: true,
        dump: true,
        requests_per_turn: 20,
        prefix_delimiter: ':',
        ..Options::default()
    }
}

fn shared_with(options: Options, store: &store::Options) -> Shared {
    let store = Store::new(store).unwrap();
    Shared::new(store, Arc::new(Metrics::new(1)), Arc::new(Clock::start()), options)
}

fn store_options() -> store::Options {
    store::Options {
        memory_bytes: 8 << 20,
        item_size_max: 1 << 20,
        growth_factor: 1.25,
        chunk_space_min: 48,
        evictions: true,
        cas: true,
        large_pages: false,
        crawler: true,
        automove: true,
        temporary_ttl: None,
        track_sizes: false,
        threads: 1,
    }
}

fn shared() -> Shared {
    shared_with(options(), &store_options())
}

/// How bytes reach a session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    /// All through the input.
    Input,
    /// Bytes of a value straight into its item, whenever the session offers that.
    Item,
}

/// A client and its connection, without the sockets.
struct Client<'a> {
    shared: &'a Shared,
    session: Session,
    /// Judges logins.
    gate: Option<Gate>,
    now: Now,
    path: Path,
    requests_per_turn: u32,
    unread: Vec<u8>,
    out: Output,
    answers: Vec<u8>,
    end: Option<Want>,
    /// What holds the memory that it waits for, and goes when it does.
    relief: Option<Vec<Box<dyn std::any::Any>>>,
    /// How often it has waited for memory.
    waits: usize,
}

impl<'a> Client<'a> {
    fn new(shared: &'a Shared) -> Client<'a> {
        Client {
            shared,
            session: match shared.options.login {
                true => Session::guest(Protocol::Auto),
                false => Session::new(),
            },
            gate: shared.options.login.then(|| auth::tests::gate(logins::USERS)),
            now: Now { secs: Secs(SECS), ..shared.clock.now() },
            path: Path::Input,
            requests_per_turn: shared.options.requests_per_turn,
            unread: Vec::new(),
            out: Output::new(),
            answers: Vec::new(),
            end: None,
            relief: None,
            waits: 0,
        }
    }

    /// Sends `bytes` in one piece and takes what comes back.
    fn send(&mut self, mut bytes: &[u8]) {
        if self.path == Path::Item && self.unread.is_empty() {
            bytes = &bytes[self.send_to_item(bytes)..];
        }
        self.unread.extend_from_slice(bytes);
        let mut is_refused = false;
        while self.end.is_none() {
            let mut turn = self.turn();
            let (consumed, want) = match std::mem::take(&mut is_refused) {
                true => self.session.refuse_room(&self.unread, &mut self.out, &mut turn),
                false => self.session.advance(&self.unread, &mut self.out, &mut turn),
            };
            self.now = turn.now;
            self.unread.drain(..consumed);
            match want {
                Want::Input => {
                    let login_len_max = if self.gate.is_some() { LOGIN_LEN_MAX + 2 } else { 0 };
                    let len_max = LINE_LEN_MAX + KEY_LEN_MAX + login_len_max;
                    assert!(self.unread.len() <= len_max, "holds a line");
                    assert_eq!(self.unread.is_empty(), !self.session.is_line_begun);
                    self.read();
                    break;
                }
                Want::News => {
                    assert!(self.unread.is_empty() && self.session.is_watching());
                    self.read();
                    break;
                }
                Want::Conns { .. } => {
                    self.read();
                    break;
                }
                Want::Verdict => {
                    self.read();
                    assert!(self.session.handles_secrets());
                    let ask = self.session.take_ask().expect("asked once");
                    let gate = self.gate.as_mut().expect("only who has to log in does");
                    let attempt = Attempt { ask, from: None };
                    let verdict = gate.judge(attempt, self.now.instant).verdict;
                    self.session.take_verdict(verdict);
                }
                Want::Turn => {
                    let has_work = matches!(self.session.state, State::Dump(_));
                    assert!(turn.requests_left == 0 && (has_work || !self.unread.is_empty()));
                }
                Want::Drain => {
                    assert!(self.out.is_high() || self.out.has_pinned());
                    self.read();
                }
                Want::Memory(_) => {
                    assert!(!self.out.has_pinned(), "it holds nothing while it waits");
                    self.read();
                    self.waits += 1;
                    is_refused = self.relief.take().is_none();
                }
                end => {
                    self.end = Some(end);
                    self.read();
                }
            }
        }
    }

    fn turn(&self) -> Turn<'a> {
        Turn {
            now: self.now,
            shared: self.shared,
            counters: self.shared.metrics.block(0),
            requests_left: self.requests_per_turn,
            was_long: false,
            descriptor: DESCRIPTOR,
            wake: &|| Arc::new(|| {}),
        }
    }

    fn send_to_item(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        for slice in self.session.value_space().into_iter().flat_map(|(slices, _)| slices) {
            let mut slice = slice;
            let part = slice.len().min(bytes.len() - sent);
            slice[..part].copy_from_slice(&bytes[sent..sent + part]);
            sent += part;
        }
        if sent > 0 {
            self.session.value_read(sent);
        }
        sent
    }

    /// Takes the answers off the connection.
    fn read(&mut self) {
        while !self.out.is_empty() {
            let slices = self.out.slices(usize::MAX);
            let count = slices.iter().map(|slice| slice.len()).sum();
            slices.iter().for_each(|slice| self.answers.extend_from_slice(slice));
            drop(slices);
            self.out.advance(count);
        }
    }

    /// What was answered since the last call.
    fn answers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.answers)
    }

    #[track_caller]
    fn check(&mut self, send: &str, receive: &str) {
        self.send(send.as_bytes());
        assert_same(receive.as_bytes(), &self.answers());
    }
}

/// What a conversation leaves behind.
#[derive(PartialEq)]
struct Outcome {
    answers: Vec<u8>,
    unread: Vec<u8>,
    end: Option<Want>,
    state: std::mem::Discriminant<State>,
    is_midway: bool,
    items: [u64; 2],
    counts: [u64; 6],
}

/// Holds a conversation with a new server, `pieces` being sent one after the other.
fn converse<'b>(
    shared: &Shared,
    path: Path,
    pieces: impl IntoIterator<Item = &'b [u8]>,
) -> Outcome {
    let mut client = Client { path, ..Client::new(shared) };
    pieces.into_iter().for_each(|piece| client.send(piece));
    let totals = shared.store.totals();
    let count = |counter| shared.metrics.total(counter);
    Outcome {
        answers: client.answers(),
        // What comes behind the end of a conversation is not read.
        unread: if client.end.is_some() { Vec::new() } else { client.unread.clone() },
        end: client.end,
        state: discriminant(&client.session.state),
        is_midway: client.end.is_none() && client.session.is_midway(),
        items: [totals.curr_items, totals.bytes],
        counts: [
            count(Counter::CmdGet),
            count(Counter::GetHits),
            count(Counter::CmdSet),
            count(Counter::CmdTouch),
            count(Counter::GetMisses),
            count(Counter::StoreTooLarge),
        ],
    }
}

/// At most this many of the points at which a conversation can be split are tried.
const SPLITS_MAX: usize = 300;

/// Sends `send` whole, cut in two at every point and byte by byte, each to a new server, and
/// expects the same of all of them.
#[track_caller]
fn check_all_splits(make: impl Fn() -> Shared, send: &[u8], receive: &[u8]) -> Option<Want> {
    let whole = converse(&make(), Path::Input, [send]);
    assert_same(receive, &whole.answers);
    let same = |other: Outcome, how: &str| {
        assert_same(receive, &other.answers);
        assert!(whole == other, "not the same when sent {how}: {:?}", send.escape_ascii());
    };
    for path in [Path::Input, Path::Item] {
        same(converse(&make(), path, send.chunks(1)), "byte by byte");
        for at in (0..=send.len()).step_by(send.len() / SPLITS_MAX + 1) {
            let (left, right) = send.split_at(at);
            same(converse(&make(), path, [left, right]), "in two");
        }
    }
    whole.end
}

#[track_caller]
fn assert_same(want: &[u8], got: &[u8]) {
    let text = |bytes: &[u8]| {
        let part = &bytes[..bytes.len().min(2000)];
        part.escape_ascii().to_string().replace("\\r\\n", "\\r\\n\n")
    };
    assert!(want == got, "want\n{}\ngot\n{}", text(want), text(got));
}
