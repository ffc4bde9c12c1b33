//! A conversation, whole and cut.
#![forbid(unsafe_code)]

use crate::fuzz::client::{Client, is_of_server, shared};
use crate::fuzz::input::{self, Head};
use crate::session::Want;
use crate::store::model::{check_nothing_is_left, store_for_sessions};

/// What a conversation leaves behind.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    answers: Vec<u8>,
    end: Option<Want>,
    items: [u64; 2],
}

/// What a client is answered, and what it leaves in the store, does not depend on how its bytes were cut;
/// what waits has a bound; and when the client is gone nothing is left but items.
///
/// Without uniques: one is used up by a value that comes in pieces and is then refused.
pub fn session(data: &[u8]) {
    let Some((head, conversation)) = input::split(data) else { return };
    let whole = converse(head, conversation, |client, bytes| client.send(bytes));
    let mut cuts = head.cuts;
    let cut = converse(head, conversation, |client, mut bytes| {
        while !bytes.is_empty() {
            client.send(cuts.piece(&mut bytes));
        }
    });
    if whole != cut && !is_of_server(&whole.answers) {
        let [whole, cut] = [whole, cut].map(|outcome| {
            let Outcome { answers, end, items } = outcome;
            format!("{} {end:?} {items:?}", answers.escape_ascii())
        });
        panic!("cut in pieces of at most {}\nwhole: {whole}\ncut: {cut}", head.cuts.most());
    }
}

fn converse(head: Head, bytes: &[u8], send: impl FnOnce(&mut Client<'_>, &[u8])) -> Outcome {
    let shared = shared(head, store_for_sessions(false, false));
    let mut client = Client::new(&shared, head.is(4));
    send(&mut client, bytes);
    let (answers, end, now) = (std::mem::take(&mut client.answers), client.end, client.now);
    drop(client);
    let totals = shared.store.totals();
    check_nothing_is_left(&shared.store, now.secs);
    Outcome { answers, end, items: [totals.curr_items, totals.bytes] }
}
