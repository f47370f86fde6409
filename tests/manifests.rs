//! Manifests from the outside: what is accepted, what is refused and in which words, and how fast.

#![cfg(feature = "shell")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use kube::CustomResourceExt as _;
use routelet::cluster::manifests::{Reading, parse};
use routelet::cluster::objects::endpoint_slice::EndpointState;
use routelet::cluster::objects::service::TrafficPolicy;
use routelet::cluster::objects::{BgpAdvertisement, BgpConfiguration, BgpPeer};
use routelet::cluster::{Error, compile};

/// The whole schema with every field, as documented.
const EVERYTHING: &str = r#"
apiVersion: routelet.dev/v1alpha1
kind: BgpConfiguration
metadata: {name: default}
spec:
  asn: 64512
  mesh: full
  reflectors: {nodeSelector: {matchLabels: {routelet.dev/reflector: "true"}}, clusterId: 192.168.1.11}
  socketMark: 2921
  listen: {port: 179, addresses: ["0.0.0.0", "::"]}
  gracefulRestart: {enabled: true, restartTime: 120s, longLivedStaleTime: 1h, partialDeployment: true}
  bfd: {enabled: true, minTx: 300ms, minRx: 300ms, multiplier: 3, multihop: 2}
  fib: {install: true, table: main, metric: 20, maxPaths: 16, protocol: 114}
  cni:
    network: pod-network
    mode: bridge
    bridge: cni0
    mtu: auto
    hairpin: true
    masquerade: true
    masqueradeExempt: [192.168.0.0/16]
    masqueradeLearned: false
  readiness: {requiredPeers: 1, timeout: 60s, startupTaint: routelet.dev/agent-not-ready}
  serviceCIDRs: [10.96.0.0/12, "fd00:96::/112"]
---
apiVersion: routelet.dev/v1alpha1
kind: BgpPeer
metadata: {name: tor-a}
spec:
  nodeSelector: {}
  address: 192.168.1.1
  asn: 65000
  port: 179
  timers: {hold: 90s, keepalive: 30s, connectRetry: 5s, tcpUserTimeout: 30s, idleHold: 250ms, maxIdleHold: 60s, stableAfter: 60s}
  passwordSecretRef: {name: tor-a, key: password}
  sourceAddress: 192.168.1.11
  socketMark: 2921
  multihop: 2
  bfd: {minTx: 300ms, minRx: 300ms, multiplier: 3}
  families: [ipv4Unicast, ipv6Unicast]
  import:
    rules:
    - {match: {communities: {any: ["65000:13", no-export, "65000:1:2", "rt:65000:1", "ro:192.0.2.1:2", "rt:*", "opaque:6:1"]}, asPath: {maxLength: 1}}, action: reject}
    - {match: {nextHop: [192.168.1.0/24]}, set: {localPreference: 200}}
    accept: [{prefix: 0.0.0.0/0, le: 32}]
    maxPrefixes: {limit: 10000, action: reset, warnAt: 80, idleTime: 10m}
    acceptBlackhole: true
    allowOwnAs: 1
    allowAsSet: true
  export:
    rules:
    - set:
        removeCommunities: ["link-bandwidth:*", "0x0002fde800000064"]
        addCommunities: ["link-bandwidth-transitive:65000:1.25e9", no-llgr]
    - {match: {asPath: {startsWith: 65001, originatedBy: 65002, contains: 65003}}, set: {med: 10, prepend: {times: 2}}}
    accept: [{prefix: 10.244.0.0/16, le: 24}, {prefix: 10.96.0.0/24}, {prefix: 198.51.100.0/24}, {prefix: 203.0.113.0/24}]
    communities: ["65000:100"]
    removePrivateAs: true
    asOverride: true
  localAs: {asn: 64999, replaceAs: true}
  routeReflectorClient: false
  nextHopSelf: false
  role: customer
  roleStrict: true
  passive: false
  fastFailover: always
---
apiVersion: v1
kind: Secret
metadata: {name: tor-a}
stringData: {password: open sesame}
---
apiVersion: v1
kind: Node
metadata:
  name: node1
  labels: {kubernetes.io/hostname: node1}
spec:
  podCIDR: 10.244.1.0/24
  podCIDRs: [10.244.1.0/24, "fd00:244:1::/64"]
status:
  addresses:
  - {type: InternalIP, address: 192.168.1.11}
  - {type: InternalIP, address: "fd00::11"}
  - {type: Hostname, address: node1}
---
apiVersion: routelet.dev/v1alpha1
kind: BgpAdvertisement
metadata: {name: web}
spec:
  nodeSelector: {}
  serviceSelector: {matchLabels: {app: web}}
  namespaces: [shop]
  addresses: [loadBalancer, external, cluster]
  loadBalancerClasses: ["", example.com/metal]
  peers: [tor-a]
  mesh: true
  aggregationLength: {ipv4: 24, ipv6: 64}
  communities: ["65000:200", no-llgr]
  largeCommunities: ["65000:1:2"]
  localPreference: 200
  weightByEndpoints: true
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "fd00:96::10"]
  externalIPs: [203.0.113.7]
  loadBalancerClass: example.com/metal
  externalTrafficPolicy: Local
  internalTrafficPolicy: Cluster
  ports: [{port: 80}]
status:
  loadBalancer:
    ingress:
    - {ip: 198.51.100.10, ipMode: VIP}
    - {ip: 198.51.100.10}
    - {ip: 198.51.100.99, ipMode: Proxy}
    - {hostname: web.example.com}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-abc, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints:
- {addresses: [10.244.1.2], nodeName: node1}
- {addresses: [10.244.1.3], nodeName: node1, conditions: {ready: true, serving: true, terminating: false}}
- {addresses: [10.244.1.4], nodeName: node1, conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.244.1.5], nodeName: node1, conditions: {ready: false, serving: false, terminating: true}}
- {addresses: [10.244.1.6], nodeName: node1, conditions: {ready: false}}
"#;

fn read(text: &str) -> Result<Reading, Error> {
    parse([("routers.yaml", text)])
}

#[test]
fn the_documented_manifest_is_accepted() {
    let reading = read(EVERYTHING).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reading.warnings, []);
    let compiled = compile(&reading.objects, "node1").unwrap_or_else(|error| panic!("{error}"));
    let warnings: Vec<String> = compiled.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, [""; 0]);
    let pods = &compiled.network.pods;
    assert_eq!(pods.name, "pod-network");
    let exempt: Vec<String> = pods.exempt.iter().map(ToString::to_string).collect();
    assert_eq!(exempt, ["10.244.1.0/24", "192.168.0.0/16", "fd00:244:1::/64"]);
    let peer = &compiled.intent.peers["tor-a"];
    assert_eq!(peer.password.as_ref().unwrap().expose(), b"open sesame");
    assert_eq!(peer.export_communities, [65000 << 16 | 100]);
    assert!(!format!("{reading:?}{compiled:?}").contains("sesame"));
}

#[test]
fn of_a_service_is_kept_what_routing_needs() {
    let objects = read(EVERYTHING).unwrap().objects;
    let (name, service) = objects.services.first_key_value().unwrap();
    assert_eq!(name.to_string(), "shop/web");
    let texts = |list: &[IpAddr]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(&service.cluster_ips), ["10.96.0.10", "fd00:96::10"]);
    assert_eq!(texts(&service.external_ips), ["203.0.113.7"]);
    assert_eq!(texts(&service.ingress_ips), ["198.51.100.10"], "once, and nothing of a proxy");
    assert_eq!(service.load_balancer_class.as_deref(), Some("example.com/metal"));
    assert_eq!(service.external_traffic_policy, TrafficPolicy::Local);
    assert_eq!(service.internal_traffic_policy, TrafficPolicy::Cluster);
    let (name, slice) = objects.endpoint_slices.first_key_value().unwrap();
    assert_eq!((name.to_string().as_str(), slice.service.as_deref()), ("shop/web-abc", Some("web")));
    let states: Vec<_> = slice.endpoints.iter().map(|e| (e.address.to_string(), e.state)).collect();
    let state = |address: &str, state| (address.to_owned(), state);
    assert_eq!(
        states,
        [
            state("10.244.1.2", EndpointState::Ready),
            state("10.244.1.3", EndpointState::Ready),
            state("10.244.1.4", EndpointState::Terminating),
        ]
    );
}

#[test]
fn the_example_of_services_does_what_it_says() {
    let reading = read(include_str!("manifests/services.yaml")).unwrap_or_else(|error| panic!("{error}"));
    let compiled = compile(&reading.objects, "node1").unwrap_or_else(|error| panic!("{error}"));
    let warnings: Vec<String> = compiled.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, [""; 0]);
    let own = &compiled.intent.originated;
    let prefixes: Vec<String> = own.keys().map(ToString::to_string).collect();
    assert_eq!(prefixes, ["198.51.100.10/32", "198.51.101.0/24"]);
    let [web, ledger] = own.values().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!((web.weight, web.aggregate, web.scope.mesh), (Some(2), false, true));
    assert_eq!((ledger.local_pref, ledger.aggregate), (Some(200), true));
}

/// The API server judges by the schema of the CRD before we see an object; both must agree.
#[test]
fn the_documented_manifest_fits_the_schema_of_the_crds() {
    let mut checked = 0;
    let crds = [
        (BgpConfiguration::crd(), "BgpConfiguration"),
        (BgpPeer::crd(), "BgpPeer"),
        (BgpAdvertisement::crd(), "BgpAdvertisement"),
    ];
    for (crd, kind) in crds {
        assert_eq!(crd.spec.scope, "Cluster");
        let schema = crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        let schema = serde_json::to_value(schema).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let reading = read(EVERYTHING).unwrap();
        let specs = match kind {
            "BgpPeer" => reading.objects.peers.values().map(|s| serde_json::to_value(s).unwrap()).collect(),
            "BgpAdvertisement" => {
                let specs = reading.objects.advertisements.values();
                specs.map(|s| serde_json::to_value(s).unwrap()).collect()
            }
            _ => reading
                .objects
                .configurations
                .values()
                .map(|s| serde_json::to_value(s).unwrap())
                .collect::<Vec<_>>(),
        };
        for spec in specs {
            let errors: Vec<_> =
                validator.iter_errors(&serde_json::json!({"spec": spec})).map(|e| e.to_string()).collect();
            assert_eq!(errors, [""; 0], "{spec}");
            let wrong =
                serde_json::json!({"asn": 0, "timers": {"hold": "90"}, "largeCommunities": ["65000:1"]});
            assert!(!validator.is_valid(&serde_json::json!({ "spec": wrong })));
            checked += 1;
        }
    }
    assert_eq!(checked, 3);
}

#[test]
fn malformed_documents_are_named_with_file_document_line_and_field() {
    let (_, cases) = include_str!("manifests/malformed.txt").split_once("\n== ").unwrap();
    let mut wrong = String::new();
    for case in cases.split("\n== ") {
        let (title, case) = case.split_once('\n').unwrap();
        let (text, expected) = case.split_once("=>\n").unwrap();
        let said = match read(text) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        if said != expected.trim_end() {
            write!(wrong, "== {title}\n{text}=>\n{said}\n\n").unwrap();
        }
    }
    assert!(wrong.is_empty(), "said otherwise than expected:\n\n{wrong}");
}

#[test]
fn a_name_that_is_taken_is_refused_with_both_places() {
    let node = "apiVersion: v1\nkind: Node\nmetadata:\n  name: node1\n";
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: node1}\n";
    let error =
        parse([("a.yaml", &*format!("{secret}---\n{node}")), ("b.yaml", node)]).unwrap_err().to_string();
    assert_eq!(
        error,
        "b.yaml, document 1 (Node node1), line 4: metadata.name: already defined in a.yaml, document 2, line 8"
    );
}

#[test]
fn foreign_kinds_are_passed_over_and_lists_are_opened() {
    let reading = read(
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: other}\nspec: {whatever: 1}\n---\n\
         apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: node1}}\n\
         - {apiVersion: v1, kind: Node, metadata: {name: node2}}\n",
    )
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reading.objects.nodes.keys().collect::<Vec<_>>(), ["node1", "node2"]);
    let warnings: Vec<String> = reading.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "routers.yaml, document 1 (DaemonSet other), line 1: apps/v1 DaemonSet is passed over: it means nothing to Routelet"
        ]
    );
}

/// A thousand peers, a line of JSON each, as a generator of configuration writes them.
#[test]
fn a_thousand_peers_take_no_more_than_seconds_of_work() {
    let mut text = String::from(
        "{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": \"dut\"}, \"status\": \
         {\"addresses\": [{\"type\": \"InternalIP\", \"address\": \"10.0.0.1\"}]}}\n",
    );
    for i in 0..1000 {
        let (a, b) = (i / 250, i % 250);
        writeln!(
            text,
            "---\n{{\"apiVersion\": \"routelet.dev/v1alpha1\", \"kind\": \"BgpPeer\", \"metadata\": {{\"name\": \
             \"p{i}\"}}, \"spec\": {{\"address\": \"10.1.{a}.{b}\", \"asn\": 64512, \"passive\": true, \
             \"sourceAddress\": \"10.2.{a}.{b}\", \"timers\": {{\"hold\": \"180s\"}}, \"families\": \
             [\"ipv4Unicast\"], \"import\": {{\"accept\": [{{\"prefix\": \"0.0.0.0/0\", \"le\": 32}}, \
             {{\"prefix\": \"::/0\", \"le\": 128}}]}}, \"export\": {{\"accept\": [{{\"prefix\": \"0.0.0.0/0\", \
             \"le\": 32}}, {{\"prefix\": \"::/0\", \"le\": 128}}]}}, \"routeReflectorClient\": true}}}}"
        )
        .unwrap();
    }
    let start = worked();
    let reading = read(&text).unwrap_or_else(|error| panic!("{error}"));
    let compiled = compile(&reading.objects, "dut").unwrap_or_else(|error| panic!("{error}"));
    let took = worked() - start;
    assert_eq!(compiled.intent.peers.len(), 1000);
    // Unoptimized: an order of magnitude above what a release build takes.
    assert!(took < Duration::from_secs(5), "took {took:?}");
    let _ = writeln!(std::io::stderr().lock(), "1,000 peers in {took:?}");
}

/// What a processor has spent on this thread: what it waited for while others had the machine is not in
/// it. In hundredths of a second, which is what the kernel counts it in for everybody (proc(5)).
#[allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]
fn worked() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // The name, in parentheses, may hold anything; of what is behind it, utime and stime.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}
