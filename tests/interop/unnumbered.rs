//! A session with whoever is on the other side of a link, found by Router Advertisements (RFC 4861), and
//! IPv4 over it by IPv6 next hops (RFC 8950).

use serde_json::Value;

use crate::joined::{check, ours};
use crate::rig::Lab;
use crate::speaker::{Family, Setup, Speaker, words};
use crate::table::Row;

const NO_ADVERTISEMENTS: &str =
    "its BGP daemon sends no Router Advertisements, by which the peer of a link is found";

pub const ROWS: &[Row] = &[Row {
    name: "Unnumbered: the peer of a link, its routes, and the link lost and found",
    play: unnumbered,
    families: &[Family::Ipv6],
    except: &[("BIRD", NO_ADVERTISEMENTS), ("GoBGP", NO_ADVERTISEMENTS), ("OpenBGPD", NO_ADVERTISEMENTS)],
}];

fn unnumbered(speaker: &dyn Speaker, family: Family) {
    let (theirs, of_ours) = ("20.9.0.0/24", "10.55.0.0/24");
    let mut setup = Setup::new(family);
    setup.extra.top = format!(
        "router bgp {}\n no bgp default ipv4-unicast\n no bgp ebgp-requires-policy\n \
         no bgp network import-check\n neighbor lan interface remote-as external\n \
         neighbor lan capability extended-nexthop\n neighbor lan timers connect 1\n \
         address-family ipv4 unicast\n  network {theirs}\n  neighbor lan activate\n \
         exit-address-family\nexit\n",
        setup.asn
    );
    let lab = Lab::new(speaker, setup);
    // Neither end has anything but its link-local address.
    lab.us.run(&words(&["ip", "address", "del", "10.9.0.1/24", "dev", "eth0"]));
    lab.us.run(&words(&["ip", "address", "del", "fd09::1/64", "dev", "eth0"]));
    lab.start_them();
    lab.start_us(
        &[ours(family), of_ours.to_owned()],
        "interface: eth0\n  asn: external\n  extendedNextHop: true",
    );
    await_routes(&lab, theirs, of_ours);

    // Their end gets another address, as a router that has been replaced has it.
    let before = link_local(&lab);
    lab.them.run(&words(&["ip", "address", "del", &format!("{before}/64"), "dev", "lan"]));
    lab.them.run(&words(&["ip", "address", "add", "fe80::77/64", "dev", "lan", "nodad"]));
    check(&lab, "their address", &link_local(&lab), &"fe80::77".to_owned());
    await_routes(&lab, theirs, of_ours);

    lab.us.run(&words(&["ip", "link", "set", "eth0", "down"]));
    lab.eventually("the session gone with its link", || !lab.established());
    lab.us.run(&words(&["ip", "link", "set", "eth0", "up"]));
    await_routes(&lab, theirs, of_ours);
}

/// Waits for a session over the link, with IPv4 routes both ways.
fn await_routes(lab: &Lab<'_>, theirs: &str, of_ours: &str) {
    let kernel = || lab.us.run(&words(&["ip", "-4", "route", "show", theirs]));
    let via = format!("via inet6 {} dev eth0 proto 114", link_local(lab));
    lab.eventually("the session", || lab.established());
    lab.eventually("the kernel's route", || kernel().contains(&via));
    let directory = lab.them.directory.to_str().unwrap();
    let show = format!("show bgp ipv4 unicast {of_ours} json");
    lab.eventually("our route in their table", || {
        let shown = lab.them.run(&words(&["vtysh", "--vty_socket", directory, "-c", &show]));
        let shown: Value = serde_json::from_str(&shown).unwrap_or_default();
        shown["paths"][0]["nexthops"][0]["ip"].as_str().is_some_and(|hop| hop.starts_with("fe80:"))
    });
}

/// Their address on the link.
fn link_local(lab: &Lab<'_>) -> String {
    let shown = lab.them.run(&words(&["ip", "-j", "-6", "address", "show", "dev", "lan", "scope", "link"]));
    let shown: Value = serde_json::from_str(&shown).unwrap_or_default();
    // Addresses of another scope are there as empty objects.
    let addresses = shown[0]["addr_info"].as_array().cloned().unwrap_or_default();
    addresses.iter().find_map(|address| address["local"].as_str()).unwrap_or_default().to_owned()
}
