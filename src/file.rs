//! Files that are read again when they change: how they look from outside, and what is in them.
#![forbid(unsafe_code)]

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::O_NONBLOCK;
use zeroize::Zeroizing;

/// By what one content of a file is told from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// When the content was last changed, in Unix seconds.
    pub fn modified_secs(&self) -> i64 {
        self.modified.0
    }
}

/// The stamp of a file; None: it is not there.
pub fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some(Stamp {
        inode: (file.dev(), file.ino()),
        len: file.len(),
        modified: (file.mtime(), file.mtime_nsec()),
        changed: (file.ctime(), file.ctime_nsec()),
    })
}

/// All that is in a file of at most `len_max` bytes, wiped when it is dropped. What is no regular file, a
/// pipe say, is refused, since who reads it might wait for ever.
pub fn read(path: &Path, len_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut text = Zeroizing::new(Vec::new());
    // Room for all of it at once, so that no part is left behind where it was before it grew.
    text.reserve_exact(about.len().min(len_max) as usize + 1);
    file.take(len_max + 1).read_to_end(&mut text)?;
    if text.len() as u64 > len_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn only_regular_files_of_some_length() {
        let path = std::env::temp_dir().join(format!("nuthatch-file-{}", std::process::id()));
        fs::write(&path, "text").unwrap();
        assert_eq!(read(&path, 4).unwrap().as_slice(), b"text");
        assert_eq!(read(&path, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let before = stamp(&path);
        fs::write(&path, "longer").unwrap();
        assert_ne!(stamp(&path), before);
        fs::remove_file(&path).unwrap();
        assert_eq!(stamp(&path), None);
        // Nobody writes to it: opening it would wait.
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert_eq!(read(&path, 4).unwrap_err().to_string(), "not a regular file");
        fs::remove_file(&path).unwrap();
        read(Path::new("/"), 4).unwrap_err();
        read(Path::new("/dev/zero"), 4).unwrap_err();
    }
}
