//! What a node is called: its AS and its BGP identifier.
//!
//! The nearest to the node wins: its own annotation, then an override, then `default`; and of one object,
//! what it has each Node say before what it says for all.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use super::{Layers, configuration};
use crate::cluster::Finding;
use crate::cluster::objects::Node;
use crate::cluster::objects::bgp_configuration::BgpConfigurationSpec;
use crate::cluster::objects::from_node::FromNode;
use crate::cluster::objects::values::{Asn, Identifier};

/// The AS where nobody says one: the first of those for private use (RFC 6996).
const DEFAULT_ASN: u32 = 64512;

pub(super) fn asn(layers: &mut Layers<'_>, node: &Node) -> u32 {
    let given = layers.find("spec.asn", |s| s.asn);
    let from = layers.find("spec.asnFrom", |s| s.asn_from.clone());
    if let Some(annotated) = node.asn {
        return annotated.value();
    }
    let Some((object, from)) = from.filter(|from| is_as_near(from.0, given.map(|given| given.0))) else {
        return given.map_or(DEFAULT_ASN, |(_, asn)| asn.value());
    };
    if from.of(node).is_none() && given.is_none() {
        // A node of some rack would pass for one of the default AS.
        let text = format!("absent, and {} has no asn for a Node without it", configuration(object));
        layers.errors.push(Finding::about(format!("Node {}", layers.node), from.field(), text));
    }
    let said = said::<Asn>(layers, &from, node).or(given.map(|(_, asn)| asn));
    said.map_or(DEFAULT_ASN, Asn::value)
}

pub(super) fn router_id(layers: &mut Layers<'_>, node: &Node) -> Ipv4Addr {
    let given = layers.find("spec.routerId", |s| s.router_id);
    let from = layers.find("spec.routerIdFrom", |s| s.router_id_from.clone());
    let from = from.filter(|from| is_as_near(from.0, given.map(|given| given.0)));
    let from = from.filter(|_| node.router_id.is_none());
    let said = from.and_then(|(_, from)| said::<Identifier>(layers, &from, node));
    let said = node.router_id.or(said.map(|Identifier(id)| id)).or(given.map(|(_, id)| id));
    said.unwrap_or_else(|| made(layers.node, node))
}

/// Whether the object `from` is at least as near to the node as `given`.
fn is_as_near(from: &str, given: Option<&str>) -> bool {
    const FARTHEST: &str = BgpConfigurationSpec::DEFAULT_NAME;
    from != FARTHEST || given.is_none_or(|given| given == FARTHEST)
}

/// What the Node says, if it says anything that makes sense.
fn said<T: FromStr<Err: fmt::Display>>(layers: &mut Layers<'_>, from: &FromNode, node: &Node) -> Option<T> {
    let text = from.of(node)?;
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            let text = format!("{text:?}: {error}");
            layers.errors.push(Finding::about(format!("Node {}", layers.node), from.field(), text));
            None
        }
    }
}

/// The BGP identifier of a node that is given none: its first IPv4 address, or else the 32-bit FNV-1a
/// hash of its name. RFC 6286 §2.1 asks for any nonzero number that is unique within the AS; a hash
/// of the name stays the same across restarts and needs nobody to hand numbers out. Of 1,000 nodes,
/// two collide with a probability of one in ten thousand, and are warned about.
fn made(name: &str, node: &Node) -> Ipv4Addr {
    let address = node.addresses.iter().find_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    });
    let hash =
        || name.bytes().fold(0x811C_9DC5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    address.unwrap_or_else(|| Ipv4Addr::from_bits(hash().max(1)))
}
