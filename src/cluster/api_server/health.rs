//! How the watches stand, for metrics and for people.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::{info, warn};

use super::kind::{Kind, Resource};
use super::request::Failure;

/// How the API server stands as a source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// Where it is.
    pub server: String,
    /// When the set was written that is in force, in seconds since the Unix epoch, as long as that is the one kept
    /// from before: the server has not told all there is yet.
    pub cached: Option<u64>,
    /// Each kind that is watched.
    pub kinds: BTreeMap<Kind, KindHealth>,
}

/// How the watches of one kind stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KindHealth {
    /// All of them are in step with the server.
    pub connected: bool,
    /// Objects in the set.
    pub objects: u64,
    /// Objects whose newest version is malformed.
    pub malformed: u64,
    /// Lists taken since the daemon started.
    pub lists: u64,
    /// Requests and watches that have failed since the daemon started.
    pub failures: u64,
    /// When the last list was whole, in seconds since the Unix epoch.
    pub last_list: Option<u64>,
    /// When the server last said something, likewise.
    pub last_event: Option<u64>,
    /// What keeps a watch from being in step.
    pub trouble: Option<String>,
}

/// The same, resource by resource.
#[derive(Debug, Default)]
pub(super) struct Watches {
    resources: BTreeMap<Resource, State>,
    kinds: BTreeMap<Kind, KindHealth>,
}

#[derive(Debug, Default)]
struct State {
    in_step: bool,
    trouble: Option<String>,
}

impl Watches {
    pub(super) fn begin(&mut self, resource: &Resource) {
        self.resources.insert(resource.clone(), State::default());
        self.kinds.entry(resource.kind).or_default();
    }

    pub(super) fn end(&mut self, resource: &Resource) {
        self.resources.remove(resource);
        if !self.resources.keys().any(|other| other.kind == resource.kind) {
            self.kinds.remove(&resource.kind);
        }
    }

    /// The server has told all there is.
    pub(super) fn listed(&mut self, resource: &Resource, now: Option<u64>) {
        let kind = self.kinds.entry(resource.kind).or_default();
        kind.lists += 1;
        kind.last_list = now;
        self.in_step(resource, now);
    }

    /// The server has said something.
    pub(super) fn in_step(&mut self, resource: &Resource, now: Option<u64>) {
        self.kinds.entry(resource.kind).or_default().last_event = now;
        let Some(state) = self.resources.get_mut(resource) else { return };
        state.in_step = true;
        if state.trouble.take().is_some() {
            info!("{resource}: the API server is watched again");
        }
    }

    /// Something has failed. Said when it is new.
    pub(super) fn failed(&mut self, resource: &Resource, failure: &Failure, pause: Duration) {
        self.kinds.entry(resource.kind).or_default().failures += 1;
        let Some(state) = self.resources.get_mut(resource) else { return };
        state.in_step = false;
        let words = words(resource, failure);
        if state.trouble.as_ref() != Some(&words) {
            warn!("{words}; what is known stays in force. Trying again after {:.1} s", pause.as_secs_f32());
            state.trouble = Some(words);
        }
    }

    /// What keeps a watch from being in step.
    pub(super) fn trouble(&self, resource: &Resource) -> Option<&str> {
        self.resources.get(resource)?.trouble.as_deref()
    }

    /// How each kind stands, whose objects are counted by `count`.
    pub(super) fn view(&self, count: impl Fn(Kind) -> (usize, usize)) -> BTreeMap<Kind, KindHealth> {
        let mut kinds = self.kinds.clone();
        for (kind, health) in &mut kinds {
            let states = || self.resources.iter().filter(|(r, _)| r.kind == *kind).map(|(_, state)| state);
            let (objects, malformed) = count(*kind);
            health.connected = states().all(|state| state.in_step);
            health.objects = objects as u64;
            health.malformed = malformed as u64;
            health.trouble = states().find_map(|state| state.trouble.clone());
        }
        kinds
    }
}

/// What a failure means to a person.
fn words(resource: &Resource, failure: &Failure) -> String {
    let kind = resource.kind;
    let what = match failure {
        // A new list follows; nobody has to know.
        Failure::Gone => "the API server has forgotten what happened since".to_owned(),
        Failure::Refused { status: 401, text, .. } => {
            format!("the API server does not know who we are: {text}")
        }
        Failure::Refused { status: 403, text, .. } => {
            format!("the API server does not permit to list and watch {}: {text}", kind.plural())
        }
        Failure::Refused { status: 404, .. } if kind.is_custom() => format!(
            "the API server does not know this kind: the CustomResourceDefinition {}.{} is not installed",
            kind.plural(),
            crate::cluster::objects::GROUP
        ),
        Failure::Refused { status, text, .. } => format!("the API server answers {status}: {text}"),
        Failure::Unreachable(text) => format!("the API server cannot be reached: {text}"),
        Failure::Broken(text) => format!("the API server's answer makes no sense: {text}"),
    };
    format!("{resource}: {what}")
}
