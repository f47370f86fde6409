//! Field values that are more than a number or a text: parsed once, when an object is read, so that
//! what is wrong with one is said at its field.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::bgp::{Community, LargeCommunity};
use crate::prefix::{Family, Prefix};
use crate::rib::policy::AnyCommunity;

/// A value does not mean anything; the text says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

impl ValueError {
    /// What is wrong, in words.
    pub(super) fn new(text: String) -> ValueError {
        ValueError(text)
    }
}

/// What serde reads before a value that may be a number or a word is looked at.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number or a word")]
enum NumberOrWord {
    Number(i64),
    Word(String),
}

/// Implements [`JsonSchema`] by a literal schema, inlined as CRDs need it.
macro_rules! schema {
    ($type:ty, $($schema:tt)+) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($($schema)+)
            }
        }
    };
}
pub(super) use schema;

/// Reads a value that is a text in manifests; `expected` says which, where something else stands.
pub(super) fn from_text<'de, D, T>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    struct Text<T>(&'static str, PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(expected, PhantomData))
}

/// Implements serde for a value that is a text in manifests, by `FromStr` and `Display`.
macro_rules! text {
    ($type:ty, $expected:literal) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::cluster::objects::values::from_text(deserializer, $expected)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}
pub(super) use text;

/// A four-octet AS number (RFC 6793). Neither 0 (RFC 7607) nor AS_TRANS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrWord", into = "NumberOrWord")]
pub struct Asn(u32);

impl Asn {
    /// The number.
    pub fn value(self) -> u32 {
        self.0
    }
}

impl FromStr for Asn {
    type Err = ValueError;

    /// Reads the number as it stands in a label or an annotation.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let number = text.parse().map_err(|_| ValueError("not an AS number: 1 to 4294967295".into()))?;
        Asn::try_from(NumberOrWord::Number(number))
    }
}

/// A BGP identifier as it stands in a label or an annotation. Not zero (RFC 6286 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identifier(pub Ipv4Addr);

impl FromStr for Identifier {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let id = text.parse::<Ipv4Addr>().ok().filter(|id| !id.is_unspecified());
        id.map(Identifier).ok_or_else(|| ValueError("not a BGP identifier such as 192.0.2.1".into()))
    }
}

impl TryFrom<NumberOrWord> for Asn {
    type Error = ValueError;

    fn try_from(value: NumberOrWord) -> Result<Self, ValueError> {
        let number = match value {
            NumberOrWord::Number(number) => number,
            NumberOrWord::Word(word) => {
                return Err(ValueError(format!(
                    "{word:?} is not an AS number: 1 to 4294967295, without quotes"
                )));
            }
        };
        match u32::try_from(number) {
            Ok(0) => Err(ValueError("AS 0 is reserved (RFC 7607)".into())),
            Ok(23456) => Err(ValueError("AS 23456 is AS_TRANS, which nobody may have (RFC 6793)".into())),
            Ok(asn) => Ok(Asn(asn)),
            Err(_) => Err(ValueError(format!("{number} is not an AS number: 1 to 4294967295"))),
        }
    }
}

impl From<Asn> for NumberOrWord {
    fn from(asn: Asn) -> Self {
        NumberOrWord::Number(asn.0.into())
    }
}

/// Why one number is none.
const AS_TRANS: &str = "AS 23456 is AS_TRANS, which nobody may have (RFC 6793)";

schema!(Asn, {"type": "integer", "format": "int64", "minimum": 1, "maximum": 4_294_967_295u32,
    "x-kubernetes-validations": [{"rule": "self != 23456", "message": AS_TRANS}]});

/// Which AS a peer must show: a number, `external` or `internal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrWord", into = "NumberOrWord")]
pub enum PeerAsn {
    /// This one.
    Number(Asn),
    /// Any but the local one.
    External,
    /// The local one.
    Internal,
}

impl TryFrom<NumberOrWord> for PeerAsn {
    type Error = ValueError;

    fn try_from(value: NumberOrWord) -> Result<Self, ValueError> {
        match value {
            NumberOrWord::Number(_) => value.try_into().map(PeerAsn::Number),
            NumberOrWord::Word(word) => match word.as_str() {
                "external" => Ok(PeerAsn::External),
                "internal" => Ok(PeerAsn::Internal),
                _ => Err(ValueError(format!(
                    "{word:?} is neither an AS number, \"external\" nor \"internal\""
                ))),
            },
        }
    }
}

impl From<PeerAsn> for NumberOrWord {
    fn from(asn: PeerAsn) -> Self {
        match asn {
            PeerAsn::Number(asn) => asn.into(),
            PeerAsn::External => NumberOrWord::Word("external".into()),
            PeerAsn::Internal => NumberOrWord::Word("internal".into()),
        }
    }
}

schema!(PeerAsn, {"x-kubernetes-int-or-string": true, "minimum": 1, "maximum": 4_294_967_295u32,
    "pattern": "^(external|internal)$",
    "x-kubernetes-validations": [{"rule": "self != 23456", "message": AS_TRANS}]});

/// How many paths for one prefix: `all`, or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrWord", into = "NumberOrWord")]
pub enum PathCount {
    /// Every one.
    All,
    /// So many of the best.
    Best(NonZeroU16),
}

impl TryFrom<NumberOrWord> for PathCount {
    type Error = ValueError;

    fn try_from(value: NumberOrWord) -> Result<Self, ValueError> {
        match value {
            NumberOrWord::Number(number) => match u16::try_from(number).ok().and_then(NonZeroU16::new) {
                Some(number) => Ok(PathCount::Best(number)),
                None => Err(ValueError(format!("{number} is not a number of paths: 1 to 65535"))),
            },
            NumberOrWord::Word(word) if word == "all" => Ok(PathCount::All),
            NumberOrWord::Word(word) => {
                Err(ValueError(format!("{word:?} is neither a number of paths nor \"all\"")))
            }
        }
    }
}

impl From<PathCount> for NumberOrWord {
    fn from(count: PathCount) -> Self {
        match count {
            PathCount::All => NumberOrWord::Word("all".into()),
            PathCount::Best(number) => NumberOrWord::Number(number.get().into()),
        }
    }
}

schema!(PathCount, {"x-kubernetes-int-or-string": true, "minimum": 1, "maximum": 65535, "pattern": "^all$"});

/// A kernel routing table: `main`, `local`, `default` or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrWord", into = "NumberOrWord")]
pub struct Table(pub u32);

/// The tables that have a name in every kernel.
const TABLES: [(&str, u32); 3] = [("main", 254), ("local", 255), ("default", 253)];

impl TryFrom<NumberOrWord> for Table {
    type Error = ValueError;

    fn try_from(value: NumberOrWord) -> Result<Self, ValueError> {
        match value {
            NumberOrWord::Number(number) => match u32::try_from(number) {
                Ok(id) if id > 0 => Ok(Table(id)),
                _ => Err(ValueError(format!("{number} is not a routing table: 1 to 4294967295"))),
            },
            NumberOrWord::Word(word) => match TABLES.iter().find(|(name, _)| *name == word) {
                Some((_, id)) => Ok(Table(*id)),
                None => Err(ValueError(format!(
                    "{word:?} is not a routing table: main, local, default or a number"
                ))),
            },
        }
    }
}

impl From<Table> for NumberOrWord {
    fn from(table: Table) -> Self {
        match TABLES.iter().find(|(_, id)| *id == table.0) {
            Some((name, _)) => NumberOrWord::Word((*name).into()),
            None => NumberOrWord::Number(table.0.into()),
        }
    }
}

schema!(Table, {"x-kubernetes-int-or-string": true, "minimum": 1, "maximum": 4_294_967_295u32,
    "pattern": "^(main|local|default)$"});

/// A firewall mark, and which of its bits count: a number, or a text such as `0x100/0xf00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrWord", into = "NumberOrWord")]
pub struct Mark {
    /// The mark.
    pub mark: u32,
    /// The bits that count: at least one, and all that are set in the mark.
    pub mask: u32,
}

impl TryFrom<NumberOrWord> for Mark {
    type Error = ValueError;

    fn try_from(value: NumberOrWord) -> Result<Self, ValueError> {
        let word = match value {
            NumberOrWord::Number(number) => number.to_string(),
            NumberOrWord::Word(word) => word,
        };
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        let (mark, mask) = word.split_once('/').unwrap_or((&word, "0xffffffff"));
        let (Some(mark), Some(mask)) = (number(mark), number(mask)) else {
            return Err(ValueError(format!("{word:?} is not a mark: a number, or \"0x100/0xf00\"")));
        };
        if mask == 0 || mark & !mask != 0 {
            return Err(ValueError(format!("no packet is told apart by the mark {word:?}")));
        }
        Ok(Mark { mark, mask })
    }
}

impl From<Mark> for NumberOrWord {
    fn from(Mark { mark, mask }: Mark) -> Self {
        match mask {
            u32::MAX => NumberOrWord::Number(mark.into()),
            mask => NumberOrWord::Word(format!("{mark:#x}/{mask:#x}")),
        }
    }
}

schema!(Mark, {"x-kubernetes-int-or-string": true, "minimum": 0, "maximum": 4_294_967_295u32,
    "pattern": "^(0x[0-9a-fA-F]{1,8}|[0-9]{1,10})(/(0x[0-9a-fA-F]{1,8}|[0-9]{1,10}))?$"});

/// An MTU in octets, or `auto`: that of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrWord", into = "NumberOrWord")]
pub struct Mtu(pub Option<u32>);

impl TryFrom<NumberOrWord> for Mtu {
    type Error = ValueError;

    fn try_from(value: NumberOrWord) -> Result<Self, ValueError> {
        match value {
            NumberOrWord::Word(word) if word == "auto" => Ok(Mtu(None)),
            // RFC 8200 §5: IPv6 needs 1,280 octets. We hold IPv4 to the same, for pods may have both.
            NumberOrWord::Number(number @ 1280..=65535) => Ok(Mtu(u32::try_from(number).ok())),
            NumberOrWord::Number(number) => {
                Err(ValueError(format!("{number} is not an MTU: auto, or 1280 to 65535")))
            }
            NumberOrWord::Word(word) => {
                Err(ValueError(format!("{word:?} is not an MTU: auto, or 1280 to 65535")))
            }
        }
    }
}

impl From<Mtu> for NumberOrWord {
    fn from(mtu: Mtu) -> Self {
        match mtu.0 {
            Some(octets) => NumberOrWord::Number(octets.into()),
            None => NumberOrWord::Word("auto".into()),
        }
    }
}

schema!(Mtu, {"x-kubernetes-int-or-string": true, "minimum": 1280, "maximum": 65535, "pattern": "^auto$"});

/// A prefix, strictly written: a length, and no host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr(pub Prefix);

impl FromStr for Cidr {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse().map(Cidr).map_err(|error: crate::prefix::ParseError| ValueError(error.to_string()))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text!(Cidr, "a prefix such as \"10.244.0.0/16\"");
schema!(Cidr, {"type": "string", "maxLength": 43,
    "x-kubernetes-validations": [{"rule": "isCIDR(self) && cidr(self) == cidr(self).masked()", "message": "must be a prefix such as 10.244.0.0/16, without host bits"}]});

/// The name of a network interface, as the kernel allows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        // dev_valid_name() in the kernel; its IFNAMSIZ of 16 counts the final zero.
        let valid = (1..16).contains(&text.len())
            && text != "."
            && text != ".."
            && !text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
        if valid {
            Ok(InterfaceName(text.to_owned()))
        } else {
            Err(ValueError(format!(
                "{text:?} is not an interface name: 1 to 15 octets without space, slash or colon"
            )))
        }
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text!(InterfaceName, "the name of an interface");
schema!(InterfaceName, {"type": "string", "minLength": 1, "maxLength": 15,
    "pattern": r"^(\.{0,2}[^./:\s][^/:\s]*|\.{3}[^/:\s]*)$"});

/// A community (RFC 1997): `65000:100`, or the name of a well-known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommunityText(pub u32);

/// Well-known communities by the names of the IANA registry, in lower case.
const WELL_KNOWN: [(&str, u32); 9] = [
    ("graceful-shutdown", 0xFFFF_0000),   // RFC 8326
    ("accept-own", 0xFFFF_0001),          // RFC 7611
    ("llgr-stale", 0xFFFF_0006),          // RFC 9494
    ("no-llgr", 0xFFFF_0007),             // RFC 9494
    ("blackhole", 0xFFFF_029A),           // RFC 7999
    ("no-export", 0xFFFF_FF01),           // RFC 1997
    ("no-advertise", 0xFFFF_FF02),        // RFC 1997
    ("no-export-subconfed", 0xFFFF_FF03), // RFC 1997
    ("nopeer", 0xFFFF_FF04),              // RFC 3765
];

impl FromStr for CommunityText {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Some((_, value)) = WELL_KNOWN.iter().find(|(name, _)| *name == text) {
            return Ok(CommunityText(*value));
        }
        let halves = text.split_once(':').and_then(|(high, low)| {
            Some((u32::from(high.parse::<u16>().ok()?) << 16) | u32::from(low.parse::<u16>().ok()?))
        });
        halves.map(CommunityText).ok_or_else(|| {
            ValueError(format!("{text:?} is not a community such as \"65000:100\" or \"no-export\""))
        })
    }
}

impl fmt::Display for CommunityText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match WELL_KNOWN.iter().find(|(_, value)| *value == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}:{}", self.0 >> 16, self.0 & 0xFFFF),
        }
    }
}

text!(CommunityText, "a community such as \"65000:100\", in quotes");
schema!(CommunityText, {"type": "string", "maxLength": 20, "pattern": "^([0-9]{1,5}:[0-9]{1,5}|[a-z-]+)$"});

/// A large community (RFC 8092): `65000:1:2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeCommunityText(pub LargeCommunity);

impl FromStr for LargeCommunityText {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.parse().map(|AnyCommunityText(any)| any) {
            Ok(AnyCommunity::Large(large)) => Ok(LargeCommunityText(large)),
            _ => Err(ValueError(format!("{text:?} is not a large community such as \"65000:1:2\""))),
        }
    }
}

impl fmt::Display for LargeCommunityText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        AnyCommunityText(AnyCommunity::Large(self.0)).fmt(f)
    }
}

text!(LargeCommunityText, "a large community such as \"65000:1:2\", in quotes");
schema!(LargeCommunityText, {"type": "string", "pattern": "^[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}$"});

/// A community of any kind: as [`CommunityText`]; large (RFC 8092) such as `65000:1:2`; extended
/// (RFC 4360) such as `rt:65000:100`, or `rt:*` for every one of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnyCommunityText(pub AnyCommunity);

impl FromStr for AnyCommunityText {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Ok(CommunityText(plain)) = text.parse() {
            return Ok(AnyCommunityText(AnyCommunity::Plain(Community(plain))));
        }
        let parts: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
        match parts.as_deref() {
            Ok([global_administrator, local_data_1, local_data_2]) => {
                let [global_administrator, local_data_1, local_data_2] =
                    [*global_administrator, *local_data_1, *local_data_2];
                let large = LargeCommunity { global_administrator, local_data_1, local_data_2 };
                Ok(AnyCommunityText(AnyCommunity::Large(large)))
            }
            _ => extended(text).map(AnyCommunityText).ok_or_else(|| {
                ValueError(format!(
                    "{text:?} is not a community such as \"65000:100\", \"no-export\", \"65000:1:2\", \
                     \"rt:65000:100\", \"link-bandwidth:65000:125000000\" or \"0x0002fde800000064\""
                ))
            }),
        }
    }
}

fn extended(text: &str) -> Option<AnyCommunity> {
    let kind = || text.parse().ok().map(AnyCommunity::Kind);
    text.parse().ok().map(AnyCommunity::Extended).or_else(kind)
}

impl fmt::Display for AnyCommunityText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            AnyCommunity::Plain(Community(plain)) => CommunityText(plain).fmt(f),
            AnyCommunity::Large(large) => {
                write!(f, "{}:{}:{}", large.global_administrator, large.local_data_1, large.local_data_2)
            }
            AnyCommunity::Extended(extended) => extended.fmt(f),
            AnyCommunity::Kind(kind) => kind.fmt(f),
        }
    }
}

text!(AnyCommunityText, "a community such as \"65000:100\", in quotes");
schema!(AnyCommunityText, {"type": "string", "maxLength": 64, "pattern": "^([0-9]{1,10}(:[0-9]{1,10}){1,2}|[a-z-]+|[a-z-]+:([*]|[0-9.]+:[0-9.e+]+)|0x[0-9a-fA-F]{16})$"});

/// An address family by the name that manifests use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FamilyName {
    /// AFI 1, SAFI 1.
    Ipv4Unicast,
    /// AFI 2, SAFI 1.
    Ipv6Unicast,
}

impl From<FamilyName> for Family {
    fn from(name: FamilyName) -> Family {
        match name {
            FamilyName::Ipv4Unicast => Family::Ipv4Unicast,
            FamilyName::Ipv6Unicast => Family::Ipv6Unicast,
        }
    }
}
