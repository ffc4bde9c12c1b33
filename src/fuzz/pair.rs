//! Two clients of one server at the same time, in a store that has hardly any room, while time passes.
#![forbid(unsafe_code)]

use crate::fuzz::client::{Client, shared};
use crate::fuzz::input;
use crate::store::model::{check_nothing_is_left, store_for_sessions};

/// Whatever two clients send, what waits for them has a bound, no step takes for ever, and when they are gone
/// the store is in order and nothing is left but items.
pub fn pair(data: &[u8]) {
    let Some((head, bytes)) = input::split(data) else { return };
    let (mut first, mut second) = bytes.split_at(bytes.len() * usize::from(head.way & 63) / 63);
    let shared = shared(head, store_for_sessions(true, head.is(3)));
    let mut clients = [false, true].map(|fills| Client::new(&shared, fills));
    let mut cuts = head.cuts;
    while !(first.is_empty() && second.is_empty()) {
        let which = cuts.below(2);
        let rest = if which == 0 { &mut first } else { &mut second };
        if !rest.is_empty() {
            clients[which].send(cuts.piece(rest));
        }
        if cuts.below(8) == 0 {
            pass_time(&mut clients, cuts.below(40) as u32);
        }
        if clients.iter().all(|client| client.end.is_some()) {
            break;
        }
    }
    let now = clients[0].now.secs.max(clients[1].now.secs);
    drop(clients);
    check_nothing_is_left(&shared.store, now);
}

/// What a worker does when a second has passed.
fn pass_time(clients: &mut [Client<'_>; 2], secs: u32) {
    for client in clients {
        client.now.secs.0 = client.now.secs.0.saturating_add(secs);
        client.pass_time();
    }
}
