//! What a range set offers, in which order.

use super::*;

#[test]
fn network_broadcast_and_gateway_are_never_offered() {
    assert_eq!(addresses(&whole("10.0.0.0/29"), None), [2, 3, 4, 5, 6].map(|n| format!("10.0.0.{n}")));
    assert_eq!(addresses(&whole("fd00::/126"), None), ["fd00::2", "fd00::3"]);
    let inside = RangeSpec { gateway: Some(ip("10.0.0.4")), ..RangeSpec::whole(prefix("10.0.0.0/29")) };
    assert_eq!(addresses(&set(inside, &[]).unwrap(), None), [1, 2, 3, 5, 6].map(|n| format!("10.0.0.{n}")));
    let edges = RangeSpec {
        start: Some(ip("10.0.0.0")),
        end: Some(ip("10.0.0.7")),
        ..RangeSpec::whole(prefix("10.0.0.0/29"))
    };
    assert_eq!(addresses(&set(edges, &[]).unwrap(), None), [2, 3, 4, 5, 6].map(|n| format!("10.0.0.{n}")));
}

#[test]
fn the_circle_starts_after_the_last_and_ends_with_it() {
    let ranges = ["10.0.0.0/30", "10.0.1.0/29"].map(|s| RangeSpec::whole(prefix(s)).ranges(&[]).unwrap());
    let set = RangeSet::new(ranges.concat()).unwrap();
    let circle = |last| addresses(&set, last).join(" ").replace("10.0.", "");
    assert_eq!(circle(None), "0.2 1.2 1.3 1.4 1.5 1.6");
    assert_eq!(circle(Some("10.0.1.4")), "1.5 1.6 0.2 1.2 1.3 1.4");
    assert_eq!(circle(Some("10.0.1.6")), "0.2 1.2 1.3 1.4 1.5 1.6");
    assert_eq!(circle(Some("10.9.9.9")), "0.2 1.2 1.3 1.4 1.5 1.6");
}

#[test]
fn a_subnet_narrows_to_the_pod_cidrs_inside_it() {
    let wide = RangeSpec::whole(prefix("10.244.0.0/16"));
    let show = |spec: &RangeSpec, cidrs: &[&str]| {
        let set = set(spec.clone(), cidrs).unwrap();
        let show = |r: &Range| format!("{} {}-{} gw {}", r.prefix, r.first, r.last, r.gateway);
        set.ranges().iter().map(show).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(show(&wide, &[]), "10.244.0.0/16 10.244.0.1-10.244.255.254 gw 10.244.0.1");
    assert_eq!(
        show(&wide, &["10.244.1.0/24", "fd00::/64"]),
        "10.244.1.0/24 10.244.1.1-10.244.1.254 gw 10.244.1.1"
    );
    assert_eq!(show(&wide, &["10.9.0.0/24"]), show(&wide, &[]));
    assert_eq!(show(&wide, &["10.0.0.0/8"]), show(&wide, &[]));
    assert_eq!(show(&wide, &["10.244.1.0/24", "10.244.7.0/24"]).matches("gw").count(), 2);

    let written_out = RangeSpec { gateway: Some(ip("10.244.0.1")), ..wide.clone() };
    assert_eq!(show(&written_out, &["10.244.1.0/24"]), show(&wide, &["10.244.1.0/24"]));
    let bounded = RangeSpec { start: Some(ip("10.244.1.100")), ..wide.clone() };
    assert_eq!(show(&bounded, &["10.244.1.0/24"]), "10.244.1.0/24 10.244.1.100-10.244.1.254 gw 10.244.1.1");
    let elsewhere = RangeSpec { end: Some(ip("10.244.0.200")), ..wide };
    assert_eq!(
        set(elsewhere, &["10.244.1.0/24"]).unwrap_err().to_string(),
        "subnet: rangeStart and rangeEnd leave no address of this node's pod CIDR 10.244.1.0/24 within \
         10.244.0.0/16"
    );
}

#[test]
fn contradictions_name_the_field() {
    let fault = |subnet: &str, start: Option<&str>, end: Option<&str>, gateway: Option<&str>| {
        let spec = RangeSpec {
            subnet: prefix(subnet),
            start: start.map(ip),
            end: end.map(ip),
            gateway: gateway.map(ip),
        };
        set(spec, &[]).unwrap_err().to_string()
    };
    assert_eq!(
        fault("10.0.0.0/31", None, None, None),
        "subnet: 10.0.0.0/31 is too small to allocate from: it must leave two host bits"
    );
    assert_eq!(
        fault("10.0.0.0/24", Some("10.0.1.1"), None, None),
        "rangeStart: 10.0.1.1 is not in subnet 10.0.0.0/24"
    );
    assert_eq!(
        fault("10.0.0.0/24", Some("10.0.0.9"), Some("10.0.0.8"), None),
        "rangeStart: 10.0.0.9 lies after the end of the range, 10.0.0.8"
    );
    assert_eq!(
        fault("10.0.0.0/24", None, None, Some("fd00::1")),
        "gateway: fd00::1 is not in subnet 10.0.0.0/24"
    );
}

#[test]
fn a_set_is_of_one_family_and_free_of_overlaps() {
    let range = |text: &str| RangeSpec::whole(prefix(text)).ranges(&[]).unwrap().remove(0);
    assert!(RangeSet::new(vec![]).is_err());
    assert!(RangeSet::new(vec![range("10.0.0.0/24"), range("fd00::/64")]).is_err());
    assert!(RangeSet::new(vec![range("10.0.0.0/16"), range("10.0.3.0/24")]).is_err());
    assert!(RangeSet::new(vec![range("10.0.2.0/24"), range("10.0.3.0/24")]).is_ok());
}

#[test]
fn the_whole_of_ipv6_is_a_range_too() {
    let everything = whole("::/0");
    assert_eq!(everything.after(None).next().unwrap().0, ip("::2"));
    assert!(everything.range_of(ip("ffff:ffff::")).is_some());
}
