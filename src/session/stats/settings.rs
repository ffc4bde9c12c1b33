//! `stats settings`: the options in force (stats, section 2).
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering::Relaxed;

use super::{Sink, yes_no};
use crate::session::{Options, Turn};

pub(super) fn list(into: &mut dyn Sink, turn: &Turn<'_>) {
    let shared = turn.shared;
    let options = &shared.options;
    into.add("maxbytes", &shared.store.totals().limit_maxbytes);
    into.add("maxconns", &options.max_connections);
    into.add("tcpport", &options.tcp_port);
    into.add("udpport", &0);
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
    connection_settings(into, options);
    into.add("flush_enabled", &yes_no(options.flush));
    into.add("dump_enabled", &yes_no(options.dump));
    into.add("hash_algorithm", &"ahash");
    into.add("idle_timeout", &options.idle_timeout_secs);
    into.add("track_sizes", &"no");
    into.add("inline_ascii_response", &"no");
    into.add("client_flags_size", &size_of::<u32>());
}

fn connection_settings(into: &mut dyn Sink, options: &Options) {
    into.add("stat_key_prefix", &options.prefix_delimiter);
    into.add("detail_enabled", &yes_no(options.detail));
    into.add("reqs_per_event", &options.requests_per_turn);
    into.add("cas_enabled", &yes_no(options.cas));
    into.add("tcp_backlog", &options.backlog);
    into.add("binding_protocol", &options.binding_protocol);
    into.add("auth_enabled_sasl", &"no");
    into.add("auth_enabled_ascii", &"no");
    into.add("item_size_max", &options.item_size_max);
    into.add("maxconns_fast", &yes_no(options.maxconns_fast));
}
