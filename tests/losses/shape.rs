//! What a scenario wants of the network, and what things are called in it.
//!
//! Addresses are written as IPv4 everywhere. A scenario over IPv6 has the same numbers in `fd00::`: 10.1.2.0/24
//! is `fd00::10:1:2:0/112` then.

use std::net::IpAddr;

/// What a scenario wants of the network.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Numbers of the nodes that reflect routes; empty for a full mesh.
    pub reflectors: &'static [usize],
    /// ToR B is used only while ToR A cannot be; else both are, side by side.
    pub backup: bool,
    /// BFD with the ToRs, 3 × 100 ms.
    pub bfd: bool,
    /// Hold time with the ToRs in seconds.
    pub hold: u16,
    /// Nodes 1 and 3 both announce 10.245.0.0/24.
    pub shared: bool,
    /// What the ToRs run.
    pub tors: Tors,
    /// In place of IPv4.
    pub ipv6: bool,
    /// Password of the sessions with the ToRs; empty for none.
    pub password: &'static str,
}

/// What a ToR runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tors {
    Bird,
    Frr,
}

/// The nodes that have the same prefix, where two have.
pub const SHARING: [usize; 2] = [1, 3];

impl Shape {
    /// A full mesh over IPv4, both ToRs in use, no BFD.
    pub const PLAIN: Shape = Shape {
        reflectors: &[],
        backup: false,
        bfd: false,
        hold: 90,
        shared: false,
        tors: Tors::Bird,
        ipv6: false,
        password: "",
    };

    /// The numbers of the nodes.
    pub fn nodes(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.reflectors.iter().copied().max().unwrap_or(3).max(3)
    }

    /// Whether a node reflects routes.
    pub fn reflects(&self, number: usize) -> bool {
        self.reflectors.contains(&number)
    }

    /// The nodes that a node has sessions with, and whether each is a client of its.
    pub fn mesh_of(&self, number: usize) -> Vec<(usize, bool)> {
        let full = self.reflectors.is_empty();
        let others = self.nodes().filter(|other| *other != number);
        let peers = others.filter(|other| full || self.reflects(number) || self.reflects(*other));
        peers.map(|other| (other, !full && self.reflects(number) && !self.reflects(other))).collect()
    }

    /// A node's address on the segment of the nodes.
    pub fn node(&self, number: usize) -> String {
        self.address(&format!("192.168.1.1{number}"))
    }

    /// A ToR's address on its link to a node.
    pub fn tor(&self, t: usize, number: usize) -> String {
        self.address(&format!("10.{t}.{number}.1"))
    }

    /// A node's address on its link to a ToR.
    pub fn at_tor(&self, t: usize, number: usize) -> String {
        self.address(&format!("10.{t}.{number}.2"))
    }

    /// The pod CIDR of a node.
    pub fn pods(&self, number: usize) -> String {
        self.address(&format!("10.244.{number}.0/24"))
    }

    /// All prefixes a node announces.
    pub fn own(&self, number: usize) -> Vec<String> {
        let mut prefixes = vec![self.pods(number)];
        prefixes.extend((self.shared && SHARING.contains(&number)).then(|| self.shared()));
        prefixes
    }

    /// The prefix that two nodes announce.
    pub fn shared(&self) -> String {
        self.address("10.245.0.0/24")
    }

    /// What every pod CIDR and the shared prefix are in.
    pub fn all_pods(&self) -> String {
        self.address("10.244.0.0/15")
    }

    /// The network behind the ToRs.
    pub fn behind(&self) -> String {
        self.address("172.16.0.0/24")
    }

    /// `ipv4` or `ipv6`.
    pub fn family(&self) -> &'static str {
        if self.ipv6 { "ipv6" } else { "ipv4" }
    }

    /// The length of a prefix that is one address.
    pub fn longest(&self) -> u8 {
        if self.ipv6 { 128 } else { 32 }
    }

    /// An address or prefix in the scenario's family.
    pub fn address(&self, ipv4: &str) -> String {
        if !self.ipv6 {
            return ipv4.to_owned();
        }
        let (address, length) = ipv4.split_once('/').unwrap_or((ipv4, ""));
        let address = format!("fd00::{}", address.replace('.', ":"));
        match length.parse::<usize>() {
            // An octet is sixteen bits here, and its own bits are the last of those.
            Ok(length) if length % 8 == 0 => format!("{address}/{}", 64 + 2 * length),
            Ok(length) => format!("{address}/{}", 64 + 2 * (length - length % 8) + 8 + length % 8),
            Err(_) => address,
        }
    }

    /// The same, for a socket.
    pub fn ip(&self, ipv4: &str) -> IpAddr {
        self.address(ipv4).parse().unwrap()
    }
}
