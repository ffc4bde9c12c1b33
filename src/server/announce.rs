//! Telling the world where the server listens: log lines, port file, pid file.
//!
//! A file that cannot be written is a warning, never a reason not to serve (options, sections 2
//! and 5). Both appear whole, by renaming, and only once the sockets accept.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::listener::Listener;
use super::{Options, os_text, udp};

/// What is to be told, and where.
#[derive(Default)]
pub(super) struct Announcement {
    names: Vec<String>,
    /// What there is to say of addresses that other machines can reach.
    risks: Vec<String>,
    addresses: Vec<SocketAddr>,
    udp_addresses: Vec<SocketAddr>,
    port_file: Option<PathBuf>,
    pid_file: Option<PathBuf>,
    remove_pid_file: bool,
}

impl Announcement {
    /// Of `listeners` and `udp`, in the files that `options` name.
    /// `has_login`: clients have to log in.
    pub(super) fn new(
        options: &Options,
        has_login: bool,
        listeners: &[Listener],
        udp: &[udp::Bound],
    ) -> Announcement {
        let udp_addresses: Vec<_> = udp.iter().map(udp::Bound::address).collect();
        let udp_names = udp_addresses.iter().map(|address| format!("{address} (UDP)"));
        Announcement {
            names: listeners.iter().map(Listener::to_string).chain(udp_names).collect(),
            risks: risks(options, has_login, listeners, &udp_addresses),
            addresses: listeners.iter().filter_map(Listener::address).collect(),
            udp_addresses,
            port_file: options.port_file.clone().filter(|_| options.unix_socket.is_none()),
            pid_file: options.pid_file.clone(),
            remove_pid_file: options.remove_pid_file,
        }
    }

    /// Tells it.
    pub(super) fn publish(&self) {
        self.log();
        if let Some(path) = &self.port_file {
            let temporary = with_suffix(path, ".lck");
            if let Err(err) = replace(path, &temporary, &self.port_lines()) {
                log::warn!("Failed to open \"{}\": {}", temporary.display(), os_text(&err));
            }
        }
        if let Some(path) = &self.pid_file {
            write_pid(path);
        }
    }

    /// Removes the pid file if that was asked for and it is still this process's.
    pub(super) fn withdraw(&self) {
        if let Some(path) = self.pid_file.as_deref().filter(|_| self.remove_pid_file)
            && pid_in(path) == Some(Pid::this())
            && let Err(err) = fs::remove_file(path)
        {
            log::warn!("Could not remove the pid file {}: {}", path.display(), os_text(&err));
        }
    }

    fn port_lines(&self) -> String {
        port_lines("TCP", &self.addresses) + &port_lines("UDP", &self.udp_addresses)
    }

    fn log(&self) {
        if self.names.is_empty() {
            log::warn!("listening nowhere: -p 0 without -s");
            return;
        }
        let names = self.names.join(", ");
        let mut all = self.addresses.iter().chain(&self.udp_addresses);
        let open = all.find(|address| !address.ip().is_loopback());
        if open.is_some() {
            log::info!("listening on {names}");
            self.risks.iter().for_each(|risk| log::warn!("{risk}"));
        } else if self.addresses.is_empty() {
            log::info!("listening on {names}");
        } else {
            log::info!(
                "listening on {names}: this machine only; -l 0.0.0.0 opens it to the network"
            );
        }
    }
}

/// Says of each address that other machines can reach what they can do there.
fn risks(
    options: &Options,
    has_login: bool,
    listeners: &[Listener],
    udp: &[SocketAddr],
) -> Vec<String> {
    let certificates = options.certificates.as_ref();
    let tcp = listeners.iter().filter_map(|listener| {
        let tls = listener.terms().tls;
        let asks = tls.zip(certificates).is_some_and(|(mode, them)| them.require_client(mode));
        risk(listener.address()?, has_login || asks, tls.is_some())
    });
    // Over UDP nobody logs in, and nothing is encrypted.
    tcp.chain(udp.iter().filter_map(|address| risk(*address, false, false))).collect()
}

/// None: nothing, or this machine alone reaches the address.
fn risk(address: SocketAddr, asks: bool, is_encrypted: bool) -> Option<String> {
    match (asks, is_encrypted) {
        _ if address.ip().is_loopback() => None,
        (false, _) => Some(format!(
            "{address} can be reached from other machines: whoever connects can read, change and \
             remove everything. -S, -Y, -o user_file or certificates of clients keep them out"
        )),
        (true, false) => Some(format!(
            "{address} can be reached from other machines: passwords and values go there in the \
             clear. -Z encrypts them"
        )),
        (true, true) => None,
    }
}

fn port_lines(transport: &str, addresses: &[SocketAddr]) -> String {
    let line = |address: &SocketAddr| {
        let family = if address.is_ipv6() { "INET6" } else { "INET" };
        format!("{transport} {family}: {}\n", address.port())
    };
    addresses.iter().map(line).collect()
}

fn write_pid(path: &Path) {
    if let Some(pid) = pid_in(path)
        && pid != Pid::this()
        && matches!(kill(pid, None), Ok(()) | Err(Errno::EPERM))
    {
        log::warn!("The pid file {} held the pid {pid} of a running process", path.display());
    }
    let temporary = with_suffix(path, ".tmp");
    if let Err(err) = replace(path, &temporary, &format!("{}\n", Pid::this())) {
        let (name, reason) = (temporary.display(), os_text(&err));
        log::warn!("Could not open the pid file {name} for writing: {reason}; there is none");
    }
}

fn pid_in(path: &Path) -> Option<Pid> {
    let pid: i32 = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    (pid > 0).then(|| Pid::from_raw(pid))
}

fn replace(path: &Path, temporary: &Path, text: &str) -> io::Result<()> {
    fs::write(temporary, text)?;
    fs::rename(temporary, path)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::tests::TempDir;

    #[test]
    fn port_lines_section_5() {
        let addresses: Vec<SocketAddr> =
            ["127.0.0.1:1", "[::1]:2"].iter().map(|a| a.parse().expect("address")).collect();
        assert_eq!(port_lines("TCP", &addresses), "TCP INET: 1\nTCP INET6: 2\n");
    }

    #[test]
    fn open_addresses_and_what_is_asked_there() {
        let said = |address: &str, asks, is_encrypted| {
            risk(address.parse().expect("address"), asks, is_encrypted).unwrap_or_default()
        };
        for address in ["0.0.0.0:1", "192.0.2.1:1", "[::]:1", "[2001:db8::1]:1"] {
            for is_encrypted in [false, true] {
                let line = said(address, false, is_encrypted);
                assert!(line.starts_with(address) && line.contains("whoever connects"), "{line}");
            }
            assert!(said(address, true, false).contains("in the clear"));
            assert_eq!(said(address, true, true), "");
        }
        for address in ["127.0.0.1:1", "[::1]:1"] {
            assert_eq!(said(address, false, false), "");
        }
    }

    #[test]
    fn pid_file_is_removed_by_its_owner_only() {
        let dir = TempDir::new();
        let path = dir.path().join("pid");
        let announcement = Announcement {
            pid_file: Some(path.clone()),
            remove_pid_file: true,
            ..Announcement::default()
        };
        announcement.publish();
        let own = fs::read_to_string(&path).expect("written");
        assert_eq!(own, format!("{}\n", std::process::id()));
        fs::write(&path, "1\n").expect("written");
        announcement.withdraw();
        assert!(path.exists(), "another process's");
        fs::write(&path, own).expect("written");
        announcement.withdraw();
        assert!(!path.exists());
    }

    #[test]
    fn file_that_cannot_be_written_is_no_failure() {
        let dir = TempDir::new();
        write_pid(&dir.path().join("missing").join("pid"));
        assert!(pid_in(&dir.path().join("missing").join("pid")).is_none());
    }
}
