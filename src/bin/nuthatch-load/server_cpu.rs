//! Processor time that a server has used, from `/proc`.
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

/// Processor time of a process since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In user mode, in steps of 10 ms (utime of `/proc/PID/stat`).
    pub user: Duration,
    /// In the kernel, in steps of 10 ms (stime).
    pub system: Duration,
    /// Both together, to the nanosecond (sum over the threads' `schedstat`), less what threads
    /// that have ended used; without schedstat the sum of the other two.
    pub total: Duration,
}

impl CpuTime {
    /// Reads the time of process `pid`.
    ///
    /// # Errors
    ///
    /// There is no such process, or its files cannot be read.
    pub fn of_process(pid: u32) -> io::Result<CpuTime> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (user, system) = parse_stat(&stat).ok_or(io::ErrorKind::InvalidData)?;
        let precise = sum_schedstat(pid).ok().filter(|total| !total.is_zero());
        Ok(CpuTime { user, system, total: precise.unwrap_or(user + system) })
    }

    /// Time used since `before`.
    pub fn since(&self, before: &CpuTime) -> CpuTime {
        CpuTime {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            total: self.total.saturating_sub(before.total),
        }
    }
}

/// User and system time; fields 14 and 15, counted behind the name, which may hold anything.
fn parse_stat(stat: &str) -> Option<(Duration, Duration)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((Duration::from_millis(ticks()? * TICK_MS), Duration::from_millis(ticks()? * TICK_MS)))
}

fn sum_schedstat(pid: u32) -> io::Result<Duration> {
    let mut total = Duration::ZERO;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let line = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let on_cpu_ns = line.split_ascii_whitespace().next().and_then(|ns| ns.parse().ok());
        total += Duration::from_nanos(on_cpu_ns.ok_or(io::ErrorKind::InvalidData)?);
    }
    Ok(total)
}

/// `/proc` counts in hundredths of a second on every Linux (USER_HZ).
const TICK_MS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 31 12 13 20 0";
        let (user, system) = parse_stat(stat).unwrap();
        assert_eq!((user.as_millis(), system.as_millis()), (2500, 310));
        assert_eq!(parse_stat("7 (x) S 1"), None);
    }

    #[test]
    fn time_of_a_process_does_not_run_backwards() {
        let before = CpuTime::of_process(std::process::id()).unwrap();
        let after = CpuTime::of_process(std::process::id()).unwrap();
        assert!(before.total > Duration::ZERO && after.user >= before.user);
        assert_eq!(before.since(&before), CpuTime::default());
    }

    #[test]
    fn no_such_process() {
        assert!(CpuTime::of_process(u32::MAX).is_err());
    }
}
