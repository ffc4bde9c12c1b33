//! The crate `memcache`, over the text and the binary protocol.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use memcache::Client;

use crate::harness::{OUR_VERSION, Server, together};

/// Does what users do with it, over one protocol.
fn use_it(protocol: &str) {
    let _turn = together();
    let server = Server::start(&[]);
    let url = format!("memcache://127.0.0.1:{}?timeout=10&protocol={protocol}", server.port());
    let client = Client::connect(url.as_str()).expect("connected");

    let versions = client.version().expect("a version");
    assert_eq!(versions[0].1, OUR_VERSION);

    client.set("text", "a value", 0).expect("set");
    assert_eq!(client.get("text").expect("get"), Some("a value".to_owned()));
    assert_eq!(client.get::<String>("nope").expect("get"), None);
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    client.set("large", bytes.as_slice(), 0).expect("set");
    assert_eq!(client.get::<Vec<u8>>("large").expect("get"), Some(bytes));

    // The crate tells of a refusal over one protocol and not over the other.
    let _added = client.add("text", "other", 0);
    let _replaced = client.replace("nope", "other", 0);
    assert_eq!(client.get::<String>("nope").expect("get"), None);
    client.append("text", "!").expect("append");
    client.prepend("text", ">").expect("prepend");
    assert_eq!(client.get("text").expect("get"), Some(">a value!".to_owned()));

    let found: HashMap<String, (Vec<u8>, u32, Option<u64>)> =
        client.gets(&["text", "nope", "large"]).expect("gets");
    assert_eq!(found.len(), 2);
    let unique = found["text"].2.expect("a unique");
    assert!(client.cas("text", "compared", 0, unique).expect("cas"));
    assert!(!client.cas("text", "late", 0, unique).expect("cas"));

    client.set("count", 40, 0).expect("set");
    assert_eq!(client.increment("count", 2).expect("incr"), 42);
    assert_eq!(client.decrement("count", 50).expect("decr"), 0);

    assert!(client.touch("count", 1000).expect("touch"));
    assert!(client.delete("count").expect("delete"));
    assert!(!client.delete("count").expect("delete"));
    client.flush().expect("flush");
    assert_eq!(client.get::<String>("text").expect("get"), None);
}

#[test]
fn over_text() {
    use_it("ascii");
}

#[test]
fn over_binary() {
    use_it("binary");
}
