//! Files of options in the form of Debian's `/etc/memcached.conf` (`--config FILE`).
//!
//! Debian joins such a file into one command line and lets a shell split it. Here every line is split by
//! itself, by the shell's rules of quoting and no others of it, so that a complaint can name its line.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::iter;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::{Given, UsageError, flags, in_order, not_understood};
use crate::file;
use crate::limits::CONFIG_FILE_BYTES_MAX;

/// What stands for `--config` in the table of options.
pub(super) const CONFIG: char = '2';

/// Applies all options of a file.
pub(super) fn take(given: &mut Given, path: &Path) -> Result<(), UsageError> {
    let name = path.display().to_string();
    let text = file::read(path, CONFIG_FILE_BYTES_MAX)
        .map_err(|error| UsageError::plain(format!("--config: cannot read {name}: {error}")))?;
    take_text(given, &name, &text)
}

/// What a file with this text asks for. `name` is what complaints and notes call it.
pub fn options_of(name: &str, text: &[u8]) -> Result<Given, UsageError> {
    let mut given = Given::default();
    take_text(&mut given, name, text).map(|()| given)
}

fn take_text(given: &mut Given, name: &str, text: &[u8]) -> Result<(), UsageError> {
    let mut command = flags::command();
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        let before = given.notes.len();
        take_line(given, &mut command, line).map_err(|error| UsageError {
            message: format!("{name}:{number}: {}", error.message),
            ..error
        })?;
        for note in &mut given.notes[before..] {
            note.insert_str(0, &format!("{name}:{number}: "));
        }
    }
    Ok(())
}

fn take_line(
    given: &mut Given,
    command: &mut clap::Command,
    line: &[u8],
) -> Result<(), UsageError> {
    let words = words(line).map_err(UsageError::usage)?;
    let Some(first) = words.first() else { return Ok(()) };
    if !first.as_bytes().starts_with(b"-") {
        return no_option(given, first.to_string_lossy().as_ref());
    }
    let words = iter::once(OsString::new()).chain(words);
    let matches =
        command.try_get_matches_from_mut(words).map_err(|error| not_understood(&error))?;
    given.verbosity += u32::from(matches.get_count("verbose"));
    for (flag, value) in in_order(&matches) {
        match flag.short {
            // Debian's scripts pass over such lines.
            'd' | 'h' | 'i' | 'V' => {
                given.notes.push(format!("{} is for the command line only: ignored", flag.name()));
            }
            CONFIG => {
                return Err(UsageError::usage("--config: a file cannot name another"));
            }
            _ => given.take(flag, value)?,
        }
    }
    given.note_strays(&matches);
    Ok(())
}

/// A line that begins with no dash. Debian's scripts know `logfile`, and pass over the others.
fn no_option(given: &mut Given, first: &str) -> Result<(), UsageError> {
    if is_variable(first) {
        // To start without any of them would serve something else than was asked for.
        return Err(UsageError::usage(format!(
            "{first:?} sets a variable, as in /etc/sysconfig/memcached: a unit for systemd reads \
             such a file (EnvironmentFile=, see docs/migrating.md)"
        )));
    }
    given.notes.push(match first {
        "logfile" => "logfile is ignored: the log goes to standard error".to_owned(),
        _ => format!("{first:?} is no option: the line was ignored"),
    });
    Ok(())
}

/// Whether a word is `NAME=` and something.
fn is_variable(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    })
}

/// The words of a line up to its comment, as a shell takes them. What a shell would replace or go on with in
/// the next line is refused.
pub fn words(line: &[u8]) -> Result<Vec<OsString>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = line.trim_ascii_end().iter().copied();
    while let Some(byte) = bytes.next() {
        let taken = match (quote, byte) {
            (_, b'\0') => return Err("holds a zero byte"),
            (Some(open), _) if byte == open => {
                quote = None;
                continue;
            }
            (Some(b'\''), _) => byte,
            (None, b'\'' | b'"') => {
                quote = Some(byte);
                word.get_or_insert_default();
                continue;
            }
            (_, b'$' | b'`') => return Err("a '$' or '`' replaces nothing here: quote it, in ' '"),
            (None, b'#') => break,
            (None, _) if byte.is_ascii_whitespace() => {
                words.extend(word.take());
                continue;
            }
            (_, b'\\') => match bytes.next() {
                None => return Err("no line goes on in the next one"),
                Some(b'\0') => return Err("holds a zero byte"),
                // Between double quotes it stands for itself before most characters.
                Some(next) if quote.is_some() && !b"$`\"\\".contains(&next) => {
                    word.get_or_insert_default().push(byte);
                    next
                }
                Some(next) => next,
            },
            _ => byte,
        };
        word.get_or_insert_default().push(taken);
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(word);
    Ok(words.into_iter().map(OsString::from_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_words(line: &str, expected: &[&str]) {
        assert_eq!(words(line.as_bytes()).expect(line), expected, "{line}");
    }

    #[track_caller]
    fn check(text: &str) -> Given {
        options_of("FILE", text.as_bytes()).expect(text)
    }

    #[track_caller]
    fn check_refused(text: &str, message: &str, exit_code: u8) {
        let error = options_of("FILE", text.as_bytes()).expect_err(text);
        assert_eq!((error.message.as_str(), error.exit_code), (message, exit_code), "{text}");
    }

    #[test]
    fn words_are_a_shells() {
        check_words("", &[]);
        check_words(" \t\r", &[]);
        check_words("-m 64", &["-m", "64"]);
        check_words("  -m\t64  -c 5 \r", &["-m", "64", "-c", "5"]);
        check_words("-P '/run/a b' \"/c d\"", &["-P", "/run/a b", "/c d"]);
        check_words(r"-P /run/a\ b\#c", &["-P", "/run/a b#c"]);
        check_words("-D '' x", &["-D", "", "x"]);
        check_words(r#"-s a'b'"c"d"#, &["-s", "abcd"]);
        check_words(r#""a\"b\\c\$d\`e\nf""#, &[r#"a"b\c$d`e\nf"#]);
        check_words(r"'a\b$c`d#e'", &[r"a\b$c`d#e"]);
        check_words("-l 10.0.0.1;10.0.0.2", &["-l", "10.0.0.1;10.0.0.2"]);
        check_words("-l *", &["-l", "*"]);
    }

    #[test]
    fn comments_end_a_line() {
        check_words("# don't", &[]);
        check_words("-m 64# it's so", &["-m", "64"]);
        check_words("-m 64 # a # b", &["-m", "64"]);
    }

    #[test]
    fn what_a_shell_would_do_beyond_that_is_refused() {
        for line in ["-u $USER", "-u \"$USER\"", "-u `id -un`"] {
            words(line.as_bytes()).expect_err(line);
        }
        assert_eq!(words(b"-m \\"), Err("no line goes on in the next one"));
        for line in ["-s 'a", "-s \"a", "-s 'a\"", "-s \"a\\\""] {
            assert_eq!(words(line.as_bytes()), Err("a quote is not closed"), "{line}");
        }
        for line in ["-s a\0", "-s 'a\0'", "-s \"a\0\"", "-s \\\0"] {
            assert_eq!(words(line.as_bytes()), Err("holds a zero byte"), "{line:?}");
        }
    }

    #[test]
    fn debians_own_file() {
        let text = "# memcached default config file\n# a's\n\n-d\n\n\
            # Log memcached's output\nlogfile /var/log/memcached.log\n\n# -v\n\n-m 64\n-p 11211\n\
            -u memcache\n-l 127.0.0.1\n# -c 1024\n-P /var/run/memcached/memcached.pid\n";
        let given = check(text);
        assert_eq!((given.memory_mib, given.port), (64, Some(11211)));
        assert_eq!(given.user.as_deref(), Some("memcache"));
        assert_eq!(given.listen, ["127.0.0.1"]);
        assert_eq!(given.pid_file, Some("/var/run/memcached/memcached.pid".into()));
        assert!(!given.daemon && given.verbosity == 0);
        assert_eq!(
            given.notes,
            [
                "FILE:4: -d is for the command line only: ignored",
                "FILE:7: logfile is ignored: the log goes to standard error",
            ]
        );
    }

    #[test]
    fn lines_hold_any_options() {
        let given =
            check("-m 1 -m2\r\n--port=5 --con 7\n-vv\n-v --verbose\n-MC -o idle_timeout=3\n");
        assert_eq!((given.memory_mib, given.port, given.connections_max), (2, Some(5), 7));
        assert_eq!(given.verbosity, 4);
        assert!(!given.evictions && !given.cas);
        assert_eq!(given.extended.idle_timeout_secs, 3);
        assert!(given.notes.is_empty());
        let given = check("-l 127.0.0.1 -l ::1\n-l 10.0.0.1,10.0.0.2");
        assert_eq!(given.listen, ["127.0.0.1", "::1", "10.0.0.1,10.0.0.2"]);
        assert_eq!(check("\u{feff}-m 5").memory_mib, 5);
    }

    #[test]
    fn what_is_ignored_is_noted_with_its_line() {
        let given = check("m 5\n-m 6x\n-hiV --daemon\n-vv >> /var/log/x 2>&1\n");
        assert_eq!((given.memory_mib, given.verbosity, given.daemon), (6, 2, false));
        assert_eq!(
            given.notes,
            [
                "FILE:1: \"m\" is no option: the line was ignored",
                "FILE:2: -m 6x was read as 6",
                "FILE:3: -h is for the command line only: ignored",
                "FILE:3: -i is for the command line only: ignored",
                "FILE:3: -V is for the command line only: ignored",
                "FILE:3: -d is for the command line only: ignored",
                "FILE:4: argument \">>\" is no option and was ignored",
                "FILE:4: argument \"/var/log/x\" is no option and was ignored",
                "FILE:4: argument \"2>&1\" is no option and was ignored",
            ]
        );
    }

    #[test]
    fn complaints_name_the_line() {
        check_refused("-s ''", "FILE:1: -s: no path of a socket", 64);
        check_refused("\n-c 0", "FILE:2: Maximum connections must be greater than 0", 1);
        check_refused("-m x", "FILE:1: -m: \"x\" is not a number", 64);
        check_refused("-s 'a", "FILE:1: a quote is not closed", 64);
        check_refused("--config x", "FILE:1: --config: a file cannot name another", 64);
        let error = options_of("FILE", b"-m 5\n-m\n64\n").expect_err("no value");
        assert!(error.message.starts_with("FILE:2: option"), "{}", error.message);
        let error = options_of("FILE", b"-y\n").expect_err("no option");
        assert!(error.message.starts_with("FILE:1: unknown"), "{}", error.message);
        for text in ["PORT=\"11211\"", "OPTIONS=\"-l 127.0.0.1\"", "MAX_CONN="] {
            let error = options_of("FILE", text.as_bytes()).expect_err(text);
            assert!(error.message.contains("EnvironmentFile"), "{}", error.message);
            assert_eq!(error.exit_code, 64);
        }
    }
}
