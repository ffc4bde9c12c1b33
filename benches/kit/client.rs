//! A client of a session, in this process: what a connection does with its socket, without one.
#![forbid(unsafe_code)]

use std::sync::Arc;

use nuthatch::clock::Now;
use nuthatch::limits::{READ_BUF_BYTES, TURN_BYTES_MAX};
use nuthatch::session::{Output, Session, Shared, Turn, Want};

use super::NOW;

/// See the module documentation.
pub struct Client<'a> {
    shared: &'a Shared,
    session: Session,
    out: Output,
    now: Now,
    answered: usize,
}

impl<'a> Client<'a> {
    /// One that has said nothing.
    pub fn new(shared: &'a Shared) -> Client<'a> {
        Client {
            shared,
            session: Session::new(),
            out: Output::new(),
            // A time of its own, so that no second passes amid a run.
            now: Now { secs: NOW, ..shared.clock.now() },
            answered: 0,
        }
    }

    /// Sends `bytes` and takes all answers; tells their length.
    ///
    /// The session sees them as a connection reads them: at most a read buffer at a time, but for
    /// values that it wants straight in their items. Those are not copied there, since that is the
    /// kernel's work; what is in such an item is then arbitrary.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        self.answered = 0;
        let (mut at, mut end) = (0, bytes.len().min(READ_BUF_BYTES));
        loop {
            let mut turn = Turn {
                now: self.now,
                shared: self.shared,
                counters: self.shared.metrics.block(0),
                requests_left: self.shared.options.requests_per_turn,
                was_long: false,
                descriptor: 0,
                wake: &|| Arc::new(|| {}),
            };
            let (used, want) = self.session.advance(&bytes[at..end], &mut self.out, &mut turn);
            at += used;
            match want {
                Want::Turn => {}
                Want::Drain => self.take_answers(),
                Want::Input => {
                    self.take_answers();
                    if at == bytes.len() {
                        return self.answered;
                    }
                    let taken = if at == end { self.fill_value(bytes.len() - at) } else { 0 };
                    at += taken;
                    end = end.max(at) + READ_BUF_BYTES.min(TURN_BYTES_MAX - taken);
                    end = end.min(bytes.len());
                }
                other => panic!("the session wants {other:?}"),
            }
        }
    }

    /// Lets up to `count` bytes go where the session wants a value's; tells how many went.
    fn fill_value(&mut self, count: usize) -> usize {
        let space = self.session.value_space();
        let space = space.map_or(0, |(slices, _)| slices.iter().map(|slice| slice.len()).sum());
        let taken = space.min(count).min(TURN_BYTES_MAX);
        if taken > 0 {
            self.session.value_read(taken);
        }
        taken
    }

    /// As the kernel takes what is written in one call.
    fn take_answers(&mut self) {
        while !self.out.is_empty() {
            let count = match self.out.plain() {
                Some(bytes) => bytes.len(),
                None => self.out.slices(TURN_BYTES_MAX).iter().map(|slice| slice.len()).sum(),
            };
            self.out.advance(count);
            self.answered += count;
        }
    }
}
