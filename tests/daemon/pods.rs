//! Pods under a running daemon: the network configuration that it writes for a container runtime, what the
//! plugin does with it, and the addresses as the daemon counts them.

use std::fs;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use routelet::ipam::NodeFile;
use routelet::kernel::NetNs;
use serde_json::{Value, json};

use crate::rig::{Addressing, Cluster};

/// A pod's namespace, which other processes find while this one lives.
struct Pod {
    namespace: NetNs,
    name: &'static str,
}

impl Pod {
    fn new(name: &'static str) -> Pod {
        Pod { namespace: NetNs::create().unwrap(), name }
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_fd().as_raw_fd())
    }
}

/// Does with the daemon's configuration what a container runtime does (libcni): takes the newest version that
/// it knows, and hands the plugin its part of the list.
fn call(cluster: &Cluster, node: usize, verb: &str, pod: &Pod) -> Result<Value, Value> {
    let list: Value = serde_json::from_str(&fs::read_to_string(cluster.cni_config(node)).unwrap()).unwrap();
    let mut conf = list["plugins"][0].clone();
    conf["name"] = list["name"].clone();
    conf["cniVersion"] = list["cniVersions"].as_array().unwrap().last().unwrap().clone();
    conf.as_object_mut().unwrap().remove("capabilities");
    assert_eq!(conf["type"], "routelet-cni");
    let mut command = Command::new(env!("CARGO_BIN_EXE_routelet-cni"));
    command.env_clear().env("CNI_COMMAND", verb).env("CNI_CONTAINERID", pod.name).env("CNI_PATH", "/nowhere");
    command.env("CNI_NETNS", pod.path()).env("CNI_IFNAME", "eth0");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = cluster.namespace(node).enter(|| command.spawn()).unwrap().unwrap();
    child.stdin.take().unwrap().write_all(conf.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    if output.status.success() { Ok(document) } else { Err(document) }
}

fn address(result: &Value) -> &str {
    result["ips"][0]["address"].as_str().unwrap()
}

async fn await_config(cluster: &Cluster, node: usize) {
    cluster.await_metric(node, "routelet_cni_config_in_place 1").await;
}

async fn gateways(cluster: &Cluster, node: usize) -> Vec<String> {
    let bridge = cluster.netlink(node).link("cni0").await.unwrap().unwrap();
    let addresses = cluster.netlink(node).addresses(bridge.index).await.unwrap();
    let mut own: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    own.retain(|address| !address.starts_with("fe80:"));
    own.sort();
    own
}

#[tokio::test]
async fn the_runtime_s_configuration_comes_stays_and_goes() {
    let mut cluster = Cluster::new("conflist", Addressing::Ipv4).await;
    let path = cluster.cni_config(0);
    cluster.set(0, "ipv4/ip_forward", "0");
    // It cannot forward, and so it cannot take pods.
    cluster.start_confined(0);
    cluster.await_metric(0, "routelet_cni_config_in_place 0").await;
    assert!(!path.exists());
    let status = cluster.status(0);
    assert!(status.contains("not in place: the node cannot take pods yet\n"), "{status}");
    cluster.set(0, "ipv4/ip_forward", "1");
    await_config(&cluster, 0).await;
    cluster.kill(0).await;
    assert!(path.exists(), "a runtime goes on without the daemon");
    cluster.start(0);
    await_config(&cluster, 0).await;

    let read = || fs::read_to_string(&path).unwrap();
    let before = read();
    assert_eq!(call(&cluster, 0, "STATUS", &Pod::new("p")), Ok(Value::Null));
    cluster.configure_spec("mesh: full, cni: {hairpin: false, network: blue}");
    cluster.eventually(0, "another configuration", async || read() != before).await;
    let changed: Value = serde_json::from_str(&read()).unwrap();
    assert_eq!((&changed["name"], &changed["plugins"][0]["hairpinMode"]), (&json!("blue"), &json!(false)));

    // Somebody else's comes first, and somebody tampers with ours.
    let other = path.with_file_name("05-other.conflist");
    fs::write(&other, "{}").unwrap();
    fs::write(&path, "{}").unwrap();
    let pod = cluster.netlink(0).add_bridge("news", None).await.unwrap();
    cluster.await_metric(0, "routelet_cni_config_in_place 0").await;
    cluster.eventually(0, "put right", async || read() != "{}").await;
    assert!(cluster.status(0).contains(&format!("container runtimes take {} instead", other.display())));
    fs::remove_file(other).unwrap();
    cluster.netlink(0).delete_link(pod.index).await.unwrap();
    await_config(&cluster, 0).await;

    cluster.terminate(0).await;
    assert!(path.exists(), "replaced, not gone");
    cluster.start(0);
    await_config(&cluster, 0).await;
    cluster.leave(0).await;
    assert!(!path.exists(), "gone for good");
    cluster.start(0);
    await_config(&cluster, 0).await;
    cluster.kill(0).await;
    cluster.cleanup(0);
    assert!(!path.exists(), "cleaned up");
}

#[tokio::test]
async fn addresses_are_counted_and_another_pod_cidr_leaves_old_pods_alone() {
    let mut cluster = Cluster::new("pools", Addressing::Ipv4).await;
    cluster.start(0);
    await_config(&cluster, 0).await;
    let (first, second) = (Pod::new("first"), Pod::new("second"));
    assert_eq!(address(&call(&cluster, 0, "ADD", &first).unwrap()), "10.244.1.2/24");
    cluster.await_metric(0, r#"routelet_ipam_addresses{pool="10.244.1.0/24",state="taken"} 1"#).await;
    cluster.await_metric(0, r#"routelet_ipam_addresses{pool="10.244.1.0/24",state="free"} 252"#).await;

    cluster.replace_pod_cidrs(0, &["10.244.7.0/24"]);
    let both = ["10.244.1.1/24", "10.244.7.1/24"];
    cluster.eventually(0, "the new gateway", async || gateways(&cluster, 0).await == both).await;
    let given = async || call(&cluster, 0, "ADD", &second).map(|result| address(&result).to_owned());
    assert_eq!(given().await, Ok("10.244.7.2/24".to_owned()), "the old gateway is no foreigner");
    let file = NodeFile::read(cluster.state_dir(0).join("node.json")).unwrap().unwrap();
    assert_eq!(file.former_pod_cidrs, ["10.244.1.0/24".parse().unwrap()]);
    cluster.await_metric(0, r#"routelet_ipam_addresses{pool="10.244.1.0/24",state="taken"} 1"#).await;
    let status = cluster.status(0);
    assert!(status.contains("1 of 253 taken in 10.244.1.0/24, no longer given out\n"), "{status}");

    // A daemon that starts meanwhile knows of it, too.
    cluster.kill(0).await;
    cluster.start(0);
    await_config(&cluster, 0).await;
    assert_eq!(gateways(&cluster, 0).await, both);
    call(&cluster, 0, "DEL", &first).unwrap();
    cluster.eventually(0, "no old gateway", async || gateways(&cluster, 0).await == both[1..]).await;
    cluster.await_metric(0, r#"routelet_ipam_addresses{pool="10.244.7.0/24",state="taken"} 1"#).await;
    call(&cluster, 0, "DEL", &second).unwrap();
    cluster.await_metric(0, r#"routelet_ipam_addresses{pool="10.244.7.0/24",state="taken"} 0"#).await;
}

/// Makes a reservation older than any ADD takes: the store goes by when it wrote the record.
fn age(cluster: &Cluster, container: &str) {
    let directory = cluster.data_dir(0).join("pod-network");
    let mut records = 0;
    for entry in walk(&directory) {
        if entry.file_name().unwrap().to_str().unwrap().starts_with(container) {
            // A record is a symbolic link.
            let old = TimeSpec::new(fs::symlink_metadata(&entry).unwrap().mtime() - 3600, 0);
            utimensat(AT_FDCWD, &entry, &old, &old, UtimensatFlags::NoFollowSymlink).unwrap();
            records += 1;
        }
    }
    assert_eq!(records, 1, "the record of {container} under {}", directory.display());
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn addresses_of_pods_that_are_gone_are_freed_and_others_stay() {
    let mut cluster = Cluster::new("sweep", Addressing::Dual).await;
    cluster.start(0);
    await_config(&cluster, 0).await;
    let (gone, young, alive) = (Pod::new("gone"), Pod::new("young"), Pod::new("alive"));
    for pod in [&gone, &young, &alive] {
        call(&cluster, 0, "ADD", pod).unwrap();
    }
    let held = cluster.data_dir(0).join("pod-network");
    // host-local's, whose pod may well be there: nothing says that it is not.
    fs::write(held.join("10.244.1.200"), "of-host-local\r\neth0").unwrap();
    cluster.await_metric(0, r#"routelet_ipam_addresses{pool="10.244.1.0/24",state="taken"} 4"#).await;
    cluster.kill(0).await;

    // Their namespaces end, as those of a pod whose runtime has died.
    drop(gone);
    drop(young);
    let left = async || {
        let links = cluster.netlink(0).links().await.unwrap();
        links.iter().filter(|link| link.kind.as_deref() == Some("veth") && link.name != "eth0").count()
    };
    cluster.eventually(0, "two host ends less", async || left().await == 1).await;
    age(&cluster, "gone");
    age(&cluster, "alive");
    cluster.start(0);
    cluster.await_metric(0, "routelet_ipam_swept_total 2").await;
    cluster.await_metric(0, r#"routelet_ipam_addresses{pool="10.244.1.0/24",state="taken"} 3"#).await;
    cluster.await_metric(0, r#"routelet_ipam_addresses{pool="fd00:10:244:1::/64",state="taken"} 2"#).await;
    assert!(held.join("10.244.1.200").exists());
    assert!(cluster.log(0).contains("freed the addresses of a pod that is gone container=\"gone\""));
    call(&cluster, 0, "DEL", &alive).unwrap();
}

/// What `nft` shows of our table for packets.
fn tables(cluster: &Cluster, node: usize) -> String {
    let mut command = Command::new("nft");
    command.args(["list", "ruleset"]);
    let output = cluster.namespace(node).enter(|| command.output()).unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn masquerade_knows_the_cluster_and_what_is_learned() {
    let mut cluster = Cluster::new("masquerade", Addressing::Ipv4).await;
    cluster.start(0);
    await_config(&cluster, 0).await;
    assert_eq!(tables(&cluster, 0), "", "nobody has asked for it");

    cluster.configure_spec("mesh: full, cni: {masquerade: true, masqueradeExempt: [192.0.2.0/24]}");
    let shows = async |what: &str| {
        cluster
            .eventually(0, &format!("{what} in nftables"), async || tables(&cluster, 0).contains(what))
            .await;
    };
    shows("192.0.2.0/24").await;
    // Pod CIDRs of nodes whose routes nobody has told yet.
    shows("10.244.1.0-10.244.2.255").await;
    let config = || fs::read_to_string(cluster.cni_config(0)).unwrap();
    cluster.eventually(0, "ipMasq", async || config().contains("\"ipMasq\": true")).await;

    // Somebody removes it all, and there is a chain that stands in pods' way.
    let nft = |arguments: &str| {
        let mut command = Command::new("nft");
        command.args(arguments.split(' '));
        assert!(cluster.namespace(0).enter(|| command.status()).unwrap().unwrap().success(), "{arguments}");
    };
    nft("flush ruleset");
    shows("192.0.2.0/24").await;
    nft("add table ip other");
    nft("add chain ip other forward { type filter hook forward priority 0 ; policy drop ; }");

    cluster.kill(0).await;
    assert!(tables(&cluster, 0).contains("192.0.2.0/24"), "it stays");
    cluster.start(0);
    cluster.await_metric(0, "routelet_nftables_dropping_chains 1").await;
    let status = cluster.status(0);
    assert!(status.contains("nftables chain ip other forward drops what is forwarded"), "{status}");

    let pod = Pod::new("pod");
    call(&cluster, 0, "ADD", &pod).unwrap();
    cluster.kill(0).await;
    cluster.cleanup(0);
    assert!(tables(&cluster, 0).contains("192.0.2.0/24"), "a pod is attached");
    assert!(cluster.netlink(0).link("cni0").await.unwrap().is_some());
    assert!(cluster.state_dir(0).join("node.json").exists(), "it names the bridge");
    drop(pod);
    let bridge = cluster.netlink(0).link("cni0").await.unwrap().unwrap();
    let ports = async || {
        let links = cluster.netlink(0).links().await.unwrap();
        links.iter().filter(|link| link.master == Some(bridge.index)).count()
    };
    cluster.eventually(0, "no port", async || ports().await == 0).await;
    cluster.cleanup(0);
    assert!(!tables(&cluster, 0).contains("routelet"), "{}", tables(&cluster, 0));
    assert!(cluster.netlink(0).link("cni0").await.unwrap().is_none());
    assert!(!cluster.state_dir(0).join("node.json").exists());
}

#[tokio::test]
async fn in_mode_routed_the_daemon_makes_no_bridge() {
    let mut cluster = Cluster::new("routed", Addressing::Dual).await;
    cluster.configure_spec("mesh: full, cni: {mode: routed}");
    cluster.start(0);
    await_config(&cluster, 0).await;
    let pod = Pod::new("pod");
    let result = call(&cluster, 0, "ADD", &pod).unwrap();
    assert_eq!(address(&result), "10.244.1.2/32");
    assert!(cluster.netlink(0).link("cni0").await.unwrap().is_none());
    let log = cluster.log(0);
    assert!(!log.contains("not supported"), "{log}");
    let status = cluster.status(0);
    assert!(!status.contains("Wrong"), "{status}");
    cluster.kill(0).await;
    cluster.cleanup(0);
    assert!(cluster.state_dir(0).join("node.json").exists(), "a pod is attached");
    cluster.start(0);
    await_config(&cluster, 0).await;
    call(&cluster, 0, "DEL", &pod).unwrap();
    cluster.kill(0).await;
    cluster.cleanup(0);
    assert!(!cluster.state_dir(0).join("node.json").exists());
}
