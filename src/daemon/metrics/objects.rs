//! Metrics of where the objects come from.

use super::Manifests;
use super::exposition::{Exposition, sample};
use crate::api::{ObjectsView, WatchedKindView};

impl Exposition {
    /// Adds how what was read last is judged.
    pub fn manifests(&mut self, manifests: &Manifests) {
        self.gauge(
            "routelet_manifests_valid",
            "Whether the objects, from manifests or the API server, are without error: 1; 0 while the daemon keeps to \
             the last good state, of a directory as a whole, of the API server object by object.",
            [sample([], manifests.valid.into())],
        );
        self.counter(
            "routelet_manifest_errors_total",
            "Errors found in objects, from manifests or the API server.",
            [sample([], manifests.errors)],
        );
        self.gauge(
            "routelet_manifests_last_good_timestamp_seconds",
            "When the state that runs was read, as a Unix time.",
            manifests.last_good.map(|seconds| sample([], seconds)),
        );
    }

    /// Adds the watches of the API server; nothing with manifests.
    pub fn objects(&mut self, objects: &ObjectsView) {
        if objects.kinds.is_empty() {
            return;
        }
        let of = |value: fn(&WatchedKindView) -> u64| {
            objects.kinds.iter().map(move |kind| sample([("kind", kind.kind.as_str())], value(kind)))
        };
        let when = |value: fn(&WatchedKindView) -> Option<u64>| {
            let kinds = objects.kinds.iter();
            kinds.filter_map(move |kind| Some(sample([("kind", kind.kind.as_str())], value(kind)?)))
        };
        let help = "Whether every watch of a kind is in step with the API server: 1, else 0.";
        self.gauge("routelet_api_server_connected", help, of(|kind| kind.connected.into()));
        let help = "Objects of a kind that are known.";
        self.gauge("routelet_api_server_objects", help, of(|kind| kind.objects));
        let help =
            "Objects of a kind whose newest version is malformed; their last good version is in force.";
        self.gauge("routelet_api_server_malformed_objects", help, of(|kind| kind.malformed));
        let help = "Lists taken of a kind: one for each watch of it, and one whenever the API server had forgotten \
                    what happened since.";
        self.counter("routelet_api_server_lists_total", help, of(|kind| kind.lists));
        let help = "Requests and watches of a kind that have failed.";
        self.counter("routelet_api_server_failures_total", help, of(|kind| kind.failures));
        let help = "When the last list of a kind was whole, as a Unix time.";
        self.gauge("routelet_api_server_last_list_timestamp_seconds", help, when(|kind| kind.last_list));
        let help = "When the API server last said something about a kind, be it a bookmark, as a Unix time.";
        self.gauge("routelet_api_server_last_event_timestamp_seconds", help, when(|kind| kind.last_event));
        let help = "Whether the objects in force are those kept by a daemon before this one, for want of the API \
                    server: 1, else 0.";
        self.gauge("routelet_api_server_from_kept", help, [sample([], objects.kept.is_some().into())]);
    }
}
