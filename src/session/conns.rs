//! `stats conns` (text, section 8): a list that the server has and the session does not.
//!
//! The session asks for it in portions, each once the output has room for it.
#![forbid(unsafe_code)]

use crate::protocol::Reply;
use crate::session::{Output, Session, State, Step, Want};

/// Part of the list of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Portion {
    /// `STAT` lines.
    pub lines: String,
    /// The descriptor with which the next portion begins; None: this was the last one.
    pub next: Option<i32>,
}

/// How far the list has come.
#[derive(Debug)]
pub(super) struct Listing {
    /// The descriptor from which on it is missing.
    from: i32,
    /// What has come and is not in the output yet.
    portion: Option<Portion>,
}

impl Listing {
    /// Bytes of memory that it has.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Listing>() + self.portion.as_ref().map_or(0, |portion| portion.lines.capacity())
    }
}

impl Session {
    pub(super) fn begin_conns(&mut self) -> Step {
        self.state = State::Conns(Box::new(Listing { from: 0, portion: None }));
        Step::on(0)
    }

    /// Answers [`Want::Conns`]; the session is to be called again.
    pub fn take_conns(&mut self, portion: Portion) {
        if let State::Conns(listing) = &mut self.state {
            listing.portion = Some(portion);
        }
    }

    /// Appends what has come and asks for more.
    pub(super) fn list_conns(&mut self, out: &mut Output) -> Step {
        let State::Conns(listing) = &mut self.state else { return Step::on(0) };
        if let Some(Portion { lines, next }) = listing.portion.take() {
            out.push(lines.as_bytes());
            let Some(next) = next else {
                out.push(Reply::End.line());
                self.state = State::Line;
                return Step::on(0);
            };
            listing.from = next;
        }
        Step::wait(if out.is_high() { Want::Drain } else { Want::Conns { from: listing.from } })
    }

    /// What `stats conns` says that it is doing.
    pub fn state_word(&self) -> &'static str {
        match self.state {
            State::Conns(_) | State::Login(_) => "conn_parse_cmd",
            State::Watching(_) => "conn_watch",
            State::Value(_) => "conn_nread",
            State::Swallow(_) | State::SkipLine => "conn_swallow",
            State::Over => "conn_closing",
            _ => "conn_read",
        }
    }
}
