//! The definitions of our kinds: in step with the types, structural, and as strict as the checks in Rust, but
//! never stricter.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use jsonschema::Validator as Schema;
use kube_cel::{CompiledSchema, Validator as Rules, compile_schema};
use routelet::cluster::crds;
use routelet::cluster::manifests::parse;
use serde_json::Value;

/// A definition with what judges an object by it.
struct Kind {
    name: String,
    raw: Value,
    schema: Schema,
    rules: CompiledSchema,
}

impl Kind {
    fn all() -> &'static [Kind] {
        static ALL: LazyLock<Vec<Kind>> = LazyLock::new(Kind::read);
        &ALL
    }

    fn read() -> Vec<Kind> {
        let kind = |definition: Value| {
            let raw = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
            let schema = jsonschema::validator_for(&plain(&raw)).unwrap();
            let rules = compile_schema(&raw);
            assert!(!rules.has_errors(), "{:?}", rules.compilation_errors());
            Kind {
                rules,
                name: definition["spec"]["names"]["kind"].as_str().unwrap().to_owned(),
                raw,
                schema,
            }
        };
        crds::definitions().into_iter().map(kind).collect()
    }

    /// What the API server would say about an object of the kind. Rules are tried once the schema is kept,
    /// as it does it.
    fn complaints(&self, object: &Value) -> Vec<String> {
        let found: Vec<String> = self
            .schema
            .iter_errors(object)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .chain(beyond(&self.raw, object, String::new()))
            .collect();
        if !found.is_empty() {
            return found;
        }
        match Rules::new().validate_compiled(&self.rules, object, None) {
            Ok(()) => vec![],
            Err(errors) => errors.as_slice().iter().map(ToString::to_string).collect(),
        }
    }
}

/// A schema in words that every validator of JSON Schema knows.
fn plain(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let mut fields: serde_json::Map<_, _> =
                fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
            if fields.get("x-kubernetes-int-or-string").is_some_and(|either| *either == true) {
                fields.insert("type".into(), serde_json::json!(["integer", "string"]));
            }
            Value::Object(fields)
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

/// What Kubernetes refuses beyond JSON Schema: fields that it does not know (`kubectl` is strict about them, and
/// the API server would drop them), and items that a set has twice.
fn beyond(schema: &Value, object: &Value, path: String) -> Vec<String> {
    match (object, schema.get("properties"), schema.get("items")) {
        (Value::Object(fields), Some(known), _) => fields
            .iter()
            .filter(|(name, _)| {
                !path.is_empty() || !["apiVersion", "kind", "metadata"].contains(&name.as_str())
            })
            .flat_map(|(name, value)| match known.get(name) {
                Some(schema) => beyond(schema, value, format!("{path}.{name}")),
                None => vec![format!("{path}.{name}: unknown field")],
            })
            .collect(),
        (Value::Array(items), _, Some(of_items)) => {
            let set = schema["x-kubernetes-list-type"] == "set";
            let twice = (1..items.len()).filter(|n| set && items[..*n].contains(&items[*n]));
            let twice: Vec<String> = twice.map(|n| format!("{path}[{n}]: listed twice")).collect();
            let inside = items.iter().flat_map(|item| beyond(of_items, item, format!("{path}[]")));
            inside.chain(twice).collect()
        }
        _ => vec![],
    }
}

#[test]
fn the_file_is_in_step_with_the_types() {
    const FILE: &str = "deploy/kubernetes/base/crds.yaml";
    let (there, made) = (fs::read_to_string(FILE).unwrap(), crds::yaml().unwrap());
    assert!(there == made, "{FILE} is out of step: cargo run --bin routelet -- crds > {FILE}");
}

/// The documents of a file that are YAML.
pub fn documents(text: &str) -> Vec<Value> {
    let documents = text.split("\n---\n").map(|document| document.trim_start_matches("---\n"));
    documents.filter_map(|document| serde_saphyr::from_str(document).ok()).filter(Value::is_object).collect()
}

/// What the definitions say against the objects of ours in a file, one line each.
pub fn complaints(text: &str) -> Vec<String> {
    let kinds = Kind::all();
    let of = |document: &Value| {
        let (group, kind) = (document["apiVersion"].as_str()?, document["kind"].as_str()?);
        let kind = kinds.iter().find(|known| group == "routelet.dev/v1alpha1" && known.name == kind)?;
        Some(kind.complaints(document))
    };
    documents(text).iter().filter_map(of).flatten().collect()
}

/// Every file with objects of ours in the repository, and the texts of tables.
fn corpus() -> Vec<(String, String)> {
    let mut texts = vec![];
    let mut folders = vec!["containerlab/manifests".into(), "deploy/kubernetes".into()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir::<std::path::PathBuf>(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yaml") {
                texts.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    for (n, case) in include_str!("../../src/cluster/intent/cases.txt").split("\n== ").enumerate().skip(1) {
        let (title, case) = case.split_once('\n').unwrap();
        let manifests = case.split("\n=>").next().unwrap();
        texts.push((format!("cases.txt, case {n} ({title})"), manifests.to_owned()));
    }
    let everything = include_str!("../manifests.rs").split("r#\"").nth(1).unwrap();
    texts.push(("tests/manifests.rs".into(), everything.split("\"#;").next().unwrap().to_owned()));
    texts
}

#[test]
fn what_the_program_takes_the_definitions_let_pass() {
    let (mut wrong, mut tried) = (vec![], 0);
    for (name, text) in corpus() {
        if parse([("a.yaml", &*text)]).is_err() {
            continue;
        }
        tried += documents(&text).iter().filter(|d| d["apiVersion"] == "routelet.dev/v1alpha1").count();
        wrong.extend(complaints(&text).into_iter().map(|said| format!("{name}: {said}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 60, "only {tried} objects were found");
}

/// Malformed objects of ours that the definitions let pass, with the reason. All others are refused at once by
/// `kubectl apply`.
const PROGRAM_ALONE: [(&str, &str); 1] = [("a mark that its mask hides", "CEL has no operations on bits")];

#[test]
fn what_is_malformed_the_definitions_refuse() {
    let (_, cases) = include_str!("../manifests/malformed.txt").split_once("\n== ").unwrap();
    let (mut passed, mut refused) = (vec![], 0);
    for case in cases.split("\n== ") {
        let (title, case) = case.split_once('\n').unwrap();
        let (text, said) = case.split_once("=>\n").unwrap();
        let wrong_of_ours = documents(text).len() == text.split("\n---\n").count()
            && documents(text).iter().any(|d| d["apiVersion"] == "routelet.dev/v1alpha1")
            && (said.contains("(BgpPeer ") || said.contains("(BgpConfiguration "));
        if !wrong_of_ours {
            continue;
        }
        match complaints(text).is_empty() {
            true => passed.push(title),
            false => refused += 1,
        }
    }
    let known: Vec<&str> = PROGRAM_ALONE.iter().map(|(title, _)| *title).collect();
    assert_eq!(passed, known, "of {refused} others refused");
    assert!(refused > 40, "only {refused}");
}

/// Values at the borders of what is allowed, each put into a sound object: definitions and program must agree.
/// Lines are a path and values in YAML.
const BORDERS: &str = include_str!("borders.txt");

/// Each of them in its object.
fn borders() -> Vec<Value> {
    let mut objects = vec![];
    let mut sound = Value::Null;
    for line in BORDERS.lines().skip_while(|line| !line.starts_with("= ")) {
        if let Some(object) = line.strip_prefix("= ") {
            sound = serde_saphyr::from_str(object).unwrap();
        } else if let Some((path, values)) = line.split_once(": ") {
            let values: Vec<Value> = serde_saphyr::from_str(values).unwrap();
            objects.extend(values.into_iter().map(|value| {
                let mut object = sound.clone();
                put(&mut object, path, value);
                object
            }));
        }
    }
    objects
}

fn kind_of(object: &Value) -> &'static Kind {
    Kind::all().iter().find(|kind| object["kind"] == *kind.name).unwrap()
}

#[test]
fn at_every_border_definitions_and_program_agree() {
    let (mut wrong, mut tried, mut refused) = (vec![], 0, 0);
    for object in borders() {
        let program = parse([("a.yaml", &*object.to_string())]).map_err(|error| error.to_string()).err();
        let definitions = kind_of(&object).complaints(&object);
        tried += 1;
        refused += usize::from(program.is_some());
        if program.is_some() == definitions.is_empty() {
            wrong.push(format!("{object}\n  program: {program:?}\n  definitions: {definitions:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 300 && refused > 150 && tried - refused > 150, "{tried} tried, {refused} refused");
}

/// Puts a value at a path such as `spec.import.accept`, making what is on the way.
fn put(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for part in path.split('.') {
        if !place.is_object() {
            *place = serde_json::json!({});
        }
        place = &mut place[part];
    }
    *place = value;
}

/// With KUBECONFIG naming a cluster that has the definitions (`kubectl apply -k deploy/kubernetes`), its API server
/// is asked about the same values, without keeping any.
#[test]
fn a_real_api_server_agrees() {
    if std::env::var_os("KUBECONFIG").is_none() {
        let _ = writeln!(
            std::io::stderr().lock(),
            "SKIPPED a_real_api_server_agrees: KUBECONFIG names no API server"
        );
        return;
    }
    let mut wrong = vec![];
    for object in borders() {
        let definitions = kind_of(&object).complaints(&object);
        let said = asked(&object);
        if said.is_ok() != definitions.is_empty() {
            wrong.push(format!("{object}\n  definitions: {definitions:?}\n  API server: {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether the API server would take an object; strict about fields, as `kubectl` is.
fn asked(object: &Value) -> Result<(), String> {
    let mut kubectl = Command::new("kubectl")
        .args(["create", "--dry-run=server", "--validate=strict", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    kubectl.stdin.take().unwrap().write_all(object.to_string().as_bytes()).unwrap();
    let output = kubectl.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // It looks whether there is one by that name last.
    if output.status.success() || said.contains("(AlreadyExists)") { Ok(()) } else { Err(said) }
}
