//! Models of what several threads share without a lock, or with a rule about the lock that only the
//! order of events can break: loom tries every order in which the threads can go, and every value that a load
//! may see then.
//!
//! The modules are the daemon's own, compiled with loom's locks and atomics in the place of those of
//! `src/sync.rs`. Without a harness: the tests beside the code know nothing of loom.
#![forbid(unsafe_code)]
#![allow(
    dead_code,
    unused_imports,
    missing_docs,
    reason = "the modules have more than the models use"
)]

#[path = "../../src/clock.rs"]
mod clock;
#[path = "../../src/limits.rs"]
mod limits;
#[path = "../../src/metrics/mod.rs"]
mod metrics;
#[path = "../../src/watch/mod.rs"]
mod watch;

mod counts;
mod server;
mod sync;
mod watchers;

/// Each takes a second or less.
const MODELS: &[(&str, fn())] = &[
    ("a_total_is_never_below_nothing", counts::a_total_is_never_below_nothing),
    ("no_count_is_lost", counts::no_count_is_lost),
    ("who_waits_for_a_close_learns_of_it", counts::who_waits_for_a_close_learns_of_it),
    ("the_last_part_completes_the_whole", server::the_last_part_completes_the_whole),
    ("a_line_is_taken_or_wakes", watchers::a_line_is_taken_or_wakes),
    ("what_is_watched_is_known", watchers::what_is_watched_is_known),
    ("who_has_left_gets_no_line_of_others", watchers::who_has_left_gets_no_line_of_others),
];

/// Runs the models whose names have the first argument in them, or all.
fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    sync::report(MODELS.iter().filter(|(name, _)| name.contains(&wanted)));
}
