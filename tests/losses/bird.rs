//! BIRD 2 on the nodes.

use std::fmt::Write as _;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::network::{Network, Node};
use crate::router::{Edits, Router, write};
use crate::shape::Shape;

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
        write(&node.host, "config", &config(&network.shape, node.number, edits));
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

fn config(shape: &Shape, number: usize, edits: Edits) -> String {
    let ip = shape.family();
    let mut text = format!("log stderr all;\nrouter id 192.168.1.1{number};\nprotocol device {{ }}\n");
    writeln!(text, "protocol direct {{ {ip}; interface \"cni0\"; }}").unwrap();
    text += "protocol kernel { persist; graceful restart; merge paths on; scan time 10;\n";
    writeln!(text, "  {ip} {{ import none; export where source = RTS_BGP; }};\n}}").unwrap();
    if shape.bfd {
        let times = "min rx interval 100 ms; min tx interval 100 ms; multiplier 3;";
        writeln!(text, "protocol bfd {{ interface \"*\" {{ {times} }}; }}").unwrap();
    }
    let community = if edits.policy { "bgp_community.add((65000,1));" } else { "" };
    writeln!(text, "filter own {{ if source != RTS_DEVICE then reject; {community} accept; }}").unwrap();
    writeln!(text, "filter pods {{ if net ~ [{}+] then accept; reject; }}", shape.all_pods()).unwrap();
    let timers = "connect delay time 1; connect retry time 1; error wait time 1, 2; graceful restart on;";
    for t in 1..=2 {
        writeln!(text, "protocol bgp tor{t} {{ local {} as 64512; {timers}", shape.at_tor(t, number))
            .unwrap();
        writeln!(text, "  neighbor {} as 65000; direct;", shape.tor(t, number)).unwrap();
        writeln!(text, "  hold time {}; {}", shape.hold, if shape.bfd { "bfd yes;" } else { "" }).unwrap();
        writeln!(text, "  {ip} {{ import where net = {}; export filter own; }};\n}}", shape.behind())
            .unwrap();
    }
    let mut others: Vec<(String, bool)> =
        shape.mesh_of(number).into_iter().map(|(other, client)| (shape.node(other), client)).collect();
    others.extend(edits.peer.then(|| (shape.address("192.168.1.99"), false)));
    for (i, (address, client)) in others.iter().enumerate() {
        writeln!(text, "protocol bgp peer{i} {{ local {} as 64512; {timers}", shape.node(number)).unwrap();
        writeln!(text, "  neighbor {address} as 64512; direct; hold time 90;").unwrap();
        writeln!(text, "  {}", if *client { "rr client;" } else { "" }).unwrap();
        writeln!(text, "  {ip} {{ import filter pods; export filter pods; }};\n}}").unwrap();
    }
    if edits.wrong {
        text += "protocol nonsense { }\n";
    }
    text
}
