//! A Service with the traffic policy `Local`, whose endpoints move from node to node: the ToRs' routes follow, and a
//! stream to its address loses nothing while the new comes before the old goes.
//!
//! Who answers at the address are the nodes themselves, in the place of what hands packets to endpoints: an address
//! that a node does not announce may still be answered there, so that what is lost is lost on the way.

use crate::manifests::{Sessions, give_nodes, replaced};
use crate::network::{Network, Traffic};
use crate::routelet::{nodes, put, tors};
use crate::router::Edits;
use crate::row::{Row, lossless, ms};
use crate::shape::{Shape, Tors};
use crate::stream::{End, Stream};

const BIRD: Shape = Shape::PLAIN;
const FRR: Shape = Shape { tors: Tors::Frr, ..BIRD };
const REFLECTED: Shape = Shape { reflectors: &[2], ..BIRD };

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    lossless("endpoints of a Service move", BIRD, endpoints_move),
    lossless("endpoints of a Service move, ToRs run FRR", FRR, endpoints_move),
    lossless("endpoints of a Service move, with a reflector", REFLECTED, endpoints_move),
    lossless("a node with endpoints of a Service is cordoned, then drained", BIRD, node_leaves),
    lossless("a node with endpoints of a Service is cordoned, then drained, ToRs run FRR", FRR, node_leaves),
];

const ADDRESS: &str = "10.245.7.1";
/// As the ToRs' filters have it.
const PREFIX: &str = "10.245.7.1/32";
/// The nodes between which endpoints move.
const HAVING: [usize; 2] = [1, 3];

/// What an EndpointSlice says of the endpoint on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Ready,
    /// It is told to end, and still serves.
    Ending,
}

use Endpoint::{Ending, Ready};

fn endpoints_move(network: &Network, traffic: &Traffic) {
    announce(network);
    tell(network, &[(1, Ready)]);
    await_route(network, &[1]);
    let before = Sessions::of(network);
    let stream = stream(network);
    tell(network, &[(1, Ready), (3, Ready)]);
    network.node(3).host.eventually("announced", || announces(network, 3));
    traffic.pass(ms(500));
    tell(network, &[(1, Ending), (3, Ready)]);
    await_route(network, &[3]);
    tell(network, &[(3, Ready)]);
    traffic.pass(ms(300));
    // Nobody is ready: those that still serve are better than none.
    tell(network, &[(3, Ending)]);
    traffic.pass(ms(500));
    assert!(announces(network, 3), "it still serves");
    end(stream);
    // From here on the old goes when it hears of the new.
    tell(network, &[(1, Ready), (3, Ending)]);
    await_route(network, &[1]);
    tell(network, &[]);
    await_route(network, &[]);
    before.check_untouched(network, |_, _| false);
}

/// Its addresses go from a node at once that is cordoned; its pods, with all sessions, when it is drained.
fn node_leaves(network: &Network, traffic: &Traffic) {
    announce(network);
    tell(network, &[(1, Ready), (3, Ready)]);
    for number in HAVING {
        network.node(number).host.eventually("announced", || announces(network, number));
    }
    traffic.pass(ms(500));
    let before = Sessions::of(network);
    let stream = stream(network);
    let nodes = nodes(&network.shape);
    let cordoned = replaced(
        &nodes,
        "spec: {podCIDRs: [\"10.244.3.0/24\"]",
        "spec: {unschedulable: true, podCIDRs: [\"10.244.3.0/24\"]",
    );
    give_nodes(network, &cordoned);
    await_route(network, &[1]);
    before.check_untouched(network, |_, _| false);
    let drain = "metadata: {name: node3, annotations: {routelet.dev/drain: \"true\"}, labels:";
    give_nodes(network, &replaced(&cordoned, "metadata: {name: node3, labels:", drain));
    for tor in &network.tors {
        tor.eventually("no route to the pods of node 3", || tor.links_to("10.244.3.0/24").is_empty());
    }
    traffic.pass(ms(500));
    give_nodes(network, &nodes);
    network.await_settled();
    traffic.pass(ms(500));
    end(stream);
}

/// A Service, and who may announce it to whom.
fn announce(network: &Network) {
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: default}}\n\
         spec: {{type: LoadBalancer, externalTrafficPolicy: Local, clusterIP: 10.96.0.10, ports: [{{port: 80}}]}}\n\
         status: {{loadBalancer: {{ingress: [{{ip: {ADDRESS}}}]}}}}\n---\n\
         apiVersion: routelet.dev/v1alpha1\nkind: BgpAdvertisement\nmetadata: {{name: all}}\nspec: {{serviceSelector: {{}}}}\n"
    );
    for node in &network.nodes {
        let exported = format!("[{{prefix: \"{}\"}}]", network.shape.pods(node.number));
        let all = format!("[{{prefix: \"{}\"}}, {{prefix: {PREFIX}}}]", network.shape.pods(node.number));
        put(
            node,
            "tors.yaml",
            &replaced(&tors(&network.shape, node.number, Edits::default()), &exported, &all),
        );
        put(node, "services.yaml", &service);
    }
    for number in HAVING {
        network.node(number).host.do_run(&format!("ip address add {ADDRESS}/32 dev lo"));
    }
}

/// Gives every node the endpoints as they are now, on one node after another.
fn tell(network: &Network, endpoints: &[(usize, Endpoint)]) {
    let listed: Vec<String> = endpoints
        .iter()
        .map(|(number, endpoint)| {
            let (ready, ending) = (*endpoint == Ready, *endpoint == Ending);
            format!(
                "\n- {{addresses: [10.244.{number}.2], nodeName: node{number}, conditions: {{ready: {ready}, serving: true, \
                 terminating: {ending}}}}}"
            )
        })
        .collect();
    let listed = if listed.is_empty() { " []".to_owned() } else { listed.concat() };
    let text = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: web-1, namespace: default, labels: {{kubernetes.io/service-name: web}}}}\n\
         addressType: IPv4\nports: []\nendpoints:{listed}\n"
    );
    for node in &network.nodes {
        put(node, "endpoints.yaml", &text);
    }
}

/// Waits until both ToRs send to these nodes alone.
fn await_route(network: &Network, numbers: &[usize]) {
    let links: Vec<String> = numbers.iter().map(|number| format!("node{number}")).collect();
    for tor in &network.tors {
        tor.eventually(&format!("{PREFIX} by {links:?}"), || tor.links_to(PREFIX) == links);
    }
}

/// Whether a node tells both ToRs.
fn announces(network: &Network, number: usize) -> bool {
    let socket = network.node(number).host.path("api");
    ["tor-a", "tor-b"].iter().all(|tor| {
        let told = network
            .node(number)
            .host
            .run(&format!("{} peers {tor} announced --api-socket {socket}", env!("CARGO_BIN_EXE_routelet")));
        told.contains(PREFIX)
    })
}

fn stream(network: &Network) -> Stream {
    let address = ADDRESS.parse().unwrap();
    let ends = HAVING.map(|number| End { namespace: &network.node(number).host.namespace, address });
    let flowing = Stream::start("before", &network.host_outside(), &ends, 4006);
    network.node(1).host.eventually("packets to the Service", || flowing.arrived() > 0);
    flowing.end();
    Stream::start("outside to the Service", &network.host_outside(), &ends, 4007)
}

fn end(stream: Stream) {
    let count = stream.end();
    assert_eq!(count.lost, 0, "{count:?}");
}
