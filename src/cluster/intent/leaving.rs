//! What a Node's signs of leaving mean for its own daemon.
//!
//! | sign | service addresses | pod CIDRs | a daemon that is told to end |
//! |---|---|---|---|
//! | cordoned | leave | stay: pods run on | restarts |
//! | tainted by an autoscaler, being deleted, shutting down | leave | stay: pods are being evicted, and answer till then | drains first: it is among the last to be ended |
//! | tainted as out of service, annotated | leave | leave: a full drain | drains first |
//! | gone altogether, by the API server | leave | leave: its pod CIDRs are free for another node | drains first |
//!
//! A cordon comes before every orderly end, and other nodes announce the same service addresses: peers may
//! well move these early. A pod CIDR is on one node alone. To withdraw it is to cut off pods that are still at
//! work, so that waits until nobody counts on them.
//!
//! The last node that announces a service address, of those that stay, holds on to it until another one has it. One
//! that is gone altogether holds on to nothing: nobody would ever tell it that another one has it by now, and what it
//! holds back with them, its pod CIDRs, would be announced twice.

use std::sync::Arc;

use super::Compiled;
use crate::cluster::objects::Node;
use crate::cluster::objects::node::Leaving;
use crate::speaker::intent::{Extent, Retreat};

/// What the node is to let go of; `None` if it stays.
pub(super) fn retreat(node: &Node) -> Option<Retreat> {
    node.leaves().map(|sign: Leaving| Retreat {
        extent: if sign.ends_pods() { Extent::Everything } else { Extent::ServiceAddresses },
        why: sign.to_string(),
        ends_daemon: sign.ends_daemon(),
    })
}

impl Compiled {
    /// The same for a node whose object is gone. Whatever else the objects say by now, they say nothing of this
    /// node any more: it goes as it was.
    pub fn without_node(&self) -> Compiled {
        let why = "the Node is gone".to_owned();
        let retreat = Some(Retreat { extent: Extent::Everything, why, ends_daemon: true });
        let mut left = self.clone();
        let intent = Arc::make_mut(&mut left.intent);
        intent.retreat = retreat;
        intent.last_announced.clear();
        left
    }
}
