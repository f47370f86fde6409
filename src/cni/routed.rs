//! The host side of an attachment without a bridge: every pod has a link of its own to the node, and the
//! node a route to every pod.
//!
//! ```text
//!  pod eth0   10.244.1.2/32, default via 169.254.1.1 and fe80::1
//!    │
//!  node veth… no address; routes 10.244.1.2/32 and fd00:10:244:1::2/128 by it
//! ```
//!
//! The pod's routers are addresses of nobody (RFC 3927 §2.1, RFC 4291 §2.5.6), the same in every pod. Each
//! end is told the other's hardware address for good: no question is asked on the link, and none has to be
//! answered by proxy. So nothing waits for duplicate detection of the node's end, no setting is changed on
//! it, and the kernel's limit of table entries that it has learned (`gc_thresh3`) counts no pod. A plugin
//! that runs later must not change the pod's hardware address: CHECK would say so.
//!
//! The node's routes are plain ones, in the main table, and go with the link. The daemon leaves them alone,
//! since they do not bear its protocol number; being longer than the unreachable aggregate for the pod CIDR,
//! they win. Whether the node is called a gateway makes no difference here: it is one. The modes do not mix
//! in one subnet of one node: a pod on the bridge looks for one beside it there, and finds no routed one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::Error;
use super::check::changed;
use super::host_side::Pair;
use super::pod::Router;
use super::result::{Ip, Route, Success, families};
use crate::kernel::link::Link;
use crate::kernel::plain_route::RouteOptions;
use crate::kernel::{At, Batch, Conversation, Deadline, sysctl};
use crate::prefix::{Family, Prefix};

/// The pods' router of a family.
pub fn router(family: Family) -> IpAddr {
    match family {
        Family::Ipv4Unicast => Ipv4Addr::new(169, 254, 1, 1).into(),
        Family::Ipv6Unicast => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(),
    }
}

/// What a pod on a bridge would get, as a pod on a link of its own gets it: the addresses alone, the routes
/// by way of our routers, and one to its subnet in place of that which comes with an address of a subnet.
///
/// # Errors
/// A route is wanted by a router of the configuration's, or without one.
pub fn complete(mut taken: Success) -> Result<Success, Error> {
    let gateways: Vec<IpAddr> = taken.ips.iter().filter_map(|ip| ip.gateway).collect();
    for route in &mut taken.routes {
        let router = router(route.dst.family());
        let elsewhere = route.gw.filter(|gw| *gw != router && !gateways.contains(gw));
        let near = route.options.scope.is_some_and(|scope| scope != 0);
        if elsewhere.is_some() || near {
            let dst = route.dst;
            let why = format!("the route to {dst} must go by {router}: there is nobody else on a pod's link");
            return Err(Error::invalid("ipam.routes", format!("{why} in mode routed")));
        }
        route.gw = route.gw.map(|_| router);
    }
    for ip in &mut taken.ips {
        let (address, length) = (ip.address.ip(), ip.address.prefix());
        let router = router(Family::of(address));
        let covers = |route: &Route, subnet| route.options.table.is_none() && route.dst.contains(subnet);
        match Prefix::new(ip.address.network(), length) {
            Some(subnet)
                if subnet != Prefix::host(address)
                    && !taken.routes.iter().any(|route| covers(route, subnet)) =>
            {
                taken.routes.push(Route::new(subnet, Some(router)));
            }
            _ => {}
        }
        ip.address = IpNetwork::from(address);
        ip.gateway = Some(router);
    }
    Ok(taken)
}

/// Has the node forward packets of the pod's families.
///
/// # Errors
/// It does not, and cannot be made to.
pub fn prepare(host: &mut Conversation, ips: &[Ip]) -> Result<(), Error> {
    let mut batch = Batch::new();
    let families: Vec<Family> = families(ips).collect();
    let places: Vec<_> = families.iter().map(|family| batch.look_up_forwarding(*family)).collect();
    let found = host.carry_out(batch)?;
    if places.iter().any(|place| found.forwards(*place) != Some(true)) {
        sysctl::ensure_forwarding(&families)?;
    }
    Ok(())
}

/// What the pod is told of its routers: they have the hardware address of the node's end.
pub fn routers(pair: &Pair, ips: &[Ip]) -> Vec<Router> {
    let of = |mac| families(ips).map(move |family| Router { address: router(family), mac });
    pair.port.mac.into_iter().flat_map(of).collect()
}

/// Tells the node where the pod's addresses are, and waits until what it sends there arrives.
///
/// # Errors
/// The kernel refuses, as where there is a route to one of the addresses already.
pub fn settle(host: &mut Conversation, pair: &Pair, ips: &[Ip], deadline: Deadline) -> Result<(), Error> {
    let port = At::from(&pair.port);
    let mut batch = Batch::new();
    for ip in ips {
        let address = ip.address.ip();
        batch.pin_station(port, address, pair.pod_mac);
        batch.add_route(port, Prefix::host(address), None, RouteOptions::default());
    }
    host.carry_out(batch)?;
    host.await_forwarding(port.index, deadline)?;
    Ok(())
}

/// Whether both ends know the way to each other, as ADD left them.
///
/// # Errors
/// One does not.
pub fn check(
    host: &mut Conversation,
    port: &Link,
    inside: &mut Conversation,
    interface: &Link,
    addresses: &[IpNetwork],
) -> Result<(), Error> {
    let addresses: Vec<IpAddr> = addresses.iter().map(IpNetwork::ip).collect();
    check_way(host, "the node", port, interface.mac, &addresses)?;
    let has = |family: &Family| addresses.iter().any(|address| Family::of(*address) == *family);
    let routers: Vec<IpAddr> = Family::ALL.into_iter().filter(has).map(router).collect();
    check_way(inside, "the pod", interface, port.mac, &routers)
}

/// Whether somebody sends directly to these addresses, by this link of his and to this hardware address.
fn check_way(
    conversation: &mut Conversation,
    whose: &str,
    link: &Link,
    to: Option<[u8; 6]>,
    addresses: &[IpAddr],
) -> Result<(), Error> {
    let mut batch = Batch::new();
    let ask = |address: &IpAddr| {
        // A link-local address is told from that of other links.
        let by = Some(link.index).filter(|_| *address == router(Family::Ipv6Unicast));
        (*address, batch.look_up_route(*address, by), batch.look_up_station(link.into(), *address))
    };
    let asked: Vec<_> = addresses.iter().map(ask).collect();
    // An unreachable aggregate, which is there when the route is gone, answers as an error.
    let outcome = conversation.attempt(batch)?;
    for (address, route, station) in asked {
        let lacks = |what: &str| changed(format!("{whose} has {what} {address}"));
        if outcome.on_link(route) != Some(link.index) {
            return Err(lacks(&format!("no route by {} to", link.name)));
        }
        if to.is_none() || outcome.pinned_station(station) != to {
            return Err(lacks(&format!("another hardware address on {}, or none, for", link.name)));
        }
    }
    Ok(())
}
