//! Alerts fire when they should, by Prometheus' own word, and name metrics that there are; so does the dashboard.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::said;

const RULES: &str = "deploy/monitoring/prometheusrule.yaml";
const TESTS: &str = "deploy/monitoring/alerts_test.yaml";
const DASHBOARD: &str = "deploy/monitoring/dashboard.json";

/// Names of ours in a text.
fn names(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("routelet_") {
        let name: String = text[at..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        found.insert(name);
    }
    found
}

/// Names that the daemon can be asked for, as its source has them.
fn rendered() -> BTreeSet<String> {
    let mut files = vec![std::path::PathBuf::from("src/daemon/metrics.rs")];
    files.extend(fs::read_dir("src/daemon/metrics").unwrap().map(|entry| entry.unwrap().path()));
    files.iter().flat_map(|file| names(&fs::read_to_string(file).unwrap())).collect()
}

fn rules() -> Value {
    serde_saphyr::from_str(&fs::read_to_string(RULES).unwrap()).unwrap()
}

#[test]
fn alerts_fire_where_they_should_and_nowhere_else() {
    let folder = std::env::temp_dir().join(format!("routelet-alerts-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("alerts.yaml"), serde_saphyr::to_string(&rules()["spec"]).unwrap()).unwrap();
    fs::copy(TESTS, folder.join("tests.yaml")).unwrap();
    said(Command::new("promtool").args(["check", "rules", "alerts.yaml"]).current_dir(&folder));
    said(Command::new("promtool").args(["test", "rules", "tests.yaml"]).current_dir(&folder));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn every_alert_is_tried() {
    let rules = rules();
    let alerts =
        rules["spec"]["groups"].as_array().unwrap().iter().flat_map(|g| g["rules"].as_array().unwrap());
    let alerts: BTreeSet<&str> = alerts.map(|rule| rule["alert"].as_str().unwrap()).collect();
    let tests: Value = serde_saphyr::from_str(&fs::read_to_string(TESTS).unwrap()).unwrap();
    let cases =
        tests["tests"].as_array().unwrap().iter().flat_map(|t| t["alert_rule_test"].as_array().unwrap());
    let fired = cases.filter(|case| case["exp_alerts"].as_array().is_some_and(|fired| fired.len() == 1));
    let tried: BTreeSet<&str> = fired.map(|case| case["alertname"].as_str().unwrap()).collect();
    assert_eq!(alerts, tried);
}

#[test]
fn alerts_and_dashboard_name_metrics_that_there_are() {
    let rendered = rendered();
    assert!(rendered.len() > 30, "{rendered:?}");
    let queries = queries(&serde_json::from_str(&fs::read_to_string(DASHBOARD).unwrap()).unwrap());
    assert!(queries.len() > 10, "{queries:?}");
    for (file, text) in [(RULES, rules().to_string()), (DASHBOARD, queries.join("\n"))] {
        let unknown: Vec<_> = names(&text).difference(&rendered).cloned().collect();
        assert_eq!(unknown, [""; 0], "{file}");
    }
}

/// Every query of a dashboard.
fn queries(dashboard: &Value) -> Vec<String> {
    match dashboard {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value) {
                ("expr" | "query", Value::String(query)) => vec![query.clone()],
                (_, value) => queries(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(queries).collect(),
        _ => vec![],
    }
}

/// PromQL that does not parse would show as an empty panel.
#[test]
fn the_dashboard_s_queries_are_promql() {
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(DASHBOARD).unwrap()).unwrap();
    let rules: Vec<Value> = queries(&dashboard)
        .iter()
        .filter(|query| !query.starts_with("label_values(") && query.as_str() != "prometheus")
        .map(|query| query.replace("$node", "node1").replace("$__rate_interval", "5m"))
        .map(|query| serde_json::json!({"record": "a:b", "expr": query}))
        .enumerate()
        .map(|(n, mut rule)| {
            rule["record"] = format!("dashboard:{n}").into();
            rule
        })
        .collect();
    let file = std::env::temp_dir().join(format!("routelet-dashboard-{}.yaml", std::process::id()));
    let groups = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    fs::write(&file, groups.to_string()).unwrap();
    said(Command::new("promtool").args(["check", "rules"]).arg(&file));
    fs::remove_file(file).unwrap();
}
