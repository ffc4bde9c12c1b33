//! Who is let in, who is turned away, and what becomes of it when accept fails.

use super::*;
use crate::limits::ACCEPT_FAILURES_MAX;

#[test]
fn too_many_connections_are_told_so() {
    let server = Server::start(&Options { connections_max: 2, ..options() });
    let (mut first, second) = (server.connect(), server.connect());
    check(&mut first, b"get a\r\n", b"END\r\n");
    let mut third = server.connect();
    expect(&mut third, b"ERROR Too many open connections\r\n");
    expect_end(&mut third);
    assert_eq!(server.total(Counter::RejectedConnections), 1);
    assert_eq!(server.total(Counter::TotalConnections), 2);
    drop(second);
    server.until_open(1);
    check(&mut server.connect(), b"get a\r\n", b"END\r\n");
}

#[test]
fn accepting_is_suspended_without_maxconns_fast() {
    let options = Options { connections_max: 1, maxconns_fast: false, ..options() };
    let server = Server::start(&options);
    let mut first = server.connect();
    check(&mut first, b"get a\r\n", b"END\r\n");
    let mut second = server.connect();
    second.write_all(b"get a\r\n").expect("sent");
    server.until(|server| !server.shared.metrics.accepting.load(SeqCst));
    assert!(server.total(Counter::ListenDisabledNum) > 0);
    check(&mut first, b"get a\r\n", b"END\r\n");
    drop(first);
    expect(&mut second, b"END\r\n");
    server.until_open(1);
    drop(second);
    server.until_open(0);
    assert_eq!(server.total(Counter::RejectedConnections), 0);
}

/// Waits until nobody is connected, then lets `end` do with a client as it likes, as often as the address has
/// connections and once more.
#[track_caller]
fn check_seats(server: &Server, end: impl Fn(TcpStream)) {
    for _ in 0..3 {
        server.until_open(0);
        let mut clients = [server.connect(), server.connect()];
        clients.iter_mut().for_each(|client| check(client, b"get a\r\n", b"END\r\n"));
        let mut third = server.connect();
        expect(&mut third, b"ERROR Too many open connections from your address\r\n");
        expect_end(&mut third);
        clients.into_iter().for_each(&end);
    }
}

/// A seat is given back once, however a connection ends.
#[test]
fn an_address_has_so_many_connections_at_a_time() {
    let listen = vec![Listen { host: "127.0.0.1".to_owned(), ..Listen::default() }];
    for maxconns_fast in [true, false] {
        let options = Options {
            listen: listen.clone(),
            maxconns_per_address: 2,
            maxconns_fast,
            idle_timeout_secs: 3600,
            ..options()
        };
        let server = Server::start(&options);
        check_seats(&server, drop);
        check_seats(&server, |client| {
            let reset = socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
            reset.expect("closing resets it");
        });
        check_seats(&server, |mut client| {
            client.write_all(b"quit\r\n").expect("sent");
            expect_end(&mut client);
        });
        check_seats(&server, |mut client| {
            client.shutdown(Shutdown::Write).expect("half closed");
            expect_end(&mut client);
        });
        check_seats(&server, |mut client| {
            server.shared.clock.shift(3602);
            expect_end(&mut client);
        });
        assert_eq!(server.total(Counter::RejectedPerAddress), 5 * 3);
        assert_eq!(server.total(Counter::RejectedConnections), 0);
        server.stop();
    }
}

/// One `EMFILE`: the client is told so with the help of the reserve, which is there again for the next.
#[test]
fn clients_are_shed_one_by_one() {
    let options = options();
    let mut listeners = listener::bind(&options).expect("bound");
    let shed = vec![Errno::EMFILE; 1];
    listeners[0] = Listener::Faulty(shed.into(), Box::new(listeners.remove(0)));
    let server = Server::start_on(&options, listeners);
    let mut client = server.connect();
    expect(&mut client, b"ERROR Too many open connections\r\n");
    expect_end(&mut client);
    check(&mut server.connect(), b"get a\r\n", b"END\r\n");
    assert_eq!(server.total(Counter::RejectedConnections), 1);
    assert_eq!(server.total(Counter::ListenDisabledNum), 0);
}

/// `EMFILE` also with the reserve given up: accepting waits, and the client is served in the end.
#[test]
fn the_reserve_does_not_help() {
    let options = options();
    let mut listeners = listener::bind(&options).expect("bound");
    let faults = vec![Errno::EMFILE; 2 * 10];
    listeners[0] = Listener::Faulty(faults.into(), Box::new(listeners.remove(0)));
    let server = Server::start_on(&options, listeners);
    check(&mut server.connect(), b"get a\r\n", b"END\r\n");
    assert_eq!(server.total(Counter::ListenDisabledNum), 10);
    assert_eq!(server.total(Counter::RejectedConnections), 0);
}

/// Bad inputs, item 20: accept fails many times in a row, with each error that it can fail with, and
/// the client that waits is served all the same.
#[test]
fn accept_errors_in_a_row_item_20() {
    use Errno::{EBADMSG, ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EPROTO};

    for maxconns_fast in [true, false] {
        let options = Options { maxconns_fast, ..options() };
        let mut listeners = listener::bind(&options).expect("bound");
        let waits = [ENFILE, ENOBUFS, ENOMEM, EBADMSG];
        // Which is twice as often as accept is tried again at once.
        let goes_on = [ECONNABORTED, EINTR, EPERM, EPROTO].repeat(ACCEPT_FAILURES_MAX / 4 * 2);
        let mut faults = [waits.repeat(3), goes_on].concat();
        // With maxconns_fast this one turns a client away instead of waiting.
        faults.extend((!maxconns_fast).then_some(EMFILE));
        listeners[0] = Listener::Faulty(faults.into(), Box::new(listeners.remove(0)));
        let server = Server::start_on(&options, listeners);
        check(&mut server.connect(), b"get a\r\n", b"END\r\n");
        let suspended = server.total(Counter::ListenDisabledNum);
        assert_eq!(suspended, 12 + 2 + u64::from(!maxconns_fast), "waits once for each of those");
        assert!(server.total(Counter::TimeInListenDisabledUs) >= 12 * 1000);
        server.stop();
    }
}
