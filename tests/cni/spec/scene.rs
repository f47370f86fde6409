//! A node, a pod, and calls of plugins in which everything can be chosen: program, variables, stdin.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use routelet::kernel::links::Link;
use serde_json::{Map, Value, json};

use crate::rig::{Namespace, Node};

const PLUGIN: &str = env!("CARGO_BIN_EXE_routelet-cni");

/// Where Debian has the reference plugins.
pub const REFERENCE: &str = "/usr/lib/cni";

pub struct Scene {
    pub node: Node,
    pub pod: Namespace,
    runtime: tokio::runtime::Runtime,
}

impl Scene {
    /// A node with the plugin under all its names, and a pod.
    pub fn new() -> Scene {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (node, pod) = runtime.block_on(async { (Node::new(), Namespace::new()) });
        fs::create_dir(node.directory.join("bin")).unwrap();
        let scene = Scene { node, pod, runtime };
        for name in ["routelet", "routelet-cni", "bridge", "host-local", "loopback", "portmap"] {
            symlink(PLUGIN, scene.bin(name)).unwrap();
        }
        scene
    }

    /// Path of a plugin in the first directory of `CNI_PATH`.
    pub fn bin(&self, name: &str) -> PathBuf {
        self.node.directory.join("bin").join(name)
    }

    /// A file of the scene.
    pub fn file(&self, name: &str) -> PathBuf {
        self.node.directory.join(name)
    }

    /// A plugin that is a shell script. `$D` is the scene's directory.
    pub fn script(&self, name: &str, text: &str) {
        let path = self.bin(name);
        fs::write(&path, format!("#!/bin/sh\nD={}\n{text}\n", self.node.directory.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A configuration of the newest version, with fields changed; `null` takes one away.
    pub fn conf(&self, changes: Value) -> Value {
        let mut conf = json!({
            "cniVersion": "1.1.0", "name": "pod-network", "type": "bridge", "bridge": "cni0", "isGateway": true,
            "ipam": {
                "type": "host-local", "subnet": "10.244.0.0/24", "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": self.node.directory.join("networks"),
            },
            "nodeFile": self.node.node_file(),
        });
        merge(&mut conf, &changes);
        conf
    }

    /// A call with the usual variables.
    pub fn ask(&self, verb: &str, conf: &Value) -> Ask<'_> {
        let path = format!("{}:{REFERENCE}", self.node.directory.join("bin").display());
        let variables = [
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("CNI_COMMAND", verb.to_owned()),
            ("CNI_CONTAINERID", "c1".to_owned()),
            ("CNI_NETNS", self.pod.path()),
            ("CNI_IFNAME", "eth0".to_owned()),
            ("CNI_PATH", path),
        ];
        Ask {
            scene: self,
            program: self.bin("bridge"),
            variables: variables.map(|(name, value)| (name.to_owned(), value)).into(),
            input: conf.to_string().into_bytes(),
            stdin: None,
        }
    }

    pub fn add(&self, conf: &Value) -> Value {
        self.ask("ADD", conf).run().result()
    }

    pub fn del(&self, conf: &Value) {
        self.ask("DEL", conf).run().silent();
    }

    /// The same configuration with the result of its ADD.
    pub fn added(&self, conf: &Value) -> Value {
        let mut conf = conf.clone();
        conf["prevResult"] = self.add(&conf);
        conf
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn pod_link(&self, name: &str) -> Option<Link> {
        self.wait(self.pod.link(name))
    }

    pub fn host_link(&self, name: &str) -> Option<Link> {
        self.wait(self.node.namespace.link(name))
    }

    pub fn addresses(&self) -> Vec<String> {
        self.wait(self.pod.addresses("eth0"))
    }

    /// Everything that exists on account of pods.
    pub fn traces(&self) -> Vec<String> {
        self.wait(self.node.traces())
    }
}

/// Lays objects over objects; everything else replaces.
fn merge(target: &mut Value, changes: &Value) {
    match (target, changes) {
        (Value::Object(target), Value::Object(changes)) => {
            for (key, change) in changes {
                match change {
                    Value::Null => drop(target.remove(key)),
                    change => merge(target.entry(key).or_insert_with(|| Value::Object(Map::new())), change),
                }
            }
        }
        (target, changes) => *target = changes.clone(),
    }
}

pub struct Ask<'a> {
    scene: &'a Scene,
    program: PathBuf,
    variables: BTreeMap<String, String>,
    input: Vec<u8>,
    stdin: Option<PathBuf>,
}

impl Ask<'_> {
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    pub fn without(mut self, names: &[&str]) -> Self {
        self.variables.retain(|name, _| !names.contains(&name.as_str()));
        self
    }

    /// Of the plugin of that name or path.
    pub fn of(mut self, program: impl AsRef<Path>) -> Self {
        self.program = self.program.parent().unwrap().join(program);
        self
    }

    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Stdin is this file.
    pub fn stdin(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdin = Some(path.into());
        self
    }

    pub fn run(self) -> Said {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(&self.variables).stdout(Stdio::piped()).stderr(Stdio::piped());
        match &self.stdin {
            None => command.stdin(Stdio::piped()),
            Some(path) => command.stdin(File::open(path).unwrap()),
        };
        let mut child = self.scene.node.namespace.handle.enter(|| command.spawn()).unwrap().unwrap();
        if let Some(mut stdin) = child.stdin.take() {
            // Not every verb reads it.
            let _ = stdin.write_all(&self.input);
        }
        let output = child.wait_with_output().unwrap();
        Said {
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// How a call ended.
#[derive(Debug)]
pub struct Said {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// It succeeded with this document.
    #[track_caller]
    pub fn result(&self) -> Value {
        assert!(self.success, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// It succeeded and printed nothing.
    #[track_caller]
    pub fn silent(&self) {
        assert!(self.success && self.stdout.is_empty(), "{self:?}");
    }

    /// It failed, with one error document of the right form. Its code, and its text as a whole.
    #[track_caller]
    pub fn error(&self) -> (u64, String) {
        assert!(!self.success, "{self:?}");
        let document: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        let text = |key: &str| document[key].as_str().unwrap_or_else(|| panic!("no {key}: {self:?}"));
        assert!(!text("msg").is_empty() && !text("cniVersion").is_empty(), "{self:?}");
        (document["code"].as_u64().unwrap(), format!("{} | {}", text("msg"), text("details")))
    }

    /// It failed with this code, and each of these words is in its text.
    #[track_caller]
    pub fn fails(&self, code: u64, words: &[&str]) {
        let (found, text) = self.error();
        assert_eq!(found, code, "{text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
    }
}
