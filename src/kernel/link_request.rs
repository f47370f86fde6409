//! What can be asked about links, in a [`Batch`]: making bridges and veth pairs, changing and looking up
//! links (`linux/if_link.h`; rtnetlink(7)).

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use super::batch::{At, Batch, Place};
use super::frame::{Attributes, NESTED, NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL};
use super::link::{
    self, ADDRESS, HEADER, IFNAME, INFO_DATA, INFO_KIND, INFO_SLAVE_DATA, INFO_SLAVE_KIND, LINKINFO, MASTER,
    MTU,
};
use super::rtm;

/// More attributes of a link (`IFLA_*`), which only requests have.
pub(super) const AF_SPEC: u16 = 26;
const GROUP: u16 = 27;
const NET_NS_FD: u16 = 28;
pub(super) const EXT_MASK: u16 = 29;

/// A veth pair of which one end goes to a pod, as one request can make it.
#[derive(Debug, Clone)]
pub struct PodVeth<'a> {
    /// Name of the end that stays here.
    pub name: &'a str,
    /// Its hardware address. Set explicitly, it is left alone by udev.
    pub mac: [u8; 6],
    /// Index of the bridge that it becomes a port of.
    pub master: Option<u32>,
    /// Name of the pod's end.
    pub pod_name: &'a str,
    /// Its hardware address.
    pub pod_mac: [u8; 6],
    /// The pod's namespace.
    pub pod: BorrowedFd<'a>,
    /// MTU of both ends in octets; the kernel's default if `None`.
    pub mtu: Option<u32>,
}

impl Batch {
    /// Looks for the link of that name ([`super::batch::Outcome::link`]). Where the kernel has heard that the
    /// link's carrier has come or gone, it acts on it before it answers (Linux 6.8): a bridge's port
    /// forwards from then on, and what is in the answer is settled.
    pub fn look_up_link(&mut self, name: &str) -> Place {
        let what = format!("look up link {name}");
        self.push((what, Some(Errno::ENODEV)), (rtm::GET_LINK, 0), &header(0, 0, 0), |attributes| {
            attributes.put_name(IFNAME, name);
            without_statistics(attributes);
        })
    }

    /// The same by index.
    pub fn look_up_link_at(&mut self, index: u32) -> Place {
        let what = format!("look up link number {index}");
        self.push((what, Some(Errno::ENODEV)), (rtm::GET_LINK, 0), &header(index, 0, 0), without_statistics)
    }

    /// Makes a bridge, without setting it up. That there is something of that name is no error.
    ///
    /// A bridge left to itself takes the lowest hardware address among its ports, and every pod's ARP entry
    /// for the gateway goes stale when a port comes or goes: one that is set when it is made stays.
    pub fn add_bridge(&mut self, name: &str, mac: [u8; 6], mtu: u32) -> Place {
        let what = (format!("make bridge {name}"), Some(Errno::EEXIST));
        self.push(what, (rtm::NEW_LINK, NLM_F_CREATE | NLM_F_EXCL), &header(0, 0, 0), |attributes| {
            attributes.put_name(IFNAME, name);
            attributes.put(ADDRESS, &mac);
            attributes.put_u32(MTU, mtu);
            attributes.nest(LINKINFO, |info| info.put_name(INFO_KIND, "bridge"));
        })
    }

    /// Makes a veth pair, its end here up and a port of the bridge, its other end in the pod and down. The
    /// kernel answers with the end that stays here ([`super::batch::Outcome::link`]; Linux 6.2).
    pub fn add_pod_veth(&mut self, pair: &PodVeth<'_>) -> Place {
        /// `VETH_INFO_PEER` (`linux/veth.h`).
        const PEER: u16 = 1;
        let what = format!("make veth pair {} and {}", pair.name, pair.pod_name);
        let header = header(0, link::UP, link::UP);
        let make = (rtm::NEW_LINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO);
        self.push((what, None), make, &header, |attributes| {
            attributes.put_name(IFNAME, pair.name);
            attributes.put(ADDRESS, &pair.mac);
            if let Some(master) = pair.master {
                attributes.put_u32(MASTER, master);
            }
            if let Some(mtu) = pair.mtu {
                attributes.put_u32(MTU, mtu);
            }
            attributes.nest(LINKINFO, |info| {
                info.put_name(INFO_KIND, "veth");
                info.nest(INFO_DATA, |data| {
                    data.nest(PEER, |peer| {
                        peer.raw(&[0; HEADER]);
                        peer.put_name(IFNAME, pair.pod_name);
                        peer.put(ADDRESS, &pair.pod_mac);
                        if let Some(mtu) = pair.mtu {
                            peer.put_u32(MTU, mtu);
                        }
                        peer.put_u32(NET_NS_FD, pair.pod.as_raw_fd().cast_unsigned());
                    });
                });
            });
        })
    }

    /// Sets options of a port of a bridge (`IFLA_BRPORT_*`), each a switch, such as
    /// [`super::bridge_request::HAIRPIN`].
    pub fn set_port_options(&mut self, name: &str, options: &[(u16, bool)]) -> Place {
        let what = (format!("set options of bridge port {name}"), None);
        self.push(what, (rtm::NEW_LINK, 0), &header(0, 0, 0), |attributes| {
            attributes.put_name(IFNAME, name);
            attributes.nest(LINKINFO, |info| {
                info.put_name(INFO_SLAVE_KIND, "bridge");
                info.nest(INFO_SLAVE_DATA | NESTED, |data| {
                    options.iter().for_each(|(option, on)| data.put(*option, &[u8::from(*on)]));
                });
            });
        })
    }

    /// Sets a link administratively up.
    pub fn set_up(&mut self, link: At<'_>) -> Place {
        let what = (format!("set up link {}", link.name), None);
        self.push(what, (rtm::NEW_LINK, 0), &header(link.index, link::UP, link::UP), |_| {})
    }

    /// Sets a link administratively down.
    pub fn set_down(&mut self, link: At<'_>) -> Place {
        let what = (format!("set down link {}", link.name), None);
        self.push(what, (rtm::NEW_LINK, 0), &header(link.index, 0, link::UP), |_| {})
    }

    /// Sets a link administratively up, and has the kernel send a gratuitous ARP request for each of its
    /// IPv4 addresses whenever its hardware address is set (`arp_notify`).
    ///
    /// By netlink and not by sysctl: the lookup of a file there is linear in the number of namespaces.
    pub fn set_up_talkative(&mut self, link: At<'_>) -> Place {
        /// `AF_INET`, `IFLA_INET_CONF` and `IPV4_DEVCONF_ARP_NOTIFY` (`linux/ip.h`).
        const INET: u16 = 2;
        const CONF: u16 = 1;
        const ARP_NOTIFY: u16 = 22;
        let what = (format!("set up link {}", link.name), None);
        self.push(what, (rtm::NEW_LINK, 0), &header(link.index, link::UP, link::UP), |attributes| {
            attributes.nest(AF_SPEC, |families| {
                families.nest(INET, |inet| inet.nest(CONF, |conf| conf.put_u32(ARP_NOTIFY, 1)));
            });
        })
    }

    /// Sets a link's hardware address, be it to what it is: see [`Batch::set_up_talkative`].
    pub fn set_mac(&mut self, link: At<'_>, mac: [u8; 6]) -> Place {
        let what = (format!("set the hardware address of link {}", link.name), None);
        self.push(what, (rtm::NEW_LINK, 0), &header(link.index, 0, 0), |attributes| {
            attributes.put(ADDRESS, &mac)
        })
    }

    /// Sets a link's MTU in octets. A bridge whose MTU has been changed once no longer follows its ports'.
    pub fn set_mtu(&mut self, link: At<'_>, mtu: u32) -> Place {
        let what = (format!("set the MTU of link {}", link.name), None);
        self.push(what, (rtm::NEW_LINK, 0), &header(link.index, 0, 0), |attributes| {
            attributes.put_u32(MTU, mtu)
        })
    }

    /// Deletes the link of that name, both ends of a veth pair. That it is gone already is success.
    pub fn delete_link(&mut self, name: &str) -> Place {
        let what = (format!("delete link {name}"), Some(Errno::ENODEV));
        self.push(what, (rtm::DEL_LINK, 0), &header(0, 0, 0), |attributes| attributes.put_name(IFNAME, name))
    }

    /// Puts the link of that name into a group of links, in order to do something with all of them at once.
    /// That there is none is no error.
    pub fn put_in_group(&mut self, name: &str, group: u32) -> Place {
        let what = (format!("put link {name} into a group"), Some(Errno::ENODEV));
        self.push(what, (rtm::NEW_LINK, 0), &header(0, 0, 0), |attributes| {
            attributes.put_name(IFNAME, name);
            attributes.put_u32(GROUP, group);
        })
    }

    /// Deletes all links of a group in the time of one. That there are none is success.
    pub fn delete_group(&mut self, group: u32) -> Place {
        let what = (format!("delete the links of group {group}"), Some(Errno::ENODEV));
        self.push(what, (rtm::DEL_LINK, 0), &header(0, 0, 0), |attributes| attributes.put_u32(GROUP, group))
    }

    /// Deletes the link of that index; otherwise as [`Batch::delete_link`].
    pub fn delete_link_at(&mut self, link: At<'_>) -> Place {
        let what = (format!("delete link {}", link.name), Some(Errno::ENODEV));
        self.push(what, (rtm::DEL_LINK, 0), &header(link.index, 0, 0), |_| {})
    }
}

/// `struct ifinfomsg`.
pub(super) fn header(index: u32, flags: u32, change: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&change.to_ne_bytes());
    header
}

/// Statistics make up most of a link's description, and cost the kernel a walk over all processors.
pub(super) fn without_statistics(attributes: &mut Attributes) {
    /// `RTEXT_FILTER_SKIP_STATS`.
    const SKIP_STATS: u32 = 1 << 3;
    attributes.put_u32(EXT_MASK, SKIP_STATS);
}
