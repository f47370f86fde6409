//! The node file: what the daemon tells the plugin about this node.
//!
//! The daemon writes it whenever the node's pod CIDRs or the bridge's settings change; the plugin
//! reads it on every ADD. A file rather than a question to the daemon, because pods must attach
//! while the daemon restarts.
//!
//! ```json
//! {"podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"], "mode": "bridge", "bridge": "cni0", "mtu": 1500,
//!  "masquerade": true, "masqueradeExempt": ["10.244.0.0/22", "fd00:10:244::/48"]}
//! ```

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::prefix::Prefix;

/// Where the node file lies unless configured otherwise. `/run` is empty after a boot: a stale file
/// never outlives the pods it was meant for.
pub const DEFAULT_PATH: &str = "/run/routelet/node.json";

/// The file's name in the daemon's state directory.
pub const FILE_NAME: &str = "node.json";

/// What the daemon tells the plugin. Fields unknown to this version are ignored, and all but the first are
/// optional, so that daemon and plugin may be of different versions during an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeFile {
    /// The node's pod CIDRs, any number of either family.
    #[serde(rename = "podCIDRs", with = "prefixes")]
    pub pod_cidrs: Vec<Prefix>,
    /// Pod CIDRs that the node had before, from which pods still have addresses: the bridge keeps their
    /// gateway addresses, and no new pod gets one of them.
    #[serde(rename = "formerPodCIDRs", with = "prefixes", default, skip_serializing_if = "Vec::is_empty")]
    pub former_pod_cidrs: Vec<Prefix>,
    /// Whether pods share a bridge.
    #[serde(default)]
    pub mode: Mode,
    /// Name of the bridge that pods are attached to, unless they are routed to.
    pub bridge: String,
    /// MTU of the pods, and of the bridge, in octets; the kernel's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Pods reach what is not exempt under the node's address, where the network configuration does not say.
    #[serde(default)]
    pub masquerade: bool,
    /// Destinations that see pods under their own addresses: all that the daemon knows without a peer, which
    /// are the pod CIDRs of the whole cluster. Prefixes that fill a larger one are told as that one.
    #[serde(with = "prefixes", default, skip_serializing_if = "Vec::is_empty")]
    pub masquerade_exempt: Vec<Prefix>,
}

/// How a pod is connected to its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// By a bridge that all pods share.
    #[default]
    Bridge,
    /// By a link of its own, and a route to its address.
    Routed,
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
        let mut text = serde_json::to_vec(self)
            .map_err(|e| Error::NodeFile { path: path.to_owned(), why: e.to_string() })?;
        text.push(b'\n');
        replace(path, &text)
    }
}

/// The gateway's address in a pod CIDR, with the length of that: the first after its network address. `None`
/// where there is no room for one.
pub fn gateway(pod_cidr: Prefix) -> Option<IpNetwork> {
    let first = match pod_cidr.address() {
        IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits().checked_add(1)?)),
        IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits().checked_add(1)?)),
    };
    let fits = pod_cidr.contains_address(first);
    fits.then(|| IpNetwork::new(first, pod_cidr.length()).ok()).flatten()
}

/// Replaces a file in one step, making its directory if need be. Readers see the old content or the new,
/// also after a power failure. While it lasts there is a file beside it whose name ends in `.new`.
///
/// # Errors
/// The directory or the file cannot be written; the old file is then untouched.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .map_err(Error::io("write", &temporary))
        .and_then(|()| fs::rename(&temporary, path).map_err(Error::io("replace", path)));
    if written.is_err() {
        // The first error is the one to report; debris is overwritten by the next write.
        let _ = fs::remove_file(&temporary);
    }
    written
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
            .map(|text| text.parse().map_err(D::Error::custom))
            .collect()
    }
}
