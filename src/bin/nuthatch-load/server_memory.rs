//! Memory that a server has in use, from `/proc`.
#![forbid(unsafe_code)]

use std::io;

/// Resident bytes of process `pid` (VmRSS of `/proc/PID/status`).
///
/// # Errors
///
/// There is no such process, or its files cannot be read.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse_status(&status).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_status(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read() {
        assert_eq!(parse_status("Name:\tx\nVmHWM:\t 9 kB\nVmRSS:\t  1234 kB\n"), Some(1234 * 1024));
        assert_eq!(parse_status("Name:\tx\n"), None);
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
    }
}
