//! A list of nodes with its version: as a file has it, and as clients are told of it.
#![forbid(unsafe_code)]

use core::net::IpAddr;
use std::collections::HashSet;
use std::fmt;

use crate::limits::CLUSTER_NODES_MAX;

/// Longest name of a host (RFC 1035).
const HOST_LEN_MAX: usize = 255;

/// Of a word that is none of a list, what is shown in the log.
const SHOWN_CHARS: usize = 80;

/// By what clients tell a newer list: a number that some of them read as signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u64);

impl Version {
    const MAX: Version = Version(i64::MAX as u64);

    /// Highest that is taken from a file or a client: no client rounds it (those that have all numbers as
    /// fractions), and there is room above it for every change to come.
    const GIVEN_MAX: Version = Version(1 << 53);

    /// That of a time in Unix seconds.
    pub(super) fn of_secs(secs: i64) -> Version {
        Version(u64::try_from(secs).unwrap_or(0))
    }

    pub(super) fn next(self) -> Version {
        Version(self.0 + 1).min(Version::MAX)
    }

    fn parse(text: &str) -> Option<Version> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let version = Version(text.parse().ok().filter(|_| is_number)?);
        (version <= Version::GIVEN_MAX).then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a node is, `host|ip|port`; without an address clients look the host up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node(String);

impl Node {
    fn parse(text: &str) -> Option<Node> {
        let mut parts = text.split('|');
        let (host, ip, port) = (parts.next()?, parts.next()?, parts.next()?);
        let is_host = (1..=HOST_LEN_MAX).contains(&host.len())
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
        let is_ip = ip.is_empty() || ip.parse::<IpAddr>().is_ok();
        let is_port =
            port.parse().is_ok_and(|number: u16| number > 0 && number.to_string() == port);
        (is_host && is_ip && is_port && parts.next().is_none()).then(|| Node(text.to_owned()))
    }

    /// By which clients tell it from others.
    fn host_and_port(&self) -> (&str, &str) {
        let (host, rest) = self.0.split_once('|').expect("three parts");
        (host, rest.rsplit('|').next().expect("three parts"))
    }
}

/// A list that is served.
#[derive(Debug)]
pub struct Nodes {
    version: Version,
    list: Vec<Node>,
    text: Vec<u8>,
}

impl Nodes {
    pub(super) fn new(version: Version, list: Vec<Node>) -> Nodes {
        let words: Vec<&str> = list.iter().map(|node| node.0.as_str()).collect();
        let text = format!("{version}\n{}\n", words.join(" ")).into_bytes();
        Nodes { version, list, text }
    }

    /// What a client has sent: a file's text that names its version. `Err`: what is wrong with it.
    pub(super) fn sent(text: &[u8]) -> Result<Nodes, String> {
        let (version, list) = read(text)?;
        Ok(Nodes::new(version.ok_or("no version")?, list))
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn list(&self) -> &[Node] {
        &self.list
    }

    /// What clients are told: the version, a line feed, the nodes with spaces between them, a line feed.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The version as `stats settings` shows it.
    pub fn version_text(&self) -> String {
        self.version.to_string()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }
}

/// For the log.
impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count();
        write!(f, "{count} node{}, version {}", if count == 1 { "" } else { "s" }, self.version)
    }
}

/// Reads the text of a file: nodes with white space between them, before them a version if there is to be one;
/// from `#` on a line is a comment. `Err`: the line and what is wrong with it.
pub(super) fn read(text: &[u8]) -> Result<(Option<Version>, Vec<Node>), String> {
    let text = std::str::from_utf8(text).map_err(|_| "not a text".to_owned())?;
    let (mut version, mut list, mut known) = (None, Vec::new(), HashSet::new());
    for (line, number) in text.lines().zip(1..) {
        let words = line.split('#').next().unwrap_or_default();
        for word in words.split_ascii_whitespace() {
            // A client may have sent it: nothing of it is for a terminal.
            let shown: String = word.chars().take(SHOWN_CHARS).collect();
            let fault =
                |what: &str| Err(format!("line {number}: {what}: {}", shown.escape_debug()));
            if let (None, true, Some(first)) = (version, list.is_empty(), Version::parse(word)) {
                version = Some(first);
                continue;
            }
            let Some(node) = Node::parse(word) else { return fault("not host|ip|port") };
            if list.len() == CLUSTER_NODES_MAX {
                return fault("too many nodes from here");
            }
            let (host, port) = node.host_and_port();
            if !known.insert((host.to_owned(), port.to_owned())) {
                return fault("twice there");
            }
            list.push(node);
        }
    }
    if list.is_empty() { Err("no nodes in it".to_owned()) } else { Ok((version, list)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, told: &str) {
        let (version, list) = read(text.as_bytes()).expect("a list");
        let nodes = Nodes::new(version.unwrap_or(Version(9)), list);
        assert_eq!(String::from_utf8_lossy(nodes.text()), told, "{text:?}");
    }

    #[test]
    fn files_become_what_clients_are_told() {
        check("a|10.0.0.1|11211", "9\na|10.0.0.1|11211\n");
        check("a||1\nb.example.com|::1|65535\n", "9\na||1 b.example.com|::1|65535\n");
        check(
            "# two\n\n 12 # version\r\na|10.0.0.1|1 b|10.0.0.2|1\r\n",
            "12\na|10.0.0.1|1 b|10.0.0.2|1\n",
        );
        check("3 a||1", "3\na||1\n");
        // As `config get cluster` shows it.
        check("12\na||1 b||2\n", "12\na||1 b||2\n");
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, why) in [
            ("", "no nodes in it"),
            ("# a||1", "no nodes in it"),
            ("7", "no nodes in it"),
            ("a||1 7", "line 1: not host|ip|port: 7"),
            ("7\n8\na||1", "line 2: not host|ip|port: 8"),
            ("9007199254740993 a||1", "line 1: not host|ip|port: 9007199254740993"),
            ("a||1\nb", "line 2: not host|ip|port: b"),
            ("a|1", "line 1: not host|ip|port: a|1"),
            ("a||1|", "line 1: not host|ip|port: a||1|"),
            ("|10.0.0.1|1", "line 1: not host|ip|port: |10.0.0.1|1"),
            ("a|b|1", "line 1: not host|ip|port: a|b|1"),
            ("a||0", "line 1: not host|ip|port: a||0"),
            ("a||65536", "line 1: not host|ip|port: a||65536"),
            ("a||+1", "line 1: not host|ip|port: a||+1"),
            ("a\u{e4}||1", "line 1: not host|ip|port: a\u{e4}||1"),
            ("a\u{1b}[2J||1", "line 1: not host|ip|port: a\\u{1b}[2J||1"),
            ("a||1 b||1 a|10.0.0.1|1", "line 1: twice there: a|10.0.0.1|1"),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap_err(), why, "{text:?}");
        }
        assert_eq!(read(b"\xff").unwrap_err(), "not a text");
        let long = format!("{}||1", "a".repeat(HOST_LEN_MAX + 1));
        assert!(read(long.as_bytes()).is_err() && read(&long.as_bytes()[1..]).is_ok());
        let many: String = (0..=CLUSTER_NODES_MAX).map(|n| format!("a{n}||1\n")).collect();
        assert!(read(many.as_bytes()).unwrap_err().contains("too many nodes from here"));
        assert!(read(many.split_once('\n').expect("lines").1.as_bytes()).is_ok());
    }

    /// Clients split what they are told at line feeds and spaces, and count.
    #[test]
    fn what_a_client_sends_is_told_in_the_form_that_all_take() {
        for text in
            ["1\na||1\n", "1\na||1", "1\r\na||1\r\n\r\n", "1 a||1", "1\n\na||1\n", "01\na||1 # a"]
        {
            assert_eq!(Nodes::sent(text.as_bytes()).expect(text).text(), b"1\na||1\n");
        }
        assert_eq!(Nodes::sent(b"12\na||1\nb||1").expect("a list").text(), b"12\na||1 b||1\n");
        for text in ["a||1\n", "1\n", "1\n#\na|1", "-1\na||1"] {
            assert!(Nodes::sent(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn versions_end() {
        assert_eq!(Version(7).next(), Version(8));
        assert_eq!(Version::MAX.next(), Version::MAX);
        assert_eq!(Version::of_secs(-1), Version(0));
    }
}
