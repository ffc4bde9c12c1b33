//! The names that a client's certificate gives to its owner.
#![forbid(unsafe_code)]

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// The names in a certificate, each once: those of its subjectAltName that are DNS names, URIs or
/// mail addresses, then the common names of its subject. Empty if it cannot be read.
pub(super) fn of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else { return Vec::new() };
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        // A zero in a name is there to deceive who reads names as C does.
        if !name.is_empty() && !name.contains('\0') && !names.iter().any(|other| other == name) {
            names.push(name.to_owned());
        }
    };
    if let Ok(Some(alternatives)) = parsed.subject_alternative_name() {
        for name in &alternatives.value.general_names {
            if let GeneralName::DNSName(name)
            | GeneralName::URI(name)
            | GeneralName::RFC822Name(name) = name
            {
                add(name);
            }
        }
    }
    for name in parsed.subject().iter_common_name() {
        if let Ok(name) = name.as_str() {
            add(name);
        }
    }
    names
}
