//! Our nftables tables in the real kernel, looked at with `nft`, which product code never runs.

use std::process::Command;

use routelet::kernel::nftables::{Attached, Mapping, Nftables, Owner, Transport, Way};
use routelet::kernel::{Error, NetNs};
use routelet::prefix::Prefix;

use crate::rig::require_root;

fn fresh() -> NetNs {
    require_root();
    NetNs::create().unwrap()
}

fn open(namespace: &NetNs) -> Nftables {
    namespace.enter(Nftables::open).unwrap().unwrap()
}

/// Runs `nft` in a namespace and returns what it says, which must be no complaint.
fn nft(namespace: &NetNs, arguments: &[&str]) -> String {
    run(namespace, "nft", arguments)
}

fn run(namespace: &NetNs, program: &str, arguments: &[&str]) -> String {
    let output = namespace.enter(|| Command::new(program).args(arguments).output()).unwrap();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines of what there is, and the elements, which the kernel lists in no order; sorted.
fn ruleset(namespace: &NetNs) -> Vec<String> {
    let text = nft(namespace, &["list", "ruleset"]);
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let element = line.strip_prefix("elements = { ").unwrap_or(&line);
        let element = element.strip_suffix(" }").unwrap_or(element);
        lines.push(element.trim_end_matches(',').to_owned());
    }
    lines.sort();
    lines
}

fn owner(container: &str) -> Owner {
    Owner {
        network: "pods".to_owned(),
        container: container.to_owned(),
        interface: "eth0".to_owned(),
        link: format!("veth{container}"),
    }
}

/// A pod with everything that there is.
fn pod(container: &str, host: u8) -> Attached {
    let (v4, v6) = (format!("10.244.1.{host}"), format!("fd00:1::{host:x}"));
    let mapping = |address: &str, host: Option<&str>, transport| Mapping {
        transport,
        host: host.map(|host| host.parse().unwrap()),
        host_port: 8000 + u16::from(host.is_some()),
        pod: std::net::SocketAddr::new(address.parse().unwrap(), 80),
    };
    Attached {
        masqueraded: vec![v4.parse().unwrap(), v6.parse().unwrap()],
        networks: prefixes(&["10.244.0.0/16", "224.0.0.0/4", "fd00::/8"]),
        mappings: vec![
            mapping(&v4, None, Transport::Tcp),
            mapping(&v4, Some("192.0.2.1"), Transport::Udp),
            mapping(&v6, None, Transport::Sctp),
            mapping(&v6, Some("2001:db8::1"), Transport::Tcp),
        ],
        way: Some(Way { interface: "cni0".to_owned(), is_own: false }),
        station: Some([2, 0, 0, 0, 0, host]),
        ..Attached::of(owner(container))
    }
}

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// What `nft` makes of our octets is what the documentation of the layout says.
#[test]
fn the_tables_are_as_documented() {
    let namespace = fresh();
    let mut nftables = open(&namespace);
    nftables.add(&pod("c1", 2)).unwrap();
    let shown = ruleset(&namespace);
    let expected = [
        "table inet routelet {",
        "10.244.1.2 comment \"pods/c1/eth0 vethc1\"",
        "fd00:1::2 comment \"pods/c1/eth0 vethc1\"",
        "10.244.0.0/16, 224.0.0.0/4",
        "fd00::/8",
        "type inet_proto . inet_service : ipv4_addr . inet_service",
        "tcp . 8000 comment \"pods/c1/eth0 vethc1\" : 10.244.1.2 . 80",
        "sctp . 8000 comment \"pods/c1/eth0 vethc1\" : fd00:1::2 . 80",
        "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
        "192.0.2.1 . udp . 8001 comment \"pods/c1/eth0 vethc1\" : 10.244.1.2 . 80",
        "2001:db8::1 . tcp . 8001 comment \"pods/c1/eth0 vethc1\" : fd00:1::2 . 80",
        "\"cni0\" . \"cni0\"",
        "\"\" . \"cni0\"",
        "type nat hook postrouting priority srcnat; policy accept;",
        "ip saddr @masqueraded4 ip daddr != @networks4 ip daddr != @exempt4 masquerade fully-random",
        "iifname . oifname @bridges ip daddr . meta l4proto . th dport @targets4 ct status dnat masquerade fully-random",
        "ip6 saddr @masqueraded6 ip6 daddr != @networks6 ip6 daddr != @exempt6 masquerade fully-random",
        "iifname . oifname @bridges ip6 daddr . meta l4proto . th dport @targets6 ct status dnat masquerade fully-random",
        "ip saddr 127.0.0.0/8 ip daddr . meta l4proto . th dport @targets4 ct status dnat masquerade fully-random",
        "type nat hook prerouting priority dstnat; policy accept;",
        "type nat hook output priority -100; policy accept;",
        "fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @addressed_ports4",
        "fib daddr type local meta nfproto ipv4 dnat ip to meta l4proto . th dport map @ports4",
        "fib daddr type local dnat ip6 to ip6 daddr . meta l4proto . th dport map @addressed_ports6",
        "fib daddr type local meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @ports6",
        "type filter hook prerouting priority raw; policy accept;",
        "ip daddr 127.0.0.0/8 iifname . iifname @bridges drop",
        "table bridge routelet {",
        "\"vethc1\" comment \"pods/c1/eth0 vethc1\"",
        "\"vethc1\" . 02:00:00:00:00:02 comment \"pods/c1/eth0 vethc1\"",
        "iifname @checked iifname . ether saddr != @stations drop",
        "iifname @checked iifname . arp saddr ether != @stations drop",
    ];
    for line in expected {
        assert!(shown.iter().any(|shown| shown == line), "no line {line:?} in\n{}", shown.join("\n"));
    }
    assert_eq!(nftables.missing(&pod("c1", 2)).unwrap(), None);
}

#[test]
fn the_last_pod_takes_the_tables_with_it() {
    let namespace = fresh();
    let mut nftables = open(&namespace);
    let (first, second) = (pod("c1", 2), Attached { mappings: Vec::new(), ..pod("c2", 3) });
    assert!(!nftables.remove(&first.owner, &first.masqueraded).unwrap(), "nothing was there");
    nftables.add(&first).unwrap();
    nftables.add(&second).unwrap();
    assert!(nftables.remove(&first.owner, &first.masqueraded).unwrap());
    let left = ruleset(&namespace).join("\n");
    assert!(!left.contains("c1") && left.contains("vethc2"), "{left}");
    assert_eq!(nftables.missing(&second).unwrap(), None);
    assert!(!nftables.remove(&first.owner, &[]).unwrap());
    assert!(nftables.remove(&second.owner, &[]).unwrap());
    assert_eq!(ruleset(&namespace), [""; 0]);
    // Without masquerade and without ports only one of the tables is made.
    let spoofless = Attached { station: Some([2; 6]), ..Attached::of(owner("c3")) };
    nftables.add(&spoofless).unwrap();
    assert!(!ruleset(&namespace).join("\n").contains("table inet"));
    assert!(nftables.remove(&spoofless.owner, &[]).unwrap());
    assert_eq!(ruleset(&namespace), [""; 0]);
}

#[test]
fn a_port_goes_to_whom_it_is_free_for() {
    let namespace = fresh();
    let mut nftables = open(&namespace);
    let first = pod("c1", 2);
    // The pod of this mapping is attached: its interface is there.
    run(&namespace, "ip", &["link", "add", "vethc1", "type", "veth", "peer", "name", "eth0"]);
    nftables.add(&first).unwrap();
    nftables.add(&first).unwrap();
    let second = pod("c2", 3);
    let before = ruleset(&namespace);
    let error = namespace.enter(|| nftables.add(&second)).unwrap().unwrap_err();
    assert!(matches!(error, Error::HostPortTaken { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "host port 8000/tcp is taken: container c1 of network pods has it, which is attached by vethc1"
    );
    assert_eq!(ruleset(&namespace), before, "nothing of a refused pod is left");
    run(&namespace, "ip", &["link", "delete", "vethc1"]);
    namespace.enter(|| nftables.add(&second)).unwrap().unwrap();
    assert_eq!(nftables.missing(&second).unwrap(), None);
    let missing = nftables.missing(&first).unwrap();
    assert_eq!(missing.as_deref(), Some("ports4 of the nftables table routelet has another pod's element"));
    // A late DEL of the first must not take the ports from the second.
    nftables.remove(&first.owner, &first.masqueraded).unwrap();
    assert_eq!(nftables.missing(&second).unwrap(), None);
}

#[test]
fn what_gc_does_not_name_is_removed() {
    let namespace = fresh();
    let mut nftables = open(&namespace);
    let other = Owner { network: "others".to_owned(), ..owner("c9") };
    for attached in [
        Attached { mappings: Vec::new(), ..pod("c1", 2) },
        Attached { mappings: Vec::new(), ..pod("c2", 3) },
        Attached { owner: other, mappings: Vec::new(), ..pod("c9", 9) },
    ] {
        nftables.add(&attached).unwrap();
    }
    let gone = nftables.retain("pods", |owner| owner.container == "c2").unwrap();
    assert_eq!(gone, [owner("c1")]);
    let left = ruleset(&namespace).join("\n");
    assert!(!left.contains("c1") && left.contains("vethc2") && left.contains("others/c9"), "{left}");
}

/// As a DEL leaves it that is killed between two transactions: the pod is out, and the tables are there.
#[test]
fn a_table_that_a_killed_del_has_left_goes_with_the_next() {
    let namespace = fresh();
    let mut nftables = open(&namespace);
    let attached = Attached { mappings: Vec::new(), ..pod("c1", 2) };
    let leave = |nftables: &mut Nftables| {
        nftables.add(&attached).unwrap();
        for (family, set) in [("inet", "masqueraded4"), ("inet", "masqueraded6"), ("bridge", "checked")] {
            nft(&namespace, &["flush", "set", family, "routelet", set]);
        }
        nft(&namespace, &["flush", "set", "bridge", "routelet", "stations"]);
    };
    leave(&mut nftables);
    assert!(!nftables.remove(&attached.owner, &attached.masqueraded).unwrap(), "nothing of it was there");
    assert_eq!(ruleset(&namespace), [""; 0]);
    leave(&mut nftables);
    assert_eq!(nftables.retain("pods", |_| true).unwrap(), []);
    assert_eq!(ruleset(&namespace), [""; 0]);
    // What is somebody's stays: the daemon's, and another pod's.
    nftables.set_exempt(&[]).unwrap();
    leave(&mut nftables);
    for mut one in [nftables, open(&namespace)] {
        assert_eq!(one.retain("pods", |_| true).unwrap(), []);
    }
    let mut nftables = open(&namespace);
    let left = ruleset(&namespace).join("\n");
    assert!(left.contains("table inet") && !left.contains("table bridge"), "{left}");
    assert!(nftables.remove_all().unwrap());
    nftables.add(&attached).unwrap();
    assert_eq!(nftables.retain("others", |_| true).unwrap(), []);
    assert_eq!(nftables.missing(&attached).unwrap(), None);
}

/// All of them find no table, and all of them leave none.
#[test]
fn eight_first_pods_at_once() {
    let namespace = fresh();
    let pods: Vec<Attached> =
        (2..10).map(|host| Attached { mappings: Vec::new(), ..pod(&format!("c{host}"), host) }).collect();
    let mut opened: Vec<Nftables> = pods.iter().map(|_| open(&namespace)).collect();
    for _ in 0..20 {
        std::thread::scope(|scope| {
            for (nftables, attached) in opened.iter_mut().zip(&pods) {
                scope.spawn(|| {
                    nftables.add(attached).unwrap();
                    assert_eq!(nftables.missing(attached).unwrap(), None);
                });
            }
        });
        std::thread::scope(|scope| {
            for (nftables, attached) in opened.iter_mut().zip(&pods) {
                scope.spawn(|| assert!(nftables.remove(&attached.owner, &attached.masqueraded).unwrap()));
            }
        });
        assert_eq!(ruleset(&namespace), [""; 0]);
    }
}

#[test]
fn what_somebody_breaks_is_seen_and_repaired() {
    let namespace = fresh();
    let mut nftables = open(&namespace);
    let attached = pod("c1", 2);
    nftables.add(&attached).unwrap();
    let whole = ruleset(&namespace);
    assert!(!nftables.repair().unwrap());
    nft(&namespace, &["flush", "chain", "inet", "routelet", "output"]);
    let missing = nftables.missing(&attached).unwrap();
    assert_eq!(missing.as_deref(), Some("rules are missing in the nftables table inet routelet"));
    assert!(nftables.repair().unwrap());
    assert_eq!(ruleset(&namespace), whole);
    nft(&namespace, &["delete", "chain", "bridge", "routelet", "prerouting"]);
    assert!(nftables.repair().unwrap());
    nft(&namespace, &["flush", "set", "inet", "routelet", "networks6"]);
    let missing = nftables.missing(&attached).unwrap();
    assert_eq!(missing.as_deref(), Some("the pod's network is missing in the nftables table routelet"));
    nft(&namespace, &["flush", "ruleset"]);
    assert!(nftables.missing(&attached).unwrap().is_some());
    nftables.add(&attached).unwrap();
    assert_eq!(ruleset(&namespace), whole);
}

/// What stands where a set of ours was is no race that one wins by trying again.
#[test]
fn a_set_that_somebody_took_out_is_put_back() {
    let namespace = fresh();
    let mut nftables = open(&namespace);
    nftables.add(&pod("c1", 2)).unwrap();
    let take_out = || {
        nft(&namespace, &["flush", "chain", "inet", "routelet", "postrouting"]);
        nft(&namespace, &["delete", "set", "inet", "routelet", "masqueraded4"]);
        nft(&namespace, &["delete", "set", "inet", "routelet", "exempt4"]);
    };
    take_out();
    let second = Attached { mappings: Vec::new(), ..pod("c2", 3) };
    nftables.add(&second).unwrap();
    assert_eq!(nftables.missing(&second).unwrap(), None);
    take_out();
    nftables.set_exempt(&prefixes(&["10.0.0.0/8"])).unwrap();
    let text = nft(&namespace, &["list", "set", "inet", "routelet", "exempt4"]);
    assert!(text.contains("10.0.0.0/8"), "{text}");
}

/// The first and the last address, alone and as the ends of everything.
#[test]
fn intervals_reach_to_both_ends() {
    let namespace = fresh();
    let mut nftables = open(&namespace);
    let everything = ["0.0.0.0/0", "::/0"];
    let ends = ["0.0.0.0/32", "255.255.255.255/32", "::/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"];
    let lower = ["0.0.0.0/1", "::/1"];
    let upper = ["128.0.0.0/1", "8000::/1"];
    let shown = |set: &str| {
        let text = nft(&namespace, &["list", "set", "inet", "routelet", set]);
        let all = text.split_whitespace().collect::<Vec<_>>().join(" ");
        all.split_once("elements = { ").unwrap().1.split(" }").next().unwrap().to_owned()
    };
    let [v4_ends, v6_ends] = ["0.0.0.0, 224.0.0.0/4, 255.255.255.255", "::, ff00::/8"].map(str::to_owned);
    let steps = [
        (&ends[..], v4_ends, v6_ends),
        (&everything[..], "0.0.0.0/0".to_owned(), "::/0".to_owned()),
        (&lower[..], "0.0.0.0/1, 224.0.0.0/4".to_owned(), "::/1, ff00::/8".to_owned()),
        (&upper[..], "128.0.0.0/1".to_owned(), "8000::/1".to_owned()),
    ];
    // From each to each, by one who remembers and by one who reads.
    for from in &steps {
        for to in &steps {
            nftables.set_exempt(&prefixes(from.0)).unwrap();
            open(&namespace).set_exempt(&prefixes(to.0)).unwrap();
            assert_eq!((&shown("exempt4"), &shown("exempt6")), (&to.1, &to.2), "from {:?}", from.0);
            nftables = open(&namespace);
            nftables.set_exempt(&prefixes(from.0)).unwrap();
            nftables.set_exempt(&prefixes(to.0)).unwrap();
            assert_eq!((&shown("exempt4"), &shown("exempt6")), (&to.1, &to.2), "from {:?}", from.0);
        }
    }
}

#[test]
fn the_exempt_are_written_as_differences() {
    let namespace = fresh();
    let mut nftables = open(&namespace);
    let shown = || {
        let text = nft(&namespace, &["list", "set", "inet", "routelet", "exempt4"]);
        let all = text.split_whitespace().collect::<Vec<_>>().join(" ");
        all.split_once("elements = { ").unwrap().1.split(" }").next().unwrap().to_owned()
    };
    nftables.set_exempt(&prefixes(&["10.0.0.0/8", "fd00::/8"])).unwrap();
    assert_eq!(shown(), "10.0.0.0/8, 224.0.0.0/4");
    nftables.set_exempt(&prefixes(&["10.0.0.0/9", "192.0.2.0/24", "10.0.0.0/16"])).unwrap();
    assert_eq!(shown(), "10.0.0.0/9, 192.0.2.0/24, 224.0.0.0/4");
    // A second daemon, after a restart, finds what the first has written.
    open(&namespace).set_exempt(&prefixes(&["192.0.2.0/24", "192.0.3.0/24"])).unwrap();
    assert_eq!(shown(), "192.0.2.0/23, 224.0.0.0/4");
    // The last pod leaves the daemon its table.
    let attached = pod("c1", 2);
    nftables.add(&attached).unwrap();
    nftables.remove(&attached.owner, &[]).unwrap();
    assert_eq!(shown(), "192.0.2.0/23, 224.0.0.0/4");
    // Somebody removes everything: the next time all of it is written.
    nft(&namespace, &["flush", "ruleset"]);
    nftables.set_exempt(&prefixes(&["192.0.2.0/24", "::/1"])).unwrap();
    assert_eq!(shown(), "192.0.2.0/24, 224.0.0.0/4");
    assert!(nftables.remove_all().unwrap());
    assert!(!nftables.remove_all().unwrap());
    assert_eq!(ruleset(&namespace), [""; 0]);
}

#[test]
fn many_prefixes_are_written_at_once() {
    let namespace = fresh();
    let mut nftables = open(&namespace);
    // Every other /24, so that nothing can be merged.
    let many: Vec<Prefix> = (0..20_000_u32)
        .map(|n| Prefix::new(std::net::Ipv4Addr::from_bits(0x0100_0000 + (n << 9)).into(), 24).unwrap())
        .collect();
    nftables.set_exempt(&many).unwrap();
    nftables.set_exempt(&many[1..]).unwrap();
    let text = nft(&namespace, &["list", "set", "inet", "routelet", "exempt4"]);
    assert_eq!(text.matches("/24").count(), many.len() - 1);
}

#[test]
fn foreign_chains_that_drop_are_named() {
    let namespace = fresh();
    let mut nftables = open(&namespace);
    assert_eq!(nftables.dropping_forward().unwrap(), [""; 0]);
    nftables.add(&pod("c1", 2)).unwrap();
    for arguments in [
        "add table ip filter",
        "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }",
        "add chain ip filter INPUT { type filter hook input priority 0; policy drop; }",
        "add table inet firewall",
        "add chain inet firewall fine { type filter hook forward priority 0; policy accept; }",
        "add chain inet firewall forward { type filter hook forward priority 10; policy drop; }",
        "add chain inet firewall regular",
    ] {
        nft(&namespace, &[arguments]);
    }
    assert_eq!(nftables.dropping_forward().unwrap(), ["inet firewall forward", "ip filter FORWARD"]);
}
