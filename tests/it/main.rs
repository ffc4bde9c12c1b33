//! The one integration binary: everything that proves the daemon from outside.
//!
//! `docs/testing.md` tells what is where, which variables it reads and how a conversation file is
//! written.
#![deny(unsafe_code)]

mod harness;

mod authority;

mod client;

mod pattern;

mod packet;

mod script;

mod cases;

mod text;

mod stats;

mod stats_keys;

mod conns;

mod watch;

mod limits;

mod memory;

mod siege;

mod clients_memory;

mod pressure;

mod room;

mod expiry;

mod locks;

mod faults;

mod floods;

mod discovery;

mod handshakes;

mod control;

mod dump;

mod process;

mod login;

mod tls;

mod udp;

mod rust_client;

mod tidy;
