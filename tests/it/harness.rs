//! Starts and stops the servers that the tests talk to.
//!
//! A server listens on a free loopback port or on a Unix socket, in a directory of its own that
//! goes away with it. It is ready when it accepts, is killed by its process id when the value is
//! dropped, and what it wrote on standard error is shown if the test failed.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, Uid};
use nuthatch::store::{Options, Store};

use crate::client::Client;

/// Time that anything may take which takes milliseconds on a quiet machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What the daemon says of itself: the memcached release that it speaks like.
pub const OUR_VERSION: &str = "1.6.45";

/// A server program: the daemon of this package, or a memcached beside which it is held.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file to run.
    pub path: PathBuf,
    /// What it answers to `version`.
    pub version: String,
    /// Whether it is the daemon of this package.
    pub is_ours: bool,
}

impl Program {
    /// The daemon under test. `NUTHATCH_TEST_TARGET` names another program to try the tests on.
    pub fn target() -> Program {
        static FOUND: LazyLock<Program> =
            LazyLock::new(|| match std::env::var_os("NUTHATCH_TEST_TARGET") {
                Some(path) => {
                    Program { is_ours: true, ..probe(path.into()).expect("a server program") }
                }
                None => Program {
                    path: env!("CARGO_BIN_EXE_nuthatch").into(),
                    version: OUR_VERSION.to_owned(),
                    is_ours: true,
                },
            });
        FOUND.clone()
    }

    /// The reference memcached: `MEMCACHED_ORACLE`, else `memcached` in `PATH`. Where there is
    /// none this says so, and panics if the run was to have one.
    pub fn oracle() -> Option<Program> {
        static FOUND: LazyLock<Option<Program>> = LazyLock::new(find_oracle);
        let wanted = |name, value: &str| std::env::var(name).is_ok_and(|v| v == value);
        if FOUND.is_none() {
            let must = wanted("CI", "true") || wanted("NUTHATCH_TEST_ORACLE", "1");
            assert!(!must, "no memcached to compare with, and CI or NUTHATCH_TEST_ORACLE wants it");
            say("SKIPPED: no memcached in PATH or MEMCACHED_ORACLE to compare with");
        }
        FOUND.clone()
    }

    /// Release as numbers, for comparison: `[1, 6, 45]`.
    pub fn release(&self) -> Vec<u32> {
        release(&self.version)
    }
}

/// The numbers of a version, up to the first that is none.
pub fn release(version: &str) -> Vec<u32> {
    version.split(['.', '-', '_']).map_while(|part| part.parse().ok()).collect()
}

fn find_oracle() -> Option<Program> {
    let path = match std::env::var_os("MEMCACHED_ORACLE") {
        Some(path) => PathBuf::from(path),
        None => std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|dir| dir.join("memcached"))
            .find(|file| file.is_file())?,
    };
    probe(path)
}

fn probe(path: PathBuf) -> Option<Program> {
    let output = Command::new(&path).arg("-V").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(1)?.to_owned();
    Some(Program { path, version, is_ours: false })
}

/// Writes a line past the capture of the test runner.
pub fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "[it] {line}");
}

/// How a server is to be started.
#[derive(Debug)]
pub struct Launch {
    program: Program,
    args: Vec<String>,
    socket: Socket,
    /// Commands of a shell that set them.
    limits: Vec<String>,
    is_loopback_forced: bool,
    environment: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Socket {
    Tcp,
    Unix,
}

impl Launch {
    /// The daemon under test on a free TCP port of the loopback.
    pub fn tcp(args: &[&str]) -> Launch {
        Launch::of(Program::target(), args)
    }

    /// `program` on a free TCP port of the loopback.
    pub fn of<S: AsRef<str>>(program: Program, args: &[S]) -> Launch {
        Launch {
            program,
            args: args.iter().map(|arg| arg.as_ref().to_owned()).collect(),
            socket: Socket::Tcp,
            limits: Vec::new(),
            is_loopback_forced: true,
            environment: Vec::new(),
        }
    }

    /// With a variable in its environment.
    pub fn env(mut self, name: &str, value: &str) -> Launch {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// On a Unix socket instead.
    pub fn unix(mut self) -> Launch {
        self.socket = Socket::Unix;
        self
    }

    /// With so many open files at most, soft and hard.
    pub fn open_files(mut self, count: u64) -> Launch {
        self.limits.push(format!("ulimit -n {count}"));
        self
    }

    /// With so much locked memory at most, for who has no right to more.
    pub fn locked_kib(mut self, kib: u64) -> Launch {
        self.limits.push(format!("ulimit -l {kib}"));
        self
    }

    /// Without `-l 127.0.0.1`: the arguments say where to listen.
    pub fn own_addresses(mut self) -> Launch {
        self.is_loopback_forced = false;
        self
    }

    /// Starts it and waits until it accepts.
    #[track_caller]
    pub fn start(self) -> Server {
        let dir = Scratch::new();
        let (port_file, socket_path) = (dir.path("ports"), dir.path("sock"));
        let mut args = self.args;
        match self.socket {
            Socket::Tcp => {
                args.extend(["-p".to_owned(), "-1".to_owned()]);
                if self.is_loopback_forced {
                    args.extend(["-l".to_owned(), "127.0.0.1".to_owned()]);
                }
            }
            Socket::Unix => args.extend(["-s".to_owned(), socket_path.display().to_string()]),
        }
        if Uid::effective().is_root() && !args.iter().any(|arg| arg == "-u") {
            args.extend(["-u".to_owned(), "root".to_owned()]);
        }
        let mut command = command(&self.program.path, &self.limits);
        command.args(&args).env("MEMCACHED_PORT_FILENAME", &port_file).envs(self.environment);
        let log = dir.path("stderr");
        let file = File::create(&log).expect("scratch file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = command.spawn().expect("the server program runs");
        let mut server = Server { child, dir, log, port: 0, unix: None, status: None };
        match self.socket {
            Socket::Unix => server.await_unix(socket_path),
            Socket::Tcp => server.await_tcp(&port_file),
        }
        server
    }
}

/// `program`, under `limits`, if there are any.
fn command(program: &Path, limits: &[String]) -> Command {
    if limits.is_empty() {
        return Command::new(program);
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{} && exec \"$@\"", limits.join(" && ")), "sh"]).arg(program);
    shell
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    dir: Scratch,
    log: PathBuf,
    port: u16,
    unix: Option<PathBuf>,
    status: Option<ExitStatus>,
}

impl Server {
    /// The daemon under test on a free TCP port, started with `args`.
    #[track_caller]
    pub fn start(args: &[&str]) -> Server {
        Launch::tcp(args).start()
    }

    /// A new connection.
    #[track_caller]
    pub fn connect(&self) -> Client {
        match &self.unix {
            Some(path) => Client::unix(path),
            None => Client::tcp(("127.0.0.1", self.port)),
        }
    }

    /// A new connection, if the server is still there.
    pub fn try_connect(&self) -> Option<Client> {
        match &self.unix {
            Some(path) => Client::try_unix(path),
            None => Client::try_tcp(("127.0.0.1", self.port)).ok(),
        }
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"))
    }

    /// A path in the directory that goes away with the server.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path(name)
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the server can be signalled");
    }

    /// Waits for the end of the process; its exit code.
    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        let child = &mut self.child;
        let status = wait_for("the server's end", PATIENCE, || child.try_wait().expect("wait"));
        self.status = Some(status);
        status.code()
    }

    /// What it has written on standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Resident memory in bytes.
    #[track_caller]
    pub fn rss_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("alive");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("kB");
        kib * 1024
    }

    /// Processor time used so far.
    #[track_caller]
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("alive");
        let rest = stat.rsplit(") ").next().expect("fields after the name");
        let fields: Vec<&str> = rest.split(' ').collect();
        let ticks: u64 = fields[11..=12].iter().map(|n| n.parse::<u64>().expect("ticks")).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Asserts that a new client is served: stores, reads, and gets nothing else.
    #[track_caller]
    pub fn assert_serves(&self) {
        let mut client = self.connect();
        client.ask("set it:alive 0 0 2\r\nok\r\n", "STORED\r\n");
        client.ask("get it:alive\r\n", "VALUE it:alive 0 2\r\nok\r\nEND\r\n");
    }

    #[track_caller]
    fn await_unix(&mut self, path: PathBuf) {
        self.await_ready(|| Client::try_unix(&path).map(drop));
        self.unix = Some(path);
    }

    #[track_caller]
    fn await_tcp(&mut self, port_file: &Path) {
        self.port = self.await_ready(|| {
            let text = fs::read_to_string(port_file).ok()?;
            text.lines().find_map(|line| line.split("TCP INET: ").nth(1)?.parse().ok())
        });
    }

    #[track_caller]
    fn await_ready<T>(&mut self, mut probe: impl FnMut() -> Option<T>) -> T {
        let (child, log) = (&mut self.child, &self.log);
        wait_for("the server to listen", PATIENCE, || {
            if let Some(status) = child.try_wait().expect("wait") {
                let log = fs::read_to_string(log).unwrap_or_default();
                panic!("the server ended with {status} before it listened\n{log}");
            }
            probe()
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            say(&format!("standard error of server {}:\n{}", self.child.id(), self.log()));
        }
    }
}

/// A directory that goes away when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new empty one; its path is short enough for a Unix socket.
    pub fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("nuthatch-it-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("scratch directory");
        Scratch(path)
    }

    /// A path inside it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The present moment, for deadlines and latencies of the tests themselves.
#[expect(clippy::disallowed_methods, reason = "tests measure real servers in real time")]
pub fn moment() -> Instant {
    Instant::now()
}

/// Processor time that this thread has used: what else the machine does is left out.
pub fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock of each thread").into()
}

/// A number that a variable gives for a run at full size, or the one for every run.
pub fn sized(variable: &str, every_run: usize) -> usize {
    std::env::var(variable).map_or(every_run, |text| text.parse().expect("a number"))
}

/// The store by itself, as the daemon makes it with two threads and `-m` of `memory_bytes`.
pub fn store_of(memory_bytes: usize) -> Arc<Store> {
    let options = Options {
        memory_bytes,
        item_size_max: 1 << 20,
        growth_factor: 1.04,
        chunk_space_min: 12,
        evictions: true,
        cas: true,
        large_pages: false,
        crawler: true,
        automove: true,
        temporary_ttl: None,
        track_sizes: false,
        threads: 2,
    };
    Store::new(&options).expect("memory")
}

/// Waits until `probe` gives a value, at most `limit`.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the one pause between two looks at a condition")]
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = moment() + limit;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(moment() < end, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Tests that may run beside others hold this; see [`alone`].
pub fn together() -> RwLockReadGuard<'static, ()> {
    QUIET.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Tests that measure memory or time of the whole machine hold this and run with nothing beside.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    QUIET.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}

static QUIET: RwLock<()> = RwLock::new(());

/// Random numbers (xorshift) that can be had again: the seed is printed, and `NUTHATCH_SEED` sets it.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Takes and prints a seed.
    pub fn new(test: &str) -> Random {
        let given = std::env::var("NUTHATCH_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish()) | 1;
        say(&format!("{test}: NUTHATCH_SEED={seed}"));
        Random(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
