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
use std::sync::Arc;
use std::time::Duration;

use super::action::{ConnectionId, Terms, Transport};
use super::graceful::Kept;
use super::intent::{Distance, ExtendedNextHop, Intent, PeerIntent};
use super::prefix_limit::Limits;
use super::trouble::{Faults, Notifications};
use super::view::NotificationView;
use crate::bgp::capability::AddPath;
use crate::bgp::session::{
    Config, Counters, Failure, Negotiated, OPEN_HOLD, RestartBits, RestartOffer, State, Timer, send_hold,
};
use crate::bgp::{Open, PathNlri, Session};
use crate::prefix::Family;
use crate::rib::loc_rib::Place;
use crate::rib::{PathsOut, PeerId};
use crate::time::Instant;

/// How long after a session is Established the OPEN of a connection that lost to it may arrive.
const COLLISION_OVER: Duration = Duration::from_secs(2);

/// A peer and everything that belongs to it alone.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) name: String,
    pub(super) intent: PeerIntent,
    /// The range it has come from, if it is dynamic.
    pub(super) range: Option<String>,
    pub(super) first: Box<Slot>,
    pub(super) second: Option<Box<Slot>>,
    /// What it has been told of families with path identifiers. Of others, see its group.
    pub(super) out: PathsOut,
    /// Of these, families whose table is still to be walked for this peer, and how far the walk has come.
    pub(super) walks: BTreeMap<Family, Option<Place>>,
    /// Families whose End-of-RIB is still to be sent.
    pub(super) end_of_rib_due: BTreeSet<Family>,
    /// Families whose End-of-RIB has arrived.
    pub(super) end_of_rib_seen: BTreeSet<Family>,
    /// Families whose refresh has begun and not ended (RFC 7313).
    pub(super) refreshing: BTreeSet<Family>,
    /// Families the peer has asked for again before their first End-of-RIB.
    pub(super) refresh_asked: BTreeSet<Family>,
    /// What the peer has not announced again, of each family that it refreshes or that has outlived
    /// its session.
    pub(super) stale: BTreeMap<Family, BTreeSet<PathNlri>>,
    /// Index of the interface that the session runs over, where it is between link-local addresses. Kept
    /// when the session goes: paths may outlive it.
    pub(super) link: Option<u32>,
    /// Families whose paths have outlived their session.
    pub(super) kept: BTreeMap<Family, Kept>,
    /// What the session agreed on that is up, or was last: that of all paths of the peer.
    pub(super) agreed: Option<Arc<Negotiated>>,
    /// What OPENs say of our forwarding.
    restart_bits: RestartBits,
    /// Counters of sessions that are gone.
    pub(super) past: Counters,
    pub(super) faults: Faults,
    /// The last NOTIFICATIONs of sessions that are gone.
    past_notifications: Notifications,
    /// How it stands with the limit on its prefixes.
    pub(super) limits: Limits,
    pub(super) flaps: u64,
    /// How its last session ended, or failed after the peer had been reached.
    pub(super) last_failure: Option<Failure>,
    /// What BFD last said about the way to it.
    pub(super) path: Option<crate::bfd::Change>,
    /// BFD has come up with its session established.
    pub(super) path_is_new: bool,
    /// When its sessions are next due, as the speaker has noted it: then, or later.
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
    /// The peer has restarted and knows nothing of the other connection (RFC 4724 §4.2).
    OtherIsForgotten,
}

impl Peer {
    pub(super) fn new(id: PeerId, name: String, intent: PeerIntent, local: &Intent, seed: u64) -> Peer {
        let session =
            Session::new(session_config(local, &intent), seed.wrapping_add(u64::from(id.number()) << 32));
        Peer {
            id,
            name,
            intent,
            range: None,
            first: Box::new(Slot { session, connection: None }),
            second: None,
            out: PathsOut::default(),
            walks: BTreeMap::new(),
            end_of_rib_due: BTreeSet::new(),
            end_of_rib_seen: BTreeSet::new(),
            refreshing: BTreeSet::new(),
            refresh_asked: BTreeSet::new(),
            stale: BTreeMap::new(),
            link: None,
            kept: BTreeMap::new(),
            agreed: None,
            restart_bits: RestartBits::default(),
            past: Counters::default(),
            faults: Faults::default(),
            past_notifications: Notifications::default(),
            limits: Limits::default(),
            flaps: 0,
            last_failure: None,
            path: None,
            path_is_new: false,
            wake: None,
            sessions: 0,
        }
    }

    /// A further session for an incoming connection, or for a changed configuration.
    pub(super) fn new_session(&mut self, local: &Intent, seed: u64) -> Session {
        self.sessions += 1;
        let seed = seed.wrapping_add(u64::from(self.id.number()) << 32).wrapping_add(self.sessions);
        let mut session = Session::new(session_config(local, &self.intent), seed);
        session.set_restart_bits(self.restart_bits);
        session
    }

    /// Whether OPENs say from now on that we have restarted.
    pub(super) fn set_restarting(&mut self, restarting: bool) {
        self.set_restart_bits(RestartBits { restarting, ..self.restart_bits });
    }

    /// Sets what OPENs say of our forwarding from now on.
    pub(super) fn set_restart_bits(&mut self, bits: RestartBits) {
        self.restart_bits = bits;
        self.first.session.set_restart_bits(bits);
        if let Some(second) = &mut self.second {
            second.session.set_restart_bits(bits);
        }
    }

    pub(super) fn slot(&mut self, which: Which) -> Option<&mut Slot> {
        match which {
            Which::First => Some(&mut self.first),
            Which::Second => self.second.as_deref_mut(),
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

    /// The AS that the peer shows, or last did; 0, which nobody has, where it never has.
    pub(super) fn shown_asn(&self) -> u32 {
        self.agreed.as_ref().map_or(0, |agreed| agreed.asn)
    }

    /// Families of which an Established session is told several paths, with identifiers (RFC 7911).
    pub(super) fn families_of_paths(&self) -> impl Iterator<Item = Family> + use<> {
        let negotiated = self.established().and_then(Session::negotiated);
        let agreed = negotiated.map(|negotiated| negotiated.codec.add_path).unwrap_or_default();
        let wanted = self.intent.add_path.send.is_some();
        let families = negotiated.map(|negotiated| negotiated.codec.families.clone()).unwrap_or_default();
        families.into_iter().filter(move |family| wanted && agreed[*family as usize].send)
    }

    /// Whether a refresh is under way or has been asked for (RFC 7313).
    pub(super) fn has_refreshes(&self) -> bool {
        !self.refreshing.is_empty() || !self.refresh_asked.is_empty()
    }

    /// Judges an OPEN that arrived on one session against the other.
    pub(super) fn collision(&self, now: Instant, which: Which, open: &Open, local: &Intent) -> Collision {
        let Some(second) = &self.second else { return Collision::None };
        let (this, other) = match which {
            Which::First => (&self.first, second),
            Which::Second => (second, &self.first),
        };
        if this.session.state() != State::OpenSent {
            return Collision::None;
        }
        match other.session.state() {
            State::Established if self.has_restarted(now, &other.session, open, local) => {
                Collision::OtherIsForgotten
            }
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

    /// RFC 4724 §4.2: a new connection from a peer that keeps its forwarding state means that it has
    /// restarted, though the end of the old one has not come through. Soon after that was Established,
    /// it means a collision of which the peer has not heard yet.
    fn has_restarted(&self, now: Instant, old: &Session, open: &Open, local: &Intent) -> bool {
        let theirs = old.negotiated().and_then(Negotiated::graceful_restart);
        self.intent.graceful_restart.is_some()
            && theirs.is_some_and(|restart| !restart.families.is_empty())
            && old.established_at().is_some_and(|at| now - at >= COLLISION_OVER)
            && session_config(local, &self.intent).negotiate(open).is_ok()
    }

    /// Whether the peer will keep our routes when the session falls in silence: both sides speak
    /// graceful restart (RFC 4724 §4).
    pub(super) fn keeps_our_routes(&self) -> bool {
        let theirs = self.established().and_then(Session::negotiated).and_then(|n| n.graceful_restart());
        self.intent.graceful_restart.is_some() && theirs.is_some()
    }

    /// What its Established session asks of its connection.
    pub(super) fn terms(&self, negotiated: &Arc<Negotiated>) -> Terms {
        // No sooner than the send hold timer, unless asked for: a peer that talks and takes nothing for a
        // while is slow, and the kernel counts that, too.
        let user_timeout = self.intent.timers.user_timeout.or(send_hold(negotiated.hold));
        Terms { keepalive: negotiated.keepalive, user_timeout, agreed: negotiated.clone() }
    }

    /// What this peer's sockets must have.
    pub(super) fn transport(&self, local: &Intent) -> Transport {
        transport(&self.intent, local)
    }

    /// Counters over all sessions this peer has had.
    pub(super) fn counters(&self) -> Counters {
        add(self.past, self.first.session.counters())
    }

    /// Keeps the counters and NOTIFICATIONs of a session that is about to be dropped.
    pub(super) fn retire(&mut self, session: &Session) {
        self.past = add(self.past, session.counters());
        let (sent, received) = (session.notification_sent(), session.notification_received());
        self.past_notifications.merge(sent, received);
    }

    /// The last NOTIFICATIONs, sent and received, over all sessions this peer has had.
    pub(super) fn notifications(&self, now: Instant) -> [Option<NotificationView>; 2] {
        let mut all = self.past_notifications.clone();
        let session = &self.first.session;
        all.merge(session.notification_sent(), session.notification_received());
        all.views(now)
    }

    /// Notes the link that a session which has just come up runs over.
    pub(super) fn note_link(&mut self) {
        let local = self.first.connection.as_ref().and_then(|connection| connection.local);
        self.link = match local {
            Some(SocketAddr::V6(local)) if local.ip().is_unicast_link_local() => Some(local.scope_id()),
            _ => None,
        };
    }

    /// Forgets what belonged to the session that was up.
    pub(super) fn forget_session_state(&mut self) {
        self.out = PathsOut::default();
        self.walks.clear();
        self.end_of_rib_due.clear();
        self.end_of_rib_seen.clear();
        self.refreshing.clear();
        self.refresh_asked.clear();
        self.limits.forget_session();
    }
}

/// What the sockets of a peer must have.
pub(super) fn transport(peer: &PeerIntent, local: &Intent) -> Transport {
    let external = peer.is_external(local.asn);
    let (ttl, min_ttl) = match peer.distance {
        Distance::Default if external => (Some(1), None),
        Distance::Default => (None, None),
        Distance::Multihop(hops) => (Some(hops), None),
        // RFC 5082 §3: send with 255, accept what has crossed no more than so many hops.
        Distance::Security(hops) => (Some(255), Some(255 - hops.saturating_sub(1))),
    };
    Transport {
        source: peer.source,
        source_interface: peer.source_interface.clone(),
        password: peer.password.clone(),
        ttl,
        min_ttl,
        mark: peer.socket_mark,
        user_timeout: Some(OPEN_HOLD),
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
        damping: peer.timers.damping,
        passive: peer.passive,
        host_name: local.node_name.clone(),
        add_path: AddPath { receive: peer.add_path.receive, send: peer.add_path.send.is_some() },
        extended_next_hop: match peer.extended_next_hop {
            ExtendedNextHop::WhereNeeded => peer.address.is_ipv6(),
            ExtendedNextHop::Always => true,
            ExtendedNextHop::Never => false,
        },
        role: peer.role,
        role_strict: peer.role_strict,
        graceful_restart: peer
            .graceful_restart
            .map(|g| RestartOffer { restart_time: g.restart_time, long_lived_time: g.long_lived_time }),
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
