//! The table of memcached's short and long options (options, section 2): what each is called, and
//! what becomes of it here. The command line that clap reads, the usage text and the check of
//! `docs/options.md` are all made from it.
#![forbid(unsafe_code)]

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command, value_parser};

use State::{Differs, NoEffect, Refused, Works};

/// What becomes of an option, in the four words of `docs/options.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As in memcached.
    Works,
    /// With a difference that the document names.
    Differs,
    /// Read and checked, but nothing comes of it; a log line says so.
    NoEffect,
    /// The server does not start with it.
    Refused,
}

impl State {
    /// The word of `docs/options.md`.
    pub fn word(self) -> &'static str {
        match self {
            State::Works => "works",
            State::Differs => "works differently",
            State::NoEffect => "accepted without effect",
            State::Refused => "refused",
        }
    }
}

/// One option of the command line.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// The letter behind one dash; of [`OURS`], which have none, a digit that stands for the option.
    pub short: char,
    /// The word behind two dashes; of `-D`, which has none, a name for messages.
    pub long: &'static str,
    /// How the usage text calls its value; empty for one that takes none.
    pub value: &'static str,
    /// What becomes of it.
    pub state: State,
    /// Its line in the usage text. Empty for what does nothing: the usage text does not show it.
    pub help: &'static str,
}

impl Flag {
    const fn new(
        short: char,
        long: &'static str,
        value: &'static str,
        state: State,
        help: &'static str,
    ) -> Flag {
        Flag { short, long, value, state, help }
    }

    /// Whether it has a form with two dashes.
    pub fn has_long(&self) -> bool {
        self.short != 'D'
    }

    /// Whether it has a form with one dash.
    pub fn has_short(&self) -> bool {
        self.short.is_alphabetic()
    }

    /// What is typed on a command line, for messages.
    pub fn name(&self) -> String {
        if self.has_short() { format!("-{}", self.short) } else { format!("--{}", self.long) }
    }

    /// The beginnings of its long name that mean it in memcached, though one of ours begins so, too.
    fn beginnings(&self) -> impl Iterator<Item = &'static str> {
        // Ours have none, or clap would find the same one twice.
        let lens = if self.has_short() { 1..self.long.len() } else { 0..0 };
        let all = lens.map(|len| &self.long[..len]);
        let begins = |flags: &[Flag], with: &str| {
            flags.iter().filter(|flag| flag.has_long() && flag.long.starts_with(with)).count()
        };
        all.filter(move |with| begins(FLAGS, with) == 1 && begins(OURS, with) > 0)
    }

    /// The clap argument. Values are taken whatever they look like (`-p -1`), as getopt does.
    fn arg(&self) -> Arg {
        let arg = Arg::new(self.long).hide(self.help.is_empty()).help(self.help);
        let arg = if self.has_short() { arg.short(self.short) } else { arg };
        let arg =
            if self.has_long() { arg.long(self.long).aliases(self.beginnings()) } else { arg };
        if self.short == 'v' {
            arg.action(ArgAction::Count)
        } else if self.value.is_empty() {
            arg.action(ArgAction::SetTrue)
        } else {
            arg.action(ArgAction::Append)
                .value_name(self.value)
                .value_parser(value_parser!(OsString))
                .allow_hyphen_values(true)
        }
    }
}

/// Id of the arguments that belong to no option.
pub const STRAY: &str = "stray";

/// The command line that [`FLAGS`] and [`OURS`] describe.
pub fn command() -> Command {
    let stray = Arg::new(STRAY)
        .num_args(0..)
        .action(ArgAction::Append)
        .value_parser(value_parser!(OsString))
        .hide(true);
    Command::new(env!("CARGO_PKG_NAME"))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .infer_long_args(true)
        .args_override_self(true)
        .help_template("{options}")
        .args(all().map(Flag::arg))
        .arg(stray)
}

/// Every option there is.
pub fn all() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().chain(OURS)
}

/// Options that memcached does not have: long ones, so that every letter stays memcached's to give.
#[rustfmt::skip]
pub const OURS: &[Flag] = &[
    Flag::new('1', "cluster-file", "file", Works, "nodes that clients ask for (\"config get cluster\"), a host|ip|port each"),
    Flag::new('2', "config", "file", Works, "options in the form of Debian's memcached.conf; those of the command line win"),
];

/// Every option of memcached 1.6.45.
#[rustfmt::skip]
pub const FLAGS: &[Flag] = &[
    Flag::new('p', "port", "num", Works, "TCP port to listen on (default: 11211, 0: none, -1: any)"),
    Flag::new('U', "udp-port", "num", Differs, "UDP port to listen on (default: 0, none; -1: any); loopback only"),
    Flag::new('s', "unix-socket", "file", Works, "Unix socket to listen on, instead of TCP"),
    Flag::new('a', "unix-mask", "mask", Works, "access mask of the Unix socket, octal (default: 700)"),
    Flag::new('A', "enable-shutdown", "", Works, "enable the command \"shutdown\""),
    Flag::new('l', "listen", "addr", Differs,
        "host, host:port, [ipv6]:port or * to listen on (default: loopback); may be repeated"),
    Flag::new('d', "daemon", "", Works, "run as a daemon"),
    Flag::new('r', "enable-coredumps", "", Works, "raise the core file limit as far as it goes"),
    Flag::new('u', "user", "user", Differs, "user to become once the sockets are bound (as root only)"),
    Flag::new('m', "memory-limit", "num", Differs,
        "memory in megabytes, items and index together (default: 64, least: 2)"),
    Flag::new('M', "disable-evictions", "", Works, "answer with an error when memory is full instead of evicting"),
    Flag::new('c', "conn-limit", "num", Works, "most connections at a time (default: 1024)"),
    Flag::new('k', "lock-memory", "", Works, "lock all memory into RAM"),
    Flag::new('v', "verbose", "", Differs, "log errors sent to clients; -vv commands and connections too; RUST_LOG overrides"),
    Flag::new('h', "help", "", Works, "print this text and exit"),
    Flag::new('i', "license", "", Works, "print the licence and exit"),
    Flag::new('V', "version", "", Works, "print the version and exit"),
    Flag::new('P', "pidfile", "file", Works, "write the process id to a file"),
    Flag::new('f', "slab-growth-factor", "num", Differs, "growth factor of chunk sizes (default: 1.04)"),
    Flag::new('n', "slab-min-size", "bytes", Differs,
        "room for key, value and flags in the smallest chunk (default: 12)"),
    Flag::new('L', "enable-largepages", "", Works, "use large memory pages, all taken at the start"),
    Flag::new('D', "delimiter", "char", Works, "count by key prefix, which ends at this character (\"stats detail\"; default: off, ':')"),
    Flag::new('t', "threads", "num", Differs, "worker threads (default: the CPUs that this process may use)"),
    Flag::new('R', "max-reqs-per-event", "num", Works, "requests of one connection before others get their turn (default: 20)"),
    Flag::new('C', "disable-cas", "", Works, "no CAS values: 8 bytes less an item"),
    Flag::new('b', "listen-backlog", "num", Works, "backlog of the listening sockets (default: 1024)"),
    Flag::new('B', "protocol", "name", Works, "protocol: ascii, binary or auto (default: auto)"),
    Flag::new('I', "max-item-size", "size", Differs, "largest item, with k or m (default: 1m, from 1k to 1024m)"),
    Flag::new('S', "enable-sasl", "", Differs, "clients log in by SASL; speaks packets only (see -o user_file)"),
    Flag::new('F', "disable-flush-all", "", Works, "refuse the command \"flush_all\""),
    Flag::new('X', "disable-dumping", "", Works, "refuse commands that list keys"),
    Flag::new('W', "disable-watch", "", Works, "refuse the command \"watch\""),
    Flag::new('Y', "auth-file", "file", Differs, "text clients log in by a first \"set\"; lines \"user:secret[:rights]\""),
    Flag::new('e', "memory-file", "file", Refused, ""),
    Flag::new('Z', "enable-ssl", "", Works, "speak TLS on TCP; needs ssl_chain_cert and ssl_key"),
    Flag::new('o', "extended", "list", Works, "further options, with commas between them:"),
    Flag::new('N', "napi-ids", "num", NoEffect, ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The getopt string of options, section 2, in its order.
    const MEMCACHED: &str = "p:U:s:a:Al:dru:m:Mc:kvhiVP:f:n:t:D:LR:Cb:B:I:SFXWY:ZN:o:e:";

    #[test]
    fn holds_every_option_of_memcached_and_no_other() {
        let mut letters = 0;
        for (at, short) in MEMCACHED.char_indices().filter(|(_, letter)| *letter != ':') {
            letters += 1;
            let flag = FLAGS.iter().find(|flag| flag.short == short);
            let flag = flag.unwrap_or_else(|| panic!("-{short} is missing"));
            let takes_value = MEMCACHED[at + 1..].starts_with(':');
            assert_eq!(!flag.value.is_empty(), takes_value, "-{short}");
        }
        assert_eq!(letters, FLAGS.len());
    }

    #[test]
    fn beginnings_that_were_memcacheds_stay_so() {
        for flag in FLAGS.iter().filter(|flag| flag.has_long()) {
            for len in 1..=flag.long.len() {
                let begins = |other: &&Flag| other.long.starts_with(&flag.long[..len]);
                if len < flag.long.len() && FLAGS.iter().filter(begins).count() > 1 {
                    continue;
                }
                let mut words = vec!["nuthatch".to_owned(), format!("--{}", &flag.long[..len])];
                words.extend((!flag.value.is_empty()).then(|| "1".to_owned()));
                let matches = command().try_get_matches_from(&words).expect("an option");
                assert!(matches.value_source(flag.long).is_some(), "{words:?}");
            }
        }
    }

    #[test]
    fn ours_leave_memcached_every_letter_and_word() {
        for (at, flag) in OURS.iter().enumerate() {
            assert!(!flag.has_short() && flag.short == char::from(b'1' + at as u8));
            assert!(FLAGS.iter().all(|other| other.long != flag.long));
        }
    }

    #[test]
    fn clap_finds_no_fault_in_the_command() {
        command().debug_assert();
    }

    #[test]
    fn only_what_does_something_has_a_help_line() {
        for flag in all() {
            let does_something = matches!(flag.state, Works | Differs);
            assert_eq!(does_something, !flag.help.is_empty(), "{}", flag.name());
        }
    }
}
