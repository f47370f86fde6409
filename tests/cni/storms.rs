//! Many calls at once.

use std::collections::BTreeSet;

use super::rig::{Namespace, Node, answer};

const PODS: usize = 32;

/// The first ADDs on a node race for the bridge, the address and the sysctl as well.
#[tokio::test]
async fn thirty_two_first_adds_at_once() {
    let node = Node::new();
    let conf = node.dual_stack();
    let pods: Vec<Namespace> = (0..PODS).map(|_| Namespace::new()).collect();
    let all = |verb: &str| {
        let spawn = |(n, pod): (usize, &Namespace)| node.spawn(verb, &format!("c{n}"), &pod.path(), &conf);
        let children: Vec<_> = pods.iter().enumerate().map(spawn).collect();
        let finish = |child: std::process::Child| answer(child.wait_with_output().unwrap()).result();
        children.into_iter().map(finish).collect::<Vec<_>>()
    };
    let results = all("ADD");
    let addresses: BTreeSet<String> = results
        .iter()
        .flat_map(|result| result["ips"].as_array().unwrap())
        .map(|ip| ip["address"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(addresses.len(), 2 * PODS);
    assert_eq!(node.namespace.addresses("cni0").await, ["10.244.1.1/24", "fd00:10:244:1::1/64"]);
    for (pod, result) in pods.iter().zip(&results) {
        assert_eq!(pod.addresses("eth0").await[0], result["ips"][0]["address"].as_str().unwrap());
    }
    all("DEL");
    assert_eq!(node.traces().await, [""; 0]);
}
