//! Clients that ask for much and do not read it.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::Pattern;
use crate::running::Running;
use crate::socket::{Peer, Progress, Window};
use crate::tally::Tally;
use crate::target::{Needs, Target};

/// Gets of every kind.
pub const ALL: &[Pattern] = &[Pattern {
    name: "endless-get",
    about: "one get line that never ends",
    needs: Needs::Plain,
    run: endless_get,
}];

/// Keys without an end. What is answered before the end is not read.
fn endless_get(target: &Target, running: &Running, _: u64) -> Tally {
    let mut tally = Tally::default();
    let keys = "some:key:of:a:good:length ".repeat(4_000);
    while running.goes_on() {
        let Some(mut peer) = Peer::connect(target.plain, Window::Narrow, &mut tally) else {
            running.pause(PAUSE);
            continue;
        };
        peer.push(b"get ", &mut tally);
        peer.rewind();
        tally.rounds += 1;
        while running.goes_on() && !peer.is_over() {
            if peer.push(keys.as_bytes(), &mut tally) == Progress::Stuck {
                running.pause(PAUSE);
            }
            if peer.has_sent(keys.as_bytes()) {
                peer.rewind();
            }
        }
    }
    tally
}

/// Time in which a server that takes nothing more is left alone.
const PAUSE: Duration = Duration::from_millis(1);
