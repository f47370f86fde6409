//! Section 5: what CNI 1.1.0 lets a configuration say of a route, as the kernel has it.

use std::process::Command;

use serde_json::{Value, json};

use super::scene::Scene;
use super::{Must, Row, Should};

pub const ROWS: &[Row] = &[
    Row("5 routes", Must, "mtu, advmss, priority are the kernel's, and in the result", metrics),
    Row("5 routes", Must, "table: the route is in that table, also beyond 255", tables),
    Row("5 routes", Must, "scope: link and host", scopes),
    Row("5 routes", Must, "without gw the gateway of the address is used", gateways),
    Row("5 routes", Must, "of IPv6, too", ipv6),
    Row("5 routes", Should, "a wrong value is refused with its path", wrong),
    Row("2 CHECK", Should, "sees that a route is gone from another table", checked),
];

fn add(scene: &Scene, routes: &Value) -> Value {
    scene.add(&scene.conf(json!({"ipam": {"routes": routes}})))
}

/// Routes of a table as `ip` shows them in the pod.
fn shown(scene: &Scene, arguments: &[&str]) -> String {
    let mut command = Command::new("ip");
    command.args(arguments);
    let output = scene.pod.handle.enter(|| command.output()).unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn metrics(scene: &Scene) {
    let routes = json!([{"dst": "192.0.2.0/24", "mtu": 1300, "advmss": 1200, "priority": 7}]);
    assert_eq!(add(scene, &routes)["routes"], routes);
    let text = shown(scene, &["route", "show", "192.0.2.0/24"]);
    for word in ["via 10.244.0.1", "metric 7", "mtu 1300", "advmss 1200"] {
        assert!(text.contains(word), "{text}");
    }
}

fn tables(scene: &Scene) {
    let routes = json!([{"dst": "192.0.2.0/24", "table": 100}, {"dst": "0.0.0.0/0", "table": 5000}]);
    assert_eq!(add(scene, &routes)["routes"], routes);
    assert!(shown(scene, &["route", "show", "table", "100"]).starts_with("192.0.2.0/24 via 10.244.0.1"));
    assert!(shown(scene, &["route", "show", "table", "5000"]).starts_with("default via 10.244.0.1"));
    assert!(!shown(scene, &["route"]).contains("default"));
}

fn scopes(scene: &Scene) {
    let routes = json!([{"dst": "192.0.2.0/24", "scope": 253}, {"dst": "192.0.2.9/32", "scope": 254}]);
    assert_eq!(add(scene, &routes)["routes"], routes);
    let text = shown(scene, &["route"]);
    assert!(text.contains("192.0.2.0/24 dev eth0 scope link"), "{text}");
    assert!(text.contains("192.0.2.9 dev eth0 scope host"), "{text}");
}

fn gateways(scene: &Scene) {
    add(scene, &json!([{"dst": "192.0.2.0/24"}, {"dst": "198.51.100.0/24", "gw": "10.244.0.9"}]));
    let text = shown(scene, &["route"]);
    assert!(text.contains("192.0.2.0/24 via 10.244.0.1 dev eth0"), "{text}");
    assert!(text.contains("198.51.100.0/24 via 10.244.0.9 dev eth0"), "{text}");
}

fn ipv6(scene: &Scene) {
    let routes = json!([{"dst": "2001:db8::/32", "mtu": 1300, "priority": 7, "table": 300}]);
    let ipam = json!({"ranges": [[{"subnet": "fd00:7::/64"}]], "routes": routes});
    assert_eq!(scene.add(&scene.conf(json!({"ipam": ipam})))["routes"], routes);
    let text = shown(scene, &["-6", "route", "show", "table", "300"]);
    for word in ["2001:db8::/32 via fd00:7::1", "metric 7", "mtu 1300"] {
        assert!(text.contains(word), "{text}");
    }
}

fn wrong(scene: &Scene) {
    for (route, path) in [
        (json!({"dst": "192.0.2.0/24", "mtu": "x"}), "ipam.routes[0].mtu"),
        (json!({"dst": "192.0.2.0/24", "scope": 256}), "ipam.routes[0].scope"),
        (json!({"dst": "192.0.2.0/24", "table": -1}), "ipam.routes[0].table"),
        (json!({"dst": "192.0.2.0/24", "gw": "fd00::1"}), "ipam.routes[0].gw"),
    ] {
        let conf = scene.conf(json!({"ipam": {"routes": [route]}}));
        scene.ask("ADD", &conf).run().fails(7, &[path]);
    }
}

fn checked(scene: &Scene) {
    let routes = json!([{"dst": "192.0.2.0/24", "table": 5000}]);
    let conf = scene.added(&scene.conf(json!({"ipam": {"routes": routes}})));
    scene.ask("CHECK", &conf).run().silent();
    shown(scene, &["route", "flush", "table", "5000"]);
    scene.ask("CHECK", &conf).run().fails(104, &["192.0.2.0/24"]);
}
