//! What everybody should hold once a network is at rest, worked out from its facts in the plainest
//! way: all tell all others what they think best, again and again, until nothing changes.
//!
//! Shares no code with what it judges: paths, preferences and rewriting are written down a second
//! time here, from the RFCs (RFC 4271 §5.1, §9.1.2.2, §9.2; RFC 4456 §8 to §10; RFC 1997; RFC 8326).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use routelet::bgp::{AsPath, Community, PathAttributes, RareAttributes};
use routelet::prefix::{Family, Prefix};
use routelet::rib::well_known::{GRACEFUL_SHUTDOWN, NO_EXPORT};

use super::net::{Link, Net};

/// A path, as far as anything here makes a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    path: Vec<u32>,
    next_hop: IpAddr,
    med: Option<u32>,
    local_pref: Option<u32>,
    communities: BTreeSet<Community>,
    originator: Option<Ipv4Addr>,
    clusters: Vec<Ipv4Addr>,
}

impl Route {
    fn begins_at(next_hop: IpAddr) -> Route {
        Route {
            path: vec![],
            next_hop,
            med: None,
            local_pref: None,
            communities: BTreeSet::new(),
            originator: None,
            clusters: vec![],
        }
    }

    /// The same in the product's words.
    pub fn attributes(&self) -> PathAttributes {
        let path = self.path.clone();
        PathAttributes {
            as_path: if path.is_empty() { AsPath::default() } else { AsPath::sequence(path) },
            med: self.med,
            local_pref: self.local_pref,
            communities: self.communities.iter().copied().collect(),
            rare: RareAttributes {
                originator_id: self.originator,
                cluster_list: self.clusters.clone().into(),
                ..RareAttributes::NONE
            }
            .into(),
            ..PathAttributes::originated(self.next_hop)
        }
    }
}

/// A path in somebody's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// As it was received.
    pub received: Route,
    /// As it takes part in the decision, if it does.
    pub used: Option<Route>,
}

/// The outcome for one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Best {
    /// Whom the best path is from; `None` for the node itself.
    pub from: Option<usize>,
    /// All who have one as good, best first.
    pub equal: Vec<Option<usize>>,
    route: Route,
}

/// One node's tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tables {
    /// By prefix and by the node it was heard from; `None` for the node itself.
    pub paths: BTreeMap<Prefix, BTreeMap<Option<usize>, Held>>,
    pub best: BTreeMap<Prefix, Best>,
}

/// What every node should hold.
pub fn expect(net: &Net) -> Vec<Tables> {
    let mut tables: Vec<Tables> = vec![Tables::default(); net.nodes.len()];
    for _ in 0..4 * net.nodes.len() + 10 {
        let next: Vec<Tables> = (0..net.nodes.len()).map(|node| hear(net, node, &tables)).collect();
        if next == tables {
            return tables;
        }
        tables = next;
    }
    panic!("the drawn network has no stable state");
}

/// A node's tables when all others think what `tables` say.
fn hear(net: &Net, node: usize, tables: &[Tables]) -> Tables {
    let mut own = Tables::default();
    for prefix in &net.nodes[node].prefixes {
        let nowhere: IpAddr = match prefix.family() {
            Family::Ipv4Unicast => Ipv4Addr::UNSPECIFIED.into(),
            Family::Ipv6Unicast => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let route = Route::begins_at(nowhere);
        let held = Held { received: route.clone(), used: Some(route) };
        own.paths.entry(*prefix).or_default().insert(None, held);
    }
    for (link, end) in net.sessions(node).filter(|(link, _)| link.is_up()) {
        let teller = link.ends[1 - end].node;
        for (prefix, best) in &tables[teller].best {
            if let Some(received) = told(net, link, 1 - end, *prefix, best) {
                let used = accepted(net, link, end, *prefix, &received);
                own.paths.entry(*prefix).or_default().insert(Some(teller), Held { received, used });
            }
        }
    }
    for (prefix, paths) in &own.paths {
        own.best.extend(decide(net, node, paths).map(|best| (*prefix, best)));
    }
    own
}

/// What an end of a link tells the other of a best path.
fn told(net: &Net, link: &Link, from: usize, prefix: Prefix, best: &Best) -> Option<Route> {
    let (end, other) = (&link.ends[from], &link.ends[1 - from]);
    let (node, peer) = (&net.nodes[end.node], &net.nodes[other.node]);
    if best.from == Some(other.node) || end.withheld.contains(&prefix) {
        return None;
    }
    let external = net.is_external(link);
    if external && best.route.communities.contains(&NO_EXPORT) {
        return None;
    }
    let mut route = best.route.clone();
    // RFC 4271 §5.1.3: a next hop that the peer shares a subnet with may stay, and it shares one with
    // itself. (Such a path has its AS in it; RFC 4271 forbids this for what begins here alone.)
    let third_party = || {
        let same_family = route.next_hop.is_ipv4() == peer.addresses[0].is_ipv4();
        let itself = route.next_hop == peer.addresses[0] && cost(net, end.node, route.next_hop) == 0;
        !external || (net.one_subnet && same_family) || itself
    };
    let learned_on = best.from.map(|from| session(net, end.node, from));
    // RFC 4456 §10: what is reflected keeps its next hop.
    let reflected = !external && learned_on.is_some_and(|(learned, _)| !net.is_external(learned));
    if learned_on.is_none() || (end.next_hop_self && !reflected) || !third_party() {
        route.next_hop = *node.addresses.iter().find(|a| Family::of(**a) == prefix.family())?;
    }
    if external {
        if end.local_as.is_none_or(|local_as| !local_as.replace) {
            route.path.insert(0, node.asn);
        }
        if let Some(local_as) = end.local_as {
            route.path.insert(0, local_as.asn);
        }
        let more = std::iter::repeat_n(net.shown_as(end), end.prepend.into());
        route.path = more.chain(route.path).collect();
        if learned_on.is_some() {
            route.med = None;
        }
        (route.local_pref, route.originator, route.clusters) = (None, None, vec![]);
    } else {
        route.local_pref.get_or_insert(100);
        if let Some((learned, at)) = learned_on.filter(|(learned, _)| !net.is_external(learned)) {
            if !end.serves_client && !learned.ends[at].serves_client {
                return None;
            }
            route.originator.get_or_insert(net.nodes[learned.ends[1 - at].node].router_id);
            route.clusters.insert(0, node.cluster_id.unwrap_or(node.router_id));
        }
    }
    route.med = end.med.or(route.med);
    route.communities.extend(end.community);
    Some(route)
}

/// What an end of a link makes of a path it hears: `None` if it must not use it.
fn accepted(net: &Net, link: &Link, at: usize, prefix: Prefix, received: &Route) -> Option<Route> {
    let end = &link.ends[at];
    let node = &net.nodes[end.node];
    let names = [node.asn, net.shown_as(end)];
    let own = received.path.iter().filter(|asn| names.contains(asn)).count();
    let unusable = own > usize::from(end.allow_own_as)
        || received.originator == Some(node.router_id)
        || received.clusters.contains(&node.cluster_id.unwrap_or(node.router_id))
        || node.addresses.contains(&received.next_hop)
        || node.prefixes.iter().any(|own| own.contains(prefix))
        || end.refused.contains(&prefix);
    if unusable {
        return None;
    }
    let mut route = received.clone();
    route.local_pref = end.local_pref.or(route.local_pref);
    if net.is_external(link) && route.communities.contains(&GRACEFUL_SHUTDOWN) {
        route.local_pref = Some(0);
    }
    Some(route)
}

fn decide(net: &Net, node: usize, paths: &BTreeMap<Option<usize>, Held>) -> Option<Best> {
    let usable = paths.iter().filter_map(|(from, held)| Some((*from, held.used.clone()?)));
    let mut left: Vec<(Option<usize>, Route)> = usable.collect();
    if let Some((from, route)) = left.iter().find(|(from, _)| from.is_none()).cloned() {
        return Some(Best { from, equal: vec![None], route });
    }
    keep_least(&mut left, |_, route| Reverse(route.local_pref.unwrap_or(100)));
    keep_least(&mut left, |_, route| route.path.len());
    let rivals = left.clone();
    left.retain(|(_, route)| {
        let same_as = rivals.iter().filter(|(_, rival)| rival.path.first() == route.path.first());
        same_as.map(|(_, rival)| rival.med.unwrap_or(0)).min() == Some(route.med.unwrap_or(0))
    });
    keep_least(&mut left, |from, _| !net.is_external(session(net, node, from).0));
    keep_least(&mut left, |_, route| cost(net, node, route.next_hop));
    left.sort_by_key(|(from, route)| {
        let peer = &net.nodes[from.unwrap()];
        (route.originator.unwrap_or(peer.router_id), route.clusters.len(), peer.addresses[0])
    });
    let equal = left.iter().map(|(from, _)| *from).collect();
    left.into_iter().next().map(|(from, route)| Best { from, equal, route })
}

fn keep_least<K: Ord>(left: &mut Vec<(Option<usize>, Route)>, key: impl Fn(usize, &Route) -> K) {
    let key = |(from, route): &(Option<usize>, Route)| key(from.unwrap(), route);
    if let Some(least) = left.iter().map(key).min() {
        left.retain(|entry| key(entry) == least);
    }
}

/// The session between two nodes, and which of its ends the first of them is.
fn session(net: &Net, node: usize, peer: usize) -> (&Link, usize) {
    net.sessions(node).find(|(link, own)| link.ends[1 - own].node == peer).unwrap()
}

/// How far away a next hop is: the kernel's metric and one more for a route that is not connected.
fn cost(net: &Net, node: usize, next_hop: IpAddr) -> u32 {
    if net.one_subnet {
        return 0;
    }
    let at = net.nodes.iter().position(|other| other.addresses.contains(&next_hop));
    match net.nodes[node].metrics.get(&at.unwrap()) {
        None | Some(0) => 0,
        Some(metric) => metric + 1,
    }
}

/// Where a node's kernel should send packets: the next hops of the best paths, each once, as many as
/// the node may use.
pub fn hops(net: &Net, node: usize, tables: &Tables, prefix: Prefix) -> BTreeSet<IpAddr> {
    let mut hops = vec![];
    for from in &tables.best[&prefix].equal {
        let next_hop = tables.paths[&prefix][from].received.next_hop;
        if from.is_some() && !hops.contains(&next_hop) {
            hops.push(next_hop);
        }
    }
    hops.into_iter().take(net.nodes[node].max_paths.into()).collect()
}
