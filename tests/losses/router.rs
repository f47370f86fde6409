//! What runs on the nodes, and how it is told what a scenario wants: ours or another, in the same place.

use nix::sys::signal::Signal;

use crate::host::Host;
use crate::network::{Network, Node};

/// A change of what the routers are told, each beside the ones before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Edits {
    /// The ToRs are told a community.
    pub policy: bool,
    /// A peer that does not answer is configured.
    pub peer: bool,
    /// The configuration cannot be read.
    pub wrong: bool,
}

/// A routing daemon, on a node.
pub trait Router: Sync {
    fn name(&self) -> &'static str;

    /// What it was told beyond sessions and filters, for the reader of the table.
    fn configured(&self) -> &'static str;

    /// The protocol by which the kernel knows its routes.
    fn protocol(&self) -> &'static str;

    /// Writes what every node reads, before any starts.
    fn prepare(&self, network: &Network) {
        network.nodes.iter().for_each(|node| self.configure(network, node, Edits::default()));
    }

    /// Writes what a node reads.
    fn configure(&self, network: &Network, node: &Node, edits: Edits);

    /// Has a node that runs read what has been written. What is wrong is refused.
    fn reload(&self, node: &Node, edits: Edits);

    /// Starts it, if `again`, as one that was there before.
    fn start(&self, node: &Node, again: bool);

    /// Ends it so that another process of it can go on.
    fn end_for_upgrade(&self, node: &Node) {
        node.host.end(Signal::SIGTERM);
    }

    /// Takes it out of the network in the gentlest way it has, so that its peers turn elsewhere.
    fn leave(&self, node: &Node);

    /// Puts back in what has left.
    fn come_back(&self, node: &Node) {
        self.start(node, false);
    }

    /// Whether it has heard all that its peers have to tell.
    fn settled(&self, node: &Node) -> bool;

    /// What it knows, for a person.
    fn state(&self, node: &Node) -> String;

    /// Kills it.
    fn kill(&self, node: &Node) {
        node.host.end(Signal::SIGKILL);
    }
}

/// Writes a file on a machine.
pub fn write(host: &Host, file: &str, text: &str) {
    std::fs::write(host.directory.join(file), text).unwrap();
}
