//! What is shown of where the objects come from: a directory of manifests, or the API server, kind by kind.

use super::proto;

/// Where the objects come from, and how that stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectsView {
    /// The source, such as `the API server at https://192.168.1.10:6443/`.
    pub source: String,
    /// What is wrong with objects, a sentence each: the last good ones stay in force instead.
    pub faults: Vec<String>,
    /// When the objects in force were kept, in seconds since the Unix epoch, if they are those of a daemon before
    /// this one: the API server has not told of all there is yet.
    pub kept: Option<u64>,
    /// What is watched on the API server; empty with manifests.
    pub kinds: Vec<WatchedKindView>,
}

/// One kind of objects under watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedKindView {
    /// The kind, such as `BgpPeer`.
    pub kind: String,
    /// Every watch of it is in step with the server.
    pub connected: bool,
    /// Objects that are known.
    pub objects: u64,
    /// Of how many the newest version is malformed.
    pub malformed: u64,
    /// Lists taken since the daemon started.
    pub lists: u64,
    /// Requests and watches that have failed since the daemon started.
    pub failures: u64,
    /// When the last list was whole, in seconds since the Unix epoch.
    pub last_list: Option<u64>,
    /// When the server last said something, likewise.
    pub last_event: Option<u64>,
    /// Why it is not in step. Words for a person.
    pub trouble: Option<String>,
}

impl ObjectsView {
    /// Adds itself to a summary.
    pub(super) fn tell(self, summary: &mut proto::Summary) {
        if self.source.is_empty() {
            return;
        }
        let ObjectsView { source, faults, kept, kinds } = self;
        let kinds = kinds.into_iter().map(Into::into).collect();
        summary.objects = Some(proto::ObjectSource { source, faults, kept, kinds });
    }
}

impl From<WatchedKindView> for proto::WatchedKind {
    fn from(view: WatchedKindView) -> Self {
        let WatchedKindView {
            kind,
            connected,
            objects,
            malformed,
            lists,
            failures,
            last_list,
            last_event,
            trouble,
        } = view;
        proto::WatchedKind {
            kind,
            connected,
            objects,
            malformed,
            lists,
            failures,
            last_list,
            last_event,
            trouble,
        }
    }
}
