//! A containerlab topology file, read and merged: nodes with everything that `defaults`, `kinds` and
//! `groups` lend them, and links.
//!
//! Owns the file's syntax and the rules of inheritance (containerlab: `defaults` < `kinds` <
//! `groups` < the node itself; lists are joined, maps merged key by key). What a node is to the
//! lab (a cluster node, a router, a host) is decided in [`super::plan`]. What the lab cannot honour
//! is collected in [`Topology::not_honoured`] rather than passed over in silence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The topology that is built in: three nodes, a ToR and a host behind it.
pub const BUILT_IN: &str = include_str!("../../containerlab/three-node.clab.yml");

/// How the built-in topology is called in messages.
pub const BUILT_IN_NAME: &str = "containerlab/three-node.clab.yml (built in)";

/// Why a file is not a topology.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not YAML, or a value has the wrong type.
    #[error("{file}:{line}:{column}: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What the parser has to say.
        reason: String,
    },
    /// A value does not fit the rest of the file.
    #[error("{file}: {field}: {reason}")]
    Field {
        /// The file.
        file: String,
        /// Path of the field, such as `topology.nodes.node1.binds`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A topology, ready to be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Where it came from, for messages.
    pub origin: String,
    /// Directory that relative bind sources start from; `None` for the built-in topology, whose
    /// bound files the lab writes itself.
    pub directory: Option<PathBuf>,
    /// The lab's name.
    pub name: String,
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// Links, in the file's order.
    pub links: Vec<Link>,
    /// What stands in the file and is left undone, one sentence each.
    pub not_honoured: Vec<String>,
}

/// One node, inheritance applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// containerlab's kind; `linux` where the file names none.
    pub kind: String,
    /// The image, which tells what program plays the node.
    pub image: Option<String>,
    /// Arguments of the image's program.
    pub cmd: Option<String>,
    /// Commands that configure the node once its links are there.
    pub exec: Vec<String>,
    /// Files and directories to show inside the node.
    pub binds: Vec<Bind>,
    /// Labels; ours begin with `routelet.dev/`.
    pub labels: BTreeMap<String, String>,
    /// Environment of the node's program.
    pub env: BTreeMap<String, String>,
    /// Kernel parameters of the node.
    pub sysctls: BTreeMap<String, String>,
}

/// A file or directory that appears inside a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bind {
    /// Where it is, as written: relative to the topology file unless absolute.
    pub source: String,
    /// Where the node sees it: an absolute path.
    pub target: PathBuf,
    /// The node may not write to it.
    pub read_only: bool,
}

/// A cable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its two ends.
    pub ends: [End; 2],
    /// MTU of both ends; the kernel's default if `None`.
    pub mtu: Option<u32>,
}

/// One end of a cable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Name of the node.
    pub node: String,
    /// Name of the interface inside the node.
    pub interface: String,
    /// Addresses the link itself gives this end.
    pub addresses: Vec<IpNetwork>,
}

impl Topology {
    /// The built-in topology.
    ///
    /// # Errors
    /// None: a test parses it.
    pub fn built_in() -> Result<Topology, Error> {
        Topology::parse(BUILT_IN, BUILT_IN_NAME, None)
    }

    /// Reads a topology file.
    ///
    /// # Errors
    /// The file cannot be read or is not a topology.
    pub fn read(path: &Path) -> Result<Topology, Error> {
        let origin = path.display().to_string();
        let read = |source| Error::Read { file: origin.clone(), source };
        let text = std::fs::read_to_string(path).map_err(read)?;
        let path = path.canonicalize().map_err(read)?;
        Topology::parse(&text, &origin, path.parent().map(Path::to_owned))
    }

    /// Parses the text of a topology file called `origin`.
    ///
    /// # Errors
    /// The text is not a topology; the error names line and column, or the field.
    pub fn parse(text: &str, origin: &str, directory: Option<PathBuf>) -> Result<Topology, Error> {
        let file: File = serde_saphyr::from_str(text).map_err(|error| syntax(origin, &error))?;
        let mut reader = Reader { origin, not_honoured: Vec::new() };
        reader.ignored("", &file.other);
        reader.ignored("topology.", &file.topology.other);
        let nodes = reader.nodes(&file.topology)?;
        let links = reader.links(&file.topology.links, &nodes)?;
        Ok(Topology {
            origin: origin.to_owned(),
            directory,
            name: file.name,
            nodes,
            links,
            not_honoured: reader.not_honoured,
        })
    }
}

fn syntax(origin: &str, error: &serde_saphyr::Error) -> Error {
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    // The rendered error shows an excerpt of the file; its first line is the reason.
    let rendered = error.without_snippet().to_string();
    let reason = rendered.lines().next().unwrap_or("not a topology").to_owned();
    Error::Syntax { file: origin.to_owned(), line, column, reason }
}

/// Goes through a parsed file and collects what it has to pass over.
struct Reader<'a> {
    origin: &'a str,
    not_honoured: Vec<String>,
}

impl Reader<'_> {
    fn wrong(&self, field: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Field { file: self.origin.to_owned(), field: field.into(), reason: reason.into() }
    }

    fn ignored(&mut self, path: &str, fields: &BTreeMap<String, IgnoredAny>) {
        self.not_honoured.extend(fields.keys().map(|field| format!("{path}{field}")));
    }

    fn nodes(&mut self, topology: &RawTopology) -> Result<BTreeMap<String, Node>, Error> {
        self.ignored("topology.defaults.", &topology.defaults.other);
        for (name, kind) in &topology.kinds {
            self.ignored(&format!("topology.kinds.{name}."), &kind.other);
        }
        for (name, group) in &topology.groups {
            self.ignored(&format!("topology.groups.{name}."), &group.other);
        }
        let mut nodes = BTreeMap::new();
        for (name, raw) in &topology.nodes {
            let raw = raw.clone().unwrap_or_default();
            self.ignored(&format!("topology.nodes.{name}."), &raw.other);
            nodes.insert(name.clone(), self.node(name, &raw, topology)?);
        }
        if nodes.is_empty() {
            return Err(self.wrong("topology.nodes", "there are none"));
        }
        Ok(nodes)
    }

    fn node(&mut self, name: &str, raw: &RawNode, topology: &RawTopology) -> Result<Node, Error> {
        let field = |field: &str| format!("topology.nodes.{name}.{field}");
        // The name becomes a path component and a host name.
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) || name.starts_with('.') {
            return Err(self.wrong(format!("topology.nodes.{name}"), "not a name for a node"));
        }
        let group = match raw.group.as_ref().or(topology.defaults.group.as_ref()) {
            // containerlab's `group` is free text; it lends fields only where a group has that name.
            Some(group) => topology.groups.get(group),
            None => None,
        };
        let inherited = [Some(raw), group, Some(&topology.defaults)];
        let kind = inherited.iter().flatten().find_map(|from| from.kind.clone());
        let kind = kind.unwrap_or_else(|| "linux".to_owned());
        // From the weakest to the strongest.
        let layers: Vec<&RawNode> = [Some(&topology.defaults), topology.kinds.get(&kind), group, Some(raw)]
            .into_iter()
            .flatten()
            .collect();
        let mut node = Node { kind, ..Node::default() };
        let mut binds = BTreeMap::new();
        for layer in layers {
            node.image = layer.image.clone().or(node.image);
            node.cmd = layer.cmd.clone().or(node.cmd);
            node.exec.extend(layer.exec.iter().cloned());
            node.labels.extend(words(&layer.labels));
            node.env.extend(words(&layer.env));
            node.sysctls.extend(words(&layer.sysctls));
            for bind in &layer.binds {
                let bind = Bind::parse(bind).map_err(|reason| self.wrong(field("binds"), reason))?;
                binds.insert(bind.target.clone(), bind);
            }
        }
        node.binds = binds.into_values().collect();
        if !matches!(node.kind.as_str(), "linux" | "bridge") {
            self.not_honoured.push(format!(
                "{}: {} (played as a plain Linux host)",
                field("kind"),
                node.kind
            ));
        }
        Ok(node)
    }

    fn links(&mut self, raw: &[RawLink], nodes: &BTreeMap<String, Node>) -> Result<Vec<Link>, Error> {
        let mut links = Vec::new();
        let mut taken = BTreeMap::new();
        for (position, raw) in raw.iter().enumerate() {
            let field = format!("topology.links[{position}]");
            if let Some(kind) = raw.kind.as_deref().filter(|kind| *kind != "veth") {
                self.not_honoured.push(format!("{field}: link type {kind}"));
                continue;
            }
            self.ignored(&format!("{field}."), &raw.other);
            let [a, b] = raw.endpoints.as_slice() else {
                let count = raw.endpoints.len();
                return Err(
                    self.wrong(format!("{field}.endpoints"), format!("{count} endpoints; a cable has two"))
                );
            };
            let mut ends = [self.end(a, &field)?, self.end(b, &field)?];
            for (at, end) in ends.iter_mut().enumerate() {
                if !nodes.contains_key(&end.node) {
                    return Err(self.wrong(&field, format!("there is no node {}", end.node)));
                }
                if let Some(other) = taken.insert((end.node.clone(), end.interface.clone()), position) {
                    let reason = format!("{}:{} is taken by links[{other}]", end.node, end.interface);
                    return Err(self.wrong(&field, reason));
                }
                for list in [&raw.ipv4, &raw.ipv6] {
                    if let Some(text) = list.get(at).filter(|text| !text.is_empty()) {
                        end.addresses.push(self.address(text, &field)?);
                    }
                }
            }
            links.push(Link { ends, mtu: raw.mtu });
        }
        Ok(links)
    }

    fn end(&self, raw: &RawEnd, field: &str) -> Result<End, Error> {
        let (node, interface, addresses) = match raw {
            RawEnd::Brief(text) => match text.split_once(':') {
                Some((node, interface)) => (node.to_owned(), interface.to_owned(), Vec::new()),
                None => return Err(self.wrong(field, format!("endpoint {text:?} is not NODE:INTERFACE"))),
            },
            RawEnd::Full { node, interface, ipv4, ipv6 } => {
                let addresses: Result<Vec<_>, _> =
                    ipv4.iter().chain(ipv6).map(|text| self.address(text, field)).collect();
                (node.clone(), interface.clone(), addresses?)
            }
        };
        // IFNAMSIZ is 16, the terminating zero included.
        if interface.is_empty() || interface.len() > 15 || interface.contains(['/', ' ']) {
            return Err(self.wrong(field, format!("{interface:?} is not a name for an interface")));
        }
        Ok(End { node, interface, addresses })
    }

    fn address(&self, text: &str, field: &str) -> Result<IpNetwork, Error> {
        text.parse().map_err(|_| self.wrong(field, format!("{text:?} is not of the form ADDRESS/LENGTH")))
    }
}

impl Bind {
    /// Parses containerlab's `SOURCE:TARGET[:OPTIONS]`.
    fn parse(text: &str) -> Result<Bind, String> {
        let mut parts = text.split(':');
        let (Some(source), Some(target), options, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(format!("{text:?} is not SOURCE:TARGET[:OPTIONS]"));
        };
        if source.is_empty() || !target.starts_with('/') || target.split('/').any(|part| part == "..") {
            return Err(format!("{text:?} must name a source, and a target that is an absolute path"));
        }
        let read_only = options.is_some_and(|options| options.split(',').any(|option| option == "ro"));
        Ok(Bind { source: source.to_owned(), target: PathBuf::from(target), read_only })
    }
}

#[derive(Deserialize)]
struct File {
    name: String,
    topology: RawTopology,
    #[serde(flatten)]
    other: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct RawTopology {
    #[serde(default)]
    defaults: RawNode,
    #[serde(default)]
    kinds: BTreeMap<String, RawNode>,
    #[serde(default)]
    groups: BTreeMap<String, RawNode>,
    nodes: BTreeMap<String, Option<RawNode>>,
    #[serde(default)]
    links: Vec<RawLink>,
    #[serde(flatten)]
    other: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize, Clone, Default)]
struct RawNode {
    kind: Option<String>,
    group: Option<String>,
    image: Option<String>,
    cmd: Option<String>,
    #[serde(default)]
    exec: Vec<String>,
    #[serde(default)]
    binds: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, Scalar>,
    #[serde(default)]
    env: BTreeMap<String, Scalar>,
    #[serde(default)]
    sysctls: BTreeMap<String, Scalar>,
    #[serde(flatten)]
    other: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct RawLink {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    endpoints: Vec<RawEnd>,
    mtu: Option<u32>,
    #[serde(default)]
    ipv4: Vec<String>,
    #[serde(default)]
    ipv6: Vec<String>,
    #[serde(flatten)]
    other: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawEnd {
    Brief(String),
    Full { node: String, interface: String, ipv4: Option<String>, ipv6: Option<String> },
}

/// containerlab lets labels and parameters be numbers or truth values as well as strings.
#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum Scalar {
    Flag(bool),
    Number(i64),
    Text(String),
}

fn words(map: &BTreeMap<String, Scalar>) -> impl Iterator<Item = (String, String)> {
    map.iter().map(|(key, value)| {
        let value = match value {
            Scalar::Flag(flag) => flag.to_string(),
            Scalar::Number(number) => number.to_string(),
            Scalar::Text(text) => text.clone(),
        };
        (key.clone(), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Topology, Error> {
        Topology::parse(text, "t.yml", None)
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_built_in_topology_is_the_reference_cluster() {
        let topology = Topology::built_in().unwrap();
        assert_eq!(topology.name, "three-node");
        assert_eq!(topology.nodes.keys().collect::<Vec<_>>(), ["node1", "node2", "node3", "outside", "tor"]);
        assert_eq!(topology.links.len(), 4);
        assert_eq!(topology.not_honoured, Vec::<String>::new());
        let node1 = &topology.nodes["node1"];
        assert_eq!(node1.image.as_deref(), Some("routelet/routelet:latest"));
        assert_eq!(node1.labels["routelet.dev/asn"], "64512");
        assert_eq!(node1.labels["routelet.dev/pod-cidrs"], "10.244.1.0/24,fd00:10:244:1::/64");
    }

    #[test]
    fn a_node_inherits_from_defaults_kind_and_group() {
        let topology = parse(
            "
name: t
topology:
  defaults: {image: d, cmd: d, labels: {a: d, b: d}, exec: [d], binds: ['d:/x', 'd:/y']}
  kinds: {linux: {cmd: k, labels: {b: k, c: k}, exec: [k]}}
  groups: {g: {labels: {c: g, n: 7}, exec: [g], binds: ['g:/y:ro']}}
  nodes:
    n: {kind: linux, group: g, labels: {t: true}, exec: [n]}
",
        )
        .unwrap();
        let node = &topology.nodes["n"];
        assert_eq!((node.image.as_deref(), node.cmd.as_deref()), (Some("d"), Some("k")));
        assert_eq!(node.exec, ["d", "k", "g", "n"]);
        let labels: Vec<_> = node.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(labels, ["a=d", "b=k", "c=g", "n=7", "t=true"]);
        assert_eq!(node.binds[0].source, "d");
        assert_eq!((node.binds[1].source.as_str(), node.binds[1].read_only), ("g", true));
    }

    #[test]
    fn links_may_be_brief_or_full_and_bear_addresses() {
        let topology = parse(
            "
name: t
topology:
  nodes: {a: , b: }
  links:
    - {endpoints: ['a:eth1', 'b:eth1'], ipv4: [10.0.0.1/30, 10.0.0.2/30], mtu: 9000}
    - type: veth
      endpoints: [{node: a, interface: eth2, ipv6: 'fd00::1/64'}, {node: b, interface: eth2}]
    - {type: host, endpoint: {node: a, interface: eth3}, host-interface: x}
",
        )
        .unwrap();
        assert_eq!(topology.links[0].mtu, Some(9000));
        assert_eq!(topology.links[0].ends[1].addresses, ["10.0.0.2/30".parse().unwrap()]);
        assert_eq!(topology.links[1].ends[0].addresses, ["fd00::1/64".parse().unwrap()]);
        assert_eq!(topology.not_honoured, ["topology.links[2]: link type host"]);
    }

    #[test]
    fn what_is_not_honoured_is_said() {
        let topology = parse(
            "
name: t
mgmt: {network: m}
topology:
  nodes:
    a: {kind: nokia_srlinux, cpu: 2}
",
        )
        .unwrap();
        assert_eq!(
            topology.not_honoured,
            [
                "mgmt",
                "topology.nodes.a.cpu",
                "topology.nodes.a.kind: nokia_srlinux (played as a plain Linux host)"
            ]
        );
    }

    #[test]
    fn wrong_values_name_the_place() {
        let nodes = "name: t\ntopology:\n  nodes: {a: , b: }\n";
        let wrong_type = error("name: t\ntopology:\n  nodes:\n    a:\n      exec: 5\n");
        assert!(wrong_type.starts_with("t.yml:5:"), "{wrong_type}");
        assert!(error("name: t\ntopology: [").starts_with("t.yml:2:"));
        assert!(error("topology: {nodes: {a: }}").contains("name"));
        assert_eq!(error("name: t\ntopology: {nodes: {}}"), "t.yml: topology.nodes: there are none");
        assert_eq!(
            error(&format!("{nodes}  links: [{{endpoints: ['a:eth1', 'c:eth1']}}]")),
            "t.yml: topology.links[0]: there is no node c"
        );
        assert_eq!(
            error(&format!("{nodes}  links: [{{endpoints: ['a:eth1', 'b']}}]")),
            "t.yml: topology.links[0]: endpoint \"b\" is not NODE:INTERFACE"
        );
        assert_eq!(
            error(&format!("{nodes}  links: [{{endpoints: ['a:e', 'b:e']}}, {{endpoints: ['a:e', 'b:f']}}]")),
            "t.yml: topology.links[1]: a:e is taken by links[0]"
        );
        assert_eq!(
            error("name: t\ntopology: {nodes: {a: {binds: ['x']}}}"),
            "t.yml: topology.nodes.a.binds: \"x\" is not SOURCE:TARGET[:OPTIONS]"
        );
        assert_eq!(
            error("name: t\ntopology: {nodes: {'a/b': }}"),
            "t.yml: topology.nodes.a/b: not a name for a node"
        );
    }
}
