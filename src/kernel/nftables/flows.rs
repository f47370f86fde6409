//! Flows that the kernel remembers for a mapped UDP port (ctnetlink, `linux/netfilter/nfnetlink_conntrack.h`).
//!
//! A flow is translated as its first packet was, as long as packets come. One that began before there was a
//! mapping, or under a mapping to a pod that is gone, would lead nowhere for ever while its sender goes on.
//! TCP and SCTP notice, UDP does not.

use std::net::IpAddr;

use super::Nftables;
use crate::kernel::Error;
use crate::kernel::frame::{Attributes, NESTED, NLM_F_REQUEST, Requests, address, attribute};
use crate::kernel::rtm::family_number;
use crate::prefix::Family;

/// `NFNL_SUBSYS_CTNETLINK`, and its messages.
const SUBSYSTEM: u16 = 1;
const GET: u16 = SUBSYSTEM << 8 | 1;
const DELETE: u16 = SUBSYSTEM << 8 | 2;

/// Attributes of a flow (`enum ctattr_type`) and of what begins it (`ctattr_tuple`, `ctattr_ip`, `ctattr_l4proto`).
const ORIGINAL: u16 = 1;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
const ADDRESSES: u16 = 1;
const TRANSPORT: u16 = 2;
const IPV4_DESTINATION: u16 = 2;
const IPV6_DESTINATION: u16 = 4;
const PROTOCOL: u16 = 1;
const DESTINATION_PORT: u16 = 3;

const UDP: u8 = 17;

/// A UDP port of the node that flows may have been sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    /// Of which packets.
    pub(super) family: Family,
    /// The node's address; `None` for any.
    pub(super) host: Option<IpAddr>,
    /// The number.
    pub(super) number: u16,
}

impl Nftables {
    /// Has the kernel forget the flows that were sent to these ports. Flows through the node to the same
    /// port of somebody else are forgotten as well, which they survive.
    ///
    /// That it does not is no reason to leave a pod unattached: old flows end by themselves once their
    /// senders pause for half a minute.
    pub(super) fn forget(&mut self, ports: &[Port]) {
        for port in ports {
            if let Err(error) = self.forget_one(*port) {
                tracing::warn!(%error, "flows may still lead to where a port was mapped before");
            }
        }
    }

    fn forget_one(&mut self, port: Port) -> Result<(), Error> {
        let what = || format!("forget flows to UDP port {}", port.number);
        let mut question = question(port);
        let found = self.exchange.dump(&mut question, |found: &mut Vec<Found>, _, body| {
            found.extend(read(body).filter(|flow| flow.is_to(port)));
        });
        let found = found.map_err(|refusal| refusal.to(what()))?;
        if found.is_empty() {
            return Ok(());
        }
        let mut requests = Requests::default();
        for flow in &found {
            requests.push(DELETE, 0, &header(port.family), |attributes| {
                attributes.put(ORIGINAL | NESTED, &flow.original);
                if let Some(zone) = &flow.zone {
                    attributes.put(ZONE, zone);
                }
            });
        }
        // That a flow has ended by itself in the meantime is as good.
        let refused = self.exchange.ask(&mut requests);
        if let Some((_, refusal)) = refused.into_iter().find(|(_, no)| !no.is(nix::Error::ENOENT)) {
            return Err(refusal.to(what()));
        }
        Ok(())
    }
}

/// `struct nfgenmsg`.
fn header(family: Family) -> [u8; 4] {
    [family_number(family), 0, 0, 0]
}

/// Asks for the flows to a port. Linux before 5.8 answers with all there are.
fn question(port: Port) -> Requests {
    /// `CTA_FILTER_ORIG_FLAGS`; protocol and destination port count (`CTA_FILTER_F_…`).
    const ORIGINAL_FLAGS: u16 = 1;
    const COUNTS: u32 = 1 << 3 | 1 << 5;
    let mut requests = Requests::default();
    requests.push(GET, NLM_F_REQUEST, &header(port.family), |attributes: &mut Attributes| {
        attributes.nest(ORIGINAL | NESTED, |attributes| {
            attributes.nest(TRANSPORT | NESTED, |attributes| {
                attributes.put(PROTOCOL, &[UDP]);
                attributes.put(DESTINATION_PORT, &port.number.to_be_bytes());
            });
        });
        attributes.nest(FILTER | NESTED, |attributes| attributes.put_u32(ORIGINAL_FLAGS, COUNTS));
    });
    requests
}

/// A flow, as far as it matters here.
struct Found {
    /// What begins it, as it came.
    original: Vec<u8>,
    zone: Option<Vec<u8>>,
    host: Option<IpAddr>,
    port: Option<u16>,
    protocol: Option<u8>,
}

impl Found {
    fn is_to(&self, port: Port) -> bool {
        self.protocol == Some(UDP)
            && self.port == Some(port.number)
            && port.host.is_none_or(|host| self.host == Some(host))
    }
}

fn read(body: &[u8]) -> Option<Found> {
    let rest = body.get(4..)?;
    let original = attribute(rest, ORIGINAL)?;
    let addresses = attribute(original, ADDRESSES)?;
    let transport = attribute(original, TRANSPORT)?;
    Some(Found {
        original: original.to_vec(),
        zone: attribute(rest, ZONE).map(<[u8]>::to_vec),
        host: attribute(addresses, IPV4_DESTINATION)
            .or_else(|| attribute(addresses, IPV6_DESTINATION))
            .and_then(address),
        port: attribute(transport, DESTINATION_PORT).and_then(|o| o.try_into().ok()).map(u16::from_be_bytes),
        protocol: attribute(transport, PROTOCOL).and_then(|octets| octets.first().copied()),
    })
}
