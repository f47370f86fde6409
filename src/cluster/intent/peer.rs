//! Sessions that `BgpPeer` objects ask for.

mod policy;
mod ranges;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use super::settings::{BFD_INTERVAL, BFD_MULTIPLIER};
use super::{Findings, Local};
use crate::bfd::{self, auth::Key};
use crate::bgp::Role;
use crate::cluster::objects::bgp_peer::{AddPathSpec, BfdSpec, BgpPeerSpec, SecretKey, TimersSpec};
use crate::cluster::objects::duration::Span;
use crate::cluster::objects::from_node::FromNode;
use crate::cluster::objects::values::{PathCount, PeerAsn};
use crate::cluster::objects::{ObjectSet, selector};
use crate::prefix::{Family, Prefix};
use crate::speaker::intent::{
    AddPathIntent, BfdIntent, Damping, Distance, Exchange, ExtendedNextHop, FastFailover, Password,
    PeerIntent, PeerOrigin, RangeIntent, RemoteAs, SendPaths, Timers,
};

/// The most peers of a range where its object does not say, as FRR has it.
const RANGE_LIMIT: u32 = 100;

type Peers = BTreeMap<String, PeerIntent>;
type Ranges = BTreeMap<String, RangeIntent>;

/// The sessions of all `BgpPeer`s that select this node, and the ranges that others may come from.
pub(super) fn sessions(local: &Local<'_>, objects: &ObjectSet, findings: &mut Findings) -> (Peers, Ranges) {
    let (mut peers, mut ranges) = (Peers::new(), Ranges::new());
    for (name, spec) in &objects.peers {
        if spec
            .node_selector
            .as_ref()
            .is_some_and(|selector| !selector::matches(selector, &local.node.labels))
        {
            continue;
        }
        let subject = Subject { name, spec, local };
        if let Some(range) = &spec.range {
            let range = subject.range(range.0, objects, findings);
            ranges.insert(name.clone(), range);
        } else if let Some(address) = subject.address(findings) {
            let peer = subject.session(address, objects, findings);
            peers.insert(name.clone(), peer);
        }
    }
    report_collisions(&peers, findings);
    ranges::check(local, &peers, &ranges, findings);
    (peers, ranges)
}

/// Two sessions that differ in nothing the network shows are one too many.
fn report_collisions(peers: &BTreeMap<String, PeerIntent>, findings: &mut Findings) {
    let mut by_address: BTreeMap<IpAddr, Vec<(&String, &PeerIntent)>> = BTreeMap::new();
    for (name, peer) in peers {
        let earlier = by_address.entry(peer.address).or_default();
        for (first, _) in earlier.iter().filter(|(_, other)| collide(peer, other)) {
            let (field, what) = match &peer.interface {
                Some(interface) if peer.is_unnumbered() => ("spec.interface", interface.clone()),
                _ => ("spec.address", peer.address.to_string()),
            };
            let noun = if peer.is_unnumbered() { "interface" } else { "address" };
            let text = format!(
                "{what} is also the {noun} of BgpPeer {first}, and no sourceAddress tells them apart"
            );
            findings.error(format!("BgpPeer {name}"), field, text);
        }
        earlier.push((name, peer));
    }
}

/// Whether two sessions could not be told apart: the same remote address, and local ones that are the
/// same or may be.
fn collide(a: &PeerIntent, b: &PeerIntent) -> bool {
    let sources_overlap = a.source == b.source || a.source.is_none() || b.source.is_none();
    a.address == b.address && a.interface == b.interface && sources_overlap
}

/// One `BgpPeer` on one node.
struct Subject<'a> {
    name: &'a str,
    spec: &'a BgpPeerSpec,
    local: &'a Local<'a>,
}

impl Subject<'_> {
    fn object(&self) -> String {
        format!("BgpPeer {}", self.name)
    }

    /// Everybody at an address of the range.
    fn range(&self, range: Prefix, objects: &ObjectSet, findings: &mut Findings) -> RangeIntent {
        let session = self.session(range.address(), objects, findings);
        let template = PeerIntent { origin: PeerOrigin::Dynamic, passive: true, ..session };
        RangeIntent { range, limit: self.spec.limit.map_or(RANGE_LIMIT, NonZeroU32::get), template }
    }

    /// The session with the peer at an address.
    fn session(&self, address: IpAddr, objects: &ObjectSet, findings: &mut Findings) -> PeerIntent {
        let spec = self.spec;
        let asn = self.asn(findings);
        let (import, export) = (spec.import.as_ref(), spec.export.as_ref());
        let communities = export.and_then(|export| export.communities.as_ref());
        PeerIntent {
            origin: PeerOrigin::Configured,
            address,
            interface: spec.interface.as_ref().map(|interface| interface.as_str().to_owned()),
            port: spec.port.map_or(179, |port| port.get()),
            asn,
            source: spec.source_address,
            source_interface: spec.source_interface.as_ref().map(|name| name.as_str().to_owned()),
            socket_mark: spec.socket_mark.unwrap_or(self.local.settings.listen.mark),
            families: self.families(address),
            timers: timers(spec.timers.as_ref()),
            password: spec.password_secret_ref.as_ref().and_then(|key| self.password(key, objects, findings)),
            distance: match (&spec.ttl_security, spec.multihop) {
                (Some(security), _) => Distance::Security(security.hops.get()),
                (None, Some(hops)) => Distance::Multihop(hops.get()),
                (None, None) => Distance::Default,
            },
            fast_failover: spec.fast_failover.map(FastFailover::from).unwrap_or_default(),
            bfd: spec.bfd.as_ref().map(|bfd| self.bfd(bfd, objects, findings)),
            passive: spec.passive.unwrap_or(false),
            import: import.map(policy::import).unwrap_or_default(),
            export: export.map(policy::export).unwrap_or_default(),
            export_communities: communities.into_iter().flatten().map(|community| community.0).collect(),
            anycast: Exchange::ByPolicy,
            scope_name: None,
            route_reflector_client: spec.route_reflector_client.unwrap_or(false),
            next_hop: policy::next_hop(spec),
            add_path: add_path(spec.add_path.as_ref()),
            extended_next_hop: match spec.extended_next_hop {
                None => ExtendedNextHop::WhereNeeded,
                Some(true) => ExtendedNextHop::Always,
                Some(false) => ExtendedNextHop::Never,
            },
            as_path: policy::as_path(spec),
            accept_blackhole: import.and_then(|import| import.accept_blackhole).unwrap_or(false),
            role: spec.role.map(Role::from),
            role_strict: spec.role_strict.unwrap_or(false),
            max_prefixes: import.and_then(|import| import.max_prefixes.as_ref()).map(policy::max_prefixes),
            graceful_restart: self.local.settings.restart.with(spec.graceful_restart.as_ref()).intent(),
        }
    }

    /// The peer's address, unspecified where its link alone is known; `None` where there can be no session, which has been said then.
    fn address(&self, findings: &mut Findings) -> Option<IpAddr> {
        if let Some(from) = &self.spec.address_from {
            return self.address_from(from, findings);
        }
        let Some(address) = self.spec.address else {
            if self.spec.password_secret_ref.is_some() {
                // A listener must have the key before it knows the peer's address.
                let text = "needs an address: a TCP MD5 key is tied to one (RFC 2385)";
                findings.error(self.object(), "spec.passwordSecretRef", text);
            }
            return Some(Ipv6Addr::UNSPECIFIED.into());
        };
        if self.local.node.addresses.contains(&address) {
            let text = format!(
                "{address} is an address of Node {} itself; the peer is left out here",
                self.local.name
            );
            findings.warning(self.object(), "spec.address", text);
            return None;
        }
        Some(address)
    }

    /// The peer's address as the Node says it.
    fn address_from(&self, from: &FromNode, findings: &mut Findings) -> Option<IpAddr> {
        let node = format!("Node {}", self.local.name);
        let field = from.field();
        let Some(text) = from.of(self.local.node) else {
            let text = format!("absent, so that there is no session by BgpPeer {}", self.name);
            findings.warning(node, &field, text);
            return None;
        };
        let address = text.parse::<IpAddr>().map_err(|_| format!("{text:?} is not an IP address"));
        let address = address.and_then(|address| self.spec.fault_of(address).map_or(Ok(address), Err));
        address
            .map_err(|fault| {
                // Said of the peer, which can be left out while it is so; the node cannot.
                let text = format!("{fault}, as {field} of {node} has it");
                findings.error(self.object(), "spec.addressFrom", text);
            })
            .ok()
    }

    fn asn(&self, findings: &mut Findings) -> RemoteAs {
        let asn = match self.spec.asn {
            PeerAsn::Number(asn) => RemoteAs::Exactly(asn.value()),
            PeerAsn::External => RemoteAs::External,
            PeerAsn::Internal => RemoteAs::Internal,
        };
        let local = self.local.settings.asn;
        let external = match asn {
            RemoteAs::Exactly(asn) => asn != local,
            RemoteAs::External => true,
            RemoteAs::Internal => false,
        };
        if external && self.spec.route_reflector_client == Some(true) {
            let text = format!("only an internal peer can be a client (RFC 4456), and we are AS {local}");
            findings.error(self.object(), "spec.routeReflectorClient", text);
        }
        if let Some(local_as) = &self.spec.local_as {
            let shown = local_as.asn.value();
            if !external || asn == RemoteAs::Exactly(shown) {
                let text = "is for external peers: the peer must be in another AS than our own and this";
                findings.error(self.object(), "spec.localAs.asn", text);
            } else if shown == local {
                findings.error(self.object(), "spec.localAs.asn", format!("AS {local} is our own anyway"));
            }
        }
        if !external && let Some(export) = &self.spec.export {
            let asked = [("removePrivateAs", export.remove_private_as), ("asOverride", export.as_override)];
            for (field, _) in asked.into_iter().filter(|(_, asked)| *asked == Some(true)) {
                let text = "is for external peers: AS_PATHs stay as they are inside an AS (RFC 4271 §5.1.2)";
                findings.error(self.object(), &format!("spec.export.{field}"), text);
            }
        }
        if !external && self.spec.role.is_some() {
            let text = format!("only an external peer can have a role (RFC 9234), and we are AS {local}");
            findings.error(self.object(), "spec.role", text);
        }
        asn
    }

    /// The families asked for, or those there can be a next hop for.
    fn families(&self, address: IpAddr) -> BTreeSet<Family> {
        match &self.spec.families {
            Some(families) => families.iter().copied().map(Family::from).collect(),
            None => {
                let addresses = self.local.node.addresses.iter().copied().chain([address]);
                let unnumbered = address.is_unspecified() && self.spec.extended_next_hop.is_none();
                let extended = unnumbered || self.spec.extended_next_hop == Some(true);
                addresses.map(Family::of).chain(extended.then_some(Family::Ipv4Unicast)).collect()
            }
        }
    }

    /// The key of the session. A peer that is to have one must not come up without, so whatever keeps
    /// it from being found is an error of the whole.
    fn password(&self, key: &SecretKey, objects: &ObjectSet, findings: &mut Findings) -> Option<Password> {
        const FIELD: &str = "spec.passwordSecretRef";
        let value = self.secret(FIELD, key, objects, findings)?;
        let password = Password::new(value);
        if password.is_none() {
            let (octets, most) = (value.len(), Password::MAX_LENGTH);
            let SecretKey { name, key } = key;
            let text =
                format!("key {key} of Secret {name} has {octets} octets; a TCP MD5 key has 1 to {most}");
            findings.error(self.object(), FIELD, text);
        }
        password
    }

    fn bfd(&self, spec: &BfdSpec, objects: &ObjectSet, findings: &mut Findings) -> BfdIntent {
        const FIELD: &str = "spec.bfd.authentication.secretRef";
        let interval = |span: Option<Span>| span.map_or(BFD_INTERVAL, |span| span.0);
        let key = spec.authentication.as_ref().and_then(|authentication| {
            let value = self.secret(FIELD, &authentication.secret_ref, objects, findings)?;
            let key = Key::new(authentication.key_id, value);
            if key.is_none() {
                let SecretKey { name, key } = &authentication.secret_ref;
                let octets = value.len();
                let text = format!("key {key} of Secret {name} has {octets} octets; a BFD key has 1 to 20");
                findings.error(self.object(), FIELD, text);
            }
            key
        });
        let detect_multiplier = spec.multiplier.map_or(BFD_MULTIPLIER, |multiplier| multiplier.get());
        let (min_tx, min_rx) = (interval(spec.min_tx), interval(spec.min_rx));
        let config = bfd::Config { min_tx, min_rx, detect_multiplier, key };
        BfdIntent { config, strict: spec.strict.unwrap_or(false), hops: None }
    }

    /// The octets of a Secret's key; `None` where they cannot be had, which has been said then.
    fn secret<'o>(
        &self,
        field: &str,
        key: &SecretKey,
        objects: &'o ObjectSet,
        findings: &mut Findings,
    ) -> Option<&'o [u8]> {
        let SecretKey { name, key } = key;
        let Some(secret) = objects.secrets.get(name) else {
            findings.error(
                self.object(),
                field,
                format!("there is no Secret {name} (wanted: its key {key})"),
            );
            return None;
        };
        let Some(value) = secret.value(key) else {
            let keys = secret.keys().collect::<Vec<_>>().join(", ");
            let has = if keys.is_empty() { "is empty".into() } else { format!("has {keys}") };
            findings.error(self.object(), field, format!("Secret {name} has no key {key}; it {has}"));
            return None;
        };
        if value.last().is_some_and(u8::is_ascii_whitespace) {
            let text =
                format!("key {key} of Secret {name} ends in white space, which is part of the password");
            findings.warning(self.object(), field, text);
        }
        Some(value)
    }
}

/// Neither direction unless asked for.
fn add_path(spec: Option<&AddPathSpec>) -> AddPathIntent {
    let send = spec.and_then(|spec| spec.send).map(|send| match send {
        PathCount::All => SendPaths::All,
        PathCount::Best(count) => SendPaths::Best(count),
    });
    AddPathIntent { receive: spec.and_then(|spec| spec.receive).unwrap_or(false), send }
}

/// Timers with their defaults: 90 s, a third of the hold time, 5 s, and those of [`Damping`].
fn timers(spec: Option<&TimersSpec>) -> Timers {
    let default = Timers::default();
    let Some(spec) = spec else { return default };
    let hold = spec.hold.map_or(default.hold, |hold| hold.0);
    Timers {
        hold,
        keepalive: spec.keepalive.map_or(hold / 3, |keepalive| keepalive.0),
        connect_retry: spec.connect_retry.map_or(default.connect_retry, |retry| retry.0),
        user_timeout: spec.tcp_user_timeout.map(|timeout| timeout.0),
        damping: Damping {
            first: spec.idle_hold.map_or(default.damping.first, |first| first.0),
            most: spec.max_idle_hold.map_or(default.damping.most, |most| most.0),
            stable_after: spec.stable_after.map_or(default.damping.stable_after, |after| after.0),
        },
    }
}
