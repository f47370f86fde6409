//! A network interface: what the kernel says of it (`linux/if_link.h`; rtnetlink(7)).
//!
//! Reads messages and sends none. Asking is `links`' and `conversation`'s business.

use super::frame::{attribute, attributes, text, u8_at, u32_at};

/// Octets of a link message's header (`struct ifinfomsg`).
pub(super) const HEADER: usize = 16;

/// Attributes of a link (`IFLA_*`).
pub(super) const ADDRESS: u16 = 1;
pub(super) const IFNAME: u16 = 3;
pub(super) const MTU: u16 = 4;
pub(super) const LINK: u16 = 5;
pub(super) const MASTER: u16 = 10;
pub(super) const LINKINFO: u16 = 18;

/// Attributes of `IFLA_LINKINFO`.
pub(super) const INFO_KIND: u16 = 1;
pub(super) const INFO_DATA: u16 = 2;
pub(super) const INFO_SLAVE_KIND: u16 = 4;
pub(super) const INFO_SLAVE_DATA: u16 = 5;

/// Flags of a link (`IFF_*`).
pub(super) const UP: u32 = 1;
const RUNNING: u32 = 1 << 6;
const LOWER_UP: u32 = 1 << 16;

/// A network interface as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Interface index, unique in its namespace.
    pub index: u32,
    /// Interface name.
    pub name: String,
    /// Hardware address; `None` for a link that has none.
    pub mac: Option<[u8; 6]>,
    /// Largest packet in octets.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// The lower layer is there (`LOWER_UP`).
    pub carrier: bool,
    /// What is sent leaves: the kernel has acted on it that the link is up and the lower layer there.
    pub running: bool,
    /// Driver kind, such as `bridge` or `veth`; `None` for hardware and loopback.
    pub kind: Option<String>,
    /// Index of the bridge the link is a port of.
    pub master: Option<u32>,
    /// Index of the link below or at the other end, in that one's namespace: a veth's other end, a VLAN's
    /// interface.
    pub other: Option<u32>,
    /// As a port of a bridge, it passes packets on. Comes some time after `up` and `carrier`.
    pub forwarding: bool,
}

impl Link {
    /// Reads what follows the header of an `RTM_NEWLINK`; `None` for a message without a name, which the
    /// kernel does not send.
    pub(super) fn read(body: &[u8]) -> Option<Link> {
        let flags = u32_at(body, 8)?;
        let mut link = Link {
            index: u32_at(body, 4)?,
            name: String::new(),
            mac: None,
            mtu: 0,
            up: flags & UP != 0,
            carrier: flags & LOWER_UP != 0,
            running: flags & RUNNING != 0,
            kind: None,
            master: None,
            other: None,
            forwarding: false,
        };
        for (kind, value) in attributes(body.get(HEADER..)?) {
            match kind {
                ADDRESS => link.mac = value.try_into().ok(),
                IFNAME => link.name = text(value),
                MTU => link.mtu = u32_at(value, 0)?,
                LINK => link.other = u32_at(value, 0),
                MASTER => link.master = u32_at(value, 0),
                LINKINFO => link.read_info(value),
                _ => {}
            }
        }
        Some(link).filter(|link| !link.name.is_empty())
    }

    fn read_info(&mut self, info: &[u8]) {
        /// `IFLA_BRPORT_STATE`, and the state in which a port passes packets on (`linux/if_bridge.h`).
        const PORT_STATE: u16 = 1;
        const FORWARDING: u8 = 3;
        let mut port_of_bridge = false;
        for (kind, value) in attributes(info) {
            match kind {
                INFO_KIND => self.kind = Some(text(value)),
                INFO_SLAVE_KIND => port_of_bridge = text(value) == "bridge",
                INFO_SLAVE_DATA if port_of_bridge => {
                    let state = attribute(value, PORT_STATE);
                    self.forwarding = state.and_then(|state| u8_at(state, 0)) == Some(FORWARDING);
                }
                _ => {}
            }
        }
    }
}
