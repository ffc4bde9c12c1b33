//! Who can go, and in which order.
//!
//! A connection that has been drained by its last go, has had its answers taken, and moved little in it, is
//! *light*: when something comes it goes before the others. One that had more to do, or moved much, is
//! *busy* and stands behind all who are; one that has more to do after much more than it has shown to take, or whose go
//! took long, is *heavy* and stands behind those. So each waits for its likes and for a bounded part of the work of those
//! behind it, however many of these there are; and one that asks for much falls behind as it gets it (the least
//! attained service first, in three levels).
#![forbid(unsafe_code)]

use std::collections::VecDeque;

/// The connections of a worker that can go, by their places; each at most once.
#[derive(Debug, Default)]
pub(super) struct Ready {
    light: VecDeque<usize>,
    busy: VecDeque<usize>,
    heavy: VecDeque<usize>,
}

/// Which of them, in the order in which they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Light,
    Busy,
    Heavy,
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
        self.len_of_all() == 0
    }

    pub(super) fn len_of_all(&self) -> usize {
        self.light.len() + self.busy.len() + self.heavy.len()
    }

    pub(super) fn len(&self, kind: Kind) -> usize {
        match kind {
            Kind::Light => self.light.len(),
            Kind::Busy => self.busy.len(),
            Kind::Heavy => self.heavy.len(),
        }
    }

    fn list(&mut self, kind: Kind) -> &mut VecDeque<usize> {
        match kind {
            Kind::Light => &mut self.light,
            Kind::Busy => &mut self.busy,
            Kind::Heavy => &mut self.heavy,
        }
    }
}
