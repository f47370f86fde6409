//! The OPEN message (RFC 4271 §4.2, optional parameters of RFC 5492 and RFC 9072).

use std::net::Ipv4Addr;

use super::Capability;
use crate::prefix::Family;

/// The AS number that stands in the two-octet field of a speaker whose own does not fit (RFC 6793 §9).
pub const AS_TRANS: u16 = 23456;

/// An OPEN message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The sender's AS: from the four-octet capability where present, else from the header field.
    pub asn: u32,
    /// Proposed hold time in seconds; 0 turns keepalives off, 1 and 2 never get past the decoder.
    pub hold_time: u16,
    /// BGP identifier; never 0.0.0.0 past the decoder.
    pub router_id: Ipv4Addr,
    /// All capabilities, in wire order, from all capability parameters.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// The families offered. A speaker that sends no multiprotocol capability offers IPv4 unicast
    /// alone (RFC 4760 §8 read with RFC 4271).
    pub fn families(&self) -> Vec<Family> {
        let mut families: Vec<Family> = vec![];
        let mut multiprotocol = false;
        for capability in &self.capabilities {
            match capability {
                Capability::Multiprotocol(family) => {
                    multiprotocol = true;
                    families.push(*family);
                }
                Capability::MultiprotocolOther { .. } => multiprotocol = true,
                _ => {}
            }
        }
        if !multiprotocol {
            families.push(Family::Ipv4Unicast);
        }
        families.sort();
        families.dedup();
        families
    }

    /// Whether the sender offered four-octet AS numbers (RFC 6793).
    pub fn four_octet_as(&self) -> bool {
        self.capabilities.iter().any(|c| matches!(c, Capability::FourOctetAs(_)))
    }

    /// Whether the sender offered route refresh (RFC 2918).
    pub fn route_refresh(&self) -> bool {
        self.capabilities.contains(&Capability::RouteRefresh)
    }
}
