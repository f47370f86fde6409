//! CONVENTIONS.md: what runtimes hand over beside the configuration.

use serde_json::json;

use super::scene::Scene;
use super::{Must, Reference, Row, Should};

pub const ROWS: &[Row] = &[
    Row("C ips", Should, "runtimeConfig.ips are given, with or without a prefix length", ips),
    Row(
        "C ips",
        Should,
        "one that is outside the ranges, or taken, is an error with the address",
        refused_ips,
    ),
    Row("C mac", Should, "runtimeConfig.mac is the interface's, and in the result", mac),
    Row("C mac", Should, "one that is no station's is refused with its value", bad_macs),
    Row("C ipRanges", Should, "runtimeConfig.ipRanges come before those of the configuration", ip_ranges),
    Row("C dns", Should, "runtimeConfig.dns takes the place of the configuration's", dns),
    Row("C capabilities", Should, "those of other plugins pass: bandwidth, aliases, deviceID, …", others),
    Row("C args", Should, "args.cni.ips and args.cni.mac are heeded, what else is in args passes", args),
    Row("C CNI_ARGS", Should, "IP, MAC and GATEWAY are heeded", cni_args),
    Row("C CNI_ARGS", Must, "are ignored where args or a capability says the same", precedence),
    Row("C CNI_ARGS", Reference, "an unknown key is code 4 that says how to let it pass", unknown_argument),
    Row("C CNI_ARGS", Reference, "IgnoreUnknown is 1, true, True, TRUE, t or T", ignore_unknown),
    Row("C CNI_ARGS", Reference, "IgnoreUnknown that is neither true nor false is code 4", bad_switch),
    Row("C CNI_ARGS", Should, "those of containerd and CRI-O pass", of_runtimes),
    Row("C tracing", Should, "TRACEPARENT, TRACESTATE and BAGGAGE pass", tracing),
];

fn address(scene: &Scene, args: &str, changes: serde_json::Value) -> String {
    let conf = scene.conf(changes);
    let result = scene.ask("ADD", &conf).with("CNI_ARGS", args).run().result();
    scene.del(&conf);
    result["ips"][0]["address"].as_str().unwrap().to_owned()
}

fn ips(scene: &Scene) {
    for text in ["10.244.0.9/24", "10.244.0.9"] {
        assert_eq!(address(scene, "", json!({"runtimeConfig": {"ips": [text]}})), "10.244.0.9/24");
    }
}

fn refused_ips(scene: &Scene) {
    let ask = |text: &str| scene.ask("ADD", &scene.conf(json!({"runtimeConfig": {"ips": [text]}}))).run();
    for text in ["10.9.0.1", "10.244.0.0", "10.244.0.1", "10.244.0.255", "fd00::1"] {
        ask(text).fails(100, &[text]);
    }
    ask("10.244.0.300").fails(7, &["runtimeConfig.ips", "10.244.0.300"]);
    scene.add(&scene.conf(json!({})));
    let conf = scene.conf(json!({"runtimeConfig": {"ips": ["10.244.0.2"]}}));
    let ask = scene.ask("ADD", &conf).with("CNI_CONTAINERID", "c2").with("CNI_IFNAME", "net1");
    ask.run().fails(100, &["10.244.0.2", "taken"]);
}

fn mac(scene: &Scene) {
    for text in ["c2:11:22:33:44:55", "C2-11-22-33-44-55"] {
        let conf = scene.conf(json!({"runtimeConfig": {"mac": text}}));
        let result = scene.add(&conf);
        assert_eq!(result["interfaces"][2]["mac"], "c2:11:22:33:44:55");
        assert_eq!(scene.pod_link("eth0").unwrap().mac, Some([0xc2, 0x11, 0x22, 0x33, 0x44, 0x55]));
        scene.del(&conf);
    }
}

fn bad_macs(scene: &Scene) {
    for text in ["01:00:00:00:00:01", "c2:11:22:33:44", "c2:11:22:33:44:zz", "x", "00:00:00:00:00:00"] {
        let conf = scene.conf(json!({"runtimeConfig": {"mac": text}}));
        scene.ask("ADD", &conf).run().fails(7, &["runtimeConfig.mac", text]);
    }
}

fn ip_ranges(scene: &Scene) {
    let ranges = json!([[{"subnet": "10.5.0.0/24", "rangeStart": "10.5.0.50", "gateway": "10.5.0.254"}]]);
    let result = scene.add(&scene.conf(json!({"runtimeConfig": {"ipRanges": ranges}})));
    assert_eq!(result["ips"][0]["address"], "10.5.0.50/24");
    assert_eq!(result["ips"][0]["gateway"], "10.5.0.254");
    assert_eq!(result["ips"][1]["address"], "10.244.0.2/24");
}

fn dns(scene: &Scene) {
    let runtime = json!({"servers": ["8.8.8.8"], "searches": ["corp"], "options": ["ndots:2"]});
    let conf = scene.conf(json!({"dns": {"nameservers": ["1.1.1.1"]}, "runtimeConfig": {"dns": runtime}}));
    let expected = json!({"nameservers": ["8.8.8.8"], "search": ["corp"], "options": ["ndots:2"]});
    assert_eq!(scene.add(&conf)["dns"], expected);
}

fn others(scene: &Scene) {
    let runtime = json!({
        "bandwidth": {"ingressRate": 2048, "ingressBurst": 1600}, "aliases": ["db"], "deviceID": "0000:04:00.5",
        "infinibandGUID": "c2:11:22:33:44:55:66:77", "cgroupPath": "/kubelet.slice",
        "io.kubernetes.cri.pod-annotations": {"a": "b"},
    });
    assert_eq!(address(scene, "", json!({"runtimeConfig": runtime})), "10.244.0.2/24");
}

fn args(scene: &Scene) {
    let changes = json!({"args": {"other": 7, "cni": {
        "labels": [{"key": "app", "value": "x"}], "ips": ["10.244.0.8/24"], "mac": "c2:11:22:33:44:66"}}});
    let result = scene.add(&scene.conf(changes));
    assert_eq!(result["ips"][0]["address"], "10.244.0.8/24");
    assert_eq!(result["interfaces"][2]["mac"], "c2:11:22:33:44:66");
}

fn cni_args(scene: &Scene) {
    let conf = scene.conf(json!({"isGateway": false}));
    let args = "IP=10.244.0.7/24;MAC=c2:11:22:33:44:77;GATEWAY=10.244.0.200";
    let result = scene.ask("ADD", &conf).with("CNI_ARGS", args).run().result();
    assert_eq!(result["ips"][0]["address"], "10.244.0.7/24");
    assert_eq!(result["ips"][0]["gateway"], "10.244.0.200");
    assert_eq!(result["interfaces"][2]["mac"], "c2:11:22:33:44:77");
    scene.del(&conf);
    for (args, word) in
        [("IP=x", "IP in CNI_ARGS"), ("GATEWAY=10.9.0.1", "10.9.0.1"), ("MAC=x", "MAC in CNI_ARGS")]
    {
        scene.ask("ADD", &conf).with("CNI_ARGS", args).run().fails(7, &[word]);
        assert!(scene.traces().is_empty());
    }
}

fn precedence(scene: &Scene) {
    let old = "IP=10.244.0.7";
    let in_args = json!({"args": {"cni": {"ips": ["10.244.0.8"]}}});
    assert_eq!(address(scene, old, in_args.clone()), "10.244.0.8/24");
    let mut both = in_args;
    both["runtimeConfig"] = json!({"ips": ["10.244.0.9"]});
    assert_eq!(address(scene, old, both), "10.244.0.9/24");
}

fn unknown_argument(scene: &Scene) {
    for args in ["K=V", "IgnoreUnknown=0;K=V", "IgnoreUnknown=false;K=V"] {
        let ask = scene.ask("ADD", &scene.conf(json!({}))).with("CNI_ARGS", args);
        ask.run().fails(4, &["CNI_ARGS", "\"K\"", "IgnoreUnknown=1"]);
    }
}

fn ignore_unknown(scene: &Scene) {
    for word in ["1", "true", "True", "TRUE", "t", "T"] {
        assert!(address(scene, &format!("IgnoreUnknown={word};K=V"), json!({})).starts_with("10.244.0."));
    }
}

fn bad_switch(scene: &Scene) {
    for word in ["yes", "2", ""] {
        let args = format!("IgnoreUnknown={word}");
        let ask = scene.ask("ADD", &scene.conf(json!({}))).with("CNI_ARGS", args);
        ask.run().fails(4, &["CNI_ARGS", "IgnoreUnknown", "true nor false"]);
    }
}

fn of_runtimes(scene: &Scene) {
    let args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=c1;\
                K8S_POD_UID=5c2f9d0e";
    assert_eq!(address(scene, args, json!({})), "10.244.0.2/24");
}

fn tracing(scene: &Scene) {
    let conf = scene.conf(json!({}));
    let ask = scene.ask("ADD", &conf).with("TRACESTATE", "k=v").with("BAGGAGE", "k=v");
    let said = ask.with("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").run();
    said.result();
    assert_eq!(said.stderr, "");
}
