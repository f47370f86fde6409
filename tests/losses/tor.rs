//! The ToRs: BIRD, which keeps what a node has told over the node's restart, also if BFD falls silent
//! meanwhile.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::host::Host;
use crate::network::Shape;

/// Starts ToR number `t` and waits until it answers.
pub fn start(tor: &Host, t: usize, shape: &Shape) {
    fs::write(tor.directory.join("config"), config(t, shape, false)).unwrap();
    let control = tor.path("bird.ctl");
    tor.start(&format!("bird -f -c {} -s {control}", tor.path("config")));
    tor.eventually(&control, || Path::new(&control).exists());
}

/// Has a ToR say that it is about to be shut down (RFC 8326).
pub fn announce_shutdown(tor: &Host, t: usize, shape: &Shape) {
    fs::write(tor.directory.join("config"), config(t, shape, true)).unwrap();
    ask(tor, "configure");
}

/// Whether it has a session with every node, and BFD where it is to be.
pub fn settled(tor: &Host, shape: &Shape) -> bool {
    let nodes = shape.nodes().count();
    let up = ask(tor, "show protocols").matches("Established").count();
    let alive = ask(tor, "show bfd sessions").lines().filter(|line| line.contains(" Up ")).count();
    up == nodes && (!shape.bfd || alive == nodes)
}

fn ask(tor: &Host, command: &str) -> String {
    tor.run(&format!("birdc -s {} {command}", tor.path("bird.ctl")))
}

fn config(t: usize, shape: &Shape, leaving: bool) -> String {
    let mut text = format!("log stderr all;\nrouter id 10.{t}.0.1;\nprotocol device {{ }}\n");
    text += "protocol direct { ipv4; interface \"hosts\"; }\n";
    text += "protocol kernel { ipv4 { export where source = RTS_BGP; }; }\n";
    if shape.bfd {
        let times = "min rx interval 100 ms; min tx interval 100 ms; multiplier 3;";
        writeln!(text, "protocol bfd {{ interface \"*\" {{ {times} }}; }}").unwrap();
    }
    // A path that is longer is used for want of another.
    let prepend =
        if shape.backup && t == 2 { "bgp_path.prepend(65000); bgp_path.prepend(65000);" } else { "" };
    let leave = if leaving { "bgp_community.add((65535,0));" } else { "" };
    writeln!(text, "filter behind {{ if net != 172.16.0.0/24 then reject; {prepend} {leave} accept; }}")
        .unwrap();
    let shutdown = "if (65535,0) ~ bgp_community then bgp_local_pref = 0;";
    writeln!(text, "filter pods {{ if net !~ [10.244.0.0/15+] then reject; {shutdown} accept; }}").unwrap();
    for node in shape.nodes() {
        writeln!(text, "protocol bgp node{node} {{ local 10.{t}.{node}.1 as 65000;").unwrap();
        writeln!(text, "  neighbor 10.{t}.{node}.2 as 64512; direct; graceful restart on;").unwrap();
        writeln!(text, "  hold time {}; connect delay time 1; connect retry time 1;", shape.hold).unwrap();
        writeln!(text, "  error wait time 1, 2; {}", if shape.bfd { "bfd graceful;" } else { "" }).unwrap();
        writeln!(text, "  ipv4 {{ import filter pods; export filter behind; }};\n}}").unwrap();
    }
    text
}
