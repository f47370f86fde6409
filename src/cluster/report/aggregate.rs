//! What all nodes say of one `BgpPeer`, taken together. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::condition::{Says, carry_over};
use super::pace::Difference;
use super::reason::{ESTABLISHED, cut};
use crate::cluster::objects::bgp_node_status::{NodeReport, SessionOrigin, SessionReport, SessionState};
use crate::cluster::objects::bgp_peer::{BgpPeerStatus, NodeTrouble};

/// Nodes without the session that are named with what is wrong.
const NAMED: usize = 10;
/// The longest list of their names, in characters: a column of a table.
const COLUMN: usize = 40;

/// What one node says of one `BgpPeer`.
#[derive(Debug, Clone, PartialEq)]
pub struct Voice {
    /// All of its sessions with it are established.
    pub up: bool,
    /// What is wrong with the first that is not as it should be; [`ESTABLISHED`] if nothing is.
    pub reason: String,
    /// The same in words.
    pub message: Option<String>,
    /// Since when.
    pub since: Option<Time>,
}

/// What a node says of each `BgpPeer` by name. Several sessions are several peers of one range.
pub fn voices(report: &NodeReport) -> BTreeMap<String, Voice> {
    let mut voices: BTreeMap<String, Voice> = BTreeMap::new();
    for session in report.sessions.iter().filter(|session| session.origin != SessionOrigin::Mesh) {
        let name = match session.origin {
            SessionOrigin::Range => session.peer.split('/').next().unwrap_or(&session.peer),
            _ => &session.peer,
        };
        let voice = voice(session);
        match voices.get_mut(name) {
            // What is down says more than what is degraded, and that more than what is well.
            Some(known) if badness(known) >= badness(&voice) => {}
            Some(known) => *known = voice,
            None => drop(voices.insert(name.to_owned(), voice)),
        }
    }
    voices
}

fn badness(voice: &Voice) -> u8 {
    if !voice.up { 2 } else { u8::from(voice.reason != ESTABLISHED) }
}

fn voice(session: &SessionReport) -> Voice {
    Voice {
        up: session.state == SessionState::Established,
        reason: session.reason.clone(),
        message: session.message.clone(),
        since: session.since.clone(),
    }
}

/// What the nodes say of a peer together, by name of the node. `before` is what was said of it last, and `generation`
/// that of the object.
pub fn aggregate(
    voices: &BTreeMap<&str, &Voice>,
    before: Option<&BgpPeerStatus>,
    generation: Option<i64>,
    now: &Time,
) -> BgpPeerStatus {
    let down: Vec<(&str, &Voice)> =
        voices.iter().filter(|(_, voice)| !voice.up).map(|(node, voice)| (*node, *voice)).collect();
    let degraded: Vec<(&str, &Voice)> =
        voices.iter().filter(|(_, voice)| badness(voice) == 1).map(|(node, voice)| (*node, *voice)).collect();
    let (nodes, established) = (voices.len(), voices.len() - down.len());
    let mut conditions = vec![
        says_established(nodes, &down).condition("Established", now, generation),
        says_degraded(&degraded).condition("Degraded", now, generation),
    ];
    carry_over(before.map_or(&[], |before| &before.conditions), &mut conditions);
    BgpPeerStatus {
        nodes: nodes as u32,
        established: established as u32,
        up: format!("{established}/{nodes}"),
        down: column(&down),
        not_established: down.iter().take(NAMED).map(|(node, voice)| trouble(node, voice)).collect(),
        conditions,
        observed_generation: generation,
    }
}

/// How what is said of a peer differs from what was said.
pub fn difference(before: Option<&BgpPeerStatus>, now: &BgpPeerStatus) -> Difference {
    if before == Some(now) { Difference::None } else { Difference::Major }
}

fn says_established(nodes: usize, down: &[(&str, &Voice)]) -> Says {
    match (nodes, down) {
        (0, _) => Says::unknown("NoNodes", "no node reports a session with it"),
        (1, []) => Says::yes("AllEstablished", "the one node that is to has a session with it"),
        (_, []) => Says::yes("AllEstablished", format!("all {nodes} nodes have a session with it")),
        (_, down) => {
            let (reason, count) = most_frequent(down);
            let text = format!("{} of {nodes} nodes have no session with it: {}", down.len(), examples(down));
            let more = if count < down.len() { "; not all for the same reason" } else { "" };
            Says::no(reason_word(&reason), text + more)
        }
    }
}

fn says_degraded(degraded: &[(&str, &Voice)]) -> Says {
    if degraded.is_empty() {
        return Says::no("AsExpected", "sessions that are up are as they should be");
    }
    let (reason, _) = most_frequent(degraded);
    Says::yes(reason_word(&reason), format!("sessions of {} nodes: {}", degraded.len(), examples(degraded)))
}

/// The reason that most nodes have, and how many do; of several the first in order.
fn most_frequent(nodes: &[(&str, &Voice)]) -> (String, usize) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, voice) in nodes {
        *counts.entry(&voice.reason).or_default() += 1;
    }
    let mut most = ("", 0);
    for (reason, count) in counts {
        if count > most.1 {
            most = (reason, count);
        }
    }
    (most.0.to_owned(), most.1)
}

/// Reports come from nodes, and a condition's reason has to be a word for the API server to take it.
fn reason_word(reason: &str) -> String {
    let word = !reason.is_empty()
        && reason.len() <= 128
        && reason.starts_with(|c: char| c.is_ascii_alphabetic())
        && reason.chars().all(|c| c.is_ascii_alphanumeric());
    if word { reason.to_owned() } else { "Other".to_owned() }
}

/// A few of them with what is wrong there.
fn examples(nodes: &[(&str, &Voice)]) -> String {
    const EXAMPLES: usize = 3;
    let one = |(node, voice): &(&str, &Voice)| match &voice.message {
        Some(message) => format!("{node} ({}: {})", voice.reason, cut(message, 200)),
        None => format!("{node} ({})", voice.reason),
    };
    let mut text = nodes.iter().take(EXAMPLES).map(one).collect::<Vec<_>>().join(", ");
    if nodes.len() > EXAMPLES {
        text.push_str(&format!(" and {} more", nodes.len() - EXAMPLES));
    }
    text
}

/// Names as far as they fit into a column.
fn column(nodes: &[(&str, &Voice)]) -> String {
    let mut text = String::new();
    for (index, (node, _)) in nodes.iter().enumerate() {
        let separator = if text.is_empty() { "" } else { ", " };
        if index > 0 && text.len() + separator.len() + node.len() > COLUMN {
            return format!("{text}, … {} more", nodes.len() - index);
        }
        text.push_str(separator);
        text.push_str(node);
    }
    text
}

fn trouble(node: &str, voice: &Voice) -> NodeTrouble {
    NodeTrouble {
        node: node.to_owned(),
        reason: voice.reason.clone(),
        message: voice.message.clone(),
        since: voice.since.clone(),
    }
}

#[cfg(test)]
mod tests;
