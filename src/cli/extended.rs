//! Reads the comma lists of `-o` by the table in [`suboptions`](super::suboptions).
#![forbid(unsafe_code)]

use std::path::PathBuf;

use super::UsageError;
use super::flags::State;
use super::number::{self, Number};
use super::suboptions::{Integer, Kind, SUBOPTIONS, Suboption};
use super::tls::Tls;
use super::tuning::Tuning;
use crate::limits::DEADLINE_SECS;

/// What the lists of `-o` have set. Fields are those that something here depends on; everything
/// else is checked by [`SUBOPTIONS`] and forgotten.
#[derive(Clone, Debug, PartialEq)]
pub struct Extended {
    /// Over `-c`: answer and close (true) or stop accepting (false).
    pub maxconns_fast: bool,
    /// Connections that one address may have, 0 any number.
    pub maxconns_per_address: u32,
    /// Seconds after which a silent connection is closed, 0 never.
    pub idle_timeout_secs: u32,
    /// `request_timeout`
    pub request_timeout_secs: u32,
    /// `upload_timeout`
    pub upload_timeout_secs: u32,
    /// `send_timeout`
    pub send_timeout_secs: u32,
    /// `login_timeout`
    pub login_timeout_secs: u32,
    /// Whether UDP may be offered to other machines.
    pub udp_public: bool,
    /// Whether `debugtime` works.
    pub debug_clock: bool,
    /// Who may log in.
    pub user_file: Option<PathBuf>,
    /// Mechanisms of SASL that may be used; None: all.
    pub sasl_mechanisms: Option<Vec<&'static str>>,
    /// What a failed login costs its address, in milliseconds.
    pub login_delay_millis: u32,
    /// `watcher_logbuf_size` in bytes: lines that may wait for one watcher.
    pub watcher_logbuf_bytes: u64,
    /// `slab_chunk_max` in bytes, if given. Only its relation to `-I` is checked.
    pub slab_chunk_max: Option<i64>,
    /// `slab_sizes`, if given. Only its form is checked.
    pub slab_sizes: Option<String>,
    /// Only `hot_lru_pct + warm_lru_pct` is checked.
    pub hot_lru_pct: i64,
    /// See `hot_lru_pct`.
    pub warm_lru_pct: i64,
    /// Whether memcached would run its LRU maintainer.
    pub lru_maintainer: bool,
    /// What `stats settings` shows.
    pub tuning: Tuning,
    /// What is about TLS.
    pub tls: Tls,
    /// Names of the given options that are without effect.
    pub without_effect: Vec<&'static str>,
    /// What was read otherwise than its writer may have meant, for the log.
    pub notes: Vec<String>,
}

impl Default for Extended {
    fn default() -> Extended {
        Extended {
            maxconns_fast: true,
            maxconns_per_address: 0,
            idle_timeout_secs: 0,
            request_timeout_secs: DEADLINE_SECS,
            upload_timeout_secs: DEADLINE_SECS,
            send_timeout_secs: DEADLINE_SECS,
            login_timeout_secs: DEADLINE_SECS,
            udp_public: false,
            debug_clock: false,
            user_file: None,
            sasl_mechanisms: None,
            login_delay_millis: 100,
            watcher_logbuf_bytes: 256 * 1024,
            slab_chunk_max: None,
            slab_sizes: None,
            hot_lru_pct: 20,
            warm_lru_pct: 40,
            lru_maintainer: true,
            tuning: Tuning::default(),
            tls: Tls::default(),
            without_effect: Vec::new(),
            notes: Vec::new(),
        }
    }
}

impl Extended {
    /// Takes one list. An empty one is fine, and so is a comma at the end; an empty element elsewhere
    /// fails as an unknown name does.
    pub fn take_list(&mut self, list: &str) -> Result<(), UsageError> {
        if list.is_empty() {
            return Ok(());
        }
        list.strip_suffix(',').unwrap_or(list).split(',').try_for_each(|item| self.take(item))
    }

    fn take(&mut self, item: &str) -> Result<(), UsageError> {
        let (name, text) = match item.split_once('=') {
            Some((name, text)) => (name, Some(text)),
            None => (item, None),
        };
        let Some(option) = SUBOPTIONS.iter().find(|option| option.name == name) else {
            return Err(UsageError::plain(format!("Illegal suboption \"{item}\"")));
        };
        let number = self.check(option, text)?;
        if option.state == State::NoEffect {
            self.without_effect.push(option.name);
        }
        self.set(option.name, number, text);
        Ok(())
    }

    /// Checks the value of `option` by its kind; gives the number if it is one.
    fn check(&mut self, option: &Suboption, text: Option<&str>) -> Result<i64, UsageError> {
        let needed = |missing: &str| text.ok_or_else(|| UsageError::plain(missing.to_owned()));
        match option.kind {
            Kind::Bare | Kind::Unread => Ok(0),
            Kind::Refused(reason) => Err(UsageError::usage(format!("{}: {reason}", option.name))),
            Kind::Text { missing } => needed(missing).map(|_| 0),
            Kind::Mechanisms => match mechanisms(needed("Missing sasl_mechs argument")?) {
                Some(_) => Ok(0),
                None => Err(UsageError::usage(
                    "sasl_mechs: names of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 with colons between them",
                )),
            },
            Kind::Choice { missing, choices, bad } => match choices.contains(&needed(missing)?) {
                true => Ok(0),
                false => Err(UsageError::plain(bad.to_owned())),
            },
            Kind::Fraction { missing, max, bad } => {
                let value = number::fraction(needed(missing)?).unwrap_or(0.0);
                let good = value > 0.0 && value <= max;
                if good { Ok(0) } else { Err(UsageError::plain(bad.to_owned())) }
            }
            Kind::Integer(integer) => match text {
                None if integer.missing.is_empty() => Ok(0),
                _ => self.check_integer(option.name, &integer, needed(integer.missing)?),
            },
        }
    }

    fn check_integer(&mut self, name: &str, kind: &Integer, text: &str) -> Result<i64, UsageError> {
        let read = number::decimal(text);
        if !kind.bad.is_empty() && !matches!(number::decimal(text.trim_end()), Number::Whole(_)) {
            return Err(UsageError::plain(kind.bad.to_owned()));
        }
        let value = read.or_zero();
        let of_value = |message: &str| UsageError::plain(message.replace("{}", &value.to_string()));
        if value < kind.min {
            return Err(of_value(kind.low));
        }
        if value > kind.max {
            return Err(of_value(kind.high));
        }
        match read {
            Number::Junk => Err(UsageError::usage(format!("{name}: \"{text}\" is not a number"))),
            Number::Prefix(_) if kind.bad.is_empty() => {
                self.notes.push(format!("-o {name}={text} was read as {value}"));
                Ok(value)
            }
            _ => Ok(value),
        }
    }

    fn set(&mut self, name: &str, number: i64, text: Option<&str>) {
        self.tuning.set(name, number, text);
        self.tls.set(name, number, text);
        match name {
            "maxconns_fast" => self.maxconns_fast = true,
            "no_maxconns_fast" => self.maxconns_fast = false,
            "maxconns_per_address" => {
                self.maxconns_per_address = u32::try_from(number).unwrap_or(u32::MAX);
            }
            "idle_timeout" => self.idle_timeout_secs = secs(number),
            "request_timeout" => self.request_timeout_secs = secs(number),
            "upload_timeout" => self.upload_timeout_secs = secs(number),
            "send_timeout" => self.send_timeout_secs = secs(number),
            "login_timeout" => self.login_timeout_secs = secs(number),
            "udp_public" => self.udp_public = true,
            "user_file" => self.user_file = text.map(PathBuf::from),
            "sasl_mechs" => self.sasl_mechanisms = mechanisms(text.unwrap_or_default()),
            "login_delay" => self.login_delay_millis = u32::try_from(number).unwrap_or(u32::MAX),
            "debug_clock" => self.debug_clock = true,
            "watcher_logbuf_size" => {
                self.watcher_logbuf_bytes = u64::try_from(number).unwrap_or(0) * 1024;
            }
            "slab_chunk_max" => self.slab_chunk_max = Some(number * 1024),
            "slab_sizes" => self.slab_sizes = text.map(str::to_owned),
            "hot_lru_pct" => self.hot_lru_pct = number,
            "warm_lru_pct" => self.warm_lru_pct = number,
            "lru_maintainer" => self.lru_maintainer = true,
            "no_lru_maintainer" => self.lru_maintainer = false,
            "no_modern" => {
                self.maxconns_fast = false;
                self.lru_maintainer = false;
            }
            _ => {}
        }
    }
}

/// Names of mechanisms with colons or spaces between them. None: one is not known.
fn mechanisms(text: &str) -> Option<Vec<&'static str>> {
    text.split([':', ' ']).map(crate::auth::mechanism).collect()
}

/// Seconds that were given, which are not negative.
fn secs(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str) -> Result<Extended, UsageError> {
        let mut extended = Extended::default();
        extended.take_list(list)?;
        Ok(extended)
    }

    #[track_caller]
    fn check(list: &str) -> Extended {
        parse(list).unwrap_or_else(|error| panic!("{list}: {}", error.message))
    }

    #[track_caller]
    fn check_refused(list: &str, message: &str, exit_code: u8) {
        let error = parse(list).expect_err(list);
        assert_eq!((error.message.as_str(), error.exit_code), (message, exit_code), "{list}");
    }

    #[test]
    fn lists() {
        assert_eq!(check(""), Extended::default());
        assert_eq!(check("idle_timeout=5,").idle_timeout_secs, 5);
        assert_eq!(check("idle_timeout=5,idle_timeout=7").idle_timeout_secs, 7);
        check_refused(",", "Illegal suboption \"\"", 1);
        check_refused("modern,,modern", "Illegal suboption \"\"", 1);
        check_refused(",modern", "Illegal suboption \"\"", 1);
        check_refused("idle=3", "Illegal suboption \"idle=3\"", 1);
        check_refused("bad=1,modern", "Illegal suboption \"bad=1\"", 1);
    }

    #[test]
    fn what_works() {
        assert!(check("maxconns_fast").maxconns_fast);
        assert!(!check("no_maxconns_fast").maxconns_fast);
        assert!(check("no_maxconns_fast,maxconns_fast=0").maxconns_fast, "its value is ignored");
        assert!(!check("no_modern").maxconns_fast);
        assert_eq!(check("").maxconns_per_address, 0);
        assert_eq!(check("maxconns_per_address=100").maxconns_per_address, 100);
        let bad = "could not parse argument to maxconns_per_address";
        for list in ["maxconns_per_address=-1", "maxconns_per_address=1x", "maxconns_per_address="]
        {
            check_refused(list, bad, 1);
        }
        assert!(check("debug_clock").debug_clock);
        assert_eq!(check("watcher_logbuf_size=8").watcher_logbuf_bytes, 8192);
        let largest = check("watcher_logbuf_size=4294967295");
        assert_eq!(largest.watcher_logbuf_bytes, u64::from(u32::MAX) * 1024);
        check_refused("idle_timeout", "Missing numeric argument for idle_timeout", 1);
        check_refused("idle_timeout=abc", "idle_timeout: \"abc\" is not a number", 64);
        check_refused("idle_timeout=", "idle_timeout: \"\" is not a number", 64);
        check_refused("idle_timeout=-1", "idle_timeout cannot be negative", 1);
        let noted = check("idle_timeout=5s");
        assert_eq!(noted.idle_timeout_secs, 5);
        assert_eq!(noted.notes, ["-o idle_timeout=5s was read as 5"]);
    }

    #[test]
    fn what_is_without_effect_is_named() {
        let given = check("modern,idle_timeout=1,hash_algorithm=jenkins,lru_crawler_sleep=5");
        assert_eq!(given.without_effect, ["modern", "hash_algorithm", "lru_crawler_sleep"]);
        let given = check("no_lru_maintainer,lru_maintainer,no_modern,no_slab_automove");
        assert!(given.without_effect.is_empty(), "{:?}", given.without_effect);
    }

    /// Values that memcached takes.
    #[test]
    fn accepted_values_section_3() {
        for list in [
            "hashpower=12",
            "hashpower=32",
            "no_hashexpand=3",
            "slab_automove_ratio=1",
            "slab_automove_ratio=0.01",
            "slab_automove_window=3",
            "tail_repair_time=10",
            "hash_algorithm=murmur3",
            "hash_algorithm=xxh3",
            "lru_crawler_sleep=0",
            "lru_crawler_sleep=1000000",
            "lru_crawler_tocrawl=4294967295",
            "hot_lru_pct=1",
            "warm_lru_pct=79",
            "hot_max_factor=0.2",
            "warm_max_factor=2",
            "worker_logbuf_size=64",
            "slab_sizes=100-200",
            "slab_chunk_max=1024",
            "resp_obj_mem_limit",
            "resp_obj_mem_limit=5",
            "read_buf_mem_limit=1",
            "sock_cookie_id=x",
            "relaxed_privileges",
            "drop_privileges",
            "no_drop_privileges",
            "no_inline_ascii_resp",
        ] {
            assert_eq!(check(list).without_effect.len(), 1, "{list}");
        }
    }

    #[test]
    fn what_stats_settings_shows() {
        let given = check(
            "no_slab_reassign,slab_automove=2,slab_automove_ratio=0.5,slab_automove_window=3,\
             no_lru_crawler,lru_crawler_sleep=7,lru_crawler_tocrawl=8,hot_max_factor=0.1,\
             warm_max_factor=3,temporary_ttl=9,worker_logbuf_size=32,read_buf_mem_limit=2",
        );
        let wanted = Tuning {
            slab_reassign: false,
            slab_automove: 2,
            slab_automove_ratio: 0.5,
            slab_automove_window: 3,
            lru_crawler: false,
            lru_crawler_sleep: 7,
            lru_crawler_tocrawl: 8,
            hot_max_factor: 0.1,
            warm_max_factor: 3.0,
            temporary_ttl: Some(9),
            worker_logbuf_kib: 32,
            read_buf_mem_limit_mib: 2,
            ..Tuning::default()
        };
        assert_eq!(given.tuning, wanted);
        let given = check("no_modern,lru_crawler,slab_reassign,slab_automove").tuning;
        assert_eq!(given, Tuning { lru_segmented: false, ..Tuning::default() });
    }

    /// Values that memcached refuses, with its messages.
    #[test]
    fn refused_values_section_3() {
        for (list, message) in [
            ("hashpower", "Missing numeric argument for hashpower"),
            ("hashpower=11", "Initial hashtable multiplier of 11 is too low"),
            ("hashpower=abc", "Initial hashtable multiplier of 0 is too low"),
            ("slab_automove=3", "slab_automove must be between 0 and 2"),
            ("slab_automove=-1", "slab_automove must be between 0 and 2"),
            ("slab_automove_ratio", "Missing slab_automove_ratio argument"),
            ("slab_automove_ratio=0", "slab_automove_ratio must be > 0 and < 1"),
            ("slab_automove_ratio=1.1", "slab_automove_ratio must be > 0 and < 1"),
            ("slab_automove_window=2", "slab_automove_window must be > 2 and < 1800"),
            ("slab_automove_window=1801", "slab_automove_window must be > 2 and < 1800"),
            ("tail_repair_time=9", "Cannot set tail_repair_time to less than 10 seconds"),
            ("hash_algorithm", "Missing hash_algorithm argument"),
            ("hash_algorithm=md5", "Unknown hash_algorithm option (jenkins, murmur3, xxh3)"),
            ("lru_crawler_sleep", "Missing lru_crawler_sleep value"),
            ("lru_crawler_sleep=1000001", "LRU crawler sleep must be between 0 and 1 second"),
            ("lru_crawler_tocrawl", "Missing lru_crawler_tocrawl value"),
            ("lru_crawler_tocrawl=-1", "lru_crawler_tocrawl takes a numeric 32bit value"),
            ("lru_crawler_tocrawl=4294967296", "lru_crawler_tocrawl takes a numeric 32bit value"),
            ("hot_lru_pct", "Missing hot_lru_pct argument"),
            ("hot_lru_pct=0", "hot_lru_pct must be > 1 and < 80"),
            ("hot_lru_pct=x", "hot_lru_pct must be > 1 and < 80"),
            ("warm_lru_pct=80", "warm_lru_pct must be > 1 and < 80"),
            ("hot_max_factor=0", "hot_max_factor must be > 0"),
            ("warm_max_factor=-1", "warm_max_factor must be > 0"),
            ("temporary_ttl", "Missing temporary_ttl argument"),
            ("watcher_logbuf_size", "Missing watcher_logbuf_size argument"),
            ("watcher_logbuf_size=1k", "could not parse argument to watcher_logbuf_size"),
            ("worker_logbuf_size=x", "could not parse argument to worker_logbuf_size"),
            ("slab_sizes", "Missing slab_sizes argument"),
            ("slab_chunk_max", "Missing slab_chunk_max argument"),
            ("slab_chunk_max=x", "could not parse argument to slab_chunk_max"),
            ("slab_chunk_max=0", "slab_chunk_max must be >= 0"),
            ("slab_chunk_max=1025", "slab_chunk_max must be specified in kilobytes."),
            ("read_buf_mem_limit", "Missing read_buf_mem_limit argument"),
            ("read_buf_mem_limit=x", "could not parse argument to read_buf_mem_limit"),
        ] {
            check_refused(list, message, 1);
        }
        let high = parse("hashpower=33").expect_err("too high").message;
        assert!(high.starts_with("Initial hashtable multiplier of 33 is too high\nChoose"));
    }

    #[test]
    fn tls_section_3() {
        let given = check(
            "ssl_chain_cert=/c,ssl_key=/k,ssl_keyformat=2,ssl_verify_mode=3,ssl_ca_cert=/a,\
             ssl_ciphers=HIGH:!RSA,ssl_wbuf_size=64,ssl_session_cache,ssl_kernel_tls,\
             ssl_min_version=3,ssl_handshake_timeout=5",
        );
        let text = |text: &str| Some(text.to_owned());
        let wanted = Tls {
            chain_cert: text("/c"),
            key: text("/k"),
            key_format: 2,
            verify_mode: 3,
            ca_cert: text("/a"),
            ciphers: text("HIGH:!RSA"),
            write_kib: 64,
            session_cache: true,
            kernel_tls: true,
            min_version: 3,
            handshake_secs: 5,
            is_given: true,
        };
        assert_eq!(given.tls, wanted);
        assert!(given.without_effect.is_empty() && !check("modern").tls.is_given);
        for name in ["chain_cert", "key", "keyformat", "verify_mode", "ca_cert", "ciphers"] {
            let name = format!("ssl_{name}");
            check_refused(&name, &format!("Missing {name} argument"), 1);
        }
        for name in ["keyformat", "verify_mode", "wbuf_size", "min_version", "handshake_timeout"] {
            let message = format!("could not parse argument to ssl_{name}");
            check_refused(&format!("ssl_{name}=x"), &message, 1);
        }
        let bad_mode = "Invalid ssl_verify_mode. Use help to see valid options.";
        check_refused("ssl_verify_mode=4", bad_mode, 1);
        check_refused("ssl_verify_mode=-1", bad_mode, 1);
        let bad_version = "Invalid ssl_min_version. Use help to see valid options.";
        check_refused("ssl_min_version=4", bad_version, 1);
        check_refused("ssl_handshake_timeout=0", "ssl_handshake_timeout must be at least 1", 1);
    }

    #[test]
    fn never_silently_insecure() {
        for list in ["ext_path=/x:1m", "ext_threads=1", "proxy_config=x", "proxy_uring"] {
            assert_eq!(parse(list).expect_err(list).exit_code, 64);
        }
    }
}
