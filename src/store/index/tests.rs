//! Growth, shrinking and walks of an index whose references are numbers.
#![forbid(unsafe_code)]

use super::*;

fn hash(n: u32) -> u64 {
    let mut x = u64::from(n).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Grows as the shard does. False: no pages left.
fn insert(index: &mut Index, arena: &Arena, n: u32) -> bool {
    while !index.insert(hash(n), Ref(n)) {
        match arena.take() {
            Some(page) => index.add_spill_page(page),
            None => return false,
        }
    }
    if index.wants_growth() {
        if index.needs_main_page() {
            match arena.take() {
                Some(page) => index.add_main_page(page),
                None => return true,
            }
        }
        index.grow(|r| hash(r.0));
    }
    true
}

fn check(index: &Index, present: impl Iterator<Item = u32>) {
    let mut count = 0;
    for n in present {
        assert!(index.find(hash(n), |r| r == Ref(n)).is_some(), "{n}");
        count += 1;
    }
    assert_eq!(index.items(), count);
    let mut seen = 0;
    index.for_each(|bucket, tagged, item| {
        assert_eq!(index.bucket_of(hash(item.0)), bucket);
        assert_eq!(tagged, tag(hash(item.0)));
        seen += 1;
    });
    assert_eq!(seen, count);
    index.validate();
}

#[test]
fn holds_what_was_inserted_through_growth_and_removal() {
    let arena = Arc::new(Arena::new(64 << 20, 16384).unwrap());
    let mut index = Index::new(arena.clone(), arena.take().unwrap());
    for n in 1..=100_000 {
        assert!(insert(&mut index, &arena, n));
    }
    check(&index, 1..=100_000);
    let bytes = index.pages() * 16384;
    assert!(bytes <= 8 * 100_000 + 2 * 16384, "{bytes} B for 100,000 items");
    for n in (1..=100_000).filter(|n| n % 3 != 0) {
        let (slot, _) = index.find(hash(n), |r| r == Ref(n)).unwrap();
        index.remove(slot, hash(n));
    }
    check(&index, (1..=100_000).filter(|n| n % 3 == 0));
}

#[test]
fn the_outline_knows_each_bucket_through_growth_and_shrinking() {
    let arena = Arc::new(Arena::new(64 << 20, 16384).unwrap());
    let mut index = Index::new(arena.clone(), arena.take().unwrap());
    let agrees = |index: &Index, n: u32| {
        let bucket = index.address(Place::Main(index.bucket_of(hash(n))));
        assert_eq!(index.outline().guess(hash(n)), Some(bucket.as_ptr() as *const u8), "{n}");
    };
    for n in 1..=20_000 {
        assert!(insert(&mut index, &arena, n));
        (1..=n).step_by(997).for_each(|n| agrees(&index, n));
    }
    for n in 1..=20_000 {
        let (slot, _) = index.find(hash(n), |r| r == Ref(n)).unwrap();
        index.remove(slot, hash(n));
        while index.wants_shrinking() && index.shrink() {}
        (1..=20_000).step_by(997).for_each(|n| agrees(&index, n));
    }
    assert!(index.is_least());
}

#[test]
fn shrinks_to_its_first_page_when_it_is_empty() {
    let arena = Arc::new(Arena::new(64 << 20, 16384).unwrap());
    let mut index = Index::new(arena.clone(), arena.take().unwrap());
    for n in 1..=50_000 {
        assert!(insert(&mut index, &arena, n));
    }
    for n in 1..=50_000 {
        let (slot, _) = index.find(hash(n), |r| r == Ref(n)).unwrap();
        index.remove(slot, hash(n));
        while index.wants_shrinking() && index.shrink() {}
        while let Some(page) = index.take_unused_page() {
            arena.give(page);
        }
        if n % 5000 == 0 {
            check(&index, n + 1..=50_000);
        }
    }
    assert_eq!((index.pages(), index.buckets()), (1, 256));
    assert_eq!(arena.taken_pages(), 1);
}

/// Without growth buckets have long chains. Those of four groups of buckets lie in spill pages one after
/// the other; what the two in the middle leave goes back, and is filled before pages are added.
#[test]
fn spill_pages_go_back_whatever_their_place() {
    let arena = Arc::new(Arena::new(1 << 20, 16384).unwrap());
    let mut index = Index::new(arena.clone(), arena.take().unwrap());
    let group = |n: &u32| (hash(*n) >> 8) as usize % 256 / 64;
    let of_group = |number| (1..=20_000).filter(move |n| group(n) == number);
    let add = |index: &mut Index, n| {
        while !index.insert(hash(n), Ref(n)) {
            index.add_spill_page(arena.take().unwrap());
        }
    };
    (0..4).flat_map(of_group).for_each(|n| add(&mut index, n));
    check(&index, 1..=20_000);
    let pages = index.pages();
    (1..3).flat_map(of_group).for_each(|n| remove(&mut index, n));
    check(&index, [0, 3].into_iter().flat_map(of_group));
    while let Some(page) = index.take_unused_page() {
        arena.give(page);
        index.validate();
    }
    assert_eq!(index.pages(), pages - 2, "of {pages}");
    (1..3).flat_map(of_group).for_each(|n| add(&mut index, n));
    check(&index, 1..=20_000);
    assert_eq!(index.pages(), pages);
    (0..4).flat_map(of_group).for_each(|n| remove(&mut index, n));
    while let Some(page) = index.take_unused_page() {
        arena.give(page);
    }
    assert_eq!((index.pages(), arena.taken_pages()), (1, 1));
    check(&index, std::iter::empty());
}

/// Chains of several buckets lose and gain items at their ends and in their midst.
#[test]
fn chains_have_no_gaps() {
    let arena = Arc::new(Arena::new(1 << 20, 16384).unwrap());
    let mut index = Index::new(arena.clone(), arena.take().unwrap());
    (0..5).for_each(|_| index.add_spill_page(arena.take().unwrap()));
    let is_there = |n: u32, round: u32| (n * 7 + round * n / 5).is_multiple_of(3);
    for round in 0..12 {
        for n in 1..=12_000 {
            match (round > 0 && is_there(n, round - 1), is_there(n, round)) {
                (false, true) => assert!(index.insert(hash(n), Ref(n))),
                (true, false) => remove(&mut index, n),
                _ => {}
            }
            if n % 1000 == 0 {
                index.validate();
            }
        }
        check(&index, (1..=12_000).filter(|n| is_there(*n, round)));
    }
}

#[test]
fn goes_on_without_pages_to_grow() {
    let arena = Arc::new(Arena::new(3 * 16384, 16384).unwrap());
    let mut index = Index::new(arena.clone(), arena.take().unwrap());
    let mut held = 0;
    for n in 1..=20_000 {
        if !insert(&mut index, &arena, n) {
            break;
        }
        held = n;
    }
    assert!(held > 2 * 256 * 8, "{held}");
    check(&index, 1..=held);
}

#[test]
fn replaces_in_place() {
    let arena = Arc::new(Arena::new(1 << 20, 16384).unwrap());
    let mut index = Index::new(arena.clone(), arena.take().unwrap());
    assert!(index.insert(hash(1), Ref(1)));
    let (slot, _) = index.find(hash(1), |_| true).unwrap();
    index.replace(slot, Ref(77));
    assert_eq!(index.find(hash(1), |r| r == Ref(77)).unwrap().1, Ref(77));
    assert!(index.find(hash(2), |_| true).is_none());
}

/// Walks one bucket on from `position`; what it saw is added to `seen`.
fn walk(index: &Index, position: u32, seen: &mut Vec<u32>) -> Option<u32> {
    let interval = index.interval(position);
    index.for_each_in(interval.bucket, |_, item| {
        if super::position(hash(item.0)) >= position {
            seen.push(item.0);
        }
    });
    interval.next
}

#[test]
fn intervals_are_side_by_side_and_cover_all() {
    let arena = Arc::new(Arena::new(64 << 20, 16384).unwrap());
    let mut index = Index::new(arena.clone(), arena.take().unwrap());
    for n in 1..=30_000 {
        assert!(insert(&mut index, &arena, n));
        if n % 3000 == 1 || index.split == 0 {
            let (mut position, mut buckets) = (0, Vec::new());
            loop {
                let interval = index.interval(position);
                assert_eq!(interval.start, position);
                buckets.push(interval.bucket);
                match interval.next {
                    Some(next) => position = next,
                    None => break,
                }
            }
            buckets.sort_unstable();
            assert!(buckets.into_iter().eq(0..index.buckets() as u32));
        }
    }
}

/// Items 1 to 5,000 stay while `change` is at work between any two buckets of the walk.
#[track_caller]
fn check_walk(mut change: impl FnMut(&mut Index, &Arena, u32)) {
    let arena = Arc::new(Arena::new(64 << 20, 16384).unwrap());
    let mut index = Index::new(arena.clone(), arena.take().unwrap());
    for n in 1..=40_000 {
        assert!(insert(&mut index, &arena, n));
    }
    let (mut seen, mut position, mut step) = (Vec::new(), Some(0), 0);
    while let Some(at) = position {
        position = walk(&index, at, &mut seen);
        change(&mut index, &arena, step);
        step += 1;
    }
    seen.retain(|n| *n <= 5_000);
    seen.sort_unstable();
    assert!(seen.into_iter().eq(1..=5_000), "each that stays is seen once");
}

fn remove(index: &mut Index, n: u32) {
    if let Some((slot, _)) = index.find(hash(n), |item| item == Ref(n)) {
        index.remove(slot, hash(n));
    }
    if index.wants_shrinking() {
        index.shrink();
    }
}

#[test]
fn a_walk_sees_what_stays_once_while_buckets_split() {
    check_walk(|index, arena, step| {
        for n in 0..20 {
            assert!(insert(index, arena, 40_001 + step * 20 + n));
        }
    });
}

#[test]
fn a_walk_sees_what_stays_once_while_buckets_merge() {
    check_walk(|index, _, step| {
        for n in 0..40 {
            remove(index, 5_001 + step * 40 + n);
        }
    });
}

#[test]
fn a_walk_sees_what_stays_once_while_the_index_breathes() {
    check_walk(|index, arena, step| {
        let from = 5_001 + step % 300 * 100;
        for n in from..from + 100 {
            match step / 300 % 2 {
                0 => remove(index, n),
                _ => assert!(insert(index, arena, n)),
            }
        }
    });
}

/// The last bucket and the one that it was split off both have spill buckets when they are one again.
#[test]
fn chains_are_merged() {
    let arena = Arc::new(Arena::new(1 << 20, 16384).unwrap());
    let mut index = Index::new(arena.clone(), arena.take().unwrap());
    index.add_main_page(arena.take().unwrap());
    index.add_spill_page(arena.take().unwrap());
    assert!(index.grow(|item| hash(item.0)) && index.buckets() == 257);
    let of = |bucket| (1..).filter(move |n| bucket_of(8, 1, hash(*n)) == bucket).take(30);
    let all = || of(0).chain(of(256));
    all().for_each(|n| assert!(index.insert(hash(n), Ref(n))));
    check(&index, all());
    assert_eq!([0, 1, 256].map(|bucket| index.count(bucket)), [30, 0, 30]);
    assert!(index.shrink() && index.buckets() == 256);
    check(&index, all());
    assert_eq!(index.count(0), 60);
}
