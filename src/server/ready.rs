//! Who can go, and in which order.
//!
//! A connection that has been drained by its last go, has had its answers taken, and moved little in it, is
//! *light*: when something comes it goes before the others. One that had more to do, or moved much, is
//! *busy* and stands behind all who are. So who asks now and then waits for its likes and for a bounded part of the others' work, however many
//! of these there are; and a light one that asks for much is busy from then on.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

/// The connections of a worker that can go, by their places; each at most once.
#[derive(Debug, Default)]
pub(super) struct Ready {
    light: VecDeque<usize>,
    busy: VecDeque<usize>,
}

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Light,
    Busy,
}

impl Ready {
    pub(super) fn push(&mut self, index: usize, kind: Kind) {
        self.list(kind).push_back(index);
    }

    /// Puts back who has been taken and has not gone.
    pub(super) fn put_back(&mut self, index: usize, kind: Kind) {
        self.list(kind).push_front(index);
    }

    pub(super) fn pop(&mut self, kind: Kind) -> Option<usize> {
        self.list(kind).pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.light.is_empty() && self.busy.is_empty()
    }

    pub(super) fn len(&self, kind: Kind) -> usize {
        match kind {
            Kind::Light => self.light.len(),
            Kind::Busy => self.busy.len(),
        }
    }

    fn list(&mut self, kind: Kind) -> &mut VecDeque<usize> {
        match kind {
            Kind::Light => &mut self.light,
            Kind::Busy => &mut self.busy,
        }
    }
}
