//! Whether to go on.
#![forbid(unsafe_code)]

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// Tells the threads of a run when to stop. Shared by reference.
#[derive(Debug)]
pub struct Running {
    until: Instant,
    is_stopped: Mutex<bool>,
    told: Condvar,
}

impl Running {
    /// A run that ends after `time` by itself.
    pub fn for_time(time: Duration) -> Running {
        let until = clock::now() + time;
        Running { until, is_stopped: Mutex::new(false), told: Condvar::new() }
    }

    /// Ends the run. Who pauses wakes up.
    pub fn stop(&self) {
        *self.is_stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    /// Whether to go on.
    pub fn goes_on(&self) -> bool {
        self.pause(Duration::ZERO)
    }

    /// Waits for `time`, but not beyond the end of the run; whether to go on.
    pub fn pause(&self, time: Duration) -> bool {
        let now = clock::now();
        let until = self.until.min(now + time);
        let is_stopped = self.is_stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_stopped, _) = self
            .told
            .wait_timeout_while(is_stopped, until.saturating_duration_since(now), |stop| !*stop)
            .unwrap_or_else(PoisonError::into_inner);
        !*is_stopped && clock::now() < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_by_time_or_by_word() {
        let short = Running::for_time(Duration::from_millis(2));
        assert!(!short.pause(Duration::from_secs(60)));
        assert!(!short.goes_on());
        let long = Running::for_time(Duration::from_secs(60));
        assert!(long.goes_on());
        assert!(long.pause(Duration::from_millis(1)));
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| long.pause(Duration::from_secs(50)));
            long.stop();
            assert!(!sleeper.join().unwrap());
        });
        assert!(!long.goes_on());
    }
}
