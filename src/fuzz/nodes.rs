//! Lists of nodes, as files have them and as clients send them.
#![forbid(unsafe_code)]

use crate::discovery::Discovery;

/// What is taken is told so that clients which split it find as many nodes as were counted; sent again, it is
/// the same.
pub fn nodes(data: &[u8]) {
    let Ok(discovery) = Discovery::fixed(data) else { return };
    let nodes = discovery.nodes().expect("a list");
    let text = std::str::from_utf8(nodes.text()).expect("a text");
    let lines: Vec<&str> = text.split('\n').collect();
    let [version, list, ""] = lines[..] else { panic!("{text:?}") };
    assert_eq!(version, nodes.version_text());
    assert_eq!(list.split(' ').count(), nodes.count());
    assert!(list.split(' ').all(|node| node.split('|').count() == 3));
    let other = Discovery::fixed(b"1\na||1").expect("a list");
    assert!(other.set(nodes.text()));
    assert_eq!(other.nodes().map(|other| other.text() == nodes.text()), Some(true));
}
