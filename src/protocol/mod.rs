//! Bytes to requests and replies to bytes.
//!
//! Knows no socket and no store. Each dialect of the protocol is a codec of its own beside
//! [`text`]; what they have in common is here:
//!
//! ```text
//! line ──► token ──► number ──► Request          Reply, value header ──► bytes
//! packet ──────────────► binary::Request         binary::response ─────► bytes
//! ```
//!
//! Invariant: what a codec makes of a request depends on its bytes alone, never on how they were
//! cut into reads. A codec that has not seen enough says so and is asked again with more.
#![forbid(unsafe_code)]

pub mod binary;

pub mod control;

pub mod meta;

pub mod dump;

pub mod reply;

pub mod request;

pub mod response;

pub mod text;

pub(crate) mod number;

mod scan;

pub mod token;

pub use reply::Reply;
pub use request::{Command, Request};
