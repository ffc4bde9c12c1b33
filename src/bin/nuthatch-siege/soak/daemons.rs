//! The daemons of a soak: one with every face that needs no login, one with logins, one on a Unix
//! socket, which listens on nothing else.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::author::{SLOTS, form};
use super::client::Scene;
use super::ledger::Ledger;
use super::weather::Weather;
use crate::clock;
use crate::daemon::{Server, Setup};
use crate::random::Random;
use crate::resident::Resident;
use crate::target::Target;

/// A daemon with its clients' scene.
pub struct Daemon {
    /// What it is called.
    pub name: &'static str,
    /// Its `-m`.
    pub memory_mb: u64,
    /// Its process.
    pub pid: u32,
    /// Of its clients.
    pub scene: Scene,
    /// Those who have emptied it and have not filled it again.
    emptied: AtomicU32,
    host: Host,
    dir: PathBuf,
}

enum Host {
    Tcp(Server),
    Unix(Child),
}

impl Daemon {
    /// Starts one that listens on TCP.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn tcp(
        name: &'static str,
        setup: &Setup,
        clients: u32,
        began: Instant,
    ) -> io::Result<Daemon> {
        let server = Server::start(setup)?;
        let (pid, dir) = (server.target.pid, server.dir.path().to_owned());
        let (memory_mb, scene, host) = (setup.memory_mb, scene(clients, began), Host::Tcp(server));
        Ok(Daemon { name, memory_mb, pid, scene, emptied: 0.into(), host, dir })
    }

    /// Starts one that listens on a Unix socket in `dir`.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn unix(
        name: &'static str,
        program: &Path,
        dir: &Path,
        memory_mb: u64,
        clients: u32,
        began: Instant,
    ) -> io::Result<Daemon> {
        let socket = dir.join("socket");
        let mut command = Command::new(program);
        command.arg("-s").arg(&socket).args(["-m", &memory_mb.to_string(), "-t", "2"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(dir.join("log-unix"))?);
        let child = command.spawn()?;
        let pid = child.id();
        let (scene, host) = (scene(clients, began), Host::Unix(child));
        let (emptied, dir) = (0.into(), dir.to_owned());
        let mut daemon = Daemon { name, memory_mb, pid, scene, emptied, host, dir };
        let answers = || daemon.ended().is_some() || UnixStream::connect(&socket).is_ok();
        match clock::wait_for(START_PATIENCE, {
            let mut answers = answers;
            move || answers().then_some(())
        }) {
            Some(()) if daemon.ended().is_none() => Ok(daemon),
            _ => Err(io::Error::other(format!("{name} does not answer: {}", daemon.log()))),
        }
    }

    /// As hostile clients see it; none where they cannot reach it.
    pub fn target(&self) -> Option<&Target> {
        match &self.host {
            Host::Tcp(server) => Some(&server.target),
            Host::Unix(_) => None,
        }
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The Unix socket of one that has one.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        match &mut self.host {
            Host::Tcp(server) => server.ended(),
            Host::Unix(child) => child.try_wait().ok().flatten(),
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        let name = if matches!(self.host, Host::Tcp(_)) { "log" } else { "log-unix" };
        let log = fs::read(self.dir.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // One that has ended is found by who looks after it.
        let _ = kill(Pid::from_raw(self.pid as i32), signal);
    }

    /// Fills it once over with values that nobody asks for, so that its memory is what it will be.
    ///
    /// # Errors
    ///
    /// As of [`Daemon::ask`].
    pub fn fill(&self) -> io::Result<()> {
        let mut random = Random::new(self.pid.into());
        let value = [b'.'; 20_000];
        let mut bytes_left = (self.memory_mb << 20) as usize;
        let mut batch = String::new();
        while bytes_left > 0 {
            batch.clear();
            while batch.len() < FILL_BATCH_BYTES {
                let len = (30.0 * f64::powf(600.0, random.unit())) as usize;
                let value = str::from_utf8(&value[..len]).map_err(io::Error::other)?;
                batch += &format!("set fill:{:x} 0 0 {len} noreply\r\n{value}\r\n", random.bits());
            }
            bytes_left = bytes_left.saturating_sub(batch.len());
            batch.push_str("version");
            self.ask(&batch)?;
        }
        Ok(())
    }

    /// It is less than full from now until the value is dropped, so that its memory says nothing of growth.
    pub fn emptied(&self) -> Emptied<'_> {
        self.emptied.fetch_add(1, SeqCst);
        Emptied(self)
    }

    /// Whether nobody has emptied it without filling it again.
    pub fn is_full(&self) -> bool {
        self.emptied.load(SeqCst) == 0
    }

    /// The same, where much of it has been emptied.
    ///
    /// # Errors
    ///
    /// As of [`Daemon::ask`].
    pub fn refill(&self) -> io::Result<()> {
        let full_bytes = (self.memory_mb << 20) / 20 * 19;
        if Resident::of(self.pid)?.now_bytes < full_bytes { self.fill() } else { Ok(()) }
    }

    /// Logs in where that is wanted and asks it something; the lines of its answer, up to `END` or
    /// the first that is none of a list.
    ///
    /// # Errors
    ///
    /// It does not let the client in, or does not answer in time.
    pub fn ask(&self, request: &str) -> io::Result<Vec<String>> {
        match &self.host {
            Host::Tcp(server) => {
                let target = &server.target;
                let stream = TcpStream::connect_timeout(&target.plain, ASK_PATIENCE)?;
                stream.set_read_timeout(Some(ASK_PATIENCE))?;
                stream.set_write_timeout(Some(ASK_PATIENCE))?;
                let login = target.login.as_ref().map(|login| {
                    let secret = format!("{} {}", login.user, login.password);
                    format!("set login 0 0 {}\r\n{secret}\r\n", secret.len())
                });
                asked(&stream, &stream, login.as_deref(), request)
            }
            Host::Unix(_) => {
                let stream = UnixStream::connect(self.socket())?;
                stream.set_read_timeout(Some(ASK_PATIENCE))?;
                stream.set_write_timeout(Some(ASK_PATIENCE))?;
                asked(&stream, &stream, None, request)
            }
        }
    }
}

/// A daemon that is less than full.
pub struct Emptied<'a>(&'a Daemon);

impl Drop for Emptied<'_> {
    fn drop(&mut self) {
        self.0.emptied.fetch_sub(1, SeqCst);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Host::Unix(child) = &mut self.host {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn asked(
    from: impl io::Read,
    mut to: impl Write,
    login: Option<&str>,
    request: &str,
) -> io::Result<Vec<String>> {
    let mut lines = BufReader::new(from).lines();
    let mut next = || lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
    if let Some(login) = login {
        to.write_all(login.as_bytes())?;
        let line = next()?;
        if line != "STORED" {
            return Err(io::Error::other(line));
        }
    }
    to.write_all(format!("{request}\r\n").as_bytes())?;
    let mut all = Vec::new();
    loop {
        let line = next()?;
        if line == "END" {
            return Ok(all);
        }
        let is_of_list = line.starts_with("STAT ");
        all.push(line);
        if !is_of_list {
            return Ok(all);
        }
    }
}

fn scene(clients: u32, began: Instant) -> Scene {
    let ledger = Ledger::new((0..clients * SLOTS).map(form).collect());
    Scene { ledger, weather: Weather::new(began), size: 0.into() }
}

/// Bytes that are sent before an answer is waited for.
const FILL_BATCH_BYTES: usize = 1 << 20;

/// A daemon that has not answered by then does not.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// Beyond any stop of a daemon.
const ASK_PATIENCE: Duration = Duration::from_secs(10);
