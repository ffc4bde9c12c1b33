//! The lines that wait for one watcher: bounded, lossy, and honest about what was lost.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io::Write;

use arrayvec::ArrayVec;

/// Longest `skipped=N` with its LF.
const SKIPPED_LEN_MAX: usize = 8 + 20 + 1;

/// Bytes of whole lines, never more than `bytes_max`.
#[derive(Debug)]
pub(super) struct Backlog {
    bytes: VecDeque<u8>,
    bytes_max: usize,
    /// Lines lost since the last `skipped=N`.
    skipped: u64,
}

impl Backlog {
    pub(super) fn new(bytes_max: usize) -> Backlog {
        Backlog { bytes: VecDeque::new(), bytes_max, skipped: 0 }
    }

    /// Bytes of memory that it has.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends a line that is given in two parts. False: there is no room, the line is lost.
    pub(super) fn push(&mut self, head: &[u8], body: &[u8]) -> bool {
        let len = head.len() + body.len();
        // Behind lost lines comes the line that says so, and that with a line behind it: two of them
        // in a row would tell no more than one.
        let fits = self.make_room(len + if self.skipped > 0 { SKIPPED_LEN_MAX } else { 0 });
        if !fits {
            self.skipped += 1;
            return false;
        }
        self.tell_skipped();
        self.bytes.extend(head);
        self.bytes.extend(body);
        true
    }

    /// Moves at most `count_max` bytes to `into`. True: nothing is left.
    pub(super) fn take(&mut self, count_max: usize, into: &mut Vec<u8>) -> bool {
        let count = count_max.min(self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let front_len = count.min(front.len());
        into.extend_from_slice(&front[..front_len]);
        into.extend_from_slice(&back[..count - front_len]);
        self.bytes.drain(..count);
        if self.bytes.is_empty() && self.make_room(SKIPPED_LEN_MAX) {
            self.tell_skipped();
        }
        self.bytes.is_empty()
    }

    /// Says how much was lost where it was lost. There is room.
    fn tell_skipped(&mut self) {
        if self.skipped == 0 {
            return;
        }
        let mut line: ArrayVec<u8, SKIPPED_LEN_MAX> = ArrayVec::new();
        if writeln!(line, "skipped={}", self.skipped).is_ok() {
            self.bytes.extend(&line);
            self.skipped = 0;
        }
    }

    /// Whether `count` bytes more may be held; then there is memory for them.
    fn make_room(&mut self, count: usize) -> bool {
        let needed = self.bytes.len() + count;
        if needed <= self.bytes.capacity() {
            return needed <= self.bytes_max;
        }
        // Doubled, but never to more than it may hold.
        let capacity = (2 * self.bytes.capacity()).clamp(needed, self.bytes_max.max(needed));
        needed <= self.bytes_max
            && self.bytes.try_reserve_exact(capacity - self.bytes.len()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(backlog: &mut Backlog, count_max: usize) -> String {
        let mut bytes = Vec::new();
        backlog.take(count_max, &mut bytes);
        String::from_utf8(bytes).expect("ASCII")
    }

    #[test]
    fn what_is_lost_is_counted_where_it_was_lost() {
        let mut backlog = Backlog::new(40);
        assert!(backlog.push(b"0123456789", b"0123456789\n"));
        assert!(backlog.push(b"abcde", b"fghijklmn\n"));
        assert!(!backlog.push(b"lost", b"\n"), "36 bytes are held");
        assert!(!backlog.push(b"lost", b"\n"));
        assert_eq!(take(&mut backlog, 5), "01234");
        assert!(!backlog.push(b"x", b"\n"), "no line before the one about those that were lost");
        assert_eq!(take(&mut backlog, usize::MAX), "567890123456789\nabcdefghijklmn\n");
        assert!(backlog.push(b"new", b"\n"));
        assert_eq!(take(&mut backlog, usize::MAX), "skipped=3\nnew\n");
        assert!(backlog.bytes.is_empty() && backlog.skipped == 0);
    }

    #[test]
    fn never_two_lines_in_a_row_about_lost_ones() {
        for portion in 1..60 {
            let mut backlog = Backlog::new(100);
            let mut got = String::new();
            for _ in 0..200 {
                for _ in 0..3 {
                    backlog.push(b"a line of ", b"twenty bytes\n");
                }
                got.push_str(&take(&mut backlog, portion));
            }
            while !backlog.bytes.is_empty() {
                got.push_str(&take(&mut backlog, portion));
            }
            let lines: Vec<bool> = got.lines().map(|line| line.starts_with("skipped=")).collect();
            assert!(lines.contains(&true), "{portion}");
            assert!(!lines.windows(2).any(|pair| pair == [true, true]), "{portion}: {got}");
        }
    }

    #[test]
    fn never_more_than_its_bound() {
        let mut backlog = Backlog::new(1000);
        for n in 0..10_000 {
            backlog.push(b"line ", b"of ten\n");
            assert!(backlog.bytes.len() <= 1000);
            if n % 37 == 0 {
                take(&mut backlog, 11);
            }
        }
        assert!(backlog.bytes.capacity() <= 2048);
    }

    #[test]
    fn takes_in_any_portions() {
        for portion in 1..20 {
            let mut backlog = Backlog::new(64);
            let (mut want, mut got) = (String::new(), String::new());
            for n in 0..100 {
                let line = format!("{n}\n");
                assert!(backlog.push(b"a", line.as_bytes()));
                want.push_str(&format!("a{line}"));
                while backlog.bytes.len() > 20 {
                    got.push_str(&take(&mut backlog, portion));
                }
            }
            while !backlog.bytes.is_empty() {
                got.push_str(&take(&mut backlog, portion));
            }
            assert_eq!(got, want);
        }
    }
}
