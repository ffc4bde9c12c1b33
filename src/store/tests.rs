//! What requests count, note in an item and tell of it: what no map beside the store shows.

use std::sync::Arc;

use arrayvec::ArrayVec;

use super::class::ClassId;
use super::item::Mark;
use super::model::options;
use super::queue::Queue;
use super::*;
use crate::buf::Region;
use crate::limits::{CLIENTS_FULL_PART, CLIENTS_KEPT_PART};

const NOW: Secs = Secs(100);
const LATER: Secs = Secs(107);

/// One shard, and one class for all short values.
fn store() -> Arc<Store> {
    Store::new(&Options { threads: 1, temporary_ttl: None, ..options(8 << 20, 1 << 20, true) })
        .expect("memory")
}

fn set(store: &Store, key: &str, value: &[u8], expiry: Expiry) -> Outcome {
    let meta = Meta { expiry, ..Meta::default() };
    store.store(&Terms::default(), &store.key(key.as_bytes()), meta, value, NOW).expect("room")
}

/// Of the only class that is in use.
fn class(store: &Store, now: Secs) -> Class {
    let classes = store.classes(now);
    let [class] = &classes[..] else { panic!("{classes:?}") };
    class.clone()
}

/// Each kind of request another number of times.
#[test]
fn requests_count_for_their_class() {
    let store = store();
    let (key, number, gone) = (store.key(b"key"), store.key(b"number"), store.key(b"gone"));
    let Outcome::Stored { cas, .. } = set(&store, "key", b"value", Expiry::NEVER) else { panic!() };
    set(&store, "number", b"10", Expiry::NEVER);
    (0..2).for_each(|_| store.get(&key, NOW, |_| ()).expect("it is there"));
    (0..3).for_each(|_| store.touch(&key, Expiry(200), NOW).expect("it is there"));
    (0..4).for_each(|_| {
        store.get_and_touch(&key, Expiry(200), NOW, |_| ()).expect("it is there");
    });
    let sum = |direction, times| {
        (0..times).for_each(|_| {
            store.arith(&number, &Sum::plain(direction, 1), NOW, |_, _| ()).expect("a number");
        });
    };
    sum(Direction::Incr, 5);
    sum(Direction::Decr, 6);
    let mut held = Vec::new();
    store.inspect(&number, None, NOW, |hit| hit.copy_to(&mut held)).expect("it is there");
    assert_eq!(held, b"9 ");
    let swap = |compare| {
        let terms = Terms { compare: Some(compare), ..Terms::default() };
        store.store(&terms, &key, Meta::default(), b"other", NOW).expect("room")
    };
    assert!((0..7).all(|_| swap(cas + 1000) == Outcome::Exists));
    assert!(matches!(swap(cas), Outcome::Stored { .. }));
    for _ in 0..8 {
        set(&store, "gone", b"x", Expiry::NEVER);
        store.delete(&gone, None, NOW).expect("it was there");
    }
    assert!(
        store.get(&gone, NOW, |_| ()).is_err() && store.touch(&gone, Expiry(200), NOW).is_err()
    );
    let counted = class(&store, NOW);
    assert_eq!((counted.get_hits, counted.touch_hits), (2, 3 + 4));
    assert_eq!((counted.incr_hits, counted.decr_hits), (5, 6));
    assert_eq!((counted.cas_badval, counted.cas_hits), (7, 1));
    assert_eq!((counted.delete_hits, counted.cmd_set), (8, 2 + 7 + 1 + 8));
    store
        .get(&key, NOW, |hit| (hit.count(HitKind::Get), hit.count(HitKind::Touch)))
        .expect("there");
    let counted = class(&store, NOW);
    assert_eq!((counted.get_hits, counted.touch_hits), (2 + 2, 7 + 1));
    assert_eq!((store.totals().curr_items, store.totals().total_items), (2, 2 + 1 + 8));
}

#[test]
fn a_hit_is_noted_in_the_item() {
    let store = store();
    set(&store, "key", b"value", Expiry::NEVER);
    let key = store.key(b"key");
    let seen = |now: Secs| {
        let looked = store.inspect(&key, None, now, |hit| {
            let chunk = hit.shard.slab.chunk(hit.item);
            (chunk.freq(), hit.is_fetched(), hit.idle_secs(now))
        });
        looked.expect("it is there")
    };
    assert_eq!(seen(LATER), (0, false, 7));
    for (hits, second) in [(1, 110), (2, 120), (3, 130), (3, 140)] {
        store.get(&key, Secs(second), |_| ()).expect("it is there");
        assert_eq!(seen(Secs(second + 3)), (hits, true, 3));
    }
    store.touch(&key, Expiry::NEVER, Secs(150)).expect("it is there");
    assert_eq!(seen(Secs(151)), (3, true, 1));
    store.inspect(&key, None, Secs(160), |hit| hit.note(Secs(160))).expect("it is there");
    assert_eq!(seen(Secs(162)), (3, true, 2));
    // A refused `add` is an access, and no hit.
    let add = Terms::from(Mode::Add);
    store.store(&add, &key, Meta::default(), b"x", Secs(170)).expect("refused");
    assert_eq!(seen(Secs(173)), (3, true, 3));
    assert_eq!(class(&store, Secs(180)).age, 10);
}

#[test]
fn what_is_evicted_is_counted_by_what_it_was() {
    let store = store();
    for (name, expiry) in [("new", Expiry::NEVER), ("read", Expiry::NEVER), ("old", Expiry(500))] {
        set(&store, name, b"value", expiry);
    }
    let key = store.key(b"read");
    store.get(&key, Secs(103), |_| ()).expect("it is there");
    let evict = |name: &str| {
        let key = store.key(name.as_bytes());
        let gone = |hit: &mut Hit<'_>| hit.shard.evict(hit.item, LATER);
        store.inspect(&key, None, LATER, gone).expect("it is there");
        let class = class(&store, LATER);
        let kinds = (class.evicted_nonzero, class.evicted_unfetched, class.evicted_active);
        (class.evicted, class.evicted_time, kinds)
    };
    assert_eq!(evict("new"), (1, 7, (0, 1, 0)));
    assert_eq!(evict("read"), (2, 4, (0, 1, 1)));
    assert_eq!(store.shard(0).classes[1].chunks_since_page, 2);
    let class = evict("old");
    assert_eq!(class, (3, 7, (1, 2, 1)));
    assert_eq!(store.totals().curr_items, 0);
}

/// What has expired counts as reclaimed, once, by whomever it is met.
#[test]
fn what_is_reclaimed_is_counted() {
    let store = store();
    for name in ["a", "b", "c"] {
        set(&store, name, b"value", Expiry(101));
    }
    let read = store.key(b"a");
    store.get(&read, NOW, |_| ()).expect("it is there");
    assert_eq!(store.get(&store.key(b"b"), LATER, |_| ()), Err(Miss::Expired));
    assert_eq!(store.totals().reclaimed, 0, "whoever asks gets it out of the way");
    store.store(&Terms::default(), &read, Meta::default(), b"new", LATER).expect("room");
    assert_eq!((store.totals().reclaimed, store.totals().expired_unfetched), (1, 0));
    while store.maintain(LATER) {}
    let totals = store.totals();
    assert_eq!((totals.reclaimed, totals.crawler_reclaimed, totals.expired_unfetched), (2, 1, 1));
    assert_eq!(totals.curr_items, 1);
}

/// A hand lowers the count of an item that it lets stay, and moves what was hit to the main queue.
#[test]
fn an_evicting_hand_uses_up_hits() {
    let store = store();
    let key = store.key(b"key");
    set(&store, "key", b"value", Expiry::NEVER);
    (0..3).for_each(|_| store.get(&key, NOW, |_| ()).expect("it is there"));
    let at = store.inspect(&key, None, NOW, |hit| hit.item).expect("it is there");
    let mut shard = store.shard(0);
    let class = shard.slab.class_of(at);
    let chunk = shard.slab.chunk(at);
    assert!(shard.evict_one(class, NOW), "there is nothing else");
    assert_eq!((shard.classes[1].promotions, shard.classes[1].second_chances), (1, 0));
    assert!(!chunk.has(Mark::LINKED));
    drop(shard);
    // In the main queue each hit is a chance.
    for name in ["key", "other"] {
        set(&store, name, b"value", Expiry::NEVER);
        let to_main = |hit: &mut Hit<'_>| hit.shard.change_queue(hit.item, Queue::Main);
        store.get(&store.key(name.as_bytes()), NOW, to_main).expect("it is there");
    }
    (0..2).for_each(|_| store.get(&key, NOW, |_| ()).expect("it is there"));
    assert!(store.shard(0).evict_one(class, NOW));
    assert_eq!(store.get(&store.key(b"other"), NOW, |_| ()), Err(Miss::NotFound));
    let left = |hit: &mut Hit<'_>| hit.shard.slab.chunk(hit.item).freq();
    let freq = store.inspect(&key, None, NOW, left).expect("it had more hits");
    let chances = store.shard(0).classes[1].second_chances;
    assert!((1..3).contains(&freq) && chances == u64::from(3 - freq) + 1, "{freq} {chances}");
}

/// Each item that stays is shown once, though buckets are merged behind and before the walk.
#[test]
fn a_walk_shows_what_stays_once() {
    let store = store();
    const COUNT: usize = 20_000;
    (0..COUNT).for_each(|number| {
        set(&store, &format!("{number:05}"), b"", Expiry::NEVER);
    });
    let (mut walk, mut next, mut seen) = (Walk::default(), 0, vec![0; COUNT]);
    let mut second = NOW.0;
    loop {
        let has_more = store.walk(&mut walk, NOW, |entry| {
            let name = std::str::from_utf8(entry.key()).expect("a number");
            seen[name.parse::<usize>().expect("a number")] += 1;
        });
        if !has_more {
            break;
        }
        // Nine of ten go, bit by bit.
        for number in next..(next + 1000).min(COUNT) {
            if number % 10 != 0 {
                let key = format!("{number:05}");
                store.delete(&store.key(key.as_bytes()), None, NOW).expect("it was there");
            }
        }
        next = (next + 1000).min(COUNT);
        second += 1;
        while store.maintain(Secs(second)) {}
    }
    assert_eq!(next, COUNT, "the walk is longer than that");
    for number in (0..COUNT).step_by(10) {
        assert_eq!(seen[number], 1, "{number}");
    }
    assert!(seen.iter().all(|&times| times <= 1));
}

#[test]
fn looking_for_room_in_vain_is_counted() {
    let options = Options { threads: 1, ..options(2 << 20, 1 << 20, false) };
    let store = Store::new(&options).expect("memory");
    let set = |number: u32| {
        let key = format!("{number:06}");
        let key = store.key(key.as_bytes());
        store.store(&Terms::default(), &key, Meta::default(), &[b'x'; 500], NOW)
    };
    let fits = (0..).take_while(|&number| set(number).is_ok()).count() as u32;
    let counts = || {
        let class = class(&store, NOW);
        (class.outofmemory, class.direct_reclaims, store.totals().direct_reclaims)
    };
    assert_eq!(counts(), (1, 1, 1));
    assert_eq!((1..4).map(|more| set(fits + more)).filter(|set| set.is_err()).count(), 3);
    assert_eq!(counts(), (4, 4, 4));
    assert_eq!(class(&store, NOW).number, u64::from(fits));
}

#[test]
fn the_largest_chunk_holds_a_whole_item() {
    let store = store();
    let is_chained = |len: usize| {
        set(&store, "key", &vec![b'x'; len], Expiry::NEVER);
        let seen = |hit: &mut Hit<'_>| {
            (hit.size() - hit.value_len(), hit.shard.slab.chunk(hit.item).has(Mark::CHAINED))
        };
        store.inspect(&store.key(b"key"), None, NOW, seen).expect("it is there")
    };
    let (beside, _) = is_chained(100);
    let most = store.chunk_bytes_max() - beside;
    // Where the value is long, its length may take more room in the header.
    assert!(!is_chained(most - 16).1 && is_chained(most + 16).1, "{most}");
}

#[test]
fn what_a_store_says_of_its_work_is_so() {
    let store = store();
    assert!(store.crawler_is_on() && store.set_crawler(false) && !store.crawler_is_on());
    assert!(!store.set_crawler(true) && store.crawler_is_on() && !store.is_crawling());
    store.crawl(|_| true);
    assert!(store.is_crawling());
    while store.maintain(NOW) {}
    assert!(!store.is_crawling() && !store.is_behind(NOW) && !store.is_behind(Secs(NOW.0 + 1)));
    assert!(store.is_behind(Secs(NOW.0 + 2)));
    store.flush(LATER);
    assert!(store.is_behind(Secs(LATER.0 + 1)));
    assert_eq!(store.lent_bytes_max(), store.limit_bytes() / CLIENTS_FULL_PART);
    let kept = Options { threads: 1, ..options(8 << 20, 1 << 20, false) };
    let store = Store::new(&kept).expect("memory");
    assert_eq!((store.can_give_way(), store.lent_bytes_max()), (false, store.lent_bytes()));
}

/// Marks that are set twice stay set, and an item that is made anew for a longer unique keeps them.
#[test]
fn marks_stay() {
    let store = store();
    set(&store, "key", b"value", Expiry::NEVER);
    let key = store.key(b"key");
    let bury = |cas| {
        let burial = Burial { stale: true, cas, ..Burial::default() };
        store.bury(&key, None, &burial, NOW).expect("it is there");
    };
    let marks = || {
        let seen = |hit: &mut Hit<'_>| (hit.is_fetched(), hit.is_stale(), hit.is_token_sent());
        store.inspect(&key, None, NOW, seen).expect("it is there")
    };
    let send = || store.inspect(&key, None, NOW, |hit| hit.send_token()).expect("it is there");
    assert_eq!(marks(), (false, false, false));
    (0..2).for_each(|_| bury(None));
    assert_eq!(marks(), (false, true, false));
    (0..2).for_each(|_| send());
    store.get(&key, NOW, |_| ()).expect("it is there");
    assert_eq!(marks(), (true, true, true));
    let terms = Terms { mode: Mode::Append, cas: Some(u64::MAX), ..Terms::default() };
    let item = || store.inspect(&key, None, NOW, |hit| hit.item).expect("it is there");
    let before = item();
    bury(Some(u64::MAX));
    assert_ne!(item(), before, "the unique does not fit");
    assert_eq!(marks(), (true, true, false), "to be refilled once more");
    store.store(&terms, &key, Meta::default(), b"more", NOW).expect("room");
    assert_eq!(marks(), (false, false, false));
}

/// But for one that is being read, of many chunks, or of another class.
#[test]
fn an_item_is_overwritten_in_its_place() {
    let store = store();
    let item_after = |len| {
        set(&store, "key", &vec![b'x'; len], Expiry::NEVER);
        store.inspect(&store.key(b"key"), None, NOW, |hit| hit.item).expect("it is there")
    };
    let first = item_after(100);
    assert_eq!(item_after(100), first);
    assert_ne!(item_after(200), first);
    let second = item_after(200);
    let value = store.get(&store.key(b"key"), NOW, |hit| hit.pin()).expect("it is there");
    assert_ne!(item_after(200), second, "it is being read");
    drop(value);
    let chained = item_after(100_000);
    assert_ne!(item_after(100_000), chained);
}

#[test]
fn a_pinned_value_tells_what_is_left_of_it() {
    let store = store();
    for len in [10_000, 100_000] {
        let bytes: Vec<u8> = (0..len).map(|at: usize| (at % 251) as u8).collect();
        set(&store, "key", &bytes, Expiry::NEVER);
        let mut value = store.get(&store.key(b"key"), NOW, |hit| hit.pin()).expect("it is there");
        for sent in [0, 1, 9_000, 0, 999] {
            value.advance(sent);
        }
        assert_eq!(value.len(), len - 10_000);
        let mut slices = ArrayVec::new();
        value.slices(&mut slices);
        let left: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(left == bytes[10_000..]);
    }
}

/// A key that was evicted and is asked for tells that its class would gain by a page.
#[test]
fn who_asks_for_what_was_evicted_is_heard() {
    let store = store();
    set(&store, "key", b"value", Expiry::NEVER);
    let key = store.key(b"key");
    let evict = |hit: &mut Hit<'_>| (hit.shard.evict(hit.item, NOW), hit.class_id()).1;
    let class = ClassId(store.inspect(&key, None, NOW, evict).expect("it is there"));
    let gain = || store.shard(0).scores.gain(class);
    assert!(store.get(&store.key(b"other"), NOW, |_| ()).is_err());
    assert_eq!(gain(), 0.0);
    assert!(store.get(&key, NOW, |_| ()).is_err());
    assert_eq!(gain(), 1.0);
}

/// A key that was given in base64, though it could stand in a line, is forgotten to have been when its item
/// is made anew; one that cannot stand there is shown so for good.
#[test]
fn a_binary_key_is_remembered_as_long_as_it_must_be() {
    let store = store();
    let meta = Meta { is_binary_key: true, ..Meta::default() };
    for (bytes, stays) in [(b"key", false), (b"k y", true), (b"k\ry", true), (b"k\ny", true)] {
        let key = store.key(bytes);
        assert_eq!((key.bytes(), key.is_one_word()), (&bytes[..], !stays));
        let set = |value: &[u8]| {
            store.store(&Terms::default(), &key, meta, value, NOW).expect("room");
        };
        let is_binary =
            || store.inspect(&key, None, NOW, |hit| hit.is_binary_key()).expect("it is there");
        let incr = || {
            let sum = Sum::plain(Direction::Incr, 1);
            store.arith(&key, &sum, NOW, |_, number| number.value).expect("a number")
        };
        set(b"8");
        assert_eq!((incr(), is_binary()), (9, true));
        assert_eq!((incr(), is_binary()), (10, stays), "a longer number");
        set(b"value");
        assert!(is_binary());
        store.store(&Mode::Append.into(), &key, meta, b"more", NOW).expect("room");
        assert_eq!(is_binary(), stays);
        set(b"value");
        let burial = Burial { empty: Some(Meta::default()), ..Burial::default() };
        store.bury(&key, None, &burial, NOW).expect("it is there");
        assert_eq!(is_binary(), stays);
    }
}

#[test]
fn the_second_of_a_flush_is_told() {
    let store = store();
    assert_eq!(store.flush_oldest(), 0);
    store.flush(NOW);
    assert_eq!(store.flush_oldest(), NOW.0);
    store.flush_at(Secs(200));
    assert_eq!(store.flush_oldest(), 200);
    store.flush_if_due(Secs(200));
    assert_eq!(store.flush_oldest(), 200);
}

/// Where nothing can be evicted clients keep their part of whatever limit there is.
#[test]
fn a_store_that_keeps_all_keeps_something_for_clients() {
    let keeping = Options { threads: 1, ..options(32 << 20, 1 << 20, false) };
    let store = Store::new(&keeping).expect("memory");
    for limit in [32 << 20, 24 << 20, 40 << 20] {
        assert!(store.set_memory_limit(limit));
        assert_eq!(store.lent_bytes(), limit / CLIENTS_KEPT_PART);
        assert_eq!(store.items_limit_bytes(), limit - limit / CLIENTS_KEPT_PART);
    }
}

#[test]
fn the_class_of_an_item_is_foretold() {
    let store = store();
    let key = store.key(b"key");
    for len in [0, 1, 100, 1000] {
        set(&store, "key", &vec![b'x'; len], Expiry::NEVER);
        let class = store.inspect(&key, None, NOW, |hit| hit.class_id()).expect("it is there");
        assert_eq!(store.class_id(&key, Meta::default(), len), class);
        assert!(store.has_class(class));
    }
    let whole = store.sizes.largest_whole().0;
    assert_eq!(store.class_id(&key, Meta::default(), 1 << 20), whole);
    assert!(!store.has_class(0) && !store.has_class(store.sizes.largest().0 + 1));
}

#[test]
fn a_walk_over_a_class_shows_all_shards() {
    let store =
        Store::new(&Options { threads: 4, ..options(64 << 20, 1 << 20, true) }).expect("memory");
    assert!(store.shards.len() > 1);
    const COUNT: usize = 10_000;
    (0..COUNT).for_each(|number| {
        set(&store, &format!("{number:05}"), b"", Expiry::NEVER);
    });
    let (mut walk, mut seen) = (ClassWalk::new(class(&store, NOW).id), vec![0; COUNT]);
    let mut note = |entry: &Entry<'_>| {
        let name = std::str::from_utf8(entry.key()).expect("a number");
        seen[name.parse::<usize>().expect("a number")] += 1;
        true
    };
    while store.walk_class(&mut walk, NOW, &mut note) {}
    assert!(seen.iter().all(|&times| times == 1));
}
