//! Memory that was freed goes back to the system.
//!
//! glibc's allocator keeps what was freed for what is allocated next, but for the end of its heap. After
//! clients have held much that would count twice: the items get it back, and the heap still has it. So does
//! what comes and goes by the thousand, of which the heap is left with holes.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::unistd::{SysconfVar, sysconf};

use crate::limits::GIVE_BACK_FROM_BYTES;

/// What is resident of this process.
#[derive(Debug)]
pub struct Resident {
    /// Kept open, since there may be no descriptor left when it is wanted.
    statm: File,
    page_bytes: usize,
    /// The least, in bytes, since the heap has last given back.
    least: usize,
}

impl Resident {
    /// None: the system does not tell (no `/proc`).
    pub fn open() -> Option<Resident> {
        let page_bytes = sysconf(SysconfVar::PAGE_SIZE).ok()??;
        let statm = File::open("/proc/self/statm").ok()?;
        Some(Resident { statm, page_bytes: usize::try_from(page_bytes).ok()?, least: 0 })
    }

    /// Resident bytes of the process; none if the system does not tell.
    pub fn bytes(&self) -> Option<usize> {
        let mut text = [0; 128];
        let len = self.statm.read_at(&mut text, 0).ok()?;
        let pages = str::from_utf8(&text[..len]).ok()?.split(' ').nth(1)?;
        Some(pages.parse::<usize>().ok()? * self.page_bytes)
    }

    /// Has the heap give back what it can where more than `enough` bytes are resident, and more by
    /// [`GIVE_BACK_FROM_BYTES`] than at the least since it last did.
    pub fn keep_to(&mut self, enough: usize) {
        let Some(mut bytes) = self.bytes() else { return };
        if bytes > enough && bytes >= self.least + GIVE_BACK_FROM_BYTES {
            give_back();
            bytes = self.bytes().unwrap_or(bytes);
            self.least = bytes;
        }
        self.least = self.least.min(bytes);
    }
}

/// Gives back what is free in whole pages; some milliseconds where that is much. Nothing with another
/// allocator.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it takes the allocator's own locks and touches nothing that is allocated. Safe code has
        // no word for it.
        let _gave = unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_resident_is_known() {
        let mut resident = Resident::open().expect("a system with /proc");
        let before = resident.bytes().expect("a number");
        assert!(before > 1 << 20);
        let held = vec![1_u8; 64 << 20];
        assert!(resident.bytes().expect("a number") >= before + (60 << 20));
        drop(held);
        resident.keep_to(usize::MAX);
        assert_eq!(resident.least, 0, "as much is enough");
        resident.keep_to(0);
        assert!(resident.least > 1 << 20);
        resident.least = usize::MAX - GIVE_BACK_FROM_BYTES;
        resident.keep_to(0);
        assert!(resident.least < 1 << 40, "it follows what is resident down");
    }
}
