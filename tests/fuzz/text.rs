//! Targets: what a person or a container runtime writes: manifests, and the plugin's standard input.

use routelet::cluster::{Error, Finding, intent, manifests};
use routelet::cni::conf::Network;
use routelet::cni::plan::Plan;
use routelet::cni::{self, version::Version};

use crate::engine::{Features, Target};
use crate::mutate;

pub const MANIFESTS: Target = Target {
    name: "manifests",
    seeds: manifest_seeds,
    mutate: mutate::text_input,
    run: manifests,
    executions: 1_000,
    longest: 8 << 10,
    // The YAML parser's own budget for what aliases may make of a document.
    memory: 256 << 20,
};
pub const CNI: Target = Target {
    name: "cni",
    seeds: cni_seeds,
    mutate: mutate::text_input,
    run: cni,
    executions: 30_000,
    longest: 64 << 10,
    memory: 16 << 20,
};

/// The reference cluster, the malformed manifests, and a peer with everything it can have.
fn manifest_seeds() -> Vec<Vec<u8>> {
    let malformed = include_str!("../manifests/malformed.txt");
    let cases = malformed.split("\n== ").filter_map(|case| case.split_once('\n')?.1.split("\n=>").next());
    [
        include_str!("../../containerlab/manifests/bgp.yaml"),
        include_str!("../../containerlab/manifests/nodes.yaml"),
        include_str!("../../src/cluster/intent/cluster.yaml"),
        crate::speaker::CLUSTER,
    ]
    .into_iter()
    .chain(cases)
    .map(|text| text.as_bytes().to_vec())
    .collect()
}

/// Read beside the reference nodes, so that what is right by itself is also looked at together.
fn manifests(input: &[u8], features: &mut Features) {
    let text = String::from_utf8_lossy(input);
    let nodes = include_str!("../../containerlab/manifests/nodes.yaml");
    for files in [&[("a.yaml", &*text)][..], &[("a.yaml", nodes), ("b.yaml", &*text)]] {
        let findings = match manifests::parse(files.iter().copied()) {
            Err(error) => found(error),
            Ok(reading) => match intent::compile(&reading.objects, "node1") {
                Err(error) => found(error),
                Ok(compiled) => {
                    features.add((compiled.intent.peers.len().min(5), compiled.warnings.len().min(5)));
                    let asns =
                        compiled.intent.peers.values().map(|peer| peer.is_external(compiled.intent.asn));
                    features.add(asns.collect::<Vec<_>>());
                    compiled.warnings
                }
            },
        };
        for finding in findings {
            let text = finding.to_string();
            assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
            assert!(text.len() < 2_000 + 4 * input.len(), "a finding of {} octets", text.len());
            features.add_kind(&finding.text);
        }
    }
}

fn found(error: Error) -> Vec<Finding> {
    match error {
        Error::Objects(findings) => {
            assert!(!findings.is_empty(), "refused for no reason");
            findings
        }
        other => panic!("{other}: there is no directory here"),
    }
}

fn cni_seeds() -> Vec<Vec<u8>> {
    [
        r#"{"cniVersion": "1.1.0", "name": "pods", "type": "bridge", "bridge": "cni0", "isGateway": true,
            "ipMasq": true, "mtu": 1400, "hairpinMode": true, "isDefaultGateway": true, "dns": {"nameservers":
            ["10.0.0.1"], "domain": "d", "search": ["s"], "options": ["o"]}, "ipam": {"type": "host-local",
            "subnet": "10.244.0.0/16", "rangeStart": "10.244.1.2", "rangeEnd": "10.244.1.9",
            "gateway": "10.244.1.1", "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.1.1"}]}}"#,
        r#"{"cniVersion": "0.4.0", "name": "pods", "type": "routelet-cni", "ipam": {"type": "routelet"},
            "runtimeConfig": {"mac": "02:00:00:00:00:01", "ips": ["10.244.1.7/24"]},
            "args": {"cni": {"ips": ["10.244.1.8"]}}, "capabilities": {"ips": true}}"#,
        r#"{"cniVersion": "1.0.0", "name": "pods", "ipam": {"type": "host-local", "ranges": [[{"subnet":
            "fd00::/64"}], [{"subnet": "10.1.0.0/24"}, {"subnet": "10.2.0.0/24"}]], "dataDir": "/tmp/x",
            "resolvConf": "/dev/null"}, "prevResult": {"ips": [{"address": "10.244.1.2/24", "interface": 0}],
            "interfaces": [{"name": "eth0"}]}, "vlan": 5, "promiscMode": true}"#,
        r#"{"cniVersion": "9.9.9"}"#,
        "",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// Everything that is read before anything is touched. The verbs themselves would touch the kernel.
fn cni(input: &[u8], features: &mut Features) {
    let reply =
        cni::answer("routelet-cni", |name| (name == "CNI_COMMAND").then(|| "VERSION".to_owned()), input);
    features.add((reply.success, reply.document.is_some(), Version::of(input).map(Version::as_str)));
    let args = [("IP".to_owned(), String::from_utf8_lossy(&input[..input.len().min(20)]).into_owned())];
    for args in [&[][..], &args] {
        match Network::parse(input).and_then(|network| {
            network.previous()?;
            Plan::make(&network, args)
        }) {
            Ok(plan) => {
                features.add((
                    plan.sets.len().min(3),
                    plan.gateways.len().min(3),
                    plan.requested.len().min(2),
                ));
                features.add((plan.mac, plan.mtu.is_some(), plan.bridge == "cni0", plan.hairpin));
            }
            Err(error) => features.add_kind(&error.document(Version::NEWEST).to_string()),
        }
    }
}
