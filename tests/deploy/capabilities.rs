//! The daemon with what the DaemonSet gives it and nothing more: in a container of runc, made from the manifest,
//! with its capabilities, its mounts, a read-only root and a read-only `/proc/sys`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use routelet::kernel::links::VethPair;
use routelet::kernel::{NetNs, Netlink};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::manifests::kustomized;
use crate::said;

/// Longer than anything takes that works.
const DEADLINE: Duration = Duration::from_secs(60);

/// The container of the daemon, as the manifest has it, and its pod.
fn daemon() -> (Value, Value) {
    let objects = kustomized("deploy/kubernetes");
    let daemons = objects.iter().find(|object| object["kind"] == "DaemonSet").unwrap();
    let pod = &daemons["spec"]["template"]["spec"];
    (pod["containers"][0].clone(), pod.clone())
}

/// Capabilities of the daemon, without `CAP_`.
pub fn of_the_daemon() -> Vec<String> {
    let (container, _) = daemon();
    let added = container["securityContext"]["capabilities"]["add"].as_array().unwrap();
    added.iter().map(|capability| capability.as_str().unwrap().to_owned()).collect()
}

/// Two nodes with a wire between them, each with a daemon in a container.
struct Nodes {
    folder: PathBuf,
    namespaces: Vec<PathBuf>,
    running: Vec<String>,
}

impl Nodes {
    async fn new(name: &str) -> Nodes {
        assert!(nix::unistd::geteuid().is_root(), "these tests make network namespaces: run them as root");
        let name = format!("routelet-deploy-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir_all(folder.join("manifests")).unwrap();
        fs::write(folder.join("manifests/all.yaml"), OBJECTS).unwrap();
        fs::create_dir_all("/run/netns").unwrap();
        let namespaces: Vec<PathBuf> =
            (1..=2).map(|node| Path::new("/run/netns").join(format!("{name}-{node}"))).collect();
        let opened: Vec<NetNs> = namespaces.iter().map(|path| NetNs::create_at(path).unwrap()).collect();
        let nodes = Nodes { folder, namespaces, running: vec![] };
        let wire = VethPair {
            name: "eth0",
            peer_name: "eth0",
            peer_namespace: Some(&opened[1]),
            mtu: None,
            peer_mac: None,
        };
        Netlink::open_in(&opened[0]).unwrap().add_veth(&wire).await.unwrap();
        for (node, namespace) in (1..).zip(&opened) {
            let netlink = Netlink::open_in(namespace).unwrap();
            for name in ["lo", "eth0"] {
                let link = netlink.link(name).await.unwrap().unwrap();
                netlink.set_up(link.index, true).await.unwrap();
            }
            let link = netlink.link("eth0").await.unwrap().unwrap();
            netlink.add_address(link.index, format!("192.168.1.1{node}/24").parse().unwrap()).await.unwrap();
            let off = || fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
            namespace.enter(off).unwrap();
        }
        nodes
    }

    fn folder(&self, node: usize) -> PathBuf {
        self.folder.join(format!("node{node}"))
    }

    /// Starts the daemon of a node with these capabilities.
    fn start(&mut self, node: usize, capabilities: &[String]) {
        let folder = self.folder(node);
        fs::create_dir_all(folder.join("rootfs")).unwrap();
        let _ = fs::remove_file(folder.join("config.json"));
        said(Command::new("runc").arg("spec").current_dir(&folder));
        let mut spec: Value =
            serde_json::from_str(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
        self.fill_in(&mut spec, node, capabilities);
        fs::write(folder.join("config.json"), spec.to_string()).unwrap();
        let id = format!("{}-{node}", self.folder.file_name().unwrap().to_string_lossy());
        let log = File::create(folder.join("log")).unwrap();
        let mut command = Command::new("runc");
        command.args(["run", "--no-pivot", "--detach", "--bundle"]).arg(&folder).arg(&id);
        let status = command.stdout(log.try_clone().unwrap()).stderr(log).status().unwrap();
        self.running.push(id);
        assert!(status.success(), "{}", self.log(node));
    }

    /// Makes runc's example, whose `/proc/sys` is read-only, the DaemonSet's container on this node.
    fn fill_in(&self, spec: &mut Value, node: usize, capabilities: &[String]) {
        let (container, pod) = daemon();
        let capabilities: Vec<String> = capabilities.iter().map(|name| format!("CAP_{name}")).collect();
        spec["process"]["terminal"] = false.into();
        spec["process"]["args"] = container["command"].clone();
        spec["process"]["noNewPrivileges"] = true.into();
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        spec["process"]["capabilities"] =
            json!({"bounding": capabilities, "effective": capabilities, "permitted": capabilities});
        spec["root"]["readonly"] = container["securityContext"]["readOnlyRootFilesystem"].clone();
        let mut environment =
            vec!["PATH=/usr/local/bin".to_owned(), "ROUTELET_MANIFESTS=/manifests".to_owned()];
        for variable in container["env"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
                Some("spec.nodeName") => format!("node{node}"),
                Some("metadata.namespace") => "routelet".to_owned(),
                _ => variable["value"].as_str().unwrap().to_owned(),
            };
            environment.push(format!("{name}={value}"));
        }
        spec["process"]["env"] = json!(environment);
        spec["linux"]["cgroupsPath"] =
            json!(format!("/{}-{node}", self.folder.file_name().unwrap().to_string_lossy()));
        for namespace in spec["linux"]["namespaces"].as_array_mut().unwrap() {
            if namespace["type"] == "network" {
                namespace["path"] = json!(self.namespaces[node - 1]);
            }
        }
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/sys"));
        let mut bind = |source: &Path, destination: &str, options: &[&str]| {
            let options: Vec<&str> = ["rbind"].into_iter().chain(options.iter().copied()).collect();
            mounts.push(
                json!({"type": "bind", "source": source, "destination": destination, "options": options}),
            );
        };
        // The image has static programs; these are not.
        for libraries in ["/lib", "/lib64"].map(Path::new).into_iter().filter(|path| path.exists()) {
            bind(libraries, &libraries.to_string_lossy(), &["ro"]);
        }
        bind(env!("CARGO_BIN_EXE_routelet").as_ref(), "/usr/local/bin/routelet", &["ro"]);
        bind(&self.folder.join("manifests"), "/manifests", &["ro"]);
        for mount in container["volumeMounts"].as_array().unwrap() {
            let volume =
                pod["volumes"].as_array().unwrap().iter().find(|v| v["name"] == mount["name"]).unwrap();
            let path = volume["hostPath"]["path"].as_str().unwrap();
            // What is a node's own: the rest is the kernel's.
            let source = match path {
                "/proc/sys/net" | "/run/netns" => PathBuf::from(path),
                path => self.folder(node).join(path.trim_start_matches('/')),
            };
            fs::create_dir_all(&source).unwrap();
            let access = if mount["readOnly"] == true { "ro" } else { "rw" };
            bind(&source, mount["mountPath"].as_str().unwrap(), &[access]);
        }
    }

    fn log(&self, node: usize) -> String {
        fs::read_to_string(self.folder(node).join("log")).unwrap_or_default()
    }

    fn ask(&self, node: usize, command: &str) -> String {
        let socket = self.folder(node).join("run/routelet/routelet.sock");
        let mut asked = Command::new(env!("CARGO_BIN_EXE_routelet"));
        let output = asked.arg(command).arg("--api-socket").arg(socket).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until something holds.
    async fn until(&self, node: usize, what: &str, holds: impl Fn(&Nodes) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < DEADLINE, "{what} did not come about; log: {}", self.log(node));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for id in &self.running {
            let _ = Command::new("runc").args(["delete", "--force", id]).output();
        }
        for path in &self.namespaces {
            let _ = nix::mount::umount2(path, nix::mount::MntFlags::MNT_DETACH);
            let _ = fs::remove_file(path);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Each node is a peer of the other by a `BgpPeer`, with a password.
const OBJECTS: &str = r#"
{apiVersion: v1, kind: Node, metadata: {name: node1}, spec: {podCIDRs: [10.244.1.0/24]}, status: {addresses: [{type: InternalIP, address: 192.168.1.11}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: node2}, spec: {podCIDRs: [10.244.2.0/24]}, status: {addresses: [{type: InternalIP, address: 192.168.1.12}]}}
---
{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {password: open sesame}}
---
apiVersion: routelet.dev/v1alpha1
kind: BgpPeer
metadata: {name: one}
spec: {address: 192.168.1.11, asn: internal, passwordSecretRef: {name: s, key: password}, import: {accept: [{prefix: 10.244.0.0/16, le: 24}]}, export: {accept: [{prefix: 10.244.0.0/16, le: 24}]}}
---
apiVersion: routelet.dev/v1alpha1
kind: BgpPeer
metadata: {name: two}
spec: {address: 192.168.1.12, asn: internal, passwordSecretRef: {name: s, key: password}, import: {accept: [{prefix: 10.244.0.0/16, le: 24}]}, export: {accept: [{prefix: 10.244.0.0/16, le: 24}]}}
"#;

#[tokio::test]
async fn with_what_the_daemonset_gives_it_the_daemon_does_all_its_work() {
    let mut nodes = Nodes::new("works").await;
    let capabilities = of_the_daemon();
    nodes.start(1, &capabilities);
    nodes.start(2, &capabilities);
    nodes.until(1, "a session with a password", |nodes| nodes.ask(1, "peers").contains("Established")).await;
    let installed = |table: String, prefix: &str| {
        table.lines().any(|line| line.starts_with(prefix) && line.trim_end().ends_with("installed"))
    };
    nodes.until(1, "a route", |nodes| installed(nodes.ask(1, "fib"), "10.244.2.0/24 ")).await;
    nodes.until(2, "a route", |nodes| installed(nodes.ask(2, "fib"), "10.244.1.0/24 ")).await;
    let conflist = nodes.folder(1).join("etc/cni/net.d/10-routelet.conflist");
    nodes.until(1, "the runtime's configuration", |_| conflist.exists()).await;
    let forwards = || fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    assert_eq!(NetNs::open(&nodes.namespaces[0]).unwrap().enter(forwards).unwrap(), "1\n");
    for node in 1..=2 {
        let log = nodes.log(node);
        assert!(!log.contains("\"ERROR\"") && !log.contains("ermitted"), "{log}");
    }
}

/// The list is the shortest: without any one of them something does not work, and the log says so.
#[tokio::test]
async fn none_of_the_capabilities_is_given_in_vain() {
    let all = of_the_daemon();
    let mut nodes = Nodes::new("lacks").await;
    for (node, lacking) in (1..).zip(&all) {
        let rest: Vec<String> = all.iter().filter(|name| *name != lacking).cloned().collect();
        nodes.start(node, &rest);
        let complains = |nodes: &Nodes| {
            let log = nodes.log(node);
            log.contains("Operation not permitted") || log.contains("Permission denied")
        };
        nodes.until(node, &format!("a complaint about the lack of {lacking}"), complains).await;
    }
}
