//! FRR: `zebra` watches the kernel, `bgpd` speaks.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::rig::Host;
use crate::speaker::{Family, Seen, Setup, Speaker, words};

pub struct Frr;

impl Speaker for Frr {
    fn name(&self) -> &'static str {
        "FRR"
    }

    fn programs(&self, directory: &Path, setup: &Setup) -> Vec<(Vec<String>, Option<String>)> {
        let directory = directory.to_str().unwrap();
        let path = |file: &str| format!("{directory}/{file}");
        let socket = path("zserv.api");
        let start = |name: &str, config: &str, pid: &str| {
            let program = format!("/usr/lib/frr/{name}");
            words(&[
                &program,
                "-f",
                config,
                "-z",
                &socket,
                "-i",
                pid,
                "--vty_socket",
                directory,
                "--log",
                "stdout",
            ])
        };
        let mut programs = vec![(start("zebra", "/dev/null", &path("zebra.pid")), Some(socket.clone()))];
        if setup.extra.peer.iter().any(|line| line.starts_with("bfd")) {
            let mut line = start("bfdd", "/dev/null", &path("bfdd.pid"));
            line.extend(words(&["--bfdctl", &path("bfdd.sock")]));
            programs.push((line, Some(path("bfdd.vty"))));
        }
        programs.push((start("bgpd", &path("config"), &path("bgpd.pid")), Some(path("bgpd.vty"))));
        programs
    }

    fn config(&self, _: &Path, setup: &Setup) -> String {
        let ip = setup.carried().name();
        let mut text = format!("log stdout\nroute-map TAG permit 10\n set metric {}\n", setup.med);
        let last = if setup.graceful_shutdown { " graceful-shutdown" } else { "" };
        writeln!(text, " set community 65001:7{last}\n set large-community 65001:1:2").unwrap();
        if let Some(next_hop) = &setup.next_hop {
            let set = setup.carried().pick("set ip next-hop", "set ipv6 next-hop global");
            writeln!(text, " {set} {next_hop}").unwrap();
        }
        writeln!(text, " set extcommunity rt 65001:7\n set local-preference 150\nexit").unwrap();
        writeln!(text, "{}", setup.extra.top).unwrap();
        writeln!(text, "router bgp {}\n bgp router-id 10.9.0.2\n no bgp default ipv4-unicast", setup.asn)
            .unwrap();
        writeln!(text, " no bgp ebgp-requires-policy\n no bgp network import-check").unwrap();
        for peer in setup.peers() {
            let mut line = |rest: &str| writeln!(text, " neighbor {peer} {rest}").unwrap();
            line(&format!("remote-as {}", setup.expected_asn()));
            line("timers connect 1");
            line(&format!("timers {} {}", setup.hold / 3, setup.hold));
            if let Some(password) = setup.password {
                line(&format!("password {password}"));
            }
            if setup.ttl_security {
                line(if setup.routed { "ttl-security hops 2" } else { "ttl-security hops 1" });
            }
            if setup.multihop || setup.routed && !setup.ttl_security {
                line("ebgp-multihop 2");
            }
            if setup.routed {
                line(&format!("update-source {}", setup.family.address(2)));
            }
            if let Some(role) = setup.role {
                line(&format!("local-role {role}"));
            }
            if setup.passive {
                line("passive");
            }
            if setup.two_octet {
                line("dont-capability-negotiate");
            }
            setup.extra.peer.iter().for_each(|extra| line(extra));
        }
        writeln!(text, " address-family {ip} unicast").unwrap();
        for route in &setup.routes {
            writeln!(text, "  network {route} route-map TAG").unwrap();
        }
        for peer in setup.peers() {
            writeln!(text, "  neighbor {peer} activate").unwrap();
            if setup.reflector {
                writeln!(text, "  neighbor {peer} route-reflector-client").unwrap();
            }
            if let Some(most) = setup.max_prefixes {
                writeln!(text, "  neighbor {peer} maximum-prefix {most}").unwrap();
            }
            for extra in &setup.extra.family {
                writeln!(text, "  neighbor {peer} {extra}").unwrap();
            }
        }
        writeln!(text, " exit-address-family\nexit").unwrap();
        text
    }

    fn seen(&self, host: &Host, setup: &Setup, prefix: &str) -> Option<Seen> {
        let shown = ask_json(host, &format!("show bgp {} unicast {prefix} json", setup.carried().name()));
        let path = shown["paths"].as_array()?.first()?.clone();
        let hops = path["nexthops"].as_array()?;
        let global = hops.iter().find(|hop| hop["scope"] != "link-local")?;
        Some(Seen {
            as_path: path["aspath"]["string"].as_str()?.replace("Local", ""),
            next_hop: global["ip"].as_str()?.to_owned(),
            local_pref: path["locPrf"].as_u64().map(|value| u32::try_from(value).unwrap()),
            communities: strings(&path["community"]["list"]),
            originator: path["originatorId"].as_str().map(str::to_owned),
            clusters: strings(&path["clusterList"]["list"]),
        })
    }

    fn count(&self, host: &Host, setup: &Setup) -> usize {
        let shown = ask_json(host, &format!("show bgp {} unicast summary json", setup.carried().name()));
        number(&shown["peers"][setup.family.address(1)]["pfxRcd"])
    }

    fn withdraw(&self, host: &Host, setup: &Setup, prefix: &str) {
        let family = format!("address-family {} unicast", setup.carried().name());
        configure(host, setup, &[&family, &format!("no network {prefix}")]);
    }

    fn announce_again(&self, host: &Host, _: &Setup, med: u32) {
        ask(host, &["configure terminal", "route-map TAG permit 10", &format!("set metric {med}")]);
    }

    fn change_password(&self, host: &Host, setup: &Setup, password: &'static str) {
        configure(host, setup, &[&format!("neighbor {} password {password}", setup.family.address(1))]);
    }

    fn refresh(&self, host: &Host, setup: &Setup) {
        ask(host, &[&format!("clear bgp {} soft in", setup.family.address(1))]);
    }

    fn shut_down(&self, host: &Host, setup: &Setup, text: &str) {
        configure(host, setup, &[&format!("neighbor {} shutdown message {text}", setup.family.address(1))]);
    }

    fn end_of_rib(&self, host: &Host, setup: &Setup) -> Option<bool> {
        let peer = setup.family.address(1);
        let shown = ask_json(host, &format!("show bgp neighbors {peer} json"));
        let family = if setup.carried() == Family::Ipv4 { "ipv4Unicast" } else { "ipv6Unicast" };
        Some(shown[&peer]["gracefulRestartInfo"]["endOfRibRecv"][family] == true)
    }

    fn state(&self, host: &Host, setup: &Setup) -> String {
        ask(host, &[&format!("show bgp neighbors {}", setup.family.address(1)), "show bgp all"])
    }
}

fn ask(host: &Host, commands: &[&str]) -> String {
    let directory = host.directory.to_str().unwrap().to_owned();
    let mut line = words(&["vtysh", "--vty_socket", &directory]);
    for command in commands {
        line.extend(words(&["-c", command]));
    }
    host.run(&line)
}

fn ask_json(host: &Host, command: &str) -> Value {
    serde_json::from_str(&ask(host, &[command])).unwrap_or_default()
}

fn configure(host: &Host, setup: &Setup, commands: &[&str]) {
    let router = format!("router bgp {}", setup.asn);
    let mut all = vec!["configure terminal", &router];
    all.extend(commands);
    ask(host, &all);
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn number(value: &Value) -> usize {
    value.as_u64().map_or(0, |number| usize::try_from(number).unwrap())
}
