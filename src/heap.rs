//! Memory that was freed goes back to the system.
//!
//! glibc's allocator keeps what was freed for what is allocated next, but for the end of its heap. After
//! clients have held much that would count twice: the items get it back, and the heap still has it.

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
