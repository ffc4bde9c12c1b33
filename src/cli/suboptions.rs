//! The table of memcached's extended options, `-o` (options, section 3), and ours.
#![forbid(unsafe_code)]

use super::flags::State;

/// One extended option.
#[derive(Clone, Copy, Debug)]
pub struct Suboption {
    /// Name before the `=`.
    pub name: &'static str,
    /// What its value must be.
    pub kind: Kind,
    /// What becomes of it.
    pub state: State,
    /// Its line in the usage text; empty: not shown there.
    pub help: &'static str,
}

/// What the value of an extended option must be, with memcached's messages.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// No value; one that is given is not looked at.
    Bare,
    /// With or without a value, which is not looked at.
    Unread,
    /// Any text.
    Text {
        /// When there is no value.
        missing: &'static str,
    },
    /// One of a list of words.
    Choice {
        /// When there is no value.
        missing: &'static str,
        /// The words.
        choices: &'static [&'static str],
        /// For any other word.
        bad: &'static str,
    },
    /// A number above 0 with a fraction.
    Fraction {
        /// When there is no value.
        missing: &'static str,
        /// Largest that is allowed.
        max: f64,
        /// For anything else.
        bad: &'static str,
    },
    /// A whole number.
    Integer(Integer),
    /// Names of SASL mechanisms.
    Mechanisms,
    /// The server does not start with it, for this reason.
    Refused(&'static str),
}

/// Range and messages of a whole number; `{}` in a message stands for the number.
#[derive(Clone, Copy, Debug)]
pub struct Integer {
    /// When there is no value; empty: a value is not needed.
    pub missing: &'static str,
    /// When the text is not wholly a number; empty: read as `atoi` does.
    pub bad: &'static str,
    /// Smallest that is allowed.
    pub min: i64,
    /// For a smaller one.
    pub low: &'static str,
    /// Largest that is allowed.
    pub max: i64,
    /// For a larger one.
    pub high: &'static str,
}

const fn option(name: &'static str, kind: Kind, state: State) -> Suboption {
    Suboption { name, kind, state, help: "" }
}

const fn bare(name: &'static str) -> Suboption {
    option(name, Kind::Bare, State::NoEffect)
}

/// Without effect; read as `atoi` reads, within a range.
const fn atoi(
    name: &'static str,
    missing: &'static str,
    (min, max): (i64, i64),
    (low, high): (&'static str, &'static str),
) -> Suboption {
    let integer = Integer { missing, bad: "", min, low, max, high };
    option(name, Kind::Integer(integer), State::NoEffect)
}

/// Without effect; 32 bits and nothing else.
const fn bits32(name: &'static str, missing: &'static str, bad: &'static str) -> Suboption {
    let integer = Integer { missing, bad, min: 0, low: bad, max: u32::MAX as i64, high: bad };
    option(name, Kind::Integer(integer), State::NoEffect)
}

const fn fraction(
    name: &'static str,
    missing: &'static str,
    max: f64,
    bad: &'static str,
) -> Suboption {
    option(name, Kind::Fraction { missing, max, bad }, State::NoEffect)
}

const fn refused(name: &'static str, reason: &'static str) -> Suboption {
    option(name, Kind::Refused(reason), State::Refused)
}

const NO_EXTSTORE: &str = "This server has no external storage: items live in memory only.";
const NO_PROXY: &str = "This server is not a proxy.";

const MAXCONNS_PER_ADDRESS: Integer = Integer {
    missing: "Missing maxconns_per_address argument",
    bad: "could not parse argument to maxconns_per_address",
    min: 0,
    low: "could not parse argument to maxconns_per_address",
    max: u32::MAX as i64,
    high: "could not parse argument to maxconns_per_address",
};

const IDLE_TIMEOUT: Integer = Integer {
    missing: "Missing numeric argument for idle_timeout",
    bad: "",
    min: 0,
    low: "idle_timeout cannot be negative",
    max: i64::MAX,
    high: "",
};

const fn deadline(missing: &'static str, negative: &'static str) -> Kind {
    Kind::Integer(Integer { missing, bad: "", min: 0, low: negative, max: i64::MAX, high: "" })
}

const LOGIN_DELAY: Integer = Integer {
    missing: "Missing numeric argument for login_delay",
    bad: "could not parse argument to login_delay",
    min: 0,
    low: "login_delay cannot be negative",
    max: 60_000,
    high: "login_delay cannot be more than a minute",
};

const SLAB_AUTOMOVE: Integer = Integer {
    missing: "",
    bad: "",
    min: 0,
    low: "slab_automove must be between 0 and 2",
    max: 2,
    high: "slab_automove must be between 0 and 2",
};

const TEMPORARY_TTL: Integer = Integer {
    missing: "Missing temporary_ttl argument",
    bad: "",
    min: i64::MIN,
    low: "",
    max: i64::MAX,
    high: "",
};

const WATCHER_LOGBUF_SIZE: Integer = Integer {
    missing: "Missing watcher_logbuf_size argument",
    bad: "could not parse argument to watcher_logbuf_size",
    min: 0,
    low: "could not parse argument to watcher_logbuf_size",
    max: u32::MAX as i64,
    high: "could not parse argument to watcher_logbuf_size",
};

const SSL_VERIFY_MODE: Integer = Integer {
    missing: "Missing ssl_verify_mode argument",
    bad: "could not parse argument to ssl_verify_mode",
    min: 0,
    low: "Invalid ssl_verify_mode. Use help to see valid options.",
    max: 3,
    high: "Invalid ssl_verify_mode. Use help to see valid options.",
};

const SSL_MIN_VERSION: Integer = Integer {
    missing: "Missing ssl_min_version argument",
    bad: "could not parse argument to ssl_min_version",
    min: 0,
    low: "Invalid ssl_min_version. Use help to see valid options.",
    max: 3,
    high: "Invalid ssl_min_version. Use help to see valid options.",
};

const SSL_KEYFORMAT: Integer = Integer {
    missing: "Missing ssl_keyformat argument",
    bad: "could not parse argument to ssl_keyformat",
    min: i64::MIN,
    low: "",
    max: i64::MAX,
    high: "",
};

const SSL_WBUF_SIZE: Integer = Integer {
    missing: "Missing ssl_wbuf_size argument",
    bad: "could not parse argument to ssl_wbuf_size",
    min: 0,
    low: "could not parse argument to ssl_wbuf_size",
    max: u32::MAX as i64,
    high: "could not parse argument to ssl_wbuf_size",
};

const SSL_HANDSHAKE_TIMEOUT: Integer = Integer {
    missing: "Missing ssl_handshake_timeout argument",
    bad: "could not parse argument to ssl_handshake_timeout",
    min: 1,
    low: "ssl_handshake_timeout must be at least 1",
    max: u32::MAX as i64,
    high: "could not parse argument to ssl_handshake_timeout",
};

const SLAB_CHUNK_MAX: Integer = Integer {
    missing: "Missing slab_chunk_max argument",
    bad: "could not parse argument to slab_chunk_max",
    min: 1,
    low: "slab_chunk_max must be >= 0",
    max: 1024,
    high: "slab_chunk_max must be specified in kilobytes.",
};

/// Every extended option of memcached 1.6.45, and ours.
#[rustfmt::skip]
pub const SUBOPTIONS: &[Suboption] = &[
    Suboption { name: "maxconns_fast", kind: Kind::Bare, state: State::Works,
        help: "tell clients above -c so and close (default)" },
    Suboption { name: "no_maxconns_fast", kind: Kind::Bare, state: State::Works,
        help: "let clients above -c wait" },
    Suboption { name: "maxconns_per_address", kind: Kind::Integer(MAXCONNS_PER_ADDRESS),
        state: State::Works, help: "connections that one address may have (default: 0, as many as -c)" },
    Suboption { name: "idle_timeout", kind: Kind::Integer(IDLE_TIMEOUT), state: State::Works,
        help: "seconds after which a silent connection is closed (default: 0, never)" },
    Suboption { name: "request_timeout", kind: deadline("Missing numeric argument for request_timeout",
        "request_timeout cannot be negative"), state: State::Works,
        help: "seconds for the rest of a request (default: 120; 0: for ever)" },
    Suboption { name: "upload_timeout", kind: deadline("Missing numeric argument for upload_timeout",
        "upload_timeout cannot be negative"), state: State::Works,
        help: "the same for a value, and a second more for each 16 kB of it" },
    Suboption { name: "send_timeout", kind: deadline("Missing numeric argument for send_timeout",
        "send_timeout cannot be negative"), state: State::Works,
        help: "seconds to take answers, and one more for each 16 kB of them" },
    Suboption { name: "login_timeout", kind: deadline("Missing numeric argument for login_timeout",
        "login_timeout cannot be negative"), state: State::Works,
        help: "seconds to log in, where clients have to (default: 120)" },
    Suboption { name: "user_file", kind: Kind::Text { missing: "Missing user_file argument" },
        state: State::Works, help: "everybody logs in: lines \"user:secret[:rights]\" (see \"nuthatch passwd\")" },
    Suboption { name: "sasl_mechs", kind: Kind::Mechanisms, state: State::Works,
        help: "mechanisms of SASL that may be used, with colons between them (default: PLAIN:SCRAM-SHA-256:SCRAM-SHA-512)" },
    Suboption { name: "login_delay", kind: Kind::Integer(LOGIN_DELAY), state: State::Works,
        help: "milliseconds that an address waits for each failed login after the tenth (default: 100)" },
    Suboption { name: "udp_public", kind: Kind::Bare, state: State::Works,
        help: "allow -U on addresses that other machines can reach" },
    Suboption { name: "debug_clock", kind: Kind::Bare, state: State::Works,
        help: "for tests: enable the command \"debugtime <seconds>\", which moves the clock" },
    atoi("hashpower", "Missing numeric argument for hashpower", (12, 32),
        ("Initial hashtable multiplier of {} is too low",
         "Initial hashtable multiplier of {} is too high\n\
          Choose a value based on \"STAT hash_power_level\" from a running instance")),
    bare("no_hashexpand"),
    Suboption { name: "slab_reassign", kind: Kind::Bare, state: State::Works,
        help: "the command \"slabs reassign\" works (default)" },
    Suboption { name: "no_slab_reassign", kind: Kind::Bare, state: State::Differs,
        help: "refuse it; pages move between classes only where they must" },
    Suboption { name: "slab_automove", kind: Kind::Integer(SLAB_AUTOMOVE), state: State::Differs,
        help: "0: pages move between classes only where they must (default: 1)" },
    option("no_slab_automove", Kind::Bare, State::Differs),
    fraction("slab_automove_ratio", "Missing slab_automove_ratio argument", 1.0,
        "slab_automove_ratio must be > 0 and < 1"),
    atoi("slab_automove_window", "Missing slab_automove_window argument", (3, 1800),
        ("slab_automove_window must be > 2 and < 1800",
         "slab_automove_window must be > 2 and < 1800")),
    atoi("tail_repair_time", "Missing numeric argument for tail_repair_time", (10, i64::MAX),
        ("Cannot set tail_repair_time to less than 10 seconds", "")),
    option("hash_algorithm", Kind::Choice {
        missing: "Missing hash_algorithm argument",
        choices: &["jenkins", "murmur3", "xxh3"],
        bad: "Unknown hash_algorithm option (jenkins, murmur3, xxh3)" }, State::NoEffect),
    Suboption { name: "lru_crawler", kind: Kind::Bare, state: State::Works,
        help: "look for expired items in the background (default)" },
    Suboption { name: "no_lru_crawler", kind: Kind::Bare, state: State::Works,
        help: "do not: they stay until their room is needed" },
    atoi("lru_crawler_sleep", "Missing lru_crawler_sleep value", (0, 1_000_000),
        ("LRU crawler sleep must be between 0 and 1 second",
         "LRU crawler sleep must be between 0 and 1 second")),
    bits32("lru_crawler_tocrawl", "Missing lru_crawler_tocrawl value",
        "lru_crawler_tocrawl takes a numeric 32bit value"),
    option("lru_maintainer", Kind::Bare, State::Differs),
    option("no_lru_maintainer", Kind::Bare, State::Differs),
    atoi("hot_lru_pct", "Missing hot_lru_pct argument", (1, 79),
        ("hot_lru_pct must be > 1 and < 80", "hot_lru_pct must be > 1 and < 80")),
    atoi("warm_lru_pct", "Missing warm_lru_pct argument", (1, 79),
        ("warm_lru_pct must be > 1 and < 80", "warm_lru_pct must be > 1 and < 80")),
    fraction("hot_max_factor", "Missing hot_max_factor argument", f64::MAX,
        "hot_max_factor must be > 0"),
    fraction("warm_max_factor", "Missing warm_max_factor argument", f64::MAX,
        "warm_max_factor must be > 0"),
    Suboption { name: "temporary_ttl", kind: Kind::Integer(TEMPORARY_TTL), state: State::Differs,
        help: "items with a TTL of so many seconds or less are evicted last" },
    Suboption { name: "watcher_logbuf_size", kind: Kind::Integer(WATCHER_LOGBUF_SIZE),
        state: State::Differs,
        help: "kilobytes of lines that may wait for a client that watches (default: 256)" },
    bits32("worker_logbuf_size", "Missing worker_logbuf_size argument",
        "could not parse argument to worker_logbuf_size"),
    option("slab_sizes", Kind::Text { missing: "Missing slab_sizes argument" }, State::NoEffect),
    option("slab_chunk_max", Kind::Integer(SLAB_CHUNK_MAX), State::NoEffect),
    bare("no_chunked_items"),
    Suboption { name: "track_sizes", kind: Kind::Bare, state: State::Works,
        help: "count items by size, for \"stats sizes\"" },
    bare("modern"),
    option("no_modern", Kind::Bare, State::Differs),
    bare("inline_ascii_resp"),
    bare("no_inline_ascii_resp"),
    bare("drop_privileges"),
    bare("no_drop_privileges"),
    bare("relaxed_privileges"),
    option("resp_obj_mem_limit", Kind::Unread, State::NoEffect),
    bits32("read_buf_mem_limit", "Missing read_buf_mem_limit argument",
        "could not parse argument to read_buf_mem_limit"),
    option("sock_cookie_id", Kind::Unread, State::NoEffect),
    Suboption { name: "ssl_chain_cert",
        kind: Kind::Text { missing: "Missing ssl_chain_cert argument" }, state: State::Works,
        help: "with -Z: file of the certificate chain, PEM" },
    Suboption { name: "ssl_key", kind: Kind::Text { missing: "Missing ssl_key argument" },
        state: State::Works, help: "with -Z: file of the private key" },
    Suboption { name: "ssl_verify_mode", kind: Kind::Integer(SSL_VERIFY_MODE), state: State::Works,
        help: "clients' certificates: 0 not asked for (default), 1 asked for, 2 and 3 required" },
    Suboption { name: "ssl_keyformat", kind: Kind::Integer(SSL_KEYFORMAT), state: State::Works,
        help: "of the private key: 1 PEM (default), 2 DER" },
    Suboption { name: "ssl_ciphers", kind: Kind::Text { missing: "Missing ssl_ciphers argument" },
        state: State::Differs, help: "suites of TLS 1.2, by OpenSSL's names (default: all there are)" },
    Suboption { name: "ssl_ca_cert", kind: Kind::Text { missing: "Missing ssl_ca_cert argument" },
        state: State::Works, help: "file of the certificates that sign clients', PEM" },
    Suboption { name: "ssl_wbuf_size", kind: Kind::Integer(SSL_WBUF_SIZE), state: State::Works,
        help: "kilobytes that are encrypted and written at once (default: 16)" },
    Suboption { name: "ssl_session_cache", kind: Kind::Bare, state: State::Works,
        help: "let clients resume sessions" },
    option("ssl_kernel_tls", Kind::Bare, State::Refused),
    Suboption { name: "ssl_min_version", kind: Kind::Integer(SSL_MIN_VERSION), state: State::Differs,
        help: "lowest version: 2 is 1.2 (default), 3 is 1.3; 0 and 1 are taken for 2" },
    Suboption { name: "ssl_handshake_timeout", kind: Kind::Integer(SSL_HANDSHAKE_TIMEOUT),
        state: State::Works, help: "seconds that a handshake may take (default: 10)" },
    refused("ext_path", NO_EXTSTORE),
    refused("ext_page_size", NO_EXTSTORE),
    refused("ext_wbuf_size", NO_EXTSTORE),
    refused("ext_threads", NO_EXTSTORE),
    refused("ext_io_depth", NO_EXTSTORE),
    refused("ext_item_size", NO_EXTSTORE),
    refused("ext_item_age", NO_EXTSTORE),
    refused("ext_low_ttl", NO_EXTSTORE),
    refused("ext_recache_rate", NO_EXTSTORE),
    refused("ext_compact_under", NO_EXTSTORE),
    refused("ext_drop_under", NO_EXTSTORE),
    refused("ext_max_sleep", NO_EXTSTORE),
    refused("ext_max_frag", NO_EXTSTORE),
    refused("ext_drop_unread", NO_EXTSTORE),
    refused("slab_automove_freeratio", NO_EXTSTORE),
    refused("proxy_config", NO_PROXY),
    refused("proxy_arg", NO_PROXY),
    refused("proxy_uring", NO_PROXY),
    refused("proxy_memprofile", NO_PROXY),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of options, section 3, in its order, and those that it says are refused.
    const MEMCACHED: &str = "maxconns_fast no_maxconns_fast hashpower no_hashexpand slab_reassign \
        no_slab_reassign slab_automove no_slab_automove slab_automove_ratio slab_automove_window \
        tail_repair_time hash_algorithm lru_crawler no_lru_crawler lru_crawler_sleep \
        lru_crawler_tocrawl lru_maintainer no_lru_maintainer hot_lru_pct warm_lru_pct \
        hot_max_factor warm_max_factor temporary_ttl idle_timeout watcher_logbuf_size \
        worker_logbuf_size slab_sizes slab_chunk_max no_chunked_items track_sizes modern no_modern \
        inline_ascii_resp no_inline_ascii_resp drop_privileges no_drop_privileges \
        relaxed_privileges resp_obj_mem_limit read_buf_mem_limit sock_cookie_id ssl_chain_cert \
        ssl_key ssl_verify_mode ssl_keyformat ssl_ciphers ssl_ca_cert ssl_wbuf_size \
        ssl_session_cache ssl_kernel_tls ssl_min_version ext_path ext_page_size ext_wbuf_size \
        ext_threads ext_io_depth ext_item_size ext_item_age ext_low_ttl ext_recache_rate \
        ext_compact_under ext_drop_under ext_max_sleep ext_max_frag ext_drop_unread \
        slab_automove_freeratio proxy_config proxy_arg proxy_uring proxy_memprofile";

    #[test]
    fn holds_every_option_of_memcached_and_ours() {
        let mut expected: Vec<&str> = MEMCACHED.split_whitespace().collect();
        expected.extend([
            "debug_clock",
            "login_delay",
            "login_timeout",
            "maxconns_per_address",
            "request_timeout",
            "sasl_mechs",
            "send_timeout",
            "ssl_handshake_timeout",
            "udp_public",
            "upload_timeout",
            "user_file",
        ]);
        let mut names: Vec<&str> = SUBOPTIONS.iter().map(|option| option.name).collect();
        expected.sort_unstable();
        names.sort_unstable();
        assert_eq!(names, expected);
    }
}
