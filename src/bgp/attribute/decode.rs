//! A path attributes field, decoded: RFC 4271 §6.3 as revised by RFC 7606.
//!
//! Each attribute goes through the same steps: is it the first of its kind, may this peer send it,
//! do flags and length obey its rule, what is its value. A failure at any step becomes a fault with
//! the treatment that [`super::rules`] names, and the walk goes on.

use std::net::{IpAddr, Ipv4Addr};

use zettabgp::message::attributes::BgpAttrItem;
use zettabgp::message::attributes::extcommunity::BgpExtCommunity;
use zettabgp::{BgpSessionParams, BgpTransportMode};

use super::multiprotocol::{Foreign, Reach, Unreach, is_host_address};
use super::rules::{Accepted, Category, Rule, code, flag, rule};
use super::walk::{Overrun, RawAttribute, Walk, fault};
use super::{
    Aggregator, Community, ExactList, LargeCommunity, Origin, PathAttributes, RareAttributes,
    UnknownAttribute,
};
use crate::bgp::as_path::AsWidth;
use crate::bgp::cursor::Cursor;
use crate::bgp::open::AS_TRANS;
use crate::bgp::update::{AttributeFault, Treatment};
use crate::bgp::{AsPath, Codec, MessageError, Reason};

/// A path attributes field, decoded.
#[derive(Debug)]
pub(in crate::bgp) struct AttributeBlock {
    /// All attributes found sound. The next hop is unspecified: which of NEXT_HOP and MP_REACH_NLRI
    /// gives it depends on where a prefix stands.
    pub attributes: PathAttributes,
    /// NEXT_HOP.
    pub next_hop: Option<Ipv4Addr>,
    /// MP_REACH_NLRI of a negotiated family.
    pub reach: Option<Reach>,
    /// MP_UNREACH_NLRI of a negotiated family.
    pub unreach: Option<Unreach>,
    /// MP_REACH_NLRI of another family is present.
    pub foreign_reach: bool,
    /// What was malformed, in wire order.
    pub faults: Vec<AttributeFault>,
    rare: RareAttributes,
    unknown: Vec<UnknownAttribute>,
    partial: Vec<u8>,
    seen: Seen,
    as4_path: Option<AsPath>,
    as4_aggregator: Option<Aggregator>,
}

/// The type codes seen so far.
#[derive(Debug, Default, Clone, Copy)]
struct Seen([u64; 4]);

impl Seen {
    /// Adds a code; false if it was there already.
    fn insert(&mut self, code: u8) -> bool {
        let (word, bit) = (usize::from(code / 64), 1 << (code % 64));
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    fn contains(&self, code: u8) -> bool {
        self.0[usize::from(code / 64)] & 1 << (code % 64) != 0
    }
}

impl AttributeBlock {
    /// Decodes the path attributes field of an UPDATE.
    ///
    /// # Errors
    /// What RFC 7606 leaves as a session reset: MP_REACH_NLRI or MP_UNREACH_NLRI twice or unreadable,
    /// and a well-known attribute that we do not know.
    pub fn decode(codec: &Codec, field: &[u8]) -> Result<AttributeBlock, MessageError> {
        let mut block = AttributeBlock {
            attributes: PathAttributes::originated(Ipv4Addr::UNSPECIFIED.into()),
            next_hop: None,
            reach: None,
            unreach: None,
            foreign_reach: false,
            faults: vec![],
            rare: RareAttributes::NONE,
            unknown: vec![],
            partial: vec![],
            seen: Seen::default(),
            as4_path: None,
            as4_aggregator: None,
        };
        for item in Walk::new(field) {
            match item {
                Ok(raw) => block.attribute(codec, &raw)?,
                Err(overrun) => block.overrun(&overrun)?,
            }
        }
        block.finish();
        Ok(block)
    }

    /// Whether an attribute with this code was there, sound or not.
    pub fn has(&self, code: u8) -> bool {
        self.seen.contains(code)
    }

    /// Whether MP_UNREACH_NLRI is the only attribute (so that its emptiness may mean End-of-RIB).
    pub fn is_unreach_alone(&self) -> bool {
        let mut alone = Seen::default();
        alone.insert(code::MP_UNREACH_NLRI);
        self.seen.0 == alone.0
    }

    /// Whether any fault demands that the prefixes of the message be withdrawn.
    pub fn treat_as_withdraw(&self) -> bool {
        self.faults.iter().any(|fault| fault.treatment == Treatment::TreatAsWithdraw)
    }

    fn attribute(&mut self, codec: &Codec, raw: &RawAttribute) -> Result<(), MessageError> {
        let Some(rule) = rule(raw.code, codec.as_width()) else {
            return self.unknown(raw);
        };
        if !self.seen.insert(raw.code) {
            // RFC 7606 §3 g.
            if matches!(raw.code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) {
                let what = format!("{} stands in the message twice", rule.name);
                return Err(MessageError::because(Reason::MALFORMED_ATTRIBUTE_LIST, [], what));
            }
            self.faults.push(repeated(raw, rule.name));
            return Ok(());
        }
        let refused = match rule.accepted {
            Accepted::Always => None,
            Accepted::Internal => codec.external.then_some("an external peer"),
            Accepted::TwoOctet => codec.four_octet_as.then_some("a four-octet speaker"),
        };
        if let Some(sender) = refused {
            let what = format!("{}: not accepted from {sender}", rule.name);
            self.faults.push(raw.fault(Treatment::AttributeDiscard, what));
            return Ok(());
        }
        match raw.code {
            // Their prefixes are needed even when the flags are wrong: to withdraw them.
            code::MP_REACH_NLRI => self.reach(codec, raw)?,
            code::MP_UNREACH_NLRI => self.unreach(codec, raw)?,
            _ => {}
        }
        let named = |what| format!("{}: {what}", rule.name);
        if let Err(what) = rule.check_flags(raw) {
            self.faults.push(raw.fault(Treatment::TreatAsWithdraw, named(what)));
        } else if let Err(what) = rule.check_length(raw).and_then(|()| self.value(codec, raw, &rule)) {
            self.faults.push(raw.fault(rule.otherwise, named(what)));
        }
        Ok(())
    }

    /// Takes in the value of an attribute whose flags and length are right.
    fn value(&mut self, codec: &Codec, raw: &RawAttribute, rule: &Rule) -> Result<(), String> {
        match raw.code {
            code::MP_REACH_NLRI | code::MP_UNREACH_NLRI => {}
            code::AS_PATH => {
                let path = AsPath::decode(raw.value, codec.as_width())?;
                // RFC 5065 §5: an error from whoever is outside our confederation, and we are in none.
                if path.has_confederation() {
                    return Err("a confederation segment, and we are in no confederation".into());
                }
                self.attributes.as_path = path;
            }
            code::AS4_PATH => self.as4_path = Some(as4_path(raw.value)?),
            code::ATOMIC_AGGREGATE => self.rare.atomic_aggregate = true,
            code::AGGREGATOR => {
                self.rare.aggregator = Some(aggregator(raw.value, codec.as_width())?);
            }
            code::AS4_AGGREGATOR => {
                self.as4_aggregator = Some(aggregator(raw.value, AsWidth::Four)?);
            }
            code::ONLY_TO_CUSTOMER => self.rare.only_to_customer = Cursor::new(raw.value).u32(),
            code::ORIGIN => self.attributes.origin = origin(raw.value)?,
            code::NEXT_HOP => self.next_hop = raw.value.as_array().map(|octets| Ipv4Addr::from(*octets)),
            code::MULTI_EXIT_DISC => self.attributes.med = Cursor::new(raw.value).u32(),
            code::LOCAL_PREF => self.attributes.local_pref = Cursor::new(raw.value).u32(),
            code::COMMUNITIES => self.attributes.communities = communities(raw.value),
            _ => self.zettabgp_value(raw)?,
        }
        // RFC 4271 §5: who passes an attribute on must not clear the Partial bit that another set.
        let passed_on = !matches!(raw.code, code::AS4_PATH | code::AS4_AGGREGATOR);
        let transitive = rule.category == Category::OptionalTransitive;
        if transitive && passed_on && raw.flags & flag::PARTIAL != 0 {
            self.partial.push(raw.code);
        }
        Ok(())
    }

    /// The values that zettabgp decodes soundly once flags and length have been checked.
    fn zettabgp_value(&mut self, raw: &RawAttribute) -> Result<(), String> {
        let params = zettabgp_params();
        let item = BgpAttrItem::decode_from(&params, raw.code, raw.flags, raw.value.len(), raw.value);
        // None of these values is refused when its length is right.
        match item.map_err(|_| format!("value {:?} is undefined", raw.value))? {
            BgpAttrItem::OriginatorID(originator) => self.rare.originator_id = ipv4(originator.value),
            BgpAttrItem::ClusterList(list) => {
                self.rare.cluster_list = list.value.into_iter().filter_map(ipv4).collect();
            }
            BgpAttrItem::ExtCommunityList(list) => {
                self.rare.extended_communities = list.value.iter().map(extended_community).collect();
            }
            BgpAttrItem::LargeCommunityList(list) => {
                self.rare.large_communities = list
                    .value
                    .iter()
                    .map(|c| LargeCommunity {
                        global_administrator: c.ga,
                        local_data_1: c.ldp1,
                        local_data_2: c.ldp2,
                    })
                    .collect();
            }
            other => return Err(format!("decoded as something else: {other}")),
        }
        Ok(())
    }

    fn reach(&mut self, codec: &Codec, raw: &RawAttribute) -> Result<(), MessageError> {
        match Reach::decode(codec, raw)? {
            Ok(reach) => {
                if !reach.prefixes.is_empty() && !is_host_address(reach.next_hop) {
                    let what = format!("MP_REACH_NLRI: {} is no next hop", reach.next_hop);
                    self.faults.push(raw.fault(Treatment::TreatAsWithdraw, what));
                }
                self.reach = Some(reach);
            }
            Err(foreign) => {
                self.foreign_reach = true;
                self.foreign(raw, "MP_REACH_NLRI", foreign);
            }
        }
        Ok(())
    }

    fn unreach(&mut self, codec: &Codec, raw: &RawAttribute) -> Result<(), MessageError> {
        match Unreach::decode(codec, raw)? {
            Ok(unreach) => self.unreach = Some(unreach),
            Err(foreign) => self.foreign(raw, "MP_UNREACH_NLRI", foreign),
        }
        Ok(())
    }

    fn foreign(&mut self, raw: &RawAttribute, name: &str, foreign: Foreign) {
        self.faults.push(raw.fault(Treatment::AttributeDiscard, format!("{name}: {foreign}")));
    }

    /// An attribute we do not interpret: passed on with Partial set when transitive, else dropped
    /// (RFC 4271 §5).
    fn unknown(&mut self, raw: &RawAttribute) -> Result<(), MessageError> {
        if raw.flags & flag::OPTIONAL == 0 {
            let what = format!("attribute {} calls itself well-known, but we do not know it", raw.code);
            return Err(MessageError::because(Reason::UNRECOGNIZED_WELL_KNOWN_ATTRIBUTE, raw.octets, what));
        }
        if !self.seen.insert(raw.code) {
            self.faults.push(repeated(raw, &format!("attribute {}", raw.code)));
        } else if raw.flags & flag::TRANSITIVE != 0 {
            let flags = flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL;
            let attribute = UnknownAttribute { flags, code: raw.code, value: raw.value.to_vec() };
            self.unknown.push(attribute);
        }
        Ok(())
    }

    /// The field ends within an attribute: treat as withdraw (RFC 7606 §4), unless it is one whose
    /// prefixes would be lost.
    fn overrun(&mut self, overrun: &Overrun) -> Result<(), MessageError> {
        let name = match overrun.code {
            Some(code) => format!("attribute {code}"),
            None => "an attribute".into(),
        };
        let what =
            format!("{name} overruns the path attributes, {} octets before their end", overrun.octets.len());
        if let Some(code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) = overrun.code {
            return Err(MessageError::because(Reason::OPTIONAL_ATTRIBUTE_ERROR, overrun.octets, what));
        }
        let code = overrun.code.unwrap_or(0);
        self.seen.insert(code);
        self.faults.push(fault(code, Treatment::TreatAsWithdraw, what, overrun.octets));
        Ok(())
    }

    /// Puts in place what stands beside the attributes until all are there.
    fn finish(&mut self) {
        self.merge_four_octet();
        self.unknown.sort_by_key(|attribute| attribute.code);
        self.partial.sort_unstable();
        self.rare.unknown = std::mem::take(&mut self.unknown).into();
        self.rare.partial = std::mem::take(&mut self.partial).into();
        self.attributes.rare = std::mem::take(&mut self.rare).into();
    }

    /// Puts AS4_AGGREGATOR and AS4_PATH in place (RFC 6793 §4.2.3).
    fn merge_four_octet(&mut self) {
        match (self.rare.aggregator, self.as4_aggregator.take()) {
            // Somebody aggregated who did not know of AS4_*: both are out of date.
            (Some(two), Some(_)) if two.asn != u32::from(AS_TRANS) => return,
            (Some(_), Some(four)) => self.rare.aggregator = Some(four),
            _ => {}
        }
        if let Some(tail) = self.as4_path.take() {
            self.attributes.as_path = std::mem::take(&mut self.attributes.as_path).merged(&tail);
        }
    }
}

fn origin(value: &[u8]) -> Result<Origin, String> {
    match value {
        [0] => Ok(Origin::Igp),
        [1] => Ok(Origin::Egp),
        [2] => Ok(Origin::Incomplete),
        _ => Err(format!("value {value:?} is undefined")),
    }
}

/// Communities, ascending and each once, as most senders write them anyway.
fn communities(value: &[u8]) -> ExactList<Community> {
    let (fours, _) = value.as_chunks::<4>();
    let mut list: Vec<Community> = fours.iter().map(|four| Community(u32::from_be_bytes(*four))).collect();
    if !list.is_sorted_by(|a, b| a < b) {
        list.sort_unstable();
        list.dedup();
    }
    list.into()
}

fn repeated(raw: &RawAttribute, name: &str) -> AttributeFault {
    raw.fault(Treatment::AttributeDiscard, format!("{name}: repeated; only the first counts"))
}

fn aggregator(value: &[u8], width: AsWidth) -> Result<Aggregator, String> {
    let mut cursor = Cursor::new(value);
    let fields = (width.read(&mut cursor), cursor.array::<4>());
    let (Some(asn), Some(router_id)) = fields else {
        return Err(format!("{} octets", value.len()));
    };
    // RFC 7607 §2.
    if asn == 0 { Err("AS 0".into()) } else { Ok(Aggregator { asn, router_id: router_id.into() }) }
}

fn as4_path(value: &[u8]) -> Result<AsPath, String> {
    // RFC 6793 §6: too small to carry at least one AS number.
    if value.is_empty() {
        return Err("no octets".into());
    }
    Ok(AsPath::decode(value, AsWidth::Four)?.without_confederation())
}

fn extended_community(community: &BgpExtCommunity) -> [u8; 8] {
    let [a0, a1] = community.a.to_be_bytes();
    let [b0, b1, b2, b3] = community.b.to_be_bytes();
    [community.ctype, community.subtype, a0, a1, b0, b1, b2, b3]
}

fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// In IPv4 mode zettabgp takes next hops and identifiers for IPv4 addresses, which outside
/// MP_REACH_NLRI they always are. `fuzzy_pathid` would have it guess at Add-Path.
fn zettabgp_params() -> BgpSessionParams {
    let mode = BgpTransportMode::IPv4;
    let params = BgpSessionParams::new(0, 0, mode, Ipv4Addr::UNSPECIFIED, vec![]);
    BgpSessionParams { fuzzy_pathid: false, ..params }
}
