//! Capabilities advertised in OPEN (RFC 5492).

use crate::prefix::Family;

/// One capability, as sent or received.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Multiprotocol extensions for a family we keep a table of (RFC 4760 §8).
    Multiprotocol(Family),
    /// Multiprotocol extensions for any other AFI and SAFI.
    MultiprotocolOther {
        /// Address family identifier.
        afi: u16,
        /// Subsequent address family identifier.
        safi: u8,
    },
    /// Route refresh (RFC 2918).
    RouteRefresh,
    /// Four-octet AS numbers (RFC 6793), with the speaker's real AS.
    FourOctetAs(u32),
    /// Any other capability, kept as received.
    Unknown {
        /// Capability code.
        code: u8,
        /// Capability value.
        data: Vec<u8>,
    },
}
