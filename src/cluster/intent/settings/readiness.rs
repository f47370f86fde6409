//! When a node may take pods: `spec.readiness`.

use std::time::Duration;

use super::Layers;
use crate::cluster::objects::readiness::STARTUP_TAINT;
use crate::speaker::intent::GateTerms;

/// What holds for the node.
pub(in crate::cluster::intent) struct Readiness {
    required_peers: Option<u32>,
    timeout: Duration,
    /// Key of the taint that goes when the node can take pods, if one does.
    pub(in crate::cluster::intent) startup_taint: Option<String>,
}

impl Readiness {
    pub(super) fn of(layers: &mut Layers<'_>) -> Readiness {
        let required_peers =
            layers.value("spec.readiness.requiredPeers", |s| s.readiness.as_ref()?.required_peers);
        let timeout = layers.value("spec.readiness.timeout", |s| s.readiness.as_ref()?.timeout);
        let taint =
            layers.value("spec.readiness.startupTaint", |s| s.readiness.as_ref()?.startup_taint.clone());
        let taint = taint.unwrap_or_else(|| STARTUP_TAINT.to_owned());
        Readiness {
            required_peers,
            timeout: timeout.map_or(GateTerms::TIMEOUT, |span| span.0),
            startup_taint: Some(taint).filter(|taint| !taint.is_empty()),
        }
    }

    /// The gate of a node that has so many peers of its own.
    pub(in crate::cluster::intent) fn gate(&self, peers: usize) -> GateTerms {
        let required_peers = self.required_peers.unwrap_or(u32::from(peers > 0));
        GateTerms { required_peers, timeout: self.timeout }
    }
}
