//! The reference cluster with each router, in each family: everybody reaches everybody, under his
//! own address, over routes that BGP has brought.

use serde_json::Value;

use crate::rig::{installed, once};

fn plays(tor: &str) {
    for (family, ways) in [("ipv4", 42), ("ipv6", 42), ("dual", 84)] {
        let what = format!("{tor}-{family}");
        let result = once(&what, &["--tor", tor, "--family", family]);
        assert_eq!(result["ok"], true, "{what}: {result:#}");
        let matrix = result["matrix"].as_array().unwrap();
        // Six pods and a host behind the router, everybody to everybody else.
        assert_eq!(matrix.len(), ways, "{what}");
        for cell in matrix {
            assert_eq!(cell["source"], cell["seenAs"], "{what}: {cell}");
        }
        assert!(result["firstCrossNodePingSeconds"].as_f64().is_some_and(|taken| taken < 30.0), "{what}");
        for node in result["nodes"].as_array().unwrap() {
            routes_follow_bgp(node, family);
        }
    }
}

/// The segment's routers are the next hops, and a node's own pod CIDR has none.
fn routes_follow_bgp(node: &Value, family: &str) {
    let via = |prefix: &str| -> Option<&str> {
        let routes = node["routes"].as_array().unwrap();
        routes.iter().find(|route| route["prefix"] == prefix)?["via"][0].as_str()
    };
    if family != "ipv6" {
        assert_eq!(via("172.16.0.0/24"), Some("192.168.1.1"), "{node:#}");
        for (number, name) in [(1, "node1"), (2, "node2"), (3, "node3")] {
            let next_hop = format!("192.168.1.1{number}");
            let expected = (node["name"] != name).then_some(next_hop.as_str());
            assert_eq!(via(&format!("10.244.{number}.0/24")), expected, "{node:#}");
        }
    }
    if family != "ipv4" {
        assert_eq!(via("fd00:172:16::/64"), Some("fd00:192:168:1::1"), "{node:#}");
    }
}

#[test]
fn with_frr() {
    if installed("zebra") {
        plays("frr");
    }
}

#[test]
fn with_bird() {
    if installed("bird") {
        plays("bird");
    }
}

#[test]
fn with_gobgp() {
    if installed("gobgpd") {
        plays("gobgp");
    }
}

#[test]
fn with_routelet() {
    plays("routelet");
}

/// The same file that containerlab deploys, with the manifests and the router configuration that
/// stand beside it.
#[test]
fn from_the_file_with_its_own_binds() {
    if installed("zebra") {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/containerlab/three-node.clab.yml");
        let mut command = crate::rig::program();
        command.args(["up", file, "--once", "-o", "json", "--name", &crate::rig::name("file")]);
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
        assert!(!said.contains("not honoured"), "{said}");
        let result: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(result["matrix"].as_array().unwrap().len(), 84);
    }
}
