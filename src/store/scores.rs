//! What all shards together have learned from ghosts: which class would gain by another page, and how
//! large the small queues should be.
//!
//! Keys are spread evenly over the shards, so that a class is in the same position in each of them.
//! Together they have as many times more to count, which is what a decision wants: with the counts of
//! one shard alone, pages follow chance (see docs/store.md for what that costs).
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::class::ClassId;
use super::queue::Queue;

/// Lookups, by all shards, after which what was counted weighs less.
const DECAY_PERIOD: u32 = 65_536;
const DECAY: f32 = 0.7;

/// Counts are kept in parts of one, so many each.
const PARTS: f32 = 256.0;

/// The small queue's share of a class's chunks, in parts of a million. The least is the share of the
/// S3-FIFO paper.
const SHARE_PARTS: f32 = 1e6;
const SHARE_MIN: f32 = 0.1;
const SHARE_MAX: f32 = 0.6;

/// How far one decision moves the share.
const SHARE_STEP: f32 = 0.04;

/// The small queue grows when its ghosts are hit more than so many times as often as those of the main
/// queue: what it loses comes back to the main queue at the next store, so that it loses less.
const SMALL_BIAS: f32 = 8.0;

/// Hits, of both queues, that a decision about the share wants, and pages that the main queues have
/// evicted since the last one: before they evict, their ghosts can tell nothing.
const SHARE_HITS_MIN: f32 = 10.0;
const SHARE_PAGES_MIN: f32 = 16.0;

/// What is counted for all shards.
#[derive(Debug)]
pub(super) struct Scores {
    /// Hits that each class would lately have had with two pages more, decayed; by class id.
    gains: Box<[AtomicU32]>,
    /// Hits that the small queues, and the main queues, would have had with a page more, decayed.
    small_hits: AtomicU32,
    main_hits: AtomicU32,
    small_share: AtomicU32,
}

impl Scores {
    pub(super) fn new(classes: usize) -> Scores {
        Scores {
            gains: (0..=classes).map(|_| AtomicU32::new(0)).collect(),
            small_hits: AtomicU32::new(0),
            main_hits: AtomicU32::new(0),
            small_share: AtomicU32::new((SHARE_MIN * SHARE_PARTS) as u32),
        }
    }

    /// A ghost of `class`, gone from `queue`, was hit. `weight`: 1 if it was among the last two pages'
    /// worth to go, less where more are remembered.
    pub(super) fn note_hit(&self, class: ClassId, queue: Queue, weight: f32) {
        // Most of what goes is new; what the main queue loses says less about another page.
        let (hits, part) = match queue {
            Queue::Small => (&self.small_hits, 1.0),
            Queue::Main | Queue::Temporary => (&self.main_hits, 0.5),
        };
        hits.fetch_add((weight * PARTS) as u32, Relaxed);
        self.gains[usize::from(class.0)].fetch_add((part * weight * PARTS) as u32, Relaxed);
    }

    /// Hits that `class` would lately have had with two pages more.
    pub(super) fn gain(&self, class: ClassId) -> f32 {
        self.gains[usize::from(class.0)].load(Relaxed) as f32 / PARTS
    }

    /// The part of a class's chunks, 0 to 1, above which its small queue gives the next item to go.
    pub(super) fn small_share(&self) -> f32 {
        self.small_share.load(Relaxed) as f32 / SHARE_PARTS
    }

    /// Ages all counts, and sets the share anew if the main queues have evicted enough for that:
    /// `main_pages`, by all shards. Whether it was.
    fn decay(&self, main_pages: f32) -> bool {
        self.gains.iter().for_each(decay);
        let hits = |hits: &AtomicU32| hits.load(Relaxed) as f32 / PARTS;
        let (small, main) = (hits(&self.small_hits), hits(&self.main_hits));
        if small + main < SHARE_HITS_MIN {
            return false;
        }
        // Also while nothing is decided: what was long ago tells nothing of what is now.
        decay(&self.small_hits);
        decay(&self.main_hits);
        if main_pages < SHARE_PAGES_MIN {
            return false;
        }
        let main = main * SMALL_BIAS;
        let moved = self.small_share() + SHARE_STEP * (small - main) / (small + main);
        let share = moved.clamp(SHARE_MIN, SHARE_MAX);
        self.small_share.store((share * SHARE_PARTS) as u32, Relaxed);
        true
    }
}

fn decay(count: &AtomicU32) {
    count.store((count.load(Relaxed) as f32 * DECAY) as u32, Relaxed);
}

/// Counts the lookups of one shard, and its evictions, for all: the one that ages the scores.
#[derive(Debug)]
pub(super) struct Ageing {
    shards: u32,
    lookups: u32,
    main_pages: f32,
}

impl Ageing {
    pub(super) fn new(shards: usize) -> Ageing {
        Ageing { shards: shards as u32, lookups: 0, main_pages: 0.0 }
    }

    /// The main queue of a class has evicted this part of a page.
    pub(super) fn note_main_eviction(&mut self, pages: f32) {
        self.main_pages += pages;
    }

    /// Counts one lookup; ages `scores` when it is time.
    pub(super) fn note_lookup(&mut self, scores: &Scores) {
        self.lookups += 1;
        if self.lookups * self.shards >= DECAY_PERIOD {
            self.lookups = 0;
            if scores.decay(self.main_pages * self.shards as f32) {
                self.main_pages = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClassId = ClassId(1);

    fn age(scores: &Scores, ageing: &mut Ageing) {
        (0..DECAY_PERIOD / ageing.shards).for_each(|_| ageing.note_lookup(scores));
    }

    #[test]
    fn gains_add_up_and_decay() {
        let (scores, mut ageing) = (Scores::new(2), Ageing::new(4));
        scores.note_hit(A, Queue::Small, 1.0);
        scores.note_hit(A, Queue::Main, 1.0);
        assert_eq!((scores.gain(A), scores.gain(ClassId(2))), (1.5, 0.0));
        age(&scores, &mut ageing);
        assert!((scores.gain(A) - 1.5 * DECAY).abs() < 0.01);
    }

    #[test]
    fn the_small_share_follows_the_hits_within_its_bounds() {
        for (queue, want) in [(Queue::Small, SHARE_MAX), (Queue::Main, SHARE_MIN)] {
            let (scores, mut ageing) = (Scores::new(2), Ageing::new(1));
            scores.small_share.store((0.3 * SHARE_PARTS) as u32, Relaxed);
            for _ in 0..50 {
                (0..20).for_each(|_| scores.note_hit(A, queue, 1.0));
                ageing.note_main_eviction(SHARE_PAGES_MIN);
                age(&scores, &mut ageing);
            }
            assert!((scores.small_share() - want).abs() < 0.001, "{}", scores.small_share());
        }
    }

    #[test]
    fn what_was_counted_long_before_a_decision_is_forgotten() {
        let (scores, mut ageing) = (Scores::new(2), Ageing::new(1));
        for _ in 0..100 {
            (0..1000).for_each(|_| scores.note_hit(A, Queue::Small, 1.0));
            age(&scores, &mut ageing);
        }
        for _ in 0..10 {
            (0..1000).for_each(|_| scores.note_hit(A, Queue::Main, 1.0));
            ageing.note_main_eviction(SHARE_PAGES_MIN);
            age(&scores, &mut ageing);
        }
        assert!(scores.small_share() < SHARE_MIN + SHARE_STEP, "{}", scores.small_share());
    }

    #[test]
    fn the_small_share_waits_for_main_queues_that_evict() {
        let (scores, mut ageing) = (Scores::new(2), Ageing::new(1));
        (0..1000).for_each(|_| scores.note_hit(A, Queue::Small, 1.0));
        ageing.note_main_eviction(SHARE_PAGES_MIN - 1.0);
        age(&scores, &mut ageing);
        assert_eq!(scores.small_share(), SHARE_MIN);
        ageing.note_main_eviction(1.0);
        age(&scores, &mut ageing);
        assert!(scores.small_share() > SHARE_MIN);
    }

    /// By what part of a step, and by how many lookups and evictions of all shards.
    #[test]
    fn the_small_share_moves_by_the_difference_of_the_hits() {
        let (scores, mut ageing) = (Scores::new(2), Ageing::new(4));
        scores.small_share.store((0.3 * SHARE_PARTS) as u32, Relaxed);
        (0..24).for_each(|_| scores.note_hit(A, Queue::Small, 1.0));
        scores.note_hit(A, Queue::Main, 1.0);
        ageing.note_main_eviction(SHARE_PAGES_MIN / 4.0);
        (1..DECAY_PERIOD / 4).for_each(|_| ageing.note_lookup(&scores));
        assert_eq!(scores.small_share(), 0.3);
        ageing.note_lookup(&scores);
        let want = 0.3 + SHARE_STEP * (24.0 - SMALL_BIAS) / (24.0 + SMALL_BIAS);
        assert!((scores.small_share() - want).abs() < 1e-5, "{}", scores.small_share());
        assert_eq!(ageing.main_pages, 0.0);
    }

    #[test]
    fn few_hits_decide_nothing() {
        for (small, main, moves) in [(5.0, 4.0, false), (5.0, 5.0, true)] {
            let (scores, mut ageing) = (Scores::new(2), Ageing::new(1));
            scores.small_share.store((0.3 * SHARE_PARTS) as u32, Relaxed);
            scores.note_hit(A, Queue::Small, small);
            scores.note_hit(A, Queue::Main, main);
            ageing.note_main_eviction(SHARE_PAGES_MIN);
            age(&scores, &mut ageing);
            assert_eq!(scores.small_share() < 0.3, moves);
            let kept = if moves { DECAY } else { 1.0 };
            let hits = scores.small_hits.load(Relaxed) as f32 / PARTS;
            assert!((hits - small * kept).abs() < 0.01, "{hits}");
        }
    }
}
