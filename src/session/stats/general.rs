//! `stats`: the process, its connections, commands, traffic and content (stats, section 1).
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering::Relaxed;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::{Sink, add_all};
use crate::metrics::Counter;
use crate::session::Turn;
use crate::store::Totals;

pub(super) fn list(into: &mut dyn Sink, turn: &Turn<'_>) {
    let totals = turn.shared.store.totals();
    process(into, turn);
    connections(into, turn);
    commands(into, turn);
    traffic(into, turn, &totals);
    content(into, &totals);
}

fn process(into: &mut dyn Sink, turn: &Turn<'_>) {
    into.add("pid", &std::process::id());
    into.add("uptime", &turn.now.uptime());
    into.add("time", &turn.now.unix());
    into.add("version", &turn.shared.options.version);
    into.add("libevent", &"mio");
    into.add("pointer_size", &usize::BITS);
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let seconds = |time: TimeVal| format!("{}.{:06}", time.tv_sec(), time.tv_usec());
        into.add("rusage_user", &seconds(usage.user_time()));
        into.add("rusage_system", &seconds(usage.system_time()));
    }
}

fn connections(into: &mut dyn Sink, turn: &Turn<'_>) {
    let metrics = &turn.shared.metrics;
    add_all(
        into,
        &[
            ("max_connections", turn.shared.options.max_connections),
            ("curr_connections", metrics.curr_connections.load(Relaxed) as u64),
            ("total_connections", metrics.total(Counter::TotalConnections)),
            ("rejected_connections", metrics.total(Counter::RejectedConnections)),
        ],
    );
}

fn commands(into: &mut dyn Sink, turn: &Turn<'_>) {
    let total = |counter| turn.shared.metrics.total(counter);
    add_all(
        into,
        &[
            ("cmd_get", total(Counter::CmdGet)),
            ("cmd_set", total(Counter::CmdSet)),
            ("cmd_flush", total(Counter::CmdFlush)),
            ("cmd_touch", total(Counter::CmdTouch)),
            ("get_hits", total(Counter::GetHits)),
            ("get_misses", total(Counter::GetMisses)),
            ("get_expired", total(Counter::GetExpired)),
            ("get_flushed", total(Counter::GetFlushed)),
            ("delete_misses", total(Counter::DeleteMisses)),
            ("delete_hits", total(Counter::DeleteHits)),
            ("incr_misses", total(Counter::IncrMisses)),
            ("incr_hits", total(Counter::IncrHits)),
            ("decr_misses", total(Counter::DecrMisses)),
            ("decr_hits", total(Counter::DecrHits)),
            ("cas_misses", total(Counter::CasMisses)),
            ("cas_hits", total(Counter::CasHits)),
            ("cas_badval", total(Counter::CasBadval)),
            ("touch_hits", total(Counter::TouchHits)),
            ("touch_misses", total(Counter::TouchMisses)),
            ("store_too_large", total(Counter::StoreTooLarge)),
            ("store_no_memory", total(Counter::StoreNoMemory)),
        ],
    );
}

fn traffic(into: &mut dyn Sink, turn: &Turn<'_>, totals: &Totals) {
    let metrics = &turn.shared.metrics;
    let total = |counter| metrics.total(counter);
    add_all(
        into,
        &[
            ("idle_kicks", total(Counter::IdleKicks)),
            ("bytes_read", total(Counter::BytesRead)),
            ("bytes_written", total(Counter::BytesWritten)),
            ("limit_maxbytes", totals.limit_maxbytes),
            ("accepting_conns", u64::from(metrics.accepting.load(Relaxed))),
            ("listen_disabled_num", total(Counter::ListenDisabledNum)),
            ("time_in_listen_disabled_us", total(Counter::TimeInListenDisabledUs)),
            ("threads", turn.shared.options.threads),
            ("conn_yields", total(Counter::ConnYields)),
        ],
    );
}

fn content(into: &mut dyn Sink, totals: &Totals) {
    add_all(
        into,
        &[
            ("hash_power_level", u64::from(totals.hash_power_level)),
            ("hash_bytes", totals.hash_bytes),
            ("slabs_moved", totals.slabs_moved),
            ("bytes", totals.bytes),
            ("curr_items", totals.curr_items),
            ("total_items", totals.total_items),
            ("slab_global_page_pool", totals.slab_global_page_pool),
            ("expired_unfetched", totals.expired_unfetched),
            ("evicted_unfetched", totals.evicted_unfetched),
            ("evictions", totals.evictions),
            ("reclaimed", totals.reclaimed),
            ("crawler_reclaimed", totals.crawler_reclaimed),
            ("crawler_items_checked", totals.crawler_items_checked),
            ("direct_reclaims", totals.direct_reclaims),
        ],
    );
}
