//! What a byte costs that is written now.
//!
//! Mostly a megabyte goes to the kernel in 0.1 to 0.2 ms. Where clients do not read, or many begin to at once, the kernel
//! needs new memory for what lies in their sockets, and on a virtual machine that may have to come from its
//! host: measured, 5 ms a megabyte. Bounds in bytes are bounds of time only if that counts.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::limits::{BYTE_COST_MAX, BYTE_COST_MIN, BYTES_PER_MS};

/// What one worker's large writes have taken lately.
#[derive(Debug)]
pub(super) struct Pace {
    /// In sixteenths of what a byte counts as.
    cost: usize,
    /// What the last one cost.
    last: usize,
}

/// Of a cost.
const PARTS: usize = 16;

impl Default for Pace {
    fn default() -> Pace {
        Pace { cost: PARTS, last: PARTS }
    }
}

impl Pace {
    /// What a byte costs, in such as are written at their usual cost: 1, or from [`BYTE_COST_MIN`] to [`BYTE_COST_MAX`].
    pub(super) fn byte_cost(&self) -> usize {
        match self.cost / PARTS {
            0..BYTE_COST_MIN => 1,
            cost => cost,
        }
    }

    /// Takes note of so many bytes, some, that were written in such a time. One slow write tells nothing: its thread may
    /// not have been let run for a while.
    pub(super) fn note(&mut self, count: usize, took: Duration) {
        let usual_ns = count * 1_000_000 / BYTES_PER_MS;
        let cost = took.as_nanos() as usize * PARTS / usual_ns.max(1);
        let cost = cost.clamp(PARTS, BYTE_COST_MAX * PARTS);
        self.cost = self.cost.midpoint(cost.min(self.last));
        self.last = cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_writes_cost_more_and_quick_ones_are_forgiven() {
        let mut pace = Pace::default();
        assert_eq!(pace.byte_cost(), 1);
        for _ in 0..10 {
            pace.note(BYTES_PER_MS, Duration::from_millis(8));
        }
        assert_eq!(pace.byte_cost(), 7);
        pace.note(BYTES_PER_MS, Duration::from_micros(300));
        assert_eq!(pace.byte_cost(), 4);
        pace.note(BYTES_PER_MS, Duration::from_micros(300));
        assert_eq!(pace.byte_cost(), 1, "twice the usual cost splits no value");
        pace.note(1, Duration::from_secs(1000));
        assert_eq!(pace.byte_cost(), 1, "one tells nothing");
        pace.note(1, Duration::from_secs(1000));
        assert!(pace.byte_cost() >= BYTE_COST_MAX / 2, "two tell much");
        for _ in 0..10 {
            pace.note(1, Duration::ZERO);
        }
        assert_eq!(pace.byte_cost(), 1);
    }
}
