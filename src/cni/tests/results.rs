//! The shape of a result in each version, and after other plugins.

use super::*;

fn success() -> Success {
    let interface = |name: &str, sandbox: Option<&str>| Interface {
        name: name.to_owned(),
        mac: Some([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        sandbox: sandbox.map(str::to_owned),
    };
    let ip = |address: &str, gateway: &str| Ip {
        address: address.parse().unwrap(),
        gateway: Some(gateway.parse().unwrap()),
        interface: Some(1),
    };
    Success {
        interfaces: vec![interface("cni0", None), interface("eth0", Some("/run/netns/p"))],
        ips: vec![ip("10.0.0.2/24", "10.0.0.1"), ip("fd00::2/64", "fd00::1")],
        routes: vec![Route::new("0.0.0.0/0".parse().unwrap(), None)],
        dns: Dns::default(),
    }
}

#[test]
fn every_version_has_its_shape() {
    let old = json!({
        "ip4": {"ip": "10.0.0.2/24", "gateway": "10.0.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
        "ip6": {"ip": "fd00::2/64", "gateway": "fd00::1", "routes": []},
        "dns": {},
    });
    let mac = "02:00:00:00:00:01";
    let middle = json!({
        "interfaces": [{"name": "cni0", "mac": mac}, {"name": "eth0", "mac": mac, "sandbox": "/run/netns/p"}],
        "ips": [
            {"version": "4", "address": "10.0.0.2/24", "gateway": "10.0.0.1", "interface": 1},
            {"version": "6", "address": "fd00::2/64", "gateway": "fd00::1", "interface": 1},
        ],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dns": {},
    });
    let mut new = middle.clone();
    new.as_object_mut().unwrap().remove("dns");
    for ip in new["ips"].as_array_mut().unwrap() {
        ip.as_object_mut().unwrap().remove("version");
    }
    let mut newest = new.clone();
    for interface in newest["interfaces"].as_array_mut().unwrap() {
        interface["mtu"] = json!(1500);
    }
    let shapes = [&old, &old, &middle, &middle, &middle, &new, &newest];
    for (version, shape) in Version::ALL.into_iter().zip(shapes) {
        let mut expected = shape.clone();
        expected["cniVersion"] = json!(version.as_str());
        assert_eq!(success().document(version, None), expected);
    }
}

#[test]
fn the_result_of_earlier_plugins_is_kept() {
    let previous = json!({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "other0", "pciID": "x"}],
        "ips": [{"address": "192.0.2.1/24", "interface": 0}],
        "dns": {"nameservers": ["1.1.1.1"]},
    });
    let document = success().document(Version::V1_0_0, previous.as_object());
    assert_eq!(document["interfaces"][0], previous["interfaces"][0]);
    assert_eq!(document["interfaces"].as_array().unwrap().len(), 3);
    assert_eq!(document["ips"][0], previous["ips"][0]);
    assert_eq!(document["ips"][1]["interface"], 2);
    assert_eq!(document["dns"], previous["dns"]);
}
