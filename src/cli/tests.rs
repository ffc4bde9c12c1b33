//! What command lines are read as, and what is said of wrong ones.

use super::*;

fn run(program: &str, line: &str) -> Result<Invocation, UsageError> {
    // `_` stands for an empty argument, `~` for a blank within one.
    let words = line.split_whitespace().map(|word| match word {
        "_" => String::new(),
        _ => word.replace('~', " "),
    });
    parse(std::iter::once(program.to_owned()).chain(words).map(OsString::from))
}

#[track_caller]
fn check(line: &str) -> Given {
    match run("nuthatch", line) {
        Ok(Invocation::Serve(given)) => *given,
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn check_refused(line: &str, message: &str, exit_code: u8) {
    let error = run("nuthatch", line).expect_err(line);
    assert_eq!((error.message.as_str(), error.exit_code), (message, exit_code), "{line}");
}

#[track_caller]
fn check_not_understood(line: &str, named: &str) {
    let error = run("nuthatch", line).expect_err(line);
    assert!(error.message.contains(named), "{line}: {}", error.message);
    assert!(error.message.ends_with("\nIllegal argument \"?\""), "{line}: {}", error.message);
    assert_eq!(error.exit_code, 1);
}

#[test]
fn defaults() {
    let given = check("");
    assert_eq!((given.port, given.threads, given.memory_mib), (None, None, 64));
    assert_eq!((given.growth_factor, given.chunk_space_min), (1.04, 12));
    assert!(given.evictions && given.cas && given.flush && given.dump && given.watch);
    assert!(given.notes.is_empty());
}

#[test]
fn getopt_habits_section_1() {
    assert_eq!(check("-p 1 -p 2").port, Some(2), "the last one wins");
    assert_eq!(check("-p1").port, Some(1));
    assert_eq!(check("--port=3").port, Some(3));
    assert_eq!(check("--port 3").port, Some(3));
    assert_eq!(check("--po 3").port, Some(3), "a prefix that is not ambiguous");
    assert_eq!(check("-p -1").port, Some(-1));
    assert_eq!(check("-p-1").port, Some(-1));
    assert_eq!(check("--port=-1").port, Some(-1));
    assert_eq!(check("-p ~~7").port, Some(7), "leading white space");
    assert_eq!(check("-l a -l ~b,c").listen, ["a", "b,c"]);
    assert_eq!(check("-vvv -v --verbose").verbosity, 5);
    let clustered = check("-MCvvA -FXWLkdr");
    assert!(!clustered.evictions && !clustered.cas && clustered.shutdown);
    assert!(!clustered.flush && !clustered.dump && !clustered.watch && clustered.large_pages);
    assert!(clustered.lock_memory && clustered.daemon && clustered.core_dumps);
    assert_eq!(clustered.verbosity, 2);
    assert_eq!(check("-AAdp 5").port, Some(5), "a value behind a cluster");
    assert_eq!(check("-u -l").user.as_deref(), Some("-l"), "a value is taken whatever it is");
}

#[test]
fn stray_arguments_are_ignored_and_noted() {
    let given = check("stray -p 5 other -M -- -d -");
    assert_eq!(given.port, Some(5));
    assert!(!given.evictions && !given.daemon);
    assert_eq!(given.notes.len(), 4, "{:?}", given.notes);
    assert_eq!(given.notes[0], "argument \"stray\" is no option and was ignored");
}

#[test]
fn what_is_not_understood() {
    check_not_understood("-z", "-z");
    check_not_understood("-vz", "-z");
    check_not_understood("-v5", "-5");
    check_not_understood("--bogus", "--bogus");
    check_not_understood("--enable", "--enable");
    check_not_understood("-p", "port");
    check_not_understood("-M --port", "port");
    check_not_understood("--daemon=1", "daemon");
}

#[test]
fn prints() {
    for (program, line, first) in [
        ("nuthatch", "-V", "nuthatch 0.1.0\n"),
        ("/usr/bin/memcached", "-V", "memcached 1.6.45\n"),
        ("memcached-debug", "-h", "memcached 1.6.45\n"),
        ("nuthatch", "-p 1 --help", "nuthatch 0.1.0\n"),
        ("nuthatch", "-i", "nuthatch 0.1.0\n"),
        ("nuthatch", "--version -p abc", "nuthatch 0.1.0\n"),
    ] {
        match run(program, line) {
            Ok(Invocation::Print(text)) => assert!(text.starts_with(first), "{line}: {text}"),
            other => panic!("{line}: {other:?}"),
        }
    }
    check_refused("-p abc -V", "-p: \"abc\" is not a number", 64);
}

#[test]
fn plain_values() {
    let given = check("-s /run/x -a 0777 -u nobody -P /run/pid -n 48 -f 1.25 -D _x -R 5 -b 8675");
    assert_eq!(given.unix_socket, Some(PathBuf::from("/run/x")));
    assert_eq!(given.unix_mask, 0o777);
    assert_eq!(given.user.as_deref(), Some("nobody"));
    assert_eq!(given.pid_file, Some(PathBuf::from("/run/pid")));
    assert_eq!((given.chunk_space_min, given.growth_factor), (48, 1.25));
    assert_eq!(given.prefix_delimiter, Some('_'));
    assert_eq!((given.requests_per_event, given.backlog), (5, 8675));
    let given = check("-U 11211 -m 1024 -c 10 -t 4 -I 2m -N 2 -B ascii -b -1");
    assert_eq!((given.udp_port, given.memory_mib, given.connections_max), (11211, 1024, 10));
    assert_eq!((given.threads, given.item_size_max), (Some(4), 2 << 20));
    assert_eq!(
        (given.napi_ids, given.protocol, given.backlog),
        (Some(2), Some(Protocol::Ascii), -1)
    );
    assert_eq!(check("-o idle_timeout=3 -o _ -o modern,").extended.idle_timeout_secs, 3);
    assert!(check("-l _").listen.is_empty());
}

#[test]
fn a_path_need_not_be_utf8() {
    let path = OsStr::from_bytes(b"/run/\xff");
    let args = [OsStr::new("nuthatch"), OsStr::new("-s"), path].map(OsStr::to_owned);
    match parse(args) {
        Ok(Invocation::Serve(given)) => assert_eq!(given.unix_socket, Some(path.into())),
        other => panic!("{other:?}"),
    }
    let args = [OsStr::new("nuthatch"), OsStr::new("-u"), path].map(OsStr::to_owned);
    assert_eq!(parse(args).expect_err("user").exit_code, EX_USAGE);
}

#[test]
fn junk_is_refused_and_what_follows_a_number_noted() {
    for option in ["p", "U", "m", "b", "a", "I"] {
        let line = format!("-{option} abc");
        check_refused(&line, &format!("-{option}: \"abc\" is not a number"), 64);
    }
    let given = check("-m 64x -c 5.5");
    assert_eq!((given.memory_mib, given.connections_max), (64, 5));
    assert_eq!(given.notes, ["-m 64x was read as 64", "-c 5.5 was read as 5"]);
}

/// Messages and exit codes of options, section 2.
#[test]
fn refused_values_section_2() {
    for line in ["-c 0", "-c -1", "-c abc"] {
        check_refused(line, "Maximum connections must be greater than 0", 1);
    }
    for line in ["-t 0", "-t x"] {
        check_refused(line, "Number of threads must be greater than 0", 1);
    }
    check_refused("-R 0", "Number of requests per event must be greater than 0", 1);
    check_refused("-n 0", "Chunk size must be greater than 0", 1);
    check_refused("-N 0", "Maximum number of NAPI IDs must be greater than 0", 1);
    for line in ["-f 1", "-f 0.5", "-f x", "-f nan"] {
        check_refused(line, "Factor must be greater than 1", 1);
    }
    check_refused("-D _", "No delimiter specified", 1);
    for name in ["http", "asciiz", "au"] {
        let message = format!(
            "Invalid value for binding protocol: {name}\n -- should be one of auto, binary, or ascii"
        );
        check_refused(&format!("-B {name}"), &message, 64);
    }
}

#[test]
fn what_does_not_exist_is_refused() {
    for line in ["-e /f", "--memory-file=/f", "-o ext_path=/x:1m"] {
        assert_eq!(run("nuthatch", line).expect_err(line).exit_code, 64, "{line}");
    }
}

/// A file of options, gone when dropped.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let path = std::env::temp_dir().join(format!("nuthatch-{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        File(path)
    }

    /// `line` with the file's name in place of `FILE`.
    fn in_line(&self, line: &str) -> String {
        line.replace("FILE", self.0.to_str().unwrap())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

#[test]
fn options_of_the_command_line_come_after_those_of_files() {
    let file = File::new("cli", "-m 100\n-l 127.0.0.1\n-l ::1\n-v -M\n-o idle_timeout=3,modern\n");
    let given = check(&file.in_line("-m 200 --config FILE -vv -o track_sizes"));
    assert_eq!((given.memory_mib, given.verbosity, given.evictions), (200, 3, false));
    assert_eq!(given.listen, ["127.0.0.1", "::1"]);
    assert_eq!(given.extended.idle_timeout_secs, 3);
    assert!(given.extended.tuning.track_sizes);
    assert_eq!(check(&file.in_line("--conf=FILE -l 10.0.0.1")).listen, ["10.0.0.1"]);
    assert!(check(&file.in_line("-l _ --config FILE")).listen.is_empty(), "the default");
    let other = File::new("cli-other", "-m 300\n-l 10.0.0.2\n");
    let both = format!("{} {}", file.in_line("--config FILE"), other.in_line("--config FILE"));
    let given = check(&both);
    assert_eq!(given.memory_mib, 300);
    assert_eq!(given.listen, ["127.0.0.1", "::1", "10.0.0.2"]);
}

#[test]
fn a_file_of_options_that_cannot_be_used() {
    let wrong = File::new("cli-wrong", "-m 5\n-t 0\n");
    let path = wrong.0.display();
    check_refused(
        &wrong.in_line("--config FILE"),
        &format!("{path}:2: Number of threads must be greater than 0"),
        1,
    );
    assert!(matches!(
        run("nuthatch", &wrong.in_line("--config FILE -h")),
        Ok(Invocation::Print(_))
    ));
    let missing = run("nuthatch", "--config /nonexistent/x").expect_err("no file");
    assert!(missing.message.starts_with("--config: cannot read /nonexistent/x: No such file"));
    assert_eq!(missing.exit_code, 1);
    check_refused("--config /", "--config: cannot read /: not a regular file", 1);
    let long = File::new("cli-long", &"#\n".repeat(40_000));
    let error = run("nuthatch", &long.in_line("--config FILE")).expect_err("too long");
    assert!(error.message.contains("too large"), "{}", error.message);
}
