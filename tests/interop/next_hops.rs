//! Where routes lead: next hops that resolve or do not, a default route, and routes of the other family.

use crate::joined::{await_seen, check, joined, ours};
use crate::rig::Lab;
use crate::speaker::{Family, Setup, Speaker, words};
use crate::table::{Row, each, except};

pub const ROWS: &[Row] = &[
    each("a next hop that does not resolve, does, and does no more", tracking),
    each("a default route", default_route),
    except(
        "routes of the other family",
        other_family,
        &[
            (
                "GoBGP over Ipv6",
                "sends IPv4 routes with an IPv6 next hop to a peer that has not said it takes them (RFC 8950 §4)",
            ),
            (
                "OpenBGPD",
                "names 127.0.0.1 or ::1 as its next hop for the other family, `match to any set nexthop` or not",
            ),
        ],
    ),
];

fn tracking(speaker: &dyn Speaker, family: Family) {
    let far = family.pick("10.77.0.9", "fd77::9");
    let lab = Lab::new(speaker, Setup { next_hop: Some(far.to_owned()), ..Setup::internal(family) });
    let ip = |verb: &str| {
        let (subnet, via) = (family.pick("10.77.0.0/24", "fd77::/64"), family.address(3));
        lab.us.run(&words(&["ip", "route", verb, subnet, "via", &via]));
    };
    // They believe it when it is on a link of theirs.
    lab.them.run(&words(&["ip", "address", "add", family.pick("10.77.0.1/24", "fd77::1/64"), "dev", "lan"]));
    lab.start_us(&[ours(family)], "");
    lab.start_them();
    lab.await_established();
    await_seen(&lab, &ours(family));
    lab.eventually("their path", || lab.session()["families"][0]["accepted"] == 1);
    let theirs = lab.setup.routes[0].clone();
    check(&lab, "best path without a next hop", &lab.path(&theirs), &None);
    for _ in 0..2 {
        ip("add");
        lab.eventually("a way to it", || lab.installed() == 1 && lab.path(&theirs).is_some());
        check(&lab, "next hop", &lab.path(&theirs).unwrap()["nextHop"], &far.into());
        ip("del");
        lab.eventually("no way to it", || lab.installed() == 0 && lab.path(&theirs).is_none());
    }
    check(&lab, "flaps", &lab.flaps(), &0);
}

fn default_route(speaker: &dyn Speaker, family: Family) {
    let routes = vec![family.pick("0.0.0.0/0", "::/0").to_owned()];
    let lab = joined(speaker, Setup { routes, ..Setup::new(family) }, "");
    let ip = family.pick("-4", "-6");
    let shown = lab.us.run(&words(&["ip", ip, "route", "show", "default"]));
    if !shown.contains(&format!("via {}", family.address(2))) {
        lab.fail(&format!("default route: {shown}"));
    }
}

/// The session is over `family`, the routes are of the other.
fn other_family(speaker: &dyn Speaker, family: Family) {
    let carried = family.other();
    let setup =
        Setup { carried: Some(carried), routes: vec![carried.prefix(20, 0x2020, 0)], ..Setup::new(family) };
    let families = carried.pick("families: [ipv4Unicast]", "families: [ipv6Unicast]");
    let lab = joined(speaker, setup, families);
    check(&lab, "next hop", &lab.path(&lab.setup.routes[0]).unwrap()["nextHop"], &carried.address(2).into());
    check(&lab, "their next hop", &await_seen(&lab, &ours(carried)).next_hop, &carried.address(1));
}
