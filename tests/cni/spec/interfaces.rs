//! Section 2: ADD and DEL; section 3: what calls may happen side by side.

use std::fs;

use serde_json::{Value, json};

use super::{Must, Row, Should, scene::Scene};
use crate::rig::Namespace;

pub const ROWS: &[Row] = &[
    Row("2 ADD", Should, "makes the interface in the namespace, with the address of the result", makes),
    Row("2 ADD", Must, "prints a result", prints),
    Row("2 ADD", Must, "fails if the interface exists, and changes nothing", exists),
    Row("2 ADD", Must, "passes prevResult through, with what it added", chained),
    Row("2 ADD", Should, "a second without DEL fails, and the first stands", twice),
    Row("3 attachment", Must, "a container may be attached again by another interface", two_interfaces),
    Row("2 ADD", Should, "one that fails leaves nothing", failed),
    Row("2 DEL", Should, "deletes the interface and releases the address", deletes),
    Row("2 DEL", Must, "may be repeated", repeated),
    Row("2 DEL", Must, "succeeds for what was never added", never_added),
    Row("2 DEL", Should, "succeeds without prevResult, and with an empty or old one", without_previous),
    Row("2 DEL", Should, "releases the address though the namespace is gone", namespace_gone),
    Row("2 DEL", Must, "does without CNI_NETNS", namespace_unnamed),
    Row("2 DEL", Should, "releases the address though the interface is gone", interface_gone),
    Row("2 DEL", Should, "succeeds though the store is gone", store_gone),
    Row("2 DEL", Must, "after an ADD that failed removes nothing of others", failed_then_deleted),
    Row("2 DEL", Must, "never touches the node's own interfaces", nodes_own),
    Row("3 lifecycle", Should, "DEL works though the configuration has changed since", changed_configuration),
    Row("3 lifecycle", Must, "calls for several containers at once get addresses of their own", at_once),
];

fn makes(scene: &Scene) {
    scene.add(&scene.conf(json!({})));
    assert!(scene.pod_link("eth0").unwrap().up);
    assert_eq!(scene.addresses(), ["10.244.0.2/24"]);
}

fn prints(scene: &Scene) {
    let result = scene.add(&scene.conf(json!({})));
    assert_eq!(result["ips"][0]["address"], "10.244.0.2/24");
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 3);
    assert_eq!(result["routes"][0]["dst"], "0.0.0.0/0");
}

fn exists(scene: &Scene) {
    scene.add(&scene.conf(json!({})));
    let (before, link) = (scene.traces(), scene.pod_link("eth0"));
    let other = scene.conf(json!({"name": "other", "ipam": {"subnet": "10.9.0.0/24"}}));
    let said = scene.ask("ADD", &other).run();
    let (_, text) = said.error();
    assert!(text.contains("eth0") && text.contains("already"), "{text}");
    assert_eq!((scene.traces(), scene.pod_link("eth0").map(|l| l.index)), (before, link.map(|l| l.index)));
}

fn chained(scene: &Scene) {
    let previous = json!({
        "cniVersion": "1.1.0", "interfaces": [{"name": "other0", "mtu": 1300, "pciID": "x"}],
        "ips": [{"address": "192.0.2.1/24", "interface": 0}], "routes": [{"dst": "192.0.2.0/24", "mtu": 1200}],
        "dns": {"nameservers": ["192.0.2.53"]},
    });
    let result = scene.add(&scene.conf(json!({"prevResult": previous})));
    for key in ["interfaces", "ips", "routes"] {
        assert_eq!(result[key][0], previous[key][0]);
    }
    assert_eq!(result["dns"], previous["dns"]);
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 4);
    let own = result["ips"][1]["interface"].as_u64().unwrap() as usize;
    assert_eq!(result["interfaces"][own]["name"], "eth0");
}

fn twice(scene: &Scene) {
    let conf = scene.conf(json!({}));
    scene.add(&conf);
    let before = scene.traces();
    scene.ask("ADD", &conf).run().error();
    assert_eq!(scene.traces(), before);
    assert_eq!(scene.addresses(), ["10.244.0.2/24"]);
}

fn two_interfaces(scene: &Scene) {
    let conf = scene.conf(json!({"ipam": {"routes": []}}));
    scene.add(&conf);
    let second = |verb| scene.ask(verb, &conf).with("CNI_IFNAME", "net1").run();
    assert_eq!(second("ADD").result()["ips"][0]["address"], "10.244.0.3/24");
    scene.del(&conf);
    assert!(scene.pod_link("eth0").is_none() && scene.pod_link("net1").is_some());
    second("DEL").silent();
    assert!(scene.traces().is_empty());
}

fn failed(scene: &Scene) {
    for changes in [
        // Fails after the address has been given.
        json!({"bridge": "lo"}),
        json!({"ipam": {"routes": [{"dst": "192.0.2.0/24", "gw": "198.51.100.1"}]}}),
    ] {
        scene.ask("ADD", &scene.conf(changes)).run().error();
        assert!(scene.traces().is_empty() && scene.pod_link("eth0").is_none());
    }
}

fn deletes(scene: &Scene) {
    let conf = scene.added(&scene.conf(json!({})));
    scene.del(&conf);
    assert!(scene.pod_link("eth0").is_none() && scene.traces().is_empty());
}

fn repeated(scene: &Scene) {
    let conf = scene.added(&scene.conf(json!({})));
    (0..3).for_each(|_| scene.del(&conf));
}

fn never_added(scene: &Scene) {
    scene.del(&scene.conf(json!({})));
    scene.ask("DEL", &scene.conf(json!({}))).with("CNI_NETNS", "").run().silent();
}

fn without_previous(scene: &Scene) {
    let old = json!({"cniVersion": "0.2.0", "ip4": {"ip": "10.244.0.2/24"}});
    for previous in [Value::Null, json!({}), json!({"cniVersion": "1.1.0"}), old] {
        let mut conf = scene.conf(json!({}));
        scene.add(&conf);
        conf["prevResult"] = previous;
        scene.del(&conf);
        assert!(scene.traces().is_empty());
    }
}

fn namespace_gone(scene: &Scene) {
    let conf = scene.added(&scene.conf(json!({})));
    scene.ask("DEL", &conf).with("CNI_NETNS", "/nonexistent/ns").run().silent();
    assert!(scene.traces().is_empty());
}

fn namespace_unnamed(scene: &Scene) {
    let conf = scene.conf(json!({}));
    scene.add(&conf);
    scene.ask("DEL", &conf).without(&["CNI_NETNS"]).run().silent();
    assert!(scene.traces().is_empty() && scene.pod_link("eth0").is_none());
}

fn interface_gone(scene: &Scene) {
    let conf = scene.added(&scene.conf(json!({})));
    let index = scene.pod_link("eth0").unwrap().index;
    scene.wait(scene.pod.netlink.delete_link(index)).unwrap();
    scene.del(&conf);
    assert!(scene.traces().is_empty());
}

fn store_gone(scene: &Scene) {
    let conf = scene.added(&scene.conf(json!({})));
    fs::remove_dir_all(scene.file("networks")).unwrap();
    scene.del(&conf);
    assert!(scene.pod_link("eth0").is_none());
}

fn failed_then_deleted(scene: &Scene) {
    scene.add(&scene.conf(json!({})));
    let other = scene.conf(json!({"name": "other", "ipam": {"subnet": "10.9.0.0/24"}}));
    scene.ask("ADD", &other).run().error();
    scene.del(&other);
    assert_eq!(scene.addresses(), ["10.244.0.2/24"]);
}

fn nodes_own(scene: &Scene) {
    let conf = scene.conf(json!({}));
    scene.add(&conf);
    let bridge = scene.host_link("cni0").unwrap();
    let ask = scene.ask("DEL", &conf).with("CNI_CONTAINERID", "c2").with("CNI_IFNAME", "cni0");
    ask.with("CNI_NETNS", "/proc/thread-self/ns/net").run().silent();
    assert_eq!(scene.host_link("cni0").unwrap().index, bridge.index);
}

fn changed_configuration(scene: &Scene) {
    let ranges = json!({"bridge": "cni7", "ipam": {"subnet": null, "ranges": [[{"subnet": "10.9.0.0/24"}]]}});
    let broken = json!({"mtu": "x", "vlan": -1, "ipam": {"subnet": "x", "routes": 7}});
    for changes in [ranges, broken, json!({"isGateway": false, "cniVersion": "0.3.1"})] {
        scene.add(&scene.conf(json!({})));
        scene.del(&scene.conf(changes));
        assert!(scene.traces().is_empty() && scene.pod_link("eth0").is_none());
    }
}

fn at_once(scene: &Scene) {
    let pods: Vec<Namespace> = scene.wait(async { (0..8).map(|_| Namespace::new()).collect() });
    let conf = scene.conf(json!({}));
    let calls: Vec<_> = pods
        .iter()
        .enumerate()
        .map(|(i, pod)| scene.node.spawn("ADD", &format!("p{i}"), &pod.path(), &conf))
        .collect();
    let mut addresses: Vec<String> = calls
        .into_iter()
        .map(|call| {
            let document: Value = serde_json::from_slice(&call.wait_with_output().unwrap().stdout).unwrap();
            document["ips"][0]["address"].as_str().unwrap_or_else(|| panic!("{document}")).to_owned()
        })
        .collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 8);
}
