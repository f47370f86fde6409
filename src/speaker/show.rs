//! A speaker's state as plain values (see [`super::view`]).

use std::time::Duration;

use super::peer::Peer;
use super::settle::Facts;
use super::view::{
    FibRouteView, FibState, PathView, PeerCounters, PeerFamilyView, PeerView, RestartView, RouteView, Summary,
};
use super::{Speaker, intent::RemoteAs};
use crate::bgp::capability::{AddPath, AddPathFamily, GracefulRestart, NextHopFamily, family_of};
use crate::bgp::session::Negotiated;
use crate::bgp::{Capability, PathId, PathNlri};
use crate::fib::{Listed, Standing};
use crate::prefix::{Family, Prefix};
use crate::rib::Source;
use crate::rib::loc_rib::Destination;
use crate::time::Instant;

impl Speaker {
    /// The whole speaker in a few numbers; `None` before there is a configuration.
    pub fn summary(&self) -> Option<Summary> {
        let intent = self.intent.as_ref()?;
        // One walk: the table may be large, and everybody waits.
        let (mut fib_installed, mut fib_pending, mut fib_conflicts) = (0, 0, 0);
        for standing in self.fib.standings() {
            fib_conflicts += u64::from(matches!(standing, Standing::Conflict(_)));
            match standing {
                Standing::Installed | Standing::Stale => fib_installed += 1,
                _ => fib_pending += 1,
            }
        }
        Some(Summary {
            node_name: intent.node_name.clone(),
            asn: intent.asn,
            router_id: intent.router_id,
            peers: self.peers.len() as u64,
            established: self.established_peers().count() as u64,
            routes: Family::ALL.map(|f| (f, self.rib.len(f))).to_vec(),
            fib_installed,
            fib_pending,
            fib_failures: self.fib.failures(),
            fib_conflicts,
            fib_repairs: self.fib.repairs(),
            ranges: self.range_views(intent),
            drain: self.drain_view(),
            retreat: self.retreat_view(),
        })
    }

    /// Every peer, by name.
    pub fn peers(&self, now: Instant) -> Vec<PeerView> {
        let Some(intent) = &self.intent else { return vec![] };
        self.names
            .iter()
            .filter_map(|(name, id)| Some(self.peer_view(name, self.peers.get(id)?, intent.asn, now)))
            .collect()
    }

    /// Every destination that `wanted` picks, with its paths, the best first.
    pub fn routes(&self, wanted: impl Fn(Prefix) -> bool) -> Vec<RouteView> {
        let picked = Family::ALL.into_iter().flat_map(|family| {
            let named = self.names_paths(family);
            let destinations = self.rib.ordered(family, &wanted).into_iter();
            destinations.filter_map(move |(prefix, destination)| self.route_view(prefix, destination, named))
        });
        picked.collect()
    }

    /// Whether there are peers who are told the names of paths.
    pub(super) fn names_paths(&self, family: Family) -> bool {
        self.peers.values().any(|peer| add_path_of(peer, family).send)
    }

    /// Every route of ours and how it stands with the kernel.
    pub fn fib(&self) -> Vec<FibRouteView> {
        let view = |listed: Listed<'_>| FibRouteView {
            prefix: listed.prefix,
            target: listed.target,
            metric: listed.metric,
            state: match listed.standing {
                Standing::Installed | Standing::Stale => FibState::Installed,
                Standing::Pending => FibState::Pending,
                Standing::Failed(reason) | Standing::Conflict(reason) => FibState::Failed(reason.to_owned()),
            },
        };
        self.fib.entries().into_iter().map(view).collect()
    }

    /// Destinations that our routes lead to through other routers; `None` if they are more than `most`.
    pub fn destinations(&self, most: usize) -> Option<Vec<Prefix>> {
        self.fib.destinations(most)
    }

    /// Whether there is a configuration.
    pub fn is_configured(&self) -> bool {
        self.intent.is_some()
    }

    /// Whether the kernel holds everything that is desired, as far as we know.
    pub fn fib_in_step(&self) -> bool {
        self.fib.is_in_step()
    }

    fn peer_view(&self, name: &str, peer: &Peer, local_asn: u32, now: Instant) -> PeerView {
        let session = &peer.first.session;
        let negotiated = session.negotiated();
        let counters = peer.counters();
        let [notification_sent, notification_received] = peer.notifications(now);
        let local_asn = peer.intent.as_path.shown_as(local_asn);
        let configured_asn = match peer.intent.asn {
            RemoteAs::Exactly(asn) => Some(asn),
            RemoteAs::Internal => Some(local_asn),
            RemoteAs::External => None,
        };
        // Of a peer that is down, what has outlived its session is left to see.
        let kept = || peer.kept.keys().copied().collect();
        let families = negotiated.map_or_else(kept, |n| n.codec.families.clone());
        let ours = peer.intent.graceful_restart;
        let restart = negotiated.and_then(Negotiated::graceful_restart).filter(|_| ours.is_some());
        let last_failure = peer.last_failure.as_ref().or(session.last_failure());
        PeerView {
            name: name.to_owned(),
            origin: peer.intent.origin,
            address: peer.intent.address,
            local_address: peer.first.connection.as_ref().and_then(|c| c.local).map(|l| l.ip()),
            asn: negotiated.map(|n| n.asn).or(configured_asn),
            local_asn,
            state: session.state().name(),
            established_for: session.established_at().map(|at| now - at),
            router_id: negotiated.map(|n| n.router_id),
            hold_time: negotiated.map(|n| n.hold),
            extended_next_hop: negotiated.is_some_and(|n| n.codec.extended_next_hop),
            families: families.into_iter().map(|family| self.family_view(peer, family, now)).collect(),
            graceful_restart: restart.map(|restart| RestartView {
                restarting: restart.restarting,
                notification: restart.notification,
                restart_time: Duration::from_secs(restart.restart_time.into()),
            }),
            capabilities: negotiated.map(|n| n.capabilities.iter().map(words).collect()).unwrap_or_default(),
            counters: PeerCounters {
                messages_in: counters.messages_in,
                messages_out: counters.messages_out,
                updates_in: counters.updates_in,
                updates_out: counters.updates_out,
                faults_withdrawn: peer.faults.withdrawn(),
                faults_discarded: peer.faults.discarded(),
            },
            last_error: last_failure.map(|failure| failure.words.clone()),
            last_cause: last_failure.map(|failure| failure.cause),
            attempt: session.last_failure().cloned(),
            not_agreed: negotiated.map(|n| not_agreed(peer, n)).unwrap_or_default(),
            has_password: peer.intent.password.is_some(),
            flaps: peer.flaps,
            notification_sent,
            notification_received,
            last_faults: peer.faults.views(now),
            bfd: peer.bfd_view(),
        }
    }

    fn family_view(&self, peer: &Peer, family: Family, now: Instant) -> PeerFamilyView {
        let count = self.rib.count(Source::Peer(peer.id), family);
        let restart = peer.established().and_then(|s| s.negotiated()).and_then(Negotiated::graceful_restart);
        PeerFamilyView {
            family,
            received: count.received,
            accepted: count.accepted,
            advertised: peer.out.len(family) + self.groups.len(peer.id, family),
            add_path: add_path_of(peer, family),
            end_of_rib: peer.end_of_rib_seen.contains(&family),
            forwarding: restart.and_then(|restart| restart.family(family)).map(|f| f.forwarding),
            stale: peer.stale.get(&family).map_or(0, |stale| stale.len() as u64),
            stale_for: peer
                .kept
                .get(&family)
                .filter(|kept| !kept.is_endless())
                .map(|kept| kept.until.since(now)),
            limit: peer.intent.max_prefixes.map(|most| most.limit),
            discarded: peer.limits.discarded(family),
        }
    }

    pub(super) fn bears_identifier(&self, family: Family, source: Source) -> bool {
        let Source::Peer(id) = source else { return false };
        let agreed = self.peers.get(&id).and_then(|peer| peer.agreed.as_ref());
        agreed.is_some_and(|agreed| agreed.codec.add_path[family as usize].receive)
    }

    /// One destination; with the names that paths are told by where there are peers who hear them.
    pub(super) fn route_view(
        &self,
        prefix: Prefix,
        destination: &Destination,
        named: bool,
    ) -> Option<RouteView> {
        let facts = Facts::new(self.intent.as_ref()?, &self.peers, &self.next_hops, self.presence());
        let decision = facts.decide(destination);
        let best = decision.as_ref().map(|d| d.best);
        let equal = decision.map(|d| d.equal.to_vec()).unwrap_or_default();
        let most = usize::from(facts.intent.fib.max_paths.max(1));
        let mut paths: Vec<PathView> = destination
            .paths()
            .iter()
            .enumerate()
            .map(|(i, path)| PathView {
                peer: match path.source {
                    Source::Local => None,
                    Source::Peer(id) => Some(self.peer_name(id)),
                },
                path_id: Some(path.path_id).filter(|_| self.bears_identifier(prefix.family(), path.source)),
                told_as: Some(PathId(path.told_as.into())).filter(|_| named),
                attributes: (**path.received()).clone(),
                changed: path.received.as_ref().map(|_| Box::new((*path.attributes).clone())),
                best: best == Some(i),
                multipath: equal.iter().take(most).any(|e| *e == i),
                stale: match path.source {
                    Source::Local => false,
                    Source::Peer(id) => self
                        .peers
                        .get(&id)
                        .is_some_and(|peer| peer.is_stale(PathNlri { prefix, id: path.path_id })),
                },
                ineligible: facts.ineligible(prefix, path),
            })
            .collect();
        paths.sort_by_key(|p| (!p.best, !p.multipath, p.ineligible.is_some(), p.peer.clone(), p.path_id));
        Some(RouteView { prefix, decided_by: destination.decided_by().map(|r| r.name()), paths })
    }
}

fn not_agreed(peer: &Peer, negotiated: &Negotiated) -> Vec<Family> {
    let agreed = &negotiated.codec.families;
    peer.intent.families.iter().copied().filter(|family| !agreed.contains(family)).collect()
}

fn add_path_of(peer: &Peer, family: Family) -> AddPath {
    let negotiated = peer.established().and_then(|session| session.negotiated());
    negotiated.map(|negotiated| negotiated.codec.add_path[family as usize]).unwrap_or_default()
}

fn words(capability: &Capability) -> String {
    match capability {
        Capability::Multiprotocol(family) => format!("multiprotocol {family}"),
        Capability::MultiprotocolOther { afi, safi } => format!("multiprotocol AFI {afi} SAFI {safi}"),
        Capability::RouteRefresh => "route refresh".to_owned(),
        Capability::FourOctetAs(asn) => format!("four-octet AS {asn}"),
        Capability::ExtendedNextHop(families) => extended_next_hop(families),
        Capability::AddPath(families) => add_path(families),
        Capability::ExtendedMessage => "extended message".to_owned(),
        Capability::Role(role) => format!("role {role}"),
        Capability::GracefulRestart(restart) => graceful_restart(restart),
        Capability::LongLivedGracefulRestart(families) => {
            let most = families.iter().map(|family| family.stale_time).max().unwrap_or_default();
            format!("long-lived graceful restart, up to {most} s")
        }
        Capability::EnhancedRouteRefresh => "enhanced route refresh".to_owned(),
        // Names come from the peer: nothing in them may reach a terminal as a command.
        Capability::Fqdn { host, domain } if domain.is_empty() => format!("FQDN {}", host.escape_default()),
        Capability::Fqdn { host, domain } => {
            format!("FQDN {}.{}", host.escape_default(), domain.escape_default())
        }
        Capability::Unknown { code, data } => match name(*code) {
            Some(name) => name.to_owned(),
            None => format!("code {code} with {}", octets(data)),
        },
    }
}

/// The front of what somebody sent, in hexadecimal digits.
fn octets(data: &[u8]) -> String {
    const SHOWN: usize = 16;
    if data.is_empty() {
        return "nothing".to_owned();
    }
    let digits: String = data.iter().take(SHOWN).map(|octet| format!("{octet:02x}")).collect();
    let rest = if data.len() > SHOWN { format!("… of {} octets", data.len()) } else { String::new() };
    format!("0x{digits}{rest}")
}

fn graceful_restart(restart: &GracefulRestart) -> String {
    if restart.families.is_empty() {
        return "graceful restart, End-of-RIB only".to_owned();
    }
    let notification = if restart.notification { ", also after NOTIFICATION" } else { "" };
    format!("graceful restart within {} s{notification}", restart.restart_time)
}

fn extended_next_hop(families: &[NextHopFamily]) -> String {
    let one = |family: &NextHopFamily| match *family {
        NextHopFamily::IPV4_OVER_IPV6 => "ipv4Unicast over IPv6".to_owned(),
        NextHopFamily { afi, safi, next_hop_afi } => format!("AFI {afi} SAFI {safi} over AFI {next_hop_afi}"),
    };
    let names: Vec<String> = families.iter().map(one).collect();
    format!("extended next hop ({})", names.join(", "))
}

fn add_path(families: &[AddPathFamily]) -> String {
    let one = |family: &AddPathFamily| {
        let directions = match family.directions {
            AddPath { receive: true, send: true } => "receive and send",
            AddPath { receive: true, send: false } => "receive",
            AddPath { receive: false, .. } => "send",
        };
        match family_of(family.afi, family.safi) {
            Some(family) => format!("{family} {directions}"),
            None => format!("AFI {} SAFI {} {directions}", family.afi, family.safi),
        }
    };
    let names: Vec<String> = families.iter().map(one).collect();
    format!("Add-Path ({})", names.join(", "))
}

/// Names of capabilities that are shown and not acted on (IANA, Capability Codes).
fn name(code: u8) -> Option<&'static str> {
    Some(match code {
        5 => "extended next hop (malformed)",
        9 => "role",
        64 => "graceful restart",
        69 => "Add-Path (malformed)",
        71 => "long-lived graceful restart",
        73 => "FQDN",
        75 => "software version",
        128 => "route refresh (before RFC 2918)",
        _ => return None,
    })
}
