//! Reading an UPDATE: the three fields, and which fate RFC 7606 gives to their prefixes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Announcement, Treatment, Update};
use crate::bgp::attribute::{AttributeBlock, PathAttributes, Reach, code, fault, flag, is_host_address};
use crate::bgp::cursor::Cursor;
use crate::bgp::nlri::List;
use crate::bgp::{Codec, MessageError, Reason};
use crate::prefix::Family;

/// The fields of an UPDATE (RFC 4271 §4.3).
struct Fields<'a> {
    withdrawn: &'a [u8],
    attributes: &'a [u8],
    nlri: &'a [u8],
}

impl<'a> Fields<'a> {
    fn split(body: &'a [u8]) -> Result<Fields<'a>, MessageError> {
        let mut cursor = Cursor::new(body);
        let withdrawn = sized_field(&mut cursor, "withdrawn routes")?;
        let attributes = sized_field(&mut cursor, "path attributes")?;
        Ok(Fields { withdrawn, attributes, nlri: cursor.rest() })
    }
}

fn sized_field<'a>(cursor: &mut Cursor<'a>, name: &str) -> Result<&'a [u8], MessageError> {
    let malformed = |what| MessageError::because(Reason::MALFORMED_ATTRIBUTE_LIST, [], what);
    let length = cursor.u16().ok_or_else(|| malformed(format!("the UPDATE ends before its {name}")))?;
    let left = cursor.rest().len();
    cursor
        .take(length.into())
        .ok_or_else(|| malformed(format!("{name} of {length} octets, {left} octets before the end")))
}

/// Decodes the octets after the header.
///
/// # Errors
/// What even RFC 7606 answers with a session reset: fields that overrun the message, prefixes that
/// cannot be read, and the cases of [`AttributeBlock::decode`].
pub(in crate::bgp) fn decode(codec: &Codec, body: &[u8]) -> Result<Update, MessageError> {
    let fields = Fields::split(body)?;
    let ipv4 = codec.families.contains(&Family::Ipv4Unicast);
    if fields.withdrawn.is_empty() && fields.attributes.is_empty() && fields.nlri.is_empty() {
        let end_of_rib = ipv4.then_some(Family::Ipv4Unicast);
        return Ok(Update { end_of_rib, ..Update::default() });
    }
    let mut withdrawn = prefixes(codec, "withdrawn routes", fields.withdrawn)?;
    let mut announced = prefixes(codec, "NLRI", fields.nlri)?;
    let in_body = !withdrawn.is_empty() || !announced.is_empty();
    let mut block = AttributeBlock::decode(codec, fields.attributes)?;
    let end_of_rib = block
        .unreach
        .as_ref()
        .filter(|unreach| block.is_unreach_alone() && unreach.prefixes.is_empty() && block.faults.is_empty())
        .filter(|_| !in_body)
        .map(|unreach| unreach.family);
    require_attributes(&mut block, !announced.is_empty());
    require_reachable(&block, &announced)?;
    if in_body && !ipv4 {
        let what = "ipv4Unicast was not negotiated; its NLRI is ignored";
        let octets = if announced.is_empty() { fields.withdrawn } else { fields.nlri };
        block.faults.push(fault(0, Treatment::AttributeDiscard, what, octets));
        (withdrawn, announced) = Default::default();
    }
    Ok(assemble(block, withdrawn, announced, end_of_rib))
}

fn prefixes(codec: &Codec, name: &str, octets: &[u8]) -> Result<List, MessageError> {
    List::decode(codec, Family::Ipv4Unicast, octets).map_err(|malformed| {
        MessageError::because(Reason::INVALID_NETWORK_FIELD, [], format!("{name}: {malformed}"))
    })
}

/// Records the mandatory attributes that are missing (RFC 7606 §3 d; NEXT_HOP is mandatory for the
/// prefixes of the message body alone, RFC 4760 §3) and a NEXT_HOP that cannot be one.
fn require_attributes(block: &mut AttributeBlock, in_body: bool) {
    let mut required: &[(u8, &str)] =
        &[(code::ORIGIN, "ORIGIN"), (code::AS_PATH, "AS_PATH"), (code::NEXT_HOP, "NEXT_HOP")];
    if !in_body {
        let in_reach = block.reach.as_ref().is_some_and(|reach| !reach.prefixes.is_empty());
        required = if in_reach { &required[..2] } else { &[] };
    }
    for (code, name) in required {
        if !block.has(*code) {
            let what = format!("{name} is missing");
            block.faults.push(fault(*code, Treatment::TreatAsWithdraw, what, &[]));
        }
    }
    if let Some(next_hop) = block.next_hop.filter(|next_hop| in_body && !is_host_address((*next_hop).into()))
    {
        let octets = [&[flag::TRANSITIVE, code::NEXT_HOP, 4], &next_hop.octets()[..]].concat();
        let what = format!("NEXT_HOP: {next_hop} is no next hop");
        block.faults.push(fault(code::NEXT_HOP, Treatment::TreatAsWithdraw, what, &octets));
    }
}

/// Refuses to treat as withdraw when the prefixes to withdraw may have been lost in the damage: the
/// message carries attributes but nothing reachable (RFC 7606 §5.2).
fn require_reachable(block: &AttributeBlock, announced: &List) -> Result<(), MessageError> {
    let in_reach = block.reach.as_ref().is_some_and(|reach| !reach.prefixes.is_empty());
    let reachable = !announced.is_empty() || in_reach || block.foreign_reach;
    if reachable || block.is_unreach_alone() || !block.treat_as_withdraw() {
        return Ok(());
    }
    let faults: Vec<&str> = block.faults.iter().map(|fault| fault.what.as_str()).collect();
    let what = format!("no reachable prefix was found beside malformed attributes: {}", faults.join("; "));
    Err(MessageError::because(Reason::MALFORMED_ATTRIBUTE_LIST, [], what))
}

/// Puts every prefix where it belongs.
fn assemble(block: AttributeBlock, withdrawn: List, in_body: List, end_of_rib: Option<Family>) -> Update {
    let treat_as_withdraw = block.treat_as_withdraw();
    let AttributeBlock { attributes, next_hop, reach, unreach, faults, .. } = block;
    let List { prefixes, paths } = withdrawn;
    let mut update =
        Update { withdrawn: prefixes, withdrawn_paths: paths, announced: vec![], end_of_rib, faults };
    if let Some(unreach) = unreach {
        update.withdraw(unreach.prefixes);
    }
    let reach = reach.filter(|reach| !reach.prefixes.is_empty());
    if treat_as_withdraw {
        update.withdraw(in_body);
        if let Some(reach) = reach {
            update.withdraw(reach.prefixes);
        }
        return update;
    }
    // Prefixes in the body without a NEXT_HOP have been treated as withdrawn above.
    let next_hop = IpAddr::V4(next_hop.unwrap_or(Ipv4Addr::UNSPECIFIED));
    update.announced = match (in_body.is_empty(), reach) {
        (true, None) => vec![],
        (false, None) => vec![Announcement::new(attributes, next_hop, None, in_body)],
        (true, Some(reach)) => vec![reach.announcement(attributes)],
        (false, Some(reach)) => {
            let body = Announcement::new(attributes.clone(), next_hop, None, in_body);
            vec![body, reach.announcement(attributes)]
        }
    };
    update
}

impl Update {
    fn withdraw(&mut self, list: List) {
        self.withdrawn.extend(list.prefixes);
        self.withdrawn_paths.extend(list.paths);
    }
}

impl Announcement {
    fn new(
        mut attributes: PathAttributes,
        next_hop: IpAddr,
        link_local_next_hop: Option<Ipv6Addr>,
        List { prefixes, paths }: List,
    ) -> Announcement {
        attributes.next_hop = next_hop;
        if link_local_next_hop.is_some() {
            attributes.rare.change(|rare| rare.link_local_next_hop = link_local_next_hop);
        }
        Announcement { attributes, prefixes, paths }
    }
}

impl Reach {
    fn announcement(self, attributes: PathAttributes) -> Announcement {
        Announcement::new(attributes, self.next_hop, self.link_local_next_hop, self.prefixes)
    }
}
