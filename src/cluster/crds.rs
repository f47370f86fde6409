//! Our kinds as CustomResourceDefinitions, made from the Rust types of [`super::objects`].
//!
//! The types' derives give schema and CEL rules; what the API server wants otherwise than schemars
//! writes it is put right here, for all kinds alike. What the rules leave open, the checks of
//! [`super::objects`] find when an object is read.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::{Map, Value, json};

use super::objects::{BgpAdvertisement, BgpConfiguration, BgpNodeStatus, BgpPeer};

/// Items of a list without a bound of its own, so that the cost of rules inside can be estimated.
const MOST_ITEMS: u64 = 256;
/// Characters of a text without a bound of its own.
const MOST_CHARACTERS: u64 = 1024;

/// One line for each kind.
fn kinds() -> Vec<CustomResourceDefinition> {
    vec![BgpAdvertisement::crd(), BgpConfiguration::crd(), BgpNodeStatus::crd(), BgpPeer::crd()]
}

/// The definitions, as the API server takes them.
pub fn definitions() -> Vec<Value> {
    kinds().into_iter().map(finished).collect()
}

/// The definitions as one YAML stream: what `routelet crds` prints.
///
/// # Errors
/// The serializer refuses a value, which none of ours gives it reason to.
pub fn yaml() -> Result<String, serde_saphyr::ser::Error> {
    let mut text = "# Made by `routelet crds`: change src/cluster/objects instead.\n".to_owned();
    for definition in definitions() {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&definition)?);
    }
    Ok(text)
}

fn finished(definition: CustomResourceDefinition) -> Value {
    let mut value = json!(definition);
    value["metadata"]["labels"] = json!({"app.kubernetes.io/name": "routelet"});
    for version in value["spec"]["versions"].as_array_mut().into_iter().flatten() {
        let schema = &mut version["schema"]["openAPIV3Schema"];
        // What `kubectl explain` says first. The derive would name a Rust type there.
        schema["description"] = schema["properties"]["spec"]["description"].clone();
        finish(schema);
        bound(&mut schema["properties"]["spec"]);
    }
    value
}

/// Puts a schema and all within it right.
fn finish(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    // Without it the API server takes an explicit null for an absent field, as with its own types, and a rule
    // need not ask for it.
    schema.remove("nullable");
    number(schema);
    if schema.get("format").is_some_and(|format| format == "ip") {
        schema.remove("format");
        schema.entry("maxLength").or_insert(json!(45));
    }
    if is(schema, "array") {
        schema.entry("x-kubernetes-list-type").or_insert(json!("atomic"));
    }
    each_within(schema, finish);
}

/// Gives a schema and all within it a size, without which the API server takes rules for too costly. A status has
/// no rules.
fn bound(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    if is(schema, "string") && !schema.contains_key("enum") {
        schema.entry("maxLength").or_insert(json!(MOST_CHARACTERS));
    }
    if is(schema, "array") {
        schema.entry("maxItems").or_insert(json!(MOST_ITEMS));
    }
    each_within(schema, bound);
}

fn is(schema: &Map<String, Value>, kind: &str) -> bool {
    schema.get("type").is_some_and(|found| found == kind)
}

fn each_within(schema: &mut Map<String, Value>, change: fn(&mut Value)) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(change);
    }
    for inner in ["items", "additionalProperties"] {
        schema.get_mut(inner).into_iter().for_each(change);
    }
}

/// The API server knows two formats of whole numbers; the rest are bounds, which schemars writes as fractions.
fn number(schema: &mut Map<String, Value>) {
    if !is(schema, "integer") {
        return;
    }
    let (format, least, greatest) = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => ("int32", Some(0), Some(u8::MAX.into())),
        Some("uint16") => ("int32", Some(0), Some(u16::MAX.into())),
        Some("uint32") => ("int64", Some(0), Some(u32::MAX.into())),
        Some("uint64" | "uint") => ("int64", Some(0), None),
        Some("int8" | "int16" | "int32") => ("int32", None, None),
        _ => ("int64", None, None),
    };
    schema.insert("format".into(), json!(format));
    for (key, implied) in [("minimum", least), ("maximum", greatest)] {
        let given = schema.get(key).and_then(Value::as_f64).map(|bound| bound as i64);
        if let Some(bound) = given.or(implied) {
            schema.insert(key.into(), json!(bound));
        }
    }
}
