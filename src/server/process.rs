//! What the process does with itself: becoming a daemon, limits, locked memory, another user, its end
//! by a panic.
//!
//! All of it is to be done before there is a second thread, but for [`drop_privileges`], which the
//! server calls once its sockets are bound. Messages and exit codes are memcached's (options,
//! sections 2 and 7).
#![forbid(unsafe_code)]

use std::io::Write;
use std::panic::{self, PanicHookInfo};
use std::{io, process, thread};

use log::{error, warn};
use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::unistd::{self, User, alarm};

use super::StartError;
use crate::limits::LOCK_BYTES_MIN;

/// Its number (capabilities(7)).
const CAP_IPC_LOCK: u32 = 14;

/// `EX_NOUSER` and `EX_OSERR` of sysexits.h.
const EX_NOUSER: u8 = 67;
const EX_OSERR: u8 = 71;

/// Seconds that the last words may take.
const LAST_WORDS_SECS: u32 = 2;

/// Most characters of a panic's message in the last line.
const LAST_WORDS_MAX: usize = 400;

/// Whether the process has root's rights.
pub fn is_root() -> bool {
    unistd::getuid().is_root() || unistd::geteuid().is_root()
}

/// Goes on in a child without a terminal, while the parent exits with 0. Standard input, output and
/// error become `/dev/null` unless `keep_stdio`, the working directory `/` unless `keep_cwd`.
///
/// Only for a process with one thread: no other would live on in the child.
pub fn daemonize(keep_stdio: bool, keep_cwd: bool) -> Result<(), StartError> {
    unistd::daemon(keep_cwd, keep_stdio).map_err(|errno| StartError {
        message: format!("failed to daemon() in order to daemonize: {}", errno.desc()),
        exit_code: 1,
    })
}

/// Raises the limit of core files as far as it goes (`-r`). It fails if that leaves 0.
pub fn enable_core_dumps() -> Result<(), StartError> {
    if setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY).is_err() {
        let hard = getrlimit(Resource::RLIMIT_CORE).map_or(0, |(_, hard)| hard);
        let _ = setrlimit(Resource::RLIMIT_CORE, hard, hard);
    }
    match getrlimit(Resource::RLIMIT_CORE) {
        Ok((soft, _)) if soft > 0 => Ok(()),
        _ => Err(os_error("failed to ensure corefile creation".to_owned())),
    }
}

/// From now on a panic of any thread ends the process, by SIGABRT, and the last line on standard error and
/// in the log says so, where it was and what.
///
/// A panic is a broken invariant of this server's own, and no client's doing: what it has broken may be
/// what everybody is served from. An empty cache costs less than a wrong value, and who restarts the
/// server sees that there is a reason.
pub fn stop_on_panic() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        // Nothing keeps the process alive, not a log that nobody reads either: then SIGALRM ends it.
        alarm::set(LAST_WORDS_SECS);
        usual(panic);
        let line = last_words(panic);
        if log::log_enabled!(log::Level::Error) {
            error!("{line}");
        } else {
            let _nobody_hears = writeln!(io::stderr(), "{line}");
        }
        process::abort();
    }));
}

/// One line about a panic.
fn last_words(panic: &PanicHookInfo<'_>) -> String {
    let this = thread::current();
    let name = this.name().unwrap_or("without a name");
    let place = panic.location().map_or("?".to_owned(), ToString::to_string);
    let what = panic.payload_as_str().unwrap_or("?").escape_debug().take(LAST_WORDS_MAX);
    let what: String = what.collect();
    format!(
        "stopping on purpose after a panic, rather than serve wrong values: thread {name}, {place}: \
         {what}"
    )
}

/// The name of this machine, empty if it has none.
pub fn hostname() -> String {
    unistd::gethostname().map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned())
}

/// Keeps the memory from being read: no core is written, and nobody but root may look into it.
pub fn keep_to_itself() {
    for done in [setrlimit(Resource::RLIMIT_CORE, 0, 0), prctl::set_dumpable(false)] {
        if let Err(errno) = done {
            warn!("cannot keep the memory from being dumped: {}", errno.desc());
        }
    }
}

/// Locks all memory, present and future, into RAM (`-k`). A failure only warns.
///
/// Pages are locked when they are first touched: the store reserves far more address space than it
/// may use, and without `MCL_ONFAULT` the kernel would fill all of it. For the same reason nothing is locked where the limit
/// on locked memory would then refuse what is reserved later: the server could not start. `drops`: another user is to
/// become of this one.
pub fn lock_memory(drops: bool) {
    // As root it can be had, also for the user to become.
    let _raised = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let (limit, _) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap_or_default();
    if limit < LOCK_BYTES_MIN && (drops || !may_lock_beyond_the_limit()) {
        warn!(
            "-k: the limit on locked memory is {limit} bytes (see \"ulimit -l\"), nothing is locked"
        );
        return;
    }
    let on_fault = MlockAllFlags::from_bits_retain(nix::libc::MCL_ONFAULT);
    let all = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault;
    if let Err(errno) = mlockall(all) {
        warn!("-k invalid, mlockall() failed: {}", errno.desc());
    }
}

/// Whether the process has CAP_IPC_LOCK.
fn may_lock_beyond_the_limit() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = held.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    held.is_some_and(|held| held >> CAP_IPC_LOCK & 1 == 1)
}

/// Lets the process have `wanted` files open at a time. If the hard limit is in the way, it may be
/// fewer, but not fewer than `needed`. A limit that is higher already stays.
pub fn raise_open_files(wanted: u64, needed: u64) -> Result<(), StartError> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)
        .map_err(|_| os_error("failed to getrlimit number of files".to_owned()))?;
    if soft >= wanted {
        return Ok(());
    }
    if setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).is_ok() {
        return Ok(());
    }
    if hard >= needed && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        warn!("the limit of open files is {hard}: fewer connections than -c may be possible");
        return Ok(());
    }
    Err(os_error(
        "failed to set rlimit for open files. Try starting as root or requesting smaller \
         maxconns value."
            .to_owned(),
    ))
}

/// Looks a user up by name, so that a wrong name is found before anything is done.
pub fn find_user(name: &str) -> Result<User, StartError> {
    User::from_name(name).ok().flatten().ok_or_else(|| StartError {
        message: format!(
            "can't find the user {name} to switch to (-u): create it, or name another"
        ),
        exit_code: EX_NOUSER,
    })
}

/// Becomes `name` for good, with that user's group and no other.
pub fn drop_privileges(name: &str) -> Result<(), StartError> {
    let user = find_user(name)?;
    match unistd::setgroups(&[]) {
        Ok(()) => {}
        // In a user namespace without other groups this is forbidden and not needed.
        Err(Errno::EPERM) => warn!("failed to drop supplementary groups: not permitted"),
        Err(errno) => {
            let reason = errno.desc();
            return Err(os_error(format!("failed to drop supplementary groups: {reason}")));
        }
    }
    unistd::setgid(user.gid)
        .and_then(|()| unistd::setuid(user.uid))
        .map_err(|_| os_error(format!("failed to assume identity of user {name}")))
}

fn os_error(message: String) -> StartError {
    StartError { message, exit_code: EX_OSERR }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_user_is_named() {
        let error = find_user("no such user").expect_err("no such user");
        assert!(error.message.starts_with("can't find the user no such user to switch to"));
        assert_eq!(error.exit_code, 67);
        assert!(find_user("root").is_ok_and(|user| user.uid.is_root()));
    }

    #[test]
    fn open_files_are_raised_to_the_hard_limit_if_that_is_enough() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limits");
        assert!(raise_open_files(soft, soft).is_ok(), "nothing to do");
        assert!(raise_open_files(hard, soft).is_ok());
        let (raised, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("limits");
        assert_eq!(raised, hard);
        // Above what the kernel allows anybody (fs.nr_open), and more than there is.
        let error = raise_open_files(u64::MAX - 1, u64::MAX - 1).expect_err("too many");
        assert_eq!(error.exit_code, 71);
        assert!(error.message.starts_with("failed to set rlimit for open files."));
    }
}
