//! `stats settings`: the options in force (stats, section 2).
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering::Relaxed;

use super::{Sink, yes_no};
use crate::session::{Options, Tunables, Turn, certificates, cluster};

pub(super) fn list(into: &mut dyn Sink, turn: &Turn<'_>) {
    let shared = turn.shared;
    let options = &shared.options;
    let tunables = shared.tunables.lock().clone();
    into.add("maxbytes", &shared.store.totals().limit_maxbytes);
    into.add("maxconns", &options.max_connections);
    into.add("tcpport", &options.tcp_port);
    into.add("udpport", &options.udp_port);
    into.add("inter", &options.inter.as_deref().unwrap_or("NULL"));
    into.add("verbosity", &shared.verbosity.load(Relaxed));
    into.add("oldest", &shared.store.flush_oldest());
    into.add("evictions", &if options.evictions { "on" } else { "off" });
    into.add("domain_socket", &options.domain_socket.as_deref().unwrap_or("NULL"));
    into.add("umask", &format_args!("{:o}", options.unix_mask));
    into.add("shutdown_command", &yes_no(options.shutdown));
    into.add("growth_factor", &format_args!("{:.2}", options.growth_factor));
    into.add("chunk_size", &options.chunk_size);
    into.add("num_threads", &options.threads);
    into.add("num_threads_per_udp", &options.threads);
    into.add("stat_key_prefix", &options.prefix_delimiter);
    into.add("detail_enabled", &yes_no(shared.prefixes.is_on()));
    connections(into, options);
    slabs(into, &tunables, turn);
    into.add("flush_enabled", &yes_no(options.flush));
    into.add("dump_enabled", &yes_no(options.dump));
    into.add("hash_algorithm", &"ahash");
    lru(into, &tunables);
    into.add("idle_timeout", &options.idle_timeout_secs);
    into.add("watcher_logbuf_size", &shared.store.hub().backlog_bytes());
    into.add("worker_logbuf_size", &tunables.worker_logbuf_size);
    into.add("read_buf_mem_limit", &tunables.read_buf_mem_limit);
    into.add("track_sizes", &yes_no(shared.store.tracks_sizes()));
    into.add("inline_ascii_response", &"no");
    into.add("slab_automove_freeratio", &format_args!("{:.3}", tunables.slab_automove_freeratio));
    certificates::settings(into, shared);
    into.add("num_napi_ids", &tunables.num_napi_ids);
    into.add("memory_file", &"(null)");
    into.add("client_flags_size", &size_of::<u32>());
    cluster::settings(into, shared);
}

fn connections(into: &mut dyn Sink, options: &Options) {
    into.add("reqs_per_event", &options.requests_per_turn);
    into.add("cas_enabled", &yes_no(options.cas));
    into.add("tcp_backlog", &options.backlog);
    into.add("binding_protocol", &options.binding_protocol);
    into.add("auth_enabled_sasl", &yes_no(options.sasl));
    into.add("auth_enabled_ascii", &options.auth_file.as_deref().unwrap_or("no"));
    into.add("item_size_max", &options.item_size_max);
    into.add("maxconns_fast", &yes_no(options.maxconns_fast));
    if options.maxconns_per_address > 0 {
        into.add("maxconns_per_address", &options.maxconns_per_address);
    }
}

fn slabs(into: &mut dyn Sink, tunables: &Tunables, turn: &Turn<'_>) {
    let store = &turn.shared.store;
    into.add("hashpower_init", &tunables.hashpower_init);
    into.add("slab_reassign", &yes_no(tunables.slab_reassign));
    into.add("slab_automove", &tunables.slab_automove);
    into.add("slab_automove_ratio", &format_args!("{:.2}", tunables.slab_automove_ratio));
    into.add("slab_automove_window", &tunables.slab_automove_window);
    into.add("slab_chunk_max", &store.chunk_bytes_max());
    into.add("lru_crawler", &yes_no(store.crawler_is_on()));
    into.add("lru_crawler_sleep", &tunables.lru_crawler_sleep);
    into.add("lru_crawler_tocrawl", &tunables.lru_crawler_tocrawl);
    into.add("tail_repair_time", &tunables.tail_repair_time);
}

/// There is no such thread, whatever was asked for, and no segment.
fn lru(into: &mut dyn Sink, tunables: &Tunables) {
    into.add("lru_maintainer_thread", &"no");
    into.add("lru_segmented", &yes_no(tunables.lru_segmented));
    into.add("hot_lru_pct", &tunables.hot_lru_pct);
    into.add("warm_lru_pct", &tunables.warm_lru_pct);
    into.add("hot_max_factor", &format_args!("{:.2}", tunables.hot_max_factor));
    into.add("warm_max_factor", &format_args!("{:.2}", tunables.warm_max_factor));
    into.add("temp_lru", &yes_no(tunables.temp_lru));
    into.add("temporary_ttl", &tunables.temporary_ttl);
}
