//! Section 1: the configuration.

use serde_json::json;

use super::{May, Must, Row, Should, scene::Scene};

const ALL: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

pub const ROWS: &[Row] = &[
    Row("1 name", Must, "a name that starts otherwise than with a letter or digit is refused", bad_names),
    Row("1 name", Must, "a name with what a path forbids is refused", names_with_paths),
    Row("1 name", Must, "a configuration without a name is refused", no_name),
    Row("1 name", Must, "letters, digits, '_', '.', '-' are taken", good_names),
    Row("1 ipam.type", Must, "a name with a path is refused", ipam_with_path),
    Row("1 ipMasq", Should, "it is taken, and must be true or false", masquerade),
    Row("1 dns", Should, "nameservers, domain, search, options are in the result", dns),
    Row("1 other keys", May, "what is not known passes, in every place", unknown_fields),
    Row("1 cniVersion", Must, "absent, it is 0.1.0", no_version),
    Row("1 cniVersion", Must, "one configuration serves every version", every_version),
    Row("1 cniVersion", Must, "another version is code 1, and those supported are named", other_versions),
    Row("1 cniVersion", Must, "one that is no text is refused with its path", version_of_wrong_type),
    Row("1 prevResult", Must, "one that is no object is refused with its path", previous_of_wrong_type),
    Row("1 fields", Should, "a wrong value is refused with path, value and what was expected", wrong_values),
];

fn refused_name(scene: &Scene, name: &str) {
    for verb in ["ADD", "DEL", "CHECK", "STATUS", "GC"] {
        scene.ask(verb, &scene.conf(json!({"name": name}))).run().fails(7, &["name"]);
    }
    assert!(scene.traces().is_empty());
}

fn bad_names(scene: &Scene) {
    ["-a", ".a", "_a", "é"].iter().for_each(|name| refused_name(scene, name));
}

fn names_with_paths(scene: &Scene) {
    ["a/b", "../a", "a\\b", "a b", "a\nb", "a:b"].iter().for_each(|name| refused_name(scene, name));
}

fn no_name(scene: &Scene) {
    refused_name(scene, "");
    scene.ask("ADD", &scene.conf(json!({"name": null}))).run().fails(7, &["name", "absent"]);
}

fn good_names(scene: &Scene) {
    for name in ["a", "0", "a_b.c-D9", &"n".repeat(60)] {
        let conf = scene.conf(json!({"name": name}));
        scene.add(&conf);
        scene.del(&conf);
    }
}

fn ipam_with_path(scene: &Scene) {
    for kind in ["../host-local", "/usr/lib/cni/host-local", ".."] {
        let conf = scene.conf(json!({"ipam": {"type": kind}}));
        scene.ask("ADD", &conf).run().fails(7, &["ipam.type", kind]);
    }
}

fn masquerade(scene: &Scene) {
    let conf = scene.conf(json!({"ipMasq": true}));
    scene.add(&conf);
    scene.del(&conf);
    scene.ask("ADD", &scene.conf(json!({"ipMasq": "yes"}))).run().fails(7, &["ipMasq", "yes"]);
}

fn dns(scene: &Scene) {
    let dns = json!({"nameservers": ["10.0.0.53"], "domain": "d", "search": ["s"], "options": ["ndots:5"]});
    assert_eq!(scene.add(&scene.conf(json!({"dns": dns})))["dns"], dns);
    scene.ask("ADD", &scene.conf(json!({"dns": {"search": "s"}}))).run().fails(7, &["dns.search"]);
}

fn unknown_fields(scene: &Scene) {
    let conf = scene.conf(json!({
        "keyA": ["some more", {"plugin": "specific"}], "cni.dev/something": {"new": 1}, "cniVersions": ["0.4.0"],
        "disableCheck": true, "disableGC": true, "loadOnlyInlinedPlugins": true, "plugins": [7],
        "capabilities": {"ips": true}, "args": {"labels": [1], "cni": {"labels": [{"key": "app"}]}},
        "runtimeConfig": {"unheard-of": 1}, "ipam": {"unheard-of": []}, "dns": {"unheard-of": 2},
    }));
    scene.add(&conf);
    scene.ask("STATUS", &conf).run().silent();
    scene.del(&conf);
}

fn no_version(scene: &Scene) {
    let result = scene.add(&scene.conf(json!({"cniVersion": null})));
    assert_eq!(result["cniVersion"], "0.1.0");
    assert_eq!(result["ip4"]["ip"], "10.244.0.2/24");
}

fn every_version(scene: &Scene) {
    for version in ALL {
        let conf = scene.conf(json!({"cniVersion": version}));
        assert_eq!(scene.add(&conf)["cniVersion"], version);
        scene.del(&conf);
    }
}

fn other_versions(scene: &Scene) {
    for version in ["0.5.0", "1.2.0", "2.0.0", "x"] {
        let conf = scene.conf(json!({"cniVersion": version}));
        let mut words = vec![version];
        words.extend(ALL);
        scene.ask("ADD", &conf).run().fails(1, &words);
    }
}

fn version_of_wrong_type(scene: &Scene) {
    scene.ask("ADD", &scene.conf(json!({"cniVersion": 1.1}))).run().fails(7, &["cniVersion", "1.1"]);
}

fn previous_of_wrong_type(scene: &Scene) {
    scene.ask("ADD", &scene.conf(json!({"prevResult": [1]}))).run().fails(7, &["prevResult", "[1]"]);
    assert!(scene.traces().is_empty() && scene.pod_link("eth0").is_none());
}

fn wrong_values(scene: &Scene) {
    for (changes, words) in [
        (json!({"mtu": "big"}), ["mtu", "\"big\"", "u32"]),
        (json!({"isGateway": 1}), ["isGateway", "1", "boolean"]),
        (json!({"bridge": ["cni0"]}), ["bridge", "sequence", "string"]),
        (json!({"ipam": {"subnet": "10.244.0.1/24"}}), ["ipam.subnet", "10.244.0.1/24", "10.244.0.0/24"]),
        (json!({"ipam": {"rangeStart": "10.9.0.1"}}), ["ipam.rangeStart", "10.9.0.1", "10.244.0.0/24"]),
        (json!({"ipam": {"routes": [{"dst": "x"}]}}), ["ipam.routes[0].dst", "\"x\"", ""]),
        (json!({"ipam": {"ranges": [[{"subnet": "fd00::/64"}], 7]}}), ["ipam.ranges[1]", "7", "list"]),
        (json!({"runtimeConfig": {"ips": ["10.244.0"]}}), ["runtimeConfig.ips", "10.244.0", "syntax"]),
    ] {
        scene.ask("ADD", &scene.conf(changes)).run().fails(7, &words);
    }
    assert!(scene.traces().is_empty());
}
