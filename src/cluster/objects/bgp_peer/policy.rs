//! Import and export policy as manifests write it.

use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU32};
use std::str::FromStr;
use std::{borrow::Cow, fmt};

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::cluster::objects::duration::Span;
use crate::cluster::objects::values::{AnyCommunityText, Asn, Cidr, CommunityText, ValueError, text};

/// Import policy.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportSpec {
    /// Prefixes that are accepted, after what `rules` say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub accept: Option<Vec<AcceptRule>>,
    /// Rules in order; the first that matches and has an action decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub rules: Option<Vec<RuleSpec>>,
    /// How many of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_prefixes: Option<MaxPrefixes>,
    /// Let the peer ask, with the community `blackhole`, for packets to a prefix to be discarded
    /// (RFC 7999). Policy must accept the prefix all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_blackhole: Option<bool>,
    /// How often our own AS may occur in an AS_PATH before that counts as a loop. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_own_as: Option<u8>,
    /// Accept paths with AS_SET, which RFC 9774 treats as withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_as_set: Option<bool>,
}

/// Export policy.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportSpec {
    /// Prefixes that are announced, after what `rules` say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub accept: Option<Vec<AcceptRule>>,
    /// Rules in order; the first that matches and has an action decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub rules: Option<Vec<RuleSpec>>,
    /// Communities added to them: `65000:100`, or the name of a well-known one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub communities: Option<Vec<CommunityText>>,
    /// Leave private AS numbers (RFC 6996) out of AS_PATHs. External peers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_private_as: Option<bool>,
    /// Replace the peer's own AS by ours in AS_PATHs. External peers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_override: Option<bool>,
}

/// One rule: paths that match are changed, accepted or rejected.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = (
    "has(self.set) || has(self.action)",
    "has neither set nor action, so that it does nothing",
))]
#[x_kube(validation = Rule::new(
    "!has(self.set) || !has(self.action) || self.action != 'reject'"
).message("changes nothing about a path that is rejected").field_path(".set"))]
pub struct RuleSpec {
    /// Which paths are meant: those that meet all that is given. Absent means every path.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<MatchSpec>,
    /// What is changed about them, if they are accepted in the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<SetSpec>,
    /// What becomes of them. Absent leaves that to the rules that follow, and to `accept`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<RuleAction>,
}

/// What becomes of a path.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum RuleAction {
    /// It is used, or announced.
    Accept,
    /// It is not.
    Reject,
}

/// What a path must be like.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatchSpec {
    /// The prefix is one of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub prefixes: Option<Vec<AcceptRule>>,
    /// About the AS_PATH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_path: Option<AsPathSpec>,
    /// About communities of any kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub communities: Option<CommunitiesSpec>,
    /// The next hop lies inside one of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub next_hop: Option<Vec<Cidr>>,
}

/// What an AS_PATH must be like.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AsPathSpec {
    /// This AS occurs in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<Asn>,
    /// This AS is its first, nearest to us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_with: Option<Asn>,
    /// This AS is its last, where the path began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub originated_by: Option<Asn>,
    /// It has at most so many hops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
}

/// Which communities a path must bear: plain ones such as `65000:100`, well-known ones by name, large
/// ones such as `65000:1:2`, extended ones such as `rt:65000:100`, `ro:192.0.2.1:7`,
/// `link-bandwidth:65000:125000000` (in octets per second; `link-bandwidth-transitive` crosses the
/// border of an AS), `opaque:6:1` or any as `0x0002fde800000064`; every one of a kind is `rt:*`, `ro:*`
/// or `link-bandwidth:*`.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommunitiesSpec {
    /// At least one of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub any: Option<Vec<AnyCommunityText>>,
    /// Each of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub all: Option<Vec<AnyCommunityText>>,
    /// None of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub none: Option<Vec<AnyCommunityText>>,
}

/// What is changed about a path.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = (
    "has(self.localPreference) || has(self.med) || has(self.addCommunities) \
     || has(self.removeCommunities) || has(self.prepend)",
    "sets nothing",
))]
#[x_kube(validation = Rule::new(
    "!has(self.addCommunities) || !has(self.removeCommunities) \
     || !self.addCommunities.exists(c, c in self.removeCommunities)"
).message("has a community that is also among removeCommunities").field_path(".addCommunities"))]
#[x_kube(validation = Rule::new(
    "!has(self.addCommunities) || self.addCommunities.all(c, !c.endsWith(':*'))"
).message(
    "has what stands for every community of a kind, which cannot be added"
).field_path(".addCommunities"))]
pub struct SetSpec {
    /// LOCAL_PREF. Never sent to an external peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_preference: Option<u32>,
    /// MULTI_EXIT_DISC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
    /// Communities to add. A link bandwidth takes the place of any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub add_communities: Option<Vec<AnyCommunityText>>,
    /// Communities to remove, before any are added.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub remove_communities: Option<Vec<AnyCommunityText>>,
    /// Make the AS_PATH longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepend: Option<PrependSpec>,
}

/// Repeats the AS nearest to us: the peer's on import; on export to an external peer our own.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrependSpec {
    /// How many more times it stands in front of the path.
    pub times: NonZeroU8,
}

/// Matches prefixes inside `prefix` of certain lengths: its own if neither bound is given; `le` alone
/// reaches up from its own length, `ge` alone reaches up to the family's 32 or 128.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new(
    "!has(self.ge) || self.ge >= cidr(self.prefix).prefixLength() \
     && self.ge <= (cidr(self.prefix).ip().family() == 4 ? 32 : 128)"
).message("must be no shorter than the prefix, and no longer than an address").field_path(".ge"))]
#[x_kube(validation = Rule::new(
    "!has(self.le) || self.le >= (has(self.ge) ? self.ge : cidr(self.prefix).prefixLength()) \
     && self.le <= (cidr(self.prefix).ip().family() == 4 ? 32 : 128)"
).message(
    "must be no less than ge and the prefix's length, and no longer than an address"
).field_path(".le"))]
pub struct AcceptRule {
    /// Covering prefix.
    pub prefix: Cidr,
    /// Least length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ge: Option<u8>,
    /// Greatest length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub le: Option<u8>,
}

/// A bound on the accepted prefixes of each family.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new(
    "!has(self.idleTime) || !has(self.action) || self.action == 'reset'"
).message("goes with action reset, which alone ends the session").field_path(".idleTime"))]
#[x_kube(validation = Rule::new(
    "!has(self.idleTime) || duration(self.idleTime) >= duration('1s') \
     && duration(self.idleTime) <= duration('24h')"
).message("must be from 1s to 24h").field_path(".idleTime"))]
pub struct MaxPrefixes {
    /// The most that are allowed.
    pub limit: NonZeroU32,
    /// What happens beyond. Default `reset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<MaxPrefixesAction>,
    /// Percentage of `limit` above which a warning is logged, once until the number falls again: 1 to
    /// 100. Default 75.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub warn_at: Option<u8>,
    /// How long a session that was reset stays down before it is tried again: 1s to 24h. Without it the
    /// session stays down until this object changes, as with FRR, BIRD's `disable` and OpenBGPD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_time: Option<Span>,
}

/// What happens when a peer announces too much.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum MaxPrefixesAction {
    /// The session is reset (Cease, RFC 4486).
    Reset,
    /// Further prefixes are discarded, while those that are known may change. They are asked for again
    /// once the limit is raised.
    Discard,
    /// A warning is logged.
    Warn,
}

/// A next hop to tell a peer: `self`, `unchanged` or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextHopText {
    /// Ourselves.
    Own,
    /// As received.
    Unchanged,
    /// This one.
    Address(IpAddr),
}

impl FromStr for NextHopText {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "self" => Ok(NextHopText::Own),
            "unchanged" => Ok(NextHopText::Unchanged),
            _ => text
                .parse()
                .map(NextHopText::Address)
                .map_err(|_| ValueError::new(format!("{text:?} is neither self, unchanged nor an address"))),
        }
    }
}

impl fmt::Display for NextHopText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NextHopText::Own => f.write_str("self"),
            NextHopText::Unchanged => f.write_str("unchanged"),
            NextHopText::Address(address) => address.fmt(f),
        }
    }
}

text!(NextHopText, "self, unchanged or an address");

/// CEL: what may stand there.
const NEXT_HOP: &str = "self == 'self' || self == 'unchanged' || isIP(self) \
     && (ip(self).isGlobalUnicast() || ip(self).isLoopback() || ip(self).isLinkLocalUnicast())";

impl JsonSchema for NextHopText {
    fn schema_name() -> Cow<'static, str> {
        "NextHopText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let message = "must be self, unchanged or the address of one host";
        json_schema!({
            "type": "string",
            "maxLength": 45,
            "x-kubernetes-validations": [{"rule": NEXT_HOP, "message": message}],
        })
    }
}
