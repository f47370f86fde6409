//! Section 5: what an ADD prints, in each version's shape.

use serde_json::{Value, json};

use super::{Must, Reference, Row, scene::Scene};

pub const ROWS: &[Row] = &[
    Row("5 0.1.0", Must, "ip4 and ip6 with their routes, dns; nothing of later versions", |s| {
        first(s, "0.1.0")
    }),
    Row("5 0.2.0", Must, "as 0.1.0", |s| first(s, "0.2.0")),
    Row("5 0.3.0", Must, "interfaces, ips with version, routes, dns", |s| middle(s, "0.3.0")),
    Row("5 0.3.1", Must, "as 0.3.0", |s| middle(s, "0.3.1")),
    Row("5 0.4.0", Must, "as 0.3.0", |s| middle(s, "0.4.0")),
    Row("5 1.0.0", Must, "ips without version, dns unless empty", |s| latest(s, "1.0.0")),
    Row("5 1.1.0", Must, "and mtu in interfaces", |s| latest(s, "1.1.0")),
    Row("5 ADD", Must, "sandbox is CNI_NETNS as it was given", sandbox),
    Row("5 ADD", Must, "interfaces on the node have no sandbox, and are there by their names", on_the_node),
    Row("5 ADD", Must, "mac and mtu are those of the interfaces", as_made),
    Row("5 ADD", Must, "ips[].interface is the pod's interface", index),
    Row("5 prevResult", Must, "of another version is said in that of the configuration", other_version),
    Row("5 prevResult", Must, "one without cniVersion is of the configuration's", no_version),
    Row("5 0.2.0", Reference, "no address is an error where the version has no way to say so", no_address),
];

const BOTH: &str = r#"{"subnet": null, "ranges": [[{"subnet": "10.244.0.0/24"}], [{"subnet": "fd00:7::/64"}]],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "fd00::/16", "gw": "fd00:7::9"}]}"#;

fn add(scene: &Scene, version: &str) -> Value {
    let ipam: Value = serde_json::from_str(BOTH).unwrap();
    let result = scene.add(&scene.conf(json!({"cniVersion": version, "ipam": ipam})));
    assert_eq!(result["cniVersion"], version);
    result
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn first(scene: &Scene, version: &str) {
    let result = add(scene, version);
    let v4 = json!({"ip": "10.244.0.2/24", "gateway": "10.244.0.1", "routes": [{"dst": "0.0.0.0/0"}]});
    let v6 = json!({"ip": "fd00:7::2/64", "gateway": "fd00:7::1",
        "routes": [{"dst": "fd00::/16", "gw": "fd00:7::9"}]});
    assert_eq!(result, json!({"cniVersion": version, "ip4": v4, "ip6": v6, "dns": {}}));
}

fn middle(scene: &Scene, version: &str) {
    let result = add(scene, version);
    assert_eq!(keys(&result), ["cniVersion", "dns", "interfaces", "ips", "routes"]);
    assert_eq!(result["dns"], json!({}));
    assert_eq!(keys(&result["interfaces"][2]), ["mac", "name", "sandbox"]);
    let ip = |version, address, gateway| json!({"version": version, "address": address, "gateway": gateway, "interface": 2});
    let v4 = ip("4", "10.244.0.2/24", "10.244.0.1");
    assert_eq!(result["ips"], json!([v4, ip("6", "fd00:7::2/64", "fd00:7::1")]));
    assert_eq!(result["routes"], json!([{"dst": "0.0.0.0/0"}, {"dst": "fd00::/16", "gw": "fd00:7::9"}]));
}

fn latest(scene: &Scene, version: &str) {
    let result = add(scene, version);
    assert_eq!(keys(&result), ["cniVersion", "interfaces", "ips", "routes"]);
    assert_eq!(keys(&result["ips"][0]), ["address", "gateway", "interface"]);
    let fields: &[&str] =
        if version == "1.0.0" { &["mac", "name", "sandbox"] } else { &["mac", "mtu", "name", "sandbox"] };
    assert_eq!(keys(&result["interfaces"][2]), fields);
    assert_eq!(result["routes"][1], json!({"dst": "fd00::/16", "gw": "fd00:7::9"}));
}

fn sandbox(scene: &Scene) {
    let path = format!("//{}", scene.pod.path());
    let result = scene.ask("ADD", &scene.conf(json!({}))).with("CNI_NETNS", &path).run().result();
    assert_eq!(result["interfaces"][2]["sandbox"], path);
}

fn on_the_node(scene: &Scene) {
    let result = scene.add(&scene.conf(json!({})));
    for interface in &result["interfaces"].as_array().unwrap()[..2] {
        assert!(interface.get("sandbox").is_none_or(|sandbox| sandbox == ""));
        assert!(scene.host_link(interface["name"].as_str().unwrap()).is_some());
    }
}

fn as_made(scene: &Scene) {
    let result = scene.add(&scene.conf(json!({"mtu": 1420})));
    let links = [
        scene.host_link("cni0"),
        scene.host_link(result["interfaces"][1]["name"].as_str().unwrap()),
        scene.pod_link("eth0"),
    ];
    for (link, told) in links.into_iter().zip(result["interfaces"].as_array().unwrap()) {
        let link = link.unwrap();
        let mac = link.mac.unwrap().map(|octet| format!("{octet:02x}")).join(":");
        assert_eq!((told["mac"].as_str(), told["mtu"].as_u64()), (Some(&*mac), Some(link.mtu.into())));
        assert_eq!(link.mtu, 1420);
    }
}

fn index(scene: &Scene) {
    let result = scene.add(&scene.conf(json!({})));
    let index = result["ips"][0]["interface"].as_u64().unwrap() as usize;
    assert_eq!(result["interfaces"][index]["name"], "eth0");
}

fn other_version(scene: &Scene) {
    let old = json!({"cniVersion": "0.2.0", "dns": {},
        "ip4": {"ip": "192.0.2.1/24", "gateway": "192.0.2.254", "routes": [{"dst": "192.0.2.0/24"}]}});
    let conf = scene.conf(json!({"prevResult": old}));
    let result = scene.add(&conf);
    assert_eq!(result["ips"][0], json!({"address": "192.0.2.1/24", "gateway": "192.0.2.254"}));
    assert_eq!(result["routes"][0]["dst"], "192.0.2.0/24");
    assert!(result.get("ip4").is_none() && result.get("dns").is_none());
    scene.del(&conf);
    let new = json!({"cniVersion": "1.1.0", "ips": [{"address": "2001:db8::1/64"}],
        "interfaces": [{"name": "x", "mtu": 9}], "routes": [{"dst": "::/0", "table": 7}]});
    let result = scene.add(&scene.conf(json!({"cniVersion": "0.3.1", "prevResult": new})));
    assert_eq!(result["ips"][0], json!({"version": "6", "address": "2001:db8::1/64"}));
    assert_eq!(result["interfaces"][0], json!({"name": "x"}));
    assert_eq!(result["routes"][0], json!({"dst": "::/0"}));
}

fn no_version(scene: &Scene) {
    let previous = json!({"ips": [{"version": "4", "address": "192.0.2.1/24"}]});
    let result = scene.add(&scene.conf(json!({"cniVersion": "0.4.0", "prevResult": previous})));
    assert_eq!(result["ips"][0], previous["ips"][0]);
    assert_eq!(result["cniVersion"], "0.4.0");
}

fn no_address(scene: &Scene) {
    let conf = scene.conf(json!({"cniVersion": "0.2.0", "ipam": null}));
    scene.ask("ADD", &conf).run().fails(7, &["ipam", "0.3.0"]);
    assert!(scene.traces().is_empty() && scene.pod_link("eth0").is_none());
}
