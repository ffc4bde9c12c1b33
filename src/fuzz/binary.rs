//! One packet of the binary protocol.
#![forbid(unsafe_code)]

use crate::fuzz::{cuts, is_key};
use crate::limits::KEY_LEN_MAX;
use crate::protocol::binary::{self, HEADER_LEN, Packet, Request, Verb};

/// More bytes than extras and key of any request have.
const FRONT_MAX: usize = HEADER_LEN + 20 + KEY_LEN_MAX;

/// Most bytes of a value.
const VALUE_LEN_MAX: usize = 1 << 30;

/// What a packet is does not depend on how much of it is there; it is decided when its front is there; and
/// what it asks for is within bounds.
pub fn binary(data: &[u8]) {
    let whole = binary::read(data);
    for len in cuts(data.len()) {
        match binary::read(&data[..len]) {
            Packet::Partial => {}
            sooner => assert_eq!(sooner, whole),
        }
    }
    match whole {
        Packet::Whole { tag, request, len } => {
            assert!((HEADER_LEN..=data.len().min(FRONT_MAX)).contains(&len));
            assert_eq!((tag.opcode, tag.opaque.to_be_bytes()), (data[1], opaque(data)));
            check(tag.verb, &request);
        }
        Packet::Partial => assert!(data.len() < FRONT_MAX),
        Packet::Refused { tag, len, .. } => {
            assert_eq!(tag.verb, Verb::Unknown);
            assert!((HEADER_LEN as u64..=u64::from(u32::MAX) + HEADER_LEN as u64).contains(&len));
        }
        Packet::Broken { .. } => assert!(data.len() >= HEADER_LEN),
        Packet::Foreign => assert_ne!(data.first(), Some(&binary::MAGIC)),
    }
}

fn opaque(data: &[u8]) -> [u8; 4] {
    [data[12], data[13], data[14], data[15]]
}

fn check(verb: Verb, request: &Request<'_>) {
    match request {
        Request::Retrieve { key, exptime } => {
            let touches = matches!(verb, Verb::Touch | Verb::Gat | Verb::GatK);
            assert!(is_key(key) && exptime.is_some() == touches);
        }
        Request::Store(store) => assert!(is_key(store.key) && store.value_len <= VALUE_LEN_MAX),
        Request::Delete { key, .. } => assert!(is_key(key)),
        Request::Arith(arith) => assert!(is_key(arith.key)),
        Request::Stat { group } => assert!(group.len() <= KEY_LEN_MAX),
        Request::Sasl(sasl) => {
            assert!(sasl.mechanism.len() <= KEY_LEN_MAX && sasl.value_len <= VALUE_LEN_MAX);
        }
        Request::Flush { .. } | Request::Noop | Request::Version | Request::Quit => {}
    }
}
