//! What watchers of connections are told (text, section 7, `connevents`).
//!
//! A connection that has been reset, or whose end has been sent, has no address any more. So
//! addresses are noted when connections are opened, but only while somebody watches.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use super::stream::Stream;
use crate::watch::{Classes, CloseReason, Event, Hub, Peer, Transport};

/// Addresses by place in the worker's slab. Without TCP, or opened unwatched: none.
#[derive(Debug, Default)]
pub(super) struct Peers(HashMap<usize, SocketAddr>);

impl Peers {
    /// Tells watchers of a new connection.
    pub(super) fn opened(&mut self, index: usize, stream: &Stream, hub: &Hub) {
        if !hub.watches(Classes::CONNEVENTS) {
            return;
        }
        let address = stream.peer_addr();
        self.0.extend(address.map(|address| (index, address)));
        let descriptor = stream.as_raw_fd();
        tell(stream, address, hub, |peer| Event::ConnNew { peer, descriptor });
    }

    /// Tells watchers of a connection that is about to be closed.
    pub(super) fn closed(&mut self, index: usize, stream: &Stream, reason: CloseReason, hub: &Hub) {
        let noted = self.0.remove(&index);
        if hub.watches(Classes::CONNEVENTS) {
            let address = noted.or_else(|| stream.peer_addr());
            let descriptor = stream.as_raw_fd();
            tell(stream, address, hub, |peer| Event::ConnClose { peer, reason, descriptor });
        }
    }
}

fn tell(
    stream: &Stream,
    address: Option<SocketAddr>,
    hub: &Hub,
    event: impl FnOnce(Peer<'_>) -> Event<'_>,
) {
    if stream.is_tcp() {
        let name = address.map_or_else(String::new, |address| address.ip().to_string());
        let port = address.map_or(0, |address| address.port());
        hub.emit(&event(Peer { address: &name, port, transport: Transport::Tcp }));
    } else {
        hub.emit(&event(Peer { address: "unix", port: 0, transport: Transport::Local }));
    }
}
