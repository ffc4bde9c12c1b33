//! Who has how many connections (`-o maxconns_per_address`).
//!
//! An address counts, of IPv6 its /64, as for logins ([`network`]). Clients of a unix socket have none and
//! are not counted; those of the loopback are, like any others. Each connection that is let in holds a
//! [`Seat`] and gives it back by dropping it, so that it is given back once however the connection ends, also
//! when it never reaches its worker. An entry goes with its last connection: there are never more of
//! them than connections.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::auth::network;

/// Connections by address, with a bound for each.
#[derive(Debug)]
pub(super) struct Crowd {
    max: u32,
    /// Only networks that have connections are in it.
    open: Mutex<HashMap<IpAddr, u32>>,
}

/// The place of one connection among those of its address.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    network: IpAddr,
}

/// An address has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crowded;

impl Crowd {
    /// Lets each address have `max` connections; None for 0, which means any number.
    pub(super) fn new(max: u32) -> Option<Arc<Crowd>> {
        (max > 0).then(|| Arc::new(Crowd { max, open: Mutex::default() }))
    }

    /// Takes a seat for a connection from there; None: it needs none.
    pub(super) fn enter(self: &Arc<Self>, from: Option<IpAddr>) -> Result<Option<Seat>, Crowded> {
        let Some(network) = network(from) else { return Ok(None) };
        let mut open = self.open.lock();
        let count = open.entry(network).or_default();
        if *count >= self.max {
            return Err(Crowded);
        }
        *count += 1;
        Ok(Some(Seat { crowd: Arc::clone(self), network }))
    }

    fn leave(&self, network: &IpAddr) {
        let mut open = self.open.lock();
        let count = open.get_mut(network).expect("a seat is counted");
        *count -= 1;
        if *count == 0 {
            open.remove(network);
            // Seldom enough that what it costs is small beside the connections that went meanwhile.
            if open.capacity() > KEPT && open.len() < open.capacity() / 8 {
                let room = open.len() * 2;
                open.shrink_to(room);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.leave(&self.network);
    }
}

/// A table with room for fewer entries is not made smaller.
const KEPT: usize = 1024;

/// What room for a seat takes in its worker's table, and an entry for it here, where half may be free.
pub(super) const SEAT_BYTES: usize =
    size_of::<(usize, Seat)>() + 2 * size_of::<(IpAddr, u32)>() + 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(crowd: &Arc<Crowd>, address: &str) -> Result<Option<Seat>, Crowded> {
        crowd.enter(Some(address.parse().expect("an address")))
    }

    fn held(crowd: &Arc<Crowd>, address: &str) -> u32 {
        let network = network(address.parse().ok()).expect("an address");
        crowd.open.lock().get(&network).copied().unwrap_or(0)
    }

    #[test]
    fn an_address_has_so_many_and_no_more() {
        let crowd = Crowd::new(2).expect("a bound");
        let first = enter(&crowd, "192.0.2.1").expect("room");
        let second = enter(&crowd, "192.0.2.1").expect("room");
        assert_eq!(enter(&crowd, "192.0.2.1").expect_err("full"), Crowded);
        assert_eq!(held(&crowd, "192.0.2.1"), 2, "who is turned away is not counted");
        let other = enter(&crowd, "192.0.2.2").expect("another address");
        drop(first);
        let third = enter(&crowd, "192.0.2.1").expect("one has left");
        drop((second, third, other));
        assert!(crowd.open.lock().is_empty(), "nothing is kept of those who are gone");
    }

    #[test]
    fn a_client_of_ipv6_has_a_network() {
        let crowd = Crowd::new(1).expect("a bound");
        let _first = enter(&crowd, "2001:db8:1:2::1").expect("room");
        enter(&crowd, "2001:db8:1:2:ffff::9").expect_err("the same /64");
        let _other = enter(&crowd, "2001:db8:1:3::1").expect("another one");
        let _mapped = enter(&crowd, "::ffff:192.0.2.1").expect("room");
        enter(&crowd, "192.0.2.1").expect_err("the same address");
    }

    #[test]
    fn who_has_no_address_needs_no_seat() {
        let crowd = Crowd::new(1).expect("a bound");
        for _ in 0..3 {
            assert!(crowd.enter(None).expect("room").is_none());
        }
        assert!(Crowd::new(0).is_none(), "no bound, no table");
    }

    #[test]
    fn the_table_shrinks_when_a_crowd_has_gone() {
        let crowd = Crowd::new(1).expect("a bound");
        let address = |number: u32| IpAddr::V4(number.into());
        let seats: Vec<_> = (0..50_000).map(|number| crowd.enter(Some(address(number)))).collect();
        assert!(crowd.open.lock().capacity() >= 50_000);
        drop(seats);
        assert!(crowd.open.lock().capacity() <= KEPT);
    }

    /// Threads take and give back at the same time; in the end nobody is counted.
    #[test]
    fn seats_are_given_back_by_any_thread() {
        let crowd = Crowd::new(3).expect("a bound");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..20_000u32 {
                        let seat = crowd.enter(Some(IpAddr::V4((number % 5).into())));
                        assert!(crowd.open.lock().values().all(|count| (1..=3).contains(count)));
                        drop(seat);
                    }
                });
            }
        });
        assert!(crowd.open.lock().is_empty());
    }
}
