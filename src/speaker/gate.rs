//! The gate before the first pods: a node takes none until it can forward for them.
//!
//! It opens once, when all of this is the case at the same time: the node's own pod CIDRs can be delivered
//! and are announced, so many peers have told all they have (End-of-RIB, RFC 4724 §2), and the kernel has the
//! routes. A peer that promises no End-of-RIB counts a few seconds after its session is up. After a restart of our
//! own, choosing among paths may wait longer than that: the kernel still has the routes from before.
//!
//! Nodes that start together do not wait for each other in a circle: what a node tells its peers, and its
//! End-of-RIB with it, never waits for its own gate. What can keep a peer from telling is that it is not
//! there. So the wait for peers has an end: a node that is the first of its cluster, or the last, is of more use
//! with the pods it can take than with none, and a ToR may well be what the pods are needed to repair. Whose
//! End-of-RIB is missing then is said. The same time is given to a route that the kernel refuses: some peer may
//! announce one that it never takes, and the others are as good as they were. The rest of the gate has no such
//! end: without a bridge no pod would work.
//!
//! Once open, it stays open. Peers come and go while pods run; to refuse pods because of them would turn the
//! failure of a ToR into one of every node of its rack at once, and free no one from it. What the node itself
//! lacks, the bridge or the kernel's forwarding, does count later on ([`Speaker::originates_all`]).

use std::collections::BTreeSet;
use std::time::Duration;

use super::peer::Peer;
use super::restart::has_told_all;
use super::{Notice, Speaker};
use crate::bgp::session::Negotiated;
use crate::rib::PeerId;
use crate::time::Instant;

/// How long a peer that promises no End-of-RIB has to tell what it has.
const UNPROMISED: Duration = Duration::from_secs(5);

/// What the first pods wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateTerms {
    /// Of so many peers all is to be known.
    pub required_peers: u32,
    /// How long, from the first configuration on, peers are waited for, and routes that the kernel refuses.
    pub timeout: Duration,
}

impl GateTerms {
    /// How long peers are waited for unless something else is said. Several attempts to connect, and less
    /// than a rollout of daemons commonly waits for one node.
    pub const TIMEOUT: Duration = Duration::from_secs(60);
}

impl Default for GateTerms {
    /// No peer is waited for.
    fn default() -> GateTerms {
        GateTerms { required_peers: 0, timeout: GateTerms::TIMEOUT }
    }
}

/// How far it is from opening.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// When the first configuration came.
    began: Option<Instant>,
    open: bool,
    /// Names of peers that have not told all, while it is closed: with thousands of peers, they are not to
    /// be gone through for every input.
    missing: BTreeSet<String>,
    /// Peers that promise no End-of-RIB, with when they count as having told all, unless their session falls
    /// before.
    unpromised: BTreeSet<(Instant, PeerId)>,
}

impl Speaker {
    /// The first configuration is there.
    pub(super) fn begin_gate(&mut self) {
        self.gate.began = Some(self.now);
    }

    /// Whether the node has once been able to forward for pods.
    pub fn gate_is_open(&self) -> bool {
        self.gate.open
    }

    /// What keeps the gate closed, in words; nothing once it has been open.
    pub fn gate_waits_for(&self) -> Vec<String> {
        let Some(intent) = self.intent.as_ref().filter(|_| !self.gate.open) else { return vec![] };
        let mut waits = vec![];
        if self.gate_waits_for_peers() {
            let (told, required) = (self.peers_that_told(), intent.gate.required_peers);
            let missing = &self.gate.missing;
            let missing = if missing.is_empty() { "no other is configured".to_owned() } else { few(missing) };
            waits.push(format!(
                "{told} of {required} peers have told all they have (End-of-RIB); missing: {missing}"
            ));
        }
        if self.gate_waits_for_routes() {
            waits.push("kernel routes are not in step yet".to_owned());
        }
        waits
    }

    /// Opens the gate if nothing is left to wait for; `false` if it stays as it is. To be called when all
    /// that was dirty has been decided.
    pub(super) fn advance_gate(&mut self) -> bool {
        if self.gate.open {
            return false;
        }
        self.count_unpromised();
        // Without the words, for thousands of peers may be missing, and this is asked after every input.
        let waits = || !self.originates_all() || self.gate_waits_for_peers() || self.gate_waits_for_routes();
        if self.intent.is_none() || waits() {
            return false;
        }
        self.gate.open = true;
        let required = self.intent.as_ref().map_or(0, |intent| intent.gate.required_peers as usize);
        let told = self.peers_that_told();
        let missing = std::mem::take(&mut self.gate.missing);
        let missing = if told < required { missing.into_iter().collect() } else { vec![] };
        self.gate.unpromised.clear();
        self.notice(Notice::GateOpen { told, required, missing });
        true
    }

    /// When the gate may open without any news.
    pub(super) fn gate_due(&self) -> Option<Instant> {
        if self.gate.open || self.intent.as_ref()?.gate.required_peers == 0 {
            return None;
        }
        let end = self.gate.began? + self.intent.as_ref()?.gate.timeout;
        let unpromised = self.gate.unpromised.first().map(|(at, _)| *at);
        unpromised.into_iter().chain([end]).filter(|at| *at > self.now).min()
    }

    /// Notes whether a peer has told all. To be called when it is there first, when its session comes up or
    /// falls, and when it says End-of-RIB.
    pub(super) fn note_told(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(&id).filter(|_| !self.gate.open) else { return };
        if has_told_all(peer) {
            self.gate.missing.remove(&peer.name);
        } else {
            self.gate.missing.insert(peer.name.clone());
        }
        self.gate.unpromised.extend(unpromised(peer).map(|at| (at, id)));
    }

    /// Peers that promise no End-of-RIB and have had time to tell count as having told.
    fn count_unpromised(&mut self) {
        let Gate { missing, unpromised: waiting, .. } = &mut self.gate;
        while let Some((at, id)) = waiting.first().copied().filter(|(at, _)| *at <= self.now) {
            waiting.pop_first();
            if let Some(peer) = self.peers.get(&id).filter(|peer| unpromised(peer) == Some(at)) {
                missing.remove(&peer.name);
            }
        }
    }

    /// A peer is gone for good, and not waited for.
    pub(super) fn wait_no_more_for(&mut self, peer: &str) {
        self.gate.missing.remove(peer);
    }

    fn gate_timed_out(&self) -> bool {
        let timeout = self.intent.as_ref().map(|intent| intent.gate.timeout);
        self.gate.began.zip(timeout).is_some_and(|(began, timeout)| began + timeout <= self.now)
    }

    fn gate_waits_for_peers(&self) -> bool {
        let required = self.intent.as_ref().map_or(0, |intent| intent.gate.required_peers as usize);
        required > 0 && !self.gate_timed_out() && self.peers_that_told() < required
    }

    fn gate_waits_for_routes(&self) -> bool {
        let refused_for_long = self.gate_timed_out() && self.fib.waits_to_retry();
        let in_step = self.fib_in_step() || refused_for_long;
        !(self.rib.is_settled() && in_step)
    }

    fn peers_that_told(&self) -> usize {
        self.peers.len() - self.gate.missing.len()
    }
}

/// The first few of many names.
pub(super) fn few<'a>(names: impl IntoIterator<Item = &'a String, IntoIter: ExactSizeIterator>) -> String {
    const FEW: usize = 5;
    let names = names.into_iter();
    let more = names.len().saturating_sub(FEW);
    let shown = names.take(FEW).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// When a peer that promises no End-of-RIB counts as having told all.
fn unpromised(peer: &Peer) -> Option<Instant> {
    let session = peer.established()?;
    let promises = session.negotiated().and_then(Negotiated::graceful_restart).is_some();
    session.established_at().filter(|_| !promises).map(|at| at + UNPROMISED)
}
