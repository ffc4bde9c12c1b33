//! The memory that a connection needs only while it has work.
//!
//! A worker owns a few full-size buffers. A connection borrows one for its go; what is left in it
//! when the connection has to wait (part of a line, unsent answers) is copied out to its exact
//! size, so that an idle connection owns nothing and a slow one little more than what it holds.
#![forbid(unsafe_code)]

use zeroize::Zeroize;

use crate::limits::{
    BUFFERS_HELD_MAX, BUFFERS_KEPT, BUFFERS_LIMIT_PART, BUFFERS_SPARE_MAX, OUTPUT_HIGH_WATER_BYTES,
    OUTPUT_LIMIT_PART, OUTPUT_TIGHT_BYTES, READ_BUF_BYTES, SMALL_READ_BYTES,
};
use crate::memory::{Level, free_bytes};
use crate::session::Output;

/// Answer buffers that have grown beyond this many bytes are not kept for the next connection.
const OUTPUT_KEEP_BYTES: usize = 2 * READ_BUF_BYTES;

/// Bytes in and answers out of one connection.
#[derive(Debug)]
pub(super) struct Buffers {
    pub(super) input: Input,
    pub(super) output: Output,
    /// Full-size and the pool's, not cut to what they hold.
    is_pooled: bool,
}

/// Bytes that were read and not yet consumed.
#[derive(Debug)]
pub(super) struct Input {
    /// [`READ_BUF_BYTES`] long when it is a pool's, else exactly as long as what it holds.
    bytes: Vec<u8>,
    /// First unread byte; 0 when there is none.
    start: usize,
    /// End of what was read.
    end: usize,
}

/// The full-size buffers of one worker.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Always empty ones; boxed, since that is how connections hold them.
    #[expect(
        clippy::vec_box,
        reason = "the box itself is reused, so that a request allocates nothing"
    )]
    spare: Vec<Box<Buffers>>,
    /// The fewest spare ones since [`Pool::trim`]: those at the front that nobody has needed.
    unneeded: usize,
    /// Full-size buffers that connections hold.
    out: usize,
    /// Bytes of answer buffers among the spare ones.
    spare_output_bytes: usize,
    level: Level,
    /// Values that arrive may have to wait, with what is behind them in the input.
    is_filling: bool,
    /// Of answers of a connection while memory is calm.
    high_water_bytes: usize,
    /// Unused buffers that are kept while it is calm, for a while and however long nobody needs them.
    spare_max: usize,
    kept: usize,
}

impl Buffers {
    fn full_size() -> Box<Buffers> {
        let input = Input { bytes: vec![0; READ_BUF_BYTES], start: 0, end: 0 };
        Box::new(Buffers { input, output: Output::new(), is_pooled: true })
    }

    /// Bytes of memory for input, without what is a pool's, and for output.
    pub(super) fn held_bytes(&self) -> (usize, usize) {
        let input = if self.is_pooled { 0 } else { self.input.bytes.capacity() };
        (size_of::<Buffers>() + input, self.output.held_bytes())
    }

    /// Whether there is nothing in them to be kept.
    pub(super) fn is_empty(&self) -> bool {
        self.input.is_empty() && self.output.is_empty()
    }
}

impl Input {
    /// What has not been consumed.
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Whether everything has been consumed.
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Takes note that the first `count` unread bytes are done with.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end, "more consumed than there was");
        if self.start == self.end {
            self.clear();
        }
    }

    /// Wipes what is not unread, or `all` of it: it may be a password.
    pub(super) fn wipe(&mut self, all: bool) {
        if all {
            self.clear();
        }
        self.bytes[..self.start].zeroize();
        self.bytes[self.end..].zeroize();
    }

    /// Forgets what is unread.
    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Room for at most `count_max` bytes behind the unread ones. Empty only if those fill the
    /// whole buffer.
    pub(super) fn space(&mut self, count_max: usize) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let room = count_max.min(self.bytes.len() - self.end);
        &mut self.bytes[self.end..self.end + room]
    }

    /// Takes note that `count` bytes were read into [`Input::space`].
    pub(super) fn filled(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.bytes.len(), "more read than there was room");
    }
}

impl Pool {
    /// Empty buffers of full size.
    pub(super) fn take(&mut self) -> Box<Buffers> {
        self.out += 1;
        let buffers = match self.spare.pop() {
            Some(buffers) => {
                self.spare_output_bytes -= buffers.output.held_bytes();
                buffers
            }
            None => Buffers::full_size(),
        };
        self.unneeded = self.unneeded.min(self.spare.len());
        buffers
    }

    /// Whether there is memory that [`Pool::trim`] may free.
    pub(super) fn is_ample(&self) -> bool {
        self.spare.len() > self.kept
    }

    /// Frees what nobody has needed since the last call, but for as many as are kept.
    pub(super) fn trim(&mut self) {
        let excess = self.spare.len().saturating_sub(self.kept);
        self.drop_spare(self.unneeded.min(excess));
    }

    /// Takes note of the memory limit, in bytes, and of how many workers there are: where the one is small or
    /// the others are many, answers that wait and unused buffers are fewer, since those of all that go at once,
    /// and of all workers, come before anybody looks.
    pub(super) fn set_limit(&mut self, limit: usize, workers: usize) {
        self.high_water_bytes =
            (limit / OUTPUT_LIMIT_PART).clamp(OUTPUT_TIGHT_BYTES, OUTPUT_HIGH_WATER_BYTES);
        let of_all = workers * READ_BUF_BYTES;
        self.spare_max = BUFFERS_SPARE_MAX.min(limit / BUFFERS_LIMIT_PART / of_all);
        self.kept = BUFFERS_KEPT.min(free_bytes(limit) / of_all);
    }

    /// Has reads take little while values that arrive may have to wait: what has been read and not executed
    /// is held.
    pub(super) fn set_filling(&mut self, is_filling: bool) {
        self.is_filling = is_filling;
    }

    /// Keeps to what memory there is: while that is not calm, few are spare.
    pub(super) fn set_level(&mut self, level: Level) {
        self.level = level;
        if level > Level::Calm {
            self.drop_spare(self.spare.len().saturating_sub(self.spare_max()));
        }
    }

    /// Spare ones that are worth their memory. While it is full none is: those of many workers could fill a
    /// small one, and there would be nobody else to make room.
    fn spare_max(&self) -> usize {
        match self.level {
            Level::Calm => self.spare_max,
            Level::Tight => 1,
            Level::Full => 0,
        }
    }

    fn drop_spare(&mut self, count: usize) {
        for buffers in self.spare.drain(..count) {
            self.spare_output_bytes -= buffers.output.held_bytes();
        }
        self.unneeded = self.spare.len();
    }

    /// Bytes of all full-size buffers, and of answers in the spare ones.
    pub(super) fn held_bytes(&self) -> (usize, usize) {
        ((self.out + self.spare.len()) * READ_BUF_BYTES, self.spare_output_bytes)
    }

    /// Full-size buffers that there are, and those of them that no connection holds.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.out + self.spare.len(), self.spare.len())
    }

    /// Gives buffers back, whatever is in them; exact-size ones are freed.
    pub(super) fn put(&mut self, mut buffers: Box<Buffers>) {
        if !buffers.is_pooled {
            return;
        }
        self.out -= 1;
        if self.spare.len() >= self.spare_max() {
            return;
        }
        buffers.input.clear();
        let reusable =
            buffers.output.is_empty() && buffers.output.bytes().capacity() <= OUTPUT_KEEP_BYTES;
        if !reusable {
            buffers.output = Output::new();
        }
        self.spare_output_bytes += buffers.output.held_bytes();
        self.spare.push(buffers);
    }

    /// Whether connections hold so many buffers, or memory is so tight, that no more should be kept from go
    /// to go.
    pub(super) fn is_tight(&self) -> bool {
        self.out > BUFFERS_HELD_MAX || self.level > Level::Calm
    }

    /// Bytes of answers of a connection that may wait before no further request of it is executed.
    pub(super) fn high_water(&self) -> usize {
        if self.level > Level::Calm { OUTPUT_TIGHT_BYTES } else { self.high_water_bytes }
    }

    /// Bytes that one read may take now.
    pub(super) fn read_max(&self) -> usize {
        if self.is_tight() || self.is_filling { SMALL_READ_BYTES } else { READ_BUF_BYTES }
    }

    /// The same contents in full size, so that there is room to read.
    pub(super) fn expand(&mut self, held: Box<Buffers>) -> Box<Buffers> {
        if held.is_pooled {
            return held;
        }
        let mut full = self.take();
        let unread = held.input.unread();
        full.input.space(unread.len()).copy_from_slice(unread);
        full.input.filled(unread.len());
        if !held.output.is_empty() {
            full.output = held.output;
        }
        full
    }

    /// The same contents in no more memory than they need.
    /// If they are `secret` nothing of them stays behind.
    pub(super) fn compact(&mut self, mut held: Box<Buffers>, secret: bool) -> Box<Buffers> {
        let bytes = held.input.unread().to_vec();
        let input = Input { start: 0, end: bytes.len(), bytes };
        let mut output = Output::new();
        if !held.output.is_empty() {
            std::mem::swap(&mut output, &mut held.output);
            output.shrink();
        }
        if secret {
            held.input.wipe(true);
        }
        self.put(held);
        Box::new(Buffers { input, output, is_pooled: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(buffers: &mut Buffers, bytes: &[u8]) {
        buffers.input.space(bytes.len()).copy_from_slice(bytes);
        buffers.input.filled(bytes.len());
    }

    #[test]
    fn compact_and_expand_keep_contents() {
        let mut pool = Pool::default();
        pool.set_limit(1 << 30, 1);
        let mut held = pool.take();
        fill(&mut held, b"done half a li");
        held.input.consume(5);
        held.output.push(b"answers");
        held.output.advance(3);
        let held = pool.compact(held, false);
        assert_eq!((pool.out, pool.spare.len()), (0, 1));
        assert_eq!(held.input.bytes.len(), 9);
        let mut held = pool.expand(held);
        assert_eq!((pool.out, pool.spare.len()), (1, 0));
        fill(&mut held, b"ne");
        assert_eq!(held.input.unread(), b"half a line");
        assert_eq!(held.output.plain(), Some(b"wers".as_slice()));
        pool.put(held);
        assert!(pool.take().is_empty(), "what comes from the pool is empty");
    }

    #[test]
    fn space_moves_the_unread_to_the_front() {
        let mut held = Buffers::full_size();
        fill(&mut held, &[b'x'; READ_BUF_BYTES]);
        assert!(held.input.space(1).is_empty());
        held.input.consume(READ_BUF_BYTES - 1);
        assert_eq!(held.input.space(usize::MAX).len(), READ_BUF_BYTES - 1);
        assert_eq!(held.input.unread(), b"x");
    }

    #[test]
    fn spare_buffers_are_bounded() {
        let mut pool = Pool::default();
        pool.set_limit(1 << 30, 1);
        let out: Vec<_> = (0..2 * BUFFERS_HELD_MAX).map(|_| pool.take()).collect();
        assert!(pool.is_tight());
        assert_eq!(pool.read_max(), SMALL_READ_BYTES);
        out.into_iter().for_each(|buffers| pool.put(buffers));
        assert_eq!((pool.out, pool.spare.len()), (0, BUFFERS_SPARE_MAX));
    }

    #[test]
    fn buffers_that_nobody_needs_go() {
        let mut pool = Pool::default();
        pool.set_limit(1 << 30, 1);
        let fill = |pool: &mut Pool, count: usize| {
            let out: Vec<_> = (0..count).map(|_| pool.take()).collect();
            out.into_iter().for_each(|buffers| pool.put(buffers));
        };
        fill(&mut pool, BUFFERS_KEPT + 5);
        assert!(pool.is_ample());
        pool.trim();
        assert_eq!(pool.spare.len(), BUFFERS_KEPT + 5, "all were in use");
        fill(&mut pool, BUFFERS_KEPT + 2);
        pool.trim();
        assert_eq!(pool.spare.len(), BUFFERS_KEPT + 2);
        fill(&mut pool, 1);
        pool.trim();
        assert_eq!(pool.spare.len(), BUFFERS_KEPT);
        assert!(!pool.is_ample());
        for (level, spare) in [(Level::Tight, 1), (Level::Full, 0)] {
            pool.set_level(level);
            assert_eq!(pool.count(), (spare, spare));
            fill(&mut pool, 3);
            assert_eq!(pool.count(), (spare, spare), "none more is kept");
        }
    }
}
