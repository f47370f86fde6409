//! A containerlab topology file, read and merged: nodes with everything that `defaults`, `kinds` and
//! `groups` lend them, and links.
//!
//! Owns the file's syntax and the rules of inheritance (containerlab: `defaults` < `kinds` <
//! `groups` < the node itself; lists are joined, maps merged key by key). What a node is to the
//! lab (a cluster node, a router, a host) is decided in [`super::plan`]. What the lab cannot honour
//! is collected in [`Topology::not_honoured`] rather than passed over in silence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;

mod reader;

/// The topology that is built in: three nodes, a ToR and a host behind it.
pub const BUILT_IN: &str = include_str!("../../containerlab/three-node.clab.yml");

/// How the built-in topology is called in messages.
pub const BUILT_IN_NAME: &str = "containerlab/three-node.clab.yml (built in)";

/// Why a file is not a topology.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not YAML, or a value has the wrong type.
    #[error("{file}:{line}:{column}: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What the parser has to say.
        reason: String,
    },
    /// A value does not fit the rest of the file.
    #[error("{file}: {field}: {reason}")]
    Field {
        /// The file.
        file: String,
        /// Path of the field, such as `topology.nodes.node1.binds`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A topology, ready to be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Where it came from, for messages.
    pub origin: String,
    /// Directory that relative bind sources start from; `None` for the built-in topology, whose
    /// bound files the lab writes itself.
    pub directory: Option<PathBuf>,
    /// The lab's name.
    pub name: String,
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// Links, in the file's order.
    pub links: Vec<Link>,
    /// What stands in the file and is left undone, one sentence each.
    pub not_honoured: Vec<String>,
}

/// One node, inheritance applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// containerlab's kind; `linux` where the file names none.
    pub kind: String,
    /// The image, which tells what program plays the node.
    pub image: Option<String>,
    /// Arguments of the image's program.
    pub cmd: Option<String>,
    /// Commands that configure the node once its links are there.
    pub exec: Vec<String>,
    /// Files and directories to show inside the node.
    pub binds: Vec<Bind>,
    /// Labels; ours begin with `routelet.dev/`.
    pub labels: BTreeMap<String, String>,
    /// Environment of the node's program.
    pub env: BTreeMap<String, String>,
    /// Kernel parameters of the node.
    pub sysctls: BTreeMap<String, String>,
}

/// A file or directory that appears inside a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bind {
    /// Where it is, as written: relative to the topology file unless absolute.
    pub source: String,
    /// Where the node sees it: an absolute path.
    pub target: PathBuf,
    /// The node may not write to it.
    pub read_only: bool,
}

/// A cable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its two ends.
    pub ends: [End; 2],
    /// MTU of both ends; the kernel's default if `None`.
    pub mtu: Option<u32>,
}

/// One end of a cable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Name of the node.
    pub node: String,
    /// Name of the interface inside the node.
    pub interface: String,
    /// Addresses the link itself gives this end.
    pub addresses: Vec<IpNetwork>,
}

impl Topology {
    /// The built-in topology.
    ///
    /// # Errors
    /// None: a test parses it.
    pub fn built_in() -> Result<Topology, Error> {
        Topology::parse(BUILT_IN, BUILT_IN_NAME, None)
    }

    /// Reads a topology file.
    ///
    /// # Errors
    /// The file cannot be read or is not a topology.
    pub fn read(path: &Path) -> Result<Topology, Error> {
        let origin = path.display().to_string();
        let read = |source| Error::Read { file: origin.clone(), source };
        let text = std::fs::read_to_string(path).map_err(read)?;
        let path = path.canonicalize().map_err(read)?;
        Topology::parse(&text, &origin, path.parent().map(Path::to_owned))
    }

    /// Parses the text of a topology file called `origin`.
    ///
    /// # Errors
    /// The text is not a topology; the error names line and column, or the field.
    pub fn parse(text: &str, origin: &str, directory: Option<PathBuf>) -> Result<Topology, Error> {
        reader::parse(text, origin, directory)
    }
}

#[cfg(test)]
mod tests;
