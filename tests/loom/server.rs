//! What threads put together for one that asks (`stats conns`).

#[path = "../../src/server/parts.rs"]
mod parts;

use loom::sync::Arc;
use loom::thread;

use crate::sync::model;
use parts::Parts;

/// Two workers and the acceptor: one of them is the last, and sees what the others have added.
pub(super) fn the_last_part_completes_the_whole() {
    model(|| {
        let whole = Arc::new(Parts::new(3, Vec::new()));
        let threads = [1, 2].map(|number| {
            let whole = whole.clone();
            thread::spawn(move || add(&whole, number))
        });
        let mut lasts = usize::from(add(&whole, 3));
        for thread in threads {
            lasts += usize::from(thread.join().expect("no panic"));
        }
        assert_eq!(lasts, 1, "the asker is told once");
    });
}

fn add(whole: &Parts<Vec<u32>>, number: u32) -> bool {
    let is_last = whole.add(|all| all.push(number));
    if is_last {
        whole.with(|all| {
            all.sort_unstable();
            assert_eq!(*all, [1, 2, 3]);
        });
    }
    is_last
}
