//! Which addresses are bound, and what happens where one cannot be had. The same for TCP and UDP.
//!
//! Options, section 4: each address of an element of `-l` is tried, one success is enough, and an
//! element without any fails the start. Without `-l` both families of loopback are one element.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use nix::errno::Errno;

use super::{Encryption, Listen, Options, Port, StartError, Terms, os_text};

/// What makes the sockets of an address.
pub(super) trait Transport {
    /// The sockets of one address.
    type Bound;

    /// Its name in messages.
    const NAME: &'static str;

    /// Whether an address whose port somebody else has may be left out as long as there are others.
    const LEAVES_OUT_TAKEN: bool;

    /// Refuses addresses that the options forbid.
    fn check(&self, _addresses: &[SocketAddr]) -> Result<(), StartError> {
        Ok(())
    }

    /// Binds `address`, whose clients are to speak what `terms` say.
    fn bind(&self, address: SocketAddr, terms: Terms) -> io::Result<Self::Bound>;

    /// Where that is, with the port that the system has chosen.
    fn address(bound: &Self::Bound) -> SocketAddr;
}

/// Binds `port` of everything that `-l` names.
pub(super) fn bind<T: Transport>(
    transport: &T,
    port: Port,
    options: &Options,
) -> Result<Vec<T::Bound>, StartError> {
    let port = match port {
        Port::Off => return Ok(Vec::new()),
        Port::Any => 0,
        Port::Number(port) => port,
    };
    let terms = |element: Option<&Listen>| Terms {
        protocol: element.and_then(|one| one.protocol).unwrap_or(options.protocol),
        tls: element
            .map_or(Encryption::AsServer, |one| one.encryption)
            .mode(options.certificates.is_some()),
    };
    if options.listen.is_empty() {
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let addresses = loopback.map(|ip| SocketAddr::new(ip, port));
        return bind_element(transport, &addresses, terms(None)).map_err(|err| {
            let (name, reason) = (T::NAME, os_text(&err));
            StartError::os(format!("failed to listen on {name} port {port}: {reason}"))
        });
    }
    let failed = |reason: String| {
        let list = list(&options.listen);
        StartError::os(format!("failed to listen on one of interface(s) {list}: {reason}"))
    };
    let mut all = Vec::new();
    for element in &options.listen {
        let addresses = resolve(element, port).map_err(failed)?;
        transport.check(&addresses)?;
        let bound = bind_element(transport, &addresses, terms(Some(element)));
        all.extend(bound.map_err(|err| failed(os_text(&err)))?);
    }
    Ok(all)
}

/// `-l` as it was given.
fn list(elements: &[Listen]) -> String {
    let names: Vec<String> = elements
        .iter()
        .map(|element| match element.port {
            Some(port) if element.host.contains(':') => format!("[{}]:{port}", element.host),
            Some(port) => format!("{}:{port}", element.host),
            None => element.host.clone(),
        })
        .collect();
    names.join(",")
}

/// The addresses of an element, each once: a name can have one of them on several lines of a file.
fn resolve(element: &Listen, port: u16) -> Result<Vec<SocketAddr>, String> {
    let port = element.port.unwrap_or(port);
    if element.host == "*" {
        let all = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        return Ok(all.map(|ip| SocketAddr::new(ip, port)).into());
    }
    let found = (element.host.as_str(), port)
        .to_socket_addrs()
        .map_err(|err| format!("getaddrinfo({}): {}", element.host, os_text(&err)))?;
    let mut addresses = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// Binds all of `addresses` that can be had, at least one. Where any port will do, they get the
/// same one if that is possible.
fn bind_element<T: Transport>(
    transport: &T,
    addresses: &[SocketAddr],
    terms: Terms,
) -> io::Result<Vec<T::Bound>> {
    const SAME_PORT_TRIES: usize = 8;

    if addresses.iter().all(|address| address.port() == 0) {
        for _ in 0..SAME_PORT_TRIES {
            let bound = bind_each(transport, addresses, terms, SharePort::Yes)?;
            if bound.len() == addresses.len() {
                return Ok(bound);
            }
        }
    }
    bind_each(transport, addresses, terms, SharePort::No)
}

/// Whether a port that the system chose for one address is wanted for the next ones too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SharePort {
    Yes,
    No,
}

fn bind_each<T: Transport>(
    transport: &T,
    addresses: &[SocketAddr],
    terms: Terms,
    share: SharePort,
) -> io::Result<Vec<T::Bound>> {
    let mut bound: Vec<T::Bound> = Vec::new();
    let mut left_out = Vec::new();
    for address in addresses {
        let mut address = *address;
        if share == SharePort::Yes
            && let Some(first) = bound.first()
        {
            address.set_port(T::address(first).port());
        }
        match transport.bind(address, terms) {
            Ok(one) => bound.push(one),
            Err(err) if may_leave_out::<T>(&err, share) => left_out.push((address, err)),
            Err(err) => return Err(err),
        }
    }
    if bound.is_empty() {
        let nothing = || io::Error::from(io::ErrorKind::AddrNotAvailable);
        return Err(left_out.pop().map_or_else(nothing, |(_, err)| err));
    }
    for (address, err) in left_out {
        // The loopback of a family that this machine does not have is nobody's loss.
        let is_loss = is_taken(&err) && share == SharePort::No;
        let level = if is_loss { log::Level::Warn } else { log::Level::Debug };
        log::log!(level, "not listening on {} {address}: {}", T::NAME, os_text(&err));
    }
    Ok(bound)
}

/// Whether the other addresses are listened on all the same. A port that is only tried may be
/// anybody's.
fn may_leave_out<T: Transport>(err: &io::Error, share: SharePort) -> bool {
    let is_absent = matches!(
        err.raw_os_error().map(Errno::from_raw),
        Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT)
    );
    is_absent || (is_taken(err) && (T::LEAVES_OUT_TAKEN || share == SharePort::Yes))
}

fn is_taken(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::AddrInUse
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::server::tests::options;

    /// Binds nothing: what happens at each address is given.
    struct Script<const LEAVES_OUT_TAKEN: bool> {
        results: RefCell<Vec<Result<u16, Errno>>>,
    }

    impl<const LEAVES_OUT_TAKEN: bool> Transport for Script<LEAVES_OUT_TAKEN> {
        type Bound = SocketAddr;

        const NAME: &'static str = "X";

        const LEAVES_OUT_TAKEN: bool = LEAVES_OUT_TAKEN;

        fn bind(&self, mut address: SocketAddr, _terms: Terms) -> io::Result<SocketAddr> {
            let port = self.results.borrow_mut().pop().expect("no more is tried")?;
            assert!([0, port].contains(&address.port()), "{address} for {port}");
            address.set_port(port);
            Ok(address)
        }

        fn address(bound: &SocketAddr) -> SocketAddr {
            *bound
        }
    }

    /// The ports that are bound where `results` come one after the other.
    fn ports<const LEAVES_OUT_TAKEN: bool>(
        port: Port,
        results: &[Result<u16, Errno>],
    ) -> Result<Vec<u16>, String> {
        let results = RefCell::new(results.iter().rev().copied().collect());
        let script = Script::<LEAVES_OUT_TAKEN> { results };
        let bound = bind(&script, port, &options()).map_err(|err| err.message)?;
        assert!(script.results.borrow().is_empty(), "something more is tried");
        Ok(bound.iter().map(SocketAddr::port).collect())
    }

    #[test]
    fn a_port_that_somebody_has_section_4() {
        let taken = Err(Errno::EADDRINUSE);
        let refused =
            |port: u16| Err(format!("failed to listen on X port {port}: Address already in use"));
        let port = Port::Number(7);
        assert_eq!(ports::<true>(port, &[taken, Ok(7)]), Ok(vec![7]));
        assert_eq!(ports::<true>(port, &[Ok(7), taken]), Ok(vec![7]));
        assert_eq!(ports::<true>(port, &[taken, taken]), refused(7));
        assert_eq!(ports::<false>(port, &[taken]), refused(7));
        assert_eq!(ports::<false>(port, &[Ok(7), taken]), refused(7));
        // Nobody's loss: a family that there is not.
        for absent in [Errno::EADDRNOTAVAIL, Errno::EAFNOSUPPORT] {
            assert_eq!(ports::<false>(port, &[Ok(7), Err(absent)]), Ok(vec![7]));
            assert_eq!(ports::<true>(port, &[Err(absent), Ok(7)]), Ok(vec![7]));
        }
        assert!(ports::<true>(port, &[Ok(7), Err(Errno::EACCES)]).is_err());
    }

    #[test]
    fn families_share_a_port_that_is_free_for_both() {
        let taken = Err(Errno::EADDRINUSE);
        let tries = [Ok(7), taken, Ok(8), taken, Ok(9), Ok(9)];
        assert_eq!(ports::<true>(Port::Any, &tries), Ok(vec![9, 9]));
        assert_eq!(ports::<false>(Port::Any, &tries), Ok(vec![9, 9]));
        // If it cannot be had, each has its own.
        let tries = [[Ok(7), taken].repeat(8), vec![Ok(8), Ok(9)]].concat();
        assert_eq!(ports::<false>(Port::Any, &tries), Ok(vec![8, 9]));
        assert_eq!(ports::<true>(Port::Off, &[]), Ok(vec![]));
    }

    #[test]
    fn an_address_is_bound_once() {
        let element = Listen { host: "127.0.0.1".to_owned(), ..Listen::default() };
        assert_eq!(resolve(&element, 7), Ok(vec![SocketAddr::from(([127, 0, 0, 1], 7))]));
        assert_eq!(resolve(&Listen { host: "*".to_owned(), ..element }, 7).map(|a| a.len()), Ok(2));
    }
}
