//! What values on their way may hold: those that arrive (uploads) and those that are being sent (pinned).
//!
//! Neither can be evicted, so that together they leave a quarter of the memory to everybody else. Who
//! would take more waits, which is for the session and its server to do: nothing here blocks.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use crossbeam::utils::CachePadded;

use super::{Key, Refusal, Store};
use crate::clock::Secs;
use crate::limits::{
    COPY_VALUE_MAX, PINNED_CAREFUL_PARTS, PINNED_PARTS, PINNED_WITH_UPLOADS_PARTS,
    ROOM_KEPT_FACTOR, ROOM_KEPT_PART, TRANSIT_LENDS_PARTS, TRANSIT_PARTS, UPLOADS_BEGUN_PARTS,
    UPLOADS_PARTS, UPLOADS_WITH_PINNED_PARTS,
};

/// What room is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// More of a value that arrives.
    Upload {
        /// Bytes of the value that have a place.
        held: usize,
        /// Those that have none yet.
        missing: usize,
    },
    /// A value of so many bytes that is to be sent, and that nobody is being sent now.
    Pin {
        /// Its length.
        bytes: usize,
    },
}

/// Why an upload cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Others hold what it might have: later there may be room.
    Room(Room),
    /// There is no memory for it, whoever goes.
    Memory,
}

impl From<Shortage> for Refusal {
    fn from(_: Shortage) -> Refusal {
        Refusal::NoMemory
    }
}

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Transit {
    /// Written when large values come and go, so away from what every lookup reads.
    bytes: CachePadded<Bytes>,
    /// Pinned values hold so much that each further one is asked for. Written when that changes.
    is_careful: AtomicBool,
}

#[derive(Debug, Default)]
struct Bytes {
    uploading: AtomicUsize,
    pinned: AtomicUsize,
    /// Clients that wait for either.
    waiting: AtomicUsize,
}

/// So many of the [`TRANSIT_PARTS`] of the memory.
fn parts(limit: usize, count: usize) -> usize {
    limit / TRANSIT_PARTS * count
}

impl Store {
    /// Bytes of values that are arriving, as far as they have a place.
    pub fn uploading_bytes(&self) -> usize {
        self.transit.bytes.uploading.load(Relaxed)
    }

    /// Bytes of values that are being sent from where they lie, each value once.
    pub fn pinned_bytes(&self) -> usize {
        self.transit.bytes.pinned.load(Relaxed)
    }

    /// Bytes of both.
    pub fn on_its_way_bytes(&self) -> usize {
        self.uploading_bytes() + self.pinned_bytes()
    }

    /// Whether there is room now. Several threads that ask at once may all be told so.
    pub fn has_room(&self, room: Room) -> bool {
        let limit = self.items_limit_bytes();
        let (uploading, pinned) = (self.uploading_bytes(), self.pinned_bytes());
        let kept =
            |bytes: usize| bytes.saturating_mul(ROOM_KEPT_FACTOR).min(limit / ROOM_KEPT_PART);
        match room {
            // The more it holds, and is still to hold, the more it leaves to others: so small values
            // pass where large ones wait, and one that is nearly there can be completed.
            Room::Upload { held, missing } => {
                // There is nobody to leave it to: the largest value (`-I`) has to fit also while clients
                // have some of the memory.
                let is_alone = uploading <= held;
                let kept = if is_alone { 0 } else { kept(held) + kept(missing) };
                let uploading = uploading + kept;
                uploading <= parts(limit, UPLOADS_PARTS)
                    && uploading + pinned <= parts(limit, UPLOADS_WITH_PINNED_PARTS)
            }
            // A single one always may, however large it is.
            Room::Pin { bytes } => {
                let pinned_then = pinned.saturating_add(bytes) + kept(bytes);
                pinned == 0
                    || (pinned_then <= parts(limit, PINNED_PARTS)
                        && pinned_then + uploading <= parts(limit, PINNED_WITH_UPLOADS_PARTS))
            }
        }
    }

    /// Whether each value that would be pinned is to be asked for ([`Store::bytes_to_pin`]).
    pub fn is_careful(&self) -> bool {
        self.transit.is_careful.load(Relaxed)
    }

    /// Bytes that sending the value of `key` would pin, which nobody else has pinned already. 0: none, or
    /// it would be copied. A look that counts for nothing.
    pub fn bytes_to_pin(&self, key: &Key<'_>, now: Secs) -> usize {
        let bytes = self.shard_of(key).unpinned_len(key, now);
        if bytes > COPY_VALUE_MAX { bytes } else { 0 }
    }

    /// Takes note that so many more clients wait for room, or so many fewer.
    pub fn note_waiting(&self, more: usize, fewer: usize) {
        self.transit.bytes.waiting.fetch_add(more, Relaxed);
        self.transit.bytes.waiting.fetch_sub(fewer, Relaxed);
    }

    /// Whether values that arrive hold much, so that what follows them may have to wait.
    pub fn is_filling_up(&self) -> bool {
        self.uploading_bytes() > parts(self.items_limit_bytes(), 1)
    }

    /// Bytes of the memory that clients may be lent: what values on their way do not need.
    pub fn lendable_bytes(&self) -> usize {
        let in_transit = self.uploading_bytes() + self.pinned_bytes();
        let needed = in_transit / TRANSIT_LENDS_PARTS * TRANSIT_PARTS;
        self.limit_bytes().saturating_sub(needed)
    }

    /// Clients that wait for room, as far as that was noted.
    pub fn waiting(&self) -> usize {
        self.transit.bytes.waiting.load(Relaxed)
    }

    /// Whether those that stand still have to go, since others wait or more has been begun than can end.
    pub fn is_crowded(&self) -> bool {
        let begun_max = parts(self.items_limit_bytes(), UPLOADS_PARTS);
        self.waiting() > 0 || self.uploading_bytes() > begun_max
    }

    /// Whether an upload may be begun: beyond that there are too many even for the first piece of each.
    pub(super) fn may_begin_upload(&self) -> bool {
        self.uploading_bytes() <= parts(self.items_limit_bytes(), UPLOADS_BEGUN_PARTS)
    }

    /// Takes note that uploads hold so many bytes more.
    pub(super) fn charge_upload(&self, bytes: usize) {
        self.transit.bytes.uploading.fetch_add(bytes, Relaxed);
    }

    /// Takes note that they hold so many fewer.
    pub(super) fn discharge_upload(&self, bytes: usize) {
        self.transit.bytes.uploading.fetch_sub(bytes, Relaxed);
    }

    /// Takes note that a value of so many bytes is pinned.
    pub(super) fn note_pinned(&self, bytes: usize) {
        let before = self.transit.bytes.pinned.fetch_add(bytes, Relaxed);
        self.judge_pinned(before + bytes);
    }

    /// Takes note that it no longer is.
    pub(super) fn note_unpinned(&self, bytes: usize) {
        let before = self.transit.bytes.pinned.fetch_sub(bytes, Relaxed);
        self.judge_pinned(before.saturating_sub(bytes));
    }

    /// Of two threads the later may say what was true before: until the next value, and what is asked then
    /// is what there is.
    fn judge_pinned(&self, pinned: usize) {
        let is_careful = pinned > parts(self.items_limit_bytes(), PINNED_CAREFUL_PARTS);
        if is_careful != self.is_careful() {
            self.transit.is_careful.store(is_careful, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Expiry;
    use crate::limits::PINNED_PARTS;
    use crate::store::{Meta, Miss, Options, Terms, Upload, Value};
    use std::sync::Arc;

    const NOW: Secs = Secs(100);
    const LIMIT: usize = 64 << 20;
    const MB: usize = 1_000_000;

    fn store() -> Arc<Store> {
        Store::new(&Options {
            memory_bytes: LIMIT,
            item_size_max: 40 << 20,
            growth_factor: 1.04,
            chunk_space_min: 48,
            evictions: true,
            cas: true,
            large_pages: false,
            crawler: true,
            automove: true,
            temporary_ttl: None,
            track_sizes: false,
            threads: 1,
        })
        .expect("memory")
    }

    fn begin(store: &Arc<Store>, number: usize, len: usize) -> Upload {
        let key = format!("up:{number}");
        let key = store.key(key.as_bytes());
        store.reserve(&Terms::default(), &key, Meta::default(), len, NOW).expect("begun")
    }

    fn put(store: &Arc<Store>, key: &str, len: usize) {
        let key = store.key(key.as_bytes());
        let terms = Terms::default();
        store.store(&terms, &key, Meta::default(), &vec![b'v'; len], NOW).expect("room");
    }

    fn pin(store: &Arc<Store>, key: &str) -> Value {
        store.get(&store.key(key.as_bytes()), NOW, |hit| hit.pin()).expect("it is there")
    }

    /// Of a thousand that send half of a megabyte each gets a share; what is smaller passes beside them,
    /// and goes through to its end.
    #[test]
    fn small_uploads_pass_many_large_ones() {
        let store = store();
        let half = vec![b'h'; MB / 2];
        let mut halves: Vec<Upload> = (0..1000).map(|number| begin(&store, number, MB)).collect();
        // As they come: a little from each in turn.
        let mut is_short = false;
        for at in (0..half.len()).step_by(10_000) {
            for upload in &mut halves {
                let behind = MB - upload.remaining();
                if behind == at {
                    let filled = upload.fill(&half[at..at + 10_000], NOW);
                    is_short |= matches!(filled, Err(Shortage::Room(_)));
                    assert_ne!(filled, Err(Shortage::Memory));
                }
            }
        }
        assert!(is_short);
        let held = store.uploading_bytes();
        assert!(held > LIMIT / 2 && held <= parts(LIMIT, UPLOADS_PARTS), "{held} B");
        for len in [100, 20_000, 100_000] {
            let mut small: Vec<Upload> = (0..3).map(|n| begin(&store, 5000 + n, len)).collect();
            for upload in &mut small {
                for part in vec![b's'; len].chunks(3000) {
                    assert_eq!(upload.fill(part, NOW), Ok(part.len()), "of {len} B");
                }
            }
            for upload in small {
                store.commit(upload, &Terms::default(), NOW).expect("stored");
            }
        }
        drop(halves);
        assert_eq!(store.uploading_bytes(), 0);
    }

    /// One alone may have a half of the memory, as large as it is.
    #[test]
    fn a_single_upload_may_be_large() {
        let store = store();
        let value = vec![b'l'; 30 * MB];
        let mut upload = begin(&store, 0, value.len());
        for part in value.chunks(64 * 1024) {
            assert_eq!(upload.fill(part, NOW), Ok(part.len()));
        }
        store.commit(upload, &Terms::default(), NOW).expect("stored");
    }

    /// Where the largest value is a half of the memory, it can be stored also while clients have some of that.
    #[test]
    fn the_largest_value_has_room_while_memory_is_lent() {
        let store = store();
        assert!(store.lend_to_clients(LIMIT / 8));
        let value = vec![b'l'; LIMIT / 2 - 1000];
        let mut upload = begin(&store, 0, value.len());
        for part in value.chunks(64 * 1024) {
            assert_eq!(upload.fill(part, NOW), Ok(part.len()));
        }
        store.commit(upload, &Terms::default(), NOW).expect("stored");
    }

    /// To ask what would be pinned changes nothing: what has expired is a miss of that kind afterwards.
    #[test]
    fn what_has_expired_is_not_taken_away_by_the_question() {
        let store = store();
        let key = store.key(b"brief");
        let meta = Meta { expiry: Expiry(NOW.0 + 1), ..Meta::default() };
        store.store(&Terms::default(), &key, meta, &vec![b'v'; MB], NOW).expect("room");
        let later = Secs(NOW.0 + 5);
        assert_eq!((store.bytes_to_pin(&key, NOW), store.bytes_to_pin(&key, later)), (MB, 0));
        assert_eq!(store.get(&key, later, |hit| hit.value_len()), Err(Miss::Expired));
    }

    /// Uploads that all want more do not block each other for good: those that are nearly there end.
    #[test]
    fn who_is_nearly_there_can_end() {
        let store = store();
        let mut uploads: Vec<Upload> = (0..60).map(|number| begin(&store, number, MB)).collect();
        let part = vec![b'p'; 10_000];
        let mut ended = 0;
        for _ in 0..100 {
            for upload in &mut uploads {
                let part = &part[..part.len().min(upload.remaining())];
                let _filled = upload.fill(part, NOW);
            }
            let (done, going): (Vec<_>, Vec<_>) =
                uploads.into_iter().partition(|upload| upload.remaining() == 0);
            ended += done.len();
            uploads = going;
            for upload in done {
                store.commit(upload, &Terms::default(), NOW).expect("stored");
            }
        }
        // Their equals that stand still are given up by the server; without that a few must wait on.
        assert!(ended + uploads.len() == 60 && store.uploading_bytes() <= LIMIT * 5 / 8);
    }

    #[test]
    fn pinned_values_count_once_and_are_bounded() {
        let store = store();
        (0..40).for_each(|number| put(&store, &format!("v{number}"), MB));
        let mut values: Vec<Value> = Vec::new();
        for number in 0..40 {
            let name = format!("v{number}");
            let key = store.key(name.as_bytes());
            let bytes = store.bytes_to_pin(&key, NOW);
            assert_eq!(bytes, MB);
            if !store.has_room(Room::Pin { bytes }) {
                break;
            }
            values.push(pin(&store, &name));
            values.push(pin(&store, &name));
            assert_eq!(store.pinned_bytes(), values.len() / 2 * MB);
            assert_eq!(store.bytes_to_pin(&key, NOW), 0);
        }
        let held = store.pinned_bytes();
        assert!(store.is_careful() && held > LIMIT / 3 && held <= parts(LIMIT, PINNED_PARTS));
        assert!(store.has_room(Room::Pin { bytes: 100_000 }), "smaller ones pass");
        // Replaced and deleted ones are held as before.
        put(&store, "v0", MB);
        store.delete(&store.key(b"v1"), None, NOW).expect("it was there");
        assert_eq!(store.pinned_bytes(), held);
        assert_eq!(store.bytes_to_pin(&store.key(b"v0"), NOW), MB);
        assert_eq!(store.bytes_to_pin(&store.key(b"v1"), NOW), 0);
        values.truncate(1);
        assert_eq!((store.pinned_bytes(), store.is_careful()), (MB, false));
        values.clear();
        assert_eq!(store.pinned_bytes(), 0);
        assert!(store.has_room(Room::Pin { bytes: 10 * LIMIT }), "one alone may always");
    }

    /// The bounds of each question, to the byte.
    #[test]
    fn what_is_on_its_way_is_weighed() {
        let store = store();
        let limit = store.items_limit_bytes();
        let part = limit / TRANSIT_PARTS;
        let asked = |uploading: usize, pinned: usize| {
            store.charge_upload(uploading);
            store.note_pinned(pinned);
            let answers = (
                store.is_filling_up(),
                store.waiting(),
                store.is_crowded(),
                store.may_begin_upload(),
                store.lendable_bytes(),
            );
            store.discharge_upload(uploading);
            store.note_unpinned(pinned);
            answers
        };
        assert_eq!(asked(part, 0), (false, 0, false, true, lendable(&store, part)));
        assert_eq!(asked(part + 1, 0), (true, 0, false, true, lendable(&store, part + 1)));
        assert_eq!(asked(part, 1), (false, 0, false, true, lendable(&store, part + 1)));
        let most = part * UPLOADS_PARTS;
        assert!(!asked(most, 0).2 && asked(most + 1, 0).2);
        let begun = part * UPLOADS_BEGUN_PARTS;
        assert_eq!((asked(begun, 0).3, asked(begun + 1, 0).3), (true, false));
        store.note_waiting(2, 0);
        assert_eq!(asked(0, 0), (false, 2, true, true, store.limit_bytes()));
        store.note_waiting(0, 2);
        assert!(!asked(0, 0).2);
        for (pinned, is_careful) in [(part, false), (part + 1, true)] {
            store.note_pinned(pinned);
            assert_eq!(store.is_careful(), is_careful);
            store.note_unpinned(pinned);
            assert!(!store.is_careful());
        }
        store.charge_upload(begun + 1);
        let key = store.key(b"key");
        let refused = store.reserve(&Terms::default(), &key, Meta::default(), 10, NOW);
        assert_eq!(refused.map(drop), Err(crate::store::Refusal::NoMemory));
        store.discharge_upload(begun + 1);
    }

    fn lendable(store: &Store, in_transit: usize) -> usize {
        store.limit_bytes() - in_transit / TRANSIT_LENDS_PARTS * TRANSIT_PARTS
    }
}
