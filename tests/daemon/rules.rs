//! A routing table of our own, and the policy rules that lead to it.

use std::net::UdpSocket;
use std::time::Duration;

use routelet::fib::Target;
use routelet::kernel::found;
use routelet::kernel::routes::Ownership;
use routelet::kernel::rules::Rule;

use crate::rig::{Addressing, Cluster};

const TABLE: Ownership = Ownership { table: 100, protocol: 114 };

/// A full mesh with this in `spec.fib`.
fn configure(cluster: &Cluster, fib: &str) {
    let text = format!(
        "apiVersion: routelet.dev/v1alpha1\nkind: BgpConfiguration\nmetadata: {{name: default}}\n\
         spec: {{asn: 64512, mesh: full, fib: {{{fib}}}}}\n"
    );
    cluster.write("configuration.yaml", &text);
}

async fn rules(cluster: &Cluster, node: usize) -> Vec<Rule> {
    cluster.netlink(node).our_rules(TABLE.protocol).await.unwrap()
}

/// As ip-rule(8) shows them, without those before them for connected networks.
async fn leading(cluster: &Cluster, node: usize) -> Vec<String> {
    let rules = rules(cluster, node).await;
    rules.iter().filter(|rule| rule.table != 254).map(ToString::to_string).collect()
}

async fn await_leading(cluster: &Cluster, node: usize, expected: &[&str]) {
    let is_so = async || leading(cluster, node).await == expected;
    cluster.eventually(node, &format!("rules {expected:?}"), is_so).await;
}

async fn await_routes(cluster: &Cluster, node: usize) {
    let expected = cluster.pod_cidrs(1 - node);
    let there = async || {
        let routes = cluster.namespace(node).enter(|| found::found(TABLE)).unwrap().unwrap().routes;
        let learned = routes.into_iter().filter(|route| route.target != Target::Unreachable);
        learned.map(|route| route.prefix).collect::<Vec<_>>() == expected
    };
    cluster.eventually(node, "routes in a table of our own", there).await;
}

/// A datagram from one address to the other and back.
fn there_and_back(cluster: &Cluster, near: (usize, &str), far: (usize, &str)) {
    let bind = |(node, address): (usize, &str)| {
        let socket = cluster.namespace(node).enter(|| UdpSocket::bind((address, 0))).unwrap();
        let socket = socket.unwrap_or_else(|error| panic!("{address}: {error}"));
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket
    };
    let (one, other) = (bind(near), bind(far));
    let mut buffer = [0; 8];
    one.send_to(b"there", other.local_addr().unwrap()).unwrap_or_else(|e| panic!("{near:?} to {far:?}: {e}"));
    let (_, from) = other.recv_from(&mut buffer).unwrap_or_else(|e| panic!("nothing at {far:?}: {e}"));
    other.send_to(b"back", from).unwrap_or_else(|e| panic!("{far:?} to {from}: {e}"));
    one.recv_from(&mut buffer).unwrap_or_else(|e| panic!("nothing back at {near:?}: {e}"));
}

const PLAIN: [&str; 2] = ["1000: from all lookup 100", "1000: from all lookup 100"];

#[tokio::test]
async fn packets_take_a_table_of_our_own_and_find_what_is_connected() {
    let mut cluster = Cluster::new("table", Addressing::Dual).await;
    configure(&cluster, "table: 100, rules: [{priority: 1000}]");
    cluster.start(0);
    cluster.start(1);
    for node in [0, 1] {
        await_routes(&cluster, node).await;
        await_leading(&cluster, node, &PLAIN).await;
        assert_eq!(cluster.learned(node).await, [], "nothing in main");
    }
    // A pod of each node, as far as routing can tell: an address beside the gateway's.
    for (near, far) in [("10.244.1.1", "10.244.2.1"), ("fd00:10:244:1::1", "fd00:10:244:2::1")] {
        there_and_back(&cluster, (0, near), (1, far));
    }
    // The aggregate of a node's own pods stands in a table that comes before theirs.
    let bridge = cluster.netlink(0).link("cni0").await.unwrap().unwrap();
    let shown = ip(&cluster, 0, "route get 10.244.1.7");
    assert!(shown.contains(&format!("dev {}", bridge.name)), "{shown}");
    let unreachable = ip(&cluster, 0, "-6 route get fd00:10:244:1::7");
    assert!(unreachable.contains("dev cni0"), "{unreachable}");
    let status = cluster.status(0);
    assert!(status.contains("1000: from all lookup 100, ipv6Unicast\n"), "{status}");
    cluster.await_metric(0, "routelet_kernel_rules{state=\"failed\"} 0").await;
}

fn ip(cluster: &Cluster, node: usize, arguments: &str) -> String {
    let mut command = std::process::Command::new("ip");
    let output =
        cluster.namespace(node).enter(|| command.args(arguments.split(' ')).output()).unwrap().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn rules_outlive_a_restart_are_repaired_and_go_when_nobody_wants_them() {
    let mut cluster = Cluster::new("rules", Addressing::Dual).await;
    ip(&cluster, 0, "rule add pref 1000 lookup 100");
    ip(&cluster, 0, "rule add pref 2000 lookup 100 proto 114");
    configure(&cluster, "table: 100, rules: [{priority: 1000}]");
    cluster.start(0);
    cluster.start(1);
    await_leading(&cluster, 0, &PLAIN).await;

    for _ in 0..2 {
        ip(&cluster, 0, "-6 rule del pref 1000 proto 114");
        await_leading(&cluster, 0, &PLAIN).await;
    }
    assert!(cluster.log(0).contains("made rule 1000: from all lookup 100 again: somebody had removed it"));

    // A network that comes to be connected is looked for in main from then on.
    cluster.add_address(0, "198.51.100.1/24").await;
    let guarded = async || {
        rules(&cluster, 0).await.iter().any(|rule| rule.to == Some("198.51.100.0/24".parse().unwrap()))
    };
    cluster.eventually(0, "a rule for it", guarded).await;

    let before = rules(&cluster, 0).await;
    for killed in [true, false] {
        if killed {
            cluster.kill(0).await;
        } else {
            cluster.terminate(0).await;
        }
        assert_eq!(rules(&cluster, 0).await, before, "killed: {killed}");
        cluster.start_again(0).await;
    }
    assert_eq!(
        cluster.log(0).matches("made rule 1000").count(),
        4,
        "once for each family, and repaired twice"
    );

    let several =
        "rules: [{priority: 500, from: 10.244.0.0/16, iif: cni0}, {priority: 501, fwmark: 0x10/0xff}]";
    let both = [
        "500: from 10.244.0.0/16 iif cni0 lookup 100",
        "501: from all fwmark 0x10/0xff lookup 100",
        "501: from all fwmark 0x10/0xff lookup 100",
    ];
    configure(&cluster, &format!("table: 100, {several}"));
    await_leading(&cluster, 0, &both).await;
    configure(&cluster, &format!("table: 100, protocol: 115, {several}"));
    await_leading(&cluster, 0, &[]).await;
    configure(&cluster, &format!("table: 100, {several}"));
    await_leading(&cluster, 0, &both).await;

    cluster.leave(0).await;
    assert_eq!(rules(&cluster, 0).await, []);
    let shown = ip(&cluster, 0, "rule");
    assert!(shown.contains("1000:\tfrom all lookup 100\n"), "somebody else's has stayed: {shown}");

    cluster.start(0);
    await_leading(&cluster, 0, &both).await;
    configure(&cluster, "table: 100");
    await_leading(&cluster, 0, &[]).await;
    assert_eq!(rules(&cluster, 0).await, []);
    configure(&cluster, &format!("table: 100, {several}"));
    await_leading(&cluster, 0, &both).await;
    cluster.kill(0).await;
    cluster.cleanup(0);
    assert_eq!(rules(&cluster, 0).await, []);
}
