//! GoBGP.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::rig::Host;
use crate::speaker::{Family, Seen, Setup, Speaker, words};

pub struct GoBgp;

/// More routes than this come from a file.
const FEW: usize = 8;

impl Speaker for GoBgp {
    fn name(&self) -> &'static str {
        "GoBGP"
    }

    fn programs(&self, directory: &Path, _: &Setup) -> Vec<(Vec<String>, Option<String>)> {
        let config = directory.join("config");
        let line = words(&["gobgpd", "-f", config.to_str().unwrap(), "-t", "toml", "--pprof-disable"]);
        vec![(line, None)]
    }

    fn config(&self, _: &Path, setup: &Setup) -> String {
        let mut text = format!("[global.config]\nas = {}\nrouter-id = \"10.9.0.2\"\n", setup.asn);
        text += &setup.extra.top;
        for peer in setup.peers() {
            writeln!(text, "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{peer}\"").unwrap();
            writeln!(text, "peer-as = {}", setup.expected_asn()).unwrap();
            if let Some(password) = setup.password {
                writeln!(text, "auth-password = \"{password}\"").unwrap();
            }
            writeln!(text, "[neighbors.timers.config]\nconnect-retry = 1\nidle-hold-time-after-reset = 1")
                .unwrap();
            writeln!(text, "hold-time = {}\nkeepalive-interval = {}", setup.hold, setup.hold / 3).unwrap();
            if setup.ttl_security {
                let least = if setup.routed { 254 } else { 255 };
                writeln!(text, "[neighbors.ttl-security.config]\nenabled = true\nttl-min = {least}").unwrap();
            }
            if setup.multihop || setup.routed && !setup.ttl_security {
                writeln!(text, "[neighbors.ebgp-multihop.config]\nenabled = true\nmultihop-ttl = 2").unwrap();
            }
            if setup.passive || setup.routed {
                writeln!(text, "[neighbors.transport.config]\npassive-mode = {}", setup.passive).unwrap();
                writeln!(text, "local-address = \"{}\"", setup.family.address(2)).unwrap();
            }
            if setup.reflector {
                writeln!(text, "[neighbors.route-reflector.config]\nroute-reflector-client = true").unwrap();
                writeln!(text, "route-reflector-cluster-id = \"10.9.0.2\"").unwrap();
            }
            for line in &setup.extra.peer {
                writeln!(text, "{line}").unwrap();
            }
            writeln!(text, "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]").unwrap();
            writeln!(text, "afi-safi-name = \"{}-unicast\"", setup.carried().name()).unwrap();
            if let Some(most) = setup.max_prefixes {
                writeln!(text, "[neighbors.afi-safis.prefix-limit.config]\nmax-prefixes = {most}").unwrap();
            }
            for line in &setup.extra.family {
                writeln!(text, "{line}").unwrap();
            }
        }
        text
    }

    fn started(&self, host: &Host, setup: &Setup) {
        host.eventually("gobgpd answers", || !ask(host, &["global"]).is_empty());
        if setup.routes.len() > FEW {
            let file = host.directory.join("table.mrt");
            fs::write(&file, table_dump(setup)).unwrap();
            let next_hop = setup.family.address(2);
            // It says that it is done before the last are in, and loses those, or all of them.
            host.eventually("all routes injected", || {
                ask(host, &["mrt", "inject", "global", file.to_str().unwrap(), "--nexthop", &next_hop]);
                let summary = ask(host, &["global", "rib", "summary", "-a", setup.carried().name()]);
                let known = summary.split([' ', ',']).find_map(|word| word.parse::<usize>().ok());
                known.unwrap_or(0) >= setup.routes.len() + self.count(host, setup)
            });
            return;
        }
        self.announce_again(host, setup, setup.med);
    }

    fn announce_again(&self, host: &Host, setup: &Setup, med: u32) {
        let (med, family) = (med.to_string(), setup.carried().name());
        let communities = if setup.graceful_shutdown { "65001:7,65535:0" } else { "65001:7" };
        for route in &setup.routes {
            let mut line = vec!["global", "rib", "add", route, "med", &med, "local-pref", "150"];
            line.extend(["community", communities, "large-community", "65001:1:2", "rt", "65001:7"]);
            line.extend(setup.next_hop.iter().flat_map(|next_hop| ["nexthop", next_hop.as_str()]));
            // By itself it names the session's address, IPv4-mapped.
            let global = setup.carried.map(|family| family.address(2));
            line.extend(global.iter().flat_map(|next_hop| ["nexthop", next_hop.as_str()]));
            line.extend(["-a", family]);
            ask(host, &line);
        }
    }

    fn change_password(&self, host: &Host, setup: &Setup, password: &'static str) {
        let setup = Setup { password: Some(password), ..setup.clone() };
        fs::write(host.directory.join("config"), self.config(&host.directory, &setup)).unwrap();
        host.signal(nix::sys::signal::Signal::SIGHUP);
    }

    fn seen(&self, host: &Host, setup: &Setup, prefix: &str) -> Option<Seen> {
        let shown = ask_json(host, &["global", "rib", prefix, "-a", setup.carried().name()]);
        let path = shown.as_object()?.values().next()?.as_array()?.first()?.clone();
        let mut seen = Seen::default();
        for attribute in path["attrs"].as_array()? {
            let list =
                |name: &str| -> Vec<&Value> { attribute[name].as_array().into_iter().flatten().collect() };
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            match attribute["type"].as_u64()? {
                2 => {
                    let segments = list("as_paths");
                    let asns = segments.iter().flat_map(|s| s["asns"].as_array().into_iter().flatten());
                    seen.as_path = asns.map(Value::to_string).collect::<Vec<_>>().join(" ");
                }
                3 | 14 => seen.next_hop = text(&attribute["nexthop"]),
                5 => seen.local_pref = attribute["value"].as_u64().map(|v| u32::try_from(v).unwrap()),
                8 => {
                    let values = list("communities").into_iter().filter_map(Value::as_u64);
                    seen.communities = values.map(|v| format!("{}:{}", v >> 16, v & 0xffff)).collect();
                }
                9 => seen.originator = Some(text(&attribute["value"])),
                10 => seen.clusters = list("value").into_iter().map(text).collect(),
                _ => {}
            }
        }
        Some(seen)
    }

    fn count(&self, host: &Host, setup: &Setup) -> usize {
        let family = session(host, setup)["afi_safis"][0]["state"]["received"].as_u64();
        usize::try_from(family.unwrap_or(0)).unwrap()
    }

    fn withdraw(&self, host: &Host, setup: &Setup, prefix: &str) {
        ask(host, &["global", "rib", "del", prefix, "-a", setup.carried().name()]);
    }

    fn refresh(&self, host: &Host, setup: &Setup) {
        ask(host, &["neighbor", &setup.family.address(1), "softresetin"]);
    }

    fn shut_down(&self, host: &Host, setup: &Setup, text: &str) {
        // Its successor `disable --reason` sends a NOTIFICATION without the text.
        ask(host, &["neighbor", &setup.family.address(1), "shutdown", "--reason", text]);
    }

    fn end_of_rib(&self, host: &Host, setup: &Setup) -> Option<bool> {
        let state = &session(host, setup)["afi_safis"][0]["mp_graceful_restart"]["state"];
        Some(state["end_of_rib_received"] == true)
    }

    fn state(&self, host: &Host, setup: &Setup) -> String {
        let table = host.run(&words(&["gobgp", "global", "rib", "-a", setup.carried().name()]));
        host.run(&words(&["gobgp", "neighbor", &setup.family.address(1)])) + &table
    }
}

fn ask(host: &Host, command: &[&str]) -> String {
    let mut line = words(&["gobgp"]);
    line.extend(words(command));
    host.run(&line)
}

fn ask_json(host: &Host, command: &[&str]) -> Value {
    let mut line = command.to_vec();
    line.push("-j");
    serde_json::from_str(&ask(host, &line)).unwrap_or_default()
}

fn session(host: &Host, setup: &Setup) -> Value {
    ask_json(host, &["neighbor", &setup.family.address(1)])
}

/// The routes as a table dump (RFC 6396 §4.3), the one way to give GoBGP many at once. They come
/// twice, for `mrt inject` loses the last ones.
fn table_dump(setup: &Setup) -> Vec<u8> {
    let mut dump = record(
        1,
        &[&[10, 9, 0, 2, 0, 0, 0, 1, 0x02, 10, 9, 0, 2, 10, 9, 0, 2], &setup.asn.to_be_bytes()[..]].concat(),
    );
    let (subtype, next_hop): (u16, &[u8]) = match setup.family {
        Family::Ipv4 => (2, &[0x40, 3, 4, 10, 9, 0, 2]),
        Family::Ipv6 => (4, &[0x80, 14, 17, 16, 0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]),
    };
    let attributes = [&[0x40, 1, 1, 0, 0x40, 2, 0], next_hop].concat();
    for (i, route) in setup.routes.iter().chain(&setup.routes).enumerate() {
        let (address, length) = route.split_once('/').unwrap();
        let octets = match address.parse().unwrap() {
            std::net::IpAddr::V4(address) => address.octets().to_vec(),
            std::net::IpAddr::V6(address) => address.octets().to_vec(),
        };
        let length: u8 = length.parse().unwrap();
        let mut body = u32::try_from(i).unwrap().to_be_bytes().to_vec();
        body.push(length);
        body.extend(&octets[..usize::from(length).div_ceil(8)]);
        body.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        body.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
        body.extend(&attributes);
        dump.extend(record(subtype, &body));
    }
    dump
}

/// One TABLE_DUMP_V2 record.
fn record(subtype: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[0, 0, 0, 0, 0, 13], &subtype.to_be_bytes()[..], &length, body].concat()
}
