//! Starts and stops the server that is to stand it.
//!
//! It is told its ports, loopback only, and is ready when it answers. It is stopped by its process
//! id when the value is dropped. Files of its users and its certificate are in a directory that
//! goes away with it.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Pid, Uid};

use crate::clock;
use crate::resident::Resident;
use crate::target::{Login, Target};
use crate::victim::client::Client;

/// How a server is to be started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program; a memcached is known by its file name.
    pub program: PathBuf,
    /// Its `-m`.
    pub memory_mb: u64,
    /// Its `-t`.
    pub threads: usize,
    /// Its `-c`.
    pub connections: usize,
    /// Whether it listens with TLS, too.
    pub has_tls: bool,
    /// Whether it listens on UDP, too; not with a login.
    pub has_udp: bool,
    /// Whether clients have to log in.
    pub has_login: bool,
    /// Further arguments.
    pub args: Vec<String>,
    /// The core that it is bound to.
    pub core: Option<usize>,
}

impl Setup {
    /// A server with one thread and a port, and room for as many connections as this process may
    /// make.
    pub fn new(program: &Path, memory_mb: u64) -> Setup {
        Setup {
            program: program.to_owned(),
            memory_mb,
            threads: 1,
            connections: connections_max(),
            has_tls: false,
            has_udp: false,
            has_login: false,
            args: Vec::new(),
            core: None,
        }
    }

    /// Whether this is memcached, whose options for users and certificates differ.
    pub fn is_memcached(&self) -> bool {
        let name = self.program.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("memcached")
    }

    fn command(&self, target: &Target, dir: &Path) -> io::Result<Command> {
        let mut command = Command::new(&self.program);
        let plain = if self.has_tls { "notls:" } else { "" };
        let mut listen = format!("{plain}{}", target.plain);
        if let Some(tls) = target.tls {
            listen += &format!(",{tls}");
            let key = [("ssl_chain_cert", "server.crt"), ("ssl_key", "server.key")];
            certify(dir)?;
            command.arg("-Z");
            for (option, file) in key {
                command.args(["-o", &format!("{option}={}", dir.join(file).display())]);
            }
        }
        command.args(["-l", &listen, "-p", &target.plain.port().to_string()]);
        command.args(["-m", &self.memory_mb.to_string(), "-t", &self.threads.to_string()]);
        command.args(["-c", &self.connections.to_string()]);
        if let Some(udp) = target.udp {
            command.args(["-U", &udp.port().to_string()]);
        }
        if let Some(login) = &target.login {
            let users = dir.join("users");
            fs::write(&users, format!("{}:{}\n", login.user, login.password))?;
            match self.is_memcached() {
                true => command.arg("-Y").arg(users),
                false => command.arg("-o").arg(format!("user_file={}", users.display())),
            };
        }
        if self.is_memcached() && Uid::effective().is_root() {
            command.args(["-u", "root"]);
        }
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(dir.join("log"))?);
        Ok(command)
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it is.
    pub target: Target,
    /// Its files: `users`, `server.crt`, `server.key` and `log`, as far as it has them.
    pub dir: Files,
}

impl Server {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    ///
    /// The program or a certificate cannot be made to work; the message has what the server said.
    pub fn start(setup: &Setup) -> io::Result<Server> {
        let dir = Files::new()?;
        let login = || Login { user: "siege".to_owned(), password: "siege-password".to_owned() };
        let plain = free_port()?;
        let tls = if setup.has_tls { Some(free_port()?) } else { None };
        let mut target = Target {
            plain,
            tls,
            // An address of -l has one port for both.
            udp: setup.has_udp.then_some(plain),
            login: setup.has_login.then(login),
            pid: 0,
            // Some are the server's own, and the victim's.
            connections_max: setup.connections.min(connections_max()).saturating_sub(64),
            memory_bytes: setup.memory_mb << 20,
        };
        let child = setup.command(&target, dir.path())?.spawn()?;
        target.pid = child.id();
        let mut server = Server { child, target, dir };
        if let Some(core) = setup.core {
            let mut set = CpuSet::new();
            set.set(core)?;
            // Threads that it has already started keep their place; there is one core too few then.
            for thread in fs::read_dir(format!("/proc/{}/task", server.target.pid))?.flatten() {
                let id = thread.file_name().to_string_lossy().parse().unwrap_or(0);
                let _ = sched_setaffinity(Pid::from_raw(id), &set);
            }
        }
        let answers = |server: &mut Server| match server.ended() {
            Some(_) => Some(false),
            None => Client::connect(&server.target).ok().map(|_| true),
        };
        match clock::wait_for(START_PATIENCE, || answers(&mut server)) {
            Some(true) => Ok(server),
            _ => {
                let log = fs::read_to_string(server.dir.path().join("log")).unwrap_or_default();
                let name = setup.program.display();
                Err(io::Error::other(format!("{name} does not answer: {}", log.trim())))
            }
        }
    }

    /// Its exit status, if it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Its memory.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn resident(&self) -> io::Result<Resident> {
        Resident::of(self.target.pid)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory that goes away with the value.
#[derive(Debug)]
pub struct Files(PathBuf);

impl Files {
    fn new() -> io::Result<Files> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let name = format!("nuthatch-siege-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path)?;
        Ok(Files(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes `server.crt` and `server.key` in `dir`, new ones if there are some: signed by nobody else,
/// for localhost, for a day.
///
/// # Errors
///
/// There is no `openssl`, or it makes none.
pub fn certify(dir: &Path) -> io::Result<()> {
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 \
                 -subj /CN=localhost -keyout server.key -out server.crt";
    let mut openssl = Command::new("openssl");
    openssl.args(words.split_whitespace()).current_dir(dir).stdin(Stdio::null());
    let status = openssl.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("openssl makes no certificate")) }
}

/// Connections that this process may have, by its limit of open files, which is raised as far as
/// it goes.
pub fn connections_max() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 900 };
    let most = hard.min(FILES_MAX);
    let files = if soft < most && setrlimit(Resource::RLIMIT_NOFILE, most, hard).is_ok() {
        most
    } else {
        soft.min(FILES_MAX)
    };
    (files as usize).saturating_sub(FILES_OF_OWN)
}

fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A server that has not answered by then does not.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// Connections that the probe asks for, and some.
const FILES_MAX: u64 = 100_200;

/// Files that the tool or the server has open beside connections of clients.
const FILES_OF_OWN: usize = 100;
