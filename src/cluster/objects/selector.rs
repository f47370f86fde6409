//! Label selectors, with the meaning that Kubernetes gives them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use schemars::{Schema, SchemaGenerator, json_schema};

use super::Problems;

/// Whether a selector chooses what bears these labels. The empty selector chooses everything.
///
/// Like Kubernetes, `NotIn` also matches where the label is absent.
pub fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal && selector.match_expressions.iter().flatten().all(|requirement| holds(requirement, labels))
}

fn holds(requirement: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let listed = value.is_some_and(|value| requirement.values.iter().flatten().any(|v| v == value));
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        // `check` lets no other operator into an ObjectSet.
        _ => false,
    }
}

/// Whether a selector is empty, and so chooses everything.
pub fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Notes what Kubernetes would refuse about a selector that stands at `field`.
pub(super) fn check(selector: &LabelSelector, field: &str, problems: &mut Problems) {
    for (i, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let field = format!("{field}.matchExpressions[{i}]");
        if requirement.key.is_empty() {
            problems.add(format!("{field}.key"), "must not be empty");
        }
        let valued = requirement.values.as_ref().is_some_and(|values| !values.is_empty());
        match (requirement.operator.as_str(), valued) {
            ("In" | "NotIn", true) | ("Exists" | "DoesNotExist", false) => {}
            (operator @ ("In" | "NotIn"), false) => {
                problems.add(format!("{field}.values"), format!("{operator} needs at least one value"));
            }
            (operator @ ("Exists" | "DoesNotExist"), true) => {
                problems.add(format!("{field}.values"), format!("{operator} takes no values"));
            }
            (operator, _) => problems.add(
                format!("{field}.operator"),
                format!("{operator:?} is not an operator: In, NotIn, Exists or DoesNotExist"),
            ),
        }
    }
}

/// The schema of a selector: what Kubernetes' own type says, and what it would refuse, with bounds.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    let label = json_schema!({"type": "string", "maxLength": 63});
    // A name, with a prefix that is a DNS subdomain.
    let key = json_schema!({"type": "string", "minLength": 1, "maxLength": 317});
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {"type": "object", "maxProperties": 64, "additionalProperties": label},
            "matchExpressions": {
                "type": "array", "maxItems": 64, "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": key,
                        "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                        "values": {
                            "type": "array", "maxItems": 64, "x-kubernetes-list-type": "atomic", "items": label,
                        },
                    },
                    "x-kubernetes-validations": [{
                        "rule": "(self.operator in ['In', 'NotIn']) \
                                 == (has(self.values) && size(self.values) > 0)",
                        "message": "In and NotIn need at least one value, Exists and DoesNotExist take none",
                    }],
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(json: serde_json::Value) -> LabelSelector {
        serde_json::from_value(json).unwrap()
    }

    fn expression(operator: &str, values: &[&str]) -> LabelSelector {
        selector(
            serde_json::json!({"matchExpressions": [{"key": "rack", "operator": operator, "values": values}]}),
        )
    }

    #[test]
    fn every_operator_on_a_label_that_is_equal_different_and_absent() {
        let labels = |value: &str| BTreeMap::from([("rack".to_owned(), value.to_owned())]);
        for (selector, on_equal, on_other, on_absent) in [
            (selector(serde_json::json!({})), true, true, true),
            (selector(serde_json::json!({"matchLabels": {"rack": "a"}})), true, false, false),
            (expression("In", &["a", "b"]), true, false, false),
            (expression("NotIn", &["a", "b"]), false, true, true),
            (expression("Exists", &[]), true, true, false),
            (expression("DoesNotExist", &[]), false, false, true),
        ] {
            assert_eq!(matches(&selector, &labels("a")), on_equal, "{selector:?}");
            assert_eq!(matches(&selector, &labels("z")), on_other, "{selector:?}");
            assert_eq!(matches(&selector, &BTreeMap::new()), on_absent, "{selector:?}");
        }
    }

    #[test]
    fn labels_and_expressions_must_all_hold() {
        let selector = selector(serde_json::json!({
            "matchLabels": {"rack": "a"},
            "matchExpressions": [{"key": "zone", "operator": "Exists"}],
        }));
        let rack = ("rack".to_owned(), "a".to_owned());
        let zone = ("zone".to_owned(), "1".to_owned());
        assert!(!matches(&selector, &BTreeMap::from([rack.clone()])));
        assert!(!matches(&selector, &BTreeMap::from([zone.clone()])));
        assert!(matches(&selector, &BTreeMap::from([rack, zone])));
    }
}
