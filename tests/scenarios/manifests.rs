//! Manifests that change, and what may not change with them.

use std::collections::BTreeMap;

use crate::network::{Network, Node};
use crate::routelet::{ask, nodes, put};
use crate::shape::Shape;

/// Gives every node these Node objects, one after another.
pub fn give_nodes(network: &Network, text: &str) {
    for node in &network.nodes {
        put(node, "nodes.yaml", text);
    }
}

/// The Nodes of a shape, with a part of the text replaced.
///
/// # Panics
/// There is no such part.
pub fn nodes_with(shape: &Shape, part: &str, by: &str) -> String {
    replaced(&nodes(shape), part, by)
}

/// A text with a part replaced, which must be there.
pub fn replaced(text: &str, part: &str, by: &str) -> String {
    assert!(text.contains(part), "no {part} in {text}");
    text.replace(part, by)
}

/// How often each session of a node has fallen since its daemon started, by the peer's name.
pub fn falls(node: &Node) -> BTreeMap<String, String> {
    let peers = ask(node, "peers");
    let peers = peers.as_array().into_iter().flatten();
    peers.map(|peer| (peer["name"].as_str().unwrap().to_owned(), peer["flaps"].to_string())).collect()
}

/// The sessions of all nodes as they are now.
pub struct Sessions(Vec<BTreeMap<String, String>>);

impl Sessions {
    pub fn of(network: &Network) -> Sessions {
        let sessions = Sessions(network.nodes.iter().map(falls).collect());
        assert!(sessions.0.iter().all(|of_node| of_node.len() >= 3), "everybody answers");
        sessions
    }

    /// Compares with how they are now.
    ///
    /// # Panics
    /// A session of which `concerned` does not hold, with its node and peer, has fallen or is gone.
    pub fn check_untouched(&self, network: &Network, concerned: impl Fn(usize, &str) -> bool) {
        for (node, before) in network.nodes.iter().zip(&self.0) {
            let now = falls(node);
            for (peer, fell) in before.iter().filter(|(peer, _)| !concerned(node.number, peer)) {
                assert_eq!(now.get(peer), Some(fell), "node{} with {peer}", node.number);
            }
        }
    }
}

/// Waits until a node has sessions with these peers and no others, all of which have told what they have.
pub fn await_peers(network: &Network, number: usize, peers: &[&str]) {
    let node = network.node(number);
    node.host.eventually(&format!("node{number} has sessions with {peers:?} alone"), || {
        falls(node).into_keys().collect::<Vec<_>>() == peers && network.router.settled(node)
    });
}
