//! Section 2: CHECK.

use std::fs;

use serde_json::json;

use super::{Must, Row, Should, scene::Scene};

pub const ROWS: &[Row] = &[
    Row("2 CHECK", Must, "succeeds right after the ADD, and prints nothing", at_once),
    Row("2 CHECK", Must, "is of 0.4.0 and later: code 1 before", versions),
    Row("2 CHECK", Must, "consults prevResult: without it there is no answer", no_previous),
    Row("2 CHECK", Must, "lets later plugins add addresses, routes and interfaces", later_plugins),
    Row("2 CHECK", Should, "fails when the interface is gone", interface_gone),
    Row("2 CHECK", Should, "fails when the interface is down", interface_down),
    Row("2 CHECK", Should, "fails when the address is gone", address_gone),
    Row("2 CHECK", Should, "fails when the route is gone", route_gone),
    Row("2 CHECK", Should, "fails when the address is no longer reserved", reservation_gone),
    Row("2 CHECK", Should, "fails when the pod is unreachable: no bridge, port off it or down", unreachable),
    Row("2 CHECK", Should, "fails when the namespace is gone", namespace_gone),
    Row("2 CHECK", Should, "fails for what was never added", never_added),
];

fn changed(scene: &Scene, conf: &serde_json::Value, word: &str) {
    scene.ask("CHECK", conf).run().fails(104, &[word]);
}

fn at_once(scene: &Scene) {
    for version in ["0.4.0", "1.0.0", "1.1.0"] {
        let conf = scene.added(&scene.conf(json!({"cniVersion": version})));
        scene.ask("CHECK", &conf).run().silent();
        scene.del(&conf);
    }
}

fn versions(scene: &Scene) {
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1"] {
        let conf = scene.conf(json!({"cniVersion": version}));
        scene.ask("CHECK", &conf).run().fails(1, &["CHECK", "0.4.0", version]);
    }
}

fn no_previous(scene: &Scene) {
    let conf = scene.conf(json!({}));
    scene.add(&conf);
    scene.ask("CHECK", &conf).run().fails(7, &["prevResult"]);
}

fn later_plugins(scene: &Scene) {
    let mut conf = scene.added(&scene.conf(json!({})));
    let index = scene.pod_link("eth0").unwrap().index;
    let address = "192.0.2.1/24".parse().unwrap();
    scene.wait(scene.pod.netlink.add_address(index, address)).unwrap();
    let result = conf["prevResult"].as_object_mut().unwrap();
    result["interfaces"].as_array_mut().unwrap().push(json!({"name": "ifb0", "mac": "02:00:00:00:00:01"}));
    result["ips"].as_array_mut().unwrap().push(json!({"address": "192.0.2.1/24", "interface": 2}));
    result["routes"].as_array_mut().unwrap().push(json!({"dst": "198.51.100.0/24"}));
    scene.ask("CHECK", &conf).run().silent();
}

fn interface_gone(scene: &Scene) {
    let conf = scene.added(&scene.conf(json!({})));
    let index = scene.pod_link("eth0").unwrap().index;
    scene.wait(scene.pod.netlink.delete_link(index)).unwrap();
    scene.ask("CHECK", &conf).run().fails(104, &[]);
}

fn interface_down(scene: &Scene) {
    let conf = scene.added(&scene.conf(json!({})));
    let index = scene.pod_link("eth0").unwrap().index;
    scene.wait(scene.pod.netlink.set_up(index, false)).unwrap();
    changed(scene, &conf, "eth0");
}

fn address_gone(scene: &Scene) {
    let conf = scene.added(&scene.conf(json!({})));
    let index = scene.pod_link("eth0").unwrap().index;
    let address = "10.244.0.2/24".parse().unwrap();
    scene.wait(scene.pod.netlink.remove_address(index, address)).unwrap();
    changed(scene, &conf, "10.244.0.2/24");
}

fn route_gone(scene: &Scene) {
    let conf = scene.added(&scene.conf(json!({})));
    let index = scene.pod_link("eth0").unwrap().index;
    scene.wait(scene.pod.netlink.set_up(index, false)).unwrap();
    scene.wait(scene.pod.netlink.set_up(index, true)).unwrap();
    changed(scene, &conf, "0.0.0.0/0");
}

fn reservation_gone(scene: &Scene) {
    let conf = scene.added(&scene.conf(json!({})));
    fs::remove_file(scene.file("networks/pod-network/10.244.0.2")).unwrap();
    scene.ask("CHECK", &conf).run().fails(104, &["address"]);
}

fn unreachable(scene: &Scene) {
    let conf = scene.added(&scene.conf(json!({})));
    let port = conf["prevResult"]["interfaces"][1]["name"].as_str().unwrap().to_owned();
    let netlink = &scene.node.namespace.netlink;
    let (port, bridge) = (scene.host_link(&port).unwrap().index, scene.host_link("cni0").unwrap().index);
    scene.wait(netlink.set_up(port, false)).unwrap();
    scene.ask("CHECK", &conf).run().fails(104, &["down"]);
    scene.wait(netlink.set_up(port, true)).unwrap();
    scene.wait(netlink.set_master(port, None)).unwrap();
    changed(scene, &conf, "cni0");
    scene.wait(netlink.delete_link(bridge)).unwrap();
    changed(scene, &conf, "cni0");
}

fn namespace_gone(scene: &Scene) {
    let conf = scene.added(&scene.conf(json!({})));
    let ask = scene.ask("CHECK", &conf).with("CNI_NETNS", "/nonexistent/ns");
    let (_, text) = ask.run().error();
    assert!(text.contains("/nonexistent/ns"), "{text}");
}

fn never_added(scene: &Scene) {
    let conf = scene.added(&scene.conf(json!({})));
    scene.ask("CHECK", &conf).with("CNI_CONTAINERID", "c2").run().fails(104, &[]);
}
