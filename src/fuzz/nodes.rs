//! Lists of nodes, as files have them and as clients send them.
#![forbid(unsafe_code)]

use crate::discovery::Discovery;

/// What is taken from a client is told as it is, and clients that split it find as many nodes as were counted.
pub fn nodes(data: &[u8]) {
    let Ok(discovery) = Discovery::fixed(data) else { return };
    let nodes = discovery.nodes().expect("a list");
    assert_eq!(nodes.text(), data);
    let text = std::str::from_utf8(data).expect("a text");
    let mut lines = text.lines();
    let version: u64 =
        lines.next().and_then(|line| line.trim_end().parse().ok()).expect("a version");
    assert_eq!(version.to_string(), nodes.version_text());
    let list: Vec<&str> = lines.next().expect("nodes").trim_end().split(' ').collect();
    assert_eq!(list.len(), nodes.count());
    assert!(list.iter().all(|node| node.split('|').count() == 3));
    // Set where another is, it is the same.
    let other = Discovery::fixed(b"1\na||1").expect("a list");
    assert!(other.set(data));
    assert_eq!(other.nodes().map(|nodes| nodes.text().to_vec()).as_deref(), Some(data));
}
