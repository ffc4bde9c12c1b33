//! Who may log in and how: `-S`, `-Y`, `-o user_file` and the environment.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;

use super::{Environment, Ports, SASL_CONFIGURATION, SASL_PASSWORDS};
use crate::auth::{self, UserFile};
use crate::cli::{Given, Protocol, UsageError};
use crate::server::{Listen, Port};
use crate::session;

/// How clients log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Login {
    /// By a first `set`.
    pub(super) text: bool,
    /// By SASL.
    pub(super) sasl: bool,
}

impl Login {
    /// None: they need not. The messages for what does not go together are memcached's (options, section 2,
    /// "Cross checks").
    pub(super) fn of(given: &Given, ports: Ports) -> Result<Option<Login>, UsageError> {
        let refused = |message: &str| Err(UsageError::usage(message));
        let file = &given.extended.user_file;
        let has_udp = ports.udp != Port::Off && given.unix_socket.is_none();
        if given.sasl && given.protocol.is_some_and(|protocol| protocol != Protocol::Binary) {
            return refused("ERROR: You cannot allow the ASCII protocol while using SASL.");
        }
        if given.sasl && has_udp {
            return refused("ERROR: Cannot enable UDP while using binary SASL authentication.");
        }
        if given.auth_file.is_some() {
            if given.sasl || given.protocol.is_some_and(|protocol| protocol != Protocol::Ascii) {
                return refused(
                    "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.",
                );
            }
            if has_udp {
                return refused(
                    "Cannot use UDP with ascii authentication enabled (-U 0 to disable)",
                );
            }
            if file.is_some() {
                return refused("-Y and -o user_file: there can be one file of users");
            }
        }
        if file.is_some() && has_udp {
            return refused("-U and -o user_file: nobody can log in over UDP");
        }
        let login = Login {
            text: given.auth_file.is_some() || (file.is_some() && !given.sasl),
            sasl: given.sasl || file.is_some(),
        };
        Ok((login.text || login.sasl).then_some(login))
    }

    /// What clients may speak.
    pub(super) fn protocol(self, given: session::Protocol) -> session::Protocol {
        match self {
            Login { text: true, sasl: false } => session::Protocol::Ascii,
            Login { text: false, .. } => session::Protocol::Binary,
            Login { text: true, sasl: true } => given,
        }
    }

    /// What a listener with a protocol of its own may speak (options, section 4); with a complaint, or a
    /// line for the log.
    pub(super) fn check_listener(self, listen: &mut Listen) -> Result<Option<String>, String> {
        let Some(protocol) = listen.protocol else { return Ok(None) };
        let allowed = self.protocol(protocol);
        if allowed == protocol {
            return Ok(None);
        }
        listen.protocol = Some(allowed);
        match (allowed, protocol) {
            (session::Protocol::Ascii, session::Protocol::Binary) => {
                Err("Cannot use binary protocol when ascii authentication enabled".to_owned())
            }
            (session::Protocol::Binary, session::Protocol::Ascii) => {
                Err("Cannot use ascii protocol when SASL is enabled".to_owned())
            }
            _ => Ok(Some(format!("proto[negotiating] of {} is {allowed:?} only", listen.host))),
        }
    }

    /// What judges logins is made of this.
    pub(super) fn options(self, given: &Given, environment: &Environment) -> auth::Options {
        // A daemon changes its directory.
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let users = given.auth_file.clone().or_else(|| given.extended.user_file.clone());
        let users = users.map(absolute);
        let passwords = environment.sasl_passwords.clone().map(|path| absolute(path.into()));
        let file = users.map(UserFile::Users).or(passwords.map(UserFile::Passwords));
        auth::Options {
            file,
            sasl: self.sasl,
            mechanisms: given.extended.sasl_mechanisms.clone(),
            hostname: environment.hostname.clone(),
            delay: Duration::from_millis(given.extended.login_delay_millis.into()),
        }
    }

    /// Lines for the log.
    pub(super) fn warnings(self, given: &Given, environment: &Environment) -> Vec<String> {
        let mut lines = Vec::new();
        let file = &given.extended.user_file;
        if self.sasl && environment.sasl_configuration {
            lines.push(format!(
                "{SASL_CONFIGURATION} is not used: -o sasl_mechs is its mech_list, and users are in \
                 -o user_file or {SASL_PASSWORDS} (see docs/security.md)"
            ));
        }
        if file.is_some() && environment.sasl_passwords.is_some() {
            lines.push(format!("{SASL_PASSWORDS} is not used, since there is a user file"));
        }
        if given.sasl && file.is_none() && environment.sasl_passwords.is_none() {
            lines.push(format!("-S without -o user_file or {SASL_PASSWORDS}: nobody can log in"));
        }
        lines
    }
}
