//! Tests of ranges, the node file and the store, the store against a model.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::prefix::Prefix;

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("routelet-ipam-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn store(&self) -> Store {
        Store::new(&self.0, "pods")
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.join("pods"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn owner(id: impl ToString) -> Owner {
    Owner { container_id: id.to_string(), interface: "eth0".to_owned() }
}

fn set(spec: RangeSpec, pod_cidrs: &[&str]) -> Result<RangeSet, Error> {
    let pod_cidrs: Vec<Prefix> = pod_cidrs.iter().map(|text| prefix(text)).collect();
    RangeSet::new(spec.ranges(&pod_cidrs)?)
}

fn whole(subnet: &str) -> RangeSet {
    set(RangeSpec::whole(prefix(subnet)), &[]).unwrap()
}

fn addresses(set: &RangeSet, last: Option<&str>) -> Vec<String> {
    set.after(last.map(ip)).map(|(address, _)| address.to_string()).collect()
}

mod ranges {
    use super::*;

    #[test]
    fn network_broadcast_and_gateway_are_never_offered() {
        assert_eq!(addresses(&whole("10.0.0.0/29"), None), [2, 3, 4, 5, 6].map(|n| format!("10.0.0.{n}")));
        assert_eq!(addresses(&whole("fd00::/126"), None), ["fd00::2", "fd00::3"]);
        let inside = RangeSpec { gateway: Some(ip("10.0.0.4")), ..RangeSpec::whole(prefix("10.0.0.0/29")) };
        assert_eq!(
            addresses(&set(inside, &[]).unwrap(), None),
            [1, 2, 3, 5, 6].map(|n| format!("10.0.0.{n}"))
        );
        let edges = RangeSpec {
            start: Some(ip("10.0.0.0")),
            end: Some(ip("10.0.0.7")),
            ..RangeSpec::whole(prefix("10.0.0.0/29"))
        };
        assert_eq!(
            addresses(&set(edges, &[]).unwrap(), None),
            [2, 3, 4, 5, 6].map(|n| format!("10.0.0.{n}"))
        );
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
        assert_eq!(
            show(&bounded, &["10.244.1.0/24"]),
            "10.244.1.0/24 10.244.1.100-10.244.1.254 gw 10.244.1.1"
        );
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
}

mod node_file {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let scratch = Scratch::new();
        let path = scratch.0.join("run/node.json");
        assert_eq!(NodeFile::read(&path).unwrap(), None);
        let file = NodeFile {
            pod_cidrs: vec![prefix("10.244.1.0/24"), prefix("fd00::/64")],
            bridge: "cni0".to_owned(),
            ..NodeFile::default()
        };
        file.write(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\"podCIDRs\":[\"10.244.1.0/24\",\"fd00::/64\"],\"mode\":\"bridge\",\"bridge\":\"cni0\",\
             \"masquerade\":false}\n"
        );
        assert_eq!(NodeFile::read(&path).unwrap(), Some(file.clone()));
        fs::write(&path, r#"{"podCIDRs": ["10.244.1.0/24", "fd00::/64"], "bridge": "cni0", "other": 1}"#)
            .unwrap();
        assert_eq!(NodeFile::read(&path).unwrap(), Some(file.clone()), "of an older or newer daemon");
        NodeFile { mtu: Some(1400), ..file }.write(&path).unwrap();
        assert_eq!(NodeFile::read(&path).unwrap().unwrap().mtu, Some(1400));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_place() {
        let scratch = Scratch::new();
        let path = scratch.0.join("node.json");
        let error = |text: &str| {
            fs::write(&path, text).unwrap();
            let error = NodeFile::read(&path).unwrap_err().to_string();
            error.replace(path.to_str().unwrap(), "FILE")
        };
        assert_eq!(error(""), "FILE: EOF while parsing a value at line 1 column 0");
        assert_eq!(error(r#"{"podCIDRs":[]}"#), "FILE: missing field `bridge` at line 1 column 15");
        assert_eq!(
            error(r#"{"podCIDRs":["10.0.0.1/24"],"bridge":"b"}"#),
            "FILE: \"10.0.0.1/24\" has host bits set; the prefix is 10.0.0.0/24 at line 1 column 27"
        );
    }
}

mod store {
    use super::*;

    #[test]
    fn files_are_those_of_host_local() {
        let scratch = Scratch::new();
        let sets = [whole("10.0.0.0/24"), whole("fd00::/64")];
        let given = scratch.store().allocate(&owner("c1"), &sets, &[]).unwrap();
        assert_eq!(given.iter().map(|a| a.address).collect::<Vec<_>>(), [ip("10.0.0.2"), ip("fd00::2")]);
        assert_eq!(
            scratch.names(),
            ["10.0.0.2", "fd00::2", "last_reserved_ip.0", "last_reserved_ip.1", "lock", "owners"]
        );
        let read = |name: &str| fs::read_to_string(scratch.0.join("pods").join(name)).unwrap();
        assert_eq!(read("10.0.0.2"), "c1\r\neth0");
        assert_eq!(read("last_reserved_ip.1"), "fd00::2");
        assert_eq!(read("owners/c1:eth0"), "10.0.0.2\nfd00::2\n");
        assert_eq!(scratch.store().release(&owner("c1")).unwrap(), [ip("10.0.0.2"), ip("fd00::2")]);
        assert_eq!(scratch.names(), ["last_reserved_ip.0", "last_reserved_ip.1", "lock", "owners"]);
        assert_eq!(fs::read_dir(scratch.0.join("pods/owners")).unwrap().count(), 0);
    }

    #[test]
    fn reservations_of_host_local_are_respected_and_released() {
        let scratch = Scratch::new();
        let store = scratch.store();
        fs::create_dir(scratch.0.join("pods")).unwrap();
        let write = |name: &str, text: &str| fs::write(scratch.0.join("pods").join(name), text).unwrap();
        write("10.0.0.2", "old\r\neth0");
        write("10.0.0.3", "older");
        write("last_reserved_ip.0", "10.0.0.1");
        let sets = [whole("10.0.0.0/29")];
        assert_eq!(store.allocate(&owner("c1"), &sets, &[]).unwrap()[0].address, ip("10.0.0.4"));
        assert_eq!(store.release(&owner("old")).unwrap(), [ip("10.0.0.2")]);
        assert_eq!(store.release(&owner("older")).unwrap(), [ip("10.0.0.3")]);
        assert_eq!(store.release(&owner("never")).unwrap(), [] as [IpAddr; 0]);
        // A record of ours from before the node was switched to host-local and back.
        write("owners/again:eth0", "10.0.0.4\n");
        write("10.0.0.5", "again\r\neth0");
        assert_eq!(store.release(&owner("again")).unwrap(), [ip("10.0.0.5")]);
    }

    #[test]
    fn a_second_allocation_is_refused_and_changes_nothing() {
        let scratch = Scratch::new();
        let sets = [whole("10.0.0.0/24")];
        scratch.store().allocate(&owner("c1"), &sets, &[]).unwrap();
        let before = scratch.names();
        let error = scratch.store().allocate(&owner("c1"), &sets, &[]).unwrap_err();
        assert_eq!(error.to_string(), "10.0.0.2 is already allocated to container c1 interface eth0");
        assert_eq!(scratch.names(), before);
    }

    #[test]
    fn exhaustion_in_one_family_reserves_nothing_in_the_other() {
        let scratch = Scratch::new();
        let store = scratch.store();
        let small = whole("10.0.0.0/30");
        store.allocate(&owner("c1"), std::slice::from_ref(&small), &[]).unwrap();
        let before = scratch.names();
        let error = store.allocate(&owner("c2"), &[whole("fd00::/64"), small], &[]).unwrap_err();
        assert_eq!(error.to_string(), "no free address in 10.0.0.0/30 (10.0.0.1 to 10.0.0.2): 1 are taken");
        assert_eq!(scratch.names(), before);
    }

    #[test]
    fn files_that_name_nobody_are_taken_back_before_giving_up() {
        let scratch = Scratch::new();
        let store = scratch.store();
        fs::create_dir(scratch.0.join("pods")).unwrap();
        fs::write(scratch.0.join("pods/10.0.0.2"), "").unwrap();
        let sets = [whole("10.0.0.0/30")];
        assert_eq!(store.allocate(&owner("c1"), &sets, &[]).unwrap()[0].address, ip("10.0.0.2"));
        assert!(matches!(store.has_room(&sets), Err(Error::Exhausted { taken: 1, .. })));
    }

    #[test]
    fn what_a_killed_process_leaves_is_found_by_its_release() {
        // Killed after the record, and after the first of two addresses.
        for reserved in [&["10.0.0.2"][..], &[]] {
            let scratch = Scratch::new();
            let pods = scratch.0.join("pods");
            fs::create_dir_all(pods.join("owners")).unwrap();
            fs::write(pods.join("owners/c1:eth0"), "10.0.0.2\nfd00::2\n").unwrap();
            fs::write(pods.join(".new"), "c1\r").unwrap();
            for name in reserved {
                fs::write(pods.join(name), "c1\r\neth0").unwrap();
            }
            fs::write(pods.join("fd00::2"), "somebody\r\neth0").unwrap();
            assert_eq!(scratch.store().owners().unwrap(), [owner("c1"), owner("somebody")].into());
            assert_eq!(scratch.store().release(&owner("c1")).unwrap().len(), reserved.len());
            assert_eq!(scratch.names(), ["fd00::2", "lock", "owners"]);
            assert_eq!(fs::read_dir(pods.join("owners")).unwrap().count(), 0);
        }
    }

    #[test]
    fn requested_addresses_are_given_or_refused() {
        let scratch = Scratch::new();
        let store = scratch.store();
        let sets = [whole("10.0.0.0/24"), whole("fd00::/64")];
        let given = store.allocate(&owner("c1"), &sets, &[ip("10.0.0.77")]).unwrap();
        assert_eq!(given[0].address, ip("10.0.0.77"));
        assert_eq!(given[1].address, ip("fd00::2"));
        let error =
            |id: &str, text: &str| store.allocate(&owner(id), &sets, &[ip(text)]).unwrap_err().to_string();
        assert_eq!(error("c2", "10.0.0.77"), "requested address 10.0.0.77 is taken");
        for text in ["10.0.0.1", "10.0.0.255", "10.0.1.5"] {
            let why = "is in none of the ranges, or is not for pods";
            assert_eq!(error("c2", text), format!("requested address {text} {why}"));
        }
    }

    #[test]
    fn a_released_address_rests_for_a_full_turn() {
        let scratch = Scratch::new();
        let store = scratch.store();
        let sets = [whole("10.0.0.0/28")];
        let mut given = Vec::new();
        for turn in 0..26 {
            given.push(store.allocate(&owner(turn), &sets, &[]).unwrap()[0].address);
            store.release(&owner(turn)).unwrap();
        }
        assert_eq!(given[..13], given[13..]);
        given.truncate(13);
        given.dedup();
        assert_eq!(given.len(), 13);
    }

    #[test]
    fn a_hundred_at_once_get_a_hundred_addresses() {
        let scratch = Scratch::new();
        let sets = [whole("10.0.0.0/24"), whole("fd00::/64")];
        let mut given: Vec<IpAddr> = std::thread::scope(|scope| {
            let run = |n: usize| {
                let (store, sets) = (scratch.store(), &sets);
                move || {
                    store.allocate(&owner(format!("x{n}")), sets, &[]).unwrap();
                    store.release(&owner(format!("x{n}"))).unwrap();
                    store.allocate(&owner(n), sets, &[]).unwrap()
                }
            };
            let threads: Vec<_> = (0..100).map(|n| scope.spawn(run(n))).collect();
            threads.into_iter().flat_map(|t| t.join().unwrap()).map(|a| a.address).collect()
        });
        given.sort();
        given.dedup();
        assert_eq!(given.len(), 200);
        assert_eq!(scratch.store().reservations().unwrap().len(), 200);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Allocate(u8),
        Release(u8),
        Request(u8, u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u8..24).prop_map(Step::Allocate),
            3 => (0u8..24).prop_map(Step::Release),
            1 => (0u8..24, 0u8..20).prop_map(|(o, a)| Step::Request(o, a)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the order, nobody gets what another holds, exhaustion is real, and the disk
        /// agrees with the model.
        #[test]
        fn no_address_is_held_twice(steps in prop::collection::vec(step(), 1..120)) {
            let scratch = Scratch::new();
            let store = scratch.store();
            let sets = [whole("10.0.0.0/28")];
            let mut model: BTreeMap<IpAddr, Owner> = BTreeMap::new();
            for step in steps {
                let (id, request) = match step {
                    Step::Release(id) => {
                        let mine: Vec<IpAddr> =
                            model.iter().filter(|(_, o)| **o == owner(id)).map(|(a, _)| *a).collect();
                        prop_assert_eq!(store.release(&owner(id)).unwrap(), mine);
                        model.retain(|_, o| *o != owner(id));
                        continue;
                    }
                    Step::Allocate(id) => (id, None),
                    Step::Request(id, last) => (id, Some(ip(&format!("10.0.0.{last}")))),
                };
                let holds = model.values().any(|o| *o == owner(id));
                match store.allocate(&owner(id), &sets, request.as_slice()) {
                    Ok(given) => {
                        prop_assert!(!holds && given.len() == 1);
                        let address = given[0].address;
                        prop_assert!(sets[0].range_of(address).is_some());
                        prop_assert!(request.is_none_or(|r| r == address));
                        prop_assert_eq!(model.insert(address, owner(id)), None);
                    }
                    Err(Error::Duplicate { .. }) => prop_assert!(holds),
                    Err(Error::Exhausted { .. }) => prop_assert_eq!(model.len(), 13),
                    Err(Error::Requested { address, .. }) => prop_assert!(
                        model.contains_key(&address) || sets[0].range_of(address).is_none()
                    ),
                    Err(other) => prop_assert!(false, "{}", other),
                }
            }
            let on_disk: BTreeMap<IpAddr, Owner> = store
                .reservations().unwrap().into_iter().map(|r| (r.address, r.owner.unwrap())).collect();
            prop_assert_eq!(on_disk, model);
        }
    }
}
