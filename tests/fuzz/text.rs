//! Targets: what a person or a container runtime writes: manifests, and the plugin's standard input.

use std::collections::BTreeMap;

use routelet::cluster::{Error, Finding, intent, manifests};
use routelet::cni::conf::Network;
use routelet::cni::environment::Environment;
use routelet::cni::gc::valid_attachments;
use routelet::cni::plan::Plan;
use routelet::cni::program::Program;
use routelet::cni::result::{Ip, Success};
use routelet::cni::{self, delegate, version::Version};

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
        "CNI_COMMAND=ADD\nCNI_CONTAINERID=c1\nCNI_NETNS=/n\nCNI_IFNAME=eth0\nCNI_ARGS=IgnoreUnknown=1;IP=10.0.0.7;\\
         MAC=02:00:00:00:00:07;GATEWAY=10.0.0.9;K8S_POD_NAME=p\n\n{\"cniVersion\": \"1.1.0\", \"name\": \"pods\", \\
         \"type\": \"routelet\",\n\"ipam\": {\"type\": \"routelet\", \"subnet\": \"10.0.0.0/24\", \"routes\": [{\"dst\": \\
         \"0.0.0.0/0\", \"mtu\": 1400, \"table\": 7, \"scope\": 253}]}}",
        "CNI_COMMAND=GC\n\n{\"cniVersion\": \"1.1.0\", \"name\": \"pods\", \"type\": \"other\", \"ipam\": {\"type\": \\
         \"bridge\"},\n\"cni.dev/valid-attachments\": [{\"containerID\": \"c1\", \"ifname\": \"eth0\"}]}",
        r#"{"cniVersion": "0.2.0", "name": "pods", "ip4": {"ip": "10.0.0.2/24", "gateway": "10.0.0.1", "routes":
            [{"dst": "0.0.0.0/0"}]}, "prevResult": {"cniVersion": "0.2.0", "ip6": {"ip": "fd00::2/64"}}}"#,
        r#"{"cniVersion": "9.9.9"}"#,
        "",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// Everything that is read before anything is touched: variables, one a line, an empty line, and the
/// configuration; or the latter alone. The verbs themselves would touch the kernel and the disk.
fn cni(input: &[u8], features: &mut Features) {
    let (variables, stdin) = split(input);
    let variable = |name: &str| variables.get(name).cloned();
    let reply = cni::answer(
        "bridge",
        |name| if name == "CNI_COMMAND" { Some("VERSION".to_owned()) } else { variable(name) },
        stdin,
    );
    assert!(reply.success && reply.document.is_some());
    features.add(Version::of(stdin).map(Version::as_str));
    let attachment = Environment::read(variable).and_then(|environment| {
        features.add(environment.command.as_str());
        environment.attachment()
    });
    let args = match attachment {
        Ok(attachment) => attachment.args,
        Err(error) => {
            check_error(&error, features);
            Vec::new()
        }
    };
    match read(stdin, &args, features) {
        Ok(()) => {}
        Err(error) => check_error(&error, features),
    }
    for version in [Version::V0_2_0, Version::V1_1_0] {
        match delegate::read_result(stdin, version) {
            Ok(result) => features.add((result.ips.len().min(3), result.routes.len().min(3))),
            Err(why) => features.add_kind(&why),
        }
    }
}

fn split(input: &[u8]) -> (BTreeMap<String, String>, &[u8]) {
    let end = input.windows(2).position(|octets| octets == b"\n\n");
    let Some(end) = end.filter(|_| input.starts_with(b"CNI_")) else { return (BTreeMap::new(), input) };
    let text = String::from_utf8_lossy(&input[..end]);
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    (pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), &input[end + 2..])
}

fn read(stdin: &[u8], args: &[(String, String)], features: &mut Features) -> Result<(), cni::Error> {
    let network = Network::parse(stdin)?;
    for name in ["bridge", "host-local", "routelet-cni"] {
        features.add(format!("{:?}", Program::of(name, &network)?));
    }
    features.add(valid_attachments(&network).map_or(usize::MAX, |valid| valid.len().min(3)));
    if let Some(previous) = network.previous()? {
        let once = Success::default().document(network.version, Some(previous));
        assert_eq!(Success::default().document(network.version, once.as_object()), once);
    }
    let plan = Plan::make(&network, args)?;
    features.add((
        plan.sets.len().min(3),
        plan.gateways.len().min(3),
        plan.addressing.requested.len().min(2),
    ));
    features.add((plan.mac, plan.mtu.is_some(), plan.bridge == "cni0", plan.options.hairpin));
    features.add(format!("{:?}", plan.addressing.source).len());
    let ip = |address: &str| Ip { address: address.parse().unwrap(), gateway: None, interface: None };
    let taken = Success { ips: vec![ip("10.0.0.9/8"), ip("fd00::9/64")], ..Success::default() };
    features.add(plan.complete(taken)?.routes.len().min(4));
    Ok(())
}

fn check_error(error: &cni::Error, features: &mut Features) {
    let document = error.document(Version::NEWEST).to_string();
    assert!(!error.message.is_empty() && !document.contains('\n'), "{document}");
    features.add(error.code.number());
    features.add_kind(&document);
}
