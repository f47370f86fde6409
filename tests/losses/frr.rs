//! FRR on the nodes: `zebra` for the kernel, `bgpd`, and `bfdd` where it is wanted.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::host::Host;
use crate::network::{Network, Node};
use crate::router::{Edits, Router, write};
use crate::shape::Shape;

pub struct Frr;

impl Router for Frr {
    fn name(&self) -> &'static str {
        "FRR"
    }

    fn configured(&self) -> &'static str {
        "bgp graceful-restart with preserve-fw-state, graceful-restart for every peer; zebra with -K 120 and -r; all of \
         its daemons are killed, or sent SIGTERM, together"
    }

    fn protocol(&self) -> &'static str {
        "bgp"
    }

    fn configure(&self, network: &Network, node: &Node, edits: Edits) {
        write(&node.host, "config", &config(&network.shape, node.number, edits));
        let bfd = node.host.directory.join("bfd");
        if network.shape.bfd {
            fs::write(bfd, "").unwrap();
        }
    }

    fn reload(&self, node: &Node, edits: Edits) {
        let no = |on: bool| if on { "" } else { "no " };
        let set = format!("{}set community 65000:1", no(edits.policy));
        vtysh(&node.host, &["configure terminal", "route-map TOLD permit 10", &set]);
        let silent = format!("{}neighbor 192.168.1.99 remote-as 64512", no(edits.peer));
        vtysh(&node.host, &["configure terminal", "router bgp 64512", &silent]);
        if edits.wrong {
            vtysh(&node.host, &["configure terminal", "router bgp 64512", "neighbor nonsense"]);
        }
    }

    fn start(&self, node: &Node, _: bool) {
        start(&node.host, " -K 120 -r", node.host.directory.join("bfd").exists());
    }

    fn leave(&self, node: &Node) {
        vtysh(&node.host, &["configure terminal", "router bgp 64512", "bgp graceful-shutdown"]);
        vtysh(&node.host, &["configure terminal", "router bgp 64512", "bgp shutdown"]);
        node.host.end(Signal::SIGTERM);
    }

    fn settled(&self, node: &Node) -> bool {
        let text = vtysh(&node.host, &["show bgp neighbors json"]);
        let shown: Value = serde_json::from_str(&text).unwrap_or_default();
        let complete = |peer: &Value| {
            let heard = &peer["gracefulRestartInfo"]["endOfRibRecv"];
            heard["ipv4Unicast"] == true || heard["ipv6Unicast"] == true
        };
        shown.as_object().is_some_and(|peers| !peers.is_empty() && peers.values().all(complete))
    }

    fn state(&self, node: &Node) -> String {
        vtysh(&node.host, &["show bgp neighbors", "show bgp all", "show ip route"]) + &node.host.log()
    }
}

/// Starts FRR's daemons, with these options for `zebra`, from the file `config`.
pub fn start(host: &Host, zebra: &str, bfd: bool) {
    let directory = host.directory.to_str().unwrap().to_owned();
    let path = |file: &str| host.path(file);
    let socket = path("zserv.api");
    let start = |name: &str, config: &str, more: &str, ready: &str| {
        let _ = fs::remove_file(ready);
        host.start(&format!(
            "/usr/lib/frr/{name} -f {config} -z {socket} -i {} --vty_socket {directory} --log stdout{more}",
            path(&format!("{name}.pid"))
        ));
        host.eventually(ready, || Path::new(ready).exists());
    };
    start("zebra", "/dev/null", zebra, &socket);
    if bfd {
        start("bfdd", "/dev/null", &format!(" --bfdctl {}", path("bfdd.sock")), &path("bfdd.vty"));
    }
    start("bgpd", &path("config"), "", &path("bgpd.vty"));
}

/// What FRR's daemons say to commands.
pub fn vtysh(host: &Host, commands: &[&str]) -> String {
    let mut words = vec!["vtysh", "--vty_socket", host.directory.to_str().unwrap()];
    for command in commands {
        words.extend(["-c", command]);
    }
    host.run_words(&words)
}

fn config(shape: &Shape, number: usize, edits: Edits) -> String {
    let ip = if shape.ipv6 { "ipv6" } else { "ip" };
    let mut text = format!("log stdout\n{ip} prefix-list OUTSIDE permit {}\n", shape.behind());
    for prefix in shape.own(number) {
        writeln!(text, "{ip} prefix-list OWN permit {prefix}").unwrap();
    }
    writeln!(text, "{ip} prefix-list PODS permit {} le {}", shape.all_pods(), shape.longest()).unwrap();
    writeln!(text, "route-map TOLD permit 10\n match {ip} address prefix-list OWN").unwrap();
    writeln!(text, "{}exit", if edits.policy { " set community 65000:1\n" } else { "" }).unwrap();
    writeln!(text, "router bgp 64512\n bgp router-id 192.168.1.1{number}").unwrap();
    text += " no bgp default ipv4-unicast\n no bgp ebgp-requires-policy\n no bgp network import-check\n";
    text += " bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n";
    let others = shape.mesh_of(number);
    for t in 1..=2 {
        let peer = format!(" neighbor {}", shape.tor(t, number));
        let keepalive = shape.hold / 3;
        writeln!(text, "{peer} remote-as 65000\n{peer} timers {keepalive} {}", shape.hold).unwrap();
        writeln!(text, "{peer} timers connect 1\n{peer} graceful-restart").unwrap();
        if shape.bfd {
            writeln!(text, "{peer} bfd 3 100 100").unwrap();
        }
    }
    for (other, _) in &others {
        let peer = format!(" neighbor {}", shape.node(*other));
        writeln!(text, "{peer} remote-as 64512\n{peer} timers connect 1\n{peer} graceful-restart").unwrap();
    }
    writeln!(text, " address-family {} unicast\n  maximum-paths 16", shape.family()).unwrap();
    for prefix in shape.own(number) {
        writeln!(text, "  network {prefix}").unwrap();
    }
    for t in 1..=2 {
        let peer = format!("  neighbor {}", shape.tor(t, number));
        writeln!(text, "{peer} activate\n{peer} prefix-list OUTSIDE in\n{peer} route-map TOLD out").unwrap();
    }
    for (other, client) in &others {
        let peer = format!("  neighbor {}", shape.node(*other));
        writeln!(text, "{peer} activate\n{peer} prefix-list PODS in\n{peer} prefix-list PODS out").unwrap();
        if *client {
            writeln!(text, "{peer} route-reflector-client").unwrap();
        }
    }
    text += " exit-address-family\nexit\n";
    text
}
