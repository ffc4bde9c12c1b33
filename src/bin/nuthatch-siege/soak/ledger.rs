//! What clients may be told: for each slot the oldest version that is still right, and the newest.
//!
//! A slot has one writer, which gives versions of even numbers that only rise. It notes a version
//! when it sends it (`issued`), and when it is answered (`floor`); readers take the floor when they
//! send and compare with `issued` when they are answered. What a reader has seen raises the floor,
//! too: nobody may see something older after that. A deletion and `flush_all` raise it to the odd
//! number above. A miss is always right, since items are evicted; a slot whose writer does not know
//! what became of a write (its connection was lost) goes on under another key, since that write may
//! still come to pass.
#![forbid(unsafe_code)]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::value::{self, Fault, Form, SlotNumber};

/// All slots of a server.
#[derive(Debug)]
pub struct Ledger {
    slots: Vec<Mutex<Slot>>,
    forms: Vec<Form>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    generation: u32,
    floor: u64,
    issued: u64,
    /// No version up to this one may be seen by who asks after that moment.
    dies: Option<(u64, Instant)>,
}

/// What a client that asks now may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The slot.
    pub slot: SlotNumber,
    /// Of the key.
    pub generation: u32,
    /// The oldest version that is right.
    pub floor: u64,
    /// The same, with what has expired.
    pub floor_unexpired: u64,
}

/// Why an answer is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The value of another key.
    Foreign,
    /// No value that was ever stored.
    Torn,
    /// A version that had been replaced or deleted before the question.
    Old,
    /// A version that had expired before the question.
    Expired,
    /// A version that nobody had sent yet.
    Future,
}

impl Ledger {
    /// Slots of these forms, with nothing in them.
    pub fn new(forms: Vec<Form>) -> Ledger {
        Ledger { slots: forms.iter().map(|_| Mutex::default()).collect(), forms }
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// What `slot` holds.
    pub fn form(&self, slot: SlotNumber) -> Form {
        self.forms[slot as usize]
    }

    /// What who asks at `now` may see.
    pub fn look(&self, slot: SlotNumber, now: Instant) -> Look {
        let state = self.slot(slot);
        let expired =
            state.dies.filter(|(_, moment)| now > *moment).map_or(0, |(last, _)| last | 1);
        let floor = state.floor;
        let floor_unexpired = floor.max(expired);
        Look { slot, generation: state.generation, floor, floor_unexpired }
    }

    /// The writer sends a new version of `slot`: the version and the key's generation.
    pub fn issue(&self, slot: SlotNumber) -> (u64, u32) {
        let mut state = self.slot(slot);
        state.issued += 2;
        state.dies = None;
        (state.issued, state.generation)
    }

    /// The writer is about to change how long the item lives.
    pub fn touch(&self, slot: SlotNumber) {
        self.slot(slot).dies = None;
    }

    /// The writer has been told that `version` is stored; `lives` is the item's time to live.
    pub fn stored(&self, slot: SlotNumber, version: u64, lives: Option<Duration>, now: Instant) {
        let mut state = self.slot(slot);
        state.floor = state.floor.max(version);
        state.dies = lives.map(|lives| (state.issued, now + lives + EXPIRY_SLACK));
    }

    /// The writer has been told that the item, whatever its version is, lives for `lives` from now.
    pub fn touched(&self, slot: SlotNumber, lives: Duration, now: Instant) {
        let mut state = self.slot(slot);
        state.dies = Some((state.issued, now + lives + EXPIRY_SLACK));
    }

    /// The writer has been told that the item is gone.
    pub fn deleted(&self, slot: SlotNumber) {
        let mut state = self.slot(slot);
        state.floor = state.floor.max(state.issued | 1);
    }

    /// Who had this look has been told that there is no item: what had been stored when it asked is
    /// gone for good.
    pub fn missed(&self, look: Look) {
        let mut state = self.slot(look.slot);
        if state.generation == look.generation {
            state.floor = state.floor.max(look.floor | 1);
        }
    }

    /// The writer does not know what became of its last write.
    pub fn lost(&self, slot: SlotNumber) {
        let mut state = self.slot(slot);
        state.generation += 1;
        state.floor = state.issued | 1;
        state.dies = None;
    }

    /// What is known to be stored or deleted now: for [`Ledger::flushed`].
    pub fn before_flush(&self) -> Vec<(u32, u64)> {
        let all = 0..self.slots.len() as SlotNumber;
        all.map(|slot| {
            let state = self.slot(slot);
            (state.generation, state.floor)
        })
        .collect()
    }

    /// All that was known before a `flush_all`, which has been answered, is gone.
    pub fn flushed(&self, before: &[(u32, u64)]) {
        for (slot, (generation, floor)) in before.iter().enumerate() {
            let mut state = self.slot(slot as SlotNumber);
            if state.generation == *generation {
                state.floor = state.floor.max(floor | 1);
            }
        }
    }

    /// Whether a value that was served to who had this look is right; `is_calm`: the server has not
    /// been stopped meanwhile, so that what had expired must be gone. The version.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn judge(&self, look: Look, value: &[u8], flags: u32, is_calm: bool) -> Result<u64, Wrong> {
        let form = self.form(look.slot);
        let version = value::version(form, look.slot, look.generation, value, flags);
        let version = version.map_err(|fault| match fault {
            Fault::Foreign => Wrong::Foreign,
            Fault::Torn => Wrong::Torn,
        })?;
        self.judge_version(look, version, is_calm)
    }

    /// As [`Ledger::judge`], for a version that is known already.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn judge_version(&self, look: Look, version: u64, is_calm: bool) -> Result<u64, Wrong> {
        let mut state = self.slot(look.slot);
        if version < look.floor {
            return Err(Wrong::Old);
        }
        if version < look.floor_unexpired && is_calm {
            return Err(Wrong::Expired);
        }
        if version > state.issued {
            return Err(Wrong::Future);
        }
        if state.generation == look.generation {
            state.floor = state.floor.max(version);
        }
        Ok(version)
    }

    fn slot(&self, slot: SlotNumber) -> MutexGuard<'_, Slot> {
        self.slots[slot as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An item expires within the second that its time to live ends in, as the server counts seconds.
const EXPIRY_SLACK: Duration = Duration::from_millis(1_250);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn ledger() -> Ledger {
        Ledger::new(vec![Form::Plain, Form::Counter])
    }

    fn serve(ledger: &Ledger, look: Look, version: u64) -> Result<u64, Wrong> {
        let value = value::plain(look.slot, look.generation, version, 200);
        ledger.judge(look, &value, value::flags(look.slot, version), true)
    }

    #[test]
    fn versions_never_go_back() {
        let (ledger, now) = (ledger(), clock::now());
        let (first, _) = ledger.issue(0);
        let early = ledger.look(0, now);
        assert_eq!(serve(&ledger, early, first), Ok(first));
        assert_eq!(serve(&ledger, early, first + 2), Err(Wrong::Future));
        ledger.stored(0, first, None, now);
        let (second, _) = ledger.issue(0);
        let look = ledger.look(0, now);
        assert_eq!(serve(&ledger, look, first), Ok(first));
        assert_eq!(serve(&ledger, look, second), Ok(second));
        // Somebody has seen it, though the writer has not been answered.
        let late = ledger.look(0, now);
        assert_eq!(serve(&ledger, late, first), Err(Wrong::Old));
        assert_eq!(serve(&ledger, late, second), Ok(second));
        // Who asked before may be told what was right then.
        assert_eq!(serve(&ledger, look, first), Ok(first));
    }

    #[test]
    fn what_is_deleted_flushed_or_lost_stays_away() {
        let (ledger, now) = (ledger(), clock::now());
        let (first, _) = ledger.issue(0);
        ledger.stored(0, first, None, now);
        ledger.deleted(0);
        assert_eq!(serve(&ledger, ledger.look(0, now), first), Err(Wrong::Old));
        let (second, _) = ledger.issue(0);
        ledger.stored(0, second, None, now);
        let before = ledger.before_flush();
        let (third, _) = ledger.issue(0);
        assert_eq!(serve(&ledger, ledger.look(0, now), second), Ok(second));
        ledger.flushed(&before);
        assert_eq!(serve(&ledger, ledger.look(0, now), second), Err(Wrong::Old));
        assert_eq!(serve(&ledger, ledger.look(0, now), third), Ok(third));
        ledger.lost(0);
        let look = ledger.look(0, now);
        assert_eq!(look.generation, 1);
        assert_eq!(serve(&ledger, look, third), Err(Wrong::Old));
    }

    #[test]
    fn what_was_missed_does_not_come_back() {
        let (ledger, now) = (ledger(), clock::now());
        let (first, _) = ledger.issue(0);
        ledger.stored(0, first, None, now);
        let (second, _) = ledger.issue(0);
        ledger.missed(ledger.look(0, now));
        assert_eq!(serve(&ledger, ledger.look(0, now), first), Err(Wrong::Old));
        assert_eq!(serve(&ledger, ledger.look(0, now), second), Ok(second));
    }

    #[test]
    fn what_has_expired_stays_away() {
        let (ledger, now) = (ledger(), clock::now());
        let life = Duration::from_secs(2);
        let (first, _) = ledger.issue(0);
        ledger.stored(0, first, Some(life), now);
        let (soon, late) = (now + life, now + life + Duration::from_millis(1_300));
        assert_eq!(serve(&ledger, ledger.look(0, soon), first), Ok(first));
        assert_eq!(serve(&ledger, ledger.look(0, late), first), Err(Wrong::Expired));
        let value = value::plain(0, 0, first, 90);
        let look = ledger.look(0, late);
        assert_eq!(ledger.judge(look, &value, value::flags(0, first), false), Ok(first));
        ledger.touch(0);
        assert_eq!(serve(&ledger, ledger.look(0, late), first), Ok(first));
        ledger.touched(0, life, late);
        assert_eq!(serve(&ledger, ledger.look(0, late + life), first), Ok(first));
        assert_eq!(serve(&ledger, ledger.look(0, late + 2 * life), first), Err(Wrong::Expired));
    }

    #[test]
    fn wrong_values_are_told_apart() {
        let (ledger, now) = (ledger(), clock::now());
        let (first, _) = ledger.issue(0);
        let look = ledger.look(0, now);
        let flags = value::flags(0, first);
        let mut value = value::plain(0, 0, first, 400);
        value[399] ^= 0x80;
        assert_eq!(ledger.judge(look, &value, flags, true), Err(Wrong::Torn));
        let foreign = value::plain(1, 0, first, 400);
        assert_eq!(ledger.judge(look, &foreign, flags, true), Err(Wrong::Foreign));
        let (count, _) = ledger.issue(1);
        let look = ledger.look(1, now);
        let text = value::count(1, count).to_string();
        assert_eq!(ledger.judge(look, text.as_bytes(), 0, true), Ok(count));
    }
}
