//! What a speaker says of its restart: the graceful restart capability (RFC 4724 §3, RFC 8538 §2) and the
//! long-lived one (RFC 9494 §3).
//!
//! Values alone; their codes, and what a malformed one means to an OPEN, are in [`super`].

use crate::bgp::nlri;
use crate::prefix::Family;

/// The value of the graceful restart capability (RFC 4724 §3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct GracefulRestart {
    /// The speaker has restarted (R bit).
    pub restarting: bool,
    /// NOTIFICATIONs, too, keep routes (N bit, RFC 8538 §2).
    pub notification: bool,
    /// How long the peer may wait for the session to come back, in seconds; at most 4,095.
    pub restart_time: u16,
    /// Families whose forwarding state may outlive the session. None means that the speaker only
    /// sends End-of-RIB.
    pub families: Vec<RestartFamily>,
}

/// A family in the graceful restart capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RestartFamily {
    /// Address family identifier.
    pub afi: u16,
    /// Subsequent address family identifier.
    pub safi: u8,
    /// The forwarding state was kept over the restart (F bit).
    pub forwarding: bool,
}

impl RestartFamily {
    /// A family we keep a table of.
    pub fn of(family: Family, forwarding: bool) -> RestartFamily {
        RestartFamily { afi: nlri::afi(family), safi: nlri::UNICAST, forwarding }
    }
}

impl GracefulRestart {
    /// What is said of a family, if anything.
    pub fn family(&self, family: Family) -> Option<&RestartFamily> {
        self.families.iter().find(|f| nlri::family(f.afi, f.safi) == Some(family))
    }

    const RESTARTING: u8 = 0x80;
    const NOTIFICATION: u8 = 0x40;
    const FORWARDING: u8 = 0x80;

    /// `None` where the value is not two octets and a whole number of families.
    pub(super) fn decode(value: &[u8]) -> Option<GracefulRestart> {
        let (&[flags, low], families) = value.split_first_chunk()?;
        let (families, []) = families.as_chunks::<4>() else { return None };
        Some(GracefulRestart {
            restarting: flags & Self::RESTARTING != 0,
            notification: flags & Self::NOTIFICATION != 0,
            restart_time: u16::from_be_bytes([flags & 0x0f, low]),
            families: families
                .iter()
                .map(|&[high, low, safi, flags]| RestartFamily {
                    afi: u16::from_be_bytes([high, low]),
                    safi,
                    forwarding: flags & Self::FORWARDING != 0,
                })
                .collect(),
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let [high, low] = self.restart_time.min(0x0fff).to_be_bytes();
        let bit = |set, bit| if set { bit } else { 0 };
        let flags = bit(self.restarting, Self::RESTARTING) | bit(self.notification, Self::NOTIFICATION);
        let mut value = vec![flags | high, low];
        for family in &self.families {
            value.extend(family.afi.to_be_bytes());
            value.extend([family.safi, bit(family.forwarding, Self::FORWARDING)]);
        }
        value
    }
}

/// A family in the long-lived graceful restart capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LongLivedFamily {
    /// Address family identifier.
    pub afi: u16,
    /// Subsequent address family identifier.
    pub safi: u8,
    /// The forwarding state was kept over the restart (F bit).
    pub forwarding: bool,
    /// How long paths may be kept beyond the restart time, in seconds: 24 bits.
    pub stale_time: u32,
}

impl LongLivedFamily {
    /// A family we keep a table of.
    pub fn of(family: Family, forwarding: bool, stale_time: u32) -> LongLivedFamily {
        LongLivedFamily { afi: nlri::afi(family), safi: nlri::UNICAST, forwarding, stale_time }
    }

    /// The family, where it is one we keep a table of.
    pub fn family(&self) -> Option<Family> {
        nlri::family(self.afi, self.safi)
    }

    /// `None` where the value is not a whole number of families.
    pub(super) fn decode_all(value: &[u8]) -> Option<Vec<LongLivedFamily>> {
        let (families, []) = value.as_chunks::<7>() else { return None };
        let family = |&[high, low, safi, flags, a, b, c]: &[u8; 7]| LongLivedFamily {
            afi: u16::from_be_bytes([high, low]),
            safi,
            forwarding: flags & GracefulRestart::FORWARDING != 0,
            stale_time: u32::from_be_bytes([0, a, b, c]),
        };
        Some(families.iter().map(family).collect())
    }

    pub(super) fn octets(&self) -> [u8; 7] {
        let [high, low] = self.afi.to_be_bytes();
        let [_, a, b, c] = self.stale_time.min(0xff_ffff).to_be_bytes();
        let flags = if self.forwarding { GracefulRestart::FORWARDING } else { 0 };
        [high, low, self.safi, flags, a, b, c]
    }
}
