//! One peer: its session, a second one while connections collide, and what it has been told.
//!
//! Collision (RFC 4271 §6.8, RFC 6286 §2.3): the first session is the one that dials. A connection
//! that comes in while it is not waiting for one gets a second session. When an OPEN arrives on one
//! and the other is connected too, the connection opened by the side with the higher identifier
//! survives. A second session that survives takes the first one's place.
//!
//! RFC 4271 looks at connections in OpenConfirm only, for in OpenSent the identifier is not known from
//! that connection. It is known from this one, though, and two things done early keep a collision from
//! ever tearing down a session that one side believes Established: the loser is closed before it is
//! sent a KEEPALIVE, and an attempt that is still connecting when the other connection has come to
//! OpenConfirm is given up before it is sent an OPEN.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::action::{ConnectionId, Transport};
use super::intent::{Distance, Intent, PeerIntent};
use super::prefix_limit::Limits;
use crate::bgp::session::{Config, Counters, State, Timer};
use crate::bgp::{Open, Session};
use crate::prefix::{Family, Prefix};
use crate::rib::loc_rib::Place;
use crate::rib::{AdjRibOut, PeerId};
use crate::time::Instant;

/// A peer and everything that belongs to it alone.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) intent: PeerIntent,
    pub(super) first: Slot,
    pub(super) second: Option<Slot>,
    pub(super) out: AdjRibOut,
    /// Families whose table is still to be walked for this peer, and how far the walk has come.
    pub(super) walks: BTreeMap<Family, Option<Place>>,
    /// Families whose End-of-RIB is still to be sent.
    pub(super) end_of_rib_due: BTreeSet<Family>,
    /// Families whose End-of-RIB has arrived.
    pub(super) end_of_rib_seen: BTreeSet<Family>,
    /// Families whose refresh has begun and not ended (RFC 7313).
    pub(super) refreshing: BTreeSet<Family>,
    /// Families the peer has asked for again before their first End-of-RIB.
    pub(super) refresh_asked: BTreeSet<Family>,
    /// What the peer has not announced again, of each family that it refreshes.
    pub(super) stale: BTreeMap<Family, BTreeSet<Prefix>>,
    /// Counters of sessions that are gone.
    pub(super) past: Counters,
    pub(super) faults: u64,
    /// Attribute codes whose malformation has been reported already.
    pub(super) faults_reported: BTreeSet<u8>,
    /// How it stands with the limit on its prefixes.
    pub(super) limits: Limits,
    pub(super) flaps: u64,
    pub(super) last_error: Option<String>,
    /// What BFD last said about the way to it.
    pub(super) path: Option<crate::bfd::Change>,
    /// When its sessions are next due, as the speaker has noted it.
    pub(super) wake: Option<(Instant, Timer)>,
    /// How many sessions this peer has had: makes each one's jitter its own.
    sessions: u64,
}

/// A session with its connection, if it has one.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) session: Session,
    pub(super) connection: Option<Connection>,
}

/// A connection or the attempt to make one.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    /// We dialled.
    pub(super) outgoing: bool,
    /// Our end, once connected.
    pub(super) local: Option<SocketAddr>,
    /// Octets handed to the shell that it has not reported as sent.
    pub(super) unsent: usize,
}

/// Which of a peer's sessions is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    First,
    Second,
}

/// How a collision ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collision {
    /// There is none, or not yet.
    None,
    /// The connection on which the OPEN arrived is to be closed.
    ThisLoses,
    /// The other connection is to be closed.
    OtherLoses,
}

impl Peer {
    pub(super) fn new(id: PeerId, intent: PeerIntent, local: &Intent, seed: u64) -> Peer {
        let session = Session::new(session_config(local, &intent), seed.wrapping_add(u64::from(id.0) << 32));
        Peer {
            id,
            intent,
            first: Slot { session, connection: None },
            second: None,
            out: AdjRibOut::default(),
            walks: BTreeMap::new(),
            end_of_rib_due: BTreeSet::new(),
            end_of_rib_seen: BTreeSet::new(),
            refreshing: BTreeSet::new(),
            refresh_asked: BTreeSet::new(),
            stale: BTreeMap::new(),
            past: Counters::default(),
            faults: 0,
            faults_reported: BTreeSet::new(),
            limits: Limits::default(),
            flaps: 0,
            last_error: None,
            path: None,
            wake: None,
            sessions: 0,
        }
    }

    /// A further session for an incoming connection, or for a changed configuration.
    pub(super) fn new_session(&mut self, local: &Intent, seed: u64) -> Session {
        self.sessions += 1;
        let seed = seed.wrapping_add(u64::from(self.id.0) << 32).wrapping_add(self.sessions);
        Session::new(session_config(local, &self.intent), seed)
    }

    pub(super) fn slot(&mut self, which: Which) -> Option<&mut Slot> {
        match which {
            Which::First => Some(&mut self.first),
            Which::Second => self.second.as_mut(),
        }
    }

    /// The session that holds this connection.
    pub(super) fn which(&self, id: ConnectionId) -> Option<Which> {
        let holds = |slot: &Slot| slot.connection.as_ref().is_some_and(|c| c.id == id);
        if holds(&self.first) {
            Some(Which::First)
        } else {
            self.second.as_ref().filter(|s| holds(s)).map(|_| Which::Second)
        }
    }

    /// When one of its sessions is next due, and for which timer.
    pub(super) fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let second = self.second.as_ref().and_then(|s| s.session.poll_timeout());
        self.first.session.poll_timeout().into_iter().chain(second).min()
    }

    /// Whether this peer means the given end points.
    pub(super) fn matches(&self, local: IpAddr, remote: IpAddr) -> bool {
        self.intent.address == remote && self.intent.source.is_none_or(|source| source == local)
    }

    /// The session if it is Established. Only a first session ever is, once outputs are drained.
    pub(super) fn established(&self) -> Option<&Session> {
        Some(&self.first.session).filter(|s| s.state() == State::Established)
    }

    /// The AS that the peer shows while its session is up; 0, which nobody has, while it is not.
    pub(super) fn shown_asn(&self) -> u32 {
        self.established().and_then(Session::negotiated).map_or(0, |n| n.asn)
    }

    /// Judges an OPEN that arrived on one session against the other.
    pub(super) fn collision(&self, which: Which, open: &Open, local: &Intent) -> Collision {
        let Some(second) = &self.second else { return Collision::None };
        let (this, other) = match which {
            Which::First => (&self.first, second),
            Which::Second => (second, &self.first),
        };
        if this.session.state() != State::OpenSent {
            return Collision::None;
        }
        match other.session.state() {
            // RFC 4271 §6.8: a collision with an Established session closes the new connection.
            State::Established => Collision::ThisLoses,
            State::OpenSent | State::OpenConfirm => {
                let outgoing = |slot: &Slot| slot.connection.as_ref().is_some_and(|c| c.outgoing);
                if outgoing(this) == outgoing(other) {
                    return Collision::OtherLoses;
                }
                let shown_as = self.intent.as_path.shown_as(local.asn);
                let ours_wins = (local.router_id, shown_as) > (open.router_id, open.asn);
                if outgoing(this) == ours_wins { Collision::OtherLoses } else { Collision::ThisLoses }
            }
            _ => Collision::None,
        }
    }

    /// What this peer's sockets must have.
    pub(super) fn transport(&self, local: &Intent) -> Transport {
        let external = self.intent.is_external(local.asn);
        let (ttl, min_ttl) = match self.intent.distance {
            Distance::Default if external => (Some(1), None),
            Distance::Default => (None, None),
            Distance::Multihop(hops) => (Some(hops), None),
            // RFC 5082 §3: send with 255, accept what has crossed no more than so many hops.
            Distance::Security(hops) => (Some(255), Some(255 - hops.saturating_sub(1))),
        };
        Transport { source: self.intent.source, password: self.intent.password.clone(), ttl, min_ttl }
    }

    /// Counters over all sessions this peer has had.
    pub(super) fn counters(&self) -> Counters {
        add(self.past, self.first.session.counters())
    }

    /// Keeps the counters of a session that is about to be dropped.
    pub(super) fn retire(&mut self, session: &Session) {
        self.past = add(self.past, session.counters());
    }

    /// Forgets what belonged to the session that was up.
    pub(super) fn forget_session_state(&mut self) {
        self.out = AdjRibOut::default();
        self.walks.clear();
        self.end_of_rib_due.clear();
        self.end_of_rib_seen.clear();
        self.refreshing.clear();
        self.refresh_asked.clear();
        self.stale.clear();
        self.limits.forget_session();
    }
}

/// The part of the configuration that a session lives by: if it changes, the session must go.
pub(super) fn session_config(local: &Intent, peer: &PeerIntent) -> Config {
    Config {
        local_asn: peer.as_path.shown_as(local.asn),
        router_id: local.router_id,
        remote_as: peer.asn,
        families: peer.families.clone(),
        hold: peer.timers.hold,
        keepalive: peer.timers.keepalive,
        connect_retry: peer.timers.connect_retry,
        passive: peer.passive,
        host_name: local.node_name.clone(),
        role: peer.role,
        role_strict: peer.role_strict,
    }
}

fn add(a: Counters, b: Counters) -> Counters {
    Counters {
        messages_in: a.messages_in + b.messages_in,
        messages_out: a.messages_out + b.messages_out,
        updates_in: a.updates_in + b.updates_in,
        updates_out: a.updates_out + b.updates_out,
    }
}
