//! A connection to a session without the sockets, which takes note of what it may hold.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::sync::Arc;

use crate::auth::{self, Attempt, Gate};
use crate::clock::{Clock, Now, Secs};
use crate::discovery::Discovery;
use crate::fuzz::input::Head;
use crate::limits::{
    DETAIL_PACKET_BYTES_MAX, KEY_LEN_MAX, LINE_LEN_MAX, LOGIN_LEN_MAX, OUTPUT_HIGH_WATER_BYTES,
};
use crate::metrics::Metrics;
use crate::session::{Options, Output, Portion, Protocol, Session, Shared, Turn, Want};
use crate::store::Store;
use crate::watch::Wake;

/// Calls of a session, for one piece, beyond which it is taken to get nowhere.
const CALLS_MAX: usize = 1 << 17;

/// Bytes of input that may wait: the longest line or the front of a packet, and a login behind it.
const UNREAD_MAX: usize = LINE_LEN_MAX + KEY_LEN_MAX + LOGIN_LEN_MAX + 2;

/// Bytes of answers that may wait: what one request adds to the high-water mark.
const WAITING_MAX: usize = OUTPUT_HIGH_WATER_BYTES + DETAIL_PACKET_BYTES_MAX + 64 * 1024;

const USERS: &str = "foo:bar\nreader:r:read\nwriter:w:write\napp:a:prefix=app:\nboss:b:admin\n";

thread_local! {
    /// With mechanisms that answer the same each time: a nonce would not.
    static GATE: RefCell<Gate> = RefCell::new(gate());
    static NOW: Now = Now { secs: Secs(1000), ..Clock::start().now() };
}

fn gate() -> Gate {
    let mechanisms = Some(vec!["PLAIN"]);
    let options =
        auth::Options { sasl: true, mechanisms, hostname: "host".to_owned(), ..Default::default() };
    Gate::of_text(options, USERS.as_bytes()).expect("well formed")
}

/// A server of its own for each execution.
pub(super) fn shared(head: Head, store: Arc<Store>) -> Shared {
    let options = Options {
        version: "1.6.45-fuzz".to_owned(),
        threads: 1,
        item_size_max: 1 << 20,
        requests_per_turn: [20, 1, 3, 500][usize::from(head.way & 3)],
        prefix_delimiter: ':',
        binding_protocol: "auto-negotiate",
        shutdown: true,
        flush: true,
        dump: true,
        watch: true,
        detail: head.is(5),
        login: is_guarded(head),
        sasl: is_guarded(head) && head.way & 4 == 0,
        ..Options::default()
    };
    let shared = Shared::new(store, Arc::new(Metrics::new(1)), Arc::new(Clock::start()), options);
    Shared { discovery: Discovery::fixed(b"1\nn||1\n").ok(), ..shared }
}

/// Whether answers tell of the machine, are in an order that is another one each time, or say that
/// something was there already (text, section 7: a dump must be the last that has come).
pub(super) fn is_of_server(answers: &[u8]) -> bool {
    let has = |word: &[u8]| answers.windows(word.len()).any(|part| part == word);
    has(b"rusage_user") || has(b"PREFIX ") || has(b"cannot pipeline")
}

/// Clients have to log in, of one server in eight.
fn is_guarded(head: Head) -> bool {
    head.kind & 7 == 7
}

/// What a call may use and spend.
pub(super) fn turn(shared: &Shared, requests_left: u32) -> Turn<'_> {
    Turn {
        now: NOW.with(|now| *now),
        shared,
        counters: shared.metrics.block(0),
        requests_left,
        was_long: false,
        descriptor: 7,
        wake: &wake,
    }
}

/// A client's side.
pub(super) struct Client<'a> {
    shared: &'a Shared,
    session: Session,
    pub(super) now: Now,
    /// Bytes of a value go straight into its item.
    fills_items: bool,
    unread: Vec<u8>,
    out: Output,
    pub(super) answers: Vec<u8>,
    /// What the session ended with.
    pub(super) end: Option<Want>,
    /// It is told that there is no memory for what it waits for.
    is_refused: bool,
}

impl<'a> Client<'a> {
    pub(super) fn new(shared: &'a Shared, fills_items: bool) -> Client<'a> {
        let session = match shared.options.login {
            true => Session::guest(Protocol::Auto),
            false => Session::new(),
        };
        Client {
            shared,
            session,
            now: NOW.with(|now| *now),
            fills_items,
            unread: Vec::new(),
            out: Output::new(),
            answers: Vec::new(),
            end: None,
            is_refused: false,
        }
    }

    /// Sends `bytes` in one piece and takes what comes back.
    pub(super) fn send(&mut self, mut bytes: &[u8]) {
        if self.fills_items && self.unread.is_empty() {
            bytes = &bytes[self.send_to_item(bytes)..];
        }
        self.unread.extend_from_slice(bytes);
        self.go_on();
    }

    /// Has the session do all that it can.
    pub(super) fn go_on(&mut self) {
        for calls in 0.. {
            assert!(calls < CALLS_MAX, "a session that gets nowhere");
            if self.end.is_some() || self.advance() {
                return self.read();
            }
        }
    }

    /// What a worker does when time has passed.
    pub(super) fn pass_time(&mut self) {
        let store = &self.shared.store;
        store.flush_if_due(self.now.secs);
        store.maintain(self.now.secs);
        self.go_on();
    }

    /// One call; whether nothing is left to be done.
    fn advance(&mut self) -> bool {
        let requests = self.shared.options.requests_per_turn;
        let mut turn = Turn { now: self.now, ..turn(self.shared, requests) };
        let (consumed, want) = match std::mem::take(&mut self.is_refused) {
            true => self.session.refuse_room(&self.unread, &mut self.out, &mut turn),
            false => self.session.advance(&self.unread, &mut self.out, &mut turn),
        };
        self.now = turn.now;
        assert!(consumed <= self.unread.len() && self.out.weight() <= WAITING_MAX);
        self.unread.drain(..consumed);
        match want {
            Want::Input => {
                assert!(self.unread.len() <= UNREAD_MAX);
                assert!(self.unread.is_empty() || self.session.is_midway());
                return true;
            }
            Want::News => {
                assert!(self.session.is_watching());
                return true;
            }
            Want::Turn => {}
            Want::Drain => {
                assert!(self.out.is_high());
                self.read();
            }
            // There is nobody else whose going would make room.
            Want::Memory(_) => self.is_refused = true,
            Want::Conns { from } => self.session.take_conns(Portion {
                lines: format!("STAT {from}:addr tcp:127.0.0.1:1\r\n"),
                next: (from < 1000).then_some(from + 300),
            }),
            Want::Verdict => {
                assert!(self.session.handles_secrets());
                let ask = self.session.take_ask().expect("it is asked once");
                let attempt = Attempt { ask, from: None };
                let now = self.now.instant;
                let verdict = GATE.with_borrow_mut(|gate| gate.judge(attempt, now).verdict);
                self.session.take_verdict(verdict);
            }
            Want::Close | Want::Hangup | Want::Shutdown { .. } => self.end = Some(want),
        }
        false
    }

    fn send_to_item(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        for mut slice in self.session.value_space().into_iter().flat_map(|(slices, _)| slices) {
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
}

fn wake() -> Wake {
    Arc::new(|| {})
}
