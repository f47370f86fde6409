//! One binary under several names: what each does, and beside the reference plugins.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use super::scene::{REFERENCE, Scene};
use super::{Must, Reference, Row, Should};

pub const ROWS: &[Row] = &[
    Row("5 delegated", Must, "host-local: a result without interfaces, in every version", host_local),
    Row(
        "5 delegated",
        Reference,
        "host-local: routes and resolvConf as configured, no field of the bridge looked at",
        host_local_fields,
    ),
    Row("2 DEL", Must, "host-local: DEL repeats, needs no namespace, no ranges", host_local_del),
    Row("2 CHECK", Should, "host-local: CHECK sees that the reservation is gone", host_local_check),
    Row("2 STATUS", Must, "host-local: STATUS is 50 when every address is taken", host_local_status),
    Row("2 GC", Should, "host-local: GC frees what is not listed", host_local_gc),
    Row("5 0.2.0", Reference, "host-local: two addresses of a family need 0.3.0", host_local_old),
    Row("4 ADD", Reference, "the reference bridge takes addresses from our host-local", reference_bridge),
    Row(
        "4 ADD",
        Reference,
        "the reference bridge takes the node's pod CIDRs from ipam.type routelet",
        reference_bridge_routelet,
    ),
    Row(
        "4 ADD",
        Reference,
        "the reference macvlan, ptp and ipvlan configurations pass our host-local",
        other_mains,
    ),
    Row("lo", Reference, "loopback: lo is up, with both addresses in the result", loopback),
    Row("lo", Reference, "loopback: the result is the reference's", loopback_as_reference),
    Row("lo", Reference, "loopback: prevResult passes as it came", loopback_chained),
    Row(
        "lo",
        Reference,
        "loopback: CHECK sees lo down, DEL sets it down, repeats, needs no namespace",
        loopback_verbs,
    ),
    Row("lo", Reference, "loopback: never touches the node's own lo", loopback_of_node),
    Row("names", Reference, "under its own names it is what type says", by_type),
    Row("names", Reference, "every name answers VERSION", versions),
];

fn call(scene: &Scene, program: &str, verb: &str, conf: &Value) -> super::scene::Said {
    scene.ask(verb, conf).of(program).run()
}

fn host_local(scene: &Scene) {
    for version in ["0.1.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let conf = scene.conf(json!({"cniVersion": version}));
        let result = call(scene, "host-local", "ADD", &conf).result();
        assert!(result.get("interfaces").is_none_or(|list| list == &json!([])), "{result}");
        let old = result["ip4"]["ip"].as_str().or(result["ips"][0]["address"].as_str());
        assert_eq!(old, Some("10.244.0.2/24"), "{result}");
        assert!(result["ips"][0].get("interface").is_none());
        assert!(scene.pod_link("eth0").is_none() && scene.host_link("cni0").is_none());
        call(scene, "host-local", "DEL", &conf).silent();
        fs::remove_dir_all(scene.file("networks")).unwrap();
    }
}

fn host_local_fields(scene: &Scene) {
    fs::write(scene.file("resolv.conf"), "nameserver 10.0.0.53\nsearch a b\n").unwrap();
    let conf = scene.conf(json!({
        "type": "other", "master": "eth0", "mtu": "not ours", "vlan": 7, "bridge": 7,
        "dns": {"nameservers": ["1.1.1.1"]},
        "ipam": {"resolvConf": scene.file("resolv.conf"), "routes": [{"dst": "::/0"}, {"dst": "0.0.0.0/0"}],
            "ranges": [[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.20", "gateway": "10.1.0.254"}]]},
    }));
    let result = call(scene, "host-local", "ADD", &conf).result();
    let addresses = json!([{"address": "10.244.0.2/24", "gateway": "10.244.0.1"},
        {"address": "10.1.0.20/24", "gateway": "10.1.0.254"}]);
    assert_eq!(result["ips"], addresses);
    assert_eq!(result["routes"], json!([{"dst": "::/0"}, {"dst": "0.0.0.0/0"}]));
    assert_eq!(result["dns"], json!({"nameservers": ["10.0.0.53"], "search": ["a", "b"]}));
}

fn host_local_del(scene: &Scene) {
    let conf = scene.conf(json!({}));
    call(scene, "host-local", "ADD", &conf).result();
    let other = scene.conf(json!({"ipam": {"subnet": null}}));
    for _ in 0..2 {
        scene.ask("DEL", &other).of("host-local").without(&["CNI_NETNS"]).run().silent();
        assert!(scene.traces().is_empty());
    }
}

fn host_local_check(scene: &Scene) {
    let conf = scene.conf(json!({}));
    call(scene, "host-local", "ADD", &conf).result();
    call(scene, "host-local", "CHECK", &conf).silent();
    call(scene, "host-local", "DEL", &conf).silent();
    call(scene, "host-local", "CHECK", &conf).fails(104, &["c1"]);
}

fn host_local_status(scene: &Scene) {
    let conf = scene.conf(json!({"ipam": {"subnet": "10.244.0.0/30"}}));
    call(scene, "host-local", "STATUS", &conf).silent();
    call(scene, "host-local", "ADD", &conf).result();
    call(scene, "host-local", "STATUS", &conf).fails(50, &["10.244.0.0/30"]);
}

fn host_local_gc(scene: &Scene) {
    let list = |valid: Value| scene.conf(json!({"cni.dev/valid-attachments": valid}));
    for name in ["eth0", "eth1"] {
        scene.ask("ADD", &list(json!([]))).of("host-local").with("CNI_IFNAME", name).run().result();
    }
    call(scene, "host-local", "GC", &scene.conf(json!({}))).fails(7, &["cni.dev/valid-attachments"]);
    call(scene, "host-local", "GC", &list(json!([{"containerID": "c1", "ifname": "eth1"}]))).silent();
    assert_eq!(scene.node.reservations(), ["10.244.0.3"]);
}

fn host_local_old(scene: &Scene) {
    let ranges = json!({"ranges": [[{"subnet": "10.1.0.0/24"}]]});
    let conf = scene.conf(json!({"cniVersion": "0.2.0", "ipam": ranges}));
    call(scene, "host-local", "ADD", &conf).fails(7, &["ipam.ranges", "0.3.0"]);
}

/// The reference bridge, with ours where it looks for the address plugin first.
fn with_reference_bridge(scene: &Scene, ipam: Value, addresses: &[&str]) {
    let bridge = Path::new(REFERENCE).join("bridge");
    assert!(bridge.exists(), "{} is missing", bridge.display());
    let mut conf = scene.conf(json!({"cniVersion": "1.0.0", "ipam": ipam}));
    let ask = |verb, conf: &Value| scene.ask(verb, conf).of(&bridge).run();
    let result = ask("ADD", &conf).result();
    assert_eq!(result["ips"].as_array().unwrap().len(), addresses.len());
    assert_eq!(scene.addresses(), addresses);
    // Ours keeps an index that theirs does not.
    assert!(scene.file("networks/pod-network").read_dir().unwrap().count() > 2);
    conf["prevResult"] = result;
    ask("CHECK", &conf).silent();
    ask("DEL", &conf).silent();
    assert!(scene.traces().is_empty() && scene.pod_link("eth0").is_none());
}

fn reference_bridge(scene: &Scene) {
    with_reference_bridge(scene, json!({}), &["10.244.0.2/24"]);
}

fn reference_bridge_routelet(scene: &Scene) {
    scene.node.dual_stack();
    let both = ["10.244.1.2/24", "fd00:10:244:1::2/64"];
    with_reference_bridge(scene, json!({"type": "routelet", "subnet": null}), &both);
}

fn other_mains(scene: &Scene) {
    for kind in ["macvlan", "ptp", "ipvlan"] {
        let conf = scene.conf(json!({"type": kind, "bridge": null, "master": "x", "mode": "l2"}));
        call(scene, "host-local", "ADD", &conf).result();
        call(scene, "host-local", "DEL", &conf).silent();
    }
}

fn lo(version: &str) -> Value {
    json!({"cniVersion": version, "name": "lo", "type": "loopback"})
}

fn loopback(scene: &Scene) {
    let result = call(scene, "loopback", "ADD", &lo("1.1.0")).result();
    let link = scene.pod_link("lo").unwrap();
    assert!(link.up);
    let interface =
        json!({"name": "lo", "mac": "00:00:00:00:00:00", "mtu": 65536, "sandbox": scene.pod.path()});
    assert_eq!(result["interfaces"], json!([interface]));
    let ip = |address| json!({"address": address, "interface": 0});
    assert_eq!(result["ips"], json!([ip("127.0.0.1/8"), ip("::1/128")]));
}

fn loopback_as_reference(scene: &Scene) {
    for version in ["0.3.1", "0.4.0", "1.0.0"] {
        let ours = call(scene, "loopback", "ADD", &lo(version)).result();
        let theirs = scene.ask("ADD", &lo(version)).of(Path::new(REFERENCE).join("loopback")).run().result();
        assert_eq!(ours["interfaces"], theirs["interfaces"], "{version}");
        // Theirs leaves the version of an address out, which these versions require.
        let addresses = |result: &Value| {
            let ips = result["ips"].as_array().unwrap();
            ips.iter().map(|ip| (ip["address"].clone(), ip["interface"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(addresses(&ours), addresses(&theirs), "{version}");
    }
}

fn loopback_chained(scene: &Scene) {
    let previous = json!({"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "x": 1}],
        "ips": [{"address": "10.1.0.2/24", "interface": 0}], "routes": [], "dns": {"search": ["a"]}});
    let mut conf = lo("1.0.0");
    conf["prevResult"] = previous.clone();
    assert_eq!(call(scene, "loopback", "ADD", &conf).result(), previous);
}

fn loopback_verbs(scene: &Scene) {
    let mut conf = lo("1.1.0");
    conf["prevResult"] = call(scene, "loopback", "ADD", &conf).result();
    call(scene, "loopback", "CHECK", &conf).silent();
    call(scene, "loopback", "STATUS", &conf).silent();
    for _ in 0..2 {
        call(scene, "loopback", "DEL", &conf).silent();
        assert!(!scene.pod_link("lo").unwrap().up);
    }
    call(scene, "loopback", "CHECK", &conf).fails(104, &["lo", "down"]);
    for path in ["", "/nonexistent/ns"] {
        scene.ask("DEL", &conf).of("loopback").with("CNI_NETNS", path).run().silent();
    }
}

fn loopback_of_node(scene: &Scene) {
    scene.wait(async {
        let lo = scene.node.namespace.link("lo").await.unwrap().index;
        scene.node.namespace.netlink.set_up(lo, true).await.unwrap();
    });
    scene
        .ask("DEL", &lo("1.1.0"))
        .of("loopback")
        .with("CNI_NETNS", "/proc/thread-self/ns/net")
        .run()
        .silent();
    assert!(scene.host_link("lo").unwrap().up);
}

fn by_type(scene: &Scene) {
    symlink(scene.bin("bridge"), scene.bin("any-other-name")).unwrap();
    for name in ["routelet", "routelet-cni", "any-other-name"] {
        let result = call(scene, name, "ADD", &lo("1.1.0")).result();
        assert_eq!(result["interfaces"][0]["name"], "lo");
        let conf = scene.conf(json!({"type": name}));
        assert_eq!(call(scene, name, "ADD", &conf).result()["interfaces"][2]["name"], "eth0");
        call(scene, name, "DEL", &conf).silent();
    }
}

fn versions(scene: &Scene) {
    for name in ["routelet", "routelet-cni", "bridge", "host-local", "loopback", "portmap"] {
        let answer = call(scene, name, "VERSION", &json!({"cniVersion": "1.0.0"})).result();
        assert_eq!(answer["supportedVersions"].as_array().unwrap().len(), 7, "{name}");
    }
}
