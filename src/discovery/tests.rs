//! Files that change, and lists that clients send.

use std::fs;
use std::path::PathBuf;

use super::*;

/// A file that goes away with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn with(name: &str, text: &str) -> Temporary {
        let file = format!("nuthatch-cluster-{name}-{}", std::process::id());
        let temporary = Temporary(std::env::temp_dir().join(file));
        temporary.write(text);
        temporary
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).expect("a temporary file");
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

fn told(discovery: &Discovery) -> String {
    discovery
        .nodes()
        .map_or(String::new(), |nodes| String::from_utf8(nodes.text().to_vec()).expect("a text"))
}

#[test]
fn versions_rise_with_the_nodes() {
    let file = Temporary::with("versions", "7\na||1");
    let discovery = Discovery::open(&file.0).expect("a list");
    let change = |text: &str, expected: &str| {
        file.write(text);
        discovery.refresh();
        assert_eq!(told(&discovery), expected, "{text:?}");
    };
    change("7\na||1\n# the same", "7\na||1\n");
    change("8\na||1", "8\na||1\n");
    change("6\na||1", "8\na||1\n");
    change("6\nb||1", "9\nb||1\n");
    change("20\nb||1", "20\nb||1\n");
    change("nonsense", "20\nb||1\n");
    change("", "20\nb||1\n");
    change("b||1 a||1", "0\nb||1 a||1\n".replace("0\n", &format!("{}\n", secs(&file))).as_str());
}

fn secs(file: &Temporary) -> i64 {
    file::stamp(&file.0).expect("it is there").modified_secs()
}

#[test]
fn without_one_of_its_own_a_file_has_the_version_of_its_time() {
    let file = Temporary::with("time", "a||1");
    let discovery = Discovery::open(&file.0).expect("a list");
    let first = secs(&file);
    assert_eq!(told(&discovery), format!("{first}\na||1\n"));
    // Within the same second, or a later one.
    file.write("b||1");
    discovery.refresh();
    assert_eq!(told(&discovery), format!("{}\nb||1\n", secs(&file).max(first + 1)));
    discovery.refresh();
    assert_eq!(told(&discovery), format!("{}\nb||1\n", secs(&file).max(first + 1)));
}

#[test]
fn a_change_is_read_when_the_file_is_left_alone() {
    let file = Temporary::with("rest", "1 a||1");
    let discovery = Discovery::open(&file.0).expect("a list");
    discovery.refresh_if_changed();
    file.write("2 a||1 b||2");
    discovery.refresh_if_changed();
    assert_eq!(told(&discovery), "1\na||1\n");
    file.write("3 a||1 b||2 c||3");
    discovery.refresh_if_changed();
    assert_eq!(told(&discovery), "1\na||1\n");
    discovery.refresh_if_changed();
    assert_eq!(told(&discovery), "3\na||1 b||2 c||3\n");
    // One that goes away takes nothing with it.
    fs::remove_file(&file.0).expect("it is there");
    (0..3).for_each(|_| discovery.refresh_if_changed());
    assert_eq!(told(&discovery), "3\na||1 b||2 c||3\n");
    file.write("4 d||1");
    (0..2).for_each(|_| discovery.refresh_if_changed());
    assert_eq!(told(&discovery), "4\nd||1\n");
}

#[test]
fn what_a_client_sends_stands_until_the_file_changes() {
    let file = Temporary::with("sent", "5 a||1");
    let discovery = Discovery::open(&file.0).expect("a list");
    discovery.set(b"3\nz|10.0.0.9|1\n").expect("a list");
    (0..2).for_each(|_| discovery.refresh_if_changed());
    assert_eq!(told(&discovery), "3\nz|10.0.0.9|1\n");
    assert_eq!(discovery.set(b"4\nz").unwrap_err(), "line 2: not host|ip|port: z");
    assert_eq!(told(&discovery), "3\nz|10.0.0.9|1\n");
    // Above what was there before, though the file names no other.
    file.write("5 a||1 b||1");
    discovery.refresh();
    assert_eq!(told(&discovery), "6\na||1 b||1\n");
    discovery.set(b"40\nz||1").expect("a list");
    file.write("5 a||1");
    discovery.refresh();
    assert_eq!(told(&discovery), "41\na||1\n");
    assert!(discovery.delete() && !discovery.delete());
    assert_eq!(told(&discovery), "");
    discovery.refresh();
    assert_eq!(told(&discovery), "42\na||1\n");
}

#[test]
fn what_is_wrong_with_a_file_names_it() {
    let file = Temporary::with("wrong", "a||1\nb");
    let name = file.0.display();
    let error = Discovery::open(&file.0).unwrap_err();
    assert_eq!(error, format!("{name}: line 2: not host|ip|port: b"));
    file.write(&"#".repeat(CLUSTER_BYTES_MAX + 1));
    assert!(Discovery::open(&file.0).unwrap_err().starts_with(&format!("{name}: ")));
    let missing = file.0.with_extension("missing");
    let error = Discovery::open(&missing).unwrap_err();
    assert!(error.contains("No such file"), "{error}");
}
