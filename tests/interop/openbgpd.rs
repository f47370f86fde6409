//! OpenBGPD. Its processes give up root and live in `/run/openbgpd`, the home of their user.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::rig::Host;
use crate::speaker::{Seen, Setup, Speaker, words};

pub struct OpenBgpd;

impl Speaker for OpenBgpd {
    fn name(&self) -> &'static str {
        "OpenBGPD"
    }

    fn programs(&self, directory: &Path, _: &Setup) -> Vec<(Vec<String>, Option<String>)> {
        // Debian's service manager makes it; here there is none.
        std::fs::create_dir_all("/run/openbgpd").unwrap();
        let path = |file: &str| directory.join(file).to_str().unwrap().to_owned();
        vec![(words(&["bgpd", "-d", "-v", "-f", &path("config")]), Some(path("bgpd.sock")))]
    }

    fn config(&self, directory: &Path, setup: &Setup) -> String {
        let mut text = format!("AS {}\nrouter-id 10.9.0.2\n", setup.asn);
        writeln!(text, "socket \"{}\"", directory.join("bgpd.sock").display()).unwrap();
        writeln!(text, "listen on {}\nfib-update no\nconnect-retry 1", setup.family.address(2)).unwrap();
        text += &setup.extra.top;
        writeln!(text, "prefix-set own {{").unwrap();
        for route in &setup.routes {
            writeln!(text, "  {route}").unwrap();
        }
        let mut set = format!("localpref 150 metric {} community 65001:7", setup.med);
        set += " large-community 65001:1:2 ext-community rt 65001:7";
        if setup.graceful_shutdown {
            set += " community GRACEFUL_SHUTDOWN";
        }
        if let Some(next_hop) = &setup.next_hop {
            write!(set, " nexthop {next_hop}").unwrap();
        }
        writeln!(text, "}}\nnetwork prefix-set own set {{ {set} }}").unwrap();
        for peer in setup.peers() {
            writeln!(text, "neighbor {peer} {{\n  remote-as {}", setup.expected_asn()).unwrap();
            writeln!(text, "  local-address {}", setup.family.address(2)).unwrap();
            writeln!(
                text,
                "  holdtime {}\n  announce {} unicast",
                setup.hold,
                setup.carried().pick("IPv4", "IPv6")
            )
            .unwrap();
            if let Some(password) = setup.password {
                writeln!(text, "  tcp md5sig password {password}").unwrap();
            }
            let options = [
                (setup.ttl_security, "ttl-security yes"),
                (setup.multihop || setup.routed, "multihop 2"),
                (setup.passive, "passive"),
                (setup.reflector, "route-reflector"),
                (setup.two_octet, "announce as-4byte no"),
            ];
            for (_, option) in options.iter().filter(|(wanted, _)| *wanted) {
                writeln!(text, "  {option}").unwrap();
            }
            if let Some(most) = setup.max_prefixes {
                writeln!(text, "  max-prefix {most}").unwrap();
            }
            if let Some(role) = setup.role {
                writeln!(text, "  announce policy {role}").unwrap();
            }
            for line in &setup.extra.peer {
                writeln!(text, "  {line}").unwrap();
            }
            writeln!(text, "}}").unwrap();
        }
        text + "allow from any\nallow to any\n"
    }

    fn seen(&self, host: &Host, _: &Setup, prefix: &str) -> Option<Seen> {
        let shown = ask_json(host, &["show", "rib", "detail", prefix]);
        let path = shown["rib"].as_array()?.first()?.clone();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let list = |value: &Value| value.as_array().into_iter().flatten().filter_map(text).collect();
        // The JSON form leaves out what a reflector adds.
        let plain = ask(host, &["show", "rib", "detail", prefix]);
        let line = |name: &str| plain.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
        Some(Seen {
            as_path: text(&path["aspath"])?,
            next_hop: text(&path["exit_nexthop"])?,
            local_pref: path["localpref"].as_u64().map(|value| u32::try_from(value).unwrap()),
            communities: list(&path["communities"]),
            originator: line("Originator Id:").map(str::to_owned),
            clusters: line("Cluster Id List:")
                .into_iter()
                .flat_map(str::split_whitespace)
                .map(str::to_owned)
                .collect(),
        })
    }

    fn count(&self, host: &Host, setup: &Setup) -> usize {
        let count = session(host, setup)["stats"]["prefixes"]["received"].as_u64();
        usize::try_from(count.unwrap_or(0)).unwrap()
    }

    fn withdraw(&self, host: &Host, _: &Setup, prefix: &str) {
        ask(host, &["network", "delete", prefix]);
    }

    fn announce_again(&self, host: &Host, setup: &Setup, med: u32) {
        self.reconfigure(host, &Setup { med, ..setup.clone() });
    }

    fn change_password(&self, host: &Host, setup: &Setup, password: &'static str) {
        self.reconfigure(host, &Setup { password: Some(password), ..setup.clone() });
    }

    fn refresh(&self, host: &Host, setup: &Setup) {
        ask(host, &["neighbor", &setup.family.address(1), "refresh"]);
    }

    fn shut_down(&self, host: &Host, setup: &Setup, text: &str) {
        ask(host, &["neighbor", &setup.family.address(1), "down", text]);
    }

    fn end_of_rib(&self, host: &Host, setup: &Setup) -> Option<bool> {
        Some(session(host, setup)["stats"]["update"]["received"]["eor"].as_u64() > Some(0))
    }

    fn state(&self, host: &Host, setup: &Setup) -> String {
        ask(host, &["show", "neighbor", &setup.family.address(1)]) + &ask(host, &["show", "rib", "detail"])
    }
}

impl OpenBgpd {
    fn reconfigure(&self, host: &Host, setup: &Setup) {
        std::fs::write(host.directory.join("config"), self.config(&host.directory, setup)).unwrap();
        ask(host, &["reload"]);
    }
}

fn ask(host: &Host, command: &[&str]) -> String {
    let socket = host.directory.join("bgpd.sock");
    let mut line = words(&["bgpctl", "-s", socket.to_str().unwrap()]);
    line.extend(words(command));
    host.run(&line)
}

fn ask_json(host: &Host, command: &[&str]) -> Value {
    let mut line = vec!["-j"];
    line.extend(command);
    serde_json::from_str(&ask(host, &line)).unwrap_or_default()
}

fn session(host: &Host, setup: &Setup) -> Value {
    ask_json(host, &["show", "neighbor", &setup.family.address(1)])["neighbors"][0].clone()
}
