//! Beside the reference plugin `host-local`: a node is switched over, and back, with its pods running.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

const REFERENCE: &str = "/usr/lib/cni/host-local";

/// Calls the reference for an owner; its answer, or `None` if it refused.
fn reference(scratch: &Scratch, verb: &str, id: &str) -> Option<String> {
    assert!(
        fs::exists(REFERENCE).unwrap(),
        "{REFERENCE} is missing: apt-get install containernetworking-plugins"
    );
    let configuration = format!(
        r#"{{"cniVersion": "0.4.0", "name": "{NETWORK}", "type": "bridge", "prevResult": {{"ips": []}},
            "ipam": {{"type": "host-local", "subnet": "10.0.0.0/28", "dataDir": {:?}}}}}"#,
        scratch.0
    );
    let mut child = Command::new(REFERENCE)
        .env_clear()
        .envs([("CNI_COMMAND", verb), ("CNI_CONTAINERID", id), ("CNI_NETNS", "/proc/self/ns/net")])
        .envs([("CNI_IFNAME", "eth0"), ("CNI_PATH", "/usr/lib/cni")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(configuration.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

fn reference_add(scratch: &Scratch, id: &str) -> String {
    let answer = reference(scratch, "ADD", id).unwrap();
    let at = answer.find("10.0.0.").unwrap();
    answer[at..].split('/').next().unwrap().to_owned()
}

#[test]
fn a_node_goes_over_and_back() {
    let scratch = Scratch::new();
    let (store, sets) = (scratch.store(), [whole("10.0.0.0/28")]);
    assert_eq!(reference_add(&scratch, "theirs1"), "10.0.0.2");
    assert_eq!(reference_add(&scratch, "theirs2"), "10.0.0.3");
    // Over: its pods keep their addresses, are known, and go.
    assert_eq!(store.allocate(&owner("ours1"), &sets, &[]).unwrap()[0].address, ip("10.0.0.4"));
    assert_eq!(store.allocate(&owner("ours2"), &sets, &[]).unwrap()[0].address, ip("10.0.0.5"));
    assert_eq!(store.held_by(&owner("theirs1")).unwrap(), [ip("10.0.0.2")]);
    assert!(store.allocate(&owner("theirs1"), &sets, &[]).is_err(), "it is attached");
    assert_eq!(store.release(&owner("theirs1")).unwrap(), [ip("10.0.0.2")]);
    // Back: it goes on from where we were, knows ours, and releases it.
    assert_eq!(reference_add(&scratch, "theirs3"), "10.0.0.6");
    assert_eq!(reference(&scratch, "ADD", "ours1"), None, "a duplicate, to the reference as well");
    assert!(reference(&scratch, "CHECK", "ours1").is_some());
    assert!(reference(&scratch, "CHECK", "theirs1").is_none(), "what was released does not look held");
    reference(&scratch, "DEL", "ours1").unwrap();
    // And over once more.
    let holders = ["ours2", "theirs2", "theirs3"];
    assert_eq!(store.owners().unwrap(), holders.map(owner).into());
    assert_eq!(scratch.records(), holders.map(|id| format!("{id}:eth0")));
    assert_eq!(store.allocate(&owner("ours1"), &sets, &[]).unwrap()[0].address, ip("10.0.0.7"));
    for id in ["ours1", "ours2", "theirs2", "theirs3"] {
        assert_eq!(store.release(&owner(id)).unwrap().len(), 1, "{id}");
    }
    assert_eq!(store.reservations().unwrap(), []);
}

/// Two networks' configurations may share a directory for good, one of each kind.
#[test]
fn both_at_once_give_no_address_twice() {
    let scratch = Scratch::new();
    let mut given: Vec<IpAddr> = std::thread::scope(|scope| {
        let (scratch, sets) = (&scratch, [whole("10.0.0.0/28")]);
        let theirs = scope.spawn(|| {
            let add = |n| {
                let address = ip(&reference_add(scratch, &format!("t{n}")));
                reference(scratch, "DEL", &format!("o{n}")).unwrap();
                address
            };
            (0..6).map(add).collect::<Vec<_>>()
        });
        let ours = scope.spawn(move || {
            let add = |n: i32| {
                let address =
                    scratch.store().allocate(&owner(format!("p{n}")), &sets, &[]).unwrap()[0].address;
                scratch.store().release(&owner(format!("q{n}"))).unwrap();
                address
            };
            (0..6).map(add).collect::<Vec<_>>()
        });
        [theirs.join().unwrap(), ours.join().unwrap()].concat()
    });
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 12);
    assert_eq!(scratch.store().owners().unwrap().len(), 12);
}
