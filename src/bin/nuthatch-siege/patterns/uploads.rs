//! Clients that begin to store something.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::Pattern;
use crate::running::Running;
use crate::socket::{Peer, Window};
use crate::tally::Tally;
use crate::target::{Needs, Target};

/// Stores of every kind.
pub const ALL: &[Pattern] = &[Pattern {
    name: "half-uploads",
    about: "1,000 clients that send half of a value of 1 MB and stay",
    needs: Needs::Plain,
    run: half_uploads,
}];

/// Those whom the server hangs up on come again.
fn half_uploads(target: &Target, running: &Running, _: u64) -> Tally {
    let mut tally = Tally::default();
    let mut half = b"set siege:half 0 0 1000000\r\n".to_vec();
    half.extend(std::iter::repeat_n(b'h', 500_000));
    let mut peers: Vec<Peer> = Vec::new();
    while running.goes_on() {
        peers.retain(|peer| !peer.is_over());
        if peers.len() < UPLOADS.min(target.connections_max) {
            peers.extend(Peer::connect(target.plain, Window::Wide, &mut tally));
        }
        for peer in &mut peers {
            peer.push(&half, &mut tally);
            peer.drain(&mut tally);
        }
        tally.rounds += 1;
        running.pause(Duration::from_millis(1));
    }
    tally
}

const UPLOADS: usize = 1000;
