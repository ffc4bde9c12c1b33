//! `stats`: the process, its connections, commands, traffic, machinery and content (stats, section 1).
//!
//! Which keys there are depends on the options as in memcached: those of a part that is switched off
//! are not shown. What has no counterpart here is 0; docs/stats.md has every key.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering::Relaxed;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::{Sink, add_all, bounds};
use crate::limits::READ_BUF_BYTES;
use crate::metrics::Counter;
use crate::session::Turn;
use crate::store::Totals;

/// Descriptors that a worker keeps open for itself: its epoll instance and its waker.
const DESCRIPTORS_PER_WORKER: u64 = 2;

pub(super) fn list(into: &mut dyn Sink, turn: &Turn<'_>) {
    let totals = turn.shared.store.totals();
    let (slab_reassign, lru_maintainer) = {
        let tunables = turn.shared.tunables.lock();
        (tunables.slab_reassign, tunables.lru_maintainer)
    };
    process(into, turn);
    connections(into, turn);
    commands(into, turn);
    traffic(into, turn, &totals);
    index(into, &totals);
    if slab_reassign {
        page_mover(into, &totals);
    }
    if turn.shared.store.crawler_is_on() {
        into.add("lru_crawler_running", &u64::from(turn.shared.store.is_crawling()));
        into.add("lru_crawler_starts", &totals.crawler_rounds);
    }
    if lru_maintainer {
        into.add("lru_maintainer_juggles", &totals.background_slices);
    }
    into.add("malloc_fails", &0);
    watchers(into, turn);
    certificates(into, turn);
    add_all(into, &[("unexpected_napi_ids", 0), ("round_robin_fallback", 0)]);
    content(into, &totals, lru_maintainer);
    bounds::list(into, &totals, turn);
}

fn process(into: &mut dyn Sink, turn: &Turn<'_>) {
    into.add("pid", &std::process::id());
    into.add("uptime", &turn.now.uptime());
    into.add("time", &turn.now.unix());
    into.add("version", &turn.shared.options.version);
    into.add("libevent", &concat!("nuthatch-", env!("CARGO_PKG_VERSION")));
    into.add("pointer_size", &usize::BITS);
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let seconds = |time: TimeVal| format!("{}.{:06}", time.tv_sec(), time.tv_usec());
        into.add("rusage_user", &seconds(usage.user_time()));
        into.add("rusage_system", &seconds(usage.system_time()));
    }
}

fn connections(into: &mut dyn Sink, turn: &Turn<'_>) {
    let (metrics, options) = (&turn.shared.metrics, &turn.shared.options);
    let open = metrics.connections.count() as u64;
    add_all(
        into,
        &[
            ("max_connections", options.max_connections),
            ("curr_connections", open),
            ("total_connections", metrics.total(Counter::TotalConnections)),
        ],
    );
    if options.maxconns_fast {
        into.add("rejected_connections", &metrics.total(Counter::RejectedConnections));
    }
    if options.maxconns_per_address > 0 {
        into.add("rejected_per_address", &metrics.total(Counter::RejectedPerAddress));
    }
    let (held, free) = metrics.read_buffers();
    let buffer_bytes = READ_BUF_BYTES as u64;
    add_all(
        into,
        &[
            ("connection_structures", open),
            ("response_obj_oom", 0),
            ("response_obj_count", 0),
            ("response_obj_bytes", 0),
            ("read_buf_count", held),
            ("read_buf_bytes", held * buffer_bytes),
            ("read_buf_bytes_free", free * buffer_bytes),
            ("read_buf_oom", 0),
            ("reserved_fds", options.threads * DESCRIPTORS_PER_WORKER),
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
            ("cmd_meta", total(Counter::CmdMeta)),
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
            ("auth_cmds", total(Counter::AuthCmds)),
            ("auth_errors", total(Counter::AuthErrors)),
        ],
    );
}

fn traffic(into: &mut dyn Sink, turn: &Turn<'_>, totals: &Totals) {
    let metrics = &turn.shared.metrics;
    let total = |counter| metrics.total(counter);
    if turn.shared.options.idle_timeout_secs > 0 {
        into.add("idle_kicks", &total(Counter::IdleKicks));
    }
    add_all(
        into,
        &[
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

fn index(into: &mut dyn Sink, totals: &Totals) {
    add_all(
        into,
        &[
            ("hash_power_level", u64::from(totals.hash_power_level)),
            ("hash_bytes", totals.hash_bytes),
            // It grows a bucket at a time, so that it never is.
            ("hash_is_expanding", 0),
        ],
    );
}

/// Pages are emptied in slices, one in a shard at a time.
fn page_mover(into: &mut dyn Sink, totals: &Totals) {
    add_all(
        into,
        &[
            ("slab_reassign_rescues", totals.rescues),
            ("slab_reassign_chunk_rescues", totals.chunk_rescues),
            ("slab_reassign_inline_reclaim", 0),
            ("slab_reassign_busy_items", totals.drains_stopped),
            ("slab_reassign_busy_deletes", 0),
            ("slab_reassign_busy_nomem", 0),
        ],
    );
    into.add("slab_reassign_last_busy_status", &"none");
    add_all(
        into,
        &[("slab_reassign_running", totals.draining), ("slabs_moved", totals.slabs_moved)],
    );
}

fn watchers(into: &mut dyn Sink, turn: &Turn<'_>) {
    let totals = turn.shared.store.hub().totals();
    add_all(
        into,
        &[
            ("log_worker_dropped", totals.log_worker_dropped),
            ("log_worker_written", totals.log_worker_written),
            ("log_watcher_skipped", totals.log_watcher_skipped),
            ("log_watcher_sent", totals.log_watcher_sent),
            ("log_watchers", totals.log_watchers),
        ],
    );
}

fn certificates(into: &mut dyn Sink, turn: &Turn<'_>) {
    let Some(certificates) = &turn.shared.certificates else { return };
    let total = |counter| turn.shared.metrics.total(counter);
    if certificates.has_session_cache() {
        into.add("ssl_new_sessions", &total(Counter::SslNewSessions));
    }
    add_all(
        into,
        &[
            ("ssl_handshake_errors", total(Counter::SslHandshakeErrors)),
            ("ssl_proto_errors", total(Counter::SslProtoErrors)),
        ],
    );
    let refreshed_at = certificates.refreshed_at();
    let since = turn.now.secs.0.saturating_sub(refreshed_at.0);
    into.add("time_since_server_cert_refresh", &since);
}

fn content(into: &mut dyn Sink, totals: &Totals, lru_maintainer: bool) {
    add_all(
        into,
        &[
            ("bytes", totals.bytes),
            ("curr_items", totals.curr_items),
            ("total_items", totals.total_items),
            ("slab_global_page_pool", totals.slab_global_page_pool),
            ("expired_unfetched", totals.expired_unfetched),
            ("evicted_unfetched", totals.evicted_unfetched),
        ],
    );
    if lru_maintainer {
        into.add("evicted_active", &totals.evicted_active);
    }
    add_all(
        into,
        &[
            ("evictions", totals.evictions),
            ("reclaimed", totals.reclaimed),
            ("crawler_reclaimed", totals.crawler_reclaimed),
            ("crawler_items_checked", totals.crawler_items_checked),
            ("lrutail_reflocked", 0),
        ],
    );
    if lru_maintainer {
        add_all(
            into,
            &[
                ("moves_to_cold", 0),
                ("moves_to_warm", totals.promotions),
                ("moves_within_lru", totals.second_chances),
                ("direct_reclaims", totals.direct_reclaims),
                ("lru_bumps_dropped", 0),
            ],
        );
    }
}
