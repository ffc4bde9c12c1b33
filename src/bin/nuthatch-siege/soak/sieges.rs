//! Hostile clients in random turns, a few at a time.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::counts::Counts;
use super::daemons::Daemon;
use crate::patterns::{self, Pattern};
use crate::random::Random;
use crate::running::Running;
use crate::tally::Tally;

/// What each pattern has done.
pub type Tallies = Mutex<BTreeMap<&'static str, (u64, Tally)>>;

/// One pattern after the other until told to stop: a turn of some seconds each, and a pause.
pub fn run(daemons: &[Daemon], counts: &Counts, running: &Running, seed: u64, tallies: &Tallies) {
    let mut random = Random::new(seed);
    let seconds = |random: &mut Random, from: u32, to: u32| {
        Duration::from_millis(u64::from(from * 1_000 + random.below((to - from) * 1_000)))
    };
    while running.goes_on() {
        let Some((daemon, pattern)) = choose(daemons, &mut random) else { return };
        let Some(mut target) = daemon.target().cloned() else { continue };
        target.connections_max = CONNECTIONS_MAX;
        let turn = Running::for_time(seconds(&mut random, 2, 8));
        let seed = random.bits();
        counts.say(&format!("siege {} of {} with seed {seed}", pattern.name, daemon.name));
        let bad = daemon.scene.weather.bad(true);
        let tally = std::thread::scope(|scope| {
            let hostile = scope.spawn(|| (pattern.run)(&target, &turn, seed));
            while !hostile.is_finished() {
                if !running.pause(Duration::from_millis(50)) {
                    turn.stop();
                    break;
                }
            }
            hostile.join()
        });
        drop(bad);
        match tally {
            Ok(tally) => {
                let mut all = tallies.lock().unwrap_or_else(PoisonError::into_inner);
                let (turns, sum) = all.entry(pattern.name).or_default();
                *turns += 1;
                *sum += tally;
            }
            Err(_) => counts.error("pattern broken", pattern.name),
        }
        // Some flush; under the fire of others it may be refused.
        let emptied = daemon.emptied();
        let _ = daemon.refill();
        drop(emptied);
        running.pause(seconds(&mut random, 0, 3));
    }
}

fn choose<'a>(
    daemons: &'a [Daemon],
    random: &mut Random,
) -> Option<(&'a Daemon, &'static Pattern)> {
    let mut all = Vec::new();
    for daemon in daemons {
        let Some(target) = daemon.target() else { continue };
        let fits = |pattern: &&Pattern| pattern.needs.met_by(target);
        let hostile = patterns::all().filter(|pattern| !CONTROLS.contains(&pattern.name));
        all.extend(hostile.filter(fits).map(|pattern| (daemon, pattern)));
    }
    if all.is_empty() { None } else { Some(all[random.below(all.len() as u32) as usize]) }
}

/// What does nothing to a server.
const CONTROLS: &[&str] = &["idle", "burn"];

/// Connections of one pattern, so that those of all together leave room for everybody else.
const CONNECTIONS_MAX: usize = 300;
