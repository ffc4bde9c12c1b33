//! The elements of `-l` (options, section 4).
#![forbid(unsafe_code)]

use crate::server::{Encryption, Listen};
use crate::session::Protocol;

/// Why a list cannot be listened on, in memcached's words.
type Complaint = String;

/// Reads a list of elements with `,` or `;` between them. Empty elements are skipped.
pub(super) fn parse_list(list: &str, has_tls: bool) -> Result<Vec<Listen>, Complaint> {
    let elements = list.split([',', ';']).filter(|element| !element.is_empty());
    elements.map(|element| parse(element, has_tls)).collect()
}

/// Reads `[notls:|btls:|mtls:][proto[NAME]:][tag[NAME]:|tag_NAME_:]HOST[:PORT]`.
fn parse(element: &str, has_tls: bool) -> Result<Listen, Complaint> {
    let (encryption, element) = after_encryption(element, has_tls)?;
    let (protocol, rest) = after_protocol(element)?;
    let (host, port) = host_and_port(after_tag(rest)?)?;
    Ok(Listen { host: host.to_owned(), port, protocol, encryption })
}

/// Takes `notls:`, `btls:` or `mtls:` off. Without TLS there is nothing to switch off or to choose, and a
/// listener that was meant to be encrypted must not open in the clear, however its prefix is written.
/// memcached's third message lacks its m as well.
fn after_encryption(element: &str, has_tls: bool) -> Result<(Encryption, &str), Complaint> {
    for (prefix, named, encryption) in [
        ("notls", "notls", Encryption::Off),
        ("btls", "btls", Encryption::NoPeer),
        ("mtls", "otls", Encryption::Peer),
    ] {
        match element.strip_prefix(prefix) {
            Some(_) if !has_tls => {
                return Err(format!("'{named}' option is valid only when SSL is enabled"));
            }
            Some(rest) if rest.starts_with(':') => return Ok((encryption, &rest[1..])),
            _ => {}
        }
    }
    Ok((Encryption::AsServer, element))
}

/// Takes `proto[NAME]:` off. A beginning of a name will do, as in memcached.
fn after_protocol(element: &str) -> Result<(Option<Protocol>, &str), Complaint> {
    let Some(spec) = element.strip_prefix("proto[") else { return Ok((None, element)) };
    let Some((name, rest)) = spec.split_once(']') else {
        return Err(format!("Invalid protocol spec: \"[{spec}\""));
    };
    let protocol = if "ascii".starts_with(name) {
        Protocol::Ascii
    } else if "binary".starts_with(name) {
        Protocol::Binary
    } else if "negotiating".starts_with(name) {
        Protocol::Auto
    } else if "proxy".starts_with(name) {
        return Err(format!("Server not built with proxy: \"{element}\""));
    } else {
        return Err(format!("Invalid protocol spec: \"[{spec}\""));
    };
    Ok((Some(protocol), rest.strip_prefix(':').unwrap_or(rest)))
}

/// Takes `tag[NAME]:` or `tag_NAME_:` off. A host name may begin with `tag`, too.
fn after_tag(element: &str) -> Result<&str, Complaint> {
    let (spec, end) = match element.strip_prefix("tag") {
        Some(spec) if spec.starts_with('[') => (spec, ']'),
        Some(spec) if spec.starts_with('_') => (spec, '_'),
        _ => return Ok(element),
    };
    let Some((name, rest)) = spec[1..].split_once(end) else {
        return Err(format!("Invalid tag in socket config: \"{spec}\""));
    };
    if !(1..=TAG_LEN_MAX).contains(&name.len()) {
        return Err(format!("Listener tags must be between 1 and 8 characters: \"{name}\""));
    }
    Ok(rest.strip_prefix(':').unwrap_or(rest))
}

/// Longest listener tag in bytes.
const TAG_LEN_MAX: usize = 8;

/// Splits `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or an IPv6 address without brackets, which
/// cannot have a port.
fn host_and_port(text: &str) -> Result<(&str, Option<u16>), Complaint> {
    let (host, port) = if let Some(inner) = text.strip_prefix('[') {
        let Some((host, rest)) = inner.split_once(']') else {
            return Err(format!("Invalid IPV6 address: \"{text}\""));
        };
        match rest.strip_prefix(':') {
            None if !rest.is_empty() => return Err(format!("Invalid IPV6 address: \"{text}\"")),
            port => (host, port),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        }
    };
    if host.is_empty() {
        return Err(format!("No address in front of the port: \"{text}\" (* is all addresses)"));
    }
    let port = port.map(parse_port).transpose()?;
    Ok((host, port))
}

/// A port of an element; 0 and -1 are any free one.
fn parse_port(text: &str) -> Result<u16, Complaint> {
    match text.trim() {
        "-1" => Ok(0),
        text => text.parse().map_err(|_| format!("Invalid port number: \"{text}\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, expected: &[(&str, Option<u16>)]) {
        let read =
            parse_list(list, false).unwrap_or_else(|complaint| panic!("{list}: {complaint}"));
        let read: Vec<_> = read.iter().map(|one| (one.host.as_str(), one.port)).collect();
        assert_eq!(read, expected, "{list}");
    }

    #[track_caller]
    fn check_refused(list: &str, complaint: &str) {
        assert_eq!(parse_list(list, false).expect_err(list), complaint, "{list}");
    }

    #[test]
    fn hosts_and_ports_section_4() {
        check("", &[]);
        check("127.0.0.1", &[("127.0.0.1", None)]);
        check("127.0.0.1:5", &[("127.0.0.1", Some(5))]);
        check("*", &[("*", None)]);
        check("*:0", &[("*", Some(0))]);
        check("localhost:-1", &[("localhost", Some(0))]);
        check("::1", &[("::1", None)]);
        check("[::1]", &[("::1", None)]);
        check("[::1]:65535", &[("::1", Some(65535))]);
        check("a,b:1;c,,", &[("a", None), ("b", Some(1)), ("c", None)]);
    }

    #[test]
    fn protocols_and_tags_section_4() {
        check("proto[ascii]:h:1", &[("h", Some(1))]);
        check("proto[neg]:h", &[("h", None)]);
        check("proto[ascii]:tag[abc]:h:1", &[("h", Some(1))]);
        check("tag_tools_:[::1]:1", &[("::1", Some(1))]);
        check("tagged.example:1", &[("tagged.example", Some(1))]);
        check("proto.example", &[("proto.example", None)]);
        let listed = parse_list("h,proto[a]:h,proto[bin]:tag[x]:h:1,proto[negotiating]:h", false);
        let protocols: Vec<_> = listed.expect("fine").iter().map(|one| one.protocol).collect();
        let named = [Protocol::Ascii, Protocol::Binary, Protocol::Auto].map(Some);
        assert_eq!(protocols, [&[None], &named[..]].concat());
    }

    #[test]
    fn encryption_section_4() {
        let list = "notls:h:1,btls:[::1]:2,mtls:proto[ascii]:h,h,notls.example:4";
        let listed = parse_list(list, true).expect("fine");
        let read: Vec<_> =
            listed.iter().map(|one| (one.encryption, one.host.as_str(), one.port)).collect();
        let wanted = [
            (Encryption::Off, "h", Some(1)),
            (Encryption::NoPeer, "::1", Some(2)),
            (Encryption::Peer, "h", None),
            (Encryption::AsServer, "h", None),
            (Encryption::AsServer, "notls.example", Some(4)),
        ];
        assert_eq!(read, wanted);
        assert_eq!(listed[2].protocol, Some(Protocol::Ascii));
    }

    #[test]
    fn complaints_section_4() {
        check_refused("notls:h:1", "'notls' option is valid only when SSL is enabled");
        check_refused("h,btls:h:1", "'btls' option is valid only when SSL is enabled");
        check_refused("mtls:h:1", "'otls' option is valid only when SSL is enabled");
        check_refused("proto[ascii:h", "Invalid protocol spec: \"[ascii:h\"");
        check_refused("proto[http]:h", "Invalid protocol spec: \"[http]:h\"");
        check_refused("proto[proxy]:h", "Server not built with proxy: \"proto[proxy]:h\"");
        check_refused("tag[abc:h", "Invalid tag in socket config: \"[abc:h\"");
        check_refused("tag[]:h", "Listener tags must be between 1 and 8 characters: \"\"");
        check_refused(
            "tag_123456789_:h",
            "Listener tags must be between 1 and 8 characters: \"123456789\"",
        );
        check_refused("h:x", "Invalid port number: \"x\"");
        check_refused("h:65536", "Invalid port number: \"65536\"");
        check_refused("h:", "Invalid port number: \"\"");
        check_refused("[::1", "Invalid IPV6 address: \"[::1\"");
        check_refused("[::1]5", "Invalid IPV6 address: \"[::1]5\"");
        check_refused(":5", "No address in front of the port: \":5\" (* is all addresses)");
    }
}
