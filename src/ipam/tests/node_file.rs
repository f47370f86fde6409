//! The node file.

use super::*;

#[test]
fn what_is_written_is_read() {
    let scratch = Scratch::new();
    let path = scratch.0.join("run/node.json");
    assert_eq!(NodeFile::read(&path).unwrap(), None);
    let file = NodeFile {
        pod_cidrs: vec![prefix("10.244.1.0/24"), prefix("fd00::/64")],
        bridge: "cni0".to_owned(),
        ..NodeFile::default()
    };
    file.write(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(
        text,
        "{\"podCIDRs\":[\"10.244.1.0/24\",\"fd00::/64\"],\"mode\":\"bridge\",\"bridge\":\"cni0\",\
         \"masquerade\":false}\n"
    );
    assert_eq!(NodeFile::read(&path).unwrap(), Some(file.clone()));
    fs::write(&path, r#"{"podCIDRs": ["10.244.1.0/24", "fd00::/64"], "bridge": "cni0", "other": 1}"#)
        .unwrap();
    assert_eq!(NodeFile::read(&path).unwrap(), Some(file.clone()), "of an older or newer daemon");
    NodeFile { mtu: Some(1400), ..file }.write(&path).unwrap();
    assert_eq!(NodeFile::read(&path).unwrap().unwrap().mtu, Some(1400));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn what_is_wrong_is_said_with_the_place() {
    let scratch = Scratch::new();
    let path = scratch.0.join("node.json");
    let error = |text: &str| {
        fs::write(&path, text).unwrap();
        let error = NodeFile::read(&path).unwrap_err().to_string();
        error.replace(path.to_str().unwrap(), "FILE")
    };
    assert_eq!(error(""), "FILE: EOF while parsing a value at line 1 column 0");
    assert_eq!(error(r#"{"podCIDRs":[]}"#), "FILE: missing field `bridge` at line 1 column 15");
    assert_eq!(
        error(r#"{"podCIDRs":["10.0.0.1/24"],"bridge":"b"}"#),
        "FILE: \"10.0.0.1/24\" has host bits set; the prefix is 10.0.0.0/24 at line 1 column 27"
    );
}

#[test]
fn the_gateway_is_the_first_address() {
    let gateway =
        |text: &str| crate::ipam::node::gateway(text.parse().unwrap()).map(|gateway| gateway.to_string());
    assert_eq!(gateway("10.244.1.0/24").as_deref(), Some("10.244.1.1/24"));
    assert_eq!(gateway("fd00:10:244:1::/64").as_deref(), Some("fd00:10:244:1::1/64"));
    assert_eq!(gateway("10.244.1.7/32"), None);
}
