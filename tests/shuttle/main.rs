//! Models of what is too large for loom: the whole store, and verdicts on their way to a worker, under
//! random orders of the threads (shuttle). Loads see the latest value; weaker orders are for `tests/loom`.
//!
//! The modules are the daemon's own, compiled with shuttle's locks and atomics in the place of those
//! of `src/sync.rs`. Without a harness: the tests beside the code know nothing of shuttle.
//! `NUTHATCH_SEED` repeats a run, `NUTHATCH_SHUTTLE_ORDERS` sets how many orders each model is tried in.
#![allow(
    dead_code,
    unused_imports,
    missing_docs,
    unfulfilled_lint_expectations,
    reason = "the modules have more than the models use"
)]

#[path = "../../src/buf/mod.rs"]
mod buf;
#[path = "../../src/clock.rs"]
mod clock;
#[path = "../../src/limits.rs"]
mod limits;
#[path = "../../src/store/mod.rs"]
mod store;
#[path = "../../src/watch/mod.rs"]
mod watch;

mod admin;
mod kit;
mod server;
mod sync;
mod values;

/// Each takes some seconds or less.
const MODELS: &[(&str, fn())] = &[
    ("a_pinned_value_stays", values::a_pinned_value_stays),
    ("a_large_pinned_value_stays", values::a_large_pinned_value_stays),
    ("an_upload_is_its_own", values::an_upload_is_its_own),
    ("who_overwrites_is_seen_whole", values::who_overwrites_is_seen_whole),
    (
        "a_due_flush_comes_before_what_is_stored_next",
        admin::a_due_flush_comes_before_what_is_stored_next,
    ),
    ("one_limit_is_the_last", admin::one_limit_is_the_last),
    ("a_verdict_is_for_who_asked", server::a_verdict_is_for_who_asked),
];

/// Runs the models whose names have the first argument in them, or all.
fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    kit::report(MODELS.iter().filter(|(name, _)| name.contains(&wanted)));
}
