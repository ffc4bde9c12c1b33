//! What `-Z` and the options that belong to it amount to.
#![forbid(unsafe_code)]

use crate::cli::{Given, UsageError};
use crate::limits::{TLS_WRITE_MAX_BYTES, TLS_WRITE_MIN_BYTES};
use crate::server::Port;
use crate::tls::{MinVersion, Options, Verify};

/// None: no TLS.
pub(super) fn options(given: &Given, port: Port) -> Result<Option<Options>, UsageError> {
    let tls = &given.extended.tls;
    if !given.tls {
        return Ok(None);
    }
    if port == Port::Off {
        return Err(UsageError::usage("ERROR: You cannot enable SSL without a TCP port."));
    }
    if tls.kernel_tls {
        return Err(UsageError::usage("Kernel TLS offload is not available"));
    }
    Ok(Some(Options {
        chain_cert: tls.chain_cert.clone(),
        key: tls.key.clone(),
        key_format: tls.key_format,
        verify: Verify::of(tls.verify_mode),
        ca_cert: tls.ca_cert.clone(),
        ciphers: tls.ciphers.clone(),
        write_bytes: write_bytes(given),
        session_cache: tls.session_cache,
        min_version: MinVersion::of(tls.min_version),
        handshake_secs: u32::try_from(tls.handshake_secs).unwrap_or(u32::MAX),
    }))
}

fn write_bytes(given: &Given) -> usize {
    let kib = usize::try_from(given.extended.tls.write_kib).unwrap_or(0);
    kib.saturating_mul(1024).clamp(TLS_WRITE_MIN_BYTES, TLS_WRITE_MAX_BYTES)
}

/// Lines for the log about what is not encrypted although somebody may think so.
pub(super) fn warnings(given: &Given, has_udp: bool) -> Vec<String> {
    let tls = &given.extended.tls;
    let mut lines = Vec::new();
    let mut warn = |line: &str| lines.push(line.to_owned());
    if !given.tls {
        if tls.is_given {
            warn("-o ssl_... without -Z: nothing is encrypted");
        }
        return lines;
    }
    if given.unix_socket.is_some() {
        warn("-Z with -s: a Unix socket is never encrypted, and asks nobody for a certificate");
    } else if has_udp {
        warn("-Z with -U: UDP is never encrypted, and asks nobody for a certificate");
    }
    if tls.min_version < 2 {
        warn("-o ssl_min_version: TLS 1.2 is the lowest that there is");
    }
    let asked = usize::try_from(tls.write_kib).ok().and_then(|kib| kib.checked_mul(1024));
    if asked != Some(write_bytes(given)) {
        warn("-o ssl_wbuf_size: out of bounds, see \"stats settings\" for what it is");
    }
    lines
}
