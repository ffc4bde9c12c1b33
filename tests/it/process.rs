//! The process: how it starts, where it listens, what it leaves, how it ends.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use crate::client::{Client, Received};
use crate::harness::{Launch, PATIENCE, Program, Scratch, Server, moment, together, wait_for};

/// Runs the program to its end.
#[track_caller]
fn run(args: &[&str]) -> Output {
    run_as(&Program::target().path, args)
}

#[track_caller]
fn run_as(program: &Path, args: &[&str]) -> Output {
    let mut child = Command::new(program)
        .args(args)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program runs");
    let end = moment() + PATIENCE;
    while child.try_wait().expect("wait").is_none() {
        if moment() > end {
            let _ = child.kill();
            panic!("{args:?} went on to serve");
        }
        std::thread::yield_now();
    }
    child.wait_with_output().expect("output")
}

#[track_caller]
fn check_refused(args: &[&str], code: i32, complaint: &str) {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(text.contains(complaint), "{args:?}: no {complaint:?} in {text:?}");
    assert!(!text.contains("panicked"), "{text}");
}

/// SIGTERM and SIGINT end it with code 0, soon; so does SIGUSR1, which says so (options, section 6).
#[test]
fn signals_end_it() {
    let _turn = together();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1] {
        let mut server = Server::start(&[]);
        let mut idle = server.connect();
        idle.ask("get a\r\n", "END\r\n");
        let start = moment();
        server.signal(signal);
        assert_eq!(server.exit_code(), Some(0), "{signal}");
        assert!(start.elapsed() < Duration::from_secs(3), "{signal} took {:?}", start.elapsed());
        idle.expect_closed();
        let said = server.log().contains("Gracefully stopping");
        assert_eq!(said, signal == Signal::SIGUSR1, "{}", server.log());
    }
}

/// What has been received before the signal is answered; then the connection closes.
#[test]
fn what_was_received_is_answered() {
    let _turn = together();
    let mut server = Launch::tcp(&["-t", "1"]).unix().start();
    let mut client = server.connect();
    client.ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    client.send("get a\r\n".repeat(500));
    client.await_read();
    server.signal(Signal::SIGTERM);
    client.expect("VALUE a 0 1\r\nx\r\nEND\r\n".repeat(500));
    client.expect_closed();
    assert_eq!(server.exit_code(), Some(0));
}

/// A client that does not take its answers, or is in the middle of a set, holds nothing up for long.
#[test]
fn stuck_clients_do_not_hold_the_end_up() {
    let _turn = together();
    let mut server = Server::start(&["-t", "1"]);
    let mut midway = server.connect();
    midway.ask("set big 0 0 1000000\r\n", "");
    midway.send(vec![b'b'; 1_000_000]);
    midway.ask("\r\n", "STORED\r\n");
    midway.send("set half 0 0 10\r\nabc");
    let mut stuck = Client::tcp_narrow(server.port());
    stuck.send(format!("get {}\r\n", "big ".repeat(50)));
    stuck.take(1000);
    let start = moment();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(9), "took {:?}", start.elapsed());
}

/// `-k` where hardly anything may be locked: by who may nevertheless, or not at all, and the log says so. The server
/// starts in either case.
#[test]
fn memory_that_may_not_be_locked() {
    let _turn = together();
    let server = Launch::tcp(&["-k", "-t", "2"]).locked_kib(64).start();
    server.assert_serves();
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("a line");
    let locks = locked.trim() != "0 kB";
    assert_ne!(locks, server.log().contains("nothing is locked"), "{locked}: {}", server.log());
}

/// SIGHUP and SIGPIPE do no harm.
#[test]
fn other_signals_do_no_harm() {
    let _turn = together();
    let server = Server::start(&[]);
    let mut client = server.connect();
    for signal in [Signal::SIGHUP, Signal::SIGPIPE, Signal::SIGHUP] {
        server.signal(signal);
        client.ask("get a\r\n", "END\r\n");
    }
    server.assert_serves();
}

/// `shutdown` with `-A` ends the process with code 0, in both manners.
#[test]
fn shutdown_command_ends_it() {
    let _turn = together();
    for command in ["shutdown", "shutdown graceful", "shutdown g"] {
        let mut server = Server::start(&["-A"]);
        let mut client = server.connect();
        client.send(format!("{command}\r\n"));
        client.expect_closed();
        assert_eq!(server.exit_code(), Some(0), "{command}");
        let said = server.log().contains("Gracefully stopping");
        assert_eq!(said, command != "shutdown", "{command}: {}", server.log());
    }
}

/// `-s` and `-a`: the socket has the permissions asked for, TCP stays closed, a stale file does not
/// hinder the next start.
#[test]
fn unix_socket() {
    let _turn = together();
    let dir = Scratch::new();
    let socket = dir.path("s");
    let path = socket.to_str().expect("text");
    for (mask, wanted) in [(None, 0o700), (Some("0777"), 0o777), (Some("600"), 0o600)] {
        let mut command = Command::new(Program::target().path);
        command.args(["-s", path]).args(mask.map(|mask| ["-a", mask]).iter().flatten());
        let mut child = as_root(&mut command).spawn().expect("runs");
        let mut client = wait_for("the socket", PATIENCE, || Client::try_unix(&socket));
        client.ask("get a\r\n", "END\r\n");
        let mode = fs::metadata(&socket).expect("socket file").permissions().mode() & 0o777;
        assert_eq!(mode, wanted, "{mode:o}");
        // Killed, so that the file stays behind for the next round.
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert!(Client::try_unix(&socket).is_none());
    }
}

/// `-d` and `-P`: the parent ends with 0, the pid file names the daemon and goes away with it.
#[test]
fn daemon_and_pid_file() {
    let _turn = together();
    let dir = Scratch::new();
    let (socket, pid_file) = (dir.path("s"), dir.path("pid"));
    let mut command = Command::new(Program::target().path);
    command.args(["-d", "-s"]).arg(&socket).arg("-P").arg(&pid_file);
    let status = as_root(&mut command).status().expect("runs");
    assert_eq!(status.code(), Some(0));
    let pid = wait_for("the pid file", PATIENCE, || {
        fs::read_to_string(&pid_file).ok()?.trim().parse().ok().map(Pid::from_raw)
    });
    let mut client = wait_for("the socket", PATIENCE, || Client::try_unix(&socket));
    assert_eq!(client.stat("pid"), Some(pid.to_string()));
    let directory = fs::read_link(format!("/proc/{pid}/cwd")).expect("alive");
    assert_eq!(directory, Path::new("/"));
    assert_eq!(nix::unistd::getsid(Some(pid)), Ok(pid), "a session of its own");
    kill(pid, Signal::SIGTERM).expect("signal");
    wait_for("the daemon's end", PATIENCE, || (kill(pid, None) == Err(Errno::ESRCH)).then_some(()));
    assert!(!pid_file.exists(), "the pid file is left");
}

/// `-P` without `-d`: written once the sockets are open, and left when it ends.
#[test]
fn pid_file_of_a_process_in_the_foreground() {
    let _turn = together();
    let dir = Scratch::new();
    let pid_file = dir.path("pid");
    let mut server = Server::start(&["-P", pid_file.to_str().expect("text")]);
    let read = || fs::read_to_string(&pid_file).ok().filter(|text| !text.is_empty());
    let text = wait_for("the pid file", PATIENCE, read);
    assert_eq!(text.trim(), server.pid().to_string());
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), Some(0));
    assert!(pid_file.exists());
}

/// A pid file that cannot be written is no reason not to serve.
#[test]
fn pid_file_that_cannot_be_written() {
    let _turn = together();
    let server = Server::start(&["-P", "/nonexistent/dir/pid"]);
    server.assert_serves();
    wait_for("the warning", PATIENCE, || server.log().contains("pid file").then_some(()));
}

/// Lines of a port file as family and port.
fn ports(path: &Path) -> Vec<(String, u16)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let pair = |line: &str| {
        let (family, port) = line.split_once(": ")?;
        Some((family.to_owned(), port.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// `-l` with several addresses, each with its own port or that of `-p`; all are in the port file.
#[test]
fn several_addresses() {
    let _turn = together();
    for list in [
        &["-l", "127.0.0.1,127.0.0.2,127.0.0.3"][..],
        &["-l", "127.0.0.1;127.0.0.2;127.0.0.3"],
        &["-l", "127.0.0.1", "-l", "127.0.0.2", "-l", "127.0.0.3"],
    ] {
        let server = Launch::tcp(list).own_addresses().start();
        let ports = ports(&server.path("ports"));
        assert_eq!(ports.len(), 3, "{list:?}: {ports:?}");
        Client::tcp(("127.0.0.1", ports[0].1)).ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
        let hosts = ["127.0.0.2", "127.0.0.3"];
        for (host, (_, port)) in hosts.iter().zip(&ports[1..]) {
            Client::tcp((*host, *port)).ask("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
        }
    }
}

/// An address may bring its own port.
#[test]
fn address_with_a_port() {
    let _turn = together();
    // A port that is free now; nobody else takes ports of 127.0.0.9.
    let port = Launch::tcp(&["-l", "127.0.0.9"]).own_addresses().start().port();
    let address = format!("127.0.0.9:{port}");
    let server = Launch::tcp(&["-l", &address, "-l", "127.0.0.1"]).own_addresses().start();
    Client::tcp(("127.0.0.9", port)).ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    let other = ports(&server.path("ports"))[1].1;
    Client::tcp(("127.0.0.1", other)).ask("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
}

/// IPv6 addresses, where the machine has them.
#[test]
fn ipv6() {
    let _turn = together();
    if std::net::TcpListener::bind(("::1", 0)).is_err() {
        crate::harness::say("SKIPPED ipv6: this machine has no ::1");
        return;
    }
    for list in ["127.0.0.1,[::1]", "127.0.0.1,::1"] {
        let server = Launch::tcp(&["-l", list]).own_addresses().start();
        let ports = ports(&server.path("ports"));
        let six =
            ports.iter().find(|(family, _)| family == "TCP INET6").expect("a line for IPv6").1;
        Client::tcp(("::1", six)).ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
        server.connect().ask("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
    }
}

/// Without `-l` nobody but this machine can connect.
#[test]
fn loopback_is_the_default() {
    let _turn = together();
    let server = Launch::tcp(&[]).own_addresses().start();
    server.assert_serves();
    let text = fs::read_to_string(format!("/proc/{}/net/tcp", server.pid())).expect("sockets");
    let listening: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(|local| local.ends_with(&format!(":{:04X}", server.port())))
        .collect();
    assert!(!listening.is_empty());
    assert!(listening.iter().all(|local| local.starts_with("0100007F:")), "{listening:?}");
    assert!(server.log().contains("-l"), "the log tells how to open it: {}", server.log());
}

/// A port in use, an address that is not ours, a socket that cannot be made: 71 and a reason.
#[test]
fn what_cannot_be_bound_is_told() {
    let _turn = together();
    let server = Server::start(&[]);
    let port = server.port().to_string();
    check_refused(&["-l", "127.0.0.1", "-p", &port], 71, "Address already in use");
    check_refused(&["-l", "203.0.113.7", "-p", "-1"], 71, "203.0.113.7");
    check_refused(&["-l", "no.such.host.invalid", "-p", "-1"], 71, "no.such.host.invalid");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
    let udp_port = udp.local_addr().expect("bound").port().to_string();
    check_refused(&["-l", "127.0.0.1", "-p", "-1", "-U", &udp_port], 71, "Address already in use");
    check_refused(&["-s", "/nonexistent/dir/sock"], 71, "/nonexistent/dir/sock");
    let long = format!("/{}", "s".repeat(200));
    check_refused(&["-s", &long], 71, "sss");
    server.assert_serves();
}

/// Other machines are not to be offered UDP by accident; both kinds of ports are in the port file.
#[test]
fn udp_beyond_loopback_is_asked_for() {
    let _turn = together();
    for host in ["0.0.0.0", "*"] {
        check_refused(&["-l", host, "-p", "-1", "-U", "-1"], 64, "-o udp_public");
    }
    let args = ["-l", "0.0.0.0", "-U", "-1", "-o", "udp_public"];
    let server = Launch::tcp(&args).own_addresses().start();
    let ports = ports(&server.path("ports"));
    let families: Vec<&str> = ports.iter().map(|(family, _)| family.as_str()).collect();
    assert_eq!(families, ["TCP INET", "UDP INET"]);
    assert!(server.log().contains("(UDP)"), "{}", server.log());
    server.assert_serves();
}

/// Wrong command lines: exit code and complaint of memcached (options, sections 1 to 3 and 7).
#[test]
fn wrong_command_lines_are_refused() {
    let _turn = together();
    for (args, code, complaint) in [
        (&["-c", "0"][..], 1, "Maximum connections must be greater than 0"),
        (&["-t", "0"], 1, "Number of threads must be greater than 0"),
        (&["-f", "1.0"], 1, "Factor must be greater than 1"),
        (&["-n", "0"], 1, "Chunk size must be greater than 0"),
        (&["-R", "0"], 1, "Number of requests per event must be greater than 0"),
        (&["-p", "65536"], 64, "Invalid port number"),
        (&["-I", "1000"], 64, "Item max size cannot be less than 1024 bytes."),
        (&["-I", "64m"], 64, "Cannot set item size limit higher than 1/2 of memory max."),
        (&["-m", "4096", "-I", "1025m"], 64, "Cannot set item size limit higher than a gigabyte."),
        (&["-m", "0"], 64, ""),
        (&["-m", "lots"], 64, ""),
        (&["-B", "smoke"], 64, "Invalid value for binding protocol"),
        (&["-S", "-B", "ascii"], 64, "You cannot allow the ASCII protocol while using SASL."),
        (&["-Y", "/nonexistent"], 1, "Could not open authfile [/nonexistent] for reading"),
        (&["-o", "user_file=/dev/null"], 1, "error not a regular file"),
        (&["-Z"], 64, "certificate chain"),
        (&["-e", "/nonexistent"], 64, ""),
        (&["-o", "ext_path=/nonexistent:1m"], 64, "ext_path"),
        (&["-o", "proxy_config=/nonexistent"], 64, "proxy"),
        (&["-o", "nosuchoption"], 1, "nosuchoption"),
        (&["-o", "hashpower=11"], 1, "Initial hashtable multiplier of 11 is too low"),
        (&["-o", "slab_automove=3"], 1, "slab_automove must be between 0 and 2"),
        (&["--nosuchoption"], 1, "nosuchoption"),
        (&["-y"], 1, "-y"),
        (&["-m"], 1, "-m"),
    ] {
        check_refused(args, code, complaint);
    }
    if Uid::effective().is_root() {
        check_refused(&["-u", "nosuchuserhere"], 67, "can't find the user nosuchuserhere");
    }
}

/// Options that are accepted without effect do not hinder a start, nor does a stray word.
#[test]
fn options_without_effect_are_accepted() {
    let _turn = together();
    let args = [
        "-o",
        "modern,no_hashexpand,hash_algorithm=murmur3,lru_crawler,lru_maintainer",
        "-o",
        "relaxed_privileges,tail_repair_time=60,slab_reassign,slab_automove",
        "-U",
        "0",
        "-k",
        "-L",
        "-D",
        ":",
        "-X",
        "-W",
        "-B",
        "auto",
        "-r",
        "stray",
        "-vv",
        "-N",
        "1",
    ];
    Server::start(&args).assert_serves();
}

/// `-V` and `-h`, also under the name of memcached, which scripts and test harnesses look for.
#[test]
fn version_and_help() {
    let _turn = together();
    let output = run(&["-V"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim_end(),
        concat!("nuthatch ", env!("CARGO_PKG_VERSION"))
    );
    let dir = Scratch::new();
    for name in ["memcached", "memcached-debug"] {
        let link = dir.path(name);
        symlink(Program::target().path, &link).expect("link");
        for option in ["-V", "-h", "--version", "--help"] {
            let output = run_as(&link, &[option]);
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.starts_with("memcached 1.6.45"), "{name} {option}: {text}");
            assert_eq!(output.status.code(), Some(0));
        }
    }
    let help = String::from_utf8_lossy(&run(&["-h"]).stdout).into_owned();
    for present in ["unix-socket", "enable-sasl", "enable-ssl"] {
        assert!(help.contains(present), "-h does not name {present}: {help}");
    }
    for absent in ["ext_path", "proxy_config"] {
        assert!(!help.to_lowercase().contains(absent), "-h names {absent}, which is not there");
    }
}

/// `-p 0` with `-s` has no port; `-p` with a number listens there.
#[test]
fn port_of_choice() {
    let _turn = together();
    let free = Server::start(&[]).port().to_string();
    let mut command = Command::new(Program::target().path);
    let mut child = as_root(command.args(["-l", "127.0.0.1", "-p", &free])).spawn().expect("runs");
    let port: u16 = free.parse().expect("a port");
    let mut client = wait_for("the port", PATIENCE, || Client::try_tcp(("127.0.0.1", port)).ok());
    client.ask("get a\r\n", "END\r\n");
    child.kill().expect("kill");
    child.wait().expect("wait");
}

/// The port file appears whole: who sees it can connect, and no half of it is left behind.
#[test]
fn port_file_appears_when_ready() {
    let _turn = together();
    for _ in 0..20 {
        let server = Server::start(&[]);
        let mut client = Client::tcp(("127.0.0.1", server.port()));
        client.ask("get a\r\n", "END\r\n");
        assert!(!server.path("ports.lck").exists());
    }
}

/// Connections that are open when it ends see a close, never a reset with answers outstanding.
#[test]
fn every_client_sees_the_end() {
    let _turn = together();
    let mut server = Server::start(&["-t", "4"]);
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.ask("get a\r\n", "END\r\n");
    }
    server.signal(Signal::SIGTERM);
    for client in &mut clients {
        assert_eq!(client.receive(PATIENCE), Received::Closed);
    }
    assert_eq!(server.exit_code(), Some(0));
}

/// A memcached that is root wants to be told so; ours takes the option too.
fn as_root(command: &mut Command) -> &mut Command {
    command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    if Uid::effective().is_root() {
        command.args(["-u", "root"]);
    }
    command
}
