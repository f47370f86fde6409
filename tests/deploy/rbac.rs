//! RBAC grants what the code asks for ([`routelet::cluster::permissions`]), and nothing else.

use std::collections::BTreeSet;

use routelet::cluster::permissions::{self, Scope};
use serde_json::Value;

use crate::manifests::kustomized;

/// Scope, group, resource and verb.
type Right = (Scope, String, String, String);

fn asked() -> BTreeSet<Right> {
    let rights = permissions::ALL.iter().flat_map(|permission| {
        let right = |verb: &&str| {
            (permission.scope, permission.group.into(), permission.resource.into(), (*verb).into())
        };
        permission.verbs.iter().map(right)
    });
    rights.collect()
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// What the roles grant, each of which must be bound to the daemon's account.
pub fn granted(objects: &[Value], namespace: &str, account: &str) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for role in objects {
        let scope = match (role["kind"].as_str().unwrap(), role["metadata"]["namespace"].as_str()) {
            ("ClusterRole", None) => Scope::Cluster,
            ("Role", Some("default")) => Scope::Default,
            ("Role", Some(other)) if other == namespace => Scope::Own,
            ("Role" | "ClusterRole", other) => panic!("a role in {other:?}"),
            _ => continue,
        };
        let bound = objects.iter().any(|binding| {
            binding["roleRef"]["kind"] == role["kind"]
                && binding["roleRef"]["name"] == role["metadata"]["name"]
                && binding["metadata"]["namespace"] == role["metadata"]["namespace"]
                && binding["subjects"]
                    == serde_json::json!([{"kind": "ServiceAccount", "name": account, "namespace": namespace}])
        });
        assert!(bound, "{role} is bound to nobody");
        for rule in role["rules"].as_array().unwrap() {
            assert!(rule["resourceNames"].is_null());
            for group in list(&rule["apiGroups"]) {
                for resource in list(&rule["resources"]) {
                    let right = |verb| (scope, group.clone(), resource.clone(), verb);
                    rights.extend(list(&rule["verbs"]).into_iter().map(right));
                }
            }
        }
    }
    rights
}

#[test]
fn roles_grant_what_the_daemon_asks_for_and_no_more() {
    let granted = granted(&kustomized("deploy/kubernetes"), "routelet", "routelet");
    let asked = asked();
    assert_eq!(granted.difference(&asked).collect::<Vec<_>>(), [] as [&Right; 0], "granted in vain");
    assert_eq!(asked.difference(&granted).collect::<Vec<_>>(), [] as [&Right; 0], "not granted");
    assert!(
        granted.iter().all(|(_, group, resource, verb)| ![group, resource, verb].contains(&&"*".to_owned()))
    );
}
