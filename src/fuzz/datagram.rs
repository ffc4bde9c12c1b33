//! A datagram.
#![forbid(unsafe_code)]

use crate::fuzz::client::{is_of_server, shared, turn};
use crate::fuzz::input::{self, Head};
use crate::limits::DATAGRAM_ANSWERS_MAX_BYTES;
use crate::session::{Datagram, Next, Protocol};
use crate::store::model::{check_nothing_is_left, store_for_sessions};

/// Calls beyond which a datagram is taken to get nowhere.
const CALLS_MAX: usize = 1 << 17;

/// More than a line of a refusal has.
const REFUSAL_MAX: usize = 200;

/// The answers to a datagram are the same however little is done of it at a time, they have a bound, and
/// nothing of it is left.
pub fn datagram(data: &[u8]) {
    let Some((head, payload)) = input::split(data) else { return };
    let many = converse(head, payload, 20);
    let few = converse(head, payload, 1);
    if !many.iter().any(|answer| is_of_server(answer)) {
        assert_eq!(many, few);
    }
}

fn converse(head: Head, payload: &[u8], requests: u32) -> Vec<Vec<u8>> {
    let shared = shared(head, store_for_sessions(false, false));
    let protocol = [Protocol::Auto, Protocol::Ascii, Protocol::Binary][usize::from(head.way % 3)];
    let mut datagram = Datagram::new(protocol);
    let (mut answers, mut answer) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    let mut turn = turn(&shared, requests);
    for calls in 0.. {
        assert!(calls < CALLS_MAX, "a datagram that gets nowhere");
        let next = datagram.advance(payload, &mut answer, &mut turn);
        if turn.requests_left == 0 {
            turn.requests_left = requests;
        }
        match next {
            Next::Turn => {}
            Next::Answer => {
                bytes += answer.len();
                answers.push(std::mem::take(&mut answer));
            }
            Next::Quit | Next::Over | Next::Shutdown { .. } => break,
        }
    }
    assert!(bytes <= DATAGRAM_ANSWERS_MAX_BYTES + REFUSAL_MAX, "{bytes} bytes");
    drop(datagram);
    check_nothing_is_left(&shared.store, turn.now.secs);
    answers
}
