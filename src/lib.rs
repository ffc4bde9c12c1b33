//! nuthatch: a cache daemon that any memcached client can use unchanged.
//!
//! ```text
//! main → config, server → session, tls → protocol | store | auth | discovery → watch → buf, file, limits, clock, metrics, memory, heap, sync
//! ```
//!
//! Bytes come in through [`server`], one event loop a core; a [`session`] turns the bytes of one
//! client into requests, meets the [`store`] and leaves answers in a [`buf::Output`]. Nothing is
//! kept across restarts, on purpose.
//!
//! Beside `main` stands `fuzz`, the bodies of fuzz targets: nothing of the daemon names it.

pub mod limits;

mod sync;

pub mod clock;

pub mod buf;

pub mod metrics;

pub mod memory;

pub mod heap;

pub mod watch;

pub mod protocol;

pub mod store;

pub mod file;

pub mod auth;

pub mod tls;

pub mod discovery;

pub mod session;

pub mod server;

pub mod journal;

pub mod passwd;

pub mod config;

pub mod cli;

#[doc(hidden)]
pub mod fuzz;
