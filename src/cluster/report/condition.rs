//! Conditions, as Kubernetes has them: a type, whether it holds, a reason in one word, a message, and since
//! when it has held or not.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::reason::cut;
use crate::cluster::printable;

/// The longest message, in characters. The API's limit is 32,768; this is what a person reads.
const MESSAGE: usize = 1000;

/// What a condition says: whether it holds (`None`: nobody knows), why, and in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Says {
    /// Whether it holds.
    pub holds: Option<bool>,
    /// In one CamelCase word.
    pub reason: String,
    /// In a sentence.
    pub message: String,
}

impl Says {
    /// It holds.
    pub fn yes(reason: impl Into<String>, message: impl Into<String>) -> Says {
        Says { holds: Some(true), reason: reason.into(), message: message.into() }
    }

    /// It does not.
    pub fn no(reason: impl Into<String>, message: impl Into<String>) -> Says {
        Says { holds: Some(false), reason: reason.into(), message: message.into() }
    }

    /// Nobody can tell.
    pub fn unknown(reason: impl Into<String>, message: impl Into<String>) -> Says {
        Says { holds: None, reason: reason.into(), message: message.into() }
    }

    /// As an object's condition, seen at `now`.
    pub fn condition(self, kind: &str, now: &Time, generation: Option<i64>) -> Condition {
        let status = match self.holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: self.reason,
            message: cut(&printable(&self.message), MESSAGE),
            last_transition_time: now.clone(),
            observed_generation: generation,
        }
    }
}

/// Has each condition bear the time since which its status is what it is, where it was so before.
pub fn carry_over(before: &[Condition], now: &mut [Condition]) {
    for condition in now {
        let same = |old: &&Condition| old.type_ == condition.type_ && old.status == condition.status;
        if let Some(old) = before.iter().find(same) {
            condition.last_transition_time = old.last_transition_time.clone();
        }
    }
}

/// The status of a condition, if it is there.
pub fn status<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a str> {
    conditions.iter().find(|condition| condition.type_ == kind).map(|condition| condition.status.as_str())
}

/// The reason of a condition, likewise.
pub fn reason<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a str> {
    conditions.iter().find(|condition| condition.type_ == kind).map(|condition| condition.reason.as_str())
}
