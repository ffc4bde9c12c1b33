//! The file with the users: when it has changed, and what it says.
#![forbid(unsafe_code)]

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::file::{self, Stamp};
use crate::limits::USER_FILE_BYTES_MAX;

/// A file has to stay as it is for so long before it is read again, so that it is not read while somebody
/// writes it.
const SETTLE: Duration = Duration::from_millis(20);

/// A file that is watched by looking at it.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    /// Of what was read last.
    read: Option<Stamp>,
    /// Of what was seen last, and since when.
    seen: Option<(Option<Stamp>, Instant)>,
}

/// Whether a file is to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// No.
    None,
    /// It has changed just now: look again then.
    Settling(Instant),
    /// Yes.
    Settled,
}

impl Source {
    pub(super) fn new(path: PathBuf) -> Source {
        Source { path, read: None, seen: None }
    }

    /// Looks at the file.
    pub(super) fn look(&mut self, now: Instant) -> Change {
        let stamp = file::stamp(&self.path);
        if stamp == self.read {
            self.seen = None;
            return Change::None;
        }
        match self.seen {
            Some((seen, since)) if seen == stamp => {
                let settled_at = since + SETTLE;
                if now < settled_at { Change::Settling(settled_at) } else { Change::Settled }
            }
            _ => {
                self.seen = Some((stamp, now));
                Change::Settling(now + SETTLE)
            }
        }
    }

    /// Reads all of it. Whatever comes of that, it does not count as changed any more.
    pub(super) fn read(&mut self) -> io::Result<Zeroizing<Vec<u8>>> {
        self.seen = None;
        self.read = file::stamp(&self.path);
        file::read(&self.path, USER_FILE_BYTES_MAX)
    }

    /// Whether it can be opened; one that is not there is another matter.
    pub(super) fn check_readable(&self) -> io::Result<()> {
        match file::read(&self.path, USER_FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
            _ => Ok(()),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::tests::TempFile;
    use crate::clock::Clock;

    /// Looks in between change nothing.
    #[test]
    fn a_file_settles_from_the_look_that_has_seen_it_change() {
        let file = TempFile::with("foo:bar");
        let mut source = Source::new(file.0.clone());
        source.read().unwrap();
        let start = Clock::start().now().instant;
        assert_eq!(source.look(start), Change::None);
        file.write("foo:bazz");
        let settled_at = start + SETTLE;
        for now in [start, start + SETTLE / 2, settled_at - Duration::from_nanos(1)] {
            assert_eq!(source.look(now), Change::Settling(settled_at));
        }
        assert_eq!(source.look(settled_at), Change::Settled);
        source.read().unwrap();
        assert_eq!(source.look(settled_at), Change::None);
    }

    #[test]
    fn a_file_that_is_not_there_is_no_forbidden_one() {
        let file = TempFile::with("foo:bar");
        assert!(Source::new(file.0.clone()).check_readable().is_ok());
        assert!(Source::new(file.0.with_extension("none")).check_readable().is_ok());
    }
}
