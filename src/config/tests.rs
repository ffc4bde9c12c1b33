//! From command lines to what the modules get; and `docs/options.md` against the tables.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::cli::Invocation;
use crate::cli::flags;
use crate::cli::suboptions::SUBOPTIONS;

fn environment() -> Environment {
    Environment { cpus: 3, ..Environment::default() }
}

fn configure(line: &str, environment: &Environment) -> Result<Config, UsageError> {
    let words = std::iter::once("nuthatch").chain(line.split_whitespace());
    match crate::cli::parse(words.map(OsString::from))? {
        Invocation::Serve(given) => Config::new(&given, environment),
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn check(line: &str) -> Config {
    configure(line, &environment()).unwrap_or_else(|error| panic!("{line}: {}", error.message))
}

#[track_caller]
fn check_refused(line: &str, message: &str, exit_code: u8) {
    let error = configure(line, &environment()).expect_err(line);
    assert_eq!((error.message.as_str(), error.exit_code), (message, exit_code), "{line}");
}

#[test]
fn defaults() {
    let config = check("");
    assert_eq!(config.store.memory_bytes, 64 << 20);
    assert_eq!(config.store.item_size_max, 1 << 20);
    assert_eq!((config.store.threads, config.server.threads, config.session.threads), (3, 3, 3));
    assert_eq!(config.server.port, Port::Number(11211));
    assert!(config.server.listen.is_empty());
    assert_eq!(config.session.version, "1.6.45");
    assert_eq!((config.session.tcp_port, config.session.inter), (11211, None));
    assert_eq!((config.session.prefix_delimiter, config.session.detail), (':', false));
    assert_eq!(config.session.binding_protocol, "auto-negotiate");
    assert_eq!(config.server.protocol, session::Protocol::Auto);
    assert_eq!(config.process.log_level, log::LevelFilter::Info);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn every_module_gets_its_share() {
    let config = check(
        "-m 8 -I 2m -f 1.5 -n 48 -M -C -L -t 2 -c 7 -R 3 -b 5 -A -F -X -W -D / -B ascii -vv -r \
         -k -d -P /run/pid -o idle_timeout=9,no_maxconns_fast,debug_clock,maxconns_per_address=6 \
         -o watcher_logbuf_size=8 \
         -o request_timeout=1,upload_timeout=2,send_timeout=3,login_timeout=0",
    );
    let store = config.store;
    assert_eq!((store.memory_bytes, store.item_size_max), (8 << 20, 2 << 20));
    assert_eq!((store.growth_factor, store.chunk_space_min, store.threads), (1.5, 48, 2));
    assert!(!store.evictions && !store.cas && store.large_pages);
    let session = config.session;
    assert!(session.shutdown && !session.flush && !session.dump && !session.watch);
    assert_eq!((session.prefix_delimiter, session.detail), ('/', true));
    assert_eq!((session.binding_protocol, session.verbosity), ("ascii", 2));
    assert_eq!((session.max_connections, session.requests_per_turn, session.backlog), (7, 3, 5));
    assert_eq!((session.growth_factor, session.chunk_size), (1.5, 48));
    assert_eq!((session.item_size_max, session.cas, session.evictions), (2 << 20, false, false));
    assert!(!session.maxconns_fast && session.debug_clock);
    assert_eq!((session.idle_timeout_secs, session.maxconns_per_address), (9, 6));
    assert_eq!(config.watch.backlog_bytes, 8192);
    let server = config.server;
    assert_eq!(server.protocol, session::Protocol::Ascii);
    assert_eq!(check("-B binary").session.binding_protocol, "binary");
    assert_eq!(check("-B binary").server.protocol, session::Protocol::Binary);
    assert_eq!((server.connections_max, server.requests_per_turn, server.backlog), (7, 3, 5));
    assert_eq!((server.idle_timeout_secs, server.maxconns_fast), (9, false));
    assert_eq!(server.maxconns_per_address, 6);
    let deadlines =
        server::Deadlines { request_secs: 1, upload_secs: 2, send_secs: 3, login_secs: 0 };
    assert_eq!(server.deadlines, deadlines);
    assert_eq!(check("").server.deadlines, server::Deadlines::default());
    assert_eq!((server.pid_file, server.remove_pid_file), (Some("/run/pid".into()), true));
    assert_eq!(
        config.process,
        Process {
            daemon: true,
            keep_stdio: true,
            keep_cwd: true,
            core_dumps: true,
            keep_to_itself: false,
            lock_memory: true,
            open_files: 7 + 64 + 2 * 4,
            connections: 7,
            log_level: log::LevelFilter::Trace,
        }
    );
}

#[test]
fn backlogs_of_watchers() {
    assert_eq!(check("").watch.backlog_bytes, 256 * 1024);
    let backlog = |line: &str| check(line).watch.backlog_bytes;
    assert_eq!(backlog("-m 65536 -o watcher_logbuf_size=65537"), (64 << 20) + 1024);
    assert_eq!(backlog("-m 64"), 256 << 10);
    assert_eq!(backlog("-m 64 -o watcher_logbuf_size=65536"), (64 << 20) / 240);
}

#[test]
fn ports() {
    assert_eq!(check("-p 0").server.port, Port::Off);
    assert_eq!(check("-p 0").warnings.len(), 1);
    assert_eq!(check("-p -1").server.port, Port::Any);
    assert_eq!(check("-p 65535").session.tcp_port, 65535);
    assert_eq!(check("-U 5000").server.port, Port::Number(5000), "-U sets the TCP port as well");
    assert_eq!(check("-U 5000 -p 1").server.port, Port::Number(1));
    assert_eq!(check("-U 5000").server.udp_port, Port::Number(5000));
    assert_eq!((check("-U 5000").session.udp_port, check("-U -1").session.udp_port), (5000, -1));
    assert_eq!(
        (check("-U -1").server.port, check("-U -1").server.udp_port),
        (Port::Any, Port::Any)
    );
    assert_eq!((check("").server.udp_port, check("-U 0").server.udp_port), (Port::Off, Port::Off));
    assert_eq!(check("-U 5000 -s /run/sock").server.udp_port, Port::Off);
    assert!(check("-o udp_public").server.udp_public && !check("").server.udp_public);
    assert_eq!(check("-p 0 -U 1").warnings, Vec::<String>::new());
    assert_eq!(check("-U 0").warnings, Vec::<String>::new());
    check_refused("-p 65536", "ERROR: Invalid port number 65536.", 64);
    check_refused("-p -2", "ERROR: Invalid port number -2.", 64);
    check_refused("-U 70000", "ERROR: Invalid port number 70000.", 64);
    check_refused("-U -2 -p 1", "ERROR: Invalid port number -2.", 64);
}

#[test]
fn listeners() {
    let config = check("-l 127.0.0.1:1,[::1] -l 127.0.0.1:1,[::1] -l *:3");
    assert_eq!(config.session.inter.as_deref(), Some("127.0.0.1:1,[::1],*:3"));
    let listen = |host: &str, port| Listen { host: host.to_owned(), port, ..Listen::default() };
    let expected = [listen("127.0.0.1", Some(1)), listen("::1", None), listen("*", Some(3))];
    assert_eq!(config.server.listen, expected);
    check_refused(
        "-l notls:h",
        "'notls' option is valid only when SSL is enabled\n\
         failed to listen on one of interface(s) notls:h",
        71,
    );
}

#[test]
fn a_unix_socket_replaces_tcp() {
    let config = check("-s /run/sock -a 0770 -l 127.0.0.1 -p 5");
    assert_eq!(config.server.unix_socket, Some("/run/sock".into()));
    assert_eq!((config.server.port, config.server.unix_mask), (Port::Off, 0o770));
    assert!(config.server.listen.is_empty());
    assert_eq!(config.session.domain_socket.as_deref(), Some("/run/sock"));
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn memory_and_item_size_just_at_the_limits() {
    assert_eq!(check("-m 2").store.memory_bytes, 2 << 20);
    check_refused("-m 1", "-m 1: must be a number of megabytes, at least 2", 64);
    check_refused("-m 0", "-m 0: must be a number of megabytes, at least 2", 64);
    check_refused("-m -5", "-m -5: must be a number of megabytes, at least 2", 64);
    assert_eq!(check("-I 1024").store.item_size_max, 1024);
    assert_eq!(check("-I 1k").store.item_size_max, 1024);
    assert_eq!(check("-m 64 -I 32m").store.item_size_max, 32 << 20);
    assert_eq!(check("-m 4096 -I 1024m").store.item_size_max, 1 << 30);
    for line in ["-I 1023", "-I 2g", "-I -1m"] {
        check_refused(line, "Item max size cannot be less than 1024 bytes.", 64);
    }
    check_refused("-I 33m", "Cannot set item size limit higher than 1/2 of memory max.", 64);
    check_refused("-m 4096 -I 1025m", "Cannot set item size limit higher than a gigabyte.", 64);
    check_refused("-I 1k -n 513", "-n 513: more than half of the largest item (-I)", 64);
}

#[test]
fn threads_and_backlog() {
    assert_eq!(check("-t 1024").server.threads, 1024);
    assert_eq!(check("-t 65").warnings.len(), 1);
    assert_eq!(check("-t 64").warnings.len(), 0);
    check_refused("-t 1025", "-t 1025: more than 1024 threads", 64);
    let message = "Number of napi_ids(4) cannot be greater than number of threads(3)";
    check_refused("-N 4", message, 64);
    assert_eq!(check("-b -1").server.backlog, i32::MAX as u32);
    assert_eq!(check("-b 99999999999").server.backlog, i32::MAX as u32);
}

/// "Cross checks after parsing" of options, section 2, as far as the options exist.
#[test]
fn cross_checks_section_2() {
    check("-I 1024 -o slab_chunk_max=1");
    check("-I 512k -o slab_chunk_max=16");
    check("-I 4k -o modern");
    check("-o hot_lru_pct=40,warm_lru_pct=40");
    check("-o temporary_ttl=61,no_lru_maintainer,lru_maintainer");
    check("-o slab_sizes=100-200-300,slab_chunk_max=1");
    for (line, message) in [
        (
            "-I 4k -o slab_chunk_max=8",
            "slab_chunk_max (bytes: 8192) cannot be larger than -I (item_size_max 4096)",
        ),
        (
            "-I 1000k -o slab_chunk_max=16",
            "-I (item_size_max: 1024000) must be evenly divisible by slab_chunk_max (bytes: 16384)",
        ),
        (
            "-I 3m -o slab_chunk_max=3",
            "slab_chunk_max (bytes: 3072) must divide evenly into 1048576 (slab_page_size)",
        ),
        ("-o hot_lru_pct=41", "hot_lru_pct + warm_lru_pct cannot be more than 80% combined"),
        (
            "-o temporary_ttl=61,no_lru_maintainer",
            "temporary_ttl requires lru_maintainer to be enabled",
        ),
        ("-o no_modern,temporary_ttl=61", "temporary_ttl requires lru_maintainer to be enabled"),
        ("-o slab_sizes=", "slab size 0 is out of valid range"),
        ("-o slab_sizes=11", "slab size 11 is out of valid range"),
        ("-o slab_sizes=100-x", "slab size 0 is out of valid range"),
        ("-o slab_sizes=2000,slab_chunk_max=1", "slab size 2000 is out of valid range"),
        (
            "-o slab_sizes=100-90",
            "slab size 90 cannot be lower than or equal to a previous class size",
        ),
        (
            "-o slab_sizes=100-108",
            "slab size 108 must be at least 8 bytes larger than previous class",
        ),
    ] {
        check_refused(line, message, 64);
    }
    let many: Vec<String> = (1..=63).map(|class| (class * 100).to_string()).collect();
    check(&format!("-o slab_sizes={}", many[..62].join("-")));
    let line = format!("-o slab_sizes={}", many.join("-"));
    check_refused(&line, "too many slab classes specified", 64);
}

#[test]
fn one_line_names_what_is_without_effect() {
    assert_eq!(
        check("-N 1 -o modern,no_hashexpand -o modern,relaxed_privileges").warnings,
        ["accepted without effect: -N, -o modern, -o no_hashexpand, -o relaxed_privileges \
          (see docs/options.md)"]
    );
    assert_eq!(
        check("-m 64x -o idle_timeout=5s stray").warnings,
        [
            "-m 64x was read as 64",
            "argument \"stray\" is no option and was ignored",
            "-o idle_timeout=5s was read as 5",
        ]
    );
}

#[test]
fn clusters() {
    assert_eq!(check("").cluster_file, None);
    let config = check("--cluster-file /nodes");
    assert_eq!(config.cluster_file.as_deref(), Some("/nodes".as_ref()));
    assert_eq!(
        config.warnings,
        ["--cluster-file without logins: any client may change the list (config set)"]
    );
    assert!(check("--cluster-file=/nodes -o user_file=/f").warnings.is_empty());
}

#[test]
fn root_and_its_environment() {
    let root = Environment {
        root: true,
        port_file: Some("/run/ports".into()),
        cpus: 1,
        ..Environment::default()
    };
    let config = configure("", &root).expect("as root");
    assert_eq!(config.server.drop_to, None);
    assert_eq!(config.warnings, ["running as root; -u names the user to become"]);
    assert_eq!(config.server.port_file, Some("/run/ports".into()));
    let config = configure("-u cache", &root).expect("as root");
    assert_eq!(config.server.drop_to.as_deref(), Some("cache"));
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(check("-u cache").server.drop_to, None, "-u is for root only");
}

#[test]
fn log_levels() {
    assert_eq!(check("-v").process.log_level, log::LevelFilter::Debug);
    assert_eq!(check("-vv").process.log_level, log::LevelFilter::Trace);
    assert_eq!(check("-vvvv").process.log_level, log::LevelFilter::Trace);
    assert!(check("-v").process.keep_stdio && !check("").process.keep_stdio);
}

/// Rows of the table in `docs/options.md`: first name of the row to its names and its state.
fn documented() -> BTreeMap<&'static str, (Vec<&'static str>, &'static str)> {
    let mut rows = BTreeMap::new();
    let text = include_str!("../../docs/options.md");
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "option, default, what it does, state, note: {row}");
        // Names are in code spans; a value behind a name is not part of it.
        let names: Vec<&str> = cells[0]
            .split('`')
            .skip(1)
            .step_by(2)
            .filter_map(|span| span.split([' ', '=']).next())
            .collect();
        let known = rows.insert(names[0], (names, cells[3]));
        assert!(known.is_none(), "two rows: {row}");
    }
    rows
}

#[test]
fn the_document_and_the_tables_agree() {
    let mut rows = documented();
    let mut check_row = |first: &str, second: Option<String>, state: State| {
        let (names, word) = rows.remove(first).unwrap_or_else(|| panic!("{first}: no row"));
        assert_eq!(word, state.word(), "{first}");
        assert_eq!(names.get(1).copied(), second.as_deref(), "{first}");
    };
    for flag in flags::all() {
        let long = (flag.has_short() && flag.has_long()).then(|| format!("--{}", flag.long));
        check_row(&flag.name(), long, flag.state);
    }
    for option in SUBOPTIONS {
        check_row(option.name, None, option.state);
    }
    for (name, state) in VARIABLES {
        check_row(name, None, *state);
    }
    assert!(rows.is_empty(), "rows of no option: {:?}", rows.keys());
}

#[test]
fn logins() {
    let login = |line: &str| {
        let config = check(line);
        (config.session.login, config.session.sasl, config.server.protocol)
    };
    let (auto, ascii, binary) =
        (session::Protocol::Auto, session::Protocol::Ascii, session::Protocol::Binary);
    assert_eq!(login(""), (false, false, auto));
    assert_eq!(login("-S"), (true, true, binary));
    assert_eq!(login("-S -B binary -o user_file=/f"), (true, true, binary));
    assert_eq!(login("-Y /f"), (true, false, ascii));
    assert_eq!(login("-Y /f -B ascii -U 0"), (true, false, ascii));
    assert_eq!(login("-o user_file=/f"), (true, true, auto));
    assert_eq!(login("-o user_file=/f -B ascii"), (true, true, ascii));
    assert_eq!(login("-Y /f -U 5 -s /run/sock"), (true, false, ascii));
    assert_eq!(check("-Y /f").session.auth_file.as_deref(), Some("/f"));
    let auth = |line: &str| check(line).auth.expect(line);
    assert_eq!(auth("-Y /f").file, Some(auth::UserFile::Users("/f".into())));
    assert_eq!(auth("-S -o user_file=/f,login_delay=5").delay, Duration::from_millis(5));
    assert_eq!(auth("-S").file, None);
    assert_eq!(auth("-S -o sasl_mechs=plain").mechanisms, Some(vec!["PLAIN"]));
    assert!(check("-S").process.keep_to_itself && !check("-S -r").process.keep_to_itself);
}

#[test]
fn logins_that_do_not_go_together_section_2() {
    for (line, message) in [
        ("-S -B ascii", "ERROR: You cannot allow the ASCII protocol while using SASL."),
        ("-S -B auto", "ERROR: You cannot allow the ASCII protocol while using SASL."),
        ("-S -U 5", "ERROR: Cannot enable UDP while using binary SASL authentication."),
        (
            "-Y /f -B binary",
            "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.",
        ),
        (
            "-Y /f -B auto",
            "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.",
        ),
        (
            "-Y /f -S",
            "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.",
        ),
        ("-Y /f -U 5", "Cannot use UDP with ascii authentication enabled (-U 0 to disable)"),
        ("-Y /f -o user_file=/g", "-Y and -o user_file: there can be one file of users"),
        ("-U 5 -o user_file=/g", "-U and -o user_file: nobody can log in over UDP"),
    ] {
        check_refused(line, message, 64);
    }
}

#[test]
fn listeners_of_who_has_to_log_in_section_4() {
    let protocols = |line: &str| -> Vec<_> {
        check(line).server.listen.iter().map(|listen| listen.protocol).collect()
    };
    let [ascii, binary, auto] =
        [session::Protocol::Ascii, session::Protocol::Binary, session::Protocol::Auto].map(Some);
    assert_eq!(protocols("-Y /f -l h,proto[ascii]:h,proto[neg]:h"), [None, ascii, ascii]);
    assert_eq!(protocols("-S -l proto[binary]:h,proto[neg]:h"), [binary, binary]);
    assert_eq!(protocols("-o user_file=/f -l proto[binary]:h,proto[neg]:h"), [binary, auto]);
    check_refused(
        "-Y /f -l proto[binary]:h",
        "Cannot use binary protocol when ascii authentication enabled\n\
         failed to listen on one of interface(s) proto[binary]:h",
        71,
    );
    check_refused(
        "-S -l proto[ascii]:h",
        "Cannot use ascii protocol when SASL is enabled\n\
         failed to listen on one of interface(s) proto[ascii]:h",
        71,
    );
    let warnings = check("-Y /f -l proto[neg]:h").warnings;
    assert_eq!(warnings, ["proto[negotiating] of h is Ascii only"]);
}

#[test]
fn what_sasl_takes_from_the_environment_section_5() {
    let set = Environment {
        sasl_passwords: Some("/pw".into()),
        sasl_configuration: true,
        ..environment()
    };
    let config = configure("-S", &set).expect("fine");
    let file = config.auth.and_then(|auth| auth.file);
    assert_eq!(file, Some(auth::UserFile::Passwords("/pw".into())));
    assert!(config.warnings[0].starts_with("SASL_CONF_PATH is not used"), "{:?}", config.warnings);
    let config = configure("-S -o user_file=/f", &set).expect("fine");
    let file = config.auth.and_then(|auth| auth.file);
    assert_eq!(file, Some(auth::UserFile::Users("/f".into())));
    assert!(config.warnings[1].starts_with("MEMCACHED_SASL_PWDB is not used"));
    assert_eq!(configure("", &set).expect("fine").auth, None);
    let alone = check("-S").warnings;
    assert_eq!(alone, ["-S without -o user_file or MEMCACHED_SASL_PWDB: nobody can log in"]);
}
