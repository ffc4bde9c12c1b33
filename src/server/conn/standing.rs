//! What a connection has had of its worker's time, and by that behind whom it goes and how much it may write at once.
#![forbid(unsafe_code)]

use crate::limits::{
    BUSY_GO_BYTES, BUSY_WRITE_BYTES, HEAVY_BYTES, SHARED_GO_BYTES, VALUE_BYTES_PER_GO,
};
use crate::server::ready::Kind;

/// What is known of one connection's goes.
#[derive(Debug)]
pub(super) struct Standing {
    kind: Kind,
    /// Bytes that it has read and written since it was last drained.
    streak_bytes: u32,
    /// As many as that were when it was last drained.
    taken_bytes: u32,
}

impl Standing {
    /// Until it has shown that it is light it is not: many that come at once must not hold up who was there.
    pub(super) fn of_newcomer() -> Standing {
        Standing { kind: Kind::Busy, streak_bytes: 0, taken_bytes: 0 }
    }

    #[inline]
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Takes note of a go, which was a long one or not: bytes that it moved, and whether more is left to do.
    #[inline]
    pub(super) fn note_go(&mut self, moved_bytes: u32, was_long: bool, has_more: bool) {
        let streak_bytes = self.streak_bytes.saturating_add(moved_bytes);
        // Of what a drained one will ask for next nothing is known: one large value sends nobody to the end.
        let is_much = || streak_bytes as usize >= self.allowance().max(HEAVY_BYTES as usize);
        self.kind = if was_long || (has_more && is_much()) {
            Kind::Heavy
        } else if has_more || streak_bytes >= BUSY_GO_BYTES {
            Kind::Busy
        } else {
            Kind::Light
        };
        if has_more {
            self.streak_bytes = streak_bytes;
        } else {
            self.streak_bytes = 0;
            self.taken_bytes = streak_bytes;
        }
    }

    /// Bytes that its client is trusted to take: twice what it took the last time.
    fn allowance(&self) -> usize {
        (2 * self.taken_bytes as usize).clamp(BUSY_WRITE_BYTES, VALUE_BYTES_PER_GO)
    }

    /// Bytes that it may write in a go, while others can go or none can. A large value goes in one call to
    /// who takes such: in four it costs a fifth more.
    #[inline]
    pub(super) fn write_max(&self, others_wait: bool) -> usize {
        match self.kind {
            Kind::Light => HEAVY_BYTES as usize,
            Kind::Busy => self.allowance(),
            Kind::Heavy if others_wait => SHARED_GO_BYTES,
            Kind::Heavy => VALUE_BYTES_PER_GO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: u32 = 1 << 20;

    #[test]
    fn who_asks_for_little_is_light() {
        let mut standing = Standing::of_newcomer();
        assert_eq!(standing.kind(), Kind::Busy);
        standing.note_go(BUSY_GO_BYTES - 1, false, false);
        assert_eq!(standing.kind(), Kind::Light);
        assert_eq!(standing.write_max(true), HEAVY_BYTES as usize);
        standing.note_go(BUSY_GO_BYTES - 1, false, true);
        assert_eq!(standing.kind(), Kind::Busy, "it has more to do");
        standing.note_go(1, false, false);
        assert_eq!(standing.kind(), Kind::Busy, "it has moved much in two goes");
        standing.note_go(1, false, false);
        assert_eq!(standing.kind(), Kind::Light);
    }

    #[test]
    fn who_does_not_take_much_is_heavy_until_it_does() {
        let mut standing = Standing::of_newcomer();
        standing.note_go(HEAVY_BYTES - 1, false, true);
        assert_eq!(standing.kind(), Kind::Busy);
        standing.note_go(1, false, true);
        assert_eq!(standing.kind(), Kind::Heavy);
        assert_eq!(standing.write_max(true), SHARED_GO_BYTES);
        assert_eq!(standing.write_max(false), VALUE_BYTES_PER_GO, "nobody else wants the time");
        standing.note_go(LARGE, false, true);
        standing.note_go(0, false, true);
        assert_eq!(standing.kind(), Kind::Heavy, "a wait changes nothing");
        standing.note_go(1, false, false);
        assert_eq!(standing.kind(), Kind::Busy);
    }

    #[test]
    fn who_has_taken_much_may_write_much() {
        let mut standing = Standing::of_newcomer();
        assert_eq!(standing.write_max(true), BUSY_WRITE_BYTES, "nothing is known of it");
        standing.note_go(100_000, false, false);
        assert_eq!(standing.write_max(true), 200_000);
        standing.note_go(100_000, false, true);
        assert_eq!(standing.write_max(true), 200_000, "it has not taken that yet");
        standing.note_go(LARGE, false, false);
        assert_eq!(standing.write_max(true), VALUE_BYTES_PER_GO);
        standing.note_go(LARGE - 1, false, true);
        assert_eq!(standing.kind(), Kind::Busy, "as much as the last time");
        standing.note_go(LARGE, false, true);
        assert_eq!(standing.kind(), Kind::Heavy);
        standing.note_go(20_000, false, false);
        standing.note_go(20_000, false, false);
        assert_eq!(standing.write_max(true), 40_000);
    }

    #[test]
    fn a_long_go_is_heavy_once() {
        let mut standing = Standing::of_newcomer();
        standing.note_go(100, true, false);
        assert_eq!(standing.kind(), Kind::Heavy);
        standing.note_go(100, false, false);
        assert_eq!(standing.kind(), Kind::Light);
    }
}
