//! Events (events.k8s.io/v1) on the objects concerned.
//!
//! They go with writes of a status, and are bounded as these are: what differs between what was written and what
//! is written now is what there is to tell. Equal ones within six minutes count up in a series.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tracing::debug;

use super::api;
use super::condition::status;
use super::reason::cut;

/// The API's limit for the text of an event, in octets; with room for characters of several.
const NOTE: usize = 900;

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// It is trouble.
    pub is_warning: bool,
    /// What happened, in one CamelCase word.
    pub reason: String,
    /// What happened, in a sentence.
    pub note: String,
}

impl News {
    /// What is as it should be.
    pub fn normal(reason: impl Into<String>, note: impl Into<String>) -> News {
        News { is_warning: false, reason: reason.into(), note: note.into() }
    }

    /// What is not.
    pub fn warning(reason: impl Into<String>, note: impl Into<String>) -> News {
        News { is_warning: true, reason: reason.into(), note: note.into() }
    }
}

/// Tells events in the name of one node.
#[derive(Clone)]
pub struct Announcer {
    recorder: Recorder,
}

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Announcer").finish_non_exhaustive()
    }
}

impl Announcer {
    /// One for the daemon of that node.
    pub fn new(client: Client, node_name: &str) -> Announcer {
        let reporter =
            Reporter { controller: "routelet.dev/routelet".to_owned(), instance: Some(node_name.to_owned()) };
        Announcer { recorder: Recorder::new(client, reporter) }
    }

    /// Tells of an object. An event that cannot be told is lost: the status says the same.
    pub async fn tell(&self, about: &ObjectReference, news: &News) {
        let event = Event {
            type_: if news.is_warning { EventType::Warning } else { EventType::Normal },
            reason: news.reason.clone(),
            note: Some(cut_octets(&news.note)),
            action: "Route".to_owned(),
            secondary: None,
        };
        if let Err(error) = api::within(self.recorder.publish(&event, about)).await {
            debug!("an event on {:?} is lost: {error}", about.name);
        }
    }
}

/// A reference to a cluster-wide object of ours, or to a Node.
pub fn reference(api_version: &str, kind: &str, name: &str, uid: Option<String>) -> ObjectReference {
    ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(kind.to_owned()),
        name: Some(name.to_owned()),
        // Events on what has no namespace go to this one.
        namespace: Some("default".to_owned()),
        uid,
        ..ObjectReference::default()
    }
}

/// What there is to tell on a Node when its conditions change.
pub fn of_node(before: &[Condition], now: &[Condition]) -> Vec<News> {
    let mut news = vec![];
    for condition in now {
        let old = before.iter().find(|old| old.type_ == condition.type_);
        let same =
            old.is_some_and(|old| (&old.status, &old.reason) == (&condition.status, &condition.reason));
        // What holds at the first look is no news, unless it is trouble.
        let first = old.is_none();
        let Condition { reason, message, .. } = condition;
        let one = match (condition.type_.as_str(), condition.status.as_str()) {
            _ if same => continue,
            ("Ready", "True") => News::normal("RouteletReady", message),
            ("Ready", _) if status(now, "Draining") == Some("True") => continue,
            ("Ready", _) if first => continue,
            ("Ready", _) => News::warning("RouteletNotReady", message),
            ("Draining", "True") if reason == "Drained" => News::normal("Drained", message),
            ("Draining", "True") => News::normal("Draining", message),
            ("Draining", _) if !first => News::normal("DrainTakenBack", message),
            ("ConfigurationValid", "False") => News::warning("ConfigurationInvalid", message),
            ("ConfigurationValid", _) if old.is_some_and(|old| old.status == "False") => {
                News::normal("ConfigurationValid", message)
            }
            ("Listening", "False") => News::warning(reason, message),
            ("FibInStep", "False") => News::warning(reason, message),
            _ => continue,
        };
        news.push(one);
    }
    news
}

/// What there is to tell on a `BgpPeer` when its conditions change, or other nodes have no session.
pub fn of_peer(before: &[Condition], now: &[Condition]) -> Vec<News> {
    let mut news = vec![];
    for condition in now {
        let old = before.iter().find(|old| old.type_ == condition.type_);
        if old.is_some_and(|old| (&old.status, &old.message) == (&condition.status, &condition.message)) {
            continue;
        }
        let Condition { reason, message, .. } = condition;
        match (condition.type_.as_str(), condition.status.as_str()) {
            ("Established", "True") => news.push(News::normal("SessionsEstablished", message)),
            ("Established", "False") => {
                news.push(News::warning("SessionsDown", format!("{reason}: {message}")))
            }
            ("Degraded", "True") => news.push(News::warning(reason, message)),
            _ => {}
        }
    }
    news
}

fn cut_octets(text: &str) -> String {
    if text.len() <= NOTE {
        return text.to_owned();
    }
    // Characters of four octets would make a quarter of it.
    let mut most = NOTE;
    while text.chars().take(most).map(char::len_utf8).sum::<usize>() > NOTE {
        most -= NOTE / 16;
    }
    cut(text, most)
}

#[cfg(test)]
mod tests;
