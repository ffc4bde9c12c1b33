//! Hostile clients: one family a file, each a function that goes on until it is told to stop.
//!
//! A pattern holds no more connections than its target allows, keeps no more than some megabytes
//! itself, and never touches the keys of well-behaved clients, which begin with
//! [`VICTIM_PREFIX`](crate::victim::KEY_PREFIX).
#![forbid(unsafe_code)]

mod control;

mod reads;

mod uploads;

mod connections;

mod reports;

mod lines;

mod packets;

mod logins;

mod handshakes;

mod datagrams;

use std::rc::Rc;

use crate::random::Random;
use crate::running::Running;
use crate::tally::Tally;
use crate::target::{Needs, Target};
use crate::victim::client::Client;

/// One way to be hostile.
#[derive(Debug)]
pub struct Pattern {
    /// What it is called on the command line and in reports.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// What the server must have.
    pub needs: Needs,
    /// Does it until told to stop; equal seeds do the same.
    pub run: fn(&Target, &Running, u64) -> Tally,
}

/// All of them, the two controls first.
pub const ALL: &[&[Pattern]] = &[
    control::ALL,
    reads::ALL,
    uploads::ALL,
    connections::ALL,
    reports::ALL,
    lines::ALL,
    packets::ALL,
    logins::ALL,
    handshakes::ALL,
    datagrams::ALL,
];

/// The pattern of this name.
pub fn by_name(name: &str) -> Option<&'static Pattern> {
    all().find(|pattern| pattern.name == name)
}

/// All patterns in one row.
pub fn all() -> impl Iterator<Item = &'static Pattern> {
    ALL.iter().flat_map(|family| family.iter())
}

/// Stores `count` values of `len` bytes as `siege:NAME0` and so on, by a well-behaved client; the
/// server may refuse.
fn store(target: &Target, name: &str, count: usize, len: usize) {
    let Ok(mut client) = Client::connect(target) else { return };
    for number in 0..count {
        if client.set(&format!("siege:{name}{number}"), &vec![b'v'; len]).is_err() {
            return;
        }
    }
}

/// For [`Habit::next`](crate::crowd::Habit::next): these bytes again and again.
fn again(bytes: impl Into<Rc<[u8]>>) -> impl FnMut(&mut Random) -> Rc<[u8]> {
    let bytes = bytes.into();
    move |_| Rc::clone(&bytes)
}

/// For [`Habit::next`](crate::crowd::Habit::next): nothing more.
fn nothing(_: &mut Random) -> Rc<[u8]> {
    Rc::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for pattern in all() {
            let count = all().filter(|other| other.name == pattern.name).count();
            assert_eq!(count, 1, "{} is there more than once", pattern.name);
        }
    }
}
