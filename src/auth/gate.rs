//! Where attempts to log in are judged.
//!
//! One thread owns the gate: it reads the file of users, and a check may take some ten milliseconds. What
//! users may do is handed out with the verdict and kept by the session, so that who is logged in keeps its
//! rights when the file changes.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::guard::{Guard, Origin, Who};
use super::line::{self, BadLine, Format, Line};
use super::sasl::{self, Claim, Exchange, Offered, Outcome};
use super::scrub::scrub;
use super::secret::{Print, Ring, Secret, Workspace};
use super::source::{Change, Source};
use super::users::{Remembered, User, Users};
use crate::limits::{EXCHANGE_BYTES, SCRAM_MADE_MAX};

/// How users log in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The file of users; None: there are none, and nobody gets in.
    pub file: Option<UserFile>,
    /// Clients may log in by SASL: its mechanisms are prepared.
    pub sasl: bool,
    /// Those that may be used, as [`super::mechanism`] names them; None: all.
    pub mechanisms: Option<Vec<&'static str>>,
    /// Of this machine.
    pub hostname: String,
    /// What an address's failures beyond the first few cost, each.
    pub delay: Duration,
}

/// Where users are written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserFile {
    /// `-Y`, `-o user_file`: `user:secret[:rights]`. It has to be there at the start.
    Users(PathBuf),
    /// `MEMCACHED_SASL_PWDB`: `user:password[:anything]`. It may come and go.
    Passwords(PathBuf),
}

/// What a client does to be let in.
#[derive(Debug)]
pub struct Attempt {
    /// What it has sent.
    pub ask: Ask,
    /// From where.
    pub from: Origin,
}

/// What a client has sent to be let in.
pub enum Ask {
    /// A name, a space and a password (text, section 9).
    Token(Zeroizing<Vec<u8>>),
    /// Which mechanisms are there?
    Mechanisms,
    /// A mechanism and the first message.
    Start(Vec<u8>, Zeroizing<Vec<u8>>),
    /// The next message.
    Step(Box<Exchange>, Zeroizing<Vec<u8>>),
    /// The names in its certificate, which has been verified.
    Names(Vec<String>),
}

impl Attempt {
    /// Bytes of memory that it has.
    pub fn held_bytes(&self) -> usize {
        let sent = match &self.ask {
            Ask::Token(token) => token.capacity(),
            Ask::Mechanisms => 0,
            Ask::Start(mechanism, message) => mechanism.capacity() + message.capacity(),
            Ask::Step(_, message) => EXCHANGE_BYTES + message.capacity(),
            Ask::Names(names) => names.iter().map(String::capacity).sum(),
        };
        size_of::<Attempt>() + sent
    }
}

impl Ask {
    /// What it shows of who it is: name and password, or the name where there is no password in it.
    fn credential(&self) -> &[u8] {
        match self {
            Ask::Token(token) => token,
            Ask::Start(mechanism, data) => sasl::credential(mechanism, data),
            Ask::Step(exchange, data) => exchange.credential(data),
            Ask::Mechanisms | Ask::Names(_) => b"",
        }
    }
}

/// What comes of an attempt.
#[derive(Debug)]
pub enum Verdict {
    /// It is this user. A last message goes with that, empty if there is none.
    Granted(Arc<User>, Vec<u8>),
    /// The exchange goes on with this challenge.
    Challenge(Box<Exchange>, Vec<u8>),
    /// The mechanisms, strongest first, with a space behind each.
    Mechanisms(String),
    /// Not known.
    Refused,
}

/// A verdict, and when to tell it.
#[derive(Debug)]
pub struct Judgement {
    /// What to tell.
    pub verdict: Verdict,
    /// Not before.
    pub at: Instant,
    /// False: too many guesses came from there lately.
    pub was_looked_at: bool,
}

/// Judges attempts.
pub struct Gate {
    sasl: bool,
    /// Keys are made for SCRAM.
    scram: bool,
    mechanisms: Option<Vec<&'static str>>,
    format: Format,
    source: Option<Source>,
    ring: Arc<Ring>,
    users: Arc<Users>,
    offered: Offered,
    remembered: Remembered,
    workspace: Workspace,
    guard: Guard,
}

impl Gate {
    /// Bytes of memory that clients have made it take, or will: room for checks, and whom it remembers.
    pub fn held_bytes(&self) -> usize {
        self.workspace.held_bytes().max(self.users.check_bytes())
            + self.guard.held_bytes()
            + self.remembered.capacity() * size_of::<(Print, Print)>()
    }

    /// A gate with the users of a file of this text; of the file itself only the kind matters. `Err`: what is
    /// wrong with the text.
    pub(crate) fn of_text(options: Options, text: &[u8]) -> Result<Gate, BadLine> {
        let format = Format::of(options.file.as_ref());
        let options = Options { file: None, ..options };
        let mut gate = Gate::open(options).expect("there is nothing to be read");
        gate.format = format;
        gate.take(text)?;
        Ok(gate)
    }

    /// Reads the file. `Err` is for a person: what is wrong with it, in memcached's words.
    pub fn open(options: Options) -> Result<Gate, String> {
        let format = Format::of(options.file.as_ref());
        let path = options.file.map(|file| match file {
            UserFile::Passwords(path) | UserFile::Users(path) => path,
        });
        let (ring, users) = (Arc::new(Ring::new()), Arc::new(Users::new(&options.hostname)));
        let mut gate = Gate {
            sasl: options.sasl,
            scram: options.sasl && options.mechanisms.as_deref() != Some(&["PLAIN"]),
            format,
            source: path.map(Source::new),
            offered: Offered::new(&users, &ring, None),
            mechanisms: options.mechanisms,
            ring,
            users,
            remembered: Remembered::new(),
            workspace: Workspace::default(),
            guard: Guard::new(options.delay),
        };
        let read = gate.read();
        scrub();
        match read {
            Err(complaint) if format == Format::Users => Err(complaint),
            Err(complaint) => {
                log::warn!("{complaint}");
                Ok(gate)
            }
            Ok(()) => Ok(gate),
        }
    }

    /// Reads the file again, whether it has changed or not (SIGHUP). What is wrong with it is logged, and
    /// the users stay as they are.
    pub fn reload(&mut self) {
        let Some(source) = &self.source else { return };
        let name = source.name().to_string();
        let read = self.read();
        scrub();
        match read {
            Ok(()) => log::info!("read {name} again"),
            Err(complaint) => log::error!("{complaint}; the users stay as they were"),
        }
    }

    /// Reads the file again if it has changed and is not changing any more. Some: look again then.
    pub fn look(&mut self, now: Instant) -> Option<Instant> {
        match self.source.as_mut()?.look(now) {
            Change::None => None,
            Change::Settling(until) => Some(until),
            Change::Settled => {
                self.reload();
                None
            }
        }
    }

    /// Whether an attempt will be granted, as far as that can be told at once: its password stands in the
    /// file as it is, or has been found to be good. Such a one need not wait behind others.
    pub fn is_good_at_once(&self, attempt: &Attempt) -> bool {
        let credential = match &attempt.ask {
            Ask::Token(token) => split_once(token, b' '),
            Ask::Start(mechanism, data) if mechanism == b"PLAIN" => {
                split_once(sasl::credential(mechanism, data), 0)
            }
            _ => None,
        };
        let is_known = credential.is_some_and(|(name, password)| {
            self.users.knows(name, &self.ring.print(password), &self.remembered)
        });
        scrub();
        is_known
    }

    /// Judges an attempt.
    pub fn judge(&mut self, attempt: Attempt, now: Instant) -> Judgement {
        let from = attempt.from;
        // The latter cost nothing and are no guesses.
        let is_guess = !matches!(attempt.ask, Ask::Mechanisms | Ask::Names(_));
        let who = Who { from, credential: self.ring.print(attempt.ask.credential()) };
        if is_guess && !self.guard.admits(&who, now) {
            let at = self.guard.turned_away(now);
            return Judgement { verdict: Verdict::Refused, at, was_looked_at: false };
        }
        let verdict = self.verdict(attempt.ask);
        scrub();
        let at = match &verdict {
            Verdict::Refused if is_guess => self.guard.failed(&who, now),
            Verdict::Granted(..) if is_guess => {
                self.guard.passed(who, now);
                now
            }
            _ => now,
        };
        Judgement { verdict, at, was_looked_at: true }
    }

    fn verdict(&mut self, ask: Ask) -> Verdict {
        match ask {
            Ask::Token(token) => {
                let Some((name, password)) = split_once(&token, b' ') else {
                    return Verdict::Refused;
                };
                self.check(name, password, Vec::new())
            }
            Ask::Mechanisms => Verdict::Mechanisms(self.offered.mechanisms().to_owned()),
            Ask::Start(mechanism, data) => match self.offered.begin(&mechanism) {
                Some(exchange) => self.step(Box::new(exchange), &data),
                None => Verdict::Refused,
            },
            Ask::Step(exchange, data) => self.step(exchange, &data),
            Ask::Names(names) => match self.users.certified(&names) {
                Some(user) => Verdict::Granted(Arc::clone(user), Vec::new()),
                None => Verdict::Refused,
            },
        }
    }

    fn step(&mut self, mut exchange: Box<Exchange>, data: &[u8]) -> Verdict {
        match exchange.step(data) {
            Outcome::Challenge(challenge) => Verdict::Challenge(exchange, challenge),
            Outcome::Claim(Claim::Password { name, password }, last) => {
                self.check(&name, &password, last)
            }
            // The file may say something else meanwhile.
            Outcome::Claim(Claim::Proved { name, hash, stored_key }, last) => {
                match self.users.scram(&name, hash) {
                    Some((keys, user)) if keys.stored_key == stored_key => {
                        Verdict::Granted(Arc::clone(user), last)
                    }
                    _ => Verdict::Refused,
                }
            }
            Outcome::Failed => Verdict::Refused,
        }
    }

    fn check(&mut self, name: &[u8], password: &[u8], last: Vec<u8>) -> Verdict {
        let offer = self.ring.offer(password);
        match self.users.check(name, &offer, &mut self.remembered, &mut self.workspace) {
            Some(user) => Verdict::Granted(Arc::clone(user), last),
            None => Verdict::Refused,
        }
    }

    /// Warns if the file could not be read again: after the start the process may be another user's.
    pub fn check_readable(&self) {
        if let Some(source) = &self.source
            && let Err(error) = source.check_readable()
        {
            log::warn!("{} cannot be read again by this user: {error}", source.name());
        }
    }

    fn offer(&mut self) {
        self.offered = Offered::new(&self.users, &self.ring, self.mechanisms.as_deref());
        if self.sasl && self.offered.mechanisms().is_empty() {
            log::warn!("nobody can log in by SASL: no mechanism that may be used is for all users");
        }
    }

    fn read(&mut self) -> Result<(), String> {
        let Some(source) = &mut self.source else {
            self.offer();
            return Ok(());
        };
        let text = source.read().map_err(|error| {
            format!("Could not open authfile [{}] for reading, error {error}", source.name())
        })?;
        let seen = self.take(&text);
        let source = self.source.as_ref().expect("it has been read");
        seen.map_err(|bad| malformed(source, bad))?.warn(source, self.scram);
        Ok(())
    }

    /// Takes the users of a file of this text in place of those that there are.
    fn take(&mut self, text: &[u8]) -> Result<Seen, BadLine> {
        let mut users = self.users.none();
        let mut seen = Seen::default();
        line::each(text, self.format, &self.ring, |number, line| {
            seen.note(number, &line);
            let makes_keys = self.scram && seen.plain_count <= SCRAM_MADE_MAX;
            users.add(line, makes_keys, &self.ring, &self.users);
        })?;
        if users.is_empty() && self.format == Format::Users {
            return Err(BadLine { number: 0, reason: "no user" });
        }
        seen.has_end = text.ends_with(b"\n");
        self.users = Arc::new(users);
        self.offer();
        self.users.retain(&mut self.remembered);
        Ok(seen)
    }
}

impl Format {
    fn of(file: Option<&UserFile>) -> Format {
        match file {
            Some(UserFile::Passwords(_)) => Format::Passwords,
            Some(UserFile::Users(_)) | None => Format::Users,
        }
    }
}

/// What is worth a warning in a file that is well formed.
#[derive(Default)]
struct Seen {
    have_rights: bool,
    has_end: bool,
    plain_count: usize,
    /// The first line whose password has a colon, and how many there are.
    doubtful: Option<(usize, usize)>,
}

impl Seen {
    fn note(&mut self, number: usize, line: &Line<'_>) {
        self.have_rights |= line.rights.is_some();
        self.plain_count += usize::from(matches!(line.secret, Secret::Plain { .. }));
        if line.is_doubtful {
            let (first, count) = self.doubtful.unwrap_or((number, 0));
            self.doubtful = Some((first, count + 1));
        }
    }

    fn warn(&self, source: &Source, scram: bool) {
        let name = source.name();
        if self.have_rights && !self.has_end {
            log::warn!("the last line of {name} has no end: if it is cut, it may lack its rights");
        }
        if scram && self.plain_count > SCRAM_MADE_MAX {
            let count = self.plain_count;
            log::warn!("{name} has {count} passwords in plain text: too many for SCRAM");
        }
        if let Some((first, count)) = self.doubtful {
            log::warn!(
                "{name} has passwords with a colon, {count} of them, the first in line {first}: what is \
                 behind it is no rights"
            );
        }
    }
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == at)?;
    Some((&text[..end], &text[end + 1..]))
}

fn malformed(source: &Source, bad: BadLine) -> String {
    let name = source.name();
    let place = match bad.number {
        0 => String::new(),
        number => format!("line {number}: "),
    };
    let reason = bad.reason;
    format!("Authfile [{name}] has a malformed entry. Should be 'user:password' ({place}{reason})")
}

/// Nothing of the users.
impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("source", &self.source).finish_non_exhaustive()
    }
}

/// The kind of it, nothing of what it says.
impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Ask::Token(_) => "Token",
            Ask::Mechanisms => "Mechanisms",
            Ask::Start(..) => "Start",
            Ask::Step(..) => "Step",
            Ask::Names(_) => "Names",
        })
    }
}
