//! `--cluster-file` over sockets: files that change under clients, and files that are none.
#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::client::Client;
use crate::harness::{PATIENCE, Scratch, Server, together, wait_for};

/// A file of nodes, and a server that reads it.
fn serving(text: &str, options: &[&str]) -> (Scratch, PathBuf, Server) {
    let dir = Scratch::new();
    let file = dir.path("cluster");
    fs::write(&file, text).expect("scratch file");
    let name = file.display().to_string();
    let server = Server::start(&[&["--cluster-file", &name], options].concat());
    (dir, file, server)
}

/// Puts another file in place, whole.
fn replace(file: &PathBuf, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).expect("scratch file");
    fs::rename(new, file).expect("the same folder");
}

/// What `config get cluster` shows: version and nodes.
fn nodes(client: &mut Client) -> (u64, String) {
    client.send("config get cluster\r\n");
    let lines = client.lines_until("END");
    assert!(lines[0].starts_with("CONFIG cluster 0 "), "{lines:?}");
    let text = lines[1].trim_end().to_owned();
    let (version, nodes) = text.split_once('\n').unwrap_or((&text, lines[2].trim_end()));
    (version.parse().expect("a number"), nodes.to_owned())
}

#[test]
fn a_changed_file_is_served_with_a_higher_version() {
    let _turn = together();
    let (_dir, file, server) = serving("a||1\nb||2\n", &["-t", "2"]);
    let mut client = server.connect();
    let (first, list) = nodes(&mut client);
    assert_eq!(list, "a||1 b||2");
    replace(&file, "a||1\nb||2\nc||3\n");
    let second = wait_for("the third node", PATIENCE, || {
        let (version, list) = nodes(&mut client);
        (list == "a||1 b||2 c||3").then_some(version)
    });
    assert!(second > first, "{second} after {first}");
    // What is wrong with it is in the log, and what was served stays.
    replace(&file, "a||1\nb\n");
    wait_for("a complaint", PATIENCE, || {
        server
            .log()
            .contains("cluster: line 2: not host|ip|port: b (the nodes in use stay)")
            .then_some(())
    });
    assert_eq!(nodes(&mut client), (second, "a||1 b||2 c||3".to_owned()));
    fs::remove_file(&file).expect("it is there");
    server.signal(Signal::SIGHUP);
    wait_for("a complaint", PATIENCE, || {
        server.log().contains("No such file or directory").then_some(())
    });
    assert_eq!(nodes(&mut client).0, second);
    replace(&file, "d||4");
    server.signal(Signal::SIGHUP);
    wait_for("the fourth node", PATIENCE, || (nodes(&mut client).1 == "d||4").then_some(()));
    assert_eq!(client.stat("curr_items").as_deref(), Some("0"));
    client.send("stats settings\r\n");
    assert!(client.lines_until("END").iter().any(|line| line.trim_end() == "STAT cluster_nodes 1"));
}

/// All threads serve what one of them was sent, until the file changes.
#[test]
fn what_a_client_sends_is_served_to_all() {
    let _turn = together();
    let (_dir, file, server) = serving("5\na||1\n", &["-t", "4"]);
    let mut clients: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    clients[0].ask("config set cluster 0 8\r\n9\nz||26\n\r\n", "STORED\r\n");
    for client in &mut clients {
        client.ask("config get cluster\r\n", "CONFIG cluster 0 8\r\n9\nz||26\n\r\nEND\r\n");
    }
    replace(&file, "5\na||1\nb||1\n");
    for client in &mut clients {
        wait_for("the file", PATIENCE, || {
            (nodes(client) == (10, "a||1 b||1".to_owned())).then_some(())
        });
    }
}

/// A server that could not say where its nodes are does not start.
#[test]
fn files_that_are_none() {
    let _turn = together();
    let dir = Scratch::new();
    let file = dir.path("cluster");
    for (text, complaint) in [
        (None, "No such file or directory"),
        (Some(""), "no nodes in it"),
        (Some("a||1\nlocalhost:11211\n"), "line 2: not host|ip|port: localhost:11211"),
    ] {
        if let Some(text) = text {
            fs::write(&file, text).expect("scratch file");
        }
        let output = Command::new(env!("CARGO_BIN_EXE_nuthatch"))
            .args(["-p", "-1", "--cluster-file", &file.display().to_string()])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains(&format!("{}: {complaint}", file.display())), "{said}");
    }
}
