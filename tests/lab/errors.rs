//! What the lab says when it cannot do as asked, and what to do then.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::rig::{Lab, name, program};

/// A directory of its own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(what: &str) -> Scratch {
        let path = std::env::temp_dir().join(name(what));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn complaint(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    String::from_utf8(done.stderr).unwrap()
}

#[test]
fn without_root() {
    let said = complaint(program().uid(65534).gid(65534));
    assert!(said.contains("needs root: run this with sudo"), "{said}");
    let said = complaint(program().args(["down"]).uid(65534).gid(65534));
    assert!(said.contains("run this with sudo, or as root"), "{said}");
}

#[test]
fn without_the_right_to_make_namespaces() {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin", env!("CARGO_BIN_EXE_routelet-lab")]);
    let said = complaint(command.env_remove("CARGO"));
    assert!(said.contains("cannot make a mount namespace"), "{said}");
    assert!(said.contains("root lacks CAP_SYS_ADMIN here"), "{said}");
}

#[test]
fn without_the_programs() {
    let scratch = Scratch::new("alone");
    let alone = scratch.0.join("routelet-lab");
    fs::copy(env!("CARGO_BIN_EXE_routelet-lab"), &alone).unwrap();
    let said = complaint(Command::new(&alone).env_remove("CARGO"));
    assert!(said.contains("/routelet is missing: build all programs with `cargo build --bins`"), "{said}");
}

#[test]
fn without_the_router_that_was_asked_for() {
    // A file system in which there are no routers.
    let hide = "mount -t tmpfs none /usr/lib/frr && exec \"$0\" --tor frr";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", hide, env!("CARGO_BIN_EXE_routelet-lab")]);
    if crate::rig::installed("zebra") {
        let said = complaint(command.env_remove("CARGO"));
        assert!(said.contains("FRR cannot play the ToR: `zebra` is not installed"), "{said}");
        assert!(said.contains("apt-get install frr"), "{said}");
    }
}

#[test]
fn with_a_topology_that_is_none() {
    let scratch = Scratch::new("topologies");
    let said = |file: &str| complaint(program().args(["up", file, "--once"]));
    assert!(said("/nonexistent.yml").contains("cannot read /nonexistent.yml: No such file"));
    let wrong = scratch.file("type.yml", "name: t\ntopology:\n  nodes:\n    a:\n      exec: 5\n");
    assert!(said(&wrong).contains("type.yml:5:"), "{}", said(&wrong));
    let nowhere = "name: t\ntopology:\n  nodes: {a: }\n  links: [{endpoints: ['a:e', 'b:e']}]\n";
    let nowhere = scratch.file("link.yml", nowhere);
    assert!(said(&nowhere).contains("topology.links[0]: there is no node b"));
}

#[test]
fn with_a_line_that_the_kernel_refuses() {
    let scratch = Scratch::new("refused");
    let text = "name: t\ntopology:\n  nodes:\n    a: {exec: [ip addr add 10.0.0.1/8 dev eth7]}\n";
    let file = scratch.file("refused.yml", text);
    let said = complaint(program().args(["up", &file, "--once", "--name", &name("refused")]));
    assert!(said.contains("a: there is no interface eth7"), "{said}");
}

#[test]
fn with_a_manifest_that_the_daemon_refuses() {
    let scratch = Scratch::new("manifest");
    fs::create_dir_all(scratch.0.join("m")).unwrap();
    scratch.file("m/bgp.yaml", "apiVersion: routelet.dev/v1alpha1\nkind: BgpConfiguration\nmetadata: {name: default}\nspec: {asm: 1}\n");
    let text = "name: t
topology:
  nodes:
    n:
      image: routelet
      binds: ['m:/etc/routelet']
      labels: {routelet.dev/pod-cidrs: 10.244.1.0/24}
      exec: [ip link add seg type bridge, ip link set seg up, ip addr add 10.0.0.1/8 dev seg]
";
    let file = scratch.file("manifest.yml", text);
    let said = complaint(program().args(["up", &file, "--once", "--name", &name("manifest")]));
    assert!(said.contains("n: the daemon has not written /run/routelet/node.json within"), "{said}");
    assert!(said.contains("its log ends:") && said.contains("bgp.yaml") && said.contains("asm"), "{said}");
}

#[test]
fn with_a_lab_of_that_name() {
    let lab = Lab::start("twice", &["--tor", "routelet"]);
    lab.wait_for("making namespaces");
    let said = complaint(program().args(["--once", "--name", &lab.name]));
    assert!(
        said.contains(&format!("a lab named {} is up already (process {})", lab.name, lab.child.id())),
        "{said}"
    );
    assert!(said.contains(&format!("routelet-lab down --name {}", lab.name)), "{said}");
    lab.wait_until_up();
    let said = complaint(program().args(["exec", "--name", &lab.name, "node9", "--", "true"]));
    assert!(said.contains("no node node9; there is node1, node2, node3, outside, tor"), "{said}");
    let said = complaint(program().args(["down", "--name", "no-such-lab"]));
    assert!(said.contains("no lab named no-such-lab is up; there is"), "{said}");
}

#[test]
fn with_a_reader_that_leaves() {
    let mut child = program();
    let mut child = child
        .args(["--once", "--tor", "routelet", "--name", &name("pipe")])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
