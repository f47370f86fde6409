//! Section 2: variables, stdin, exit codes; VERSION.

use serde_json::{Value, json};

use super::{Must, Reference, Row, Should, scene::Scene};

pub const ROWS: &[Row] = &[
    Row("2 overview", Must, "exit code 0 and one document on stdout, or another and an error", exit_codes),
    Row("2 overview", Must, "an error names the version of the configuration", version_of_errors),
    Row("2 CNI_COMMAND", Must, "another verb is code 4 with the variable's name", commands),
    Row("2 CNI_COMMAND", Reference, "absent, a person is told what this is, on stderr", by_hand),
    Row(
        "2 CNI_CONTAINERID",
        Must,
        "absent or malformed is code 4 with its name, for ADD, DEL, CHECK",
        container_ids,
    ),
    Row("2 CNI_NETNS", Must, "absent is code 4 with its name, for ADD and CHECK", no_namespace),
    Row("2 CNI_NETNS", Must, "one that is none, or the node's own, is an error", bad_namespaces),
    Row("2 CNI_IFNAME", Must, "a name that cannot be used is an error", interface_names),
    Row("2 errors", Must, "code 4 names every variable that is wrong, not the first alone", all_at_once),
    Row("2 CNI_ARGS", Must, "optional; pairs of another form are code 4", arguments),
    Row("2 CNI_PATH", Must, "optional, and not missed without another plugin", no_path),
    Row("2 STATUS", Must, "needs no variable but the verb", status_alone),
    Row("2 GC", Must, "needs no attachment", gc_alone),
    Row("5 error 5", Must, "stdin that cannot be read is code 5", unreadable),
    Row("5 error 6", Must, "stdin that is no JSON object is code 6", garbage),
    Row("5 error 2", Must, "a field that is not supported: the message has key and value", unsupported),
    Row("5 error 11", Must, "what will come, as the node's pod CIDRs, is code 11", later),
    Row("5 errors", Must, "codes of our own are 100 or more", own_codes),
    Row("5 errors", Should, "an error has cniVersion, code, msg, details", error_fields),
    Row("2 VERSION", Must, "cniVersion is that of the input, supportedVersions are all", versions),
    Row("2 VERSION", Must, "needs no variable but the verb", version_alone),
    Row("2 VERSION", Reference, "is answered whatever is on stdin", version_of_garbage),
];

fn exit_codes(scene: &Scene) {
    let conf = scene.conf(json!({}));
    let added = scene.ask("ADD", &conf).run();
    added.result();
    assert_eq!((added.stderr.as_str(), added.stdout.lines().count()), ("", 1));
    scene.ask("ADD", &conf).run().error();
    scene.ask("DEL", &conf).run().silent();
}

fn version_of_errors(scene: &Scene) {
    for version in ["0.1.0", "0.4.0", "1.0.0", "1.1.0"] {
        let said = scene.ask("ADD", &scene.conf(json!({"cniVersion": version, "name": "/"}))).run();
        said.error();
        assert_eq!(serde_json::from_str::<Value>(&said.stdout).unwrap()["cniVersion"], version);
    }
}

fn commands(scene: &Scene) {
    for verb in ["add", "ADD ", "UPDATE", "ADD\n"] {
        scene.ask(verb, &scene.conf(json!({}))).run().fails(4, &["CNI_COMMAND", verb.trim(), "STATUS"]);
    }
}

fn by_hand(scene: &Scene) {
    for ask in [scene.ask("", &json!({})), scene.ask("ADD", &json!({})).without(&["CNI_COMMAND"])] {
        let said = ask.run();
        assert!(!said.success && said.stdout.is_empty() && said.stderr.contains("CNI_COMMAND"), "{said:?}");
    }
}

fn container_ids(scene: &Scene) {
    for verb in ["ADD", "DEL", "CHECK"] {
        let ask = || scene.ask(verb, &scene.conf(json!({})));
        ask().without(&["CNI_CONTAINERID"]).run().fails(4, &["CNI_CONTAINERID", "absent"]);
        for id in ["", "-a", ".a", "../a", "a/b", "a b", "a:b", "a\n", "é"] {
            ask().with("CNI_CONTAINERID", id).run().fails(4, &["CNI_CONTAINERID"]);
        }
    }
    for id in ["a", "0", "a_b.c-D9", &"f".repeat(64)] {
        let call = |verb| scene.ask(verb, &scene.conf(json!({}))).with("CNI_CONTAINERID", id).run();
        call("ADD").result();
        call("DEL").silent();
    }
}

fn no_namespace(scene: &Scene) {
    for verb in ["ADD", "CHECK"] {
        let ask = || scene.ask(verb, &scene.conf(json!({})));
        ask().without(&["CNI_NETNS"]).run().fails(4, &["CNI_NETNS", "absent"]);
        ask().with("CNI_NETNS", "").run().fails(4, &["CNI_NETNS", "absent"]);
    }
}

fn bad_namespaces(scene: &Scene) {
    for path in ["/nonexistent/ns", "/etc/passwd", "/proc/self/ns/mnt", "/proc/thread-self/ns/net"] {
        scene.ask("ADD", &scene.conf(json!({}))).with("CNI_NETNS", path).run().fails(4, &["CNI_NETNS", path]);
    }
    assert!(scene.traces().is_empty());
}

fn interface_names(scene: &Scene) {
    for verb in ["ADD", "DEL", "CHECK"] {
        let ask = || scene.ask(verb, &scene.conf(json!({})));
        ask().without(&["CNI_IFNAME"]).run().fails(4, &["CNI_IFNAME", "absent"]);
        for name in ["", ".", "..", "a/b", "a:b", "a b", "a\t", "sixteen-letters-"] {
            ask().with("CNI_IFNAME", name).run().fails(4, &["CNI_IFNAME"]);
        }
    }
    for name in ["e", "fifteen-letters", "eth0.5"] {
        let call = |verb| scene.ask(verb, &scene.conf(json!({}))).with("CNI_IFNAME", name).run();
        call("ADD").result();
        assert!(scene.pod_link(name).is_some());
        call("DEL").silent();
    }
}

fn all_at_once(scene: &Scene) {
    let ask = scene.ask("ADD", &scene.conf(json!({}))).without(&["CNI_CONTAINERID", "CNI_NETNS"]);
    ask.with("CNI_IFNAME", "a/b").run().fails(4, &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "a/b"]);
}

fn arguments(scene: &Scene) {
    let ask = |verb, args: &str| scene.ask(verb, &scene.conf(json!({}))).with("CNI_ARGS", args).run();
    ask("ADD", "IgnoreUnknown=1;nonsense").fails(4, &["CNI_ARGS", "nonsense", "KEY=VALUE"]);
    ask("ADD", "").result();
    // What is no use to a DEL must not hold it up.
    ask("DEL", "nonsense").silent();
    assert!(scene.traces().is_empty());
}

fn no_path(scene: &Scene) {
    let conf = scene.conf(json!({"cni.dev/valid-attachments": []}));
    scene.ask("ADD", &conf).without(&["CNI_PATH"]).run().result();
    scene.ask("DEL", &conf).without(&["CNI_PATH"]).run().silent();
    scene.ask("GC", &conf).without(&["CNI_PATH"]).run().silent();
}

fn status_alone(scene: &Scene) {
    let names = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"];
    scene.ask("STATUS", &scene.conf(json!({}))).without(&names).run().silent();
}

fn gc_alone(scene: &Scene) {
    let conf = scene.conf(json!({"cni.dev/valid-attachments": []}));
    scene.ask("GC", &conf).without(&["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]).run().silent();
}

fn unreadable(scene: &Scene) {
    scene.ask("ADD", &json!({})).stdin("/").run().fails(5, &["stdin"]);
}

fn garbage(scene: &Scene) {
    let inputs: [&[u8]; 8] =
        [b"", b"{", b"[1]", b"7", b"\"text\"", b"\xff\xfe", b"{\"name\": \"a\"} trailing", b"\0"];
    for input in inputs {
        for verb in ["ADD", "DEL", "CHECK", "STATUS", "GC"] {
            scene.ask(verb, &json!({})).input(input).run().fails(6, &["stdin", "JSON"]);
        }
    }
}

fn unsupported(scene: &Scene) {
    let conf = json!({
        "cniVersion": "1.1.0", "name": "pod-network", "type": "portmap", "conditionsV4": ["-d", "192.0.2.1"],
        "prevResult": {"ips": [{"address": "10.244.0.2/24"}]},
    });
    scene.ask("ADD", &conf).of("portmap").run().fails(2, &["conditionsV4=", "192.0.2.1"]);
}

fn later(scene: &Scene) {
    let conf = scene.conf(json!({"ipam": {"type": "routelet", "subnet": null}}));
    scene.ask("ADD", &conf).run().fails(11, &["pod CIDR", "node.json", "routelet run"]);
}

fn own_codes(scene: &Scene) {
    let conf = scene.conf(json!({"ipam": {"subnet": "10.244.0.0/30"}}));
    scene.add(&conf);
    for (name, value) in [("CNI_CONTAINERID", "c2"), ("CNI_CONTAINERID", "c1")] {
        let ask = scene.ask("ADD", &conf).with(name, value).with("CNI_IFNAME", "eth1");
        let (code, text) = ask.run().error();
        assert!(code >= 100, "{code}: {text}");
    }
}

fn error_fields(scene: &Scene) {
    let said = scene.ask("ADD", &scene.conf(json!({"mtu": "x"}))).run();
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    let keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["cniVersion", "code", "details", "msg"]);
    assert!(document["code"].is_u64() && document["msg"].is_string() && document["details"].is_string());
}

fn versions(scene: &Scene) {
    let supported = json!(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    for version in ["0.2.0", "0.4.0", "1.0.0", "1.1.0", "1.2.0"] {
        let answer = scene.ask("VERSION", &json!({"cniVersion": version})).run().result();
        assert_eq!(answer, json!({"cniVersion": version, "supportedVersions": supported}));
    }
}

fn version_alone(scene: &Scene) {
    let names = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"];
    scene.ask("VERSION", &json!({"cniVersion": "1.0.0"})).without(&names).run().result();
}

fn version_of_garbage(scene: &Scene) {
    let inputs: [&[u8]; 4] = [b"", b"{", b"[]", b"{\"cniVersion\": 7}"];
    for input in inputs {
        let answer = scene.ask("VERSION", &json!({})).input(input).run().result();
        assert_eq!(answer["cniVersion"], "1.1.0");
        assert_eq!(answer["supportedVersions"].as_array().unwrap().len(), 7);
    }
}
