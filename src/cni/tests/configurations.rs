//! Fields of a configuration: what is wrong is named by its path, what is not known passes.

use super::*;

fn fault(changes: Value) -> (u64, String) {
    let error = Plan::make(&network(changes), &[]).unwrap_err();
    (u64::from(error.code.number()), error.to_string())
}

#[test]
fn wrong_values_name_their_field() {
    let ipam = |ipam: Value| json!({"ipam": ipam});
    for (changes, field, why) in [
        (json!({"isGateway": "yes"}), "isGateway", "invalid type: string \"yes\", expected a boolean"),
        (json!({"mtu": -1}), "mtu", "invalid value: integer `-1`, expected u32"),
        (
            ipam(json!({"type": "host-local"})),
            "ipam.subnet",
            "it is absent, and there are no ranges; set it, or set ipam.type to routelet for the node's pod CIDRs",
        ),
        (
            ipam(json!({"type": "host-local", "subnet": "10.0.0.1/24"})),
            "ipam.subnet",
            "\"10.0.0.1/24\" has host bits set; the prefix is 10.0.0.0/24",
        ),
        (
            ipam(
                json!({"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "fd00::/64",
                "rangeStart": "10.0.0.1"}]]}),
            ),
            "ipam.ranges[1][0].rangeStart",
            "10.0.0.1 is not in subnet fd00::/64",
        ),
        (
            ipam(json!({"type": "host-local", "ranges": [{"subnet": "10.0.0.0/24"}]})),
            "ipam.ranges[0]",
            "{\"subnet\":\"10.0.0.0/24\"} is not a list",
        ),
        (
            ipam(json!({"type": "host-local", "subnet": "10.0.0.0/24", "gateway": "10.0.0.300"})),
            "ipam.gateway",
            "\"10.0.0.300\": invalid IP address syntax",
        ),
        (
            ipam(json!({"type": "host-local", "subnet": "10.0.0.0/24", "routes": [{"gw": "10.0.0.1"}]})),
            "ipam.routes[0].dst",
            "it is absent",
        ),
        (
            ipam(json!({"type": "host-local", "subnet": "10.0.0.0/24", "routes": [{"dst": "::/0",
                "gw": "10.0.0.1"}]})),
            "ipam.routes[0].gw",
            "10.0.0.1 is not of the family of ::/0",
        ),
        (
            ipam(json!({"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/16"}], [{"subnet":
                "10.0.3.0/24"}]]})),
            "ipam.ranges",
            "10.0.3.0/24 (10.0.3.1 to 10.0.3.254) overlaps with 10.0.0.0/16 (10.0.0.1 to 10.0.255.254)",
        ),
        (
            json!({"runtimeConfig": {"mac": "01:00:00:00:00:01"}}),
            "runtimeConfig.mac",
            "\"01:00:00:00:00:01\" is not a station's hardware address",
        ),
        (
            json!({"args": {"cni": {"ips": ["10.244.0"]}}}),
            "args.cni.ips",
            "\"10.244.0\": invalid IP address syntax",
        ),
    ] {
        assert_eq!(fault(changes), (7, format!("network configuration: {field} is wrong: {why}")));
    }
}

#[test]
fn what_is_not_known_passes() {
    let tolerated = json!({"vlan": 0, "promiscMode": false, "ipMasqBackend": "nftables", "unheard-of": [1]});
    assert!(Plan::make(&network(tolerated), &[]).is_ok());
}

#[test]
fn pods_that_are_routed_to_are_not_kept_apart() {
    for (field, value) in
        [("vlan", json!(5)), ("vlanTrunk", json!([{"id": 5}])), ("portIsolation", json!(true))]
    {
        let why = format!(
            "network configuration: {field} is wrong: there is no bridge in mode routed; leave it out"
        );
        assert_eq!(fault(json!({"mode": "routed", field: value})), (7, why));
    }
}

#[test]
fn capabilities_outrank_arguments() {
    let args = |text: &[(&str, &str)]| {
        text.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
    };
    let old = args(&[("IgnoreUnknown", "1"), ("IP", "10.244.0.9"), ("MAC", "02:00:00:00:00:09")]);
    let read = |changes| Plan::make(&network(changes), &old).unwrap();
    let from_args = read(json!({}));
    assert_eq!(from_args.addressing.requested, ["10.244.0.9".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(from_args.mac, Some([2, 0, 0, 0, 0, 9]));
    let runtime = json!({"runtimeConfig": {"ips": ["10.244.0.7/16"], "mac": "02:00:00:00:00:07"}});
    let from_runtime = read(runtime);
    assert_eq!(from_runtime.addressing.requested, ["10.244.0.7".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(from_runtime.mac, Some([2, 0, 0, 0, 0, 7]));
}

#[test]
fn name_service_comes_from_the_network_or_a_file() {
    let scratch = Scratch::new();
    let path = scratch.0.join("resolv.conf");
    fs::write(&path, "# x\nnameserver 10.0.0.53\nnameserver fd00::53\nsearch a.b c\noptions ndots:5\n")
        .unwrap();
    let ipam = json!({"type": "host-local", "subnet": "10.0.0.0/24", "resolvConf": path});
    let read = |changes| {
        let plan = Plan::make(&network(changes), &[]).unwrap();
        let taken = Success { dns: plan.addressing.dns.clone(), ..Success::default() };
        plan.complete(taken).unwrap().dns
    };
    let from_file = read(json!({"ipam": ipam}));
    assert_eq!(from_file.nameservers, ["10.0.0.53", "fd00::53"]);
    assert_eq!(from_file.search, ["a.b", "c"]);
    assert_eq!(from_file.options, ["ndots:5"]);
    let own = json!({"dns": {"nameservers": ["1.1.1.1"], "domain": "x"}, "ipam": ipam});
    assert_eq!(read(own).nameservers, ["1.1.1.1"]);
}
