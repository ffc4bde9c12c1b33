//! OpenSSL's lists of cipher suites (`-o ssl_ciphers`), as far as they name what there is here.
//!
//! As in memcached a list says which suites of TLS 1.2 may be used; those of TLS 1.3 are not in question.
#![forbid(unsafe_code)]

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite as suite;

/// A suite of TLS 1.2 with OpenSSL's name, and the words that stand for groups it belongs to.
struct Known {
    name: &'static str,
    standard_name: &'static str,
    words: &'static [&'static str],
    suite: SupportedCipherSuite,
}

/// Words for all of them.
const ALL: &[&str] =
    &["ALL", "DEFAULT", "HIGH", "TLSv1.2", "ECDHE", "EECDH", "kECDHE", "kEECDH", "AEAD"];

const KNOWN: &[Known] = &[
    Known {
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        standard_name: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        words: &["ECDSA", "aECDSA", "AES", "AES256", "AESGCM"],
        suite: suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    },
    Known {
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        standard_name: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        words: &["aRSA", "AES", "AES256", "AESGCM"],
        suite: suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    },
    Known {
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        standard_name: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        words: &["ECDSA", "aECDSA", "CHACHA20"],
        suite: suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    },
    Known {
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        standard_name: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        words: &["aRSA", "CHACHA20"],
        suite: suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    },
    Known {
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        standard_name: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        words: &["ECDSA", "aECDSA", "AES", "AES128", "AESGCM"],
        suite: suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    },
    Known {
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        standard_name: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        words: &["aRSA", "AES", "AES128", "AESGCM"],
        suite: suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    },
];

impl Known {
    /// Whether `element`, words with `+` between them, stands for this suite.
    fn is_meant(&self, element: &str) -> bool {
        element.split('+').all(|word| {
            word == self.name
                || word == self.standard_name
                || ALL.contains(&word)
                || self.words.contains(&word)
        })
    }
}

/// The suites of TLS 1.2 that `list` names, in its order; empty: none that there is.
///
/// `!` strikes suites out for good, `-` until they are named again, `+` puts them to the end. What
/// names nothing that there is has no effect, as in OpenSSL.
pub(super) fn parse(list: &str) -> Vec<SupportedCipherSuite> {
    let mut chosen: Vec<&Known> = Vec::new();
    let mut barred: Vec<&str> = Vec::new();
    for element in list.split([':', ',', ' ', ';']).filter(|element| !element.is_empty()) {
        let (sign, element) = match element.split_at_checked(1) {
            Some((sign @ ("!" | "-" | "+"), rest)) => (sign, rest),
            _ => ("", element),
        };
        let is_meant = |known: &Known| known.is_meant(element);
        match sign {
            "!" => {
                barred.extend(KNOWN.iter().filter(|known| is_meant(known)).map(|known| known.name));
                chosen.retain(|known| !is_meant(known));
            }
            "-" => chosen.retain(|known| !is_meant(known)),
            "+" => chosen.sort_by_key(|known| is_meant(known)),
            _ => {
                for known in KNOWN.iter().filter(|known| is_meant(known)) {
                    let is_new = chosen.iter().all(|other| other.name != known.name);
                    if is_new && !barred.contains(&known.name) {
                        chosen.push(known);
                    }
                }
            }
        }
    }
    chosen.into_iter().map(|known| known.suite).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, names: &[&str]) {
        let name_of = |suite: SupportedCipherSuite| {
            KNOWN.iter().find(|known| known.suite == suite).expect("a known one").name
        };
        let read: Vec<&str> = parse(list).into_iter().map(name_of).collect();
        assert_eq!(read, names, "{list}");
    }

    #[test]
    fn names_and_groups() {
        let all: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
        for list in ["ALL", "DEFAULT", "HIGH", "ECDHE", "HIGH:!aNULL:!MD5:!RC4", "DEFAULT@SECLEVEL"]
        {
            let is_all = !list.contains('@');
            check(list, if is_all { &all } else { &[] });
        }
        check("ECDHE-RSA-AES128-GCM-SHA256", &["ECDHE-RSA-AES128-GCM-SHA256"]);
        check(
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256",
            &["ECDHE-RSA-AES128-GCM-SHA256"],
        );
        check("CHACHA20+aRSA:AES128-SHA", &["ECDHE-RSA-CHACHA20-POLY1305"]);
        check(
            "ECDHE+AESGCM:!ECDSA:ECDSA",
            &["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"],
        );
        check(
            "aRSA:-AESGCM:AES128:+CHACHA20",
            &[
                "ECDHE-ECDSA-AES128-GCM-SHA256",
                "ECDHE-RSA-AES128-GCM-SHA256",
                "ECDHE-RSA-CHACHA20-POLY1305",
            ],
        );
    }

    #[test]
    fn nothing_that_there_is() {
        for list in ["", ":", "FOO", "AES128-SHA", "kRSA", "ALL:!ALL", "!", "é"] {
            check(list, &[]);
        }
    }
}
