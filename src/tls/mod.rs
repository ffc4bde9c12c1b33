//! TLS: certificates and their reload, records in and plain bytes out.
//!
//! Knows no socket and no session.
#![forbid(unsafe_code)]
