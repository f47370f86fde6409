//! The file as serde reads it, and the way from there to a [`super::Topology`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Bind, End, Error, Link, Node, Topology};

/// Parses the text of a topology file called `origin`.
pub(super) fn parse(text: &str, origin: &str, directory: Option<PathBuf>) -> Result<Topology, Error> {
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
