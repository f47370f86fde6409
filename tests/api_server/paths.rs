//! Where objects are: `/api/v1/nodes/node1`, `/apis/GROUP/VERSION/namespaces/NAMESPACE/PLURAL/NAME/SUBRESOURCE`.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::Value;

/// A path taken apart.
#[derive(Debug)]
pub struct Place {
    /// Path of the collection.
    pub collection: String,
    pub name: Option<String>,
    pub subresource: Option<String>,
}

impl Place {
    pub fn parse(path: &str) -> Option<Place> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let prefix = match parts.first() {
            Some(&"api") => 2,
            Some(&"apis") => 3,
            _ => return None,
        };
        let rest = parts.get(prefix..)?;
        // What is in a namespace; `/api/v1/namespaces/NAME` is a namespace itself.
        let plural = if rest.first() == Some(&"namespaces") && rest.len() > 2 { prefix + 2 } else { prefix };
        parts.get(plural)?;
        Some(Place {
            collection: format!("/{}", parts[..=plural].join("/")),
            name: parts.get(plural + 1).map(|&name| name.to_owned()),
            subresource: parts.get(plural + 2).map(|&name| name.to_owned()),
        })
    }

    /// Path of the object.
    pub fn object(&self) -> String {
        format!("{}/{}", self.collection, self.name.as_deref().unwrap_or_default())
    }
}

/// Whether an object is in a collection, which may be that of all namespaces.
pub fn is_in(object: &str, collection: &str) -> bool {
    let Some(place) = Place::parse(object) else { return false };
    let everywhere = match place.collection.split_once("/namespaces/") {
        Some((before, after)) => {
            format!("{before}/{}", after.split_once('/').map_or(after, |(_, plural)| plural))
        }
        None => place.collection.clone(),
    };
    place.collection == collection || everywhere == collection
}

/// The path of a manifest.
pub fn of(object: &Value) -> String {
    let text =
        |value: &Value| value.as_str().unwrap_or_else(|| panic!("no whole object: {object}")).to_owned();
    let version = text(&object["apiVersion"]);
    let api = if version.contains('/') { "apis" } else { "api" };
    let kind = text(&object["kind"]).to_lowercase();
    let plural = if kind.ends_with('s') { format!("{kind}es") } else { format!("{kind}s") };
    let name = text(&object["metadata"]["name"]);
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("/{api}/{version}/namespaces/{namespace}/{plural}/{name}"),
        None => format!("/{api}/{version}/{plural}/{name}"),
    }
}

/// A query taken apart, percent signs and all.
pub fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(k, v)| (decoded(k), decoded(v)))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut octets = vec![];
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(octets).unwrap()
}

/// What a `Status` calls a code.
pub fn reason(code: StatusCode) -> &'static str {
    match code.as_u16() {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    }
}
