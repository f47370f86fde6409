//! Where the objects come from, for those who show it: the source's name, what is wrong with objects, and how the
//! watches of the API server stand.

use tokio::sync::watch;

use crate::api::{ObjectsView, WatchedKindView};
use crate::cluster::Source;
use crate::cluster::api_server::Health;

/// A look at the source.
#[derive(Debug, Clone)]
pub struct Objects {
    source: String,
    errors: watch::Receiver<Vec<String>>,
    health: Option<watch::Receiver<Health>>,
}

impl Objects {
    /// A look at `source`, with whose objects that is wrong which `errors` says.
    pub fn new(source: &Source, errors: watch::Receiver<Vec<String>>) -> Objects {
        match source {
            Source::Manifests(watch) => {
                Objects { source: format!("manifests in {}", watch.path().display()), errors, health: None }
            }
            Source::ApiServer(watch) => {
                let health = watch.health();
                let source = format!("the API server at {}", health.borrow().server);
                Objects { source, errors, health: Some(health) }
            }
        }
    }

    /// How it stands.
    pub fn view(&self) -> ObjectsView {
        let (source, faults) = (self.source.clone(), self.errors.borrow().clone());
        let health = self.health.as_ref().map(|health| health.borrow().clone()).unwrap_or_default();
        let kinds = health.kinds.into_iter().map(|(kind, health)| WatchedKindView {
            kind: kind.name().to_owned(),
            connected: health.connected,
            objects: health.objects,
            malformed: health.malformed,
            lists: health.lists,
            failures: health.failures,
            last_list: health.last_list,
            last_event: health.last_event,
            trouble: health.trouble,
        });
        ObjectsView { source, faults, kept: health.cached, kinds: kinds.collect() }
    }
}
