//! Bytes that are read and written without a shard's lock, while the item goes, and pages move.

use std::sync::Arc;

use arrayvec::ArrayVec;
use shuttle::thread::{self, JoinHandle};

use crate::buf::Region;
use crate::kit::{NOW, get, model, set, store, value};
use crate::store::validate::{pinned_items, validate};
use crate::store::{Meta, Store, Terms, Value};

const KEY: &[u8] = b"key";
/// In one chunk, so that it is overwritten in its place where nobody reads it.
const SMALL_BYTES: usize = 700;
/// A chain of a dozen links or more.
const LARGE_BYTES: usize = 150_000;

fn pin(store: &Arc<Store>) -> Option<Value> {
    store.get(&store.key(KEY), NOW, |hit| hit.pin()).ok()
}

/// Reads a pinned value to its end in `steps` parts, as a connection whose client reads slowly.
fn read(mut pinned: Value, steps: usize) -> Vec<u8> {
    let (mut seen, part) = (Vec::new(), pinned.len().div_ceil(steps));
    while pinned.len() > 0 {
        let mut bytes = Vec::new();
        {
            let mut slices = ArrayVec::new();
            pinned.slices(&mut slices);
            slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
        }
        bytes.truncate(part);
        thread::yield_now();
        pinned.advance(bytes.len());
        seen.extend_from_slice(&bytes);
    }
    seen
}

fn start(store: &Arc<Store>, go: impl FnOnce(&Arc<Store>) + Send + 'static) -> JoinHandle<()> {
    let store = Arc::clone(store);
    thread::spawn(move || go(&store))
}

fn end(store: &Arc<Store>, threads: Vec<JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(pinned_items(store), 0);
    validate(store);
}

/// One reads, one stores and deletes, one fills the store until things go, one moves pages and sweeps.
fn pinned_value_stays(len: usize) {
    let store = store();
    set(&store, KEY, &value(1, len), NOW).expect("room");
    let pinned = pin(&store).expect("it is there");
    let threads = vec![
        start(&store, move |_| assert!(read(pinned, 4) == value(1, len))),
        start(&store, move |store| {
            set(store, KEY, &value(2, len), NOW).expect("room");
            if let Some(again) = pin(store) {
                store.flush(NOW);
                set(store, KEY, &value(3, len), NOW).expect("room");
                let _there = store.delete(&store.key(KEY), None, NOW);
                assert!(read(again, 2) == value(2, len));
            }
        }),
        start(&store, move |store| {
            for number in 0..40_u32 {
                let key = number.to_le_bytes();
                set(store, &key, &value(100 + number, len), NOW).expect("room");
            }
        }),
        start(&store, |store| {
            for class in 1..20 {
                let _moved = store.reassign(-1, class, NOW);
                store.maintain(NOW);
            }
        }),
    ];
    end(&store, threads);
}

pub(super) fn a_pinned_value_stays() {
    model(|| pinned_value_stays(SMALL_BYTES));
}

pub(super) fn a_large_pinned_value_stays() {
    model(|| pinned_value_stays(LARGE_BYTES));
}

/// An upload comes in parts, another one is given up, while others flush, evict and move pages.
pub(super) fn an_upload_is_its_own() {
    model(|| {
        let store = store();
        for number in 0..8_u32 {
            set(&store, &number.to_le_bytes(), &value(number, LARGE_BYTES), NOW).expect("room");
        }
        let threads = vec![
            start(&store, |store| {
                if upload(store, KEY, 7, 5) {
                    let seen = get(store, KEY, NOW).expect("nobody flushes or needs its room");
                    assert!(seen == value(7, LARGE_BYTES));
                }
            }),
            start(&store, |store| {
                upload(store, b"given up", 8, 3);
            }),
            start(&store, |store| {
                for number in 8..14_u32 {
                    set(store, &number.to_le_bytes(), &value(number, SMALL_BYTES), NOW)
                        .expect("room");
                }
            }),
            start(&store, |store| {
                for class in 1..12 {
                    let _moved = store.reassign(-1, class, NOW);
                    store.maintain(NOW);
                }
            }),
        ];
        end(&store, threads);
    });
}

/// Sends a value in five parts, or the first of them. Whether it was stored.
fn upload(store: &Arc<Store>, key: &[u8], version: u32, parts: usize) -> bool {
    let bytes = value(version, LARGE_BYTES);
    let terms = Terms::default();
    let reserved = store.reserve(&terms, &store.key(key), Meta::default(), LARGE_BYTES, NOW);
    let Ok(mut upload) = reserved else { return false };
    for part in bytes.chunks(LARGE_BYTES.div_ceil(5)).take(parts) {
        if upload.fill(part, NOW).is_err() {
            return false;
        }
        thread::yield_now();
    }
    upload.remaining() == 0 && store.commit(upload, &terms, NOW).is_ok()
}

/// Two overwrite a key, in place where they can, and two read it: each value is one that was stored.
pub(super) fn who_overwrites_is_seen_whole() {
    model(|| {
        let store = store();
        set(&store, KEY, &value(1, SMALL_BYTES), NOW).expect("room");
        let mut threads: Vec<_> = [10, 20]
            .into_iter()
            .map(|first| {
                start(&store, move |store| {
                    for version in first..first + 4 {
                        set(store, KEY, &value(version, SMALL_BYTES), NOW).expect("room");
                    }
                })
            })
            .collect();
        threads.extend([2, 3].map(|steps| {
            start(&store, move |store| {
                for _ in 0..3 {
                    let pinned = pin(store).expect("it is always there");
                    let seen = read(pinned, steps);
                    let version = u32::from_le_bytes([seen[4], seen[5], seen[6], seen[7]]);
                    assert!([1, 10, 11, 12, 13, 20, 21, 22, 23].contains(&version));
                    assert!(seen == value(version, SMALL_BYTES));
                }
            })
        }));
        end(&store, threads);
    });
}
