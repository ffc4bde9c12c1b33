//! `stats conns` (stats, section 6): a list of what belongs to other threads.
//!
//! ```text
//! asking worker ── Gather ──► acceptor: its listeners ──► every worker: its connections
//!        ▲                                                         │
//!        └──────────────── Listed, by the last of them ────────────┘
//! ```
//!
//! A gather goes for [`CONNS_PORTION`] descriptors only, and the next one is asked for when the
//! client has read what the last one gave. Each worker finds its own by their order
//! ([`Part::wanted`]). So nobody is held up for longer than a portion takes, and a client that does
//! not read holds a portion. Connections that come and go meanwhile may be missed.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::os::fd::RawFd;
use std::sync::Arc;

use super::mail::{Mailbox, Message};
use super::parts::Parts;
use crate::limits::CONNS_PORTION;
use crate::session::Portion;

/// A portion of the list that is being gathered.
pub(super) struct Gather {
    descriptors: Range<RawFd>,
    asker: Mailbox,
    /// The asking connection's place in its worker's slab.
    index: usize,
    found: Parts<Found>,
}

#[derive(Default)]
struct Found {
    entries: Vec<(RawFd, String)>,
    /// The smallest descriptor behind the portion.
    next: Option<RawFd>,
}

/// What one thread has to say.
pub(super) struct Part<'a> {
    descriptors: &'a Range<RawFd>,
    found: Found,
}

impl Gather {
    /// Asks `threads` threads for descriptors from `from` on, for the connection at `index` of the
    /// worker behind `asker`.
    pub(super) fn new(from: RawFd, threads: usize, asker: Mailbox, index: usize) -> Arc<Gather> {
        Arc::new(Gather {
            descriptors: from..from.saturating_add(CONNS_PORTION),
            asker,
            index,
            found: Parts::new(threads, Found::default()),
        })
    }

    /// Who has asked.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Takes what one thread has; the last one makes the asker go on.
    pub(super) fn answer(self: &Arc<Self>, list: impl FnOnce(&mut Part<'_>)) {
        let mut part = Part { descriptors: &self.descriptors, found: Found::default() };
        list(&mut part);
        let is_last = self.found.add(|found| {
            found.entries.append(&mut part.found.entries);
            found.next = [found.next, part.found.next].into_iter().flatten().min();
        });
        if is_last {
            self.asker.send(Message::Listed(Arc::clone(self)));
        }
    }

    /// What has been gathered, in the order of descriptors.
    pub(super) fn portion(&self) -> Portion {
        self.found.with(|found| {
            found.entries.sort_unstable_by_key(|(descriptor, _)| *descriptor);
            let lines = found.entries.iter().map(|(_, lines)| lines.as_str()).collect();
            Portion { lines, next: found.next }
        })
    }
}

impl Part<'_> {
    /// Of places in the order of their descriptors, those that have to be added: the ones that were
    /// asked for, and the next one behind them.
    pub(super) fn wanted<'a>(
        &self,
        by_descriptor: &'a BTreeMap<RawFd, usize>,
    ) -> impl Iterator<Item = usize> + use<'a> {
        let asked = by_descriptor.range(self.descriptors.clone());
        let behind = by_descriptor.range(self.descriptors.end..).take(1);
        asked.chain(behind).map(|(_, place)| *place)
    }

    /// Adds the lines about one descriptor, if it is one that was asked for.
    pub(super) fn add(&mut self, descriptor: RawFd, lines: impl FnOnce(&mut Entry<'_>)) {
        if self.descriptors.contains(&descriptor) {
            let mut text = String::new();
            lines(&mut Entry { descriptor, text: &mut text });
            self.found.entries.push((descriptor, text));
        } else if descriptor >= self.descriptors.end {
            let next = self.found.next.get_or_insert(descriptor);
            *next = descriptor.min(*next);
        }
    }
}

/// The lines about one descriptor.
pub(super) struct Entry<'a> {
    descriptor: RawFd,
    text: &'a mut String,
}

impl Entry<'_> {
    /// Adds `STAT <descriptor>:<key> <value>`.
    pub(super) fn line(&mut self, key: &str, value: impl std::fmt::Display) {
        // Writing to memory does not fail.
        let _ok = write!(self.text, "STAT {}:{key} {value}\r\n", self.descriptor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam::channel::Receiver;
    use mio::{Poll, Token};

    fn mailbox() -> (Poll, Mailbox, Receiver<Message>) {
        let poll = Poll::new().expect("an event loop");
        let (mailbox, mail) = Mailbox::new(poll.registry(), Token(0)).expect("a mailbox");
        (poll, mailbox, mail)
    }

    #[test]
    fn parts_make_a_portion_in_order() {
        let (_poll, mailbox, mail) = mailbox();
        let gather = Gather::new(10, 3, mailbox, 5);
        let end = 10 + CONNS_PORTION;
        let add = |descriptors: &[RawFd]| {
            gather.answer(|part| {
                descriptors.iter().for_each(|fd| part.add(*fd, |entry| entry.line("state", "x")));
            });
        };
        add(&[30, 10, end + 7]);
        add(&[end, 9, 20, end - 1]);
        assert!(mail.try_recv().is_err(), "one is missing");
        add(&[]);
        assert!(matches!(mail.try_recv(), Ok(Message::Listed(listed)) if listed.index() == 5));
        let Portion { lines, next } = gather.portion();
        let descriptors = [10, 20, 30, end - 1];
        let want: String = descriptors.iter().map(|fd| format!("STAT {fd}:state x\r\n")).collect();
        assert_eq!((lines, next), (want, Some(end)));
    }

    #[test]
    fn a_portion_looks_at_no_more_than_it_lists() {
        let (_poll, mailbox, _mail) = mailbox();
        let order: BTreeMap<RawFd, usize> = (0..20_000).map(|fd| (fd * 3, fd as usize)).collect();
        let (mut from, mut looks) = (0, 0);
        loop {
            let gather = Gather::new(from, 1, mailbox.clone(), 0);
            gather.answer(|part| {
                let wanted: Vec<usize> = part.wanted(&order).collect();
                assert!(wanted.len() <= CONNS_PORTION as usize + 1);
                looks += wanted.len();
                for place in wanted {
                    part.add(place as RawFd * 3, |entry| entry.line("state", "x"));
                }
            });
            let Some(next) = gather.portion().next else { break };
            assert!(next > from && next % 3 == 0);
            from = next;
        }
        // Each once, and once more what stands first in the next portion.
        assert!((20_000..21_000).contains(&looks), "{looks}");
    }

    #[test]
    fn the_last_portion_has_no_next() {
        let (_poll, mailbox, _mail) = mailbox();
        let gather = Gather::new(RawFd::MAX - 1, 1, mailbox, 0);
        gather.answer(|part| part.add(3, |_| unreachable!("below what was asked for")));
        assert_eq!(gather.portion(), Portion { lines: String::new(), next: None });
    }
}
