//! Shapes that networks really have, drawn at random: a mesh, reflectors on one or two levels, racks
//! under pairs of ToRs, and any graph of ASs.
//!
//! All of them have one stable state only, so that an oracle can name it: preferences that go against
//! the length of paths stand only where nobody passes on what they choose.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use routelet::prefix::Prefix;
use routelet::speaker::intent::LocalAs;

use super::draw::Draw;
use super::net::{Link, Net, Node};

/// The network of a seed.
pub fn draw(seed: u64) -> Net {
    let shape: fn(&mut Draw) -> Net = match seed % 5 {
        0 => mesh,
        1 => reflectors,
        2 => two_levels,
        3 => racks,
        _ => graph,
    };
    drawn_as(shape, seed)
}

/// Two reflectors, their 45 clients, and who is around them: fifty or so, by the same seeds.
pub fn draw_fifty(seed: u64) -> Net {
    drawn_as(|draw| reflecting(draw, (2, 2), (45, 45)), seed)
}

fn drawn_as(shape: impl Fn(&mut Draw) -> Net, seed: u64) -> Net {
    let mut draw = Draw::new(seed);
    let mut net = shape(&mut draw);
    let graceful = draw.of(&[1, 1, 4, 100]);
    for link in &mut net.links {
        link.ends.iter_mut().for_each(|end| end.graceful = !draw.once_in(graceful));
        // Somebody has to dial.
        let waiting = draw.below(12);
        if waiting < 2 {
            link.ends[waiting].passive = true;
        }
        link.ends.iter_mut().for_each(|end| end.hold = draw.of(&[9, 30, 30, 90]));
    }
    for node in &mut net.nodes {
        node.max_paths = draw.of(&[1, 2, 16, 16]);
    }
    net
}

/// Which families a network uses, by version digits.
fn families(draw: &mut Draw) -> &'static [u8] {
    draw.of(&[&[4], &[6], &[4, 6], &[6, 4]])
}

fn empty(draw: &mut Draw, shape: &'static str) -> (Net, &'static [u8]) {
    let one_subnet = draw.once_in(2);
    (Net { shape, nodes: vec![], links: vec![], one_subnet }, families(draw))
}

/// Adds a node with a prefix or two of each family, and returns its index.
fn add(net: &mut Net, draw: &mut Draw, families: &[u8], role: &str, asn: u32) -> usize {
    let i = net.nodes.len();
    let address = |version: &u8| -> IpAddr {
        match version {
            4 => [192, 168, 1, i as u8 + 1].into(),
            _ => format!("fd00:192:168::{:x}", i + 1).parse().unwrap(),
        }
    };
    let prefix = |version: u8, n: usize| -> Prefix {
        match version {
            4 => format!("10.{n}.{i}.0/24").parse().unwrap(),
            _ => format!("fd00:10:{n:x}:{i:x}::/64").parse().unwrap(),
        }
    };
    let count = draw.between(1, 2);
    let prefixes = families.iter().flat_map(|version| (0..count).map(|n| prefix(*version, n))).collect();
    // Identifiers in no order that anything else has.
    let router_id = Ipv4Addr::new(10, (i * 7 % 11) as u8, (i * 31 % 64) as u8, i as u8 + 1);
    net.nodes.push(Node {
        name: format!("{role}{i}").leak(),
        asn,
        router_id,
        addresses: families.iter().map(address).collect(),
        prefixes,
        cluster_id: None,
        max_paths: 16,
        cut_off: BTreeSet::new(),
        metrics: BTreeMap::new(),
    });
    i
}

/// Routers of other ASs, each with a session with some of `hosts`.
fn surround(net: &mut Net, draw: &mut Draw, families: &[u8], hosts: &[usize]) {
    let shared = draw.once_in(2);
    for outside in 0..draw.between(1, 3) as u32 {
        let asn = if shared { 65000 } else { 65000 + outside };
        let router = add(net, draw, families, "tor", asn);
        for host in hosts.iter().copied() {
            if draw.once_in(2) || host == hosts[0] {
                let mut link = Link::new(router, host);
                link.ends[0].med = draw.of(&[None, None, Some(10), Some(20)]);
                link.ends[1].local_pref = draw.of(&[None, None, Some(90), Some(200)]);
                link.ends[0].prepend = draw.of(&[0, 0, 0, 2]);
                net.links.push(link);
            }
        }
    }
}

fn join_all(net: &mut Net, nodes: &[usize]) {
    for (i, a) in nodes.iter().enumerate() {
        net.links.extend(nodes[i + 1..].iter().map(|b| Link::new(*a, *b)));
    }
}

fn mesh(draw: &mut Draw) -> Net {
    let (mut net, families) = empty(draw, "mesh");
    let count = draw.between(2, 9);
    let nodes: Vec<usize> = (0..count).map(|_| add(&mut net, draw, families, "node", 64512)).collect();
    join_all(&mut net, &nodes);
    let next_hop_self = draw.once_in(2);
    net.links.iter_mut().flat_map(|link| &mut link.ends).for_each(|end| end.next_hop_self = next_hop_self);
    surround(&mut net, draw, families, &nodes);
    for node in nodes {
        for other in 0..net.nodes.len() {
            let metric = draw.of(&[0, 0, 10, 20]) as u32;
            net.nodes[node].metrics.insert(other, metric);
        }
    }
    net
}

/// Makes `servers` reflect for `clients`, each of which has a session with one of them or more.
fn serve(net: &mut Net, draw: &mut Draw, servers: &[usize], clients: &[usize]) {
    for client in clients.iter().copied() {
        let sure = draw.of(servers);
        for server in servers.iter().copied() {
            if server == sure || draw.once_in(2) {
                let mut link = Link::new(server, client);
                link.ends[0].serves_client = true;
                // What a server does not take from its client itself, it may hear from another one.
                if draw.once_in(5) {
                    link.ends[0].refused.extend(net.nodes[client].prefixes.first());
                }
                net.links.push(link);
            }
        }
    }
}

/// Gives each server a cluster of its own, or all of them one.
fn cluster(net: &mut Net, draw: &mut Draw, servers: &[usize]) {
    if draw.once_in(2) {
        for server in servers {
            net.nodes[*server].cluster_id = Some(Ipv4Addr::new(1, 1, 1, servers[0] as u8));
        }
    }
}

fn reflectors(draw: &mut Draw) -> Net {
    reflecting(draw, (1, 3), (2, 16))
}

/// Between so many reflectors, and between so many clients of theirs.
fn reflecting(draw: &mut Draw, servers: (usize, usize), clients: (usize, usize)) -> Net {
    let (mut net, families) = empty(draw, "reflectors");
    let several = |net: &mut Net, draw: &mut Draw, (least, most), role| -> Vec<usize> {
        (0..draw.between(least, most)).map(|_| add(net, draw, families, role, 64512)).collect()
    };
    let servers = several(&mut net, draw, servers, "reflector");
    let clients = several(&mut net, draw, clients, "node");
    join_all(&mut net, &servers);
    cluster(&mut net, draw, &servers);
    serve(&mut net, draw, &servers, &clients);
    surround(&mut net, draw, families, &clients[..2]);
    net
}

fn two_levels(draw: &mut Draw) -> Net {
    let (mut net, families) = empty(draw, "two levels of reflectors");
    let level = |net: &mut Net, draw: &mut Draw, role, from, to| -> Vec<usize> {
        (0..draw.between(from, to)).map(|_| add(net, draw, families, role, 64512)).collect()
    };
    let tops = level(&mut net, draw, "top", 1, 2);
    let mids = level(&mut net, draw, "mid", 2, 4);
    let leaves = level(&mut net, draw, "node", 3, 14);
    join_all(&mut net, &tops);
    cluster(&mut net, draw, &tops);
    serve(&mut net, draw, &tops, &mids);
    serve(&mut net, draw, &mids, &leaves);
    surround(&mut net, draw, families, &leaves[..2]);
    net
}

fn racks(draw: &mut Draw) -> Net {
    let (mut net, families) = empty(draw, "racks");
    let spines: Vec<usize> =
        (0..draw.between(1, 2)).map(|_| add(&mut net, draw, families, "spine", 65000)).collect();
    let allow_own_as = draw.of(&[0, 0, 1]);
    for rack in 0..draw.between(1, 4) as u32 {
        let tors = [0; 2].map(|_| add(&mut net, draw, families, "tor", 65100 + rack));
        for tor in tors {
            net.links.extend(spines.iter().map(|spine| Link::new(*spine, tor)));
        }
        for _ in 0..draw.between(1, 4) {
            let node = add(&mut net, draw, families, "node", 64512 + rack);
            for tor in tors {
                let mut link = Link::new(tor, node);
                // A node passes on nothing that it chooses between the two, so it may choose freely.
                let foreign = net.prefixes();
                link.ends[0].med = draw.of(&[None, None, None, Some(10)]);
                link.ends[1].local_pref = draw.of(&[None, None, None, Some(200)]);
                link.ends[1].allow_own_as = allow_own_as;
                link.ends[1].withheld = foreign.difference(&net.nodes[node].prefixes).copied().collect();
                net.links.push(link);
            }
        }
    }
    // Nodes tell their own prefixes alone, also those of racks that were not there yet.
    let all = net.prefixes();
    for link in &mut net.links {
        let node = &net.nodes[link.ends[1].node];
        if node.name.starts_with("node") {
            link.ends[1].withheld = all.difference(&node.prefixes).copied().collect();
        }
    }
    net
}

fn graph(draw: &mut Draw) -> Net {
    let (mut net, families) = empty(draw, "graph");
    let count = draw.of(&[2, 5, 10, 20, 30]);
    for i in 0..draw.between(2, count.max(2)) {
        add(&mut net, draw, families, "router", 65001 + i as u32);
        if i > 0 {
            net.links.push(Link::new(draw.below(i), i));
        }
    }
    let count = net.nodes.len();
    let allow_own_as = draw.of(&[0, 0, 1]);
    for _ in 0..draw.below(2 * count) {
        let (a, b) = (draw.below(count), draw.below(count));
        let known = |link: &Link| {
            [a, b] == link.ends.each_ref().map(|e| e.node) || [b, a] == link.ends.each_ref().map(|e| e.node)
        };
        if a != b && !net.links.iter().any(known) {
            net.links.push(Link::new(a, b));
        }
    }
    for i in 0..net.links.len() {
        for end in 0..2 {
            net.links[i].ends[end].prepend = draw.of(&[0, 0, 0, 0, 1, 3]);
            net.links[i].ends[end].med = draw.of(&[None, None, Some(5)]);
            net.links[i].ends[end].allow_own_as = allow_own_as;
        }
        if draw.once_in(8) {
            let replace = draw.once_in(2);
            net.links[i].ends[0].local_as = Some(LocalAs { asn: 64000 + i as u32, replace });
        }
    }
    // Here and there, two have the same prefix behind them.
    for _ in 0..draw.below(3) {
        let (a, b) = (draw.below(count), draw.below(count));
        let shared = net.nodes[a].prefixes.first().copied();
        net.nodes[b].prefixes.extend(shared);
    }
    net
}
