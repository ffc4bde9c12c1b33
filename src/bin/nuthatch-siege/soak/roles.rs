//! Who the well-behaved clients are: every face of the daemon, every protocol on it.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};

use super::author::Habit;
use super::client::Role;
use super::codec::Codec;
use super::daemons::Daemon;
use super::link::{Place, tls_config};

/// Clients of the daemon without logins.
pub const MAIN: u32 = 9;

/// Clients of the daemon with logins.
pub const LOGINS: u32 = 3;

/// Clients of the daemon on a Unix socket.
pub const UNIX: u32 = 2;

/// A client and whom it talks to.
pub struct Cast<'a> {
    /// How.
    pub role: Role,
    /// To whom.
    pub daemon: &'a Daemon,
    /// Its number among the daemon's clients.
    pub number: u32,
}

/// All clients.
///
/// # Errors
///
/// TLS cannot be set up.
pub fn cast(daemons: &[Daemon]) -> io::Result<Vec<Cast<'_>>> {
    let (tls12, tls13) = (Arc::new(tls_config(&TLS12)?), Arc::new(tls_config(&TLS13)?));
    let mut cast = Vec::new();
    for daemon in daemons {
        let role = |name, place, codec| Role { name, place, codec, login: None, habit: Habit::All };
        let mut roles = Vec::new();
        let Some(target) = daemon.target() else {
            let place = Place::Unix(daemon.socket());
            roles.push(role("unix text", place.clone(), Codec::Text));
            roles.push(role("unix binary", place, Codec::Binary));
            cast.extend(numbered(roles, daemon));
            continue;
        };
        let plain = Place::Plain(target.plain);
        let tls = |config: &Arc<_>| {
            let address = target.tls.unwrap_or(target.plain);
            Place::Tls(address, Arc::clone(config))
        };
        if let Some(login) = &target.login {
            roles.push(role("login text", plain.clone(), Codec::Text));
            roles.push(role("login binary", plain, Codec::Binary));
            roles.push(role("login tls meta", tls(&tls13), Codec::Meta));
            for role in &mut roles {
                role.login = Some((login.user.clone(), login.password.clone()));
            }
        } else {
            roles.push(role("text", plain.clone(), Codec::Text));
            roles.push(role("text too", plain.clone(), Codec::Text));
            roles.push(role("meta", plain.clone(), Codec::Meta));
            roles.push(role("binary", plain.clone(), Codec::Binary));
            roles.push(role("tls text", tls(&tls13), Codec::Text));
            roles.push(role("tls12 meta", tls(&tls12), Codec::Meta));
            roles.push(role("tls binary", tls(&tls13), Codec::Binary));
            let reader = role("reader", plain, Codec::Text);
            roles.push(Role { habit: Habit::Reads, ..reader });
            if let Some(udp) = target.udp {
                let datagrams = role("udp text", Place::Udp(udp), Codec::Text);
                roles.push(Role { habit: Habit::Datagrams, ..datagrams });
            }
        }
        cast.extend(numbered(roles, daemon));
    }
    Ok(cast)
}

fn numbered(roles: Vec<Role>, daemon: &Daemon) -> impl Iterator<Item = Cast<'_>> {
    (0..).zip(roles).map(move |(number, role)| Cast { role, daemon, number })
}
