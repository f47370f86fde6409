//! Addresses of links, and the few plain routes that a lab host gets, for a program with a runtime: the
//! daemon and the lab.
//!
//! The plugin asks the same by `address_request` and `plain_route`, without a runtime. Both mark what they
//! add as ours, and neither looks for duplicates: what the daemon gives a bridge the plugin must know again.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::address_request::OURS;
use super::{Error, Netlink};

impl Netlink {
    /// Addresses of a link, with their prefix lengths, link-local ones included.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub async fn addresses(&self, index: u32) -> Result<Vec<IpNetwork>, Error> {
        let mut message = AddressMessage::default();
        message.header.index = index;
        let all = self.dump_addresses(message).await?;
        Ok(all.into_iter().filter(|(of, _)| *of == index).map(|(_, address)| address).collect())
    }

    /// Addresses of all links, each with its link's index.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub async fn link_addresses(&self) -> Result<Vec<(u32, IpNetwork)>, Error> {
        self.dump_addresses(AddressMessage::default()).await
    }

    /// Adds an address. IPv6 addresses are usable at once: no duplicate detection (`IFA_F_NODAD`). That it
    /// is there already is success.
    ///
    /// # Errors
    /// There is no such link, or the family is disabled on it.
    pub async fn add_address(&self, index: u32, address: IpNetwork) -> Result<(), Error> {
        self.add(index, vec![usable(index, address)]).await
    }

    /// Adds addresses that are marked as ours (`IFA_PROTO`), as those are which the plugin gives a bridge,
    /// each as [`Netlink::add_address`] does, in few round trips: whoever watches the kernel sees them come
    /// together. One that is there already stays marked as it was.
    ///
    /// # Errors
    /// The first refusal. The addresses behind it may have been added.
    pub async fn add_our_addresses(&self, index: u32, addresses: &[IpNetwork]) -> Result<(), Error> {
        let ours = |address: &IpNetwork| {
            let mut message = usable(index, *address);
            message.attributes.push(AddressAttribute::Protocol(AddressProtocol::from(OURS)));
            message
        };
        self.add(index, addresses.iter().map(ours).collect()).await
    }

    async fn add(&self, index: u32, messages: Vec<AddressMessage>) -> Result<(), Error> {
        let addresses: Vec<_> = messages.iter().map(|message| address(message).map(|(_, a)| a)).collect();
        let request = |message| (RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL);
        let verdicts = self.changes(messages.into_iter().map(request).collect()).await;
        for (address, verdict) in addresses.into_iter().zip(verdicts) {
            match verdict {
                Err(refusal) if !refusal.is(nix::Error::EEXIST) => {
                    let address = address.map(|address| address.to_string()).unwrap_or_default();
                    return Err(self.link_error(format!("add address {address} to"), index, refusal).await);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes an address. That it is not there is success.
    ///
    /// # Errors
    /// There is no such link.
    pub async fn remove_address(&self, index: u32, address: IpNetwork) -> Result<(), Error> {
        match self.change(RouteNetlinkMessage::DelAddress(message(index, address)), 0).await {
            Err(refusal) if refusal.is(nix::Error::EADDRNOTAVAIL) => Ok(()),
            Err(refusal) => {
                Err(self.link_error(format!("remove address {address} from"), index, refusal).await)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Adds a plain route as a person would by hand: the kernel's `boot` protocol, main
    /// table. For lab hosts; the daemon's routes go through [`super::routes`].
    ///
    /// # Errors
    /// The gateway is not reachable, or the route exists.
    pub async fn add_static_route(
        &self,
        destination: IpNetwork,
        via: Option<IpAddr>,
        interface: Option<u32>,
    ) -> Result<(), Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(destination.ip());
        message.header.destination_prefix_length = destination.prefix();
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Boot;
        message.header.kind = RouteType::Unicast;
        // As ip(8) does: a route without a router reaches only what is on the link. IPv6 has no scopes.
        message.header.scope = match (via, destination) {
            (None, IpNetwork::V4(_)) => RouteScope::Link,
            _ => RouteScope::Universe,
        };
        message.attributes.push(RouteAttribute::Destination(destination.network().into()));
        message.attributes.extend(via.map(|via| match (via, destination) {
            (IpAddr::V6(_), IpNetwork::V4(_)) => RouteAttribute::Via(via.into()),
            _ => RouteAttribute::Gateway(RouteAddress::from(via)),
        }));
        message.attributes.extend(interface.map(RouteAttribute::Oif));
        self.change(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL).await.map_err(
            |refusal| match via {
                Some(via) => refusal.to(format_args!("add route to {destination} via {via}")),
                None => refusal.to(format_args!("add route to {destination}")),
            },
        )
    }

    async fn dump_addresses(&self, message: AddressMessage) -> Result<Vec<(u32, IpNetwork)>, Error> {
        let found = match self.dump(RouteNetlinkMessage::GetAddress(message)).await {
            // A link that is gone has no addresses.
            Err(refusal) if refusal.is(nix::Error::ENODEV) => Vec::new(),
            found => found.map_err(|refusal| refusal.to("list the addresses"))?,
        };
        Ok(found
            .iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewAddress(message) => address(message),
                _ => None,
            })
            .collect())
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// A message about an address of a link.
fn message(index: u32, address: IpNetwork) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.ip());
    message.header.prefix_len = address.prefix();
    message.header.index = index;
    message.attributes.push(AddressAttribute::Address(address.ip()));
    message.attributes.push(AddressAttribute::Local(address.ip()));
    message
}

/// A message about an address that is to be added, and used at once.
fn usable(index: u32, address: IpNetwork) -> AddressMessage {
    let mut message = message(index, address);
    if address.is_ipv6() {
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message
}

/// The address in a message. On a point-to-point link the kernel puts the far end into `Address`
/// and ours into `Local`; an IPv6 address without a far end comes as `Address` alone.
fn address(message: &AddressMessage) -> Option<(u32, IpNetwork)> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    let network = IpNetwork::new(local.or(address)?, message.header.prefix_len).ok()?;
    Some((message.header.index, network))
}
