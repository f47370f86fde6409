//! BIRD 2.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::rig::Host;
use crate::speaker::{Seen, Setup, Speaker, words};

pub struct Bird;

impl Speaker for Bird {
    fn name(&self) -> &'static str {
        "BIRD"
    }

    fn programs(&self, directory: &Path, setup: &Setup) -> Vec<(Vec<String>, Option<String>)> {
        let path = |file: &str| directory.join(file).to_str().unwrap().to_owned();
        let (config, control) = (path("config"), path("bird.ctl"));
        let mut line = words(&["bird", "-f", "-c", &config, "-s", &control]);
        if setup.extra.peer.iter().any(|line| line.contains("graceful restart on")) {
            // A start counts as a restart only with this.
            line.extend(words(&["-R"]));
        }
        vec![(line, Some(control))]
    }

    fn config(&self, _: &Path, setup: &Setup) -> String {
        let ip = setup.carried().name();
        let mut text =
            String::from("log stderr all;\nrouter id 10.9.0.2;\nprotocol device { }\n") + &setup.extra.top;
        writeln!(text, "protocol direct {{ ipv4; ipv6; }}\nprotocol static own {{ {ip};").unwrap();
        for route in &setup.routes {
            writeln!(text, "  route {route} blackhole;").unwrap();
        }
        writeln!(text, "}}\nfilter marked {{\n  if source = RTS_STATIC then {{").unwrap();
        writeln!(text, "    bgp_med = {}; bgp_local_pref = 150; bgp_community.add((65001,7));", setup.med)
            .unwrap();
        writeln!(text, "    bgp_large_community.add((65001,1,2)); bgp_ext_community.add((rt,65001,7));")
            .unwrap();
        if setup.graceful_shutdown {
            writeln!(text, "    bgp_community.add((65535,0));").unwrap();
        }
        if let Some(next_hop) = &setup.next_hop {
            writeln!(text, "    bgp_next_hop = {next_hop};").unwrap();
        }
        writeln!(text, "    accept;").unwrap();
        writeln!(text, "  }}\n  if source = RTS_BGP then accept;\n  reject;\n}}").unwrap();
        for (i, peer) in setup.peers().iter().enumerate() {
            writeln!(text, "protocol bgp peer{i} {{").unwrap();
            writeln!(text, "  local {} as {};", setup.family.address(2), setup.asn).unwrap();
            // Without four-octet numbers it refuses to be told of one.
            let asn =
                if setup.two_octet { "external".to_owned() } else { format!("as {}", setup.expected_asn()) };
            writeln!(text, "  neighbor {peer} {asn};").unwrap();
            writeln!(text, "  connect delay time 1; connect retry time 1; error wait time 1, 2;").unwrap();
            writeln!(text, "  hold time {};", setup.hold).unwrap();
            if let Some(password) = setup.password {
                writeln!(text, "  password \"{password}\";").unwrap();
            }
            let options = [
                (setup.ttl_security, "ttl security yes;"),
                (setup.multihop || setup.routed, "multihop 2;"),
                (setup.passive, "passive yes;"),
                (setup.reflector, "rr client;"),
                (setup.two_octet, "enable as4 off;"),
            ];
            for (_, option) in options.iter().filter(|(wanted, _)| *wanted) {
                writeln!(text, "  {option}").unwrap();
            }
            if let Some(role) = setup.role {
                writeln!(text, "  local role {role};").unwrap();
            }
            let mut channel = setup.extra.family.clone();
            channel.extend(setup.max_prefixes.map(|most| format!("import limit {most} action disable;")));
            channel.extend(setup.carried.map(|family| format!("next hop address {};", family.address(2))));
            for line in &setup.extra.peer {
                writeln!(text, "  {line}").unwrap();
            }
            writeln!(text, "  {ip} {{ import all; export filter marked; {} }};\n}}", channel.join(" "))
                .unwrap();
        }
        text
    }

    fn seen(&self, host: &Host, _: &Setup, prefix: &str) -> Option<Seen> {
        let text = ask(host, &["show", "route", prefix, "all", "protocol", "peer0"]);
        let field = |name: &str| {
            let start = format!("BGP.{name}:");
            text.lines().find_map(|line| line.trim().strip_prefix(&start)).map(|rest| rest.trim().to_owned())
        };
        let words = |text: Option<String>| -> Vec<String> {
            text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let communities = words(field("community"));
        Some(Seen {
            as_path: field("as_path")?,
            next_hop: words(field("next_hop")).first()?.clone(),
            local_pref: field("local_pref").map(|value| value.parse().unwrap()),
            communities: communities.iter().map(|c| c.trim_matches(['(', ')']).replace(',', ":")).collect(),
            originator: field("originator_id"),
            clusters: words(field("cluster_list")),
        })
    }

    fn count(&self, host: &Host, _: &Setup) -> usize {
        let text = ask(host, &["show", "route", "protocol", "peer0", "count"]);
        text.lines().rev().find_map(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    fn withdraw(&self, host: &Host, setup: &Setup, prefix: &str) {
        let mut less = setup.clone();
        less.routes.retain(|route| route != prefix);
        self.reconfigure(host, &less);
    }

    fn announce_again(&self, host: &Host, setup: &Setup, med: u32) {
        self.reconfigure(host, &Setup { med, ..setup.clone() });
    }

    fn change_password(&self, host: &Host, setup: &Setup, password: &'static str) {
        self.reconfigure(host, &Setup { password: Some(password), ..setup.clone() });
    }

    fn refresh(&self, host: &Host, _: &Setup) {
        ask(host, &["reload", "in", "peer0"]);
    }

    fn shut_down(&self, host: &Host, _: &Setup, text: &str) {
        ask(host, &["disable", "peer0", &format!("\"{text}\"")]);
    }

    fn end_of_rib(&self, _: &Host, _: &Setup) -> Option<bool> {
        None
    }

    fn state(&self, host: &Host, _: &Setup) -> String {
        ask(host, &["show", "protocols", "all"]) + &ask(host, &["show", "route", "all"])
    }
}

impl Bird {
    fn reconfigure(&self, host: &Host, setup: &Setup) {
        fs::write(host.directory.join("config"), self.config(&host.directory, setup)).unwrap();
        ask(host, &["configure"]);
    }
}

fn ask(host: &Host, command: &[&str]) -> String {
    let control = host.directory.join("bird.ctl");
    let mut line = words(&["birdc", "-s", control.to_str().unwrap()]);
    line.extend(words(command));
    host.run(&line)
}
