//! Addresses of Services from the manifests' directory: endpoints move from node to node, and the ToR follows.

use std::collections::BTreeSet;

use routelet::bgp::Message;
use routelet::prefix::Prefix;

use crate::played::{Played, codec};
use crate::rig::{Addressing, Cluster};

/// The ToR's end of its session with each node. Those of node1 are on the wire's other end, and the other
/// way round.
const TORS: [(&str, usize, &str); 2] =
    [("192.168.1.101", 1, "192.168.1.11"), ("192.168.1.102", 0, "192.168.1.12")];

const OBJECTS: &str = "\
apiVersion: routelet.dev/v1alpha1
kind: BgpPeer
metadata: {name: tor-of-node1}
spec:
  nodeSelector: {matchLabels: {name: node1}}
  address: 192.168.1.101
  asn: 65000
  passive: true
  export: {accept: [{prefix: 198.51.0.0/16, le: 32}]}
---
apiVersion: routelet.dev/v1alpha1
kind: BgpPeer
metadata: {name: tor-of-node2}
spec:
  nodeSelector: {matchLabels: {name: node2}}
  address: 192.168.1.102
  asn: 65000
  passive: true
  export: {accept: [{prefix: 198.51.0.0/16, le: 32}]}
---
apiVersion: routelet.dev/v1alpha1
kind: BgpAdvertisement
metadata: {name: singly}
spec: {serviceSelector: {matchLabels: {pool: singly}}}
---
apiVersion: routelet.dev/v1alpha1
kind: BgpAdvertisement
metadata: {name: together}
spec: {serviceSelector: {matchLabels: {pool: together}}, aggregationLength: {ipv4: 24}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {pool: singly}}
spec: {type: LoadBalancer, externalTrafficPolicy: Local}
status: {loadBalancer: {ingress: [{ip: 198.51.100.10}]}}
---
apiVersion: v1
kind: Service
metadata: {name: mail, namespace: shop, labels: {pool: together}}
spec: {type: LoadBalancer, externalTrafficPolicy: Local}
status: {loadBalancer: {ingress: [{ip: 198.51.101.10}]}}
";

/// What is announced where the endpoints are.
const ANNOUNCED: [&str; 2] = ["198.51.100.10/32", "198.51.101.0/24"];

/// The endpoints of both Services, on one node or on two.
fn endpoints(nodes: &[&str]) -> String {
    let slice = |service: &str| {
        let endpoint = |(i, node)| format!("{{addresses: [10.244.9.{i}], nodeName: {node}}}");
        let endpoints: Vec<String> = nodes.iter().enumerate().map(endpoint).collect();
        format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: {service}-1, namespace: shop, labels: {{kubernetes.io/service-name: {service}}}}}\n\
             addressType: IPv4\nendpoints: [{}]\n",
            endpoints.join(", ")
        )
    };
    slice("web") + &slice("mail")
}

/// The ToR, as far as one of the nodes tells it.
struct Tor {
    session: Played,
    known: BTreeSet<Prefix>,
}

impl Tor {
    async fn come(cluster: &Cluster, (from, at, to): (&str, usize, &str)) -> Tor {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let mut session = Played::connect(cluster.namespace(at), from, to, None).await;
        session.establish(65_000, 90).await;
        session.reads_updates(codec());
        Tor { session, known: BTreeSet::new() }
    }

    /// Listens until it knows these and no others.
    async fn follow(&mut self, expected: &[&str]) {
        let expected: BTreeSet<Prefix> = expected.iter().map(|prefix| prefix.parse().unwrap()).collect();
        while self.known != expected {
            match self.session.hear().await {
                Some(Message::Update(update)) => {
                    update.withdrawn.iter().for_each(|prefix| {
                        self.known.remove(prefix);
                    });
                    self.known.extend(update.announced.into_iter().flat_map(|announced| announced.prefixes));
                }
                Some(Message::Keepalive) => {}
                other => panic!("{:?}, expected {expected:?}: {other:?}", self.known),
            }
        }
    }
}

#[tokio::test]
async fn endpoints_move_and_the_tor_follows() {
    let mut cluster = Cluster::new("services", Addressing::Ipv4).await;
    for (address, at, _) in TORS {
        cluster.add_address(at, &format!("{address}/24")).await;
    }
    cluster.write("services.yaml", OBJECTS);
    cluster.write("endpoints.yaml", &endpoints(&["node1"]));
    cluster.start(0);
    cluster.start(1);
    let mut of_node1 = Tor::come(&cluster, TORS[0]).await;
    let mut of_node2 = Tor::come(&cluster, TORS[1]).await;
    of_node1.follow(&ANNOUNCED).await;
    cluster.await_learned(1, &cluster.pod_cidrs(0)).await;

    // The other node knows, and answers for the address itself.
    let aggregate: Prefix = ANNOUNCED[1].parse().unwrap();
    cluster
        .eventually(1, "node1's address in the table", async || {
            let shown = cluster.routelet(1, &["routes"]);
            ANNOUNCED.iter().all(|prefix| shown.contains(prefix))
        })
        .await;
    assert_eq!(cluster.learned(1).await, cluster.pod_cidrs(0));
    assert!(cluster.aggregates(0).await.contains(&aggregate));
    assert!(!cluster.aggregates(1).await.contains(&aggregate));

    for (nodes, at_node1, at_node2) in [
        (&["node1", "node2"][..], &ANNOUNCED[..], &ANNOUNCED[..]),
        (&["node2"][..], &[][..], &ANNOUNCED[..]),
        (&["node1"][..], &ANNOUNCED[..], &[][..]),
        (&[][..], &[][..], &[][..]),
    ] {
        cluster.write("endpoints.yaml", &endpoints(nodes));
        of_node1.follow(at_node1).await;
        of_node2.follow(at_node2).await;
        for (node, announced) in [(0, at_node1), (1, at_node2)] {
            let stands = !announced.is_empty();
            cluster
                .eventually(node, "the rest of an aggregate is discarded while it is announced", async || {
                    cluster.aggregates(node).await.contains(&aggregate) == stands
                })
                .await;
        }
        assert_eq!(cluster.learned(1).await, cluster.pod_cidrs(0));
    }
    for (node, tor) in ["tor-of-node1", "tor-of-node2"].into_iter().enumerate() {
        cluster.await_metric(node, &format!("routelet_bgp_session_flaps_total{{peer=\"{tor}\"}} 0")).await;
    }
}
