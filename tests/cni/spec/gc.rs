//! Section 2: GC.

use serde_json::{Value, json};

use super::{Must, Reference, Row, Should, scene::Scene};

const LIST: &str = "cni.dev/valid-attachments";

pub const ROWS: &[Row] = &[
    Row("2 GC", Should, "removes what belongs to attachments that are not listed, and nothing else", removes),
    Row("2 GC", Should, "an empty list means that none is valid", empty),
    Row("2 GC", Reference, "without a list nothing is removed, and the key is named", absent),
    Row("2 GC", Reference, "a list that is not understood removes nothing", malformed),
    Row("2 GC", Must, "is of 1.1.0 and later: code 1 before", versions),
    Row("2 GC", Must, "leaves other networks alone", other_networks),
    Row("2 GC", Must, "an attachment is a container and an interface", interfaces),
    Row("2 GC", Should, "goes on after an error, and reports it", goes_on),
    Row("2 GC", Must, "prints nothing on success; nothing to do is success", silent),
    Row("1 disableGC", Reference, "is the runtime's to heed; called nevertheless, GC works", disabled),
];

fn listing(scene: &Scene, valid: Value) -> Value {
    scene.conf(json!({LIST: valid, "ipam": {"routes": []}}))
}

/// Attaches c1 by these interfaces.
fn attach(scene: &Scene, interfaces: &[&str]) {
    for name in interfaces {
        scene.ask("ADD", &listing(scene, json!([]))).with("CNI_IFNAME", *name).run().result();
    }
}

fn removes(scene: &Scene) {
    attach(scene, &["eth0", "eth1", "eth2"]);
    let conf = listing(scene, json!([{"containerID": "c1", "ifname": "eth1"}]));
    scene.ask("GC", &conf).run().silent();
    assert_eq!(scene.node.reservations(), ["10.244.0.3"]);
    assert!(scene.pod_link("eth1").is_some() && scene.pod_link("eth0").is_none());
}

fn empty(scene: &Scene) {
    attach(scene, &["eth0", "eth1"]);
    scene.ask("GC", &listing(scene, json!([]))).run().silent();
    assert!(scene.traces().is_empty());
}

fn absent(scene: &Scene) {
    attach(scene, &["eth0"]);
    let before = scene.traces();
    for conf in [scene.conf(json!({})), scene.conf(json!({LIST: null}))] {
        scene.ask("GC", &conf).run().fails(7, &[LIST]);
    }
    assert_eq!(scene.traces(), before);
}

fn malformed(scene: &Scene) {
    attach(scene, &["eth0"]);
    let before = scene.traces();
    for (valid, word) in [
        (json!({}), LIST),
        (json!([7]), "[0]"),
        (json!([{"containerID": "c1"}]), "[0].ifname"),
        (json!([{"containerID": "c1", "ifname": "eth0"}, {"ifname": "eth0"}]), "[1].containerID"),
        (json!([{"containerID": 7, "ifname": "eth0"}]), "[0].containerID"),
    ] {
        scene.ask("GC", &listing(scene, valid)).run().fails(7, &[word]);
    }
    assert_eq!(scene.traces(), before);
}

fn versions(scene: &Scene) {
    for version in ["0.4.0", "1.0.0"] {
        let conf = scene.conf(json!({"cniVersion": version, LIST: []}));
        scene.ask("GC", &conf).run().fails(1, &["GC", "1.1.0", version]);
    }
}

fn other_networks(scene: &Scene) {
    attach(scene, &["eth0"]);
    let other =
        scene.conf(json!({"name": "other", LIST: [], "ipam": {"subnet": "10.9.0.0/24", "routes": []}}));
    scene.ask("ADD", &other).with("CNI_IFNAME", "net1").run().result();
    scene.ask("GC", &other).run().silent();
    assert!(scene.pod_link("eth0").is_some() && scene.pod_link("net1").is_none());
    assert_eq!(scene.node.reservations(), ["10.244.0.2"]);
}

fn interfaces(scene: &Scene) {
    attach(scene, &["eth0"]);
    let conf = listing(scene, json!([{"containerID": "c1", "ifname": "eth9"}]));
    scene.ask("GC", &conf).run().silent();
    assert!(scene.traces().is_empty());
}

fn goes_on(scene: &Scene) {
    attach(scene, &["eth0", "eth1"]);
    // The configuration has changed since, and the plugin that gives addresses now has a bad day.
    scene.script("giver", r#"echo '{"code": 11, "msg": "no luck"}'; exit 1"#);
    let ipam = json!({"type": "giver", "routes": []});
    let conf = scene.conf(json!({LIST: [{"containerID": "c1", "ifname": "eth1"}], "ipam": ipam}));
    scene.ask("GC", &conf).run().fails(11, &["giver", "no luck"]);
    assert!(scene.pod_link("eth0").is_none() && scene.pod_link("eth1").is_some());
    assert_eq!(scene.node.reservations(), ["10.244.0.3"]);
}

fn silent(scene: &Scene) {
    scene.ask("GC", &listing(scene, json!([]))).run().silent();
    attach(scene, &["eth0"]);
    (0..2).for_each(|_| scene.ask("GC", &listing(scene, json!([]))).run().silent());
}

fn disabled(scene: &Scene) {
    attach(scene, &["eth0"]);
    scene.ask("GC", &scene.conf(json!({LIST: [], "disableGC": true}))).run().silent();
    assert!(scene.traces().is_empty());
}
