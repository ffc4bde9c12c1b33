//! The users of a file, and who of them a name and a password belong to.
#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::line::Line;
use super::rights::Rights;
use super::scram::{Hash, Keys};
use super::secret::{Offer, Print, Ring, Secret, Workspace, prepare};
use crate::limits::SCRAM_ITERATIONS;

/// Who a client is.
#[derive(Debug, PartialEq, Eq)]
pub struct User {
    /// As in the user file.
    pub name: Vec<u8>,
    /// None: everything, as in memcached.
    pub rights: Option<Rights>,
}

/// One line of a file.
#[derive(Debug)]
struct Entry {
    user: Arc<User>,
    secret: Secret,
    /// Of a secret that takes long to check: what it is remembered by.
    id: Option<Print>,
    /// Of a password in plain text: what SCRAM needs of it.
    keys: Option<Arc<[Keys; Hash::ALL.len()]>>,
}

/// All users of a file.
#[derive(Debug, Default)]
pub(super) struct Users {
    entries: Vec<Entry>,
    /// The entries of each name, in the order of the file.
    by_name: HashMap<Vec<u8>, Vec<usize>>,
    /// The first entry whose check takes long.
    slow: Option<usize>,
    /// Bytes of memory for the check that takes most.
    check_bytes: usize,
    /// What a client may write behind a name.
    at_host: Vec<u8>,
}

/// Passwords that were found to fit a secret whose check takes long, so that a client that comes again is
/// not hashed again.
pub(super) type Remembered = HashMap<Print, Print>;

impl Users {
    /// None yet. `host` is the name of this machine: `user@host` and `user` are one.
    pub(super) fn new(host: &str) -> Users {
        Users { at_host: format!("@{host}").into_bytes(), ..Users::default() }
    }

    /// None yet, on the same machine.
    pub(super) fn none(&self) -> Users {
        Users { at_host: self.at_host.clone(), ..Users::default() }
    }

    /// Bytes of memory for the check of a password that takes most.
    pub(super) fn check_bytes(&self) -> usize {
        self.check_bytes
    }

    /// Adds what a line says. With `scram` a password in plain text can be proved by SCRAM, too; keys that
    /// `before` has of the same password are taken from there, since making them takes milliseconds.
    pub(super) fn add(&mut self, line: Line<'_>, scram: bool, ring: &Ring, before: &Users) {
        let keys = match &line.secret {
            Secret::Plain { raw, .. } if scram => {
                let known = before.keys_of(line.name, raw);
                let salt = ring.salt(self.without_host(line.name));
                Some(known.unwrap_or_else(|| make_keys(&salt, line.password)))
            }
            _ => None,
        };
        let index = self.entries.len();
        self.check_bytes = self.check_bytes.max(line.secret.check_bytes());
        if line.secret.is_slow() {
            self.slow.get_or_insert(index);
        }
        self.by_name.entry(line.name.to_vec()).or_default().push(index);
        let id = line.secret.is_slow().then(|| ring.print(line.password));
        let user = Arc::new(User { name: line.name.to_vec(), rights: line.rights });
        self.entries.push(Entry { user, secret: line.secret, id, keys });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether everybody who has a password can prove it by SCRAM with this hash.
    pub(super) fn all_have_scram(&self, hash: Hash) -> bool {
        let by_password = |entry: &&Entry| !matches!(entry.secret, Secret::Certificate);
        let passwords = |indices: &Vec<usize>| {
            indices.iter().map(|index| &self.entries[*index]).filter(by_password).count()
        };
        self.has_scram(hash)
            && self.entries.iter().filter(by_password).all(|entry| entry.scram(hash).is_some())
            && self.by_name.values().all(|indices| passwords(indices) <= 1)
    }

    /// Whether somebody can.
    pub(super) fn has_scram(&self, hash: Hash) -> bool {
        self.entries.iter().any(|entry| entry.scram(hash).is_some())
    }

    /// The user whom a name and a password belong to. What that takes does not depend on whether there is
    /// a user of this name: if some entry of the file takes long to check, one is checked in any case.
    pub(super) fn check(
        &self,
        name: &[u8],
        offer: &Offer,
        remembered: &mut Remembered,
        workspace: &mut Workspace,
    ) -> Option<&Arc<User>> {
        let mut found = None;
        let mut was_slow = false;
        for entry in self.of(name) {
            let known = entry.id.and_then(|id| remembered.get(&id));
            was_slow |= entry.id.is_some();
            let fits = known.is_some_and(|print| print.is(&offer.raw))
                || entry.secret.fits(offer, workspace);
            if fits && found.is_none() {
                found = Some(&entry.user);
                remembered.extend(entry.id.map(|id| (id, offer.raw)));
            }
        }
        // Who is let in shows that there is such a user anyway.
        if found.is_none()
            && !was_slow
            && let Some(index) = self.slow
        {
            let _whatever = self.entries[index].secret.fits(offer, workspace);
        }
        found
    }

    /// Whether a password is known to be a user's without a check that takes long.
    pub(super) fn knows(&self, name: &[u8], print: &Print, remembered: &Remembered) -> bool {
        self.of(name).any(|entry| match (&entry.secret, entry.id) {
            (Secret::Plain { raw, .. }, _) => raw.is(print),
            (_, Some(id)) => remembered.get(&id).is_some_and(|known| known.is(print)),
            _ => false,
        })
    }

    /// Forgets passwords of secrets that are not there any more.
    pub(super) fn retain(&self, remembered: &mut Remembered) {
        let ids: HashSet<Print> = self.entries.iter().filter_map(|entry| entry.id).collect();
        remembered.retain(|id, _| ids.contains(id));
    }

    /// What SCRAM needs of a user, and the user. Of several lines of a name it is the last: SCRAM cannot try
    /// one after the other.
    pub(super) fn scram(&self, name: &[u8], hash: Hash) -> Option<(&Keys, &Arc<User>)> {
        let known = self.of(name).filter_map(|entry| Some((entry.scram(hash)?, &entry.user)));
        known.last()
    }

    /// What SCRAM is told of a name that nobody has: nothing that a user's could not be, and the same
    /// each time.
    pub(super) fn decoy(&self, name: &[u8], hash: Hash, ring: &Ring) -> Keys {
        let written = self.entries.iter().find_map(|entry| match &entry.secret {
            Secret::Scram(keys) if keys.hash == hash => Some(keys),
            _ => None,
        });
        let salt = ring.salt(self.without_host(name));
        let (iterations, salt_len) = written
            .map_or((SCRAM_ITERATIONS, salt.len()), |keys| (keys.iterations, keys.salt.len()));
        Keys {
            hash,
            iterations,
            salt: salt.iter().copied().cycle().take(salt_len).collect(),
            stored_key: ring.noise(hash.len()),
            server_key: ring.noise(hash.len()),
        }
    }

    /// The user who is known by a certificate with one of these names, the first of them that has a line.
    pub(super) fn certified(&self, names: &[String]) -> Option<&Arc<User>> {
        names.iter().find_map(|name| {
            let indices = self.by_name.get(name.as_bytes())?;
            let mut entries = indices.iter().map(|index| &self.entries[*index]);
            let entry = entries.find(|entry| matches!(entry.secret, Secret::Certificate))?;
            Some(&entry.user)
        })
    }

    fn without_host<'a>(&self, name: &'a [u8]) -> &'a [u8] {
        name.strip_suffix(&self.at_host[..]).unwrap_or(name)
    }

    /// The entries of a name, which stand there with or without the name of this machine.
    fn of(&self, name: &[u8]) -> impl Iterator<Item = &Entry> {
        let written = self.by_name.get(name);
        let written = written.or_else(|| self.by_name.get(&[name, &self.at_host].concat()));
        let written = written.or_else(|| self.by_name.get(name.strip_suffix(&self.at_host[..])?));
        written.into_iter().flatten().map(|index| &self.entries[*index])
    }

    fn keys_of(&self, name: &[u8], print: &Print) -> Option<Arc<[Keys; Hash::ALL.len()]>> {
        let mut entries = self.by_name.get(name)?.iter().map(|index| &self.entries[*index]);
        let entry = entries
            .find(|entry| matches!(&entry.secret, Secret::Plain { raw, .. } if raw.is(print)))?;
        entry.keys.clone()
    }
}

impl Entry {
    fn scram(&self, hash: Hash) -> Option<&Keys> {
        let made = self.keys.iter().flat_map(|keys| keys.iter());
        let written = match &self.secret {
            Secret::Scram(keys) => Some(keys),
            _ => None,
        };
        made.chain(written).find(|keys| keys.hash == hash)
    }
}

fn make_keys(salt: &[u8], password: &[u8]) -> Arc<[Keys; Hash::ALL.len()]> {
    let password = prepare(password);
    Arc::new(Hash::ALL.map(|hash| Keys::derive(hash, &password, salt, SCRAM_ITERATIONS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::line::{self, Format};
    use crate::auth::tests::argon2_of;

    /// Whatever the name and the password are. Which hashes there were is told by the memory of the largest.
    #[test]
    fn a_refusal_takes_one_hash_and_a_grant_its_own() {
        const LARGE_KIB: u32 = 128;
        const SMALL_KIB: u32 = 64;
        let (large, small) = (argon2_of(LARGE_KIB, "bar"), argon2_of(SMALL_KIB, "bar"));
        let text = format!("foo:bar\nlarge:{large}\nsmall:{small}\n");
        let (ring, mut users) = (Ring::new(), Users::new("here"));
        line::each(text.as_bytes(), Format::Users, &ring, |_, line| {
            users.add(line, false, &ring, &Users::default());
        })
        .expect("well formed");
        for (name, password, kib) in [
            ("foo", "bar", 0),
            ("foo", "bab", LARGE_KIB),
            ("nobody", "bar", LARGE_KIB),
            ("large", "bab", LARGE_KIB),
            ("small", "bab", SMALL_KIB),
            ("small", "bar", SMALL_KIB),
        ] {
            let mut workspace = Workspace::default();
            let offer = ring.offer(password.as_bytes());
            let found =
                users.check(name.as_bytes(), &offer, &mut Remembered::new(), &mut workspace);
            assert_eq!(found.is_some(), password == "bar" && name != "nobody", "{name}");
            assert_eq!(workspace.held_bytes(), kib as usize * 1024, "{name} {password}");
        }
    }

    /// Making them takes milliseconds, each time that the file is read.
    #[test]
    fn keys_of_a_password_that_stays_are_not_made_again() {
        let ring = Ring::new();
        let read = |text: &str, before: &Users| {
            let mut users = before.none();
            line::each(text.as_bytes(), Format::Users, &ring, |_, line| {
                users.add(line, true, &ring, before);
            })
            .expect("well formed");
            users
        };
        let keys = |users: &Users, name: usize| users.entries[name].keys.clone().expect("keys");
        let before = read("foo:bar\nfox:bar\n", &Users::new("here"));
        let after = read("foo:bar\nfox:baz\n", &before);
        assert!(Arc::ptr_eq(&keys(&before, 0), &keys(&after, 0)));
        assert!(!Arc::ptr_eq(&keys(&before, 1), &keys(&after, 1)));
    }
}
