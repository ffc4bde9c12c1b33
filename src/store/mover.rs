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
