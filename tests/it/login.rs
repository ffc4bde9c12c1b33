//! Logins over sockets: user files that change, who guesses, and where no password may be seen.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Uid;

use crate::authority::{Authority, VERSIONS, connect};
use crate::client::Client;
use crate::harness::{
    Launch, PATIENCE, Program, Scratch, Server, alone, moment, say, sized, together, wait_for,
};

const STORED: &str = "STORED\r\n";
const FAILED: &str = "CLIENT_ERROR authentication failure\r\n";

fn login(user: &str, password: &str) -> String {
    format!("set auth 0 0 {}\r\n{user} {password}\r\n", user.len() + 1 + password.len())
}

/// A packet without extras (binary, section 1).
fn framed(magic: u8, opcode: u8, status: u16, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![magic, opcode];
    bytes.extend((key.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(status.to_be_bytes());
    bytes.extend(((key.len() + value.len()) as u32).to_be_bytes());
    bytes.resize(24, 0);
    [&bytes, key, value].concat()
}

fn packet(opcode: u8, key: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    framed(0x80, opcode, 0, key.as_bytes(), value.as_ref())
}

fn token(opcode: u8, status: u16, text: &str) -> Vec<u8> {
    framed(0x81, opcode, status, b"", text.as_bytes())
}

/// A file of users, and a server of the text protocol that reads it.
fn guarded(text: &str, options: &[&str]) -> (Scratch, String, Server) {
    let dir = Scratch::new();
    let file = dir.path("users");
    fs::write(&file, text).expect("scratch file");
    let file = file.display().to_string();
    let server = Server::start(&[&["-Y", &file], options].concat());
    (dir, file, server)
}

/// What memcached says, word for word (text, section 9; behaviour, section 8).
#[test]
fn text_logins_are_memcacheds() {
    let _turn = together();
    let dir = Scratch::new();
    let file = dir.path("users");
    fs::write(&file, "foo:bar\nbaaaz:quux\ncolon:a:b\n").expect("scratch file");
    let file = file.display().to_string();
    let programs = [Some(Program::target()), Program::oracle()];
    for program in programs.into_iter().flatten() {
        let server = Launch::of(program, &["-Y", &file]).start();
        let mut client = server.connect();
        client.ask("get foo\r\n", "CLIENT_ERROR unauthenticated\r\n");
        client.ask("version\r\n", "CLIENT_ERROR unauthenticated\r\n");
        client.ask("set foo 0 0 2\r\nhi\r\n", "CLIENT_ERROR bad authentication token format\r\n");
        client.ask("set foo 0 0 7\r\nfoo bab\r\n", FAILED);
        client.ask("set foo 0 0 6\r\nfoo barx", "CLIENT_ERROR bad command line termination\r\n");
        client.ask("set foo 0 0 7 noreply\r\nfoo bar\r\n", STORED);
        client.ask("set foo 0 0 2\r\nhi\r\n", STORED);
        client.ask("mg foo v\r\n", "VA 2\r\nhi\r\n");
        for (user, password) in [("baaaz", "quux"), ("colon", "a:b")] {
            let mut other = server.connect();
            other.ask(
                format!("{}get foo\r\n", login(user, password)),
                format!("{STORED}VALUE foo 0 2\r\nhi\r\nEND\r\n"),
            );
        }
        assert_eq!(client.stat("auth_cmds").as_deref(), Some("4"));
        assert_eq!(client.stat("auth_errors").as_deref(), Some("1"));
    }
}

/// Users come and go a thousand times while clients log in without a break: who is in the file at any
/// time always gets in, who is not never does.
#[test]
fn a_thousand_reloads_under_login_load() {
    let _turn = alone();
    let reloads = sized("NUTHATCH_RELOADS", 1000);
    let (_dir, file, server) = guarded("stable:word\n", &["-t", "2", "-o", "login_delay=0"]);
    let (is_done, logins) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for index in 0..3 {
            let (server, is_done, logins) = (&server, &is_done, &logins);
            scope.spawn(move || {
                while !is_done.load(Relaxed) {
                    let mut client = server.connect();
                    if index == 0 {
                        client.ask(login("stable", "wrong"), FAILED);
                        client.ask(login("never", "word"), FAILED);
                    }
                    client.ask(login("stable", "word"), STORED);
                    logins.fetch_add(1, Relaxed);
                }
            });
        }
        let beside = format!("{file}.new");
        for number in 0..reloads {
            let text = match number % 4 {
                // Not to be taken: the next one is.
                3 => "stable:word\nbroken".to_owned(),
                _ => format!("stable:word\nuser{number}:word{number}\n"),
            };
            // In place or all at once, told by a signal or found out.
            if number % 2 == 0 {
                fs::write(&beside, text)
                    .and_then(|()| fs::rename(&beside, &file))
                    .expect("written");
            } else {
                fs::write(&file, text).expect("written");
            }
            if number % 3 != 0 {
                server.signal(Signal::SIGHUP);
            }
            if number % 4 != 3 {
                let mut client = server.connect();
                wait_for("the new user", PATIENCE, || {
                    client.send(login(&format!("user{number}"), &format!("word{number}")));
                    (client.line() == "STORED").then_some(())
                });
            }
        }
        is_done.store(true, Relaxed);
    });
    let log = server.log();
    let count = log.matches(" again").count();
    say(&format!("{count} reloads beside {} logins", logins.load(Relaxed)));
    assert!(count >= reloads * 3 / 4, "{count} reloads");
    assert!(log.contains("has a malformed entry"), "the broken file was looked at");
    assert!(logins.load(Relaxed) > 100);
}

/// A file that changes is read without being asked to, and a bad one changes nothing (issue of a
/// half-written file included).
#[test]
fn a_changed_file_is_read() {
    let _turn = together();
    let (_dir, file, server) = guarded("foo:bar\n", &[]);
    let mut client = server.connect();
    client.ask(login("foo", "baz"), FAILED);
    fs::write(&file, "foo:baz\n").expect("written");
    client.ask(login("foo", "baz"), STORED);
    fs::write(&file, "nobody\n").expect("written");
    server.signal(Signal::SIGHUP);
    wait_for("the complaint", PATIENCE, || {
        server.log().contains("stay as they were").then_some(())
    });
    server.connect().ask(login("foo", "baz"), STORED);
    // Who is logged in stays.
    fs::write(&file, "other:word\n").expect("written");
    server.connect().ask(login("other", "word"), STORED);
    client.ask("get a\r\n", "END\r\n");
}

/// Failures beyond the first ten are answered one in a delay; who knows the password does not wait, and
/// a client that leaves does not leave its verdict to the next.
#[test]
fn who_guesses_waits() {
    let _turn = together();
    let (_dir, _file, server) = guarded("foo:bar\n", &["-t", "1", "-o", "login_delay=300"]);
    let mut client = server.connect();
    let start = moment();
    for _ in 0..10 {
        client.ask(login("foo", "wrong"), FAILED);
    }
    assert!(moment() - start < Duration::from_millis(300));
    let start = moment();
    let mut others: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for other in &mut others {
        other.send(login("foo", "wrong"));
    }
    server.connect().ask(login("foo", "bar"), STORED);
    assert!(moment() - start < Duration::from_millis(300), "who knows it does not wait");
    drop(others.pop());
    // In the place of the one that has left.
    let mut next = server.connect();
    for other in &mut others {
        other.expect(FAILED);
    }
    // The forgiving goes on meanwhile, so that less than two whole delays are certain.
    assert!(moment() - start > Duration::from_millis(300));
    next.ask("get a\r\n", "CLIENT_ERROR unauthenticated\r\n");
    next.ask(login("foo", "bar"), STORED);
    let log = server.log();
    assert!(log.contains("a login from 127.0.0.1 was refused"), "{log}");
}

/// The end of the server does not wait for verdicts.
#[test]
fn stopping_amid_a_login() {
    let _turn = together();
    let (_dir, _file, mut server) = guarded("foo:bar\n", &["-o", "login_delay=60000"]);
    let mut client = server.connect();
    (0..11).for_each(|_| client.send(login("foo", "wrong")));
    (0..10).for_each(|_| client.expect(FAILED));
    let start = moment();
    server.signal(Signal::SIGTERM);
    client.expect(FAILED);
    client.expect_closed();
    assert_eq!(server.exit_code(), Some(0));
    assert!(moment() - start < Duration::from_secs(4));
}

#[test]
fn over_a_unix_socket() {
    let _turn = together();
    let dir = Scratch::new();
    let file = dir.path("users");
    fs::write(&file, "foo:bar:read\n").expect("scratch file");
    let server = Launch::tcp(&["-Y", &file.display().to_string()]).unix().start();
    let mut client = server.connect();
    client.ask(login("foo", "wrong"), FAILED);
    client.ask(login("foo", "bar"), STORED);
    client.ask("set a 0 0 1\r\nx\r\n", "CLIENT_ERROR permission denied\r\n");
    client.ask("get a\r\n", "END\r\n");
    assert!(server.log().contains("a login from a unix socket was refused"));
}

/// `-S` with the file that memcached's own builds read.
#[test]
fn the_password_file_of_the_environment() {
    let _turn = together();
    let dir = Scratch::new();
    let path = dir.path("pwdb");
    let file = path.display().to_string();
    let launch = Launch::tcp(&["-S"]).env("MEMCACHED_SASL_PWDB", &file);
    let server = launch.env("SASL_CONF_PATH", "/nowhere").start();
    let mut client = server.connect();
    let host = nix::unistd::gethostname().expect("a name").to_string_lossy().into_owned();
    let plain = |user: &str, word: &str| packet(0x21, "PLAIN", format!("\0{user}\0{word}"));
    let refused = token(0x21, 0x20, "Auth failure.");
    client.ask(plain("foo", "bar"), &refused);
    fs::write(&path, format!("foo:bar:anything\nhosted@{host}:word\n")).expect("written");
    client.ask(plain("hosted", "word"), token(0x21, 0, "Authenticated"));
    client.ask(plain(&format!("foo@{host}"), "bar"), token(0x21, 0, "Authenticated"));
    client.ask(packet(0x0a, "", ""), token(0x0a, 0, ""));
    assert!(server.log().contains("SASL_CONF_PATH is not used"));
}

/// Who shows a certificate that the file names is let in by it, and may do what the file says; who shows
/// another one, or none, may log in with a password.
#[test]
fn certificates_stand_for_a_login() {
    let _turn = together();
    let authority = Authority::new();
    let dir = Scratch::new();
    let file = dir.path("users");
    fs::write(&file, "app.example:$cert:read\nfoo:bar\n").expect("scratch file");
    let users = format!("user_file={}", file.display());
    let server = authority.serve(&["-t", "1", "-o", "ssl_verify_mode=1", "-o", &users]);
    let named = authority.issue("app.example");
    let other = authority.issue("other.example");
    for version in VERSIONS {
        let client = |own| connect(server.port(), &authority.config(version, own)).expect("good");
        let mut reader = client(Some(&named));
        reader.ask("get a\r\n", "END\r\n");
        reader.ask("set a 0 0 1\r\nx\r\nmn\r\n", "CLIENT_ERROR permission denied\r\nMN\r\n");
        for own in [Some(&other), None] {
            let mut client = client(own);
            client.ask("get a\r\n", "CLIENT_ERROR unauthenticated\r\n");
            client.ask(login("app.example", "$cert"), FAILED);
            client.ask(login("foo", "bar"), STORED);
            client.ask("set a 0 0 1\r\nx\r\ndelete a\r\n", "STORED\r\nDELETED\r\n");
        }
    }
    // Who is taken out of the file is not let in any more.
    fs::write(&file, "foo:bar\n").expect("written");
    server.signal(Signal::SIGHUP);
    let config = authority.config(VERSIONS[0], Some(&named));
    wait_for("the new users", PATIENCE, || {
        let mut client = connect(server.port(), &config).expect("good");
        client.send("get a\r\n");
        (client.line() == "CLIENT_ERROR unauthenticated").then_some(())
    });
}

/// A line that never ends costs nothing before a login either.
#[test]
fn endless_lines_before_a_login() {
    let _turn = alone();
    let (_dir, _file, server) = guarded("foo:bar\n", &["-t", "1"]);
    server.connect().ask("get a\r\n", "CLIENT_ERROR unauthenticated\r\n");
    let before = server.rss_bytes();
    let keys = "key ".repeat(1 << 16);
    let mut client = server.connect();
    client.send("get ");
    let limit = moment() + PATIENCE;
    let mut sent = 0;
    while sent < 1 << 30 && moment() < limit {
        match client.send_some(keys.as_bytes(), Duration::from_secs(1)) {
            0 => break,
            count => sent += count,
        }
    }
    assert!(sent < 8 << 20, "{sent} bytes were taken");
    assert!(server.rss_bytes() < before + (2 << 20));
    server.connect().ask(login("foo", "bar"), STORED);
}

/// A check by argon2id takes its memory once, however many there are.
#[test]
fn checks_do_not_add_up() {
    let _turn = alone();
    // `word`, with 19 MiB.
    let line = nuthatch::auth::entry("slow", "word", nuthatch::auth::Written::Argon2id, None);
    let (_dir, _file, server) =
        guarded(&(line.expect("a line") + "\n"), &["-t", "1", "-o", "login_delay=0"]);
    let mut client = server.connect();
    client.ask(login("slow", "wrong"), FAILED);
    let once = server.rss_bytes();
    for number in 0..20 {
        client.ask(login("slow", &format!("wrong{number}")), FAILED);
    }
    assert!(server.rss_bytes() < once + (4 << 20), "{once} to {}", server.rss_bytes());
    assert!(once < 64 << 20, "{once}");
    client.ask(login("slow", "word"), STORED);
}

/// What must not be found anywhere; each once, in the place that it is for.
const SECRETS: [&str; 5] =
    ["iN-tHe-fIlE-8264", "iN-nO-fIlE-7319", "aS-a-nAmE-5590", "iN-a-sEt-4417", "bY-sAsL-1288"];

/// No password is in the log, the statistics or the title of the process, nor in its memory once a
/// login is over; with TLS neither.
#[test]
fn passwords_are_nowhere_to_be_seen() {
    let _turn = alone();
    let authority = Authority::new();
    let dir = Scratch::new();
    let file = dir.path("users");
    fs::write(&file, format!("foo:{}\nsasl:{}\n", SECRETS[0], SECRETS[4])).expect("scratch file");
    let users = format!("user_file={},login_delay=0", file.display());
    let args = ["-r", "-vvv", "-t", "1", "-o", &users];
    let server = Server::start(&args);
    look_for_passwords(&server, &|| server.connect());
    let server = authority.serve(&args);
    for version in VERSIONS {
        let config = authority.config(version, None);
        look_for_passwords(&server, &|| connect(server.port(), &config).expect("good"));
    }
}

fn look_for_passwords(server: &Server, connect: &dyn Fn() -> Client) {
    let [in_file, in_no_file, as_name, in_set, by_sasl] = SECRETS;
    let mut client = connect();
    for byte in login("foo", in_no_file).bytes() {
        client.send([byte]);
    }
    client.expect(FAILED);
    client.ask(login(as_name, in_no_file), FAILED);
    // A password in the wrong place.
    client.ask(format!("foo {in_set}\r\n"), "CLIENT_ERROR unauthenticated\r\n");
    client.ask(format!("{}get a\r\n", login("foo", in_file)), format!("{STORED}END\r\n"));
    let mut packets = connect();
    let plain = |word: &str| packet(0x21, "PLAIN", format!("\0sasl\0{word}"));
    packets.ask(plain(in_no_file), token(0x21, 0x20, "Auth failure."));
    packets.ask(plain(by_sasl), token(0x21, 0, "Authenticated"));
    packets.ask(packet(0x0a, "", ""), token(0x0a, 0, ""));
    // One that goes away amid its login.
    let mut gone = connect();
    let unfinished = login("foo", in_no_file);
    gone.send(&unfinished[..unfinished.len() - 2]);
    // What others send meanwhile goes through the same buffers.
    client.ask("get a\r\n", "END\r\n");
    drop(gone);
    client.await_stat("curr_connections", |count| count == 2);
    let statistics: String = ["", " settings", " conns"]
        .iter()
        .flat_map(|group| {
            client.send(format!("stats{group}\r\n"));
            client.lines_until("END")
        })
        .collect();
    let file = |name| fs::read(format!("/proc/{}/{name}", server.pid())).expect("alive");
    let title = ["cmdline", "comm"].map(file).concat();
    const MARKER: &str = "mArKeR-of-memory-3377";
    client.ask(format!("set marker 0 0 {}\r\n{MARKER}\r\n", MARKER.len()), STORED);
    let memory = memory_of(server);
    assert!(memory.as_ref().is_none_or(|memory| contains(memory, MARKER)), "it is the memory");
    let log = server.log();
    for secret in SECRETS {
        for (place, text) in
            [("log", log.as_bytes()), ("statistics", statistics.as_bytes()), ("title", &title)]
        {
            assert!(!contains(text, secret), "{secret} is in the {place}");
        }
        assert!(
            !memory.as_ref().is_some_and(|memory| contains(memory, secret)),
            "{secret} is in memory"
        );
    }
}

/// With secrets, and without `-r`, the memory of the process is nobody's business.
#[test]
fn no_core_is_written() {
    let _turn = together();
    let (_dir, _file, server) = guarded("foo:bar\n", &[]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).expect("alive");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("there");
    let fields: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(fields[4..6], ["0", "0"], "{core}");
    if !Uid::effective().is_root() {
        File::open(format!("/proc/{}/mem", server.pid())).expect_err("it is not ours to read");
    }
}

/// All memory of the process that can be written to. None: this system does not let it be read.
fn memory_of(server: &Server) -> Option<Vec<u8>> {
    let pid = server.pid();
    let Ok(mut file) = File::open(format!("/proc/{pid}/mem")) else {
        say("the memory of another process cannot be read here: not searched for passwords");
        return None;
    };
    let pagemap = format!("/proc/{pid}/pagemap");
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("alive");
    let mut memory = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let (start, end) = range.expect("a range");
        let address = |text| u64::from_str_radix(text, 16).expect("an address");
        let (start, end) = (address(start), address(end));
        read_resident(&mut file, Path::new(&pagemap), start, end, &mut memory);
    }
    Some(memory)
}

/// Appends the pages from `start` to `end` that are there: reading the others would make them.
fn read_resident(file: &mut File, pagemap: &Path, start: u64, end: u64, into: &mut Vec<u8>) {
    const PAGE: u64 = 4096;
    const PRESENT: u8 = 0x80;
    let mut entries = vec![0; ((end - start) / PAGE * 8) as usize];
    let mut map = File::open(pagemap).expect("the process is ours");
    map.seek(SeekFrom::Start(start / PAGE * 8)).expect("seek");
    map.read_exact(&mut entries).expect("pagemap");
    for (index, entry) in entries.chunks_exact(8).enumerate() {
        if entry[7] & PRESENT != 0 {
            let mut page = [0; PAGE as usize];
            let address = start + index as u64 * PAGE;
            if file.seek(SeekFrom::Start(address)).and_then(|_| file.read_exact(&mut page)).is_ok()
            {
                into.extend_from_slice(&page);
            }
        }
    }
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    memchr::memmem::find(haystack, needle.as_bytes()).is_some()
}
