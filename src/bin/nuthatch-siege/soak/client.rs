//! A well-behaved client: a thread with some connections, on which it sends batches when they are
//! due, reads all their answers and holds each against the ledger.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::author::{Author, Habit, LOOK_AFTER, Meaning, Own, SLOTS, Step};
use super::codec::{Answer, Codec, Found, Trouble};
use super::counts::{self, Counts};
use super::ledger::{Ledger, Look};
use super::link::{Link, Place};
use super::value::{self, SlotNumber};
use super::weather::{Time, Weather};
use crate::clock;
use crate::latency::Histogram;
use crate::running::Running;

/// How a client talks, and what about.
#[derive(Clone, Debug)]
pub struct Role {
    /// What it is called.
    pub name: &'static str,
    /// Where it connects to.
    pub place: Place,
    /// What it speaks.
    pub codec: Codec,
    /// Name and password.
    pub login: Option<(String, String)>,
    /// What it asks for.
    pub habit: Habit,
}

/// What the clients of one server share.
#[derive(Debug)]
pub struct Scene {
    /// What they may be told.
    pub ledger: Ledger,
    /// What they have to bear.
    pub weather: Weather,
    /// How large small values are: 0 to 2.
    pub size: AtomicU32,
}

/// A client at work.
pub struct Client<'a> {
    role: &'a Role,
    scene: &'a Scene,
    counts: &'a Counts,
    author: Author<'a>,
    latencies: [Histogram; 3],
}

impl<'a> Client<'a> {
    /// The client with this number, which its slots follow from.
    pub fn new(
        role: &'a Role,
        scene: &'a Scene,
        counts: &'a Counts,
        number: u32,
        seed: u64,
    ) -> Self {
        let first = number * SLOTS;
        let author = Author::new(&scene.ledger, &scene.size, first, role.habit, seed);
        let latencies = [Histogram::new(), Histogram::new(), Histogram::new()];
        Client { role, scene, counts, author, latencies }
    }

    /// Sends a batch every `interval`, until told to stop.
    ///
    /// A latency counts from when the batch was due. What falls due while an answer is waited for
    /// is sent late, up to [`LATE_MAX`]; what is later than that is left out.
    pub fn run(mut self, running: &Running, interval: Duration) {
        let mut links: Vec<Option<Link>> = (0..LINKS).map(|_| None).collect();
        let mut due = clock::now();
        let mut next_try = due;
        loop {
            let spread = self.author.below(1_000);
            due = (due + interval * (500 + spread) / 1_000).max(clock::now() - LATE_MAX);
            if !running.pause(due.saturating_duration_since(clock::now())) {
                break;
            }
            let chosen = self.author.below(LINKS as u32) as usize;
            if self.author.below(400) == 0 {
                links[chosen] = None;
            }
            if links[chosen].is_none() && clock::now() >= next_try {
                links[chosen] = self.connect();
                // Connecting is no operation that was due.
                due = due.max(clock::now());
                if links[chosen].is_none() {
                    next_try = clock::now() + CONNECT_PAUSE;
                }
            }
            let Some(link) = &mut links[chosen] else { continue };
            if !self.turn(link, due) {
                links[chosen] = None;
            }
        }
        self.counts.add_latencies(&self.latencies);
    }

    fn connect(&self) -> Option<Link> {
        let login = self.role.login.as_ref().map(|(user, password)| (&**user, &**password));
        let (link, what) = match Link::connect(&self.role.place) {
            Ok(link) => (Some(link), String::new()),
            Err(error) => (None, error.to_string()),
        };
        let Some(mut link) = link else {
            self.counts.error("connection refused", &format!("{}: {what}", self.role.name));
            return None;
        };
        match self.role.codec.greet(login, &mut link) {
            Ok(()) => {
                self.counts.connections.fetch_add(1, Relaxed);
                Some(link)
            }
            Err(Trouble::Lost(error)) => {
                self.counts.error("connection shed", &format!("{}: {error}", self.role.name));
                None
            }
            Err(Trouble::Disorder(line)) if login.is_some() && !line.contains("too many") => {
                self.counts.error("login refused", &format!("{}: {line}", self.role.name));
                None
            }
            Err(Trouble::Disorder(line)) => {
                self.counts.error("connection shed", &format!("{}: {line}", self.role.name));
                None
            }
        }
    }

    /// One batch; whether the connection goes on.
    pub fn turn(&mut self, link: &mut Link, due: Instant) -> bool {
        let stops = self.scene.weather.stops();
        let steps = self.author.batch(clock::now());
        let mut bytes = Vec::new();
        for step in &steps {
            self.role.codec.put(&step.request, step.opaque, &mut bytes);
        }
        let mut at = 0;
        // Datagrams have whole requests.
        let is_cut = !link.is_lossy() && bytes.len() > 1 && self.author.below(10) == 0;
        let cuts = if is_cut { 1 + self.author.below(3) } else { 0 };
        for _ in 0..cuts {
            let end = at + self.author.below((bytes.len() - at) as u32) as usize;
            if let Err(error) = link.send(&bytes[at..end]) {
                return self.lose(&steps, link, &Trouble::Lost(error));
            }
            at = end;
        }
        if let Err(error) = link.send(&bytes[at..]) {
            return self.lose(&steps, link, &Trouble::Lost(error));
        }
        let mut known = Known::default();
        for (index, step) in steps.iter().enumerate() {
            match self.role.codec.take(&step.request, step.opaque, link) {
                Ok(answer) => self.judge(step, answer, stops, &mut known),
                Err(trouble) => return self.lose(&steps[index..], link, &trouble),
            }
        }
        if link.surplus() > 0 {
            self.wrong("surplus answer", &format!("{} bytes", link.surplus()));
            return false;
        }
        let time = self.scene.weather.since(due);
        let latency = clock::now().saturating_duration_since(due);
        self.latencies[counts::index(time)].record(latency.as_nanos() as u64);
        if latency > LATENCY_TOLD && time != Time::Fault {
            let kind = if latency > LATENCY_LONG { "very slow" } else { "slow" };
            self.counts.error(kind, &format!("{}: {latency:.2?} {time:?}", self.role.name));
        }
        true
    }

    /// The answers to `steps` do not come.
    fn lose(&mut self, steps: &[Step], link: &Link, trouble: &Trouble) -> bool {
        let first = steps.first().map(|step| format!("{:.60?}", step.meaning)).unwrap_or_default();
        let what = format!("{} of {} to {first}: {trouble:?}", steps.len(), self.role.name);
        match trouble {
            Trouble::Lost(_) if link.is_lossy() => self.counts.error("datagram lost", &what),
            Trouble::Lost(_) => self.counts.wrong("lost answer", &what),
            Trouble::Disorder(_) => self.counts.wrong("answer out of order", &what),
        }
        for slot in steps.iter().filter_map(|step| step.meaning.writes()) {
            self.scene.ledger.lost(slot);
            self.forget(slot);
        }
        link.is_lossy() && matches!(trouble, Trouble::Lost(_))
    }

    fn judge(&mut self, step: &Step, answer: Answer, stops: u64, known: &mut Known) {
        self.counts.operations.fetch_add(1, Relaxed);
        if let Answer::Refused(words) = &answer {
            return self.refused(step, words);
        }
        let now = clock::now();
        let ledger = &self.scene.ledger;
        match (&step.meaning, answer) {
            (Meaning::Read(looks), Answer::Values(values)) => {
                for (look, value) in looks.iter().zip(values) {
                    self.read(known.raised(*look), value, stops);
                }
            }
            (Meaning::ReadTouch(look, ttl), Answer::Values(values)) => {
                if let Some(Some(value)) = values.into_iter().next() {
                    self.read(known.raised(*look), Some(value), stops);
                    self.touched(look.slot, *ttl, now);
                } else {
                    self.read(*look, None, stops);
                    self.forget(look.slot);
                }
            }
            (Meaning::Store(slot, version, ttl, is_newest), answer) => {
                self.stored(*slot, *version, *ttl, *is_newest, answer, now, known);
            }
            (Meaning::Append(slot, version), Answer::Done) => {
                ledger.stored(*slot, *version, None, now);
                known.stored(*slot, *version);
                self.change(*slot, |own| {
                    own.old_unique = own.unique.or(own.old_unique);
                    (own.stored, own.unique) = (Some(*version), None);
                    own.entries += 1;
                });
            }
            (Meaning::Append(slot, _), Answer::NotStored) => self.forget(*slot),
            (Meaning::Count(look, issued), Answer::Number(number)) => {
                self.counted(known.raised(*look), *issued, number, now, known);
            }
            (Meaning::Count(look, _), Answer::Missed) => {
                ledger.missed(*look);
                self.forget(look.slot);
            }
            (Meaning::Touch(slot, ttl), Answer::Done) => self.touched(*slot, *ttl, now),
            (Meaning::Touch(slot, _), Answer::Missed) => self.forget(*slot),
            (Meaning::Delete(slot), Answer::Done | Answer::Missed) => {
                ledger.deleted(*slot);
                known.stored(*slot, ledger.look(*slot, now).floor);
                self.forget(*slot);
            }
            (meaning, answer) => {
                self.wrong("unexpected answer", &format!("{meaning:.80?} gave {answer:.80?}"));
            }
        }
    }

    fn read(&mut self, look: Look, found: Option<Found>, stops: u64) {
        let Some(found) = found else {
            self.counts.misses.fetch_add(1, Relaxed);
            self.scene.ledger.missed(look);
            return;
        };
        let is_calm = self.scene.weather.is_calm(stops);
        match self.scene.ledger.judge(look, &found.value, found.flags, is_calm) {
            Ok(version) => {
                self.counts.hits.fetch_add(1, Relaxed);
                self.change(look.slot, |own| {
                    own.unique = (own.stored == Some(version)).then_some(found.unique);
                });
            }
            Err(wrong) => {
                let head = String::from_utf8_lossy(&found.value[..found.value.len().min(60)]);
                let len = found.value.len();
                self.wrong(counts::name(wrong), &format!("{look:?} got {len} bytes: {head}"));
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what is told of one store, in one row")]
    fn stored(
        &mut self,
        slot: SlotNumber,
        version: u64,
        ttl: u32,
        is_newest: Option<bool>,
        answer: Answer,
        now: Instant,
        known: &mut Known,
    ) {
        match (answer, is_newest) {
            (Answer::Done, Some(false)) => self.wrong("cas with an old unique", &format!("{slot}")),
            (Answer::Exists, Some(true)) => self.wrong("cas with the unique", &format!("{slot}")),
            (Answer::Done, _) => {
                let life = (ttl > 0).then(|| Duration::from_secs(ttl.into()));
                self.scene.ledger.stored(slot, version, life, now);
                known.stored(slot, version);
                self.change(slot, |own| {
                    own.old_unique = own.unique.or(own.old_unique);
                    (own.stored, own.unique, own.entries) = (Some(version), None, 0);
                });
                if let Some(life) = life.filter(|life| *life < SHORT_LIFE) {
                    self.author.expires(slot, now + life + LOOK_AFTER);
                }
            }
            // Something is there that need not be what was thought to be.
            (Answer::NotStored | Answer::Exists, _) => {}
            (Answer::Missed, Some(_)) => self.forget(slot),
            (answer, _) => self.wrong("unexpected answer", &format!("store gave {answer:.80?}")),
        }
    }

    fn counted(&mut self, look: Look, issued: u64, number: u64, now: Instant, known: &mut Known) {
        let slot = look.slot;
        match value::version_of_count(slot, number) {
            // What was there has been added to, so that the floor itself is too little.
            Ok(version) if version > look.floor && version <= issued => {
                self.scene.ledger.stored(slot, version, None, now);
                known.stored(slot, version);
                self.change(slot, |own| {
                    own.old_unique = own.unique.or(own.old_unique);
                    (own.stored, own.unique) = (Some(version), None);
                });
            }
            _ => self.wrong("wrong count", &format!("{look:?} gave {number}")),
        }
    }

    fn touched(&mut self, slot: SlotNumber, ttl: u32, now: Instant) {
        let life = Duration::from_secs(ttl.into());
        self.scene.ledger.touched(slot, life, now);
        if life < SHORT_LIFE {
            self.author.expires(slot, now + life + LOOK_AFTER);
        }
        // Whether it is another unique then is the server's affair.
        self.change(slot, |own| (own.unique, own.old_unique) = (None, None));
    }

    /// A refused write leaves what was there or nothing.
    fn refused(&mut self, step: &Step, words: &str) {
        let is_memory = words.to_lowercase().contains("memory");
        if is_memory {
            self.counts.error("out of memory", &format!("{}: {words}", self.role.name));
        } else {
            self.wrong("unexpected answer", &format!("{:.80?} gave {words}", step.meaning));
        }
        if let Some(slot) = step.meaning.writes() {
            self.forget(slot);
        }
    }

    fn forget(&mut self, slot: SlotNumber) {
        self.change(slot, |own| *own = Own::default());
    }

    fn change(&mut self, slot: SlotNumber, change: impl FnOnce(&mut Own)) {
        if let Some(own) = self.author.own(slot) {
            change(own);
        }
    }

    fn wrong(&self, kind: &'static str, what: &str) {
        self.counts.wrong(kind, &format!("{}: {what}", self.role.name));
    }
}

/// What earlier answers of the same batch have told.
#[derive(Debug, Default)]
struct Known(Vec<(SlotNumber, u64)>);

impl Known {
    fn stored(&mut self, slot: SlotNumber, version: u64) {
        self.0.push((slot, version));
    }

    /// The look with what was told since it was taken.
    fn raised(&self, mut look: Look) -> Look {
        for (_, version) in self.0.iter().filter(|(slot, _)| *slot == look.slot) {
            look.floor = look.floor.max(*version);
        }
        look.floor_unexpired = look.floor_unexpired.max(look.floor);
        look
    }
}

/// Connections of a client.
const LINKS: usize = 3;

/// How far behind its times a client may be.
const LATE_MAX: Duration = Duration::from_millis(200);

/// Between attempts to connect that fail.
const CONNECT_PAUSE: Duration = Duration::from_millis(250);

/// What lives no longer is looked for when it should be gone.
const SHORT_LIFE: Duration = Duration::from_secs(6);

/// Latencies above are of another kind.
const LATENCY_LONG: Duration = Duration::from_secs(2);

/// Latencies above, without a fault, are told.
const LATENCY_TOLD: Duration = Duration::from_millis(250);
