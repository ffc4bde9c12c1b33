//! The exchanges of SASL, by rsasl: bytes in, a challenge or a claim out.
//!
//! A claim is what an exchange ends with. That of PLAIN has yet to be checked, that of SCRAM is proved.
#![forbid(unsafe_code)]

use std::sync::Arc;

use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::config::SASLConfig;
use rsasl::mechanisms::scram::properties::ScramStoredPassword;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLServer, Session, SessionError, State, Validation};
use rsasl::property::{AuthId, AuthzId, Password};
use rsasl::validate::{Validate, ValidationError};
use zeroize::Zeroizing;

use super::scram::Hash;
use super::secret::Ring;
use super::users::Users;

/// What this server offers, for the users of one reading of the file.
pub(super) struct Offered {
    config: Arc<SASLConfig>,
    /// Those that a client may begin.
    known: Vec<&'static str>,
    /// See [`Offered::mechanisms`].
    told: String,
}

/// An exchange that is under way.
pub struct Exchange {
    session: Session<Claimed>,
    /// It has been fed.
    is_begun: bool,
    /// Whom the first message names.
    name: Vec<u8>,
}

/// What came of a step.
pub(super) enum Outcome {
    /// The client is to answer this.
    Challenge(Vec<u8>),
    /// The client is to be told this, if the claim holds.
    Claim(Claim, Vec<u8>),
    /// It is over.
    Failed,
}

/// Who a client says it is.
pub(super) enum Claim {
    /// With this password.
    Password { name: Vec<u8>, password: Zeroizing<Vec<u8>> },
    /// And has proved it by SCRAM, with what the file said of its password when that began.
    Proved { name: Vec<u8>, hash: Hash, stored_key: Vec<u8> },
}

/// The list of mechanisms, as it is sent.
///
/// libmemcached up to 1.0.18, which most installed clients still have, takes the strongest that its machine
/// knows and can do none of more than one step; and it reads on into what stood behind the last name if no
/// space does. As all that is written in C it takes the list for a string that ends at a zero. So PLAIN
/// comes first, then a zero, then SCRAM for who reads all of it; unless it is said what may be used.
fn tell(names: &[&str], is_said: bool) -> String {
    let with_spaces = |names: &mut dyn Iterator<Item = &&str>| -> String {
        names.flat_map(|name| [name, " "]).collect()
    };
    let (plain, others): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| **name == PLAIN);
    if is_said || plain.is_empty() || others.is_empty() {
        return with_spaces(&mut names.iter());
    }
    format!("{}\0 {}", with_spaces(&mut plain.iter()), with_spaces(&mut others.iter()))
}

struct Claimed;

const PLAIN: &str = "PLAIN";

/// The mechanism of this name, upper or lower case.
pub fn mechanism(name: &str) -> Option<&'static str> {
    let mut all = Hash::ALL.map(Hash::mechanism).into_iter().chain([PLAIN]);
    all.find(|known| known.eq_ignore_ascii_case(name))
}

impl Validation for Claimed {
    type Value = Claim;
}

impl Offered {
    /// Nothing but what is in `allowed`, if that is given.
    pub(super) fn new(
        users: &Arc<Users>,
        ring: &Arc<Ring>,
        allowed: Option<&[&'static str]>,
    ) -> Offered {
        let callback = Callback { users: Arc::clone(users), ring: Arc::clone(ring) };
        let config = SASLConfig::builder()
            .with_default_mechanisms()
            .with_callback(callback)
            .expect("there are mechanisms");
        let names = |is_offered: &dyn Fn(Hash) -> bool| -> Vec<_> {
            let scram = Hash::ALL.into_iter().filter(|hash| is_offered(*hash));
            let names = scram.map(Hash::mechanism).chain([PLAIN]);
            names.filter(|name| allowed.is_none_or(|allowed| allowed.contains(name))).collect()
        };
        let known = names(&|hash| users.has_scram(hash));
        let told = tell(&names(&|hash| users.all_have_scram(hash)), allowed.is_some());
        Offered { config, known, told }
    }

    /// What clients are told: the names of mechanisms that everybody can use, with a space behind each. A
    /// client takes the strongest that it is told, and who has no keys for that could not get in.
    pub(super) fn mechanisms(&self) -> &str {
        &self.told
    }

    /// Begins an exchange; None: there is no such mechanism.
    pub(super) fn begin(&self, mechanism: &[u8]) -> Option<Exchange> {
        let name = Mechname::parse(mechanism).ok()?;
        if !self.known.contains(&name.as_str()) {
            return None;
        }
        let server = SASLServer::<Claimed>::new(Arc::clone(&self.config));
        let session = server.start_suggested(name).ok()?;
        Some(Exchange { session, is_begun: false, name: Vec::new() })
    }
}

impl Exchange {
    /// Feeds what the client has sent. All mechanisms let the client begin: of one that has sent nothing
    /// yet that is asked for by an empty challenge. What has failed must not be fed again.
    pub(super) fn step(&mut self, data: &[u8]) -> Outcome {
        if data.is_empty() && !self.is_begun {
            return Outcome::Challenge(Vec::new());
        }
        let is_scram = self.session.get_mechname().as_str() != PLAIN;
        if is_scram && !is_scram_message(data, !self.is_begun) {
            return Outcome::Failed;
        }
        if is_scram && !self.is_begun {
            self.name = self.credential(data).to_vec();
        }
        self.is_begun = true;
        let mut answer = Vec::new();
        match self.session.step(Some(data), &mut answer) {
            Ok(State::Running) => Outcome::Challenge(answer),
            Ok(State::Finished(_)) => match self.session.validation() {
                Some(claim) => Outcome::Claim(claim, answer),
                None => Outcome::Failed,
            },
            // What rsasl says of it may show a part of a password.
            Err(_) => Outcome::Failed,
        }
    }
}

impl Exchange {
    /// As [`credential`], for a further message.
    pub(super) fn credential<'a>(&'a self, data: &'a [u8]) -> &'a [u8] {
        match self.is_begun {
            true => &self.name,
            false => credential(self.session.get_mechname().as_bytes(), data),
        }
    }
}

/// What the first message of an exchange shows of who it is: with PLAIN name and password, else the name.
pub(super) fn credential<'a>(mechanism: &[u8], message: &'a [u8]) -> &'a [u8] {
    if mechanism == PLAIN.as_bytes() {
        return message.splitn(2, |byte| *byte == 0).nth(1).unwrap_or_default();
    }
    let mut parts = message.split(|byte| *byte == b',');
    parts.find_map(|part| part.strip_prefix(b"n=")).unwrap_or_default()
}

/// Nothing of what was said.
impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exchange({})", self.session.get_mechname())
    }
}

/// What rsasl asks of us.
struct Callback {
    users: Arc<Users>,
    ring: Arc<Ring>,
}

impl SessionCallback for Callback {
    fn callback(
        &self,
        session: &SessionData,
        context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        let (Some(hash), Some(name)) = (hash_of(session), context.get_ref::<AuthId>()) else {
            return Ok(());
        };
        let name = unescape(name);
        let decoy;
        let keys = match self.users.scram(&name, hash) {
            Some((keys, _)) => keys,
            None => {
                decoy = self.users.decoy(&name, hash, &self.ring);
                &decoy
            }
        };
        request.satisfy::<ScramStoredPassword<'_>>(&ScramStoredPassword::new(
            keys.iterations.get(),
            &keys.salt,
            &keys.stored_key,
            &keys.server_key,
        ))?;
        Ok(())
    }

    /// Nobody acts for another: an authorization identity can only be the user's own.
    fn validate(
        &self,
        session: &SessionData,
        context: &Context<'_>,
        validate: &mut Validate<'_>,
    ) -> Result<(), ValidationError> {
        let missing = || ValidationError::MissingRequiredProperty;
        let name = context.get_ref::<AuthId>().ok_or_else(missing)?;
        let acting_for = context.get_ref::<AuthzId>().unwrap_or_default();
        if !acting_for.is_empty() && acting_for != name {
            return Err(missing());
        }
        validate.with::<Claimed, _>(|| {
            if let Some(hash) = hash_of(session) {
                let name = unescape(name);
                let (keys, _) = self.users.scram(&name, hash).ok_or_else(missing)?;
                let stored_key = keys.stored_key.clone();
                return Ok(Claim::Proved { name, hash, stored_key });
            }
            let password = context.get_ref::<Password>().ok_or_else(missing)?;
            let password = Zeroizing::new(password.to_vec());
            Ok(Claim::Password { name: name.as_bytes().to_vec(), password })
        })?;
        Ok(())
    }
}

/// That of a SCRAM mechanism.
fn hash_of(session: &SessionData) -> Option<Hash> {
    let mechanism = session.mechanism().mechanism.as_str();
    Hash::ALL.into_iter().find(|hash| hash.mechanism() == mechanism)
}

/// Whether a message of a client consists of attributes, `x=...` with commas between them (RFC 5802,
/// section 7). The first one has a flag in front of them and perhaps an authorization identity. rsasl
/// panics at what is none.
fn is_scram_message(message: &[u8], is_first: bool) -> bool {
    let mut parts = message.split(|byte| *byte == b',');
    if is_first {
        let (_flag, identity) = (parts.next(), parts.next());
        if !identity.is_some_and(|identity| identity.is_empty() || identity.starts_with(b"a=")) {
            return false;
        }
    }
    parts.all(|part| part.get(1) == Some(&b'='))
}

/// A name as SCRAM sends it (RFC 5802, section 5.1): `,` and `=` are written in three characters.
fn unescape(name: &str) -> Vec<u8> {
    name.replace("=2C", ",").replace("=3D", "=").into_bytes()
}
