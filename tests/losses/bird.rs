//! BIRD 2 on the nodes.

use std::fmt::Write as _;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::network::{Network, Node};
use crate::router::{Edits, Router, mesh_of, write};

pub struct Bird;

impl Router for Bird {
    fn name(&self) -> &'static str {
        "BIRD 2"
    }

    fn configured(&self) -> &'static str {
        "graceful restart on for every peer; kernel protocol with persist, graceful restart, merge paths; \
         started again with -R; `graceful restart` by birdc for an upgrade; scan time 10 s"
    }

    fn protocol(&self) -> &'static str {
        "bird"
    }

    fn configure(&self, network: &Network, node: &Node, edits: Edits) {
        write(&node.host, "config", &config(network, node, edits));
    }

    fn reload(&self, node: &Node, _: Edits) {
        ask(node, "configure");
    }

    fn start(&self, node: &Node, again: bool) {
        let (config, control) = (node.host.path("config"), node.host.path("bird.ctl"));
        let _ = std::fs::remove_file(&control);
        let recover = if again { " -R" } else { "" };
        node.host.start(&format!("bird -f -c {config} -s {control}{recover}"));
        node.host.eventually(&control, || Path::new(&control).exists());
    }

    fn end_for_upgrade(&self, node: &Node) {
        ask(node, "graceful restart");
        // It has ended by itself then.
        node.host.await_end();
    }

    fn leave(&self, node: &Node) {
        node.host.end(Signal::SIGTERM);
    }

    fn settled(&self, node: &Node) -> bool {
        // What is installed has been asked of the kernel; nothing shows an End-of-RIB.
        !ask(node, "show status").contains("recovery")
    }

    fn state(&self, node: &Node) -> String {
        ask(node, "show protocols all") + &ask(node, "show route all") + &node.host.log()
    }
}

fn ask(node: &Node, command: &str) -> String {
    node.host.run(&format!("birdc -s {} {command}", node.host.path("bird.ctl")))
}

fn config(network: &Network, node: &Node, edits: Edits) -> String {
    let (shape, number) = (&network.shape, node.number);
    let mut text = format!("log stderr all;\nrouter id 192.168.1.1{number};\nprotocol device {{ }}\n");
    text += "protocol direct { ipv4; interface \"cni0\"; }\n";
    text += "protocol kernel { persist; graceful restart; merge paths on; scan time 10;\n";
    text += "  ipv4 { import none; export where source = RTS_BGP; };\n}\n";
    if shape.bfd {
        let times = "min rx interval 100 ms; min tx interval 100 ms; multiplier 3;";
        writeln!(text, "protocol bfd {{ interface \"*\" {{ {times} }}; }}").unwrap();
    }
    let community = if edits.policy { "bgp_community.add((65000,1));" } else { "" };
    writeln!(text, "filter own {{ if source != RTS_DEVICE then reject; {community} accept; }}").unwrap();
    writeln!(text, "filter pods {{ if net ~ [10.244.0.0/15+] then accept; reject; }}").unwrap();
    let timers = "connect delay time 1; connect retry time 1; error wait time 1, 2; graceful restart on;";
    for t in 1..=2 {
        writeln!(text, "protocol bgp tor{t} {{ local 10.{t}.{number}.2 as 64512; {timers}").unwrap();
        writeln!(text, "  neighbor 10.{t}.{number}.1 as 65000; direct; hold time {};", shape.hold).unwrap();
        writeln!(text, "  {}", if shape.bfd { "bfd yes;" } else { "" }).unwrap();
        writeln!(text, "  ipv4 {{ import where net = 172.16.0.0/24; export filter own; }};\n}}").unwrap();
    }
    let mut others: Vec<(usize, bool)> = mesh_of(network, node);
    others.extend(edits.peer.then_some((99, false)));
    for (other, client) in others {
        let address = if other == 99 { "192.168.1.99".to_owned() } else { format!("192.168.1.1{other}") };
        writeln!(text, "protocol bgp node{other} {{ local 192.168.1.1{number} as 64512; {timers}").unwrap();
        writeln!(text, "  neighbor {address} as 64512; direct; hold time 90;").unwrap();
        writeln!(text, "  {}", if client { "rr client;" } else { "" }).unwrap();
        writeln!(text, "  ipv4 {{ import filter pods; export filter pods; }};\n}}").unwrap();
    }
    if edits.wrong {
        text += "protocol nonsense { }\n";
    }
    text
}
