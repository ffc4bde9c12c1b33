//! What a connection is waited for, and how long that may take.
//!
//! A client that stops amid something holds memory, or a place, of which others have need. One that is
//! merely idle holds nothing and may stay (but for `-o idle_timeout`), and one that only listens (`watch`)
//! does as well.
#![forbid(unsafe_code)]

use super::{Conn, Phase};
use crate::clock::Secs;
use crate::limits::{
    LINGER_SECS, PATIENCE_TIGHT_MIN_SECS, PATIENCE_TIGHT_PART, SLOW_BYTES_PER_SEC,
};
use crate::memory::Level;
use crate::metrics::Counter;
use crate::server::Deadlines;

/// What is to come from the client next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) enum Awaited {
    /// Whatever it likes.
    #[default]
    Anything,
    /// The rest of a request, or of a record.
    Request,
    /// The rest of a value.
    Upload,
    /// That it takes its answers.
    Reading,
    /// That it logs in.
    Login,
    /// That it takes note of the end.
    End,
}

/// Since when and until when it is awaited.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wait {
    awaited: Awaited,
    since: Secs,
    /// 0: for ever.
    patience_secs: u32,
}

impl Awaited {
    /// What counts those that did not come in time.
    pub(in crate::server) fn counter(self) -> Option<Counter> {
        match self {
            Awaited::Anything => Some(Counter::IdleKicks),
            Awaited::Request => Some(Counter::RequestTimeouts),
            Awaited::Upload => Some(Counter::UploadTimeouts),
            Awaited::Reading => Some(Counter::SendTimeouts),
            Awaited::Login => Some(Counter::LoginTimeouts),
            Awaited::End => None,
        }
    }

    fn patience_secs(self, bytes: usize, deadlines: &Deadlines) -> u32 {
        let by_size = |secs: u32| {
            let more = u32::try_from(bytes / SLOW_BYTES_PER_SEC).unwrap_or(u32::MAX);
            if secs == 0 { 0 } else { secs.saturating_add(more) }
        };
        match self {
            Awaited::Anything => 0,
            Awaited::Request => deadlines.request_secs,
            Awaited::Upload => by_size(deadlines.upload_secs),
            Awaited::Reading => by_size(deadlines.send_secs),
            Awaited::Login => deadlines.login_secs,
            Awaited::End => LINGER_SECS,
        }
    }
}

impl Wait {
    fn is_over(&self, now: Secs, level: Level) -> bool {
        let patience = match level {
            _ if self.awaited == Awaited::End => self.patience_secs,
            Level::Calm => self.patience_secs,
            Level::Tight | Level::Full => {
                let part = self.patience_secs.div_ceil(PATIENCE_TIGHT_PART);
                part.max(PATIENCE_TIGHT_MIN_SECS).min(self.patience_secs)
            }
        };
        self.patience_secs > 0 && now.0.saturating_sub(self.since.0) > patience
    }
}

impl Conn {
    /// Takes note after a go of what is awaited from now on. What has been awaited before, and has not got
    /// anywhere, is awaited since then: neither a byte now and then nor reading a little begins it anew.
    pub(in crate::server) fn note_wait(&mut self, now: Secs, deadlines: &Deadlines) {
        let (awaited, bytes) = self.awaits();
        let has_executed = std::mem::take(&mut self.has_executed);
        // A guest has one time for all of its attempts.
        if awaited == self.wait.awaited && (!has_executed || awaited == Awaited::Login) {
            return;
        }
        let patience_secs = awaited.patience_secs(bytes, deadlines);
        self.wait = Wait { awaited, since: now, patience_secs };
    }

    /// Whether something is awaited that may be late.
    pub(in crate::server) fn is_awaited(&self) -> bool {
        self.wait.patience_secs > 0
    }

    /// What is late, if anything is: `idle_secs` is for a connection of which nothing is awaited, 0 for ever.
    pub(in crate::server) fn late(
        &self,
        now: Secs,
        idle_secs: u32,
        level: Level,
    ) -> Option<Awaited> {
        let silent_secs = now.0.saturating_sub(self.active_at.0);
        let is_idle = idle_secs > 0
            && silent_secs > idle_secs
            && self.stream().is_tcp()
            && !self.session.is_watching()
            && self.phase != Phase::Lingering;
        if self.wait.is_over(now, level) {
            Some(self.wait.awaited)
        } else {
            is_idle.then_some(Awaited::Anything)
        }
    }

    /// What is awaited, and bytes that it is.
    fn awaits(&self) -> (Awaited, usize) {
        if self.phase == Phase::Lingering {
            return (Awaited::End, 0);
        }
        if self.must_flush {
            let held = self.held.as_ref().map_or(0, |held| held.output.unwritten_len());
            return match self.session.is_watching() {
                true => (Awaited::Anything, 0),
                false => (Awaited::Reading, held),
            };
        }
        if self.session.is_guest() {
            return (Awaited::Login, 0);
        }
        if !self.wants_input || self.is_asking {
            return (Awaited::Anything, 0);
        }
        if let Some(missing) = self.session.missing_bytes() {
            return (Awaited::Upload, usize::try_from(missing).unwrap_or(usize::MAX));
        }
        match self.session.is_midway() || self.link.is_midway() {
            true => (Awaited::Request, 0),
            false => (Awaited::Anything, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINES: Deadlines =
        Deadlines { request_secs: 60, upload_secs: 60, send_secs: 0, login_secs: 3 };

    #[track_caller]
    fn check(awaited: Awaited, bytes: usize, level: Level, last: Option<u32>) {
        let patience_secs = awaited.patience_secs(bytes, &DEADLINES);
        let wait = Wait { awaited, since: Secs(100), patience_secs };
        match last {
            None => assert!(!wait.is_over(Secs(u32::MAX), level)),
            Some(secs) => {
                assert!(!wait.is_over(Secs(100 + secs), level), "too early");
                assert!(wait.is_over(Secs(101 + secs), level), "too late");
            }
        }
    }

    #[test]
    fn patience_ends_at_its_second() {
        check(Awaited::Anything, 0, Level::Full, None);
        check(Awaited::Request, 0, Level::Calm, Some(60));
        check(Awaited::Request, 1 << 30, Level::Calm, Some(60));
        check(Awaited::Reading, 1 << 20, Level::Full, None);
        check(Awaited::Login, 0, Level::Calm, Some(3));
        check(Awaited::End, 0, Level::Calm, Some(LINGER_SECS));
    }

    #[test]
    fn large_values_have_more_time() {
        check(Awaited::Upload, 0, Level::Calm, Some(60));
        check(Awaited::Upload, 1 << 20, Level::Calm, Some(60 + 64));
        check(Awaited::Upload, usize::MAX, Level::Calm, None);
    }

    #[test]
    fn who_is_late_goes_sooner_while_memory_is_tight() {
        check(Awaited::Request, 0, Level::Tight, Some(8));
        check(Awaited::Upload, 1 << 20, Level::Full, Some(16));
        check(Awaited::Login, 0, Level::Tight, Some(2));
        check(Awaited::End, 0, Level::Tight, Some(LINGER_SECS));
    }
}
