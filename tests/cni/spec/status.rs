//! Section 2: STATUS.

use std::fs;

use serde_json::json;

use super::{Must, Row, Should, scene::Scene};

pub const ROWS: &[Row] = &[
    Row("2 STATUS", Must, "exit code 0 and no output if an ADD can be served", ready),
    Row("2 STATUS", Must, "is of 1.1.0 and later: code 1 before", versions),
    Row("2 STATUS", Should, "50 when every address is taken, with the range", exhausted),
    Row("2 STATUS", Should, "50 when what the daemon tells is needed and missing or broken", no_node_file),
    Row("2 STATUS", Must, "a configuration that no ADD could use is an error", unusable),
    Row("2 STATUS", Must, "other verbs do not rely on it", not_relied_on),
    Row("2 STATUS", Must, "makes nothing", touches_nothing),
];

fn ready(scene: &Scene) {
    scene.ask("STATUS", &scene.conf(json!({}))).run().silent();
}

fn versions(scene: &Scene) {
    for version in ["0.4.0", "1.0.0"] {
        let conf = scene.conf(json!({"cniVersion": version}));
        scene.ask("STATUS", &conf).run().fails(1, &["STATUS", "1.1.0", version]);
    }
}

fn exhausted(scene: &Scene) {
    let conf = scene.conf(json!({"ipam": {"subnet": "10.244.0.0/30"}}));
    scene.ask("STATUS", &conf).run().silent();
    scene.add(&conf);
    scene.ask("STATUS", &conf).run().fails(50, &["10.244.0.0/30"]);
}

fn no_node_file(scene: &Scene) {
    let conf = scene.conf(json!({"ipam": {"type": "routelet", "subnet": null}}));
    scene.ask("STATUS", &conf).run().fails(50, &["node.json", "routelet run"]);
    fs::write(scene.node.node_file(), "{").unwrap();
    scene.ask("STATUS", &conf).run().fails(50, &["node.json"]);
    scene.node.dual_stack();
    scene.ask("STATUS", &conf).run().silent();
}

fn unusable(scene: &Scene) {
    scene.ask("STATUS", &scene.conf(json!({"ipam": {"subnet": null}}))).run().fails(7, &["ipam.subnet"]);
    scene.ask("STATUS", &scene.conf(json!({"mtu": "x"}))).run().fails(7, &["mtu"]);
}

fn not_relied_on(scene: &Scene) {
    let conf = scene.conf(json!({"ipam": {"subnet": "10.244.0.0/30"}}));
    scene.add(&conf);
    scene.ask("STATUS", &conf).run().error();
    scene.del(&conf);
    scene.add(&conf);
}

fn touches_nothing(scene: &Scene) {
    scene.ask("STATUS", &scene.conf(json!({}))).run().silent();
    assert!(scene.host_link("cni0").is_none() && !scene.file("networks").exists());
}
