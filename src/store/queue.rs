//! Which queue of its class each item stands in: two or three bits for each chunk, beside the pages.
//!
//! The chunks of a class, page after page, are one ring. There are no lists: an item's place in its
//! queue is the place of its chunk, and the hands of the eviction go round the ring (`hands`), each from
//! bit to bit of its own queue: links, free chunks and the items of other queues cost it nothing.
#![forbid(unsafe_code)]

/// A place in the ring of a class: a page, by its number in the class, and a chunk of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub page: usize,
    pub chunk: usize,
}

/// Where an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// New, and not hit yet when the hand of this queue comes: then it goes.
    Small,
    /// Proven: hit while it was in the small queue, or asked for again soon after it had gone.
    Main,
    /// Its TTL was short (`temporary_ttl`): it goes only when nothing else can.
    Temporary,
}

/// The queues of one class.
#[derive(Debug, Default)]
pub(super) struct Queues {
    per_page: usize,
    /// Bits of the chunks where an item of the small queue begins, in whole words for each page.
    small: Vec<u64>,
    /// The same for the main queue.
    main: Vec<u64>,
    /// The same for temporary items; empty until there has been one.
    temporary: Vec<u64>,
    /// Chunks of all items in the small queue, links included.
    small_chunks: usize,
    main_items: usize,
    temporary_items: usize,
}

impl Queues {
    /// Those of a class with no pages yet, each of which will have so many chunks.
    pub(super) fn new(per_page: usize) -> Queues {
        Queues { per_page, ..Queues::default() }
    }

    /// Takes note of another page, at the end.
    pub(super) fn add_page(&mut self) {
        self.small.resize(self.small.len() + self.words(), 0);
        self.main.resize(self.small.len(), 0);
        if !self.temporary.is_empty() {
            self.temporary.resize(self.small.len(), 0);
        }
    }

    /// Forgets page `number`, which holds no item; the last page takes its number.
    pub(super) fn remove_page(&mut self, number: usize) {
        let words = self.words();
        for bits in [&mut self.small, &mut self.main, &mut self.temporary] {
            if let Some(last) = bits.len().checked_sub(words) {
                bits.copy_within(last.., number * words);
                bits.truncate(last);
            }
        }
    }

    /// The queue of the item that begins at `at`; the main one for what is no item.
    pub(super) fn at(&self, at: Place) -> Queue {
        let (word, bit) = self.bit(at);
        if self.small[word] & bit != 0 {
            Queue::Small
        } else if self.temporary.get(word).is_some_and(|bits| bits & bit != 0) {
            Queue::Temporary
        } else {
            Queue::Main
        }
    }

    /// An item of so many chunks begins at `at`, where none was, and stands in `queue`.
    pub(super) fn join(&mut self, at: Place, queue: Queue, chunks: usize) {
        debug_assert!(!self.is_taken(at));
        let (word, bit) = self.bit(at);
        match queue {
            Queue::Small => {
                self.small[word] |= bit;
                self.small_chunks += chunks;
            }
            Queue::Temporary => {
                self.temporary.resize(self.small.len(), 0);
                self.temporary[word] |= bit;
                self.temporary_items += 1;
            }
            Queue::Main => {
                self.main[word] |= bit;
                self.main_items += 1;
            }
        }
    }

    /// The item at `at` leaves its queue.
    pub(super) fn leave(&mut self, at: Place, chunks: usize) {
        debug_assert!(self.is_taken(at));
        let (word, bit) = self.bit(at);
        match self.at(at) {
            Queue::Small => {
                self.small[word] &= !bit;
                self.small_chunks -= chunks;
            }
            Queue::Temporary => {
                self.temporary[word] &= !bit;
                self.temporary_items -= 1;
            }
            Queue::Main => {
                self.main[word] &= !bit;
                self.main_items -= 1;
            }
        }
    }

    /// The first place at or after `from`, round the ring, where an item of `queue` begins.
    pub(super) fn next(&self, queue: Queue, from: Place) -> Option<Place> {
        let (words, held) = match queue {
            Queue::Small => (&self.small, self.small_chunks),
            Queue::Main => (&self.main, self.main_items),
            Queue::Temporary => (&self.temporary, self.temporary_items),
        };
        if held == 0 {
            return None;
        }
        let (first, bit) = self.bit(from);
        let ahead = words[first] & !(bit - 1);
        let after = (first + 1..words.len()).chain(0..=first);
        let (word, bits) = std::iter::once((first, ahead))
            .chain(after.map(|word| (word, words[word])))
            .find(|&(_, bits)| bits != 0)?;
        let (page, word) = (word / self.words(), word % self.words());
        Some(Place { page, chunk: word * 64 + bits.trailing_zeros() as usize })
    }

    /// Chunks of all items in the small queue.
    pub(super) fn small_chunks(&self) -> usize {
        self.small_chunks
    }

    pub(super) fn main_items(&self) -> usize {
        self.main_items
    }

    pub(super) fn temporary_items(&self) -> usize {
        self.temporary_items
    }

    /// Whether an item that stands in a queue begins at `at`.
    pub(super) fn is_taken(&self, at: Place) -> bool {
        let (word, bit) = self.bit(at);
        let is_set = |bits: &Vec<u64>| bits.get(word).is_some_and(|bits| bits & bit != 0);
        [&self.small, &self.main, &self.temporary].into_iter().any(is_set)
    }

    /// Words of a page.
    fn words(&self) -> usize {
        self.per_page.div_ceil(64)
    }

    fn bit(&self, at: Place) -> (usize, u64) {
        (at.page * self.words() + at.chunk / 64, 1 << (at.chunk % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { page: 1, chunk: 70 };

    fn queues() -> Queues {
        let mut queues = Queues::new(100);
        (0..3).for_each(|_| queues.add_page());
        queues
    }

    #[test]
    fn an_item_stands_in_one_queue() {
        let mut queues = queues();
        for queue in [Queue::Small, Queue::Temporary, Queue::Main] {
            queues.join(HERE, queue, 3);
            assert_eq!(queues.at(HERE), queue);
            assert_eq!(queues.at(Place { chunk: 69, ..HERE }), Queue::Main);
            let is = |other| usize::from(queue == other);
            let counts = (queues.small_chunks(), queues.main_items(), queues.temporary_items());
            assert_eq!(counts, (3 * is(Queue::Small), is(Queue::Main), is(Queue::Temporary)));
            assert!(queues.is_taken(HERE));
            queues.leave(HERE, 3);
            assert!(!queues.is_taken(HERE));
        }
        let counts = (queues.small_chunks(), queues.main_items(), queues.temporary_items());
        assert_eq!(counts, (0, 0, 0));
    }

    #[test]
    fn the_next_one_is_found_round_the_ring() {
        let other = Place { page: 2, chunk: 0 };
        for queue in [Queue::Small, Queue::Main, Queue::Temporary] {
            let mut queues = queues();
            assert_eq!(queues.next(queue, HERE), None);
            queues.join(HERE, queue, 1);
            queues.join(other, queue, 1);
            for (page, chunk) in (0..3).flat_map(|page| (0..100).map(move |chunk| (page, chunk))) {
                let is_here = (page, chunk) <= (1, 70) || (page, chunk) > (2, 0);
                let next = if is_here { HERE } else { other };
                assert_eq!(queues.next(queue, Place { page, chunk }), Some(next), "{page} {chunk}");
            }
        }
    }

    #[test]
    fn the_last_page_takes_the_number_of_one_that_goes() {
        let mut queues = queues();
        queues.join(Place { page: 2, chunk: 5 }, Queue::Small, 1);
        queues.join(Place { page: 2, chunk: 6 }, Queue::Temporary, 1);
        queues.remove_page(0);
        assert_eq!(queues.at(Place { page: 0, chunk: 5 }), Queue::Small);
        assert_eq!(queues.at(Place { page: 0, chunk: 6 }), Queue::Temporary);
        queues.remove_page(1);
        queues.add_page();
        assert_eq!(queues.at(Place { page: 1, chunk: 5 }), Queue::Main);
        assert_eq!(
            queues.next(Queue::Small, Place { page: 1, chunk: 9 }),
            Some(Place { page: 0, chunk: 5 })
        );
    }
}
