//! The manifests: put together as kustomize does, every field known to Kubernetes, every object of ours right.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use k8s_openapi::api::{
    admissionregistration::v1 as admission, apps::v1 as apps, core::v1 as core, rbac::v1 as rbac,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as extensions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::crds::{complaints, documents};
use crate::said;

/// What `kubectl apply -k` would send. Our kustomizations do nothing but name files and folders, and no other
/// thing is understood here.
pub fn kustomized(folder: &str) -> Vec<Value> {
    let folder = Path::new(folder);
    let text = fs::read_to_string(folder.join("kustomization.yaml")).unwrap();
    let kustomization: Value = serde_saphyr::from_str(&text).unwrap();
    for (key, value) in kustomization.as_object().unwrap() {
        match key.as_str() {
            "apiVersion" => assert_eq!(value, "kustomize.config.k8s.io/v1beta1"),
            "kind" => assert_eq!(value, "Kustomization"),
            "resources" => {}
            other => panic!("{}: {other} is not understood here", folder.display()),
        }
    }
    let resources = kustomization["resources"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let read = |name: &str| match folder.join(name) {
        path if path.is_dir() => kustomized(&path.to_string_lossy()),
        path => documents(&fs::read_to_string(path).unwrap()),
    };
    resources.flat_map(read).collect()
}

/// Folders that somebody may apply.
const FOLDERS: [&str; 7] = [
    "deploy/kubernetes",
    "deploy/kubernetes/overlays/mesh",
    "deploy/kubernetes/overlays/reflectors",
    "deploy/kubernetes/overlays/tor",
    "deploy/kubernetes/overlays/dual-stack",
    "deploy/kubernetes/cleanup",
    "deploy/monitoring",
];

/// Debian's kubectl is too old to be asked; it takes files alone for resources.
#[test]
fn kubectl_makes_the_same_of_them() {
    let version = Command::new("kubectl").args(["version", "--client", "--output=json"]).output();
    let version = version.ok().and_then(|output| serde_json::from_slice::<Value>(&output.stdout).ok());
    if version.is_none_or(|version| version["kustomizeVersion"].is_null()) {
        let _ = writeln!(
            std::io::stderr().lock(),
            "SKIPPED kubectl_makes_the_same_of_them: no kubectl from 1.24 on"
        );
        return;
    }
    let sorted = |mut objects: Vec<Value>| {
        objects.sort_by_key(named);
        objects
    };
    for folder in FOLDERS {
        let theirs = documents(&said(Command::new("kubectl").args(["kustomize", folder])));
        let (theirs, ours) = (sorted(theirs), sorted(kustomized(folder)));
        assert_eq!(theirs.iter().map(named).collect::<Vec<_>>(), ours.iter().map(named).collect::<Vec<_>>());
        for (theirs, ours) in theirs.iter().zip(&ours) {
            assert_eq!(lost(ours, theirs, named(ours)), [""; 0]);
            assert_eq!(lost(theirs, ours, named(ours)), [""; 0]);
        }
    }
}

/// Kind, namespace and name.
pub fn named(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    [&object["kind"], &metadata["namespace"], &metadata["name"]].map(text).join("/")
}

/// What of an object Kubernetes' own types do not know, as paths; nothing for kinds that are not its.
pub fn unknown_fields(object: &Value) -> Vec<String> {
    let kind = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let again = match kind {
        ("v1", "Namespace") => again::<core::Namespace>(object),
        ("v1", "ServiceAccount") => again::<core::ServiceAccount>(object),
        ("apps/v1", "DaemonSet") => again::<apps::DaemonSet>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => again::<rbac::ClusterRole>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => again::<rbac::ClusterRoleBinding>(object),
        ("rbac.authorization.k8s.io/v1", "Role") => again::<rbac::Role>(object),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => again::<rbac::RoleBinding>(object),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => {
            again::<extensions::CustomResourceDefinition>(object)
        }
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy") => {
            again::<admission::ValidatingAdmissionPolicy>(object)
        }
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding") => {
            again::<admission::ValidatingAdmissionPolicyBinding>(object)
        }
        ("routelet.dev/v1alpha1" | "monitoring.coreos.com/v1", _) => object.clone(),
        (group, kind) => panic!("{group} {kind}: a kind that this test does not know"),
    };
    lost(object, &again, named(object))
}

/// An object, read as its type and written again.
fn again<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
    let typed: T =
        serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{}: {error}", named(object)));
    serde_json::to_value(typed).unwrap()
}

fn lost(before: &Value, after: &Value, path: String) -> Vec<String> {
    match (before, after) {
        (Value::Object(fields), Value::Object(kept)) => fields
            .iter()
            .flat_map(|(name, value)| {
                lost(value, kept.get(name).unwrap_or(&Value::Null), format!("{path}.{name}"))
            })
            .collect(),
        (Value::Array(items), Value::Array(kept)) if items.len() == kept.len() => {
            let pairs = items.iter().zip(kept).enumerate();
            pairs.flat_map(|(n, (item, kept))| lost(item, kept, format!("{path}[{n}]"))).collect()
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => vec![],
        _ if before == after => vec![],
        _ => vec![format!("{path}: {before} became {after}")],
    }
}

#[test]
fn kubernetes_knows_every_field_and_ours_are_right() {
    for folder in FOLDERS {
        let objects = kustomized(folder);
        assert!(objects.len() > 1, "{folder} is empty");
        let unknown: Vec<String> = objects.iter().flat_map(unknown_fields).collect();
        assert!(unknown.is_empty(), "{folder}: {}", unknown.join("\n"));
        let ours: Vec<String> = objects.iter().map(|object| serde_json::to_string(object).unwrap()).collect();
        assert_eq!(complaints(&ours.join("\n---\n")), [""; 0], "{folder}");
    }
}

#[test]
fn an_unknown_field_is_found() {
    let mut objects = kustomized("deploy/kubernetes/base");
    let daemons = objects.iter_mut().find(|object| object["kind"] == "DaemonSet").unwrap();
    daemons["spec"]["template"]["spec"]["containers"][0]["securityContext"]["priviledged"] = false.into();
    assert_eq!(
        unknown_fields(daemons),
        [
            "DaemonSet/routelet/routelet.spec.template.spec.containers[0].securityContext.priviledged: false became null"
        ]
    );
}

/// A definition must be there before an object of its kind can be sent, and one `apply` sends both at once: the
/// default has none.
#[test]
fn the_default_is_applied_in_one_go() {
    let ours = kustomized("deploy/kubernetes");
    assert!(ours.iter().all(|object| !object["apiVersion"].as_str().unwrap().starts_with("routelet.dev")));
}

/// Nothing of what `privileged` gives, but what a daemon of routes needs.
#[test]
fn containers_are_confined() {
    for folder in ["deploy/kubernetes", "deploy/kubernetes/cleanup"] {
        for object in kustomized(folder).iter().filter(|object| object["kind"] == "DaemonSet") {
            let pod = &object["spec"]["template"]["spec"];
            for field in ["hostPID", "hostIPC", "shareProcessNamespace"] {
                assert!(pod[field].is_null(), "{folder}: {field}");
            }
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            let containers = ["initContainers", "containers"].map(|list| pod[list].as_array().unwrap());
            for container in containers.into_iter().flatten() {
                let context = &container["securityContext"];
                assert!(context["privileged"].is_null());
                assert_eq!(context["allowPrivilegeEscalation"], false);
                assert_eq!(context["readOnlyRootFilesystem"], true);
                assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
                let added = context["capabilities"]["add"].as_array().cloned().unwrap_or_default();
                let allowed = ["NET_ADMIN", "NET_BIND_SERVICE"];
                assert!(added.iter().all(|capability| allowed.contains(&capability.as_str().unwrap())));
            }
        }
    }
}
