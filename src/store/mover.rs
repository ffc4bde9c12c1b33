//! Pages move between classes: to where the next page would bring most hits, from where it brings
//! least.
//!
//! What a page would bring is what ghosts tell (`scores`): hits on keys that a class has lost with its
//! last pages' worth of evictions. A page is as large for small items as for large ones, so that many
//! small items that are asked for win against one large one: this is what a slab store can have of a
//! policy that weighs hits by size. A class asks as it evicts; so pages move at the pace of the
//! load, and when nothing is evicted nothing moves.
#![forbid(unsafe_code)]

use super::class::ClassId;
use super::shard::Shard;

/// A page moves to a class that would gain so many times as much by it ...
const GAIN_FACTOR: f32 = 4.0;

/// ... and so many hits more: a few hits are chance.
const GAIN_MARGIN: f32 = 4.0;

/// A class asks so many times in a page's worth of evictions: where a load turns to other sizes, it
/// gets pages faster than it could fill them.
const ASKS_PER_PAGE: u32 = 8;

/// A class with so many pages' worth of free chunks gives one, whatever the gains: more than the page
/// that it may just have been given.
const SPARE_PAGES: f32 = 1.25;

impl Shard {
    /// The class that should give `class`, which has to make room, a page.
    pub(super) fn page_giver(&mut self, class: ClassId) -> Option<ClassId> {
        self.spare_class().or_else(|| {
            (self.settings.automove && self.wants_page(class)).then(|| self.poorer_class(class))?
        })
    }

    /// A class that has as many free chunks as a page holds: it can give one without an eviction.
    pub(super) fn slack_class(&self) -> Option<ClassId> {
        if !self.slab.has_slack() {
            return None;
        }
        self.slab.sizes().all().find(|&class| self.slab.is_slack(class))
    }

    /// Classes that can give a page, the one that needs it least first; those that would be left with
    /// none come last.
    pub(super) fn givers(&self, except: Option<ClassId>) -> Vec<ClassId> {
        let pages = |class: ClassId| self.slab.pages(class).len();
        let mut givers: Vec<ClassId> = self
            .slab
            .sizes()
            .all()
            .filter(|&class| Some(class) != except && pages(class) > 0)
            .collect();
        givers.sort_by(|&a, &b| {
            (pages(a) == 1)
                .cmp(&(pages(b) == 1))
                .then(self.scores.gain(a).total_cmp(&self.scores.gain(b)))
                .then(pages(b).cmp(&pages(a)))
        });
        givers
    }

    fn spare_class(&self) -> Option<ClassId> {
        if !self.slab.has_slack() {
            return None;
        }
        let spare = |class| self.slab.per_page(class) as f32 * SPARE_PAGES;
        let mut classes = self.slab.sizes().all();
        classes.find(|&class| self.slab.free_chunks(class) as f32 >= spare(class))
    }

    /// Whether `class` has evicted a part of a page's worth since it last asked.
    fn wants_page(&mut self, class: ClassId) -> bool {
        let part = self.slab.per_page(class) as u32 / ASKS_PER_PAGE;
        let counters = self.class_mut(class);
        let wants = counters.chunks_since_page >= part;
        if wants {
            counters.chunks_since_page = 0;
        }
        wants
    }

    /// The class that gains least by a page, if `class` gains so much more that one should move.
    fn poorer_class(&self, class: ClassId) -> Option<ClassId> {
        let gain = |class: ClassId| self.scores.gain(class);
        let giver = self
            .slab
            .sizes()
            .all()
            .filter(|&giver| giver != class && self.slab.pages(giver).len() > 1)
            .min_by(|&a, &b| gain(a).total_cmp(&gain(b)))?;
        (gain(class) > GAIN_FACTOR * gain(giver) + GAIN_MARGIN).then_some(giver)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Secs;
    use crate::store::model::options;
    use crate::store::queue::Queue;
    use crate::store::{Meta, Options, Store, Terms};

    const NOW: Secs = Secs(100);

    fn set(store: &Store, key: &str, len: usize) {
        let key = store.key(key.as_bytes());
        store.store(&Terms::default(), &key, Meta::default(), &vec![b'x'; len], NOW).expect("room");
    }

    /// With classes of about 20, 5 and 1 pages, by their number, and the classes.
    fn store(automove: bool) -> (Arc<Store>, [ClassId; 3]) {
        let store = Store::new(&Options { threads: 1, ..options(8 << 20, 1 << 20, true) });
        let store = store.expect("memory");
        store.set_automove(automove);
        assert_eq!(store.shards.len(), 1);
        (0..160).for_each(|number| set(&store, &format!("many{number}"), 2000));
        (0..60).for_each(|number| set(&store, &format!("some{number}"), 1200));
        (0..2).for_each(|number| set(&store, &format!("few{number}"), 500));
        let shard = store.shard(0);
        let mut classes: Vec<ClassId> =
            shard.slab.sizes().all().filter(|&class| !shard.slab.pages(class).is_empty()).collect();
        classes.sort_by_key(|&class| std::cmp::Reverse(shard.slab.pages(class).len()));
        let pages = |class| shard.slab.pages(class).len();
        assert!(pages(classes[0]) > pages(classes[1]) && pages(classes[1]) > 1);
        assert_eq!(pages(classes[2]), 1);
        let classes = classes.try_into().expect("three of them");
        drop(shard);
        (store, classes)
    }

    fn gain(shard: &Shard, class: ClassId, hits: f32) {
        shard.scores.note_hit(class, Queue::Small, hits);
    }

    #[test]
    fn who_would_gain_much_more_is_given_a_page() {
        let (store, [many, some, few]) = store(true);
        let shard = store.shard(0);
        gain(&shard, few, GAIN_MARGIN);
        assert_eq!(shard.poorer_class(few), None, "it may be chance");
        gain(&shard, few, 0.5);
        gain(&shard, many, 0.25);
        assert_eq!(shard.poorer_class(few), Some(some), "which gains least");
        gain(&shard, some, 1.0);
        assert_eq!(shard.poorer_class(few), None, "{GAIN_MARGIN} and as many times");
        gain(&shard, few, GAIN_FACTOR * 0.25);
        assert_eq!(shard.poorer_class(few), Some(many));
        gain(&shard, many, 2.0);
        gain(&shard, few, GAIN_FACTOR * 0.75 - 0.5);
        assert_eq!(shard.poorer_class(few), None);
        gain(&shard, few, 0.25);
        assert_eq!(shard.poorer_class(few), Some(some));
        gain(&shard, some, 100.0);
        gain(&shard, many, 200.0);
        assert_eq!(shard.poorer_class(some), None, "nobody gives the only page, nor one to itself");
    }

    #[test]
    fn a_class_asks_in_the_course_of_evictions() {
        for automove in [true, false] {
            let (store, [many, some, few]) = store(automove);
            let mut shard = store.shard(0);
            gain(&shard, few, 100.0);
            gain(&shard, many, 1.0);
            let part = shard.slab.per_page(few) as u32 / ASKS_PER_PAGE;
            assert!(part > 1);
            shard.class_mut(few).chunks_since_page = part - 1;
            assert_eq!(shard.page_giver(few), None);
            shard.class_mut(few).chunks_since_page = part;
            assert_eq!(shard.page_giver(few), automove.then_some(some));
            assert_eq!(shard.page_giver(few), None, "it has asked");
        }
    }

    #[test]
    fn the_least_needed_gives_first_and_the_only_page_last() {
        let (store, [many, some, few]) = store(true);
        let shard = store.shard(0);
        assert_eq!(shard.givers(None), [many, some, few]);
        assert_eq!(shard.givers(Some(many)), [some, few]);
        gain(&shard, many, 1.0);
        assert_eq!(shard.givers(None), [some, many, few]);
    }

    /// A page's worth is slack, and somewhat more is given whatever anybody gains.
    #[test]
    fn a_class_with_free_chunks_gives_them() {
        let (store, [many, _, few]) = store(false);
        let per_page = store.shard(0).slab.per_page(many);
        for number in 0..2 * per_page {
            let free = store.shard(0).slab.free_chunks(many);
            let mut shard = store.shard(0);
            assert_eq!(shard.slack_class(), (free >= per_page).then_some(many));
            let is_spare = free as f32 >= per_page as f32 * SPARE_PAGES;
            assert_eq!(shard.page_giver(few), is_spare.then_some(many), "{free} are free");
            drop(shard);
            let key = format!("many{number}");
            store.delete(&store.key(key.as_bytes()), None, NOW).expect("it was there");
        }
    }
}
