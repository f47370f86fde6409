//! The last good set of objects in a file, for a daemon that starts while the API server is away.
//!
//! The objects are written as manifests, reduced to what matters here, and read through the same gate as those that
//! the server sends. The passwords of peers are among them, which is why nobody but the owner may read the file. It
//! belongs to one API server and one namespace: under another it is no use, and is not used. A directory in memory,
//! such as `/run`, keeps it over restarts of the daemon and off every disk.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kind::Kind;
use super::seen::Seen;
use super::{ApiServer, set};
use crate::cluster::objects::ObjectSet;

/// Name of the file in the state directory.
pub const FILE_NAME: &str = "objects.json";

/// What the file looks like. Another number is another way, and not read.
const FORMAT: u32 = 1;

/// Where the set is kept.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
    server: String,
    namespace: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    server: String,
    namespace: String,
    /// When it was written, in seconds since the Unix epoch.
    written: u64,
    items: Vec<Value>,
}

/// What a cache holds.
#[derive(Debug)]
pub(super) struct Kept {
    /// When it was written, in seconds since the Unix epoch.
    pub(super) written: u64,
    pub(super) objects: Vec<(Kind, Seen)>,
}

/// Why there is nothing to be had from a cache that is there.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    #[error("it is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    #[error("its format is {0}, and this version of Routelet writes {FORMAT}")]
    Format(u64),
    #[error("it is of {0}")]
    Elsewhere(String),
}

impl Cache {
    pub(super) fn new(directory: PathBuf, server: &ApiServer) -> Cache {
        let path = directory.join(FILE_NAME);
        Cache { path, server: server.url(), namespace: server.namespace().to_owned() }
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Puts a set in the place of the one before, at once or not at all.
    pub(super) fn write(&self, objects: &ObjectSet, written: u64) -> io::Result<()> {
        let (server, namespace) = (self.server.clone(), self.namespace.clone());
        let file = File { format: FORMAT, server, namespace, written, items: set::manifests(objects) };
        let json = serde_json::to_vec(&file)?;
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        let new = self.path.with_extension("json.new");
        // One that was left half-written may have been made by somebody else.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut writing = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        writing.write_all(&json)?;
        writing.sync_data()?;
        fs::rename(&new, &self.path)
    }

    /// What was kept; `None` if there is nothing.
    pub(super) fn read(&self) -> Result<Option<Kept>, Unusable> {
        let json = match fs::read(&self.path) {
            Ok(json) => json,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let value: Value = serde_json::from_slice(&json)?;
        match value.get("format").and_then(Value::as_u64) {
            Some(format) if format != u64::from(FORMAT) => return Err(Unusable::Format(format)),
            _ => {}
        }
        let file: File = serde_json::from_value(value)?;
        if (&file.server, &file.namespace) != (&self.server, &self.namespace) {
            return Err(Unusable::Elsewhere(format!("namespace {} of {}", file.namespace, file.server)));
        }
        let objects = file.items.into_iter().filter_map(|item| {
            let name = item.get("kind")?.as_str()?;
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name)?;
            Some((kind, Seen::read(kind, item)?))
        });
        Ok(Some(Kept { written: file.written, objects: objects.collect() }))
    }
}
