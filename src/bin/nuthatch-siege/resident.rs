//! Memory that a process has in use, from `/proc`.
#![forbid(unsafe_code)]

use std::io;

/// What a process has of memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Now (VmRSS).
    pub now_bytes: u64,
    /// At most since it began (VmHWM).
    pub most_bytes: u64,
}

impl Resident {
    /// That of process `pid`.
    ///
    /// # Errors
    ///
    /// There is no such process, or its files cannot be read.
    pub fn of(pid: u32) -> io::Result<Resident> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        Resident::parse(&status).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn parse(status: &str) -> Option<Resident> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
        };
        Some(Resident { now_bytes: bytes("VmRSS:")?, most_bytes: bytes("VmHWM:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read() {
        let some = Resident { now_bytes: 7 * 1024, most_bytes: 9 * 1024 };
        assert_eq!(Resident::parse("Name:\tx\nVmHWM:\t 9 kB\nVmRSS:\t  7 kB\n"), Some(some));
        assert_eq!(Resident::parse("Name:\tx\nVmRSS:\t  7 kB\n"), None);
        assert!(Resident::of(std::process::id()).unwrap().now_bytes > 100_000);
    }
}
