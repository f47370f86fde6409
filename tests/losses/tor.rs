//! The ToRs: BIRD or FRR, which keep what a node has told over the node's restart, also if BFD falls silent
//! meanwhile.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::frr;
use crate::host::Host;
use crate::shape::{Shape, Tors};

/// Starts ToR number `t` and waits until it answers.
pub fn start(tor: &Host, t: usize, shape: &Shape) {
    match shape.tors {
        Tors::Bird => {
            fs::write(tor.directory.join("config"), bird(t, shape, false)).unwrap();
            let control = tor.path("bird.ctl");
            tor.start(&format!("bird -f -c {} -s {control}", tor.path("config")));
            tor.eventually(&control, || Path::new(&control).exists());
        }
        Tors::Frr => {
            fs::write(tor.directory.join("config"), frr(t, shape)).unwrap();
            frr::start(tor, "", shape.bfd);
        }
    }
}

/// Has a ToR say that it is about to be shut down (RFC 8326).
pub fn announce_shutdown(tor: &Host, t: usize, shape: &Shape) {
    match shape.tors {
        Tors::Bird => {
            fs::write(tor.directory.join("config"), bird(t, shape, true)).unwrap();
            birdc(tor, "configure");
        }
        Tors::Frr => {
            frr::vtysh(tor, &["configure terminal", "router bgp 65000", "bgp graceful-shutdown"]);
        }
    }
}

/// Whether it has a session with every node, and BFD where it is to be.
pub fn settled(tor: &Host, shape: &Shape) -> bool {
    let nodes = shape.nodes().count();
    let (sessions, paths) = match shape.tors {
        Tors::Bird => (
            birdc(tor, "show protocols").matches("Established").count(),
            birdc(tor, "show bfd sessions").matches(" Up ").count(),
        ),
        Tors::Frr => (
            frr::vtysh(tor, &["show bgp neighbors"]).matches("BGP state = Established").count(),
            frr::vtysh(tor, &["show bfd peers"]).matches("Status: up").count(),
        ),
    };
    sessions == nodes && (!shape.bfd || paths == nodes)
}

/// What BIRD says to a command.
pub fn birdc(tor: &Host, command: &str) -> String {
    tor.run(&format!("birdc -s {} {command}", tor.path("bird.ctl")))
}

/// What BIRD reads.
pub fn bird(t: usize, shape: &Shape, leaving: bool) -> String {
    let ip = shape.family();
    let mut text = format!("log stderr all;\nrouter id 10.{t}.0.1;\nprotocol device {{ }}\n");
    writeln!(text, "protocol direct {{ {ip}; interface \"hosts\"; }}").unwrap();
    writeln!(text, "protocol kernel {{ {ip} {{ export where source = RTS_BGP; }}; }}").unwrap();
    if shape.bfd {
        let times = "min rx interval 100 ms; min tx interval 100 ms; multiplier 3;";
        writeln!(text, "protocol bfd {{ interface \"*\" {{ {times} }}; }}").unwrap();
    }
    // A path that is longer is used for want of another.
    let prepend =
        if shape.backup && t == 2 { "bgp_path.prepend(65000); bgp_path.prepend(65000);" } else { "" };
    let leave = if leaving { "bgp_community.add((65535,0));" } else { "" };
    let (behind, pods) = (shape.behind(), shape.all_pods());
    writeln!(text, "filter behind {{ if net != {behind} then reject; {prepend} {leave} accept; }}").unwrap();
    let shutdown = "if (65535,0) ~ bgp_community then bgp_local_pref = 0;";
    writeln!(text, "filter pods {{ if net !~ [{pods}+] then reject; {shutdown} accept; }}").unwrap();
    for node in shape.nodes() {
        writeln!(text, "protocol bgp node{node} {{ local {} as 65000;", shape.tor(t, node)).unwrap();
        writeln!(text, "  neighbor {} as 64512; direct; graceful restart on;", shape.at_tor(t, node))
            .unwrap();
        writeln!(text, "  hold time {}; connect delay time 1; connect retry time 1;", shape.hold).unwrap();
        writeln!(text, "  error wait time 1, 2; {}", if shape.bfd { "bfd graceful;" } else { "" }).unwrap();
        if !shape.password.is_empty() {
            writeln!(text, "  password \"{}\";", shape.password).unwrap();
        }
        writeln!(text, "  {ip} {{ import filter pods; export filter behind; }};\n}}").unwrap();
    }
    text
}

fn frr(t: usize, shape: &Shape) -> String {
    let ip = if shape.ipv6 { "ipv6" } else { "ip" };
    let mut text = format!("log stdout\n{ip} prefix-list BEHIND permit {}\n", shape.behind());
    writeln!(text, "{ip} prefix-list PODS permit {} le {}", shape.all_pods(), shape.longest()).unwrap();
    writeln!(text, "route-map BEHIND permit 10\n match {ip} address prefix-list BEHIND").unwrap();
    if shape.backup && t == 2 {
        text += " set as-path prepend 65000 65000\n";
    }
    writeln!(text, "exit\nrouter bgp 65000\n bgp router-id 10.{t}.0.1\n no bgp default ipv4-unicast")
        .unwrap();
    text += " no bgp ebgp-requires-policy\n bgp graceful-restart\n";
    for node in shape.nodes() {
        let peer = format!(" neighbor {}", shape.at_tor(t, node));
        let keepalive = shape.hold / 3;
        writeln!(text, "{peer} remote-as 64512\n{peer} timers {keepalive} {}", shape.hold).unwrap();
        writeln!(text, "{peer} timers connect 1").unwrap();
        if !shape.password.is_empty() {
            writeln!(text, "{peer} password {}", shape.password).unwrap();
        }
        if shape.bfd {
            writeln!(text, "{peer} bfd 3 100 100\n{peer} bfd check-control-plane-failure").unwrap();
        }
    }
    writeln!(text, " address-family {} unicast\n  network {}", shape.family(), shape.behind()).unwrap();
    for node in shape.nodes() {
        let peer = format!("  neighbor {}", shape.at_tor(t, node));
        writeln!(text, "{peer} activate\n{peer} prefix-list PODS in\n{peer} route-map BEHIND out").unwrap();
    }
    text += " exit-address-family\nexit\n";
    text
}
