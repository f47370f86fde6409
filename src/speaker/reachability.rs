//! What links and addresses that fail make of sessions: these fall at once, not after the hold time.
//!
//! A session falls when the way to its peer goes that it had before, or its own address. Which way that
//! is depends on how far away the peer may be:
//!
//! - A peer one hop away is reached over a connected subnet or not at all: a default route that still leads
//!   somewhere does not help it.
//! - An internal peer may be any number of hops away. It falls when nothing leads to it any more.
//! - So does a multihop peer, if it is configured to: elsewhere the network may heal within the hold time.
//!
//! No NOTIFICATION is sent, which could not arrive. Paths of the peer go at once, also where graceful restart
//! was agreed on: that is for a control plane that restarts while packets flow (RFC 4724 §1), and here they
//! do not (RFC 5882 §4.3 has the same of BFD). The peer, who may see nothing but silence, decides for itself.
//!
//! When the way is back, the session is tried at once, whatever pause it is in.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Speaker;
use super::intent::{Distance, FastFailover};
use super::peer::Peer;
use crate::rib::PeerId;
use crate::rib::next_hop::{OnLink, Underlay, is_link_local};
use crate::time::Instant;

/// Why a session has fallen, as people see it.
const LINK_DOWN: &str = "its link is down";
/// The same of one across routers.
const NO_ROUTE: &str = "no route leads to it any more";

/// How a peer is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// Not at all.
    None,
    /// By way of a router.
    Routed,
    /// On a connected subnet.
    Connected,
}

/// What a new underlay means for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It falls, and this is why.
    CutOff(&'static str),
    /// It is worth another try.
    Back,
}

impl Speaker {
    /// Takes the addresses of this machine. Sessions from one that has gone fall.
    pub fn handle_addresses(&mut self, now: Instant, addresses: BTreeSet<IpAddr>) {
        self.now = now;
        let before = std::mem::replace(&mut self.addresses, addresses);
        let gone: BTreeSet<&IpAddr> = before.difference(&self.addresses).collect();
        let homeless = |peer: &Peer| {
            let local = peer.first.connection.as_ref()?.local?.ip().to_canonical();
            let falls = peer.intent.fast_failover != FastFailover::Never && gone.contains(&local);
            falls.then_some((peer.id, local))
        };
        let homeless: Vec<(PeerId, IpAddr)> = self.peers.values().filter_map(homeless).collect();
        for (id, address) in homeless {
            self.cut_off(id, &format!("its local address {address} is gone"));
        }
    }

    /// What an underlay that is about to replace the present one means for which sessions.
    pub(super) fn turns(&self, underlay: &Underlay) -> Vec<(PeerId, Turn)> {
        let before = self.next_hops.underlay();
        let external =
            |peer: &Peer| self.intent.as_ref().is_some_and(|intent| peer.intent.is_external(intent.asn));
        let turn = |peer: &Peer| {
            let (was, is) = (way(peer, before), way(peer, underlay));
            Some((peer.id, turn(peer, external(peer), was, is)?))
        };
        self.peers.values().filter_map(turn).collect()
    }

    /// Does what a new underlay means.
    pub(super) fn take_turns(&mut self, turns: Vec<(PeerId, Turn)>) {
        for (id, turn) in turns {
            match turn {
                Turn::CutOff(why) => self.cut_off(id, why),
                Turn::Back => self.way_back(id),
            }
        }
    }

    fn cut_off(&mut self, id: PeerId, why: &str) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let second = peer.second.take();
        // An attempt that still connects would wait for a SYN to be repeated. It fails by itself.
        if peer.first.session.negotiated().is_some() {
            peer.first.session.handle_cut_off(now, why);
        }
        if let Some(second) = second {
            self.discard(id, second);
        }
        self.drain(id);
        if self.peers.get(&id).is_some_and(|peer| peer.established().is_none()) {
            // What has outlived an earlier session has as little of a way.
            self.let_go_all(id);
        }
    }

    fn way_back(&mut self, id: PeerId) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.waits_for_path()) {
            peer.first.session.handle_way_back(now);
        }
        self.drain(id);
    }
}

/// How a peer is reached by an underlay.
fn way(peer: &Peer, underlay: &Underlay) -> Way {
    let address = match peer.intent.address {
        // Of a session that is not up, nobody knows the link.
        IpAddr::V6(address) if is_link_local(address.into()) => OnLink::link_local(address, peer.link),
        address => address.into(),
    };
    match underlay.resolve(address) {
        None => Way::None,
        Some(resolution) if resolution.via == peer.intent.address => Way::Connected,
        Some(_) => Way::Routed,
    }
}

fn turn(peer: &Peer, external: bool, was: Way, is: Way) -> Option<Turn> {
    if was == is {
        return None;
    }
    let one_hop = match peer.intent.distance {
        Distance::Default => external,
        Distance::Multihop(hops) | Distance::Security(hops) => hops <= 1,
    };
    let any_hops = peer.intent.distance == Distance::Default && !external;
    let gone = match peer.intent.fast_failover {
        FastFailover::Never => None,
        _ if one_hop => (was == Way::Connected).then_some(LINK_DOWN),
        FastFailover::Connected if any_hops => {
            (was == Way::Connected && is == Way::None).then_some(LINK_DOWN)
        }
        FastFailover::Connected => None,
        FastFailover::Always => (is == Way::None).then_some(NO_ROUTE),
    };
    match gone {
        Some(why) => Some(Turn::CutOff(why)),
        None => (is > was && (is == Way::Connected || !one_hop)).then_some(Turn::Back),
    }
}
