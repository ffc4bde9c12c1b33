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
    assert!(discovery.set(b"3\nz|10.0.0.9|1\n"));
    (0..2).for_each(|_| discovery.refresh_if_changed());
    assert_eq!(told(&discovery), "3\nz|10.0.0.9|1\n");
    assert!(!discovery.set(b"4\nz"));
    assert_eq!(told(&discovery), "3\nz|10.0.0.9|1\n");
    // Above what was there before, though the file names no other.
    file.write("5 a||1 b||1");
    discovery.refresh();
    assert_eq!(told(&discovery), "6\na||1 b||1\n");
    assert!(discovery.set(b"40\nz||1"));
    file.write("5 a||1");
    discovery.refresh();
    assert_eq!(told(&discovery), "41\na||1\n");
    assert!(discovery.delete() && !discovery.delete());
    assert_eq!(told(&discovery), "");
    discovery.refresh();
    assert_eq!(told(&discovery), "42\na||1\n");
}

/// There is always a higher version for the next change.
#[test]
fn no_client_can_use_up_the_versions() {
    let file = Temporary::with("highest", "a||1");
    let discovery = Discovery::open(&file.0).expect("a list");
    let highest = 1u64 << 53;
    assert!(!discovery.set(format!("{}\nz||1\n", highest + 1).as_bytes()));
    assert!(discovery.set(format!("{highest}\nz||1\n").as_bytes()));
    for (next, text) in (1..).zip(["b||1", "7 c||1", "b||1"]) {
        file.write(text);
        discovery.refresh();
        assert!(told(&discovery).starts_with(&format!("{}\n", highest + next)), "{text}");
    }
}

#[test]
fn what_clients_make_the_log_have_is_bounded() {
    let discovery = Discovery::fixed(b"1\na||1").expect("a list");
    let said = |discovery: &Discovery| {
        let state = discovery.state.lock();
        (CLUSTER_LINES_PER_LOOK - state.lines_left, state.unsaid)
    };
    (0..2).for_each(|_| assert!(discovery.set(b"2\nb||1") && !discovery.set(b"nothing")));
    assert_eq!(said(&discovery), (4, 0));
    assert!(discovery.delete() && !discovery.delete());
    (0..100).for_each(|_| assert!(!discovery.set(b"nothing")));
    assert_eq!(said(&discovery), (CLUSTER_LINES_PER_LOOK, 105 - u64::from(CLUSTER_LINES_PER_LOOK)));
    discovery.refresh_if_changed();
    assert_eq!(said(&discovery), (0, 0));
}

#[test]
fn few_lists_are_on_their_way_at_a_time() {
    let discovery = Discovery::fixed(b"1\na||1").expect("a list");
    let mut places: Vec<Place> =
        (0..CLUSTER_UPLOADS_MAX).filter_map(|_| discovery.place()).collect();
    assert!(places.len() == CLUSTER_UPLOADS_MAX && discovery.place().is_none());
    places.pop();
    assert!(discovery.place().is_some());
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
