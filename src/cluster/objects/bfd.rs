//! BFD among the nodes, as a `BgpConfiguration` sets it, and what all intervals of BFD must keep to.
//!
//! BFD with one `BgpPeer` is a field of its own object: [`super::bgp_peer::BfdSpec`].

use std::num::NonZeroU8;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::Problems;
use super::duration::Span;

/// BFD (RFC 5880) on the sessions among the nodes. Both ends of a session must have it on.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new(
    "!has(self.minTx) || duration(self.minTx) >= duration('1ms') \
     && duration(self.minTx) <= duration('4294s')"
).message("must be from 1ms to 4294s").field_path(".minTx"))]
#[x_kube(validation = Rule::new(
    "!has(self.minRx) || duration(self.minRx) >= duration('1ms') \
     && duration(self.minRx) <= duration('4294s')"
).message("must be from 1ms to 4294s").field_path(".minRx"))]
pub struct MeshBfdSpec {
    /// Whether these sessions have it. Default true where anything else of it is given, else false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Desired minimum interval between packets we send. Default 300ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tx: Option<Span>,
    /// Required minimum interval between packets we receive. Default 300ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_rx: Option<Span>,
    /// Packets that may be missed before the other node is down. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier: Option<NonZeroU8>,
    /// The most hops between two nodes; of two that say differently, the greater holds. Default 1: all
    /// on one segment (RFC 5881). More is multihop BFD, on another port (RFC 5883).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multihop: Option<NonZeroU8>,
}

impl MeshBfdSpec {
    pub(super) fn check(&self, problems: &mut Problems) {
        check_intervals(self.min_tx, self.min_rx, problems);
    }
}

/// RFC 5880 §4.1: intervals are 32 bits of microseconds, and zero means something else.
pub(super) fn check_intervals(min_tx: Option<Span>, min_rx: Option<Span>, problems: &mut Problems) {
    for (field, interval) in [("minTx", min_tx), ("minRx", min_rx)] {
        if interval.is_some_and(|Span(i)| i.is_zero() || u32::try_from(i.as_micros()).is_err()) {
            problems.add(format!("spec.bfd.{field}"), "must be from 1ms to 4294s");
        }
    }
}
