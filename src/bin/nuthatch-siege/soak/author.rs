//! What a well-behaved client asks next: batches of operations on its own slots, and reads of
//! everybody's.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::codec::{Mode, Request, Store};
use super::ledger::{Ledger, Look};
use super::value::{self, Form, SlotNumber};
use crate::random::Random;

/// Slots of one client.
pub const SLOTS: u32 = 4_000;

/// Of these the last hold large values.
const LARGE_SLOTS: u32 = 8;

/// Of these the first are everybody's favourites.
const HOT_SLOTS: u32 = 8;

/// What a slot of a ledger holds; every client's slots are alike.
pub fn form(slot: SlotNumber) -> Form {
    match slot % SLOTS % 16 {
        _ if is_large(slot) => Form::Plain,
        12 | 13 => Form::Counter,
        4 | 5 => Form::Journal,
        _ => Form::Plain,
    }
}

/// Whether a slot holds large values.
pub fn is_large(slot: SlotNumber) -> bool {
    slot % SLOTS >= SLOTS - LARGE_SLOTS
}

/// One operation, and what its answer means.
#[derive(Debug)]
pub struct Step {
    /// What is asked.
    pub request: Request,
    /// What is to be made of the answer.
    pub meaning: Meaning,
    /// The opaque, and as many after it as there are keys, are this step's.
    pub opaque: u32,
}

/// What an answer is held against.
#[derive(Clone, Debug)]
pub enum Meaning {
    /// Values of these.
    Read(Vec<Look>),
    /// A value, whose life in seconds is changed.
    ReadTouch(Look, u32),
    /// A version was sent, to live for so many seconds (0: for ever); with a unique: whether it is
    /// the newest.
    Store(SlotNumber, u64, u32, Option<bool>),
    /// A version was appended.
    Append(SlotNumber, u64),
    /// A counter was counted up from what this look knew.
    Count(Look, u64),
    /// The life was changed.
    Touch(SlotNumber, u32),
    /// The item was deleted.
    Delete(SlotNumber),
}

impl Meaning {
    /// The slot that is written.
    pub fn writes(&self) -> Option<SlotNumber> {
        match self {
            Meaning::Read(_) => None,
            Meaning::ReadTouch(look, _) | Meaning::Count(look, _) => Some(look.slot),
            Meaning::Store(slot, ..)
            | Meaning::Append(slot, _)
            | Meaning::Touch(slot, _)
            | Meaning::Delete(slot) => Some(*slot),
        }
    }
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Everything.
    All,
    /// Values, its own and others'.
    Reads,
    /// A few small values at a time, as fits into datagrams.
    Datagrams,
}

/// What a client knows of one of its slots.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own {
    /// The version that was stored last, unless something happened to it since.
    pub stored: Option<u64>,
    /// How often that was appended to.
    pub entries: u32,
    /// The unique of what is stored.
    pub unique: Option<u64>,
    /// The unique of something that was replaced.
    pub old_unique: Option<u64>,
}

/// Who makes batches.
#[derive(Debug)]
pub struct Author<'a> {
    random: Random,
    ledger: &'a Ledger,
    /// How large small values are at the moment: 0 to 2.
    size: &'a AtomicU32,
    first: SlotNumber,
    habit: Habit,
    own: Vec<Own>,
    opaque: u32,
    recent: VecDeque<SlotNumber>,
    /// What should be gone by then.
    expiring: VecDeque<(Instant, SlotNumber)>,
}

impl<'a> Author<'a> {
    /// The author of the client whose slots begin with `first`.
    pub fn new(
        ledger: &'a Ledger,
        size: &'a AtomicU32,
        first: SlotNumber,
        habit: Habit,
        seed: u64,
    ) -> Author<'a> {
        Author {
            random: Random::new(seed),
            ledger,
            size,
            first,
            habit,
            own: vec![Own::default(); SLOTS as usize],
            opaque: 0,
            recent: VecDeque::new(),
            expiring: VecDeque::new(),
        }
    }

    /// What is known of an own slot.
    pub fn own(&mut self, slot: SlotNumber) -> Option<&mut Own> {
        self.own.get_mut(slot.checked_sub(self.first)? as usize)
    }

    /// A number below `bound`, for other choices of the client.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.random.below(bound)
    }

    /// The item of `slot` will have expired at `moment`.
    pub fn expires(&mut self, slot: SlotNumber, moment: Instant) {
        if self.expiring.len() < 512 {
            self.expiring.push_back((moment, slot));
        }
    }

    /// The next batch. Its bytes and those of its answers fit into the kernel's buffers, unless it
    /// has one step only: the client sends all of it before it reads.
    pub fn batch(&mut self, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        match self.random.below(100) {
            _ if self.habit == Habit::Datagrams => {
                let count = 1 + self.random.below(6);
                let slots = (0..count).map(|_| self.slot_to_read(now)).collect();
                self.read(slots, now, &mut steps);
            }
            0..4 => self.large(now, &mut steps),
            4..20 => {
                let count = 2 + self.random.below(60);
                let slots = (0..count).map(|_| self.slot_to_read(now)).collect();
                self.read(slots, now, &mut steps);
            }
            _ => {
                let depth = match self.random.below(10) {
                    0..5 => 1,
                    5..8 => 2 + self.random.below(8),
                    _ => 10 + self.random.below(20),
                };
                let mut budget = BATCH_BYTES;
                let max = self.small_max();
                for _ in 0..depth {
                    self.small(now, &mut steps);
                    budget = budget.saturating_sub(max);
                    if budget == 0 {
                        break;
                    }
                }
            }
        }
        steps
    }

    fn small(&mut self, now: Instant, steps: &mut Vec<Step>) {
        if self.habit != Habit::All || self.random.below(100) < 62 {
            let slot = self.slot_to_read(now);
            return self.read(vec![slot], now, steps);
        }
        let slot = self.slot_to_write();
        if steps.iter().any(|step| step.meaning.writes() == Some(slot)) {
            return self.read(vec![slot], now, steps);
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(slot);
        match self.random.below(100) {
            0..8 => {
                let ttl = self.ttl();
                self.ledger.touch(slot);
                let key = self.key_now(slot, now).0;
                self.push(steps, Request::Touch(key, ttl), Meaning::Touch(slot, ttl), 1);
            }
            8..16 => {
                let ttl = self.ttl();
                self.ledger.touch(slot);
                let (key, look) = self.key_now(slot, now);
                self.push(steps, Request::GetTouch(key, ttl), Meaning::ReadTouch(look, ttl), 1);
            }
            16..24 => {
                let key = self.key_now(slot, now).0;
                self.push(steps, Request::Delete(key), Meaning::Delete(slot), 1);
            }
            _ => match self.ledger.form(slot) {
                Form::Plain => self.store(slot, steps),
                Form::Counter => self.count(slot, now, steps),
                Form::Journal => self.append(slot, steps),
            },
        }
    }

    fn large(&mut self, now: Instant, steps: &mut Vec<Step>) {
        let inside = SLOTS - LARGE_SLOTS + self.random.below(LARGE_SLOTS);
        if self.habit != Habit::All || self.random.below(2) == 0 {
            let clients = self.ledger.len() as u32 / SLOTS;
            let slot = self.random.below(clients) * SLOTS + inside;
            return self.read(vec![slot], now, steps);
        }
        self.store(self.first + inside, steps);
    }

    fn read(&mut self, slots: Vec<SlotNumber>, now: Instant, steps: &mut Vec<Step>) {
        let looks: Vec<Look> = slots.iter().map(|slot| self.ledger.look(*slot, now)).collect();
        let keys: Vec<_> =
            looks.iter().map(|look| value::key(look.slot, look.generation)).collect();
        let count = keys.len() as u32;
        self.push(steps, Request::Get(keys), Meaning::Read(looks), count);
    }

    fn store(&mut self, slot: SlotNumber, steps: &mut Vec<Step>) {
        let own = self.own(slot).copied().unwrap_or_default();
        let (mode, is_newest) = match (self.random.below(10), own.unique, own.old_unique) {
            (0, ..) => (Mode::Add, None),
            (1, ..) => (Mode::Replace, None),
            (2..6, Some(unique), _) => (Mode::Cas(unique), Some(true)),
            (6, _, Some(unique)) => (Mode::Cas(unique), Some(false)),
            _ => (Mode::Set, None),
        };
        let (version, generation) = self.ledger.issue(slot);
        let ttl = if self.random.below(2) == 0 { 0 } else { self.ttl() };
        let (value, flags) = match self.ledger.form(slot) {
            Form::Counter => (value::count(slot, version).to_string().into_bytes(), 0),
            form => {
                let len = self.len(slot, form);
                (value::plain(slot, generation, version, len), value::flags(slot, version))
            }
        };
        let store = Store { mode, key: value::key(slot, generation), flags, ttl, value };
        let meaning = Meaning::Store(slot, version, ttl, is_newest);
        self.push(steps, Request::Store(store), meaning, 1);
    }

    fn count(&mut self, slot: SlotNumber, now: Instant, steps: &mut Vec<Step>) {
        if self.own(slot).is_none_or(|own| own.stored.is_none()) || self.random.below(20) == 0 {
            return self.store(slot, steps);
        }
        let (key, look) = self.key_now(slot, now);
        // The number before it may be any that has been issued, so none may be passed over.
        let (version, _) = self.ledger.issue(slot);
        self.push(steps, Request::Count(key, 2), Meaning::Count(look, version), 1);
    }

    fn append(&mut self, slot: SlotNumber, steps: &mut Vec<Step>) {
        let own = self.own(slot).copied().unwrap_or_default();
        let Some(before) = own.stored.filter(|_| own.entries < ENTRIES_MAX) else {
            return self.store(slot, steps);
        };
        let (version, generation) = self.ledger.issue(slot);
        let entry = value::entry(slot, version, before);
        let key = value::key(slot, generation);
        self.push(steps, Request::Append(key, entry), Meaning::Append(slot, version), 1);
    }

    fn push(&mut self, steps: &mut Vec<Step>, request: Request, meaning: Meaning, keys: u32) {
        // Room for the keys and a NOOP; never so large that it wraps within a step.
        self.opaque = (self.opaque + 1) % 0x4000_0000;
        let opaque = self.opaque;
        self.opaque += keys;
        steps.push(Step { request, meaning, opaque });
    }

    fn key_now(&self, slot: SlotNumber, now: Instant) -> (Vec<u8>, Look) {
        let look = self.ledger.look(slot, now);
        (value::key(slot, look.generation), look)
    }

    fn slot_to_write(&mut self) -> SlotNumber {
        let bound = if self.random.below(4) == 0 { HOT_SLOTS } else { SLOTS - LARGE_SLOTS };
        self.first + self.random.below(bound)
    }

    fn slot_to_read(&mut self, now: Instant) -> SlotNumber {
        if let Some((_, slot)) = self.expiring.pop_front_if(|(moment, _)| *moment < now) {
            return slot;
        }
        let clients = self.ledger.len() as u32 / SLOTS;
        match self.random.below(10) {
            0..4 if !self.recent.is_empty() => {
                self.recent[self.random.below(self.recent.len() as u32) as usize]
            }
            0..6 => self.first + self.random.below(SLOTS - LARGE_SLOTS),
            6..8 => self.random.below(clients) * SLOTS + self.random.below(HOT_SLOTS),
            _ => self.random.below(clients) * SLOTS + self.random.below(SLOTS - LARGE_SLOTS),
        }
    }

    fn ttl(&mut self) -> u32 {
        if self.random.below(2) == 0 {
            1 + self.random.below(5)
        } else {
            30 + self.random.below(600)
        }
    }

    fn small_max(&self) -> usize {
        [300, 2_000, 8_000][self.size.load(Relaxed) as usize % 3]
    }

    fn len(&mut self, slot: SlotNumber, form: Form) -> usize {
        let (from, to) = match form {
            _ if is_large(slot) => (32_000.0, LARGE_MAX_BYTES),
            Form::Plain => (30.0, self.small_max() as f64),
            _ => (30.0, 300.0),
        };
        // Equal shares of small and large, by their logarithm.
        (from * f64::powf(to / from, self.random.unit())) as usize
    }
}

/// How long after an item's time to live its owner looks whether it is gone.
pub const LOOK_AFTER: Duration = Duration::from_millis(1_400);

/// The largest value: with its key and header it is just below memcached's bound of 1 MiB.
const LARGE_MAX_BYTES: f64 = 1_040_000.0;

/// Half of a Unix socket's buffer.
const BATCH_BYTES: usize = 96 << 10;

/// Slots written last, which are read more often.
const RECENT: usize = 32;

/// A journal is begun anew after so many entries.
const ENTRIES_MAX: u32 = 30;
