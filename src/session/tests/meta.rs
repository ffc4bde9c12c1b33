//! The meta protocol, for every way of cutting it into reads. Sections are those of the meta
//! protocol's description; the lines are its worked sequences and the corners of its tables.

use super::*;

#[track_caller]
fn check(send: &str, receive: &str) {
    let crlf = |text: &str| text.replace('\n', "\r\n").into_bytes();
    let end = check_all_splits(shared, &crlf(send), &crlf(receive));
    assert_eq!(end, None, "{send:?}");
}

#[test]
fn worked_sequences_section_11() {
    check(
        "mg viv N30 v t s\nmg viv N30 v t s\nms viv 1 T30\nz\nmg viv R40 t v\nmg viv R40 t v\n",
        "VA 0 t30 s0 W\n\nVA 0 t30 s0 Z\n\nHD\nVA 1 t30 W\nz\nVA 1 t30 Z\nz\n",
    );
    check(
        "ms viv 1 T30\nz\nmd viv I T30\nmg viv v t\nmg viv v t\n",
        "HD\nHD\nVA 1 t30 X W\nz\nVA 1 t30 Z X\nz\n",
    );
    check(
        "ms a 2 E500\nxx\nms a 2 I C400 E600 T33\nyy\nmg a c v t\n",
        "HD\nHD\nVA 2 c600 t-1 X W\nyy\n",
    );
    check(
        "ms a 3\nabc\nmg n1 v q k\nmg a v q k\nmg n2 q\nms x 1 q\nx\nmd x q\nmd x q\nmn\n",
        "HD\nVA 3 ka\nabc\nNF\nMN\n",
    );
    check("ms a 1\nx\nmd a x E55 T40 F9\nmg a v s f c t\n", "HD\nHD\nVA 0 s0 f9 c55 t40\n\n");
}

#[test]
fn uniques_of_any_size_section_5() {
    let largest = u64::MAX;
    check(
        &format!(
            "ms a 1 E{largest} F3 c\nx\nms a 1 MA C{largest} E{}\ny\nmg a c v f\nmd a I E{largest}\n\
            mg a c f v\nms n 1 E5\n7\nma n E{largest} c\nmg n c v\n",
            1u64 << 47
        ),
        &format!(
            "HD c{largest}\nHD\nVA 2 c{} f3\nxy\nHD\nVA 2 c{largest} f3 X W\nxy\nHD\nHD c{largest}\n\
            VA 1 c{largest}\n8\n",
            1u64 << 47
        ),
    );
}

#[test]
fn a_value_of_any_length_is_answered_alike() {
    for len in [0, 1, COPY_VALUE_MAX, COPY_VALUE_MAX + 1, 100_000] {
        let value = "v".repeat(len);
        let shared = shared();
        let mut client = Client::new(&shared);
        client.check(
            &format!("ms a {len} s k Oq\r\n{value}\r\nmg a v s\r\n"),
            &format!("HD s{len} ka Oq\r\nVA {len} s{len}\r\n{value}\r\n"),
        );
        client.check(&format!("ms a {len} q\r\n{value}x\r\nmn\r\n"), {
            "CLIENT_ERROR bad data chunk\r\nCLIENT_ERROR bad command line format\r\nMN\r\n"
        });
    }
}

#[test]
fn blocks_of_refused_lines_section_2() {
    for line in ["a 9 +", "a 9 z", "a 9 q q", "a 9 Tx", "a 9 M", "a 9 b", "a 9 Fx"] {
        let shared = shared();
        let mut client = Client::new(&shared);
        client.send(format!("ms {line}\r\nflush_all\r\nmn\r\n").as_bytes());
        let answers = String::from_utf8(client.answers()).unwrap();
        let lines: Vec<&str> = answers.lines().collect();
        assert!(lines[0].starts_with("CLIENT_ERROR "), "{line}: {answers}");
        assert_eq!(lines[1..], ["MN"], "{line}");
    }
}

#[test]
fn counters_section_4() {
    let shared = shared();
    let mut client = Client::new(&shared);
    client.check("mg a\r\nmg a T30\r\nmg a N30 E2\r\nmg a\r\nmg a T9\r\nme a\r\nmd a I\r\nmd a C1\r\n", {
        "EN\r\nEN\r\nHD W\r\nHD Z\r\nHD Z\r\nME a exp=9 la=0 cas=2 fetch=yes cls=1 size=21\r\nHD\r\n\
        EX\r\n"
    });
    let total = |counter| shared.metrics.total(counter);
    assert_eq!((total(Counter::CmdGet), total(Counter::GetHits)), (4, 2));
    assert_eq!((total(Counter::GetMisses), total(Counter::CmdMeta)), (2, 1));
    assert_eq!((total(Counter::CmdTouch), total(Counter::TouchHits)), (1, 1));
    assert_eq!((total(Counter::DeleteHits), total(Counter::DeleteMisses)), (0, 1));
}
