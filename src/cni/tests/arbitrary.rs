//! Whatever JSON is on stdin: no panic, one document, and an error that a runtime can read.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::super::result::Success;
use super::super::version::Version;
use super::call;

/// Keys that mean something in one place or another.
const KEYS: [&str; 40] = [
    "cniVersion",
    "name",
    "type",
    "bridge",
    "mtu",
    "isGateway",
    "isDefaultGateway",
    "hairpinMode",
    "ipMasq",
    "vlan",
    "ipam",
    "subnet",
    "ranges",
    "rangeStart",
    "rangeEnd",
    "gateway",
    "routes",
    "dst",
    "gw",
    "table",
    "scope",
    "resolvConf",
    "dns",
    "nameservers",
    "search",
    "runtimeConfig",
    "ips",
    "mac",
    "ipRanges",
    "args",
    "cni",
    "prevResult",
    "interfaces",
    "address",
    "interface",
    "ip4",
    "ip6",
    "ip",
    "sandbox",
    "nodeFile",
];

/// Texts that mean something.
const TEXTS: [&str; 22] = [
    "",
    "pods",
    "bridge",
    "host-local",
    "routelet",
    "other",
    "cni0",
    "0.1.0",
    "0.2.0",
    "0.3.1",
    "1.0.0",
    "1.1.0",
    "10.0.0.0/8",
    "10.0.0.0/30",
    "10.0.0.1",
    "fd00::/64",
    "fd00::/127",
    "::/0",
    "0.0.0.0/0",
    "255.255.255.255/32",
    "02:00:00:00:00:01",
    "/nonexistent",
];

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![Just(0), Just(-1), Just(254), Just(i64::MAX), any::<i64>()].prop_map(Value::from),
        prop::sample::select(&TEXTS[..]).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![vec(inner.clone(), 0..4).prop_map(Value::from), object(inner).prop_map(Value::from)]
    })
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    btree_map(prop::sample::select(&KEYS[..]), inner, 0..8)
        .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// There is no such namespace, so that nothing is ever touched.
    #[test]
    fn every_configuration_gets_one_readable_answer(fields in object(json()), named in any::<bool>()) {
        let mut fields = fields;
        if named {
            fields.insert("name".to_owned(), "pods".into());
            fields.entry("ipam").or_insert(serde_json::json!({"type": "host-local", "subnet": "10.0.0.0/24"}));
        }
        let reply = call("ADD", &[], &Value::from(fields).to_string());
        let document = reply.document.expect("a failure has a document");
        prop_assert!(!reply.success);
        let code = document["code"].as_u64().expect("a code");
        prop_assert!([1, 2, 4, 5, 6, 7, 11].contains(&code), "{}", document);
        let message = document["msg"].as_str().expect("a message");
        prop_assert!(!message.is_empty() && document["details"].is_string());
        prop_assert!(Version::parse(document["cniVersion"].as_str().expect("a version")).is_some());
    }

    /// What is on stdin need not even be JSON.
    #[test]
    fn every_text_gets_one_readable_answer(text in ".{0,200}") {
        let reply = call("ADD", &[], &text);
        prop_assert!(!reply.success && reply.document.is_some());
        prop_assert!(call("VERSION", &[], &text).success);
    }

    /// A result that has been passed through once passes through unchanged.
    #[test]
    fn passing_a_result_through_settles_it(previous in object(json()), version in 0..7_usize) {
        let version = Version::ALL[version];
        let once = Success::default().document(version, Some(&previous));
        prop_assert_eq!(&once["cniVersion"], version.as_str());
        let again = Success::default().document(version, once.as_object());
        prop_assert_eq!(once, again);
    }
}
