//! What comes of configuration and node file together.

use super::*;

fn plan(node: Option<&NodeFile>, changes: Value) -> Result<Plan, Error> {
    let scratch = Scratch::new();
    let path = scratch.0.join("node.json");
    if let Some(node) = node {
        node.write(&path).unwrap();
    }
    let mut changes = changes;
    changes["nodeFile"] = json!(path);
    Plan::make(&network(changes), &[])
}

fn node(pod_cidrs: &[&str]) -> NodeFile {
    let pod_cidrs = pod_cidrs.iter().map(|text| text.parse().unwrap()).collect();
    NodeFile { pod_cidrs, bridge: "pods0".to_owned(), mtu: Some(1400), ..NodeFile::default() }
}

fn gateways(plan: &Plan) -> Vec<String> {
    plan.sets.iter().flat_map(|s| s.ranges()).map(|r| format!("{} {}", r.prefix, r.gateway)).collect()
}

#[test]
fn a_cluster_wide_subnet_becomes_the_nodes_own() {
    let bare = plan(None, json!({})).unwrap();
    assert_eq!(gateways(&bare), ["10.244.0.0/16 10.244.0.1"]);
    let own = plan(Some(&node(&["10.244.3.0/24"])), json!({"bridge": null})).unwrap();
    assert_eq!(gateways(&own), ["10.244.3.0/24 10.244.3.1"]);
    assert_eq!((own.bridge.as_str(), own.mtu), ("pods0", Some(1400)));
    let said = plan(Some(&node(&["10.244.3.0/24"])), json!({"mtu": 9000})).unwrap();
    assert_eq!((said.bridge.as_str(), said.mtu), ("cni0", Some(9000)));
}

#[test]
fn the_own_ipam_takes_the_pod_cidrs() {
    let ours = json!({"ipam": {"type": "routelet"}});
    let dual = plan(Some(&node(&["fd00:1::/64", "10.244.1.0/24"])), ours.clone()).unwrap();
    assert_eq!(gateways(&dual), ["10.244.1.0/24 10.244.1.1", "fd00:1::/64 fd00:1::1"]);
    for file in [None, Some(node(&[]))] {
        let error = plan(file.as_ref(), ours.clone()).unwrap_err();
        assert_eq!(error.code, Code::TryAgainLater);
        assert_eq!(error.message, "no pod CIDR is known for this node yet");
    }
}

#[test]
fn routes_are_of_the_families_the_pod_has() {
    let routes = |changes: Value| -> Result<Vec<String>, Error> {
        let plan = plan(None, changes)?;
        let given = |set: &crate::ipam::RangeSet| {
            let (address, range) = set.after(None).next().unwrap();
            let address = ipnetwork::IpNetwork::new(address, range.prefix.length()).unwrap();
            Ip { address, gateway: Some(range.gateway), interface: None }
        };
        let taken = Success { ips: plan.sets.iter().map(given).collect(), ..Success::default() };
        let show = |r: &Route| format!("{} {}", r.dst, r.gw.map_or("-".to_owned(), |gw| gw.to_string()));
        Ok(plan.complete(taken)?.routes.iter().map(show).collect())
    };
    let v4 = |kind: &str, routes: Value| json!({"type": kind, "subnet": "10.0.0.0/24", "routes": routes});
    let both = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
    assert_eq!(routes(json!({"ipam": v4("host-local", both)})).unwrap(), ["0.0.0.0/0 -"]);
    assert_eq!(routes(json!({"ipam": v4("host-local", json!([]))})).unwrap(), [] as [&str; 0]);
    assert_eq!(routes(json!({"ipam": v4("routelet", json!([]))})).unwrap(), ["0.0.0.0/0 10.0.0.1"]);
    let gateway = json!({"isDefaultGateway": true, "ipam": {"type": "host-local",
        "ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "fd00::/64"}]]}});
    assert_eq!(routes(gateway).unwrap(), ["0.0.0.0/0 10.0.0.1", "::/0 fd00::1"]);
    let contradiction = json!([{"dst": "0.0.0.0/0", "gw": "10.0.0.9"}]);
    let error = routes(json!({"isDefaultGateway": true, "ipam": v4("host-local", contradiction)}));
    assert_eq!(
        error.unwrap_err().to_string(),
        "network configuration: isDefaultGateway is wrong: ipam.routes has a default route via 10.0.0.9, the \
         gateway is 10.0.0.1"
    );
}
