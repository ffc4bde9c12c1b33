//! What is no attack: by these the others are judged.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::Pattern;
use crate::random::Random;
use crate::running::Running;
use crate::tally::Tally;
use crate::target::{Needs, Target};

/// The two controls.
pub const ALL: &[Pattern] = &[
    Pattern { name: "idle", about: "does nothing", needs: Needs::Plain, run: idle },
    Pattern {
        name: "burn",
        about: "keeps the clients' core busy and sends nothing",
        needs: Needs::Plain,
        run: burn,
    },
];

fn idle(_: &Target, running: &Running, _: u64) -> Tally {
    let mut tally = Tally::default();
    while running.pause(Duration::from_millis(100)) {
        tally.rounds += 1;
    }
    tally
}

fn burn(_: &Target, running: &Running, seed: u64) -> Tally {
    let mut tally = Tally::default();
    let mut random = Random::new(seed);
    while running.goes_on() {
        for _ in 0..10_000 {
            std::hint::black_box(random.bits());
        }
        tally.rounds += 1;
    }
    tally
}
