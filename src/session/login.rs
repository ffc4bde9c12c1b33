//! How a client is let in: a `set` whose block is `user password` (text, section 9), or the exchanges of
//! SASL (binary, section 5), or the certificate that it has shown.
//!
//! What a client sends for that is taken whole, so that all of it can be wiped behind it, and judged
//! elsewhere ([`crate::auth::Gate`]); until there is a verdict nothing more of the client is looked at.
//! A client that is not let in can do nothing else, whatever it has been before.
#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use crate::auth::{Ask, Verdict};
use crate::limits::{LOGIN_LEN_MAX, MECHANISM_LEN_MAX};
use crate::metrics::{Counter, Counters};
use crate::protocol::Reply;
use crate::protocol::binary::response::{self, Status};
use crate::protocol::binary::{Sasl, Tag, Verb};
use crate::protocol::text::{self, Line};
use crate::session::access::Access;
use crate::session::binary::refuse;
use crate::session::value::{BLOCK_END, answer};
use crate::session::{Output, Session, State, Step, Turn, Want};

/// An attempt that is being judged.
#[derive(Debug)]
pub(super) struct Login {
    by: By,
    /// Until it is taken away to be judged.
    ask: Option<Ask>,
    verdict: Option<Verdict>,
}

/// In which way a client wants to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Token,
    Packet(Tag),
    Certificate,
}

impl Session {
    /// A session whose client has to log in before anything else.
    pub fn guest(protocol: super::Protocol) -> Session {
        Session { access: Access::Guest(None), ..Session::of(protocol) }
    }

    /// Takes note of the names in the client's certificate, which has been verified, the most specific
    /// first. Only before anything else, and only of use to a guest.
    pub fn show_certificate(&mut self, names: Vec<String>) {
        if self.is_guest() && !names.is_empty() {
            self.begin_login(By::Certificate, Ask::Names(names));
        }
    }

    /// What is to be judged ([`Want::Verdict`]), once.
    pub fn take_ask(&mut self) -> Option<Ask> {
        match &mut self.state {
            State::Login(login) => login.ask.take(),
            _ => None,
        }
    }

    /// Answers [`Want::Verdict`]; the session is to be called again.
    pub fn take_verdict(&mut self, verdict: Verdict) {
        if let State::Login(login) = &mut self.state {
            login.verdict = Some(verdict);
        }
    }

    /// A line of a client that has yet to log in. It is not logged: it may be a password in the wrong place.
    pub(super) fn guest_line(
        &mut self,
        rest: &[u8],
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let (line, len) = match text::line(rest) {
            Line::Whole { text, len } => (text, len),
            Line::Partial => return Step::wait(Want::Input),
            Line::Overlong => return self.end(Want::Hangup),
        };
        let error = match text::login(line) {
            text::Login::Quit => return self.end(Want::Close),
            text::Login::Token { len: block_len } if block_len <= LOGIN_LEN_MAX => {
                return self.token(&rest[len..], len, block_len, out, turn);
            }
            text::Login::Token { .. } => Reply::AuthTokenTooLong,
            text::Login::Other => Reply::Unauthenticated,
        };
        turn.requests_left -= 1;
        answer(error, false, out);
        Step::on(len)
    }

    /// A name and a password, behind a line of `line_len` bytes.
    fn token(
        &mut self,
        data: &[u8],
        line_len: usize,
        block_len: usize,
        out: &mut Output,
        turn: &mut Turn<'_>,
    ) -> Step {
        let Some(block) = data.get(..block_len + BLOCK_END.len()) else {
            return Step::wait(Want::Input);
        };
        turn.requests_left -= 1;
        let step = Step::on(line_len + block.len());
        match block.strip_suffix(BLOCK_END) {
            None => answer(Reply::AuthBadTermination, false, out),
            Some(token) if !token.contains(&b' ') => answer(Reply::AuthBadToken, false, out),
            Some(token) => self.begin_login(By::Token, Ask::Token(secret(token))),
        }
        step
    }

    /// A packet of SASL, whose value is the end of `packet`, as far as that has come.
    pub(super) fn sasl(
        &mut self,
        tag: Tag,
        sasl: Sasl<'_>,
        head_len: usize,
        packet: &[u8],
        turn: &mut Turn<'_>,
    ) -> Step {
        let is_known = turn.shared.options.sasl;
        let refusal = if !is_known {
            Some(Status::UnknownCommand)
        } else if sasl.mechanism.len() > MECHANISM_LEN_MAX {
            Some(Status::Invalid)
        } else if sasl.value_len > LOGIN_LEN_MAX {
            Some(Status::NoMemory)
        } else {
            None
        };
        let len = head_len + sasl.value_len;
        let data = packet.get(head_len..len);
        if refusal.is_none() && data.is_none() {
            return Step::wait(Want::Input);
        }
        turn.requests_left -= 1;
        // Whoever begins to log in is nobody until that has come to its end.
        let before = is_known.then(|| std::mem::replace(&mut self.access, Access::Guest(None)));
        let (Some(data), None) = (data, refusal) else {
            let status = refusal.unwrap_or(Status::Invalid);
            return self.start_swallow_packet(len as u64, tag, status);
        };
        let ask = match (tag.verb, before) {
            (Verb::SaslList, _) => Ask::Mechanisms,
            (Verb::SaslAuth, _) => Ask::Start(sasl.mechanism.to_vec(), secret(data)),
            (_, Some(Access::Guest(Some(exchange)))) => Ask::Step(exchange, secret(data)),
            // A step of nothing is judged, too, as an exchange that no mechanism begins.
            _ => Ask::Start(Vec::new(), secret(b"")),
        };
        self.begin_login(By::Packet(tag), ask);
        Step::on(len)
    }

    fn begin_login(&mut self, by: By, ask: Ask) {
        self.state = State::Login(Box::new(Login { by, ask: Some(ask), verdict: None }));
    }

    /// Until there is a verdict, and when it is there.
    pub(super) fn hear_verdict(&mut self, out: &mut Output, turn: &Turn<'_>) -> Step {
        let State::Login(login) = &mut self.state else { return Step::on(0) };
        let Some(verdict) = login.verdict.take() else { return Step::wait(Want::Verdict) };
        let by = login.by;
        self.state = State::Line;
        count(by, &verdict, turn.counters);
        match (verdict, by) {
            (Verdict::Granted(user, last), _) => {
                self.access = Access::of(user);
                match by {
                    By::Token => answer(Reply::Stored, false, out),
                    By::Packet(tag) if last.is_empty() => {
                        response::text(out.bytes(), tag, "Authenticated");
                    }
                    By::Packet(tag) => response::bytes(out.bytes(), tag, Status::Success, &last),
                    By::Certificate => {}
                }
            }
            (Verdict::Challenge(exchange, challenge), By::Packet(tag)) => {
                self.access = Access::Guest(Some(exchange));
                response::bytes(out.bytes(), tag, Status::AuthContinue, &challenge);
            }
            (Verdict::Mechanisms(names), By::Packet(tag)) => {
                response::text(out.bytes(), tag, &names);
            }
            (_, By::Packet(tag)) => refuse(tag, Status::AuthFailure, out),
            (_, By::Token) => answer(Reply::AuthFailure, false, out),
            (_, By::Certificate) => {}
        }
        Step::on(0)
    }
}

/// What came of an attempt, if that is its end (binary, section 5).
fn count(by: By, verdict: &Verdict, counters: &Counters) {
    match verdict {
        _ if by == By::Certificate => {}
        Verdict::Challenge(..) | Verdict::Mechanisms(_) => {}
        Verdict::Granted(..) => counters.bump(Counter::AuthCmds),
        Verdict::Refused => {
            counters.bump(Counter::AuthCmds);
            counters.bump(Counter::AuthErrors);
        }
    }
}

fn secret(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.to_vec())
}
