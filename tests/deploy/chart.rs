//! The Helm chart, rendered by Helm's own library: with default values it is what kustomize makes, and with others
//! it is still right.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::crds::{complaints, documents};
use crate::manifests::{kustomized, named, unknown_fields};

/// The objects of the chart with these values, or what Helm says against them.
fn rendered(values: &Value) -> Result<Vec<Value>, String> {
    let mut helm = Command::new("target/helm/bin/python")
        .arg("tests/deploy/render.py")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("target/helm: {error}; tests/run makes it"));
    helm.stdin.take().unwrap().write_all(values.to_string().as_bytes()).unwrap();
    let output = helm.wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(documents(&String::from_utf8(output.stdout).unwrap())),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// What tells one way to write the same from another: Helm's own labels, and a default that is spelt out.
fn plain(object: &Value) -> Value {
    match object {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, value)| {
                let of_helm = name.starts_with("helm.sh/")
                    || name.starts_with("app.kubernetes.io/") && name.as_str() != "app.kubernetes.io/name";
                let spelt_out = name.as_str() == "imagePullPolicy" && *value == "IfNotPresent";
                !(of_helm || spelt_out)
            });
            kept.map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn sorted(objects: Vec<Value>) -> Vec<Value> {
    let mut objects: Vec<Value> = objects.iter().map(plain).collect();
    objects.sort_by_key(named);
    objects
}

#[test]
fn by_default_it_is_what_kustomize_makes() {
    let mut ours = kustomized("deploy/kubernetes");
    // Helm makes the one, and takes the others from `crds/`.
    ours.retain(|object| object["kind"] != "Namespace" && object["kind"] != "CustomResourceDefinition");
    let (chart, ours) = (sorted(rendered(&json!({})).unwrap()), sorted(ours));
    let names = |objects: &[Value]| objects.iter().map(named).collect::<Vec<_>>();
    assert_eq!(names(&chart), names(&ours));
    for (chart, ours) in chart.iter().zip(&ours) {
        assert_eq!(chart, ours, "{}", named(ours));
    }
}

#[test]
fn with_everything_turned_on_it_is_still_right() {
    let values = json!({
        "image": {"repository": "registry.example/routelet", "tag": "1.2.3"},
        "imagePullSecrets": [{"name": "registry"}],
        "metrics": {"address": "::", "probeAddress": "::1", "port": 9180},
        "log": {"level": "debug", "format": "human"},
        "shutdownDrainTimeout": "28s",
        "capabilities": {"netRaw": true, "sysNice": true},
        "affinity": {"nodeAffinity": {}},
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "monitoring": {"enabled": true},
        "configuration": {"asn": 64513, "mesh": "none"},
        "peers": {"tor": {"address": "192.168.1.1", "asn": 65000}, "other": {"address": "fd00::1", "asn": "external"}},
    });
    let objects = rendered(&values).unwrap();
    let unknown: Vec<String> = objects.iter().flat_map(unknown_fields).collect();
    assert_eq!(unknown, [""; 0]);
    let ours: Vec<String> = objects.iter().map(Value::to_string).collect();
    assert_eq!(complaints(&ours.join("\n---\n")), [""; 0]);
    let kinds = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).count();
    assert_eq!(["BgpPeer", "BgpConfiguration", "PodMonitor", "PrometheusRule"].map(kinds), [2, 1, 1, 1]);
    let daemons = objects.iter().find(|object| object["kind"] == "DaemonSet").unwrap();
    let container = &daemons["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example/routelet:1.2.3");
    let added = json!(["NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SYS_NICE"]);
    assert_eq!(container["securityContext"]["capabilities"]["add"], added);
    let told = |name: &str| {
        let variables = container["env"].as_array().unwrap();
        variables.iter().find(|variable| variable["name"] == name).unwrap()["value"].clone()
    };
    assert_eq!(told("ROUTELET_METRICS_LISTEN"), "[::]:9180");
    assert_eq!(told("ROUTELET_SHUTDOWN_DRAIN_TIMEOUT"), "28s");
}

/// Where nodes have another plugin, nothing is installed.
#[test]
fn without_the_plugin_nothing_of_cni_is_touched() {
    let objects = rendered(&json!({"cni": {"install": false}, "admissionPolicy": false})).unwrap();
    assert!(!objects.iter().any(|object| object["kind"] == "ValidatingAdmissionPolicy"));
    let daemons = objects.iter().find(|object| object["kind"] == "DaemonSet").unwrap();
    assert_eq!(unknown_fields(daemons), [""; 0]);
    let pod = &daemons["spec"]["template"]["spec"];
    assert!(pod["initContainers"].is_null());
    assert!(!pod.to_string().contains("/etc/cni"), "{pod}");
}

#[test]
fn values_that_it_does_not_know_are_refused() {
    for (values, said) in [
        (json!({"imagee": {}}), "imagee"),
        (json!({"metrics": {"port": 0}}), "port"),
        (json!({"cni": {"configName": "a/b.conflist"}}), "configName"),
        (json!({"log": {"format": "xml"}}), "format"),
    ] {
        let error = rendered(&values).expect_err(&values.to_string());
        assert!(error.contains(said), "{values}: {error}");
    }
}

#[test]
fn its_copies_are_in_step() {
    for (copy, original) in [
        ("crds/crds.yaml", "deploy/kubernetes/base/crds.yaml"),
        ("files/podmonitor.yaml", "deploy/monitoring/podmonitor.yaml"),
        ("files/prometheusrule.yaml", "deploy/monitoring/prometheusrule.yaml"),
    ] {
        let copy = format!("deploy/helm/routelet/{copy}");
        let same = fs::read(&copy).unwrap() == fs::read(original).unwrap();
        assert!(same, "{copy} is out of step: cp {original} {copy}");
    }
}
