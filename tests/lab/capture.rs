//! What is on the wire between the nodes: pods' own addresses, and BGP as RFC 4271 has it. No
//! tunnel, no translation.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::rig::{Lab, installed};

#[test]
fn pods_under_their_own_addresses_and_plain_bgp() {
    if !installed("tcpdump") {
        return;
    }
    let lab = Lab::start("capture", &["--tor", "routelet"]);
    // Pods are pinged, and sessions come up, from here on.
    lab.wait_for("node1: routelet run");
    let mut tcpdump = lab.exec_command("tor", &["tcpdump", "-i", "rack", "-n", "-l", "--immediate-mode"]);
    let mut tcpdump = tcpdump.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut pings, mut bgp) = (0, 0);
    let lines = BufReader::new(tcpdump.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok).filter(|line| line.contains(" IP ")) {
        let (from, to) = ends(&line);
        if line.contains("ICMP echo") {
            for end in [from, to] {
                assert!(end.starts_with("10.244.") || end.starts_with("172.16.0."), "{line}");
            }
            pings += 1;
        } else if line.contains(".9114") {
            assert!([from, to].iter().all(|end| !end.starts_with("192.168.")), "{line}");
        } else if line.contains(".179 ") || line.contains(".179:") {
            assert!([from, to].iter().all(|end| end.starts_with("192.168.1.")), "{line}");
            bgp += usize::from(line.contains("BGP"));
        } else {
            // Pods' packets are in nothing else; kernels report their multicast groups once in a while.
            assert!(line.contains("ICMP") || line.contains("igmp"), "{line}");
        }
        if pings >= 100 && bgp >= 10 {
            break;
        }
    }
    assert!(pings >= 100 && bgp >= 10, "{pings} pings, {bgp} BGP segments");
    let _ = tcpdump.kill();
    let _ = tcpdump.wait();
}

/// `TIME IP FROM > TO: …`
fn ends(line: &str) -> (&str, &str) {
    let mut words = line.split(' ').skip_while(|word| *word != "IP").skip(1);
    let from = words.next().unwrap_or_default();
    let to = words.nth(1).unwrap_or_default();
    (from, to)
}
