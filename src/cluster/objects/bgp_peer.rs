//! `BgpPeer`: a session with a router that is not a node, or is to be treated otherwise than the mesh.

use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Span;
use super::from_node::FromNode;
use super::graceful_restart::GracefulRestartSpec;
use super::selector;
use super::values::{Asn, Cidr, FamilyName, InterfaceName, PathCount, PeerAsn};
use crate::bgp::Role;
use crate::speaker::intent::FastFailover;

mod check;
mod policy;
mod status;

pub use policy::{
    AcceptRule, AsPathSpec, CommunitiesSpec, ExportSpec, ImportSpec, MatchSpec, MaxPrefixes,
    MaxPrefixesAction, NextHopText, PrependSpec, RuleAction, RuleSpec, SetSpec,
};
pub use status::{BgpPeerStatus, NodeTrouble};

/// A session that the selected nodes hold with a router.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "routelet.dev",
    version = "v1alpha1",
    kind = "BgpPeer",
    derive = "PartialEq",
    shortname = "bgpp",
    category = "routelet",
    status = "BgpPeerStatus",
    printcolumn = r#"{"name":"Address","type":"string","jsonPath":".spec.address"}"#,
    printcolumn = r#"{"name":"ASN","type":"string","jsonPath":".spec.asn"}"#,
    printcolumn = r#"{"name":"Up","type":"string","jsonPath":".status.up"}"#,
    printcolumn = r#"{"name":"Down","type":"string","jsonPath":".status.down"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Established\")].reason","priority":1}"#,
    printcolumn = r#"{"name":"Interface","type":"string","jsonPath":".spec.interface","priority":1}"#,
    printcolumn = r#"{"name":"Range","type":"string","jsonPath":".spec.range","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = (
    "has(self.address) || has(self.addressFrom) || has(self.interface) || has(self.range)",
    "one of address, addressFrom, interface and range is required",
))]
#[x_kube(validation = Rule::new(
    "!has(self.addressFrom) || !has(self.address) && !has(self.range)"
).message("excludes address and range").field_path(".addressFrom"))]
#[x_kube(validation = Rule::new(
    "!has(self.range) || !has(self.address) && !has(self.interface)"
).message("excludes address and interface").field_path(".range"))]
#[x_kube(validation = Rule::new(
    "!has(self.address) || has(self.range) || (ip(self.address).family() == 6 \
     && ip(self.address).isLinkLocalUnicast()) == has(self.interface)"
).message(
    "a link-local address needs the interface it is on; no other address has one"
).field_path(".interface"))]
#[x_kube(validation = Rule::new(
    "has(self.range) || !has(self.limit)"
).message("goes with range: how many of its peers there may be at once").field_path(".limit"))]
#[x_kube(validation = (
    "!has(self.range) || !has(self.port) && !has(self.sourceInterface) && (!has(self.passive) \
     || self.passive)",
    "port, sourceInterface and passive: false mean nothing to peers of a range, which are never \
     connected to",
))]
#[x_kube(validation = (
    "!has(self.range) || !has(self.bfd) || !has(self.bfd.strict) || !self.bfd.strict",
    "bfd.strict: peers of a range are watched from their connection on, so that it cannot wait for that",
))]
#[x_kube(validation = Rule::new(
    "!has(self.range) || cidr(self.range).ip().isGlobalUnicast() || cidr(self.range).ip().isLoopback() \
     || cidr(self.range).ip().isUnspecified() || cidr(self.range).ip().family() == 4 \
     && cidr(self.range).ip().isLinkLocalUnicast()"
).message("holds no address that a peer could be told by").field_path(".range"))]
#[x_kube(validation = Rule::new(
    "!has(self.sourceAddress) || !has(self.sourceInterface)"
).message("excludes sourceAddress").field_path(".sourceInterface"))]
#[x_kube(validation = Rule::new(
    "!has(self.sourceAddress) || !has(self.address) \
     || ip(self.sourceAddress).family() == ip(self.address).family()"
).message("is of another family than address").field_path(".sourceAddress"))]
#[x_kube(validation = Rule::new(
    "!has(self.sourceAddress) || !has(self.range) \
     || ip(self.sourceAddress).family() == cidr(self.range).ip().family()"
).message("is of another family than range").field_path(".sourceAddress"))]
#[x_kube(validation = Rule::new(
    "!has(self.passwordSecretRef) || has(self.address) || has(self.addressFrom) || has(self.range)"
).message(
    "needs an address or a range: a TCP MD5 key is tied to one (RFC 2385)"
).field_path(".passwordSecretRef"))]
#[x_kube(validation = Rule::new(
    "!has(self.roleStrict) || !self.roleStrict || has(self.role)"
).message("needs a role of ours to hold the peer's against").field_path(".roleStrict"))]
#[x_kube(validation = Rule::new(
    "!has(self.ttlSecurity) || !has(self.multihop)"
).message("excludes ttlSecurity").field_path(".multihop"))]
#[x_kube(validation = Rule::new(
    "!has(self.extendedNextHop) || !self.extendedNextHop || !has(self.families) \
     || 'ipv4Unicast' in self.families"
).message("is for IPv4 prefixes, and families has no ipv4Unicast").field_path(".extendedNextHop"))]
#[x_kube(validation = Rule::new(
    "!has(self.nextHop) || !has(self.nextHopSelf)"
).message("excludes nextHopSelf, which is short for nextHop: self").field_path(".nextHop"))]
pub struct BgpPeerSpec {
    /// Nodes that hold the session. Absent or empty means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "selector::schema")]
    pub node_selector: Option<LabelSelector>,
    /// The peer's address. One of `address`, `addressFrom`, `interface` and `range` is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = (
        "isIP(self) && (ip(self).isGlobalUnicast() || ip(self).isLoopback() \
         || ip(self).isLinkLocalUnicast())",
        "must be the address of one host",
    ))]
    pub address: Option<IpAddr>,
    /// Where each Node says the peer's address: one object for the ToRs of all racks. A Node that does not
    /// holds no session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_from: Option<FromNode>,
    /// Interface of a link-local `address`; alone, whoever is found there by
    /// Router Advertisements (unnumbered), with IPv4 by IPv6 next hops; excludes `passwordSecretRef` then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<InterfaceName>,
    /// Prefix from which anybody may connect who is no peer by its own address: each a peer named
    /// `NAME/ADDRESS`, gone when its session ends. The longest range around an address holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<Cidr>,
    /// The most peers of `range` at once; further ones are refused. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroU32>,
    /// The peer's TCP port. Default 179.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<NonZeroU16>,
    /// The peer's AS: a number, `external` or `internal`.
    pub asn: PeerAsn,
    /// Another AS than our own that the peer knows us by. External peers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_as: Option<LocalAsSpec>,
    /// Session timers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timers: Option<TimersSpec>,
    /// Key of a Secret that holds the TCP MD5 password (RFC 2385).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKey>,
    /// Local address of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = (
        "isIP(self) && (ip(self).isGlobalUnicast() || ip(self).isLoopback() \
         || ip(self).isLinkLocalUnicast())",
        "must be the address of one host",
    ))]
    pub source_address: Option<IpAddr>,
    /// Interface whose address is the local one of sessions that we open: `lo`, say, for one that
    /// outlives a link. The first of the peer's family that is not link-local, unless the peer's is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_interface: Option<InterfaceName>,
    /// Mark of the session's packets (`SO_MARK`), for `ip rule add fwmark` and filters to match; 0 for none.
    /// Default: that of the `BgpConfiguration`. A connection that is up keeps the mark it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_mark: Option<u32>,
    /// Generalized TTL security (RFC 5082).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_security: Option<TtlSecurity>,
    /// TTL of an external session that crosses routers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multihop: Option<NonZeroU8>,
    /// Whether the session falls with its link, at once, or waits for its hold time. Default `connected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fast_failover: Option<FastFailoverName>,
    /// Bidirectional forwarding detection (RFC 5880).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bfd: Option<BfdSpec>,
    /// Families to offer. Default: that of the session and those the node has an address of; IPv4 with
    /// `extendedNextHop`, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub families: Option<Vec<FamilyName>>,
    /// What is accepted from the peer. Default nothing (RFC 8212).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportSpec>,
    /// What is announced to the peer. Default nothing (RFC 8212).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<ExportSpec>,
    /// The peer is a client of ours (RFC 4456). Internal peers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_reflector_client: Option<bool>,
    /// Announce ourselves as the next hop on an internal session too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop_self: Option<bool>,
    /// The next hop that the peer is told: `self`, `unchanged` or an address. Default: ourselves for
    /// an external peer, as received for an internal one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<NextHopText>,
    /// Take and give IPv6 next hops for IPv4 prefixes (RFC 8950). With `true`, we give our IPv6
    /// address on every IPv6 session. Default: where the session is IPv6 and we have no IPv4 address
    /// to give.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extended_next_hop: Option<bool>,
    /// Several paths for one prefix (RFC 7911). Default: neither taken nor given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_path: Option<AddPathSpec>,
    /// What we are to the peer (RFC 9234): what it announces and is told must suit. External peers
    /// only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    /// Refuse a peer that does not say its role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_strict: Option<bool>,
    /// Graceful restart with this peer, where it differs from the `BgpConfiguration`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graceful_restart: Option<GracefulRestartSpec>,
    /// Leave it to the peer to connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passive: Option<bool>,
}

/// Which sessions fall as soon as there is no way to the peer any more.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum FastFailoverName {
    /// One to a peer on a connected subnet: when its link is down or gone.
    Connected,
    /// One across routers, too: when no route leads to the peer.
    Always,
    /// None.
    Never,
}

impl From<FastFailoverName> for FastFailover {
    fn from(name: FastFailoverName) -> FastFailover {
        match name {
            FastFailoverName::Connected => FastFailover::Connected,
            FastFailoverName::Always => FastFailover::Always,
            FastFailoverName::Never => FastFailover::Never,
        }
    }
}

/// What a speaker is to its peer (RFC 9234 §3).
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum RoleName {
    /// Gives transit to the peer.
    Provider,
    /// Takes transit from the peer.
    Customer,
    /// Exchanges its own and its customers' routes with the peer.
    Peer,
    /// A route server.
    Rs,
    /// A client of the peer's route server.
    RsClient,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Role {
        match name {
            RoleName::Provider => Role::Provider,
            RoleName::Customer => Role::Customer,
            RoleName::Peer => Role::Peer,
            RoleName::Rs => Role::RouteServer,
            RoleName::RsClient => Role::RouteServerClient,
        }
    }
}

/// Several paths for one prefix (RFC 7911), as far as the peer agrees.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddPathSpec {
    /// Take several paths for one prefix from the peer. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive: Option<bool>,
    /// Give the peer several paths for one prefix: `all`, or so many of the best. Default: the best
    /// alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<PathCount>,
}

/// Session timers (RFC 4271 §10).
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new(
    "!has(self.hold) || duration(self.hold).getMilliseconds() % 1000 == 0 \
     && duration(self.hold) <= duration('65535s')"
).message("must be whole seconds, at most 65535s").field_path(".hold"))]
#[x_kube(validation = Rule::new(
    "!has(self.hold) || duration(self.hold) == duration('0s') || duration(self.hold) >= duration('3s')"
).message("must be 0s (no hold timer) or at least 3s (RFC 4271 §4.2)").field_path(".hold"))]
#[x_kube(validation = Rule::new(
    "!has(self.keepalive) || duration(has(self.hold) ? self.hold : '90s') != duration('0s') \
     || duration(self.keepalive) == duration('0s')"
).message("means nothing with a hold time of 0s").field_path(".keepalive"))]
#[x_kube(validation = Rule::new(
    "!has(self.keepalive) || duration(has(self.hold) ? self.hold : '90s') == duration('0s') \
     || duration(self.keepalive) >= duration('1s') \
     && duration(self.keepalive) + duration(self.keepalive) + duration(self.keepalive) <= \
     duration(has(self.hold) \
     ? self.hold : '90s')"
).message("must be from one second (RFC 4271 §4.4) to a third of the hold time").field_path(".keepalive"))]
#[x_kube(validation = Rule::new(
    "!has(self.connectRetry) || duration(self.connectRetry) >= duration('100ms') \
     && duration(self.connectRetry) <= duration('65535s')"
).message("must be from 100ms to 65535s").field_path(".connectRetry"))]
#[x_kube(validation = Rule::new(
    "!has(self.tcpUserTimeout) || duration(self.tcpUserTimeout) >= duration('1s') \
     && duration(self.tcpUserTimeout) <= duration('24h')"
).message("must be from 1s to 24h").field_path(".tcpUserTimeout"))]
#[x_kube(validation = Rule::new(
    "!has(self.idleHold) || duration(self.idleHold) >= duration('100ms') \
     && duration(self.idleHold) <= duration('24h')"
).message("must be from 100ms to 24h").field_path(".idleHold"))]
#[x_kube(validation = Rule::new(
    "duration(has(self.maxIdleHold) ? self.maxIdleHold : '60s') >= duration(has(self.idleHold) \
     ? self.idleHold : '250ms')"
).message("must be no less than idleHold").field_path(".maxIdleHold"))]
#[x_kube(validation = Rule::new(
    "!has(self.maxIdleHold) || duration(self.maxIdleHold) <= duration('24h')"
).message("must be at most 24h").field_path(".maxIdleHold"))]
#[x_kube(validation = Rule::new(
    "!has(self.stableAfter) || duration(self.stableAfter) <= duration('24h')"
).message("must be at most 24h").field_path(".stableAfter"))]
pub struct TimersSpec {
    /// Hold time to propose: `0s`, or whole seconds from `3s`. Default `90s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
    /// Keepalive interval, at most a third of the hold time, which is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<Span>,
    /// Pause between connection attempts, from which up to a quarter is taken at random. Default `5s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_retry: Option<Span>,
    /// How long TCP tries to get something through to an Established peer before the connection is given
    /// up (RFC 5482, `TCP_USER_TIMEOUT`); a peer that reads nothing for so long counts alike. From `1s`.
    /// Default: twice the hold time, at least 8 minutes, as RFC 9687 has it; none without a hold time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_user_timeout: Option<Span>,
    /// Pause after a session has failed, doubled by each failure in a row, with up to a quarter taken
    /// from it at random (RFC 4271 §8.1.1, IdleHoldTime). Default `250ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_hold: Option<Span>,
    /// The longest such pause. Default `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_idle_hold: Option<Span>,
    /// How long a session must have been up for its next failure to count as a first one. Default `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_after: Option<Span>,
}

impl BgpPeerSpec {
    /// Names of the Secrets that it needs.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let bfd = self.bfd.as_ref().and_then(|bfd| bfd.authentication.as_ref());
        let keys = [self.password_secret_ref.as_ref(), bfd.map(|authentication| &authentication.secret_ref)];
        keys.into_iter().flatten().map(|key| key.name.as_str())
    }
}

/// One key of a Secret.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKey {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Generalized TTL security (RFC 5082).
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TtlSecurity {
    /// How far away the peer may be; 1 is the same segment.
    #[schemars(range(max = 254))]
    pub hops: NonZeroU8,
}

/// Bidirectional forwarding detection (RFC 5880).
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new(
    "!has(self.minTx) || duration(self.minTx) >= duration('1ms') \
     && duration(self.minTx) <= duration('4294s')"
).message("must be from 1ms to 4294s").field_path(".minTx"))]
#[x_kube(validation = Rule::new(
    "!has(self.minRx) || duration(self.minRx) >= duration('1ms') \
     && duration(self.minRx) <= duration('4294s')"
).message("must be from 1ms to 4294s").field_path(".minRx"))]
pub struct BfdSpec {
    /// Desired minimum interval between packets we send. Default 300ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tx: Option<Span>,
    /// Required minimum interval between packets we receive. Default 300ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_rx: Option<Span>,
    /// Packets that may be missed before the peer is down. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier: Option<NonZeroU8>,
    /// No BGP session while BFD has not found the path alive. Default false. Not for a `range`: who its peers
    /// are is known from their connections alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Authenticate packets with Meticulous Keyed SHA1 (RFC 5880 §6.7.4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<BfdAuthentication>,
}

/// A key for BFD packets, which both sides must have.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BfdAuthentication {
    /// The number both sides know the key by.
    pub key_id: u8,
    /// Where the key is: 1 to 20 octets.
    pub secret_ref: SecretKey,
}

/// An AS we pose as.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalAsSpec {
    /// Its number.
    pub asn: Asn,
    /// It stands in AS_PATHs in place of our own AS, and not in front of it. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace_as: Option<bool>,
}
