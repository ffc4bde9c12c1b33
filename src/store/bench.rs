//! Parts of a store alone, for `benches/parts.rs`: what they cost shows in no call of [`super::Store`].
//! Nothing else may use them; `tests/it/tidy.rs` looks.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::arena::{Arena, Ref};
use super::class::{ClassId, Sizes};
use super::index::Index;
use super::slab::Slab;

const PAGE_BYTES: usize = 32 << 10;

/// An index whose references are the callers' numbers, not 0, and no items.
#[derive(Debug)]
pub struct BareIndex {
    arena: Arc<Arena>,
    index: Index,
}

impl BareIndex {
    pub fn new(memory_bytes: usize) -> BareIndex {
        let arena = Arc::new(Arena::new(memory_bytes, PAGE_BYTES).expect("memory is reserved"));
        let page = arena.take().expect("a page");
        BareIndex { index: Index::new(arena.clone(), page), arena }
    }

    /// Grows as a shard's does; `hash_of` is asked for those of other numbers.
    pub fn insert(&mut self, number: u32, hash_of: impl Fn(u32) -> u64) {
        while !self.index.insert(hash_of(number), Ref(number)) {
            self.index.add_spill_page(self.arena.take().expect("a page"));
        }
        if self.index.wants_growth() {
            if self.index.needs_main_page() {
                self.index.add_main_page(self.arena.take().expect("a page"));
            }
            self.index.grow(|r| hash_of(r.0));
        }
    }

    pub fn find(&self, number: u32, hash: u64) -> bool {
        self.index.find(hash, |r| r == Ref(number)).is_some()
    }

    pub fn remove(&mut self, number: u32, hash: u64) {
        if let Some((slot, _)) = self.index.find(hash, |r| r == Ref(number)) {
            self.index.remove(slot, hash);
        }
    }
}

/// A slab with one class, all of whose chunks are free.
#[derive(Debug)]
pub struct BareSlab {
    slab: Slab,
    class: ClassId,
}

/// A chunk of a [`BareSlab`].
#[derive(Debug)]
pub struct Taken(Ref);

impl BareSlab {
    pub fn new(memory_bytes: usize, chunk_bytes: usize) -> BareSlab {
        let arena = Arc::new(Arena::new(memory_bytes, PAGE_BYTES).expect("memory is reserved"));
        let sizes = Arc::new(Sizes::new(32, 1.04, PAGE_BYTES, arena.granule()));
        let class = sizes.class_for(chunk_bytes).expect("a class");
        let mut slab = Slab::new(arena.clone(), sizes);
        while let Some(page) = arena.take() {
            slab.add_page(class, page);
        }
        BareSlab { slab, class }
    }

    pub fn take(&mut self) -> Option<Taken> {
        self.slab.take(self.class).map(Taken)
    }

    pub fn give(&mut self, chunk: Taken) {
        self.slab.give(chunk.0);
    }
}
