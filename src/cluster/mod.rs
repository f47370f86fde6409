//! Where objects come from, and how they become an [`Intent`](crate::speaker::intent::Intent).
//!
//! ```text
//!  *.yaml ─► document ─► decode ─┐
//!            (tree with lines)   ├─► objects::Object ─► objects::ObjectSet ─► intent::compile ─► Intent
//!  API server ─► seen ─► decode ─┘   (right by itself)                        (right together)   + network
//!                                                                                               + warnings
//! ```
//!
//! Two gates stand on that way. The first looks at one object alone: [`objects::Object`] can only be
//! made from an object whose every field makes sense by itself, so an [`objects::ObjectSet`] holds
//! nothing malformed. The second, [`intent::compile`], looks at them together from one node's point of
//! view: selectors, overrides, Secrets that are referred to, sessions that would collide. It is a pure
//! function; the same objects give the same Intent whatever order they came in.
//!
//! A [`Source`] hands out whole `ObjectSet`s. The directory of manifests ([`manifests`], [`watch`]) is
//! one; what it adds is only where something stands, so that an error names file, document and line. It is
//! one person's work, and taken as a whole: whatever goes wrong at either gate leaves the consumer with the set or
//! Intent it had before. The API server ([`api_server`]) is the other. Its objects have many authors, so each stands for
//! itself: one that is malformed stays as it was last, and [`compile_around`] does the same for a peer that
//! contradicts others, and for the settings of a node that contradict each other.
//!
//! This is the only room that knows `k8s-openapi` and `kube`. The API server is the only one it connects to; it touches no
//! kernel route, and of the core it knows prefixes and the Intent.

use std::fmt;
use std::path::PathBuf;

pub mod api_server;
pub mod crds;
mod decode;
mod document;
pub mod intent;
pub mod manifests;
pub mod objects;
pub mod own_node;
pub mod permissions;
pub mod report;
mod source;
pub mod watch;

pub use api_server::ApiServer;
pub use intent::{Basis, Compiled, NodeNetwork, PodNetwork, RuleIntent, compile, compile_around};
pub use manifests::{ManifestDirectory, Reading};
pub use objects::ObjectSet;
pub use source::Source;
pub use watch::Watch;

/// Why there is no new set of objects, or no Intent from it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Objects are malformed or contradict each other. Every finding is listed, one a line.
    #[error("{}", .0.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n"))]
    Objects(Vec<Finding>),
    /// There is neither a kubeconfig nor a service account.
    #[error(
        "no source of objects: name a directory with --manifests, or an API server with --kubeconfig or KUBECONFIG; \
         a pod with a service account needs neither"
    )]
    NoApiServer,
    /// What says where the API server is, and who we are to it, is not usable.
    #[error("{origin}: {text}")]
    ApiServer {
        /// What said so, such as `kubeconfig /etc/routelet/kubeconfig`.
        origin: String,
        /// What is wrong with it.
        text: String,
    },
    /// The manifests directory itself cannot be read.
    #[error("manifests directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The manifests directory cannot be watched for changes.
    #[error("watching manifests directory {}: {source}", path.display())]
    Watch {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Something to say about one object: an error, or a warning where it is handed out as one.
///
/// Shown as `routers.yaml, document 2 (BgpPeer tor-a), line 14: spec.timers.hold: …`, or as
/// `BgpPeer tor-a: spec.bfd: …` where the object's place is not known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where the object was read; `None` when it did not come from a file.
    pub place: Option<Place>,
    /// Kind and name, such as `BgpPeer tor-a`; `None` when not even these could be read.
    pub object: Option<String>,
    /// Path of the field, such as `spec.timers.hold`; empty for the object as a whole.
    pub field: String,
    /// What there is to say.
    pub text: String,
}

/// A place in a manifests directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// File name within the directory.
    pub file: String,
    /// Number of the document in the file, from 1; `None` for the file as a whole.
    pub document: Option<usize>,
    /// Line in the file, from 1.
    pub line: Option<u32>,
}

impl Finding {
    /// A finding about an object whose place is not known.
    pub(crate) fn about(
        object: impl Into<String>,
        field: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Finding { place: None, object: Some(object.into()), field: field.into(), text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, &self.object) {
            (Some(place), object) => {
                f.write_str(&place.file)?;
                if let Some(document) = place.document {
                    write!(f, ", document {document}")?;
                }
                if let Some(object) = object {
                    write!(f, " ({object})")?;
                }
                if let Some(line) = place.line {
                    write!(f, ", line {line}")?;
                }
                f.write_str(": ")?;
            }
            (None, Some(object)) => write!(f, "{object}: ")?,
            (None, None) => {}
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", printable(&self.field))?;
        }
        f.write_str(&printable(&self.text))
    }
}

/// Text of a manifest as one line that a terminal takes for text: its control characters escaped.
pub(crate) fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            control if control.is_control() => line.extend(control.escape_default()),
            other => line.push(other),
        }
    }
    line
}
