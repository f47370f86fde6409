//! What a session is told before it starts, and what it has agreed on once the OPENs are exchanged.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::restart::{RestartBits, RestartOffer};
use crate::bgp::capability::{
    AddPath, AddPathFamily, GracefulRestart, LongLivedFamily, NextHopFamily, family_of,
};
use crate::bgp::{Capability, Codec, MessageError, Open, Reason, Role};
use crate::prefix::Family;

/// Which AS a peer must show in its OPEN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteAs {
    /// This one.
    Exactly(u32),
    /// Any but ours.
    External,
    /// Ours.
    Internal,
}

impl RemoteAs {
    /// Whether a peer that shows `asn` is acceptable to a speaker of AS `local`.
    pub fn accepts(self, asn: u32, local: u32) -> bool {
        match self {
            RemoteAs::Exactly(expected) => asn == expected,
            RemoteAs::External => asn != local,
            RemoteAs::Internal => asn == local,
        }
    }
}

/// How the pauses in Idle grow that keep a failing session from oscillating (RFC 4271 §8.1.1,
/// DampPeerOscillations and IdleHoldTime).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damping {
    /// The pause after a first failure. Each further failure in a row doubles it.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
    /// A session that has been Established for so long is healthy: its next failure is a first one.
    pub stable_after: Duration,
}

impl Damping {
    /// The pause after so many failures in a row before this one, without jitter.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        // More doublings than this would be more than the age of the universe.
        self.first.saturating_mul(1 << failures.min(31)).min(self.most)
    }
}

impl Default for Damping {
    /// 250 ms, doubled up to a minute; healthy after a minute.
    fn default() -> Damping {
        Damping {
            first: Duration::from_millis(250),
            most: Duration::from_secs(60),
            stable_after: Duration::from_secs(60),
        }
    }
}

/// The configuration of one session. A change of it needs a new session, unless it is one of pauses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The local AS.
    pub local_asn: u32,
    /// The local BGP identifier.
    pub router_id: Ipv4Addr,
    /// The AS the peer must show.
    pub remote_as: RemoteAs,
    /// Families to offer.
    pub families: BTreeSet<Family>,
    /// Hold time to propose; zero, or 3 s to 65,535 s.
    pub hold: Duration,
    /// Keepalive interval; a third of the negotiated hold time if that is less.
    pub keepalive: Duration,
    /// Pause between connection attempts.
    pub connect_retry: Duration,
    /// Pauses after failures.
    pub damping: Damping,
    /// Leave it to the peer to connect.
    pub passive: bool,
    /// Our name, to be shown by the peer; none is sent where empty.
    pub host_name: String,
    /// Offer to take and send IPv4 prefixes with IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// In which directions to offer path identifiers, for every family (RFC 7911).
    pub add_path: AddPath,
    /// What we are to the peer (RFC 9234); external sessions only.
    pub role: Option<Role>,
    /// Insist that the peer has a role too (RFC 9234 §4.2, strict mode).
    pub role_strict: bool,
    /// What is offered for graceful restart; without it, no more than that we send End-of-RIB.
    pub graceful_restart: Option<RestartOffer>,
}

/// What both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// How messages are decoded and encoded from here on.
    pub codec: Codec,
    /// The peer's AS.
    pub asn: u32,
    /// The peer's BGP identifier.
    pub router_id: Ipv4Addr,
    /// The lesser of both hold times; zero turns keepalives off.
    pub hold: Duration,
    /// How often we send a KEEPALIVE; zero for never.
    pub keepalive: Duration,
    /// The peer understands ROUTE-REFRESH.
    pub route_refresh: bool,
    /// All capabilities of the peer, unknown ones included.
    pub capabilities: Vec<Capability>,
}

impl Negotiated {
    /// The peer's graceful restart capability; of several, the last (RFC 4724 §3).
    pub fn graceful_restart(&self) -> Option<&GracefulRestart> {
        self.capabilities.iter().rev().find_map(|capability| match capability {
            Capability::GracefulRestart(restart) => Some(restart),
            _ => None,
        })
    }

    /// What the peer's long-lived graceful restart capability says of a family; it counts beside the
    /// plain one alone (RFC 9494 §4.1).
    pub fn long_lived(&self, family: Family) -> Option<&LongLivedFamily> {
        self.graceful_restart()?;
        let families = self.capabilities.iter().rev().find_map(|capability| match capability {
            Capability::LongLivedGracefulRestart(families) => Some(families),
            _ => None,
        });
        families?.iter().find(|f| f.family() == Some(family))
    }

    /// Whether the peer belongs to another AS.
    pub fn external(&self) -> bool {
        self.codec.external
    }
}

impl Config {
    /// Whether a session under `other` can go on under this configuration.
    pub fn differs_in_pauses_alone(&self, other: &Config) -> bool {
        *self == Config { connect_retry: self.connect_retry, damping: self.damping, ..other.clone() }
    }

    /// The OPEN that this configuration sends, with what is true of our forwarding at the moment.
    pub fn open(&self, restart: RestartBits) -> Open {
        let mut capabilities: Vec<Capability> =
            self.families.iter().copied().map(Capability::Multiprotocol).collect();
        capabilities.push(Capability::RouteRefresh);
        // RFC 4724 §3: without a family, the capability only says that we send End-of-RIB, and asks
        // peers that send it on request alone (FRR) to do so. That tells us when a peer's table is
        // complete.
        let offer = self.graceful_restart.map(|offer| offer.capability(&self.families, restart));
        capabilities.push(Capability::GracefulRestart(offer.unwrap_or_default()));
        let long_lived = self.graceful_restart.and_then(|offer| offer.long_lived(&self.families, restart));
        capabilities.extend(long_lived.map(Capability::LongLivedGracefulRestart));
        if self.extended_next_hop && self.families.contains(&Family::Ipv4Unicast) {
            capabilities.push(Capability::ExtendedNextHop(vec![NextHopFamily::IPV4_OVER_IPV6]));
        }
        if self.add_path != AddPath::default() {
            let family = |family: &Family| AddPathFamily::unicast(*family, self.add_path);
            capabilities.push(Capability::AddPath(self.families.iter().map(family).collect()));
        }
        capabilities.push(Capability::ExtendedMessage);
        capabilities.push(Capability::EnhancedRouteRefresh);
        capabilities.extend(self.role.map(Capability::Role));
        if !self.host_name.is_empty() {
            capabilities.push(Capability::Fqdn { host: self.host_name.clone(), domain: String::new() });
        }
        capabilities.push(Capability::FourOctetAs(self.local_asn));
        let hold_time = u16::try_from(self.hold.as_secs()).unwrap_or(u16::MAX);
        Open { asn: self.local_asn, hold_time, router_id: self.router_id, capabilities }
    }

    /// Compares the peer's OPEN with this configuration (RFC 4271 §6.2) and returns what both sides
    /// agree on.
    ///
    /// # Errors
    /// Bad Peer AS, Bad BGP Identifier (our own on an internal session, RFC 6286 §2.2), Role Mismatch
    /// (RFC 9234 §4.2), or Unsupported Capability when no family is left in common (RFC 5492 §5).
    pub fn negotiate(&self, open: &Open) -> Result<Negotiated, MessageError> {
        if !self.remote_as.accepts(open.asn, self.local_asn) {
            let expected = match self.remote_as {
                RemoteAs::Exactly(asn) => format!("AS {asn}"),
                RemoteAs::External => format!("any AS but our own {}", self.local_asn),
                RemoteAs::Internal => format!("our own AS {}", self.local_asn),
            };
            let what = format!("peer is in AS {}, we expect {expected}", open.asn);
            return Err(MessageError::because(Reason::BAD_PEER_AS, [], what));
        }
        let external = open.asn != self.local_asn;
        if !external && open.router_id == self.router_id {
            let what = format!("peer has our own BGP identifier {}", open.router_id);
            return Err(MessageError::because(Reason::BAD_BGP_IDENTIFIER, [], what));
        }
        self.check_role(open)?;
        let offered = open.families();
        let families: Vec<Family> = self.families.iter().copied().filter(|f| offered.contains(f)).collect();
        if families.is_empty() {
            let names = |families: &mut dyn Iterator<Item = Family>| {
                families.map(|f| f.to_string()).collect::<Vec<_>>().join(" and ")
            };
            let ours = names(&mut self.families.iter().copied());
            let theirs = names(&mut offered.into_iter());
            let theirs = if theirs.is_empty() { "neither IPv4 nor IPv6 unicast".to_owned() } else { theirs };
            let what = format!("no address family in common: we offer {ours}, the peer {theirs}");
            return Err(MessageError::because(
                Reason::UNSUPPORTED_CAPABILITY,
                self.multiprotocol_capabilities(),
                what,
            ));
        }
        let hold = self.hold.min(Duration::from_secs(open.hold_time.into()));
        Ok(Negotiated {
            codec: Codec {
                four_octet_as: open.four_octet_as(),
                external,
                families,
                extended_next_hop: self.agrees_on_extended_next_hop(open),
                add_path: Family::ALL.map(|family| self.agreed_add_path(family, open)),
                extended_messages: open.capabilities.contains(&Capability::ExtendedMessage),
                enhanced_refresh: open.capabilities.contains(&Capability::EnhancedRouteRefresh),
            },
            asn: open.asn,
            router_id: open.router_id,
            hold,
            keepalive: self.keepalive.min(hold / 3),
            route_refresh: open.route_refresh(),
            capabilities: open.capabilities.clone(),
        })
    }

    /// RFC 8950 §4: both have named the combination of families.
    fn agrees_on_extended_next_hop(&self, open: &Open) -> bool {
        let named = |capability: &Capability| match capability {
            Capability::ExtendedNextHop(families) => families.contains(&NextHopFamily::IPV4_OVER_IPV6),
            _ => false,
        };
        self.extended_next_hop
            && self.families.contains(&Family::Ipv4Unicast)
            && open.capabilities.iter().any(named)
    }

    /// RFC 7911 §4: one side has to be able to send and the other to receive. Of a family that is named
    /// more than once, the last counts.
    fn agreed_add_path(&self, family: Family, open: &Open) -> AddPath {
        if !self.families.contains(&family) {
            return AddPath::default();
        }
        let lists = open.capabilities.iter().filter_map(|capability| match capability {
            Capability::AddPath(families) => Some(families),
            _ => None,
        });
        let theirs = lists.flatten().rfind(|named| family_of(named.afi, named.safi) == Some(family));
        theirs.map_or_else(AddPath::default, |theirs| self.add_path.agreed(theirs.directions))
    }

    /// RFC 9234 §4.2: the peer's role is our counterpart, or it has none and need not. A role of ours
    /// makes one of theirs that nobody knows, or several that differ, a mismatch.
    fn check_role(&self, open: &Open) -> Result<(), MessageError> {
        let Some(ours) = self.role else { return Ok(()) };
        let mismatch = |theirs: &str| {
            let what = format!("peer's role is {theirs}, ours is {ours}");
            MessageError::because(Reason::ROLE_MISMATCH, [], what)
        };
        let mut none = true;
        for capability in &open.capabilities {
            match capability {
                Capability::Role(theirs) if *theirs == ours.counterpart() => none = false,
                Capability::Role(theirs) => return Err(mismatch(&theirs.to_string())),
                Capability::Unknown { code: Capability::ROLE, .. } => {
                    return Err(mismatch("not a known one"));
                }
                _ => {}
            }
        }
        if none && self.role_strict { Err(mismatch("not given")) } else { Ok(()) }
    }

    /// The capabilities that we would have needed, in the form RFC 5492 §5 puts into the data field.
    fn multiprotocol_capabilities(&self) -> Vec<u8> {
        let one = |family: &Family| match family {
            Family::Ipv4Unicast => [1, 4, 0, 1, 0, 1],
            Family::Ipv6Unicast => [1, 4, 0, 2, 0, 1],
        };
        self.families.iter().flat_map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            local_asn: 64512,
            router_id: Ipv4Addr::new(192, 168, 1, 11),
            remote_as: RemoteAs::Exactly(65000),
            families: Family::ALL.into(),
            hold: Duration::from_secs(90),
            keepalive: Duration::from_secs(30),
            connect_retry: Duration::from_secs(5),
            damping: Damping::default(),
            passive: false,
            host_name: "node1".into(),
            extended_next_hop: false,
            add_path: AddPath::default(),
            role: None,
            role_strict: false,
            graceful_restart: None,
        }
    }

    fn open() -> Open {
        Open {
            asn: 65000,
            hold_time: 9,
            router_id: Ipv4Addr::new(192, 168, 1, 1),
            capabilities: vec![Capability::FourOctetAs(65000)],
        }
    }

    #[test]
    fn takes_the_lesser_hold_time_and_the_common_families() {
        let agreed = config().negotiate(&open()).unwrap();
        assert_eq!(agreed.hold, Duration::from_secs(9));
        assert_eq!(agreed.keepalive, Duration::from_secs(3));
        assert_eq!(agreed.codec.families, [Family::Ipv4Unicast]);
        assert!(agreed.external() && agreed.codec.four_octet_as && !agreed.route_refresh);
        let silent = config().negotiate(&Open { hold_time: 0, ..open() }).unwrap();
        assert_eq!((silent.hold, silent.keepalive), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn pauses_grow_to_their_ceiling_and_change_without_a_new_session() {
        let damping = Damping { most: Duration::from_secs(3), ..Damping::default() };
        let pauses = [0, 1, 2, 3, 4, 40, u32::MAX].map(|failures| damping.pause(failures).as_millis());
        assert_eq!(pauses, [250, 500, 1000, 2000, 3000, 3000, 3000]);
        let other = Config { damping, connect_retry: Duration::from_secs(9), ..config() };
        assert!(other.differs_in_pauses_alone(&config()));
        assert!(!Config { hold: Duration::ZERO, ..other }.differs_in_pauses_alone(&config()));
    }

    #[test]
    fn what_only_one_side_speaks_is_not_spoken() {
        let agreed = config().negotiate(&open()).unwrap();
        assert!(!agreed.codec.extended_messages && !agreed.codec.enhanced_refresh);
        let both = Open { capabilities: config().open(RestartBits::default()).capabilities, ..open() };
        let agreed = config().negotiate(&both).unwrap();
        assert!(agreed.codec.extended_messages && agreed.codec.enhanced_refresh && agreed.route_refresh);
    }

    #[test]
    fn ipv6_next_hops_for_ipv4_take_two_who_say_so() {
        let agreed = |ours, theirs: &[NextHopFamily]| {
            let config = Config { extended_next_hop: ours, ..config() };
            let capabilities = vec![Capability::ExtendedNextHop(theirs.to_vec())];
            config.negotiate(&Open { capabilities, ..open() }).unwrap().codec.extended_next_hop
        };
        let other = NextHopFamily { safi: 128, ..NextHopFamily::IPV4_OVER_IPV6 };
        assert!(agreed(true, &[other, NextHopFamily::IPV4_OVER_IPV6]));
        assert!(!agreed(true, &[other]), "for VPN routes alone");
        assert!(!agreed(false, &[NextHopFamily::IPV4_OVER_IPV6]));
        let offers = |families: &[Family]| {
            let config =
                Config { extended_next_hop: true, families: families.iter().copied().collect(), ..config() };
            let is_offer = |capability: &Capability| matches!(capability, Capability::ExtendedNextHop(_));
            config.open(RestartBits::default()).capabilities.iter().any(is_offer)
        };
        assert!(offers(&Family::ALL) && !offers(&[Family::Ipv6Unicast]));
    }

    #[test]
    fn path_identifiers_take_one_who_sends_and_one_who_receives() {
        let (receive, send) =
            (AddPath { receive: true, send: false }, AddPath { receive: false, send: true });
        let both = AddPath { receive: true, send: true };
        let none = AddPath::default();
        for (ours, theirs, agreed) in [
            (both, both, both),
            (both, receive, send),
            (both, send, receive),
            (receive, both, receive),
            (receive, send, receive),
            (receive, receive, none),
            (send, send, none),
            (none, both, none),
        ] {
            let config = Config { add_path: ours, ..config() };
            let ipv4 = AddPathFamily::unicast(Family::Ipv4Unicast, theirs);
            let foreign = AddPathFamily { safi: 4, ..AddPathFamily::unicast(Family::Ipv4Unicast, none) };
            let capabilities = vec![Capability::AddPath(vec![ipv4, foreign])];
            let codec = config.negotiate(&Open { capabilities, ..open() }).unwrap().codec;
            assert_eq!(codec.add_path, [agreed, none], "{ours:?} and {theirs:?}");
        }
    }

    #[test]
    fn roles_fit_together_or_the_session_is_refused() {
        let negotiate = |ours, strict, theirs: &[Capability]| {
            let config = Config { role: ours, role_strict: strict, ..config() };
            let capabilities = [&open().capabilities[..], theirs].concat();
            config.negotiate(&Open { capabilities, ..open() }).map(|_| ())
        };
        for ours in Role::ALL {
            for theirs in Role::ALL {
                let fits = negotiate(Some(ours), true, &[Capability::Role(theirs)]).is_ok();
                assert_eq!(fits, theirs == ours.counterpart(), "{ours} and {theirs}");
                assert!(negotiate(None, false, &[Capability::Role(theirs)]).is_ok(), "not our business");
            }
        }
        let ours = Some(Role::Customer);
        assert_eq!(negotiate(ours, false, &[]), Ok(()));
        let refused = |result: Result<(), MessageError>| result.unwrap_err().to_string();
        assert_eq!(
            refused(negotiate(ours, true, &[])),
            "peer's role is not given, ours is customer (Open Message Error: Role Mismatch)"
        );
        let several = [Capability::Role(Role::Provider), Capability::Role(Role::Peer)];
        assert_eq!(
            refused(negotiate(ours, false, &several)),
            "peer's role is peer, ours is customer (Open Message Error: Role Mismatch)"
        );
        let strange = Capability::Unknown { code: 9, data: vec![77] };
        assert!(refused(negotiate(ours, false, &[strange])).contains("not a known one"));
    }

    #[test]
    fn refusals_say_what_each_side_has() {
        let refusal = |config: Config, open: Open| {
            let error = config.negotiate(&open).unwrap_err();
            (error.notification.code, error.notification.subcode, error.what)
        };
        assert_eq!(
            refusal(config(), Open { asn: 65001, ..open() }),
            (2, 2, "peer is in AS 65001, we expect AS 65000".into())
        );
        let external = Config { remote_as: RemoteAs::External, ..config() };
        assert_eq!(
            refusal(external, Open { asn: 64512, ..open() }),
            (2, 2, "peer is in AS 64512, we expect any AS but our own 64512".into())
        );
        let internal = Config { remote_as: RemoteAs::Internal, ..config() };
        assert_eq!(
            refusal(internal, Open { asn: 64512, router_id: Ipv4Addr::new(192, 168, 1, 11), ..open() }),
            (2, 3, "peer has our own BGP identifier 192.168.1.11".into())
        );
        let ipv6 = Config { families: [Family::Ipv6Unicast].into(), ..config() };
        let what = "no address family in common: we offer ipv6Unicast, the peer ipv4Unicast";
        assert_eq!(refusal(ipv6, open()), (2, 7, what.into()));
    }
}
