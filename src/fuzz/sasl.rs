//! The exchanges of SASL, with a client of rsasl that is disturbed, and with none.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::config::SASLConfig;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLClient, SessionError};
use rsasl::property::{AuthId, Password};

use crate::auth::{Ask, Attempt, Gate, Options, Verdict};
use crate::clock::Clock;
use crate::limits::LOGIN_LEN_MAX;

/// One with a password and one with keys of few rounds, so that an exchange takes microseconds.
const USERS: &str = "foo:bar:read
keys:SCRAM-SHA-256$1:c2FsdHNhbHRzYWx0$\
OKr5vyYg8V5Nhv2S7tSgXxQBCZs9JaGZQZ2PN+C1N9Q=:OKr5vyYg8V5Nhv2S7tSgXxQBCZs9JaGZQZ2PN+C1N9Q=
";

const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "LOGIN"];

/// Ends a message of an input.
const END: u8 = 0xfe;

/// Messages of an exchange at the most; more are never wanted.
const MESSAGES_MAX: usize = 8;

thread_local! {
    static PLACE: RefCell<(Gate, Instant)> = RefCell::new(place());
}

fn place() -> (Gate, Instant) {
    let options = Options { sasl: true, hostname: "host".to_owned(), ..Options::default() };
    let gate = Gate::of_text(options, USERS.as_bytes()).expect("well formed");
    (gate, Clock::start().now().instant)
}

/// Whatever a client sends, an exchange ends after a few messages, and nobody is let in but by the right
/// password. (A server's nonce is random: executions of one input may differ in that.)
pub fn sasl(data: &[u8]) {
    let Some(([kind, at], rest)) = data.split_first_chunk() else { return };
    PLACE.with_borrow_mut(|(gate, now)| match kind >> 6 {
        0 => disturb(gate, *now, *kind, usize::from(*at), rest),
        _ => send(gate, *now, *kind, rest),
    });
}

/// Sends messages as they stand in the input.
fn send(gate: &mut Gate, now: Instant, kind: u8, data: &[u8]) {
    let mechanism = MECHANISMS[usize::from(kind) % MECHANISMS.len()];
    let mut messages = data.split(|byte| *byte == END);
    let first = messages.next().unwrap_or_default();
    let mut ask = Ask::Start(mechanism.as_bytes().to_vec(), first.to_vec().into());
    for message in messages.take(MESSAGES_MAX) {
        match gate.judge(Attempt { ask, from: None }, now).verdict {
            Verdict::Challenge(exchange, challenge) => {
                check_challenge(&challenge);
                ask = Ask::Step(exchange, message.to_vec().into());
            }
            Verdict::Granted(user, _) => {
                assert!(mechanism == "PLAIN" && user.name == b"foo");
                return assert!(data.split(|byte| *byte == END).any(has_password));
            }
            Verdict::Refused => return,
            Verdict::Mechanisms(_) => panic!("nobody has asked"),
        }
    }
    let _unanswered = gate.judge(Attempt { ask, from: None }, now);
}

/// Whether a message of PLAIN ends with the password of `foo`, once that is prepared (RFC 4013).
fn has_password(message: &[u8]) -> bool {
    let password = message.rsplit(|byte| *byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(password).unwrap_or_default();
    stringprep::saslprep(text).is_ok_and(|prepared| prepared == "bar")
}

struct Credentials(&'static str, &'static str);

impl SessionCallback for Credentials {
    fn callback(
        &self,
        _: &SessionData,
        _: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        request.satisfy::<AuthId>(self.0)?.satisfy::<Password>(self.1.as_bytes())?;
        Ok(())
    }
}

/// Lets a client log in, with bytes of the input in place of its own in one message.
fn disturb(gate: &mut Gate, now: Instant, kind: u8, at: usize, patch: &[u8]) {
    let mechanism = MECHANISMS[usize::from(kind) % 3];
    let user = [("foo", "bar"), ("foo", "bab"), ("keys", "bar"), ("fox", "bar")];
    let (name, password) = user[usize::from(kind >> 2) % user.len()];
    // Two thousand times the hash: too long for here.
    if mechanism != "PLAIN" && name != "keys" {
        return;
    }
    let config = SASLConfig::builder()
        .with_default_mechanisms()
        .with_callback(Credentials(name, password))
        .expect("there are mechanisms");
    let mechname = Mechname::parse(mechanism.as_bytes()).expect("a name");
    let client = SASLClient::new(Arc::clone(&config)).start_suggested(&[mechname]);
    let mut client = client.expect("it is known");
    let (mut challenge, mut exchange, mut is_changed) = (None, None, false);
    for number in 0..MESSAGES_MAX {
        let mut message = Vec::new();
        if client.step(challenge.as_deref(), &mut message).is_err() {
            return;
        }
        if number == usize::from(kind >> 4 & 1) {
            let before = message.clone();
            patch_in(&mut message, at, patch);
            is_changed |= message != before;
        }
        let ask = match exchange.take() {
            None => Ask::Start(mechanism.as_bytes().to_vec(), message.into()),
            Some(exchange) => Ask::Step(exchange, message.into()),
        };
        match gate.judge(Attempt { ask, from: None }, now).verdict {
            Verdict::Challenge(next, text) => {
                check_challenge(&text);
                (challenge, exchange) = (Some(text), Some(next));
            }
            Verdict::Granted(..) => return,
            Verdict::Refused => {
                let is_good = (name, password) == ("foo", "bar");
                return assert!(is_changed || !is_good, "refused though all was right");
            }
            Verdict::Mechanisms(_) => panic!("nobody has asked"),
        }
    }
    panic!("an exchange without an end");
}

/// Puts bytes over those of a message from `at` on, modulo its length, or cuts it off there.
fn patch_in(message: &mut Vec<u8>, at: usize, patch: &[u8]) {
    let at = at % (message.len() + 1);
    match patch {
        [] => {}
        [0xff] => message.truncate(at),
        _ => {
            let end = (at + patch.len()).min(message.len());
            message.splice(at..end, patch.iter().copied());
        }
    }
}

fn check_challenge(challenge: &[u8]) {
    assert!(challenge.len() <= LOGIN_LEN_MAX);
}
