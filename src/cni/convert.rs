//! Results of one version of the specification in the shape of another.
//!
//! The newest shape is the one to work with, as it has a place for everything; [`upgrade`] leads to
//! it and [`shape`] from it. Runtimes hand plugins a `prevResult` of the version they once ran the
//! ADD with, and address plugins answer in the version they know. Fields that no version names are
//! kept where they are.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde_json::{Map, Value, json};

use super::version::Version;
use crate::prefix::Family;

/// Where the first versions have the address of a family.
const FIRST_KEYS: [(Family, &str); 2] = [(Family::Ipv4Unicast, "ip4"), (Family::Ipv6Unicast, "ip6")];

/// What CNI 1.1.0 added to an interface.
const NEW_IN_INTERFACES: [&str; 3] = ["mtu", "socketPath", "pciID"];

/// What CNI 1.1.0 added to a route.
pub const NEW_IN_ROUTES: [&str; 5] = ["mtu", "advmss", "priority", "table", "scope"];

/// A result in the newest shape. It is of the version it says; of `otherwise` if it says none.
pub fn upgrade(result: &Map<String, Value>, otherwise: Version) -> Map<String, Value> {
    let version = version_of(result).unwrap_or(otherwise);
    let mut result = result.clone();
    if version < Version::V0_3_0 {
        for (_, key) in FIRST_KEYS {
            let Some(Value::Object(mut first)) = result.remove(key) else { continue };
            if let Some(Value::Array(routes)) = first.remove("routes") {
                list(&mut result, "routes").extend(routes);
            }
            if let Some(address) = first.remove("ip") {
                first.insert("address".to_owned(), address);
            }
            list(&mut result, "ips").push(Value::Object(first));
        }
    }
    for ip in objects(&mut result, "ips") {
        ip.remove("version");
    }
    result.insert("cniVersion".to_owned(), json!(Version::NEWEST.as_str()));
    result
}

/// Leaves out of a result what versions before 1.1.0 do not name.
pub fn strip(result: &mut Map<String, Value>) {
    for interface in objects(result, "interfaces") {
        interface.retain(|key, _| !NEW_IN_INTERFACES.contains(&key.as_str()));
    }
    for route in objects(result, "routes") {
        route.retain(|key, _| !NEW_IN_ROUTES.contains(&key.as_str()));
    }
}

/// The version that a result says.
pub fn version_of(result: &Map<String, Value>) -> Option<Version> {
    result.get("cniVersion").and_then(Value::as_str).and_then(Version::parse)
}

/// A result of the newest shape in the shape of `version`.
pub fn shape(mut result: Map<String, Value>, version: Version) -> Value {
    result.insert("cniVersion".to_owned(), json!(version.as_str()));
    if version < Version::V0_3_0 {
        first_of_each_family(&mut result);
    } else if version < Version::V1_0_0 {
        for ip in objects(&mut result, "ips") {
            let number = match family_of(ip, "address") {
                Some(Family::Ipv6Unicast) => "6",
                _ => "4",
            };
            ip.insert("version".to_owned(), json!(number));
        }
    }
    let no_dns = result.get("dns").is_none_or(|dns| dns.as_object().is_none_or(Map::is_empty));
    if no_dns && version < Version::V1_0_0 {
        result.insert("dns".to_owned(), json!({}));
    } else if no_dns {
        result.remove("dns");
    }
    Value::Object(result)
}

/// The first versions have room for one address of a family, with the routes of that family.
fn first_of_each_family(result: &mut Map<String, Value>) {
    result.remove("interfaces");
    let ips = std::mem::take(list(result, "ips"));
    let routes = std::mem::take(list(result, "routes"));
    result.remove("ips");
    result.remove("routes");
    for (family, key) in FIRST_KEYS {
        let of_family = |value: &&Value, field: &str| {
            value.as_object().is_some_and(|object| family_of(object, field) == Some(family))
        };
        let Some(Value::Object(ip)) = ips.iter().find(|ip| of_family(ip, "address")) else { continue };
        let mut first = ip.clone();
        first.remove("interface");
        if let Some(address) = first.remove("address") {
            first.insert("ip".to_owned(), address);
        }
        let routes: Vec<&Value> = routes.iter().filter(|route| of_family(route, "dst")).collect();
        first.insert("routes".to_owned(), json!(routes));
        result.insert(key.to_owned(), Value::Object(first));
    }
}

/// The family of an address in a field, with or without the length of a prefix.
fn family_of(object: &Map<String, Value>, field: &str) -> Option<Family> {
    let text = object.get(field)?.as_str()?;
    let address = text.parse::<IpAddr>().or_else(|_| text.parse().map(|network: IpNetwork| network.ip()));
    address.ok().map(Family::of)
}

/// The list under a key, made if it is not there.
pub fn list<'a>(document: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let entry = document.entry(key).or_insert_with(|| Value::Array(Vec::new()));
    if !entry.is_array() {
        *entry = Value::Array(Vec::new());
    }
    match entry {
        Value::Array(list) => list,
        _ => unreachable!("made an array above"),
    }
}

/// The objects in the list under a key, if there is one.
fn objects<'a>(
    document: &'a mut Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    document.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}
