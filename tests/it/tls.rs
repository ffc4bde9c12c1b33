//! TLS over sockets: clients of both versions, certificates that are good and bad and change, bytes
//! that are no records.
#![forbid(unsafe_code)]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use nix::sys::signal::Signal;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};

use crate::authority::{Authority, VERSIONS, connect, session};
use crate::client::{Client, Received};
use crate::harness::{PATIENCE, Random, Server, alone, moment, say, together, wait_for};
use crate::stats_keys::assert_documented;
use crate::watch;

/// Bytes of resident memory that an idle connection with TLS may cost.
const IDLE_CONNECTION_BYTES: u64 = 6000;

/// One that has shaken hands.
#[track_caller]
pub fn client(server: &Server, config: &Arc<ClientConfig>) -> Client {
    connect(server.port(), config).expect("a good handshake")
}

/// A number of `stats`.
#[track_caller]
pub fn count(client: &mut Client, key: &str) -> u64 {
    client.stat(key).expect("a key of stats").parse().expect("a number")
}

/// Whether a client whose handshake is done as far as it knows gets an answer: with TLS 1.3 it learns that
/// it is refused when it reads.
fn gets_an_answer(mut client: Client) -> bool {
    client.send("get k\r\n");
    let ask = std::panic::AssertUnwindSafe(|| client.line() == "END");
    std::panic::catch_unwind(ask).unwrap_or(false)
}

#[test]
fn both_versions_are_spoken() {
    let _turn = together();
    let authority = Authority::new();
    let server = authority.serve(&["-t", "1", "-o", "ssl_session_cache,idle_timeout=3600"]);
    for version in VERSIONS {
        let mut client = client(&server, &authority.config(version, None));
        assert_eq!(client.tls().protocol_version(), Some(version.version));
        client.ask("set k 0 0 5\r\nhello\r\n", "STORED\r\n");
        client.ask("get k\r\n", "VALUE k 0 5\r\nhello\r\nEND\r\n");
        client.ask("mg k v\r\n", "VA 5\r\nhello\r\n");
        assert_documented(&mut client, &["left out", "own"]);
        client.ask("refresh_certs noreply\r\n", "OK\r\n");
        client.send("quit\r\n");
        client.expect_closed();
        assert!(client.was_told_the_end(), "the end is said before it comes");
        // What has come before a client's end is answered.
        let mut client = connect(server.port(), &authority.config(version, None)).expect("good");
        client.send("get k\r\n");
        client.end_records();
        client.expect("VALUE k 0 5\r\nhello\r\nEND\r\n");
        client.expect_closed();
    }
    let mut client = client(&server, &authority.config(&TLS13, None));
    // What is counted is what clients and server say, not how it is encrypted.
    let before = (count(&mut client, "bytes_read"), count(&mut client, "bytes_written"));
    client.ask("get k\r\n", "VALUE k 0 5\r\nhello\r\nEND\r\n");
    let read = count(&mut client, "bytes_read") - before.0;
    assert_eq!(read, 7 + 2 * 7, "a get and two stats");
}

#[test]
fn clients_certificates_by_listener() {
    let _turn = together();
    let authority = Authority::new();
    let own = authority.issue("client");
    let expired = authority.issue_until("expired", 2001);
    let strange = Authority::new().issue("client");
    let server = authority
        .launch(&["-t", "1", "-l", "127.0.0.1,btls:127.0.0.1:0,mtls:127.0.0.1:0,notls:127.0.0.1:0"])
        .own_addresses()
        .start();
    let ports = fs::read_to_string(server.path("ports")).expect("a file of ports");
    let ports: Vec<u16> =
        ports.lines().filter_map(|line| line.strip_prefix("TCP INET: ")?.parse().ok()).collect();
    let [default, without, with, plain] = ports[..] else { panic!("{ports:?}") };
    let mut plain = Client::tcp(("127.0.0.1", plain));
    let mut watcher = Client::tcp(("127.0.0.1", ports[3]));
    watcher.ask("watch connevents\r\n", "OK\r\n");
    let mut errors = 0;
    for version in VERSIONS {
        let tries = [None, Some(&own), Some(&expired), Some(&strange)];
        for (is_good, own) in [false, true, false, false].into_iter().zip(tries) {
            let config = authority.config(version, own);
            for (port, is_served) in [(default, true), (without, true), (with, is_good)] {
                let served = connect(port, &config).is_ok_and(gets_an_answer);
                assert_eq!(served, is_served, "{version:?} on {port} of {ports:?}");
                errors += u64::from(!is_served);
            }
        }
    }
    plain.await_stat("ssl_handshake_errors", |count| count == errors);
    assert_eq!(count(&mut plain, "ssl_proto_errors"), 0);
    let line = loop {
        let line = watch::line(&mut watcher);
        if line.starts_with("conntlserr fd=") {
            break line;
        }
    };
    assert!(line.contains(" msg=peer sent no certificates"), "{line}");
}

/// Asked for: none will do, a bad one will not. Required: as on a listener that requires it.
#[test]
fn verify_modes() {
    let _turn = together();
    let authority = Authority::new();
    let own = authority.issue("client");
    let strange = Authority::new().issue("client");
    for (mode, wanted) in [("1", [true, true, false]), ("2", [false, true, false])] {
        let server = authority.serve(&["-t", "1", "-o", &format!("ssl_verify_mode={mode}")]);
        for (own, is_served) in [None, Some(&own), Some(&strange)].into_iter().zip(wanted) {
            // 1.2, where a client knows at the end of the handshake.
            let connected = connect(server.port(), &authority.config(&TLS12, own));
            assert_eq!(connected.is_ok(), is_served, "mode {mode}");
        }
    }
}

#[test]
fn plain_text_and_tls_at_the_wrong_port() {
    let _turn = together();
    let authority = Authority::new();
    let server = authority.serve(&["-t", "1"]);
    let mut good = client(&server, &authority.config(&TLS13, None));
    let requests = [
        b"get k\r\n".repeat(20_000),
        b"get k\r\n".to_vec(),
        b"\x80\x0b\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    for request in &requests {
        let mut plain = server.connect();
        plain.send(request);
        let alert = plain.take(7);
        assert_eq!(alert[..3], *b"\x15\x03\x03", "an alert");
        plain.expect_closed();
    }
    assert_eq!(count(&mut good, "ssl_handshake_errors"), requests.len() as u64);
    let plain = Server::start(&["-t", "1"]);
    connect(plain.port(), &authority.config(&TLS13, None)).expect_err("no handshake");
    plain.assert_serves();
}

/// Bytes of the handshake and of records, one at a time, and halves of them.
#[test]
fn records_in_pieces() {
    let _turn = together();
    let authority = Authority::new();
    let server = authority.serve(&["-t", "1"]);
    for version in VERSIONS {
        let config = authority.config(version, None);
        let mut tls = session(&config);
        let mut raw = server.connect();
        let mut answer = Vec::new();
        // Each byte of the client's is a segment of its own.
        let flush = |tls: &mut rustls::ClientConnection, raw: &mut Client| {
            let mut bytes = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut bytes).expect("memory");
            }
            bytes.iter().for_each(|byte| raw.send([*byte]));
        };
        let hear = |tls: &mut rustls::ClientConnection, raw: &mut Client| {
            assert_eq!(raw.receive(PATIENCE), Received::Some);
            let bytes = raw.pending().to_vec();
            raw.consume(bytes.len());
            tls.read_tls(&mut bytes.as_slice()).expect("memory");
            tls.process_new_packets().expect("good records");
        };
        while tls.is_handshaking() {
            flush(&mut tls, &mut raw);
            if tls.is_handshaking() {
                hear(&mut tls, &mut raw);
            }
        }
        std::io::Write::write_all(&mut tls.writer(), b"version\r\n").expect("memory");
        flush(&mut tls, &mut raw);
        while !answer.ends_with(b"\r\n") {
            hear(&mut tls, &mut raw);
            let _none = std::io::Read::read_to_end(&mut tls.reader(), &mut answer);
        }
        assert!(answer.starts_with(b"VERSION "), "{version:?}");
        // Half a record, and nothing more.
        std::io::Write::write_all(&mut tls.writer(), &[b'x'; 1000]).expect("memory");
        let mut bytes = Vec::new();
        tls.write_tls(&mut bytes).expect("memory");
        raw.send(&bytes[..bytes.len() / 2]);
        server.signal(Signal::SIGHUP);
        let mut good = client(&server, &config);
        good.ask("get k\r\n", "END\r\n");
        // One record of a single byte each.
        b"get k\r\n".iter().for_each(|byte| good.send([*byte]));
        good.expect("END\r\n");
    }
}

#[test]
fn large_values_pipelines_and_slow_readers() {
    let _turn = together();
    let authority = Authority::new();
    let mut random = Random::new("tls");
    let value: Vec<u8> = (0..100_000).map(|_| b'a' + random.below(26) as u8).collect();
    for (wbuf, version) in [("1", &TLS13), ("16", &TLS12), ("16", &TLS13), ("1000", &TLS13)] {
        let args = ["-t", "1", "-m", "64", "-o", &format!("ssl_wbuf_size={wbuf}")];
        let server = authority.serve(&args);
        let mut client = client(&server, &authority.config(version, None));
        let set = [b"set big 0 0 100000\r\n", value.as_slice(), b"\r\n"].concat();
        client.ask(&set, "STORED\r\n");
        let got = [b"VALUE big 0 100000\r\n", value.as_slice(), b"\r\nEND\r\n"].concat();
        client.ask("get big\r\n", &got);
        // In one go, both ways.
        client.send(set.repeat(20));
        client.expect("STORED\r\n".repeat(20));
        client.ask("set k 0 0 5\r\nhello\r\n", "STORED\r\n");
        client.ask("get k\r\n".repeat(20_000), "VALUE k 0 5\r\nhello\r\nEND\r\n".repeat(20_000));
        // 20 MB that nobody reads at first, small answers among them.
        let mut slow = Client::tcp_narrow(server.port());
        slow.secure(session(&authority.config(version, None))).expect("a good handshake");
        slow.send("get big\r\nget k\r\n".repeat(200));
        client.ask("get k\r\n", "VALUE k 0 5\r\nhello\r\nEND\r\n");
        let small = b"VALUE k 0 5\r\nhello\r\nEND\r\n".as_slice();
        for _ in 0..200 {
            slow.expect([&got, small].concat());
        }
    }
}

#[test]
fn sessions_are_resumed_if_asked_for() {
    let _turn = together();
    let authority = Authority::new();
    for (args, is_resumed) in [(vec![], false), (vec!["-o", "ssl_session_cache"], true)] {
        let server = authority.serve(&[vec!["-t", "2"], args].concat());
        for version in VERSIONS {
            let config = authority.config(version, None);
            let kind = || {
                let mut client = client(&server, &config);
                // Tickets of 1.3 come with the first answer.
                client.ask("get k\r\n", "END\r\n");
                (client.tls().handshake_kind(), client.stat("ssl_new_sessions"))
            };
            let (first, before) = kind();
            assert_eq!(first, Some(HandshakeKind::Full));
            let (second, after) = kind();
            let resumed = if is_resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
            assert_eq!(second, Some(resumed), "{version:?}");
            assert_eq!((before.is_some(), before), (is_resumed, after));
        }
    }
}

/// A session that began where nobody asked for a certificate is worth nothing where one is required.
#[test]
fn sessions_do_not_go_round_certificates() {
    let _turn = together();
    let authority = Authority::new();
    let args = ["-t", "1", "-o", "ssl_session_cache", "-l", "btls:127.0.0.1:0,mtls:127.0.0.1:0"];
    let server = authority.launch(&args).own_addresses().start();
    let ports = fs::read_to_string(server.path("ports")).expect("a file of ports");
    let mut ports = ports.lines().filter_map(|line| line.strip_prefix("TCP INET: ")?.parse().ok());
    let (free, strict): (u16, u16) = (ports.next().expect("one"), ports.next().expect("two"));
    let config = authority.config(&TLS12, None);
    for _ in 0..2 {
        let mut client = connect(free, &config).expect("a good handshake");
        client.ask("get k\r\n", "END\r\n");
    }
    connect(strict, &config).expect_err("a certificate is required");
    let config = authority.config(&TLS13, None);
    let mut client = connect(free, &config).expect("a good handshake");
    client.ask("get k\r\n", "END\r\n");
    let client = connect(strict, &config).expect("the client does not know yet");
    assert_ne!(client.tls().handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(!gets_an_answer(client));
    let mut client = connect(free, &config).expect("a good handshake");
    client.ask("get k\r\n", "END\r\n");
    assert_eq!(count(&mut client, "ssl_handshake_errors"), 2);
}

#[test]
fn lowest_version() {
    let _turn = together();
    let authority = Authority::new();
    let server = authority.serve(&["-t", "1", "-o", "ssl_min_version=3"]);
    connect(server.port(), &authority.config(&TLS12, None)).expect_err("1.2 is too low");
    client(&server, &authority.config(&TLS13, None)).ask("get k\r\n", "END\r\n");
}

/// By command, by signal and by themselves: new connections see the new certificate, old ones go on, and
/// what is broken changes nothing.
#[test]
fn certificates_change() {
    let _turn = together();
    let authority = Authority::new();
    let server = authority.serve(&["-t", "2"]);
    let config = authority.config(&TLS13, None);
    let mut old = client(&server, &config);
    let shown = || {
        let client = client(&server, &config);
        client.tls().peer_certificates().expect("some")[0].clone()
    };
    let first = shown();
    let second = authority.issue("server").certificate;
    old.ask("refresh_certs\r\n", "OK\r\n");
    assert!(shown() == second && first != second);
    // A chain that is none.
    let chain = authority.path("server.pem");
    let good = fs::read(&chain).expect("there");
    fs::write(&chain, &good[..good.len() / 2]).expect("written");
    old.send("refresh_certs\r\n");
    let line = old.line();
    let wanted = format!("Error loading the certificate chain: {chain} : ");
    assert!(line.starts_with(&wanted), "{line}");
    server.signal(Signal::SIGHUP);
    wait_for("a line in the log", PATIENCE, || {
        (server.log().matches(&wanted).count() >= 2).then_some(())
    });
    assert!(shown() == second);
    // By signal.
    let third = authority.issue("server").certificate;
    server.signal(Signal::SIGHUP);
    wait_for("the third certificate", PATIENCE, || (shown() == third).then_some(()));
    // By itself.
    let fourth = authority.issue("server").certificate;
    wait_for("the fourth certificate", PATIENCE, || (shown() == fourth).then_some(()));
    old.ask("get k\r\n", "END\r\n");
    assert!(count(&mut old, "time_since_server_cert_refresh") < 10);
}

/// Certificates change a hundred times while clients come and go: none is refused.
#[test]
fn certificates_change_under_load() {
    let _turn = together();
    let authority = Authority::new();
    let server = authority.serve(&["-t", "2"]);
    let is_over = AtomicBool::new(false);
    let served = std::thread::scope(|scope| {
        let clients = VERSIONS.map(|version| {
            let config = authority.config(version, None);
            let (is_over, server) = (&is_over, &server);
            scope.spawn(move || {
                let mut served = 0;
                while !is_over.load(Relaxed) {
                    client(server, &config).ask("get k\r\n", "END\r\n");
                    served += 1;
                }
                served
            })
        });
        let mut admin = client(&server, &authority.config(&TLS13, None));
        for round in 0..100 {
            authority.issue("server");
            match round % 2 {
                0 => admin.ask("refresh_certs\r\n", "OK\r\n"),
                _ => server.signal(Signal::SIGHUP),
            }
        }
        is_over.store(true, Relaxed);
        clients.map(|client| client.join().expect("every client is served"))
    });
    say(&format!("tls: {served:?} connections while certificates changed"));
    assert!(served.iter().all(|count| *count > 0));
}

#[test]
fn starts_that_fail() {
    let _turn = together();
    let authority = Authority::new();
    authority.issue("other");
    let [chain, key, other] = ["server.pem", "server.key", "other.key"].map(|n| authority.path(n));
    for (options, message) in [
        (format!("ssl_key={key}"), "Error loading the certificate chain: (null) : ".to_owned()),
        (
            format!("ssl_chain_cert={chain},ssl_key={other}"),
            format!("Error loading the key: {other} : key values mismatch"),
        ),
        (
            format!("ssl_chain_cert={chain},ssl_key={key},ssl_ciphers=RC4"),
            "Error setting the provided cipher(s): RC4".to_owned(),
        ),
        (
            format!("ssl_chain_cert={chain},ssl_key={key},ssl_kernel_tls"),
            "Kernel TLS offload is not available".to_owned(),
        ),
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_nuthatch"))
            .args(["-Z", "-p", "-1", "-o", &options])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains(&message), "{said}");
        assert!(!said.contains("PRIVATE"), "{said}");
    }
}

/// The end of the server is told to clients whose handshake is done, and waits for nobody else.
#[test]
fn the_server_stops() {
    let _turn = together();
    let authority = Authority::new();
    let mut server = authority.serve(&["-t", "1"]);
    let mut good = client(&server, &authority.config(&TLS13, None));
    good.ask("get k\r\n", "END\r\n");
    let mut amid = server.connect();
    amid.send(b"\x16\x03\x01");
    let silent = server.connect();
    good.await_stat("curr_connections", |count| count == 3);
    let began = moment();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), Some(0));
    assert!(moment() - began < Duration::from_secs(4), "it waits for nobody");
    good.expect_closed();
    assert!(good.was_told_the_end());
    drop((amid, silent));
}

#[test]
fn idle_connections_cost_little() {
    let _turn = alone();
    let authority = Authority::new();
    let server = authority.serve(&["-t", "1", "-c", "2000"]);
    let config = authority.config(&TLS13, None);
    let open = || {
        let mut client = client(&server, &config);
        client.ask("get k\r\n", "END\r\n");
        client
    };
    let _warm: Vec<Client> = (0..100).map(|_| open()).collect();
    let before = server.rss_bytes();
    let idle: Vec<Client> = (0..500).map(|_| open()).collect();
    let each = server.rss_bytes().saturating_sub(before) / idle.len() as u64;
    say(&format!("tls: {each} bytes for each idle connection"));
    assert!(each <= IDLE_CONNECTION_BYTES, "{each} bytes each");
}
