//! The node file: what the daemon tells the plugin about this node.
//!
//! The daemon writes it whenever the node's pod CIDRs or the bridge's settings change; the plugin
//! reads it on every ADD. A file rather than a question to the daemon, because pods must attach
//! while the daemon restarts.
//!
//! ```json
//! {"podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"], "bridge": "cni0", "mtu": 1500}
//! ```

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use crate::prefix::Prefix;

/// Where the node file lies unless configured otherwise. `/run` is empty after a boot: a stale file
/// never outlives the pods it was meant for.
pub const DEFAULT_PATH: &str = "/run/routelet/node.json";

/// The file's name in the daemon's state directory.
pub const FILE_NAME: &str = "node.json";

/// What the daemon tells the plugin. Fields unknown to this version are ignored, so that a newer
/// daemon can serve an older plugin during an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    /// The node's pod CIDRs, any number of either family.
    #[serde(rename = "podCIDRs", with = "prefixes")]
    pub pod_cidrs: Vec<Prefix>,
    /// Name of the bridge that pods are attached to.
    pub bridge: String,
    /// MTU of the bridge and the pods in octets; the kernel's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

impl NodeFile {
    /// Reads the file; `None` when there is none.
    ///
    /// # Errors
    /// The file cannot be read, or is not a node file; the error says where.
    pub fn read(path: impl AsRef<Path>) -> Result<Option<NodeFile>, Error> {
        let path = path.as_ref();
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::io("read", path)(source)),
        };
        let malformed = |e: serde_json::Error| Error::NodeFile { path: path.to_owned(), why: e.to_string() };
        serde_json::from_slice(&bytes).map(Some).map_err(malformed)
    }

    /// Replaces the file in one step, making its directory if need be. Readers see the old content
    /// or the new, also after a power failure.
    ///
    /// # Errors
    /// The directory or the file cannot be written; the old file is then untouched.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
        let mut text = serde_json::to_vec(self)
            .map_err(|e| Error::NodeFile { path: path.to_owned(), why: e.to_string() })?;
        text.push(b'\n');
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .map_err(Error::io("write", &temporary))
            .and_then(|()| fs::rename(&temporary, path).map_err(Error::io("replace", path)));
        if written.is_err() {
            // The first error is the one to report; debris is overwritten by the next write.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

/// Prefixes as JSON strings.
mod prefixes {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::prefix::Prefix;

    pub fn serialize<S: Serializer>(prefixes: &[Prefix], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(prefixes.iter().map(Prefix::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Prefix>, D::Error> {
        Vec::<String>::deserialize(deserializer)?
            .iter()
            .map(|text| text.parse().map_err(|e| D::Error::custom(format!("podCIDRs: {e}"))))
            .collect()
    }
}
