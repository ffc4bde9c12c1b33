//! `stats` and its lists. Keys and their order are memcached's (stats, sections 1 to 5); keys for
//! which this server has nothing to count are left out.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::metrics::Counter;
use crate::protocol::Reply;
use crate::protocol::request::StatsTopic;
use crate::session::{Options, Output, Turn};
use crate::store::{Class, Totals};

/// Appends what `stats` with this topic answers.
pub(super) fn answer(topic: StatsTopic, out: &mut Output, turn: &Turn<'_>) {
    let into = &mut Stats(out.bytes());
    match topic {
        StatsTopic::Reset => {
            turn.shared.metrics.reset();
            turn.shared.store.reset_stats();
            return out.push(Reply::Reset.line());
        }
        StatsTopic::General => general(into, turn),
        StatsTopic::Settings => settings(into, turn),
        StatsTopic::Items => items(into, &turn.shared.store.classes(turn.now.secs)),
        StatsTopic::Slabs => slabs(into, turn),
        StatsTopic::Sizes => into.add("sizes_status", "disabled"),
    }
    out.push(Reply::End.line());
}

/// A list of `STAT` lines.
struct Stats<'a>(&'a mut Vec<u8>);

impl Stats<'_> {
    fn add(&mut self, key: &str, value: impl Display) {
        self.line(format_args!("{key} {value}"));
    }

    fn add_all(&mut self, lines: &[(&str, u64)]) {
        for (key, value) in lines {
            self.add(key, value);
        }
    }

    /// Lines whose keys begin with a slab class, as `1:chunk_size` or `items:1:number`.
    fn add_class(&mut self, prefix: &str, class: &Class, lines: &[(&str, u64)]) {
        for (key, value) in lines {
            self.line(format_args!("{prefix}{}:{key} {value}", class.id));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _ok = write!(self.0, "STAT {line}\r\n");
    }
}

fn general(into: &mut Stats<'_>, turn: &Turn<'_>) {
    let totals = turn.shared.store.totals();
    process(into, turn);
    connections(into, turn);
    commands(into, turn);
    traffic(into, turn, &totals);
    content(into, &totals);
}

fn process(into: &mut Stats<'_>, turn: &Turn<'_>) {
    into.add("pid", std::process::id());
    into.add("uptime", turn.now.uptime());
    into.add("time", turn.now.unix());
    into.add("version", &turn.shared.options.version);
    into.add("libevent", "mio");
    into.add("pointer_size", usize::BITS);
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let seconds = |time: TimeVal| format!("{}.{:06}", time.tv_sec(), time.tv_usec());
        into.add("rusage_user", seconds(usage.user_time()));
        into.add("rusage_system", seconds(usage.system_time()));
    }
}

fn connections(into: &mut Stats<'_>, turn: &Turn<'_>) {
    let metrics = &turn.shared.metrics;
    into.add_all(&[
        ("max_connections", turn.shared.options.max_connections),
        ("curr_connections", metrics.curr_connections.load(Relaxed) as u64),
        ("total_connections", metrics.total(Counter::TotalConnections)),
        ("rejected_connections", metrics.total(Counter::RejectedConnections)),
    ]);
}

fn commands(into: &mut Stats<'_>, turn: &Turn<'_>) {
    let total = |counter| turn.shared.metrics.total(counter);
    into.add_all(&[
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
    ]);
}

fn traffic(into: &mut Stats<'_>, turn: &Turn<'_>, totals: &Totals) {
    let metrics = &turn.shared.metrics;
    let total = |counter| metrics.total(counter);
    into.add_all(&[
        ("idle_kicks", total(Counter::IdleKicks)),
        ("bytes_read", total(Counter::BytesRead)),
        ("bytes_written", total(Counter::BytesWritten)),
        ("limit_maxbytes", totals.limit_maxbytes),
        ("accepting_conns", u64::from(metrics.accepting.load(Relaxed))),
        ("listen_disabled_num", total(Counter::ListenDisabledNum)),
        ("time_in_listen_disabled_us", total(Counter::TimeInListenDisabledUs)),
        ("threads", turn.shared.options.threads),
        ("conn_yields", total(Counter::ConnYields)),
    ]);
}

fn content(into: &mut Stats<'_>, totals: &Totals) {
    into.add_all(&[
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
    ]);
}

fn settings(into: &mut Stats<'_>, turn: &Turn<'_>) {
    let shared = turn.shared;
    let options = &shared.options;
    into.add("maxbytes", shared.store.totals().limit_maxbytes);
    into.add("maxconns", options.max_connections);
    into.add("tcpport", options.tcp_port);
    into.add("udpport", 0);
    into.add("inter", options.inter.as_deref().unwrap_or("NULL"));
    into.add("verbosity", shared.verbosity.load(Relaxed));
    into.add("oldest", shared.store.flush_oldest());
    into.add("evictions", if options.evictions { "on" } else { "off" });
    into.add("domain_socket", options.domain_socket.as_deref().unwrap_or("NULL"));
    into.add("umask", format_args!("{:o}", options.unix_mask));
    into.add("shutdown_command", yes_no(options.shutdown));
    into.add("growth_factor", format_args!("{:.2}", options.growth_factor));
    into.add("chunk_size", options.chunk_size);
    into.add("num_threads", options.threads);
    connection_settings(into, options);
    into.add("flush_enabled", yes_no(options.flush));
    into.add("dump_enabled", yes_no(options.dump));
    into.add("hash_algorithm", "ahash");
    into.add("idle_timeout", options.idle_timeout_secs);
    into.add("track_sizes", "no");
    into.add("inline_ascii_response", "no");
    into.add("client_flags_size", size_of::<u32>());
}

fn connection_settings(into: &mut Stats<'_>, options: &Options) {
    into.add("stat_key_prefix", options.prefix_delimiter);
    into.add("detail_enabled", yes_no(options.detail));
    into.add("reqs_per_event", options.requests_per_turn);
    into.add("cas_enabled", yes_no(options.cas));
    into.add("tcp_backlog", options.backlog);
    into.add("binding_protocol", options.binding_protocol);
    into.add("auth_enabled_sasl", "no");
    into.add("auth_enabled_ascii", "no");
    into.add("item_size_max", options.item_size_max);
    into.add("maxconns_fast", yes_no(options.maxconns_fast));
}

/// Only classes that hold items.
fn items(into: &mut Stats<'_>, classes: &[Class]) {
    for class in classes.iter().filter(|class| class.number > 0) {
        let lines = [
            ("number", class.number),
            ("age", class.age),
            ("mem_requested", class.mem_requested),
            ("evicted", class.evicted),
            ("evicted_nonzero", class.evicted_nonzero),
            ("evicted_time", class.evicted_time),
            ("outofmemory", class.outofmemory),
            ("reclaimed", class.reclaimed),
            ("expired_unfetched", class.expired_unfetched),
            ("evicted_unfetched", class.evicted_unfetched),
            ("crawler_reclaimed", class.crawler_reclaimed),
            ("crawler_items_checked", class.crawler_items_checked),
        ];
        into.add_class("items:", class, &lines);
    }
}

fn slabs(into: &mut Stats<'_>, turn: &Turn<'_>) {
    let classes = turn.shared.store.classes(turn.now.secs);
    for class in &classes {
        let lines = [
            ("chunk_size", class.chunk_size),
            ("chunks_per_page", class.chunks_per_page),
            ("total_pages", class.total_pages),
            ("total_chunks", class.total_pages * class.chunks_per_page),
            ("used_chunks", class.used_chunks),
            ("free_chunks", class.free_chunks),
            ("free_chunks_end", 0),
            ("get_hits", class.get_hits),
            ("cmd_set", class.cmd_set),
            ("delete_hits", class.delete_hits),
            ("incr_hits", class.incr_hits),
            ("decr_hits", class.decr_hits),
            ("cas_hits", class.cas_hits),
            ("cas_badval", class.cas_badval),
            ("touch_hits", class.touch_hits),
        ];
        into.add_class("", class, &lines);
    }
    into.add("active_slabs", classes.len());
    into.add("total_malloced", turn.shared.store.totals().total_malloced);
}

fn yes_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}
