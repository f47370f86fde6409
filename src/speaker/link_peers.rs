//! Peers without an address: whoever is on the other side of a link.
//!
//! The configuration names an interface; the shell finds out who is there. Until it has, such a peer is
//! left out. When the address changes the peer is a new one, and when the link goes so does the peer.
//! IPv4 goes over the link by IPv6 next hops (RFC 8950).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::Speaker;
use super::intent::{Intent, PeerIntent};
use super::peer::Peer;
use crate::time::Instant;

/// Who has been found on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkPeer {
    /// The link-local address.
    pub address: Ipv6Addr,
    /// Index of our interface.
    pub link: u32,
}

/// What is known of links, and what was asked for before that was put in.
#[derive(Debug, Default)]
pub(super) struct Links {
    found: BTreeMap<String, LinkPeer>,
    pub(super) asked: Option<Arc<Intent>>,
}

impl Links {
    /// The peer with the address it has been found at; `None` until it has.
    fn resolve(&self, mut peer: PeerIntent) -> Option<PeerIntent> {
        if peer.is_unnumbered() {
            peer.address = self.found.get(peer.interface.as_ref()?)?.address.into();
        }
        Some(peer)
    }

    /// The configuration with all those peers who can be reached.
    pub(super) fn resolve_all(&self, intent: Arc<Intent>) -> Arc<Intent> {
        if !intent.peers.values().any(PeerIntent::is_unnumbered) {
            return intent;
        }
        let mut intent = Arc::unwrap_or_clone(intent);
        let peers = std::mem::take(&mut intent.peers).into_iter();
        intent.peers = peers.filter_map(|(name, peer)| Some((name, self.resolve(peer)?))).collect();
        Arc::new(intent)
    }

    /// Whether a peer is still to be found.
    pub(super) fn are_searched(&self) -> bool {
        let unfound = |peer: &PeerIntent| {
            peer.is_unnumbered() && peer.interface.as_ref().is_none_or(|link| !self.found.contains_key(link))
        };
        self.asked.as_ref().is_some_and(|intent| intent.peers.values().any(unfound))
    }

    /// Whether a connection from there came in by the peer's link: every link may have the same addresses.
    pub(super) fn is_on_link(&self, peer: &Peer, remote: SocketAddr) -> bool {
        let interface = peer.intent.interface.as_ref();
        match (remote, interface.and_then(|interface| self.found.get(interface))) {
            (SocketAddr::V6(remote), Some(found))
                if IpAddr::from(found.address) == remote.ip().to_canonical() =>
            {
                remote.scope_id() == 0 || remote.scope_id() == found.link
            }
            _ => true,
        }
    }
}

impl Speaker {
    /// Somebody has been found on the other side of a link, somebody else than before, or nobody is there
    /// any more.
    pub fn handle_link_peer(&mut self, now: Instant, interface: &str, peer: Option<LinkPeer>) {
        self.now = now;
        let before = match peer {
            Some(peer) => self.links.found.insert(interface.to_owned(), peer),
            None => self.links.found.remove(interface),
        };
        if before != peer
            && let Some(asked) = self.links.asked.clone()
        {
            self.handle_intent(now, asked);
        }
    }
}
