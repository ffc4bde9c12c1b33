//! Who a client is and what it may do: users, their secrets and rights, the exchanges of a login.
//!
//! Knows no socket, no thread and no protocol.
#![forbid(unsafe_code)]
