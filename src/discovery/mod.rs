//! The nodes of a cluster, for clients that ask any one of them for all (ElastiCache's auto discovery).
//!
//! They stand in a file, which is read again when it changes; a client with the right to may put others
//! in their place until it does. Clients tell a newer list by its version, so that never falls by itself: not
//! when the file changes, not when the server starts again, where it is that of the file.
#![forbid(unsafe_code)]

mod nodes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::file::{self, Stamp};
use crate::limits::CLUSTER_BYTES_MAX;
use nodes::{Node, Version};

pub use nodes::Nodes;

/// The key of the list, in the commands that are about it.
pub const KEY: &[u8] = b"cluster";

/// The item that clients ask for that do not know those commands.
pub const ITEM_KEY: &[u8] = b"AmazonElastiCache:cluster";

/// The list that is served, and the file that it comes from.
#[derive(Debug)]
pub struct Discovery {
    /// By a name that a change of directory does not change; None: there is no file.
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// None: it was deleted.
    nodes: Option<Arc<Nodes>>,
    /// Highest that was served.
    version: Version,
    /// Of the file when it was last read, whatever came of it.
    read: Option<Stamp>,
    /// Of the file at the last look.
    seen: Option<Stamp>,
}

impl Discovery {
    /// Reads the file. `Err`: the line for a person that says what is wrong with it.
    pub fn open(path: &Path) -> Result<Discovery, String> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let stamp = file::stamp(&path);
        let (named, list) = load(&path)?;
        let version = named.unwrap_or_else(|| modified(stamp));
        let nodes = Some(Arc::new(Nodes::new(version, list)));
        let state = State { nodes, version, read: stamp, seen: stamp };
        Ok(Discovery { path: Some(path), state: Mutex::new(state) })
    }

    /// A list without a file, which clients alone can change.
    pub fn fixed(text: &[u8]) -> Result<Discovery, String> {
        let nodes = Nodes::sent(text)?;
        let version = nodes.version();
        let state = State { nodes: Some(Arc::new(nodes)), version, read: None, seen: None };
        Ok(Discovery { path: None, state: Mutex::new(state) })
    }

    /// What is served; None: nothing, since it was deleted.
    pub fn nodes(&self) -> Option<Arc<Nodes>> {
        self.state.lock().nodes.clone()
    }

    /// Serves what a client has sent, as it is, until the file changes: a version, a line feed, nodes with spaces
    /// between them. `Err`: what is wrong with it.
    pub fn set(&self, text: &[u8]) -> Result<(), String> {
        let nodes = Nodes::sent(text)?;
        log::info!("config set cluster: {nodes}");
        let mut state = self.state.lock();
        state.version = state.version.max(nodes.version());
        state.nodes = Some(Arc::new(nodes));
        Ok(())
    }

    /// Serves nothing until the file changes. Whether there was something.
    pub fn delete(&self) -> bool {
        let was_there = self.state.lock().nodes.take().is_some();
        if was_there {
            log::info!("config delete cluster: no nodes");
        }
        was_there
    }

    /// Reads the file anew. What comes of it is in the log; what is wrong changes nothing.
    pub fn refresh(&self) {
        if let Some(path) = &self.path {
            self.state.lock().refresh(path);
        }
    }

    /// Reads the file anew if it has changed and has been left alone since the last call, so that half of a
    /// change is not taken for all of it.
    pub fn refresh_if_changed(&self) {
        let Some(path) = &self.path else { return };
        let stamp = file::stamp(path);
        let mut state = self.state.lock();
        let is_at_rest = stamp == state.seen;
        state.seen = stamp;
        if is_at_rest && stamp != state.read {
            state.refresh(path);
        }
    }
}

impl State {
    fn refresh(&mut self, path: &Path) {
        self.read = file::stamp(path);
        match load(path) {
            Ok((named, list)) => {
                let nodes = self.follow(named, list);
                log::info!("{}: {nodes}", path.display());
                self.version = nodes.version();
                self.nodes = Some(Arc::new(nodes));
            }
            Err(error) => log::error!("{error} (the nodes in use stay)"),
        }
    }

    /// What the file says now. Other nodes than before have a version above all before.
    fn follow(&self, named: Option<Version>, list: Vec<Node>) -> Nodes {
        let is_same = self.nodes.as_ref().is_some_and(|nodes| nodes.list() == list);
        let version = match named {
            Some(named) if named > self.version => named,
            _ if is_same => self.version,
            Some(named) => {
                log::warn!(
                    "version {named} is not above {}, and the nodes are others",
                    self.version
                );
                self.version.next()
            }
            None => self.version.next().max(modified(self.read)),
        };
        Nodes::new(version, list)
    }
}

/// What is in the file, with its version if it names one.
fn load(path: &Path) -> Result<(Option<Version>, Vec<Node>), String> {
    let text = file::read(path, CLUSTER_BYTES_MAX as u64).map_err(|error| error.to_string());
    text.and_then(|text| nodes::read(&text)).map_err(|error| format!("{}: {error}", path.display()))
}

/// The version of a file that names none: its time of change, in Unix seconds.
fn modified(stamp: Option<Stamp>) -> Version {
    Version::of_secs(stamp.map_or(0, |stamp| stamp.modified_secs()))
}

#[cfg(test)]
mod tests;
