//! The network configuration that a container runtime reads from a file, as the daemon writes it.
//!
//! ```json
//! {"cniVersion": "1.0.0", "cniVersions": ["1.0.0", "1.1.0"], "name": "pod-network", "plugins": [
//!  {"type": "routelet-cni", "isDefaultGateway": true, "hairpinMode": true, "ipMasq": false,
//!   "nodeFile": "/run/routelet/node.json", "capabilities": {"portMappings": true, "ips": true, "mac": true},
//!   "ipam": {"type": "routelet", "dataDir": "/var/lib/cni/networks"}}]}
//! ```
//!
//! What may change while pods come and go, such as the pod CIDRs, the bridge and the MTU, is not in it: the
//! plugin takes that from the node file, which no runtime has to notice. Capabilities are what the plugin does
//! when asked; `bandwidth` is not among them, for a runtime would believe that it is shaped.
//!
//! Runtimes watch the directory. Some heed that a file was written or renamed away, but not that one has
//! come to be under a name, which is all they see of a file that is renamed into place from elsewhere. So
//! the new file lies beside the old one, under a name that no runtime reads as a configuration, is renamed, and
//! has its last octet written once more: whatever they heed, they heed it when all of it is there.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Code, answer};
use crate::ipam::node::replace;

/// Where runtimes look, and the name by which ours comes before most others: the first one counts.
pub const DEFAULT_PATH: &str = "/etc/cni/net.d/10-routelet.conflist";

/// Name of the plugin's program, by which we know what we have written.
const PLUGIN: &str = "routelet-cni";
/// The first is for runtimes that know one version alone; the others take the newest that they know, and with
/// 1.1.0 ask for STATUS and GC.
const VERSIONS: [&str; 2] = ["1.0.0", NEWEST];
const NEWEST: &str = "1.1.0";
/// Refusals that say nothing of the configuration.
const NOT_NOW: [Code; 2] = [Code::NotAvailable, Code::TryAgainLater];
/// File names that a runtime takes for a configuration end so (libcni, `ConfFiles`).
const ENDINGS: [&str; 3] = ["conf", "conflist", "json"];

/// What the daemon tells the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflist {
    /// Name of the network.
    pub name: String,
    /// Pods are routed to one by one, without a bridge.
    pub routed: bool,
    /// Frames may leave by the port of the bridge that they came in by.
    pub hairpin: bool,
    /// Pods reach the world under the node's address.
    pub masquerade: bool,
    /// Where the node file lies, for the plugin.
    pub node_file: PathBuf,
    /// Where addresses are kept, for the plugin.
    pub data_dir: PathBuf,
}

/// Why there is no configuration for the runtime.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plugin would refuse it.
    #[error("the plugin refuses it: {message}: {details}")]
    Refused {
        /// What is wrong, as the plugin says it.
        message: String,
        /// What it says beside.
        details: String,
    },
    /// The file could not be replaced.
    #[error(transparent)]
    Replace(#[from] crate::ipam::Error),
    /// The file could not be written to or removed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl Conflist {
    /// The configuration as text.
    pub fn text(&self) -> String {
        let document = json!({
            "cniVersion": VERSIONS[0],
            "cniVersions": VERSIONS,
            "name": self.name,
            "plugins": [self.plugin()],
        });
        format!("{document:#}\n")
    }

    fn plugin(&self) -> Value {
        let mut plugin = json!({
            "type": PLUGIN,
            "isDefaultGateway": true,
            "hairpinMode": self.hairpin,
            "ipMasq": self.masquerade,
            "nodeFile": self.node_file,
            "capabilities": {"portMappings": true, "ips": true, "mac": true},
            "ipam": {"type": "routelet", "dataDir": self.data_dir},
        });
        if self.routed {
            plugin["mode"] = json!("routed");
        }
        plugin
    }

    /// Has the plugin read it, as a runtime would pass it on.
    ///
    /// # Errors
    /// The plugin refuses it. That it cannot attach a pod just now, having no address left, is no refusal.
    pub fn check(&self) -> Result<(), Error> {
        let mut passed = self.plugin();
        passed["cniVersion"] = json!(NEWEST);
        passed["name"] = json!(self.name);
        // The verb that reads all and changes nothing.
        let status = |name: &str| (name == "CNI_COMMAND").then(|| "STATUS".to_owned());
        let reply = answer(PLUGIN, status, passed.to_string().as_bytes());
        let Some(refusal) = reply.document.filter(|_| !reply.success) else { return Ok(()) };
        let refused = NOT_NOW.iter().all(|code| refusal["code"] != code.number());
        let said = |field: &str| refusal[field].as_str().unwrap_or_default().to_owned();
        if refused { Err(Error::Refused { message: said("msg"), details: said("details") }) } else { Ok(()) }
    }

    /// Puts it in place, if it is not there as it should be; `true` if it was not. Its directory is made if
    /// need be.
    ///
    /// # Errors
    /// The plugin refuses it, or the file cannot be written. What was there before is then as it was.
    pub fn put(&self, path: &Path) -> Result<bool, Error> {
        let text = self.text();
        if fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(false);
        }
        self.check()?;
        replace(path, text.as_bytes())?;
        let touched = File::options().write(true).open(path);
        touched
            .and_then(|file| file.write_all_at(b"\n", text.len() as u64 - 1))
            .map_err(io("write", path))?;
        Ok(true)
    }
}

/// Removes the file, if it is one of ours; `true` if it was.
///
/// # Errors
/// It is there and cannot be read or removed.
pub fn remove(path: &Path) -> Result<bool, Error> {
    match fs::read(path) {
        Ok(there) if is_ours(&there) => fs::remove_file(path).map_err(io("remove", path)).map(|()| true),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io("read", path)(error)),
    }
}

/// The configuration that runtimes heed in place of this one: the first in the directory by name.
pub fn shadowed_by(path: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(path.parent()?).ok()?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let first =
        names.filter(|name| ENDINGS.iter().any(|e| name.extension().is_some_and(|n| n == *e))).min()?;
    (first.file_name() < path.file_name()).then_some(first)
}

fn is_ours(text: &[u8]) -> bool {
    let document: Value = serde_json::from_slice(text).unwrap_or_default();
    document["plugins"].as_array().is_some_and(|plugins| plugins.iter().any(|p| p["type"] == PLUGIN))
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
