//! Options, time, turns and the bounds on what waits.

use super::*;
use crate::limits::{
    COPY_VALUE_MAX, LARGE_VALUE_BYTES, OUTPUT_HIGH_WATER_BYTES, READ_BUF_BYTES, SMALL_READ_BYTES,
};

#[test]
fn options_forbid() {
    let shared = shared_with(Options { flush: false, ..options() }, &store_options());
    let mut client = Client::new(&shared);
    client.check("flush_all\r\n", "CLIENT_ERROR flush_all not allowed\r\n");
    client.check("flush_all x\r\n", "CLIENT_ERROR flush_all not allowed\r\n");
    assert_eq!(shared.metrics.total(Counter::CmdFlush), 2);
}

#[test]
fn shutdown_section_7() {
    let shared = shared_with(Options { shutdown: true, ..options() }, &store_options());
    for (line, graceful) in [("shutdown\r\n", false), ("shutdown g\r\n", true)] {
        let mut client = Client::new(&shared);
        client.check(
            &format!("shutdown x\r\nshutdown noreply\r\nget a\r\n{line}version\r\n"),
            "CLIENT_ERROR invalid shutdown mode\r\nEND\r\n",
        );
        assert_eq!(client.end, Some(Want::Shutdown { graceful }));
        assert!(!client.session.is_midway());
    }
}

#[test]
fn debugtime_moves_the_clock_at_once() {
    let shared = shared_with(Options { debug_clock: true, ..options() }, &store_options());
    let mut client = Client { now: shared.clock.now(), ..Client::new(&shared) };
    client.check(
        "set a 0 10 1\r\nx\r\ndebugtime 9\r\nget a\r\ndebugtime 1\r\nget a\r\ndebugtime p\r\n",
        "STORED\r\nOK\r\nVALUE a 0 1\r\nx\r\nEND\r\nOK\r\nEND\r\nERROR\r\n",
    );
}

#[test]
fn flush_all_with_a_delay_is_not_a_second_early() {
    let shared = shared_with(Options { debug_clock: true, ..options() }, &store_options());
    let mut client = Client { now: shared.clock.now(), ..Client::new(&shared) };
    client.check(
        "set a 0 0 1\r\nx\r\nflush_all 5\r\ndebugtime 4\r\nget a\r\ndebugtime 1\r\nget a\r\n\
         set a 0 0 1\r\ny\r\nget a\r\n",
        "STORED\r\nOK\r\nOK\r\nVALUE a 0 1\r\nx\r\nEND\r\nOK\r\nEND\r\nSTORED\r\nVALUE a 0 1\r\ny\r\nEND\r\n",
    );
}

#[test]
fn every_turn_length_gives_the_same() {
    let send = format!(
        "set a 0 0 1\r\nx\r\nget a a  b a\r\nget a\r\nget{}\r\nfoo\r\nget \r\nversion\r\n",
        " a".repeat(1100)
    );
    let wanted = converse(&shared(), Path::Input, [send.as_bytes()]);
    for requests_per_turn in 1..30 {
        let shared = shared();
        let mut client = Client { requests_per_turn, ..Client::new(&shared) };
        client.send(send.as_bytes());
        assert_same(&wanted.answers, &client.answers());
    }
}

#[test]
fn a_turn_executes_no_more_than_its_requests() {
    let shared = shared();
    let mut client = Client::new(&shared);
    let input = format!("get{}\r\nversion\r\n", " k".repeat(50));
    let mut at = 0;
    for keys in [20, 40, 50] {
        let mut turn = client.turn();
        let (consumed, want) =
            client.session.advance(&input.as_bytes()[at..], &mut client.out, &mut turn);
        at += consumed;
        assert_eq!(shared.metrics.total(Counter::CmdGet), keys);
        let is_last = keys == 50;
        assert_eq!(want, if is_last { Want::Input } else { Want::Turn });
        assert!(is_last || client.session.is_midway());
    }
    assert_eq!(at, input.len());
    assert!(!client.session.is_midway());
}

/// Answers are held up to the high-water mark and one value beyond, whatever is asked for.
#[test]
fn answers_wait_for_their_reader() {
    for value_len in [10, 1000, COPY_VALUE_MAX, COPY_VALUE_MAX + 1, 500_000] {
        let shared = shared();
        let mut client = Client { requests_per_turn: u32::MAX, ..Client::new(&shared) };
        let value = "v".repeat(value_len);
        client.check(&format!("set a 0 0 {value_len}\r\n{value}\r\n"), "STORED\r\n");
        let keys = 4 * OUTPUT_HIGH_WATER_BYTES / value_len.min(COPY_VALUE_MAX);
        let input = format!("get{}\r\n", " a".repeat(keys));
        let (mut at, mut drains, mut received) = (0, 0, 0);
        loop {
            let mut turn = client.turn();
            let (consumed, want) =
                client.session.advance(&input.as_bytes()[at..], &mut client.out, &mut turn);
            at += consumed;
            assert!(client.out.weight() <= OUTPUT_HIGH_WATER_BYTES + COPY_VALUE_MAX + 100);
            client.read();
            received += client.answers().len();
            if want == Want::Input {
                break;
            }
            assert_eq!(want, Want::Drain);
            drains += 1;
        }
        let block = format!("VALUE a 0 {value_len}\r\n").len() + value_len + 2;
        assert_eq!(received, keys * block + "END\r\n".len());
        assert!(drains >= 1, "{value_len}");
        assert_eq!(at, input.len());
    }
}

#[test]
fn a_high_output_stops_the_next_request() {
    let shared = shared();
    let mut client = Client::new(&shared);
    client.out.push(&[b'x'; OUTPUT_HIGH_WATER_BYTES]);
    let mut turn = client.turn();
    let step = client.session.advance(b"set a 0 0 1\r\nx\r\n", &mut client.out, &mut turn);
    assert_eq!(step, (0, Want::Drain));
    assert_eq!(shared.metrics.total(Counter::CmdSet), 0);
}

#[test]
fn without_cas_uniques_are_0() {
    let shared = shared_with(options(), &store::Options { cas: false, ..store_options() });
    Client::new(&shared).check(
        "set a 0 0 1\r\nx\r\ngets a\r\ncas a 0 0 1 0\r\ny\r\n",
        "STORED\r\nVALUE a 0 1 0\r\nx\r\nEND\r\nEXISTS\r\n",
    );
}

#[test]
fn a_full_store_without_evictions_refuses() {
    let store = store::Options { evictions: false, memory_bytes: 2 << 20, ..store_options() };
    let shared = shared_with(options(), &store);
    let mut client = Client::new(&shared);
    let value = "v".repeat(10_000);
    let refusal = b"SERVER_ERROR out of memory storing object\r\n";
    let refused = (0..1000).any(|number| {
        client.send(format!("set k{number} 0 0 10000\r\n{value}\r\n").as_bytes());
        client.answers() == refusal
    });
    assert!(refused);
    assert_eq!(shared.metrics.total(Counter::StoreNoMemory), 1);
    client.check(
        &format!("set k0 0 0 10000\r\n{value}\r\nget k0\r\n"),
        "SERVER_ERROR out of memory storing object\r\nEND\r\n",
    );
}

#[test]
fn midway() {
    let shared = shared();
    let mut client = Client::new(&shared);
    for (piece, is_midway) in [
        ("", false),
        ("get", true),
        (" a\r\n", false),
        ("set a 0 0 2\r\n", true),
        ("xy\r", true),
        ("\n", false),
        ("set a x 0 2\r\nxy", true),
        ("\r\n", false),
    ] {
        client.send(piece.as_bytes());
        assert_eq!(client.session.is_midway(), is_midway, "{piece:?}");
    }
}

#[test]
fn counters_of_stats_section_1() {
    let shared = shared();
    let mut client = Client::new(&shared);
    client.send(
        b"set a 0 0 1\r\n1\r\nadd a 0 0 1\r\n1\r\nget a b\r\ngets a\r\ngat 5 a b\r\ntouch a 0\r\n\
          incr a 1\r\nincr b 1\r\ndecr a 1\r\ndecr b 1\r\ncas b 0 0 1 1\r\n1\r\n\
          cas a 0 0 1 0\r\n1\r\ndelete a\r\ndelete a\r\nset a 0 -1 1\r\n1\r\nget a\r\nflush_all\r\n",
    );
    for (counter, count) in [
        (Counter::CmdSet, 5),
        (Counter::CmdGet, 4),
        (Counter::GetHits, 2),
        (Counter::GetMisses, 2),
        (Counter::GetExpired, 1),
        (Counter::CmdTouch, 3),
        (Counter::TouchHits, 2),
        (Counter::TouchMisses, 1),
        (Counter::IncrHits, 1),
        (Counter::IncrMisses, 1),
        (Counter::DecrHits, 1),
        (Counter::DecrMisses, 1),
        (Counter::CasMisses, 1),
        (Counter::CasBadval, 1),
        (Counter::CasHits, 0),
        (Counter::DeleteHits, 1),
        (Counter::DeleteMisses, 1),
        (Counter::CmdFlush, 1),
    ] {
        assert_eq!(shared.metrics.total(counter), count, "{counter:?}");
    }
}

#[test]
fn stats_section_8() {
    let shared = shared();
    let mut client = Client::new(&shared);
    client.send(b"set a 0 0 1\r\nx\r\nverbosity 0\r\n");
    client.answers();
    for (line, key) in [
        ("stats\r\n", "STAT cmd_set 1"),
        ("stats s\r\n", "STAT verbosity 0"),
        ("stats items\r\n", ":number 1"),
        ("stats slabs\r\n", "STAT active_slabs 1"),
    ] {
        client.send(line.as_bytes());
        let answers = String::from_utf8(client.answers()).unwrap();
        assert!(answers.contains(&format!("{key}\r\n")), "{answers}");
        assert!(answers.ends_with("\r\nEND\r\n"));
        let mut keys: Vec<_> = answers.lines().map(|line| line.split(' ').nth(1)).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count, "no key twice");
    }
    client.check("stats sizes\r\n", "STAT sizes_status disabled\r\nEND\r\n");
    client.check("stats reset\r\n", "RESET\r\n");
    assert_eq!(shared.metrics.total(Counter::CmdSet), 0);
    for word in ["connss", "noreply", &"x".repeat(2000)] {
        client.check(&format!("stats {word}\r\n"), "ERROR\r\n");
    }
}

/// A connection that sends large values reads little at a time, so that they need not be copied, until
/// it sends much else.
#[test]
fn a_sender_of_large_values_reads_little_at_a_time() {
    let shared = shared();
    let mut client = Client { path: Path::Item, ..Client::new(&shared) };
    let set = |value_len: usize| {
        format!("set a 0 0 {value_len}\r\n{}\r\n", "v".repeat(value_len)).into_bytes()
    };
    let large = set(LARGE_VALUE_BYTES);
    assert_eq!(client.session.read_max(), READ_BUF_BYTES);
    for _ in 0..3 {
        let (head, value) = large.split_at(100);
        client.send(head);
        client.send(value);
        assert_eq!(client.session.read_max(), SMALL_READ_BYTES);
        client.send(b"get b\r\n");
        assert_eq!(client.session.read_max(), SMALL_READ_BYTES);
    }
    client.send(&b"get b\r\n".repeat(SMALL_READ_BYTES / 7 + 1));
    assert_eq!(client.session.read_max(), READ_BUF_BYTES);
    client.send(&large);
    assert_eq!(client.session.read_max(), SMALL_READ_BYTES);
    let smaller = set(LARGE_VALUE_BYTES - 1);
    client.send(&smaller);
    assert_eq!(client.session.read_max(), READ_BUF_BYTES);
}

/// Once a large value has come, the next one of the connection gets room for as much at once; one that
/// has sent nothing yet gets little for its announcement.
#[test]
fn room_is_made_for_what_may_be_expected() {
    let shared = shared();
    let mut client = Client::new(&shared);
    let room = |client: &mut Client<'_>| {
        client.send(b"set a 0 0 300000\r\nv");
        let (slices, is_all) = client.session.value_space().expect("amid a value");
        (slices.iter().map(|slice| slice.len()).sum::<usize>(), is_all)
    };
    let (first, is_all) = room(&mut client);
    assert!(first <= 16 * 1024 && !is_all, "room for {first} bytes");
    client.send(&[b"v".repeat(299_999).as_slice(), b"\r\n"].concat());
    let (next, _) = room(&mut client);
    // As many slices as one call takes: pieces are small in a small store.
    assert!(next >= 120_000, "room for {next} bytes");
}
