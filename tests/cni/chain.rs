//! A list of plugins, called as libcni calls it (the CNI specification, section 3): ADD and CHECK from
//! the first to the last, DEL from the last to the first; what one answers is the next one's
//! `prevResult`, and CHECK and DEL are given the last answer.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::rig::{Node, PLUGIN};

/// Where the reference plugins are.
pub const REFERENCE: &str = "/usr/lib/cni";

/// Plugins with their configurations, in order.
pub struct Chain {
    version: &'static str,
    plugins: Vec<(PathBuf, Value)>,
    /// What the runtime offers, by capability.
    runtime: Map<String, Value>,
    interface: &'static str,
}

/// Which call of which plugin failed, and what it said.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {answer}")]
pub struct Failure {
    pub call: String,
    pub answer: Value,
}

impl Chain {
    pub fn new(version: &'static str) -> Chain {
        Chain { version, plugins: Vec::new(), runtime: Map::new(), interface: "eth0" }
    }

    /// Appends our plugin.
    pub fn ours(self, conf: Value) -> Chain {
        self.plugin(PLUGIN.into(), conf)
    }

    /// Appends the reference plugin that the configuration's `type` names.
    pub fn reference(self, conf: Value) -> Chain {
        let path = PathBuf::from(REFERENCE).join(conf["type"].as_str().unwrap());
        assert!(path.exists(), "{} is missing: apt-get install containernetworking-plugins", path.display());
        self.plugin(path, conf)
    }

    fn plugin(mut self, path: PathBuf, conf: Value) -> Chain {
        self.plugins.push((path, conf));
        self
    }

    /// What the runtime says to plugins that have this capability.
    pub fn offers(mut self, capability: &str, value: Value) -> Chain {
        self.runtime.insert(capability.to_owned(), value);
        self
    }

    /// For another interface than `eth0`.
    pub fn named(mut self, interface: &'static str) -> Chain {
        self.interface = interface;
        self
    }

    /// ADD; on a failure, DEL of them all, as every runtime does.
    pub fn add(&self, node: &Node, container: &str, netns: &str) -> Result<Value, Failure> {
        let mut result = None;
        for index in 0..self.plugins.len() {
            match self.call(node, "ADD", index, container, netns, result.as_ref()) {
                Ok(answer) => result = Some(answer),
                Err(failure) => {
                    self.del(node, container, netns, None)?;
                    return Err(failure);
                }
            }
        }
        Ok(result.unwrap())
    }

    pub fn check(&self, node: &Node, container: &str, netns: &str, result: &Value) -> Result<(), Failure> {
        let mut indices = 0..self.plugins.len();
        indices.try_for_each(|i| self.call(node, "CHECK", i, container, netns, Some(result)).map(drop))
    }

    /// DEL, with the result of the ADD if the runtime still knows it.
    pub fn del(
        &self,
        node: &Node,
        container: &str,
        netns: &str,
        result: Option<&Value>,
    ) -> Result<(), Failure> {
        let mut indices = (0..self.plugins.len()).rev();
        indices.try_for_each(|i| self.call(node, "DEL", i, container, netns, result).map(drop))
    }

    fn call(
        &self,
        node: &Node,
        verb: &str,
        index: usize,
        container: &str,
        netns: &str,
        previous: Option<&Value>,
    ) -> Result<Value, Failure> {
        let (plugin, conf) = &self.plugins[index];
        let mut command = node.command(plugin, verb, container, netns);
        command.env("CNI_IFNAME", self.interface);
        let output = node.feed(command, &self.conf(conf, previous)).wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let answer = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if output.status.success() {
            return Ok(answer);
        }
        Err(Failure { call: format!("{verb} of {} {}", plugin.display(), conf["type"]), answer })
    }

    /// What one plugin reads: its own configuration and what the runtime adds.
    fn conf(&self, conf: &Value, previous: Option<&Value>) -> Value {
        let mut conf = conf.clone();
        let capabilities = conf.as_object_mut().unwrap().remove("capabilities").unwrap_or_default();
        conf["name"] = json!("pod-network");
        conf["cniVersion"] = json!(self.version);
        let offered = self.runtime.iter().filter(|(name, _)| capabilities[name.as_str()] == true);
        let offered: Map<String, Value> = offered.map(|(n, v)| (n.clone(), v.clone())).collect();
        if !offered.is_empty() {
            conf["runtimeConfig"] = offered.into();
        }
        if let Some(previous) = previous {
            conf["prevResult"] = previous.clone();
        }
        conf
    }
}
