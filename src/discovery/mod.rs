//! The nodes of a cluster, for clients that ask any one of them for all (ElastiCache's auto discovery).
//!
//! They stand in a file, which is read again when it changes; a client with the right to may put others
//! in their place until it does. Clients tell a newer list by its version, so that never falls while the server
//! runs but by a client's word; where it starts again it is that of the file.
#![forbid(unsafe_code)]

mod nodes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::file::{self, Stamp};
use crate::limits::{CLUSTER_BYTES_MAX, CLUSTER_LINES_PER_LOOK, CLUSTER_UPLOADS_MAX};
use nodes::{Node, Version};

pub use nodes::Nodes;

/// The key of the list, in the commands that are about it.
pub const KEY: &[u8] = b"cluster";

/// The item that clients ask for that do not know those commands.
pub const ITEM_KEY: &[u8] = b"AmazonElastiCache:cluster";

/// The list that is served, and the file that it comes from. Nothing is logged while `state` is locked: who asks for the
/// list does not wait for whoever reads the log.
#[derive(Debug)]
pub struct Discovery {
    /// By a name that a change of directory does not change; None: there is no file.
    path: Option<PathBuf>,
    state: Mutex<State>,
    /// Held by who reads the file, so that nobody puts an older content in place of a newer one.
    reading: Mutex<()>,
    /// As many as there are [`Place`]s.
    places: Arc<()>,
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
    /// Lines that clients can still make the log have until the next look, and those that it has not got.
    lines_left: u32,
    unsaid: u64,
}

/// Lets a client send a list; it counts until it is dropped.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "counts by being there")] Arc<()>);

impl Discovery {
    /// Reads the file. `Err`: the line for a person that says what is wrong with it.
    pub fn open(path: &Path) -> Result<Discovery, String> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let stamp = file::stamp(&path);
        let (named, list) = load(&path)?;
        let nodes = Nodes::new(named.unwrap_or_else(|| modified(stamp)), list);
        Ok(Discovery::serving(nodes, Some(path), stamp))
    }

    /// A list without a file, which clients alone can change.
    pub fn fixed(text: &[u8]) -> Result<Discovery, String> {
        Ok(Discovery::serving(Nodes::sent(text)?, None, None))
    }

    fn serving(nodes: Nodes, path: Option<PathBuf>, stamp: Option<Stamp>) -> Discovery {
        let state = State {
            version: nodes.version(),
            nodes: Some(Arc::new(nodes)),
            read: stamp,
            seen: stamp,
            lines_left: CLUSTER_LINES_PER_LOOK,
            unsaid: 0,
        };
        Discovery { path, state: Mutex::new(state), reading: Mutex::new(()), places: Arc::new(()) }
    }

    /// What is served; None: nothing, since it was deleted.
    pub fn nodes(&self) -> Option<Arc<Nodes>> {
        self.state.lock().nodes.clone()
    }

    /// Lets a client send a list, which is held until it is there. None: as many are on their way as may be,
    /// or a few more where several threads ask at once.
    pub fn place(&self) -> Option<Place> {
        let is_free = Arc::strong_count(&self.places) <= CLUSTER_UPLOADS_MAX;
        is_free.then(|| Place(Arc::clone(&self.places)))
    }

    /// Serves what a client has sent until the file changes: what could be in the file, with a version. False:
    /// it is no list, the log says why.
    pub fn set(&self, text: &[u8]) -> bool {
        let nodes = match Nodes::sent(text) {
            Ok(nodes) => nodes,
            Err(error) => {
                if self.state.lock().may_say() {
                    log::warn!("config set cluster: {error}");
                }
                return false;
            }
        };
        let nodes = Arc::new(nodes);
        let mut state = self.state.lock();
        let says = state.may_say();
        state.serve(&nodes);
        drop(state);
        if says {
            log::info!("config set cluster: {nodes}");
        }
        true
    }

    /// Serves nothing until the file changes. Whether there was something.
    pub fn delete(&self) -> bool {
        let mut state = self.state.lock();
        let was_there = state.nodes.take().is_some();
        let says = was_there && state.may_say();
        drop(state);
        if says {
            log::info!("config delete cluster: no nodes");
        }
        was_there
    }

    /// Reads the file anew. What comes of it is in the log; what is wrong changes nothing.
    pub fn refresh(&self) {
        let Some(path) = &self.path else { return };
        let _turn = self.reading.lock();
        let stamp = file::stamp(path);
        // Clients are told meanwhile: a file may be far away.
        let loaded = load(path);
        let mut state = self.state.lock();
        state.read = stamp;
        match loaded {
            Ok((named, list)) => {
                let nodes = Arc::new(state.follow(named, list));
                state.serve(&nodes);
                drop(state);
                log::info!("{}: {nodes}", path.display());
                if let Some(named) = named.filter(|named| *named < nodes.version()) {
                    log::warn!("{}: version {named} is not above those before", path.display());
                }
            }
            Err(error) => {
                drop(state);
                log::error!("{error} (the nodes in use stay)");
            }
        }
    }

    /// Reads the file anew if it has changed and has been left alone since the last call, so that half of a
    /// change is not taken for all of it. To be called once a second.
    pub fn refresh_if_changed(&self) {
        let stamp = self.path.as_deref().and_then(file::stamp);
        let mut state = self.state.lock();
        let unsaid = state.unsaid;
        (state.lines_left, state.unsaid) = (CLUSTER_LINES_PER_LOOK, 0);
        let is_at_rest = stamp == state.seen;
        state.seen = stamp;
        let has_changed = is_at_rest && stamp != state.read;
        drop(state);
        if unsaid > 0 {
            log::warn!("{unsaid} lines about config set and delete were left out");
        }
        if has_changed {
            self.refresh();
        }
    }
}

impl State {
    fn serve(&mut self, nodes: &Arc<Nodes>) {
        self.version = self.version.max(nodes.version());
        self.nodes = Some(Arc::clone(nodes));
    }

    /// Whether a client may make the log have a line: there are not too many yet.
    fn may_say(&mut self) -> bool {
        let may = self.lines_left > 0;
        if may {
            self.lines_left -= 1;
        } else {
            self.unsaid += 1;
        }
        may
    }

    /// What the file says now. Other nodes than before have a version above all before.
    fn follow(&self, named: Option<Version>, list: Vec<Node>) -> Nodes {
        let is_same = self.nodes.as_ref().is_some_and(|nodes| nodes.list() == list);
        let version = match named {
            Some(named) if named > self.version => named,
            _ if is_same => self.version,
            Some(_) => self.version.next(),
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
