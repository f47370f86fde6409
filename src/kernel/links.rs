//! Links and their addresses: bridges, veth pairs, up and down.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{Error, NetNs, Netlink};

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
    /// Driver kind, such as `bridge` or `veth`; `None` for hardware and loopback.
    pub kind: Option<String>,
    /// Index of the bridge the link is a port of.
    pub master: Option<u32>,
}

/// A veth pair to be made.
#[derive(Debug, Clone)]
pub struct VethPair<'a> {
    /// Name of the end that stays in this conversation's namespace.
    pub name: &'a str,
    /// Name of the other end.
    pub peer_name: &'a str,
    /// Namespace of the other end; this one if `None`.
    pub peer_namespace: Option<&'a NetNs>,
    /// MTU of both ends; the kernel's default if `None`.
    pub mtu: Option<u32>,
    /// Hardware address of the other end; the kernel's choice if `None`.
    pub peer_mac: Option<[u8; 6]>,
}

impl Netlink {
    /// The link of that name; `None` when there is none.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub async fn link(&self, name: &str) -> Result<Option<Link>, Error> {
        let _ = name;
        todo!()
    }

    /// All links, by index.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub async fn links(&self) -> Result<Vec<Link>, Error> {
        todo!()
    }

    /// Makes a bridge, without setting it up.
    ///
    /// # Errors
    /// The name is taken, or bridges are not to be had here.
    pub async fn add_bridge(&self, name: &str, mtu: Option<u32>) -> Result<Link, Error> {
        let _ = (name, mtu);
        todo!()
    }

    /// Makes a veth pair in one request and returns this end.
    ///
    /// # Errors
    /// A name is taken in its namespace.
    pub async fn add_veth(&self, pair: &VethPair<'_>) -> Result<Link, Error> {
        let _ = pair;
        todo!()
    }

    /// Sets a link administratively up or down.
    ///
    /// # Errors
    /// There is no such link.
    pub async fn set_up(&self, index: u32, up: bool) -> Result<(), Error> {
        let _ = (index, up);
        todo!()
    }

    /// Makes a link a port of a bridge, or of none.
    ///
    /// # Errors
    /// There is no such link or bridge.
    pub async fn set_master(&self, index: u32, bridge: Option<u32>) -> Result<(), Error> {
        let _ = (index, bridge);
        todo!()
    }

    /// Sets hairpin mode of a bridge port: frames may leave by the port they came in by.
    ///
    /// # Errors
    /// The link is not a bridge port.
    pub async fn set_hairpin(&self, index: u32, on: bool) -> Result<(), Error> {
        let _ = (index, on);
        todo!()
    }

    /// Deletes a link (both ends of a veth pair). That it is gone already is success.
    ///
    /// # Errors
    /// The kernel refuses to delete it.
    pub async fn delete_link(&self, index: u32) -> Result<(), Error> {
        let _ = index;
        todo!()
    }

    /// Addresses of a link, with their prefix lengths, link-local ones included.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub async fn addresses(&self, index: u32) -> Result<Vec<IpNetwork>, Error> {
        let _ = index;
        todo!()
    }

    /// Adds an address. IPv6 addresses are usable at once: no duplicate detection (`IFA_F_NODAD`).
    /// That it is there already is success.
    ///
    /// # Errors
    /// There is no such link, or the family is disabled on it.
    pub async fn add_address(&self, index: u32, address: IpNetwork) -> Result<(), Error> {
        let _ = (index, address);
        todo!()
    }

    /// Adds a plain route as a person would by hand: the kernel's `static`/`boot` protocol, main
    /// table. For pods and lab hosts; the daemon's routes go through [`super::routes`].
    ///
    /// # Errors
    /// The gateway is not reachable, or the route exists.
    pub async fn add_static_route(
        &self,
        destination: IpNetwork,
        via: Option<IpAddr>,
        interface: Option<u32>,
    ) -> Result<(), Error> {
        let _ = (destination, via, interface);
        todo!()
    }
}
