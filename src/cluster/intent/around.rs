//! Compiling around what is wrong, for a source that has many authors: whoever writes a `BgpPeer` that names a Secret that
//! is not there must not keep a node from hearing of new nodes.
//!
//! A peer at fault is left out, and stays as it was last, if it was. What concerns the node's own settings cannot be left
//! out: with `BgpConfiguration`s that contradict each other, or a Node that lacks what they read from it, the settings
//! stay as they were last, and everything else goes on. Where there were none, there is no Intent.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Compiled, compile};
use crate::cluster::objects::{BgpConfigurationSpec, Node, ObjectSet};
use crate::cluster::{Error, Finding};
use crate::speaker::intent::{PeerIntent, PeerOrigin};

/// What the settings of a node were last made from without a contradiction.
#[derive(Debug, Default)]
pub struct Basis(Option<(BTreeMap<String, BgpConfigurationSpec>, Node)>);

impl Basis {
    fn note(&mut self, objects: &ObjectSet, node_name: &str) {
        let node = objects.nodes.get(node_name);
        self.0 = node.map(|node| (objects.configurations.clone(), node.clone()));
    }

    /// The objects with the settings as they were. Where a node is, which pods it has and whether it leaves is
    /// no setting.
    fn under(&self, objects: &ObjectSet, node_name: &str) -> Option<ObjectSet> {
        let (configurations, before) = self.0.as_ref()?;
        let mut objects = objects.clone();
        objects.configurations.clone_from(configurations);
        let node = objects.nodes.get_mut(node_name)?;
        let now = std::mem::replace(node, before.clone());
        (node.leaving, node.addresses, node.pod_cidrs) = (now.leaving, now.addresses, now.pod_cidrs);
        Some(objects)
    }
}

/// Derives the Intent of the node `node_name` like [`compile`], with the peers that are at fault as `last` has them, and
/// contradictory settings as they were by `basis`; and what is wrong with those.
///
/// # Errors
/// Something is wrong that is not one peer's alone, and nothing is known from before.
pub fn compile_around(
    objects: &ObjectSet,
    node_name: &str,
    last: Option<&Compiled>,
    basis: &mut Basis,
) -> Result<(Compiled, Vec<Finding>), Error> {
    let mut faults = match around_peers(objects, node_name, last) {
        Ok(found) => {
            basis.note(objects, node_name);
            return Ok(found);
        }
        Err(Error::Objects(faults)) => faults,
        Err(error) => return Err(error),
    };
    let before = basis.under(objects, node_name);
    let Some(Ok((compiled, more))) = before.map(|before| around_peers(&before, node_name, last)) else {
        return Err(Error::Objects(faults));
    };
    faults.extend(more);
    faults.sort();
    faults.dedup();
    Ok((compiled, faults))
}

fn around_peers(
    objects: &ObjectSet,
    node_name: &str,
    last: Option<&Compiled>,
) -> Result<(Compiled, Vec<Finding>), Error> {
    let findings = match compile(objects, node_name) {
        Ok(compiled) => return Ok((compiled, vec![])),
        Err(Error::Objects(findings)) => findings,
        Err(error) => return Err(error),
    };
    let mut rest = objects.clone();
    let mut faults = findings;
    loop {
        let mut left_out = false;
        for name in faults.iter().filter_map(peer_of) {
            left_out |= rest.peers.remove(name).is_some();
        }
        match compile(&rest, node_name) {
            Ok(mut compiled) => {
                if let Some(last) = last {
                    let names = objects.peers.keys().filter(|name| !rest.peers.contains_key(*name));
                    names.for_each(|name| keep(name, last, &mut compiled));
                }
                return Ok((compiled, faults));
            }
            // Each round leaves out one at least, so this comes to an end.
            Err(Error::Objects(more)) if left_out => faults.extend(more),
            Err(_) => return Err(Error::Objects(faults)),
        }
    }
}

fn peer_of(finding: &Finding) -> Option<&str> {
    finding.object.as_deref()?.strip_prefix("BgpPeer ")
}

/// Takes a peer over as it was, unless somebody else has come to its place. The session of the mesh that has come
/// there because the peer was left out is nobody else: it makes way again.
fn keep(name: &str, last: &Compiled, compiled: &mut Compiled) {
    let intent = Arc::make_mut(&mut compiled.intent);
    let last_peer = last.intent.peers.get(name).filter(|peer| peer.origin != PeerOrigin::Mesh);
    if let Some(peer) = last_peer {
        let taken = |other: &PeerIntent| other.address == peer.address && other.interface == peer.interface;
        intent.peers.retain(|_, other| other.origin != PeerOrigin::Mesh || !taken(other));
        if !intent.peers.contains_key(name) && !intent.peers.values().any(taken) {
            intent.peers.insert(name.to_owned(), peer.clone());
        }
    }
    if let Some(range) = last.intent.ranges.get(name)
        && !intent.ranges.contains_key(name)
        && !intent.ranges.values().any(|other| other.range == range.range)
    {
        intent.ranges.insert(name.to_owned(), range.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::manifests;

    const OBJECTS: &str = "
apiVersion: v1
kind: Node
metadata: {name: node1}
spec: {podCIDRs: [10.244.1.0/24]}
status: {addresses: [{type: InternalIP, address: 192.168.1.11}]}
---
apiVersion: routelet.dev/v1alpha1
kind: BgpPeer
metadata: {name: tor-a}
spec: {address: 192.168.1.1, asn: 65000, passwordSecretRef: {name: tor-a, key: password}}
---
apiVersion: routelet.dev/v1alpha1
kind: BgpPeer
metadata: {name: tor-b}
spec: {address: 192.168.1.2, asn: 65000}
---
apiVersion: v1
kind: Secret
metadata: {name: tor-a}
stringData: {password: secret}
";

    fn objects(text: &str) -> ObjectSet {
        manifests::parse([("objects.yaml", text)]).unwrap().objects
    }

    #[test]
    fn a_peer_whose_secret_goes_stays_as_it_was_and_others_change() {
        let whole = compile(&objects(OBJECTS), "node1").unwrap();
        let mut without = objects(&OBJECTS.replace("192.168.1.2,", "192.168.1.3,"));
        without.secrets.clear();
        let (compiled, faults) = around_peers(&without, "node1", Some(&whole)).unwrap();
        assert_eq!(compiled.intent.peers["tor-a"], whole.intent.peers["tor-a"]);
        assert_eq!(compiled.intent.peers["tor-b"].address.to_string(), "192.168.1.3");
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let missing =
            "BgpPeer tor-a: spec.passwordSecretRef: there is no Secret tor-a (wanted: its key password)";
        assert_eq!(said, [missing]);
        // One that never was is left out.
        let (compiled, _) = around_peers(&without, "node1", None).unwrap();
        assert_eq!(compiled.intent.peers.keys().collect::<Vec<_>>(), ["tor-b"]);
    }

    #[test]
    fn of_two_at_one_place_the_one_at_fault_does_not_come_back() {
        let whole = compile(&objects(OBJECTS), "node1").unwrap();
        // A peer that sorts before tor-b takes its address.
        let both = objects(&OBJECTS.replace("address: 192.168.1.1,", "address: 192.168.1.2,"));
        let (compiled, faults) = around_peers(&both, "node1", Some(&whole)).unwrap();
        assert_eq!(compiled.intent.peers.keys().collect::<Vec<_>>(), ["tor-a"]);
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn a_session_of_the_mesh_does_not_take_the_place_of_a_peer_at_fault() {
        let node2 = "---
apiVersion: v1
kind: Node
metadata: {name: node2}
spec: {podCIDRs: [10.244.2.0/24]}
status: {addresses: [{type: InternalIP, address: 192.168.1.1}]}
";
        let mut objects = objects(&format!("{OBJECTS}{node2}"));
        let whole = compile(&objects, "node1").unwrap();
        assert_eq!(whole.intent.peers.keys().collect::<Vec<_>>(), ["tor-a", "tor-b"]);
        objects.secrets.clear();
        let (compiled, _) = around_peers(&objects, "node1", Some(&whole)).unwrap();
        assert_eq!(compiled.intent.peers, whole.intent.peers, "it would have no password");
    }

    #[test]
    fn what_is_wrong_with_the_node_itself_is_an_error() {
        let mut basis = Basis::default();
        assert!(compile_around(&objects(OBJECTS), "node9", None, &mut basis).is_err());
    }

    #[test]
    fn settings_that_contradict_each_other_stay_as_they_were_and_others_change() {
        let configuration = |name: &str, asn: u32| {
            format!(
                "---\napiVersion: routelet.dev/v1alpha1\nkind: BgpConfiguration\n\
                 metadata: {{name: {name}}}\nspec:\n  asn: {asn}\n  nodeSelector:\n    \
                 matchExpressions: [{{key: other, operator: DoesNotExist}}]\n"
            )
        };
        let mut basis = Basis::default();
        let good = objects(&format!("{OBJECTS}{}", configuration("rack", 64600)));
        let (whole, faults) = compile_around(&good, "node1", None, &mut basis).unwrap();
        assert_eq!((whole.intent.asn, faults.len()), (64600, 0));
        // One that sorts before the other must not win by that.
        let text = format!("{OBJECTS}{}{}", configuration("another", 64700), configuration("rack", 64600));
        let text = text.replace("address: 192.168.1.2,", "address: 192.168.1.3,");
        let contradictory = objects(&text.replace(
            "metadata: {name: node1}",
            "metadata: {name: node1, deletionTimestamp: \"2026-11-01T00:00:00Z\"}",
        ));
        let (compiled, faults) = compile_around(&contradictory, "node1", Some(&whole), &mut basis).unwrap();
        assert_eq!((compiled.intent.asn, faults.len()), (64600, 1), "{faults:?}");
        assert_eq!(compiled.intent.peers["tor-b"].address.to_string(), "192.168.1.3");
        assert!(compiled.intent.retreat.is_some(), "the node leaves, whatever its settings");
        // Without any from before, there is nothing to go by.
        assert!(compile_around(&contradictory, "node1", None, &mut Basis::default()).is_err());
    }
}
