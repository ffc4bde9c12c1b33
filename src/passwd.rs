//! `nuthatch passwd`: asks for a password and makes a line of a user file of it.
#![forbid(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::auth::{self, NoEntry, Written};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Whose line.
    pub user: String,
    /// How the password is written down.
    pub written: Written,
    /// What stands behind it; None: what stood there.
    pub rights: Option<String>,
    /// Where the line goes; None: to standard output.
    pub file: Option<PathBuf>,
}

impl Task {
    /// Does it; what is to be printed. `Err` is for a person.
    pub fn carry_out(&self) -> Result<String, String> {
        let password = ask()?;
        let rights = self.rights.as_deref().filter(|rights| *rights != ALL_RIGHTS);
        let line = auth::entry(&self.user, &password, self.written, rights);
        let line = line.map_err(|reason| match reason {
            NoEntry::BadName => {
                "a user's name has no colon and no line end, and does not begin with #"
            }
            NoEntry::BadPassword => "the password is empty or has a line end",
            NoEntry::BadRights => {
                "rights are all, or a list of read, write, admin and prefix=PREFIX"
            }
        })?;
        let Some(file) = &self.file else { return Ok(line + "\n") };
        put(file, &line, self.rights.is_none())
            .map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(String::new())
    }
}

/// What is said for a user who may do everything, for whom nothing is written.
const ALL_RIGHTS: &str = "all";

/// The password: asked for twice on a terminal, else the first line of standard input.
fn ask() -> Result<Zeroizing<String>, String> {
    let failed = |error: io::Error| format!("cannot read the password: {error}");
    if !io::stdin().is_terminal() {
        let mut line = Zeroizing::new(String::new());
        io::stdin().lock().read_line(&mut line).map_err(failed)?;
        return Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()));
    }
    let password = Zeroizing::new(rpassword::prompt_password("Password: ").map_err(failed)?);
    let again = Zeroizing::new(rpassword::prompt_password("Again: ").map_err(failed)?);
    if *password == *again { Ok(password) } else { Err("these are not the same".to_owned()) }
}

/// Puts a line into a file, all at once: a server that reads it meanwhile has the old one or the new one.
/// A new file is for its owner alone.
fn put(path: &Path, line: &str, keeps_rights: bool) -> io::Result<()> {
    let (old, before) = match fs::read_to_string(path) {
        Ok(text) => (text, Some(fs::metadata(path)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (String::new(), None),
        Err(error) => return Err(error),
    };
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    let written = write(&beside, &auth::with_entry(&old, line, keeps_rights), before.as_ref())
        .and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        let _gone = fs::remove_file(&beside);
    }
    written
}

fn write(path: &Path, text: &str, before: Option<&fs::Metadata>) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    if let Some(before) = before {
        std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid()))?;
        file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o777))?;
    }
    file.sync_all()
}
