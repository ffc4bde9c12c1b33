//! The file with the users: when it has changed, and what it says.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

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

/// By what one content of a file is told from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
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
        let stamp = self.stamp();
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
        self.read = self.stamp();
        let mut text = Zeroizing::new(Vec::new());
        let mut file = File::open(&self.path)?.take(USER_FILE_BYTES_MAX + 1);
        // Room for all of it at once, so that no part is left behind where it was before it grew.
        text.reserve_exact(
            self.read.map_or(0, |stamp| stamp.len.min(USER_FILE_BYTES_MAX)) as usize + 1,
        );
        file.read_to_end(&mut text)?;
        if text.len() as u64 > USER_FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(text)
    }

    /// Whether it can be opened; one that is not there is another matter.
    pub(super) fn check_readable(&self) -> io::Result<()> {
        match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
            _ => Ok(()),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    fn stamp(&self) -> Option<Stamp> {
        let file = fs::metadata(&self.path).ok()?;
        Some(Stamp {
            inode: (file.dev(), file.ino()),
            len: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}
