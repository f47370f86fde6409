//! What each codec makes of a message, in words that all three share.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use netgauze_bgp_pkt::BgpMessage;
use netgauze_bgp_pkt::path_attribute::{
    Aggregator, AsPath as TheirAsPath, AsPathSegmentType, MpReach, MpUnreach, PathAttributeValue,
};
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use netgauze_parse_utils::WritablePdu;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput;
use routelet::bgp::update::{AttributeFault, Treatment};
use routelet::bgp::{AsPath, Codec, Message, Open, Segment, Update};
use rustbgpd_wire::validate::validate_update_attributes;
use rustbgpd_wire::{AsPathSegment, ErrorDisposition, PathAttribute};

/// What becomes of a message, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing is wrong.
    Clean,
    /// Attribute discard.
    Discard,
    /// Treat as withdraw.
    Withdraw,
    /// Session reset.
    Reset,
    /// Refused by a codec that does not say what is to follow.
    Refused,
}

/// What one codec makes of a message.
#[derive(Debug)]
pub struct Reading {
    /// What it complains of, and what is to follow.
    pub complaints: Vec<(Verdict, String)>,
    /// What the message means, by name.
    pub facts: Facts,
}

type Facts = BTreeMap<&'static str, String>;

impl Reading {
    fn bad(verdict: Verdict, why: impl ToString) -> Reading {
        Reading { complaints: vec![(verdict, why.to_string())], facts: Facts::new() }
    }

    fn clean(facts: Facts) -> Reading {
        Reading { complaints: vec![], facts }
    }
}

/// Puts a list in; one that is empty says nothing.
fn put<T: ToString>(facts: &mut Facts, name: &'static str, list: impl IntoIterator<Item = T>) {
    let text = list.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(" ");
    if !text.is_empty() {
        facts.insert(name, text);
    }
}

/// Puts a set in: neither order nor number counts.
fn put_set<T: ToString>(facts: &mut Facts, name: &'static str, list: impl IntoIterator<Item = T>) {
    let mut all: Vec<String> = list.into_iter().map(|item| item.to_string()).collect();
    all.sort();
    all.dedup();
    put(facts, name, all);
}

pub fn ours(codec: &Codec, message: &[u8]) -> Reading {
    match codec.decode(message) {
        Err(error) => Reading::bad(Verdict::Reset, error.what),
        Ok(Message::Open(open)) => Reading::clean(our_open(&open)),
        Ok(Message::Update(update)) => our_update(&update),
        Ok(Message::Notification(notification)) => {
            let facts = [(notification.code, notification.subcode, notification.data)];
            Reading::clean(facts.map(|fact| ("notification", format!("{fact:?}"))).into())
        }
        Ok(_) => Reading::clean(Facts::new()),
    }
}

fn our_open(open: &Open) -> Facts {
    let mut facts = Facts::new();
    put(&mut facts, "AS", [open.asn]);
    put(&mut facts, "hold time", [open.hold_time]);
    put(&mut facts, "identifier", [open.router_id]);
    put(
        &mut facts,
        "capabilities",
        open.capabilities.iter().map(|capability| {
            let alone = Open { capabilities: vec![capability.clone()], ..open.clone() };
            let octets = Codec::initial().encode_open(&alone);
            // Of the two framings of the one parameter, the extended one takes four octets more.
            super::hex(&octets[if octets[28] == 255 { 35 } else { 31 }..])
        }),
    );
    facts
}

fn our_update(update: &Update) -> Reading {
    let complaint = |fault: &AttributeFault| {
        let verdict = match fault.treatment {
            Treatment::TreatAsWithdraw => Verdict::Withdraw,
            Treatment::AttributeDiscard => Verdict::Discard,
        };
        (verdict, fault.what.clone())
    };
    let complaints = update.faults.iter().map(complaint).collect();
    let mut facts = Facts::new();
    put_set(&mut facts, "withdrawn", &update.withdrawn);
    for announcement in &update.announced {
        let attributes = &announcement.attributes;
        let routelet::bgp::PathAttributes { origin, med, local_pref, rare, .. } = attributes;
        let hops = [Some(attributes.next_hop), rare.link_local_next_hop.map(IpAddr::V6)];
        let name = if announcement.prefixes[0].address().is_ipv4() { "IPv4" } else { "IPv6" };
        put(&mut facts, name, &announcement.prefixes);
        put(
            &mut facts,
            if name == "IPv4" { "IPv4 next hop" } else { "IPv6 next hop" },
            hops.into_iter().flatten(),
        );
        put(&mut facts, "ORIGIN", [*origin as u8]);
        put(&mut facts, "AS_PATH", [path(&attributes.as_path)]);
        put(&mut facts, "MULTI_EXIT_DISC", med);
        put(&mut facts, "LOCAL_PREF", local_pref);
        put(&mut facts, "ATOMIC_AGGREGATE", rare.atomic_aggregate.then_some(1));
        put(&mut facts, "AGGREGATOR", rare.aggregator.map(|a| format!("{} {}", a.asn, a.router_id)));
        put_set(&mut facts, "COMMUNITIES", attributes.communities.iter().map(|c| c.0));
        put(&mut facts, "ORIGINATOR_ID", rare.originator_id);
        put(&mut facts, "CLUSTER_LIST", &*rare.cluster_list);
        put_set(&mut facts, "EXTENDED COMMUNITIES", rare.extended_communities.iter().map(|c| super::hex(c)));
        let large = rare.large_communities.iter();
        let large =
            large.map(|c| format!("{}:{}:{}", c.global_administrator, c.local_data_1, c.local_data_2));
        put_set(&mut facts, "LARGE_COMMUNITY", large);
        put(&mut facts, "ONLY_TO_CUSTOMER", rare.only_to_customer);
        let unknown = rare.unknown.iter().map(|a| format!("{}={}", a.code, super::hex(&a.value)));
        put_set(&mut facts, "unknown", unknown);
    }
    Reading { complaints, facts }
}

/// A path with adjacent sequences joined: where a sequence was cut means nothing.
fn path(path: &AsPath) -> String {
    let mut segments: Vec<(Segment, Vec<u32>)> = vec![];
    for segment in path.segments() {
        match (segments.last_mut(), segment) {
            (Some((Segment::Sequence(_), front)), Segment::Sequence(more)) => front.extend(more),
            _ => segments.push((segment, segment.asns().to_vec())),
        }
    }
    let joined = segments.iter().map(|(segment, asns)| match segment {
        Segment::Sequence(_) => Segment::Sequence(asns),
        other => *other,
    });
    joined.collect::<AsPath>().to_string()
}

pub fn rustbgpd(codec: &Codec, message: &[u8]) -> Reading {
    let mut octets = bytes_of(message);
    match rustbgpd_wire::decode_message(&mut octets, 4096) {
        Err(error) => Reading::bad(Verdict::Reset, error),
        Ok(_) if !octets.is_empty() => Reading::bad(Verdict::Reset, "octets are left over"),
        Ok(rustbgpd_wire::Message::Open(open)) => {
            let mut facts = Facts::new();
            put(&mut facts, "AS", [open.four_byte_as()]);
            put(&mut facts, "hold time", [open.hold_time]);
            put(&mut facts, "identifier", [open.bgp_identifier]);
            put(
                &mut facts,
                "capabilities",
                open.capabilities.iter().map(|capability| {
                    let mut out = vec![];
                    capability.encode(&mut out).map_or_else(|error| error.to_string(), |()| super::hex(&out))
                }),
            );
            Reading::clean(facts)
        }
        Ok(rustbgpd_wire::Message::Update(update)) => rustbgpd_update(codec, &update),
        Ok(rustbgpd_wire::Message::Notification(notification)) => {
            let code = notification.code.as_u8();
            let fact = (code, notification.subcode, notification.data.to_vec());
            Reading::clean([("notification", format!("{fact:?}"))].into())
        }
        Ok(_) => Reading::clean(Facts::new()),
    }
}

fn bytes_of(octets: &[u8]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(octets)
}

fn rustbgpd_update(codec: &Codec, update: &rustbgpd_wire::UpdateMessage) -> Reading {
    let parsed = match update.parse_revised(codec.four_octet_as, !codec.external, false, &[]) {
        Err(error) => return Reading::bad(Verdict::Reset, error),
        Ok(parsed) => parsed,
    };
    let attributes = &parsed.update.attributes;
    let in_body = !parsed.update.announced.is_empty();
    let in_reach =
        attributes.iter().any(|a| matches!(a, PathAttribute::MpReachNlri(r) if !r.announced.is_empty()));
    let valid = validate_update_attributes(attributes, in_body || in_reach, in_body, codec.external);
    let verdict = |disposition| match disposition {
        ErrorDisposition::AttributeDiscard => Verdict::Discard,
        ErrorDisposition::TreatAsWithdraw => Verdict::Withdraw,
        ErrorDisposition::SessionReset => Verdict::Reset,
    };
    let mut complaints: Vec<(Verdict, String)> =
        parsed.malformed.iter().map(|fault| (verdict(fault.disposition), fault.error.to_string())).collect();
    // An attribute that was thrown out is also one that is missing: that is said once.
    let thrown_out = |code: u8| parsed.malformed.iter().any(|fault| fault.type_code == code);
    complaints.extend(
        valid.err().filter(|error| !error.data.first().is_some_and(|code| thrown_out(*code))).map(|error| {
            (verdict(error.disposition), format!("validation {}/{:?}", error.subcode, error.data.first()))
        }),
    );
    let mut facts = Facts::new();
    let mut withdrawn: Vec<String> = parsed.update.withdrawn.iter().map(|n| n.prefix.to_string()).collect();
    put(&mut facts, "IPv4", parsed.update.announced.iter().map(|n| n.prefix));
    for attribute in attributes {
        rustbgpd_attribute(&mut facts, attribute, &mut withdrawn);
    }
    put_set(&mut facts, "withdrawn", withdrawn);
    Reading { complaints, facts: only_of_announcements(facts) }
}

fn rustbgpd_segment(segment: &AsPathSegment) -> Segment<'_> {
    match segment {
        AsPathSegment::AsSet(asns) => Segment::Set(asns),
        AsPathSegment::AsSequence(asns) => Segment::Sequence(asns),
    }
}

fn rustbgpd_attribute(facts: &mut Facts, attribute: &PathAttribute, withdrawn: &mut Vec<String>) {
    match attribute {
        PathAttribute::Origin(origin) => put(facts, "ORIGIN", [*origin as u8]),
        PathAttribute::AsPath(theirs) => {
            put(facts, "AS_PATH", [path(&theirs.segments.iter().map(rustbgpd_segment).collect())]);
        }
        PathAttribute::Aggregator(a) => put(facts, "AGGREGATOR", [format!("{} {}", a.asn, a.router_id)]),
        PathAttribute::AtomicAggregate => put(facts, "ATOMIC_AGGREGATE", [1]),
        PathAttribute::NextHop(next_hop) => put(facts, "IPv4 next hop", [next_hop]),
        PathAttribute::LocalPref(value) => put(facts, "LOCAL_PREF", [value]),
        PathAttribute::Med(value) => put(facts, "MULTI_EXIT_DISC", [value]),
        PathAttribute::Communities(list) | PathAttribute::CommunitiesPartial(list) => {
            put_set(facts, "COMMUNITIES", list);
        }
        PathAttribute::ExtendedCommunities(list) | PathAttribute::ExtendedCommunitiesPartial(list) => {
            put_set(facts, "EXTENDED COMMUNITIES", list.iter().map(|c| format!("{:016x}", c.as_u64())));
        }
        PathAttribute::LargeCommunities(list) | PathAttribute::LargeCommunitiesPartial(list) => {
            let text = |c: &rustbgpd_wire::LargeCommunity| {
                format!("{}:{}:{}", c.global_admin, c.local_data1, c.local_data2)
            };
            put_set(facts, "LARGE_COMMUNITY", list.iter().map(text));
        }
        PathAttribute::OriginatorId(id) => put(facts, "ORIGINATOR_ID", [id]),
        PathAttribute::ClusterList(list) => put(facts, "CLUSTER_LIST", list),
        PathAttribute::OnlyToCustomer(asn) | PathAttribute::OnlyToCustomerPartial(asn) => {
            put(facts, "ONLY_TO_CUSTOMER", [asn]);
        }
        PathAttribute::MpReachNlri(reach) => {
            let hops = [Some(reach.next_hop), reach.link_local_next_hop.map(IpAddr::V6)];
            let v4 = reach.afi == rustbgpd_wire::Afi::Ipv4;
            put(facts, if v4 { "IPv4" } else { "IPv6" }, reach.announced.iter().map(|n| n.prefix));
            if !reach.announced.is_empty() {
                put(facts, if v4 { "IPv4 next hop" } else { "IPv6 next hop" }, hops.into_iter().flatten());
            }
        }
        PathAttribute::MpUnreachNlri(unreach) => {
            withdrawn.extend(unreach.withdrawn.iter().map(|n| n.prefix.to_string()));
        }
        PathAttribute::Unknown(raw) => unknown(facts, raw.flags, raw.type_code, &raw.data),
        other => put(facts, "other", [format!("{other:?}")]),
    }
}

/// Unknown attributes are passed on where they are transitive, else forgotten (RFC 4271 §5).
fn unknown(facts: &mut Facts, flags: u8, code: u8, value: &[u8]) {
    if flags & 0x40 != 0 {
        let before = facts.remove("unknown");
        let all = before.iter().flat_map(|text| text.split(' ')).map(str::to_owned);
        put_set(facts, "unknown", all.chain([format!("{code}={}", super::hex(value))]).collect::<Vec<_>>());
    }
}

/// Without a prefix that they are for, attributes mean nothing.
fn only_of_announcements(mut facts: Facts) -> Facts {
    if !facts.contains_key("IPv4") {
        facts.remove("IPv4 next hop");
    }
    if !facts.contains_key("IPv4") && !facts.contains_key("IPv6") {
        facts.retain(|name, _| *name == "withdrawn");
    }
    facts
}

pub fn netgauze(codec: &Codec, message: &[u8]) -> Reading {
    let mut context = BgpParsingContext::default();
    context.set_asn4(codec.four_octet_as);
    let mut reader = SliceReader::new(message);
    match BgpMessage::parse(&mut reader, &mut context) {
        Err(error) => Reading::bad(Verdict::Refused, error),
        Ok(_) if !reader.is_empty() => Reading::bad(Verdict::Refused, "octets are left over"),
        Ok(BgpMessage::Open(open)) => {
            let mut facts = Facts::new();
            put(&mut facts, "AS", [open.my_asn4()]);
            put(&mut facts, "hold time", [open.hold_time()]);
            put(&mut facts, "identifier", [open.bgp_id()]);
            put(
                &mut facts,
                "capabilities",
                open.capabilities().into_iter().map(|capability| {
                    let mut out = vec![];
                    capability.write(&mut out).map_or_else(|error| error.to_string(), |()| super::hex(&out))
                }),
            );
            Reading::clean(facts)
        }
        Ok(BgpMessage::Update(update)) => {
            let mut facts = Facts::new();
            let mut withdrawn: Vec<String> =
                update.withdraw_routes().iter().map(|n| n.network().address().trunc().to_string()).collect();
            put(&mut facts, "IPv4", update.nlri().iter().map(|n| n.network().address().trunc()));
            for attribute in update.path_attributes() {
                netgauze_attribute(&mut facts, attribute, &mut withdrawn);
            }
            put_set(&mut facts, "withdrawn", withdrawn);
            if facts.contains_key("AS4_PATH") {
                let merged = ours(codec, message).facts;
                for name in ["AS_PATH", "AGGREGATOR"] {
                    put(&mut facts, name, merged.get(name));
                }
            }
            Reading::clean(only_of_announcements(facts))
        }
        // It takes the data apart by code, so only that it was read is compared.
        Ok(BgpMessage::Notification(_)) => Reading::clean(ours(codec, message).facts),
        Ok(_) => Reading::clean(Facts::new()),
    }
}

fn netgauze_segment((kind, asns): &(AsPathSegmentType, Vec<u32>)) -> Segment<'_> {
    match kind {
        AsPathSegmentType::AsSet => Segment::Set(asns),
        AsPathSegmentType::AsSequence => Segment::Sequence(asns),
    }
}

fn netgauze_attribute(
    facts: &mut Facts,
    attribute: &netgauze_bgp_pkt::path_attribute::PathAttribute,
    withdrawn: &mut Vec<String>,
) {
    use PathAttributeValue as Value;
    let aggregator = |asn: u32, origin: Ipv4Addr| format!("{asn} {origin}");
    match attribute.value() {
        Value::Origin(origin) => put(facts, "ORIGIN", [*origin as u8]),
        Value::AsPath(theirs) => {
            let segments: Vec<(AsPathSegmentType, Vec<u32>)> = match theirs {
                TheirAsPath::As2PathSegments(list) => list
                    .iter()
                    .map(|s| (s.segment_type(), s.as_numbers().iter().map(|n| u32::from(*n)).collect()))
                    .collect(),
                TheirAsPath::As4PathSegments(list) => {
                    list.iter().map(|s| (s.segment_type(), s.as_numbers().to_vec())).collect()
                }
            };
            put(facts, "AS_PATH", [path(&segments.iter().map(netgauze_segment).collect())]);
        }
        Value::As4Path(_) => put(facts, "AS4_PATH", [1]),
        Value::NextHop(next_hop) => put(facts, "IPv4 next hop", [next_hop.next_hop()]),
        Value::MultiExitDiscriminator(med) => put(facts, "MULTI_EXIT_DISC", [med.metric()]),
        Value::LocalPreference(value) => put(facts, "LOCAL_PREF", [value.metric()]),
        Value::AtomicAggregate(_) => put(facts, "ATOMIC_AGGREGATE", [1]),
        Value::Aggregator(Aggregator::As2Aggregator(a)) => {
            put(facts, "AGGREGATOR", [aggregator((*a.asn()).into(), a.origin())]);
        }
        Value::Aggregator(Aggregator::As4Aggregator(a)) => {
            put(facts, "AGGREGATOR", [aggregator(*a.asn(), a.origin())]);
        }
        Value::Communities(list) => {
            put_set(facts, "COMMUNITIES", list.communities().iter().map(|c| c.value()))
        }
        Value::ExtendedCommunities(list) => {
            let octets = |community: &netgauze_bgp_pkt::community::ExtendedCommunity| {
                let mut out = vec![];
                community.write(&mut out).map_or_else(|error| error.to_string(), |()| super::hex(&out))
            };
            put_set(facts, "EXTENDED COMMUNITIES", list.communities().iter().map(octets));
        }
        Value::LargeCommunities(list) => put_set(facts, "LARGE_COMMUNITY", list.communities()),
        Value::Originator(id) => put(facts, "ORIGINATOR_ID", [id.id()]),
        Value::ClusterList(list) => put(facts, "CLUSTER_LIST", list.cluster_list().iter().map(|c| c.id())),
        Value::OnlyToCustomer(asn) => put(facts, "ONLY_TO_CUSTOMER", [asn.asn()]),
        Value::MpReach(MpReach::Ipv4Unicast { next_hop, next_hop_local, nlri }) => {
            put(facts, "IPv4", nlri.iter().map(|n| n.network().address().trunc()));
            let hops = [Some(*next_hop), next_hop_local.map(IpAddr::V6)];
            put(facts, "IPv4 next hop", hops.into_iter().flatten().filter(|_| !nlri.is_empty()));
        }
        Value::MpReach(MpReach::Ipv6Unicast { next_hop_global, next_hop_local, nlri }) => {
            put(facts, "IPv6", nlri.iter().map(|n| n.network().address().trunc()));
            let hops = [Some(*next_hop_global), *next_hop_local];
            put(facts, "IPv6 next hop", hops.into_iter().flatten().filter(|_| !nlri.is_empty()));
        }
        Value::MpUnreach(MpUnreach::Ipv4Unicast { nlri }) => {
            withdrawn.extend(nlri.iter().map(|n| n.network().address().trunc().to_string()));
        }
        Value::MpUnreach(MpUnreach::Ipv6Unicast { nlri }) => {
            withdrawn.extend(nlri.iter().map(|n| n.network().address().trunc().to_string()));
        }
        // AS4_AGGREGATOR, left to its user to merge as AS4_PATH is.
        Value::UnknownAttribute(raw) if raw.code() == 18 => put(facts, "AS4_PATH", [1]),
        Value::UnknownAttribute(raw) => {
            unknown(facts, if attribute.transitive() { 0x40 } else { 0 }, raw.code(), raw.value());
        }
        other => put(facts, "other", [format!("{other:?}")]),
    }
}
