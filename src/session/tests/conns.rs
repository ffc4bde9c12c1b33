//! `stats conns`, section 8: the session asks for portions and waits for each.

use super::*;

fn portion(lines: &str, next: Option<i32>) -> Portion {
    Portion { lines: lines.to_owned(), next }
}

#[test]
fn conns_section_8() {
    let shared = shared();
    let mut client = Client::new(&shared);
    client.check("get a\r\nstats conns x\r\nget b\r\n", "END\r\n");
    assert!(client.session.is_midway());
    assert_eq!(client.session.state_word(), "conn_parse_cmd");
    let unread = client.unread.clone();
    let mut turn = client.turn();
    let asked = client.session.advance(&unread, &mut client.out, &mut turn);
    assert_eq!(asked, (0, Want::Conns { from: 0 }), "it asks until it is answered");
    client.session.take_conns(portion("STAT 3:state x\r\n", Some(7)));
    client.check("", "STAT 3:state x\r\n");
    let asked = client.session.advance(&unread, &mut client.out, &mut turn);
    assert_eq!(asked, (0, Want::Conns { from: 7 }));
    client.session.take_conns(portion("STAT 9:state y\r\n", None));
    client.check("", "STAT 9:state y\r\nEND\r\nEND\r\n");
    assert_eq!((client.session.is_midway(), client.session.state_word()), (false, "conn_read"));
}

#[test]
fn no_portion_is_asked_for_while_the_output_is_high() {
    let shared = shared();
    let mut client = Client::new(&shared);
    client.check("stats conns\r\n", "");
    let mut turn = client.turn();
    let lines = "x".repeat(crate::limits::OUTPUT_HIGH_WATER_BYTES);
    client.session.take_conns(portion(&lines, Some(500)));
    let mut out = Output::new();
    assert_eq!(client.session.advance(b"", &mut out, &mut turn), (0, Want::Drain));
    out.advance(1);
    assert_eq!(client.session.advance(b"", &mut out, &mut turn), (0, Want::Conns { from: 500 }));
}
