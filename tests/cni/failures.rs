//! ADDs that fail: with words, and without a trace.

use std::process::Command;

use serde_json::json;

use super::rig::{Namespace, Node};

#[tokio::test]
async fn a_namespace_that_is_none() {
    let node = Node::new();
    let conf = node.configuration();
    for netns in ["/run/netns/none-of-that-name", "/etc/hostname", &node.namespace.path()] {
        let (code, text) = node.call("ADD", "c1", netns, &conf).error();
        assert_eq!(code, 4);
        assert!(text.contains("CNI_NETNS") && text.contains(netns), "{text}");
        assert_eq!(node.traces().await, [""; 0]);
        assert!(node.namespace.link("cni0").await.is_none());
    }
}

#[tokio::test]
async fn a_refusal_at_the_last_step_takes_everything_back() {
    let (node, pod) = (Node::new(), Namespace::new());
    let mut conf = node.configuration();
    conf["ipam"]["routes"] = json!([{"dst": "192.0.2.0/24", "gw": "203.0.113.1"}]);
    let (code, text) = node.add("c1", &pod, &conf).error();
    assert_eq!(code, 103);
    assert!(text.contains("192.0.2.0/24 via 203.0.113.1"), "{text}");
    assert_eq!(node.traces().await, [""; 0]);
    assert_eq!(pod.names().await, ["lo"]);
    // The DEL that follows has nothing to do, and the next ADD succeeds.
    node.del("c1", &pod, &conf).result();
    node.add("c1", &pod, &node.configuration()).result();
}

#[tokio::test]
async fn a_taken_interface_name_leaves_that_interface_alone() {
    let (node, pod) = (Node::new(), Namespace::new());
    let conf = node.configuration();
    let mine = pod.netlink.add_bridge("eth0", None).await.unwrap();
    let expected = "the pod has an interface eth0 already | nothing was changed; DEL the container or choose \
                    another CNI_IFNAME";
    assert_eq!(node.add("c1", &pod, &conf).error(), (102, expected.to_owned()));
    node.del("c1", &pod, &conf).result();
    assert_eq!(pod.link("eth0").await.unwrap().index, mine.index);
    pod.netlink.delete_link(mine.index).await.unwrap();

    // Of another network, attached by ourselves.
    node.add("c1", &pod, &conf).result();
    let mut other = conf.clone();
    other["name"] = json!("other-network");
    assert_eq!(node.add("c1", &pod, &other).error().0, 102);
    node.del("c1", &pod, &other).result();
    assert!(pod.link("eth0").await.is_some());
    assert_eq!(node.reservations(), ["10.244.0.2"]);
}

#[tokio::test]
async fn a_second_add_changes_nothing() {
    let (node, pod, elsewhere) = (Node::new(), Namespace::new(), Namespace::new());
    let conf = node.configuration();
    node.add("c1", &pod, &conf).result();
    let before = node.traces().await;
    assert_eq!(node.add("c1", &pod, &conf).error().0, 102);
    let (code, text) = node.add("c1", &elsewhere, &conf).error();
    assert_eq!(code, 102);
    assert!(text.contains("10.244.0.2 is already allocated to container c1 interface eth0"), "{text}");
    assert_eq!(node.traces().await, before);
}

#[tokio::test]
async fn a_bridge_that_is_none_or_somebody_elses() {
    let (node, pod) = (Node::new(), Namespace::new());
    let mut conf = node.configuration();
    conf["bridge"] = json!("lo");
    let (code, text) = node.add("c1", &pod, &conf).error();
    assert_eq!(code, 101);
    assert!(text.contains("lo exists and is no bridge"), "{text}");

    let bridge = node.namespace.netlink.add_bridge("cni0", None).await.unwrap();
    node.namespace.netlink.add_address(bridge.index, "192.0.2.1/24".parse().unwrap()).await.unwrap();
    let expected = "bridge cni0 has address 192.0.2.1/24, which is not ours | the gateway would be 10.244.0.1/16; \
                    remove 192.0.2.1/24, or name another bridge";
    assert_eq!(node.add("c1", &pod, &node.configuration()).error(), (101, expected.to_owned()));
    assert_eq!(node.namespace.addresses("cni0").await, ["192.0.2.1/24"]);
    assert_eq!(node.traces().await, [""; 0]);
    // Without being the gateway, it can be used.
    let mut plain = node.configuration();
    plain["isGateway"] = json!(false);
    plain["ipam"]["routes"] = json!([]);
    node.add("c1", &pod, &plain).result();
}

#[tokio::test]
async fn an_exhausted_range() {
    let (node, first, second) = (Node::new(), Namespace::new(), Namespace::new());
    let mut conf = node.configuration();
    conf["ipam"]["subnet"] = json!("10.244.0.0/30");
    node.add("c1", &first, &conf).result();
    let (code, text) = node.add("c2", &second, &conf).error();
    assert_eq!(code, 100);
    assert!(text.contains("no free address in 10.244.0.0/30"), "{text}");
    assert_eq!(node.reservations(), ["10.244.0.2"]);
    assert_eq!(second.names().await, ["lo"]);
}

#[test]
fn a_person_without_cni_command_gets_help_on_stderr() {
    let output = Command::new(env!("CARGO_BIN_EXE_routelet-cni")).env_clear().output().unwrap();
    assert!(!output.status.success());
    assert_eq!(output.stdout, b"");
    let text = String::from_utf8(output.stderr).unwrap();
    let head = format!("routelet-cni {}: a CNI plugin", env!("CARGO_PKG_VERSION"));
    assert!(text.starts_with(&head) && text.contains("CNI_COMMAND=ADD"), "{text}");
}
