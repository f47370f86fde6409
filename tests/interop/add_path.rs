//! Several paths for one prefix (Add-Path, RFC 7911), in either direction, and IPv6 next hops for IPv4
//! prefixes (RFC 8950).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::joined::{await_joined, check, ours};
use crate::rig::Lab;
use crate::speaker::{Extra, Family, Setup, Speaker, words};
use crate::table::{Row, each};

const NO_EXTENDED_NEXT_HOP: &str =
    "`announce extended nexthop yes` is a syntax error to its 7.7, and its manual knows nothing like it";

pub const ROWS: &[Row] = &[
    each("Add-Path: they send, we receive", they_send),
    each("Add-Path: we send, they receive", we_send),
    Row {
        name: "IPv4 prefixes with IPv6 next hops both ways",
        play: extended_next_hop,
        families: &[Family::Ipv6],
        except: &[("OpenBGPD", NO_EXTENDED_NEXT_HOP)],
    },
];

/// Settings of a speaker that sends and receives several paths.
fn several(speaker: &dyn Speaker) -> Extra {
    let line = |text: &str| vec![text.to_owned()];
    let none = Extra::default();
    match speaker.name() {
        // It is always ready to receive.
        "FRR" => Extra { family: line("addpath-tx-all-paths"), ..none },
        "BIRD" => Extra { family: line("add paths on;"), ..none },
        "GoBGP" => Extra {
            family: line("[neighbors.afi-safis.add-paths.config]\nreceive = true\nsend-max = 8"),
            ..none
        },
        _ => Extra { peer: line("announce add-path recv yes\n  announce add-path send all"), ..none },
    }
}

/// They know a prefix of their own that the third leads to as well, and reflect.
fn they_send(speaker: &dyn Speaker, family: Family) {
    let setup = Setup { reflector: true, extra: several(speaker), ..Setup::internal(family) };
    let lab = Lab::new(speaker, setup);
    let shared = lab.setup.routes[0].clone();
    lab.start_us(&[ours(family)], "addPath: {receive: true}");
    lab.start_third(std::slice::from_ref(&shared), 2);
    lab.start_them();
    await_joined(&lab);
    check(&lab, "agreed", &directions(&lab), &(true, false));
    let both: BTreeSet<String> = [family.address(2), family.address(3)].into();
    lab.eventually("both paths", || field(&lab, &shared, "nextHop") == both);
    check(&lab, "identifiers", &field(&lab, &shared, "pathId").len(), &2);
    // One goes; the other is the same as before.
    lab.third.leave();
    lab.eventually("one path", || field(&lab, &shared, "nextHop") == [family.address(2)].into());
    speaker.withdraw(&lab.them, &lab.setup, &shared);
    lab.eventually("none", || field(&lab, &shared, "nextHop").is_empty() && lab.installed() == 0);
}

/// The third is there under two addresses: we know two paths and reflect them.
fn we_send(speaker: &dyn Speaker, family: Family) {
    let lab = Lab::new(speaker, Setup { extra: several(speaker), ..Setup::internal(family) });
    let far = family.prefix(10, 0xfd10, 3);
    lab.start_us(&[ours(family)], "routeReflectorClient: true\n  addPath: {send: all}");
    lab.start_third_twice(std::slice::from_ref(&far));
    lab.start_them();
    await_joined(&lab);
    check(&lab, "agreed", &directions(&lab), &(false, true));
    let both: BTreeSet<String> = [family.address(3), family.address(4)].into();
    lab.eventually("both paths in their table", || next_hops_of_theirs(&lab, &far) == both);
    lab.configure_third(std::slice::from_ref(&far), &[3]);
    lab.eventually("one path in their table", || {
        next_hops_of_theirs(&lab, &far) == [family.address(3)].into()
    });
    lab.third.leave();
    lab.eventually("none in their table", || next_hops_of_theirs(&lab, &far).is_empty());
}

/// What both sides agreed on: whether paths have identifiers that we receive, and that we send.
fn directions(lab: &Lab<'_>) -> (bool, bool) {
    let family = &lab.session()["families"][0];
    (family["addPathReceive"] == true, family["addPathSend"] == true)
}

/// A field of each path that we have to a prefix.
fn field(lab: &Lab<'_>, prefix: &str, name: &str) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    lab.paths(prefix).iter().map(|path| text(&path[name])).collect()
}

/// The next hop of each path that they have to a prefix.
fn next_hops_of_theirs(lab: &Lab<'_>, prefix: &str) -> BTreeSet<String> {
    let ip = lab.setup.family.name();
    let directory = lab.them.directory.to_str().unwrap();
    let run = |line: &[&str]| lab.them.run(&words(line));
    let json = |line: &[&str]| serde_json::from_str::<Value>(&run(line)).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    match lab.speaker.name() {
        "FRR" => {
            let show = format!("show bgp {ip} unicast {prefix} json");
            let shown = json(&["vtysh", "--vty_socket", directory, "-c", &show]);
            let hops = list(&shown["paths"]).into_iter().flat_map(|path| list(&path["nexthops"]));
            hops.filter(|hop| hop["scope"] != "link-local").filter_map(|hop| text(&hop["ip"])).collect()
        }
        "BIRD" => {
            let control = format!("{directory}/bird.ctl");
            let shown = run(&["birdc", "-s", &control, "show", "route", prefix, "all", "protocol", "peer0"]);
            let hops = shown.lines().filter_map(|line| line.trim().strip_prefix("BGP.next_hop:"));
            hops.filter_map(|hop| hop.split_whitespace().next()).map(str::to_owned).collect()
        }
        "GoBGP" => {
            let shown = json(&["gobgp", "global", "rib", prefix, "-a", ip, "-j"]);
            let tables = shown.as_object().into_iter().flat_map(|object| object.values().map(list));
            let attributes = tables.flatten().flat_map(|path| list(&path["attrs"]));
            attributes.filter_map(|attribute| text(&attribute["nexthop"])).collect()
        }
        _ => {
            let socket = format!("{directory}/bgpd.sock");
            let shown = json(&["bgpctl", "-s", &socket, "-j", "show", "rib", "detail", prefix]);
            list(&shown["rib"]).iter().filter_map(|path| text(&path["exit_nexthop"])).collect()
        }
    }
}

/// A session over IPv6, on a link where we have no IPv4 address to name.
fn extended_next_hop(speaker: &dyn Speaker, family: Family) {
    let (theirs, ours4) = ("20.9.0.0/24", "10.55.0.0/24");
    let mut setup = Setup::new(family);
    let us = family.address(1);
    match speaker.name() {
        "FRR" => {
            setup.extra.top = format!(
                "router bgp {}\n no bgp default ipv4-unicast\n no bgp ebgp-requires-policy\n \
                 no bgp network import-check\n neighbor {us} remote-as {}\n \
                 neighbor {us} capability extended-nexthop\n address-family ipv4 unicast\n  \
                 network {theirs}\n  neighbor {us} activate\n exit-address-family\nexit\n",
                setup.asn, setup.our_asn
            );
        }
        "GoBGP" => {
            let ipv4 =
                "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"ipv4-unicast\"";
            setup.extra.family = vec![ipv4.to_owned()];
        }
        _ => {
            setup.extra.top = format!("protocol static own4 {{ ipv4; route {theirs} blackhole; }}\n");
            setup.extra.peer =
                vec!["ipv4 { import all; export filter marked; extended next hop on; };".to_owned()];
        }
    }
    let lab = Lab::new(speaker, setup);
    // The link has IPv6 alone at our end.
    lab.us.run(&words(&["ip", "address", "del", "10.9.0.1/24", "dev", "eth0"]));
    let more = "extendedNextHop: true\n  families: [ipv4Unicast, ipv6Unicast]";
    lab.start_us(&[ours(family), ours4.to_owned()], more);
    lab.start_them();
    if speaker.name() == "GoBGP" {
        let next_hop = family.address(2);
        lab.them.run(&words(&["gobgp", "global", "rib", "add", theirs, "nexthop", &next_hop, "-a", "ipv4"]));
    }
    await_joined(&lab);
    check(&lab, "agreed", &lab.session()["extendedNextHop"], &true.into());
    lab.eventually("their IPv4 route", || lab.path(theirs).is_some());
    check(&lab, "next hop", &lab.path(theirs).unwrap()["nextHop"], &family.address(2).into());
    let kernel = || lab.us.run(&words(&["ip", "-4", "route", "show", theirs]));
    let via = format!("via inet6 {} dev eth0 proto 114", family.address(2));
    lab.eventually("the kernel's route", || kernel().contains(&via));
    let of_ours = || {
        let directory = lab.them.directory.to_str().unwrap();
        let show = format!("show bgp ipv4 unicast {ours4} json");
        let control = format!("{directory}/bird.ctl");
        match speaker.name() {
            "FRR" => lab.them.run(&words(&["vtysh", "--vty_socket", directory, "-c", &show])),
            "GoBGP" => lab.them.run(&words(&["gobgp", "global", "rib", ours4, "-a", "ipv4"])),
            _ => lab.them.run(&words(&["birdc", "-s", &control, "show", "route", ours4, "all"])),
        }
    };
    lab.eventually("our IPv4 route through our IPv6 address", || of_ours().contains(&us));
    lab.configure_us(&[ours(family)], more);
    lab.eventually("our IPv4 route gone", || !of_ours().contains(&us));
}
