//! What a session is told before it starts, and what it has agreed on once the OPENs are exchanged.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::bgp::{Capability, Codec, MessageError, Open, Reason};
use crate::prefix::Family;

/// Capability code of graceful restart (RFC 4724 §3).
const GRACEFUL_RESTART: u8 = 64;

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

/// The configuration of one session. A change of any of it needs a new session.
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
    /// Leave it to the peer to connect.
    pub passive: bool,
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
    /// Whether the peer belongs to another AS.
    pub fn external(&self) -> bool {
        self.codec.external
    }
}

impl Config {
    /// The OPEN that this configuration sends.
    pub fn open(&self) -> Open {
        let mut capabilities: Vec<Capability> =
            self.families.iter().copied().map(Capability::Multiprotocol).collect();
        capabilities.push(Capability::RouteRefresh);
        // RFC 4724 §3: without a family, the capability only says that we send End-of-RIB, and asks
        // peers that send it on request alone (FRR) to do so. That tells us when a peer's table is
        // complete.
        capabilities.push(Capability::Unknown { code: GRACEFUL_RESTART, data: vec![0, 0] });
        capabilities.push(Capability::FourOctetAs(self.local_asn));
        let hold_time = u16::try_from(self.hold.as_secs()).unwrap_or(u16::MAX);
        Open { asn: self.local_asn, hold_time, router_id: self.router_id, capabilities }
    }

    /// Compares the peer's OPEN with this configuration (RFC 4271 §6.2) and returns what both sides
    /// agree on.
    ///
    /// # Errors
    /// Bad Peer AS, Bad BGP Identifier (our own on an internal session, RFC 6286 §2.2), or
    /// Unsupported Capability when no family is left in common (RFC 5492 §5).
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
            codec: Codec { four_octet_as: open.four_octet_as(), external, families },
            asn: open.asn,
            router_id: open.router_id,
            hold,
            keepalive: self.keepalive.min(hold / 3),
            route_refresh: open.route_refresh(),
            capabilities: open.capabilities.clone(),
        })
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
            passive: false,
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
