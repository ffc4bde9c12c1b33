//! What a connection holds in memory, for the accountant.
#![forbid(unsafe_code)]

use crate::memory::{Ledger, Part};
use crate::server::conn::Conn;

/// What is counted at once, so that an idle connection need not have many bytes to say what it holds.
const UNIT_BYTES: usize = 64;

/// What is held by part, in units of [`UNIT_BYTES`], as it stands in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holding {
    input: u16,
    output: u16,
    request: u16,
    dump: u16,
    tls: u16,
}

impl Holding {
    fn parts(&self) -> [(Part, usize); 5] {
        [
            (Part::Input, usize::from(self.input) * UNIT_BYTES),
            (Part::Output, usize::from(self.output) * UNIT_BYTES),
            (Part::Requests, usize::from(self.request) * UNIT_BYTES),
            (Part::Dumps, usize::from(self.dump) * UNIT_BYTES),
            (Part::Tls, usize::from(self.tls) * UNIT_BYTES),
        ]
    }
}

impl Conn {
    /// Bytes that are noted as held by it.
    pub(in crate::server) fn held_bytes(&self) -> usize {
        self.holding.parts().iter().map(|(_, bytes)| bytes).sum()
    }

    /// Notes in the ledger what it holds now.
    pub(in crate::server) fn settle(&mut self, ledger: &mut Ledger) {
        // As of nearly every connection after nearly every go.
        let holds_nothing = self.held.is_none() && !self.link.is_tls() && self.session.is_bare();
        let now = if holds_nothing { Holding::default() } else { self.count() };
        if now != self.holding {
            self.note(now, ledger);
        }
    }

    /// Notes that it holds nothing any more.
    pub(super) fn settle_last(&mut self, ledger: &mut Ledger) {
        self.note(Holding::default(), ledger);
    }

    fn note(&mut self, now: Holding, ledger: &mut Ledger) {
        for ((part, before), (_, now)) in self.holding.parts().into_iter().zip(now.parts()) {
            ledger.change(part, before, now);
        }
        self.holding = now;
    }

    fn count(&self) -> Holding {
        let (input, output) = self.held.as_ref().map_or((0, 0), |held| held.held_bytes());
        let (request, dump) = self.session.held_bytes();
        let tls = self.link.held_bytes();
        // None of them has more than some hundred kB, and this reaches 4 MB.
        let units = |bytes: usize| u16::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u16::MAX);
        Holding {
            input: units(input),
            output: units(output),
            request: units(request),
            dump: units(dump),
            tls: units(tls),
        }
    }
}
