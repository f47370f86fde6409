//! Ours.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use crate::network::{Network, Node};
use crate::router::{Edits, Router};
use crate::shape::Shape;

pub struct Routelet;

const ROUTELET: &str = env!("CARGO_BIN_EXE_routelet");

impl Router for Routelet {
    fn name(&self) -> &'static str {
        "Routelet"
    }

    fn configured(&self) -> &'static str {
        "as it comes; SIGTERM for an upgrade, `drain` to leave"
    }

    fn protocol(&self) -> &'static str {
        "114"
    }

    fn configure(&self, network: &Network, node: &Node, edits: Edits) {
        let shape = &network.shape;
        let put = |file: &str, text: &str| put(node, file, text);
        put("configuration.yaml", &configuration(shape));
        put("nodes.yaml", &nodes(shape));
        put("secrets.yaml", &secrets([shape.password; 2]));
        put("tors.yaml", &tors(shape, node.number, edits));
        let wrong = if edits.wrong { "kind: BgpPeer\nspec: {adress: 192.0.2.9}\n" } else { "" };
        put("more.yaml", wrong);
    }

    /// The daemon watches its directory.
    fn reload(&self, _: &Node, _: Edits) {}

    fn start(&self, node: &Node, _: bool) {
        let path = |file: &str| node.host.path(file);
        node.host.start(&format!(
            "{} run --node-name node{} --manifests {} --api-socket {} --state-dir {}",
            ROUTELET,
            node.number,
            path("manifests"),
            path("api"),
            path("state")
        ));
    }

    fn leave(&self, node: &Node) {
        node.host.do_run(&format!("{ROUTELET} drain --settle 1s --api-socket {}", node.host.path("api")));
    }

    fn come_back(&self, node: &Node) {
        node.host.do_run(&format!("{ROUTELET} undrain --api-socket {}", node.host.path("api")));
    }

    fn settled(&self, node: &Node) -> bool {
        let peers = ask(node, "peers");
        let complete = |peer: &Value| {
            peer["families"]
                .as_array()
                .is_some_and(|f| !f.is_empty() && f.iter().all(|f| f["endOfRib"] == true))
        };
        peers.as_array().is_some_and(|peers| !peers.is_empty() && peers.iter().all(complete))
    }

    fn state(&self, node: &Node) -> String {
        let log = node.host.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(300)..].join("\n")
    }
}

/// Writes a manifest of a node. Nobody is to read half a file: this machine is so busy that it may take a while
/// to write one.
pub fn put(node: &Node, file: &str, text: &str) {
    let directory = node.host.directory.join("manifests");
    fs::create_dir_all(&directory).unwrap();
    let new = node.host.directory.join(file);
    fs::write(&new, text).unwrap();
    fs::rename(new, directory.join(file)).unwrap();
}

/// What the daemon of a node says to a command, or nothing.
pub fn ask(node: &Node, command: &str) -> Value {
    let socket = node.host.path("api");
    let text = node.host.run(&format!("{ROUTELET} {command} -o json --api-socket {socket}"));
    serde_json::from_str(&text).unwrap_or_default()
}

const OURS: &str = "apiVersion: routelet.dev/v1alpha1\n";

fn configuration(shape: &Shape) -> String {
    let mesh = if shape.reflectors.is_empty() {
        "mesh: full".to_owned()
    } else {
        "mesh: reflectors, reflectors: {nodeSelector: {matchLabels: {reflector: \"true\"}}}".to_owned()
    };
    format!("{OURS}kind: BgpConfiguration\nmetadata: {{name: default}}\nspec: {{asn: 64512, {mesh}}}\n")
}

/// The passwords of the sessions with either ToR, where they have any.
pub fn secrets(passwords: [&str; 2]) -> String {
    let mut text = String::new();
    for (name, password) in ["tor-a", "tor-b"].iter().zip(passwords).filter(|(_, p)| !p.is_empty()) {
        writeln!(text, "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}").unwrap();
        writeln!(text, "stringData: {{password: \"{password}\"}}").unwrap();
    }
    text
}

/// The Node of each node.
pub fn nodes(shape: &Shape) -> String {
    let mut text = String::new();
    for number in shape.nodes() {
        let reflector = shape.reflects(number);
        writeln!(text, "---\napiVersion: v1\nkind: Node").unwrap();
        writeln!(text, "metadata: {{name: node{number}, labels: {{reflector: \"{reflector}\"}}}}").unwrap();
        writeln!(text, "spec: {{podCIDRs: {:?}}}", shape.own(number)).unwrap();
        let address = shape.node(number);
        writeln!(text, "status: {{addresses: [{{type: InternalIP, address: \"{address}\"}}]}}").unwrap();
    }
    text
}

/// The sessions of a node with the ToRs.
pub fn tors(shape: &Shape, number: usize, edits: Edits) -> String {
    let own: Vec<String> = shape.own(number).iter().map(|p| format!("{{prefix: \"{p}\"}}")).collect();
    let community = if edits.policy { ", communities: [\"65000:1\"]" } else { "" };
    let secret = |name: &str| {
        let reference = format!("\n  passwordSecretRef: {{name: {name}, key: password}}");
        if shape.password.is_empty() { String::new() } else { reference }
    };
    let bfd = if shape.bfd { "\n  bfd: {minTx: 100ms, minRx: 100ms, multiplier: 3}" } else { "" };
    let mut text = String::new();
    for (t, name) in [(1, "tor-a"), (2, "tor-b")] {
        write!(
            text,
            "---\n{OURS}kind: BgpPeer\nmetadata: {{name: {name}}}\nspec:\n  address: \"{}\"\n  asn: 65000\n  \
             timers: {{hold: {}s, connectRetry: 1s}}{bfd}{}\n  \
             import: {{accept: [{{prefix: \"{}\"}}]}}\n  export: {{accept: [{}]{community}}}\n",
            shape.tor(t, number),
            shape.hold,
            secret(name),
            shape.behind(),
            own.join(", "),
        )
        .unwrap();
    }
    if edits.peer {
        let silent = shape.address("192.168.1.99");
        let more = format!("metadata: {{name: silent}}\nspec: {{address: \"{silent}\", asn: internal}}\n");
        write!(text, "---\n{OURS}kind: BgpPeer\n{more}").unwrap();
    }
    text
}
