//! Hostile clients: one family a file, each a function that goes on until it is told to stop.
//!
//! A pattern holds no more connections than its target allows, keeps no more than some megabytes
//! itself, and never touches the keys of well-behaved clients, which begin with
//! [`VICTIM_PREFIX`](crate::victim::KEY_PREFIX).
#![forbid(unsafe_code)]

mod control;

mod reads;

mod uploads;

use crate::running::Running;
use crate::tally::Tally;
use crate::target::{Needs, Target};

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
pub const ALL: &[&[Pattern]] = &[control::ALL, reads::ALL, uploads::ALL];

/// The pattern of this name.
pub fn by_name(name: &str) -> Option<&'static Pattern> {
    all().find(|pattern| pattern.name == name)
}

/// All patterns in one row.
pub fn all() -> impl Iterator<Item = &'static Pattern> {
    ALL.iter().flat_map(|family| family.iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for pattern in all() {
            let found = by_name(pattern.name).unwrap();
            assert!(std::ptr::eq(found, pattern), "{} is there twice", pattern.name);
        }
    }
}
