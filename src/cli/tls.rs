//! Extended options about TLS.
#![forbid(unsafe_code)]

/// What was given of them, with memcached's defaults (options, section 3). All of them are without
/// effect if `-Z` is not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `ssl_chain_cert`
    pub chain_cert: Option<String>,
    /// `ssl_key`
    pub key: Option<String>,
    /// `ssl_keyformat`, 1 or 2 if it is one.
    pub key_format: i64,
    /// `ssl_verify_mode`, 0 to 3.
    pub verify_mode: i64,
    /// `ssl_ca_cert`
    pub ca_cert: Option<String>,
    /// `ssl_ciphers`
    pub ciphers: Option<String>,
    /// `ssl_wbuf_size` in KiB.
    pub write_kib: i64,
    /// `ssl_session_cache`
    pub session_cache: bool,
    /// `ssl_kernel_tls`
    pub kernel_tls: bool,
    /// `ssl_min_version`, 0 to 3.
    pub min_version: i64,
    /// `ssl_handshake_timeout` in seconds.
    pub handshake_secs: i64,
    /// Whether any of them was given.
    pub is_given: bool,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            chain_cert: None,
            key: None,
            key_format: 1,
            verify_mode: 0,
            ca_cert: None,
            ciphers: None,
            write_kib: 16,
            session_cache: false,
            kernel_tls: false,
            min_version: 2,
            handshake_secs: crate::limits::TLS_HANDSHAKE_SECS.into(),
            is_given: false,
        }
    }
}

impl Tls {
    /// Takes an option that has been checked; others are left alone.
    pub(super) fn set(&mut self, name: &str, number: i64, text: Option<&str>) {
        self.is_given |= name.starts_with("ssl_");
        let text = || text.map(str::to_owned);
        match name {
            "ssl_chain_cert" => self.chain_cert = text(),
            "ssl_key" => self.key = text(),
            "ssl_keyformat" => self.key_format = number,
            "ssl_verify_mode" => self.verify_mode = number,
            "ssl_ca_cert" => self.ca_cert = text(),
            "ssl_ciphers" => self.ciphers = text(),
            "ssl_wbuf_size" => self.write_kib = number,
            "ssl_session_cache" => self.session_cache = true,
            "ssl_kernel_tls" => self.kernel_tls = true,
            "ssl_min_version" => self.min_version = number,
            "ssl_handshake_timeout" => self.handshake_secs = number,
            _ => {}
        }
    }
}
